//! What a report says of the targets.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::gates::Verdict;

/// One target, as judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GateResult {
    /// What a person calls it.
    pub name: String,
    /// Where it comes from: a section of the ADR.
    pub source: String,
    /// The check as written.
    pub check: String,
    /// The phase that it looks at; `null` for all that measure.
    #[serde(default)]
    pub phase: Option<String>,
    /// What windows showed, if every window must hold; else `null`.
    #[serde(default)]
    pub windows: Option<WindowsResult>,
    /// Whether it ends the run when it is lost.
    #[serde(default)]
    pub abort: bool,
    /// What is wanted, for a person: `< 1 s`.
    pub target: String,
    /// What was observed, for a person: `38 ms`; `–` without samples. Of windows, the worst one.
    pub observed: String,
    /// What was observed, in the unit of `unit`; `null` without samples.
    pub observed_value: Option<f64>,
    /// What is wanted, in the unit of `unit`.
    pub target_value: f64,
    /// `us`, `ratio`, `per_s`, `count` or `bytes`.
    pub unit: String,
    /// How many samples the observation rests on.
    pub samples: u64,
    /// What became of it.
    pub verdict: Verdict,
    /// Why, if it is not self-evident; may be empty.
    pub note: String,
}

/// What windows showed of a target. They begin a second apart; all times are from the start of the run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WindowsResult {
    /// How long each window was.
    pub length_s: u32,
    /// How many there were.
    pub count: u64,
    /// How many of them lost the target.
    pub lost: u64,
    /// How many had too few samples for it.
    pub without_evidence: u64,
    /// When the worst began; `null` if none had evidence.
    pub worst_from_s: Option<u32>,
    /// When the worst ended.
    pub worst_to_s: Option<u32>,
    /// From when to when windows were lost one after another, each as begin and end; the first hundred.
    pub losses_s: Vec<[u32; 2]>,
}

/// The end of a run by targets that were lost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EndedEarly {
    /// When, from the start of the run.
    pub at_s: f64,
    /// When it should have ended.
    pub planned_s: f64,
    /// The names of the targets.
    pub gates: Vec<String>,
}
