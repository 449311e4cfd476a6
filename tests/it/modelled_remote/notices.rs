//! Notices over a modelled Redis: late, now and then lost, never out of order.

use std::time::Duration;

use cachestorm::clock::Clock;
use cachestorm::engine::data_type::Key;
use cachestorm::engine::layer::{InvalidationEvent, Notice, Remote, Subscription};
use cachestorm::environment::modelled_redis::deployment::ModelledRedisConfig;
use cachestorm::environment::modelled_redis::pubsub::PubSubModel;
use cachestorm::environment::redis_topology::Topology;
use cachestorm::units::Ratio;

use super::{config, connect, deploy, run, uneven};
use crate::conformance::{LAG, TTL, entry, tells_of_changes_everywhere};

fn numbered(sequence: u64) -> Notice {
    Notice::Invalidated(InvalidationEvent {
        publisher: 1,
        sequence,
        ..InvalidationEvent::default()
    })
}

#[test]
fn a_share_of_the_notices_is_lost_for_each_listener_by_itself() {
    run(async |clock: Clock| {
        const NOTICES: u64 = 2_000;
        let redis = deploy(
            &clock,
            ModelledRedisConfig {
                pubsub: PubSubModel {
                    delay: uneven(),
                    loss: Ratio(0.2),
                },
                ..config(Topology::Standalone)
            },
        );
        let remote = connect(&redis);
        let mut listeners = Vec::new();
        for _ in 0..2 {
            listeners.push(remote.subscribe().await.expect("subscribed"));
        }
        for sequence in 0..NOTICES {
            let published = remote.publish(&numbered(sequence)).await;
            published.expect("published");
        }
        let mut heard = Vec::new();
        for listener in &mut listeners {
            let mut of_this = Vec::new();
            while let Ok(Some(Notice::Invalidated(event))) =
                clock.timeout(LAG, listener.next()).await
            {
                of_this.push(event.sequence);
            }
            assert!(of_this.is_sorted(), "nothing overtakes");
            heard.push(of_this);
        }
        // Four standard errors of a binomial share.
        for of_this in &heard {
            let share = of_this.len() as f64 / NOTICES as f64;
            assert!((share - 0.8).abs() < 0.036, "{share} of all were heard");
        }
        assert!(heard[0] != heard[1], "each loses others");
    });
}

#[test]
fn servers_tell_of_changes_in_every_topology() {
    run(async |clock: Clock| {
        for topology in [
            Topology::Standalone,
            Topology::Replicated,
            Topology::Sentinel,
            Topology::Cluster,
        ] {
            let redis = deploy(&clock, config(topology));
            let tracked = vec!["activity:".to_owned(), "item:".to_owned()];
            let remote = connect(&redis).tracking(tracked);
            assert!(remote.announces_changes());
            let mut subscription = remote.subscribe().await.expect("subscribed");
            tells_of_changes_everywhere(&clock, &remote, &mut subscription).await;
            // What ends by itself is told, too; what begins otherwise is not.
            let (key, other) = (Key::new("item:ends"), Key::new("other:1"));
            let value = entry(&clock, 1, Some("v"));
            for key in [&other, &key] {
                let filled = remote.fill(key, &value, Duration::from_secs(1)).await;
                filled.expect("stored");
            }
            let heard = async |subscription: &mut _| {
                let next = clock.timeout(LAG, Subscription::next(subscription)).await;
                next.ok().flatten()
            };
            let changed = Some(Notice::Changed(vec!["item:ends".to_owned()]));
            assert_eq!(heard(&mut subscription).await, changed);
            clock.sleep(Duration::from_secs(2)).await;
            remote.get(&key).await.expect("an answer");
            assert_eq!(heard(&mut subscription).await, changed);
            remote.get(&key).await.expect("an answer");
            assert_eq!(heard(&mut subscription).await, None, "reads change nothing");
        }
    });
}

#[test]
fn whoever_leaves_is_told_no_more_and_takes_no_memory() {
    run(async |clock: Clock| {
        let redis = deploy(&clock, config(Topology::Standalone));
        let remote = connect(&redis);
        let before = redis.info();
        let subscription = remote.subscribe().await.expect("subscribed");
        assert_eq!(redis.info().connected_clients, before.connected_clients + 1);
        drop(subscription);
        let after = redis.info();
        assert_eq!(after.connected_clients, before.connected_clients);
        remote.publish(&numbered(1)).await.expect("published");
        let filled = remote
            .fill(&Key::new("item:1"), &entry(&clock, 1, Some("v")), TTL)
            .await;
        filled.expect("stored");
    });
}
