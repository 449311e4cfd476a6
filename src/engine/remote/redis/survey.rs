//! Who is who among the nodes of a Redis: asked of the hosts, the Sentinels or the Cluster.
//!
//! Called again and again by the follower, and once a second by the runner, which asks each node
//! how it fares. Every question is bounded. Decides nothing but what the answers mean.

use std::collections::HashMap;
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::{AsyncConnectionConfig, Cmd, FromRedisValue, Value, cmd, from_redis_value};

use super::address::{NodeAddress, Topology};
use super::nodes::Nodes;
use super::slots::SLOTS;
use super::{NAME, failure};
use crate::engine::layer::LayerError;
use crate::engine::remote::redis_subscription::bounded;

/// How long one node may take to answer; the next one is asked then.
const ASK_LIMIT: Duration = Duration::from_millis(500);

/// Who is who.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// The primaries with what belongs to them, in the order of their slots; never empty.
    pub shards: Vec<ShardView>,
}

/// A primary, its replicas and its share of the keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardView {
    /// Takes the writes.
    pub primary: NodeAddress,
    /// Follow it, as far as they are in good health.
    pub replicas: Vec<NodeAddress>,
    /// The slots from here to there, both included.
    pub slots: Vec<(u16, u16)>,
}

impl ShardView {
    /// A primary of all keys.
    fn whole(primary: NodeAddress, mut replicas: Vec<NodeAddress>) -> Self {
        replicas.sort();
        Self {
            primary,
            replicas,
            slots: vec![(0, SLOTS - 1)],
        }
    }
}

impl View {
    /// Every node, primaries first.
    pub fn nodes(&self) -> impl Iterator<Item = &NodeAddress> {
        let primaries = self.shards.iter().map(|shard| &shard.primary);
        primaries.chain(self.shards.iter().flat_map(|shard| &shard.replicas))
    }
}

/// Asks around, and remembers whom it can ask.
#[derive(Debug)]
pub struct Surveyor {
    nodes: Nodes,
    /// The last good source first.
    known: Vec<NodeAddress>,
    connections: HashMap<NodeAddress, MultiplexedConnection>,
}

impl Surveyor {
    /// Asks the hosts of the URL first.
    pub fn new(nodes: Nodes) -> Self {
        let known = nodes.address().hosts().to_vec();
        Self {
            nodes,
            known,
            connections: HashMap::new(),
        }
    }

    /// Who is who now.
    ///
    /// # Errors
    /// If nobody who knows could be asked, or if there is no primary.
    pub async fn survey(&mut self) -> Result<View, LayerError> {
        match self.nodes.address().topology() {
            Topology::Standalone => Ok(View {
                shards: vec![ShardView::whole(self.known[0].clone(), Vec::new())],
            }),
            Topology::Replicated => self.ask_roles().await,
            Topology::Sentinel => self.ask_sentinels().await,
            Topology::Cluster => self.ask_cluster().await,
        }
    }

    /// Every host says what it is.
    async fn ask_roles(&mut self) -> Result<View, LayerError> {
        let mut primary = None;
        let mut replicas = Vec::new();
        let mut trouble = LayerError::Unreachable(NAME, "no host says that it is a primary".into());
        for node in self.known.clone() {
            match self.role(&node).await {
                Ok(Role::Primary) if primary.is_none() => primary = Some(node),
                Ok(Role::Replica { in_sync: true }) => replicas.push(node),
                Ok(_) => {}
                Err(error) => trouble = error,
            }
        }
        let primary = primary.ok_or(trouble)?;
        Ok(View {
            shards: vec![ShardView::whole(primary, replicas)],
        })
    }

    /// The first Sentinel that answers names the primary, and the primary must agree.
    async fn ask_sentinels(&mut self) -> Result<View, LayerError> {
        let service = self.nodes.address().sentinels.service.clone();
        let mut trouble = LayerError::Unreachable(NAME, format!("no Sentinel knows {service}"));
        for sentinel in self.known.clone() {
            match self.ask_sentinel(&sentinel, &service).await {
                Ok(view) => {
                    self.prefer(&sentinel);
                    return Ok(view);
                }
                Err(error) => trouble = error,
            }
        }
        Err(trouble)
    }

    async fn ask_sentinel(
        &mut self,
        sentinel: &NodeAddress,
        service: &str,
    ) -> Result<View, LayerError> {
        let mut whom = cmd("SENTINEL");
        whom.arg("GET-MASTER-ADDR-BY-NAME").arg(service);
        let named: Option<(String, u16)> = self.ask(sentinel, &whom).await?;
        let (host, port) = named.ok_or_else(|| {
            LayerError::Unreachable(NAME, format!("{sentinel} does not know {service}"))
        })?;
        let primary = NodeAddress::new(host, port);
        if !matches!(self.role(&primary).await?, Role::Primary) {
            let what = format!("{primary} is named as the primary, but is not one yet");
            return Err(LayerError::Unreachable(NAME, what));
        }
        let mut who = cmd("SENTINEL");
        who.arg("REPLICAS").arg(service);
        let told: Vec<HashMap<String, String>> = self.ask(sentinel, &who).await?;
        let replicas = told.iter().filter_map(healthy_replica).collect();
        Ok(View {
            shards: vec![ShardView::whole(primary, replicas)],
        })
    }

    /// The first node that answers knows all others.
    async fn ask_cluster(&mut self) -> Result<View, LayerError> {
        let mut slots = cmd("CLUSTER");
        slots.arg("SLOTS");
        let mut trouble = LayerError::Unreachable(NAME, "no node of the Cluster answers".into());
        for node in self.known.clone() {
            let told = self.ask::<Value>(&node, &slots).await;
            match told.and_then(|value| read_slots(value, &node.host)) {
                Ok(view) => {
                    self.remember(&view);
                    self.prefer(&node);
                    return Ok(view);
                }
                Err(error) => trouble = error,
            }
        }
        Err(trouble)
    }

