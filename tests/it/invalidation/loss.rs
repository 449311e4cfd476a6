//! Lost notices and deaf instances; and, as a control, what becomes of an instance that does not
//! care.

use std::time::Duration;

use cachestorm::engine::data_type::Key;
use cachestorm::engine::invalidation::{InvalidationConfig, OnLoss};
use cachestorm::engine::layer::{Notice, Remote, Version};

use super::{HEARTBEAT, Instance, ask, instance, notice, on, publish, remote};
use crate::support::signal::{self, Signal};
use crate::support::{CUSTOMER, Stage};

/// `changed` and `same` are in every layer; then `changed` is written by somebody whose notice,
/// the second of its life, is lost.
async fn lose_a_notice(stage: &Stage, reader: &Instance) -> [Key; 2] {
    let keys = ["customer:360:1", "customer:360:2"].map(Key::new);
    for key in &keys {
        stage.origin.set(key.as_str(), Some("old"));
        reader.read(CUSTOMER, key).await;
    }
    publish(stage, "test:", &notice(1, &[])).await;
    stage
        .until(async || reader.counts.of("received") == 1)
        .await;
    let row = stage.origin.set(keys[0].as_str(), Some("new"));
    remote(stage, "test:")
        .await
        .invalidate(&keys[..1], row.version)
        .await
        .expect("invalidated");
    keys
}

/// The control is planted: with gap detection off the stale entry stays, with it on it does not.
#[tokio::test]
async fn live_a_hole_in_the_numbers_is_a_lost_notice() {
    for (on_loss, expected, local_after) in [
        (OnLoss::Ignore, "old", 2),
        (OnLoss::Flush, "new", 0),
        (OnLoss::Revalidate, "new", 1),
    ] {
        let stage = Stage::new().await;
        let reader = instance(&stage, 0, on(on_loss)).await;
        let [changed, _] = lose_a_notice(&stage, &reader).await;
        publish(&stage, "test:", &notice(3, &[])).await;
        stage.until(async || reader.counts.of("missed") == 1).await;
        if on_loss != OnLoss::Ignore {
            let done = async || reader.counts.of("flushed") + reader.counts.of("kept") > 0;
            stage.until(done).await;
        }
        assert_eq!(reader.engine.local_entries(), local_after, "{on_loss:?}");
        let seen = reader.read(CUSTOMER, &changed).await;
        assert_eq!(seen.as_deref(), Some(expected), "{on_loss:?}");
    }
}

/// Nothing comes after the last notice that could show the hole; the publisher's own word does.
#[tokio::test]
async fn live_the_loss_of_the_last_notice_is_found_by_the_publishers_heartbeat() {
    let stage = Stage::new().await;
    let reader = instance(&stage, 0, on(OnLoss::Flush)).await;
    let [changed, _] = lose_a_notice(&stage, &reader).await;
    let alive = Notice::Alive {
        publisher: 99,
        incarnation: 1,
        sequence: 2,
    };
    publish(&stage, "test:", &alive).await;
    stage.until(async || reader.counts.of("flushed") == 1).await;
    assert_eq!(reader.counts.of("missed"), 1);
    assert_eq!(
        reader.read(CUSTOMER, &changed).await.as_deref(),
        Some("new")
    );
}

/// With several connections notices overtake each other; that is no loss.
#[tokio::test]
async fn live_many_writes_through_several_connections_are_no_loss() {
    let stage = Stage::new().await;
    let writer = instance(&stage, 0, on(OnLoss::Flush)).await;
    let reader = instance(&stage, 1, on(OnLoss::Flush)).await;
    // From now on the reader knows the writer.
    let first = Key::new("customer:360:first");
    let put = writer.engine.put(CUSTOMER, &first, super::bytes("new"));
    put.await.expect("a commit");
    stage
        .until(async || reader.counts.of("received") == 1)
        .await;
    let kept = Key::new("customer:360:kept");
    reader.read(CUSTOMER, &kept).await;
    let all = (0..500).map(|n| {
        let engine = &writer.engine;
        async move {
            let key = Key::new(format!("customer:360:{n}"));
            engine.put(CUSTOMER, &key, super::bytes("new")).await
        }
    });
    futures_util::future::try_join_all(all)
        .await
        .expect("commits");
    stage
        .until(async || reader.counts.of("received") == 501)
        .await;
    stage.clock.sleep(HEARTBEAT * 2).await;
    assert_eq!(reader.counts.of("missed"), 0);
    assert_eq!(reader.engine.local_entries(), 1);
}

