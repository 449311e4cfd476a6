//! Who comes, as written: users, phases, mix, and the baseline.

use std::sync::Arc;

use super::super::decode::{Decode, Field, Fields, List, Map, Switch};
use super::super::diagnostics::Errors;
use super::super::plan::Driver;
use super::super::yaml::Node;
use super::arrivals::ArrivalsFile;
use super::gates::GateFile;
use super::kinds::{DoingFile, KindFile};
use super::rhythm::RhythmFile;
use super::trace::TraceFile;
use crate::units::Span;

/// What users do.
pub(in crate::scenario) struct TrafficFile {
    pub(in crate::scenario) driver: Field<Driver>,
    pub(in crate::scenario) users: Field<u64>,
    pub(in crate::scenario) ramp: Field<Span>,
    pub(in crate::scenario) rhythm: Field<Switch<RhythmFile>>,
    pub(in crate::scenario) request_timeout: Field<Span>,
    pub(in crate::scenario) arrivals: Field<Switch<ArrivalsFile>>,
    pub(in crate::scenario) trace: Field<Switch<TraceFile>>,
    pub(in crate::scenario) in_flight: Field<u64>,
    pub(in crate::scenario) phases: Field<List<PhaseFile>>,
    /// What the only kind of users does.
    pub(in crate::scenario) doing: DoingFile,
    pub(in crate::scenario) kinds: Field<Map<KindFile>>,
}

impl Decode for TrafficFile {
    fn decode(node: &Node, errors: &mut Errors) -> Option<Self> {
        let mut fields = Fields::of(node, "the traffic", errors)?;
        let kinds: Field<_> = fields.optional("kinds");
        let trace: Field<_> = fields.optional("trace");
        // A trace says itself who asks for what.
        let only = kinds.is_absent() && trace.is_absent();
        let traffic = Self {
            driver: fields.optional("driver"),
            users: if only {
                fields.required("users", "1000")
            } else {
                fields.optional("users")
            },
            ramp: fields.optional("ramp"),
            rhythm: fields.optional("rhythm"),
            request_timeout: fields.optional("request_timeout"),
            arrivals: fields.optional("arrivals"),
            in_flight: fields.optional("in_flight"),
            trace,
            phases: fields.required("phases", "[{ name: steady, for: 60s }]"),
            doing: if only {
                DoingFile::read(&mut fields)
            } else {
                DoingFile::misplaced(&mut fields)
            },
            kinds,
        };
        fields.close();
        Some(traffic)
    }
}

/// One phase.
pub(in crate::scenario) struct PhaseFile {
    pub(in crate::scenario) name: Field<Arc<str>>,
    pub(in crate::scenario) duration: Field<Span>,
    pub(in crate::scenario) arrivals: Field<Switch<ArrivalsFile>>,
    pub(in crate::scenario) gates: Field<List<GateFile>>,
}

impl Decode for PhaseFile {
    fn decode(node: &Node, errors: &mut Errors) -> Option<Self> {
        let mut fields = Fields::of(node, "a phase", errors)?;
        let phase = Self {
            name: fields.required("name", "steady"),
            duration: fields.required("for", "60s"),
            arrivals: fields.optional("arrivals"),
            gates: fields.optional("gates"),
        };
        fields.close();
        Some(phase)
    }
}

/// The run before the run.
pub(in crate::scenario) struct BaselineFile {
    pub(in crate::scenario) duration: Field<Span>,
}

impl Decode for BaselineFile {
    fn decode(node: &Node, errors: &mut Errors) -> Option<Self> {
        let mut fields = Fields::of(node, "the baseline", errors)?;
        let duration = fields.required("for", "20s");
        fields.close();
        Some(Self { duration })
    }
}
