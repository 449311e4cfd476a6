//! What was loaded before users asked, and how soon the cache was warm: a part of `report.json`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Warming, and the time to the target hit ratio. With `at_start` false and no period nothing was
/// warmed, and the times are those of a cold start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WarmingResult {
    /// Whether each instance warmed when it started.
    pub at_start: bool,
    /// Whether it did so before it took users.
    pub before_traffic: bool,
    /// How often again, in seconds; `null`: never.
    pub every_s: Option<f64>,
    /// How many keys at once, over all instances.
    pub concurrency: u32,
    /// Rounds that ended, over all instances and the whole run.
    pub rounds: u64,
    /// Those that left keys out because their time was up.
    pub rounds_cut: u64,
    /// How long all rounds before the first user took, one instance after another.
    pub before_traffic_s: f64,
    /// How long the longest round took, waiting for its turn included.
    pub round_s_max: f64,
    /// The hit ratio that is wanted.
    pub target_hit_ratio: f64,
    /// Over how many seconds hit ratios are taken here.
    pub window_s: u32,
    /// The hit ratio of all reads in the first window; `null` with too few reads.
    pub first_hit_ratio: Option<f64>,
    /// Seconds from the first user until the hit ratio of all reads first reached the target;
    /// `null` if it never did.
    pub time_to_target_s: Option<u32>,
    /// By data type: those that were warmed or read.
    pub data_types: BTreeMap<String, WarmedDataType>,
}

/// Warming of one data type.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WarmedDataType {
    /// Keys to be warmed in a round.
    pub keys: u64,
    /// Keys that were nowhere and were loaded, over all rounds.
    pub loaded: u64,
    /// Keys that would have ended before the next round and were loaded anew.
    pub renewed: u64,
    /// Keys that were there.
    pub found: u64,
    /// Keys that could not be loaded.
    pub failed: u64,
    /// Keys that a round left out because its time was up.
    pub skipped: u64,
    /// The hit ratio of its reads in the first window; `null` with too few reads.
    pub first_hit_ratio: Option<f64>,
    /// As of the whole, of its reads alone.
    pub time_to_target_s: Option<u32>,
}
