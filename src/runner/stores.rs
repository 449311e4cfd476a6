//! The stores of a plan's remote layer: Redis, a second one beside it, or memcached in their place.
//!
//! Brought up before the first pass of a plan and taken down after its last one.

use super::memcached_server::MemcachedServer;
use super::redis::Redis;
use super::redis_model::RedisModel;
use super::redis_server::RedisServer;
use super::{House, RunError, RunOptions, Time};
use crate::clock::Clock;
use crate::environment::calibration::Calibration;
use crate::environment::error::EnvironmentError;
use crate::environment::keyspace::RunPrefix;
use crate::environment::redis_topology::ReadFrom;
use crate::scenario::plan::{Plan, RemotePlan, StorePlan};

/// What is up; nothing without a remote layer.
#[derive(Default)]
pub(super) struct Stores {
    pub(super) redis: Option<Redis>,
    /// Beside it, for some data types.
    pub(super) aside: Option<Redis>,
    pub(super) memcached: Option<MemcachedServer>,
}

impl Stores {
    /// Brings up what `plan` asks for. If one cannot be had, what is up already goes down.
    pub(super) async fn up(house: &House<'_>, plan: &Plan) -> Result<Self, EnvironmentError> {
        let Some(remote) = &plan.layers.remote else {
            return Ok(Self::default());
        };
        let clock = &house.clock;
        if let Time::Virtual { calibration, .. } = &house.time {
            return Self::modelled(plan, remote, calibration, clock);
        }
        // By its time no variant meets the keys of another.
        let prefix = RunPrefix::new(plan.seed, clock.now());
        if let Some(memcached) = remote.memcached {
            let place = house.options.memcached.as_deref();
            house.progress.step(match place {
                Some(_) => "asking memcached",
                None => "starting memcached",
            });
            let server = MemcachedServer::up(memcached, place, prefix, clock).await?;
            return Ok(Self {
                memcached: Some(server),
                ..Self::default()
            });
        }
        let url = house.options.redis_url.as_deref();
        house.progress.step(match url {
            Some(_) => "asking Redis",
            None => "starting Redis",
        });
        let redis = RedisServer::up(remote, url, prefix, clock).await?;
        let aside = match &remote.aside {
            Some(store) => Some(up_aside(house, store, &redis).await?),
            None => None,
        };
        let real = |server| Redis::Real(Box::new(server));
        Ok(Self {
            redis: Some(real(redis)),
            aside: aside.map(real),
            memcached: None,
        })
    }

    /// Models of what `plan` asks for.
    fn modelled(
        plan: &Plan,
        remote: &RemotePlan,
        calibration: &Calibration,
        clock: &Clock,
    ) -> Result<Self, EnvironmentError> {
        if remote.memcached.is_some() {
            return Err(EnvironmentError::NotModelled { what: "memcached" });
        }
        let model = |setup, name| {
            let model = RedisModel::new(plan, setup, (calibration, name), clock);
            Redis::Modelled(Box::new(model))
        };
        let main = (&remote.redis, &remote.topology, remote.read_from);
        let aside = remote.aside.as_ref().map(|store| {
            let setup = (&store.redis, &store.topology, ReadFrom::Primary);
            model(setup, &*store.name)
        });
        Ok(Self {
            redis: Some(model(main, "")),
            aside,
            memcached: None,
        })
    }

    pub(super) fn any(&self) -> bool {
        self.redis.is_some() || self.memcached.is_some()
    }

    /// Ends what was started, and deletes what was written elsewhere. Gives what could not be cleaned
    /// up.
    pub(super) async fn down(self, clock: &Clock) -> Vec<String> {
        let mut left = Vec::new();
        for redis in self.redis.into_iter().chain(self.aside) {
            left.extend(redis.down(clock).await);
        }
        if let Some(memcached) = self.memcached {
            left.extend(memcached.down().await);
        }
        left
    }
}

async fn up_aside(
    house: &House<'_>,
    store: &StorePlan,
    main: &RedisServer,
) -> Result<RedisServer, EnvironmentError> {
    let url = house.options.stores.get(&store.name).map(String::as_str);
    let doing = match url {
        Some(_) => "asking",
        None => "starting",
    };
    let step = format!("{doing} the Redis of the store {}", store.name);
    house.progress.step(&step);
    RedisServer::up_aside(store, url, main, &house.clock).await
}

/// Refuses a URL for a store that neither the plan nor one of its variants has: it would be taken
/// for used.
pub(super) fn all_known(plan: &Plan, options: &RunOptions) -> Result<(), RunError> {
    let variants = plan.variants.iter().filter_map(|one| one.plan.as_ref());
    let plans = std::iter::once(plan).chain(variants);
    let stores = plans.filter_map(|plan| plan.layers.remote.as_ref()?.aside.as_ref());
    let mut names: Vec<&str> = stores.map(|store| &*store.name).collect();
    names.sort_unstable();
    names.dedup();
    let unknown = |name: &&String| !names.contains(&name.as_str());
    match options.stores.keys().find(unknown) {
        None => Ok(()),
        Some(name) => Err(RunError::NoSuchStore {
            name: name.clone(),
            known: match names.as_slice() {
                [] => "it has none, see layers.remote.stores".to_owned(),
                names => format!("it has {}", names.join(", ")),
            },
        }),
    }
}
