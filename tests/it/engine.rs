//! The engine over a real Redis: what a reader sees after writes, races, losses and outages.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use cachestorm::engine::data_type::Key;
use cachestorm::engine::layer::{Entry, Fill, Generation, Layer, Outcome, Remote, Row, Version};
use cachestorm::engine::{Answer, EngineError};

use crate::support::{ACTIVITY, CUSTOMER, INVENTORY, RATE_LIMIT, Stage};

fn seen(answer: &Answer) -> (Outcome, Layer, Option<&[u8]>) {
    (
        answer.outcome,
        answer.layer,
        answer.entry.row.value.as_deref(),
    )
}

#[tokio::test]
async fn live_a_value_rises_through_the_layers() {
    let stage = Stage::new().await;
    let (first, second) = (stage.instance(0).await, stage.instance(1).await);
    let key = Key::new("customer:360:1");
    stage.origin.set(key.as_str(), Some("Ada"));

    let answer = first.get(CUSTOMER, &key).await.expect("an answer");
    assert_eq!(
        seen(&answer),
        (Outcome::Miss, Layer::Origin, Some(&b"Ada"[..]))
    );
    let answer = first.get(CUSTOMER, &key).await.expect("an answer");
    assert_eq!(
        seen(&answer),
        (Outcome::Hit, Layer::Local, Some(&b"Ada"[..]))
    );
    let answer = second.get(CUSTOMER, &key).await.expect("an answer");
    assert_eq!(
        seen(&answer),
        (Outcome::Hit, Layer::Remote, Some(&b"Ada"[..]))
    );
    assert_eq!(stage.origin.loads(), 1);
}

#[tokio::test]
async fn live_empty_values_are_values_and_absence_is_remembered_until_the_insert() {
    let stage = Stage::new().await;
    let engine = stage.instance(0).await;
    let empty = Key::new("customer:360:2");
    stage.origin.set(empty.as_str(), Some(""));
    for expected in [(Outcome::Miss, Layer::Origin), (Outcome::Hit, Layer::Local)] {
        let answer = engine.get(CUSTOMER, &empty).await.expect("an answer");
        assert_eq!(seen(&answer), (expected.0, expected.1, Some(&b""[..])));
    }

    let absent = Key::new("customer:360:3");
    engine.get(CUSTOMER, &absent).await.expect("an answer");
    let answer = engine.get(CUSTOMER, &absent).await.expect("an answer");
    assert_eq!(seen(&answer), (Outcome::NegativeHit, Layer::Local, None));
    engine
        .put(CUSTOMER, &absent, Bytes::from("Bob"))
        .await
        .expect("a commit");
    let answer = engine.get(CUSTOMER, &absent).await.expect("an answer");
    assert_eq!(
        seen(&answer),
        (Outcome::Miss, Layer::Origin, Some(&b"Bob"[..]))
    );
}

#[tokio::test]
async fn live_a_write_reaches_every_layer_of_every_instance() {
    let stage = Stage::new().await;
    let (writer, reader) = (stage.instance(0).await, stage.instance(1).await);
    let [key, related] = ["customer:360:4", "customer:basic:4"].map(Key::new);
    for key in [&key, &related] {
        stage.origin.set(key.as_str(), Some("old"));
        reader.get(CUSTOMER, key).await.expect("an answer");
    }

    writer
        .put(CUSTOMER, &key, Bytes::from("new"))
        .await
        .expect("a commit");
    stage.origin.set(related.as_str(), Some("new"));
    stage
        .until(async || stage.told.received.load(Ordering::SeqCst) > 0)
        .await;
    for key in [&key, &related] {
        let answer = reader.get(CUSTOMER, key).await.expect("an answer");
        assert_eq!(
            seen(&answer),
            (Outcome::Miss, Layer::Origin, Some(&b"new"[..]))
        );
    }
}

#[tokio::test]
async fn live_write_through_leaves_the_new_value_in_the_cache() {
    let stage = Stage::new().await;
    let (writer, reader) = (stage.instance(0).await, stage.instance(1).await);
    let key = Key::new("inventory:5");
    stage.origin.set(key.as_str(), Some("10"));
    reader.get(INVENTORY, &key).await.expect("an answer");
    writer
        .put(INVENTORY, &key, Bytes::from("9"))
        .await
        .expect("a commit");
    let answer = writer.get(INVENTORY, &key).await.expect("an answer");
    assert_eq!(seen(&answer), (Outcome::Hit, Layer::Local, Some(&b"9"[..])));
    stage
        .until(async || stage.told.received.load(Ordering::SeqCst) > 0)
        .await;
    let answer = reader.get(INVENTORY, &key).await.expect("an answer");
    assert_eq!(
        seen(&answer),
        (Outcome::Hit, Layer::Remote, Some(&b"9"[..]))
    );
}

