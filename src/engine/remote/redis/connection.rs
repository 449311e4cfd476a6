//! One command's way to the node that can do it, whatever the topology.
//!
//! The operations of the layer know only [`Connection`], which is a connection of the client
//! library to them. With one server it is one of its connections. Otherwise it finds the command's
//! node in the roster, follows a redirection once, and wakes the follower when an answer says that
//! the roster is out of date. It never sends a command twice that may have been executed: appends
//! and counts would count twice, and so would the books.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ::redis::aio::{ConnectionLike, ConnectionManager, MultiplexedConnection};
use ::redis::{
    Cmd, ErrorKind, Pipeline, RedisError, RedisFuture, RedisResult, ServerErrorKind, Value,
};
use tokio::sync::{Notify, watch};

use super::address::{NodeAddress, ReadFrom};
use super::roster::{Lines, Pool, Roster};
use super::slots::{key_of, slot_of};

/// What routed commands share.
#[derive(Debug)]
pub(in crate::engine::remote) struct Route {
    pub(super) pool: Pool,
    pub(super) current: watch::Receiver<Arc<Roster>>,
    /// Wakes the follower.
    pub(super) outdated: Notify,
    /// Spreads commands without a key.
    turn: AtomicUsize,
}

impl Route {
    pub(super) fn new(pool: Pool, current: watch::Receiver<Arc<Roster>>) -> Self {
        Self {
            pool,
            current,
            outdated: Notify::new(),
            turn: AtomicUsize::new(0),
        }
    }

    pub(super) fn roster(&self) -> Arc<Roster> {
        Arc::clone(&self.current.borrow())
    }

    /// The primaries in turn.
    pub(super) fn next_primary<'r>(&self, roster: &'r Roster) -> Option<&'r Arc<Lines>> {
        let shards = roster.shards();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        shards
            .get(turn % shards.len().max(1))
            .map(|shard| &shard.primary)
    }

    fn line(&self, key: Option<&[u8]>, from: ReadFrom) -> RedisResult<ConnectionManager> {
        let roster = self.roster();
        let lines = match key {
            Some(key) => roster.answers(slot_of(key), from),
            None => self.next_primary(&roster).map(|lines| &**lines),
        };
        lines.map(Lines::take).ok_or_else(|| {
            self.outdated.notify_one();
            io::Error::new(
                io::ErrorKind::NotConnected,
                "no node serves this key's slot",
            )
            .into()
        })
    }

    /// Whom an answer sends us to, and whether only for this command (ASK).
    fn redirection(&self, error: &RedisError) -> Option<(NodeAddress, bool)> {
        use ServerErrorKind::{Ask, ClusterDown, MasterDown, Moved, ReadOnly};
        let kind = error.kind();
        let outdated = error.is_io_error()
            || [Moved, ReadOnly, ClusterDown, MasterDown]
                .iter()
                .any(|known| kind == ErrorKind::Server(*known));
        if outdated {
            self.outdated.notify_one();
        }
        let (address, _) = error.redirect_node()?;
        Some((
            NodeAddress::from_redirection(address)?,
            kind == ErrorKind::Server(Ask),
        ))
    }

    async fn send(&self, cmd: &Cmd, from: ReadFrom) -> RedisResult<Value> {
        if is_script_load(cmd) {
            return self.send_to_primaries(cmd).await;
        }
        let mut line = self.line(key_of(cmd), from)?;
        let answer = line.send_packed_command(cmd).await;
        let mut error = match answer.and_then(Value::extract_error) {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        let moved = ErrorKind::Server(ServerErrorKind::Moved);
        if from == ReadFrom::Replica && error.kind() == moved {
            // A replica in a Cluster answers lookups only over connections that said so before.
            let answer = send_after("READONLY", &mut line, cmd).await;
            match answer.and_then(Value::extract_error) {
                Ok(value) => return Ok(value),
                Err(again) => error = again,
            }
        }
        let Some((node, asking)) = self.redirection(&error) else {
            return Err(error);
        };
        let mut line = self.pool.lines(&node)?.take();
        if asking {
            send_after("ASKING", &mut line, cmd).await
        } else {
            line.send_packed_command(cmd).await
        }
    }

    /// A script must be known wherever its keys may lie.
    async fn send_to_primaries(&self, cmd: &Cmd) -> RedisResult<Value> {
        let roster = self.roster();
        let sends = roster.shards().iter().map(|shard| {
            let mut line = shard.primary.take();
            async move { line.send_packed_command(cmd).await }
        });
        let answers = futures_util::future::join_all(sends).await;
        // Those that are away learn it later: they do not know it when they are asked to run it.
        let mut answers = answers.into_iter();
        let first = answers.next().unwrap_or(Ok(Value::Nil));
        answers.fold(first, Result::or)
    }

    /// All commands of a pipeline go where the first that has a key goes.
    async fn send_pipeline(
        &self,
        pipeline: &Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisResult<Vec<Value>> {
        let key = pipeline.cmd_iter().find_map(key_of);
        let mut line = self.line(key, ReadFrom::Primary)?;
        let answers = line.send_packed_commands(pipeline, offset, count).await;
        if let Err(error) = &answers {
            let _ = self.redirection(error);
        }
        answers
    }
}

/// Sends `cmd` right behind `word`, and gives the answer to `cmd`.
async fn send_after(word: &str, line: &mut ConnectionManager, cmd: &Cmd) -> RedisResult<Value> {
    let mut both = ::redis::pipe();
    both.cmd(word);
    both.add_command(cmd.clone());
    let answers = line.send_packed_commands(&both, 1, 1).await?;
    Ok(answers.into_iter().next().unwrap_or(Value::Nil))
}

fn is_script_load(cmd: &Cmd) -> bool {
    let mut args = cmd.args_iter();
    let mut next_is = |word: &str| matches!(args.next(), Some(::redis::Arg::Simple(arg)) if arg.eq_ignore_ascii_case(word.as_bytes()));
    next_is("SCRIPT") && next_is("LOAD")
}

/// A connection for one command, or for several in a row.
#[derive(Clone)]
pub(in crate::engine::remote) enum Connection {
    /// To the only server there is.
    Only(ConnectionManager),
    /// To whoever can do it.
    Routed(Arc<Route>, ReadFrom),
    /// To one node, held by one user: commands on it may block.
    Own(MultiplexedConnection),
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Only(_) => "Connection::Only",
            Self::Routed(..) => "Connection::Routed",
            Self::Own(_) => "Connection::Own",
        })
    }
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::Only(manager) => manager.req_packed_command(cmd),
            Self::Routed(route, from) => Box::pin(route.send(cmd, *from)),
            Self::Own(connection) => connection.req_packed_command(cmd),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::Only(manager) => manager.req_packed_commands(pipeline, offset, count),
            Self::Routed(route, _) => Box::pin(route.send_pipeline(pipeline, offset, count)),
            Self::Own(connection) => connection.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::Only(manager) => manager.get_db(),
            // A Cluster has no other, and the others set theirs when they connect.
            Self::Routed(..) => 0,
            Self::Own(connection) => connection.get_db(),
        }
    }
}
