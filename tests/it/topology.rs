//! The remote layer over every topology of Redis: what it promises holds in all of them, and when a
//! primary dies it goes on. One body for all; real servers.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cachestorm::clock::Clock;
use cachestorm::engine::data_type::{
    DataType, DataTypeId, Key, Limit, LimitAlgorithm, PolicyTable, Strategy,
};
use cachestorm::engine::event::Unobserved;
use cachestorm::engine::layer::{
    Appended, Delivery, Entry, Fill, Generation, InvalidationEvent, Layer, LayerError, Leased,
    Notice, Outcome, Queue, QueueId, QueuedWrite, Remote, Row, Subscription, Token, Version,
};
use cachestorm::engine::remote::redis::{
    NodeAddress, Nodes, RedisOptions, RedisRemote, Surveyor, Topology, View,
};
use cachestorm::engine::{Engine, Surroundings};
use cachestorm::environment::error::EnvironmentError;
use cachestorm::environment::keyspace::probe;
use cachestorm::environment::managed_redis::topology::ManagedTopology;
use cachestorm::environment::redis_info::RedisInfo;
use cachestorm::environment::redis_topology::TopologyConfig;
use cachestorm::environment::{EvictionPolicy, RedisConfig};
use cachestorm::seed::Seed;

use crate::cli::ShortRun;
use crate::support::ScriptedOrigin;

/// More than any of these tests appends, also in a sixteenth of it.
const QUEUE_MAX: u64 = 100_000;
const TTL: Duration = Duration::from_mins(5);
/// How long a replica may take to hear of a write.
const LAG: Duration = Duration::from_secs(5);
/// How long a failover may take: the nodes must be silent for 2 s before anybody acts, and this
/// machine may be busy.
const FAILOVER: Duration = Duration::from_secs(30);
const ITEM: DataTypeId = DataTypeId(0);
const ACTIVITY: DataTypeId = DataTypeId(1);

async fn start(topology: &TopologyConfig) -> ManagedTopology {
    let config = RedisConfig {
        maxmemory: None,
        policy: EvictionPolicy::Noeviction,
    };
    let started = ManagedTopology::start(&config, topology, &Clock::real()).await;
    started.expect("the servers come up")
}

fn policies() -> PolicyTable {
    let row = |name: &str, key: &str, strategy| {
        DataType::new(name, key.parse().expect("a key pattern"), strategy, TTL)
    };
    PolicyTable::new(vec![
        row("item", "item:{id}", Strategy::CacheAside),
        row("activity", "activity:{user}:{n}", Strategy::WriteBehind),
    ])
}

async fn connect(url: &str) -> Result<RedisRemote, LayerError> {
    let options = RedisOptions {
        url: url.to_owned(),
        prefix: "test:".to_owned(),
        connections: 2,
        timeout: Duration::from_secs(1),
    };
    Ok(RedisRemote::connect(options).await?.serving(&policies()))
}

async fn view(url: &str) -> View {
    let nodes = Nodes::open(url).expect("a URL of ours");
    Surveyor::new(nodes).survey().await.expect("a view")
}

fn entry(version: u64) -> Entry {
    let now = Clock::real().now();
    Entry {
        row: Row {
            value: Some(Bytes::from(format!("v{version}"))),
            version: Version(version),
            committed_at: now,
            as_of: Version(version),
        },
        fetched_at: now,
        fresh_until: now + TTL,
        load_time: Duration::from_millis(1),
        generation: Generation(1),
    }
}

fn items(count: usize) -> Vec<Key> {
    (0..count).map(|n| Key::new(format!("item:{n}"))).collect()
}

fn notice(key: &str) -> Notice {
    Notice::Invalidated(InvalidationEvent {
        publisher: 1,
        keys: vec![key.to_owned()],
        version: 7,
        ..InvalidationEvent::default()
    })
}

/// Tries until `attempt` gives something; fails the test if it does not within `limit`.
async fn until<T>(what: &str, limit: Duration, mut attempt: impl AsyncFnMut() -> Option<T>) -> T {
    let clock = Clock::real();
    let deadline = clock.now() + limit;
    loop {
        if let Some(done) = attempt().await {
            return done;
        }
        assert!(clock.now() < deadline, "waited in vain: {what}");
        clock.sleep(Duration::from_millis(10)).await;
    }
}

