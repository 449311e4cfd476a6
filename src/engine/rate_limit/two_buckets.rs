//! `two-buckets`: counts by fixed windows, and takes of the last window the share that is still in
//! sight, as if its requests had come evenly.
//!
//! Promise: no window holds more than twice the limit less one; that is reached when the last
//! window's requests all came at its end. With even arrivals it is close to the limit. Cost: three
//! numbers a key.
//!
//! Source: the approximation that Cloudflare described in "How we built rate limiting capable of
//! scaling to millions of domains" (2017).

use super::{Decision, Held};

#[derive(Clone, Debug)]
pub(super) struct TwoBuckets {
    requests: u64,
    window_us: u64,
    /// The number of the current window, and the counts of it and of the one before.
    window: u64,
    current: u64,
    previous: u64,
}

impl TwoBuckets {
    pub(super) fn new(requests: u64, window_us: u64) -> Self {
        Self {
            requests,
            window_us,
            window: 0,
            current: 0,
            previous: 0,
        }
    }

    pub(super) fn held(&self) -> Held {
        Held::Windows([self.window, self.current, self.previous])
    }

    pub(super) fn admit(&mut self, now_us: u64) -> Decision {
        let now_us = now_us.max(self.window * self.window_us);
        let window = now_us / self.window_us;
        if window > self.window {
            let follows = window == self.window + 1;
            self.previous = if follows { self.current } else { 0 };
            (self.window, self.current) = (window, 0);
        }
        let into_us = now_us % self.window_us;
        let counted = self.current + in_sight(self.previous, self.window_us, into_us);
        if counted < self.requests {
            self.current += 1;
            return Decision::Admit {
                remaining: self.requests - counted - 1,
            };
        }
        Decision::Refuse {
            retry_us: self.room_at() - into_us,
        }
    }

    /// When, in microseconds from the start of the current window, one more may pass if nobody else
    /// comes.
    fn room_at(&self) -> u64 {
        match self.requests.checked_sub(self.current + 1) {
            Some(room) => fades_to(room, self.previous, self.window_us),
            // Not in this window. In the next, this one is the previous.
            None => self.window_us + fades_to(self.requests - 1, self.current, self.window_us),
        }
    }
}

/// What of `count` requests of the last window is still in sight, rounded up. In floating point, and
/// in just these steps, because so does the script.
fn in_sight(count: u64, window_us: u64, into_us: u64) -> u64 {
    let share = (window_us - into_us) as f64 / window_us as f64;
    ceil(count as f64 * share)
}

/// When no more than `room` of `count` requests of the last window are in sight.
fn fades_to(room: u64, count: u64, window_us: u64) -> u64 {
    if count <= room {
        return 0;
    }
    ceil(window_us as f64 * ((count - room) as f64 / count as f64))
}

#[allow(
    clippy::cast_sign_loss,
    reason = "counts and microseconds are never negative"
)]
fn ceil(number: f64) -> u64 {
    number.ceil() as u64
}
