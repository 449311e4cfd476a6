//! One row for each second of a run, or in a long one for each minute or so: what ended in it.
//!
//! Each thread keeps the last few seconds open and folds older ones into a shared list of rows, as
//! values with their counts: memory grows with the rows (a few KB each), of which there are never
//! more than a few thousand, and not with threads, requests or time. Where rows are wider than a
//! second, the last minutes are kept by the second beside them, for those who watch. Used by the
//! recorder alone.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;

use super::histogram::{growing, nanos};
use super::window::{WINDOW_MAX, Window};
use super::{PhaseId, Sample, Schedule};
use crate::clock::Timestamp;
use crate::engine::data_type::DataTypeId;
use crate::engine::layer::{Layer, Operation, Outcome, is_hit};

/// Rows of a run at the most, whatever its plan said; the last one takes all that comes after.
pub(super) const ROWS_MAX: u32 = 7_200;

/// How many seconds are kept beside rows that are wider: the longest window that somebody looks at,
/// and what may still be open elsewhere.
const RECENT_S: u32 = WINDOW_MAX.as_secs() as u32 + OPEN as u32;

/// Seconds that a thread keeps open. More than [`super::recorder::LIVE_WINDOW_S`], which reads
/// them.
const OPEN: usize = 16;

/// Significant digits of a second's percentiles.
const DIGITS: u8 = 2;

/// The second of `moment` in a run that began at `start`; the last that there is for all after it.
pub(super) fn second_of(moment: Timestamp, start: Timestamp) -> u32 {
    let second = moment.since(start).as_secs();
    u32::try_from(second).map_or(u32::MAX - 1, |second| second.min(u32::MAX - 1))
}

/// The row of `second`.
pub(super) fn row_of(second: u32, width_s: u32) -> u32 {
    (second / width_s.max(1)).min(ROWS_MAX - 1)
}

/// Reads by who answered them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    /// By the CDN.
    pub edge: u64,
    /// By the service instance.
    pub local: u64,
    /// By Redis or memcached.
    pub remote: u64,
    /// By the database.
    pub origin: u64,
    /// Nobody said by whom.
    pub unknown: u64,
    /// By nobody: they failed.
    pub errors: u64,
}

impl Answers {
    fn count(&mut self, outcome: Outcome, layer: Layer) {
        let counter = match (outcome, layer) {
            (Outcome::Error, _) => &mut self.errors,
            (Outcome::Unknown, _) => &mut self.unknown,
            (_, Layer::Edge) => &mut self.edge,
            (_, Layer::Local) => &mut self.local,
            (_, Layer::Remote) => &mut self.remote,
            (_, Layer::Origin) => &mut self.origin,
        };
        *counter += 1;
    }

    fn add(&mut self, other: &Self) {
        self.edge += other.edge;
        self.local += other.local;
        self.remote += other.remote;
        self.origin += other.origin;
        self.unknown += other.unknown;
        self.errors += other.errors;
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        self.edge + self.local + self.remote + self.origin + self.unknown + self.errors
    }
}

/// One second of a run, or as many as [`super::measurements::Measurements::row_width_s`] says.
#[derive(Clone, Debug, PartialEq)]
pub struct SecondRow {
    /// When it begins, from the start of the run.
    pub t_s: u32,
    /// The phase in which it begins; `None` after the last.
    pub phase: Option<PhaseId>,
    /// Users that were live at its end.
    pub users_live: u64,
    /// Requests that ended in it.
    pub requests: u64,
    /// Those that failed.
    pub errors: u64,
    /// Median response time of those that did not fail; `None` without any.
    pub response_time_us_p50: Option<f64>,
    /// 95th percentile.
    pub response_time_us_p95: Option<f64>,
    /// 99th percentile.
    pub response_time_us_p99: Option<f64>,
    /// Mean service time of the same requests.
    pub service_time_us_mean: Option<f64>,
    /// Reads by data type, in the order of the policy table, and by who answered.
    pub answers: Vec<Answers>,
}

