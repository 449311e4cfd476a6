//! One body of tests for every store of the remote layer, and what memcached alone does: on a real
//! Redis and a real memcached.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use cachestorm::clock::Clock;
use cachestorm::engine::data_type::{Key, Limit, LimitAlgorithm};
use cachestorm::engine::event::Observer;
use cachestorm::engine::layer::{
    Entry, Fill, Generation, Layer, LayerError, Leased, Notice, Outcome, Remote, Row, Token,
    Version,
};
use cachestorm::engine::local::{LocalConfig, LocalPolicy};
use cachestorm::engine::remote::any::{AnyRemote, RemoteOptions};
use cachestorm::engine::remote::memcached::MemcachedOptions;
use cachestorm::engine::remote::redis::RedisOptions;
use cachestorm::engine::{Engine, Surroundings};
use cachestorm::environment::managed_memcached::ManagedMemcached;
use cachestorm::environment::managed_redis::ManagedRedis;
use cachestorm::environment::memcached_info::MemcachedInfo;
use cachestorm::environment::{EvictionPolicy, MemcachedConfig, RedisConfig};
use cachestorm::seed::Seed;

use crate::support::fake_remote::Server;
use crate::support::{ACTIVITY, CUSTOMER, RATE_LIMIT, ScriptedOrigin, Told, policies};

const TTL: Duration = Duration::from_mins(1);
const ASK_LIMIT: Duration = Duration::from_secs(2);

async fn memcached() -> ManagedMemcached {
    let config = MemcachedConfig { memory_mib: 64 };
    ManagedMemcached::start(config, &Clock::real())
        .await
        .expect("memcached starts")
}

fn memcached_options(server: &ManagedMemcached) -> MemcachedOptions {
    MemcachedOptions {
        address: server.address(),
        prefix: "test:".to_owned(),
        connections: 2,
        timeout: Duration::from_secs(2),
        clock: Clock::real(),
        comparisons: Arc::new(AtomicU64::new(0)),
    }
}

async fn on_memcached(server: &ManagedMemcached) -> AnyRemote {
    AnyRemote::connect(RemoteOptions::Memcached(memcached_options(server)))
        .await
        .expect("memcached answers")
}

async fn redis() -> (ManagedRedis, AnyRemote) {
    let config = RedisConfig {
        maxmemory: None,
        policy: EvictionPolicy::Noeviction,
    };
    let server = ManagedRedis::start(&config, &Clock::real())
        .await
        .expect("redis-server starts");
    let options = RemoteOptions::Redis(RedisOptions {
        url: server.url().to_owned(),
        prefix: "test:".to_owned(),
        connections: 2,
        timeout: Duration::from_secs(2),
    });
    let remote = AnyRemote::connect(options).await.expect("Redis answers");
    (server, remote)
}

fn entry(as_of: u64, value: Option<&str>) -> Entry {
    let now = Clock::real().now();
    Entry {
        row: Row {
            value: value.map(|value| Bytes::from(value.to_owned())),
            version: Version(as_of),
            committed_at: now,
            as_of: Version(as_of),
        },
        fetched_at: now,
        fresh_until: now + TTL,
        load_time: Duration::from_millis(7),
        generation: Generation::default(),
    }
}

#[tokio::test]
async fn live_redis_keeps_what_the_remote_layer_promises() {
    let (_server, remote) = redis().await;
    keeps_entries(&remote).await;
    keeps_newer_ones(&remote).await;
    purges(&remote).await;
    leases(&remote).await;
    locks(&remote).await;
    counts(&remote).await;
    survives_a_storm_of_writers(Arc::new(remote)).await;
}

#[tokio::test]
async fn live_memcached_keeps_what_the_remote_layer_promises() {
    let server = memcached().await;
    let remote = on_memcached(&server).await;
    keeps_entries(&remote).await;
    keeps_newer_ones(&remote).await;
    purges(&remote).await;
    leases(&remote).await;
    locks(&remote).await;
    counts(&remote).await;
    survives_a_storm_of_writers(Arc::new(remote)).await;
}

