//! The traffic of an open loop: what was offered, and from which trace.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What was offered in a phase of an open loop, and what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Offered {
    /// Requests that were due.
    pub due: u64,
    /// As many per second.
    pub rate_per_s: f64,
    /// Those that were sent before the phase ended, per second.
    pub sent_per_s: f64,
    /// Those that were never sent.
    pub dropped: u64,
    /// What one request of 100 waited at least, because too many were under way.
    pub waited_us_p99: f64,
    /// Whether the offered rate was sustained: nearly all that was due was sent before the phase ended.
    pub sustained: bool,
}

/// A trace that was replayed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TraceResult {
    /// The file's name.
    pub file: String,
    /// The format in which it was read.
    pub format: String,
    /// How fast it was replayed: `recorded`, `10x`, `500/s`, `one-by-one` or `flat-out`.
    pub pace: String,
    /// Requests that were due.
    pub requests: u64,
    /// Whether the trace ended before the run did; otherwise the rest of it was not replayed.
    pub complete: bool,
    /// Lines and records that gave no request, by reason.
    pub skipped: BTreeMap<String, u64>,
}
