//! How a data type is protected against stampedes, outages and old values, as written: the same
//! keys in a data type and, for all of them, under `resilience`.

use super::super::decode::{Decode, Field, Fields, Switch, keyword};
use super::super::diagnostics::Errors;
use super::super::yaml::{Kind, Node};
use crate::engine::data_type::Consistency;
use crate::units::Span;

/// The keys of protection.
pub(in crate::scenario) struct ProtectionFile {
    pub(in crate::scenario) stampede: Field<StampedeFile>,
    pub(in crate::scenario) serve_stale: Field<Switch<Span>>,
    pub(in crate::scenario) consistency: Field<Consistency>,
}

impl ProtectionFile {
    /// Reads them among the other keys of a mapping.
    pub(super) fn of(fields: &mut Fields<'_, '_>) -> Self {
        Self {
            stampede: fields.optional("stampede"),
            serve_stale: fields.optional("serve_stale"),
            consistency: fields.optional("consistency"),
        }
    }

    /// None of them written.
    pub(in crate::scenario) fn absent() -> Self {
        Self {
            stampede: Field::Absent,
            serve_stale: Field::Absent,
            consistency: Field::Absent,
        }
    }
}

/// A means against stampedes.
#[derive(Clone)]
pub(in crate::scenario) enum StampedeFile {
    None,
    SingleFlight,
    AdrLock,
    Lock,
    Lease,
    /// With its beta, if one is written.
    EarlyRefresh(Field<f64>),
    StaleWhileRevalidate,
}

impl Decode for StampedeFile {
    fn decode(node: &Node, errors: &mut Errors) -> Option<Self> {
        if let Kind::Mapping(_) = node.kind {
            let mut fields = Fields::of(node, "a means against stampedes", errors)?;
            let beta = fields.required("early-refresh", "1.0");
            fields.close();
            return Some(Self::EarlyRefresh(beta));
        }
        let words = [
            ("none", 0),
            ("single-flight", 1),
            ("adr-lock", 2),
            ("lock", 3),
            ("lease", 4),
            ("early-refresh", 5),
            ("stale-while-revalidate", 6),
        ];
        Some(
            match keyword(node, "means against stampedes", &words, errors)? {
                0 => Self::None,
                1 => Self::SingleFlight,
                2 => Self::AdrLock,
                3 => Self::Lock,
                4 => Self::Lease,
                5 => Self::EarlyRefresh(Field::Absent),
                _ => Self::StaleWhileRevalidate,
            },
        )
    }
}