/// The stand-in of other tests, too.
#[tokio::test]
async fn the_fake_keeps_what_the_remote_layer_promises() {
    let remote = Server::new(Clock::real()).connect();
    keeps_entries(&remote).await;
    keeps_newer_ones(&remote).await;
    purges(&remote).await;
    leases(&remote).await;
    locks(&remote).await;
    counts(&remote).await;
}

async fn keeps_entries(remote: &impl Remote) {
    assert_eq!(remote.get(&Key::new("a")).await, Ok(None));
    // Values of every kind: absent, empty, with line ends, larger than a read.
    let large = "x".repeat(300_000);
    for (at, value) in [None, Some(""), Some("a\r\nVA 1\r\nb"), Some(&*large)]
        .into_iter()
        .enumerate()
    {
        let (key, entry) = (Key::new(format!("entry:{at}")), entry(5, value));
        assert_eq!(remote.fill(&key, &entry, TTL).await, Ok(Fill::Stored));
        assert_eq!(remote.get(&key).await, Ok(Some(entry)));
    }
    let key = Key::new("entry:0");
    let older = entry(1, Some("older"));
    assert_eq!(remote.overwrite(&key, &older, TTL).await, Ok(()));
    assert_eq!(remote.get(&key).await, Ok(Some(older)));
}

async fn keeps_newer_ones(remote: &impl Remote) {
    let key = Key::new("versions");
    let as_of = async || {
        let held = remote.get(&key).await.expect("an answer");
        held.map(|held| held.row.as_of.0)
    };
    // Around 2^32 and 2^53, where a comparison by the wrong number type would break.
    for base in [10, u64::from(u32::MAX), (1 << 53) - 3] {
        let keys = [key.clone(), Key::new("versions:other")];
        let invalidate = |version| remote.invalidate(&keys, Version(version));
        let fill = async |as_of| remote.fill(&key, &entry(as_of, Some("v")), TTL).await;
        assert_eq!(invalidate(0).await, Ok(()));
        assert_eq!(fill(base + 1).await, Ok(Fill::Stored));
        assert_eq!(fill(base).await, Ok(Fill::Refused));
        assert_eq!(fill(base + 1).await, Ok(Fill::Stored));
        assert_eq!(invalidate(base).await, Ok(()));
        assert_eq!(as_of().await, Some(base + 1), "older than the entry");
        assert_eq!(invalidate(base + 2).await, Ok(()));
        assert_eq!(as_of().await, None);
        assert_eq!(fill(base + 1).await, Ok(Fill::Refused), "a stale fill");
        assert_eq!(fill(base + 2).await, Ok(Fill::Stored));
        assert_eq!(as_of().await, Some(base + 2));
    }
}

/// A purge knows no commit, and lets nothing in that is older than what was known before it.
async fn purges(remote: &impl Remote) {
    let key = Key::new("purged");
    let keys = std::slice::from_ref(&key);
    let fill = async |as_of| remote.fill(&key, &entry(as_of, Some("v")), TTL).await;
    let purge = async || assert_eq!(remote.invalidate(keys, Version(0)).await, Ok(()));
    purge().await;
    assert_eq!(fill(3).await, Ok(Fill::Stored), "nothing was known");
    purge().await;
    assert_eq!(remote.get(&key).await, Ok(None));
    assert_eq!(fill(2).await, Ok(Fill::Refused), "older than the entry");
    assert_eq!(fill(3).await, Ok(Fill::Stored), "the same again");
    assert_eq!(remote.invalidate(keys, Version(5)).await, Ok(()));
    purge().await;
    assert_eq!(fill(4).await, Ok(Fill::Refused), "older than the write");
    let (old, new) = (entry(4, Some("v")), entry(5, Some("w")));
    for (number, value, filled) in [(1, &old, Fill::Refused), (2, &new, Fill::Refused)] {
        let take = remote.get_or_lease(&key, Token(number), TTL);
        assert_eq!(take.await, Ok(Leased::Granted));
        purge().await;
        let fill = remote.fill_leased(&key, Token(number), Some((value, TTL)));
        assert_eq!(fill.await, Ok(filled), "the purge took the lease away");
    }
    assert_eq!(fill(4).await, Ok(Fill::Refused), "as before the leases");
    assert_eq!(fill(5).await, Ok(Fill::Stored));
}

