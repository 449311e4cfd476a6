//! Several servers of our own that stand together: a primary with replicas, Sentinels, a Cluster.
//!
//! Each server is a [`ManagedRedis`] with a folder and a watchdog of its own, so that whatever
//! happens to us, none of them stays. Built from the server's program alone.

use std::time::Duration;

use futures_util::future::try_join_all;

use super::settings::{Role, SENTINELS, SERVICE, Settings};
use super::tls::Certificate;
use super::{ASK_LIMIT, ManagedRedis, cluster, sentinel};
use crate::clock::Clock;
use crate::engine::remote::redis::{NodeAddress, Nodes, Topology};
use crate::environment::RedisConfig;
use crate::environment::error::EnvironmentError;
use crate::environment::redis_topology::TopologyConfig;

/// How long replicas may take to follow their primary.
const SYNC_LIMIT: Duration = Duration::from_secs(20);
const SYNC_POLL: Duration = Duration::from_millis(20);

/// Running servers that end with this value, or with our process.
#[derive(Debug)]
pub struct ManagedTopology {
    config: TopologyConfig,
    /// The primaries of the beginning, then their replicas: those of the first, of the second, …
    nodes: Vec<ManagedRedis>,
    sentinels: Vec<ManagedRedis>,
    url: String,
}

impl ManagedTopology {
    /// Starts the servers and waits until they stand together. `config` is that of each server.
    pub async fn start(
        config: &RedisConfig,
        topology: &TopologyConfig,
        clock: &Clock,
    ) -> Result<Self, EnvironmentError> {
        let certificate = topology.tls.then(Certificate::make).transpose()?;
        let settings = Settings {
            persistence: topology.persistence,
            password: topology.password.clone(),
            certificate,
            ..Settings::alone(config)
        };
        let (nodes, sentinels) = match topology.topology {
            Topology::Standalone => {
                let node = ManagedRedis::start_with(&settings, clock).await?;
                (vec![node], Vec::new())
            }
            Topology::Replicated => (replicated(&settings, topology, clock).await?, Vec::new()),
            Topology::Sentinel => {
                let nodes = replicated(&settings, topology, clock).await?;
                let sentinels = watched(&settings, &nodes, clock).await?;
                sentinel::formed(&sentinels, topology.replicas, clock).await?;
                (nodes, sentinels)
            }
            Topology::Cluster => (clustered(&settings, topology, clock).await?, Vec::new()),
        };
        let url = url_of(topology.topology, &nodes, &sentinels);
        Ok(Self {
            config: topology.clone(),
            nodes,
            sentinels,
            url,
        })
    }

    /// Where it is, for [`Nodes::open`]; with the password, if there is one.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The servers' version, such as `7.0.15`.
    pub fn version(&self) -> &str {
        self.nodes[0].version()
    }

    /// How it is set up.
    pub fn config(&self) -> &TopologyConfig {
        &self.config
    }

    /// The servers that hold data, dead ones included.
    pub fn nodes(&self) -> &[ManagedRedis] {
        &self.nodes
    }

    /// The Sentinels, if there are any.
    pub fn sentinels(&self) -> &[ManagedRedis] {
        &self.sentinels
    }

    /// Kills the server at `address`, as a crash would. Gives whether there is one.
    pub fn crash(&mut self, address: &NodeAddress) -> bool {
        let mut servers = self.nodes.iter_mut().chain(&mut self.sentinels);
        let found = servers.find(|server| server.address() == *address);
        found.map(ManagedRedis::crash).is_some()
    }

    /// How it ended, if nobody is left who could take over; `None` while it serves, or will again.
    /// Never waits.
    pub fn died(&mut self) -> Option<String> {
        let deaths: Vec<Option<String>> = self.nodes.iter_mut().map(ManagedRedis::died).collect();
        let primaries = usize::from(self.config.primaries.max(1)).min(deaths.len());
        let replicas = usize::from(self.config.replicas);
        (0..primaries).find_map(|at| {
            let death = deaths[at].clone()?;
            let from = primaries + at * replicas;
            let heirs = deaths.get(from..from + replicas).unwrap_or_default();
            let taken_over = self.config.topology.fails_over() && heirs.iter().any(Option::is_none);
            (!taken_over).then_some(death)
        })
    }

