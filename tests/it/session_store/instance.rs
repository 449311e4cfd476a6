//! An instance over two stores: each with its own circuit breaker.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cachestorm::clock::Clock;
use cachestorm::engine::data_type::{
    DataType, DataTypeId, Key, Limit, PolicyTable, Sliding, Strategy,
};
use cachestorm::engine::event::Unobserved;
use cachestorm::engine::invalidation::InvalidationConfig;
use cachestorm::engine::layer::{Operation, Outcome};
use cachestorm::engine::remote::any::RemoteOptions;
use cachestorm::engine::remote::redis::RedisOptions;
use cachestorm::engine::resilience::Resilience;
use cachestorm::environment::instance::{Aside, Instance, InstanceConfig};
use cachestorm::environment::managed_redis::ManagedRedis;
use cachestorm::seed::Seed;

use crate::support::scene::{Scene, redis};

const PRODUCT: DataTypeId = DataTypeId(0);
const SESSION: DataTypeId = DataTypeId(1);
const LIMIT: DataTypeId = DataTypeId(2);
const ACTIVITY: DataTypeId = DataTypeId(3);

struct TwoStores {
    scene: Scene,
    own: ManagedRedis,
    instance: Instance,
}

fn policies() -> Vec<DataType> {
    let hour = Duration::from_hours(1);
    let row = |name: &str, key: &str, strategy| {
        DataType::new(name, key.parse().expect("a key pattern"), strategy, hour)
    };
    let mut session = row("session", "session:{id}", Strategy::WriteThrough);
    session.sliding = Some(Sliding {
        max_lifetime: hour * 8,
    });
    let mut limit = row("limit", "limit:{id}:{window}", Strategy::Counter);
    limit.limit = Some(Limit::new(2, hour));
    let product = row("product", "product:{id}", Strategy::CacheAside);
    let activity = row("activity", "activity:{id}", Strategy::WriteBehind);
    vec![product, session, limit, activity]
}

impl TwoStores {
    async fn new() -> Self {
        let scene = Scene::new(policies()).await;
        let own = redis(&scene.clock).await;
        let options = |redis: &ManagedRedis| {
            RemoteOptions::Redis(RedisOptions {
                url: redis.url().to_owned(),
                prefix: "scene:".to_owned(),
                connections: 1,
                timeout: Duration::from_millis(500),
            })
        };
        let config = InstanceConfig {
            number: 0,
            policies: Arc::new(PolicyTable::new(policies())),
            local: None,
            remote: Some(options(&scene.redis)),
            aside: Some(Aside {
                options: options(&own),
                data_types: vec![SESSION, LIMIT, ACTIVITY],
            }),
            invalidation: InvalidationConfig::default(),
            resilience: Resilience::default(),
            warming: None,
            clock: Clock::real(),
            seed: Seed(1),
            observer: Arc::new(Unobserved),
        };
        let instance = Instance::start(config, scene.database.clone()).await;
        Self {
            scene,
            own,
            instance: instance.expect("an instance"),
        }
    }

    async fn ask(&self, operation: Operation, data_type: DataTypeId, key: &str) -> Outcome {
        let (service, key) = (self.instance.service(), Key::new(key));
        let value = Bytes::from("a");
        let served = service.serve(operation, data_type, &key, value).await;
        served.expect("an answer").outcome
    }

    async fn get(&self, data_type: DataTypeId, key: &str) -> Outcome {
        self.ask(Operation::Get, data_type, key).await
    }
}

async fn ask<T: redis::FromRedisValue>(redis: &ManagedRedis, words: &[&str]) -> T {
    let client = redis::Client::open(redis.url()).expect("a URL of our own");
    let connection = client.get_multiplexed_async_connection().await;
    let mut command = redis::cmd(words[0]);
    command.arg(&words[1..]);
    let answer = command.query_async(&mut connection.expect("Redis")).await;
    answer.expect("an answer")
}

