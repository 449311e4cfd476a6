//! How invalidations travel between instances, as written: a mapping under `layers.remote`.

use super::super::decode::{Decode, Field, Fields};
use super::super::diagnostics::Errors;
use super::super::yaml::Node;
use crate::engine::invalidation::{Broadly, OnLoss, Transport};
use crate::units::Span;

/// The keys of `invalidation`.
pub(in crate::scenario) struct InvalidationFile {
    pub(in crate::scenario) transport: Field<Transport>,
    pub(in crate::scenario) broadly: Field<Broadly>,
    pub(in crate::scenario) on_loss: Field<OnLoss>,
    pub(in crate::scenario) heartbeat: Field<Span>,
}

impl Decode for InvalidationFile {
    fn decode(node: &Node, errors: &mut Errors) -> Option<Self> {
        let mut fields = Fields::of(node, "the way of invalidations", errors)?;
        let file = Self {
            transport: fields.optional("transport"),
            broadly: fields.optional("broadly"),
            on_loss: fields.optional("on_loss"),
            heartbeat: fields.optional("heartbeat"),
        };
        fields.close();
        Some(file)
    }
}
