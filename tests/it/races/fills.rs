//! What is filled late, or is not known for an answer.

use std::time::Duration;

use cachestorm::engine::data_type::{Consistency, Strategy};
use cachestorm::engine::layer::Remote as _;
use cachestorm::engine::layer::Version;

use super::*;
use crate::support::rigged::Call;

/// What is wrong in the control and right by default.
const BOTH: [(Consistency, Option<&str>); 2] = [
    (Consistency::Naive, Some("old")),
    (Consistency::Versioned, Some("new")),
];

/// A load reads, a write commits and invalidates, the load fills: in each layer, whoever writes.
#[tokio::test(start_paused = true)]
async fn a_load_fills_after_the_invalidation() {
    for (consistency, left_behind) in BOTH {
        for writer_is_reader in [false, true] {
            let scene = Scene::new(|item| item.consistency = consistency);
            let reader = scene.listener(0, OnLoss::Flush).await;
            let other = scene.listener(1, OnLoss::Flush).await;
            let writer = if writer_is_reader { &reader } else { &other };
            let key = Key::new("item:1");
            scene.origin.set(key.as_str(), Some("old"));
            scene.origin.hold_loads();
            let slow = reader.start_read(&key);
            scene.until(|| scene.origin.loads() == 1).await;
            writer.put(&key, "new").await;
            // Also the notice has been heard.
            scene.clock.sleep(Duration::from_millis(10)).await;
            scene.origin.release_loads();
            slow.await.expect("no panic");
            for (instance, layer) in [(&reader, "local"), (&other, "remote")] {
                let seen = instance.read(&key).await;
                assert_eq!(seen.as_deref(), left_behind, "{consistency:?}, {layer}");
            }
        }
    }
}

/// The load has seen the first of two writes and is overtaken by the second, on its own instance.
#[tokio::test(start_paused = true)]
async fn a_load_comes_between_two_writes() {
    for (consistency, left_behind) in BOTH {
        let scene = Scene::new(|item| item.consistency = consistency);
        let (reader, other) = (scene.listener(0, OnLoss::Flush).await, scene.instance(1));
        let key = Key::new("item:1");
        let looked = reader.rig.stop_after(Call::Get);
        let slow = reader.start_read(&key);
        looked.reached().await;
        reader.put(&key, "old").await;
        scene.origin.hold_loads();
        looked.go();
        scene.until(|| scene.origin.loads() == 1).await;
        reader.put(&key, "new").await;
        scene.origin.release_loads();
        let seen = slow.await.expect("no panic");
        assert_eq!(text(&seen).as_deref(), Some("old"));
        for instance in [&reader, &other] {
            let seen = instance.read(&key).await;
            assert_eq!(seen.as_deref(), left_behind, "{consistency:?}");
        }
    }
}

/// A write-through that knew nothing yet of an invalidation of everything comes after a load that did.
#[tokio::test(start_paused = true)]
async fn a_write_is_outdated_when_it_comes_to_the_cache() {
    for (defect, left_behind) in [(Some(Defect::LateInvalidation), "old"), (None, "new")] {
        let scene = Scene::new(|item| {
            item.strategy = Strategy::WriteThrough;
            item.local_ttl = None;
        });
        let scene = scene.with(defect);
        let writer = scene.listener(0, OnLoss::Flush).await;
        let other = scene.listener(1, OnLoss::Flush).await;
        let key = Key::new("item:1");
        scene.origin.set(key.as_str(), Some("old"));
        scene.origin.hold_stores();
        let put = tokio::spawn({
            let (engine, key) = (Arc::clone(&writer.engine), key.clone());
            async move { engine.put(ITEM, &key, Bytes::from("new")).await }
        });
        scene.until(|| scene.origin.stores() == 1).await;
        other.engine.invalidate_all(ITEM).await.expect("raised");
        scene.clock.sleep(Duration::from_millis(10)).await;
        assert_eq!(other.read(&key).await.as_deref(), Some("old"), "before");
        scene.origin.release_stores();
        put.await.expect("no panic").expect("a commit");
        let seen = other.read(&key).await;
        assert_eq!(seen.as_deref(), Some(left_behind), "{defect:?}");
    }
}

/// The value is on its way from the remote layer when the notice overtakes it.
#[tokio::test(start_paused = true)]
async fn a_value_from_the_remote_layer_arrives_after_the_notice() {
    for (consistency, left_behind) in BOTH {
        let scene = Scene::new(|item| item.consistency = consistency);
        let reader = scene.listener(0, OnLoss::Flush).await;
        let writer = scene.listener(1, OnLoss::Flush).await;
        let key = Key::new("item:1");
        scene.origin.set(key.as_str(), Some("old"));
        writer.read(&key).await;
        let arriving = reader.rig.stop_after(Call::Get);
        let slow = reader.start_read(&key);
        arriving.reached().await;
        writer.put(&key, "new").await;
        scene.clock.sleep(Duration::from_millis(10)).await;
        arriving.go();
        let before = slow.await.expect("no panic");
        assert_eq!(text(&before).as_deref(), Some("old"), "it began before");
        let seen = reader.read(&key).await;
        assert_eq!(seen.as_deref(), left_behind, "{consistency:?}");
    }
}