/// The counts of one second.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    pub(super) requests: u64,
    pub(super) errors: u64,
    /// The sum of the service times of those that did not fail.
    service_time: Duration,
    /// Reads that got an answer of which is known who gave it.
    pub(super) reads: u64,
    pub(super) hits: u64,
    answers: Vec<Answers>,
    /// By data type, as `answers`.
    hits_by_type: Vec<u64>,
}

impl Counts {
    fn count(&mut self, sample: &Sample) {
        self.requests += 1;
        let failed = sample.outcome == Outcome::Error;
        self.errors += u64::from(failed);
        if !failed {
            self.service_time += sample.finished.since(sample.sent);
        }
        if sample.operation == Operation::Get {
            let told = !failed && sample.outcome != Outcome::Unknown;
            self.reads += u64::from(told);
            let hit = u64::from(is_hit(sample.outcome, sample.layer));
            self.hits += hit;
            let place = sample.data_type.index();
            if place >= self.answers.len() {
                self.answers.resize(place + 1, Answers::default());
                self.hits_by_type.resize(place + 1, 0);
            }
            self.hits_by_type[place] += hit;
            self.answers[place].count(sample.outcome, sample.layer);
        }
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.errors += other.errors;
        self.service_time += other.service_time;
        self.reads += other.reads;
        self.hits += other.hits;
        let types = self.answers.len().max(other.answers.len());
        self.answers.resize(types, Answers::default());
        for (mine, others) in self.answers.iter_mut().zip(&other.answers) {
            mine.add(others);
        }
        self.hits_by_type.resize(types, 0);
        for (mine, others) in self.hits_by_type.iter_mut().zip(&other.hits_by_type) {
            *mine += others;
        }
    }

    /// The mean service time of the requests that did not fail.
    fn service_time_us_mean(&self) -> Option<f64> {
        let answered = self.requests - self.errors;
        (answered > 0).then(|| self.service_time.as_secs_f64() * 1e6 / answered as f64)
    }

    /// Reads of `data_type` that got an answer, and hits among them.
    pub(super) fn reads_and_hits(&self, data_type: DataTypeId) -> (u64, u64) {
        let place = data_type.index();
        let answers = self.answers.get(place).copied().unwrap_or_default();
        let hits = self.hits_by_type.get(place).copied().unwrap_or(0);
        (answers.total() - answers.unknown - answers.errors, hits)
    }

    /// Reads of `data_type`, or of all, of which nobody said who answered.
    pub(super) fn unknown(&self, data_type: Option<DataTypeId>) -> u64 {
        match data_type {
            Some(id) => self.answers.get(id.index()).map_or(0, |one| one.unknown),
            None => self.answers.iter().map(|one| one.unknown).sum(),
        }
    }

    fn reset(&mut self) {
        let mut answers = std::mem::take(&mut self.answers);
        answers.fill(Answers::default());
        let mut hits_by_type = std::mem::take(&mut self.hits_by_type);
        hits_by_type.fill(0);
        *self = Self {
            answers,
            hits_by_type,
            ..Self::default()
        };
    }
}

/// A second that a thread still counts into.
#[derive(Debug)]
pub(super) struct OpenSecond {
    second: u32,
    pub(super) counts: Counts,
    /// In nanoseconds, failed requests left out.
    pub(super) response_time: hdrhistogram::Histogram<u32>,
}

impl OpenSecond {
    fn new(second: u32) -> Self {
        Self {
            second,
            counts: Counts::default(),
            response_time: growing(DIGITS),
        }
    }

    fn count(&mut self, sample: &Sample) {
        self.counts.count(sample);
        if sample.outcome != Outcome::Error {
            let took = sample.finished.since(sample.intended_start);
            let recorded = self.response_time.record(nanos(took));
            debug_assert!(recorded.is_ok(), "it grows to hold any 64-bit value");
        }
    }

    fn restart(&mut self, second: u32) {
        self.second = second;
        self.counts.reset();
        self.response_time.reset();
    }
}