/// Waits until a lookup gives the row of this version, or nothing. Replicas need a moment.
async fn shows(remote: &RedisRemote, key: &Key, version: Option<u64>) {
    until(&format!("{key} at version {version:?}"), LAG, async || {
        let held = remote.get(key).await.expect("an answer");
        (held.map(|entry| entry.row.version.0) == version).then_some(())
    })
    .await;
}

/// Appends a write, and gives the version that the queue gave it.
async fn append(remote: &RedisRemote, user: usize, n: u64) -> Result<Version, LayerError> {
    let write = QueuedWrite {
        data_type: ACTIVITY,
        key: Key::new(format!("activity:{user}:{n}")),
        value: Bytes::from("click"),
        version: Version(0),
        accepted_at: Clock::real().now(),
    };
    match remote.append(&write, &entry(n), TTL, QUEUE_MAX).await? {
        Appended::Queued(version) => Ok(version),
        full @ Appended::Full(_) => panic!("{full:?} with so few writes"),
    }
}

/// Takes `count` writes from the queue, in small batches, and acknowledges them.
async fn take(remote: &RedisRemote, consumer: &str, count: usize) -> Vec<QueuedWrite> {
    let mut queue = remote.queue(consumer).await.expect("a queue");
    let mut taken = Vec::new();
    until(&format!("{count} writes in the queue"), LAG, async || {
        let batch = queue.next_batch(7).await.expect("an answer");
        assert!(
            batch.len() <= 7,
            "{} is more than was asked for",
            batch.len()
        );
        let ids: Vec<QueueId> = batch.iter().map(|given| given.id.clone()).collect();
        queue.acknowledge(&ids).await.expect("acknowledged");
        taken.extend(
            batch
                .into_iter()
                .map(|given| given.write.expect("readable")),
        );
        (taken.len() >= count).then_some(())
    })
    .await;
    taken
}

/// What every topology promises.
async fn conformance(url: &str) {
    let (remote, other) = tokio::join!(connect(url), connect(url));
    let (remote, other) = (remote.expect("connected"), other.expect("connected"));
    values(&remote).await;
    leases_and_locks(&remote, &other).await;
    notices(&remote, &other).await;
    queue(&remote).await;
    counters(&remote, &other).await;
}

async fn values(remote: &RedisRemote) {
    let keys = items(100);
    for key in &keys {
        assert_eq!(remote.get(key).await, Ok(None));
        assert_eq!(remote.fill(key, &entry(5), TTL).await, Ok(Fill::Stored));
        assert_eq!(remote.fill(key, &entry(4), TTL).await, Ok(Fill::Refused));
    }
    for key in &keys {
        shows(remote, key, Some(5)).await;
    }
    // Two halves over all slots at once: one with tombstones, one without.
    let (marked, purged) = keys.split_at(50);
    remote
        .invalidate(marked, Version(6))
        .await
        .expect("dropped");
    remote
        .invalidate(purged, Version(0))
        .await
        .expect("dropped");
    for key in &keys {
        shows(remote, key, None).await;
    }
    assert_eq!(
        remote.fill(&marked[0], &entry(5), TTL).await,
        Ok(Fill::Refused)
    );
    assert_eq!(
        remote.fill(&purged[0], &entry(5), TTL).await,
        Ok(Fill::Stored)
    );
    remote
        .overwrite(&marked[0], &entry(1), TTL)
        .await
        .expect("stored");
    shows(remote, &marked[0], Some(1)).await;
}

async fn leases_and_locks(remote: &RedisRemote, other: &RedisRemote) {
    let second = Duration::from_secs(1);
    for n in 0..10 {
        let key = Key::new(format!("leased:{n}"));
        let (mine, theirs) = (Token(1), Token(2));
        assert_eq!(
            remote.get_or_lease(&key, mine, TTL).await,
            Ok(Leased::Granted)
        );
        assert_eq!(
            other.get_or_lease(&key, theirs, TTL).await,
            Ok(Leased::Taken)
        );
        let offered = entry(3);
        let filled = remote.fill_leased(&key, mine, Some((&offered, TTL))).await;
        assert_eq!(filled, Ok(Fill::Stored));
        let found = other.get_or_lease(&key, theirs, TTL).await;
        assert!(matches!(found, Ok(Leased::Found(_))), "{found:?}");
        assert_eq!(remote.lock(&key, mine, second).await, Ok(true));
        assert_eq!(other.lock(&key, theirs, second).await, Ok(false));
        assert_eq!(other.renew_lock(&key, theirs, second).await, Ok(false));
        remote.unlock(&key, Some(mine)).await.expect("unlocked");
        assert_eq!(other.lock(&key, theirs, second).await, Ok(true));
    }
}

