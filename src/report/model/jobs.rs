//! What operators did by the clock: a part of `report.json`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One run of a job. Its operations are in no other count of requests or response times.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct JobResult {
    /// The job's name.
    pub name: String,
    /// What it does: `put product`, `invalidate_all quote`, `deploy rolling`.
    pub action: String,
    /// When it was due, from the start of the run.
    pub at_s: f64,
    /// Operations that ended, be it badly; of a deployment, instances that began anew.
    pub operations: u64,
    /// Those that failed.
    pub failed: u64,
    /// Operations that the run's end left undone.
    pub left_undone: u64,
    /// From its beginning to the end of its last operation.
    pub took_s: f64,
}
