//! Requests that are due by a schedule, whoever takes how long to answer: the heart of an open loop.
//!
//! A [`Lane`] takes arrivals one after another, waits until each is due, and sends it if fewer requests
//! are under way than may be at once; otherwise it waits for a place, and what is due meanwhile waits
//! behind it. Response time counts from the moment at which a request was due, so that such waits show.
//! Who would have to wait longer than the request timeout is dropped and counted.
//!
//! Shared by drivers that have arrivals: over HTTP each generator thread has a lane of its own, in
//! virtual time there is one. How a request is carried is the [`Caller`]'s affair.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::coop;

use super::alarm::Alarm;
use super::crowd::{Call, Caller, STOP_GRACE, becomes_true, instance_of};
use super::line::{LaneArrivals, Line, Prospect, Visitor};
use super::tally::Tally;
use crate::clock::{Clock, Timestamp};
use crate::measure::Schedule;
use crate::seed::Seed;
use crate::workload::{Request, Step};

/// A lane that is on time sleeps at least this long, and then sends all that is due: each wake costs
/// some microseconds, and so at high rates they are shared.
const NAP: Duration = Duration::from_micros(100);

/// How much longer than the last answer the end may take.
const MARGIN: Duration = Duration::from_secs(1);

/// The right to send one request now.
struct Turn {
    due: Timestamp,
    waited: Duration,
    /// Free for another when this is dropped.
    place: OwnedSemaphorePermit,
}

/// What all lanes of a run share.
pub(super) struct Shared {
    pub(super) clock: Clock,
    pub(super) schedule: Arc<Schedule>,
    pub(super) seed: Seed,
    pub(super) request_timeout: Duration,
    pub(super) halted: watch::Receiver<bool>,
    pub(super) tally: Tally,
}

/// One line of arrivals, on one thread.
pub(super) struct Lane<C> {
    shared: Arc<Shared>,
    caller: C,
    alarm: Alarm,
    line: Mutex<Line>,
    places: Arc<Semaphore>,
    /// Visitors who have come and wait for a place for their next request.
    waiting: AtomicU64,
    /// Tasks that serve visitors.
    serving: AtomicU64,
    all_served: Notify,
}

