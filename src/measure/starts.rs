//! How the requests of a phase began: on time, late, after a wait for a place, or never.
//!
//! Kept by the recorder for each phase, apart from how they ended. From it follows whether the offered
//! rate was sustained.

use std::time::Duration;

use super::Sample;
use super::histogram::Histogram;
use crate::clock::Timestamp;
use crate::units::Ratio;

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

/// An offered rate is sustained if no more than this share of what was due in a phase was not sent by
/// its end: with less than that, somebody always happens to be under way.
pub const LATE_SHARE_MAX: Ratio = Ratio(0.02);

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

    /// Whether nearly all that was due was sent before the phase ended. A backlog says no, however small
    /// the delays are that it has led to so far.
    pub fn sustained(&self) -> bool {
        let late = self.due() - self.sent_in_phase;
        Ratio::of(late, self.due()).is_none_or(|late| late <= LATE_SHARE_MAX)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// So many were due, of which some were sent late and some never.
    fn starts(due: u64, late: u64, dropped: u64) -> Starts {
        Starts {
            sent: due - dropped,
            sent_in_phase: due - dropped - late,
            dropped,
            ..Starts::default()
        }
    }

    #[test]
    fn a_backlog_is_a_rate_that_was_not_sustained() {
        assert!(starts(0, 0, 0).sustained());
        assert!(starts(1_000, 20, 0).sustained());
        assert!(!starts(1_000, 21, 0).sustained());
        assert!(!starts(1_000, 10, 11).sustained());
    }

    #[test]
    fn a_wait_is_told_of_all_requests_not_of_those_that_waited() {
        let mut starts = starts(1_000, 0, 0);
        assert_eq!(starts.waited_p99(), Duration::ZERO);
        for ms in 1..=10 {
            starts.waited.record(Duration::from_millis(ms));
        }
        // 990 of 1,000 waited for nothing.
        assert_eq!(starts.waited_p99(), Duration::ZERO);
        for ms in 11..=100 {
            starts.waited.record(Duration::from_millis(ms));
        }
        // The 990th of 1,000, of which 900 did not wait.
        assert_eq!(starts.waited_p99().as_millis(), 90);
    }
}
