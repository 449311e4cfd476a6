//! What a report says of alternatives: memcached instead of Redis, a cache inside the database, and
//! the variants of a scenario side by side.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{EndedEarly, GateResult, Improvement, OracleResult, Stampede, WarmingResult};
use crate::gates::Verdict;
use crate::measure::{Staleness, Summary};

/// memcached over the judged phases.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MemcachedResult {
    /// Bytes that its items took at the end.
    pub used_memory_bytes: u64,
    /// The most bytes that they took.
    pub used_memory_bytes_max: u64,
    /// Its memory for items.
    pub limit_bytes: u64,
    /// Items at the end.
    pub items: u64,
    /// Items dropped for want of room.
    pub evictions: u64,
    /// The most in one second.
    pub evictions_per_s_max: f64,
    /// `cmd_get`: looks, those made to compare included.
    pub gets: u64,
    /// `get_hits`.
    pub get_hits: u64,
    /// `get_misses`.
    pub get_misses: u64,
    /// `cmd_set`.
    pub sets: u64,
    /// `cas_badval`: stores that another was faster than.
    pub cas_lost: u64,
    /// The most connections.
    pub connections_max: u64,
    /// Processor time as a share of one core.
    pub cpu_cores: f64,
}

/// The database's own cache of results over the judged phases. Its hits are no queries.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct QueryCacheResult {
    /// Loads that it answered.
    pub hits: u64,
    /// Loads that it did not.
    pub misses: u64,
    /// `hits` as a share of both; `null` without either.
    pub hit_ratio: Option<f64>,
    /// Results thrown away because their table was written.
    pub invalidated: u64,
    /// Results thrown away for want of room.
    pub evictions: u64,
    /// Results at the end.
    pub entries: u64,
}

/// One variant of the scenario, over its judged phases.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct VariantResult {
    /// Its name.
    pub name: String,
    /// Whether it is the main one, which the rest of the report is about and which decides the
    /// verdict.
    pub main: bool,
    /// What makes it another, as `path=value`.
    pub changes: Vec<String>,
    /// Why it was not run; `null` if it was. Then nothing below was measured.
    pub not_run: Option<String>,
    /// The remote layer's store with its version: `Redis 7.0.15`; `null` without one.
    pub remote: Option<String>,
    /// All requests.
    pub requests: u64,
    /// Those that failed.
    pub errors: u64,
    /// Requests per second.
    pub rate_per_s: f64,
    /// From the intended start, failed requests left out.
    pub response_time_us: Summary,
    /// Hits among the reads; `null` without reads.
    pub hit_ratio: Option<f64>,
    /// The same by data type.
    pub hit_ratio_by_data_type: BTreeMap<String, Option<f64>>,
    /// Reads by the layer that answered, as shares of reads.
    pub answered_by: BTreeMap<String, f64>,
    /// How old the wrong answers were, in **milliseconds**; only stale reads are in it.
    pub staleness_ms: Staleness,
    /// Queries that the database ran.
    pub origin_queries: u64,
    /// Per second.
    pub origin_queries_per_s: f64,
    /// Per request.
    pub origin_queries_per_request: f64,
    /// The most database connections in use at once.
    pub origin_peak_connections: u32,
    /// The most loads of one version of one key at once.
    pub origin_loads_per_flight_max: u64,
    /// Coalescing.
    pub stampede: Stampede,
    /// What was loaded before users asked; `null` if the scenario says nothing of it.
    #[serde(default)]
    pub warming: Option<WarmingResult>,
    /// The database's own cache of results; `null` without one.
    pub query_cache: Option<QueryCacheResult>,
    /// The most bytes that the remote layer's store took; `null` without one.
    pub remote_memory_bytes_max: Option<u64>,
    /// What the remote layer was asked to do though it cannot, and how often.
    pub unsupported: BTreeMap<String, u64>,
    /// What it buys against the report's baseline; `null` without one.
    pub improvement: Option<Improvement>,
    /// The keepers of truth.
    pub oracles: BTreeMap<String, OracleResult>,
    /// Every target, as judged of this variant.
    pub gates: Vec<GateResult>,
    /// How a target ended it before its plan was done; `null` if none did.
    #[serde(default)]
    pub ended_early: Option<EndedEarly>,
    /// What those come to.
    pub verdict: Verdict,
    /// Why its measurement cannot be trusted; empty if it can.
    pub invalid: Vec<String>,
    /// What a reader should know though it can.
    pub warnings: Vec<String>,
}
