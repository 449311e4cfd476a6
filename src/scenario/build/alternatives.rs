//! Alternatives to the cache as decided: memcached as the remote layer's store, and a cache inside
//! the database.

use std::time::Duration;

use super::super::decode::{Field, Located, Switch};
use super::super::diagnostics::{Diagnostic, Errors, Place};
use super::super::file::RemoteFile;
use super::super::file::alternatives::{QueryCacheFile, StoreFile};
use super::data_types::service_time;
use super::{Built, MS, TTL_MAX, count, span_within};
use crate::environment::{MemcachedConfig, QueryCacheConfig};
use crate::units::Span;

const MIB: u64 = 1 << 20;
/// memcached's own default.
const MEMORY_MIB_DEFAULT: u32 = 64;
/// memcached gives each class of sizes memory by the MiB; with less, whole classes get none.
const MEMORY_MIB_MIN: u64 = 8;
const MEMORY_MIB_MAX: u64 = 1 << 20;

/// The memcached that stands in for Redis; `Some(None)` if none does.
pub(super) fn memcached(file: &RemoteFile, errors: &mut Errors) -> Built<Option<MemcachedConfig>> {
    if file.store.or(StoreFile::Redis)? == StoreFile::Redis {
        return Some(None);
    }
    let of_redis = file.topology.places().into_iter().chain([
        ("policy", file.policy.place()),
        ("stores", file.stores.place()),
        ("invalidation", file.invalidation.place()),
    ]);
    for (key, place) in of_redis {
        if let Some(place) = place {
            let message = format!("`{key}` means nothing to memcached");
            errors.push(Diagnostic::new(place, message).label("remove it"));
        }
    }
    let memory_mib = match file.maxmemory.given() {
        None if file.maxmemory.is_absent() => MEMORY_MIB_DEFAULT,
        None => return None,
        Some(Located {
            value: Switch::Off,
            place,
        }) => return memory_refused(place, errors),
        Some(Located {
            value: Switch::On(size),
            place,
        }) => {
            let mib = size.0 / MIB;
            if !size.0.is_multiple_of(MIB) || !(MEMORY_MIB_MIN..=MEMORY_MIB_MAX).contains(&mib) {
                return memory_refused(place, errors);
            }
            mib as u32
        }
    };
    Some(Some(MemcachedConfig { memory_mib }))
}

fn memory_refused<T>(place: &Place, errors: &mut Errors) -> Built<T> {
    let message = "memcached takes its memory in whole MiB, and needs some";
    let advice = format!("write {MEMORY_MIB_MIN}MiB or more, such as {MEMORY_MIB_DEFAULT}MiB");
    errors.push(Diagnostic::new(place, message).label(advice));
    None
}

/// The cache inside the database; `Some(None)` if there is none.
pub(super) fn query_cache(
    field: &Field<Switch<QueryCacheFile>>,
    errors: &mut Errors,
) -> Built<Option<QueryCacheConfig>> {
    let file = match field.value() {
        None => return field.is_absent().then_some(None),
        Some(Switch::Off) => return Some(None),
        Some(Switch::On(file)) => file,
    };
    let entries = count("entries", &file.entries, None, 1..=1_000_000_000, errors);
    let ttl: Built<Option<Duration>> = match file.ttl.given() {
        None => file.ttl.is_absent().then_some(None),
        Some(Located {
            value: Switch::Off, ..
        }) => Some(None),
        Some(Located {
            value: Switch::On(ttl),
            place,
        }) => {
            let given: Located<Span> = Located {
                value: *ttl,
                place: place.clone(),
            };
            span_within("ttl", &given, MS..=TTL_MAX, errors).map(Some)
        }
    };
    let hit_time = service_time(&file.hit_time, None, errors);
    Some(Some(QueryCacheConfig {
        entries: entries?,
        ttl: ttl?,
        hit_time: hit_time?,
    }))
}
