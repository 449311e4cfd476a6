//! Redis or the database slow, hung or gone: slower, not broken; and as before when they return.

use std::collections::HashMap;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use cachestorm::engine::data_type::{DataType, Key, PolicyTable, Strategy};
use cachestorm::engine::invalidation::InvalidationConfig;
use cachestorm::engine::layer::{Layer, Outcome, Version};
use cachestorm::engine::remote::redis::RedisRemote;
use cachestorm::engine::resilience::circuit_breaker::{BreakerConfig, Circuit};
use cachestorm::engine::resilience::guarded::Guarded;
use cachestorm::engine::resilience::origin_limit::{Bounded, OriginLimit};
use cachestorm::engine::resilience::{OriginProtection, Resilience};
use cachestorm::engine::{Answer, Engine};
use cachestorm::environment::instance::{Instance, InstanceConfig};
use cachestorm::environment::process::{find_program, free_port};
use cachestorm::seed::Seed;
use parking_lot::Mutex;
use rand::RngExt as _;

use crate::support::durability::{ACTIVITY, CUSTOMER, Ledger, Mood, Scene, remote};
use crate::support::signal::{self, Signal};

type GuardedEngine = Arc<Engine<Guarded<RedisRemote>, Bounded<Ledger>>>;

const BREAKER: BreakerConfig = BreakerConfig {
    failures: 5,
    open_for: Duration::from_millis(200),
    probes: 2,
};
const ORIGIN: OriginLimit = OriginLimit {
    concurrency: 8,
    queue: 100,
};
const REMOTE_LIMIT: Duration = Duration::from_millis(500);
/// Longer than any operation may ever take.
const NEVER_LONGER: Duration = Duration::from_secs(10);

async fn guarded(scene: &Scene, url: &str) -> GuardedEngine {
    let (clock, heard) = (scene.clock.clone(), Arc::clone(&scene.heard));
    let remote = Guarded::new(
        remote(url).await,
        Some(BREAKER),
        REMOTE_LIMIT,
        clock,
        Arc::clone(&heard) as _,
    );
    let origin = Bounded::new(scene.database.clone(), Some(ORIGIN), heard);
    Arc::new(scene.assemble(0, remote, origin))
}

/// A Redis that can be killed and started again at the same place.
struct Restartable {
    port: u16,
    server: Option<Child>,
}

