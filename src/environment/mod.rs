//! What surrounds the engine: managed Redis processes, the mock database, service instances.
//!
//! Each part is brought up by the runner and taken down on every exit path.

pub mod cache_status;
pub mod calibration;
pub mod database;
pub mod delay;
pub mod error;
pub mod external;
pub mod instance;
pub mod keyspace;
pub mod managed_memcached;
pub mod managed_redis;
pub mod memcached_info;
pub mod modelled_redis;
pub mod process;
pub mod redis_info;
pub mod redis_monitor;
pub mod redis_topology;

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::engine::data_type::{DataTypeId, Key};
use crate::engine::layer::Version;
use crate::seed::Seed;
use crate::units::ByteSize;
use crate::workload::size::{ValueSize, ValueSizes};

/// The name under which a run forks its seed for the database.
pub const DATABASE_SEED: &str = "database";

/// A service time by its median and 99th percentile; drawn from the log-normal distribution that
/// has both (a usual shape of database latencies). Equal values make it constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServiceTime {
    /// Half of the queries are faster.
    pub median: Duration,
    /// One query of a hundred is slower.
    pub p99: Duration,
}

/// One table of the mock database; it serves one data type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableConfig {
    /// How long a read keeps a connection.
    pub read_time: ServiceTime,
    /// How long a write keeps a connection.
    pub write_time: ServiceTime,
    /// How large the rows' values are.
    pub value_size: ValueSize,
    /// Whether rows exist before they are written; else they are absent until then.
    pub prefilled: bool,
}

/// A cache of results inside the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueryCacheConfig {
    /// How many results it holds, of all tables together.
    pub entries: u64,
    /// How long it holds one; `None`: until its table is written.
    pub ttl: Option<Duration>,
    /// How long a hit keeps a connection.
    pub hit_time: ServiceTime,
}

/// The mock database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseConfig {
    /// The size of the connection pool; never exceeded.
    pub connections: u32,
    /// How long a query waits for a connection before it fails.
    pub acquire_timeout: Duration,
    /// A cache of results inside the database; `None`: it has none.
    pub query_cache: Option<QueryCacheConfig>,
    /// The tables, in the order of the policy table.
    pub tables: Vec<TableConfig>,
}

impl DatabaseConfig {
    /// The size of every row's value in a database with this `seed`.
    pub fn value_sizes(&self, seed: Seed) -> ValueSizes {
        ValueSizes::new(
            seed,
            self.tables.iter().map(|table| table.value_size.clone()),
        )
    }
}

/// Which keys Redis evicts when its memory is full (`maxmemory-policy`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EvictionPolicy {
    /// None: writes fail.
    Noeviction,
    /// The least recently used, by sampling (the ADR's choice).
    #[default]
    AllkeysLru,
    /// The least frequently used, by sampling.
    AllkeysLfu,
    /// Any.
    AllkeysRandom,
    /// The least recently used of those with a TTL.
    VolatileLru,
    /// The least frequently used of those with a TTL.
    VolatileLfu,
    /// Any of those with a TTL.
    VolatileRandom,
    /// Those that expire soonest.
    VolatileTtl,
}

/// The managed Redis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisConfig {
    /// The memory limit; `None` for no limit.
    pub maxmemory: Option<ByteSize>,
    /// What to evict at the limit.
    pub policy: EvictionPolicy,
}

/// The managed memcached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemcachedConfig {
    /// The memory for items, in whole MiB; the least recently used go when it is full.
    pub memory_mib: u32,
}

/// Told of every commit of the database, before its writer gets the answer.
pub trait CommitListener: Send + Sync + 'static {
    /// The row of `key` has `version` from `at` on.
    fn committed(&self, data_type: DataTypeId, key: &Key, version: Version, at: Timestamp);
}
