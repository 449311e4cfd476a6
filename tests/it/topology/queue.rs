//! The queue of write-behind when servers die: what replicas had is there, and what is lost is told.

use std::collections::BTreeSet;

use cachestorm::clock::Clock;
use cachestorm::engine::layer::{Appended, Queue, QueueId, Remote};
use cachestorm::engine::remote::redis::{NodeAddress, Nodes, RedisRemote, Topology};
use cachestorm::environment::redis_topology::TopologyConfig;

use super::{FAILOVER, LAG, append, connect, entry, start, take, until, view, write};

async fn ask(url: &str, node: &NodeAddress, words: &[&str]) -> redis::Value {
    let nodes = Nodes::open(url).expect("a URL of ours");
    let connection = nodes.connect(node, LAG).await;
    let mut command = redis::cmd(words[0]);
    command.arg(&words[1..]);
    let answer = command
        .query_async(&mut connection.expect("connected"))
        .await;
    answer.expect("an answer")
}

/// Redis promises this to nobody who does not ask: so ask. `WAIT` counts for the connection's own
/// writes, so the offsets are compared instead.
async fn replicas_have_all(url: &str) {
    let offset = async |node: &NodeAddress| match ask(url, node, &["INFO", "replication"]).await {
        redis::Value::VerbatimString { text, .. } => text,
        redis::Value::BulkString(bytes) => String::from_utf8(bytes).expect("text"),
        other => panic!("{other:?}"),
    };
    let field = |text: &str, name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.map(|value| value.trim().to_owned()).expect("a field")
    };
    for shard in view(url).await.shards {
        let sent = field(&offset(&shard.primary).await, "master_repl_offset:");
        let sent: u64 = sent.parse().expect("a number");
        for replica in &shard.replicas {
            until("a replica to have everything", LAG, async || {
                let got = field(&offset(replica).await, "slave_repl_offset:");
                (got.parse::<u64>().expect("a number") >= sent).then_some(())
            })
            .await;
        }
    }
}

/// A primary dies with writes in the queue, some of them delivered and not acknowledged.
async fn survives(topology: Topology) {
    let topology = TopologyConfig {
        replicas: 1,
        ..TopologyConfig::of(topology)
    };
    let mut redis = start(&topology).await;
    let remote = connect(redis.url()).await.expect("connected");
    for user in 0..60 {
        append(&remote, user, 1).await.expect("accepted");
    }
    let mut queue = remote.queue("c1").await.expect("a queue");
    let held = until("a batch", LAG, async || {
        let batch = queue.next_batch(10).await.expect("an answer");
        (!batch.is_empty()).then_some(batch)
    })
    .await;
    replicas_have_all(redis.url()).await;
    let dead = view(redis.url()).await.shards.remove(0).primary;
    assert!(redis.crash(&dead));

    let mut seen: BTreeSet<String> = BTreeSet::new();
    until("every write", FAILOVER, async || {
        let mut queue = remote.queue("c1").await.ok()?;
        let mut given = queue.take_back(None, 20, u32::MAX).await.ok()?.deliveries;
        given.extend(queue.next_batch(20).await.ok()?);
        let ids: Vec<QueueId> = given.iter().map(|given| given.id.clone()).collect();
        seen.extend(
            given
                .into_iter()
                .map(|given| given.write.expect("readable").key.to_string()),
        );
        queue.acknowledge(&ids).await.ok()?;
        (seen.len() == 60).then_some(())
    })
    .await;
    assert!(!held.is_empty());
}

#[tokio::test]
async fn live_what_replicas_have_of_a_queue_outlives_a_primary_of_a_cluster() {
    survives(Topology::Cluster).await;
}

#[tokio::test]
async fn live_what_replicas_have_of_the_queue_outlives_the_primary_under_sentinel() {
    survives(Topology::Sentinel).await;
}

/// How many wait in `stream`.
async fn length(url: &str, node: &NodeAddress, stream: &str) -> u64 {
    match ask(url, node, &["XLEN", stream]).await {
        redis::Value::Int(count) => u64::try_from(count).expect("a length"),
        other => panic!("{other:?}"),
    }
}

async fn looks(remote: &RedisRemote) -> u64 {
    let mut queue = remote.queue("c1").await.expect("a queue");
    queue.waiting().await.expect("an answer").writes
}

#[tokio::test]
async fn live_a_cluster_that_loses_one_stream_of_the_queue_says_how_much_was_lost() {
    let topology = TopologyConfig {
        replicas: 0,
        ..TopologyConfig::of(Topology::Cluster)
    };
    let redis = start(&topology).await;
    let url = redis.url();
    let remote = connect(url).await.expect("connected");
    for user in 0..60 {
        append(&remote, user, 1).await.expect("accepted");
    }
    assert_eq!(looks(&remote).await, 60);

    let shard = view(url).await.shards.remove(0);
    let found = ask(url, &shard.primary, &["KEYS", "test:write-behind:*"]).await;
    let streams: Vec<String> = redis::from_redis_value(found).expect("keys");
    let mut lost = 0;
    for stream in &streams {
        lost += length(url, &shard.primary, stream).await;
        ask(url, &shard.primary, &["DEL", stream]).await;
    }
    assert!((1..60).contains(&lost), "{lost} of 60 in {streams:?}");

    let mut queue = remote.queue("c1").await.expect("a queue");
    assert!(!queue.is_new(), "most of it is there");
    let back = queue
        .take_back(None, 10, u32::MAX)
        .await
        .expect("an answer");
    assert_eq!(back.vanished, lost);
    let back = queue
        .take_back(None, 10, u32::MAX)
        .await
        .expect("an answer");
    assert_eq!(back.vanished, 0, "told once");
    let rest = usize::try_from(60 - lost).expect("small");
    assert_eq!(take(&remote, "c1", rest).await.len(), rest);
    assert_eq!(looks(&remote).await, 0);
}

#[tokio::test]
async fn live_no_more_writes_wait_in_a_cluster_than_may() {
    let topology = TopologyConfig {
        replicas: 0,
        ..TopologyConfig::of(Topology::Cluster)
    };
    let redis = start(&topology).await;
    let remote = connect(redis.url()).await.expect("connected");
    let clock = Clock::real();
    let (mut queued, mut full) = (0, 0);
    for user in 0..400 {
        let write = write(user, 1, clock.now());
        let entry = entry(1);
        match remote.append(&write, &entry, super::TTL, 32).await {
            Ok(Appended::Queued(_)) => queued += 1,
            Ok(Appended::Full(_)) => full += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!((queued, full), (32, 368), "every stream takes its share");
    assert_eq!(looks(&remote).await, 32);
}
