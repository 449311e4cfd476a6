//! Locks: who has them, for how long, and what becomes of those who have not.

use cachestorm::engine::data_type::{Consistency, Stampede};

use super::*;
use crate::support::rigged::Call;

fn locked(stampede: Stampede) -> Scene {
    Scene::new(|item| {
        item.stampede = stampede;
        item.local_ttl = None;
    })
}

async fn sleep_until(scene: &Scene, begin: cachestorm::clock::Timestamp, seconds: f64) {
    let at = begin + Duration::from_secs_f64(seconds);
    scene.clock.sleep_until(at).await;
}

/// A load ends after 4.95 s. The ADR's waiters look again after 7.49 s, all at once.
#[tokio::test(start_paused = true)]
async fn waiters_learn_of_the_end_of_a_load() {
    let late = Duration::from_secs(2);
    for (stampede, are_late) in [
        (Stampede::AdrLock, true),
        (Stampede::Lock, false),
        (Stampede::Lease, false),
    ] {
        let scene = locked(stampede);
        let leader = scene.listener(0, OnLoss::Flush).await;
        let waiters = [
            scene.listener(1, OnLoss::Flush).await,
            scene.listener(2, OnLoss::Flush).await,
        ];
        let key = Key::new("item:1");
        scene.origin.set(key.as_str(), Some("Ada"));
        scene.origin.hold_loads();
        let begin = scene.clock.now();
        let leading = leader.start_read(&key);
        scene.until(|| scene.origin.loads() == 1).await;
        let waiting = waiters.each_ref().map(|waiter| {
            let (reading, clock) = (waiter.start_read(&key), scene.clock.clone());
            tokio::spawn(async move {
                let answer = reading.await.expect("no panic");
                (answer, clock.now())
            })
        });
        sleep_until(&scene, begin, 4.95).await;
        scene.origin.release_loads();
        leading.await.expect("no panic");
        let loaded_at = scene.clock.now();
        for waiter in waiting {
            let (answer, answered_at) = waiter.await.expect("no panic");
            assert_eq!(answer.outcome, Outcome::Coalesced);
            let waited = answered_at.since(loaded_at);
            assert_eq!(waited > late, are_late, "{stampede:?}: {waited:?}");
        }
        assert_eq!(scene.origin.loads(), 1);
    }
}

/// The value is gone again before a waiter looks: the ADR's goes on waiting for what nobody loads.
#[tokio::test(start_paused = true)]
async fn a_waiter_misses_what_it_waited_for() {
    for (stampede, waits) in [
        (Stampede::AdrLock, true),
        (Stampede::Lock, false),
        (Stampede::Lease, false),
    ] {
        let scene = locked(stampede);
        let (leader, waiter) = (scene.instance(0), scene.instance(1));
        let key = Key::new("item:1");
        scene.origin.set(key.as_str(), Some("Ada"));
        scene.origin.hold_loads();
        let leading = leader.start_read(&key);
        scene.until(|| scene.origin.loads() == 1).await;
        let waiting = waiter.start_read(&key);
        // The ADR's waiter has looked at 4.93 s and looks again at 7.49 s.
        scene.clock.sleep(Duration::from_millis(4_940)).await;
        scene.origin.release_loads();
        leading.await.expect("no panic");
        leader.put(&key, "Bob").await;
        scene.clock.sleep(Duration::from_hours(1)).await;
        assert_eq!(!waiting.is_finished(), waits, "{stampede:?}");
        waiting.abort();
    }
}

/// A load takes 12 s, a lock stands for 10. Its loader then gives back the next one's lock, and so
/// on: ever more load at once.
#[tokio::test(start_paused = true)]
async fn a_load_takes_longer_than_its_lock_stands() {
    for (stampede, at_once) in [(Stampede::AdrLock, [2, 3]), (Stampede::Lock, [1, 2])] {
        let scene = locked(stampede);
        let [a, b, c] = [scene.instance(0), scene.instance(1), scene.instance(2)];
        let key = Key::new("item:1");
        scene.origin.set(key.as_str(), Some("Ada"));
        scene.origin.hold_loads();
        let begin = scene.clock.now();
        let first = a.start_read(&key);
        sleep_until(&scene, begin, 10.5).await;
        let second = b.start_read(&key);
        sleep_until(&scene, begin, 12.0).await;
        assert_eq!(
            scene.origin.loads(),
            at_once[0],
            "{stampede:?}: b loads, too"
        );
        scene.origin.release_one_load();
        first.await.expect("no panic");
        // What a has loaded is out of date at once; whoever comes now must load.
        c.put(&key, "Bob").await;
        let third = c.start_read(&key);
        // By default b, which waited, or c loads now: one of them.
        sleep_until(&scene, begin, 14.0).await;
        assert_eq!(scene.origin.loads(), at_once[1], "{stampede:?}");
        scene.origin.release_loads();
        second.await.expect("no panic");
        third.await.expect("no panic");
    }
}

