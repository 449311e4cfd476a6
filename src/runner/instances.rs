//! The service instances of a pass: servers, or in virtual time the same engines without them.

use std::sync::Arc;
use std::time::Duration;

use super::memcached_server::MemcachedServer;
use super::pass::PassKind;
use super::redis::Redis;
use super::redis_server::RedisServer;
use super::scale::share_of;
use super::{Stage, Time, warming};
use crate::engine::event::Observer;
use crate::engine::layer::Origin;
use crate::engine::local::LocalConfig;
use crate::engine::remote::any::RemoteOptions;
use crate::engine::remote::redis::RedisOptions;
use crate::environment::calibration::Calibration;
use crate::environment::delay::Delay;
use crate::environment::error::EnvironmentError;
use crate::environment::instance::metrics::InstanceMetrics;
use crate::environment::instance::service::Service;
use crate::environment::instance::simulated::{
    Face, Processor, Reached, SimulatedInstance, Stores,
};
use crate::environment::instance::{Aside, Instance, InstanceConfig};
use crate::environment::modelled_redis::remote::ModelledRemote;
use crate::scenario::plan::{Driver, Plan, RemotePlan};

/// A running instance.
pub(super) enum AnyInstance {
    /// A server on a thread of its own.
    Real(Instance),
    /// The same engine in virtual time.
    Simulated(SimulatedInstance),
}

impl AnyInstance {
    /// Its engine, for drivers that leave HTTP out.
    pub(super) fn service(&self) -> Arc<dyn Service> {
        match self {
            Self::Real(instance) => instance.service(),
            Self::Simulated(instance) => instance.service(),
        }
    }

    /// Where it listens; `None` if it does not.
    pub(super) fn url(&self) -> Option<String> {
        match self {
            Self::Real(instance) => Some(instance.url()),
            Self::Simulated(_) => None,
        }
    }

    /// Where Prometheus finds its metrics, if anywhere.
    pub(super) fn metrics_url(&self) -> Option<String> {
        match self {
            Self::Real(instance) => Some(instance.metrics_url()),
            Self::Simulated(_) => None,
        }
    }

    pub(super) fn metrics(&self) -> Arc<InstanceMetrics> {
        match self {
            Self::Real(instance) => instance.metrics(),
            Self::Simulated(instance) => instance.metrics(),
        }
    }

    /// Its processor, if that is simulated, too.
    pub(super) fn processor(&self) -> Option<Processor> {
        match self {
            Self::Real(_) => None,
            Self::Simulated(instance) => Some(instance.processor()),
        }
    }

    /// Ends it. Gives whether all that write-behind had accepted was committed.
    pub(super) async fn stop(self) -> bool {
        match self {
            Self::Real(instance) => instance.stop().await,
            Self::Simulated(instance) => instance.stop().await,
        }
    }
}

/// Starts an instance for each of `observers`, in front of `origin`.
pub(super) async fn start<O: Origin + Clone>(
    stage: &Stage<'_>,
    kind: PassKind,
    origin: &O,
    observers: Vec<Arc<dyn Observer>>,
) -> Result<Vec<AnyInstance>, EnvironmentError> {
    let mut instances = Vec::new();
    let warming = (kind == PassKind::After).then(|| warming::of(stage.plan));
    for (number, observer) in (0..).zip(observers) {
        let config = InstanceConfig {
            warming: warming.clone().flatten(),
            ..config(stage, kind, number, observer)
        };
        instances.push(match &stage.time {
            Time::Real => {
                let port = port(stage.port, number)?;
                AnyInstance::Real(Instance::start_at(config, origin.clone(), port).await?)
            }
            Time::Virtual { calibration, .. } => {
                let stores = modelled_stores(stage, kind);
                let face = face(calibration, stage.plan);
                let start = SimulatedInstance::start(config, stores, origin.clone(), face);
                AnyInstance::Simulated(start.await?)
            }
        });
    }
    Ok(instances)
}

