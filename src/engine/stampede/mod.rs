//! What keeps many requests from loading the same key at once: one means per file, named as a
//! scenario writes it. `single-flight` is [`super::flight`] itself and stands under all of them but
//! the controls `none` and `adr-lock`.
//!
//! | means | loads per expiry | promises | costs |
//! |---|---|---|---|
//! | `none` | as many as readers | nothing | nothing |
//! | `single-flight` | one per instance | followers get the leader's answer | a table entry |
//! | `adr-lock` | one, more after 10 s | waiters poll, up to hours | a lock, polling |
//! | `lock` | one | waiters are woken; a deadline | a lock, renewal, a notice |
//! | `lease` | one | as `lock`, and an invalidation ends the lease | none: one round trip |
//! | `early-refresh` | about one, ahead of the expiry | readers do not wait | loads a little often |
//! | `stale-while-revalidate` | one | readers do not wait | answers past their TTL |
//!
//! A lock or a lease is for efficiency alone: what keeps old values out is the fill's comparison
//! of `as_of`, which holds also when a lock was lost.

pub(super) mod adr_lock;
pub mod early_refresh;
pub(super) mod lease;
pub(super) mod lock;
pub(super) mod none;
pub mod refresh;

use std::time::Duration;

use rand::RngExt;

use super::Engine;
use super::data_type::Key;
use super::layer::{Origin, Remote, Token};
use super::waiters::Waiter;
use crate::clock::Timestamp;

/// How long a lock or lease stands without renewal: longer than a load takes, as short as the
/// others can bear to wait for a holder that died.
const TTL: Duration = Duration::from_secs(10);
/// How long a reader waits for another instance's load until it loads itself.
const DEADLINE: Duration = Duration::from_secs(5);
/// A waiter looks by itself after this, and then ever less often up to [`LOOK_MAX`], should the
/// notice be lost.
const LOOK_MIN: Duration = Duration::from_millis(50);
const LOOK_MAX: Duration = Duration::from_millis(500);

/// The patience of one waiter.
struct Patience {
    deadline: Timestamp,
    look_after: Duration,
}

impl<R: Remote, O: Origin> Engine<R, O> {
    pub(super) fn token(&self) -> Token {
        Token(self.random.lock().random())
    }

    fn patience(&self) -> Patience {
        Patience {
            deadline: self.clock.now() + DEADLINE,
            look_after: LOOK_MIN,
        }
    }

    /// Waits for a notice, or until it is time to look without one. False at the deadline.
    async fn wait_for_another(&self, waiter: &Waiter<'_>, patience: &mut Patience) -> bool {
        let now = self.clock.now();
        if now >= patience.deadline {
            return false;
        }
        // Half of the time is random, so that waiters do not look in step.
        let share: f64 = self.random.lock().random_range(0.5..1.0);
        let limit = patience
            .look_after
            .mul_f64(share)
            .min(patience.deadline.since(now));
        // A notice or none: in either case the next step is to look.
        let _ = self.clock.timeout(limit, waiter.notified()).await;
        patience.look_after = (patience.look_after * 2).min(LOOK_MAX);
        true
    }

    /// The key that waiters of `key` wait for.
    fn waiter(&self, key: &Key) -> Waiter<'_> {
        self.waiters.wait(key)
    }
}
