//! Write-behind: between the cache and the queue, between the queue and the database.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use cachestorm::engine::data_type::Limit;
use cachestorm::engine::layer::{
    Admission, LayerError, Origin, Queue as _, QueuedWrite, Remote, Row,
};
use cachestorm::engine::write_behind::policy::WriteBehind;
use cachestorm::environment::managed_redis::ManagedRedis;
use cachestorm::environment::{EvictionPolicy, RedisConfig};
use cachestorm::measure::oracle::write_behind::WriteBehindOracle;
use cachestorm::units::ByteSize;
use parking_lot::Mutex;

use super::*;
use crate::support::durability::{self, ACTIVITY, Heard, Ledger, connection, ledger};
use crate::support::rigged::Call;

const STREAM: &str = "test:write-behind";
const LIMITS: WriteBehind = WriteBehind {
    queue_max: 1_000,
    batch: 50,
    max_deliveries: 5,
    claim_after: Duration::from_secs(1),
    on_full: cachestorm::engine::write_behind::policy::OnFull::Sync,
};
const DRAIN: Duration = Duration::from_secs(10);

/// A database, and engines that write behind to it.
struct Writers {
    clock: Clock,
    policies: Arc<PolicyTable>,
    oracle: Arc<WriteBehindOracle>,
    database: Ledger,
    heard: Arc<Heard>,
}

impl Writers {
    fn new() -> Self {
        let (clock, policies) = (Clock::real(), durability::policies());
        let oracle = Arc::new(WriteBehindOracle::new(Arc::clone(&policies)));
        Self {
            database: ledger(&clock, &oracle),
            heard: Arc::default(),
            clock,
            policies,
            oracle,
        }
    }

    fn engine<R: Remote>(&self, instance: u64, remote: R) -> Arc<Engine<R, Ledger>> {
        self.engine_over(instance, remote, self.database.clone())
    }

    fn engine_over<R: Remote, O: Origin>(
        &self,
        instance: u64,
        remote: R,
        origin: O,
    ) -> Arc<Engine<R, O>> {
        let surroundings = Surroundings {
            clock: self.clock.clone(),
            seed: Seed(1),
            observer: Arc::clone(&self.heard) as Arc<dyn Observer>,
            instance,
        };
        let policies = Arc::clone(&self.policies);
        let engine = Engine::new(policies, None, Some(remote), origin, surroundings);
        Arc::new(engine.with_write_behind(LIMITS))
    }

    async fn put<R: Remote, O: Origin>(&self, engine: &Engine<R, O>, key: &Key) {
        let put = engine.put(ACTIVITY, key, Bytes::from("click"));
        let written = put.await.expect("accepted");
        self.oracle.accepted(key, written.version);
    }

    /// How many accepted writes the database does not have.
    fn lost(&self) -> u64 {
        self.oracle.finding(None).violations
    }
}

fn key(n: usize) -> Key {
    Key::new(format!("activity:{n}"))
}

/// `setex`, and then `publish`: a process that ends between the two has shown what nobody keeps.
#[tokio::test(start_paused = true)]
async fn a_process_ends_between_the_cache_and_the_queue() {
    for (defect, before, halved) in [
        (Some(Defect::CacheThenQueue), true, true),
        (None, true, false),
        (None, false, false),
    ] {
        let writers = Writers::new();
        let server = Server::new(writers.clock.clone());
        let rig = Rig::new(writers.clock.clone(), defect);
        let dying = writers.engine(0, Rigged::new(server.connect(), &rig));
        let stop = if before {
            rig.stop_before(Call::Append)
        } else {
            rig.stop_after(Call::Append)
        };
        let put = tokio::spawn(async move {
            let (key, value) = (key(1), Bytes::from("click"));
            dying.put(ACTIVITY, &key, value).await
        });
        stop.reached().await;
        put.abort();
        assert!(put.await.is_err(), "it ended half-way");
        let other = writers.engine(1, server.connect());
        let shown = other.get(ACTIVITY, &key(1)).await.expect("an answer");
        let shown = shown.entry.row.value.is_some();
        assert!(other.drain("a", DRAIN).await);
        let kept = writers.database.value(&key(1)).is_some();
        assert_eq!(shown != kept, halved, "shown {shown}, kept {kept}");
        assert_eq!(shown, halved || !before);
    }
}

