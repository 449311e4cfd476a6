//! The users of a closed loop: each asks, waits for the answer, thinks, and asks again, until the
//! schedule ends or a stop comes. With a rhythm, each goes when it is its time to and comes back later:
//! then it logs in again.
//!
//! Shared by the drivers that have users; how a request is carried is the [`Caller`]'s affair.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::FusedFuture;
use tokio::sync::watch;

use super::DriverError;
use super::alarm::Alarm;
use super::coming::{Comings, Stay};
use super::tally::Tally;
use crate::clock::{Clock, Timestamp};
use crate::engine::data_type::PolicyTable;
use crate::measure::sink::SampleSink;
use crate::measure::{PhaseId, Sample, Schedule};
use crate::seed::Seed;
use crate::workload::rhythm::Rhythm;
use crate::workload::size::ValueSizes;
use crate::workload::user::{Traffic, User};
use crate::workload::{Request, Step, UserKindId};

/// How long a stop waits for answers that are under way.
pub(super) const STOP_GRACE: Duration = Duration::from_millis(300);

/// The users of a closed loop, and when they come and go: what its drivers are given.
pub struct Users {
    /// What users do.
    pub traffic: Arc<Traffic>,
    /// What they ask for.
    pub policies: Arc<PolicyTable>,
    /// How many users.
    pub count: u32,
    /// In what time they all arrive, evenly, from the schedule's start on.
    pub ramp: Duration,
    /// Which of them are there at what time, once they have arrived; `None`: all of them.
    pub rhythm: Option<Rhythm>,
    /// How long a user waits for an answer before it counts as an error.
    pub request_timeout: Duration,
    /// The size of the values to write.
    pub value_sizes: ValueSizes,
    /// The clock of the run.
    pub clock: Clock,
    /// When to start and to end. A start some 200 ms away gives a driver the time to get ready.
    pub schedule: Arc<Schedule>,
    /// Where samples go.
    pub sink: Arc<dyn SampleSink>,
    /// Becomes true to end it before the schedule does.
    pub stop: watch::Receiver<bool>,
}

/// One request to carry.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// Which instance shall serve it.
    pub instance: usize,
    /// What is asked.
    pub request: &'a Request,
    /// Who asks, and its how-manieth request this is; a written value is made from them.
    pub user: u64,
    /// See `user`.
    pub sequence: u64,
    /// Of which kind it is.
    pub user_kind: UserKindId,
    /// The phase of the intended start.
    pub phase: PhaseId,
    /// When it should start.
    pub intended_start: Timestamp,
    /// How long it had to wait for others to end, because too many were under way.
    pub waited: Duration,
}

/// Carries requests to instances, and times and reads the answers.
pub trait Caller: Send + Sync + 'static {
    /// How many instances there are; at least one.
    fn instances(&self) -> usize;

    /// Carries `call` now and says what became of it, within the request timeout.
    fn call(&self, call: Call<'_>) -> impl Future<Output = Sample> + Send;
}