impl<C: Caller> Lane<C> {
    /// A lane with so many places for requests under way.
    ///
    /// # Errors
    /// If the system has no thread left for its alarm.
    pub(super) fn new(
        shared: Arc<Shared>,
        caller: C,
        places: u32,
        arrivals: LaneArrivals,
    ) -> std::io::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            alarm: Alarm::new(shared.clock.clone())?,
            line: Mutex::new(Line::new(arrivals, shared.schedule.end())),
            shared,
            caller,
            places: Arc::new(Semaphore::new(places.max(1) as usize)),
            waiting: AtomicU64::new(0),
            serving: AtomicU64::new(0),
            all_served: Notify::new(),
        }))
    }

    /// Sends what arrives until there is no more or the run is told to stop, and waits for the last
    /// answers.
    pub(super) async fn run(self: Arc<Self>) {
        let mut halted = self.shared.halted.clone();
        let stopped = {
            let mut sending = pin!(self.send_all());
            tokio::select! {
                biased;
                () = &mut sending => false,
                () = becomes_true(&mut halted) => true,
            }
        };
        self.line.lock().close();
        if !stopped {
            // Each request is given up after its timeout.
            let last = self.shared.request_timeout + MARGIN;
            let all_served = self.shared.clock.timeout(last, self.all_served());
            tokio::select! {
                biased;
                _ = all_served => return,
                () = becomes_true(&mut halted) => {}
            }
        }
        // Whoever does not get an answer now is counted as abandoned.
        let clock = &self.shared.clock;
        let _ = clock.timeout(STOP_GRACE, self.all_served()).await;
    }

    async fn send_all(self: &Arc<Self>) {
        loop {
            let prospect = self.line.lock().prospect(self.shared.clock.now());
            match prospect {
                Prospect::Over => return,
                Prospect::At(due) => self.wait_until(due).await,
                Prospect::Due => {
                    let Some(place) = self.place_for_next().await else {
                        return;
                    };
                    if let Some((visitor, turn)) = self.next(place) {
                        self.serving.fetch_add(1, Ordering::Relaxed);
                        tokio::spawn(Arc::clone(self).serve(visitor, turn));
                    }
                }
            }
        }
    }

    /// A place for who is due; meanwhile others may take it along.
    async fn place_for_next(&self) -> Option<OwnedSemaphorePermit> {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return Some(place);
        }
        self.line.lock().block();
        let place = self.place().await;
        self.line.lock().unblock(self.shared.clock.now());
        place
    }

    /// Who is due and takes this place.
    fn next(&self, place: OwnedSemaphorePermit) -> Option<(Visitor, Turn)> {
        let next = self.line.lock().take(self.shared.clock.now());
        let (visitor, due, waited) = next?;
        Some((visitor, Turn { due, waited, place }))
    }

    /// A place for one more request; `None` never comes, for places are not closed.
    async fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).acquire_owned().await.ok()
    }

    async fn wait_until(&self, due: Timestamp) {
        let now = self.shared.clock.now();
        if due > now {
            let nap = if self.shared.clock.is_virtual() {
                due
            } else {
                due.max(now + NAP)
            };
            self.alarm.sleep_until(nap).await;
        }
    }

    /// Serves one visitor, and then, in its place, others who are due already: so nobody has to be
    /// woken for them.
    async fn serve(self: Arc<Self>, mut visitor: Visitor, mut turn: Turn) {
        let _served = Serving(&self);
        while let Some(place) = self.visit(visitor, turn).await {
            // Whoever has come before goes first.
            if self.waiting.load(Ordering::Relaxed) > 0 {
                return;
            }
            let Some(next) = self.next(place) else {
                return;
            };
            (visitor, turn) = next;
            // Those that are dropped wait for nothing.
            coop::consume_budget().await;
        }
    }

    /// One visitor, from its first request, which has a place, to its last. Gives the place back if it
    /// still has one.
    async fn visit(&self, mut visitor: Visitor, first: Turn) -> Option<OwnedSemaphorePermit> {
        let mut due = first.due;
        let mut first = Some(first);
        let mut place = None;
        loop {
            visitor.at(due.since(self.shared.schedule.start()));
            match visitor.next() {
                Step::End => return place,
                Step::Think(pause) => {
                    place = None;
                    due = due + pause;
                    if due >= self.shared.schedule.end() {
                        return None;
                    }
                    self.alarm.sleep_until(due).await;
                }
                Step::Request(request) => {
                    drop(place.take());
                    let turn = match first.take() {
                        Some(first) => first,
                        None => self.turn(due).await?,
                    };
                    let finished = self.ask(&visitor, &request, &turn).await;
                    place = Some(turn.place);
                    match finished {
                        Some(finished) => due = finished,
                        None => return place,
                    }
                }
            }
        }
    }

    /// Waits for a place for what is due at `due`.
    async fn turn(&self, due: Timestamp) -> Option<Turn> {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            let waited = Duration::ZERO;
            return Some(Turn { due, waited, place });
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let place = self.place().await;
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        let place = place?;
        let waited = self.shared.clock.now().since(due);
        Some(Turn { due, waited, place })
    }

    /// Asks and records; gives when the answer was complete. `None` past the end of the schedule.
    async fn ask(&self, visitor: &Visitor, request: &Request, turn: &Turn) -> Option<Timestamp> {
        let shared = &self.shared;
        let phase = shared.schedule.phase_at(turn.due)?;
        if turn.waited > shared.request_timeout {
            shared.tally.drop_request(phase);
            return None;
        }
        let in_flight = shared.tally.request();
        let (user, sequence) = (visitor.number(), visitor.requests());
        let instances = self.caller.instances();
        let call = Call {
            instance: instance_of(shared.seed, user, sequence, instances),
            request,
            user,
            sequence,
            user_kind: visitor.user_kind(),
            phase,
            intended_start: turn.due,
            waited: turn.waited,
        };
        let sample = self.caller.call(call).await;
        let finished = sample.finished;
        in_flight.record(sample);
        Some(finished)
    }

    async fn all_served(&self) {
        loop {
            let notified = self.all_served.notified();
            if self.serving.load(Ordering::Acquire) == 0 {
                return;
            }
            notified.await;
        }
    }
}

/// A task that serves visitors, as long as it does.
struct Serving<'l, C>(&'l Lane<C>);

impl<C> Drop for Serving<'_, C> {
    fn drop(&mut self) {
        if self.0.serving.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.all_served.notify_waiters();
        }
    }
}
