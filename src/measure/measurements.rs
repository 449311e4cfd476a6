//! What a run measured, and the questions that gates and reports ask of it.
//!
//! Made once, by [`super::recorder::Recorder::finish`]; a plain value from then on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;

use super::Schedule;
use super::histogram::Histogram;
use super::query::{Kind, Phases, Query};
pub use super::series::{Answers, SecondRow};
use super::starts::Starts;
use crate::clock::Timestamp;
use crate::engine::data_type::PolicyTable;
use crate::engine::layer::{Operation, Outcome};
use crate::units::Ratio;

/// The times of all requests of one kind.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// The kind.
    pub kind: Kind,
    /// From the intended start.
    pub response_time: Histogram,
    /// From the sending.
    pub service_time: Histogram,
}

impl Cell {
    pub(super) fn new(kind: Kind) -> Self {
        Self {
            kind,
            response_time: Histogram::new(),
            service_time: Histogram::new(),
        }
    }

    /// How many requests.
    pub fn count(&self) -> u64 {
        self.response_time.count()
    }
}

/// What the threads of a recorder recorded, put together.
#[derive(Debug, Default)]
pub(super) struct Collected {
    cells: BTreeMap<Kind, Cell>,
    starts: Vec<Starts>,
    errors: BTreeMap<String, BTreeMap<Kind, u64>>,
    pub(super) seconds: Vec<SecondRow>,
    pub(super) users_live_max: u64,
    pub(super) in_flight_max: u64,
}

impl Collected {
    /// Adds what one thread recorded.
    pub(super) fn add(
        &mut self,
        cells: &[Cell],
        starts: &[Starts],
        errors: &FxHashMap<String, FxHashMap<Kind, u64>>,
    ) {
        for cell in cells {
            let all = self
                .cells
                .entry(cell.kind)
                .or_insert_with(|| Cell::new(cell.kind));
            all.response_time.merge(&cell.response_time);
            all.service_time.merge(&cell.service_time);
        }
        if starts.len() > self.starts.len() {
            self.starts.resize_with(starts.len(), Starts::default);
        }
        for (all, phase) in self.starts.iter_mut().zip(starts) {
            all.merge(phase);
        }
        for (text, kinds) in errors {
            let all = self.errors.entry(text.clone()).or_default();
            for (kind, count) in kinds {
                *all.entry(*kind).or_default() += count;
            }
        }
    }
}

/// With a larger share of reads of which nobody said who answered, a hit ratio of the others is no hit
/// ratio: those that say so may be the hits alone.
pub const UNKNOWN_SHARE_MAX: Ratio = Ratio(0.01);

/// Whether of enough reads is known who answered them.
pub fn is_told(known: u64, unknown: u64) -> bool {
    Ratio::of(unknown, known + unknown).is_none_or(|share| share <= UNKNOWN_SHARE_MAX)
}

/// What a run measured.
#[derive(Debug)]
pub struct Measurements {
    schedule: Arc<Schedule>,
    policies: Arc<PolicyTable>,
    collected_at: Timestamp,
    collected: Collected,
}

impl Measurements {
    pub(super) fn new(
        schedule: Arc<Schedule>,
        policies: Arc<PolicyTable>,
        collected_at: Timestamp,
        collected: Collected,
    ) -> Self {
        Self {
            schedule,
            policies,
            collected_at,
            collected,
        }
    }

    /// When each phase began and ended.
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// The data types, whose places are in the cells.
    pub fn policies(&self) -> &PolicyTable {
        &self.policies
    }

    /// Every kind of request that occurred, with its times, in a fixed order.
    pub fn cells(&self) -> impl Iterator<Item = &Cell> {
        self.collected.cells.values()
    }

    fn chosen(&self, query: &Query) -> impl Iterator<Item = &Cell> {
        self.cells()
            .filter(move |cell| query.includes(cell.kind, &self.schedule))
    }

    /// The same, without failed requests unless just these are asked for.
    fn timed(&self, query: &Query) -> impl Iterator<Item = &Cell> {
        let errors = query.outcome == Some(Outcome::Error);
        self.chosen(query)
            .filter(move |cell| errors || cell.kind.outcome != Outcome::Error)
    }

    /// From the intended start. Failed requests are left out unless `outcome` asks for them.
    pub fn response_time(&self, query: &Query) -> Histogram {
        self.timed(query).map(|cell| &cell.response_time).collect()
    }

