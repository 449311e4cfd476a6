//! `sliding-log`: the time of every admitted request, for as long as it is in the window.
//!
//! Promise: no window, wherever it begins, holds more than the limit, and a request is refused only
//! if the window that ends with it is full. Cost: memory for each admitted request of the last
//! window; in Redis a sorted set. Its classic defect is to use the time as the member as well, so
//! that two requests of one tick count once; members must be unique.

use std::collections::VecDeque;

use super::{Decision, Held};

#[derive(Clone, Debug)]
pub(super) struct SlidingLog {
    requests: u64,
    window_us: u64,
    admitted_us: VecDeque<u64>,
}

impl SlidingLog {
    pub(super) fn new(requests: u64, window_us: u64) -> Self {
        Self {
            requests,
            window_us,
            admitted_us: VecDeque::new(),
        }
    }

    pub(super) fn held(&self) -> Held {
        Held::Log(self.admitted_us.len())
    }

    pub(super) fn admit(&mut self, now_us: u64) -> Decision {
        let log = &mut self.admitted_us;
        let now_us = log.back().map_or(now_us, |newest| now_us.max(*newest));
        while log.front().is_some_and(|at| at + self.window_us <= now_us) {
            log.pop_front();
        }
        let held = log.len() as u64;
        match log.front() {
            Some(oldest) if held >= self.requests => Decision::Refuse {
                retry_us: oldest + self.window_us - now_us,
            },
            _ => {
                log.push_back(now_us);
                Decision::Admit {
                    remaining: self.requests.saturating_sub(held + 1),
                }
            }
        }
    }
}
