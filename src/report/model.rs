//! `report.json`: the one record of a run, from which every other file of the report is made.
//!
//! Versioned: a field is added freely, but none is renamed, removed or given another unit without
//! a new [`SCHEMA_VERSION`]. Units are in the names. A value that was not measured is `null`,
//! never a zero.

mod alternatives;
mod gates;
mod generator;
mod jobs;
mod kinds;
mod knee;
mod monitoring;
mod sampling;
mod stores;
mod target;
mod traffic;
mod warming;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::gates::Verdict;
use crate::measure::{PhaseKind, Staleness, Summary};
pub use alternatives::{MemcachedResult, QueryCacheResult, VariantResult};
pub use gates::{EndedEarly, GateResult, WindowsResult};
pub use generator::{GeneratorResult, GeneratorThread};
pub use jobs::JobResult;
pub use kinds::UserKindResult;
pub use knee::{KneeProbe, KneeResult, KneeVerdict};
pub use monitoring::{Alert, TtlDistribution, Ttls, WatchedAlert};
pub use sampling::{SampledFigure, SamplingResult};
pub use stores::{HeldLocally, StoreResult};
pub use target::TargetResult;
pub use traffic::{Offered, TraceResult, TraceSizesResult};
pub use warming::{WarmedDataType, WarmingResult};

/// The version of this file's shape.
pub const SCHEMA_VERSION: u32 = 1;

/// One execution of a scenario.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// [`SCHEMA_VERSION`] when it was written.
    pub schema_version: u32,
    /// What wrote it.
    pub tool: Tool,
    /// What was run.
    pub scenario: ScenarioInfo,
    /// The reproducer.
    pub seed: u64,
    /// `closed`, `open` or `direct`.
    pub driver: String,
    /// `real` or `virtual`.
    pub time: String,
    /// When the run started, RFC 3339 in UTC.
    pub started_at: String,
    /// Everything that happened in a simulation as one number; `null` in real time.
    #[serde(default)]
    pub event_log: Option<EventLogResult>,
    /// How long the judged run took, warm-up included, baseline and preparations excluded.
    pub duration_s: f64,
    /// Where it ran.
    pub environment: EnvironmentInfo,
    /// The service that was driven, if it was not ours; else `null`. Then there are no layers, no origin and
    /// no Redis, and nothing is known of staleness and coalescing.
    #[serde(default)]
    pub target: Option<TargetResult>,
    /// Whether the measurement can be trusted.
    pub validity: Validity,
    /// How the load generator itself fared; `null` in virtual time, where it cannot be too slow.
    #[serde(default)]
    pub generator: Option<GeneratorResult>,
    /// Estimates of the whole, if a share of the users and keys was simulated; else `null`.
    #[serde(default)]
    pub sampling: Option<SamplingResult>,
    /// All requests of the judged phases.
    pub requests: Requests,
    /// The phases, in order, warm-up included.
    pub phases: Vec<Phase>,
    /// The trace that was replayed; `null` if none was.
    #[serde(default)]
    pub trace: Option<TraceResult>,
    /// By data type.
    pub data_types: BTreeMap<String, DataTypeResult>,
    /// By kind of user, in the order of the plan; empty if there is only one.
    #[serde(default)]
    pub user_kinds: Vec<UserKindResult>,
    /// By layer that was present: local, remote, origin.
    pub layers: BTreeMap<String, LayerResult>,
    /// The database; `null` if a target was driven.
    #[serde(default)]
    pub origin: Option<OriginResult>,
    /// Coalescing and its failures; `null` if a target was driven.
    #[serde(default)]
    pub stampede: Option<Stampede>,
    /// What was loaded before users asked; `null` if the scenario says nothing of it.
    pub warming: Option<WarmingResult>,
    /// Redis; `null` if there was none.
    pub redis: Option<RedisResult>,
    /// memcached; `null` if there was none.
    #[serde(default)]
    pub memcached: Option<MemcachedResult>,
    /// The keepers of truth.
    pub oracles: BTreeMap<String, OracleResult>,
    /// Alerts that fired, with begin and end.
    pub alerts: Vec<Alert>,
    /// Every alert that was watched, fired or not.
    #[serde(default)]
    pub alerts_watched: Vec<WatchedAlert>,
    /// Faults injected.
    pub faults: Vec<Fault>,
    /// Every run of a job, by when it was due.
    #[serde(default)]
    pub jobs: Vec<JobResult>,
    /// The same traffic with caching off; `null` if it was left out.
    pub baseline: Option<Baseline>,
    /// What caching bought; `null` without a baseline.
    pub improvement: Option<Improvement>,
    /// Every target, as judged.
    pub gates: Vec<GateResult>,
    /// How a gate ended the run before its plan was done; `null` if none did.
    #[serde(default)]
    pub ended_early: Option<EndedEarly>,
    /// The verdict of the run as a whole.
    pub verdict: Verdict,
    /// What a search for the knee found; `null` without one. All else in the report is of its last probe
    /// at the knee, or at the lowest rate if that does not hold; only the verdict is the search's.
    #[serde(default)]
    pub knee: Option<KneeResult>,
    /// The alternatives that were run beside the main one, and itself; empty if there were none.
    #[serde(default)]
    pub variants: Vec<VariantResult>,
    /// How many seconds a row of `timeseries` spans: 1, and more in runs of more than half an hour. What
    /// is counted in a row is counted over so many seconds; the last row may be cut short by the end.
    #[serde(default = "one_second")]
    pub timeseries_interval_s: u32,
    /// One row for each interval of the judged run, warm-up included.
    pub timeseries: Vec<Second>,
}

