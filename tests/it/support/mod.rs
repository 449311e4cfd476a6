//! What the tests share: a database that does as it is told, and engines over a real Redis.

pub(crate) mod durability;
pub(crate) mod exposition;
pub(crate) mod fake_queue;
pub(crate) mod fake_remote;
pub(crate) mod program;
pub(crate) mod rigged;
pub(crate) mod scene;
pub(crate) mod signal;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use cachestorm::clock::Clock;
use cachestorm::engine::data_type::{
    DataType, DataTypeId, Invalidation, Key, Limit, PolicyTable, Strategy,
};
use cachestorm::engine::event::{Event, Observer};
use cachestorm::engine::layer::{Admission, Layer, LayerError, Origin, QueuedWrite, Row, Version};
use cachestorm::engine::local::{LocalConfig, LocalPolicy};
use cachestorm::engine::remote::redis::{RedisOptions, RedisRemote};
use cachestorm::engine::{Engine, Surroundings};
use cachestorm::environment::RedisConfig;
use cachestorm::environment::managed_redis::ManagedRedis;
use cachestorm::seed::Seed;
use cachestorm::units::Ratio;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

/// A database whose loads can be held back, and which counts what it is asked.
#[derive(Clone)]
pub(crate) struct ScriptedOrigin {
    inner: Arc<Inner>,
}

type Stored = (Option<Bytes>, u64);

struct Inner {
    clock: Clock,
    /// Value and version.
    rows: Mutex<HashMap<Key, Stored>>,
    commits: AtomicU64,
    loads: AtomicUsize,
    broken: AtomicBool,
    /// A load takes its snapshot, then a permit, then answers.
    gate: Semaphore,
    /// How many may pass the gate and shut it behind them.
    singly: AtomicUsize,
    stores: AtomicUsize,
    /// A write waits for a permit, and commits then.
    store_gate: Semaphore,
}