/// Waits until `flag` is true; for ever if nobody can make it so.
pub(super) async fn becomes_true(flag: &mut watch::Receiver<bool>) {
    if flag.wait_for(|flag| *flag).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// What all users of one run share.
pub(super) struct Crowd<C> {
    pub(super) caller: C,
    pub(super) alarm: Alarm,
    pub(super) traffic: Arc<Traffic>,
    pub(super) users: u32,
    pub(super) ramp: Duration,
    comings: Comings,
    pub(super) clock: Clock,
    pub(super) schedule: Arc<Schedule>,
    pub(super) halted: watch::Receiver<bool>,
    pub(super) tally: Tally,
}

impl<C: Caller> Crowd<C> {
    /// The crowd of `users`, who ask by `caller` and leave when `halted` turns true.
    pub(super) fn new(
        users: Users,
        caller: C,
        halted: watch::Receiver<bool>,
    ) -> Result<Self, DriverError> {
        let (start, seed) = (users.schedule.start(), users.traffic.seed());
        Ok(Self {
            comings: Comings::new(users.rhythm, u64::from(users.count), start, seed),
            caller,
            alarm: Alarm::new(users.clock.clone()).map_err(DriverError::Thread)?,
            traffic: users.traffic,
            users: users.count,
            ramp: users.ramp,
            clock: users.clock,
            schedule: users.schedule,
            halted,
            tally: Tally::new(users.sink),
        })
    }

    /// The life of one user, from its place in the ramp to the end of the schedule or a stop.
    pub(super) async fn live(&self, index: u64) {
        let mut halted = self.halted.clone();
        // One registration for a whole life, because most lives are never told to end.
        let mut told = pin!(becomes_true(&mut halted).fuse());
        let mut user = User::new(Arc::clone(&self.traffic), index);
        let mut due = self.arrival(index);
        while let Some(stay) = self.comings.next(index, due) {
            // Who is launched too late to come before the end does not come, and is missed in the
            // count; a request that fell due before the end is sent, however late, and shows its
            // slip.
            let comes = self.wait_until(stay.from, &mut told).await;
            if !comes || self.clock.now() >= self.schedule.end() {
                return;
            }
            let presence = self.tally.user();
            let went = self.stay(&mut user, stay, &mut told).await;
            presence.end();
            match went {
                Some(at) => due = at,
                None => return,
            }
            user.come_back();
        }
    }

    /// A user is there. Gives when it went; `None` if it is over.
    async fn stay(
        &self,
        user: &mut User,
        stay: Stay,
        told: &mut (impl FusedFuture<Output = ()> + Unpin),
    ) -> Option<Timestamp> {
        let mut due = stay.from;
        loop {
            if stay.to.is_some_and(|to| due >= to) {
                return Some(due);
            }
            user.at(due.since(self.schedule.start()));
            match user.next() {
                Step::Think(pause) => {
                    // From the answer on, not from when we got around to it.
                    due = due + pause;
                    // Who has to go meanwhile does not wait for the end of the pause.
                    due = stay.to.map_or(due, |to| due.min(to));
                    if !self.wait_until(due, told).await {
                        return None;
                    }
                }
                // Only arrivals end by themselves.
                Step::End => return None,
                Step::Request(request) => {
                    let phase = self.schedule.phase_at(due)?;
                    let asked = self.ask(user, &request, phase, due);
                    due = self.unless_told(asked, told).await?;
                }
            }
        }
    }

    /// When the user numbered `index` should arrive.
    fn arrival(&self, index: u64) -> Timestamp {
        let share = index as f64 / f64::from(self.users);
        self.schedule.start() + self.ramp.mul_f64(share.min(1.0))
    }

    /// Waits until `due`; false if there is nothing more to do then, because the schedule is over
    /// or the user was told to leave.
    async fn wait_until(
        &self,
        due: Timestamp,
        told: &mut (impl FusedFuture<Output = ()> + Unpin),
    ) -> bool {
        if told.is_terminated() {
            return false;
        }
        let end = self.schedule.end();
        tokio::select! {
            biased;
            // First, because it is what nearly always happens.
            () = self.alarm.sleep_until(due.min(end)) => due < end,
            () = told => false,
        }
    }

    /// Asks and records; returns when the answer was complete.
    async fn ask(
        &self,
        user: &User,
        request: &Request,
        phase: PhaseId,
        due: Timestamp,
    ) -> Timestamp {
        let in_flight = self.tally.request();
        let sequence = user.requests();
        let at = instance_of(
            self.traffic.seed(),
            user.index(),
            sequence,
            self.caller.instances(),
        );
        let sample: Sample = self
            .caller
            .call(Call {
                instance: at,
                request,
                user: user.index(),
                sequence,
                user_kind: user.kind(),
                phase,
                intended_start: due,
                waited: Duration::ZERO,
            })
            .await;
        let finished = sample.finished;
        in_flight.record(sample);
        finished
    }

    /// What `asked` gives, unless a stop comes and the grace runs out before.
    async fn unless_told(
        &self,
        asked: impl Future<Output = Timestamp>,
        told: &mut (impl FusedFuture<Output = ()> + Unpin),
    ) -> Option<Timestamp> {
        tokio::select! {
            biased;
            finished = asked => Some(finished),
            () = async {
                if !told.is_terminated() {
                    told.await;
                }
                self.clock.sleep(STOP_GRACE).await;
            } => None,
        }
    }
}

/// The instance that a request goes to: any, as often as any other, and the same one for the same
/// seed whatever the schedule.
pub(super) fn instance_of(seed: Seed, user: u64, sequence: u64, instances: usize) -> usize {
    let Seed(number) = seed.fork("instance").fork_index(user).fork_index(sequence);
    (number % instances as u64) as usize
}

#[cfg(test)]
mod tests;
