//! Counts what the engine says of itself: lookups by layer, flights, invalidations, failures.
//!
//! One observer for each service instance, on the path of its requests; the runner tells it when
//! a phase begins and puts all of them together at the end ([`EngineMeasurements::collect`]).
//! What it costs is in `benches/record.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use super::durability::Durability;
use super::histogram::Histogram;
use super::query::Phases;
use super::sharded::Sharded;
use super::warming::WarmingCounts;
use super::{PhaseId, Schedule};
use crate::engine::data_type::DataTypeId;
use crate::engine::event::{Event, Observer};
use crate::engine::layer::Layer;

/// Texts of failures that a thread tells apart; what comes after goes to [`OTHER_FAILURES`].
const FAILURE_TEXTS_MAX: usize = 32;

/// The text of failures of too many kinds.
pub const OTHER_FAILURES: &str = "other failures";

/// Before the first phase.
const NO_PHASE: u16 = u16::MAX;

/// Lookups of one data type in one layer.
#[derive(Clone, Debug, Default, PartialEq)]
struct Lookups {
    found: u64,
    fills_refused: u64,
    /// Of every lookup.
    service_time: Histogram,
}

/// What happened besides lookups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Happened {
    /// Coalesced loads that ended.
    pub flights: u64,
    /// Those whose leader had to ask the origin.
    pub flights_to_origin: u64,
    /// Requests that waited for a leader.
    pub followers: u64,
    /// Keys whose invalidation was published.
    pub invalidations_sent: u64,
    /// Keys whose invalidation was received.
    pub invalidations_received: u64,
    /// Times that a local layer was emptied because invalidations may have been lost.
    pub flushes: u64,
    /// Entries dropped thereby.
    pub flushed_entries: u64,
    /// Times that a local layer was compared with the remote layer for the same reason.
    pub revalidations: u64,
    /// Entries dropped thereby.
    pub revalidated_away: u64,
    /// Notices that were lost between instances.
    pub notices_missed: u64,
    /// Subscriptions that stood but were silent.
    pub silent_subscriptions: u64,
    /// Patterns and data types that were invalidated by generation.
    pub outdated: u64,
    /// Patterns and data types that were invalidated by scan.
    pub sweeps: u64,
    /// Keys removed thereby.
    pub swept_keys: u64,
    /// Writes that the consumer of write-behind committed.
    pub write_behind_committed: u64,
    /// Loads in the background that were left out because too many were asked for.
    pub refreshes_dropped: u64,
    /// What was done so that nothing is lost and nothing breaks.
    pub durability: Durability,
}

impl Happened {
    fn add(&mut self, other: &Self) {
        self.flights += other.flights;
        self.flights_to_origin += other.flights_to_origin;
        self.followers += other.followers;
        self.invalidations_sent += other.invalidations_sent;
        self.invalidations_received += other.invalidations_received;
        self.flushes += other.flushes;
        self.flushed_entries += other.flushed_entries;
        self.revalidations += other.revalidations;
        self.revalidated_away += other.revalidated_away;
        self.notices_missed += other.notices_missed;
        self.silent_subscriptions += other.silent_subscriptions;
        self.outdated += other.outdated;
        self.sweeps += other.sweeps;
        self.swept_keys += other.swept_keys;
        self.write_behind_committed += other.write_behind_committed;
        self.refreshes_dropped += other.refreshes_dropped;
        self.durability.add(&other.durability);
    }
}

/// What happened in one phase.
#[derive(Clone, Debug, Default)]
struct InPhase {
    /// By data type and layer, at [`place_of`]; `None` if it never looked.
    lookups: Vec<Option<Lookups>>,
    happened: Happened,
    warming: WarmingCounts,
    failures: BTreeMap<Layer, BTreeMap<String, u64>>,
    unsupported: BTreeMap<&'static str, u64>,
}

const LAYERS: usize = Layer::ALL.len();

fn place_of(data_type: DataTypeId, layer: Layer) -> usize {
    data_type.index() * LAYERS + layer as usize
}

fn layer_at(place: usize) -> Layer {
    Layer::ALL[place % LAYERS]
}

impl InPhase {
    fn lookups(&mut self, data_type: DataTypeId, layer: Layer) -> &mut Lookups {
        let place = place_of(data_type, layer);
        if place >= self.lookups.len() {
            self.lookups.resize_with(place + 1, || None);
        }
        self.lookups[place].get_or_insert_default()
    }

