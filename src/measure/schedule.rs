//! When each phase begins and ends.
//!
//! Made by the runner when the users are about to start; read by drivers (which phase is this
//! request of?) and by everything that counts by phase. Pure: it never reads the clock.

use std::time::Duration;

use super::{PhaseId, PhaseKind};
use crate::clock::Timestamp;

/// When each phase begins and ends; pure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    start: Timestamp,
    /// Each phase's kind, name and end, in order.
    phases: Vec<ScheduledPhase>,
}

/// One phase of a [`Schedule`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduledPhase {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub kind: PhaseKind,
    /// When it begins.
    pub start: Timestamp,
    /// When it ends, and the next begins.
    pub end: Timestamp,
}

impl Schedule {
    /// The phases one after another from `start` on.
    pub fn new(
        start: Timestamp,
        phases: impl IntoIterator<Item = (String, PhaseKind, Duration)>,
    ) -> Self {
        let mut at = start;
        let phases = phases
            .into_iter()
            .map(|(name, kind, duration)| {
                let (start, end) = (at, at + duration);
                at = end;
                ScheduledPhase {
                    name,
                    kind,
                    start,
                    end,
                }
            })
            .collect();
        Self { start, phases }
    }

    /// When the first phase begins.
    pub fn start(&self) -> Timestamp {
        self.start
    }

    /// When the last phase ends.
    pub fn end(&self) -> Timestamp {
        self.phases.last().map_or(self.start, |phase| phase.end)
    }

    /// How many seconds one row of the run's series spans: the longer the run, the wider.
    pub fn row_width_s(&self) -> u32 {
        super::width::row_width_s(self.end().since(self.start))
    }

    /// The phase of `moment`; `None` before the first and after the last.
    pub fn phase_at(&self, moment: Timestamp) -> Option<PhaseId> {
        let at = self
            .phases
            .iter()
            .position(|p| p.start <= moment && moment < p.end)?;
        Some(PhaseId(at as u8))
    }

    /// The phase at `id`, which must come from this schedule.
    pub fn get(&self, id: PhaseId) -> &ScheduledPhase {
        &self.phases[usize::from(id.0)]
    }

    /// All phases with their places.
    pub fn iter(&self) -> impl Iterator<Item = (PhaseId, &ScheduledPhase)> {
        (0..).map(PhaseId).zip(&self.phases)
    }
}