/// After its connection was cut, an instance that revalidates keeps what is still right.
#[tokio::test]
async fn live_a_cut_connection_costs_what_changed_or_everything() {
    for (on_loss, local_after) in [(OnLoss::Flush, 0), (OnLoss::Revalidate, 1)] {
        let stage = Stage::new().await;
        let reader = instance(&stage, 0, on(on_loss)).await;
        let [changed, _] = lose_a_notice(&stage, &reader).await;
        ask::<()>(&stage, &["CLIENT", "KILL", "TYPE", "pubsub"]).await;
        let done = async || reader.counts.of("flushed") + reader.counts.of("kept") > 0;
        stage.until(done).await;
        assert_eq!(reader.engine.local_entries(), local_after, "{on_loss:?}");
        let seen = reader.read(CUSTOMER, &changed).await;
        assert_eq!(seen.as_deref(), Some("new"), "{on_loss:?}");
    }
}

/// The connection stands and says nothing: the server lets nobody publish, or its process is
/// stopped. Both last until they are ended, however slow the machine is.
#[tokio::test]
async fn live_a_subscription_that_is_dead_but_connected_is_found() {
    for stopped in [false, true] {
        let stage = Stage::new().await;
        let reader = instance(&stage, 0, on(OnLoss::Flush)).await;
        let key = Key::new("customer:360:1");
        stage.origin.set(key.as_str(), Some("old"));
        reader.read(CUSTOMER, &key).await;
        let info: String = ask(&stage, &["INFO", "server"]).await;
        let pid = info
            .lines()
            .find_map(|line| line.strip_prefix("process_id:"))
            .expect("its process");
        let pid: u32 = pid.trim().parse().expect("a number");
        if stopped {
            signal::send(Signal::STOP, pid);
        } else {
            ask::<()>(&stage, &["CLIENT", "PAUSE", "60000", "WRITE"]).await;
        }
        stage.until(async || reader.counts.of("silent") >= 1).await;
        // Not a count of flushes: what was read before the subscriber knew that it hears lives for
        // a second only, and then there is nothing to flush.
        stage
            .until(async || reader.engine.local_entries() == 0)
            .await;
        if stopped {
            signal::send(Signal::CONT, pid);
        } else {
            ask::<()>(&stage, &["CLIENT", "UNPAUSE"]).await;
        }
        // It hears again: a write elsewhere reaches it.
        let writer = instance(&stage, 1, on(OnLoss::Flush)).await;
        reader.read(CUSTOMER, &key).await;
        writer
            .engine
            .put(CUSTOMER, &key, super::bytes("new"))
            .await
            .expect("a commit");
        stage
            .until(async || reader.read(CUSTOMER, &key).await.as_deref() == Some("new"))
            .await;
    }
}

/// What a deaf instance stores it keeps for a second, so a write that it cannot hear of is not
/// hidden for the minute that the entry would live.
#[tokio::test]
async fn live_a_deaf_instance_keeps_nothing_for_long() {
    let stage = Stage::new().await;
    let seldom = InvalidationConfig {
        heartbeat: Duration::from_mins(1),
        ..on(OnLoss::Flush)
    };
    let reader = instance(&stage, 0, seldom).await;
    // Subscribing is forbidden, reading and writing is not.
    ask::<()>(&stage, &["ACL", "SETUSER", "default", "-subscribe"]).await;
    ask::<()>(&stage, &["CLIENT", "KILL", "TYPE", "pubsub"]).await;
    let deaf = async || {
        let refused: Vec<redis::Value> = ask(&stage, &["ACL", "LOG"]).await;
        !refused.is_empty()
    };
    stage.until(deaf).await;
    let key = Key::new("customer:360:1");
    stage.origin.set(key.as_str(), Some("old"));
    reader.read(CUSTOMER, &key).await;
    let row = stage.origin.set(key.as_str(), Some("new"));
    remote(&stage, "test:")
        .await
        .invalidate(std::slice::from_ref(&key), Version(row.version.0))
        .await
        .expect("invalidated");
    stage
        .until(async || reader.read(CUSTOMER, &key).await.as_deref() == Some("new"))
        .await;
}