    fn count(&mut self, event: &Event<'_>) {
        let happened = &mut self.happened;
        match *event {
            Event::Lookup {
                data_type,
                layer,
                found,
                took,
            } => {
                let lookups = self.lookups(data_type, layer);
                lookups.found += u64::from(found);
                lookups.service_time.record(took);
            }
            Event::FlightEnded {
                followers,
                loaded_from_origin,
                ..
            } => {
                happened.flights += 1;
                happened.flights_to_origin += u64::from(loaded_from_origin);
                happened.followers += u64::from(followers);
            }
            Event::FillRefused { data_type, layer } => {
                self.lookups(data_type, layer).fills_refused += 1;
            }
            Event::InvalidationSent { keys } => happened.invalidations_sent += keys as u64,
            Event::InvalidationReceived { keys } => happened.invalidations_received += keys as u64,
            Event::LocalFlushed { entries } => {
                happened.flushes += 1;
                happened.flushed_entries += entries as u64;
            }
            Event::LocalRevalidated { dropped, .. } => {
                happened.revalidations += 1;
                happened.revalidated_away += dropped as u64;
            }
            Event::NoticesMissed { missed, .. } => happened.notices_missed += missed,
            Event::SubscriptionSilent { .. } => happened.silent_subscriptions += 1,
            Event::Outdated { .. } => happened.outdated += 1,
            Event::Swept { keys, .. } => {
                happened.sweeps += 1;
                happened.swept_keys += keys;
            }
            Event::WriteBehindCommitted { writes } => {
                happened.write_behind_committed += writes as u64;
            }
            Event::RefreshDropped { .. } => happened.refreshes_dropped += 1,
            Event::Unsupported { what, .. } => *self.unsupported.entry(what).or_default() += 1,
            Event::LayerFailed { layer, error } => self.count_failure(layer, error.to_string()),
            Event::Warmed { .. } | Event::WarmingEnded { .. } => self.warming.count(event),
            ref other => happened.durability.count(other),
        }
    }

    fn count_failure(&mut self, layer: Layer, text: String) {
        let texts = self.failures.entry(layer).or_default();
        let text = if texts.len() < FAILURE_TEXTS_MAX || texts.contains_key(&text) {
            text
        } else {
            OTHER_FAILURES.to_owned()
        };
        *texts.entry(text).or_default() += 1;
    }

    fn merge(&mut self, other: &Self) {
        let places = self.lookups.len().max(other.lookups.len());
        self.lookups.resize_with(places, || None);
        let pairs = self.lookups.iter_mut().zip(&other.lookups);
        for (mine, others) in pairs.filter_map(|(mine, others)| Some((mine, others.as_ref()?))) {
            let mine = mine.get_or_insert_default();
            mine.found += others.found;
            mine.fills_refused += others.fills_refused;
            mine.service_time.merge(&others.service_time);
        }
        self.happened.add(&other.happened);
        self.warming.add(&other.warming);
        for (what, count) in &other.unsupported {
            *self.unsupported.entry(what).or_default() += count;
        }
        for (layer, texts) in &other.failures {
            let mine = self.failures.entry(*layer).or_default();
            for (text, count) in texts {
                *mine.entry(text.clone()).or_default() += count;
            }
        }
    }
}

/// What one thread saw, by phase.
#[derive(Debug, Default)]
struct Shard {
    before: InPhase,
    phases: Vec<InPhase>,
}

impl Shard {
    fn phase(&mut self, phase: u16) -> &mut InPhase {
        if phase == NO_PHASE {
            return &mut self.before;
        }
        let place = usize::from(phase);
        if place >= self.phases.len() {
            self.phases.resize_with(place + 1, InPhase::default);
        }
        &mut self.phases[place]
    }
}

/// Counts what one instance's engine says of itself.
#[derive(Debug)]
pub struct EngineObserver {
    phase: AtomicU16,
    shards: Sharded<Shard>,
}

impl Default for EngineObserver {
    fn default() -> Self {
        Self::new()
    }
}

impl EngineObserver {
    /// An observer that is in no phase yet.
    pub fn new() -> Self {
        Self {
            phase: AtomicU16::new(NO_PHASE),
            shards: Sharded::default(),
        }
    }

    /// What happens from now on counts for `phase`.
    pub fn enter_phase(&self, phase: PhaseId) {
        self.phase.store(phase.0.into(), Ordering::Relaxed);
    }

    /// What happens from now on counts for no phase, as before the first.
    pub fn leave_phases(&self) {
        self.phase.store(NO_PHASE, Ordering::Relaxed);
    }
}

impl Observer for EngineObserver {
    fn observe(&self, event: &Event<'_>) {
        let phase = self.phase.load(Ordering::Relaxed);
        self.shards.mine().phase(phase).count(event);
    }
}

/// One layer, as the engine saw it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LayerTotals {
    /// How often it was asked.
    pub lookups: u64,
    /// How often it had the entry.
    pub found: u64,
    /// Stale fills that it refused.
    pub fills_refused: u64,
    /// How often it failed, in lookups and in all else.
    pub failures: u64,
    /// How long it took to answer lookups.
    pub service_time: Histogram,
}

