//! What the tests of write-behind and resilience share: a database that keeps versions and does as
//! it is told, and an observer that remembers.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use cachestorm::clock::Clock;
use cachestorm::engine::data_type::{DataType, DataTypeId, Key, Limit, PolicyTable, Strategy};
use cachestorm::engine::event::{Event, Observer};
use cachestorm::engine::layer::{
    Admission, LayerError, Origin, QueuedWrite, Remote, Row, Version, Waiting,
};
use cachestorm::engine::remote::redis::{RedisOptions, RedisRemote};
use cachestorm::engine::resilience::circuit_breaker::Circuit;
use cachestorm::engine::write_behind::policy::WriteBehind;
use cachestorm::engine::{Engine, Surroundings};
use cachestorm::environment::managed_redis::ManagedRedis;
use cachestorm::environment::{EvictionPolicy, RedisConfig};
use cachestorm::measure::oracle::write_behind::WriteBehindOracle;
use cachestorm::seed::Seed;
use cachestorm::units::ByteSize;
use parking_lot::Mutex;

const NAME: &str = "the test's database";

/// How the database behaves now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mood {
    #[default]
    Well,
    /// Every call fails without an answer.
    Away,
    /// Calls never end.
    Hanging,
    /// Calls take so long.
    Slow(Duration),
}

/// Value, version, and how often the row was really written.
type Written = (Bytes, Version, usize);

#[derive(Default)]
struct Inner {
    mood: Mutex<Mood>,
    /// Value, version, and how often the row was really written.
    rows: Mutex<HashMap<Key, Written>>,
    commits: Mutex<u64>,
    /// Writes of these keys are refused.
    unwanted: Mutex<Vec<Key>>,
    /// A batch with one of these keys never ends.
    deadly: Mutex<Vec<Key>>,
    loads: AtomicUsize,
    under_way: AtomicUsize,
    under_way_max: AtomicUsize,
    batches: AtomicUsize,
    dying: AtomicUsize,
}

/// A database that keeps versions.
#[derive(Clone)]
pub(crate) struct Ledger {
    inner: Arc<Inner>,
    clock: Clock,
    oracle: Arc<WriteBehindOracle>,
}

impl Ledger {
    pub(crate) fn set_mood(&self, mood: Mood) {
        *self.inner.mood.lock() = mood;
    }

    pub(crate) fn refuse(&self, key: &Key) {
        self.inner.unwanted.lock().push(key.clone());
    }

    pub(crate) fn kill_with(&self, key: &Key) {
        self.inner.deadly.lock().push(key.clone());
    }

    /// How often a batch with a deadly key was begun.
    pub(crate) fn dying(&self) -> usize {
        self.inner.dying.load(Ordering::SeqCst)
    }

    /// A commit that no engine knows of.
    pub(crate) fn write_unseen(&self, key: &Key, value: &str) {
        let version = Version(*self.inner.commits.lock() + 1);
        self.write(key, Bytes::from(value.to_owned()), version);
    }

    pub(crate) fn value(&self, key: &Key) -> Option<Bytes> {
        let rows = self.inner.rows.lock();
        rows.get(key).map(|(value, ..)| value.clone())
    }

    pub(crate) fn version(&self, key: &Key) -> Option<Version> {
        self.inner.rows.lock().get(key).map(|row| row.1)
    }

    /// How often the row was really written.
    pub(crate) fn writes_of(&self, key: &Key) -> usize {
        self.inner.rows.lock().get(key).map_or(0, |row| row.2)
    }

    pub(crate) fn rows(&self) -> usize {
        self.inner.rows.lock().len()
    }

    pub(crate) fn loads(&self) -> usize {
        self.inner.loads.load(Ordering::SeqCst)
    }

    pub(crate) fn batches(&self) -> usize {
        self.inner.batches.load(Ordering::SeqCst)
    }

    /// The most calls that were under way at once.
    pub(crate) fn under_way_max(&self) -> usize {
        self.inner.under_way_max.load(Ordering::SeqCst)
    }