    /// From the sending. Failed requests are left out unless `outcome` asks for them.
    pub fn service_time(&self, query: &Query) -> Histogram {
        self.timed(query).map(|cell| &cell.service_time).collect()
    }

    /// How many requests, failed ones included.
    pub fn count(&self, query: &Query) -> u64 {
        self.chosen(query).map(Cell::count).sum()
    }

    /// How many requests by outcome; the sum is [`Self::count`].
    pub fn outcomes(&self, query: &Query) -> BTreeMap<Outcome, u64> {
        let mut outcomes = BTreeMap::new();
        for cell in self.chosen(query) {
            *outcomes.entry(cell.kind.outcome).or_default() += cell.count();
        }
        outcomes
    }

    /// Reads that got an answer of which is known who gave it: a failed one says nothing about the
    /// cache's contents.
    pub fn reads(&self, query: &Query) -> u64 {
        self.answered_reads(query).map(Cell::count).sum()
    }

    fn answered_reads(&self, query: &Query) -> impl Iterator<Item = &Cell> {
        self.chosen(query).filter(|cell| {
            let told = !matches!(cell.kind.outcome, Outcome::Error | Outcome::Unknown);
            cell.kind.operation == Operation::Get && told
        })
    }

    /// Reads that a cache layer answered, as [`crate::engine::layer::is_hit`] says.
    pub fn hits(&self, query: &Query) -> u64 {
        match query.hit {
            Some(false) => 0,
            _ => self.reads(&Query {
                hit: Some(true),
                ..*query
            }),
        }
    }

    /// Reads that got an answer of which nobody said who gave it.
    pub fn reads_unknown(&self, query: &Query) -> u64 {
        let unknown = self.chosen(query).filter(|cell| {
            cell.kind.operation == Operation::Get && cell.kind.outcome == Outcome::Unknown
        });
        unknown.map(Cell::count).sum()
    }

    /// [`Self::hits`] as a share of [`Self::reads`], and how many reads that rests on; `None`
    /// without reads, and if of too many of them nobody said who answered ([`is_told`]). Failed reads
    /// are on neither side: they show in the error rate.
    pub fn hit_ratio(&self, query: &Query) -> Option<(f64, u64)> {
        let reads = self.reads(query);
        let told = is_told(reads, self.reads_unknown(query));
        (reads > 0 && told).then(|| (self.hits(query) as f64 / reads as f64, reads))
    }

    /// Failed requests by what went wrong.
    pub fn errors_by_kind(&self, query: &Query) -> BTreeMap<String, u64> {
        let count = |kinds: &BTreeMap<Kind, u64>| {
            let chosen = kinds
                .iter()
                .filter(|(kind, _)| query.includes(**kind, &self.schedule));
            chosen.map(|(_, count)| count).sum::<u64>()
        };
        let errors = self.collected.errors.iter();
        errors
            .map(|(text, kinds)| (text.clone(), count(kinds)))
            .filter(|(_, count)| *count > 0)
            .collect()
    }

    /// How the requests of `phases` began.
    pub fn starts_in(&self, phases: Phases) -> Starts {
        let by_phase = (0..).map(super::PhaseId).zip(&self.collected.starts);
        let mut all = Starts::default();
        for (phase, starts) in by_phase {
            if phases.include(Some(phase), &self.schedule) {
                all.merge(starts);
            }
        }
        all
    }

    /// How long `phases` lasted: what rates are computed over. Shorter than planned if the run
    /// was ended before.
    pub fn duration(&self, phases: Phases) -> Duration {
        let chosen = self
            .schedule
            .iter()
            .filter(|(id, _)| phases.include(Some(*id), &self.schedule));
        chosen
            .map(|(_, phase)| phase.end.min(self.collected_at).since(phase.start))
            .sum()
    }

    /// When it was collected.
    pub fn collected_at(&self) -> Timestamp {
        self.collected_at
    }

    /// The most users that were live at once.
    pub fn users_live_max(&self) -> u64 {
        self.collected.users_live_max
    }

    /// The most requests that waited for an answer at once.
    pub fn in_flight_max(&self) -> u64 {
        self.collected.in_flight_max
    }

    /// How many seconds a row of [`Self::seconds`] spans.
    pub fn row_width_s(&self) -> u32 {
        self.schedule.row_width_s()
    }

    /// One row for every [`Self::row_width_s`] seconds, from the start of the first phase to the last
    /// answer. A run that goes on for hours after its plan's end has the rest in its last row.
    pub fn seconds(&self) -> &[SecondRow] {
        &self.collected.seconds
    }
}
