//! A modelled primary dies: what replicas had heard of is there, what they had not is lost, and clients
//! learn of it as real ones do.

use std::time::Duration;

use cachestorm::clock::Clock;
use cachestorm::engine::data_type::Key;
use cachestorm::engine::layer::{Fill, LayerError, Queue, Remote, Subscription, Version};
use cachestorm::environment::modelled_redis::deployment::{ModelledRedis, ModelledRedisConfig};
use cachestorm::environment::redis_topology::{Persistence, Topology};

use super::{config, connect, deploy, run};
use crate::conformance::{LAG, TTL, append, entry, items, notice, take, until};

const REPLICATION: Duration = Duration::from_millis(20);
/// How long a failover may take.
const FAILOVER: Duration = Duration::from_secs(10);

/// With a delay of replication that many writes fit into.
fn slow(clock: &Clock, topology: Topology) -> ModelledRedis {
    deploy(
        clock,
        ModelledRedisConfig {
            replication_lag: REPLICATION,
            ..config(topology)
        },
    )
}

async fn comes_back(clock: &Clock, redis: &ModelledRedis) {
    until(clock, "a new primary", FAILOVER, async || {
        redis.is_up().then_some(())
    })
    .await;
}

#[test]
fn what_replicas_had_not_heard_of_is_lost_and_nothing_else() {
    run(async |clock: Clock| {
        for topology in [Topology::Sentinel, Topology::Cluster] {
            let redis = slow(&clock, topology);
            let remote = connect(&redis);
            let keys = items(1_000);
            let mut acknowledged_at = Vec::new();
            for key in &keys {
                let value = entry(&clock, 1, Some("v"));
                let filled = remote.fill(key, &value, TTL).await;
                assert_eq!(filled, Ok(Fill::Stored));
                acknowledged_at.push(clock.now());
            }
            // Replaced, dropped: that can be unheard, too.
            clock.sleep(REPLICATION * 2).await;
            let second = entry(&clock, 2, Some("w"));
            remote.fill(&keys[0], &second, TTL).await.expect("stored");
            let third = std::slice::from_ref(&keys[1]);
            remote.invalidate(third, Version(3)).await.expect("dropped");
            for shard in 0..redis.primaries() {
                redis.kill_primary(shard);
            }
            assert!(!redis.is_up());
            comes_back(&clock, &redis).await;
            let held = remote.held(&keys).await.expect("an answer");
            assert!(
                held.iter().all(|held| *held == Some(Version(1))),
                "{topology:?}"
            );

            // Once more, amid the writes.
            redis.restart(0);
            clock.sleep(REPLICATION).await;
            let (mut kept, mut lost) = (0, 0);
            let killed_at = {
                let mut killed_at = None;
                for (nth, key) in keys.iter().enumerate() {
                    let value = entry(&clock, 5, Some("v"));
                    if remote.fill(key, &value, TTL).await == Ok(Fill::Stored) {
                        acknowledged_at[nth] = clock.now();
                    }
                    if nth == 600 {
                        redis.kill_primary(0);
                        killed_at = Some(clock.now());
                        break;
                    }
                }
                killed_at.expect("killed")
            };
            comes_back(&clock, &redis).await;
            let held = remote.held(&keys[..=600]).await.expect("an answer");
            for (held, acknowledged) in held.iter().zip(&acknowledged_at) {
                let heard_of = *acknowledged + REPLICATION < killed_at;
                let is_new = *held == Some(Version(5));
                assert!(is_new || !heard_of, "acknowledged at {acknowledged:?}");
                kept += u64::from(is_new);
                lost += u64::from(!is_new);
            }
            // At some 70 us each, 20 ms are some 280 writes, of one primary of three in a Cluster.
            let expected = if topology == Topology::Cluster {
                60..130
            } else {
                250..320
            };
            assert!(
                expected.contains(&lost),
                "{topology:?}: {lost} lost, {kept} kept"
            );
        }
    });
}

#[test]
fn clients_are_refused_until_a_replica_takes_over() {
    run(async |clock: Clock| {
        let redis = slow(&clock, Topology::Sentinel);
        let remote = connect(&redis);
        let key = Key::new("item:1");
        let value = entry(&clock, 1, Some("v"));
        remote.fill(&key, &value, TTL).await.expect("stored");
        clock.sleep(REPLICATION).await;
        let before = redis.info();
        redis.kill_primary(0);
        let killed_at = clock.now();
        let refused = remote.get(&key).await.expect_err("nobody is there");
        assert!(matches!(refused, LayerError::Unreachable(..)), "{refused}");
        assert!(remote.subscribe().await.is_err());
        assert!(remote.queue("c1").await.is_err());
        assert!(append(&clock, &remote, 1, 1).await.is_err());
        assert_eq!(redis.info().used_memory.0, 0, "no primary, nothing to tell");
        until(&clock, "an answer", FAILOVER, async || {
            remote.get(&key).await.ok()
        })
        .await;
        let took = clock.now().since(killed_at);
        assert!(
            took > Duration::from_secs(2) && took < Duration::from_secs(5),
            "{took:?}"
        );
        let after = redis.info();
        assert!(after.total_commands_processed > before.total_commands_processed);
        assert!(after.keyspace_hits > before.keyspace_hits, "counts go on");
        assert!(after.used_cpu > before.used_cpu);
        // There is one replica left, then none.
        redis.kill_primary(0);
        clock.sleep(FAILOVER).await;
        assert!(redis.is_up());
        redis.kill_primary(0);
        clock.sleep(FAILOVER).await;
        assert!(!redis.is_up(), "nobody is left");
        redis.restart(0);
        assert_eq!(remote.get(&key).await, Ok(None), "and nothing was on disk");
    });
}

