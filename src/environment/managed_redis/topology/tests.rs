//! Tests of [`super`] against the real redis-server.

use super::*;
use crate::engine::remote::redis::{Surveyor, View};
use crate::environment::EvictionPolicy;
use crate::environment::redis_topology::Persistence;

const CONFIG: RedisConfig = RedisConfig {
    maxmemory: None,
    policy: EvictionPolicy::Noeviction,
};

async fn start(topology: &TopologyConfig) -> ManagedTopology {
    let started = ManagedTopology::start(&CONFIG, topology, &Clock::real()).await;
    started.expect("the servers come up")
}

async fn view(redis: &ManagedTopology) -> View {
    let nodes = Nodes::open(redis.url()).expect("a URL of ours");
    Surveyor::new(nodes).survey().await.expect("a view")
}

fn folders(redis: &ManagedTopology) -> Vec<std::path::PathBuf> {
    let servers = redis.nodes.iter().chain(&redis.sentinels);
    servers
        .map(|server| server.process.folder().to_owned())
        .collect()
}

async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let clock = Clock::real();
    let deadline = clock.now() + Duration::from_secs(10);
    while !done() {
        assert!(clock.now() < deadline, "waited in vain for: {what}");
        clock.sleep(SYNC_POLL).await;
    }
}

#[tokio::test]
async fn live_a_cluster_stands_together_and_leaves_nothing() {
    let mut redis = start(&TopologyConfig::of(Topology::Cluster)).await;
    let seen = view(&redis).await;
    let shape: Vec<usize> = seen
        .shards
        .iter()
        .map(|shard| shard.replicas.len())
        .collect();
    assert_eq!(shape, [1, 1, 1]);
    let slots: Vec<_> = seen
        .shards
        .iter()
        .flat_map(|shard| shard.slots.clone())
        .collect();
    assert_eq!(slots, [(0, 5_460), (5_461, 10_921), (10_922, 16_383)]);
    assert_eq!(redis.died(), None);
    let folders = folders(&redis);
    assert_eq!(folders.len(), 6);
    // The replica of the first primary is node number 3: with it the last heir is gone.
    let (primary, replica) = (redis.nodes[0].address(), redis.nodes[3].address());
    assert!(redis.crash(&primary));
    until("the death to be seen", || redis.nodes[0].died().is_some()).await;
    assert_eq!(redis.died(), None, "its replica takes over");
    assert!(redis.crash(&replica));
    until("the end to be seen", || redis.died().is_some()).await;
    redis.stop().await.expect("they stop");
    assert!(folders.iter().all(|folder| !folder.exists()));
}

#[tokio::test]
async fn live_sentinels_watch_with_a_password_over_tls() {
    let topology = TopologyConfig {
        password: Some("se\"cr et".to_owned()),
        tls: true,
        replicas: 1,
        persistence: Persistence::Aof,
        ..TopologyConfig::of(Topology::Sentinel)
    };
    let redis = start(&topology).await;
    assert!(
        redis.url().starts_with("rediss+sentinel://:"),
        "{}",
        redis.url()
    );
    let seen = view(&redis).await;
    assert_eq!(seen.shards[0].primary, redis.nodes()[0].address());
    assert_eq!(seen.shards[0].replicas, [redis.nodes()[1].address()]);
    assert!(
        redis.nodes[0]
            .process
            .folder()
            .join("appendonlydir")
            .is_dir()
    );
    let folders = folders(&redis);
    drop(redis);
    assert!(folders.iter().all(|folder| !folder.exists()));
}

#[tokio::test]
async fn live_replicas_follow_and_the_end_of_their_primary_is_the_end() {
    let topology = TopologyConfig {
        persistence: Persistence::RdbAndAof,
        ..TopologyConfig::of(Topology::Replicated)
    };
    let mut redis = start(&topology).await;
    let seen = view(&redis).await;
    assert_eq!(seen.shards[0].replicas.len(), 2);
    let (primary, replica) = (redis.nodes()[0].address(), redis.nodes()[1].address());
    redis.crash(&replica);
    until("the death to be seen", || redis.nodes[1].died().is_some()).await;
    assert_eq!(redis.died(), None);
    redis.crash(&primary);
    until("the end to be seen", || redis.died().is_some()).await;
    assert!(
        !redis.crash(&NodeAddress::new("127.0.0.1", 1)),
        "there is no such server"
    );
}
