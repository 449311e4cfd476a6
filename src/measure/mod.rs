//! What was measured: samples, histograms, series over time, oracles, processor time.
//!
//! One [`Sample`] per request, from every driver alike, is the only thing between the drivers and
//! the reports. Drivers hand samples to a [`sink::SampleSink`]; the runner asks the
//! [`recorder::Recorder`] for what came of them. Nothing in here starts, waits for or prints
//! anything.

pub mod cpu;
pub mod descriptors;
pub mod durability;
pub mod engine_observer;
pub mod error_bar;
pub mod event_log;
pub mod histogram;
pub mod hlog;
pub mod loop_delay;
pub mod measurements;
pub mod oracle;
pub mod query;
pub mod recorder;
pub mod sampling;
mod schedule;
pub mod series;
mod sharded;
pub mod sink;
pub mod starts;
pub mod validity;
pub mod warming;
pub mod width;
pub mod window;

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::engine::data_type::{DataTypeId, Key};
use crate::engine::layer::{Layer, Operation, Outcome, Version};
use crate::workload::UserKindId;
pub use schedule::{Schedule, ScheduledPhase};

/// A phase's place in the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PhaseId(pub u8);

/// What a phase is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PhaseKind {
    /// Users arrive and caches fill; counted apart, judged by no gate unless it is named.
    WarmUp,
    /// What gates judge.
    Measure,
}

/// One request, from its intended start to its end.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The phase in which it was intended to start.
    pub phase: PhaseId,
    /// Of which kind the user is who asked.
    pub user_kind: UserKindId,
    /// The data type asked for.
    pub data_type: DataTypeId,
    /// What was asked.
    pub operation: Operation,
    /// How it ended.
    pub outcome: Outcome,
    /// The layer that answered; [`Layer::Origin`] for writes and for errors.
    pub layer: Layer,
    /// When it should have started.
    pub intended_start: Timestamp,
    /// How long it had to wait for others to end, because as many were under way as may be at once.
    /// The rest of the time until it was sent is slip: the generator was late.
    pub waited: Duration,
    /// When it was sent.
    pub sent: Timestamp,
    /// When its last byte was read, or when it failed.
    pub finished: Timestamp,
    /// For a read that got a value (or a known absence): its key and version, for the oracles.
    pub read: Option<(Key, Version)>,
    /// For an error: what went wrong, in a few words that group well ("timeout", "503 origin …").
    pub error: Option<String>,
}

/// A distribution in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Summary {
    /// How many values; with 0 the others mean nothing.
    pub count: u64,
    /// The mean.
    pub mean: f64,
    /// Half of the values are not above.
    pub p50: f64,
    /// The 90th percentile.
    pub p90: f64,
    /// The 95th percentile.
    pub p95: f64,
    /// The 99th percentile.
    pub p99: f64,
    /// The 99.9th percentile.
    pub p999: f64,
    /// The largest.
    pub max: f64,
}

/// Reads that gave a value which the origin had already replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Staleness {
    /// Reads that the oracle could check.
    pub checked: u64,
    /// Reads that were stale.
    pub stale: u64,
    /// The median age past replacement of the stale ones.
    pub p50: f64,
    /// The 99th percentile.
    pub p99: f64,
    /// The oldest.
    pub max: f64,
}
