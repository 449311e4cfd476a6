//! Generations when notices are lost, when Redis forgets, and when an instance is new.

use std::time::Duration;

use cachestorm::engine::data_type::Key;
use cachestorm::engine::invalidation::InvalidationConfig;
use cachestorm::engine::invalidation::markers::Scope;
use cachestorm::engine::layer::{Generation, Remote};

use super::{ask, config, deaf_instance, instance, remote};
use crate::support::{CUSTOMER, Stage};

fn two_keys(stage: &Stage) -> [Key; 2] {
    let keys = ["customer:360:1", "customer:360:2"].map(Key::new);
    for key in &keys {
        stage.origin.set(key.as_str(), Some("old"));
    }
    keys
}

#[tokio::test]
async fn live_a_lost_notice_does_not_keep_the_old_generation_alive() {
    let stage = Stage::new().await;
    let reader = instance(&stage, 0, config()).await;
    let [key, _] = two_keys(&stage);
    reader.read(CUSTOMER, &key).await;
    stage.origin.set(key.as_str(), Some("new"));
    // Raised, and nobody is told.
    remote(&stage, "test:")
        .await
        .raise(&Scope::DataType(CUSTOMER), Generation(0))
        .await
        .expect("raised");
    stage
        .until(async || reader.read(CUSTOMER, &key).await.as_deref() == Some("new"))
        .await;
    assert_eq!(
        reader.counts.of("flushed"),
        0,
        "it was not found by a flush"
    );
}

/// Without a notice and long before the next heartbeat: the first entry that is read from one who
/// knew more says that there is more to know.
#[tokio::test]
async fn live_an_entry_from_one_who_knew_more_is_word_enough() {
    let stage = Stage::new().await;
    let seldom = InvalidationConfig {
        heartbeat: Duration::from_mins(10),
        ..config()
    };
    let reader = instance(&stage, 0, seldom).await;
    let [key, other] = two_keys(&stage);
    reader.read(CUSTOMER, &key).await;
    let raw = remote(&stage, "test:").await;
    let scope = Scope::DataType(CUSTOMER);
    raw.raise(&scope, Generation(0)).await.expect("raised");
    for key in [&key, &other] {
        stage.origin.set(key.as_str(), Some("new"));
    }
    let newcomer = deaf_instance(&stage, "test:", 1, seldom).await;
    newcomer.read(CUSTOMER, &other).await;
    assert_eq!(reader.read(CUSTOMER, &key).await.as_deref(), Some("old"));
    assert_eq!(reader.read(CUSTOMER, &other).await.as_deref(), Some("new"));
    stage
        .until(async || reader.read(CUSTOMER, &key).await.as_deref() == Some("new"))
        .await;
}

/// A new instance knows nothing yet: it asks before it takes anything from the remote layer.
#[tokio::test]
async fn live_a_new_instance_serves_nothing_that_was_outdated_before_it_came() {
    let stage = Stage::new().await;
    let first = instance(&stage, 0, config()).await;
    let [key, _] = two_keys(&stage);
    first.read(CUSTOMER, &key).await;
    stage.origin.set(key.as_str(), Some("new"));
    first
        .engine
        .invalidate_all(CUSTOMER)
        .await
        .expect("invalidated");
    let newcomer = deaf_instance(&stage, "test:", 1, config()).await;
    assert_eq!(newcomer.read(CUSTOMER, &key).await.as_deref(), Some("new"));
}

#[tokio::test]
async fn live_what_redis_forgets_the_instances_remember() {
    let stage = Stage::new().await;
    let first = instance(&stage, 0, config()).await;
    let [key, _] = two_keys(&stage);
    first.read(CUSTOMER, &key).await;
    stage.origin.set(key.as_str(), Some("new"));
    first
        .engine
        .invalidate_all(CUSTOMER)
        .await
        .expect("invalidated");
    ask::<()>(&stage, &["DEL", "test:generations"]).await;
    // The instance that knows puts it back.
    let exists = async || ask::<u64>(&stage, &["EXISTS", "test:generations"]).await == 1;
    stage.until(exists).await;
    let newcomer = deaf_instance(&stage, "test:", 1, config()).await;
    assert_eq!(newcomer.read(CUSTOMER, &key).await.as_deref(), Some("new"));
}

/// When nobody is left who remembers, nothing from before is served.
#[tokio::test]
async fn live_what_everybody_forgot_is_outdated() {
    let stage = Stage::new().await;
    let [key, _] = two_keys(&stage);
    let first = deaf_instance(&stage, "test:", 0, config()).await;
    first.read(CUSTOMER, &key).await;
    stage.origin.set(key.as_str(), Some("new"));
    first
        .engine
        .invalidate_all(CUSTOMER)
        .await
        .expect("invalidated");
    drop(first);
    ask::<()>(&stage, &["DEL", "test:generations"]).await;
    let newcomer = deaf_instance(&stage, "test:", 1, config()).await;
    assert_eq!(newcomer.read(CUSTOMER, &key).await.as_deref(), Some("new"));
}

#[tokio::test]
async fn live_generations_only_grow_whatever_redis_forgets() {
    let stage = Stage::new().await;
    let raw = remote(&stage, "test:").await;
    let mut newest = Generation(0);
    for n in 0..200 {
        if n % 10 == 0 {
            ask::<()>(&stage, &["DEL", "test:generations"]).await;
        }
        let scope = format!("0 customer:{n}:*").parse().expect("a scope");
        let raised = raw.raise(&scope, newest).await.expect("raised");
        assert!(raised > newest, "{raised:?} after {newest:?}");
        newest = raised;
    }
    // Far in the future, as a wrong clock would have it: the next is above nevertheless.
    let wrong = Generation((1 << 53) - 100);
    let all = Scope::Everything;
    let raised = raw.raise(&all, wrong).await.expect("raised");
    assert_eq!(raised, Generation(wrong.0 + 1));
    // And a wider scope leaves nothing of the narrower ones behind.
    raw.reconcile(&[]).await.expect("reconciled");
    let scopes: Vec<String> = ask(&stage, &["HKEYS", "test:generations"]).await;
    assert_eq!(scopes, ["*"]);
}
