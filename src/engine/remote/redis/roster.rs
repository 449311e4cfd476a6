//! The connections to the nodes of a Redis, in the order of who is who.
//!
//! A [`Roster`] is one moment's view with a connection (or several) to every node of it. When the
//! view changes, the follower makes a new one out of the same [`Pool`], so that nodes that stay
//! keep their connections. Connections are made by their first command: making a roster never
//! waits.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ::redis::RedisError;
use ::redis::aio::ConnectionManager;
use parking_lot::Mutex;

use super::address::{NodeAddress, ReadFrom};
use super::nodes::Nodes;
use super::slots::SLOTS;
use super::survey::View;

/// The connections to one node.
#[derive(Debug)]
pub(super) struct Lines {
    pub(super) node: NodeAddress,
    managers: Box<[ConnectionManager]>,
    next: AtomicUsize,
}

impl Lines {
    /// A connection for one command; each in turn.
    pub(super) fn take(&self) -> ConnectionManager {
        let at = self.next.fetch_add(1, Ordering::Relaxed) % self.managers.len();
        self.managers[at].clone()
    }

    /// Every connection.
    pub(super) fn all(&self) -> impl Iterator<Item = ConnectionManager> {
        self.managers.iter().cloned()
    }
}

/// Makes connections, and gives those that it has made before.
#[derive(Debug)]
pub(super) struct Pool {
    nodes: Nodes,
    connections: u16,
    limit: Duration,
    lines: Mutex<HashMap<NodeAddress, Arc<Lines>>>,
}

impl Pool {
    pub(super) fn new(nodes: Nodes, connections: u16, limit: Duration) -> Self {
        Self {
            nodes,
            connections: connections.max(1),
            limit,
            lines: Mutex::default(),
        }
    }

    pub(super) fn nodes(&self) -> &Nodes {
        &self.nodes
    }

    /// The connections to `node`. Must be called on the runtime that carries them.
    pub(super) fn lines(&self, node: &NodeAddress) -> Result<Arc<Lines>, RedisError> {
        let mut lines = self.lines.lock();
        if let Some(lines) = lines.get(node) {
            return Ok(Arc::clone(lines));
        }
        let managers: Result<Vec<_>, _> = (0..self.connections)
            .map(|_| self.nodes.manage(node, self.limit))
            .collect();
        let made = Arc::new(Lines {
            node: node.clone(),
            managers: managers?.into(),
            next: AtomicUsize::new(0),
        });
        lines.insert(node.clone(), Arc::clone(&made));
        Ok(made)
    }

    fn keep_only(&self, view: &View) {
        let mut lines = self.lines.lock();
        lines.retain(|node, _| view.nodes().any(|kept| kept == node));
    }
}

/// A primary and its replicas.
#[derive(Debug)]
pub(super) struct Shard {
    pub(super) primary: Arc<Lines>,
    replicas: Vec<Arc<Lines>>,
    next_replica: AtomicUsize,
}

impl Shard {
    /// Who answers a lookup.
    fn reader(&self, from: ReadFrom) -> &Lines {
        match from {
            ReadFrom::Replica if !self.replicas.is_empty() => {
                let turn = self.next_replica.fetch_add(1, Ordering::Relaxed);
                &self.replicas[turn % self.replicas.len()]
            }
            _ => &self.primary,
        }
    }
}

/// Who is who, with connections.
#[derive(Debug)]
pub(in crate::engine::remote) struct Roster {
    pub(super) view: View,
    shards: Vec<Shard>,
    /// For each slot its place in `shards`; empty if one shard has them all.
    owners: Box<[u16]>,
}

/// The owner of a slot that nobody serves.
const NOBODY: u16 = u16::MAX;

impl Roster {
    /// The connections for `view`; those of other nodes are given up.
    pub(super) fn new(view: View, pool: &Pool) -> Result<Self, RedisError> {
        let shards = view
            .shards
            .iter()
            .map(|shard| {
                let replicas = shard.replicas.iter().map(|node| pool.lines(node));
                Ok(Shard {
                    primary: pool.lines(&shard.primary)?,
                    replicas: replicas.collect::<Result<_, RedisError>>()?,
                    next_replica: AtomicUsize::new(0),
                })
            })
            .collect::<Result<_, RedisError>>()?;
        pool.keep_only(&view);
        let owners = owners(&view);
        Ok(Self {
            view,
            shards,
            owners,
        })
    }

    pub(super) fn shards(&self) -> &[Shard] {
        &self.shards
    }

