//! How the stores fared: Redis, memcached, and the database's own cache.

use super::Fact;
use crate::engine::layer::Layer;
use crate::report::model::{MemcachedResult, QueryCacheResult, RedisResult, Report, StoreResult};
use crate::report::table::Tone;
use crate::report::words::{cores, counted, held_locally, ratio};
use crate::units::{ByteSize, thousands};

/// The local layers of all instances.
pub(super) fn local(report: &Report) -> Option<Fact> {
    let held = report.layers.get(Layer::Local.name())?.held?;
    Some(Fact::new("local", held_locally(&held), Tone::Plain))
}

pub(super) fn redis(redis: &RedisResult) -> Fact {
    let limit = redis.maxmemory_bytes.map_or_else(
        || "no limit".to_owned(),
        |limit| format!("of {}", ByteSize(limit)),
    );
    let text = format!(
        "{} {limit} at most; {} keys, {} evicted, {} expired; {}",
        ByteSize(redis.used_memory_bytes_max),
        thousands(redis.keys),
        thousands(redis.evictions),
        thousands(redis.expired),
        cores(redis.cpu_cores),
    );
    Fact::new("Redis", text, Tone::Plain)
}

/// A store beside it.
pub(super) fn aside((name, store): (&String, &StoreResult)) -> Fact {
    let limit = store.maxmemory_bytes.map_or_else(
        || "no limit".to_owned(),
        |limit| format!("of {}", ByteSize(limit)),
    );
    let text = format!(
        "{name}: {} {limit} at most, {}; {} keys, {} evicted, {} expired; {}",
        ByteSize(store.used_memory_bytes_max),
        store.maxmemory_policy,
        thousands(store.keys),
        thousands(store.evictions),
        thousands(store.expired),
        cores(store.cpu_cores),
    );
    Fact::new("aside", text, Tone::Plain)
}

pub(super) fn memcached(memcached: &MemcachedResult) -> Fact {
    let text = format!(
        "memcached: {} of {} at most; {} items, {} evicted; {} lost a race; {}",
        ByteSize(memcached.used_memory_bytes_max),
        ByteSize(memcached.limit_bytes),
        thousands(memcached.items),
        thousands(memcached.evictions),
        counted(memcached.cas_lost, "store"),
        cores(memcached.cpu_cores),
    );
    Fact::new("remote", text, Tone::Plain)
}

pub(super) fn query_cache(cache: QueryCacheResult) -> Fact {
    let text = format!(
        "its own cache answered {} of {}; {} thrown away by writes to their table",
        ratio(cache.hit_ratio),
        counted(cache.hits + cache.misses, "load"),
        counted(cache.invalidated, "result"),
    );
    Fact::new("database", text, Tone::Plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::sample_store;

    #[test]
    fn a_store_aside_has_a_line_of_its_own() {
        let told = aside((&"sessions".to_owned(), &sample_store()));
        assert_eq!(told.label, "aside");
        insta::assert_snapshot!(told.text, @"sessions: 2.8 MiB of 64.0 MiB at most, noeviction; 1,000 keys, 0 evicted, 3 expired; 1% of a core");
    }
}
