//! The alerts as written.

use std::sync::Arc;

use super::super::decode::{Decode, Field, Fields, located};
use super::super::diagnostics::Errors;
use super::super::yaml::{Kind, Node};
use crate::units::Span;

/// One alert.
pub(in crate::scenario) struct AlertFile {
    pub(in crate::scenario) name: Field<Arc<str>>,
    pub(in crate::scenario) source: Field<Arc<str>>,
    pub(in crate::scenario) check: Field<Arc<str>>,
    pub(in crate::scenario) hold: Field<Span>,
    pub(in crate::scenario) window: Field<Span>,
}

impl Decode for AlertFile {
    fn decode(node: &Node, errors: &mut Errors) -> Option<Self> {
        if !matches!(node.kind, Kind::Mapping(_)) {
            return Some(Self {
                name: Field::Absent,
                source: Field::Absent,
                check: located(node, errors).map_or(Field::Wrong, Field::Given),
                hold: Field::Absent,
                window: Field::Absent,
            });
        }
        let mut fields = Fields::of(node, "an alert", errors)?;
        let alert = Self {
            name: fields.optional("name"),
            source: fields.optional("source"),
            check: fields.required("check", "\"hit_ratio < 80%\""),
            hold: fields.optional("for"),
            window: fields.optional("window"),
        };
        fields.close();
        Some(alert)
    }
}
