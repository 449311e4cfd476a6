//! Does the jobs of a plan beside the users: what operators do by the clock.
//!
//! Polled on the generator's side, together with the driver. Its operations go to the instances'
//! engines as a user's would, in turn, but they are nobody's requests: they count in no response time.
//! Bounded in how many are under way, and each in its time; what fails or is left is counted.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::Either;
use futures_util::stream::FuturesUnordered;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::scale::share_of;
use crate::clock::{Clock, Timestamp};
use crate::engine::data_type::{DataTypeId, Key, PolicyTable};
use crate::engine::layer::Operation;
use crate::environment::instance::service::Service;
use crate::measure::Schedule;
use crate::scenario::jobs::{Deployment, JobAction, JobPlan, Keys, schedule};
use crate::scenario::plan::Plan;
use crate::workload::KeyParams;
use crate::workload::size::ValueSizes;
use crate::workload::user::Traffic;
use crate::workload::value::value;

/// How many operations of one job are under way at once.
const AT_ONCE: usize = 64;
/// How long a stop waits for what is under way; as of users.
const STOP_GRACE: Duration = Duration::from_millis(300);
/// How long a restart may take beside the warming.
const RESTART_LIMIT: Duration = Duration::from_secs(10);

/// One run of a job. Of a sample, an operation on a key counts for all keys that it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct JobRun {
    /// Which job.
    pub(super) name: String,
    /// When it was due, from the start of the run.
    pub(super) at: Duration,
    /// Operations that ended, be it badly.
    pub(super) operations: u64,
    /// Those that failed.
    pub(super) failed: u64,
    /// Operations that the run's end left undone; those that a stop cut off, too.
    pub(super) left: u64,
    /// From its beginning to the end of its last operation.
    pub(super) took: Duration,
}

/// The jobs of a plan, to be done once.
pub(super) struct Jobs {
    planned: Vec<JobPlan>,
    services: Vec<Arc<dyn Service>>,
    traffic: Arc<Traffic>,
    policies: Arc<PolicyTable>,
    value_sizes: ValueSizes,
    operation_limit: Duration,
    restart_limit: Duration,
    /// How many operations of one job are under way at once.
    at_once: usize,
    clock: Clock,
    start: Timestamp,
    end: Timestamp,
    /// Nothing more is begun.
    over: watch::Sender<bool>,
    runs: Mutex<Vec<JobRun>>,
}

/// What one operation of a job is.
enum Task {
    /// On a key, which stands for so many.
    OnKey(Operation, DataTypeId, KeyParams, u64),
    Restart,
}

impl Task {
    /// For how many operations it stands.
    fn counts_for(task: Option<&Self>) -> u64 {
        match task {
            Some(Self::OnKey(_, _, _, keys)) => *keys,
            Some(Self::Restart) | None => 1,
        }
    }
}

impl Jobs {
    /// The jobs of `plan` on the engines of the instances.
    pub(super) fn new(
        plan: &Plan,
        services: Vec<Arc<dyn Service>>,
        traffic: &Arc<Traffic>,
        clock: &Clock,
        schedule: &Schedule,
    ) -> Self {
        let warming = plan.warming.as_ref().filter(|warming| warming.at_start);
        Self {
            planned: plan.jobs.clone(),
            services,
            traffic: Arc::clone(traffic),
            policies: Arc::clone(&plan.policies),
            value_sizes: plan.value_sizes(),
            operation_limit: plan.traffic.request_timeout,
            restart_limit: RESTART_LIMIT + warming.map_or(Duration::ZERO, |warming| warming.limit),
            at_once: at_once(plan),
            clock: clock.clone(),
            start: schedule.start(),
            end: schedule.end(),
            over: watch::Sender::new(false),
            runs: Mutex::default(),
        }
    }

    /// The same without any job.
    pub(super) fn none(self) -> Self {
        Self {
            planned: Vec::new(),
            ..self
        }
    }