    async fn role(&mut self, node: &NodeAddress) -> Result<Role, LayerError> {
        let told: Vec<Value> = self.ask(node, &cmd("ROLE")).await?;
        Ok(read_role(&told))
    }

    async fn ask<T: FromRedisValue>(
        &mut self,
        node: &NodeAddress,
        question: &Cmd,
    ) -> Result<T, LayerError> {
        let asking = async {
            if !self.connections.contains_key(node) {
                let connection = self.connect(node).await?;
                self.connections.insert(node.clone(), connection);
            }
            // It is there: put there just now, if it was not before.
            match self.connections.get_mut(node) {
                Some(connection) => question
                    .query_async(connection)
                    .await
                    .map_err(|error| failure(&error)),
                None => Err(LayerError::TimedOut(NAME)),
            }
        };
        let told = bounded(ASK_LIMIT, asking).await;
        if told.is_err() {
            self.connections.remove(node);
        }
        told
    }

    async fn connect(&self, node: &NodeAddress) -> Result<MultiplexedConnection, LayerError> {
        let sentinel = self.nodes.address().topology() == Topology::Sentinel
            && self.nodes.address().hosts().contains(node);
        if !sentinel {
            let connecting = self.nodes.connect(node, ASK_LIMIT);
            return connecting.await.map_err(|error| failure(&error));
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(ASK_LIMIT))
            .set_response_timeout(Some(ASK_LIMIT));
        let client = self.nodes.sentinel_client(node);
        let client = client.map_err(|error| failure(&error))?;
        let connecting = client.get_multiplexed_async_connection_with_config(&config);
        connecting.await.map_err(|error| failure(&error))
    }

    /// Asks `node` first the next time.
    fn prefer(&mut self, node: &NodeAddress) {
        if let Some(at) = self.known.iter().position(|known| known == node) {
            self.known[..=at].rotate_right(1);
        }
    }

    /// Keeps the hosts of the URL, too: when all others are gone, they are where it began.
    fn remember(&mut self, view: &View) {
        for node in view.nodes() {
            if !self.known.contains(node) {
                self.known.push(node.clone());
            }
        }
        let hosts = self.nodes.address().hosts();
        self.known
            .retain(|known| hosts.contains(known) || view.nodes().any(|node| node == known));
        self.connections.retain(|node, _| self.known.contains(node));
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Primary,
    Replica { in_sync: bool },
    Other,
}

/// From the answer of ROLE.
fn read_role(told: &[Value]) -> Role {
    let text = |at: usize| -> Option<String> {
        told.get(at)
            .cloned()
            .and_then(|value| from_redis_value(value).ok())
    };
    match text(0).as_deref() {
        Some("master") => Role::Primary,
        Some("slave") => Role::Replica {
            in_sync: text(3).as_deref() == Some("connected"),
        },
        _ => Role::Other,
    }
}

/// From an entry of SENTINEL REPLICAS.
fn healthy_replica(told: &HashMap<String, String>) -> Option<NodeAddress> {
    let field = |name: &str| told.get(name).map(String::as_str);
    let flags = field("flags")?;
    let sick = ["s_down", "o_down", "disconnected"];
    let well = flags.split(',').all(|flag| !sick.contains(&flag))
        && field("master-link-status") == Some("ok");
    let address = NodeAddress::new(field("ip")?, field("port")?.parse().ok()?);
    well.then_some(address)
}

/// From the answer of CLUSTER SLOTS, given by a node at `host`.
fn read_slots(told: Value, host: &str) -> Result<View, LayerError> {
    let unreadable = || LayerError::Refused(NAME, "CLUSTER SLOTS cannot be read".to_owned());
    let ranges: Vec<Vec<Value>> = from_redis_value(told).map_err(|_| unreadable())?;
    let mut shards: Vec<ShardView> = Vec::new();
    for range in ranges {
        let mut fields = range.into_iter();
        let mut number = || -> Option<u16> { from_redis_value(fields.next()?).ok() };
        let (from, to) = number().zip(number()).ok_or_else(unreadable)?;
        let mut nodes = fields.filter_map(|node| read_node(node, host));
        let primary = nodes.next().ok_or_else(unreadable)?;
        let found = shards.iter_mut().find(|shard| shard.primary == primary);
        if let Some(shard) = found {
            shard.slots.push((from, to));
        } else {
            let mut replicas: Vec<NodeAddress> = nodes.collect();
            replicas.sort();
            shards.push(ShardView {
                primary,
                replicas,
                slots: vec![(from, to)],
            });
        }
    }
    if shards.is_empty() {
        let what = "the Cluster has no slots assigned yet".to_owned();
        return Err(LayerError::Unreachable(NAME, what));
    }
    for shard in &mut shards {
        shard.slots.sort_unstable();
    }
    shards.sort_by_key(|shard| shard.slots[0]);
    Ok(View { shards })
}

/// `[ip, port, id, …]`; a node that does not know its own address leaves it out.
fn read_node(told: Value, host: &str) -> Option<NodeAddress> {
    let fields: Vec<Value> = from_redis_value(told).ok()?;
    let mut fields = fields.into_iter();
    let said: Option<String> = from_redis_value(fields.next()?).ok()?;
    let port = from_redis_value(fields.next()?).ok()?;
    let said = said.filter(|said| !said.is_empty() && said != "?");
    Some(NodeAddress::new(
        said.unwrap_or_else(|| host.to_owned()),
        port,
    ))
}

#[cfg(test)]
mod tests;
