//! What ended in a few seconds of a run, for those who watch it while it goes on.
//!
//! Put together by [`super::recorder::Recorder::window`] from single seconds, which are there however
//! wide the rows of the run are; the runner's alerts ask it. Exact in its counts, whatever threads
//! record meanwhile.

use std::time::Duration;

use super::histogram::growing;
use super::series::{Counts, OpenSecond};
use crate::engine::data_type::DataTypeId;

/// The longest window that can be asked for.
pub const WINDOW_MAX: Duration = Duration::from_mins(5);

/// What ended in some seconds of a run.
#[derive(Debug)]
pub struct Window {
    pub(super) counts: Counts,
    /// In nanoseconds, failed requests left out; exact to 1%.
    pub(super) response_time: hdrhistogram::Histogram<u32>,
}

impl Default for Window {
    fn default() -> Self {
        Self {
            counts: Counts::default(),
            response_time: growing(2),
        }
    }
}

impl Window {
    pub(super) fn add(&mut self, second: &OpenSecond) {
        self.counts.add(&second.counts);
        let added = self.response_time.add(&second.response_time);
        debug_assert!(added.is_ok(), "it grows to hold what the other holds");
    }

    /// Requests.
    pub fn requests(&self) -> u64 {
        self.counts.requests
    }

    /// Those that failed.
    pub fn errors(&self) -> u64 {
        self.counts.errors
    }

    /// Reads that got an answer, of one data type or of all, and hits among them.
    pub fn reads_and_hits(&self, data_type: Option<DataTypeId>) -> (u64, u64) {
        match data_type {
            Some(id) => self.counts.reads_and_hits(id),
            None => (self.counts.reads, self.counts.hits),
        }
    }

    /// How many response times there are.
    pub fn timed(&self) -> u64 {
        self.response_time.len()
    }

    /// The smallest response time that a share `q` of them does not exceed, in microseconds; zero
    /// without any.
    pub fn quantile_us(&self, q: f64) -> f64 {
        self.response_time.value_at_quantile(q) as f64 / 1e3
    }

    /// The mean response time in microseconds; zero without any.
    pub fn mean_us(&self) -> f64 {
        self.response_time.mean() / 1e3
    }
}
