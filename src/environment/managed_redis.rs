//! A Redis server of our own: started for a run, gone after it.
//!
//! The runner starts one when no `--redis URL` is given, with the memory limit and eviction policy
//! of the scenario and without any persistence. It reads no configuration file and writes nothing
//! outside its temporary folder.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use super::error::EnvironmentError;
use super::process::{self, ManagedProcess};
use super::redis_info::RedisInfo;
use super::{EvictionPolicy, RedisConfig};
use crate::clock::Clock;

/// Programs that will do, the preferred first. Both take the same arguments.
const PROGRAMS: [&str; 2] = ["redis-server", "valkey-server"];
const START_LIMIT: Duration = Duration::from_secs(10);
const START_POLL: Duration = Duration::from_millis(5);
/// How long one question may take while the server comes up.
const ASK_LIMIT: Duration = Duration::from_secs(1);
/// How many ports may be taken by others between our finding and Redis' using them.
const PORT_ATTEMPTS_MAX: u32 = 5;
/// More users than this may connect at once, and none of them is turned away by the backlog.
const TCP_BACKLOG: u32 = 4_096;
const CLIENTS_MAX: u32 = 10_000;

/// A running Redis that ends with this value, or with our process.
#[derive(Debug)]
pub struct ManagedRedis {
    process: ManagedProcess,
    clock: Clock,
    url: String,
    version: String,
}

/// What became of one try to start on one port.
enum Attempt {
    Up(ManagedRedis),
    PortTaken,
}

impl ManagedRedis {
    /// Starts a server on a free loopback port and waits until it answers.
    pub async fn start(config: &RedisConfig, clock: &Clock) -> Result<Self, EnvironmentError> {
        let program = process::find_program(&PROGRAMS).ok_or(EnvironmentError::RedisNotFound)?;
        Self::start_program(&program, config, clock).await
    }

    async fn start_program(
        program: &Path,
        config: &RedisConfig,
        clock: &Clock,
    ) -> Result<Self, EnvironmentError> {
        for _ in 0..PORT_ATTEMPTS_MAX {
            let port = process::free_port()?;
            match Self::attempt(program, port, config, clock).await? {
                Attempt::Up(redis) => return Ok(redis),
                Attempt::PortTaken => {}
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

    async fn attempt(
        program: &Path,
        port: u16,
        config: &RedisConfig,
        clock: &Clock,
    ) -> Result<Attempt, EnvironmentError> {
        let mut process = ManagedProcess::spawn(program, |folder| arguments(config, port, folder))?;
        let url = format!("redis://127.0.0.1:{port}/0");
        let deadline = clock.now() + START_LIMIT;
        loop {
            let not_started = |reason: String, log: String| EnvironmentError::NotStarted {
                program: program.display().to_string(),
                reason,
                log,
            };
            if let Some(died) = process.died() {
                if died.contains("Address already in use") {
                    return Ok(Attempt::PortTaken);
                }
                return Err(not_started(died, String::new()));
            }
            let waiting_for = match ask(&url, clock).await {
                // Another server may have taken the port: only ours will do.
                Ok(info) if info.process_id == Some(process.pid()) => {
                    let (clock, version) = (clock.clone(), info.version);
                    return Ok(Attempt::Up(Self {
                        process,
                        clock,
                        url,
                        version,
                    }));
                }
                Ok(_) => "another process answers on its port".to_owned(),
                Err(error) => error.to_string(),
            };
            if clock.now() >= deadline {
                let reason = format!(
                    "it did not answer within {} s: {waiting_for}",
                    START_LIMIT.as_secs()
                );
                return Err(not_started(reason, process.log_tail()));
            }
            clock.sleep(START_POLL).await;
        }
    }

    /// Where it listens: `redis://127.0.0.1:PORT/0`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The server's version, such as `7.0.15`.
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

    /// Ends the server, waits until it is gone and removes its folder. Dropping it does the same,
    /// but blocks the thread for a moment and cannot report an error.
    pub async fn stop(self) -> Result<(), EnvironmentError> {
        self.process.stop(&self.clock).await
    }
}

/// Asks the server who it is.
async fn ask(url: &str, clock: &Clock) -> Result<RedisInfo, EnvironmentError> {
    let connect = async {
        let config = redis::AsyncConnectionConfig::new()
            .set_connection_timeout(Some(ASK_LIMIT))
            .set_response_timeout(Some(ASK_LIMIT));
        redis::Client::open(url)?
            .get_multiplexed_async_connection_with_config(&config)
            .await
    };
    let mut connection = connect
        .await
        .map_err(|error| EnvironmentError::command("connecting", &error))?;
    redis::cmd("PING")
        .query_async::<()>(&mut connection)
        .await
        .map_err(|error| EnvironmentError::command("PING", &error))?;
    RedisInfo::fetch(&mut connection, clock, ASK_LIMIT).await
}

fn arguments(config: &RedisConfig, port: u16, folder: &Path) -> Vec<OsString> {
    let maxmemory = config.maxmemory.map_or(0, |size| size.0);
    let mut arguments: Vec<OsString> = [
        ("--port", port.to_string().as_str()),
        ("--bind", "127.0.0.1"),
        ("--protected-mode", "yes"),
        ("--save", ""),
        ("--appendonly", "no"),
        ("--daemonize", "no"),
        ("--maxmemory", &maxmemory.to_string()),
        ("--maxmemory-policy", policy_name(config.policy)),
        ("--tcp-backlog", &TCP_BACKLOG.to_string()),
        ("--maxclients", &CLIENTS_MAX.to_string()),
    ]
    .iter()
    .flat_map(|(name, value)| [OsString::from(name), OsString::from(value)])
    .collect();
    arguments.extend([OsString::from("--dir"), folder.into()]);
    arguments
}

/// As Redis spells it in `maxmemory-policy`.
fn policy_name(policy: EvictionPolicy) -> &'static str {
    match policy {
        EvictionPolicy::Noeviction => "noeviction",
        EvictionPolicy::AllkeysLru => "allkeys-lru",
        EvictionPolicy::AllkeysLfu => "allkeys-lfu",
        EvictionPolicy::AllkeysRandom => "allkeys-random",
        EvictionPolicy::VolatileLru => "volatile-lru",
        EvictionPolicy::VolatileLfu => "volatile-lfu",
        EvictionPolicy::VolatileRandom => "volatile-random",
        EvictionPolicy::VolatileTtl => "volatile-ttl",
    }
}

#[cfg(test)]
mod tests;
