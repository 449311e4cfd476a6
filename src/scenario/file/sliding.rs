//! How entries slide, as written under a data type's `sliding`.

use super::super::decode::{Decode, Field, Fields};
use super::super::diagnostics::Errors;
use super::super::yaml::Node;
use crate::units::Span;

/// The keys of `sliding`.
pub(in crate::scenario) struct SlidingFile {
    pub(in crate::scenario) max_lifetime: Field<Span>,
}

impl Decode for SlidingFile {
    fn decode(node: &Node, errors: &mut Errors) -> Option<Self> {
        let mut fields = Fields::of(node, "the sliding expiry", errors)?;
        let sliding = Self {
            max_lifetime: fields.required("max_lifetime", "72h"),
        };
        fields.close();
        Some(sliding)
    }
}
