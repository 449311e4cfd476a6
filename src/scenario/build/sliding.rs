//! Sliding expiry: what fits with it and what does not.

use std::time::Duration;

use super::super::decode::{Field, Switch};
use super::super::diagnostics::{Diagnostic, Errors};
use super::super::file::{DataTypeFile, File};
use super::super::plan::LayersPlan;
use super::protection::Protection;
use super::{Built, MS, TTL_MAX, span};
use crate::engine::data_type::{Sliding, Stampede, Strategy};

/// What `sliding` says; `ttl` is the data type's.
pub(super) fn build(
    file: &DataTypeFile,
    ttl: Built<Duration>,
    errors: &mut Errors,
) -> Built<Option<Sliding>> {
    let Some(given) = file.sliding.given() else {
        return file.sliding.is_absent().then_some(None);
    };
    let Switch::On(written) = &given.value else {
        return Some(None);
    };
    let least = ttl.unwrap_or(MS).max(MS);
    let bounds = least..=TTL_MAX.max(least);
    let max_lifetime = span("max_lifetime", &written.max_lifetime, None, bounds, errors);
    let kept = |field: &Field<Switch<_>>| matches!(field.value(), Some(Switch::On(_)));
    let strategy = file.strategy.value();
    let fits = strategy.is_none_or(|s| matches!(s, Strategy::CacheAside | Strategy::WriteThrough));
    let (why, advice) = if !fits {
        (
            "only cache-aside and write-through can slide",
            "remove it, or take another strategy",
        )
    } else if kept(&file.local_ttl) {
        (
            "what the local layer answers does not slide: the entry would end early",
            "remove it, or the `local_ttl`",
        )
    } else if kept(&file.protection.serve_stale) {
        (
            "an entry that slides has an end, and stale it would outlive it",
            "remove it, or `serve_stale`",
        )
    } else {
        return Some(Some(Sliding {
            max_lifetime: max_lifetime?,
        }));
    };
    errors.push(Diagnostic::new(&given.place, why).label(advice));
    None
}

/// What slides has an end: what `resilience` says of stale values is not meant for it.
pub(super) fn put_an_end_to(protection: &mut Protection) {
    protection.serve_stale = None;
    if protection.stampede == Stampede::StaleWhileRevalidate {
        protection.stampede = Stampede::default();
    }
}

/// Refuses what slides where there is no Redis that lets it.
pub(super) fn check_layers(file: &File, layers: Option<&LayersPlan>, errors: &mut Errors) {
    let Some(layers) = layers else { return };
    let redis = layers.remote.as_ref();
    if redis.is_some_and(|remote| remote.memcached.is_none()) {
        return;
    }
    let data_types = file.data_types.value().map(|map| map.0.as_slice());
    let files = data_types.unwrap_or_default().iter();
    for given in files.filter_map(|(_, file)| file.as_ref()?.value.sliding.given()) {
        if matches!(given.value, Switch::On(_)) {
            let message = "only Redis lets entries slide, and there is none";
            let advice = "remove it, or give the scenario a Redis";
            errors.push(Diagnostic::new(&given.place, message).label(advice));
        }
    }
}
