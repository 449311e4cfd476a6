//! What a report says of a simulation of a share of the users and keys.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Estimates of the whole from independent samples of its users and keys. The rest of the report is of
/// the first sample, its counts scaled to the whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SamplingResult {
    /// The share of the users and keys that each sample simulates.
    pub share: f64,
    /// How many users there are.
    pub users_total: u32,
    /// How many each sample simulates.
    pub users_simulated: u32,
    /// How many keys all users draw from.
    pub keys_total: u64,
    /// How many of them each sample simulates.
    pub keys_simulated: u64,
    /// How many samples.
    pub samples: u32,
    /// The estimates.
    pub figures: Vec<SampledFigure>,
    /// What a reader should know of the method in this run.
    pub caveats: Vec<String>,
}

/// One figure of the whole, estimated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SampledFigure {
    /// What it is: `hit ratio`, `customer hit ratio`, `origin queries`.
    pub name: String,
    /// `us`, `ratio`, `per_s` or `bytes`.
    pub unit: String,
    /// The estimate: the mean of the samples, corrected.
    pub mean: f64,
    /// The lower end of the interval that the truth is in with 95% confidence.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// The standard error of the samples' mean.
    pub standard_error: f64,
    /// What was added to the samples' mean for a known bias; the interval reaches from without it to
    /// with it.
    pub corrected_by: f64,
    /// What each sample found, scaled to the whole, uncorrected.
    pub values: Vec<f64>,
}
