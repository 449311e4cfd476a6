//! Counts what the engine says of itself: lookups by layer, flights, invalidations, failures.
//!
//! One observer for each service instance, on the path of its requests; the runner tells it when
//! a phase begins and puts all of them together at the end ([`EngineMeasurements::collect`]).
//! What it costs is in `benches/record.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use super::histogram::Histogram;
use super::query::Phases;
use super::sharded::Sharded;
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
    /// Writes that the consumer of write-behind committed.
    pub write_behind_committed: u64,
    /// Loads in the background that were left out because too many were asked for.
    pub refreshes_dropped: u64,
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
        self.write_behind_committed += other.write_behind_committed;
        self.refreshes_dropped += other.refreshes_dropped;
    }
}

/// What happened in one phase.
#[derive(Clone, Debug, Default)]
struct InPhase {
    /// By data type and layer, at [`place_of`]; `None` if it never looked.
    lookups: Vec<Option<Lookups>>,
    happened: Happened,
    failures: BTreeMap<Layer, BTreeMap<String, u64>>,
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
            Event::WriteBehindCommitted { writes } => {
                happened.write_behind_committed += writes as u64;
            }
            Event::RefreshDropped { .. } => happened.refreshes_dropped += 1,
            Event::LayerFailed { layer, error } => self.count_failure(layer, error.to_string()),
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

    /// What else happened in `phases`.
    pub fn happened(&self, phases: Phases) -> Happened {
        let mut sum = Happened::default();
        for phase in self.chosen(phases) {
            sum.add(&phase.happened);
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::engine::data_type::Key;
    use crate::engine::layer::LayerError;
    use crate::measure::PhaseKind;
    use std::time::Duration;

    const A: DataTypeId = DataTypeId(0);
    const B: DataTypeId = DataTypeId(1);

    fn schedule() -> Arc<Schedule> {
        let second = Duration::from_secs(1);
        Arc::new(Schedule::new(
            Timestamp::EPOCH,
            [
                ("warm-up".to_owned(), PhaseKind::WarmUp, second),
                ("steady".to_owned(), PhaseKind::Measure, second),
            ],
        ))
    }

    fn lookup(data_type: DataTypeId, layer: Layer, found: bool, us: u64) -> Event<'static> {
        Event::Lookup {
            data_type,
            layer,
            found,
            took: Duration::from_micros(us),
        }
    }

    #[test]
    fn lookups_are_counted_by_phase_layer_and_data_type() {
        let (one, two) = (EngineObserver::new(), EngineObserver::new());
        one.observe(&lookup(A, Layer::Local, false, 1));
        one.enter_phase(PhaseId(0));
        one.observe(&lookup(A, Layer::Local, false, 1));
        for observer in [&one, &two] {
            observer.enter_phase(PhaseId(1));
            observer.observe(&lookup(A, Layer::Local, true, 1));
            observer.observe(&lookup(B, Layer::Local, false, 2));
            observer.observe(&lookup(B, Layer::Remote, true, 300));
            observer.observe(&Event::FillRefused {
                data_type: B,
                layer: Layer::Remote,
            });
        }
        two.leave_phases();
        two.observe(&lookup(A, Layer::Local, true, 1));

        let all = EngineMeasurements::collect([&one, &two], schedule());
        let local = all.layer(Layer::Local, Phases::Measured);
        assert_eq!((local.lookups, local.found, local.fills_refused), (4, 2, 0));
        let remote = all.layer(Layer::Remote, Phases::Measured);
        assert_eq!(
            (remote.lookups, remote.found, remote.fills_refused),
            (2, 2, 2)
        );
        assert_eq!(all.layer(Layer::Edge, Phases::All), LayerTotals::default());
        assert_eq!(all.layer(Layer::Local, Phases::All).lookups, 7);
        assert_eq!(all.layer(Layer::Local, Phases::Only(PhaseId(0))).lookups, 1);
        assert_eq!(
            all.asked_and_found(B, Layer::Local, Phases::Measured),
            (2, 0)
        );
        let service_time = all.service_time(B, Layer::Remote, Phases::Measured);
        assert_eq!(service_time.count(), 2);
        assert!(service_time.max() >= Duration::from_micros(300));
    }

    #[test]
    fn everything_else_is_counted_too() {
        let observer = EngineObserver::new();
        observer.enter_phase(PhaseId(1));
        let key = Key::new("a:1");
        for loaded_from_origin in [true, false] {
            observer.observe(&Event::FlightEnded {
                data_type: A,
                key: &key,
                followers: 3,
                loaded_from_origin,
            });
        }
        observer.observe(&Event::InvalidationSent { keys: 2 });
        observer.observe(&Event::InvalidationReceived { keys: 5 });
        observer.observe(&Event::LocalFlushed { entries: 70 });
        observer.observe(&Event::WriteBehindCommitted { writes: 11 });
        let all = EngineMeasurements::collect([&observer], schedule());
        let wanted = Happened {
            flights: 2,
            flights_to_origin: 1,
            followers: 6,
            invalidations_sent: 2,
            invalidations_received: 5,
            flushes: 1,
            flushed_entries: 70,
            write_behind_committed: 11,
            refreshes_dropped: 0,
        };
        assert_eq!(all.happened(Phases::Measured), wanted);
        assert_eq!(all.happened(Phases::Only(PhaseId(0))), Happened::default());
    }

    #[test]
    fn failures_are_kept_by_text_and_bounded() {
        let observer = EngineObserver::new();
        observer.enter_phase(PhaseId(1));
        let fail = |n: usize| {
            let error = LayerError::Refused("redis", format!("error {n}"));
            observer.observe(&Event::LayerFailed {
                layer: Layer::Remote,
                error: &error,
            });
        };
        (0..FAILURE_TEXTS_MAX + 10).for_each(fail);
        fail(3);
        let all = EngineMeasurements::collect([&observer], schedule());
        let failures = all.failures(Layer::Remote, Phases::Measured);
        assert_eq!(failures.len(), FAILURE_TEXTS_MAX + 1);
        assert_eq!(failures[OTHER_FAILURES], 10);
        assert_eq!(failures["redis answered with an error: error 3"], 2);
        let totals = all.layer(Layer::Remote, Phases::Measured);
        assert_eq!(totals.failures, FAILURE_TEXTS_MAX as u64 + 11);
    }
}
