//! Write-behind over a real Redis: what is accepted arrives, whoever dies on the way.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use cachestorm::engine::data_type::Key;
use cachestorm::engine::layer::{Layer, LayerError, Version};
use cachestorm::engine::remote::redis::RedisRemote;
use cachestorm::engine::write_behind::policy::{OnFull, WriteBehind};
use cachestorm::engine::{Engine, EngineError};
use cachestorm::units::ByteSize;

use crate::support::durability::{ACTIVITY, Ledger, Mood, Scene};

type TestEngine = Arc<Engine<RedisRemote, Ledger>>;

const STREAM: &str = "test:write-behind";
const DEAD: &str = "test:write-behind:dead";

/// Impatient, so that a test need not wait.
const LIMITS: WriteBehind = WriteBehind {
    queue_max: 100_000,
    batch: 50,
    max_deliveries: 4,
    claim_after: Duration::from_millis(600),
    on_full: OnFull::Sync,
};

fn key(n: usize) -> Key {
    Key::new(format!("activity:{n}"))
}

async fn put(scene: &Scene, engine: &TestEngine, key: &Key, value: &str) -> Version {
    let written = engine.put(ACTIVITY, key, Bytes::from(value.to_owned()));
    let written = written.await.expect("accepted");
    scene.oracle.accepted(key, written.version);
    written.version
}

fn consume(engine: &TestEngine, consumer: &'static str) -> tokio::task::JoinHandle<()> {
    let engine = Arc::clone(engine);
    tokio::spawn(async move { engine.consume(consumer).await })
}

fn assert_nothing_is_missing(scene: &Scene) {
    let found = scene.oracle.finding(None);
    assert_eq!((found.violations, &*found.worst), (0, ""));
    assert!(found.checked > 0, "nothing was accepted");
}

#[tokio::test]
async fn live_what_a_dead_consumer_held_is_taken_over_and_counts_once() {
    let scene = Scene::new().await;
    let engine = scene.engine(0, LIMITS).await;
    for n in 0..120 {
        put(&scene, &engine, &key(n), "click").await;
    }
    // It takes a batch, and dies while the database works on it.
    scene.database.set_mood(Mood::Hanging);
    let dying = consume(&engine, "a");
    scene
        .until("a batch is under way", async || {
            scene.database.batches() > 0
        })
        .await;
    dying.abort();
    scene.database.set_mood(Mood::Well);

    let other = scene.engine(1, LIMITS).await;
    let living = consume(&other, "b");
    scene
        .until("all have arrived", async || scene.database.rows() == 120)
        .await;
    scene
        .until("all are acknowledged", async || {
            scene.number("XLEN", &[STREAM]).await == 0
        })
        .await;
    living.abort();
    assert!(scene.heard.redelivered.load(Ordering::SeqCst) >= LIMITS.batch);
    assert!((0..120).all(|n| scene.database.writes_of(&key(n)) == 1));
    assert_nothing_is_missing(&scene);
}