async fn leases(remote: &impl Remote) {
    let key = Key::new("lease");
    let (ours, theirs) = (Token(1 << 100 | 7), Token(8));
    let take = |token| remote.get_or_lease(&key, token, TTL);
    assert_eq!(take(ours).await, Ok(Leased::Granted));
    assert_eq!(take(theirs).await, Ok(Leased::Taken));
    assert_eq!(remote.get(&key).await, Ok(None), "a lease is no entry");
    let value = entry(5, Some("v"));
    let fill = |token, entry| remote.fill_leased(&key, token, entry);
    assert_eq!(fill(theirs, Some((&value, TTL))).await, Ok(Fill::Refused));
    assert_eq!(fill(ours, Some((&value, TTL))).await, Ok(Fill::Stored));
    assert_eq!(take(theirs).await, Ok(Leased::Found(value.clone())));

    // A write takes the lease away, and its floor goes on in the next lease.
    let invalidate = |version| remote.invalidate(std::slice::from_ref(&key), Version(version));
    assert_eq!(invalidate(6).await, Ok(()));
    assert_eq!(take(ours).await, Ok(Leased::Granted));
    assert_eq!(invalidate(7).await, Ok(()));
    assert_eq!(fill(ours, Some((&value, TTL))).await, Ok(Fill::Refused));
    assert_eq!(take(theirs).await, Ok(Leased::Granted));
    assert_eq!(fill(theirs, Some((&value, TTL))).await, Ok(Fill::Refused));
    assert_eq!(fill(theirs, None).await, Ok(Fill::Stored), "given back");
    let stale = remote.fill(&key, &value, TTL).await;
    assert_eq!(stale, Ok(Fill::Refused), "the tombstone is there again");
    assert_eq!(take(ours).await, Ok(Leased::Granted));
    let newer = entry(7, Some("w"));
    assert_eq!(fill(ours, Some((&newer, TTL))).await, Ok(Fill::Stored));
    assert_eq!(remote.get(&key).await, Ok(Some(newer)));
}

async fn locks(remote: &impl Remote) {
    let key = Key::new("locked");
    let (ours, theirs) = (Token(u128::MAX), Token(3));
    assert_eq!(remote.lock(&key, ours, TTL).await, Ok(true));
    assert_eq!(remote.lock(&key, theirs, TTL).await, Ok(false));
    assert_eq!(remote.renew_lock(&key, theirs, TTL).await, Ok(false));
    assert_eq!(remote.renew_lock(&key, ours, TTL).await, Ok(true));
    assert_eq!(remote.unlock(&key, Some(theirs)).await, Ok(()));
    assert_eq!(
        remote.lock(&key, theirs, TTL).await,
        Ok(false),
        "not theirs"
    );
    assert_eq!(remote.unlock(&key, Some(ours)).await, Ok(()));
    assert_eq!(remote.lock(&key, theirs, TTL).await, Ok(true));
    assert_eq!(remote.unlock(&key, None).await, Ok(()));
    assert_eq!(remote.renew_lock(&key, theirs, TTL).await, Ok(false));
}

