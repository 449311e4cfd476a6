//! Drives the traffic of one pass: which driver, with what, while who watches.
//!
//! Called by `pass`, which has brought up what is driven.

use std::future::ready;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::instances::AnyInstance;
use super::jobs::{JobRun, Jobs};
use super::monitor::{Monitor, Observed, Watched};
use super::pass::{PassKind, phases};
use super::{RunError, Stage, external};
use crate::drivers::arrivals::{Pacing, Replay, Replayed, Source};
use crate::drivers::closed_loop::ClosedLoop;
use crate::drivers::crowd::Users;
use crate::drivers::direct::Direct;
use crate::drivers::http::external::EitherFace;
use crate::drivers::http::face::InstanceFace;
use crate::drivers::open_loop::OpenLoop;
use crate::drivers::{Driven, DriverError};
use crate::measure::event_log::Logged;
use crate::measure::loop_delay::{LoopDelay, probe};
use crate::measure::recorder::Recorder;
use crate::measure::sink::SampleSink;
use crate::measure::{PhaseKind, Schedule};
use crate::scenario::plan::{Driver, Pace, Plan, TracePlan};
use crate::workload::TRAFFIC_SEED;
use crate::workload::arrivals::PhaseArrivals;
use crate::workload::user::Traffic;

/// What came of driving.
pub(super) struct Drove {
    /// What the driver did.
    pub(super) driven: Driven,
    /// What was seen meanwhile.
    pub(super) observed: Observed,
    /// What operators did meanwhile.
    pub(super) jobs: Vec<JobRun>,
    /// What became of the trace, if one was replayed.
    pub(super) replayed: Option<Replayed>,
}

/// Drives the users while the monitor watches, until the schedule ends, somebody stops the run, or
/// Redis is gone.
pub(super) async fn drive(
    stage: &mut Stage<'_>,
    kind: PassKind,
    instances: &[AnyInstance],
    watched: Watched,
) -> Result<Drove, RunError> {
    let plan = stage.plan;
    let (stop, stopped) = watch::channel(*stage.stop.borrow());
    let users = Users {
        traffic: Traffic::new(&plan.workload, &plan.policies, plan.seed.fork(TRAFFIC_SEED)),
        policies: Arc::clone(&plan.policies),
        count: plan.traffic.users,
        ramp: plan.traffic.ramp,
        rhythm: plan.traffic.rhythm.clone(),
        request_timeout: plan.traffic.request_timeout,
        value_sizes: plan.value_sizes(),
        clock: stage.clock.clone(),
        schedule: Arc::clone(&watched.schedule),
        sink: sink(stage, &watched.recorder),
        stop: stopped,
    };
    let services = instances.iter().map(AnyInstance::service).collect();
    let jobs = Jobs::new(
        plan,
        services,
        &users.traffic,
        &stage.clock,
        &users.schedule,
    );
    // Nobody deploys or changes the catalogue for the baseline: it is far shorter.
    let jobs = if kind == PassKind::Before {
        jobs.none()
    } else {
        jobs
    };
    let replayed: Arc<Mutex<Replayed>> = Arc::default();
    let delay = watched.generator.loop_delay();
    // Users without threads of their own live on this runtime.
    let here = (plan.traffic.driver != Driver::Open)
        .then(|| tokio::spawn(probe(stage.clock.clone(), delay.clone())));
    let driving = driving(stage, kind, instances, users, (&replayed, delay));
    let driving = tokio::spawn(jobs.beside(driving));
    let observed = Monitor::new(stage, watched, stop).watch(&driving).await;
    if let Some(probing) = here {
        probing.abort();
    }
    let (driven, jobs) = driving
        .await
        .map_err(|lost| DriverError::Attack(lost.to_string()))?;
    let replayed = std::mem::take(&mut *replayed.lock());
    Ok(Drove {
        driven: driven?,
        observed,
        jobs,
        replayed: plan.traffic.trace.is_some().then_some(replayed),
    })
}