impl ScriptedOrigin {
    pub(crate) fn new(clock: Clock) -> Self {
        let inner = Inner {
            clock,
            rows: Mutex::default(),
            commits: AtomicU64::new(0),
            loads: AtomicUsize::new(0),
            broken: AtomicBool::new(false),
            gate: Semaphore::new(Semaphore::MAX_PERMITS),
            singly: AtomicUsize::new(0),
            stores: AtomicUsize::new(0),
            store_gate: Semaphore::new(Semaphore::MAX_PERMITS),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// From now on loads take their snapshot and then wait.
    pub(crate) fn hold_loads(&self) {
        self.inner.gate.forget_permits(Semaphore::MAX_PERMITS);
    }

    pub(crate) fn release_loads(&self) {
        self.inner.gate.add_permits(Semaphore::MAX_PERMITS / 2);
    }

    /// Of the loads that wait, lets the one that has waited longest go on.
    pub(crate) fn release_one_load(&self) {
        self.inner.singly.fetch_add(1, Ordering::SeqCst);
        self.inner.gate.add_permits(1);
    }

    /// From now on writes wait, and commit later.
    pub(crate) fn hold_stores(&self) {
        self.inner.store_gate.forget_permits(Semaphore::MAX_PERMITS);
    }

    pub(crate) fn release_stores(&self) {
        self.inner
            .store_gate
            .add_permits(Semaphore::MAX_PERMITS / 2);
    }

    /// How many writes were begun.
    pub(crate) fn stores(&self) -> usize {
        self.inner.stores.load(Ordering::SeqCst)
    }

    /// From now on loads fail.
    pub(crate) fn break_down(&self) {
        self.inner.broken.store(true, Ordering::SeqCst);
    }

    pub(crate) fn loads(&self) -> usize {
        self.inner.loads.load(Ordering::SeqCst)
    }

    pub(crate) fn value(&self, key: &str) -> Option<Bytes> {
        self.inner
            .rows
            .lock()
            .get(key)
            .and_then(|(value, _)| value.clone())
    }

    pub(crate) fn set(&self, key: &str, value: Option<&str>) -> Row {
        let mut rows = self.inner.rows.lock();
        let version = self.inner.commits.fetch_add(1, Ordering::SeqCst) + 1;
        let value = value.map(|value| Bytes::from(value.to_owned()));
        rows.insert(Key::new(key), (value.clone(), version));
        self.row(value, version)
    }

    fn row(&self, value: Option<Bytes>, version: u64) -> Row {
        let as_of = Version(self.inner.commits.load(Ordering::SeqCst));
        Row {
            value,
            version: Version(version),
            committed_at: self.inner.clock.now(),
            as_of,
        }
    }
}

impl Origin for ScriptedOrigin {
    async fn load(&self, _: DataTypeId, key: &Key) -> Result<Row, LayerError> {
        self.inner.loads.fetch_add(1, Ordering::SeqCst);
        let row = {
            let rows = self.inner.rows.lock();
            let (value, version) = rows.get(key).cloned().unwrap_or_default();
            self.row(value, version)
        };
        let permit = self.inner.gate.acquire().await;
        let permit = permit.expect("the gate is never closed");
        let less = |singly: usize| singly.checked_sub(1);
        let order = Ordering::SeqCst;
        if self.inner.singly.fetch_update(order, order, less).is_ok() {
            permit.forget();
        }
        if self.inner.broken.load(Ordering::SeqCst) {
            return Err(LayerError::Unreachable(
                "the scripted origin",
                "as asked".to_owned(),
            ));
        }
        Ok(row)
    }

    async fn store(&self, _: DataTypeId, key: &Key, value: Bytes) -> Result<Row, LayerError> {
        self.inner.stores.fetch_add(1, Ordering::SeqCst);
        let permit = self.inner.store_gate.acquire().await;
        let _permit = permit.expect("the gate is never closed");
        let text = String::from_utf8(value.to_vec()).expect("tests write text");
        Ok(self.set(key.as_str(), Some(&text)))
    }

    async fn store_batch(&self, writes: &[QueuedWrite]) -> Result<(), LayerError> {
        for write in writes {
            self.store(write.data_type, &write.key, write.value.clone())
                .await?;
        }
        Ok(())
    }

    async fn admit(&self, _: DataTypeId, _: &Key, _: Limit) -> Result<Admission, LayerError> {
        Err(LayerError::Unsupported("the scripted origin", "counting"))
    }
}

/// Remembers what engines told.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) refused_fills: AtomicUsize,
    pub(crate) flushes: AtomicUsize,
    pub(crate) received: AtomicUsize,
    pub(crate) remote_failures: AtomicUsize,
}

impl Observer for Told {
    fn observe(&self, event: &Event<'_>) {
        let counter = match event {
            Event::FillRefused { .. } => &self.refused_fills,
            Event::LocalFlushed { .. } => &self.flushes,
            Event::InvalidationReceived { .. } => &self.received,
            Event::LayerFailed {
                layer: Layer::Remote,
                ..
            } => &self.remote_failures,
            _ => return,
        };
        counter.fetch_add(1, Ordering::SeqCst);
    }
}

pub(crate) type TestEngine = Engine<RedisRemote, ScriptedOrigin>;

/// A real Redis with a scripted database behind it.
pub(crate) struct Stage {
    pub(crate) clock: Clock,
    pub(crate) redis: ManagedRedis,
    pub(crate) origin: ScriptedOrigin,
    pub(crate) policies: Arc<PolicyTable>,
    pub(crate) told: Arc<Told>,
}

impl Stage {
    pub(crate) async fn new() -> Self {
        Self::with_policies(policies()).await
    }

    pub(crate) async fn with_policies(policies: PolicyTable) -> Self {
        let clock = Clock::real();
        let config = RedisConfig {
            maxmemory: None,
            policy: cachestorm::environment::EvictionPolicy::AllkeysLru,
        };
        let redis = ManagedRedis::start(&config, &clock)
            .await
            .expect("redis-server starts");
        Self {
            origin: ScriptedOrigin::new(clock.clone()),
            redis,
            policies: Arc::new(policies),
            told: Arc::default(),
            clock,
        }
    }

