//! A memcached of our own: started for a run, gone after it.
//!
//! The runner starts one for a scenario whose remote layer names it as its store. It keeps
//! everything in memory and listens on a free loopback port.

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::MemcachedConfig;
use super::error::EnvironmentError;
use super::memcached_info::MemcachedInfo;
use super::process::{self, ManagedProcess};
use crate::clock::Clock;

const PROGRAMS: [&str; 1] = ["memcached"];
const START_LIMIT: Duration = Duration::from_secs(10);
const START_POLL: Duration = Duration::from_millis(5);
/// How long one question may take while the server comes up.
const ASK_LIMIT: Duration = Duration::from_secs(1);
/// How many ports may be taken by others between our finding and memcached's using them.
const PORT_ATTEMPTS_MAX: u32 = 5;
/// memcached refuses to run as root; this user can do nothing. Others ignore the option.
const USER: &str = "nobody";

/// A running memcached that ends with this value, or with our process.
#[derive(Debug)]
pub struct ManagedMemcached {
    process: ManagedProcess,
    clock: Clock,
    address: SocketAddr,
    version: String,
}

impl ManagedMemcached {
    /// The program to start; an error that says how to get it if there is none.
    pub fn program() -> Result<PathBuf, EnvironmentError> {
        process::find_program(&PROGRAMS).ok_or(EnvironmentError::MemcachedNotFound)
    }

    /// Starts a server on a free loopback port and waits until it answers.
    pub async fn start(config: MemcachedConfig, clock: &Clock) -> Result<Self, EnvironmentError> {
        let program = Self::program()?;
        for _ in 0..PORT_ATTEMPTS_MAX {
            let port = process::free_port()?;
            if let Some(server) = Self::attempt(&program, port, config, clock).await? {
                return Ok(server);
            }
        }
        Err(EnvironmentError::NotStarted {
            program: program.display().to_string(),
            reason: format!(
                "{PORT_ATTEMPTS_MAX} free ports were each taken by another process before it \
                 could listen there; try again"
            ),
            log: String::new(),
        })
    }

    /// `None` if another process took the port meanwhile.
    async fn attempt(
        program: &Path,
        port: u16,
        config: MemcachedConfig,
        clock: &Clock,
    ) -> Result<Option<Self>, EnvironmentError> {
        let mut process = ManagedProcess::spawn(program, |_| arguments(config, port))?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let deadline = clock.now() + START_LIMIT;
        let not_started = |reason: String, log: String| EnvironmentError::NotStarted {
            program: program.display().to_string(),
            reason,
            log,
        };
        loop {
            if let Some(died) = process.died() {
                if died.contains("Address already in use") {
                    return Ok(None);
                }
                return Err(not_started(died, String::new()));
            }
            let waiting_for = match MemcachedInfo::fetch(address, clock, ASK_LIMIT).await {
                // Another server may have taken the port: only ours will do.
                Ok(info) if info.process_id == process.pid() => {
                    return Ok(Some(Self {
                        process,
                        clock: clock.clone(),
                        address,
                        version: info.version,
                    }));
                }
                Ok(_) => "another process answers on its port".to_owned(),
                Err(error) => error.to_string(),
            };
            if clock.now() >= deadline {
                let seconds = START_LIMIT.as_secs();
                let reason = format!("it did not answer within {seconds} s: {waiting_for}");
                return Err(not_started(reason, process.log_tail()));
            }
            clock.sleep(START_POLL).await;
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The server's version, such as `1.6.18`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The server's process.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// How the server ended, with the end of its log; `None` while it runs. Never waits.
    pub fn died(&mut self) -> Option<String> {
        self.process.died()
    }

    /// Ends the server and waits until it is gone. Dropping it does the same, but blocks the thread
    /// for a moment and cannot report an error.
    pub async fn stop(self) -> Result<(), EnvironmentError> {
        self.process.stop(&self.clock).await
    }
}

fn arguments(config: MemcachedConfig, port: u16) -> Vec<OsString> {
    let (port, memory) = (port.to_string(), config.memory_mib.to_string());
    [
        ("-l", "127.0.0.1"),
        ("-p", &port),
        ("-m", &memory),
        ("-u", USER),
    ]
    .iter()
    .flat_map(|(name, value)| [OsString::from(name), OsString::from(value)])
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::ByteSize;

    const CONFIG: MemcachedConfig = MemcachedConfig { memory_mib: 16 };

    async fn listens(address: SocketAddr) -> bool {
        tokio::net::TcpStream::connect(address).await.is_ok()
    }

    #[tokio::test]
    async fn live_it_starts_as_configured_answers_and_leaves_nothing() {
        let clock = Clock::real();
        let mut server = ManagedMemcached::start(CONFIG, &clock)
            .await
            .expect("start");
        let (folder, address) = (server.process.folder().to_owned(), server.address());
        let info = MemcachedInfo::fetch(address, &clock, ASK_LIMIT)
            .await
            .expect("stats");
        assert_eq!(info.limit, ByteSize(16 << 20));
        assert_eq!(info.version, server.version());
        assert_eq!(info.process_id, server.pid());
        assert_eq!(server.died(), None);
        assert!(folder.is_dir() && listens(address).await);
        server.stop().await.expect("stop");
        assert!(!folder.exists() && !listens(address).await);
    }

    #[tokio::test]
    async fn live_dropping_it_leaves_nothing_and_two_live_side_by_side() {
        let clock = Clock::real();
        let (one, two) = tokio::join!(
            ManagedMemcached::start(CONFIG, &clock),
            ManagedMemcached::start(CONFIG, &clock)
        );
        let (one, two) = (one.expect("start"), two.expect("start"));
        assert_ne!((one.address(), one.pid()), (two.address(), two.pid()));
        let (folder, address) = (one.process.folder().to_owned(), one.address());
        drop(one);
        assert!(!folder.exists() && !listens(address).await);
        assert!(listens(two.address()).await);
    }

    #[tokio::test]
    async fn a_program_that_ends_at_once_is_told_with_its_words() {
        let (program, clock) = (Path::new("/bin/false"), Clock::real());
        let started = ManagedMemcached::attempt(program, 1, CONFIG, &clock).await;
        let error = started.expect_err("no server").to_string();
        assert!(error.contains("it ended with exit code 1"), "{error}");
    }
}