    fn begin(&self) -> UnderWay<'_> {
        let now = self.inner.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        self.inner.under_way_max.fetch_max(now, Ordering::SeqCst);
        UnderWay(&self.inner)
    }

    async fn endure(&self) -> Result<(), LayerError> {
        let mood = *self.inner.mood.lock();
        match mood {
            Mood::Well => Ok(()),
            Mood::Away => Err(LayerError::Unreachable(NAME, "as asked".to_owned())),
            Mood::Hanging => std::future::pending().await,
            Mood::Slow(time) => {
                self.clock.sleep(time).await;
                Ok(())
            }
        }
    }

    fn write(&self, key: &Key, value: Bytes, version: Version) {
        let mut rows = self.inner.rows.lock();
        let row = rows.entry(key.clone()).or_default();
        if version > row.1 {
            *row = (value, version, row.2 + 1);
            let mut commits = self.inner.commits.lock();
            *commits = version.0.max(*commits);
            self.oracle.committed(key, version);
        }
    }
}

struct UnderWay<'l>(&'l Inner);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Origin for Ledger {
    async fn load(&self, _: DataTypeId, key: &Key) -> Result<Row, LayerError> {
        let _under_way = self.begin();
        self.inner.loads.fetch_add(1, Ordering::SeqCst);
        let row = {
            let rows = self.inner.rows.lock();
            let held = rows.get(key).cloned();
            Row {
                value: held.as_ref().map(|(value, ..)| value.clone()),
                version: held.map_or(Version(0), |row| row.1),
                committed_at: self.clock.now(),
                as_of: Version(*self.inner.commits.lock()),
            }
        };
        self.endure().await?;
        Ok(row)
    }

    async fn store(&self, _: DataTypeId, key: &Key, value: Bytes) -> Result<Row, LayerError> {
        let _under_way = self.begin();
        self.endure().await?;
        let version = Version(*self.inner.commits.lock() + 1);
        self.write(key, value.clone(), version);
        Ok(Row {
            value: Some(value),
            version,
            committed_at: self.clock.now(),
            as_of: version,
        })
    }

    async fn store_batch(&self, writes: &[QueuedWrite]) -> Result<(), LayerError> {
        let _under_way = self.begin();
        self.inner.batches.fetch_add(1, Ordering::SeqCst);
        self.endure().await?;
        let any = |keys: &Mutex<Vec<Key>>| {
            let keys = keys.lock();
            writes.iter().any(|write| keys.contains(&write.key))
        };
        if any(&self.inner.deadly) {
            self.inner.dying.fetch_add(1, Ordering::SeqCst);
            std::future::pending::<()>().await;
        }
        if any(&self.inner.unwanted) {
            let why = "a row that no constraint allows".to_owned();
            return Err(LayerError::Refused(NAME, why));
        }
        for write in writes {
            self.write(&write.key, write.value.clone(), write.version);
        }
        Ok(())
    }

    async fn admit(&self, _: DataTypeId, _: &Key, _: Limit) -> Result<Admission, LayerError> {
        Err(LayerError::Unsupported(NAME, "counting"))
    }
}

/// Remembers what engines told.
#[derive(Default)]
pub(crate) struct Heard {
    pub(crate) redelivered: AtomicUsize,
    pub(crate) lost: AtomicUsize,
    pub(crate) full: AtomicUsize,
    pub(crate) refused_calls: AtomicUsize,
    pub(crate) soft_timeouts: AtomicUsize,
    pub(crate) replayed: AtomicUsize,
    pub(crate) buried: Mutex<Vec<(Option<Key>, String)>>,
    pub(crate) waiting: Mutex<Vec<Waiting>>,
    pub(crate) circuits: Mutex<Vec<Circuit>>,
    pub(crate) failures: Mutex<Vec<String>>,
}

impl Observer for Heard {
    fn observe(&self, event: &Event<'_>) {
        let count = |counter: &AtomicUsize, by: usize| {
            counter.fetch_add(by, Ordering::SeqCst);
        };
        match event {
            Event::WriteBehindRedelivered { writes } => count(&self.redelivered, *writes),
            Event::WriteBehindLost { writes } => count(&self.lost, *writes as usize),
            Event::WriteBehindFull { .. } => count(&self.full, 1),
            Event::OriginCallRefused => count(&self.refused_calls, 1),
            Event::SoftTimeout { .. } => count(&self.soft_timeouts, 1),
            Event::InvalidationsReplayed { keys } => count(&self.replayed, *keys),
            Event::WriteBehindBuried { key, reason, .. } => {
                let buried = (key.cloned(), (*reason).to_owned());
                self.buried.lock().push(buried);
            }
            Event::WriteBehindWaiting { waiting } => self.waiting.lock().push(*waiting),
            Event::CircuitChanged { circuit, .. } => self.circuits.lock().push(*circuit),
            Event::LayerFailed { error, .. } => self.failures.lock().push(error.to_string()),
            _ => {}
        }
    }
}

