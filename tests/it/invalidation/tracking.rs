//! Redis tells of changes itself: client tracking in broadcast mode.

use std::sync::Arc;

use cachestorm::engine::data_type::Key;
use cachestorm::engine::layer::Remote;

use super::{ask, bytes, instance, remote, settle, tracking};
use crate::support::{CUSTOMER, INVENTORY, Stage};

#[tokio::test]
async fn live_a_write_reaches_every_instance_without_being_published() {
    let stage = Stage::new().await;
    let writer = instance(&stage, 0, tracking()).await;
    let reader = instance(&stage, 1, tracking()).await;
    for (data_type, key) in [(CUSTOMER, "customer:360:1"), (INVENTORY, "inventory:1")] {
        let key = Key::new(key);
        stage.origin.set(key.as_str(), Some("old"));
        for _ in 0..2 {
            reader.read(data_type, &key).await;
            settle(&stage, "test:", &reader).await;
        }
        assert!(reader.engine.local_entries() > 0);
        writer
            .engine
            .put(data_type, &key, bytes("new"))
            .await
            .expect("a commit");
        settle(&stage, "test:", &reader).await;
        let seen = reader.read(data_type, &key).await;
        assert_eq!(seen.as_deref(), Some("new"), "{key}");
    }
}

/// Whoever changes a key: also one who knows nothing of us.
#[tokio::test]
async fn live_a_change_by_a_stranger_is_heard_of() {
    let stage = Stage::new().await;
    let reader = instance(&stage, 0, tracking()).await;
    let key = Key::new("customer:360:1");
    stage.origin.set(key.as_str(), Some("old"));
    for _ in 0..2 {
        reader.read(CUSTOMER, &key).await;
        settle(&stage, "test:", &reader).await;
    }
    stage.origin.set(key.as_str(), Some("new"));
    assert_eq!(reader.read(CUSTOMER, &key).await.as_deref(), Some("old"));
    ask::<()>(&stage, &["DEL", "test:customer:360:1"]).await;
    settle(&stage, "test:", &reader).await;
    assert_eq!(reader.read(CUSTOMER, &key).await.as_deref(), Some("new"));
}

/// A purge of what Redis does not hold: another instance may hold it nevertheless.
#[tokio::test]
async fn live_a_purge_is_heard_of_also_when_redis_held_nothing() {
    let stage = Stage::new().await;
    let writer = instance(&stage, 0, tracking()).await;
    let reader = instance(&stage, 1, tracking()).await;
    let key = Key::new("customer:360:1");
    let before = reader.counts.of("received");
    writer
        .engine
        .invalidate(CUSTOMER, &key)
        .await
        .expect("purged");
    stage
        .until(async || reader.counts.of("received") > before)
        .await;
}

/// The message without keys (lettuce PR#3885).
#[tokio::test]
async fn live_flushall_empties_every_local_layer() {
    for command in ["FLUSHALL", "FLUSHDB"] {
        let stage = Stage::new().await;
        let reader = instance(&stage, 0, tracking()).await;
        for n in 0..10 {
            let key = Key::new(format!("customer:360:{n}"));
            for _ in 0..2 {
                reader.read(CUSTOMER, &key).await;
                settle(&stage, "test:", &reader).await;
            }
        }
        assert_eq!(reader.engine.local_entries(), 10);
        ask::<()>(&stage, &[command]).await;
        stage
            .until(async || reader.engine.local_entries() == 0)
            .await;
    }
}

#[tokio::test]
async fn live_a_cut_tracking_connection_empties_the_local_layer_and_comes_back() {
    let stage = Stage::new().await;
    let reader = instance(&stage, 0, tracking()).await;
    let key = Key::new("customer:360:1");
    stage.origin.set(key.as_str(), Some("old"));
    for _ in 0..2 {
        reader.read(CUSTOMER, &key).await;
        settle(&stage, "test:", &reader).await;
    }
    assert_eq!(reader.engine.local_entries(), 1);
    ask::<()>(&stage, &["CLIENT", "KILL", "TYPE", "pubsub"]).await;
    stage.until(async || reader.counts.of("flushed") == 1).await;
    stage
        .until(async || super::subscribers(&stage, "test:invalidations").await == 1)
        .await;
    let writer = instance(&stage, 1, tracking()).await;
    reader.read(CUSTOMER, &key).await;
    writer
        .engine
        .put(CUSTOMER, &key, bytes("new"))
        .await
        .expect("a commit");
    settle(&stage, "test:", &reader).await;
    assert_eq!(reader.read(CUSTOMER, &key).await.as_deref(), Some("new"));
}

/// A reader's value is on its way when the key changes: it must not be kept.
#[tokio::test]
async fn live_a_load_that_a_change_overtook_is_not_kept() {
    let stage = Stage::new().await;
    let reader = instance(&stage, 0, tracking()).await;
    let key = Key::new("customer:360:1");
    stage.origin.set(key.as_str(), Some("old"));
    stage.origin.hold_loads();
    let slow = tokio::spawn({
        let (engine, key) = (Arc::clone(&reader.engine), key.clone());
        async move { engine.get(CUSTOMER, &key).await }
    });
    stage.until(async || stage.origin.loads() == 1).await;
    let row = stage.origin.set(key.as_str(), Some("new"));
    remote(&stage, "test:")
        .await
        .invalidate(std::slice::from_ref(&key), row.version)
        .await
        .expect("invalidated");
    settle(&stage, "test:", &reader).await;
    stage.origin.release_loads();
    slow.await.expect("no panic").expect("an answer");
    assert_eq!(reader.engine.local_entries(), 0);
    assert_eq!(reader.read(CUSTOMER, &key).await.as_deref(), Some("new"));
}
