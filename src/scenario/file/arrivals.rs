//! When requests are due, as written under `traffic.arrivals` and in a phase.

use super::super::decode::{Decode, Field, Fields, Located, located};
use super::super::diagnostics::Errors;
use super::super::yaml::{Kind, Node};
use crate::units::{Rate, RateRange, Span};

/// Whether arrivals come independently of each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::scenario) enum Spacing {
    /// As those of many independent people.
    Poisson,
    /// At equal distances.
    Even,
}

/// The keys of `arrivals`. A rate alone means `{ rate: … }`.
pub(in crate::scenario) struct ArrivalsFile {
    pub(in crate::scenario) rate: Field<Rate>,
    pub(in crate::scenario) ramp: Field<RateRange>,
    pub(in crate::scenario) step: Field<RateRange>,
    pub(in crate::scenario) spike: Field<RateRange>,
    pub(in crate::scenario) sine: Field<RateRange>,
    pub(in crate::scenario) steps: Field<u64>,
    pub(in crate::scenario) at: Field<Span>,
    pub(in crate::scenario) length: Field<Span>,
    pub(in crate::scenario) period: Field<Span>,
    pub(in crate::scenario) spacing: Field<Spacing>,
}

impl Decode for ArrivalsFile {
    fn decode(node: &Node, errors: &mut Errors) -> Option<Self> {
        if let Kind::Scalar(_) = &node.kind {
            let rate: Located<Rate> = located(node, errors)?;
            return Some(Self {
                rate: Field::Given(rate),
                ramp: Field::Absent,
                step: Field::Absent,
                spike: Field::Absent,
                sine: Field::Absent,
                steps: Field::Absent,
                at: Field::Absent,
                length: Field::Absent,
                period: Field::Absent,
                spacing: Field::Absent,
            });
        }
        let mut fields = Fields::of(node, "the arrivals", errors)?;
        let arrivals = Self {
            rate: fields.optional("rate"),
            ramp: fields.optional("ramp"),
            step: fields.optional("step"),
            spike: fields.optional("spike"),
            sine: fields.optional("sine"),
            steps: fields.optional("steps"),
            at: fields.optional("at"),
            length: fields.optional("for"),
            period: fields.optional("period"),
            spacing: fields.optional("spacing"),
        };
        fields.close();
        Some(arrivals)
    }
}
