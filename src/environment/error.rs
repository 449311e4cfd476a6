//! Why the environment could not be brought up, asked or cleaned, and what to do about it.
//!
//! Made by the parts of the environment, printed by the command line. A Redis URL in here is
//! always masked: no password is ever part of an error.

use std::io;
use std::time::Duration;

/// The environment could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnvironmentError {
    /// There is no server program to start.
    #[error(
        "redis-server was not found on PATH: install it (apt-get install redis-server, brew \
         install redis), run `make setup`, or give --redis URL"
    )]
    RedisNotFound,
    /// There is no memcached to start.
    #[error(
        "memcached was not found on PATH: install it (apt-get install memcached, brew install \
         memcached), or leave `store: memcached` out of the scenario"
    )]
    MemcachedNotFound,
    /// memcached gave no answer, or one that cannot be read.
    #[error("memcached failed at {doing}: {reason}")]
    Memcached {
        /// What was asked.
        doing: &'static str,
        /// What happened.
        reason: String,
    },
    /// A program was found, but its server did not come up.
    #[error("{program} did not start: {reason}\n{log}")]
    NotStarted {
        /// The program, with its path.
        program: String,
        /// What happened instead.
        reason: String,
        /// The end of its log.
        log: String,
    },
    /// Virtual time has no model of it.
    #[error("{what} cannot be simulated: there is no model of it; use `cachestorm run`, or Redis")]
    NotModelled {
        /// What was asked for.
        what: &'static str,
    },
    /// A service that is not ours does not answer.
    #[error(
        "the target {url} does not answer: {error}; start it, or say where it is (`target.url` in the \
         scenario, or --target URL)"
    )]
    NoAnswer {
        /// Its base URL.
        url: String,
        /// What happened instead.
        error: String,
    },
    /// A service that is not ours is not trusted, or does not speak TLS.
    #[error("the target {url} is not spoken to: {error}; {advice}")]
    NoTls {
        /// Its base URL.
        url: String,
        /// What happened.
        error: String,
        /// What to do.
        advice: &'static str,
    },
    /// A service instance did not come up.
    #[error("service instance {number} did not start: {reason}")]
    Instance {
        /// Its number, from 0.
        number: u16,
        /// What happened instead.
        reason: String,
    },
    /// A server did not end when it was killed.
    #[error("{program} (process {pid}) is still there {} s after it was killed", .limit.as_secs())]
    NotStopped {
        /// The program.
        program: String,
        /// Its process.
        pid: u32,
        /// How long it was waited for.
        limit: Duration,
    },
    /// The operating system refused something.
    #[error("{doing} failed: {source}")]
    Io {
        /// What was tried.
        doing: String,
        /// The system's answer.
        source: io::Error,
    },
    /// Servers are up, but do not stand together.
    #[error("the managed Redis did not come together within {} s: {reason}", .limit.as_secs())]
    NotFormed {
        /// What was still missing.
        reason: String,
        /// How long it was waited for.
        limit: Duration,
    },
    /// There is no certificate for TLS.
    #[error("no certificate for the managed Redis could be made: {reason}")]
    Certificate {
        /// What happened instead.
        reason: String,
    },
    /// What was given as a Redis URL is none.
    #[error(
        "{url:?} is not a Redis URL ({reason}): write redis://HOST:6379/0, or \
         redis://:PASSWORD@HOST:6379/0; redis+sentinel://HOST,HOST/SERVICE and \
         redis+cluster://HOST,HOST for those"
    )]
    BadUrl {
        /// What was given, masked.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The server is of another topology than the URL says.
    #[error("{url} is {what}: write {instead}")]
    OtherTopology {
        /// The URL, masked.
        url: String,
        /// What it is.
        what: &'static str,
        /// The scheme that fits.
        instead: &'static str,
    },
    /// Nothing listens.
    #[error("nothing listens at {url} (connection refused): is Redis running there?")]
    ConnectionRefused {
        /// The URL, masked.
        url: String,
    },
    /// The host does not answer or is not known.
    #[error("{url} cannot be reached: {reason}; check the host name, the network and the firewall")]
    Unreachable {
        /// The URL, masked.
        url: String,
        /// What happened.
        reason: String,
    },
    /// A password is missing or wrong.
    #[error(
        "{url} refuses the login ({reason}): give user and password in the URL, as in \
         redis://USER:PASSWORD@HOST:6379/0"
    )]
    WrongPassword {
        /// The URL, masked.
        url: String,
        /// The server's words.
        reason: String,
    },
    /// Something listens that does not speak Redis' protocol.
    #[error("what listens at {url} is not Redis: {reason}")]
    NotRedis {
        /// The URL, masked.
        url: String,
        /// What it did instead.
        reason: String,
    },
    /// Redis answered a command with an error, or the connection broke.
    #[error("Redis failed at {doing}: {reason}")]
    Command {
        /// What was asked.
        doing: String,
        /// What it said.
        reason: String,
    },
    /// Redis gave no answer in time.
    #[error("Redis gave no answer to {doing} within {} ms", .limit.as_millis())]
    TimedOut {
        /// What was asked.
        doing: String,
        /// How long it was waited for.
        limit: Duration,
    },
    /// The keys of a run could not all be deleted in time.
    #[error(
        "deleted {deleted} keys of the run in {} s, but not all: the rest, {pattern}, ends with \
         its TTLs, or by hand",
        .limit.as_secs()
    )]
    KeysLeft {
        /// How many are gone.
        deleted: u64,
        /// The pattern of the run's keys.
        pattern: String,
        /// The time limit.
        limit: Duration,
    },
}

impl EnvironmentError {
    /// The system refused `doing`.
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        |source| Self::Io { doing, source }
    }

    /// Redis failed at `doing`.
    pub(crate) fn command(doing: &str, error: &redis::RedisError) -> Self {
        Self::Command {
            doing: doing.to_owned(),
            reason: error.to_string(),
        }
    }
}
