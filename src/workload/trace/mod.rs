//! Recorded traffic: reads the traces that others publish or that a server of one's own wrote, says what
//! is in them, and writes them again.
//!
//! Called by the drivers for replay and by `cachestorm trace`. Everything streams: a trace may be tens
//! of gigabytes, and what is kept of it does not grow with its length (each file says its bound).
//! Formats, spreading and statistics are pure over what they read from; files are opened in `file.rs`
//! alone. Never reads a clock, never decides how fast a trace is replayed.
//!
//! # Keys
//! A key is 64 bits: the FNV-1a hash of the key's text, its bits mixed, the same in every run, or the
//! number itself where the format has numbers. Two of n keys share a number with odds of about n²/2⁶⁵:
//! one in 37 million for a million keys, 1 in 37 for a thousand million.
//!
//! # Times
//! Most formats know whole seconds. The requests of one second are spread evenly over it in their order
//! (`spread.rs`), so that paced replay does not come in bursts. Times that go backwards are raised to
//! the latest before them, and counted.

mod access_log;
mod cachelib;
pub mod convert;
mod detect;
mod error;
mod fields;
mod file;
mod key;
mod lines;
mod oracle_general;
mod reader;
pub(crate) mod redis_commands;
pub(crate) mod redis_monitor;
pub mod sizes;
mod spread;
pub mod stats;
mod twitter;
mod zipf_fit;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::error::{Place, TraceError};
pub(crate) use self::fields::NoRequest;
pub use self::file::{OutputFile, open, open_with};
pub use self::key::{KeyId, key_id};
pub use self::reader::{Skipped, TraceReader};
use crate::engine::layer::Operation;

/// One request of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceRecord {
    /// When, since the trace's first record.
    pub at: Duration,
    /// A stable hash of the key's text, or the id itself where the format has numbers.
    pub key: u64,
    /// Get, Put or Invalidate.
    pub operation: Operation,
    /// The value's size in bytes; 0 where the trace does not say.
    pub value_size: u32,
    /// How long a written value may live, where the trace says so.
    pub ttl: Option<Duration>,
    /// Who asked: a number of the trace's, or a hash of what it says; 0 where it does not say.
    pub client: u64,
}

/// How a trace is written.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum TraceFormat {
    /// Seven columns without a header: time, key, key size, value size, client, operation, TTL. The
    /// Twitter cache traces, and what `cachestorm trace convert` and `capture` write.
    Twitter,
    /// CacheLib's key-value traces: CSV whose header names `key`, `op`, `size` and more.
    Cachelib,
    /// libCacheSim's oracleGeneral: binary records of 24 bytes.
    OracleGeneral,
    /// A web server's access log, in common or combined log format.
    AccessLog,
    /// The output of Redis' MONITOR.
    RedisMonitor,
}

impl TraceFormat {
    /// Every format.
    pub const ALL: [Self; 5] = [
        Self::Twitter,
        Self::Cachelib,
        Self::OracleGeneral,
        Self::AccessLog,
        Self::RedisMonitor,
    ];

    /// The format's word on the command line, in scenarios and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Twitter => "twitter",
            Self::Cachelib => "cachelib",
            Self::OracleGeneral => "oracle-general",
            Self::AccessLog => "access-log",
            Self::RedisMonitor => "redis-monitor",
        }
    }

    /// All words, for messages.
    pub fn names() -> String {
        Self::ALL.map(Self::name).join(", ")
    }
}

impl fmt::Display for TraceFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A word that names no format of traces.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is no format of traces; there are {}", TraceFormat::names())]
pub struct NoSuchFormat {
    found: String,
}

impl FromStr for TraceFormat {
    type Err = NoSuchFormat;

    fn from_str(word: &str) -> Result<Self, NoSuchFormat> {
        let word = word.trim();
        let mut formats = Self::ALL.into_iter();
        formats
            .find(|format| format.name() == word)
            .ok_or_else(|| NoSuchFormat {
                found: word.to_owned(),
            })
    }
}

/// What is to be done about lines that cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Malformed {
    /// The first ends the reading, with an error.
    #[default]
    Refuse,
    /// They are left out and counted.
    Skip,
}

/// How exact a trace's times are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TimeResolution {
    /// It has none: every record is at zero, and only its place in the order is known.
    Absent,
    /// Whole seconds; the requests of one are spread evenly over it.
    Seconds,
    /// Finer than a second; taken as they are.
    Finer,
}

#[cfg(test)]
mod tests;
