//! A gate, as written.

use std::sync::Arc;

use super::super::decode::{Decode, Field, Fields, located};
use super::super::diagnostics::Errors;
use super::super::yaml::{Kind, Node};
use crate::units::Span;

/// One gate.
pub(in crate::scenario) struct GateFile {
    pub(in crate::scenario) name: Field<Arc<str>>,
    pub(in crate::scenario) source: Field<Arc<str>>,
    pub(in crate::scenario) check: Field<Arc<str>>,
    pub(in crate::scenario) window: Field<Span>,
    pub(in crate::scenario) abort: Field<bool>,
    pub(in crate::scenario) abort_after: Field<Span>,
}

impl Decode for GateFile {
    fn decode(node: &Node, errors: &mut Errors) -> Option<Self> {
        if !matches!(node.kind, Kind::Mapping(_)) {
            return Some(Self {
                name: Field::Absent,
                source: Field::Absent,
                check: located(node, errors).map_or(Field::Wrong, Field::Given),
                window: Field::Absent,
                abort: Field::Absent,
                abort_after: Field::Absent,
            });
        }
        let mut fields = Fields::of(node, "a gate", errors)?;
        let gate = Self {
            name: fields.optional("name"),
            source: fields.optional("source"),
            check: fields.required("check", "\"p95(response_time) < 1s\""),
            window: fields.optional("window"),
            abort: fields.optional("abort"),
            abort_after: fields.optional("abort_after"),
        };
        fields.close();
        Some(gate)
    }
}