async fn counts(remote: &impl Remote) {
    let limit = Limit {
        requests: 3,
        window: Duration::from_mins(10),
        algorithm: LimitAlgorithm::FixedWindow,
    };
    for key in ["count:1", "count:2"] {
        let mut remaining = Vec::new();
        for _ in 0..3 {
            let admission = remote.admit(&Key::new(key), limit).await.expect("counted");
            assert!(admission.admitted);
            assert_eq!(admission.retry_after, Duration::ZERO);
            remaining.push(admission.remaining);
        }
        assert_eq!(remaining, [2, 1, 0]);
        let refused = remote.admit(&Key::new(key), limit).await.expect("counted");
        assert!(!refused.admitted);
        let retry_after = refused.retry_after;
        assert!(
            retry_after > Duration::ZERO && retry_after <= Duration::from_mins(21),
            "{retry_after:?}"
        );
    }
}

/// Writers and loaders of one key at once: in the end the newest is there, and no reader ever saw
/// the key go back.
async fn survives_a_storm_of_writers(remote: Arc<impl Remote>) {
    const WRITES: u64 = 200;
    let key = Key::new("storm");
    let writers = (0..4).map(|writer| {
        let (remote, key) = (Arc::clone(&remote), key.clone());
        tokio::spawn(async move {
            for write in (writer..WRITES).step_by(4) {
                let entry = entry(write + 1, Some("v"));
                let written = remote.fill(&key, &entry, TTL).await;
                written.expect("a decision");
            }
        })
    });
    let writers: Vec<_> = writers.collect();
    let mut newest = 0;
    while !writers.iter().all(tokio::task::JoinHandle::is_finished) {
        if let Some(held) = remote.get(&key).await.expect("an answer") {
            assert!(held.row.as_of.0 >= newest, "the key went back");
            newest = held.row.as_of.0;
        }
    }
    let held = remote.get(&key).await.expect("an answer");
    assert_eq!(held.map(|held| held.row.as_of.0), Some(WRITES));
}

#[tokio::test]
async fn live_memcached_says_what_it_cannot_do_and_counts_its_looks() {
    let server = memcached().await;
    let options = memcached_options(&server);
    let comparisons = Arc::clone(&options.comparisons);
    let remote = AnyRemote::connect(RemoteOptions::Memcached(options))
        .await
        .expect("memcached answers");
    let unsupported = |error: &LayerError| matches!(error, LayerError::Unsupported(..));
    let notice = Notice::Filled("a".to_owned());
    assert!(
        remote
            .publish(&notice)
            .await
            .is_err_and(|e| unsupported(&e))
    );
    assert!(remote.subscribe().await.is_err_and(|e| unsupported(&e)));
    assert!(remote.queue("c").await.is_err_and(|e| unsupported(&e)));

    // Every look that memcached counts is a lookup or a comparison: nothing is lost between.
    let clock = Clock::real();
    let stats = || MemcachedInfo::fetch(server.address(), &clock, ASK_LIMIT);
    let (before, compared) = (
        stats().await.expect("stats"),
        comparisons.load(Ordering::SeqCst),
    );
    let mut lookups = 0;
    for at in 0..50_u64 {
        let key = Key::new(format!("count:{}", at % 20));
        remote.get(&key).await.expect("an answer");
        remote
            .get_or_lease(&key, Token(1), TTL)
            .await
            .expect("an answer");
        lookups += 2;
        let entry = entry(at, Some("v"));
        remote.fill(&key, &entry, TTL).await.expect("a decision");
        remote
            .invalidate(&[key], Version(at))
            .await
            .expect("a decision");
    }
    let after = stats().await.expect("stats");
    let compared = comparisons.load(Ordering::SeqCst) - compared;
    assert_eq!(after.since(&before).gets, lookups + compared);
    assert!(compared > 0);

    let strange = Key::new("a key with spaces\r\nand lines");
    let refused = remote.get(&strange).await.expect_err("no such key");
    assert!(
        refused.to_string().contains("a key of memcached"),
        "{refused}"
    );
    let large = entry(1, Some(&"x".repeat(2 << 20)));
    let refused = remote.fill(&Key::new("large"), &large, TTL).await;
    let refused = refused.expect_err("too large");
    assert!(refused.to_string().contains("too large"), "{refused}");
    assert_eq!(remote.get(&Key::new("large")).await, Ok(None));
}

