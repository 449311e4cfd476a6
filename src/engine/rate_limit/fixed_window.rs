//! `fixed-window`: one count, from zero again when the next window of the clock begins. A control,
//! not advice: it is what the ADR's key pattern leads to.
//!
//! Promise: no window holds more than twice the limit, which is reached when one window's requests
//! come at its end and the next one's at its start. Cost: two numbers a key. Its classic defect is to
//! count and to set the expiry in two steps: a crash in between leaves a count for ever.

use super::{Decision, Held};

#[derive(Clone, Debug)]
pub(super) struct FixedWindow {
    requests: u64,
    window_us: u64,
    window: u64,
    count: u64,
}

impl FixedWindow {
    pub(super) fn new(requests: u64, window_us: u64) -> Self {
        Self {
            requests,
            window_us,
            window: 0,
            count: 0,
        }
    }

    pub(super) fn held(&self) -> Held {
        Held::Window([self.window, self.count])
    }

    pub(super) fn admit(&mut self, now_us: u64) -> Decision {
        let now_us = now_us.max(self.window * self.window_us);
        let window = now_us / self.window_us;
        if window > self.window {
            (self.window, self.count) = (window, 0);
        }
        if self.count >= self.requests {
            return Decision::Refuse {
                retry_us: (window + 1) * self.window_us - now_us,
            };
        }
        self.count += 1;
        Decision::Admit {
            remaining: self.requests - self.count,
        }
    }
}
