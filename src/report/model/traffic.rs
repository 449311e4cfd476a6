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
    /// The sizes that it says of values, if these were used; `null` if values had the data type's.
    #[serde(default)]
    pub value_sizes: Option<TraceSizesResult>,
}

/// The sizes that a trace says of values, in the part of it that fits into the run. Each key's value had
/// the largest that is said of it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TraceSizesResult {
    /// Keys.
    pub keys: u64,
    /// Those of which it says no size; their values had the data type's.
    pub keys_without_size: u64,
    /// Those of which it says different sizes.
    pub keys_changing: u64,
    /// Those whose values would have been larger than 64 MiB; they had as much.
    pub keys_cut: u64,
    /// The mean of the sizes used, over the keys of which it says one.
    pub bytes_mean: f64,
    /// What that mean would be if each key's value had the size that is said of it first.
    pub bytes_mean_first: f64,
}