#[tokio::test]
async fn live_a_slow_consumer_that_lives_keeps_what_it_holds() {
    let scene = Scene::new().await;
    let engine = scene.engine(0, LIMITS).await;
    put(&scene, &engine, &key(1), "click").await;
    // Longer than a silent consumer is believed to live.
    scene.database.set_mood(Mood::Slow(LIMITS.claim_after * 3));
    let slow = consume(&engine, "slow");
    scene
        .until("it works", async || scene.database.batches() > 0)
        .await;
    let other = scene.engine(1, LIMITS).await;
    let idle = consume(&other, "idle");
    scene
        .until("it has arrived", async || scene.database.rows() == 1)
        .await;
    slow.abort();
    idle.abort();
    assert_eq!(scene.database.batches(), 1, "another took it over");
    assert_eq!(scene.heard.redelivered.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn live_an_outage_of_the_database_buries_nothing_and_its_lag_is_told() {
    let scene = Scene::new().await;
    let engine = scene.engine(0, LIMITS).await;
    scene.database.set_mood(Mood::Away);
    for n in 0..80 {
        put(&scene, &engine, &key(n), "click").await;
    }
    let consumers = [consume(&engine, "a"), {
        let other = scene.engine(1, LIMITS).await;
        consume(&other, "b")
    }];
    // Far more tries than deliveries are allowed, and longer than a consumer may be silent.
    let tries = 6 * LIMITS.max_deliveries as usize;
    scene
        .until("many tries", async || scene.database.batches() > tries)
        .await;
    scene
        .until("the lag is told", async || {
            let waiting = scene.heard.waiting.lock();
            waiting
                .iter()
                .any(|told| told.writes == 80 && told.oldest > LIMITS.claim_after)
        })
        .await;
    scene.database.set_mood(Mood::Well);
    scene
        .until("all have arrived", async || scene.database.rows() == 80)
        .await;
    consumers.iter().for_each(tokio::task::JoinHandle::abort);
    assert_eq!(*scene.heard.buried.lock(), []);
    assert_nothing_is_missing(&scene);
}

#[tokio::test]
async fn live_a_write_that_the_database_refuses_goes_to_the_dead_letters_and_its_neighbours_get_through()
 {
    let scene = Scene::new().await;
    let engine = scene.engine(0, LIMITS).await;
    scene.database.refuse(&key(7));
    for n in 0..20 {
        put(&scene, &engine, &key(n), "click").await;
    }
    // Not ours at all, in the middle of the queue.
    redis::cmd("XADD")
        .arg(&[STREAM, "*", "what", "is this"])
        .query_async::<()>(&mut scene.connection().await)
        .await
        .expect("XADD");
    for n in 20..40 {
        put(&scene, &engine, &key(n), "click").await;
    }
    let consumer = consume(&engine, "a");
    scene
        .until("two are buried", async || {
            scene.heard.buried.lock().len() == 2
        })
        .await;
    scene
        .until("the queue is empty", async || {
            scene.number("XLEN", &[STREAM]).await == 0
        })
        .await;
    consumer.abort();

    let mut buried = scene.heard.buried.lock().clone();
    buried.sort();
    let told: Vec<String> = buried
        .iter()
        .map(|(key, reason)| format!("{key:?}: {reason}"))
        .collect();
    insta::assert_snapshot!(told.join("\n"), @r#"
    None: it cannot be read: it has no field `data_type`
    Some(Key("activity:7")): the test's database answered with an error: a row that no constraint allows
    "#);
    assert_eq!(scene.database.rows(), 39);
    // Never lost: the value stands in the dead letters, with its place, reason and deliveries.
    let letters: redis::streams::StreamRangeReply = redis::cmd("XRANGE")
        .arg(&[DEAD, "-", "+"])
        .query_async(&mut scene.connection().await)
        .await
        .expect("XRANGE");
    assert_eq!(letters.ids.len(), 2);
    let letter = letters
        .ids
        .iter()
        .find(|letter| letter.get::<String>("key").as_deref() == Some("activity:7"))
        .expect("the refused write");
    assert_eq!(letter.get::<String>("value").as_deref(), Some("click"));
    assert_eq!(letter.get::<u32>("deliveries"), Some(LIMITS.max_deliveries));
    // And the oracle tells it from a lost one.
    scene
        .oracle
        .buried(Some(&key(7)), Some(Version(u64::MAX)), "as heard");
    let found = scene.oracle.finding(None);
    assert_eq!(found.violations, 1);
    assert_eq!(
        found.worst,
        "1 are in the dead letters, such as activity:7: as heard"
    );
}

#[tokio::test]
async fn live_a_write_that_kills_its_consumers_dies_alone() {
    let scene = Scene::new().await;
    let engine = scene.engine(0, LIMITS).await;
    scene.database.kill_with(&key(3));
    for n in 0..10 {
        put(&scene, &engine, &key(n), "click").await;
    }
    // Each life of the consumer ends when the database begins with the deadly write.
    let mut lives = 0;
    while scene.heard.buried.lock().is_empty() {
        lives += 1;
        assert!(lives < 20, "it would never end");
        let dying = scene.database.dying();
        let consumer = consume(&engine, "a");
        scene
            .until("it dies or buries", async || {
                scene.database.dying() > dying || !scene.heard.buried.lock().is_empty()
            })
            .await;
        consumer.abort();
    }
    assert!(engine.drain("a", Duration::from_secs(10)).await);
    assert_eq!(scene.database.dying(), LIMITS.max_deliveries as usize);
    let buried = scene.heard.buried.lock().clone();
    assert_eq!(buried.len(), 1, "{buried:?}");
    assert_eq!(buried[0].0, Some(key(3)));
    insta::assert_snapshot!(buried[0].1, @"delivered 4 times, and no consumer survived it");
    assert_eq!(scene.database.rows(), 9, "its neighbours got through");
}

#[tokio::test]
async fn live_a_full_queue_has_the_database_commit_at_once_and_in_order() {
    let scene = Scene::new().await;
    let limits = WriteBehind {
        queue_max: 10,
        ..LIMITS
    };
    let engine = scene.engine(0, limits).await;
    for _ in 0..10 {
        put(&scene, &engine, &key(1), "queued").await;
    }
    let written = engine
        .put(ACTIVITY, &key(1), Bytes::from("at once"))
        .await
        .expect("committed");
    assert_eq!(written.layer, Layer::Origin);
    assert_eq!(scene.heard.full.load(Ordering::SeqCst), 1);
    assert_eq!(scene.number("XLEN", &[STREAM]).await, 10, "never above");
    assert_eq!(scene.database.value(&key(1)), Some(Bytes::from("at once")));
    let read = engine.get(ACTIVITY, &key(1)).await.expect("an answer");
    assert_eq!(
        (read.layer, read.entry.row.value),
        (Layer::Remote, Some(Bytes::from("at once")))
    );

    // What was queued before comes later, and must not win.
    assert!(engine.drain("a", Duration::from_secs(10)).await);
    assert_eq!(scene.database.value(&key(1)), Some(Bytes::from("at once")));
    assert_eq!(scene.database.version(&key(1)), Some(written.version));
    // And what is queued after it must.
    let later = put(&scene, &engine, &key(1), "later").await;
    assert!(later > written.version);
    assert!(engine.drain("a", Duration::from_secs(10)).await);
    assert_eq!(scene.database.value(&key(1)), Some(Bytes::from("later")));
}

#[tokio::test]
async fn live_a_full_queue_refuses_if_it_is_to() {
    let scene = Scene::new().await;
    let limits = WriteBehind {
        queue_max: 3,
        on_full: OnFull::Refuse,
        ..LIMITS
    };
    let engine = scene.engine(0, limits).await;
    for n in 0..3 {
        put(&scene, &engine, &key(n), "queued").await;
    }
    let refused = engine.put(ACTIVITY, &key(9), Bytes::from("no")).await;
    let Err(EngineError::Remote(LayerError::Busy(..))) = &refused else {
        panic!("{refused:?}");
    };
    insta::assert_snapshot!(refused.expect_err("refused"), @"the remote layer failed: the queue of write-behind has no room: 3 writes wait already");
    let unseen = engine.get(ACTIVITY, &key(9)).await.expect("an answer");
    assert_eq!(
        unseen.entry.row.value, None,
        "refused, and yet in the cache"
    );
    assert!(engine.drain("a", Duration::from_secs(10)).await);
    put(&scene, &engine, &key(9), "now").await;
    assert!(engine.drain("a", Duration::from_secs(10)).await);
    assert_nothing_is_missing(&scene);
}

#[tokio::test]
async fn live_the_last_accepted_write_of_a_key_is_the_last_in_the_database() {
    let scene = Scene::new().await;
    let engines = [scene.engine(0, LIMITS).await, scene.engine(1, LIMITS).await];
    let consumers = [consume(&engines[0], "a"), consume(&engines[1], "b")];
    let mut newest: Vec<(Version, String)> = vec![(Version(0), String::new()); 5];
    for round in 0..40 {
        // At once, over both engines; keys change hands.
        let writes = (0..20).map(|n| {
            let (engine, value) = (&engines[(n + round) % 2], format!("{round}/{n}"));
            let scene = &scene;
            async move {
                let version = put(scene, engine, &key(n % 5), &value).await;
                (n % 5, version, value)
            }
        });
        for (at, version, value) in futures_util::future::join_all(writes).await {
            assert_ne!(version, newest[at].0, "two writes of a key in one version");
            if version > newest[at].0 {
                newest[at] = (version, value);
            }
        }
    }
    scene
        .until("the queue is empty", async || {
            scene.number("XLEN", &[STREAM]).await == 0
        })
        .await;
    consumers.iter().for_each(tokio::task::JoinHandle::abort);
    for (at, (version, value)) in newest.into_iter().enumerate() {
        assert_eq!(scene.database.version(&key(at)), Some(version));
        assert_eq!(scene.database.value(&key(at)), Some(Bytes::from(value)));
    }
    assert_nothing_is_missing(&scene);
}

/// Planted: a queue that is lost is noticed, and the oracle says what is missing.
#[tokio::test]
async fn live_a_queue_that_vanishes_is_noticed() {
    let scene = Scene::new().await;
    let limits = WriteBehind {
        batch: 10,
        ..LIMITS
    };
    let engine = scene.engine(0, limits).await;
    scene.database.set_mood(Mood::Away);
    for n in 0..30 {
        put(&scene, &engine, &key(n), "click").await;
    }
    let consumer = consume(&engine, "a");
    scene
        .until("it holds a batch and has looked", async || {
            let waiting = scene.heard.waiting.lock();
            scene.database.batches() > 1 && waiting.iter().any(|told| told.writes == 30)
        })
        .await;
    redis::cmd("FLUSHALL")
        .query_async::<()>(&mut scene.connection().await)
        .await
        .expect("FLUSHALL");
    scene
        .until("the loss is told", async || {
            scene.heard.lost.load(Ordering::SeqCst) > 0
        })
        .await;
    // What the consumer held is saved; the rest is lost, and the oracle says so.
    scene.database.set_mood(Mood::Well);
    scene
        .until("the saved arrive", async || scene.database.rows() == 10)
        .await;
    put(&scene, &engine, &key(99), "after").await;
    scene
        .until("the queue is used again", async || {
            scene.database.value(&key(99)).is_some()
        })
        .await;
    consumer.abort();
    assert_eq!(scene.heard.lost.load(Ordering::SeqCst), 20);
    let found = scene.oracle.finding(None);
    assert_eq!(found.violations, 20);
    assert!(
        found
            .worst
            .starts_with("20 of 31 accepted writes are not in the database"),
        "{}",
        found.worst
    );
}

#[tokio::test]
async fn live_a_queue_has_no_ttl_while_anything_waits_in_it() {
    let scene = Scene::new().await;
    let engine = scene.engine(0, LIMITS).await;
    for round in 0..2 {
        put(&scene, &engine, &key(round), "click").await;
        let ttl: i64 = redis::cmd("PTTL")
            .arg(STREAM)
            .query_async(&mut scene.connection().await)
            .await
            .expect("PTTL");
        assert_eq!(
            ttl, -1,
            "it could expire, or be evicted by a volatile policy"
        );
        assert!(engine.drain("a", Duration::from_secs(10)).await);
        assert!(
            scene.number("PTTL", &[STREAM]).await > 0,
            "it would stay for ever"
        );
    }
}

#[tokio::test]
async fn live_a_store_that_is_about_to_evict_the_queue_is_told() {
    let scene = Scene::with_memory(Some(ByteSize(4 << 20))).await;
    let engine = scene.engine(0, LIMITS).await;
    put(&scene, &engine, &key(0), "click").await;
    let consumer = consume(&engine, "a");
    scene
        .until("the first look", async || {
            !scene.heard.waiting.lock().is_empty()
        })
        .await;
    assert!(
        !scene.heard.waiting.lock()[0].may_be_evicted,
        "nearly empty"
    );
    let mut connection = scene.connection().await;
    let stuffing = "x".repeat(64 << 10);
    for n in 0..80 {
        redis::cmd("SET")
            .arg(format!("stuffing:{n}"))
            .arg(&stuffing)
            .query_async::<()>(&mut connection)
            .await
            .expect("SET");
    }
    scene
        .until("the risk is told", async || {
            let waiting = scene.heard.waiting.lock();
            waiting.last().is_some_and(|told| told.may_be_evicted)
        })
        .await;
    consumer.abort();
}
