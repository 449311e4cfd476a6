//! Alternatives to the cache as decided, as written: another store, a cache inside the database, and
//! the list of variants that one scenario compares.

use std::sync::Arc;

use super::super::decode::{Decode, Field, Fields, Switch, keyword};
use super::super::diagnostics::{Diagnostic, Errors};
use super::super::yaml::{Key, Kind, Node};
use super::ServiceTimeFile;
use crate::units::Span;

/// What the remote layer is kept in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::scenario) enum StoreFile {
    Redis,
    Memcached,
}

impl Decode for StoreFile {
    fn decode(node: &Node, errors: &mut Errors) -> Option<Self> {
        let words = [("redis", Self::Redis), ("memcached", Self::Memcached)];
        keyword(node, "store", &words, errors)
    }
}

/// A cache of results inside the database.
pub(in crate::scenario) struct QueryCacheFile {
    pub(in crate::scenario) entries: Field<u64>,
    pub(in crate::scenario) ttl: Field<Switch<Span>>,
    pub(in crate::scenario) hit_time: Field<ServiceTimeFile>,
}

impl Decode for QueryCacheFile {
    fn decode(node: &Node, errors: &mut Errors) -> Option<Self> {
        let mut fields = Fields::of(node, "a query cache", errors)?;
        let cache = Self {
            entries: fields.required("entries", "10_000"),
            ttl: fields.optional("ttl"),
            hit_time: fields.required("hit_time", "{ median: 1ms, p99: 4ms }"),
        };
        fields.close();
        Some(cache)
    }
}

/// One variant.
pub(in crate::scenario) struct VariantFile {
    pub(in crate::scenario) name: Field<Arc<str>>,
    pub(in crate::scenario) main: Field<bool>,
    pub(in crate::scenario) set: Field<Changes>,
}

impl Decode for VariantFile {
    fn decode(node: &Node, errors: &mut Errors) -> Option<Self> {
        let mut fields = Fields::of(node, "a variant", errors)?;
        let variant = Self {
            name: fields.required("name", "local-only"),
            main: fields.optional("main"),
            set: fields.optional("set"),
        };
        fields.close();
        Some(variant)
    }
}

/// What a variant changes: values by their paths, as they stand.
#[derive(Clone, Debug)]
pub(in crate::scenario) struct Changes(pub(in crate::scenario) Vec<(Key, Node)>);

impl Decode for Changes {
    fn decode(node: &Node, errors: &mut Errors) -> Option<Self> {
        let Kind::Mapping(entries) = &node.kind else {
            let message = format!(
                "what a variant changes is wanted here, and {} stands here",
                node.describe()
            );
            let advice = "write paths and values, such as { layers.remote: none }";
            errors.push(Diagnostic::new(&node.place, message).label(advice));
            return None;
        };
        Some(Self(entries.clone()))
    }
}
