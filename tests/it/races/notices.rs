//! Notices that are lost, not understood, or sent by a clock that is wrong.

use cachestorm::engine::invalidation::markers::Scope;
use cachestorm::engine::layer::{Generation, Remote as _};

use super::*;

/// "Everything is gone", as a message without keys.
#[tokio::test(start_paused = true)]
async fn a_flush_is_told_without_keys() {
    for (defect, left_behind) in [(Some(Defect::DeafToFlush), "old"), (None, "new")] {
        let scene = Scene::new(|_| ()).with(defect);
        let reader = scene.listener(0, OnLoss::Flush).await;
        let key = Key::new("item:1");
        scene.origin.set(key.as_str(), Some("old"));
        reader.read(&key).await;
        scene.origin.set(key.as_str(), Some("new"));
        scene.server.flush();
        scene.clock.sleep(Duration::from_secs(10)).await;
        let seen = reader.read(&key).await;
        assert_eq!(seen.as_deref(), Some(left_behind), "{defect:?}");
    }
}

/// The subscriber's connection breaks, and a write is told while nobody listens.
#[tokio::test(start_paused = true)]
async fn a_write_is_told_while_a_subscriber_is_cut_off() {
    for (on_loss, left_behind) in [
        (OnLoss::Ignore, "old"),
        (OnLoss::Flush, "new"),
        (OnLoss::Revalidate, "new"),
    ] {
        let scene = Scene::new(|_| ());
        let reader = scene.listener(0, on_loss).await;
        let writer = scene.instance(1);
        let key = Key::new("item:1");
        scene.origin.set(key.as_str(), Some("old"));
        reader.read(&key).await;
        scene.server.cut_subscriptions();
        writer.put(&key, "new").await;
        // Long after it is back, and long before its entry's time is up.
        scene.clock.sleep(Duration::from_secs(20)).await;
        assert_eq!(scene.server.subscribers(), 1, "it listens again");
        let seen = reader.read(&key).await;
        assert_eq!(seen.as_deref(), Some(left_behind), "{on_loss:?}");
    }
}

/// The connection stands, and one notice does not come.
#[tokio::test(start_paused = true)]
async fn a_notice_is_lost_on_a_connection_that_stands() {
    for (on_loss, left_behind) in [(OnLoss::Ignore, "old"), (OnLoss::Flush, "new")] {
        let scene = Scene::new(|_| ());
        let reader = scene.listener(0, on_loss).await;
        let writer = scene.listener(1, on_loss).await;
        let key = Key::new("item:1");
        scene.origin.set(key.as_str(), Some("old"));
        reader.read(&key).await;
        scene.server.lose_notices(1);
        writer.put(&key, "new").await;
        scene.clock.sleep(Duration::from_secs(5)).await;
        let seen = reader.read(&key).await;
        assert_eq!(seen.as_deref(), Some(left_behind), "{on_loss:?}");
    }
}

/// `lru_cache` knows neither time nor writers.
#[tokio::test(start_paused = true)]
async fn a_local_value_outlives_the_write() {
    let years = Duration::from_hours(24 * 300);
    let minute = Duration::from_mins(1);
    for (invalidation, local_ttl, after, left_behind) in [
        (Invalidation::Time, years, years / 2, "old"),
        (Invalidation::Time, minute, minute, "new"),
        (Invalidation::Event, years, Duration::from_secs(1), "new"),
    ] {
        let scene = Scene::new(|item| {
            (item.invalidation, item.local_ttl) = (invalidation, Some(local_ttl));
            item.ttl = years;
        });
        let writer = scene.instance(1);
        let reader = match invalidation {
            Invalidation::Time => scene.instance(0),
            Invalidation::Event => scene.listener(0, OnLoss::Flush).await,
        };
        let key = Key::new("item:1");
        scene.origin.set(key.as_str(), Some("old"));
        // What the first read of an instance finds it does not keep: it learns the generations.
        for _ in 0..2 {
            reader.read(&key).await;
        }
        writer.put(&key, "new").await;
        scene.clock.sleep(after).await;
        let seen = reader.read(&key).await;
        assert_eq!(seen.as_deref(), Some(left_behind), "{local_ttl:?}");
    }
}

/// A marker from a clock that is an hour ahead outdates everything, for an hour; a generation from
/// such a clock outdates what was there.
#[tokio::test(start_paused = true)]
async fn a_marker_comes_from_a_clock_that_is_ahead() {
    let ahead = Duration::from_hours(1);
    for (defect, loads) in [(Some(Defect::MarkersByClock { ahead }), 5), (None, 1)] {
        let scene = Scene::new(|item| item.local_ttl = None).with(defect);
        let (reader, other) = (scene.instance(0), scene.instance(1));
        let key = Key::new("item:1");
        scene.origin.set(key.as_str(), Some("Ada"));
        reader.read(&key).await;
        let (everything, by_clock) = (Scope::Everything, scene.clock.now() + ahead);
        let raised = Generation(by_clock.as_unix_nanos() / 1_000);
        let told = reader.remote.raise(&everything, raised).await;
        told.expect("raised");
        reader.engine.invalidate_all(ITEM).await.expect("raised");
        let before = scene.origin.loads();
        for _ in 0..5 {
            reader.read(&key).await;
            scene.clock.sleep(Duration::from_mins(2)).await;
        }
        assert_eq!(scene.origin.loads() - before, loads, "{defect:?}");
        drop(other);
    }
}
