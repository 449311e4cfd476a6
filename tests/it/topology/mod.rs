//! The remote layer over every topology of Redis: what it promises holds in all of them, and when a
//! primary dies it goes on. One body for all; real servers.

mod conformance;
mod failover;
mod queue;
mod runs;
mod tracking;

use std::time::Duration;

use bytes::Bytes;
use cachestorm::clock::{Clock, Timestamp};
use cachestorm::engine::data_type::{DataType, DataTypeId, Key, PolicyTable, Strategy};
use cachestorm::engine::layer::{
    Appended, Entry, Generation, InvalidationEvent, LayerError, Notice, Queue, QueueId,
    QueuedWrite, Remote, Row, Version,
};
use cachestorm::engine::remote::redis::{Nodes, RedisOptions, RedisRemote, Surveyor, View};
use cachestorm::environment::managed_redis::topology::ManagedTopology;
use cachestorm::environment::redis_topology::TopologyConfig;
use cachestorm::environment::{EvictionPolicy, RedisConfig};

/// More than any of these tests appends, also in a sixteenth of it.
const QUEUE_MAX: u64 = 100_000;
const TTL: Duration = Duration::from_mins(5);
/// How long a replica may take to hear of a write.
const LAG: Duration = Duration::from_secs(5);
/// How long a failover may take: the nodes must be silent for 2 s before anybody acts, and this
/// machine may be busy.
const FAILOVER: Duration = Duration::from_secs(30);
const ITEM: DataTypeId = DataTypeId(0);
const ACTIVITY: DataTypeId = DataTypeId(1);

async fn start(topology: &TopologyConfig) -> ManagedTopology {
    let config = RedisConfig {
        maxmemory: None,
        policy: EvictionPolicy::Noeviction,
    };
    let started = ManagedTopology::start(&config, topology, &Clock::real()).await;
    started.expect("the servers come up")
}

fn policies() -> PolicyTable {
    let row = |name: &str, key: &str, strategy| {
        DataType::new(name, key.parse().expect("a key pattern"), strategy, TTL)
    };
    PolicyTable::new(vec![
        row("item", "item:{id}", Strategy::CacheAside),
        row("activity", "activity:{user}:{n}", Strategy::WriteBehind),
    ])
}

async fn connect(url: &str) -> Result<RedisRemote, LayerError> {
    let options = RedisOptions {
        url: url.to_owned(),
        prefix: "test:".to_owned(),
        connections: 2,
        timeout: Duration::from_secs(1),
    };
    Ok(RedisRemote::connect(options).await?.serving(&policies()))
}

async fn view(url: &str) -> View {
    let nodes = Nodes::open(url).expect("a URL of ours");
    Surveyor::new(nodes).survey().await.expect("a view")
}

fn entry(version: u64) -> Entry {
    let now = Clock::real().now();
    Entry {
        row: Row {
            value: Some(Bytes::from(format!("v{version}"))),
            version: Version(version),
            committed_at: now,
            as_of: Version(version),
        },
        fetched_at: now,
        fresh_until: now + TTL,
        load_time: Duration::from_millis(1),
        generation: Generation(1),
    }
}

fn items(count: usize) -> Vec<Key> {
    (0..count).map(|n| Key::new(format!("item:{n}"))).collect()
}

fn notice(key: &str) -> Notice {
    Notice::Invalidated(InvalidationEvent {
        publisher: 1,
        keys: vec![key.to_owned()],
        version: 7,
        ..InvalidationEvent::default()
    })
}

/// Tries until `attempt` gives something; fails the test if it does not within `limit`.
async fn until<T>(what: &str, limit: Duration, mut attempt: impl AsyncFnMut() -> Option<T>) -> T {
    let clock = Clock::real();
    let deadline = clock.now() + limit;
    loop {
        if let Some(done) = attempt().await {
            return done;
        }
        assert!(clock.now() < deadline, "waited in vain: {what}");
        clock.sleep(Duration::from_millis(10)).await;
    }
}

/// Waits until a lookup gives the row of this version, or nothing. Replicas need a moment.
async fn shows(remote: &RedisRemote, key: &Key, version: Option<u64>) {
    until(&format!("{key} at version {version:?}"), LAG, async || {
        let held = remote.get(key).await.expect("an answer");
        (held.map(|entry| entry.row.version.0) == version).then_some(())
    })
    .await;
}

fn write(user: usize, n: u64, accepted_at: Timestamp) -> QueuedWrite {
    QueuedWrite {
        data_type: ACTIVITY,
        key: Key::new(format!("activity:{user}:{n}")),
        value: Bytes::from("click"),
        version: Version(0),
        accepted_at,
    }
}

/// Appends a write, and gives the version that the queue gave it.
async fn append(remote: &RedisRemote, user: usize, n: u64) -> Result<Version, LayerError> {
    let write = write(user, n, Clock::real().now());
    match remote.append(&write, &entry(n), TTL, QUEUE_MAX).await? {
        Appended::Queued(version) => Ok(version),
        full @ Appended::Full(_) => panic!("{full:?} with so few writes"),
    }
}

/// Takes `count` writes from the queue, in small batches, and acknowledges them.
async fn take(remote: &RedisRemote, consumer: &str, count: usize) -> Vec<QueuedWrite> {
    let mut queue = remote.queue(consumer).await.expect("a queue");
    let mut taken = Vec::new();
    until(&format!("{count} writes in the queue"), LAG, async || {
        let batch = queue.next_batch(7).await.expect("an answer");
        assert!(
            batch.len() <= 7,
            "{} is more than was asked for",
            batch.len()
        );
        let ids: Vec<QueueId> = batch.iter().map(|given| given.id.clone()).collect();
        queue.acknowledge(&ids).await.expect("acknowledged");
        taken.extend(
            batch
                .into_iter()
                .map(|given| given.write.expect("readable")),
        );
        (taken.len() >= count).then_some(())
    })
    .await;
    taken
}
