//! The knee: the highest rate at which every gate holds, and the probes by which it was searched.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a search for the knee found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct KneeResult {
    /// The knee: the highest rate at which every gate holds, and below which no rate was seen where one
    /// does not; `null` if no rate holds. It is that of the busiest moment of the measured phases.
    pub rate_per_s: Option<f64>,
    /// The knee is not below this: the same rate, unless the search was stopped before it was decided.
    pub lower_per_s: Option<f64>,
    /// The knee is below this, the lowest rate that does not hold; `null` if the system has shown none:
    /// then the knee may be anywhere above.
    pub upper_per_s: Option<f64>,
    /// What does not hold above the knee: `gate: NAME`, `not sustained`, `generator` (the generator's
    /// limit, not the system's), `no evidence: NAME`, `bound` (the highest rate of the range holds) or
    /// `stopped`.
    pub limited_by: String,
    /// The lowest rate of the range.
    pub from_per_s: f64,
    /// The highest.
    pub to_per_s: f64,
    /// By what share the upper end was to be above the lower one at the most.
    pub precision: f64,
    /// How often a rate was to be probed.
    pub repeats: u32,
    /// How long each probe drove, warm-up included.
    pub probe_s: f64,
    /// What a reader should know of the search.
    pub notes: Vec<String>,
    /// Every probe, in the order in which they were made.
    pub probes: Vec<KneeProbe>,
}

/// One look at a rate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct KneeProbe {
    /// The highest rate of its measured phases.
    pub rate_per_s: f64,
    /// The how-manieth of this rate, from 1.
    pub repeat: u32,
    /// The how-manieth of all, from 1.
    pub order: u32,
    /// What it showed.
    pub verdict: KneeVerdict,
    /// 95th percentile of the response time over the measured phases; `null` without requests.
    pub p95_us: Option<f64>,
    /// 99th percentile.
    pub p99_us: Option<f64>,
    /// Whether the offered rate was sustained in all measured phases.
    pub sustained: bool,
    /// The gates that failed, by name.
    pub failed_gates: Vec<String>,
    /// Why it shows nothing, if it does not: the gates without evidence, or what makes it invalid; may be
    /// empty.
    pub note: String,
}

/// What a probe showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum KneeVerdict {
    /// Every gate passed, and the offered rate was sustained.
    Holds,
    /// A gate failed, or the offered rate was not sustained.
    Fails,
    /// A gate had no evidence.
    Inconclusive,
    /// The generator was the limit: nothing is known of the system.
    Invalid,
}