/// Without pub/sub and queue: other instances keep what they have until its deadline, and writes
/// that would wait go to the database at once. None of it counts as a failure.
#[tokio::test]
async fn live_the_engine_does_without_what_memcached_lacks() {
    let server = memcached().await;
    let clock = Clock::real();
    let (told, origin) = (
        Arc::new(Told::default()),
        ScriptedOrigin::new(clock.clone()),
    );
    let engine = async |instance| {
        let surroundings = Surroundings {
            clock: clock.clone(),
            seed: Seed(1),
            observer: Arc::clone(&told) as Arc<dyn Observer>,
            instance,
        };
        let local = LocalConfig {
            entries: 100,
            bytes: None,
            policy: LocalPolicy::default(),
        };
        let remote = on_memcached(&server).await;
        let (policies, origin) = (Arc::new(policies()), origin.clone());
        Engine::new(policies, Some(local), Some(remote), origin, surroundings)
    };
    let (writer, reader) = (engine(0).await, engine(1).await);
    // Both end by themselves: there is nothing to listen to and nothing to consume.
    let ended = clock
        .timeout(
            Duration::from_secs(10),
            Box::pin(async { tokio::join!(writer.listen(), writer.consume("c")) }),
        )
        .await;
    ended.expect("they end");
    assert!(writer.drain("c", Duration::from_secs(1)).await);

    let key = Key::new("customer:360:1");
    origin.set(key.as_str(), Some("old"));
    reader.get(CUSTOMER, &key).await.expect("an answer");
    writer
        .put(CUSTOMER, &key, Bytes::from("new"))
        .await
        .expect("a commit");
    let stale = reader.get(CUSTOMER, &key).await.expect("an answer");
    assert_eq!(stale.layer, Layer::Local);
    assert_eq!(stale.entry.row.value.as_deref(), Some(&b"old"[..]));
    let fresh = writer.get(CUSTOMER, &key).await.expect("an answer");
    assert_eq!(fresh.entry.row.value.as_deref(), Some(&b"new"[..]));

    let activity = Key::new("activity:1:1");
    let written = writer.put(ACTIVITY, &activity, Bytes::from("click")).await;
    assert_eq!(written.expect("a commit").layer, Layer::Origin);
    assert_eq!(origin.value(activity.as_str()), Some(Bytes::from("click")));
    let again = reader.get(ACTIVITY, &activity).await.expect("an answer");
    assert_eq!((again.outcome, again.layer), (Outcome::Hit, Layer::Remote));

    let counter = Key::new("ratelimit:1:60");
    let admission = writer.admit(RATE_LIMIT, &counter).await.expect("counted");
    assert_eq!((admission.admitted, admission.remaining), (true, 49));
    assert_eq!(told.remote_failures.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn live_an_engine_outlives_its_memcached() {
    let server = memcached().await;
    let clock = Clock::real();
    let (told, origin) = (
        Arc::new(Told::default()),
        ScriptedOrigin::new(clock.clone()),
    );
    let remote = on_memcached(&server).await;
    let surroundings = Surroundings {
        clock: clock.clone(),
        seed: Seed(1),
        observer: Arc::clone(&told) as Arc<dyn Observer>,
        instance: 0,
    };
    let policies = Arc::new(policies());
    let engine = Engine::new(policies, None, Some(remote), origin.clone(), surroundings);
    let key = Key::new("customer:360:1");
    origin.set(key.as_str(), Some("Ada"));
    engine.get(CUSTOMER, &key).await.expect("an answer");
    let answer = engine.get(CUSTOMER, &key).await.expect("an answer");
    assert_eq!(answer.layer, Layer::Remote);
    server.stop().await.expect("it ends");
    let answer = engine.get(CUSTOMER, &key).await.expect("an answer");
    assert_eq!(
        (answer.outcome, answer.layer),
        (Outcome::Bypass, Layer::Origin)
    );
    assert!(told.remote_failures.load(Ordering::SeqCst) > 0);
}
