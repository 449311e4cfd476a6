//! Virtual time: a queue of those who wait, and a runtime that goes to the next of them whenever
//! nothing else is left to do.
//!
//! Time stands still while tasks run, and jumps to the earliest wait when all of them wait. Whoever
//! waits until the same nanosecond goes on in the order in which the waits began, so a run depends on
//! nothing but its input. Everything happens on one thread; the lock is there because futures must be
//! `Send`, and nobody ever waits for it.
//!
//! Tokio's own paused clock would do the same, but its timers tick once a millisecond, and a wait
//! costs more than twice as much (`benches/simulate.rs`).

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use tokio::runtime::{Builder, Runtime};

use super::{Clock, Source, Timestamp};

/// Waits that were given up stay in the queue until there are this many more of them than of others.
const STALE_MAX: usize = 1_024;

/// The state of a virtual clock.
#[derive(Debug)]
pub(super) struct VirtualTime {
    now: AtomicU64,
    waits: Mutex<Waits>,
}

#[derive(Debug, Default)]
struct Waits {
    /// The earliest first.
    queue: BinaryHeap<Reverse<Queued>>,
    /// Who waits, by place; with the order of arrival, by which a place is known to have been given
    /// to somebody else.
    places: Vec<(u64, Option<Waker>)>,
    free: Vec<u32>,
    arrivals: u64,
    /// How many in the queue were given up.
    stale: usize,
}

/// A place in the queue in one number, which compares fast: the deadline, then the order of arrival,
/// then where its waker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Queued(u128);

/// Enough for 16 million waits at once, and for 10^12 of them.
const PLACE_BITS: u32 = 24;
const ARRIVAL_BITS: u32 = 64 - PLACE_BITS;

impl Queued {
    fn new(deadline: u64, arrival: u64, place: u32) -> Self {
        let order = arrival << PLACE_BITS | u64::from(place);
        Self(u128::from(deadline) << 64 | u128::from(order))
    }

    fn deadline(self) -> u64 {
        (self.0 >> 64) as u64
    }

    fn arrival(self) -> u64 {
        (self.0 as u64) >> PLACE_BITS
    }

    fn place(self) -> u32 {
        self.0 as u32 & ((1 << PLACE_BITS) - 1)
    }
}

impl VirtualTime {
    pub(super) fn now(&self) -> Timestamp {
        Timestamp::from_unix_nanos(self.now.load(Ordering::Relaxed))
    }

    /// Goes to the next moment at which somebody waits, and wakes that one.
    fn go_on(&self) {
        let mut waits = self.waits.lock();
        while let Some(Reverse(next)) = waits.queue.pop() {
            if !waits.stands(next) {
                waits.stale -= 1;
                continue;
            }
            let waker = waits.leave(next.place());
            drop(waits);
            self.now.store(next.deadline(), Ordering::Relaxed);
            if let Some(waker) = waker {
                waker.wake();
            }
            return;
        }
    }
}

impl Waits {
    fn join(&mut self, deadline: u64, waker: Waker) -> (u32, u64) {
        // Never 0, which says that nobody waits at a place.
        self.arrivals = (self.arrivals + 1) % (1 << ARRIVAL_BITS);
        let arrival = self.arrivals.max(1);
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push((0, None));
            (self.places.len() - 1) as u32
        });
        self.places[place as usize] = (arrival, Some(waker));
        self.queue
            .push(Reverse(Queued::new(deadline, arrival, place)));
        (place, arrival)
    }

    /// Whether it was not given up.
    fn stands(&self, wait: Queued) -> bool {
        self.places[wait.place() as usize].0 == wait.arrival()
    }

    /// Frees a place; who waited there.
    fn leave(&mut self, place: u32) -> Option<Waker> {
        let (arrival, waker) = &mut self.places[place as usize];
        *arrival = 0;
        let waker = waker.take();
        self.free.push(place);
        waker
    }

    /// Forgets the wait that began as the `arrival`-th, if it still stands.
    fn give_up(&mut self, place: u32, arrival: u64) {
        if self.places[place as usize].0 != arrival {
            return;
        }
        self.leave(place);
        self.stale += 1;
        if self.stale > STALE_MAX + self.queue.len() / 2 {
            let places = &self.places;
            let stands = |wait: &Queued| places[wait.place() as usize].0 == wait.arrival();
            self.queue.retain(|Reverse(wait)| stands(wait));
            self.stale = 0;
        }
    }
}

/// A wait for a moment of virtual time.
#[derive(Debug)]
pub(super) struct Wait {
    time: Arc<VirtualTime>,
    deadline: u64,
    /// Where it stands in the queue, once it does, and as which arrival.
    place: Option<(u32, u64)>,
}

