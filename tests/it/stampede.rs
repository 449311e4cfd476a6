//! Many readers of one key, over several instances and a real Redis: who loads, who waits, and what
//! is left behind.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use cachestorm::engine::data_type::{
    Consistency, DataType, DataTypeId, Invalidation, Key, PolicyTable, Stampede, Strategy,
};
use cachestorm::engine::layer::{Layer, Outcome};

use crate::support::{Stage, TestEngine};

const ITEM: DataTypeId = DataTypeId(0);
const READERS: usize = 200;

/// One data type that only the remote layer holds, so that every read is a question to Redis.
fn item(change: impl FnOnce(&mut DataType)) -> PolicyTable {
    let key = "item:{id}".parse().expect("a key pattern");
    let mut item = DataType::new("item", key, Strategy::CacheAside, Duration::from_mins(5));
    item.invalidation = Invalidation::Event;
    change(&mut item);
    PolicyTable::new(vec![item])
}

async fn three(stage: &Stage) -> [Arc<TestEngine>; 3] {
    [
        stage.instance(0).await,
        stage.instance(1).await,
        stage.instance(2).await,
    ]
}

/// How often the origin was asked, and how the readers' reads ended. The loads end when `at_least` so
/// many have begun.
async fn storm(stampede: Stampede, at_least: usize) -> (usize, BTreeMap<&'static str, usize>) {
    let stage = Stage::with_policies(item(|item| item.stampede = stampede)).await;
    let engines = three(&stage).await;
    // The first read learns which generations count, which takes the flights under way apart.
    for engine in &engines {
        let first = engine.get(ITEM, &Key::new("item:0")).await;
        first.expect("an answer");
    }
    let earlier = stage.origin.loads();
    let key = Key::new("item:1");
    stage.origin.set(key.as_str(), Some("Ada"));
    stage.origin.hold_loads();
    let readers: Vec<_> = (0..READERS * engines.len())
        .map(|n| {
            let (engine, key) = (Arc::clone(&engines[n % engines.len()]), key.clone());
            tokio::spawn(async move { engine.get(ITEM, &key).await })
        })
        .collect();
    // All who load have begun when their number grows no more.
    let mut before = 0;
    stage
        .until(async || {
            stage.clock.sleep(Duration::from_millis(200)).await;
            let now = stage.origin.loads() - earlier;
            now >= at_least && now == std::mem::replace(&mut before, now)
        })
        .await;
    stage.origin.release_loads();
    let mut outcomes = BTreeMap::new();
    for reader in readers {
        let answer = reader.await.expect("no panic").expect("an answer");
        assert_eq!(answer.entry.row.value.as_deref(), Some(&b"Ada"[..]));
        *outcomes.entry(answer.outcome.name()).or_default() += 1;
    }
    (stage.origin.loads() - earlier, outcomes)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_each_means_loads_as_often_as_it_promises() {
    let expected = [
        (Stampede::None, READERS * 3),
        (Stampede::SingleFlight, 3),
        (Stampede::AdrLock, 1),
        (Stampede::Lock, 1),
        (Stampede::Lease, 1),
        (Stampede::EarlyRefresh { beta: 1.0 }, 3),
        (Stampede::StaleWhileRevalidate, 3),
    ];
    for (stampede, loads) in expected {
        let (loaded, outcomes) = storm(stampede, loads).await;
        assert_eq!(loaded, loads, "{stampede:?}: {outcomes:?}");
        assert_eq!(outcomes.values().sum::<usize>(), READERS * 3);
        assert_eq!(outcomes["miss"], loads, "{stampede:?}: {outcomes:?}");
    }
}

/// A load reads the old row, a write commits and invalidates, and only then does the load fill.
async fn overtake(stage: &Stage, key: &Key, reader: &Arc<TestEngine>, writer: &TestEngine) {
    stage.origin.set(key.as_str(), Some("old"));
    stage.origin.hold_loads();
    let loads = stage.origin.loads();
    let slow = tokio::spawn({
        let (reader, key) = (Arc::clone(reader), key.clone());
        async move { reader.get(ITEM, &key).await }
    });
    stage.until(async || stage.origin.loads() > loads).await;
    writer
        .put(ITEM, key, Bytes::from("new"))
        .await
        .expect("a commit");
    stage.origin.release_loads();
    slow.await.expect("no panic").expect("an answer");
}

#[tokio::test]
async fn live_a_write_takes_the_lease_away() {
    let stage = Stage::with_policies(item(|item| item.stampede = Stampede::Lease)).await;
    let [reader, writer, other] = three(&stage).await;
    let key = Key::new("item:2");
    overtake(&stage, &key, &reader, &writer).await;
    assert_eq!(stage.told.refused_fills.load(Ordering::SeqCst), 1);
    for engine in [&other, &reader, &writer] {
        let answer = engine.get(ITEM, &key).await.expect("an answer");
        assert_eq!(answer.entry.row.value.as_deref(), Some(&b"new"[..]));
    }
}

/// The control: the ADR's `setex` and `delete` under the same race leave the old value behind.
#[tokio::test]
async fn live_naive_consistency_has_the_race_that_versions_have_not() {
    for (consistency, left_behind) in [(Consistency::Naive, "old"), (Consistency::Versioned, "new")]
    {
        let stage = Stage::with_policies(item(|item| item.consistency = consistency)).await;
        let [reader, writer, other] = three(&stage).await;
        let key = Key::new("item:3");
        overtake(&stage, &key, &reader, &writer).await;
        let answer = other.get(ITEM, &key).await.expect("an answer");
        let seen = answer.entry.row.value.expect("a value");
        assert_eq!(seen, Bytes::from(left_behind), "{consistency:?}");
    }
}

#[tokio::test]
async fn live_waiters_go_on_when_the_holder_of_a_lock_or_lease_dies() {
    for stampede in [Stampede::Lock, Stampede::Lease] {
        let stage = Stage::with_policies(item(|item| item.stampede = stampede)).await;
        let [dying, waiting, _] = three(&stage).await;
        let key = Key::new("item:4");
        stage.origin.set(key.as_str(), Some("Ada"));
        stage.origin.hold_loads();
        let holder = tokio::spawn({
            let (dying, key) = (Arc::clone(&dying), key.clone());
            async move { dying.get(ITEM, &key).await }
        });
        stage.until(async || stage.origin.loads() == 1).await;
        holder.abort();
        stage.origin.release_loads();
        let answer = waiting.get(ITEM, &key).await.expect("an answer");
        assert_eq!(
            answer.outcome,
            Outcome::Miss,
            "{stampede:?}: it loads at its deadline"
        );
    }
}

#[tokio::test]
async fn live_past_its_ttl_an_entry_is_served_while_one_reader_loads_anew() {
    let policies = item(|item| {
        item.ttl = Duration::from_millis(200);
        item.stampede = Stampede::StaleWhileRevalidate;
        item.serve_stale = Some(Duration::from_mins(1));
    });
    let stage = Stage::with_policies(policies).await;
    let [first, second, _] = three(&stage).await;
    let key = Key::new("item:5");
    stage.origin.set(key.as_str(), Some("old"));
    first.get(ITEM, &key).await.expect("an answer");
    // Behind the cache's back: only a load can tell.
    stage.origin.set(key.as_str(), Some("new"));
    stage.clock.sleep(Duration::from_millis(250)).await;
    stage.origin.hold_loads();
    for engine in [&first, &second, &first] {
        let answer = engine.get(ITEM, &key).await.expect("an answer");
        assert_eq!(
            (answer.outcome, answer.layer),
            (Outcome::StaleHit, Layer::Remote)
        );
        assert_eq!(answer.entry.row.value.as_deref(), Some(&b"old"[..]));
    }
    stage.until(async || stage.origin.loads() == 2).await;
    stage.origin.release_loads();
    stage
        .until(async || {
            let answer = second.get(ITEM, &key).await.expect("an answer");
            answer.entry.row.value.as_deref() == Some(&b"new"[..])
        })
        .await;
}

#[tokio::test]
async fn live_a_stale_answer_is_better_than_an_error_within_its_bound() {
    let policies = item(|item| {
        item.ttl = Duration::from_millis(100);
        item.serve_stale = Some(Duration::from_millis(900));
    });
    let stage = Stage::with_policies(policies).await;
    let [engine, ..] = three(&stage).await;
    let key = Key::new("item:6");
    stage.origin.set(key.as_str(), Some("Ada"));
    engine.get(ITEM, &key).await.expect("an answer");
    stage.origin.break_down();
    stage.clock.sleep(Duration::from_millis(150)).await;
    let answer = engine.get(ITEM, &key).await.expect("a stale answer");
    assert_eq!(
        (answer.outcome, answer.layer),
        (Outcome::StaleHit, Layer::Remote)
    );
    stage.clock.sleep(Duration::from_secs(1)).await;
    assert!(
        engine.get(ITEM, &key).await.is_err(),
        "stale for longer than allowed"
    );
}

#[tokio::test]
async fn live_an_entry_is_loaded_anew_before_its_ttl_ends() {
    let policies = item(|item| {
        item.ttl = Duration::from_secs(2);
        item.stampede = Stampede::EarlyRefresh { beta: 1.0 };
    });
    let stage = Stage::with_policies(policies).await;
    let [engine, ..] = three(&stage).await;
    let key = Key::new("item:7");
    stage.origin.set(key.as_str(), Some("Ada"));
    stage.origin.hold_loads();
    let cold = tokio::spawn({
        let (engine, key) = (Arc::clone(&engine), key.clone());
        async move { engine.get(ITEM, &key).await }
    });
    stage.until(async || stage.origin.loads() == 1).await;
    // The load takes long, so that it is worth to load early.
    stage.clock.sleep(Duration::from_millis(300)).await;
    stage.origin.release_loads();
    cold.await.expect("no panic").expect("an answer");
    let end = stage.clock.now() + Duration::from_millis(1_950);
    while stage.origin.loads() == 1 {
        assert!(stage.clock.now() < end, "not loaded anew before its end");
        let answer = engine.get(ITEM, &key).await.expect("an answer");
        assert_eq!(
            (answer.outcome, answer.layer),
            (Outcome::Hit, Layer::Remote)
        );
        stage.clock.sleep(Duration::from_millis(1)).await;
    }
}
