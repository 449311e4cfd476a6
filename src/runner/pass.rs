//! One pass: the users of the plan against instances with or without the cache.
//!
//! Each pass has a database, instances and measurements of its own; only the remote layer's store is
//! shared.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::sync::watch;

use super::alerts::Alarms;
use super::instances::{self, AnyInstance};
use super::jobs::{JobRun, Jobs};
use super::monitor::{Monitor, Observed, Untouched, Watched};
use super::redis::Redis;
use super::{RunError, Stage, Time};
use crate::drivers::arrivals::Source;
use crate::drivers::closed_loop::ClosedLoop;
use crate::drivers::crowd::Users;
use crate::drivers::direct::Direct;
use crate::drivers::http::face::InstanceFace;
use crate::drivers::open_loop::OpenLoop;
use crate::drivers::{Driven, DriverError};
use crate::engine::event::Observer;
use crate::environment::DATABASE_SEED;
use crate::environment::database::{Distant, MockDatabase, OriginHost};
use crate::environment::error::EnvironmentError;
use crate::environment::instance::simulated::Processor;
use crate::environment::keyspace::ttl::TtlSample;
use crate::measure::engine_observer::{EngineMeasurements, EngineObserver};
use crate::measure::event_log::Logged;
use crate::measure::measurements::Measurements;
use crate::measure::oracle::Both;
use crate::measure::oracle::staleness::StalenessOracle;
use crate::measure::oracle::write_behind::WriteBehindOracle;
use crate::measure::recorder::Recorder;
use crate::measure::sink::SampleSink;
use crate::measure::{PhaseKind, Schedule};
use crate::scenario::plan::{Driver, PhasePlan, Plan};
use crate::workload::TRAFFIC_SEED;
use crate::workload::arrivals::PhaseArrivals;
use crate::workload::user::Traffic;

/// What is told when the users have gone and the instances are still there.
const LAST_LOOK: &str = "looking at what Redis holds";

/// With or without the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PassKind {
    /// The baseline: every request goes to the database.
    Before,
    /// The system that is judged.
    After,
}

/// What a pass measured.
pub(super) struct PassResult {
    pub(super) measurements: Measurements,
    pub(super) engine: EngineMeasurements,
    pub(super) oracle: Arc<StalenessOracle>,
    pub(super) write_behind: Arc<WriteBehindOracle>,
    pub(super) observed: Observed,
    pub(super) driven: Driven,
    /// What operators did meanwhile.
    pub(super) jobs: Vec<JobRun>,
    /// Whether all that write-behind had accepted was committed in the end.
    pub(super) drained: bool,
    /// The TTLs that keys had left when the last user had gone.
    pub(super) ttls: Option<TtlSample>,
    /// The same in the store aside.
    pub(super) aside_ttls: Option<TtlSample>,
}

/// Runs one pass.
pub(super) async fn run(stage: &mut Stage<'_>, kind: PassKind) -> Result<PassResult, RunError> {
    let plan = stage.plan;
    stage.progress.step(match kind {
        PassKind::Before => "starting instances without cache",
        PassKind::After => "starting instances",
    });
    let oracle = Arc::new(StalenessOracle::new(Arc::clone(&plan.policies)));
    let write_behind = Arc::new(WriteBehindOracle::new(Arc::clone(&plan.policies)));
    let database = MockDatabase::new(
        plan.database.clone(),
        Arc::clone(&plan.policies),
        plan.seed.fork(DATABASE_SEED),
        stage.clock.clone(),
        Arc::new(Both(Arc::clone(&oracle), Arc::clone(&write_behind))),
    );
    for data_type in plan.keys_come_once() {
        database.keys_come_once(data_type);
    }
    let observers: Vec<Arc<EngineObserver>> = (0..plan.instances)
        .map(|_| Arc::new(EngineObserver::new()))
        .collect();
    let told = observers
        .iter()
        .map(|observer| told(stage, observer, &write_behind))
        .collect();
    // Before the instances, which may warm before the first user comes.
    let untouched = Untouched::read(stage, &database).await;
    let (host, instances) = start_instances(stage, kind, &database, told).await?;

    note_metrics(stage, &instances);
    let started_at = stage.clock.now();
    let schedule = Arc::new(Schedule::new(started_at, phases(plan, kind)));
    let recorder = Arc::new(Recorder::new(
        stage.clock.clone(),
        Arc::clone(&schedule),
        Arc::clone(&plan.policies),
        Some(Arc::clone(&oracle)),
    ));
    let watched = Watched {
        schedule: Arc::clone(&schedule),
        recorder: Arc::clone(&recorder),
        observers: observers.clone(),
        database,
        untouched,
        instances: instances.iter().map(AnyInstance::metrics).collect(),
        processors: processors(&instances),
        alarms: alarms(stage, kind, &recorder, &schedule),
    };
    let (driven, observed, jobs) = Box::pin(drive(stage, kind, &instances, watched)).await?;
    let (ttls, aside_ttls) = ttls(stage, kind).await;

    let measurements = recorder.finish();
    let engine =
        EngineMeasurements::collect(observers.iter().map(|observer| &**observer), schedule);
    let stopping = instances.into_iter().map(AnyInstance::stop);
    let drained = futures_util::future::join_all(stopping)
        .await
        .into_iter()
        .all(|done| done);
    drop(host);
    Ok(PassResult {
        measurements,
        engine,
        oracle,
        write_behind,
        observed,
        driven,
        jobs,
        drained,
        ttls,
        aside_ttls,
    })
}

