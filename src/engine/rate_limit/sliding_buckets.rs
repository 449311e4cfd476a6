//! `sliding-buckets`: the window is cut into sub-buckets, and the oldest, which lies only partly
//! inside, is counted in full.
//!
//! Promise: no window holds more than the limit. Price: room is given back up to one sub-bucket
//! late, so that a caller who is always at the limit gets 32 of 33 of it. Cost: at most 33 small
//! numbers a key, whatever the limit.

use std::collections::VecDeque;

use super::{Decision, Held};

/// Into how many the window is cut.
pub(crate) const BUCKETS: u64 = 32;

#[derive(Clone, Debug)]
pub(super) struct SlidingBuckets {
    requests: u64,
    width_us: u64,
    /// Number and count of each that is not empty, the oldest first.
    held: VecDeque<(u64, u64)>,
}

impl SlidingBuckets {
    pub(super) fn new(requests: u64, window_us: u64) -> Self {
        Self {
            requests,
            // Rounded up: together the buckets are never shorter than the window.
            width_us: window_us.div_ceil(BUCKETS),
            held: VecDeque::new(),
        }
    }

    pub(super) fn held(&self) -> Held {
        Held::Buckets(self.held.len())
    }

    pub(super) fn admit(&mut self, now_us: u64) -> Decision {
        let newest = self.held.back().map_or(0, |(bucket, _)| *bucket);
        let now_us = now_us.max(newest * self.width_us);
        let current = now_us / self.width_us;
        while self
            .held
            .front()
            .is_some_and(|(bucket, _)| bucket + BUCKETS < current)
        {
            self.held.pop_front();
        }
        let total: u64 = self.held.iter().map(|(_, count)| count).sum();
        if let Some((oldest, _)) = self.held.front()
            && total >= self.requests
        {
            let leaves_us = (oldest + BUCKETS + 1) * self.width_us;
            return Decision::Refuse {
                retry_us: leaves_us - now_us,
            };
        }
        match self.held.back_mut() {
            Some((bucket, count)) if *bucket == current => *count += 1,
            _ => self.held.push_back((current, 1)),
        }
        Decision::Admit {
            remaining: self.requests.saturating_sub(total + 1),
        }
    }
}
