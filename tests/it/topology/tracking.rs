//! Client tracking: every primary tells of its own keys, so all of them are listened to.

use cachestorm::clock::Clock;
use cachestorm::engine::data_type::Key;
use cachestorm::engine::layer::{Fill, Notice, Remote, Subscription, Version};
use cachestorm::engine::remote::redis::{RedisRemote, Topology};
use cachestorm::environment::redis_topology::TopologyConfig;

use super::{FAILOVER, LAG, TTL, connect, entry, items, notice, start, until, view};
use crate::resilience::Stopped;

async fn connect_tracking(url: &str) -> RedisRemote {
    let remote = connect(url).await.expect("connected");
    remote.tracking(vec!["activity:".to_owned(), "item:".to_owned()])
}

/// Waits until all of `keys` were told to have changed.
async fn hears_of(subscription: &mut impl Subscription, mut keys: Vec<String>) {
    until("a notice of every key", LAG, async || {
        let heard = Clock::real().timeout(LAG, subscription.next()).await;
        if let Ok(Some(Notice::Changed(changed))) = heard {
            keys.retain(|key| !changed.contains(key));
        }
        keys.is_empty().then_some(())
    })
    .await;
}

async fn changes_everywhere(remote: &RedisRemote, subscription: &mut impl Subscription) {
    let activities = (0..40).map(|n| Key::new(format!("activity:{n}:1")));
    let keys: Vec<Key> = items(40).into_iter().chain(activities).collect();
    for key in &keys {
        let filled = remote.fill(key, &entry(3), TTL).await;
        assert_eq!(filled, Ok(Fill::Stored));
    }
    let names = || keys.iter().map(Key::to_string).collect::<Vec<_>>();
    hears_of(subscription, names()).await;
    // A purge of what is not held must be told, too: another instance may hold it.
    for _ in 0..2 {
        remote.invalidate(&keys, Version(0)).await.expect("dropped");
        hears_of(subscription, names()).await;
    }
    // What instances say comes the same way.
    let told = notice("item:1");
    remote.publish(&told).await.expect("published");
    until("the notice", LAG, async || {
        let heard = Clock::real().timeout(LAG, subscription.next()).await;
        (heard == Ok(Some(told.clone()))).then_some(())
    })
    .await;
}

#[tokio::test]
async fn live_every_primary_of_a_cluster_tells_of_its_keys_and_its_death_is_noticed() {
    let mut redis = start(&TopologyConfig::of(Topology::Cluster)).await;
    let remote = connect_tracking(redis.url()).await;
    let mut subscription = remote.subscribe().await.expect("subscribed");
    changes_everywhere(&remote, &mut subscription).await;

    // Any of them, not only the one that notices come from.
    let dead = view(redis.url()).await.shards.remove(2).primary;
    assert!(redis.crash(&dead));
    until("the end of the subscription", LAG, async || {
        let heard = Clock::real().timeout(LAG, subscription.next()).await;
        (heard == Ok(None)).then_some(())
    })
    .await;
    until("every primary to tell again", FAILOVER, async || {
        for key in items(40) {
            remote.fill(&key, &entry(2), TTL).await.ok()?;
        }
        let mut subscription = remote.subscribe().await.ok()?;
        changes_everywhere(&remote, &mut subscription).await;
        Some(())
    })
    .await;
}

#[tokio::test]
async fn live_tracking_follows_to_the_new_primary() {
    let topology = TopologyConfig {
        replicas: 1,
        ..TopologyConfig::of(Topology::Sentinel)
    };
    let mut redis = start(&topology).await;
    let remote = connect_tracking(redis.url()).await;
    let mut subscription = remote.subscribe().await.expect("subscribed");
    changes_everywhere(&remote, &mut subscription).await;
    let dead = view(redis.url()).await.shards.remove(0).primary;
    assert!(redis.crash(&dead));
    until("the end of the subscription", LAG, async || {
        let heard = Clock::real().timeout(LAG, subscription.next()).await;
        (heard == Ok(None)).then_some(())
    })
    .await;
    let mut subscription = until("a subscription at the new primary", FAILOVER, async || {
        let subscription = remote.subscribe().await.ok()?;
        remote
            .fill(&items(1)[0], &entry(2), TTL)
            .await
            .ok()
            .map(|_| subscription)
    })
    .await;
    changes_everywhere(&remote, &mut subscription).await;
}

/// Neither a failover nor a broken connection tells of it: only that it does not answer.
#[tokio::test]
async fn live_a_primary_that_hangs_is_noticed_though_notices_come_from_another() {
    let topology = TopologyConfig {
        replicas: 0,
        ..TopologyConfig::of(Topology::Cluster)
    };
    let redis = start(&topology).await;
    let remote = connect_tracking(redis.url()).await;
    let mut subscription = remote.subscribe().await.expect("subscribed");
    let last = view(redis.url()).await.shards.remove(2).primary;
    let server = redis.nodes().iter().find(|node| node.address() == last);
    let hung = Stopped::stop(server.expect("one of ours").pid());
    until("the end of the subscription", FAILOVER, async || {
        let heard = Clock::real().timeout(LAG, subscription.next()).await;
        (heard == Ok(None)).then_some(())
    })
    .await;
    drop(hung);
}