/// The same with a row that is inserted: what is filled late is its absence.
#[tokio::test(start_paused = true)]
async fn an_absence_is_remembered_after_the_insert() {
    for (consistency, hidden) in [(Consistency::Naive, true), (Consistency::Versioned, false)] {
        let scene = Scene::new(|item| item.consistency = consistency);
        let (reader, writer) = (scene.instance(0), scene.instance(1));
        let key = Key::new("item:1");
        scene.origin.hold_loads();
        let slow = reader.start_read(&key);
        scene.until(|| scene.origin.loads() == 1).await;
        writer.put(&key, "Ada").await;
        scene.origin.release_loads();
        slow.await.expect("no panic");
        let seen = writer.answer(&key).await;
        assert_eq!(seen.outcome == Outcome::NegativeHit, hidden, "{seen:?}");
        assert_eq!(text(&seen).is_none(), hidden, "{seen:?}");
    }
}

/// Two writers: the database has v1, v2, and the cache is told of v2, v1.
#[tokio::test(start_paused = true)]
async fn two_writers_tell_the_cache_in_the_other_order() {
    for (consistency, left_behind) in BOTH {
        let scene = Scene::new(|item| {
            item.consistency = consistency;
            item.strategy = Strategy::WriteThrough;
        });
        let (first, second, other) = (scene.instance(0), scene.instance(1), scene.instance(2));
        let key = Key::new("item:1");
        let telling = first.rig.stop_before(Call::Fill);
        let slow = tokio::spawn({
            let (engine, key) = (Arc::clone(&first.engine), key.clone());
            async move { engine.put(ITEM, &key, Bytes::from("old")).await }
        });
        telling.reached().await;
        second.put(&key, "new").await;
        telling.go();
        slow.await.expect("no panic").expect("a commit");
        let database = scene.origin.value(key.as_str());
        assert_eq!(database, Some(Bytes::from("new")));
        for instance in [&other, &first] {
            let seen = instance.read(&key).await;
            assert_eq!(seen.as_deref(), left_behind, "{consistency:?}");
        }
    }
}

/// A purge takes away what kept a slow load out.
#[tokio::test(start_paused = true)]
async fn a_purge_comes_between_a_write_and_a_slow_load() {
    for (forgets, left_behind) in [(true, Some("old")), (false, Some("new"))] {
        let scene = Scene::new(|_| ());
        let (reader, writer) = (scene.instance(0), scene.instance(1));
        let key = Key::new("item:1");
        scene.origin.set(key.as_str(), Some("old"));
        scene.origin.hold_loads();
        let slow = reader.start_read(&key);
        scene.until(|| scene.origin.loads() == 1).await;
        writer.put(&key, "new").await;
        if forgets {
            // As DEL, or as a flush.
            scene.server.flush();
        } else {
            let purge = writer.engine.invalidate(ITEM, &key).await;
            purge.expect("purged");
        }
        scene.origin.release_loads();
        slow.await.expect("no panic");
        let seen = writer.read(&key).await;
        assert_eq!(seen.as_deref(), left_behind);
    }
}

/// The invalidation is confirmed first and done later.
#[tokio::test(start_paused = true)]
async fn an_invalidation_is_seen_when_it_is_confirmed() {
    for (defect, seen_at_once) in [(Some(Defect::LateInvalidation), "old"), (None, "new")] {
        let scene = Scene::new(|_| ()).with(defect);
        let (writer, reader) = (scene.instance(0), scene.instance(1));
        let key = Key::new("item:1");
        scene.origin.set(key.as_str(), Some("old"));
        writer.read(&key).await;
        writer.put(&key, "new").await;
        let seen = reader.read(&key).await;
        assert_eq!(seen.as_deref(), Some(seen_at_once), "{defect:?}");
        writer.remote.catch_up().await;
        let held = reader.remote.get(&key).await.expect("an answer");
        let at_last = held.is_none_or(|held| held.row.version >= Version(2));
        assert!(at_last, "{defect:?}");
    }
}

/// `if cached:` takes what is there for nothing.
#[tokio::test(start_paused = true)]
async fn what_is_falsy_is_loaded_for_ever() {
    const READS: usize = 5;
    for value in [None, Some(""), Some("0"), Some("[]")] {
        for (defect, loads) in [(Some(Defect::FalsyIsAbsent), READS), (None, 1)] {
            let scene = Scene::new(|item| item.local_ttl = None).with(defect);
            let reader = scene.instance(0);
            let key = Key::new("item:1");
            scene.origin.set(key.as_str(), value);
            for _ in 0..READS {
                assert_eq!(reader.read(&key).await.as_deref(), value);
            }
            assert_eq!(scene.origin.loads(), loads, "{value:?}, {defect:?}");
        }
    }
}
