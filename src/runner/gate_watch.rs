//! Looks at the gates of a plan while a run goes on: what windows show of those that every window must
//! hold, and whether one that may end the run is lost.
//!
//! Called by the monitor with the looks that it makes anyway. What a window shows of a metric is
//! `sight`'s, what is measured so far `evidence`'s, and when a gate is lost is decided in `gates`.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::evidence::{RunEvidence, time_of};
use super::monitor::{Observed, Reading};
use super::scale::Scale;
use super::sight::{Sight, readings};
use crate::clock::Timestamp;
use crate::engine::data_type::PolicyTable;
use crate::gates::Gate;
use crate::gates::abort::is_lost;
use crate::gates::alert::{Alert, Watch};
use crate::gates::judge::{EarlyEnd, Evidence, LostGate, Observation};
use crate::gates::metric::Metric;
use crate::gates::windowed::{Seconds, Windows};
use crate::measure::Schedule;
use crate::measure::engine_observer::{EngineMeasurements, EngineObserver};
use crate::measure::oracle::staleness::StalenessOracle;
use crate::measure::recorder::Recorder;
use crate::measure::window::Window;

/// What is looked at.
#[derive(Clone)]
pub(super) struct Sources {
    pub(super) schedule: Arc<Schedule>,
    pub(super) recorder: Arc<Recorder>,
    pub(super) policies: Arc<PolicyTable>,
    pub(super) observers: Vec<Arc<EngineObserver>>,
    pub(super) oracle: Arc<StalenessOracle>,
    /// The kinds of users, and how many there are of each.
    pub(super) user_kinds: Vec<(String, u32)>,
    /// Whether there should be a Redis, or a memcached in its place.
    pub(super) has_store: bool,
    /// Of a sample: how it becomes the whole that is judged.
    pub(super) scale: Scale,
}

/// One gate that is looked at.
struct WatchedGate {
    place: usize,
    gate: Gate,
    /// From when to when the time lasts that it looks at.
    time: (Timestamp, Timestamp),
    windows: Option<Windows>,
}

impl WatchedGate {
    /// Whether it ends the run if it is lost at `now`.
    fn may_end(&self, now: Timestamp) -> bool {
        let after = self.gate.abort_after;
        after.is_some_and(|after| now >= self.time.0 + after)
    }
}

/// The gates that are looked at while a run goes on.
pub(super) struct GateWatch {
    gates: Vec<WatchedGate>,
    sources: Sources,
    /// The last second of the run that a window ended with.
    seen_until_s: u32,
}

/// What became of the gates while the run went on.
#[derive(Clone, Debug, Default)]
pub(super) struct GatesSeen {
    /// What windows showed, by the gate's place in the list.
    pub(super) windows: BTreeMap<usize, Windows>,
    /// The end of the run, if a gate ended it.
    pub(super) ended: Option<EarlyEnd>,
}

impl GateWatch {
    /// Watches `gates`; those that may end a run only if it `may_end`.
    pub(super) fn new(gates: &[Gate], may_end: bool, sources: Sources) -> Self {
        let watched = |(place, gate): (usize, &Gate)| {
            let mut gate = gate.clone();
            gate.abort_after = gate.abort_after.filter(|_| may_end);
            let is_watched = gate.window.is_some() || gate.abort_after.is_some();
            let time = time_of(&gate.check, &sources.schedule).filter(|_| is_watched)?;
            Some(WatchedGate {
                place,
                windows: Windows::of(&gate),
                gate,
                time,
            })
        };
        Self {
            gates: gates.iter().enumerate().filter_map(watched).collect(),
            sources,
            seen_until_s: 0,
        }
    }

    /// Whether there are windows to look at, one a second.
    pub(super) fn any_windows(&self) -> bool {
        self.gates.iter().any(|watched| watched.windows.is_some())
    }

    /// Looks at the windows that ended up to `until` since the last look. `first` was read before the
    /// first request, `recent` since then, from the begin of the longest window on at least.
    pub(super) fn look_at_windows(
        &mut self,
        first: &Reading,
        recent: &[Reading],
        until: Timestamp,
    ) {
        let until_s = until.since(self.sources.schedule.start()).as_secs() as u32;
        for end_s in self.seen_until_s + 1..=until_s {
            self.look_at_windows_to(end_s, first, recent);
        }
        self.seen_until_s = self.seen_until_s.max(until_s);
    }