/// A key made of the user and the time: two writes in one tick are one row.
#[tokio::test(start_paused = true)]
async fn two_writes_in_one_tick() {
    let now_s = Clock::real().now().as_unix_secs();
    let by_time = [now_s, now_s].map(|at| Key::new(format!("activity:{at}")));
    let by_number = [0, 1].map(key);
    for (keys, rows) in [(by_time, 1), (by_number, 2)] {
        let writers = Writers::new();
        let server = Server::new(writers.clock.clone());
        let engine = writers.engine(0, server.connect());
        for key in &keys {
            writers.put(&engine, key).await;
        }
        assert!(engine.drain("a", DRAIN).await);
        assert_eq!(writers.database.rows(), rows);
    }
}

/// Acknowledged when it is taken, as a queue does that delivers at most once, or when it is
/// committed: a consumer dies in between.
#[tokio::test(start_paused = true)]
async fn a_consumer_dies_between_the_queue_and_the_database() {
    for (acknowledges_first, lost) in [(true, 3), (false, 0)] {
        let writers = Writers::new();
        let server = Server::new(writers.clock.clone());
        let engine = writers.engine(0, server.connect());
        for n in 0..3 {
            writers.put(&engine, &key(n)).await;
        }
        let remote = server.connect();
        let mut queue = remote.queue("dying").await.expect("a queue");
        let taken = queue.next_batch(10).await.expect("writes");
        assert_eq!(taken.len(), 3);
        if acknowledges_first {
            let ids: Vec<_> = taken.into_iter().map(|taken| taken.id).collect();
            queue.acknowledge(&ids).await.expect("acknowledged");
        }
        drop(queue);
        assert!(engine.drain("a", DRAIN).await);
        assert_eq!(writers.lost(), lost);
    }
}

async fn redis(policy: EvictionPolicy, maxmemory: Option<ByteSize>) -> ManagedRedis {
    let config = RedisConfig { maxmemory, policy };
    let server = ManagedRedis::start(&config, &Clock::real()).await;
    server.expect("redis-server starts")
}

async fn ask(redis: &ManagedRedis, words: &[&str]) -> u64 {
    let (name, rest) = words.split_first().expect("a command");
    let mut command = redis::cmd(name);
    command.arg(rest);
    let mut connection = connection(redis.url()).await;
    command.query_async(&mut connection).await.expect(name)
}

/// Cache and queue in one Redis that is full (redis#6576).
#[tokio::test]
async fn live_a_full_redis_evicts_the_queue() {
    const WRITES: usize = 20;
    const STUFFING_MAX: usize = 4_000;
    for (policy, lost) in [
        (EvictionPolicy::AllkeysLru, WRITES),
        (EvictionPolicy::VolatileLru, 0),
    ] {
        let writers = Writers::new();
        let server = redis(policy, Some(ByteSize(4 << 20))).await;
        let engine = writers.engine(0, durability::remote(server.url()).await);
        for n in 0..WRITES {
            writers.put(&engine, &key(n)).await;
        }
        // Ten times what there is room for, and more while the queue is there.
        let mut connection = connection(server.url()).await;
        let stuffing = "x".repeat(16 << 10);
        for n in 0..STUFFING_MAX {
            redis::cmd("SET")
                .arg(format!("stuffing:{n}"))
                .arg(&stuffing)
                .arg(&["EX", "600"])
                .query_async::<()>(&mut connection)
                .await
                .expect("SET");
            let enough = n % 100 == 99 && n > 2_500;
            if enough && (lost == 0 || ask(&server, &["EXISTS", STREAM]).await == 0) {
                break;
            }
        }
        assert!(engine.drain("a", DRAIN).await);
        assert_eq!(writers.lost(), lost as u64, "{policy:?}");
    }
}

