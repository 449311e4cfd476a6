//! The Redis of a simulated run: a model of the servers that the plan asks for.

use std::time::Duration;

use super::redis_server::{Identity, RedisReading};
use super::scale::share_of;
use crate::clock::Clock;
use crate::engine::data_type::PolicyTable;
use crate::engine::invalidation::{Transport, tracked_prefixes};
use crate::environment::RedisConfig;
use crate::environment::calibration::Calibration;
use crate::environment::instance::simulated::Reached;
use crate::environment::keyspace::RunPrefix;
use crate::environment::keyspace::ttl::TtlSample;
use crate::environment::modelled_redis::deployment::{
    ModelledRedis, ModelledRedisConfig, REPLICATION_LAG,
};
use crate::environment::modelled_redis::pubsub::PubSubModel;
use crate::environment::modelled_redis::remote::ModelledRemote;
use crate::environment::redis_topology::{ReadFrom, Topology, TopologyConfig};
use crate::scenario::plan::Plan;
use crate::units::Ratio;

/// The version whose behaviour is modelled.
const VERSION: &str = "7.0.15, modelled";
/// How much is looked at for the distribution of TTLs.
const TTL_KEYS_MAX: usize = 50_000;

/// A model of the servers of one store.
pub(super) struct RedisModel {
    servers: ModelledRedis,
    topology: Topology,
}

impl RedisModel {
    /// The servers that `redis` and `topology` describe; `name` tells stores apart.
    pub(super) fn new(
        plan: &Plan,
        (redis, topology, read_from): (&RedisConfig, &TopologyConfig, ReadFrom),
        (calibration, name): (&Calibration, &str),
        clock: &Clock,
    ) -> Self {
        let config = ModelledRedisConfig {
            redis: redis.clone(),
            topology: topology.clone(),
            read_from,
            network: calibration.redis.clone(),
            costs: calibration.costs,
            prefix_len: RunPrefix::new(plan.seed, clock.now()).as_str().len(),
            instances: plan.instances,
            share: share_of(plan),
            pubsub: PubSubModel {
                delay: calibration.pubsub.clone(),
                loss: Ratio(0.0),
            },
            replication_lag: REPLICATION_LAG,
        };
        Self {
            servers: ModelledRedis::new(config, clock, plan.seed.fork("redis").fork(name)),
            topology: topology.topology,
        }
    }

    pub(super) fn identity(&self) -> Identity {
        Identity {
            version: VERSION.to_owned(),
            topology: self.topology,
            managed: true,
        }
    }

    /// How an instance of `plan` reaches it.
    pub(super) fn connect(
        &self,
        plan: &Plan,
        (connections, timeout): (u16, Duration),
    ) -> Reached<ModelledRemote> {
        let remote = self.servers.connect(timeout, connections);
        let remote = remote.serving(&plan.policies);
        let layer = plan.layers.remote.as_ref();
        let transport = layer.map(|layer| layer.invalidation.transport);
        Reached {
            remote: match transport.unwrap_or_default() {
                Transport::Pubsub => remote,
                Transport::Tracking => remote.tracking(tracked_prefixes(&plan.policies)),
            },
            timeout,
        }
    }

    pub(super) fn info(&self, clock: &Clock) -> RedisReading {
        RedisReading {
            at: clock.now(),
            info: self.servers.info(),
            lives_ended: 0,
        }
    }

    pub(super) fn keys(&self) -> u64 {
        self.servers.keys()
    }

    pub(super) fn ttls(&self, policies: &PolicyTable) -> TtlSample {
        self.servers.ttls(policies, TTL_KEYS_MAX)
    }
}