    fn look_at_windows_to(&mut self, end_s: u32, first: &Reading, recent: &[Reading]) {
        let start = self.sources.schedule.start();
        let sources = &self.sources;
        let mut windows: BTreeMap<(u32, bool), Window> = BTreeMap::new();
        for WatchedGate {
            gate,
            time,
            windows: seen,
            ..
        } in &mut self.gates
        {
            let (Some(seen), Some(length)) = (seen, gate.window) else {
                continue;
            };
            let length_s = length.as_secs() as u32;
            let Some(seconds) = window_to(end_s, length_s, seconds_within(start, *time)) else {
                continue;
            };
            let timed = matches!(gate.check.metric, Metric::Distribution(..));
            let window = windows.entry((length_s, timed)).or_insert_with(|| {
                let recorder = &sources.recorder;
                if timed {
                    recorder.window(seconds.clone())
                } else {
                    recorder.window_of_counts(seconds.clone())
                }
            });
            let sight = Sight {
                readings: readings(first, recent, length),
                window,
                policies: &sources.policies,
                users: sources.recorder.live_users(),
                has_store: sources.has_store,
            };
            let shown = sight.observe(&gate.check);
            let shown = sources.scale.to_whole(gate.check.metric, shown);
            seen.look(seconds, shown);
        }
    }

    /// Whether a gate that may end the run at `now` is lost, by what is `observed` and what became of
    /// the `alerts` so far. Those without windows are looked at only if it is time for `all`.
    pub(super) fn lost(
        &self,
        now: Timestamp,
        (observed, alerts): (&Observed, &[(Alert, Watch)]),
        all: bool,
    ) -> Option<EarlyEnd> {
        let due =
            |watched: &&WatchedGate| watched.may_end(now) && (all || watched.windows.is_some());
        let due: Vec<&WatchedGate> = self.gates.iter().filter(due).collect();
        let so_far = due
            .iter()
            .any(|watched| watched.windows.is_none())
            .then(|| self.so_far());
        let mut lost = Vec::new();
        for watched in due {
            let found = match (&watched.windows, &so_far) {
                (Some(windows), _) => lost_window(windows),
                (None, Some((measurements, engine))) => {
                    let evidence = RunEvidence {
                        measurements,
                        engine,
                        oracle: &self.sources.oracle,
                        observed,
                        alerts,
                        improvement: None,
                        user_kinds: &self.sources.user_kinds,
                        has_store: self.sources.has_store,
                        scale: &self.sources.scale,
                    };
                    let check = &watched.gate.check;
                    let seen = evidence.observe(check);
                    is_lost(check, seen).then_some((seen, None))
                }
                (None, None) => None,
            };
            if let Some((seen, seconds)) = found {
                lost.push(LostGate {
                    place: watched.place,
                    name: watched.gate.name.clone(),
                    seen,
                    seconds,
                });
            }
        }
        let at = now.since(self.sources.schedule.start());
        (!lost.is_empty()).then_some(EarlyEnd { at, lost })
    }

    fn so_far(
        &self,
    ) -> (
        crate::measure::measurements::Measurements,
        EngineMeasurements,
    ) {
        let Sources {
            schedule,
            recorder,
            observers,
            ..
        } = &self.sources;
        let asks_layers = self
            .gates
            .iter()
            .any(|watched| watched.gate.check.selectors.layer.is_some());
        let observers = observers.iter().filter(|_| asks_layers);
        let observers = observers.map(|observer| &**observer);
        let engine = EngineMeasurements::collect(observers, Arc::clone(schedule));
        (recorder.so_far(), engine)
    }

    /// What became of the gates; `ended` is how one of them ended the run.
    pub(super) fn finish(self, ended: Option<EarlyEnd>) -> GatesSeen {
        let windows = self.gates.into_iter();
        GatesSeen {
            windows: windows
                .filter_map(|watched| Some((watched.place, watched.windows?)))
                .collect(),
            ended,
        }
    }
}

/// What a windowed gate that is lost has shown worst.
fn lost_window(windows: &Windows) -> Option<(Observation, Option<Seconds>)> {
    let worst = windows.worst().filter(|_| windows.lost() > 0)?;
    Some((worst.seen, Some(worst.seconds.clone())))
}

/// The whole seconds of the run, which began at `start`, that lie in a time of it.
fn seconds_within(start: Timestamp, (from, to): (Timestamp, Timestamp)) -> Range<u32> {
    let nearly = Duration::from_secs(1) - Duration::from_nanos(1);
    let first = (from.since(start) + nearly).as_secs() as u32;
    first..to.since(start).as_secs() as u32
}

/// The window of a length that ends with a second, if it lies in the seconds of a time.
fn window_to(end_s: u32, length_s: u32, time: Range<u32>) -> Option<Seconds> {
    let from = end_s.checked_sub(length_s)?;
    (from >= time.start && end_s <= time.end).then_some(from..end_s)
}

#[cfg(test)]
mod tests;
