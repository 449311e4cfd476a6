#![allow(warnings, missing_docs, clippy::all, clippy::pedantic)]
pub mod fake_queue;
pub mod fake_remote;
use super::thread::CommandCosts;
use crate::clock::Clock;
use crate::engine::data_type::PolicyTable;
use crate::environment::{
    RedisConfig,
    delay::Delay,
    keyspace::ttl::TtlSample,
    redis_info::RedisInfo,
    redis_topology::{ReadFrom, TopologyConfig},
};
use crate::seed::Seed;
use crate::units::Ratio;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
pub type ModelledRemote = fake_remote::FakeRemote;
#[derive(Clone, Debug)]
pub struct PubSubModel {
    pub delay: Delay,
    pub loss: Ratio,
}
#[derive(Clone, Debug)]
pub struct ModelledRedisConfig {
    pub redis: RedisConfig,
    pub topology: TopologyConfig,
    pub read_from: ReadFrom,
    pub network: Delay,
    pub costs: CommandCosts,
    pub prefix_len: usize,
    pub instances: u16,
    pub share: f64,
    pub pubsub: PubSubModel,
}
#[derive(Clone)]
pub struct ModelledRedis {
    server: Arc<fake_remote::Server>,
    clock: Clock,
    config: ModelledRedisConfig,
}
impl ModelledRedis {
    pub fn new(config: ModelledRedisConfig, clock: &Clock, seed: Seed) -> Self {
        let stream = Mutex::new(seed.stream("network"));
        let network = config.network.clone();
        let server = fake_remote::Server::with_pace(
            clock.clone(),
            Arc::new(move || network.draw(&mut stream.lock()) / 2),
        );
        Self {
            server,
            clock: clock.clone(),
            config,
        }
    }
    pub fn connect(&self, timeout: Duration, connections: u16) -> ModelledRemote {
        self.server.connect()
    }
    pub fn info(&self) -> RedisInfo {
        RedisInfo::parse("redis_version:7.0.15\r\nused_memory:1000000\r\nmaxmemory:268435456\r\nmaxmemory_policy:allkeys-lru\r\nconnected_clients:3\r\nevicted_keys:0\r\nexpired_keys:0\r\nkeyspace_hits:0\r\nkeyspace_misses:0\r\ntotal_commands_processed:0\r\nused_cpu_sys:0\r\nused_cpu_user:0\r\n", self.clock.now()).expect("x")
    }
    pub fn ttls(&self, policies: &PolicyTable, keys_max: usize) -> TtlSample {
        TtlSample::default()
    }
    pub fn keys(&self) -> u64 {
        0
    }
    pub fn kill_primary(&self, shard: usize) {}
}
