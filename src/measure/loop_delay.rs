//! How late an event loop is: a tick every ten milliseconds, held against the clock.
//!
//! A driver runs a [`probe`] on each runtime that sends its requests. A tick that comes late says that
//! the runtime was busy, or had no processor: so long would an answer have lain there unread. The
//! runtime's timers tick once a millisecond; the probe keeps to these ticks, so that an idle loop shows
//! a delay of microseconds. A loop that stands still misses ticks, and each of them counts with its own
//! delay: what would have come in the meantime would have waited as well.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::Summary;
use super::histogram::Histogram;
use crate::clock::{Clock, Timestamp};

/// From one tick to the next.
pub const TICK: Duration = Duration::from_millis(10);

/// Timers are rounded up to their next millisecond: who asks for half a one less than a whole number
/// after the last is woken at that.
const EARLIER: Duration = Duration::from_micros(500);

/// After a pause as long as this the machine slept: what the loop missed is counted no further.
const MISSED_MAX: u32 = 6_000;

/// The delays of one or more event loops. Cheap to clone; every clone counts into the same.
#[derive(Clone, Debug, Default)]
pub struct LoopDelay {
    delays: Arc<Mutex<Histogram>>,
}

impl LoopDelay {
    /// Forgets what was counted so far.
    pub fn restart(&self) {
        *self.delays.lock() = Histogram::new();
    }

    /// What was counted so far, in microseconds; of no tick if nobody probes.
    pub fn summary_us(&self) -> Summary {
        self.delays.lock().summary_us()
    }

    /// Counts the ticks that were due until `now`, the first of them at `due`; gives the next one.
    fn count(&self, mut due: Timestamp, now: Timestamp) -> Timestamp {
        let mut delays = self.delays.lock();
        for _ in 0..MISSED_MAX {
            if due > now {
                break;
            }
            delays.record(now.since(due));
            due = due + TICK;
        }
        drop(delays);
        due.max(now)
    }
}

/// Measures the runtime that it runs on, for as long as it is polled. In virtual time no loop is late,
/// and this waits for ever.
pub async fn probe(clock: Clock, into: LoopDelay) {
    if clock.is_virtual() {
        std::future::pending::<()>().await;
    }
    // Woken by a tick of the timers, so that all that follow are theirs, too.
    clock.sleep(TICK).await;
    let mut due = clock.now() + TICK;
    loop {
        clock.sleep_until(due - EARLIER).await;
        let now = clock.now();
        // Woken earlier than hoped for: on time.
        due = if now < due {
            into.count(due, due)
        } else {
            into.count(due, now)
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_unix_nanos(1_000_000_000_000) + Duration::from_millis(ms)
    }

    #[test]
    fn a_loop_that_stands_still_misses_ticks() {
        let delay = LoopDelay::default();
        assert_eq!(delay.count(at(10), at(10)), at(20));
        assert_eq!(delay.count(at(20), at(21)), at(30));
        // The ticks at 30, 40 and 50 ms were all seen at 52.
        assert_eq!(delay.count(at(30), at(52)), at(60));
        let seen = delay.summary_us();
        assert_eq!(seen.count, 5);
        assert!((21_000.0..23_000.0).contains(&seen.max), "{seen:?}");
        delay.clone().restart();
        assert_eq!(delay.summary_us(), Summary::default());
        // A machine that slept for an hour is no hour of ticks.
        assert_eq!(delay.count(at(0), at(3_600_000)), at(3_600_000));
        assert_eq!(delay.summary_us().count, u64::from(MISSED_MAX));
    }

    #[tokio::test(start_paused = true)]
    async fn it_ticks_for_as_long_as_it_is_polled() {
        let (clock, delay) = (Clock::real(), LoopDelay::default());
        let probing = tokio::spawn(probe(clock.clone(), delay.clone()));
        clock.sleep(Duration::from_secs(1)).await;
        probing.abort();
        let seen = delay.summary_us();
        assert!((90..=100).contains(&seen.count), "{seen:?}");
    }

    #[tokio::test]
    async fn live_a_loop_that_is_blocked_is_late() {
        let (clock, delay) = (Clock::real(), LoopDelay::default());
        let probing = tokio::spawn(probe(clock.clone(), delay.clone()));
        while delay.summary_us().count == 0 {
            clock.sleep(TICK).await;
        }
        let (before, blocked_until) = (clock.now(), clock.now() + Duration::from_millis(100));
        while clock.now() < blocked_until {
            std::hint::spin_loop();
        }
        let blocked = clock.now().since(before);
        clock.sleep(TICK * 2).await;
        probing.abort();
        let seen = delay.summary_us();
        assert!(seen.max > 50_000.0, "{blocked:?}: {seen:?}");
    }
}
