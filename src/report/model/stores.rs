//! What a report says of a store beside the remote layer's own.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::TtlDistribution;

/// What the local layers of all instances held when the last user had gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HeldLocally {
    /// Entries, expired ones that nobody asked for included.
    pub entries: u64,
    /// Bytes of keys, values and bookkeeping.
    pub bytes: u64,
    /// Entries given up for want of room, since the instances started.
    pub evictions: u64,
}

/// A Redis of their own for some data types, over the judged phases.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StoreResult {
    /// Its version.
    pub version: String,
    /// Whether the run started it.
    pub managed: bool,
    /// Whose entries stand in it.
    pub data_types: Vec<String>,
    /// `used_memory` at the end.
    pub used_memory_bytes: u64,
    /// The largest `used_memory` seen.
    pub used_memory_bytes_max: u64,
    /// Its limit; `null` for none.
    pub maxmemory_bytes: Option<u64>,
    /// What it does at its limit, as Redis spells it.
    pub maxmemory_policy: String,
    /// Keys of this run at the end.
    pub keys: u64,
    /// The TTLs that keys had left at the end; `null` if they were not looked at.
    pub ttl_distribution: Option<TtlDistribution>,
    /// Evicted keys.
    pub evictions: u64,
    /// The most in one second.
    pub evictions_per_s_max: f64,
    /// Expired keys.
    pub expired: u64,
    /// Commands processed.
    pub commands: u64,
    /// Processor time as a share of one core.
    pub cpu_cores: f64,
}