    /// An instance; with its listener running, so that invalidations reach it.
    pub(crate) async fn instance(&self, number: u64) -> Arc<TestEngine> {
        let options = RedisOptions {
            url: self.redis.url().to_owned(),
            prefix: "test:".to_owned(),
            connections: 1,
            timeout: Duration::from_millis(500),
        };
        let remote = RedisRemote::connect(options).await.expect("Redis answers");
        let surroundings = Surroundings {
            clock: self.clock.clone(),
            seed: Seed(1),
            observer: Arc::clone(&self.told) as Arc<dyn Observer>,
            instance: number,
        };
        let local = Some(LocalConfig {
            entries: 100,
            bytes: None,
            policy: LocalPolicy::default(),
        });
        let engine = Arc::new(Engine::new(
            Arc::clone(&self.policies),
            local,
            Some(remote),
            self.origin.clone(),
            surroundings,
        ));
        engine.prepare().await;
        let background = Arc::clone(&engine);
        tokio::spawn(async move { tokio::join!(background.listen(), background.refresh()) });
        self.until(async || self.subscribers().await > number as usize)
            .await;
        engine
    }

    pub(crate) async fn connection(&self) -> redis::aio::MultiplexedConnection {
        let client = redis::Client::open(self.redis.url()).expect("a URL of our own");
        client
            .get_multiplexed_async_connection()
            .await
            .expect("Redis answers")
    }

    async fn subscribers(&self) -> usize {
        let reply: Vec<(String, usize)> = redis::cmd("PUBSUB")
            .arg("NUMSUB")
            .arg("test:invalidations")
            .query_async(&mut self.connection().await)
            .await
            .expect("PUBSUB NUMSUB");
        reply.first().map_or(0, |(_, count)| *count)
    }

    /// Waits until `condition` holds; fails the test if it does not within ten seconds.
    pub(crate) async fn until(&self, mut condition: impl AsyncFnMut() -> bool) {
        let deadline = self.clock.now() + Duration::from_secs(10);
        while !condition().await {
            assert!(
                self.clock.now() < deadline,
                "still not so after ten seconds"
            );
            self.clock.sleep(Duration::from_millis(5)).await;
        }
    }
}

pub(crate) const CUSTOMER: DataTypeId = DataTypeId(0);
pub(crate) const INVENTORY: DataTypeId = DataTypeId(1);
pub(crate) const ACTIVITY: DataTypeId = DataTypeId(2);
pub(crate) const RATE_LIMIT: DataTypeId = DataTypeId(3);

pub(crate) fn policies() -> PolicyTable {
    let row = |name: &str, key: &str, strategy| DataType {
        local_ttl: Some(Duration::from_mins(1)),
        invalidation: Invalidation::Event,
        negative_ttl: Some(Duration::from_secs(30)),
        ttl_jitter: Ratio(0.1),
        ..DataType::new(
            name,
            key.parse().expect("a key pattern"),
            strategy,
            Duration::from_mins(5),
        )
    };
    let mut customer = row(
        "customer",
        "customer:360:{customer_id}",
        Strategy::CacheAside,
    );
    customer.related = vec![
        "customer:basic:{customer_id}"
            .parse()
            .expect("a key pattern"),
    ];
    let mut rate_limit = row(
        "rate_limit",
        "ratelimit:{api_key}:{window}",
        Strategy::Counter,
    );
    rate_limit.limit = Some(Limit::new(50, Duration::from_mins(1)));
    PolicyTable::new(vec![
        customer,
        row(
            "inventory",
            "inventory:{product_id}",
            Strategy::WriteThrough,
        ),
        row("activity", "activity:{user_id}:{n}", Strategy::WriteBehind),
        rate_limit,
    ])
}