#[test]
fn without_failover_a_primary_is_gone_until_it_is_restarted() {
    run(async |clock: Clock| {
        for (topology, persistence) in [
            (Topology::Standalone, Persistence::None),
            (Topology::Replicated, Persistence::None),
            (Topology::Standalone, Persistence::Aof),
        ] {
            let mut config = config(topology);
            config.topology.persistence = persistence;
            let redis = deploy(&clock, config);
            let remote = connect(&redis);
            let key = Key::new("item:1");
            let value = entry(&clock, 1, Some("v"));
            remote.fill(&key, &value, TTL).await.expect("stored");
            let hits = redis.info().keyspace_hits;
            redis.kill_primary(0);
            clock.sleep(FAILOVER).await;
            assert!(remote.get(&key).await.is_err());
            redis.restart(0);
            let held = remote.get(&key).await.expect("an answer");
            assert_eq!(held.is_some(), persistence == Persistence::Aof);
            let after = redis.info();
            assert!(after.keyspace_hits + after.keyspace_misses > hits);
            assert_eq!(
                after.calls_of("evalsha"),
                1,
                "what was counted before stays"
            );
        }
    });
}

#[test]
fn listeners_are_cut_off_and_listen_anew() {
    run(async |clock: Clock| {
        for topology in [Topology::Sentinel, Topology::Cluster] {
            let redis = slow(&clock, topology);
            for tracked in [vec![], vec!["item:".to_owned()]] {
                let remote = connect(&redis).tracking(tracked);
                let mut subscription = remote.subscribe().await.expect("subscribed");
                let told = notice("item:1");
                remote.publish(&told).await.expect("published");
                let heard = clock.timeout(LAG, subscription.next()).await;
                assert_eq!(heard, Ok(Some(told.clone())));
                for shard in 0..redis.primaries() {
                    redis.kill_primary(shard);
                }
                let heard = clock.timeout(LAG, subscription.next()).await;
                assert_eq!(heard, Ok(None), "told at once");
                let mut again = until(&clock, "a subscription", FAILOVER, async || {
                    remote.subscribe().await.ok()
                })
                .await;
                until(&clock, "a notice", FAILOVER, async || {
                    remote.publish(&told).await.ok()
                })
                .await;
                let heard = clock.timeout(LAG, again.next()).await;
                assert_eq!(heard, Ok(Some(told)));
                for shard in 0..redis.primaries() {
                    redis.restart(shard);
                }
            }
        }
    });
}

#[test]
fn the_queue_is_found_again_with_what_replicas_had_of_it() {
    run(async |clock: Clock| {
        for topology in [Topology::Sentinel, Topology::Cluster] {
            let redis = slow(&clock, topology);
            let remote = connect(&redis);
            let mut queue = remote.queue("c1").await.expect("a queue");
            for user in 0..60 {
                append(&clock, &remote, user, 1).await.expect("accepted");
            }
            let held = until(&clock, "a batch", LAG, async || {
                let batch = queue.next_batch(10).await.expect("an answer");
                (!batch.is_empty()).then_some(batch)
            })
            .await;
            clock.sleep(REPLICATION).await;
            // Not heard of: an acknowledgement and some writes.
            let ids: Vec<_> = held.iter().map(|given| given.id.clone()).collect();
            queue.acknowledge(&ids).await.expect("acknowledged");
            for user in 60..70 {
                append(&clock, &remote, user, 1).await.expect("accepted");
            }
            for shard in 0..redis.primaries() {
                redis.kill_primary(shard);
            }
            assert!(
                queue.next_batch(10).await.is_err(),
                "the connection is lost"
            );
            comes_back(&clock, &redis).await;
            if topology == Topology::Sentinel {
                assert!(queue.next_batch(10).await.is_err(), "and stays lost");
            }
            let mut queue = remote.queue("c1").await.expect("a queue");
            assert_eq!(queue.waiting().await.expect("an answer").writes, 60);
            let mut again = Vec::new();
            for _ in 0..40 {
                let back = queue.take_back(None, 10, u32::MAX).await;
                again.extend(back.expect("an answer").deliveries);
            }
            assert!(again.iter().any(|given| given.id == ids[0]), "undone");
            queue.acknowledge(&ids).await.expect("acknowledged");
            let rest = 60 - ids.len();
            assert_eq!(take(&clock, &remote, "c1", rest).await.len(), rest);
        }
    });
}
