//! Counters in the database, for systems that count requests without a cache: an exact sliding
//! log, one row per admitted request, as `INSERT` and `COUNT(*)` in one transaction would do it.

use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use crate::clock::Timestamp;
use crate::engine::data_type::{Key, Limit};
use crate::engine::layer::Admission;

/// How often keys of which no request matters any more are looked for.
const SWEEP_EVERY: Duration = Duration::from_mins(5);

/// The admitted requests of every key, as long as they matter.
#[derive(Debug, Default)]
pub(super) struct Counters {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    admitted: FxHashMap<Key, VecDeque<Timestamp>>,
    sweep_at: Timestamp,
}

impl State {
    /// Forgets the keys whose last request has left the window: a new one begins from nothing, too.
    fn sweep(&mut self, window: Duration, now: Timestamp) {
        if now >= self.sweep_at {
            let matters =
                |log: &VecDeque<Timestamp>| log.back().is_some_and(|at| *at + window > now);
            self.admitted.retain(|_, log| matters(log));
            self.sweep_at = now + SWEEP_EVERY;
        }
    }
}

impl Counters {
    /// Counts an arrival at `key` at `now`.
    pub(super) fn admit(&self, key: &Key, limit: Limit, now: Timestamp) -> Admission {
        let mut state = self.state.lock();
        state.sweep(limit.window, now);
        let log = state.admitted.entry(key.clone()).or_default();
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
            retry_after: Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keys_that_nobody_asks_for_any_more_are_forgotten() {
        const DAY_S: u64 = 86_400;
        let (counters, limit) = (Counters::default(), Limit::new(2, Duration::from_hours(1)));
        let mut held = Vec::new();
        for second in (0..3 * DAY_S).step_by(10) {
            let now = Timestamp::from_unix_nanos(second * 1_000_000_000);
            let key = Key::new(format!("k:{second}"));
            assert!(counters.admit(&key, limit, now).admitted);
            if second % DAY_S == DAY_S - 10 {
                held.push(counters.state.lock().admitted.len());
            }
        }
        assert!(held.iter().all(|held| *held <= 400), "{held:?}");
    }

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
