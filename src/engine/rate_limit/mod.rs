//! Counters: may this request pass, given how many passed lately? One algorithm per file, each with
//! what it promises.
//!
//! Here they stand in plain Rust, one [`Counter`] per key. The same decisions are made in Redis by
//! `remote/scripts/limit_*.lua`, on the server's time and in one step; tests hold the two together.
//! [`audit`] recomputes from a log of decisions what was really let through. All algorithms count in
//! whole microseconds, because that is what Redis's clock gives, and count only requests that they
//! admit. Knows no key, no clock and no Redis.

pub mod audit;
mod fixed_window;
mod gcra;
mod held;
mod sliding_buckets;
mod sliding_log;
mod two_buckets;

#[cfg(test)]
mod tests;

use std::time::Duration;

use super::data_type::{Limit, LimitAlgorithm};
use super::layer::Admission;
use crate::clock::Timestamp;
use fixed_window::FixedWindow;
use gcra::Gcra;
pub(crate) use held::Held;
pub(crate) use sliding_buckets::BUCKETS;
use sliding_buckets::SlidingBuckets;
use sliding_log::SlidingLog;
use two_buckets::TwoBuckets;

/// The counter of one key.
#[derive(Clone, Debug)]
pub struct Counter(State);

#[derive(Clone, Debug)]
enum State {
    SlidingBuckets(SlidingBuckets),
    SlidingLog(SlidingLog),
    Gcra(Gcra),
    TwoBuckets(TwoBuckets),
    FixedWindow(FixedWindow),
}

impl Counter {
    /// A counter that nobody has asked yet.
    pub fn new(limit: Limit) -> Self {
        let (requests, window_us) = (limit.requests.max(1), window_us(limit.window));
        Self(match limit.algorithm {
            LimitAlgorithm::SlidingBuckets => {
                State::SlidingBuckets(SlidingBuckets::new(requests, window_us))
            }
            LimitAlgorithm::SlidingLog => State::SlidingLog(SlidingLog::new(requests, window_us)),
            LimitAlgorithm::Gcra { burst } => State::Gcra(Gcra::new(requests, window_us, burst)),
            LimitAlgorithm::TwoBuckets => State::TwoBuckets(TwoBuckets::new(requests, window_us)),
            LimitAlgorithm::FixedWindow => {
                State::FixedWindow(FixedWindow::new(requests, window_us))
            }
        })
    }

    /// What it keeps between two arrivals.
    pub(crate) fn held(&self) -> Held {
        match &self.0 {
            State::SlidingBuckets(counter) => counter.held(),
            State::SlidingLog(counter) => counter.held(),
            State::Gcra(counter) => counter.held(),
            State::TwoBuckets(counter) => counter.held(),
            State::FixedWindow(counter) => counter.held(),
        }
    }

    /// Counts an arrival at `now`, cut to whole microseconds. Should time go back, the counter stands
    /// still until it has caught up.
    pub fn admit(&mut self, now: Timestamp) -> Admission {
        let now_us = now.as_unix_nanos() / 1_000;
        let decision = match &mut self.0 {
            State::SlidingBuckets(counter) => counter.admit(now_us),
            State::SlidingLog(counter) => counter.admit(now_us),
            State::Gcra(counter) => counter.admit(now_us),
            State::TwoBuckets(counter) => counter.admit(now_us),
            State::FixedWindow(counter) => counter.admit(now_us),
        };
        match decision {
            Decision::Admit { remaining } => Admission {
                admitted: true,
                remaining,
                retry_after: Duration::ZERO,
            },
            Decision::Refuse { retry_us } => Admission {
                admitted: false,
                remaining: 0,
                retry_after: Duration::from_micros(retry_us),
            },
        }
    }
}

/// What an algorithm says to an arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decision {
    Admit { remaining: u64 },
    Refuse { retry_us: u64 },
}

/// The window in the unit in which all algorithms count; never zero.
pub(crate) fn window_us(window: Duration) -> u64 {
    u64::try_from(window.as_micros()).unwrap_or(u64::MAX).max(1)
}
