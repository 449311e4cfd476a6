//! Rounds of warming in paused time, over a local layer and an origin that counts.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use proptest::prelude::{ProptestConfig, proptest};

use super::*;
use crate::clock::Clock;
use crate::engine::Surroundings;
use crate::engine::data_type::{Limit, PolicyTable};
use crate::engine::event::Unobserved;
use crate::engine::layer::{Admission, LayerError, QueuedWrite, Row, Version};
use crate::engine::local::{LocalConfig, LocalPolicy};
use crate::engine::remote::none::NoRemote;
use crate::seed::Seed;

const ITEM: DataTypeId = DataTypeId(0);
const UNABLE: LayerError = LayerError::Unsupported("the test's origin", "this");

/// Takes a while for each load, and counts.
struct Slow {
    clock: Clock,
    load_time: Duration,
    at_once: AtomicUsize,
    at_once_max: AtomicUsize,
    loads: Mutex<HashMap<Key, u32>>,
    /// Keys whose loads fail.
    broken: Vec<Key>,
}

impl Origin for Arc<Slow> {
    async fn load(&self, _: DataTypeId, key: &Key) -> Result<Row, LayerError> {
        *self.loads.lock().entry(key.clone()).or_default() += 1;
        let now = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
        self.at_once_max.fetch_max(now, Ordering::SeqCst);
        self.clock.sleep(self.load_time).await;
        self.at_once.fetch_sub(1, Ordering::SeqCst);
        if self.broken.contains(key) {
            return Err(UNABLE);
        }
        Ok(Row {
            value: Some(Bytes::from_static(b"x")),
            version: Version(1),
            committed_at: self.clock.now(),
            as_of: Version(1),
        })
    }

    async fn store(&self, _: DataTypeId, _: &Key, _: Bytes) -> Result<Row, LayerError> {
        Err(UNABLE)
    }

    async fn store_batch(&self, _: &[QueuedWrite]) -> Result<(), LayerError> {
        Err(UNABLE)
    }

    async fn admit(&self, _: DataTypeId, _: &Key, _: Limit) -> Result<Admission, LayerError> {
        Err(UNABLE)
    }
}

fn keys(count: usize) -> Vec<(DataTypeId, Key)> {
    (0..count)
        .map(|n| (ITEM, Key::new(format!("item:{n}"))))
        .collect()
}

fn warming(keys: Vec<(DataTypeId, Key)>, concurrency: usize) -> Warming {
    Warming {
        popular: Arc::new(keys),
        concurrency,
        every: None,
        limit: Duration::from_mins(10),
    }
}

/// An instance whose entries live for a minute, and its origin, whose loads take 10 ms.
fn instance(broken: &[&str]) -> (Engine<NoRemote, Arc<Slow>>, Arc<Slow>) {
    let clock = Clock::real();
    let key = "item:{id}".parse().expect("a key pattern");
    let mut item = DataType::new("item", key, Strategy::CacheAside, Duration::from_mins(1));
    item.local_ttl = Some(Duration::from_mins(1));
    let origin = Arc::new(Slow {
        clock: clock.clone(),
        load_time: Duration::from_millis(10),
        at_once: AtomicUsize::new(0),
        at_once_max: AtomicUsize::new(0),
        loads: Mutex::default(),
        broken: broken.iter().map(|key| Key::new(*key)).collect(),
    });
    let local = LocalConfig {
        entries: 10_000,
        bytes: None,
        policy: LocalPolicy::default(),
    };
    let surroundings = Surroundings {
        clock,
        seed: Seed(3),
        observer: Arc::new(Unobserved),
        instance: 0,
    };
    let policies = Arc::new(PolicyTable::new(vec![item]));
    let engine = Engine::new(
        policies,
        Some(local),
        None,
        Arc::clone(&origin),
        surroundings,
    );
    (engine, origin)
}

#[tokio::test(start_paused = true)]
async fn a_thousand_keys_are_loaded_by_eight_at_once_and_then_found() {
    let (engine, origin) = instance(&[]);
    let warming = warming(keys(1_000), 8);
    let first = engine.warm(&warming).await;
    assert_eq!((first.loaded, first.keys()), (1_000, 1_000));
    assert_eq!(origin.at_once_max.load(Ordering::SeqCst), 8);
    let second = engine.warm(&warming).await;
    assert_eq!((second.found, second.keys()), (1_000, 1_000));
    assert!(origin.loads.lock().values().all(|loads| *loads == 1));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_loaded_stops_nobody() {
    let (engine, _) = instance(&["item:1", "item:5"]);
    let warmth = engine.warm(&warming(keys(9), 2)).await;
    assert_eq!((warmth.loaded, warmth.failed), (7, 2));
}

#[tokio::test(start_paused = true)]
async fn a_round_ends_at_its_limit_and_tells_what_it_left_out() {
    let (engine, origin) = instance(&[]);
    let mut warming = warming(keys(100), 1);
    warming.limit = Duration::from_millis(305);
    let began = engine.clock().now();
    let warmth = engine.warm(&warming).await;
    assert!(engine.clock().now().since(began) <= Duration::from_millis(310));
    assert_eq!(warmth.keys(), 100);
    // A tick of the timer lies between two loads.
    assert!((20..=30).contains(&warmth.loaded), "{warmth:?}");
    assert_eq!(warmth.skipped, 100 - warmth.loaded);
    assert!(origin.loads.lock().len() <= 31);
}

#[tokio::test(start_paused = true)]
async fn periodic_rounds_renew_what_would_end_before_the_next() {
    let (engine, origin) = instance(&[]);
    let mut warming = warming(keys(20), 4);
    warming.every = Some(Duration::from_secs(30));
    let watching = async {
        // After the first round, and for ten lifetimes of an entry, nobody ever misses.
        engine.clock().sleep(Duration::from_secs(1)).await;
        for _ in 0..600 {
            for (data_type, key) in keys(20) {
                let answer = engine.get(data_type, &key).await.expect("an answer");
                assert_eq!(answer.outcome, Outcome::Hit, "{key}");
            }
            engine.clock().sleep(Duration::from_secs(1)).await;
        }
    };
    tokio::select! {
        () = watching => {}
        () = engine.keep_warm(&warming, true) => unreachable!("it has a period"),
    }
    let loads = origin.loads.lock().clone();
    assert!(
        loads.values().all(|loads| (10..=24).contains(loads)),
        "{loads:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn without_a_period_there_is_one_round_at_start_or_none() {
    let (engine, origin) = instance(&[]);
    engine.keep_warm(&warming(keys(5), 2), false).await;
    assert!(origin.loads.lock().is_empty());
    engine.keep_warm(&warming(keys(5), 2), true).await;
    assert_eq!(origin.loads.lock().len(), 5);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn the_bound_holds_and_every_key_is_told_once(
        count in 0usize..60, concurrency in 0usize..20, broken in 0usize..60, limit_ms in 0u64..200,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let (engine, origin) = instance(&[&format!("item:{broken}")]);
            let mut warming = warming(keys(count), concurrency);
            warming.limit = Duration::from_millis(limit_ms);
            let warmth = engine.warm(&warming).await;
            let most = origin.at_once_max.load(Ordering::SeqCst);
            assert!(most <= concurrency.max(1), "{most}");
            assert_eq!(warmth.keys(), count as u64);
        });
    }
}