impl Wait {
    pub(super) fn until(time: Arc<VirtualTime>, deadline: Timestamp) -> Self {
        Self {
            time,
            deadline: deadline.as_unix_nanos(),
            place: None,
        }
    }
}

impl Future for Wait {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if this.time.now.load(Ordering::Relaxed) >= this.deadline {
            return Poll::Ready(());
        }
        let mut waits = this.time.waits.lock();
        match this.place {
            Some((place, arrival)) if waits.places[place as usize].0 == arrival => {
                let known = &mut waits.places[place as usize].1;
                if !known
                    .as_ref()
                    .is_some_and(|known| known.will_wake(context.waker()))
                {
                    *known = Some(context.waker().clone());
                }
            }
            _ => this.place = Some(waits.join(this.deadline, context.waker().clone())),
        }
        Poll::Pending
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        if let Some((place, arrival)) = self.place {
            self.time.waits.lock().give_up(place, arrival);
        }
    }
}

/// A runtime of one thread whose time is the clock's, which shows `start` first: whenever all its
/// tasks wait, the clock goes on to the next moment for which one does. It has no timers and no I/O of
/// its own, so that nothing can wait for real time in it.
///
/// # Errors
/// If the system refuses what a runtime needs.
pub fn runtime(start: Timestamp) -> io::Result<(Runtime, Clock)> {
    let time = Arc::new(VirtualTime {
        now: AtomicU64::new(start.as_unix_nanos()),
        waits: Mutex::default(),
    });
    let of_runtime = Arc::clone(&time);
    let runtime = Builder::new_current_thread()
        .on_thread_park(move || of_runtime.go_on())
        .build()?;
    Ok((
        runtime,
        Clock {
            source: Source::Virtual(time),
        },
    ))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::Elapsed;

    const START: Timestamp = Timestamp::from_unix_nanos(1_795_419_900 * 1_000_000_000);

    fn run<F: Future>(body: impl FnOnce(Clock) -> F) -> F::Output {
        let (runtime, clock) = runtime(START).expect("a runtime");
        runtime.block_on(body(clock))
    }

    #[test]
    fn days_pass_at_once_and_to_the_nanosecond() {
        run(async |clock: Clock| {
            assert!(clock.is_virtual() && !Clock::real().is_virtual());
            assert_eq!(clock.now(), START);
            for wait in [
                Duration::from_nanos(1),
                Duration::from_micros(123_450),
                Duration::from_hours(24 * 400),
            ] {
                let before = clock.now();
                clock.sleep(wait).await;
                assert_eq!(clock.now().since(before), wait);
            }
            let never = clock.timeout(Duration::from_millis(5), std::future::pending::<()>());
            let before = clock.now();
            assert_eq!(never.await, Err(Elapsed));
            assert_eq!(clock.now().since(before), Duration::from_millis(5));
            let at_once = clock.timeout(Duration::ZERO, async { 7 });
            assert_eq!(at_once.await, Ok(7));
        });
    }

    #[test]
    fn who_waits_for_the_same_moment_goes_on_in_the_order_of_arrival() {
        let order = run(async |clock: Clock| {
            let order = Arc::new(Mutex::new(Vec::new()));
            let deadline = clock.now() + Duration::from_secs(1);
            let waits: Vec<_> = [3, 1, 2]
                .map(|name| {
                    let (clock, order) = (clock.clone(), Arc::clone(&order));
                    tokio::spawn(async move {
                        clock.sleep_until(deadline).await;
                        order.lock().push(name);
                    })
                })
                .into();
            for wait in waits {
                wait.await.expect("no panic");
            }
            order.lock().clone()
        });
        assert_eq!(order, [3, 1, 2]);
    }

    /// A wait that is given up does not let time pass, and does not stay for ever.
    #[test]
    fn waits_that_are_given_up_are_forgotten() {
        run(async |clock: Clock| {
            let Source::Virtual(time) = &clock.source else {
                panic!("virtual")
            };
            let before = clock.now();
            for _ in 0..100_000 {
                let late = clock.timeout(Duration::from_hours(1), async {
                    tokio::task::yield_now().await;
                });
                late.await.expect("in time");
            }
            assert_eq!(clock.now(), before);
            let (queued, places) = {
                let waits = time.waits.lock();
                (waits.queue.len(), waits.places.len())
            };
            assert!(queued <= 2 * STALE_MAX + 2, "{queued}");
            assert!(places <= 2, "{places}");
            clock.sleep(Duration::from_secs(5)).await;
            assert_eq!(clock.now().since(before), Duration::from_secs(5));
        });
    }
}
