//! The remote layer on a real Redis and a real memcached: what every store promises, and what memcached
//! alone does.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use cachestorm::clock::Clock;
use cachestorm::engine::data_type::Key;
use cachestorm::engine::event::Observer;
use cachestorm::engine::layer::{Layer, LayerError, Notice, Outcome, Remote, Token, Version};
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

use crate::conformance::{self, Pair, TTL, entry, survives_a_storm_of_writers};
use crate::support::fake_remote::Server;
use crate::support::{ACTIVITY, CUSTOMER, RATE_LIMIT, ScriptedOrigin, Told, policies};

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

async fn redis() -> ManagedRedis {
    let config = RedisConfig {
        maxmemory: None,
        policy: EvictionPolicy::Noeviction,
    };
    let server = ManagedRedis::start(&config, &Clock::real()).await;
    server.expect("redis-server starts")
}

async fn on_redis(server: &ManagedRedis) -> AnyRemote {
    let options = RemoteOptions::Redis(RedisOptions {
        url: server.url().to_owned(),
        prefix: "test:".to_owned(),
        connections: 2,
        timeout: Duration::from_secs(2),
    });
    let remote = AnyRemote::connect(options).await.expect("Redis answers");
    remote.serving(&conformance::policies())
}

#[tokio::test]
async fn live_redis_keeps_what_the_remote_layer_promises() {
    let server = redis().await;
    let pair = Pair {
        clock: Clock::real(),
        one: on_redis(&server).await,
        other: on_redis(&server).await,
    };
    pair.keeps_everything().await;
    survives_a_storm_of_writers(&pair.clock, pair.one).await;
}

#[tokio::test]
async fn live_memcached_keeps_what_the_remote_layer_promises() {
    let server = memcached().await;
    let pair = Pair {
        clock: Clock::real(),
        one: on_memcached(&server).await,
        other: on_memcached(&server).await,
    };
    pair.keeps_the_basics().await;
    survives_a_storm_of_writers(&pair.clock, pair.one).await;
}

/// The stand-in of other tests, too.
#[tokio::test(start_paused = true)]
async fn the_fake_keeps_what_the_remote_layer_promises() {
    let clock = Clock::real();
    let server = Server::new(clock.clone());
    let (one, other) = (server.connect(), server.connect());
    Pair { clock, one, other }.keeps_the_basics().await;
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
        let entry = entry(&clock, at, Some("v"));
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
    let large = entry(&clock, 1, Some(&"x".repeat(2 << 20)));
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
