//! What a modelled Redis says of itself, in the form of a real one's INFO.
//!
//! Called by the model, so that whoever reads INFO needs not know which it is.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Keyspace, RedisInfo};
use crate::clock::Timestamp;
use crate::environment::RedisConfig;
use crate::environment::managed_redis::policy_name;
use crate::units::ByteSize;

/// The figures of a model.
#[derive(Clone, Debug)]
pub(in crate::environment) struct Modelled {
    pub(in crate::environment) read_at: Timestamp,
    /// The version that is modelled.
    pub(in crate::environment) version: &'static str,
    /// The limits of all servers together.
    pub(in crate::environment) redis: RedisConfig,
    pub(in crate::environment) clients: u64,
    pub(in crate::environment) used_memory: ByteSize,
    pub(in crate::environment) keyspace: Keyspace,
    pub(in crate::environment) evicted: u64,
    pub(in crate::environment) expired: u64,
    pub(in crate::environment) hits: u64,
    pub(in crate::environment) misses: u64,
    pub(in crate::environment) used_cpu: Duration,
    /// How often each command was called.
    pub(in crate::environment) calls: BTreeMap<String, u64>,
}

impl RedisInfo {
    /// What INFO would say.
    pub(in crate::environment) fn modelled(told: Modelled) -> Self {
        Self {
            read_at: told.read_at,
            version: told.version.to_owned(),
            // Counts go on over every life of its servers.
            run_id: "modelled".to_owned(),
            process_id: None,
            role: "master".to_owned(),
            loading: false,
            used_memory: told.used_memory,
            maxmemory: told.redis.maxmemory,
            maxmemory_policy: policy_name(told.redis.policy).to_owned(),
            connected_clients: told.clients,
            evicted_keys: told.evicted,
            expired_keys: told.expired,
            keyspace_hits: told.hits,
            keyspace_misses: told.misses,
            total_commands_processed: told.calls.values().sum(),
            used_cpu: told.used_cpu,
            keyspace_by_db: BTreeMap::from([(0, told.keyspace)]),
            calls_by_command: told.calls,
        }
    }
}
