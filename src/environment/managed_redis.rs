//! A Redis of our own: started for a run, gone after it.
//!
//! The runner starts one when no `--redis URL` is given, as the scenario describes it: one server
//! ([`ManagedRedis`]), or several that stand together ([`topology::ManagedTopology`]). It needs
//! nothing but the server's program, and writes nothing outside its temporary folders.

mod cluster;
mod sentinel;
mod settings;
pub mod tls;
pub mod topology;

pub use self::settings::CLIENTS_MAX;
use std::io;
use std::path::Path;
use std::time::Duration;

pub(in crate::environment) use self::settings::{NODE_TIMEOUT_MS, policy_name};
use self::settings::{Role, Settings};
use super::RedisConfig;
use super::error::EnvironmentError;
use super::process::{self, ManagedProcess};
use crate::clock::Clock;
use crate::engine::remote::redis::{NodeAddress, Nodes};

/// Programs that will do, the preferred first. Both take the same arguments.
const PROGRAMS: [&str; 2] = ["redis-server", "valkey-server"];
const START_LIMIT: Duration = Duration::from_secs(10);
const START_POLL: Duration = Duration::from_millis(5);
/// How long one question may take while the server comes up.
const ASK_LIMIT: Duration = Duration::from_secs(1);
/// How many ports may be taken by others between our finding and Redis' using them.
const PORT_ATTEMPTS_MAX: u32 = 5;

/// A running Redis that ends with this value, or with our process.
#[derive(Debug)]
pub struct ManagedRedis {
    process: ManagedProcess,
    clock: Clock,
    port: u16,
    role: Role,
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
        Self::start_with(&Settings::alone(config), clock).await
    }

    /// The same, as one of several.
    async fn start_with(settings: &Settings, clock: &Clock) -> Result<Self, EnvironmentError> {
        let program = process::find_program(&PROGRAMS).ok_or(EnvironmentError::RedisNotFound)?;
        Self::start_program(&program, settings, clock).await
    }

    async fn start_program(
        program: &Path,
        settings: &Settings,
        clock: &Clock,
    ) -> Result<Self, EnvironmentError> {
        let mut settings = settings.clone();
        for _ in 0..PORT_ATTEMPTS_MAX {
            let port = process::free_port()?;
            if let Role::ClusterNode { bus } = &mut settings.role {
                *bus = process::free_port()?;
            }
            match Self::attempt(program, port, &settings, clock).await? {
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
        settings: &Settings,
        clock: &Clock,
    ) -> Result<Attempt, EnvironmentError> {
        let mut files: io::Result<()> = Ok(());
        let mut process = ManagedProcess::spawn(program, |folder| {
            files = settings.write_files(port, folder);
            settings.arguments(port, folder)
        })?;
        files.map_err(EnvironmentError::io("writing the server's configuration"))?;
        let url = settings.url(port, process.folder());
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
            let waiting_for = match ask(&url).await {
                // Another server may have taken the port: only ours will do.
                Ok(answer) if answer.process_id == Some(process.pid()) => {
                    return Ok(Attempt::Up(Self {
                        process,
                        clock: clock.clone(),
                        port,
                        role: settings.role,
                        url,
                        version: answer.version,
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

    /// Where it listens.
    pub fn address(&self) -> NodeAddress {
        NodeAddress::new("127.0.0.1", self.port)
    }

    /// Where it listens, and how to log in: `redis://127.0.0.1:PORT/0`.
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

    /// Kills the server, as a crash would: nothing is saved and nobody is told. What it leaves
    /// behind is removed with this value.
    pub fn crash(&mut self) {
        self.process.crash();
    }

    /// Ends the server, waits until it is gone and removes its folder. Dropping it does the same,
    /// but blocks the thread for a moment and cannot report an error.
    pub async fn stop(self) -> Result<(), EnvironmentError> {
        self.process.stop(&self.clock).await
    }
}

/// Who answers.
struct Answer {
    version: String,
    process_id: Option<u32>,
}

/// Asks the server who it is. Every kind of server knows these two things.
async fn ask(url: &str) -> Result<Answer, EnvironmentError> {
    let nodes = Nodes::open(url).map_err(|error| EnvironmentError::BadUrl {
        url: super::keyspace::mask_url(url),
        reason: error.to_string(),
    })?;
    let mut connection = nodes
        .connect(&nodes.address().hosts()[0], ASK_LIMIT)
        .await
        .map_err(|error| EnvironmentError::command("connecting", &error))?;
    redis::cmd("PING")
        .query_async::<()>(&mut connection)
        .await
        .map_err(|error| EnvironmentError::command("PING", &error))?;
    let told: String = redis::cmd("INFO")
        .arg("server")
        .query_async(&mut connection)
        .await
        .map_err(|error| EnvironmentError::command("INFO", &error))?;
    let field = |name: &str| {
        let mut lines = told.lines().filter_map(|line| line.split_once(':'));
        lines
            .find(|(found, _)| *found == name)
            .map(|(_, value)| value)
    };
    let version = field("valkey_version").or_else(|| field("redis_version"));
    Ok(Answer {
        version: version.unwrap_or_default().to_owned(),
        process_id: field("process_id").and_then(|id| id.parse().ok()),
    })
}

#[cfg(test)]
mod tests;