/// The seconds that a thread still counts into.
#[derive(Debug, Default)]
pub(super) struct OpenSeconds {
    /// Each second has one place, the second modulo [`OPEN`].
    places: [Option<Box<OpenSecond>>; OPEN],
}

impl OpenSeconds {
    /// Counts a sample that ended in `second`; what must make room goes to `closed`.
    pub(super) fn count(&mut self, second: u32, sample: &Sample, closed: &Mutex<ClosedSeconds>) {
        let place = &mut self.places[second as usize % OPEN];
        let open = place.get_or_insert_with(|| Box::new(OpenSecond::new(second)));
        if second > open.second {
            closed.lock().absorb(open);
            open.restart(second);
        }
        if second == open.second {
            open.count(sample);
        } else {
            let mut late = OpenSecond::new(second);
            late.count(sample);
            closed.lock().absorb(&late);
        }
    }

    /// Those of the open seconds that are in `wanted`.
    pub(super) fn within(&self, wanted: std::ops::Range<u32>) -> impl Iterator<Item = &OpenSecond> {
        let open = self.places.iter().flatten().map(|open| &**open);
        open.filter(move |open| wanted.contains(&open.second))
    }
}

/// A second of all threads, or a row of more.
#[derive(Clone, Debug, Default)]
struct ClosedSecond {
    counts: Counts,
    /// Response times in nanoseconds and how often each occurred, sorted.
    response_time: Vec<(u64, u64)>,
}

impl ClosedSecond {
    /// Adds `counts` and the response times that belong to them.
    fn add(&mut self, counts: &Counts, response_time: &[(u64, u64)]) {
        self.counts.add(counts);
        let times = &mut self.response_time;
        times.extend(response_time);
        // Stable: two sorted runs are merged, not sorted anew.
        times.sort_by_key(|(value, _)| *value);
        times.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            if same {
                kept.1 += next.1;
            }
            same
        });
    }
}

/// The rows of a run of all threads.
#[derive(Clone, Debug)]
pub(super) struct ClosedSeconds {
    width_s: u32,
    /// By number.
    rows: BTreeMap<u32, ClosedSecond>,
    /// The last [`RECENT_S`] seconds one by one, where rows are wider.
    recent: BTreeMap<u32, ClosedSecond>,
}

impl ClosedSeconds {
    /// No rows yet, each to span `width_s` seconds.
    pub(super) fn new(width_s: u32) -> Self {
        Self {
            width_s: width_s.max(1),
            rows: BTreeMap::new(),
            recent: BTreeMap::new(),
        }
    }

    /// Adds what one thread counted.
    pub(super) fn absorb(&mut self, open: &OpenSecond) {
        let times: Vec<(u64, u64)> = open
            .response_time
            .iter_recorded()
            .map(|step| (step.value_iterated_to(), step.count_since_last_iteration()))
            .collect();
        let row = self.rows.entry(row_of(open.second, self.width_s));
        row.or_default().add(&open.counts, &times);
        if self.width_s > 1 {
            let recent = self.recent.entry(open.second);
            recent.or_default().add(&open.counts, &times);
            while let Some(oldest) = self.recent.first_entry()
                && oldest.key() + RECENT_S < open.second
            {
                oldest.remove();
            }
        }
    }

    /// Adds those of the closed seconds that are in `wanted` to a window; of a run of wide rows, only
    /// the last [`WINDOW_MAX`] are there.
    pub(super) fn add_to(&self, window: &mut Window, wanted: std::ops::Range<u32>) {
        let seconds = match self.width_s {
            1 => &self.rows,
            _ => &self.recent,
        };
        for second in seconds.range(wanted).map(|(_, second)| second) {
            window.add_closed(&second.counts, &second.response_time);
        }
    }

