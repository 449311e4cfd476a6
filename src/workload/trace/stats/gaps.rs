//! The gaps between the requests of each key, and what they say of how many keys are asked for within a
//! time.
//!
//! A request makes its key one of those asked for within the last T until the key is asked for again,
//! or until T is over. So the mean number of keys within T is the sum of min(gap, T) over all requests,
//! divided by the whole time, where the gap after a key's last request ends with the trace. Gaps are
//! kept in bins of a sixteenth of an octave (16 KB). Pure.

use std::time::Duration;

/// Bins in an octave.
const IN_OCTAVE: u32 = 16;
const BITS: u32 = IN_OCTAVE.trailing_zeros();
const BINS: usize = (u64::BITS * IN_OCTAVE) as usize;

/// Gaps that are nearly equal.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Bin {
    count: f64,
    sum_ns: f64,
}

/// Gaps, by length.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Gaps {
    bins: Vec<Bin>,
    duration_ns: u64,
    /// How many keys one of those counted stands for.
    stands_for: u64,
}

impl Gaps {
    pub(super) fn add(&mut self, gap_ns: u64) {
        if self.bins.is_empty() {
            self.bins.resize(BINS, Bin::default());
        }
        let bin = &mut self.bins[bin_of(gap_ns)];
        bin.count += 1.0;
        bin.sum_ns += gap_ns as f64;
    }

    /// Half of the keys are counted no more: what was counted of all stands for half.
    pub(super) fn halve(&mut self) {
        for bin in &mut self.bins {
            bin.count /= 2.0;
            bin.sum_ns /= 2.0;
        }
    }

    /// The trace is over, after so long.
    pub(super) fn close(&mut self, duration_ns: u64, stands_for: u64) {
        (self.duration_ns, self.stands_for) = (duration_ns, stands_for);
    }

    /// How many keys are asked for within a time, on average.
    fn keys_within(&self, time_ns: f64) -> f64 {
        let held = self.bins.iter().filter(|bin| bin.count > 0.0);
        let held = held.map(|bin| (bin.sum_ns / bin.count).min(time_ns) * bin.count);
        held.sum::<f64>() * self.stands_for as f64 / self.duration_ns as f64
    }

    /// The time within which so many keys are asked for; `None` if that is never.
    pub(super) fn residence(&self, entries: u64) -> Option<Duration> {
        let (mut short, mut long) = (0.0, self.duration_ns as f64);
        if self.duration_ns == 0 || self.keys_within(long) < entries as f64 {
            return None;
        }
        for _ in 0..64 {
            let middle = f64::midpoint(short, long);
            if self.keys_within(middle) < entries as f64 {
                short = middle;
            } else {
                long = middle;
            }
        }
        Some(Duration::from_secs_f64(long / 1e9))
    }
}

/// Exact up to 16, then sixteen bins to each doubling.
fn bin_of(gap_ns: u64) -> usize {
    let Some(octave) = gap_ns.checked_ilog2().filter(|octave| *octave >= BITS) else {
        return gap_ns as usize;
    };
    let within = (gap_ns >> (octave - BITS)) & u64::from(IN_OCTAVE - 1);
    ((octave - BITS + 1) * IN_OCTAVE) as usize + within as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bins_are_in_order_and_narrow(gap: u64, other: u64) {
            let (low, high) = (gap.min(other), gap.max(other));
            prop_assert!(bin_of(low) <= bin_of(high) && bin_of(high) < BINS);
            if bin_of(low) == bin_of(high) {
                prop_assert!(high - low <= low / 16);
            }
        }
    }
}
