//! What to count: a choice among phases, kinds of users, data types, operations, outcomes and layers.
//!
//! Gates, reports and the engine's totals all choose with the same words. Pure.

use super::{PhaseId, PhaseKind, Schedule};
use crate::engine::data_type::DataTypeId;
use crate::engine::layer::{Layer, Operation, Outcome, is_hit};
use crate::workload::UserKindId;

/// Which phases to count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phases {
    /// Those that are judged: every phase of kind [`PhaseKind::Measure`].
    #[default]
    Measured,
    /// This one.
    Only(PhaseId),
    /// Every phase, and what happened before the first and after the last.
    All,
}

impl Phases {
    /// Whether what happened in `phase` of `schedule` is to be counted; `None` is outside of
    /// every phase.
    pub fn include(self, phase: Option<PhaseId>, schedule: &Schedule) -> bool {
        match self {
            Self::All => true,
            Self::Only(wanted) => phase == Some(wanted),
            Self::Measured => phase.is_some_and(|id| {
                schedule
                    .iter()
                    .any(|(at, phase)| at == id && phase.kind == PhaseKind::Measure)
            }),
        }
    }
}

/// Which requests to count. The default is all of the measured phases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// Requests that were intended to start in these phases.
    pub phases: Phases,
    /// Requests of users of this kind; `None` for all.
    pub user_kind: Option<UserKindId>,
    /// Requests for this data type; `None` for all.
    pub data_type: Option<DataTypeId>,
    /// This operation; `None` for all.
    pub operation: Option<Operation>,
    /// Requests that ended so; `None` for all.
    pub outcome: Option<Outcome>,
    /// Requests that this layer answered; `None` for all.
    pub layer: Option<Layer>,
    /// Requests that a cache layer answered ([`is_hit`]), or those that none did; `None` for
    /// both.
    pub hit: Option<bool>,
}

impl Query {
    /// Whether requests of `kind` are to be counted.
    pub(super) fn includes(&self, kind: Kind, schedule: &Schedule) -> bool {
        let wants = |hit: bool| hit == is_hit(kind.outcome, kind.layer);
        self.phases.include(Some(kind.phase), schedule)
            && self.user_kind.is_none_or(|wanted| wanted == kind.user_kind)
            && self.data_type.is_none_or(|wanted| wanted == kind.data_type)
            && self.operation.is_none_or(|wanted| wanted == kind.operation)
            && self.outcome.is_none_or(|wanted| wanted == kind.outcome)
            && self.layer.is_none_or(|wanted| kind.is_of(wanted))
            && self.hit.is_none_or(wants)
    }
}

/// Requests that are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind {
    /// The phase in which they were intended to start.
    pub phase: PhaseId,
    /// Of which kind the user is who asked.
    pub user_kind: UserKindId,
    /// The data type asked for.
    pub data_type: DataTypeId,
    /// What was asked.
    pub operation: Operation,
    /// How they ended.
    pub outcome: Outcome,
    /// The layer that answered.
    pub layer: Layer,
}

impl Kind {
    /// Whether `layer` answered, as far as anybody said.
    fn is_of(self, layer: Layer) -> bool {
        self.layer == layer && self.outcome != Outcome::Unknown
    }

    /// The kind as one number: one multiplication to hash instead of six.
    pub(super) fn packed(self) -> u64 {
        u64::from(self.user_kind.0) << 48
            | u64::from(self.phase.0) << 40
            | u64::from(self.data_type.0) << 24
            | (self.operation as u64) << 16
            | (self.outcome as u64) << 8
            | self.layer as u64
    }
}
