//! What the runner last read of Redis, shown by every instance: up, memory, keys, TTLs, evictions.

use prometheus::{Gauge, IntCounter, IntGauge};

use super::MetricsError;
use super::shape::Shape;
use crate::environment::redis_info::RedisInfo;

pub(super) struct RedisSeries {
    up: IntGauge,
    memory_used: IntGauge,
    memory_max: IntGauge,
    keys: IntGauge,
    keys_with_ttl: IntGauge,
    ttl_mean: Gauge,
    evicted: IntCounter,
    expired: IntCounter,
}

impl RedisSeries {
    #[rustfmt::skip] // one metric, one line
    pub(super) fn new(shape: &Shape<'_>) -> Result<Self, MetricsError> {
        Ok(Self {
            up: shape.gauge("redis_up", "1 if Redis answered when it was last asked, once a second.")?,
            memory_used: shape.gauge("redis_memory_used_bytes", "used_memory of Redis.")?,
            memory_max: shape.gauge("redis_memory_max_bytes", "maxmemory of Redis; 0 for no limit.")?,
            keys: shape.gauge("redis_keys", "Keys in Redis.")?,
            keys_with_ttl: shape.gauge("redis_keys_with_ttl", "Keys in Redis that have a TTL.")?,
            ttl_mean: shape.fraction("redis_ttl_mean_seconds", "The mean TTL that keys have left, as Redis estimates it.")?,
            evicted: shape.counter("redis_evicted_keys_total", "Keys that Redis evicted for want of memory, since its start.")?,
            expired: shape.counter("redis_expired_keys_total", "Keys that expired in Redis, since its start.")?,
        })
    }

    /// Only the runner's watch sets, so that no two set at once. Without an answer, what was read
    /// last stays: `redis_up` says that it is old.
    pub(super) fn set(&self, info: Option<&RedisInfo>) {
        self.up.set(i64::from(info.is_some()));
        let Some(info) = info else { return };
        let limit = info.maxmemory.map_or(0, |limit| limit.0);
        let keyspace = info.keyspace(0);
        self.memory_used.set(info.used_memory.0.cast_signed());
        self.memory_max.set(limit.cast_signed());
        self.keys.set(keyspace.keys.cast_signed());
        self.keys_with_ttl.set(keyspace.expires.cast_signed());
        self.ttl_mean.set(keyspace.avg_ttl_ms as f64 / 1e3);
        for (counter, now) in [
            (&self.evicted, info.evicted_keys),
            (&self.expired, info.expired_keys),
        ] {
            // Never down within one life of Redis; from the start again in its next.
            if now < counter.get() {
                counter.reset();
            }
            counter.inc_by(now - counter.get());
        }
    }
}
