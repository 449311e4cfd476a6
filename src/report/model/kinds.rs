//! Requests by kind of user: a part of `report.json`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::measure::Summary;

/// One kind of users over the judged phases.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UserKindResult {
    /// Its name.
    pub name: String,
    /// Users of this kind in the plan.
    pub users: u32,
    /// All their requests.
    pub requests: u64,
    /// Those that failed.
    pub errors: u64,
    /// Per second of the judged phases.
    pub rate_per_s: f64,
    /// Hits among their reads; `null` without reads.
    pub hit_ratio: Option<f64>,
    /// From the intended start, failed requests left out.
    pub response_time_us: Summary,
    /// From the sending, failed requests left out.
    pub service_time_us: Summary,
}