/// The race of FACTS.md: a load reads the old row, a write commits and invalidates, and only then
/// does the load fill. Naive cache-aside serves the old row until its TTL ends.
#[tokio::test]
async fn live_a_load_that_a_write_overtook_leaves_nothing_stale_behind() {
    let stage = Stage::new().await;
    let (reader, writer) = (stage.instance(0).await, stage.instance(1).await);
    for (overtaken_by, key) in [(&writer, "customer:360:6"), (&reader, "customer:360:7")] {
        let key = Key::new(key);
        stage.origin.set(key.as_str(), Some("old"));
        stage.origin.hold_loads();
        let loads = stage.origin.loads();
        let slow = tokio::spawn({
            let (reader, key) = (reader.clone(), key.clone());
            async move { reader.get(CUSTOMER, &key).await }
        });
        stage.until(async || stage.origin.loads() > loads).await;
        overtaken_by
            .put(CUSTOMER, &key, Bytes::from("new"))
            .await
            .expect("a commit");
        stage.origin.release_loads();
        // The slow reader began before the write: it may see the old row. Nobody after it may.
        slow.await.expect("no panic").expect("an answer");
        for engine in [&reader, &writer] {
            let answer = engine.get(CUSTOMER, &key).await.expect("an answer");
            assert_eq!(answer.entry.row.value.as_deref(), Some(&b"new"[..]));
        }
    }
    assert!(
        stage.told.refused_fills.load(Ordering::SeqCst) > 0,
        "no stale fill was refused"
    );
}

#[tokio::test]
async fn live_an_older_write_never_replaces_a_newer_one_in_redis() {
    let stage = Stage::new().await;
    let options = cachestorm::engine::remote::redis::RedisOptions {
        url: stage.redis.url().to_owned(),
        prefix: "test:".to_owned(),
        connections: 1,
        timeout: Duration::from_millis(500),
    };
    let remote = cachestorm::engine::remote::redis::RedisRemote::connect(options)
        .await
        .expect("Redis answers");
    let entry = |version: u64| Entry {
        row: Row {
            value: Some(Bytes::from(format!("v{version}"))),
            version: Version(version),
            committed_at: stage.clock.now(),
            as_of: Version(version),
        },
        fetched_at: stage.clock.now(),
        fresh_until: stage.clock.now() + Duration::from_mins(1),
        load_time: Duration::from_millis(1),
        generation: Generation::default(),
    };
    let (key, ttl) = (Key::new("inventory:8"), Duration::from_mins(1));
    // Around 2^32 and 2^53, where a comparison by the wrong number type would break.
    for base in [1, u64::from(u32::MAX), (1 << 53) - 2] {
        remote
            .invalidate(std::slice::from_ref(&key), Version(0))
            .await
            .expect("a purge");
        assert_eq!(
            remote.fill(&key, &entry(base + 1), ttl).await,
            Ok(Fill::Stored)
        );
        assert_eq!(
            remote.fill(&key, &entry(base), ttl).await,
            Ok(Fill::Refused)
        );
        remote
            .invalidate(std::slice::from_ref(&key), Version(base))
            .await
            .expect("an old invalidation");
        let held = remote
            .get(&key)
            .await
            .expect("an answer")
            .expect("an entry");
        assert_eq!(held.row.version, Version(base + 1));
    }
}

#[tokio::test]
async fn live_many_readers_of_a_cold_key_load_it_once_per_instance() {
    let stage = Stage::new().await;
    let engine = stage.instance(0).await;
    let key = Key::new("customer:360:9");
    stage.origin.set(key.as_str(), Some("Ada"));
    stage.origin.hold_loads();
    let readers: Vec<_> = (0..500)
        .map(|_| {
            let (engine, key) = (engine.clone(), key.clone());
            tokio::spawn(async move { engine.get(CUSTOMER, &key).await })
        })
        .collect();
    stage.until(async || stage.origin.loads() > 0).await;
    stage.origin.release_loads();
    let mut coalesced = 0;
    for reader in readers {
        let answer = reader.await.expect("no panic").expect("an answer");
        assert_eq!(answer.entry.row.value.as_deref(), Some(&b"Ada"[..]));
        coalesced += usize::from(answer.outcome == Outcome::Coalesced);
    }
    assert_eq!(stage.origin.loads(), 1);
    assert!(coalesced > 0, "nobody waited for the leader");
}

#[tokio::test]
async fn live_what_write_behind_accepted_is_committed_once_even_if_a_consumer_dies() {
    let stage = Stage::new().await;
    let engine = stage.instance(0).await;
    let keys: Vec<Key> = (0..250)
        .map(|n| Key::new(format!("activity:1:{n}")))
        .collect();
    for key in &keys {
        let written = engine
            .put(ACTIVITY, key, Bytes::from("click"))
            .await
            .expect("accepted");
        assert_eq!(written.layer, Layer::Remote);
        assert_eq!(
            stage.origin.value(key.as_str()),
            None,
            "the origin is written later"
        );
    }
    // A consumer that takes a batch and dies before it acknowledges.
    let dying = tokio::spawn({
        let engine = engine.clone();
        async move { engine.consume("c1").await }
    });
    stage
        .until(async || stage.origin.value(keys[0].as_str()).is_some())
        .await;
    dying.abort();
    assert!(
        engine.drain("c1", Duration::from_secs(5)).await,
        "the queue was not emptied"
    );
    for key in &keys {
        assert_eq!(
            stage.origin.value(key.as_str()),
            Some(Bytes::from("click")),
            "{key} was lost"
        );
    }
    let left: usize = redis::cmd("XLEN")
        .arg("test:write-behind")
        .query_async(&mut stage.connection().await)
        .await
        .expect("XLEN");
    assert_eq!(left, 0);
}

