//! `gcra`: the generic cell rate algorithm. Requests should come evenly apart; up to `burst` of them
//! may come early at once.
//!
//! Promise: in any time `t`, short or long, at most `burst + requests * t / window` pass; so in one
//! window at most `requests + burst - 1`. The distance between requests is rounded up to a whole
//! microsecond, so that this holds exactly. Cost: one number a key.
//!
//! Source: ITU-T Recommendation I.371, annex A, "virtual scheduling algorithm". It keeps the
//! theoretical arrival time of the next request.

use super::{Decision, Held};

#[derive(Clone, Debug)]
#[allow(
    clippy::struct_field_names,
    reason = "every field is a time, and the unit stands last"
)]
pub(super) struct Gcra {
    interval_us: u64,
    /// How early a request may come.
    leave_us: u64,
    /// When the next one is due.
    next_us: u64,
}

impl Gcra {
    pub(super) fn new(requests: u64, window_us: u64, burst: u64) -> Self {
        let interval_us = window_us.div_ceil(requests.max(1));
        Self {
            interval_us,
            leave_us: interval_us.saturating_mul(burst.max(1) - 1),
            next_us: 0,
        }
    }

    pub(super) fn held(&self) -> Held {
        Held::Due(self.next_us)
    }

    pub(super) fn admit(&mut self, now_us: u64) -> Decision {
        let next_us = self.next_us.max(now_us);
        let early_us = next_us - now_us;
        if early_us > self.leave_us {
            return Decision::Refuse {
                retry_us: early_us - self.leave_us,
            };
        }
        self.next_us = next_us + self.interval_us;
        Decision::Admit {
            remaining: (self.leave_us - early_us) / self.interval_us,
        }
    }
}
