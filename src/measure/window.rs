//! What ended in a few seconds of a run, for those who watch it while it goes on.
//!
//! Put together by [`super::recorder::Recorder::window`] from single seconds, which are there however
//! wide the rows of the run are; the runner's alerts ask it. Exact in its counts, whatever threads
//! record meanwhile.

use std::time::Duration;

use super::histogram::growing;
use super::measurements::is_told;
use super::series::{Counts, OpenSecond};
use crate::engine::data_type::DataTypeId;

/// The longest window that can be asked for.
pub const WINDOW_MAX: Duration = Duration::from_mins(5);

/// What ended in some seconds of a run.
#[derive(Debug)]
pub struct Window {
    pub(super) counts: Counts,
    /// In nanoseconds, failed requests left out; exact to 1%. `None` if nobody wants it.
    pub(super) response_time: Option<hdrhistogram::Histogram<u32>>,
}

impl Window {
    /// Of nothing yet; with response times, which take much longer than counts to put together, or
    /// without.
    pub(super) fn new(timed: bool) -> Self {
        Self {
            counts: Counts::default(),
            response_time: timed.then(|| growing(2)),
        }
    }

    pub(super) fn add(&mut self, second: &OpenSecond) {
        self.counts.add(&second.counts);
        if let Some(times) = &mut self.response_time {
            let added = times.add(&second.response_time);
            debug_assert!(added.is_ok(), "it grows to hold what the other holds");
        }
    }

    /// Adds a second by its counts, and the response times in nanoseconds that belong to them, each
    /// with how often it occurred.
    pub(super) fn add_closed(&mut self, counts: &Counts, response_time: &[(u64, u64)]) {
        self.counts.add(counts);
        let Some(times) = &mut self.response_time else {
            return;
        };
        for (value, count) in response_time {
            let recorded = times.record_n(*value, *count as u32);
            debug_assert!(recorded.is_ok(), "it grows to hold any 64-bit value");
        }
    }

    /// Requests.
    pub fn requests(&self) -> u64 {
        self.counts.requests
    }

    /// Those that failed.
    pub fn errors(&self) -> u64 {
        self.counts.errors
    }

    /// Reads that got an answer, of one data type or of all, and hits among them; none if of too many
    /// nobody said who answered ([`is_told`]).
    pub fn reads_and_hits(&self, data_type: Option<DataTypeId>) -> (u64, u64) {
        let (reads, hits) = match data_type {
            Some(id) => self.counts.reads_and_hits(id),
            None => (self.counts.reads, self.counts.hits),
        };
        if is_told(reads, self.counts.unknown(data_type)) {
            (reads, hits)
        } else {
            (0, 0)
        }
    }

    /// How many response times there are.
    pub fn timed(&self) -> u64 {
        let times = self.response_time.as_ref();
        times.map_or(0, hdrhistogram::Histogram::len)
    }

    /// The smallest response time that a share `q` of them does not exceed, in microseconds; zero
    /// without any.
    pub fn quantile_us(&self, q: f64) -> f64 {
        let times = self.response_time.as_ref();
        times.map_or(0.0, |times| times.value_at_quantile(q) as f64 / 1e3)
    }

    /// The mean response time in microseconds; zero without any.
    pub fn mean_us(&self) -> f64 {
        let times = self.response_time.as_ref();
        times.map_or(0.0, |times| times.mean() / 1e3)
    }
}
