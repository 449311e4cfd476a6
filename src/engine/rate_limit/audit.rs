//! What a limiter really let through, recomputed from its log of decisions, and what it may let
//! through at most.
//!
//! Pure functions over times of admitted requests, in order, by the clock that decided. A window is
//! half open: a request just one window after another is not in the same one. Knows nothing of how
//! the decisions were made.

use std::time::Duration;

use super::window_us;
use crate::clock::Timestamp;
use crate::engine::data_type::{Limit, LimitAlgorithm};

/// The most that any one window may hold under `limit`, wherever it begins.
pub fn most_allowed(limit: Limit) -> u64 {
    match limit.algorithm {
        LimitAlgorithm::SlidingBuckets | LimitAlgorithm::SlidingLog => limit.requests,
        LimitAlgorithm::Gcra { burst } => limit.requests + burst.max(1) - 1,
        LimitAlgorithm::TwoBuckets => (2 * limit.requests).saturating_sub(1),
        LimitAlgorithm::FixedWindow => 2 * limit.requests,
    }
}

/// The most that any one window of length `window` holds, of all that end with a request.
pub fn most_admitted(admitted: &[Timestamp], window: Duration) -> u64 {
    let (mut first, mut most) = (0, 0);
    for (last, at) in admitted.iter().enumerate() {
        while admitted[first] + window <= *at {
            first += 1;
        }
        most = most.max(last + 1 - first);
    }
    most as u64
}

/// By how many requests, at the worst, a stretch of `admitted` of any length is over
/// `burst + requests * its length / window`; zero if none is.
pub fn over_burst(admitted: &[Timestamp], limit: Limit, burst: u64) -> u64 {
    let window = i128::from(window_us(limit.window)) * 1_000;
    // In units of one request's share of a nanosecond of the window, so that nothing is rounded.
    let level = |nth: usize, at: &Timestamp| {
        nth as i128 * window - i128::from(limit.requests) * i128::from(at.as_unix_nanos())
    };
    let (mut lowest, mut worst) = (i128::MAX, 0);
    for (nth, at) in admitted.iter().enumerate() {
        lowest = lowest.min(level(nth, at));
        worst = worst.max(level(nth + 1, at) - lowest - i128::from(burst) * window);
    }
    // Rounded up: any part of a request over is over.
    u64::try_from((worst + window - 1) / window).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn times(ms: &[u64]) -> Vec<Timestamp> {
        ms.iter()
            .map(|ms| Timestamp::from_unix_nanos(ms * 1_000_000))
            .collect()
    }

    #[test]
    fn a_window_is_half_open() {
        let second = Duration::from_secs(1);
        assert_eq!(most_admitted(&times(&[0, 999]), second), 2);
        assert_eq!(most_admitted(&times(&[0, 1_000]), second), 1);
        assert_eq!(most_admitted(&times(&[5, 5, 5, 900, 1_004]), second), 5);
        assert_eq!(most_admitted(&[], second), 0);
    }

    #[test]
    fn a_burst_is_counted_over_stretches_of_every_length() {
        // Ten a second: one every 100 ms.
        let over = |ms: &[u64], burst| {
            over_burst(&times(ms), Limit::new(10, Duration::from_secs(1)), burst)
        };
        assert_eq!(over(&[0, 100, 200], 1), 0);
        assert_eq!(over(&[0, 99, 200], 1), 1);
        assert_eq!(over(&[0, 0, 0, 300], 3), 0);
        assert_eq!(over(&[0, 0, 0, 99], 3), 1);
        assert_eq!(over(&[0, 5_000, 5_000, 5_000, 5_000], 2), 2);
        assert_eq!(over(&[], 1), 0);
    }

    proptest! {
        #[test]
        fn both_find_what_trying_every_stretch_finds(
            mut ms in prop::collection::vec(0u64..3_000, 0..40),
            requests in 1u64..20,
            burst in 1u64..5,
        ) {
            ms.sort_unstable();
            let admitted = times(&ms);
            let limit = Limit::new(requests, Duration::from_secs(1));
            let stretches = (0..ms.len()).flat_map(|i| (i..ms.len()).map(move |j| (i, j)));
            let (mut most, mut over) = (0, 0);
            for (i, j) in stretches {
                let (count, length) = ((j - i + 1) as u64, ms[j] - ms[i]);
                if length < 1_000 {
                    most = most.max(count);
                }
                let over_by = (count * 1_000).saturating_sub(burst * 1_000 + requests * length);
                over = over.max(over_by.div_ceil(1_000));
            }
            prop_assert_eq!(most_admitted(&admitted, limit.window), most);
            prop_assert_eq!(over_burst(&admitted, limit, burst), over);
        }
    }
}
