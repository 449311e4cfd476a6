//! One pass: the users of the plan against instances with or without the cache.
//!
//! Each pass has a database, instances and measurements of its own; only the remote layer's store is
//! shared.

use std::sync::Arc;

use tokio::sync::watch;

use super::alerts::Alarms;
use super::jobs::{JobRun, Jobs};
use super::monitor::{Monitor, Observed, Untouched, Watched};
use super::redis_server::RedisServer;
use super::{RunError, Stage, warming};
use crate::drivers::closed_loop::ClosedLoop;
use crate::drivers::crowd::Users;
use crate::drivers::direct::Direct;
use crate::drivers::{Driven, DriverError};
use crate::engine::event::Observer;
use crate::engine::local::LocalConfig;
use crate::engine::remote::any::RemoteOptions;
use crate::engine::remote::redis::RedisOptions;
use crate::environment::database::{HostedOrigin, MockDatabase, OriginHost};
use crate::environment::instance::{Aside, Instance, InstanceConfig};
use crate::environment::keyspace::ttl::TtlSample;
use crate::measure::engine_observer::{EngineMeasurements, EngineObserver};
use crate::measure::measurements::Measurements;
use crate::measure::oracle::Both;
use crate::measure::oracle::staleness::StalenessOracle;
use crate::measure::oracle::write_behind::WriteBehindOracle;
use crate::measure::recorder::Recorder;
use crate::measure::{PhaseKind, Schedule};
use crate::scenario::plan::{Driver, PhasePlan, Plan, RemotePlan};
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
    let host = OriginHost::start()?;
    let database = MockDatabase::new(
        plan.database.clone(),
        Arc::clone(&plan.policies),
        plan.seed.fork("database"),
        stage.clock.clone(),
        Arc::new(Both(Arc::clone(&oracle), Arc::clone(&write_behind))),
    );
    let observers: Vec<Arc<EngineObserver>> = (0..plan.instances)
        .map(|_| Arc::new(EngineObserver::new()))
        .collect();
    let told = observers
        .iter()
        .map(|observer| Arc::new(Both(Arc::clone(observer), Arc::clone(&write_behind))));
    let told: Vec<Arc<dyn Observer>> = told.map(|told| told as _).collect();
    // Before the instances, which may warm before the first user comes.
    let untouched = Untouched::read(stage, &database).await;
    let instances = start_instances(stage, kind, &host.host(database.clone()), told).await?;

    stage.progress.note(&metrics_of(&instances));
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
        instances: instances.iter().map(Instance::metrics).collect(),
        alarms: alarms(stage, kind, &recorder, &schedule),
    };
    let (driven, observed, jobs) = Box::pin(drive(stage, kind, &instances, watched)).await?;
    let (ttls, aside_ttls) = ttls(stage, kind).await;

    let measurements = recorder.finish();
    let engine =
        EngineMeasurements::collect(observers.iter().map(|observer| &**observer), schedule);
    let stopping = instances.into_iter().map(Instance::stop);
    let drained = futures_util::future::join_all(stopping)
        .await
        .into_iter()
        .all(|done| done);
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
    let look = async |redis: Option<&mut RedisServer>| redis?.ttls(policies, clock).await;
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
        stage.stores.any(),
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

