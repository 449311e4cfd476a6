//! One pass: the users of the plan against instances with or without the cache.
//!
//! Each pass has a database, instances and measurements of its own; only the remote layer's store is
//! shared.

use std::sync::Arc;

use super::alerts::Alarms;
use super::driving::{Drove, drive};
use super::gate_watch::{GateWatch, Sources};
use super::generator_watch::GeneratorWatch;
use super::instances::{self, AnyInstance};
use super::jobs::JobRun;
use super::monitor::{Observed, Untouched, Watched};
use super::redis::Redis;
use super::{RunError, Stage, Time, external};
use crate::drivers::Driven;
use crate::drivers::arrivals::Replayed;
use crate::engine::event::Observer;
use crate::engine::local::LocalUsage;
use crate::environment::database::{Distant, MockDatabase, OriginHost};
use crate::environment::error::EnvironmentError;
use crate::environment::instance::simulated::Processor;
use crate::environment::keyspace::ttl::TtlSample;
use crate::environment::{CommitListener, DATABASE_SEED};
use crate::measure::engine_observer::{EngineMeasurements, EngineObserver};
use crate::measure::measurements::Measurements;
use crate::measure::oracle::Both;
use crate::measure::oracle::staleness::StalenessOracle;
use crate::measure::oracle::write_behind::WriteBehindOracle;
use crate::measure::recorder::Recorder;
use crate::measure::{PhaseKind, Schedule};
use crate::scenario::plan::{PhasePlan, Plan};

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
    /// The kinds of users by name, and how many there are of each.
    pub(super) user_kinds: Vec<(String, u32)>,
    pub(super) measurements: Measurements,
    pub(super) engine: EngineMeasurements,
    pub(super) oracle: Arc<StalenessOracle>,
    pub(super) write_behind: Arc<WriteBehindOracle>,
    pub(super) observed: Observed,
    pub(super) driven: Driven,
    /// What operators did meanwhile.
    pub(super) jobs: Vec<JobRun>,
    /// What became of the trace, if one was replayed.
    pub(super) replayed: Option<Replayed>,
    /// What the local layers of all instances held when the last user had gone; `None` without any.
    pub(super) local: Option<LocalUsage>,
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
        PassKind::After if plan.target.is_some() => "getting ready",
        PassKind::Before => "starting instances without cache",
        PassKind::After => "starting instances",
    });
    let oracle = Arc::new(StalenessOracle::new(Arc::clone(&plan.policies)));
    let write_behind = Arc::new(WriteBehindOracle::new(Arc::clone(&plan.policies)));
    let listener = Both(Arc::clone(&oracle), Arc::clone(&write_behind));
    let database = database(stage, Arc::new(listener));
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
        generator: GeneratorWatch::new(stage.clock.is_virtual()),
        gates: gates((stage, kind), (&recorder, &schedule), (&observers, &oracle)),
        schedule: Arc::clone(&schedule),
        recorder: Arc::clone(&recorder),
        observers: observers.clone(),
        database,
        untouched,
        instances: instances.iter().map(AnyInstance::metrics).collect(),
        processors: processors(&instances),
        alarms: alarms(stage, kind, &recorder, &schedule),
    };
    let Drove {
        driven,
        observed,
        jobs,
        replayed,
    } = Box::pin(drive(stage, kind, &instances, watched)).await?;
    let local = local_usage(&instances);
    let (ttls, aside_ttls) = ttls(stage, kind).await;

    let measurements = recorder.finish();
    let engine =
        EngineMeasurements::collect(observers.iter().map(|observer| &**observer), schedule);
    let drained = stop(instances).await;
    drop(host);
    Ok(PassResult {
        user_kinds: user_kinds(plan),
        measurements,
        engine,
        oracle,
        write_behind,
        observed,
        driven,
        jobs,
        replayed,
        local,
        drained,
        ttls,
        aside_ttls,
    })
}

fn user_kinds(plan: &Plan) -> Vec<(String, u32)> {
    let kinds = plan.workload.kinds.iter();
    kinds.map(|kind| (kind.name.clone(), kind.users)).collect()
}

/// The database of a pass, which tells `listener` of its commits.
pub(super) fn database(stage: &Stage<'_>, listener: Arc<dyn CommitListener>) -> MockDatabase {
    let plan = stage.plan;
    let database = MockDatabase::new(
        plan.database.clone(),
        Arc::clone(&plan.policies),
        plan.seed.fork(DATABASE_SEED),
        stage.clock.clone(),
        listener,
    );
    for data_type in plan.keys_come_once() {
        database.keys_come_once(data_type);
    }
    database
}

/// Stops the instances; true if all that they had accepted was committed.
async fn stop(instances: Vec<AnyInstance>) -> bool {
    let stopping = instances.into_iter().map(AnyInstance::stop);
    let stopped = futures_util::future::join_all(stopping).await;
    stopped.into_iter().all(|done| done)
}

/// All instances together.
fn local_usage(instances: &[AnyInstance]) -> Option<LocalUsage> {
    let each = instances
        .iter()
        .filter_map(|instance| instance.service().local_usage());
    each.reduce(|all, one| LocalUsage {
        entries: all.entries + one.entries,
        bytes: all.bytes + one.bytes,
        evictions: all.evictions + one.evictions,
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

/// The baseline is not judged, and samples of a simulation are judged together: none of them ends
/// before the others.
fn gates(
    (stage, kind): (&Stage<'_>, PassKind),
    (recorder, schedule): (&Arc<Recorder>, &Arc<Schedule>),
    (observers, oracle): (&[Arc<EngineObserver>], &Arc<StalenessOracle>),
) -> GateWatch {
    let watchable = external::watchable(stage.plan);
    let gates = match kind {
        PassKind::Before => &[],
        PassKind::After => &*watchable,
    };
    let sources = Sources {
        schedule: Arc::clone(schedule),
        recorder: Arc::clone(recorder),
        policies: Arc::clone(&stage.plan.policies),
        observers: observers.to_vec(),
        oracle: Arc::clone(oracle),
        user_kinds: user_kinds(stage.plan),
        has_store: stage.stores.any(),
        scale: stage.scale.clone(),
    };
    let is_sample = stage.plan.workload.sample.is_some();
    GateWatch::new(gates, !is_sample, sources)
}

/// The phases of a pass: name, kind and length.
pub(super) fn phases(plan: &Plan, kind: PassKind) -> Vec<(String, PhaseKind, std::time::Duration)> {
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
pub(super) async fn start_instances(
    stage: &Stage<'_>,
    kind: PassKind,
    database: &MockDatabase,
    observers: Vec<Arc<dyn Observer>>,
) -> Result<(Option<OriginHost>, Vec<AnyInstance>), EnvironmentError> {
    if stage.plan.target.is_some() {
        return Ok((None, Vec::new()));
    }
    if let Time::Virtual { calibration, .. } = &stage.time {
        let seed = stage.plan.seed.fork(DATABASE_SEED);
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
