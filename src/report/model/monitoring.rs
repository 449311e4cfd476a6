//! What a report says of what was watched: alerts, and the TTLs that keys had left.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An alert that fired.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Alert {
    /// Its name.
    pub name: String,
    /// When its condition began, from the start of the run.
    pub start_s: f64,
    /// When it ended; `null` if it lasted to the end.
    pub end_s: Option<f64>,
    /// When its condition had held for long enough; `null` in reports that did not say.
    #[serde(default)]
    pub fired_s: Option<f64>,
    /// Where it comes from: a section of the ADR.
    #[serde(default)]
    pub source: String,
    /// The condition as written.
    #[serde(default)]
    pub check: String,
    /// What was farthest beyond the condition's target, for a person: `71.2%`.
    #[serde(default)]
    pub worst: String,
    /// The same in the unit of `unit`; `null` in reports that did not say.
    #[serde(default)]
    pub worst_value: Option<f64>,
    /// `us`, `ratio`, `per_s`, `count` or `bytes`.
    #[serde(default)]
    pub unit: String,
}

/// An alert that was watched.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WatchedAlert {
    /// Its name.
    pub name: String,
    /// Where it comes from: a section of the ADR.
    pub source: String,
    /// The condition as written.
    pub check: String,
    /// How long the condition must hold before it fires.
    pub for_s: f64,
    /// Over how long it looks back.
    pub window_s: f64,
    /// How often it fired; the first 100 firings are in `alerts`.
    pub fired: u64,
    /// How often somebody looked, once a second.
    pub looks: u64,
    /// At how many looks there was no evidence, so that it could not fire.
    pub blind_looks: u64,
}

/// The TTLs that keys of this run had left in Redis when the last user had gone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TtlDistribution {
    /// Keys that were looked at.
    pub looked_at: u64,
    /// Whether these are all; if not, they are a sample.
    pub complete: bool,
    /// By data type; `bookkeeping` are keys of the engine's own: locks, generations, queues.
    pub data_types: BTreeMap<String, Ttls>,
}

/// The TTLs of one data type's keys.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Ttls {
    /// Keys that were looked at.
    pub keys: u64,
    /// Those without a TTL: they stay until they are evicted or deleted.
    pub without_ttl: u64,
    /// The shortest; this and the others are `null` if no key has a TTL.
    pub min_s: Option<f64>,
    /// A tenth is not longer.
    pub p10_s: Option<f64>,
    /// Half are not longer.
    pub p50_s: Option<f64>,
    /// Nine of ten are not longer.
    pub p90_s: Option<f64>,
    /// The longest.
    pub max_s: Option<f64>,
}