async fn start_instances(
    stage: &Stage<'_>,
    kind: PassKind,
    origin: &HostedOrigin<MockDatabase>,
    observers: Vec<Arc<dyn Observer>>,
) -> Result<Vec<Instance>, RunError> {
    let plan = stage.plan;
    let cached = kind == PassKind::After;
    let local = plan
        .layers
        .local
        .filter(|_| cached)
        .map(|local| LocalConfig {
            entries: local.entries,
            bytes: local.bytes.map(|bytes| bytes.0),
            policy: local.policy,
        });
    let remote = (plan.layers.remote.as_ref()).filter(|_| cached);
    let invalidation = remote.map(|remote| remote.invalidation).unwrap_or_default();
    let aside = remote.and_then(|remote| aside_options(stage, remote));
    let remote = remote.and_then(|remote| remote_options(stage, remote));
    let warming = cached.then(|| warming::of(plan)).flatten();
    let mut instances = Vec::new();
    for (number, observer) in (0..).zip(observers) {
        let config = InstanceConfig {
            number,
            policies: Arc::clone(&plan.policies),
            local,
            remote: remote.clone(),
            aside: aside.clone(),
            invalidation,
            resilience: plan.resilience,
            warming: warming.clone(),
            clock: stage.clock.clone(),
            seed: plan.seed.fork("instances"),
            observer,
        };
        instances.push(Instance::start(config, origin.clone()).await?);
    }
    Ok(instances)
}

/// Where the metrics of `instances` are, while they run.
fn metrics_of(instances: &[Instance]) -> String {
    let urls: Vec<String> = instances.iter().map(Instance::metrics_url).collect();
    format!("metrics: {}", urls.join(" "))
}

/// How the instances reach the store that was brought up.
fn remote_options(stage: &Stage<'_>, remote: &RemotePlan) -> Option<RemoteOptions> {
    if let Some(memcached) = &stage.stores.memcached {
        let options = memcached.options(remote, &stage.clock);
        return Some(RemoteOptions::Memcached(options));
    }
    let redis = stage.stores.redis.as_ref()?;
    Some(RemoteOptions::Redis(RedisOptions {
        url: redis.url().to_owned(),
        prefix: redis.prefix().as_str().to_owned(),
        connections: remote.connections,
        timeout: remote.timeout,
    }))
}

/// How they reach the store beside it, if there is one.
fn aside_options(stage: &Stage<'_>, remote: &RemotePlan) -> Option<Aside> {
    let (server, store) = stage.stores.aside.as_ref().zip(remote.aside.as_ref())?;
    Some(Aside {
        options: RemoteOptions::Redis(RedisOptions {
            url: server.url().to_owned(),
            prefix: server.prefix().as_str().to_owned(),
            connections: store.connections,
            timeout: store.timeout,
        }),
        data_types: store.data_types.clone(),
    })
}

/// Drives the users while the monitor watches, until the schedule ends, somebody stops the run, or
/// Redis is gone.
async fn drive(
    stage: &mut Stage<'_>,
    kind: PassKind,
    instances: &[Instance],
    watched: Watched,
) -> Result<(Driven, Observed, Vec<JobRun>), RunError> {
    let plan = stage.plan;
    let (stop, stopped) = watch::channel(*stage.stop.borrow());
    let users = Users {
        traffic: Traffic::new(&plan.workload, &plan.policies, plan.seed.fork("users")),
        policies: Arc::clone(&plan.policies),
        count: plan.traffic.users,
        ramp: plan.traffic.ramp,
        rhythm: plan.traffic.rhythm.clone(),
        request_timeout: plan.traffic.request_timeout,
        value_sizes: plan
            .database
            .tables
            .iter()
            .map(|table| table.value_size)
            .collect(),
        clock: stage.clock.clone(),
        schedule: Arc::clone(&watched.schedule),
        sink: Arc::clone(&watched.recorder) as _,
        stop: stopped,
    };
    let services = instances.iter().map(Instance::service).collect();
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
    // On the generator's threads, apart from the thread that watches.
    let driving = match plan.traffic.driver {
        Driver::Closed => {
            let targets = instances.iter().map(Instance::url).collect();
            tokio::spawn(jobs.beside(ClosedLoop { users, targets }.run()))
        }
        Driver::Direct => {
            let targets = instances.iter().map(Instance::service).collect();
            tokio::spawn(jobs.beside(Direct { users, targets }.run()))
        }
    };
    let observed = Monitor::new(stage, watched, stop).watch(&driving).await;
    let (driven, jobs) = driving
        .await
        .map_err(|lost| DriverError::Attack(lost.to_string()))?;
    Ok((driven?, observed, jobs))
}