/// Drives `users` in the way that the plan wants. In real time that is on the generator's threads, apart
/// from the thread that watches. In virtual time nobody listens to HTTP, and what it takes is part of
/// the instances.
fn driving(
    stage: &Stage<'_>,
    kind: PassKind,
    instances: &[AnyInstance],
    users: Users,
    (replayed, loop_delay): (&Arc<Mutex<Replayed>>, LoopDelay),
) -> BoxFuture<'static, Result<Driven, DriverError>> {
    let traffic = &stage.plan.traffic;
    let services = instances.iter().map(AnyInstance::service).collect();
    let (face, urls) = match place(stage.plan, instances, &users) {
        Ok(place) => place,
        Err(error) => return Box::pin(ready(Err(error))),
    };
    let real = !stage.clock.is_virtual();
    match traffic.driver {
        Driver::Open => {
            let source = match &traffic.trace {
                Some(trace) => Source::Trace(replay(trace, &users.schedule, replayed)),
                None => Source::Paced {
                    traffic: Arc::clone(&users.traffic),
                    phases: arrivals(stage.plan, kind),
                    start: users.schedule.start(),
                },
            };
            let open = OpenLoop {
                source,
                in_flight: traffic.in_flight_at_once(),
                loop_delay,
                users,
            };
            if real {
                Box::pin(async move { open.run(|| face.clone(), &urls).await })
            } else {
                Box::pin(open.run_directly(services))
            }
        }
        Driver::Closed if real => {
            let targets = urls;
            Box::pin(ClosedLoop { users, targets }.run_as(face))
        }
        Driver::Closed | Driver::Direct => {
            let targets = services;
            Box::pin(Direct { users, targets }.run())
        }
    }
}

/// Where the service is, and how it is spoken to: the instances, or the target instead of them.
fn place(
    plan: &Plan,
    instances: &[AnyInstance],
    users: &Users,
) -> Result<(EitherFace, Vec<String>), DriverError> {
    if let (Some(service), Some(face)) = (&plan.target, external::face(plan)?) {
        return Ok((EitherFace::External(face), service.urls.clone()));
    }
    let face = InstanceFace {
        policies: Arc::clone(&users.policies),
        value_sizes: users.value_sizes.clone(),
    };
    let urls = instances.iter().filter_map(AnyInstance::url);
    Ok((EitherFace::Instance(face), urls.collect()))
}

/// The trace as it is to be replayed over `schedule`.
fn replay(trace: &TracePlan, schedule: &Schedule, told: &Arc<Mutex<Replayed>>) -> Replay {
    Replay {
        file: trace.file.clone(),
        format: trace.format,
        data_type: trace.data_type,
        pacing: pacing(trace.pace),
        span: (schedule.start(), schedule.end()),
        told: Arc::clone(told),
    }
}

/// When the requests of a trace are due that is replayed so fast.
pub(super) fn pacing(pace: Pace) -> Pacing {
    match pace {
        Pace::Times(factor) => Pacing::Times(factor),
        Pace::Rate(rate) => Pacing::Rate(rate),
        Pace::FlatOut | Pace::OneByOne => Pacing::WhenFree,
    }
}

/// What arrives in the phases of a pass. Without the cache as much as in the first phase that is
/// measured with it.
fn arrivals(plan: &Plan, kind: PassKind) -> Vec<PhaseArrivals> {
    let planned = &plan.traffic.phases;
    let first = planned
        .iter()
        .find(|phase| phase.kind == PhaseKind::Measure && phase.arrivals.is_some());
    let phases = phases(plan, kind).into_iter().enumerate();
    let of = |(at, (_, _, duration)): (usize, (String, PhaseKind, _))| PhaseArrivals {
        duration,
        arrivals: match kind {
            PassKind::Before => first.and_then(|phase| phase.arrivals),
            PassKind::After => planned.get(at).and_then(|phase| phase.arrivals),
        },
    };
    phases.map(of).collect()
}

/// Where samples go: to the recorder, and in virtual time through the log.
fn sink(stage: &Stage<'_>, recorder: &Arc<Recorder>) -> Arc<dyn SampleSink> {
    let sink = Arc::clone(recorder);
    match stage.time.log() {
        Some(log) => Arc::new(Logged {
            sink,
            log: Arc::clone(log),
        }),
        None => sink,
    }
}
