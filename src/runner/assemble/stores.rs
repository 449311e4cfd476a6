//! How the Redis of a run fared, and beside it a store aside.

use super::ttls;
use crate::environment::redis_info::RedisInfo;
use crate::report::model::{RedisResult, StoreResult};
use crate::runner::Passes;
use crate::scenario::plan::Plan;

pub(super) fn redis(plan: &Plan, passes: &Passes) -> Option<RedisResult> {
    let pass = &passes.after;
    let looks = pass.observed.looks.judged.redis.as_ref()?;
    let last = &looks.last.info;
    let activity = last.since(&looks.first.info);
    Some(RedisResult {
        used_memory_bytes: last.used_memory.0,
        used_memory_bytes_max: looks.used_bytes_max,
        maxmemory_bytes: limit(last),
        keys: pass.observed.redis_keys.unwrap_or(0),
        ttl_distribution: ttls::distribution(pass, pass.ttls.as_ref()),
        evictions: activity.evicted_keys,
        evictions_per_s_max: pass.evictions_per_s_max().unwrap_or(0.0),
        expired: activity.expired_keys,
        keyspace_hits: activity.keyspace_hits,
        keyspace_misses: activity.keyspace_misses,
        commands: activity.commands,
        connected_clients_max: looks.clients_max,
        cpu_cores: activity.cpu_cores().unwrap_or(0.0),
        stores: aside(plan, passes).into_iter().collect(),
    })
}

/// The store aside by its name; `None` if there is none, or if it never answered.
fn aside(plan: &Plan, passes: &Passes) -> Option<(String, StoreResult)> {
    let store = plan.layers.remote.as_ref()?.aside.as_ref()?;
    let identity = passes.aside.as_ref()?;
    let pass = &passes.after;
    let looks = pass.observed.looks.judged.aside.as_ref()?;
    let last = &looks.last.info;
    let activity = last.since(&looks.first.info);
    let names = store
        .data_types
        .iter()
        .map(|id| &plan.policies.get(*id).name);
    let result = StoreResult {
        version: identity.version.clone(),
        managed: identity.managed,
        data_types: names.map(ToString::to_string).collect(),
        used_memory_bytes: last.used_memory.0,
        used_memory_bytes_max: looks.used_bytes_max,
        maxmemory_bytes: limit(last),
        maxmemory_policy: last.maxmemory_policy.clone(),
        keys: pass.observed.aside_keys.unwrap_or(0),
        ttl_distribution: ttls::distribution(pass, pass.aside_ttls.as_ref()),
        evictions: activity.evicted_keys,
        evictions_per_s_max: looks.evictions_per_s_max.unwrap_or(0.0),
        expired: activity.expired_keys,
        commands: activity.commands,
        cpu_cores: activity.cpu_cores().unwrap_or(0.0),
    };
    Some((store.name.clone(), result))
}

fn limit(info: &RedisInfo) -> Option<u64> {
    let limit = info.maxmemory.map(|limit| limit.0);
    limit.filter(|limit| *limit > 0)
}
