//! Waits that end on time, to about a tenth of a millisecond.
//!
//! The runtime's timers tick once a millisecond and its poll rounds up once more: users would
//! start 1 to 2 ms late, and a response time counts from the intended start, so every local hit
//! would seem to take a millisecond. One thread that sleeps until the next deadline does better.
//!
//! Called by drivers; in virtual time it waits by the clock alone. A wait that
//! is dropped costs nothing but its place until it is due.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};
use tokio::sync::oneshot;

use crate::clock::{Clock, Timestamp};

/// The longest that the thread sleeps in one piece; the standard library's limits are far away.
const SLEEP_MAX: Duration = Duration::from_hours(1);

/// Wakes those who wait, on time. Its thread ends when it is dropped.
#[derive(Debug)]
pub struct Alarm {
    shared: Arc<Shared>,
    /// In virtual time there is no thread: the clock's own timers are exact.
    has_thread: bool,
}

#[derive(Debug)]
struct Shared {
    clock: Clock,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: BinaryHeap<Reverse<Wait>>,
    registered: u64,
    closed: bool,
}

/// One who waits; ordered by deadline, and then by who came first.
#[derive(Debug)]
struct Wait {
    due: (Timestamp, u64),
    bell: oneshot::Sender<()>,
}

impl PartialEq for Wait {
    fn eq(&self, other: &Self) -> bool {
        self.due == other.due
    }
}

impl Eq for Wait {}

impl PartialOrd for Wait {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Wait {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.due.cmp(&other.due)
    }
}

impl Alarm {
    /// An alarm that goes by `clock`. In real time its thread takes the name of the thread that
    /// calls this, so that its processor time counts to the same side.
    ///
    /// # Errors
    /// If the system has no thread left.
    pub fn new(clock: Clock) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            clock,
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let has_thread = !shared.clock.is_virtual();
        if has_thread {
            let of_thread = Arc::clone(&shared);
            std::thread::Builder::new().spawn(move || of_thread.ring())?;
        }
        Ok(Self { shared, has_thread })
    }

    /// Waits until `deadline`; returns at once if it has passed.
    pub async fn sleep_until(&self, deadline: Timestamp) {
        if deadline <= self.shared.clock.now() {
            return;
        }
        if !self.has_thread {
            return self.shared.clock.sleep_until(deadline).await;
        }
        let rung = self.shared.register(deadline);
        if rung.await.is_err() {
            // The thread is gone, which takes a panic in it: be late rather than early.
            self.shared.clock.sleep_until(deadline).await;
        }
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.shared.state.lock().closed = true;
        self.shared.changed.notify_one();
    }
}

impl Shared {
    fn register(&self, deadline: Timestamp) -> oneshot::Receiver<()> {
        let (bell, rung) = oneshot::channel();
        let mut state = self.state.lock();
        let due = (deadline, state.registered);
        state.registered += 1;
        let is_next = state
            .waiting
            .peek()
            .is_none_or(|Reverse(next)| due < next.due);
        state.waiting.push(Reverse(Wait { due, bell }));
        drop(state);
        if is_next {
            self.changed.notify_one();
        }
        rung
    }

    /// The thread's life: ring for whoever is due, sleep until the next is.
    fn ring(&self) {
        let mut state = self.state.lock();
        while !state.closed {
            let now = self.clock.now();
            match state.waiting.peek() {
                Some(Reverse(next)) if next.due.0 <= now => {
                    if let Some(Reverse(wait)) = state.waiting.pop() {
                        // Waking another thread takes a while; others may register meanwhile.
                        // Who no longer waits does not hear it.
                        MutexGuard::unlocked(&mut state, || wait.bell.send(()).ok());
                    }
                }
                Some(Reverse(next)) => {
                    let pause = next.due.0.since(now).min(SLEEP_MAX);
                    self.changed.wait_for(&mut state, pause);
                }
                None => self.changed.wait(&mut state),
            }
        }
        // Whoever still waits falls back on the runtime's timers.
        state.waiting.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn waits_end_in_the_order_of_their_deadlines_and_never_early() {
        let clock = Clock::real();
        let alarm = Arc::new(Alarm::new(clock.clone()).expect("a thread"));
        let start = clock.now();
        let woken = Arc::new(Mutex::new(vec![]));
        let waits: Vec<_> = [50_u64, 10, 30, 20, 0, 40]
            .into_iter()
            .map(|ms| {
                let (alarm, clock, woken) = (alarm.clone(), clock.clone(), woken.clone());
                let deadline = start + Duration::from_millis(ms);
                tokio::spawn(async move {
                    alarm.sleep_until(deadline).await;
                    assert!(clock.now() >= deadline, "{ms} ms: early");
                    woken.lock().push(ms);
                })
            })
            .collect();
        for wait in waits {
            wait.await.expect("no panic");
        }
        assert_eq!(*woken.lock(), [0, 10, 20, 30, 40, 50]);
    }

    #[tokio::test]
    async fn a_dropped_wait_and_a_wait_for_ever_hold_nobody_up() {
        let clock = Clock::real();
        let alarm = Alarm::new(clock.clone()).expect("a thread");
        let short = Duration::from_millis(20);
        for late in [Timestamp::NEVER, clock.now() + Duration::from_hours(9)] {
            let given_up = clock.timeout(short, alarm.sleep_until(late)).await;
            assert!(given_up.is_err());
        }
        let deadline = clock.now() + short;
        alarm.sleep_until(deadline).await;
        assert!(clock.now() >= deadline);
    }

    #[tokio::test]
    async fn the_thread_ends_with_its_alarm() {
        let alarm = Alarm::new(Clock::real()).expect("a thread");
        let shared = Arc::downgrade(&alarm.shared);
        drop(alarm);
        let clock = Clock::real();
        let gone = clock.timeout(Duration::from_secs(10), async {
            while shared.upgrade().is_some() {
                clock.sleep(Duration::from_millis(1)).await;
            }
        });
        gone.await.expect("the thread lets go of what it shares");
    }
}