/// Everything that happened in a simulation, as one number: two runs with the same did the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EventLogResult {
    /// Requests that ended, and things that happened in engines, over all passes and variants.
    pub events: u64,
    /// Of all of them in their order, 16 hexadecimal digits.
    pub hash: String,
}

fn one_second() -> u32 {
    1
}

/// The program.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Tool {
    /// `cachestorm`.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// The scenario.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ScenarioInfo {
    /// Its name.
    pub name: String,
    /// What it is about.
    pub description: String,
    /// The file it was read from.
    pub file: String,
    /// What the command line changed, as typed but for secrets: `--users 100`, `--set path=value`.
    pub overrides: Vec<String>,
}

/// Where the run took place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EnvironmentInfo {
    /// Operating system and architecture, as in `linux x86_64`.
    pub system: String,
    /// Processors that could be used.
    pub cpus: u32,
    /// Service instances.
    pub instances: u32,
    /// Users of the plan.
    pub users: u32,
    /// The Redis server's version; `null` without Redis.
    pub redis_version: Option<String>,
    /// `standalone`, `replicated`, `sentinel` or `cluster`; `null` without Redis.
    pub redis_topology: Option<String>,
    /// Whether the run started Redis itself.
    pub redis_managed: bool,
    /// The memcached server's version; `null` without memcached.
    #[serde(default)]
    pub memcached_version: Option<String>,
    /// Connections in the database's pool.
    pub origin_connections: u32,
}

/// Whether the measurement can be trusted, and what tells so.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Validity {
    /// False if a reason below says so.
    pub valid: bool,
    /// Why the run is invalid; empty if it is valid.
    pub reasons: Vec<String>,
    /// What a reader should know though the run is valid.
    pub warnings: Vec<String>,
    /// One of the reasons is that the generator could not do more: the system may well do.
    #[serde(default)]
    pub generator_limited: bool,
    /// The run was ended before its plan was done.
    pub interrupted: bool,
    /// Processor time of the generator's threads as a share of one core; `null` if unknown.
    pub generator_cpu_cores: Option<f64>,
    /// The same for the service instances' threads.
    pub instances_cpu_cores: Option<f64>,
    /// From the intended start of a request to its sending.
    pub slip_us: Summary,
    /// The most users that were live at once.
    pub users_live_max: u64,
    /// The most users that were waiting for an answer at once.
    pub users_in_flight_max: u64,
}