    /// Does the jobs until `driving` ends; what is under way then is given its time. Gives what `driving`
    /// gave, and every run of a job.
    pub(super) async fn beside<T>(self, driving: impl Future<Output = T>) -> (T, Vec<JobRun>) {
        let mut working = Box::pin(self.work());
        let mut driving = Box::pin(driving);
        let (driven, done) = tokio::select! {
            biased;
            driven = &mut driving => (driven, false),
            () = &mut working => (driving.await, true),
        };
        if !done {
            self.over.send_replace(true);
            // Who stopped the run does not wait; otherwise everything under way ends within its own
            // limit, so that the books balance.
            let stopped = self.clock.now() < self.end;
            let limit = if stopped { STOP_GRACE } else { self.longest() };
            let _ = self.clock.timeout(limit, working).await;
        }
        (driven, std::mem::take(&mut *self.runs.lock()))
    }

    /// The longest that one operation may take.
    fn longest(&self) -> Duration {
        let mut planned = self.planned.iter();
        if planned.any(|job| matches!(job.action, JobAction::Deploy(_))) {
            self.operation_limit.max(self.restart_limit)
        } else {
            self.operation_limit
        }
    }

    /// Does every job when it is due; ready at once if there is none left.
    async fn work(&self) {
        let end = self.end.since(self.start);
        let mut due = schedule(&self.planned, end).into_iter().peekable();
        let mut running = FuturesUnordered::new();
        loop {
            let next = due.peek().map(|(at, _)| self.start + *at);
            let begins = match next {
                Some(at) => Either::Left(self.wait_until(at)),
                None if running.is_empty() => return,
                None => Either::Right(std::future::pending()),
            };
            tokio::select! {
                biased;
                Some(()) = running.next(), if !running.is_empty() => {}
                goes_on = begins => match due.next() {
                    Some((at, job)) if goes_on => running.push(self.run(at, job)),
                    // Those that are under way have heard it, too.
                    _ => due = Vec::new().into_iter().peekable(),
                },
            }
        }
    }

    /// Waits until `due`; false if it is over before.
    async fn wait_until(&self, due: Timestamp) -> bool {
        let mut over = self.over.subscribe();
        tokio::select! {
            biased;
            _ = over.wait_for(|over| *over) => false,
            () = self.clock.sleep_until(due) => true,
        }
    }

    async fn run(&self, at: Duration, job: &JobPlan) {
        let mut run = Run {
            jobs: self,
            job,
            began: self.clock.now(),
            number: 0,
            count: self.operations(job),
        };
        {
            let mut runs = self.runs.lock();
            run.number = runs.len();
            runs.push(JobRun {
                name: job.name.clone(),
                at,
                operations: 0,
                failed: 0,
                left: run.all(),
                took: Duration::ZERO,
            });
        }
        run.to_the_end(self.start + at).await;
    }

    /// How many operations `job` takes.
    fn operations(&self, job: &JobPlan) -> u64 {
        match &job.action {
            JobAction::OnKeys { operation, keys } => {
                let counts = keys
                    .iter()
                    .map(|(id, keys)| self.kept_of(*operation, *id, *keys));
                counts.sum()
            }
            JobAction::InvalidateAll(ids) => ids.len() as u64,
            JobAction::Deploy(_) => self.services.len() as u64,
        }
    }

    /// How many of `keys` there are to operate on.
    fn kept_of(&self, operation: Operation, id: DataTypeId, keys: Keys) -> u64 {
        match operation {
            Operation::InvalidatePattern => keys.count(),
            _ => self.traffic.kept_of(id, keys.count()),
        }
    }

    /// The operation numbered `at` of `job`; `None` if there are not so many.
    fn task(&self, job: &JobPlan, mut at: u64) -> Option<Task> {
        match &job.action {
            JobAction::OnKeys { operation, keys } => {
                for (id, keys) in keys {
                    let count = self.kept_of(*operation, *id, *keys);
                    if at < count {
                        let (params, keys) = match operation {
                            Operation::InvalidatePattern => (self.traffic.of_group(*id, at)?, 1),
                            _ => self.traffic.nth_kept(*id, at)?,
                        };
                        return Some(Task::OnKey(*operation, *id, params, keys));
                    }
                    at -= count;
                }
                None
            }
            JobAction::InvalidateAll(ids) => {
                let id = ids.get(usize::try_from(at).ok()?)?;
                let params = KeyParams::default();
                Some(Task::OnKey(Operation::InvalidateAll, *id, params, 1))
            }
            JobAction::Deploy(_) => Some(Task::Restart),
        }
    }
}

