//! Warming over several instances and a real Redis, and through the command: who loads, how much at
//! once, and what the first users meet.

use std::sync::Arc;
use std::time::Duration;

use cachestorm::engine::data_type::{DataType, DataTypeId, Key, Strategy};
use cachestorm::engine::layer::{Origin as _, Outcome, is_hit};
use cachestorm::engine::warming::{Warming, Warmth};
use serde_json::Value;

use crate::support::program::report_of;
use crate::support::scene::Scene;

const ITEM: DataTypeId = DataTypeId(0);

/// One data type, kept in both layers for `ttl`.
async fn scene(ttl: Duration) -> Scene {
    let key = "item:{id}".parse().expect("a key pattern");
    let mut item = DataType::new("item", key, Strategy::CacheAside, ttl);
    item.local_ttl = Some(ttl);
    Scene::new(vec![item]).await
}

fn keys(count: usize) -> Vec<(DataTypeId, Key)> {
    (0..count)
        .map(|n| (ITEM, Key::new(format!("item:{n}"))))
        .collect()
}

fn warming(count: usize) -> Warming {
    Warming {
        popular: Arc::new(keys(count)),
        concurrency: 8,
        every: None,
        limit: Duration::from_mins(1),
    }
}

/// A thousand keys, three instances at once, eight loads: the bound is one of all instances, no key
/// is loaded twice, and afterwards each instance has all of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_three_instances_warm_a_thousand_keys_with_eight_loads_at_once() {
    let scene = scene(Duration::from_mins(5)).await;
    let mut rounds = Vec::new();
    let mut engines = Vec::new();
    for number in 0..3 {
        let engine = scene.instance(number).await;
        engines.push(Arc::clone(&engine));
        rounds.push(tokio::spawn(
            async move { engine.warm(&warming(1_000)).await },
        ));
    }
    let mut sum = Warmth::default();
    for round in rounds {
        sum.add(&round.await.expect("no panic"));
    }
    assert_eq!((sum.loaded, sum.found), (1_000, 2_000), "{sum:?}");
    let stats = scene.database.stats();
    assert!(stats.peak_connections <= 8, "{}", stats.peak_connections);
    assert_eq!(stats.flights.origin_loads_per_flight_max(), 1);
    for engine in &engines {
        for (data_type, key) in keys(1_000) {
            let answer = engine.get(data_type, &key).await.expect("an answer");
            assert_eq!(answer.outcome, Outcome::Hit, "{key}");
        }
    }
    assert_eq!(scene.loads(), 1_000);
}

/// An instance that dies while it warms does not keep the others from it for longer than its lock.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_a_round_that_was_given_up_lets_the_next_instance_begin() {
    let scene = scene(Duration::from_mins(5)).await;
    let (dying, next) = (scene.instance(0).await, scene.instance(1).await);
    let round = tokio::spawn(async move { dying.warm(&warming(100_000)).await });
    let deadline = scene.clock.now() + Duration::from_secs(10);
    while scene.loads() < 20 {
        assert!(scene.clock.now() < deadline, "it does not begin");
        scene.clock.sleep(Duration::from_millis(5)).await;
    }
    round.abort();
    let warmth = next.warm(&warming(50)).await;
    assert_eq!(warmth.skipped, 0, "{warmth:?}");
    assert_eq!(warmth.loaded + warmth.found, 50);
}

/// Entries of two seconds, rounds of a second: for four lifetimes no reader ever misses.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_periodic_rounds_renew_entries_before_they_end() {
    let scene = scene(Duration::from_secs(3)).await;
    let (first, second) = (scene.instance(0).await, scene.instance(1).await);
    let periodic = Warming {
        every: Some(Duration::from_secs(1)),
        ..warming(20)
    };
    first.warm(&periodic).await;
    for engine in [&first, &second] {
        let (engine, periodic) = (Arc::clone(engine), periodic.clone());
        tokio::spawn(async move { engine.keep_warm(&periodic, true).await });
    }
    let end = scene.clock.now() + Duration::from_secs(8);
    while scene.clock.now() < end {
        for engine in [&first, &second] {
            for (data_type, key) in keys(20) {
                let answer = engine.get(data_type, &key).await.expect("an answer");
                let hit = is_hit(answer.outcome, answer.layer);
                assert!(hit, "{key}: {:?}", answer.outcome);
            }
        }
        scene.clock.sleep(Duration::from_millis(50)).await;
    }
    let loads = scene.loads();
    assert!(loads >= 40, "renewed at least twice: {loads} loads");
    // Not by each instance, and not in every round: an entry is renewed when it must be.
    assert!(loads <= 20 * 9, "{loads} loads");
}

/// Without Redis each instance goes alone and is none the worse.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_a_dead_redis_does_not_stop_the_warming() {
    let scene = scene(Duration::from_mins(5)).await;
    let engine = scene.instance(0).await;
    let Scene {
        redis, database, ..
    } = scene;
    redis.stop().await.expect("it ends");
    let warmth = engine.warm(&warming(30)).await;
    assert_eq!((warmth.loaded, warmth.failed), (30, 0), "{warmth:?}");
    let row = database.load(ITEM, &Key::new("item:1")).await;
    assert!(row.is_ok_and(|row| row.value.is_some()));
}

/// `scenarios/deployment.yaml`, shorter and smaller.
fn run(more: &[&str]) -> Value {
    let smaller = [
        "--users=150",
        "--set=traffic.think_time=100ms..300ms",
        "--set=traffic.phases.first-seconds.for=2s",
        "--set=traffic.phases.after.for=3s",
        "--set=warming.keys={ product: 300, customer: 200 }",
        "--set=warming.target_hit_ratio=70%",
        "--set=variants=none",
    ];
    report_of(
        "run",
        "scenarios/deployment.yaml",
        &[&smaller, more].concat(),
    )
}

#[test]
fn live_a_warmed_start_reaches_the_target_before_a_cold_one() {
    let warm = run(&[]);
    let cold = run(&["--set", "warming.at_start=false"]);
    let number = |report: &Value, path: &str| report.pointer(path).and_then(Value::as_f64);
    let first = |report: &Value| number(report, "/phases/0/hit_ratio").expect("reads");
    assert!(
        first(&warm) > first(&cold) + 0.1,
        "warm {}, cold {}",
        first(&warm),
        first(&cold)
    );
    let reached = |report: &Value| number(report, "/warming/time_to_target_s");
    let warm_after = reached(&warm).expect("the target is reached");
    assert!(reached(&cold).is_none_or(|cold| cold >= warm_after));
    let product = |name: &str| {
        let path = format!("/warming/data_types/product/{name}");
        number(&warm, &path).expect("a count")
    };
    assert_eq!((product("loaded"), product("found")), (300.0, 600.0));
    assert_eq!(number(&warm, "/warming/rounds"), Some(3.0));
    assert_eq!(number(&cold, "/warming/rounds"), Some(0.0));
    for report in [&warm, &cold] {
        let oracles = report["oracles"].as_object().expect("oracles");
        for (name, oracle) in oracles {
            assert_eq!(oracle["violations"], 0, "{name}: {oracle}");
        }
    }
}