/// All requests of the judged phases.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Requests {
    /// How many were started.
    pub total: u64,
    /// How many failed.
    pub errors: u64,
    /// The failed ones by what went wrong.
    pub errors_by_kind: BTreeMap<String, u64>,
    /// How many were due but never started.
    pub dropped: u64,
    /// Per second of the judged phases.
    pub rate_per_s: f64,
    /// From the intended start, failed requests left out.
    pub response_time_us: Summary,
    /// From the sending, failed requests left out.
    pub service_time_us: Summary,
    /// By outcome; the sum is `total`.
    pub outcomes: BTreeMap<String, u64>,
}

impl Report {
    /// Whether requests arrived by a schedule.
    pub fn is_open(&self) -> bool {
        self.driver == "open"
    }
}

/// One phase.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Phase {
    /// Its name.
    pub name: String,
    /// What it was for.
    pub kind: PhaseKind,
    /// When it began, from the start of the run.
    pub start_s: f64,
    /// How long it lasted.
    pub duration_s: f64,
    /// Requests intended to start in it.
    pub requests: u64,
    /// Those that failed.
    pub errors: u64,
    /// Hits among the reads; `null` without reads.
    pub hit_ratio: Option<f64>,
    /// From the intended start.
    pub response_time_us: Summary,
    /// What was offered in it, if the driver was open.
    #[serde(default)]
    pub offered: Option<Offered>,
}

/// One data type over the judged phases.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DataTypeResult {
    /// All its requests.
    pub requests: u64,
    /// Reads among them.
    pub reads: u64,
    /// Reads that a cache layer answered, as a share of reads; `null` without reads.
    pub hit_ratio: Option<f64>,
    /// Reads by the layer that answered, as shares of reads: local, remote, origin.
    pub answered_by: BTreeMap<String, f64>,
    /// By operation and then by outcome.
    pub outcomes: BTreeMap<String, BTreeMap<String, u64>>,
    /// All its requests, from the intended start.
    pub response_time_us: Summary,
    /// Reads answered by a cache layer, from the intended start.
    pub hit_response_time_us: Summary,
    /// The same requests from the sending, by the layer that answered.
    pub service_time_by_layer_us: BTreeMap<String, Summary>,
    /// How old the wrong answers were, in **milliseconds**; only stale reads are in it.
    pub staleness_ms: Staleness,
}

/// One layer over the judged phases, as the engine saw it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LayerResult {
    /// How often it was asked.
    pub lookups: u64,
    /// How often it had the entry.
    pub found: u64,
    /// `found` as a share of `lookups`; `null` if it was never asked.
    pub hit_ratio: Option<f64>,
    /// How long it took to answer.
    pub service_time_us: Summary,
    /// How often it failed.
    pub failures: u64,
    /// Stale fills that it refused.
    pub fills_refused: u64,
    /// What the local layer held in the end; `null` of the others, and where a sample was simulated.
    #[serde(default)]
    pub held: Option<HeldLocally>,
}

/// The database over the judged phases.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OriginResult {
    /// Queries that ran.
    pub queries: u64,
    /// Per second.
    pub queries_per_s: f64,
    /// Per request of the users; what the reduction is computed from.
    pub queries_per_request: f64,
    /// By data type.
    pub queries_by_data_type: BTreeMap<String, u64>,
    /// The most connections in use at once.
    pub peak_connections: u32,
    /// The pool's size.
    pub connections: u32,
    /// How long queries waited for a connection.
    pub wait_time_us: Summary,
    /// How long they then took.
    pub service_time_us: Summary,
    /// Queries that got no connection in time.
    pub timeouts: u64,
    /// Its own cache of results; `null` without one.
    #[serde(default)]
    pub query_cache: Option<QueryCacheResult>,
}

/// Coalescing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Stampede {
    /// Times of overlapping loads of one version of one key, as the database saw them.
    pub flights: u64,
    /// Loads in them.
    pub origin_loads: u64,
    /// The most loads in one.
    pub origin_loads_per_flight_max: u64,
    /// Requests that waited for another's load instead of loading.
    pub followers: u64,
}