/// `XADD … MAXLEN` makes room with what nobody has acknowledged (redis#5570).
#[tokio::test]
async fn live_a_bounded_stream_trims_what_waits() {
    const WRITES: usize = 30;
    for (trims, lost) in [(true, 20), (false, 0)] {
        let writers = Writers::new();
        let server = redis(EvictionPolicy::Noeviction, None).await;
        let engine = writers.engine(0, durability::remote(server.url()).await);
        let limits = WriteBehind {
            queue_max: if trims { 1_000 } else { 10 },
            ..LIMITS
        };
        let engine = Arc::into_inner(engine).expect("nobody else has it");
        let engine = engine.with_write_behind(limits);
        for n in 0..WRITES {
            writers.put(&engine, &key(n)).await;
            if trims {
                ask(&server, &["XTRIM", STREAM, "MAXLEN", "10"]).await;
            }
            assert!(ask(&server, &["XLEN", STREAM]).await <= 10);
        }
        assert!(engine.drain("a", DRAIN).await);
        assert_eq!(writers.lost(), lost);
        let full = writers.heard.full.load(Ordering::SeqCst);
        assert_eq!(full, if trims { 0 } else { WRITES - 10 });
    }
}

/// A database that counts what it is given, without looking at versions.
#[derive(Clone, Default)]
struct Tally(Arc<Mutex<HashMap<Key, usize>>>);

impl Origin for Tally {
    async fn load(&self, _: DataTypeId, _: &Key) -> Result<Row, LayerError> {
        Err(LayerError::Unsupported("the tally", "reading"))
    }

    async fn store(&self, _: DataTypeId, _: &Key, _: Bytes) -> Result<Row, LayerError> {
        Err(LayerError::Unsupported("the tally", "writing by itself"))
    }

    async fn store_batch(&self, writes: &[QueuedWrite]) -> Result<(), LayerError> {
        let mut counts = self.0.lock();
        for write in writes {
            *counts.entry(write.key.clone()).or_default() += 1;
        }
        Ok(())
    }

    async fn admit(&self, _: DataTypeId, _: &Key, _: Limit) -> Result<Admission, LayerError> {
        Err(LayerError::Unsupported("the tally", "counting"))
    }
}

/// The replica has the writes, and the primary dies with their acknowledgements (redis#5433).
#[tokio::test]
async fn live_acknowledgements_are_undone_by_a_failover() {
    const WRITES: usize = 10;
    let writers = Writers::new();
    let primary = redis(EvictionPolicy::Noeviction, None).await;
    let replica = redis(EvictionPolicy::Noeviction, None).await;
    let tally = Tally::default();
    let writer = writers.engine(0, durability::remote(primary.url()).await);
    for n in 0..WRITES {
        writers.put(&writer, &key(n)).await;
    }
    copy_stream(&primary, &replica).await;
    let [before, after] = [&primary, &replica];
    for server in [before, after] {
        let remote = durability::remote(server.url()).await;
        let naive = writers.engine_over(1, remote, tally.clone());
        // Both databases are given what this server has; each acknowledges once.
        let copy = redis(EvictionPolicy::Noeviction, None).await;
        copy_stream(server, &copy).await;
        assert!(naive.drain("a", DRAIN).await);
        let versioned = writers.engine(2, durability::remote(copy.url()).await);
        assert!(versioned.drain("a", DRAIN).await);
        assert_eq!(ask(server, &["XLEN", STREAM]).await, 0, "acknowledged");
    }
    for n in 0..WRITES {
        assert_eq!(tally.0.lock()[&key(n)], 2, "counted twice");
        assert_eq!(writers.database.writes_of(&key(n)), 1, "counts once");
    }
    assert_eq!(writers.lost(), 0);
}

/// What a replica has that was promoted before anything was acknowledged.
async fn copy_stream(from: &ManagedRedis, to: &ManagedRedis) {
    let dumped: Vec<u8> = redis::cmd("DUMP")
        .arg(STREAM)
        .query_async(&mut connection(from.url()).await)
        .await
        .expect("DUMP");
    redis::cmd("RESTORE")
        .arg(STREAM)
        .arg(0)
        .arg(dumped)
        .query_async::<()>(&mut connection(to.url()).await)
        .await
        .expect("RESTORE");
}
