//! Engines over a real Redis in front of the mock database, which keeps versions and commit times.

use std::sync::Arc;
use std::time::Duration;

use cachestorm::clock::{Clock, Timestamp};
use cachestorm::engine::data_type::{DataType, DataTypeId, Key, PolicyTable};
use cachestorm::engine::event::Unobserved;
use cachestorm::engine::layer::{Remote, Version};
use cachestorm::engine::local::{LocalConfig, LocalPolicy};
use cachestorm::engine::remote::redis::{RedisOptions, RedisRemote};
use cachestorm::engine::{Engine, Surroundings};
use cachestorm::environment::database::MockDatabase;
use cachestorm::environment::managed_redis::ManagedRedis;
use cachestorm::environment::{
    CommitListener, DatabaseConfig, EvictionPolicy, RedisConfig, ServiceTime, TableConfig,
};
use cachestorm::seed::Seed;
use cachestorm::units::ByteSize;
use cachestorm::workload::size::ValueSize;

struct Nobody;

impl CommitListener for Nobody {
    fn committed(&self, _: DataTypeId, _: &Key, _: Version, _: Timestamp) {}
}

/// A Redis without a limit.
pub(crate) async fn redis(clock: &Clock) -> ManagedRedis {
    limited_redis(clock, None, EvictionPolicy::Noeviction).await
}

/// A Redis that gives up entries at its limit.
pub(crate) async fn limited_redis(
    clock: &Clock,
    maxmemory: Option<ByteSize>,
    policy: EvictionPolicy,
) -> ManagedRedis {
    let config = RedisConfig { maxmemory, policy };
    let redis = ManagedRedis::start(&config, clock).await;
    redis.expect("redis-server starts")
}

pub(crate) async fn remote(redis: &ManagedRedis) -> RedisRemote {
    let options = RedisOptions {
        url: redis.url().to_owned(),
        prefix: "scene:".to_owned(),
        connections: 1,
        timeout: Duration::from_secs(2),
    };
    RedisRemote::connect(options).await.expect("Redis answers")
}

/// A database with room for more than is wanted, a Redis, and instances.
pub(crate) struct Scene {
    pub(crate) clock: Clock,
    pub(crate) redis: ManagedRedis,
    pub(crate) policies: Arc<PolicyTable>,
    pub(crate) database: MockDatabase,
}

impl Scene {
    pub(crate) async fn new(data_types: Vec<DataType>) -> Self {
        let clock = Clock::real();
        let redis = redis(&clock).await;
        Self::over(clock, redis, data_types)
    }

    pub(crate) fn over(clock: Clock, redis: ManagedRedis, data_types: Vec<DataType>) -> Self {
        let time = ServiceTime {
            median: Duration::from_millis(2),
            p99: Duration::from_millis(5),
        };
        let table = TableConfig {
            read_time: time,
            write_time: time,
            value_size: ValueSize::Constant(ByteSize(64)),
            prefilled: true,
        };
        let database = DatabaseConfig {
            connections: 200,
            acquire_timeout: Duration::from_secs(5),
            query_cache: None,
            tables: vec![table; data_types.len()],
        };
        let policies = Arc::new(PolicyTable::new(data_types));
        let database = MockDatabase::new(
            database,
            Arc::clone(&policies),
            Seed(1),
            clock.clone(),
            Arc::new(Nobody),
        );
        Self {
            clock,
            redis,
            policies,
            database,
        }
    }

    pub(crate) async fn instance(&self, number: u64) -> Arc<Engine<RedisRemote, MockDatabase>> {
        self.instance_over(number, remote(&self.redis).await)
    }

    pub(crate) fn instance_over<R: Remote>(
        &self,
        number: u64,
        remote: R,
    ) -> Arc<Engine<R, MockDatabase>> {
        let surroundings = Surroundings {
            clock: self.clock.clone(),
            seed: Seed(1),
            observer: Arc::new(Unobserved),
            instance: number,
        };
        let local = LocalConfig {
            entries: 10_000,
            bytes: None,
            policy: LocalPolicy::default(),
        };
        let engine = Arc::new(Engine::new(
            Arc::clone(&self.policies),
            Some(local),
            Some(remote),
            self.database.clone(),
            surroundings,
        ));
        let background = Arc::clone(&engine);
        tokio::spawn(async move { background.listen().await });
        engine
    }

    /// Reads of the first table.
    pub(crate) fn loads(&self) -> u64 {
        self.database.stats().tables[0].reads
    }

    pub(crate) async fn ask<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        let client = redis::Client::open(self.redis.url()).expect("a URL of our own");
        let mut connection = client
            .get_multiplexed_async_connection()
            .await
            .expect("Redis answers");
        let mut command = redis::cmd(words[0]);
        for word in &words[1..] {
            command.arg(*word);
        }
        command.query_async(&mut connection).await.expect(words[0])
    }
}
