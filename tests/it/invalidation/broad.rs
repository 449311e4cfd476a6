//! Many keys at once: a pattern, a data type, by generation and by scan.

use std::sync::Arc;
use std::time::Duration;

use cachestorm::engine::data_type::{DataType, Key, PolicyTable, Stampede, Strategy};
use cachestorm::engine::invalidation::Broadly;
use cachestorm::engine::invalidation::glob::Glob;
use cachestorm::engine::layer::{Layer, Remote, Version};
use cachestorm::engine::{EngineError, EngineError::WrongStrategy};

use super::{Instance, ask, by, instance, remote, settle};
use crate::support::{CUSTOMER, INVENTORY, RATE_LIMIT, Stage};

const BOTH: [Broadly; 2] = [Broadly::Generation, Broadly::Scan];

fn glob(text: &str) -> Glob {
    text.parse().expect(text)
}

/// Customers 10 to 29 and what is related to them, 20 stocks: `old`, known to both instances.
async fn fill(stage: &Stage, instances: &[&Instance]) -> (Vec<Key>, Vec<Key>) {
    let customers = (10..30).flat_map(|n| {
        let keys = [format!("customer:360:{n}"), format!("customer:basic:{n}")];
        keys.map(Key::new)
    });
    let customers: Vec<Key> = customers.collect();
    let stocks: Vec<Key> = (10..30)
        .map(|n| Key::new(format!("inventory:{n}")))
        .collect();
    for (data_type, keys) in [(CUSTOMER, &customers), (INVENTORY, &stocks)] {
        for key in keys {
            stage.origin.set(key.as_str(), Some("old"));
            for instance in instances {
                instance.read(data_type, key).await;
            }
        }
    }
    (customers, stocks)
}

#[tokio::test]
async fn live_a_data_type_is_invalidated_on_every_instance_and_nothing_else_is() {
    for broadly in BOTH {
        let stage = Stage::new().await;
        let first = instance(&stage, 0, by(broadly)).await;
        let second = instance(&stage, 1, by(broadly)).await;
        let (customers, stocks) = fill(&stage, &[&first, &second]).await;
        for key in customers.iter().chain(&stocks) {
            stage.origin.set(key.as_str(), Some("new"));
        }
        first
            .engine
            .invalidate_all(CUSTOMER)
            .await
            .expect("invalidated");
        settle(&stage, "test:", &second).await;
        let loads = stage.origin.loads();
        for instance in [&first, &second] {
            for key in &customers {
                let seen = instance.read(CUSTOMER, key).await;
                assert_eq!(seen.as_deref(), Some("new"), "{broadly:?} {key}");
            }
            for key in &stocks {
                let seen = instance.read(INVENTORY, key).await;
                assert_eq!(seen.as_deref(), Some("old"), "{broadly:?} {key}");
            }
        }
        // Each was loaded once: the other instance found the new value in the remote layer.
        assert_eq!(stage.origin.loads() - loads, customers.len(), "{broadly:?}");
    }
}

#[tokio::test]
async fn live_a_pattern_is_invalidated_on_every_instance_and_nothing_else_is() {
    for broadly in BOTH {
        let stage = Stage::new().await;
        let first = instance(&stage, 0, by(broadly)).await;
        let second = instance(&stage, 1, by(broadly)).await;
        let (customers, _) = fill(&stage, &[&first, &second]).await;
        for key in &customers {
            stage.origin.set(key.as_str(), Some("new"));
        }
        let pattern = glob("customer:360:1[0-4]");
        first
            .engine
            .invalidate_pattern(CUSTOMER, pattern.clone())
            .await
            .expect("invalidated");
        settle(&stage, "test:", &second).await;
        for instance in [&first, &second] {
            for key in &customers {
                let expected = if pattern.matches(key.as_str()) {
                    "new"
                } else {
                    "old"
                };
                let seen = instance.read(CUSTOMER, key).await;
                assert_eq!(seen.as_deref(), Some(expected), "{broadly:?} {key}");
            }
        }
    }
}

/// A load reads the old value, everything is invalidated, and only then does the load fill.
/// The control: after a scan the old value is back. The generation keeps it out, and so does a
/// lease, which the scan removes like an entry.
#[tokio::test]
async fn live_a_load_that_the_invalidation_overtook_comes_back_after_a_scan_alone() {
    let cases = [
        (Broadly::Generation, Stampede::SingleFlight, "new"),
        (Broadly::Generation, Stampede::Lease, "new"),
        (Broadly::Generation, Stampede::None, "new"),
        (Broadly::Scan, Stampede::SingleFlight, "old"),
        (Broadly::Scan, Stampede::Lease, "new"),
    ];
    for (broadly, stampede, expected) in cases {
        let item = DataType {
            stampede,
            local_ttl: Some(Duration::from_mins(1)),
            ..DataType::new(
                "item",
                "item:{id}".parse().expect("a key pattern"),
                Strategy::CacheAside,
                Duration::from_mins(5),
            )
        };
        let stage = Stage::with_policies(PolicyTable::new(vec![item])).await;
        let reader = instance(&stage, 0, by(broadly)).await;
        let other = instance(&stage, 1, by(broadly)).await;
        let key = Key::new("item:1");
        stage.origin.set(key.as_str(), Some("old"));
        stage.origin.hold_loads();
        let slow = tokio::spawn({
            let (engine, key) = (Arc::clone(&reader.engine), key.clone());
            async move { engine.get(CUSTOMER, &key).await }
        });
        stage.until(async || stage.origin.loads() == 1).await;
        stage.origin.set(key.as_str(), Some("new"));
        other
            .engine
            .invalidate_all(CUSTOMER)
            .await
            .expect("invalidated");
        settle(&stage, "test:", &reader).await;
        stage.origin.release_loads();
        // The slow reader began before: it may see the old value. Nobody after it may.
        slow.await.expect("no panic").expect("an answer");
        for instance in [&other, &reader] {
            let seen = instance.read(CUSTOMER, &key).await;
            assert_eq!(seen.as_deref(), Some(expected), "{broadly:?} {stampede:?}");
        }
    }
}

