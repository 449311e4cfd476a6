//! The nodes of a managed Cluster, brought together without redis-cli: slots, introductions,
//! replicas, and a wait until every node tells the same story.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, FromRedisValue};

use super::settings::Role;
use super::{ASK_LIMIT, ManagedRedis};
use crate::clock::{Clock, Timestamp};
use crate::engine::remote::redis::{Nodes, Surveyor};
use crate::environment::error::EnvironmentError;

const FORM_LIMIT: Duration = Duration::from_secs(30);
const FORM_POLL: Duration = Duration::from_millis(50);
const SLOTS: u32 = 16_384;

/// A node, and what talks to it.
struct Member<'m> {
    node: &'m ManagedRedis,
    /// The port on which the nodes talk to each other.
    bus: u16,
    id: String,
    connection: MultiplexedConnection,
}

/// Makes one Cluster of `nodes`: the first `primaries` share the slots, and those that follow are
/// their replicas, `replicas` for each.
pub(super) async fn form(
    nodes: &[ManagedRedis],
    primaries: u16,
    replicas: u16,
    clock: &Clock,
) -> Result<(), EnvironmentError> {
    let deadline = clock.now() + FORM_LIMIT;
    let mut members = Vec::new();
    for node in nodes {
        members.push(Member::of(node).await?);
    }
    for (place, member) in (0..).zip(&mut members) {
        // Distinct from the start, so that nobody has to settle it later.
        member
            .ask::<()>(cluster(&["SET-CONFIG-EPOCH", &(place + 1).to_string()]))
            .await?;
        if place < u32::from(primaries) {
            let first = |of: u32| of * SLOTS / u32::from(primaries);
            let (from, to) = (first(place), first(place + 1) - 1);
            let range = ["ADDSLOTSRANGE", &from.to_string(), &to.to_string()];
            member.ask::<()>(cluster(&range)).await?;
        }
    }
    introduce(&mut members).await?;
    let count = members.len();
    for member in &mut members {
        until(deadline, clock, async || member.knows(count).await).await?;
    }
    let ids: Vec<String> = members.iter().map(|member| member.id.clone()).collect();
    let followers = members.iter_mut().skip(usize::from(primaries));
    for (place, member) in followers.enumerate() {
        let primary = &ids[place / usize::from(replicas.max(1))];
        let follow = cluster(&["REPLICATE", primary]);
        until(deadline, clock, async || member.try_ask(&follow).await).await?;
    }
    let shape = (usize::from(primaries), usize::from(replicas));
    until(deadline, clock, async || agreed(&mut members, shape).await).await
}

/// Each to each: faster than to wait until they gossip.
async fn introduce(members: &mut [Member<'_>]) -> Result<(), EnvironmentError> {
    let ports: Vec<(String, String)> = members
        .iter()
        .map(|member| (member.node.port.to_string(), member.bus.to_string()))
        .collect();
    for (at, member) in members.iter_mut().enumerate() {
        for (port, bus) in &ports[at + 1..] {
            member
                .ask::<()>(cluster(&["MEET", "127.0.0.1", port, bus]))
                .await?;
        }
    }
    Ok(())
}

/// Whether every node is content, and all of them see the same primaries and replicas.
async fn agreed(members: &mut [Member<'_>], shape: (usize, usize)) -> Result<(), String> {
    let mut story = None;
    for member in members {
        let told: String = member.try_ask(&cluster(&["INFO"])).await?;
        if !told.contains("cluster_state:ok") {
            return Err(format!("{} is not content yet", member.node.address()));
        }
        let view = member.surveyor()?.survey().await;
        let view = view.map_err(|error| error.to_string())?;
        let full = view
            .shards
            .iter()
            .all(|shard| shard.replicas.len() == shape.1);
        if view.shards.len() != shape.0 || !full {
            return Err(format!(
                "{} does not see all nodes yet",
                member.node.address()
            ));
        }
        match &story {
            None => story = Some(view),
            Some(known) if *known == view => {}
            Some(_) => return Err("two nodes tell different stories".to_owned()),
        }
        member.in_sync().await?;
    }
    Ok(())
}

impl<'m> Member<'m> {
    async fn of(node: &'m ManagedRedis) -> Result<Self, EnvironmentError> {
        let Role::ClusterNode { bus } = node.role else {
            let what = format!("{} is no node of a Cluster", node.address());
            return Err(not_formed(what));
        };
        let nodes = Nodes::open(node.url()).map_err(|error| not_formed(error.to_string()))?;
        let connection = nodes.connect(&node.address(), ASK_LIMIT).await;
        let mut connection =
            connection.map_err(|error| EnvironmentError::command("connecting", &error))?;
        let id = cluster(&["MYID"]).query_async(&mut connection).await;
        let id = id.map_err(|error| EnvironmentError::command("CLUSTER MYID", &error))?;
        Ok(Self {
            node,
            bus,
            id,
            connection,
        })
    }

    async fn try_ask<T: FromRedisValue>(&mut self, question: &Cmd) -> Result<T, String> {
        let told = question.query_async(&mut self.connection).await;
        told.map_err(|error| format!("{}: {error}", self.node.address()))
    }

    async fn ask<T: FromRedisValue>(&mut self, question: Cmd) -> Result<T, EnvironmentError> {
        self.try_ask(&question).await.map_err(not_formed)
    }

    /// Whether it knows `count` nodes well.
    async fn knows(&mut self, count: usize) -> Result<(), String> {
        let told: String = self.try_ask(&cluster(&["NODES"])).await?;
        let well = told
            .lines()
            .filter(|line| !line.contains("handshake") && !line.contains("noaddr"));
        match well.count() {
            known if known == count => Ok(()),
            known => Err(format!("{} knows {known} nodes", self.node.address())),
        }
    }

    /// Whether it has all that its primary has, if it has one.
    async fn in_sync(&mut self) -> Result<(), String> {
        let mut about = redis::cmd("INFO");
        about.arg("replication");
        let told: String = self.try_ask(&about).await?;
        if told.contains("master_link_status:down") {
            return Err(format!("{} is not in sync yet", self.node.address()));
        }
        Ok(())
    }

    fn surveyor(&self) -> Result<Surveyor, String> {
        let url = self.node.url().replacen("://", "+cluster://", 1);
        let nodes = Nodes::open(&url).map_err(|error| error.to_string())?;
        Ok(Surveyor::new(nodes))
    }
}

fn cluster(arguments: &[&str]) -> Cmd {
    let mut command = redis::cmd("CLUSTER");
    command.arg(arguments);
    command
}

fn not_formed(reason: String) -> EnvironmentError {
    EnvironmentError::NotFormed {
        reason,
        limit: FORM_LIMIT,
    }
}

/// Tries again and again, until `deadline`.
async fn until(
    deadline: Timestamp,
    clock: &Clock,
    mut attempt: impl AsyncFnMut() -> Result<(), String>,
) -> Result<(), EnvironmentError> {
    loop {
        match attempt().await {
            Ok(()) => return Ok(()),
            Err(missing) if clock.now() >= deadline => return Err(not_formed(missing)),
            Err(_) => clock.sleep(FORM_POLL).await,
        }
    }
}
