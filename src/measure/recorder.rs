//! The recorder: takes every sample of a run, and is the truth that reports are made from.
//!
//! Drivers call it, for each request, through [`SampleSink`]; a live display calls
//! [`Recorder::live`] a few times a second; the runner calls [`Recorder::finish`] at the end.
//! Nothing is sampled or estimated: every request is in a histogram. What `record` costs is in
//! `benches/record.rs`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use super::histogram::growing;
use super::measurements::{Cell, Collected, Measurements};
use super::oracle::staleness::StalenessOracle;
use super::query::Kind;
use super::series::{ClosedSeconds, Counts, OpenSeconds, UsersLive, row_of, second_of};
use super::sharded::Sharded;
use super::sink::SampleSink;
use super::starts::Starts;
use super::window::Window;
use super::{PhaseId, Sample, Schedule};
use crate::clock::{Clock, Timestamp};
use crate::engine::data_type::PolicyTable;
use crate::engine::layer::Outcome;

/// How many whole seconds the recent figures of [`Live`] look back.
pub const LIVE_WINDOW_S: u32 = 5;

/// Kinds of errors that a thread tells apart; what comes after goes to [`OTHER_ERRORS`].
const ERROR_KINDS_MAX: usize = 64;

/// The kind of errors of too many kinds.
pub const OTHER_ERRORS: &str = "other errors";

/// The kind of errors that came without a word.
pub const UNNAMED_ERROR: &str = "unnamed error";

/// How it goes, for a display.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Live {
    /// The phase now; `None` before the first and after the last.
    pub phase: Option<PhaseId>,
    /// Users that are live now.
    pub users: u64,
    /// Requests that wait for an answer now.
    pub in_flight: u64,
    /// Requests that ended so far.
    pub requests: u64,
    /// Those that failed.
    pub errors: u64,
    /// Requests per second over the last [`LIVE_WINDOW_S`] whole seconds.
    pub rate_per_s: f64,
    /// 95th percentile of the response time in the same seconds; `None` without samples.
    pub response_time_p95: Option<Duration>,
    /// Hits among the reads that were answered in the same seconds; `None` without reads.
    pub hit_ratio: Option<f64>,
}

/// What one thread recorded.
#[derive(Debug, Default)]
struct Shard {
    /// The place of each kind in `cells`, by [`Kind::packed`].
    places: FxHashMap<u64, usize>,
    cells: Vec<Cell>,
    /// How requests began, by phase.
    starts: Vec<Starts>,
    errors: FxHashMap<String, FxHashMap<Kind, u64>>,
    seconds: OpenSeconds,
    requests: u64,
    failed: u64,
}

impl Shard {
    fn count(
        &mut self,
        sample: &Sample,
        (second, phase_end): (u32, Timestamp),
        closed: &Mutex<ClosedSeconds>,
    ) {
        let kind = Kind {
            phase: sample.phase,
            user_kind: sample.user_kind,
            data_type: sample.data_type,
            operation: sample.operation,
            outcome: sample.outcome,
            layer: sample.layer,
        };
        let place = *self.places.entry(kind.packed()).or_insert_with(|| {
            self.cells.push(Cell::new(kind));
            self.cells.len() - 1
        });
        let cell = &mut self.cells[place];
        cell.response_time
            .record(sample.finished.since(sample.intended_start));
        cell.service_time.record(sample.finished.since(sample.sent));

        self.starts_of(sample.phase).count(sample, phase_end);

        self.requests += 1;
        if sample.outcome == Outcome::Error {
            self.failed += 1;
            self.count_error(kind, sample.error.as_deref().unwrap_or(UNNAMED_ERROR));
        }
        self.seconds.count(second, sample, closed);
    }

    fn starts_of(&mut self, phase: PhaseId) -> &mut Starts {
        let at = usize::from(phase.0);
        if at >= self.starts.len() {
            self.starts.resize_with(at + 1, Starts::default);
        }
        &mut self.starts[at]
    }

    fn count_error(&mut self, kind: Kind, text: &str) {
        let known = self.errors.contains_key(text);
        let text = if known || self.errors.len() < ERROR_KINDS_MAX {
            text
        } else {
            OTHER_ERRORS
        };
        // No `entry`: it would copy the text of every error.
        if let Some(of_text) = self.errors.get_mut(text) {
            *of_text.entry(kind).or_default() += 1;
        } else {
            let of_text = FxHashMap::from_iter([(kind, 1)]);
            self.errors.insert(text.to_owned(), of_text);
        }
    }
}

/// Takes every sample of a run.
#[derive(Debug)]
pub struct Recorder {
    clock: Clock,
    schedule: Arc<Schedule>,
    policies: Arc<PolicyTable>,
    oracle: Option<Arc<StalenessOracle>>,
    shards: Sharded<Shard>,
    closed: Mutex<ClosedSeconds>,
    row_width_s: u32,
    users: Mutex<UsersLive>,
    in_flight: AtomicU64,
    in_flight_max: AtomicU64,
}

impl Recorder {
    /// A recorder for one run by `schedule`. Reads are shown to `oracle`, which judges versions.
    pub fn new(
        clock: Clock,
        schedule: Arc<Schedule>,
        policies: Arc<PolicyTable>,
        oracle: Option<Arc<StalenessOracle>>,
    ) -> Self {
        let row_width_s = schedule.row_width_s();
        Self {
            clock,
            schedule,
            policies,
            oracle,
            shards: Sharded::default(),
            closed: Mutex::new(ClosedSeconds::new(row_width_s)),
            row_width_s,
            users: Mutex::default(),
            in_flight: AtomicU64::new(0),
            in_flight_max: AtomicU64::new(0),
        }
    }