    /// Whether `node` is told what is published: in a Cluster every node is, else the primary.
    pub(in crate::engine::remote) fn is_told(&self, node: &NodeAddress) -> bool {
        match &*self.view.shards {
            [only] => only.primary == *node,
            _ => self.view.nodes().any(|known| known == node),
        }
    }

    /// Whether the primaries are exactly `nodes`.
    pub(in crate::engine::remote) fn has_primaries<'n>(
        &self,
        nodes: impl Iterator<Item = &'n NodeAddress>,
    ) -> bool {
        let now = self.view.shards.iter().map(|shard| &shard.primary);
        now.collect::<BTreeSet<_>>() == nodes.collect::<BTreeSet<_>>()
    }

    /// Whether the same primaries serve the same slots as in `other`.
    pub(super) fn serves_as(&self, other: &Self) -> bool {
        let served = |roster: &Self| -> Vec<_> {
            let shards = roster.view.shards.iter();
            shards
                .map(|shard| (shard.primary.clone(), shard.slots.clone()))
                .collect()
        };
        served(self) == served(other)
    }

    /// Who answers for `slot`; `None` if nobody does.
    pub(super) fn answers(&self, slot: u16, from: ReadFrom) -> Option<&Lines> {
        let owner = match self.owners.get(usize::from(slot)) {
            Some(&owner) => usize::from(owner),
            None => 0,
        };
        self.shards.get(owner).map(|shard| shard.reader(from))
    }
}

fn owners(view: &View) -> Box<[u16]> {
    if let [shard] = &*view.shards
        && shard.slots == [(0, SLOTS - 1)]
    {
        return Box::default();
    }
    let mut owners = vec![NOBODY; usize::from(SLOTS)];
    for (place, shard) in (0..NOBODY).zip(&view.shards) {
        for (from, to) in &shard.slots {
            if let Some(slots) = owners.get_mut(usize::from(*from)..=usize::from(*to)) {
                slots.fill(place);
            }
        }
    }
    owners.into()
}

#[cfg(test)]
mod tests {
    use super::super::survey::ShardView;
    use super::*;
    use ReadFrom::{Primary, Replica};

    fn shard(port: u16, replicas: &[u16], slots: &[(u16, u16)]) -> ShardView {
        let node = |port: &u16| NodeAddress::new("127.0.0.1", *port);
        ShardView {
            primary: node(&port),
            replicas: replicas.iter().map(node).collect(),
            slots: slots.to_vec(),
        }
    }

    fn roster(shards: Vec<ShardView>) -> Roster {
        let nodes = Nodes::open("redis+cluster://127.0.0.1").expect("a URL");
        let pool = Pool::new(nodes, 2, Duration::from_secs(1));
        Roster::new(View { shards }, &pool).expect("a roster")
    }

    fn ports(roster: &Roster, slot: u16, from: ReadFrom) -> Vec<Option<u16>> {
        let answer = |_| roster.answers(slot, from).map(|lines| lines.node.port);
        (0..3).map(answer).collect()
    }

    #[tokio::test]
    async fn a_slot_leads_to_its_primary_or_to_its_replicas_in_turn() {
        let roster = roster(vec![
            shard(1, &[11, 12], &[(0, 99), (200, 299)]),
            shard(2, &[], &[(100, 199)]),
        ]);
        assert_eq!(ports(&roster, 0, Primary), [Some(1); 3]);
        assert_eq!(ports(&roster, 250, Replica), [Some(11), Some(12), Some(11)]);
        assert_eq!(ports(&roster, 150, Replica), [Some(2); 3]);
        assert_eq!(ports(&roster, 300, Primary), [None; 3]);
    }

    #[tokio::test]
    async fn one_primary_of_all_slots_needs_no_table() {
        let roster = roster(vec![shard(1, &[], &[(0, SLOTS - 1)])]);
        assert!(roster.owners.is_empty());
        assert_eq!(ports(&roster, SLOTS - 1, Primary), [Some(1); 3]);
    }

    #[tokio::test]
    async fn nodes_that_stay_keep_their_connections() {
        let nodes = Nodes::open("redis+cluster://127.0.0.1").expect("a URL");
        let pool = Pool::new(nodes, 1, Duration::from_secs(1));
        let whole = [(0, SLOTS - 1)];
        let view = |shard| View {
            shards: vec![shard],
        };
        let before = Roster::new(view(shard(1, &[2], &whole)), &pool).expect("a roster");
        let after = Roster::new(view(shard(2, &[], &whole)), &pool).expect("a roster");
        assert!(Arc::ptr_eq(
            &before.shards[0].replicas[0],
            &after.shards[0].primary
        ));
        assert_eq!(pool.lines.lock().len(), 1);
    }
}