impl Restartable {
    fn new() -> Self {
        Self {
            port: free_port().expect("a port"),
            server: None,
        }
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    async fn start(&mut self, scene: &Scene) {
        let program = find_program(&["redis-server"]).expect("redis-server is installed");
        let port = self.port.to_string();
        let server = Command::new(program)
            .args(["--port", &port, "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.server = Some(server.expect("redis-server starts"));
        let client = redis::Client::open(self.url()).expect("a URL of our own");
        scene
            .until("Redis answers", async || {
                client.get_multiplexed_async_connection().await.is_ok()
            })
            .await;
    }

    fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.kill().expect("SIGKILL");
            server.wait().expect("it is gone");
        }
    }
}

impl Drop for Restartable {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A process of ours that stands still, until dropped.
pub(crate) struct Stopped(u32);

impl Stopped {
    pub(crate) fn stop(pid: u32) -> Self {
        signal::send(Signal::STOP, pid);
        Self(pid)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        signal::send(Signal::CONT, self.0);
    }
}

fn customer(n: usize) -> Key {
    Key::new(format!("customer:{n}"))
}

fn value(answer: &Answer) -> Option<&[u8]> {
    answer.entry.row.value.as_deref()
}

/// What all users saw.
#[derive(Default)]
struct Seen {
    remote_hits: AtomicUsize,
    bypasses: AtomicUsize,
    wrong: Mutex<Vec<String>>,
    /// The newest version of each customer that a writer was told of.
    written: Mutex<HashMap<Key, Version>>,
    done: AtomicBool,
}

async fn be_a_user(user: u64, scene: &Scene, engine: &GuardedEngine, seen: &Seen) {
    let mut random = Seed(11).stream_of("user", user);
    while !seen.done.load(Ordering::SeqCst) {
        let key = customer(random.random_range(0..20));
        if random.random_range(0..10) == 0 {
            let put = engine.put(CUSTOMER, &key, Bytes::from(format!("{user}")));
            match scene.clock.timeout(NEVER_LONGER, put).await {
                Ok(Ok(written)) => {
                    let mut newest = seen.written.lock();
                    let newest = newest.entry(key).or_default();
                    *newest = written.version.max(*newest);
                }
                other => seen.wrong.lock().push(format!("put {key}: {other:?}")),
            }
            continue;
        }
        let newest = seen.written.lock().get(&key).copied().unwrap_or_default();
        match scene
            .clock
            .timeout(NEVER_LONGER, engine.get(CUSTOMER, &key))
            .await
        {
            Ok(Ok(answer)) => {
                let version = answer.entry.row.version;
                if version < newest {
                    let told = format!("get {key}: stale, {version} and not {newest}");
                    seen.wrong.lock().push(told);
                }
                let counter = match (answer.outcome, answer.layer) {
                    (Outcome::Hit, Layer::Remote) => &seen.remote_hits,
                    (Outcome::Bypass, _) => &seen.bypasses,
                    _ => continue,
                };
                counter.fetch_add(1, Ordering::SeqCst);
            }
            other => seen.wrong.lock().push(format!("get {key}: {other:?}")),
        }
    }
}

#[tokio::test]
async fn live_redis_killed_and_started_again_means_slower_and_not_broken() {
    const USERS: u64 = 20;
    let scene = Scene::new().await;
    let mut redis = Restartable::new();
    redis.start(&scene).await;
    let engine = guarded(&scene, &redis.url()).await;
    scene
        .database
        .set_mood(Mood::Slow(Duration::from_millis(2)));
    let seen = Seen::default();
    let users = (0..USERS).map(|user| be_a_user(user, &scene, &engine, &seen));
    let users = futures_util::future::join_all(users);
    let many = async |what: &str, counter: &AtomicUsize| {
        let before = counter.load(Ordering::SeqCst);
        let enough = async || counter.load(Ordering::SeqCst) > before + 300;
        scene.until(what, enough).await;
    };
    let play = async {
        many("the cache is used", &seen.remote_hits).await;
        assert_eq!(*scene.heard.circuits.lock(), []);
        redis.kill();
        many("the database answers in its place", &seen.bypasses).await;
        redis.start(&scene).await;
        many("the cache is used again", &seen.remote_hits).await;
        seen.done.store(true, Ordering::SeqCst);
    };
    tokio::join!(users, play);

    assert_eq!(*seen.wrong.lock(), Vec::<String>::new());
    assert!(scene.database.under_way_max() <= ORIGIN.concurrency as usize);
    assert_eq!(scene.heard.refused_calls.load(Ordering::SeqCst), 0);
    let circuits = scene.heard.circuits.lock();
    assert_eq!(circuits.first(), Some(&Circuit::Open));
    assert_eq!(circuits.last(), Some(&Circuit::Closed));
    // A dead Redis was asked by those who were under way when it died and by a few probes, and by
    // nobody else, however many requests there were.
    let failures = scene.heard.failures.lock();
    let asked = failures
        .iter()
        .filter(|failure| !failure.contains("the circuit is open"));
    let opened = circuits.iter().filter(|circuit| **circuit == Circuit::Open);
    let (asked, opened) = (asked.count(), opened.count());
    // Each may fail twice: at the look and at the fill or the invalidation after it.
    let allowed = 2 * (USERS as usize + opened * BREAKER.probes as usize);
    assert!(asked <= allowed, "{asked} calls, {allowed} are explained");
}

/// A Redis that was cut off comes back with what it held: nothing of it may be out of date.
#[tokio::test]
async fn live_a_redis_that_hung_does_not_serve_what_was_replaced_meanwhile() {
    let scene = Scene::new().await;
    let engine = guarded(&scene, scene.redis.url()).await;
    let key = customer(1);
    let put = async |value: &str| {
        let put = engine.put(CUSTOMER, &key, Bytes::from(value.to_owned()));
        put.await.expect("committed")
    };
    let get = async || engine.get(CUSTOMER, &key).await.expect("an answer");
    put("old").await;
    get().await;
    let held = get().await;
    assert_eq!(
        (held.layer, value(&held)),
        (Layer::Remote, Some(&b"old"[..]))
    );

    let stopped = Stopped::stop(scene.redis.pid());
    let opened = async || scene.heard.circuits.lock().contains(&Circuit::Open);
    scene
        .until("the circuit opens", async || {
            get().await;
            opened().await
        })
        .await;
    put("new").await;
    let meanwhile = get().await;
    assert_eq!(meanwhile.outcome, Outcome::Bypass);
    assert_eq!(value(&meanwhile), Some(&b"new"[..]));
    drop(stopped);

    scene
        .until("the cache is used again", async || {
            let answer = get().await;
            assert_eq!(value(&answer), Some(&b"new"[..]), "{answer:?}");
            answer.outcome == Outcome::Hit
        })
        .await;
    assert!(scene.heard.replayed.load(Ordering::SeqCst) > 0);
}

/// A hung Redis has write-behind in its buffers when it wakes; what was written past the queue
/// meanwhile is newer and must stay.
#[tokio::test]
async fn live_write_behind_keeps_its_order_around_a_redis_that_hung() {
    let scene = Scene::new().await;
    let engine = guarded(&scene, scene.redis.url()).await;
    let key = Key::new("activity:1");
    let put = async |value: &str| {
        let put = engine.put(ACTIVITY, &key, Bytes::from(value.to_owned()));
        let written = put.await.expect("accepted");
        scene.oracle.accepted(&key, written.version);
        written
    };
    assert_eq!(put("queued").await.layer, Layer::Remote);
    let stopped = Stopped::stop(scene.redis.pid());
    // The first ones time out, and stand in the buffers of the hung Redis.
    let mut last = String::new();
    let mut number = 0;
    scene
        .until("the circuit opens", async || {
            number += 1;
            last = format!("past {number}");
            assert_eq!(put(&last).await.layer, Layer::Origin);
            scene.heard.circuits.lock().contains(&Circuit::Open)
        })
        .await;
    put("last past").await;
    drop(stopped);
    assert!(engine.drain("a", Duration::from_secs(10)).await);
    assert_eq!(scene.database.value(&key), Some(Bytes::from("last past")));

    scene
        .until("the queue is used again", async || {
            put("queued again").await.layer == Layer::Remote
        })
        .await;
    assert!(engine.drain("a", Duration::from_secs(10)).await);
    assert_eq!(
        scene.database.value(&key),
        Some(Bytes::from("queued again"))
    );
    let found = scene.oracle.finding(None);
    assert_eq!((found.violations, &*found.worst), (0, ""));
}

#[tokio::test]
async fn live_a_slow_database_is_not_waited_for_by_those_who_have_something_stale() {
    let mut scene = Scene::new().await;
    let mut customers = scene.policies.get(CUSTOMER).clone();
    customers.ttl = Duration::from_millis(50);
    customers.serve_stale = Some(Duration::from_hours(1));
    let activities = scene.policies.get(ACTIVITY).clone();
    scene.policies = Arc::new(PolicyTable::new(vec![activities, customers]));
    let engine = scene.assemble(0, scene.remote().await, scene.database.clone());
    let engine = Arc::new(engine.with_soft_timeout(Some(Duration::from_millis(30))));
    let finishing = tokio::spawn({
        let engine = Arc::clone(&engine);
        async move { engine.finish_late_loads().await }
    });
    let key = customer(1);
    let get = async || engine.get(CUSTOMER, &key).await.expect("an answer");
    engine
        .put(CUSTOMER, &key, Bytes::from("old"))
        .await
        .expect("committed");
    assert_eq!(get().await.outcome, Outcome::Miss);
    // Past its TTL, and the database has another row that nobody told the cache of.
    scene.clock.sleep(Duration::from_millis(60)).await;
    scene.database.write_unseen(&key, "new");
    scene
        .database
        .set_mood(Mood::Slow(Duration::from_millis(500)));
    let loads = scene.database.loads();
    for _ in 0..5 {
        let answer = get().await;
        assert_eq!(
            (answer.outcome, value(&answer)),
            (Outcome::StaleHit, Some(&b"old"[..]))
        );
    }
    assert_eq!(scene.heard.soft_timeouts.load(Ordering::SeqCst), 5);
    assert_eq!(scene.database.loads(), loads + 1, "the same load goes on");
    // Nobody waits for it, and it fills the cache.
    scene
        .until("the late load has filled the cache", async || {
            let held: Option<Vec<u8>> = redis::cmd("GET")
                .arg("test:customer:1")
                .query_async(&mut scene.connection().await)
                .await
                .expect("GET");
            held.is_some_and(|held| held.ends_with(b"new"))
        })
        .await;
    assert_eq!(scene.database.loads(), loads + 1);
    finishing.abort();
}

#[tokio::test]
async fn live_an_instance_protects_the_database_and_its_callers() {
    let scene = Scene::new().await;
    let key = "customer:{n}".parse().expect("a key pattern");
    let policies = PolicyTable::new(vec![DataType::new(
        "customer",
        key,
        Strategy::CacheAside,
        Duration::from_mins(1),
    )]);
    let config = InstanceConfig {
        invalidation: InvalidationConfig::default(),
        number: 0,
        policies: Arc::new(policies),
        local: None,
        remote: None,
        aside: None,
        resilience: Resilience {
            origin: OriginProtection {
                limit: Some(OriginLimit {
                    concurrency: 1,
                    queue: 0,
                }),
                soft_timeout: None,
                hard_timeout: Some(Duration::from_millis(300)),
            },
            ..Resilience::default()
        },
        warming: None,
        clock: scene.clock.clone(),
        seed: Seed(1),
        observer: Arc::clone(&scene.heard) as _,
    };
    scene.database.set_mood(Mood::Hanging);
    let instance = Instance::start(config, scene.database.clone()).await;
    let instance = instance.expect("it starts");
    let get = async |n: u32| {
        let answer = reqwest::get(format!("{}/customer/{n}", instance.url())).await;
        let answer = answer.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("text"))
    };
    let [first, second] = futures_util::future::join_all([get(1), get(2)])
        .await
        .try_into()
        .expect("two");
    let mut answers = [first, second];
    answers.sort();
    insta::assert_snapshot!(format!("{answers:?}"), @r#"[(503, "the origin failed: the origin has no room: 1 calls are under way and 0 wait\n"), (504, "the origin failed: the origin gave no answer within its time limit\n")]"#);
    assert_eq!(scene.database.under_way_max(), 1);
    assert_eq!(scene.heard.refused_calls.load(Ordering::SeqCst), 1);
    assert!(instance.stop().await);
}