/// A holder stands still for longer than its lock: then two load, whatever is done. The row has
/// changed in between, and nobody told the cache.
#[tokio::test(start_paused = true)]
async fn a_holder_of_a_lock_stands_still() {
    for (stampede, consistency, left_behind) in [
        (Stampede::AdrLock, Consistency::Naive, "old"),
        (Stampede::Lock, Consistency::Naive, "old"),
        (Stampede::Lock, Consistency::Versioned, "new"),
        (Stampede::Lease, Consistency::Versioned, "new"),
    ] {
        let scene = Scene::new(|item| {
            (item.stampede, item.consistency) = (stampede, consistency);
            item.local_ttl = None;
        });
        let (still, other) = (scene.instance(0), scene.instance(1));
        let key = Key::new("item:1");
        scene.origin.set(key.as_str(), Some("old"));
        let renewing = still.rig.stop_before(Call::RenewLock);
        let filling = still.rig.stop_before(Call::Fill);
        let slow = still.start_read(&key);
        filling.reached().await;
        scene.origin.set(key.as_str(), Some("new"));
        scene.clock.sleep(Duration::from_secs(11)).await;
        let between = other.read(&key).await;
        assert_eq!(between.as_deref(), Some("new"), "{stampede:?}");
        assert_eq!(scene.origin.loads(), 2, "the lock has run out: two owners");
        filling.go();
        renewing.go();
        slow.await.expect("no panic");
        let seen = other.read(&key).await;
        assert_eq!(seen.as_deref(), Some(left_behind), "{stampede:?}");
    }
}

/// Between a look and a lock another has loaded: who does not look again loads twice.
#[tokio::test(start_paused = true)]
async fn a_load_ends_between_anothers_look_and_lock() {
    for (stampede, loads) in [(Stampede::AdrLock, 2), (Stampede::Lock, 1)] {
        let scene = locked(stampede);
        let (first, second) = (scene.instance(0), scene.instance(1));
        let key = Key::new("item:1");
        scene.origin.set(key.as_str(), Some("Ada"));
        let looked = second.rig.stop_after(Call::Get);
        let slow = second.start_read(&key);
        looked.reached().await;
        first.read(&key).await;
        looked.go();
        slow.await.expect("no panic");
        assert_eq!(scene.origin.loads(), loads, "{stampede:?}");
    }
}

/// A replica that knew nothing becomes the primary, and everybody misses.
#[tokio::test(start_paused = true)]
async fn everybody_misses_after_a_failover() {
    const READERS: usize = 20;
    for (stampede, loads) in [
        (Stampede::None, 3 * READERS),
        (Stampede::SingleFlight, 3),
        (Stampede::Lock, 1),
        (Stampede::Lease, 1),
    ] {
        let scene = locked(stampede);
        let instances = [0, 1, 2].map(|number| scene.instance(number));
        let key = Key::new("item:1");
        scene.origin.set(key.as_str(), Some("Ada"));
        for instance in &instances {
            instance.read(&key).await;
        }
        assert_eq!(scene.origin.loads(), 1);
        scene.server.flush();
        scene.origin.hold_loads();
        let readers: Vec<_> = (0..READERS)
            .flat_map(|_| instances.iter().map(|instance| instance.start_read(&key)))
            .collect();
        scene.clock.sleep(Duration::from_secs(1)).await;
        assert_eq!(scene.origin.loads() - 1, loads, "{stampede:?}");
        scene.origin.release_loads();
        for reader in readers {
            let answer = reader.await.expect("no panic");
            assert_eq!(text(&answer).as_deref(), Some("Ada"));
        }
    }
}