    /// The rows of a run of `data_types` data types, from its start to the last that holds
    /// anything.
    pub(super) fn rows(
        &self,
        users: &UsersLive,
        schedule: &Schedule,
        data_types: usize,
    ) -> Vec<SecondRow> {
        let last = self.rows.keys().chain(users.at_end_of.keys()).max();
        let mut users_live = 0;
        let empty = ClosedSecond::default();
        let row = |number: u32| {
            users_live = *users.at_end_of.get(&number).unwrap_or(&users_live);
            let row = self.rows.get(&number).unwrap_or(&empty);
            let mut answers = row.counts.answers.clone();
            answers.resize(answers.len().max(data_types), Answers::default());
            let us = |q| quantile(&row.response_time, q).map(|nanos| nanos as f64 / 1e3);
            let t_s = number.saturating_mul(self.width_s);
            let begin = schedule.start() + Duration::from_secs(t_s.into());
            SecondRow {
                t_s,
                phase: schedule.phase_at(begin),
                users_live,
                requests: row.counts.requests,
                errors: row.counts.errors,
                response_time_us_p50: us(0.5),
                response_time_us_p95: us(0.95),
                response_time_us_p99: us(0.99),
                service_time_us_mean: row.counts.service_time_us_mean(),
                answers,
            }
        };
        last.map_or_else(Vec::new, |last| (0..=*last).map(row).collect())
    }

    /// How many rows and single seconds there are.
    #[cfg(test)]
    pub(super) fn held(&self) -> (usize, usize) {
        (self.rows.len(), self.recent.len())
    }
}

/// The smallest of the sorted `(value, times)` that a share `q` of all does not exceed.
fn quantile(sorted: &[(u64, u64)], q: f64) -> Option<u64> {
    let total: u64 = sorted.iter().map(|(_, times)| times).sum();
    #[allow(clippy::cast_sign_loss, reason = "a share of a count is not negative")]
    let rank = ((total as f64 * q).ceil() as u64).max(1);
    let mut seen = 0;
    let reaches = |(_, times): &&(u64, u64)| {
        seen += times;
        seen >= rank
    };
    sorted.iter().find(reaches).map(|(value, _)| *value)
}

/// How many users there were, row by row.
#[derive(Clone, Debug, Default)]
pub(super) struct UsersLive {
    pub(super) now: u64,
    pub(super) max: u64,
    /// By row, for rows in which it changed.
    at_end_of: BTreeMap<u32, u64>,
}

impl UsersLive {
    /// There are `now` users, in this `row` and after it.
    pub(super) fn set(&mut self, row: u32, now: u64) {
        self.now = now;
        self.max = self.max.max(now);
        self.at_end_of.insert(row, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_second_is_counted_from_the_start_and_bounded() {
        let start = Timestamp::from_unix_nanos(5_500_000_000);
        let at = |nanos| second_of(Timestamp::from_unix_nanos(nanos), start);
        assert_eq!(at(0), 0, "before the start");
        assert_eq!(at(6_499_999_999), 0);
        assert_eq!(at(6_500_000_000), 1);
        assert_eq!(second_of(Timestamp::NEVER, start), u32::MAX - 1);
        assert_eq!((row_of(6, 1), row_of(119, 60), row_of(120, 60)), (6, 1, 2));
        assert_eq!(row_of(u32::MAX - 1, 1), ROWS_MAX - 1);
    }

    proptest! {
        #[test]
        fn the_quantile_of_counts_is_that_of_the_values(
            counts in prop::collection::btree_map(0u64..1_000, 1u64..5, 0..30),
            q in 0.0..=1.0f64,
        ) {
            let sorted: Vec<(u64, u64)> = counts.into_iter().collect();
            let values: Vec<u64> = sorted
                .iter()
                .flat_map(|(value, times)| vec![*value; *times as usize])
                .collect();
            #[allow(clippy::cast_sign_loss, reason = "a share of a count is not negative")]
            let rank = ((values.len() as f64 * q).ceil() as usize).max(1);
            prop_assert_eq!(quantile(&sorted, q), values.get(rank - 1).copied());
        }
    }
}