    /// How it goes now. Cheap enough for several calls a second.
    pub fn live(&self) -> Live {
        let now = self.clock.now();
        let this_second = second_of(now, self.schedule.start());
        let window = this_second.saturating_sub(LIVE_WINDOW_S)..this_second;
        let mut counts = Counts::default();
        let mut response_time = growing(2);
        let (mut requests, mut errors) = (0, 0);
        for shard in self.shards.each() {
            requests += shard.requests;
            errors += shard.failed;
            for second in shard.seconds.within(window.clone()) {
                counts.add(&second.counts);
                let added = response_time.add(&second.response_time);
                debug_assert!(added.is_ok(), "it grows to hold what the other holds");
            }
        }
        let p95 = Duration::from_nanos(response_time.value_at_quantile(0.95));
        Live {
            phase: self.schedule.phase_at(now),
            users: self.users.lock().now,
            in_flight: self.in_flight.load(Ordering::Relaxed),
            requests,
            errors,
            rate_per_s: counts.requests as f64 / f64::from(window.len().max(1) as u32),
            response_time_p95: (!response_time.is_empty()).then_some(p95),
            hit_ratio: (counts.reads > 0).then(|| counts.hits as f64 / counts.reads as f64),
        }
    }

    /// How many users are live now.
    pub fn live_users(&self) -> u64 {
        self.users.lock().now
    }

    /// What ended in `seconds` of the run, as far as it was recorded. Where the rows of the run are
    /// wider than a second, only the last [`WINDOW_MAX`](super::window::WINDOW_MAX) are there.
    /// Recording waits for a moment, some 10 µs for each second asked for.
    pub fn window(&self, seconds: std::ops::Range<u32>) -> Window {
        self.put_together(Window::new(true), seconds)
    }

    /// The same without response times, which is what takes the time.
    pub fn window_of_counts(&self, seconds: std::ops::Range<u32>) -> Window {
        self.put_together(Window::new(false), seconds)
    }

    fn put_together(&self, mut window: Window, seconds: std::ops::Range<u32>) -> Window {
        let shards = self.shards.all();
        for shard in &shards {
            for second in shard.seconds.within(seconds.clone()) {
                window.add(second);
            }
        }
        // Taken before the threads may fold a second from theirs into it.
        let closed = self.closed.lock();
        drop(shards);
        closed.add_to(&mut window, seconds);
        window
    }

    /// All that was recorded up to now. Recording waits while it is collected, so that the parts
    /// agree; after an interruption it gives what there is.
    pub fn finish(&self) -> Measurements {
        let collected_at = self.clock.now();
        let shards = self.shards.all();
        let mut seconds = self.closed.lock().clone();
        let mut collected = Collected::default();
        for shard in &shards {
            for open in shard.seconds.within(0..u32::MAX) {
                seconds.absorb(open);
            }
            collected.add(&shard.cells, &shard.starts, &shard.errors);
        }
        drop(shards);
        let users = self.users.lock();
        collected.seconds = seconds.rows(&users, &self.schedule, self.policies.len());
        collected.users_live_max = users.max;
        collected.in_flight_max = self.in_flight_max.load(Ordering::Relaxed);
        Measurements::new(
            Arc::clone(&self.schedule),
            Arc::clone(&self.policies),
            collected_at,
            collected,
        )
    }

    /// What was recorded up to now without its seconds, which take the most time to put together: for
    /// those who judge a run while it goes on. Each thread waits for its own part only.
    pub fn so_far(&self) -> Measurements {
        let mut collected = Collected::default();
        for shard in self.shards.each() {
            collected.add(&shard.cells, &shard.starts, &shard.errors);
        }
        collected.users_live_max = self.users.lock().max;
        collected.in_flight_max = self.in_flight_max.load(Ordering::Relaxed);
        Measurements::new(
            Arc::clone(&self.schedule),
            Arc::clone(&self.policies),
            self.clock.now(),
            collected,
        )
    }

    fn change_users(&self, change: impl FnOnce(u64) -> u64) {
        let mut users = self.users.lock();
        let second = second_of(self.clock.now(), self.schedule.start());
        let now = change(users.now);
        users.set(row_of(second, self.row_width_s), now);
    }
}

impl SampleSink for Recorder {
    fn record(&self, sample: Sample) {
        if let (Some(oracle), Some((key, version))) = (&self.oracle, &sample.read) {
            oracle.read(sample.data_type, key, *version, sample.sent, sample.phase);
        }
        let second = second_of(sample.finished, self.schedule.start());
        let phase_end = self.schedule.get(sample.phase).end;
        let at = (second, phase_end);
        self.shards.mine().count(&sample, at, &self.closed);
    }

    fn request_dropped(&self, phase: PhaseId) {
        self.shards.mine().starts_of(phase).dropped += 1;
    }

    fn user_started(&self) {
        self.change_users(|live| live + 1);
    }

    fn user_ended(&self) {
        self.change_users(|live| live.saturating_sub(1));
    }

    fn request_started(&self) {
        let now = self.in_flight.fetch_add(1, Ordering::Relaxed) + 1;
        // A plain look first: a new maximum is rare, and writing would share the line for nothing.
        if now > self.in_flight_max.load(Ordering::Relaxed) {
            self.in_flight_max.fetch_max(now, Ordering::Relaxed);
        }
    }

    fn request_ended(&self) {
        let ended = |now: u64| Some(now.saturating_sub(1));
        let _ = self
            .in_flight
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, ended);
    }
}

#[cfg(test)]
pub(super) mod tests;