/// Where the instance of this number listens if the first one does at `first`; 0: anywhere.
fn port(first: Option<u16>, number: u16) -> Result<u16, EnvironmentError> {
    let Some(first) = first else {
        return Ok(0);
    };
    let port = first.checked_add(number);
    port.ok_or_else(|| EnvironmentError::Instance {
        number,
        reason: format!("there is no port {}", u32::from(first) + u32::from(number)),
    })
}

fn config(
    stage: &Stage<'_>,
    kind: PassKind,
    number: u16,
    observer: Arc<dyn Observer>,
) -> InstanceConfig {
    let plan = stage.plan;
    let cached = kind == PassKind::After;
    let local = plan.layers.local.filter(|_| cached);
    let local = local.map(|local| LocalConfig {
        entries: local.entries,
        bytes: local.bytes.map(|bytes| bytes.0),
        policy: local.policy,
    });
    let remote = plan.layers.remote.as_ref().filter(|_| cached);
    InstanceConfig {
        number,
        policies: Arc::clone(&plan.policies),
        local,
        remote: remote.and_then(|remote| remote_options(stage, remote)),
        aside: remote.and_then(|remote| aside_options(stage, remote)),
        invalidation: remote.map(|remote| remote.invalidation).unwrap_or_default(),
        resilience: plan.resilience,
        warming: None,
        clock: stage.clock.clone(),
        seed: plan.seed.fork("instances"),
        observer,
    }
}

/// How the instances reach the store that was brought up; `None` if it is a model.
fn remote_options(stage: &Stage<'_>, remote: &RemotePlan) -> Option<RemoteOptions> {
    if let Some(memcached) = &stage.stores.memcached {
        let options = MemcachedServer::options(memcached, remote, &stage.clock);
        return Some(RemoteOptions::Memcached(options));
    }
    match stage.stores.redis.as_ref()? {
        Redis::Real(server) => Some(redis_options(server, remote.connections, remote.timeout)),
        Redis::Modelled(_) => None,
    }
}

/// How they reach the store beside it, if there is one.
fn aside_options(stage: &Stage<'_>, remote: &RemotePlan) -> Option<Aside> {
    let store = remote.aside.as_ref()?;
    match stage.stores.aside.as_ref()? {
        Redis::Real(server) => Some(Aside {
            options: redis_options(server, store.connections, store.timeout),
            data_types: store.data_types.clone(),
        }),
        Redis::Modelled(_) => None,
    }
}

fn redis_options(server: &RedisServer, connections: u16, timeout: Duration) -> RemoteOptions {
    RemoteOptions::Redis(RedisOptions {
        url: server.url().to_owned(),
        prefix: server.prefix().as_str().to_owned(),
        connections,
        timeout,
    })
}

/// The models that a simulated instance reaches.
fn modelled_stores(stage: &Stage<'_>, kind: PassKind) -> Option<Stores<ModelledRemote>> {
    let remote = stage.plan.layers.remote.as_ref();
    let remote = remote.filter(|_| kind == PassKind::After)?;
    let connect =
        |redis: &Option<Redis>, connections, timeout| -> Option<Reached<ModelledRemote>> {
            match redis.as_ref()? {
                Redis::Modelled(model) => Some(model.connect(stage.plan, (connections, timeout))),
                Redis::Real(_) => None,
            }
        };
    let aside = remote.aside.as_ref().and_then(|store| {
        let reached = connect(&stage.stores.aside, store.connections, store.timeout)?;
        Some((reached, store.data_types.clone()))
    });
    Some(Stores {
        main: connect(&stage.stores.redis, remote.connections, remote.timeout)?,
        aside,
    })
}

/// What stands between users and a simulated instance: HTTP, unless the plan leaves it out.
fn face(calibration: &Calibration, plan: &Plan) -> Face {
    let http = plan.traffic.driver != Driver::Direct;
    Face {
        way: if http {
            calibration.http.clone()
        } else {
            Delay::constant(Duration::ZERO)
        },
        processor_time: if http {
            calibration.processor_time
        } else {
            Duration::ZERO
        },
        share: share_of(plan),
    }
}