#[tokio::test]
async fn live_a_counter_admits_its_limit_across_instances_and_says_when_to_return() {
    let stage = Stage::new().await;
    let engines = [stage.instance(0).await, stage.instance(1).await];
    let limit = stage
        .policies
        .get(RATE_LIMIT)
        .limit
        .expect("a counter has one");
    let key = stage
        .policies
        .get(RATE_LIMIT)
        .key
        .render(&[7], Some(limit.window));
    let calls = (0..200).map(|n| engines[n % 2].admit(RATE_LIMIT, &key));
    let decisions = futures_util::future::try_join_all(calls)
        .await
        .expect("decisions");
    let admitted = decisions
        .iter()
        .filter(|decision| decision.admitted)
        .count();
    assert_eq!(admitted, 50);
    let refused = decisions
        .iter()
        .find(|decision| !decision.admitted)
        .expect("some were refused");
    assert!(
        refused.retry_after > Duration::from_secs(50),
        "{:?}",
        refused.retry_after
    );
    assert!(
        refused.retry_after <= Duration::from_secs(65),
        "{:?}",
        refused.retry_after
    );
}

#[tokio::test]
async fn live_ttls_are_set_and_spread() {
    let stage = Stage::new().await;
    let engine = stage.instance(0).await;
    for n in 0..50 {
        engine
            .get(CUSTOMER, &Key::new(format!("customer:360:{n}")))
            .await
            .expect("an answer");
        engine
            .put(
                INVENTORY,
                &Key::new(format!("inventory:{n}")),
                Bytes::from("1"),
            )
            .await
            .expect("a commit");
    }
    let mut connection = stage.connection().await;
    let mut ttls = Vec::new();
    for n in 0..50 {
        let key = format!("test:inventory:{n}");
        let ttl: i64 = redis::cmd("PTTL")
            .arg(key)
            .query_async(&mut connection)
            .await
            .expect("PTTL");
        assert!(
            (269_000..=300_000).contains(&ttl),
            "{ttl} ms is not 5 min less up to 10%"
        );
        ttls.push(ttl);
    }
    let (shortest, longest) = (
        ttls.iter().min().expect("50"),
        ttls.iter().max().expect("50"),
    );
    assert!(
        longest - shortest > 10_000,
        "jitter does not spread: {shortest}..{longest} ms"
    );
}

#[tokio::test]
async fn live_a_lost_subscription_empties_the_local_layer() {
    let stage = Stage::new().await;
    let engine = stage.instance(0).await;
    let key = Key::new("customer:360:10");
    stage.origin.set(key.as_str(), Some("Ada"));
    engine.get(CUSTOMER, &key).await.expect("an answer");
    assert_eq!(engine.local_entries(), 1);
    redis::cmd("CLIENT")
        .arg(&["KILL", "TYPE", "pubsub"])
        .query_async::<()>(&mut stage.connection().await)
        .await
        .expect("CLIENT KILL");
    stage
        .until(async || stage.told.flushes.load(Ordering::SeqCst) > 0)
        .await;
    assert_eq!(engine.local_entries(), 0);
}

#[tokio::test]
async fn live_without_redis_reads_and_writes_go_on_slower() {
    let mut stage = Stage::new().await;
    let engine = stage.instance(0).await;
    let key = Key::new("customer:360:11");
    stage.origin.set(key.as_str(), Some("Ada"));
    let other = Stage::new().await;
    std::mem::replace(&mut stage.redis, other.redis)
        .stop()
        .await
        .expect("Redis stops");

    let answer = engine
        .get(CUSTOMER, &key)
        .await
        .expect("the origin answers");
    assert_eq!(
        seen(&answer),
        (Outcome::Bypass, Layer::Origin, Some(&b"Ada"[..]))
    );
    engine
        .put(CUSTOMER, &key, Bytes::from("Bob"))
        .await
        .expect("the origin commits");
    let activity = Key::new("activity:1:1");
    let written = engine
        .put(ACTIVITY, &activity, Bytes::from("click"))
        .await
        .expect("a commit");
    assert_eq!(
        written.layer,
        Layer::Origin,
        "what cannot be queued is committed at once"
    );
    let refused = engine.admit(RATE_LIMIT, &Key::new("ratelimit:1:60")).await;
    assert!(
        matches!(refused, Err(EngineError::Remote(_))),
        "{refused:?}"
    );
    assert!(stage.told.remote_failures.load(Ordering::SeqCst) > 0);
}