/// What the engines of all instances said of themselves.
#[derive(Debug)]
pub struct EngineMeasurements {
    schedule: Arc<Schedule>,
    phases: BTreeMap<Option<PhaseId>, InPhase>,
}

impl EngineMeasurements {
    /// All that `observers` counted up to now, in the phases of `schedule`.
    pub fn collect<'o>(
        observers: impl IntoIterator<Item = &'o EngineObserver>,
        schedule: Arc<Schedule>,
    ) -> Self {
        let mut phases: BTreeMap<Option<PhaseId>, InPhase> = BTreeMap::new();
        for observer in observers {
            for shard in observer.shards.each() {
                phases.entry(None).or_default().merge(&shard.before);
                for (id, phase) in (0..).map(PhaseId).zip(&shard.phases) {
                    phases.entry(Some(id)).or_default().merge(phase);
                }
            }
        }
        Self { schedule, phases }
    }

    fn chosen(&self, phases: Phases) -> impl Iterator<Item = &InPhase> {
        let chosen = move |id: &Option<PhaseId>| phases.include(*id, &self.schedule);
        self.phases
            .iter()
            .filter(move |(id, _)| chosen(id))
            .map(|(_, phase)| phase)
    }

    /// Lookups of `layer` by `data_type` (`None`: by all).
    fn lookups(
        &self,
        data_type: Option<DataTypeId>,
        layer: Layer,
        phases: Phases,
    ) -> impl Iterator<Item = &Lookups> {
        let wanted = move |place: usize| {
            layer_at(place) == layer && data_type.is_none_or(|id| place_of(id, layer) == place)
        };
        self.chosen(phases)
            .flat_map(|phase| phase.lookups.iter().enumerate())
            .filter(move |(place, _)| wanted(*place))
            .filter_map(|(_, lookups)| lookups.as_ref())
    }

    /// What `layer` did in `phases`.
    pub fn layer(&self, layer: Layer, phases: Phases) -> LayerTotals {
        let mut totals = LayerTotals::default();
        for lookups in self.lookups(None, layer, phases) {
            totals.found += lookups.found;
            totals.fills_refused += lookups.fills_refused;
            totals.service_time.merge(&lookups.service_time);
        }
        totals.lookups = totals.service_time.count();
        totals.failures = self.failures(layer, phases).values().sum();
        totals
    }

    /// How long `layer` took to answer lookups of `data_type` in `phases`.
    pub fn service_time(&self, data_type: DataTypeId, layer: Layer, phases: Phases) -> Histogram {
        self.lookups(Some(data_type), layer, phases)
            .map(|lookups| &lookups.service_time)
            .collect()
    }

    /// How often `layer` was asked for `data_type` in `phases`, and how often it had the entry.
    pub fn asked_and_found(
        &self,
        data_type: DataTypeId,
        layer: Layer,
        phases: Phases,
    ) -> (u64, u64) {
        self.lookups(Some(data_type), layer, phases)
            .fold((0, 0), |(asked, found), lookups| {
                (asked + lookups.service_time.count(), found + lookups.found)
            })
    }

    /// How `layer` failed in `phases`: the error's text and how often.
    pub fn failures(&self, layer: Layer, phases: Phases) -> BTreeMap<String, u64> {
        let mut failures = BTreeMap::new();
        let texts = self
            .chosen(phases)
            .filter_map(|phase| phase.failures.get(&layer));
        for (text, count) in texts.flatten() {
            *failures.entry(text.clone()).or_default() += count;
        }
        failures
    }

    /// What layers were asked to do in `phases` though they cannot, and how often.
    pub fn unsupported(&self, phases: Phases) -> BTreeMap<&'static str, u64> {
        let mut unsupported = BTreeMap::new();
        for (what, count) in self.chosen(phases).flat_map(|phase| &phase.unsupported) {
            *unsupported.entry(*what).or_default() += count;
        }
        unsupported
    }

    /// What else happened in `phases`.
    pub fn happened(&self, phases: Phases) -> Happened {
        let mut sum = Happened::default();
        for phase in self.chosen(phases) {
            sum.add(&phase.happened);
        }
        sum
    }

    /// What the rounds of warming did that ended in `phases`.
    pub fn warming(&self, phases: Phases) -> WarmingCounts {
        let mut sum = WarmingCounts::default();
        for phase in self.chosen(phases) {
            sum.add(&phase.warming);
        }
        sum
    }

    /// What the rounds did that ended outside of every phase: before the first user came.
    pub fn warming_before_traffic(&self) -> WarmingCounts {
        let outside = self.phases.get(&None);
        outside
            .map(|phase| phase.warming.clone())
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
