//! A Redis as the layer is linked to it: connections for commands, for blocking reads, for
//! listening.
//!
//! With one server the link is a few connections to it. Otherwise it is a roster of nodes, kept
//! true by the follower. Made once by the layer, on the runtime that carries the connections.

use std::sync::Arc;
use std::time::Duration;

use ::redis::aio::{MultiplexedConnection, PubSub};
use ::redis::{AsyncConnectionConfig, Client};
use tokio::sync::watch;

use super::address::{NodeAddress, ReadFrom, Topology};
use super::connection::{Connection, Route};
use super::failure;
use super::follower::Follower;
use super::nodes::Nodes;
use super::roster::{Pool, Roster};
use super::survey::Surveyor;
use super::{NAME, RedisOptions};
use crate::engine::layer::LayerError;
use crate::engine::remote::redis_subscription::bounded;

/// How long finding out who is who may take at the start.
const SURVEY_LIMIT: Duration = Duration::from_secs(5);
/// How long reaching a node may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);

/// The link to a Redis.
#[derive(Debug)]
pub(in crate::engine::remote) struct Link {
    topology: Topology,
    route: Arc<Route>,
    /// `None` with one server: there is nothing to follow.
    follower: Option<Follower>,
}

impl Link {
    /// Finds out who is who, and connects to every primary.
    pub(super) async fn connect(options: &RedisOptions) -> Result<Self, LayerError> {
        let nodes = Nodes::open(&options.url).map_err(|error| {
            LayerError::Unreachable(NAME, format!("the URL cannot be used ({error})"))
        })?;
        let topology = nodes.address().topology();
        let mut surveyor = Surveyor::new(nodes.clone());
        let view = bounded(SURVEY_LIMIT, surveyor.survey()).await?;
        let pool = Pool::new(nodes, options.connections, options.timeout);
        let roster = Roster::new(view, &pool).map_err(|error| failure(&error))?;
        let (publish, current) = watch::channel(Arc::new(roster));
        let route = Arc::new(Route::new(pool, current));
        let link = Self {
            topology,
            follower: (topology != Topology::Standalone)
                .then(|| Follower::start(surveyor, Arc::clone(&route), publish)),
            route,
        };
        link.greet().await?;
        Ok(link)
    }

    /// The connections are made by their first command: here it is, for those that must be there.
    async fn greet(&self) -> Result<(), LayerError> {
        let roster = self.route.roster();
        let lines = roster.shards().iter().flat_map(|shard| shard.primary.all());
        let greetings = lines.map(|mut line| async move {
            ::redis::cmd("PING")
                .query_async::<()>(&mut line)
                .await
                .map_err(|error| failure(&error))
        });
        futures_util::future::try_join_all(greetings)
            .await
            .map(|_| ())
    }

    pub(in crate::engine::remote) fn is_cluster(&self) -> bool {
        self.topology == Topology::Cluster
    }

    /// A connection for one command.
    pub(super) fn connection(&self) -> Connection {
        self.reading(ReadFrom::Primary)
    }

    /// A connection for one lookup.
    pub(super) fn reader(&self) -> Connection {
        self.reading(self.route.pool.nodes().address().read_from())
    }

    fn reading(&self, from: ReadFrom) -> Connection {
        if self.follower.is_none()
            && let [shard] = self.route.current.borrow().shards()
        {
            return Connection::Only(shard.primary.take());
        }
        Connection::Routed(Arc::clone(&self.route), from)
    }

    /// A connection of its own to the primary, without a response time limit: for blocking reads.
    /// In a Cluster, where one primary is not enough, the shared connections.
    pub(in crate::engine::remote) async fn blocking(&self) -> Result<Connection, LayerError> {
        if self.is_cluster() {
            return Ok(self.connection());
        }
        let config = AsyncConnectionConfig::new()
            .set_response_timeout(None)
            .set_connection_timeout(Some(CONNECT_LIMIT));
        let connecting = async {
            let node = self.listening_post()?;
            let client = self.route.pool.nodes().client(&node);
            let client = client.map_err(|error| failure(&error))?;
            client
                .get_multiplexed_async_connection_with_config(&config)
                .await
                .map_err(|error| failure(&error))
        };
        let connection: Result<MultiplexedConnection, LayerError> =
            bounded(CONNECT_LIMIT, connecting).await;
        connection
            .map(Connection::Own)
            .inspect_err(|_| self.doubt())
    }

    /// A subscription to `channel`, and the node that it is held by.
    pub(in crate::engine::remote) async fn subscribe(
        &self,
        channel: &str,
    ) -> Result<(PubSub, NodeAddress), LayerError> {
        let subscribing = async {
            let node = self.listening_post()?;
            let client = self.route.pool.nodes().client(&node);
            let client = client.map_err(|error| failure(&error))?;
            let mut pubsub = client
                .get_async_pubsub()
                .await
                .map_err(|error| failure(&error))?;
            let subscribed = pubsub.subscribe(channel).await;
            subscribed.map_err(|error| failure(&error))?;
            Ok((pubsub, node))
        };
        bounded(CONNECT_LIMIT, subscribing)
            .await
            .inspect_err(|_| self.doubt())
    }

    /// Where to listen: what one node of a Cluster is told, all nodes tell. Each time the next one,
    /// so that instances spread, and a dead one is not asked for ever.
    fn listening_post(&self) -> Result<NodeAddress, LayerError> {
        let roster = self.route.roster();
        let nobody = || LayerError::Unreachable(NAME, "there is no primary".to_owned());
        let lines = self.route.next_primary(&roster).ok_or_else(nobody)?;
        Ok(lines.node.clone())
    }

    /// Every primary with a client of it: for connections that listen to all of them.
    pub(in crate::engine::remote) fn primary_clients(
        &self,
    ) -> Result<Vec<(NodeAddress, Client)>, LayerError> {
        let roster = self.route.roster();
        let nodes = roster.shards().iter().map(|shard| &shard.primary.node);
        let nodes = nodes.map(|node| {
            let client = self.route.pool.nodes().client(node);
            Ok((node.clone(), client.map_err(|error| failure(&error))?))
        });
        nodes.collect()
    }

    /// A connection to every primary, and who is who at this moment.
    pub(in crate::engine::remote) fn primaries(&self) -> (Arc<Roster>, Vec<Connection>) {
        let roster = self.route.roster();
        let lines = roster.shards().iter();
        let lines = lines.map(|shard| Connection::Only(shard.primary.take()));
        let connections = lines.collect();
        (roster, connections)
    }

    /// Whether every key is still where it was when `roster` was made.
    pub(in crate::engine::remote) fn stands(&self, roster: &Roster) -> bool {
        self.route.current.borrow().serves_as(roster)
    }

    /// Who is who, and its changes; `None` where nothing can change.
    pub(in crate::engine::remote) fn changes(&self) -> Option<watch::Receiver<Arc<Roster>>> {
        self.follower.as_ref().map(|_| self.route.current.clone())
    }

    /// Somebody found that the roster may be out of date.
    pub(in crate::engine::remote) fn doubt(&self) {
        self.route.outdated.notify_one();
    }
}