async fn notices(remote: &RedisRemote, other: &RedisRemote) {
    // Whichever node each of them listens to, it hears what is published at any.
    for at in 0..4 {
        let mut subscription = other.subscribe().await.expect("subscribed");
        let told = notice(&format!("item:{at}"));
        remote.publish(&told).await.expect("published");
        let heard = Clock::real().timeout(LAG, subscription.next()).await;
        assert_eq!(heard, Ok(Some(told)));
    }
}

async fn queue(remote: &RedisRemote) {
    // Opened before the writes and after them: both must do.
    drop(remote.queue("c1").await.expect("a queue"));
    let mut newest = Version(0);
    for n in 1..=3 {
        for user in 0..20 {
            let version = append(remote, user, n).await.expect("accepted");
            if (user, n) == (7, 3) {
                newest = version;
            }
        }
    }
    shows(remote, &Key::new("activity:7:3"), Some(newest.0)).await;
    // A consumer that takes some and dies before it acknowledges gets them again, and others after
    // a while, too.
    let mut dying = remote.queue("c1").await.expect("a queue");
    let given = until("a first batch", LAG, async || {
        let batch = dying.next_batch(10).await.expect("an answer");
        (!batch.is_empty()).then_some(batch)
    })
    .await;
    drop(dying);
    let mut reborn = remote.queue("c1").await.expect("a queue");
    let again = take_back(&mut reborn, None).await;
    assert_eq!(names(&again), names(&given));
    let buried = &again[0];
    reborn.bury(buried, "a test").await.expect("buried");
    let mut heir = remote.queue("c2").await.expect("a queue");
    let inherited = take_back(&mut heir, Some(Duration::ZERO)).await;
    assert_eq!(names(&inherited), names(&again[1..]));
    let ids: Vec<QueueId> = inherited.iter().map(|given| given.id.clone()).collect();
    assert_eq!(heir.keep(&ids).await, Ok(true));
    heir.acknowledge(&ids).await.expect("acknowledged");
    let rest = 60 - given.len();
    let waiting = heir.waiting().await.expect("an answer");
    assert_eq!((waiting.writes, waiting.dead_letters), (rest as u64, 1));
    let taken = take(remote, "c1", rest).await;
    assert_eq!(taken.len(), rest);
    let mut all: BTreeSet<&str> = taken.iter().map(|write| write.key.as_str()).collect();
    let given = names(&given);
    all.extend(given.iter().map(String::as_str));
    assert_eq!(all.len(), 60, "none is lost and none comes twice");
    let mut empty = remote.queue("c1").await.expect("a queue");
    assert_eq!(empty.next_batch(10).await.expect("an answer"), []);
}

/// All that is delivered again, whichever streams it is in.
async fn take_back(queue: &mut impl Queue, idle: Option<Duration>) -> Vec<Delivery> {
    let mut all: Vec<Delivery> = Vec::new();
    // What is taken back stays with its consumer, so it comes again and again.
    for _ in 0..40 {
        let back = queue.take_back(idle, 10, u32::MAX).await;
        let back = back.expect("an answer");
        assert_eq!(back.vanished, 0);
        for given in back.deliveries {
            if all.iter().all(|known| known.id != given.id) {
                all.push(given);
            }
        }
    }
    all
}

fn names(deliveries: &[Delivery]) -> BTreeSet<String> {
    let writes = deliveries.iter().map(|given| given.write.as_ref());
    let keys = writes.map(|write| write.expect("readable").key.to_string());
    keys.collect()
}

async fn counters(remote: &RedisRemote, other: &RedisRemote) {
    let limit = Limit {
        requests: 5,
        window: Duration::from_mins(1),
        algorithm: LimitAlgorithm::SlidingBuckets,
    };
    for user in 0..10 {
        let key = Key::new(format!("ratelimit:{user}:60"));
        let mut admitted = 0;
        for _ in 0..4 {
            for instance in [remote, other] {
                let decision = instance.admit(&key, limit).await.expect("a decision");
                admitted += u64::from(decision.admitted);
            }
        }
        assert_eq!(admitted, limit.requests);
    }
}

