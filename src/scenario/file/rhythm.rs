//! Who of the users is there when, as written under `traffic.rhythm`.

use super::super::decode::{Decode, Field, Fields, Map};
use super::super::diagnostics::Errors;
use super::super::yaml::Node;
use crate::units::{Ratio, Span};

/// The keys of `rhythm`.
pub(in crate::scenario) struct RhythmFile {
    pub(in crate::scenario) every: Field<Span>,
    pub(in crate::scenario) starts_at: Field<Span>,
    pub(in crate::scenario) present: Field<Map<Ratio>>,
}

impl Decode for RhythmFile {
    fn decode(node: &Node, errors: &mut Errors) -> Option<Self> {
        let mut fields = Fields::of(node, "the rhythm", errors)?;
        let rhythm = Self {
            every: fields.optional("every"),
            starts_at: fields.optional("starts_at"),
            present: fields.required("present", "{ 0h: 30%, 4h: 5%, 9h: 100%, 18h: 80% }"),
        };
        fields.close();
        Some(rhythm)
    }
}