    /// Ends every server, waits until they are gone and removes their folders.
    pub async fn stop(self) -> Result<(), EnvironmentError> {
        // Sentinels first: they would take the end of the others for a failure.
        let servers = self.sentinels.into_iter().chain(self.nodes);
        let ends = futures_util::future::join_all(servers.map(ManagedRedis::stop)).await;
        ends.into_iter().collect()
    }
}

/// A primary and its replicas, in step.
async fn replicated(
    settings: &Settings,
    topology: &TopologyConfig,
    clock: &Clock,
) -> Result<Vec<ManagedRedis>, EnvironmentError> {
    let primary = ManagedRedis::start_with(settings, clock).await?;
    let follower = Settings {
        role: Role::ReplicaOf(primary.port),
        ..settings.clone()
    };
    let starting = (0..topology.replicas).map(|_| ManagedRedis::start_with(&follower, clock));
    let mut nodes = vec![primary];
    nodes.extend(try_join_all(starting).await?);
    for replica in &nodes[1..] {
        in_sync(replica, clock).await?;
    }
    Ok(nodes)
}

/// The Sentinels of the first of `nodes`.
async fn watched(
    settings: &Settings,
    nodes: &[ManagedRedis],
    clock: &Clock,
) -> Result<Vec<ManagedRedis>, EnvironmentError> {
    let watcher = Settings {
        role: Role::Sentinel(nodes[0].port),
        ..settings.clone()
    };
    try_join_all((0..SENTINELS).map(|_| ManagedRedis::start_with(&watcher, clock))).await
}

async fn clustered(
    settings: &Settings,
    topology: &TopologyConfig,
    clock: &Clock,
) -> Result<Vec<ManagedRedis>, EnvironmentError> {
    let member = Settings {
        // Each finds its own.
        role: Role::ClusterNode { bus: 0 },
        ..settings.clone()
    };
    let count = topology.primaries * (1 + topology.replicas);
    let starting = (0..count).map(|_| ManagedRedis::start_with(&member, clock));
    let nodes = try_join_all(starting).await?;
    cluster::form(&nodes, topology.primaries, topology.replicas, clock).await?;
    Ok(nodes)
}

/// Waits until `replica` has all that its primary has.
async fn in_sync(replica: &ManagedRedis, clock: &Clock) -> Result<(), EnvironmentError> {
    let deadline = clock.now() + SYNC_LIMIT;
    loop {
        if is_in_sync(replica).await {
            return Ok(());
        }
        if clock.now() >= deadline {
            return Err(EnvironmentError::NotFormed {
                reason: format!("the replica at {} is not in sync", replica.address()),
                limit: SYNC_LIMIT,
            });
        }
        clock.sleep(SYNC_POLL).await;
    }
}

async fn is_in_sync(replica: &ManagedRedis) -> bool {
    let asking = async {
        let nodes = Nodes::open(replica.url()).ok()?;
        let node = replica.address();
        let mut connection = nodes.connect(&node, ASK_LIMIT).await.ok()?;
        let mut about = redis::cmd("INFO");
        about.arg("replication");
        about.query_async::<String>(&mut connection).await.ok()
    };
    let told = asking.await;
    told.is_some_and(|told| told.contains("master_link_status:up"))
}

/// One URL for all of them, made from those of each.
fn url_of(topology: Topology, nodes: &[ManagedRedis], sentinels: &[ManagedRedis]) -> String {
    let one = nodes[0].url();
    if topology == Topology::Standalone {
        return one.to_owned();
    }
    let hosts = |servers: &[ManagedRedis]| {
        let hosts: Vec<String> = servers
            .iter()
            .map(|one| one.address().to_string())
            .collect();
        hosts.join(",")
    };
    let several = match topology {
        Topology::Sentinel => format!("{}/{SERVICE}", hosts(sentinels)),
        _ => hosts(nodes),
    };
    let one = one.replacen("://", &format!("+{}://", topology.name()), 1);
    one.replacen(&nodes[0].address().to_string(), &several, 1)
}

#[cfg(test)]
mod tests;
