//! Client tracking: every primary tells of its own keys, so all of them are listened to.

use cachestorm::clock::Clock;
use cachestorm::engine::layer::{Remote, Subscription};
use cachestorm::engine::remote::redis::{RedisRemote, Topology};
use cachestorm::environment::redis_topology::TopologyConfig;

use super::{FAILOVER, LAG, TTL, connect, entry, items, start, until, view};
use crate::conformance::tells_of_changes_everywhere;
use crate::resilience::Stopped;

async fn connect_tracking(url: &str) -> RedisRemote {
    let remote = connect(url).await.expect("connected");
    remote.tracking(vec!["activity:".to_owned(), "item:".to_owned()])
}

async fn changes_everywhere(remote: &RedisRemote, subscription: &mut impl Subscription) {
    tells_of_changes_everywhere(&Clock::real(), remote, subscription).await;
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
