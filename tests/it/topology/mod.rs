//! The remote layer over every topology of Redis: what it promises holds in all of them, and when a
//! primary dies it goes on. One body for all; real servers.

mod conformance;
mod failover;
mod queue;
mod runs;
mod tracking;

use std::time::Duration;

use cachestorm::clock::{Clock, Timestamp};
use cachestorm::engine::data_type::Key;
use cachestorm::engine::layer::{Entry, LayerError, QueuedWrite, Version};
use cachestorm::engine::remote::redis::{Nodes, RedisOptions, RedisRemote, Surveyor, View};
use cachestorm::environment::managed_redis::topology::ManagedTopology;
use cachestorm::environment::redis_topology::TopologyConfig;
use cachestorm::environment::{EvictionPolicy, RedisConfig};

use crate::conformance::{self as promises, ITEM, LAG, TTL, items, notice, policies};

/// How long a failover may take: the nodes must be silent for 2 s before anybody acts, and this
/// machine may be busy.
const FAILOVER: Duration = Duration::from_secs(30);

async fn start(topology: &TopologyConfig) -> ManagedTopology {
    let config = RedisConfig {
        maxmemory: None,
        policy: EvictionPolicy::Noeviction,
    };
    let started = ManagedTopology::start(&config, topology, &Clock::real()).await;
    started.expect("the servers come up")
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
    promises::entry(&Clock::real(), version, Some("v"))
}

fn write(user: usize, n: u64, accepted_at: Timestamp) -> QueuedWrite {
    QueuedWrite {
        accepted_at,
        ..promises::write(&Clock::real(), user, n)
    }
}

/// Tries until `attempt` gives something; fails the test if it does not within `limit`.
async fn until<T>(what: &str, limit: Duration, attempt: impl AsyncFnMut() -> Option<T>) -> T {
    promises::until(&Clock::real(), what, limit, attempt).await
}

/// Waits until a lookup gives the row of this version, or nothing. Replicas need a moment.
async fn shows(remote: &RedisRemote, key: &Key, version: Option<u64>) {
    promises::shows(&Clock::real(), remote, key, version).await;
}

/// Appends a write, and gives the version that the queue gave it.
async fn append(remote: &RedisRemote, user: usize, n: u64) -> Result<Version, LayerError> {
    promises::append(&Clock::real(), remote, user, n).await
}

/// Takes `count` writes from the queue, in small batches, and acknowledges them.
async fn take(remote: &RedisRemote, consumer: &str, count: usize) -> Vec<QueuedWrite> {
    promises::take(&Clock::real(), remote, consumer, count).await
}