/// FACTS, invariant 10: every matching key present throughout the scan is gone. Tombstones, keys of
/// others and keys that only look alike stay.
#[tokio::test]
async fn live_a_scan_removes_what_is_there_throughout_and_nothing_else() {
    let stage = Stage::new().await;
    let sweeper = instance(&stage, 0, by(Broadly::Scan)).await;
    let mut fill = redis::pipe();
    for n in 0..5_000 {
        fill.cmd("SET")
            .arg(format!("test:customer:360:{n}"))
            .arg("e");
        fill.cmd("SET")
            .arg(format!("testing:customer:360:{n}"))
            .arg("e");
    }
    fill.query_async::<()>(&mut stage.connection().await)
        .await
        .expect("SET");
    let [tombstone, look_alike] = ["customer:360:dead", "customer:3600:1"].map(Key::new);
    let raw = remote(&stage, "test:").await;
    raw.invalidate(std::slice::from_ref(&tombstone), Version(7))
        .await
        .expect("a tombstone");
    ask::<()>(&stage, &["SET", &format!("test:{look_alike}"), "e"]).await;
    // Keys come and go meanwhile, and make the table grow.
    let churn = tokio::spawn({
        let mut connection = stage.connection().await;
        async move {
            for n in 0..20_000 {
                redis::cmd("SET")
                    .arg(format!("test:inventory:{n}"))
                    .arg("e")
                    .query_async::<()>(&mut connection)
                    .await
                    .expect("SET");
            }
        }
    });
    sweeper
        .engine
        .invalidate_all(CUSTOMER)
        .await
        .expect("swept");
    churn.abort();
    assert_eq!(sweeper.counts.of("swept"), 5_000);
    let keys: Vec<String> = ask(&stage, &["KEYS", "test:customer:*"]).await;
    assert_eq!(keys.len(), 2, "{keys:?}");
    let others: Vec<String> = ask(&stage, &["KEYS", "testing:*"]).await;
    assert_eq!(others.len(), 5_000);
}

/// The engine matches patterns itself where it does not ask Redis to: both must agree.
#[tokio::test]
async fn live_patterns_mean_what_they_mean_to_redis() {
    use proptest::strategy::{Strategy as _, ValueTree as _};
    use proptest::test_runner::TestRunner;
    let stage = Stage::new().await;
    let mut runner = TestRunner::deterministic();
    let mut draw = |pattern: &'static str| {
        let strategy = proptest::string::string_regex(pattern).expect("a regex");
        strategy.new_tree(&mut runner).expect("a text").current()
    };
    let keys: Vec<String> = (0..300).map(|_| draw("[ab:\\]\\[^*-]{1,5}")).collect();
    let mut fill = redis::pipe();
    for key in &keys {
        fill.cmd("SET").arg(key).arg("");
    }
    let mut connection = stage.connection().await;
    fill.query_async::<()>(&mut connection).await.expect("SET");
    let mut matched = 0;
    for _ in 0..500 {
        let pattern = draw("[ab:*?\\[\\]^\\\\-]{1,7}");
        let theirs: Vec<String> = redis::cmd("KEYS")
            .arg(&pattern)
            .query_async(&mut connection)
            .await
            .expect("KEYS");
        let pattern = glob(&pattern);
        for key in &keys {
            let ours = pattern.matches(key);
            assert_eq!(ours, theirs.contains(key), "{pattern} against {key}");
            matched += usize::from(ours);
        }
    }
    assert!(matched > 500, "patterns that match nothing show nothing");
}

#[tokio::test]
async fn live_a_counter_has_nothing_to_invalidate() {
    let stage = Stage::new().await;
    let instance = instance(&stage, 0, by(Broadly::Generation)).await;
    let refused = instance.engine.invalidate_all(RATE_LIMIT).await;
    assert!(matches!(refused, Err(WrongStrategy { .. })), "{refused:?}");
}

/// When the remote layer cannot be told, the caller knows, this instance serves nothing old from
/// its memory, and everybody follows as soon as Redis is back.
#[tokio::test]
async fn live_what_redis_could_not_be_told_it_is_told_later() {
    let stage = Stage::new().await;
    let first = instance(&stage, 0, by(Broadly::Generation)).await;
    let second = instance(&stage, 1, by(Broadly::Generation)).await;
    let key = Key::new("customer:360:1");
    stage.origin.set(key.as_str(), Some("old"));
    for instance in [&first, &second] {
        instance.read(CUSTOMER, &key).await;
    }
    // Redis answers, but runs no scripts.
    ask::<()>(&stage, &["ACL", "SETUSER", "default", "-evalsha", "-eval"]).await;
    stage.origin.set(key.as_str(), Some("new"));
    let told = first.engine.invalidate_all(CUSTOMER).await;
    assert!(matches!(told, Err(EngineError::Remote(_))), "{told:?}");
    let answer = first.engine.get(CUSTOMER, &key).await.expect("an answer");
    assert_eq!(answer.layer, Layer::Origin);
    assert_eq!(second.read(CUSTOMER, &key).await.as_deref(), Some("old"));
    ask::<()>(&stage, &["ACL", "SETUSER", "default", "+evalsha", "+eval"]).await;
    stage
        .until(async || second.read(CUSTOMER, &key).await.as_deref() == Some("new"))
        .await;
}
