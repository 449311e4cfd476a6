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

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};

use super::alarm::Alarm;
use super::crowd::{Call, Caller, STOP_GRACE, becomes_true, instance_of};
use super::tally::Tally;
use crate::clock::{Clock, Timestamp};
use crate::measure::Schedule;
use crate::seed::Seed;
use crate::workload::user::User;
use crate::workload::{Request, Step, UserKindId};

/// A lane that is on time sleeps at least this long, and then sends all that is due: each wake costs
/// some microseconds, and so at high rates they are shared.
const NAP: Duration = Duration::from_micros(100);

/// How much longer than the last answer the end may take.
const MARGIN: Duration = Duration::from_secs(1);

/// What arrives.
#[derive(Debug)]
pub(super) struct Arrival {
    /// When it is due; `None`: as soon as there is a place.
    pub(super) due: Option<Timestamp>,
    /// Who comes: asks what it asks, and goes.
    pub(super) visitor: Visitor,
}

/// Who comes with one arrival.
#[derive(Debug)]
pub(super) enum Visitor {
    /// One that does what users do.
    User(User),
    /// One request that was recorded before.
    Recorded {
        /// What is asked; `None`: it has been.
        request: Option<Request>,
        /// Its number in the trace.
        number: u64,
    },
}

impl Visitor {
    /// Its next step is due at `moment`, counted from the run's start.
    fn at(&mut self, moment: Duration) {
        match self {
            Self::User(user) => user.at(moment),
            Self::Recorded { .. } => {}
        }
    }

    pub(super) fn next(&mut self) -> Step {
        match self {
            Self::User(user) => user.next(),
            Self::Recorded { request, .. } => request.take().map_or(Step::End, Step::Request),
        }
    }

    fn number(&self) -> u64 {
        match self {
            Self::User(user) => user.index(),
            Self::Recorded { number, .. } => *number,
        }
    }

    /// Of which kind it is; of the first if nobody knows.
    fn user_kind(&self) -> UserKindId {
        match self {
            Self::User(user) => user.kind(),
            Self::Recorded { .. } => UserKindId::default(),
        }
    }

    fn requests(&self) -> u64 {
        match self {
            Self::User(user) => user.requests(),
            Self::Recorded { .. } => 1,
        }
    }
}

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
    places: Arc<Semaphore>,
    /// Visitors that have not gone yet.
    visitors: AtomicU64,
    gone: Notify,
}

impl<C: Caller> Lane<C> {
    /// A lane with so many places for requests under way.
    ///
    /// # Errors
    /// If the system has no thread left for its alarm.
    pub(super) fn new(shared: Arc<Shared>, caller: C, places: u32) -> std::io::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            alarm: Alarm::new(shared.clock.clone())?,
            shared,
            caller,
            places: Arc::new(Semaphore::new(places.max(1) as usize)),
            visitors: AtomicU64::new(0),
            gone: Notify::new(),
        }))
    }

    /// Sends what `arrivals` bring until there are no more or the run is told to stop, and waits for
    /// the last answers.
    pub(super) async fn run(self: Arc<Self>, arrivals: impl Iterator<Item = Arrival>) {
        let mut halted = self.shared.halted.clone();
        let stopped = {
            let mut sending = pin!(self.send_all(arrivals));
            tokio::select! {
                biased;
                () = &mut sending => false,
                () = becomes_true(&mut halted) => true,
            }
        };
        if !stopped {
            // Each request is given up after its timeout.
            let last = self.shared.request_timeout + MARGIN;
            let all_gone = self.shared.clock.timeout(last, self.all_gone());
            tokio::select! {
                biased;
                _ = all_gone => return,
                () = becomes_true(&mut halted) => {}
            }
        }
        // Whoever does not get an answer now is counted as abandoned.
        let clock = &self.shared.clock;
        let _ = clock.timeout(STOP_GRACE, self.all_gone()).await;
    }

    async fn send_all(self: &Arc<Self>, arrivals: impl Iterator<Item = Arrival>) {
        // Until when the last one waited for a place: what was due before waited with it.
        let mut blocked_until = Timestamp::EPOCH;
        for arrival in arrivals {
            if arrival.due.is_none() && self.shared.clock.now() >= self.shared.schedule.end() {
                return;
            }
            if let Some(due) = arrival.due {
                self.wait_until(due).await;
            }
            let place = if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
                place
            } else {
                let Some(place) = self.place().await else {
                    return;
                };
                blocked_until = self.shared.clock.now();
                place
            };
            let due = arrival.due.unwrap_or_else(|| self.shared.clock.now());
            let waited = blocked_until.since(due);
            self.visitors.fetch_add(1, Ordering::Relaxed);
            let turn = Turn { due, waited, place };
            tokio::spawn(Arc::clone(self).visit(arrival.visitor, turn));
        }
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

    /// One visitor, from its first request, which has a place, to its last.
    async fn visit(self: Arc<Self>, mut visitor: Visitor, first: Turn) {
        let _gone = Leaving(&self);
        let mut turn = Some(first);
        let mut due = Timestamp::NEVER;
        loop {
            let next = turn.as_ref().map_or(due, |first| first.due);
            visitor.at(next.since(self.shared.schedule.start()));
            match visitor.next() {
                Step::End => return,
                Step::Think(pause) => {
                    due = due + pause;
                    if due >= self.shared.schedule.end() {
                        return;
                    }
                    self.alarm.sleep_until(due).await;
                }
                Step::Request(request) => {
                    let turn = match turn.take() {
                        Some(first) => first,
                        None => match self.turn(due).await {
                            Some(turn) => turn,
                            None => return,
                        },
                    };
                    due = match self.ask(&visitor, &request, turn).await {
                        Some(finished) => finished,
                        None => return,
                    };
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
        let place = self.place().await?;
        let waited = self.shared.clock.now().since(due);
        Some(Turn { due, waited, place })
    }

    /// Asks and records; gives when the answer was complete. `None` past the end of the schedule.
    async fn ask(&self, visitor: &Visitor, request: &Request, turn: Turn) -> Option<Timestamp> {
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
        drop(turn.place);
        Some(finished)
    }

    async fn all_gone(&self) {
        loop {
            let notified = self.gone.notified();
            if self.visitors.load(Ordering::Acquire) == 0 {
                return;
            }
            notified.await;
        }
    }
}

/// A visitor that has not gone yet.
struct Leaving<'l, C>(&'l Lane<C>);

impl<C> Drop for Leaving<'_, C> {
    fn drop(&mut self) {
        if self.0.visitors.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.gone.notify_waiters();
        }
    }
}
