//! Counters in the database, for systems that count requests without a cache: an exact sliding
//! log, one row per admitted request, as `INSERT` and `COUNT(*)` in one transaction would do it.

use std::collections::VecDeque;

use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use crate::clock::Timestamp;
use crate::engine::data_type::{Key, Limit};
use crate::engine::layer::Admission;

/// The admitted requests of every key, as long as they matter.
#[derive(Debug, Default)]
pub(super) struct Counters {
    admitted: Mutex<FxHashMap<Key, VecDeque<Timestamp>>>,
}

impl Counters {
    /// Counts an arrival at `key` at `now`.
    pub(super) fn admit(&self, key: &Key, limit: Limit, now: Timestamp) -> Admission {
        let mut keys = self.admitted.lock();
        let log = keys.entry(key.clone()).or_default();
        while log.front().is_some_and(|at| *at + limit.window <= now) {
            log.pop_front();
        }
        let held = log.len() as u64;
        if held >= limit.requests {
            let retry_at = log.front().map_or(now, |oldest| *oldest + limit.window);
            return Admission {
                admitted: false,
                remaining: 0,
                retry_after: retry_at.since(now),
            };
        }
        log.push_back(now);
        Admission {
            admitted: true,
            remaining: limit.requests - held - 1,
            retry_after: std::time::Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    proptest! {
        #[test]
        fn no_window_ever_admits_more_than_the_limit(
            gaps_ms in prop::collection::vec(0u64..400, 1..200),
            requests in 1u64..6,
        ) {
            let limit = Limit::new(requests, Duration::from_secs(1));
            let (counters, key) = (Counters::default(), Key::new("k"));
            let mut now = Timestamp::from_unix_nanos(1_000_000_000_000);
            let mut admitted = Vec::new();
            for gap in gaps_ms {
                now = now + Duration::from_millis(gap);
                let decision = counters.admit(&key, limit, now);
                if decision.admitted {
                    admitted.push(now);
                } else {
                    // The advice must be right: at that time, and not before, there is room.
                    prop_assert!(!decision.retry_after.is_zero());
                }
                let held = admitted.iter().filter(|at| **at + limit.window > now).count() as u64;
                prop_assert!(held <= requests);
                prop_assert_eq!(decision.remaining, if decision.admitted { requests - held } else { 0 });
            }
        }
    }
}