/// How many `GET`s each of `addresses` has answered.
async fn gets(url: &str, addresses: impl Iterator<Item = &NodeAddress>) -> u64 {
    let nodes = Nodes::open(url).expect("a URL of ours");
    let mut sum = 0;
    for address in addresses {
        let connection = nodes.connect(address, Duration::from_secs(1)).await;
        let mut connection = connection.expect("connected");
        let info = RedisInfo::fetch(&mut connection, &Clock::real(), LAG).await;
        sum += info.expect("INFO").calls_of("get");
    }
    sum
}

#[tokio::test]
async fn live_one_server_with_a_password_over_tls() {
    let topology = TopologyConfig {
        password: Some("p@ss/wörd \"1\"".to_owned()),
        tls: true,
        ..TopologyConfig::of(Topology::Standalone)
    };
    let redis = start(&topology).await;
    conformance(redis.url()).await;
    probe(redis.url(), &Clock::real()).await.expect("probed");
    // A client that does not know who signed the certificate turns back.
    let (place, _) = redis.url().split_once('?').expect("a ca");
    let refused = connect(place).await.expect_err("nobody known signed it");
    assert!(matches!(refused, LayerError::Unreachable(..)), "{refused}");
    connect(&format!("{place}#insecure"))
        .await
        .expect("as asked");
}

#[tokio::test]
async fn live_replicas_answer_lookups_and_nothing_else() {
    let redis = start(&TopologyConfig::of(Topology::Replicated)).await;
    conformance(redis.url()).await;
    let shard = view(redis.url()).await.shards.remove(0);
    let primary = || std::iter::once(&shard.primary);
    let before = gets(redis.url(), primary()).await;
    let url = format!("{}?read_from=replica", redis.url());
    let remote = connect(&url).await.expect("connected");
    let keys = items(50);
    for key in &keys {
        remote.fill(key, &entry(9), TTL).await.expect("an answer");
        shows(&remote, key, Some(9)).await;
    }
    assert_eq!(gets(redis.url(), primary()).await, before);
    for replica in &shard.replicas {
        let answered = gets(redis.url(), std::iter::once(replica)).await;
        assert!(answered >= 25, "{replica} answered {answered}");
    }
}

#[tokio::test]
async fn live_under_sentinel_the_layer_follows_to_the_new_primary() {
    let topology = TopologyConfig {
        replicas: 1,
        password: Some("secret".to_owned()),
        ..TopologyConfig::of(Topology::Sentinel)
    };
    let mut redis = start(&topology).await;
    conformance(redis.url()).await;
    let remote = connect(redis.url()).await.expect("connected");
    let before = view(redis.url()).await.shards.remove(0);
    let mut subscription = remote.subscribe().await.expect("subscribed");
    let key = Key::new("item:failover");
    remote.fill(&key, &entry(1), TTL).await.expect("an answer");
    shows(&remote, &key, Some(1)).await;

    assert!(redis.crash(&before.primary));
    let heard = Clock::real().timeout(LAG, subscription.next()).await;
    assert_eq!(heard, Ok(None), "the lost subscription is told");
    until("a fill at the new primary", FAILOVER, async || {
        remote.fill(&key, &entry(2), TTL).await.ok()
    })
    .await;
    let after = view(redis.url()).await.shards.remove(0);
    assert_eq!(after.primary, before.replicas[0]);
    assert_eq!(redis.died(), None);
    goes_on(&remote).await;
}

#[tokio::test]
async fn live_a_primary_that_is_deposed_alive_is_left() {
    let topology = TopologyConfig {
        replicas: 1,
        ..TopologyConfig::of(Topology::Sentinel)
    };
    let redis = start(&topology).await;
    let remote = connect(redis.url()).await.expect("connected");
    let before = view(redis.url()).await.shards.remove(0);
    let mut subscription = remote.subscribe().await.expect("subscribed");
    let sentinel = redis.sentinels()[0].url();
    let client = redis::Client::open(sentinel).expect("a URL of ours");
    let connection = client.get_multiplexed_async_connection().await;
    redis::cmd("SENTINEL")
        .arg(&["FAILOVER", "mymaster"])
        .query_async::<()>(&mut connection.expect("connected"))
        .await
        .expect("a failover begins");
    // The old primary still answers: only who asks around notices.
    let heard = Clock::real().timeout(FAILOVER, subscription.next()).await;
    assert_eq!(heard, Ok(None), "the subscription at the old primary ends");
    let key = Key::new("item:switched");
    until("a fill at the new primary", FAILOVER, async || {
        remote.fill(&key, &entry(2), TTL).await.ok()
    })
    .await;
    let after = view(redis.url()).await.shards.remove(0);
    assert_eq!(after.primary, before.replicas[0]);
    goes_on(&remote).await;
}