/// A run that is under way.
struct Run<'j> {
    jobs: &'j Jobs,
    job: &'j JobPlan,
    began: Timestamp,
    /// Its place among all runs.
    number: usize,
    /// How many operations it takes.
    count: u64,
}

impl Run<'_> {
    async fn to_the_end(&self, due: Timestamp) {
        let at_once = match self.job.action {
            JobAction::Deploy(Deployment::Rolling) => 1,
            JobAction::Deploy(Deployment::AllAtOnce) => usize::MAX,
            _ => self.jobs.at_once,
        };
        let mut under_way = FuturesUnordered::new();
        for at in 0..self.count {
            let begins = self
                .jobs
                .wait_until(due + share(self.job.over, at, self.count));
            tokio::pin!(begins);
            let flow = loop {
                tokio::select! {
                    biased;
                    Some(()) = under_way.next(), if !under_way.is_empty() => {}
                    goes_on = &mut begins, if under_way.len() < at_once => {
                        break if goes_on { ControlFlow::Continue(()) } else { ControlFlow::Break(()) };
                    }
                }
            };
            if flow.is_break() {
                break;
            }
            under_way.push(self.operate(at));
        }
        while let Some(()) = under_way.next().await {}
    }

    /// For how many operations all of its own stand.
    fn all(&self) -> u64 {
        let tasks = (0..self.count).map(|at| self.jobs.task(self.job, at));
        tasks.map(|task| Task::counts_for(task.as_ref())).sum()
    }

    /// Does the operation numbered `at`, and counts it.
    async fn operate(&self, at: u64) {
        let jobs = self.jobs;
        let task = jobs.task(self.job, at);
        let counts_for = Task::counts_for(task.as_ref());
        let done = self.act(at, task).await;
        if let Some(run) = jobs.runs.lock().get_mut(self.number) {
            run.operations += counts_for;
            run.failed += if done { 0 } else { counts_for };
            run.left = run.left.saturating_sub(counts_for);
            run.took = jobs.clock.now().since(self.began);
        }
    }

    /// Whether it succeeded.
    async fn act(&self, at: u64, task: Option<Task>) -> bool {
        let jobs = self.jobs;
        let services = jobs.services.len().max(1) as u64;
        let Some(service) = jobs.services.get((at % services) as usize) else {
            return false;
        };
        match task {
            Some(Task::Restart) => {
                let restarting = service.restart();
                let done = jobs.clock.timeout(jobs.restart_limit, restarting).await;
                done.is_ok()
            }
            Some(Task::OnKey(operation, id, params, _)) => {
                let key = jobs.policies.get(id).key.render(params.as_slice(), None);
                let body = match operation {
                    Operation::Put => self.value(id, &key, at),
                    _ => Bytes::new(),
                };
                let serving = service.serve(operation, id, &key, body);
                let served = jobs.clock.timeout(jobs.operation_limit, serving).await;
                matches!(served, Ok(Ok(_)))
            }
            None => false,
        }
    }

    /// What no user writes, and no other run.
    fn value(&self, id: DataTypeId, key: &Key, at: u64) -> Bytes {
        let writer = u64::MAX - self.number as u64;
        value(self.jobs.value_sizes.of(id, key), writer, at)
    }
}

/// How many operations of one job are under way at once: of a sample, its share of them, so that the job
/// takes as long.
fn at_once(plan: &Plan) -> usize {
    #[allow(clippy::cast_sign_loss, reason = "a share is not negative")]
    let at_once = (AT_ONCE as f64 * share_of(plan)).round() as usize;
    at_once.max(1)
}

/// When the one numbered `at` of `count` is due, of all that are spread evenly over `over`.
fn share(over: Duration, at: u64, count: u64) -> Duration {
    let nanos = over.as_nanos() * u128::from(at) / u128::from(count.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
