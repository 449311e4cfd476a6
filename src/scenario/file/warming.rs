//! How the cache is warmed, as written under `warming`.

use super::super::decode::{Decode, Field, Fields, Map, Switch};
use super::super::diagnostics::Errors;
use super::super::yaml::Node;
use crate::units::{Ratio, Span};

/// The keys of `warming`.
pub(in crate::scenario) struct WarmingFile {
    pub(in crate::scenario) keys: Field<Map<u64>>,
    pub(in crate::scenario) at_start: Field<bool>,
    pub(in crate::scenario) before_traffic: Field<bool>,
    pub(in crate::scenario) every: Field<Switch<Span>>,
    pub(in crate::scenario) concurrency: Field<u64>,
    pub(in crate::scenario) limit: Field<Span>,
    pub(in crate::scenario) target_hit_ratio: Field<Ratio>,
}

impl Decode for WarmingFile {
    fn decode(node: &Node, errors: &mut Errors) -> Option<Self> {
        let mut fields = Fields::of(node, "the warming", errors)?;
        let warming = Self {
            keys: fields.required("keys", "{ product: 200 }"),
            at_start: fields.optional("at_start"),
            before_traffic: fields.optional("before_traffic"),
            every: fields.optional("every"),
            concurrency: fields.optional("concurrency"),
            limit: fields.optional("limit"),
            target_hit_ratio: fields.optional("target_hit_ratio"),
        };
        fields.close();
        Some(warming)
    }
}