/// How many keys stand in `redis` and begin with `head`.
async fn keys(redis: &ManagedRedis, head: &str) -> usize {
    let found: Vec<String> = ask(redis, &["KEYS", &format!("scene:{head}*")]).await;
    found.len()
}

/// How many streams stand in `redis`.
async fn streams(redis: &ManagedRedis) -> usize {
    let scan = ["SCAN", "0", "COUNT", "1000", "TYPE", "stream"];
    let (_, found): (u64, Vec<String>) = ask(redis, &scan).await;
    found.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_an_instance_keeps_each_data_type_in_its_store() {
    let stores = TwoStores::new().await;
    stores.ask(Operation::Put, SESSION, "session:1").await;
    for (data_type, key) in [(SESSION, "session:1"), (PRODUCT, "product:1")] {
        stores.get(data_type, key).await;
        assert_eq!(stores.get(data_type, key).await, Outcome::Hit, "{key}");
    }
    let mut admitted = Vec::new();
    for _ in 0..3 {
        admitted.push(stores.ask(Operation::Admit, LIMIT, "limit:1:3600").await);
    }
    let wanted = [Outcome::Hit, Outcome::Hit, Outcome::Refused];
    assert_eq!(admitted, wanted, "a counter counts there, too");
    for (head, main, aside) in [("product", 1, 0), ("session", 0, 1), ("limit", 0, 1)] {
        assert_eq!(keys(&stores.scene.redis, head).await, main, "{head}");
        assert_eq!(keys(&stores.own, head).await.min(1), aside, "{head}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_without_their_store_sessions_come_from_the_database_and_the_cache_goes_on() {
    let mut stores = TwoStores::new().await;
    stores.ask(Operation::Put, SESSION, "session:1").await;
    stores.get(PRODUCT, "product:1").await;
    stores.own.crash();
    let failures = Resilience::default().breaker.expect("a breaker").failures;
    for _ in 0..=failures {
        assert_eq!(stores.get(SESSION, "session:1").await, Outcome::Bypass);
        assert_eq!(stores.get(PRODUCT, "product:1").await, Outcome::Hit);
    }
    // The circuit of sessions is open, and that of the cache is not.
    assert!(stores.instance.metrics().read().breaker_open);
    for _ in 0..10 {
        assert_eq!(stores.get(PRODUCT, "product:1").await, Outcome::Hit);
    }
    // They can still be written, and the database knows them.
    stores.ask(Operation::Put, SESSION, "session:2").await;
    assert_eq!(stores.get(SESSION, "session:2").await, Outcome::Bypass);
}

/// The queue of write-behind goes where its data types are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_the_queue_stands_in_the_store_of_its_data_types() {
    let stores = TwoStores::new().await;
    for n in 0..20 {
        let key = format!("activity:{n}");
        stores.ask(Operation::Put, ACTIVITY, &key).await;
        assert_eq!(stores.get(ACTIVITY, &key).await, Outcome::Hit);
    }
    assert_eq!(streams(&stores.scene.redis).await, 0);
    assert!(streams(&stores.own).await > 0);
    assert!(stores.instance.stop().await, "drained");
    let table = &stores.scene.database.stats().tables[ACTIVITY.index()];
    assert!(table.writes > 0, "{table:?}");
}

/// The other way round.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_without_the_cache_s_redis_sessions_are_still_hits() {
    let mut stores = TwoStores::new().await;
    stores.ask(Operation::Put, SESSION, "session:1").await;
    stores.get(PRODUCT, "product:1").await;
    stores.scene.redis.crash();
    let failures = Resilience::default().breaker.expect("a breaker").failures;
    for _ in 0..=failures {
        assert_eq!(stores.get(PRODUCT, "product:1").await, Outcome::Bypass);
        assert_eq!(stores.get(SESSION, "session:1").await, Outcome::Hit);
    }
    assert!(stores.instance.metrics().read().breaker_open);
    assert_eq!(stores.get(SESSION, "session:1").await, Outcome::Hit);
}