/// Redis over the judged phases.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RedisResult {
    /// `used_memory` at the end.
    pub used_memory_bytes: u64,
    /// The largest `used_memory` seen.
    pub used_memory_bytes_max: u64,
    /// Its limit; `null` for none.
    pub maxmemory_bytes: Option<u64>,
    /// Keys of this run at the end.
    pub keys: u64,
    /// The TTLs that keys had left at the end; `null` if they were not looked at.
    #[serde(default)]
    pub ttl_distribution: Option<TtlDistribution>,
    /// Evicted keys.
    pub evictions: u64,
    /// The most in one second.
    pub evictions_per_s_max: f64,
    /// Expired keys.
    pub expired: u64,
    /// `keyspace_hits`.
    pub keyspace_hits: u64,
    /// `keyspace_misses`.
    pub keyspace_misses: u64,
    /// Commands processed.
    pub commands: u64,
    /// The most clients connected.
    pub connected_clients_max: u64,
    /// Processor time as a share of one core.
    pub cpu_cores: f64,
    /// The stores beside it, by name; what stands above is without them.
    #[serde(default)]
    pub stores: BTreeMap<String, StoreResult>,
}

/// What one keeper of truth found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OracleResult {
    /// How many times it looked.
    pub checked: u64,
    /// How many times it found something wrong.
    pub violations: u64,
    /// The worst case in words; empty if there was none.
    pub worst: String,
}

/// A fault that was injected.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Fault {
    /// What.
    pub name: String,
    /// When, from the start of the run.
    pub at_s: f64,
}

/// The same traffic with caching off.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Baseline {
    /// How long it was measured.
    pub duration_s: f64,
    /// All its requests.
    pub requests: u64,
    /// Those that failed.
    pub errors: u64,
    /// Per second.
    pub rate_per_s: f64,
    /// From the intended start.
    pub response_time_us: Summary,
    /// By data type, from the intended start.
    pub response_time_by_data_type_us: BTreeMap<String, Summary>,
    /// Queries that ran.
    pub origin_queries: u64,
    /// Per second.
    pub origin_queries_per_s: f64,
    /// Per request.
    pub origin_queries_per_request: f64,
    /// The most connections in use at once.
    pub origin_peak_connections: u32,
}

/// What caching bought. A negative value is a loss.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Improvement {
    /// 1 - mean response time after / before.
    pub response_time_reduction: f64,
    /// 1 - p95 response time after / before.
    pub response_time_p95_reduction: f64,
    /// 1 - origin queries per request after / before.
    pub origin_query_reduction: f64,
}

/// One second of the judged run, or as many as `timeseries_interval_s` says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Second {
    /// When it begins, from the start of the run.
    pub t_s: u32,
    /// The phase in which it begins.
    pub phase: String,
    /// Users that were live at its end.
    pub users_live: u64,
    /// Requests that ended in it.
    pub requests: u64,
    /// Those that failed.
    pub errors: u64,
    /// Median response time; `null` without requests.
    pub response_time_us_p50: Option<f64>,
    /// 95th percentile.
    pub response_time_us_p95: Option<f64>,
    /// 99th percentile.
    pub response_time_us_p99: Option<f64>,
    /// Mean service time: from sending to the end.
    #[serde(default)]
    pub service_time_us_mean: Option<f64>,
    /// Reads by data type and then by answer: `local`, `remote`, `origin` or `error`.
    pub answers: BTreeMap<String, BTreeMap<String, u64>>,
    /// Queries that ran at the database.
    pub origin_queries: u64,
    /// Connections in use at its end.
    pub origin_connections: u32,
    /// Redis' memory at its end; `null` without Redis.
    pub redis_used_memory_bytes: Option<u64>,
    /// Redis' keys at its end.
    pub redis_keys: Option<u64>,
    /// Evictions in it.
    pub redis_evictions: Option<u64>,
}
