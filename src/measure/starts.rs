//! How the requests of a phase began: on time, late, after a wait for a place, or never.
//!
//! Kept by the recorder for each phase, apart from how they ended. From it follows whether the offered
//! rate was sustained.

use std::time::Duration;

use super::Sample;
use super::histogram::Histogram;
use crate::clock::Timestamp;

/// How the requests of one phase began.
#[derive(Clone, Debug, Default)]
pub struct Starts {
    /// How much later than it could each was sent: the generator's own delay.
    pub slip: Histogram,
    /// How long those waited that had to, because as many were under way as may be at once.
    pub waited: Histogram,
    /// Requests that were sent.
    pub sent: u64,
    /// Those of them that were sent before the phase ended.
    pub sent_in_phase: u64,
    /// Requests that were due and never sent.
    pub dropped: u64,
}

impl Starts {
    /// Counts a request of the phase that ends at `phase_end`.
    pub(super) fn count(&mut self, sample: &Sample, phase_end: Timestamp) {
        let late = sample.sent.since(sample.intended_start);
        self.slip.record(late.saturating_sub(sample.waited));
        if !sample.waited.is_zero() {
            self.waited.record(sample.waited);
        }
        self.sent += 1;
        self.sent_in_phase += u64::from(sample.sent < phase_end);
    }

    /// Adds those of another.
    pub fn merge(&mut self, other: &Self) {
        self.slip.merge(&other.slip);
        self.waited.merge(&other.waited);
        self.sent += other.sent;
        self.sent_in_phase += other.sent_in_phase;
        self.dropped += other.dropped;
    }

    /// Requests that were due.
    pub fn due(&self) -> u64 {
        self.sent + self.dropped
    }

    /// What 1% of all requests that were due waited for at least, until there was a place.
    pub fn waited_p99(&self) -> Duration {
        // Of all that were due, not of those that waited alone.
        let without = self.due().saturating_sub(self.waited.count());
        let rank = self.due() as f64 * 0.99 - without as f64;
        if rank <= 0.0 || self.waited.count() == 0 {
            return Duration::ZERO;
        }
        self.waited.quantile(rank / self.waited.count() as f64)
    }
}