pub(crate) const ACTIVITY: DataTypeId = DataTypeId(0);
pub(crate) const CUSTOMER: DataTypeId = DataTypeId(1);

pub(crate) fn policies() -> Arc<PolicyTable> {
    let row = |name: &str, key: &str, strategy| {
        let key = key.parse().expect("a key pattern");
        DataType::new(name, key, strategy, Duration::from_mins(5))
    };
    Arc::new(PolicyTable::new(vec![
        row("activity", "activity:{n}", Strategy::WriteBehind),
        row("customer", "customer:{n}", Strategy::CacheAside),
    ]))
}

/// A Redis, a database, and what is heard of the engines between them.
pub(crate) struct Scene {
    pub(crate) clock: Clock,
    pub(crate) redis: ManagedRedis,
    pub(crate) policies: Arc<PolicyTable>,
    pub(crate) database: Ledger,
    pub(crate) heard: Arc<Heard>,
    pub(crate) oracle: Arc<WriteBehindOracle>,
}

impl Scene {
    pub(crate) async fn new() -> Self {
        Self::with_memory(None).await
    }

    pub(crate) async fn with_memory(maxmemory: Option<ByteSize>) -> Self {
        let clock = Clock::real();
        let config = RedisConfig {
            maxmemory,
            policy: EvictionPolicy::AllkeysLru,
        };
        let redis = ManagedRedis::start(&config, &clock).await;
        let policies = policies();
        let oracle = Arc::new(WriteBehindOracle::new(Arc::clone(&policies)));
        Self {
            redis: redis.expect("redis-server starts"),
            database: ledger(&clock, &oracle),
            policies,
            heard: Arc::default(),
            oracle,
            clock,
        }
    }

    pub(crate) async fn remote(&self) -> RedisRemote {
        remote(self.redis.url()).await
    }

    /// An engine of its own over the same Redis and database.
    pub(crate) async fn engine(
        &self,
        instance: u64,
        limits: WriteBehind,
    ) -> Arc<Engine<RedisRemote, Ledger>> {
        let engine = self.assemble(instance, self.remote().await, self.database.clone());
        Arc::new(engine.with_write_behind(limits))
    }

    pub(crate) fn assemble<R: Remote, O: Origin>(
        &self,
        instance: u64,
        remote: R,
        origin: O,
    ) -> Engine<R, O> {
        let surroundings = Surroundings {
            clock: self.clock.clone(),
            seed: Seed(1),
            observer: Arc::clone(&self.heard) as Arc<dyn Observer>,
            instance,
        };
        Engine::new(
            Arc::clone(&self.policies),
            None,
            Some(remote),
            origin,
            surroundings,
        )
    }

    pub(crate) async fn connection(&self) -> redis::aio::MultiplexedConnection {
        connection(self.redis.url()).await
    }

    pub(crate) async fn number(&self, command: &str, arguments: &[&str]) -> u64 {
        redis::cmd(command)
            .arg(arguments)
            .query_async(&mut self.connection().await)
            .await
            .expect(command)
    }

    /// Waits until `condition` holds; fails the test if it does not within twenty seconds.
    pub(crate) async fn until(&self, what: &str, mut condition: impl AsyncFnMut() -> bool) {
        let deadline = self.clock.now() + Duration::from_secs(20);
        while !condition().await {
            assert!(self.clock.now() < deadline, "in vain: {what}");
            self.clock.sleep(Duration::from_millis(5)).await;
        }
    }
}

pub(crate) fn ledger(clock: &Clock, oracle: &Arc<WriteBehindOracle>) -> Ledger {
    Ledger {
        inner: Arc::default(),
        clock: clock.clone(),
        oracle: Arc::clone(oracle),
    }
}

pub(crate) async fn remote(url: &str) -> RedisRemote {
    let options = RedisOptions {
        url: url.to_owned(),
        prefix: "test:".to_owned(),
        connections: 1,
        timeout: Duration::from_millis(500),
    };
    RedisRemote::connect(options).await.expect("Redis answers")
}

pub(crate) async fn connection(url: &str) -> redis::aio::MultiplexedConnection {
    let client = redis::Client::open(url).expect("a URL of our own");
    let connecting = client.get_multiplexed_async_connection().await;
    connecting.expect("Redis answers")
}