/// Before the instances go: their metrics can still be asked for.
async fn ttls(stage: &mut Stage<'_>, kind: PassKind) -> (Option<TtlSample>, Option<TtlSample>) {
    if kind == PassKind::Before || stage.stores.redis.is_none() {
        return (None, None);
    }
    stage.progress.step(LAST_LOOK);
    let (policies, clock) = (&stage.plan.policies, &stage.clock);
    let look = async |redis: Option<&mut Redis>| redis?.ttls(policies, clock).await;
    let stores = &mut stage.stores;
    let ttls = look(stores.redis.as_mut()).await;
    (ttls, look(stores.aside.as_mut()).await)
}

/// Without the cache, nothing is watched that only a cache can promise.
fn alarms(
    stage: &Stage<'_>,
    kind: PassKind,
    recorder: &Arc<Recorder>,
    schedule: &Arc<Schedule>,
) -> Alarms {
    let plan = stage.plan;
    let alerts = match kind {
        PassKind::Before => &[],
        PassKind::After => &*plan.alerts,
    };
    Alarms::new(
        alerts,
        &plan.policies,
        recorder,
        schedule,
        (stage.stores.any(), stage.scale.clone()),
    )
}

fn phases(plan: &Plan, kind: PassKind) -> Vec<(String, PhaseKind, std::time::Duration)> {
    if let (PassKind::Before, Some(baseline)) = (kind, &plan.baseline) {
        return vec![
            ("arrival".to_owned(), PhaseKind::WarmUp, plan.traffic.ramp),
            (
                "without cache".to_owned(),
                PhaseKind::Measure,
                baseline.duration,
            ),
        ];
    }
    let of = |phase: &PhasePlan| (phase.name.clone(), phase.kind, phase.duration);
    plan.traffic.phases.iter().map(of).collect()
}

/// The instances, and where the database runs, if not among them: to be kept for as long as they are.
async fn start_instances(
    stage: &Stage<'_>,
    kind: PassKind,
    database: &MockDatabase,
    observers: Vec<Arc<dyn Observer>>,
) -> Result<(Option<OriginHost>, Vec<AnyInstance>), EnvironmentError> {
    if let Time::Virtual { calibration, .. } = &stage.time {
        let seed = stage.plan.seed.fork("database");
        let (delay, clock) = (calibration.database.clone(), stage.clock.clone());
        let origin = Distant::new(database.clone(), delay, seed, clock);
        let started = instances::start(stage, kind, &origin, observers).await?;
        return Ok((None, started));
    }
    let host = OriginHost::start()?;
    let origin = host.host(database.clone());
    let started = instances::start(stage, kind, &origin, observers).await?;
    Ok((Some(host), started))
}

/// Who is told of what happens in the engine of an instance.
fn told(
    stage: &Stage<'_>,
    observer: &Arc<EngineObserver>,
    write_behind: &Arc<WriteBehindOracle>,
) -> Arc<dyn Observer> {
    let told = Arc::new(Both(Arc::clone(observer), Arc::clone(write_behind)));
    match stage.time.log() {
        Some(log) => Arc::new(Both(told, Arc::clone(log))),
        None => told,
    }
}

fn processors(instances: &[AnyInstance]) -> Vec<Processor> {
    let processors = instances.iter().filter_map(AnyInstance::processor);
    processors.collect()
}

/// Tells where the metrics of `instances` are, while they run.
fn note_metrics(stage: &Stage<'_>, instances: &[AnyInstance]) {
    let urls = instances.iter().filter_map(AnyInstance::metrics_url);
    let urls: Vec<String> = urls.collect();
    if !urls.is_empty() {
        let metrics = format!("metrics: {}", urls.join(" "));
        stage.progress.note(&metrics);
    }
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

/// Drives the users while the monitor watches, until the schedule ends, somebody stops the run, or
/// Redis is gone.
async fn drive(
    stage: &mut Stage<'_>,
    kind: PassKind,
    instances: &[AnyInstance],
    watched: Watched,
) -> Result<(Driven, Observed, Vec<JobRun>), RunError> {
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
    let driving = tokio::spawn(jobs.beside(driving(stage, kind, instances, users)));
    let observed = Monitor::new(stage, watched, stop).watch(&driving).await;
    let (driven, jobs) = driving
        .await
        .map_err(|lost| DriverError::Attack(lost.to_string()))?;
    Ok((driven?, observed, jobs))
}

/// Drives `users` in the way that the plan wants. In real time that is on the generator's threads, apart
/// from the thread that watches. In virtual time nobody listens to HTTP, and what it takes is part of
/// the instances.
fn driving(
    stage: &Stage<'_>,
    kind: PassKind,
    instances: &[AnyInstance],
    users: Users,
) -> BoxFuture<'static, Result<Driven, DriverError>> {
    let traffic = &stage.plan.traffic;
    let services = instances.iter().map(AnyInstance::service).collect();
    let urls: Vec<String> = instances.iter().filter_map(AnyInstance::url).collect();
    let real = !stage.clock.is_virtual();
    match traffic.driver {
        Driver::Open => {
            let open = OpenLoop {
                source: Source::Paced {
                    traffic: Arc::clone(&users.traffic),
                    phases: arrivals(stage.plan, kind),
                    start: users.schedule.start(),
                },
                in_flight: traffic.in_flight,
                users,
            };
            if real {
                let face = InstanceFace {
                    policies: Arc::clone(&open.users.policies),
                    value_sizes: open.users.value_sizes.clone(),
                };
                Box::pin(async move { open.run(|| face.clone(), &urls).await })
            } else {
                Box::pin(open.run_directly(services))
            }
        }
        Driver::Closed if real => {
            let targets = urls;
            Box::pin(ClosedLoop { users, targets }.run())
        }
        Driver::Closed | Driver::Direct => {
            let targets = services;
            Box::pin(Direct { users, targets }.run())
        }
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