#[tokio::test]
async fn live_a_cluster_goes_on_without_one_of_its_primaries() {
    let mut redis = start(&TopologyConfig::of(Topology::Cluster)).await;
    let url = format!("{}?read_from=replica", redis.url());
    conformance(&url).await;
    let seen = view(&url).await;
    let primaries = seen.shards.iter().map(|shard| &shard.primary);
    // The scripts of leases look with GET, too, at the primary: two looks for each of ten keys, and
    // one more where a lease was granted.
    let at_primaries = gets(&url, primaries).await;
    assert!(at_primaries <= 30, "{at_primaries} lookups at primaries");

    let remote = connect(&url).await.expect("connected");
    let keys = items(60);
    for key in &keys {
        remote.fill(key, &entry(11), TTL).await.expect("an answer");
    }
    for key in &keys {
        shows(&remote, key, Some(11)).await;
    }
    assert!(redis.crash(&seen.shards[0].primary));
    // Two thirds of the keys are served by the others, at once and until it is known that one is
    // dead; all of them when its replica has taken over.
    let mut served = 0;
    for key in &keys {
        served += usize::from(remote.fill(key, &entry(12), TTL).await.is_ok());
    }
    assert!((20..60).contains(&served), "{served} of 60 fills");
    until("every key to be served again", FAILOVER, async || {
        for key in &keys {
            remote.fill(key, &entry(13), TTL).await.ok()?;
        }
        Some(())
    })
    .await;
    let after = view(&url).await;
    assert_eq!(after.shards[0].primary, seen.shards[0].replicas[0]);
    assert_eq!(redis.died(), None);
    goes_on(&remote).await;
}

#[tokio::test]
async fn live_a_cluster_with_a_password_over_tls() {
    let topology = TopologyConfig {
        replicas: 0,
        password: Some("secret".to_owned()),
        tls: true,
        ..TopologyConfig::of(Topology::Cluster)
    };
    let redis = start(&topology).await;
    conformance(redis.url()).await;
    let clock = Clock::real();
    let info = probe(redis.url(), &clock).await.expect("probed");
    assert_eq!(info.version, redis.version());

    let wrong = redis.url().replacen(":secret@", ":terces@", 1);
    let refused = connect(&wrong).await.expect_err("a wrong password");
    assert!(!refused.to_string().contains("terces"), "{refused}");
    let refused = probe(&wrong, &clock).await.expect_err("a wrong password");
    assert!(
        matches!(refused, EnvironmentError::WrongPassword { .. }),
        "{refused}"
    );
    // A URL of another topology than the servers are of.
    let one = redis.nodes()[0].url();
    let refused = probe(one, &clock).await.expect_err("a node of a Cluster");
    assert!(
        matches!(refused, EnvironmentError::OtherTopology { .. }),
        "{refused}"
    );
}

/// After a failover: listening, telling, queueing and counting as before.
async fn goes_on(remote: &RedisRemote) {
    let mut subscription = until("a subscription", FAILOVER, async || {
        remote.subscribe().await.ok()
    })
    .await;
    let told = notice("item:after");
    until("a notice", FAILOVER, async || {
        remote.publish(&told).await.ok()?;
        let clock = Clock::real();
        let heard = clock
            .timeout(Duration::from_secs(1), subscription.next())
            .await;
        (heard == Ok(Some(told.clone()))).then_some(())
    })
    .await;
    for user in 0..20 {
        until("an accepted write", FAILOVER, async || {
            append(remote, user, 9).await.ok()
        })
        .await;
    }
    let taken = take(remote, "c2", 20).await;
    let users: BTreeSet<&str> = taken.iter().map(|write| write.key.as_str()).collect();
    assert!(users.len() >= 20, "{users:?}");
}

