//! What a report says of the load generator itself.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::measure::Summary;

/// How the load generator fared in the judged phases.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GeneratorResult {
    /// Its threads, the busiest first; empty if the system does not tell.
    pub threads: Vec<GeneratorThread>,
    /// How late its event loops were, held against the clock every 10 ms; of no tick if nobody probed.
    pub loop_delay_us: Summary,
    /// The most file descriptors that this process had open, sockets included; `null` if unknown.
    pub descriptors_max: Option<u64>,
    /// How many it may have; `null` for no limit.
    pub descriptors_limit: Option<u64>,
    /// What the limit was before the run raised it; `null` if it was enough.
    pub descriptors_raised_from: Option<u64>,
    /// The most TCP connections of the system that were over but kept their ports; `null` if unknown.
    pub time_wait_max: Option<u64>,
    /// Requests that failed because no file descriptor was left.
    pub requests_without_descriptor: u64,
    /// Requests that failed because no local port was left.
    pub requests_without_port: u64,
}

/// One thread of the load generator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GeneratorThread {
    /// Its name, with a number where several have the same.
    pub name: String,
    /// Processor time as a share of one core over the judged phases.
    pub cpu_cores: f64,
    /// The same in its worst second.
    pub cpu_cores_worst: f64,
    /// When that second began, from the start of the run.
    pub worst_at_s: f64,
}
