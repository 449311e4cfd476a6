//! How instances protect themselves, the database and what they accepted, as written under
//! `resilience`.

use super::super::decode::{Decode, Field, Fields, Switch};
use super::super::diagnostics::Errors;
use super::super::yaml::Node;
use crate::engine::write_behind::policy::OnFull;
use crate::units::Span;

/// The keys of `resilience` that are not of data types.
pub(in crate::scenario) struct DurabilityFile {
    pub(in crate::scenario) breaker: Field<Switch<BreakerFile>>,
    pub(in crate::scenario) origin: Field<OriginGuardFile>,
    pub(in crate::scenario) write_behind: Field<WriteBehindFile>,
}

impl DurabilityFile {
    /// Reads them among the other keys of a mapping.
    pub(super) fn of(fields: &mut Fields<'_, '_>) -> Self {
        Self {
            breaker: fields.optional("breaker"),
            origin: fields.optional("origin"),
            write_behind: fields.optional("write_behind"),
        }
    }

    /// None of them written.
    pub(in crate::scenario) fn absent() -> Self {
        Self {
            breaker: Field::Absent,
            origin: Field::Absent,
            write_behind: Field::Absent,
        }
    }
}

/// The circuit breaker of the remote layer.
pub(in crate::scenario) struct BreakerFile {
    pub(in crate::scenario) failures: Field<u64>,
    pub(in crate::scenario) open_for: Field<Span>,
    pub(in crate::scenario) probes: Field<u64>,
}

impl Decode for BreakerFile {
    fn decode(node: &Node, errors: &mut Errors) -> Option<Self> {
        let mut fields = Fields::of(node, "the circuit breaker", errors)?;
        let breaker = Self {
            failures: fields.optional("failures"),
            open_for: fields.optional("open_for"),
            probes: fields.optional("probes"),
        };
        fields.close();
        Some(breaker)
    }
}

/// The protection of the origin.
pub(in crate::scenario) struct OriginGuardFile {
    pub(in crate::scenario) concurrency: Field<Switch<u64>>,
    pub(in crate::scenario) queue: Field<u64>,
    pub(in crate::scenario) soft_timeout: Field<Switch<Span>>,
    pub(in crate::scenario) hard_timeout: Field<Switch<Span>>,
}

impl Decode for OriginGuardFile {
    fn decode(node: &Node, errors: &mut Errors) -> Option<Self> {
        let mut fields = Fields::of(node, "the protection of the origin", errors)?;
        let origin = Self {
            concurrency: fields.optional("concurrency"),
            queue: fields.optional("queue"),
            soft_timeout: fields.optional("soft_timeout"),
            hard_timeout: fields.optional("hard_timeout"),
        };
        fields.close();
        Some(origin)
    }
}

/// The limits of write-behind.
pub(in crate::scenario) struct WriteBehindFile {
    pub(in crate::scenario) queue_max: Field<u64>,
    pub(in crate::scenario) on_full: Field<OnFull>,
    pub(in crate::scenario) batch: Field<u64>,
    pub(in crate::scenario) max_deliveries: Field<u64>,
    pub(in crate::scenario) claim_after: Field<Span>,
}

impl Decode for WriteBehindFile {
    fn decode(node: &Node, errors: &mut Errors) -> Option<Self> {
        let mut fields = Fields::of(node, "the limits of write-behind", errors)?;
        let write_behind = Self {
            queue_max: fields.optional("queue_max"),
            on_full: fields.optional("on_full"),
            batch: fields.optional("batch"),
            max_deliveries: fields.optional("max_deliveries"),
            claim_after: fields.optional("claim_after"),
        };
        fields.close();
        Some(write_behind)
    }
}