/// The engine over a layer whose primary dies: answers go on, from the origin, and come from Redis
/// again when there is a new primary.
#[tokio::test]
async fn live_an_engine_answers_through_a_failover() {
    let topology = TopologyConfig {
        replicas: 1,
        ..TopologyConfig::of(Topology::Sentinel)
    };
    let mut redis = start(&topology).await;
    let clock = Clock::real();
    let origin = ScriptedOrigin::new(clock.clone());
    let surroundings = Surroundings {
        clock: clock.clone(),
        seed: Seed(1),
        observer: Arc::new(Unobserved),
        instance: 0,
    };
    let remote = connect(redis.url()).await.expect("connected");
    let policies = Arc::new(policies());
    let engine = Engine::new(policies, None, Some(remote), origin.clone(), surroundings);
    let key = Key::new("item:1");
    origin.set(key.as_str(), Some("Ada"));
    engine.get(ITEM, &key).await.expect("an answer");
    let answer = engine.get(ITEM, &key).await.expect("an answer");
    assert_eq!(
        (answer.outcome, answer.layer),
        (Outcome::Hit, Layer::Remote)
    );

    let primary = view(redis.url()).await.shards.remove(0).primary;
    assert!(redis.crash(&primary));
    let mut bypassed = 0;
    until("an answer from Redis", FAILOVER, async || {
        // No answer may fail, or take longer than reconnecting in vain does.
        let limit = Duration::from_secs(5);
        let answer = clock.timeout(limit, engine.get(ITEM, &key)).await;
        let answer = answer.expect("in time").expect("an answer");
        assert_eq!(answer.entry.row.value.as_deref(), Some(&b"Ada"[..]));
        bypassed += usize::from(answer.outcome == Outcome::Bypass);
        (answer.layer == Layer::Remote).then_some(())
    })
    .await;
    assert!(bypassed > 0, "nobody noticed that the primary was gone");
}

#[test]
fn live_a_run_needs_nothing_but_the_servers_program_for_any_topology() {
    for topology in ["replicated", "sentinel", "cluster"] {
        let run = ShortRun::new();
        let (code, stdout, stderr) = run.output(&[
            "--set",
            &format!("layers.remote.topology={topology}"),
            "--set",
            "layers.remote.read_from=replica",
            "--set",
            "layers.remote.persistence=aof",
            "--set",
            "baseline=none",
        ]);
        assert!(code == 0 || code == 3, "exit {code}\n{stdout}\n{stderr}");
        let report = run.report();
        assert_eq!(report["environment"]["redis_topology"], topology);
        assert_eq!(report["environment"]["redis_managed"], true);
        assert_eq!(report["requests"]["errors"], 0, "{topology}");
        for (name, oracle) in report["oracles"].as_object().expect("oracles") {
            // Replicas are behind by a moment, and a user may see that.
            if name != "monotonic" && name != "staleness" {
                assert_eq!(
                    oracle["violations"], 0,
                    "{topology} {name}: {}",
                    oracle["worst"]
                );
            }
        }
        let checked = report["oracles"]["remote_lookups"]["checked"].as_u64();
        assert!(checked > Some(0), "{topology}: no lookup was counted");
        assert!(report["redis"]["keys"].as_u64() > Some(100), "{topology}");
        run.nothing_is_left();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn live_an_existing_cluster_keeps_its_keys_and_none_of_ours() {
    let topology = TopologyConfig {
        replicas: 0,
        password: Some("se/cret".to_owned()),
        ..TopologyConfig::of(Topology::Cluster)
    };
    let redis = start(&topology).await;
    let theirs = connect(redis.url()).await.expect("connected");
    for key in items(30) {
        theirs.fill(&key, &entry(1), TTL).await.expect("stored");
    }
    let run = ShortRun::new();
    let url = redis.url().to_owned();
    let (code, stdout, stderr) = run.output(&["--redis", &url, "--set", "baseline=none"]);
    assert!(code == 0 || code == 3, "exit {code}\n{stdout}\n{stderr}");
    let report = run.report();
    assert_eq!(report["environment"]["redis_topology"], "cluster");
    assert_eq!(report["environment"]["redis_managed"], false);
    assert!(report["redis"]["keys"].as_u64() > Some(100));
    let nodes = Nodes::open(redis.url()).expect("a URL of ours");
    let mut left = Vec::new();
    for node in redis.nodes() {
        let connection = nodes.connect(&node.address(), LAG).await;
        let keys: Vec<String> = redis::cmd("KEYS")
            .arg("*")
            .query_async(&mut connection.expect("connected"))
            .await
            .expect("KEYS");
        left.extend(keys);
    }
    assert_eq!(left.len(), 30, "{left:?}");
    assert!(
        left.iter().all(|key| key.starts_with("test:item:")),
        "{left:?}"
    );
}
