//! How the Redis of a run fared, and beside it a store aside.

use std::time::Duration;

use super::ttls;
use crate::environment::EvictionPolicy;
use crate::environment::redis_info::RedisInfo;
use crate::report::model::{RedisResult, StoreResult};
use crate::runner::Passes;
use crate::scenario::plan::Plan;
use crate::units::short;
use crate::workload::trace::stats::RESIDENCE_MIN;

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

/// What to know where an LRU gives up what is hardly older than its clock is fine: it then tells the old from
/// the new no better than chance.
pub(super) fn brief_residence(
    policy: EvictionPolicy,
    redis: &RedisResult,
    judged: Duration,
) -> Option<String> {
    let is_lru = matches!(
        policy,
        EvictionPolicy::AllkeysLru | EvictionPolicy::VolatileLru
    );
    // With fewer than once through, nothing is known of how long entries stay.
    if !is_lru || redis.keys == 0 || redis.evictions < redis.keys {
        return None;
    }
    let stayed = judged.mul_f64(redis.keys as f64 / redis.evictions as f64);
    (stayed < RESIDENCE_MIN).then(|| {
        format!(
            "entries stayed in Redis for about {} before they were evicted, and its LRU clock ticks once \
             a second: of entries that young it gives up nearly random ones, so that this hit ratio says \
             little about slower traffic; slow the traffic or the replay down, or give it more memory",
            short(stayed)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::sample_report;

    #[test]
    fn an_lru_that_hardly_keeps_anything_is_told() {
        let report = sample_report();
        let mut redis = report.redis.expect("a Redis");
        let told = |redis: &RedisResult, policy| {
            brief_residence(policy, redis, Duration::from_mins(1)).is_some()
        };
        (redis.keys, redis.evictions) = (1_000, 6_000);
        assert!(told(&redis, EvictionPolicy::AllkeysLru));
        assert!(!told(&redis, EvictionPolicy::AllkeysLfu));
        redis.evictions = 2_000;
        assert!(!told(&redis, EvictionPolicy::AllkeysLru));
        (redis.keys, redis.evictions) = (1_000, 900);
        assert!(!told(&redis, EvictionPolicy::AllkeysLru));
    }
}
