//! L2 on Redis (or Valkey): every operation in one round trip, by a Lua script where it takes more
//! than one command to be safe.
//!
//! This file is what the layer does; how a command finds its node, in any topology, is the matter
//! of the files in `redis/` (docs/engine/topologies.md). Each instance opens a few multiplexed
//! connections to every node and spreads its commands over them. The client library's own limits
//! are set on purpose: its pipeline buffer (50 by default) would be the bottleneck at 1,000 users,
//! its response timeout is the layer's time limit, and its reconnection delay is capped. A command
//! that meets a broken connection fails; it is not retried, because the engine has a better answer:
//! the origin.

mod address;
mod connection;
mod follower;
mod keys;
mod link;
mod nodes;
mod roster;
mod slots;
mod survey;

use std::time::Duration;

use ::redis::{AsyncCommands, ErrorKind, RedisError, Script};
use bytes::Bytes;

pub use self::address::{AddressError, NodeAddress, ReadFrom, RedisAddress, Topology};
pub(super) use self::connection::Connection;
pub(crate) use self::keys::Keys;
pub(super) use self::link::Link;
pub use self::nodes::Nodes;
pub(super) use self::roster::Roster;
pub(crate) use self::slots::{SLOTS, slot_of};
pub use self::survey::{ShardView, Surveyor, View};
use super::redis_counter::RedisCounters;
use super::redis_partitions::{LastSeen, RedisPartitions};
use super::redis_queue::write_fields;
use super::redis_subscription::RedisSubscription;
use super::wire::{self, Stored};
use crate::clock::Timestamp;
use crate::engine::data_type::{Key, Limit, PolicyTable};
use crate::engine::invalidation::glob::Glob;
use crate::engine::invalidation::markers::{Marker, Scope};
use crate::engine::layer::{
    Admission, Appended, Entry, Fill, Generation, LayerError, Leased, Notice, QueuedWrite, Remote,
    Token, Version,
};
use crate::engine::write_behind::version::PLACES_PER_MS;

pub(crate) const NAME: &str = "Redis";

/// A load that began before an invalidation is over by then, or its value may be stored.
pub(crate) const TOMBSTONE_TTL: Duration = Duration::from_mins(1);
/// What an instance is told whose write came after its time limit.
pub(crate) const TOO_LATE: &str =
    "the write came too late for the queue; if all do, compare the clocks";

/// How to reach Redis, and within what limits.
#[derive(Clone, Debug)]
pub struct RedisOptions {
    /// As in `redis://127.0.0.1:6379/0`; see [`RedisAddress`] for other topologies.
    pub url: String,
    /// Stands before every key and channel, so that runs do not meet.
    pub prefix: String,
    /// How many connections to open to each node.
    pub connections: u16,
    /// How long a command may take.
    pub timeout: Duration,
}

#[derive(Debug)]
pub(super) struct Scripts {
    fill: Script,
    get_and_extend: Script,
    fill_sliding: Script,
    invalidate: Script,
    append: Script,
    get_or_lease: Script,
    fill_leased: Script,
    renew_lock: Script,
    unlock: Script,
    pub(super) raise: Script,
    pub(super) reconcile: Script,
    pub(super) sweep: Script,
    pub(super) purge: Script,
}

impl Scripts {
    fn new() -> Self {
        Self {
            fill: Script::new(include_str!("scripts/fill.lua")),
            get_and_extend: Script::new(include_str!("scripts/get_and_extend.lua")),
            fill_sliding: Script::new(include_str!("scripts/fill_sliding.lua")),
            invalidate: Script::new(include_str!("scripts/invalidate.lua")),
            append: Script::new(include_str!("scripts/append.lua")),
            get_or_lease: Script::new(include_str!("scripts/get_or_lease.lua")),
            fill_leased: Script::new(include_str!("scripts/fill_leased.lua")),
            renew_lock: Script::new(include_str!("scripts/renew_lock.lua")),
            unlock: Script::new(include_str!("scripts/unlock.lua")),
            raise: Script::new(include_str!("scripts/raise.lua")),
            reconcile: Script::new(include_str!("scripts/reconcile.lua")),
            sweep: Script::new(include_str!("scripts/sweep.lua")),
            purge: Script::new(include_str!("scripts/purge.lua")),
        }
    }
}

/// The remote layer on Redis.
#[derive(Debug)]
pub struct RedisRemote {
    pub(super) keys: Keys,
    pub(super) link: Link,
    timeout: Duration,
    pub(super) scripts: Scripts,
    /// Beginnings of keys whose changes subscribers are told of by Redis; none for pub/sub.
    tracked: Vec<String>,
    counters: RedisCounters,
    last_seen: LastSeen,
}

impl RedisRemote {
    /// Connects. The runtime that this is called on carries the connections.
    ///
    /// # Errors
    /// [`LayerError::Unreachable`] if Redis does not answer within the time limit.
    pub async fn connect(options: RedisOptions) -> Result<Self, LayerError> {
        let link = Box::pin(Link::connect(&options)).await?;
        Ok(Self {
            keys: Keys::new(options.prefix, link.is_cluster()),
            link,
            timeout: options.timeout,
            scripts: Scripts::new(),
            tracked: vec![],
            counters: RedisCounters::default(),
            last_seen: LastSeen::default(),
        })
    }

    /// The same layer, for keys of `policies`. A Cluster must know before the first key which of
    /// them are written behind: those lie beside their queue.
    #[must_use]
    pub fn serving(mut self, policies: &PolicyTable) -> Self {
        self.keys.serve(policies);
        self
    }

    /// The same, with subscribers told by Redis itself of every change of a key that begins with one
    /// of `prefixes` (client tracking in broadcast mode). None of them may be the beginning of
    /// another.
    #[must_use]
    pub fn tracking(self, prefixes: Vec<String>) -> Self {
        Self {
            tracked: prefixes,
            ..self
        }
    }

    /// A connection for one command; each in turn.
    pub(super) fn connection(&self) -> Connection {
        self.link.connection()
    }

    pub(super) fn key(&self, key: &Key) -> String {
        self.keys.spell(key)
    }

    fn lock_key(&self, key: &Key) -> String {
        self.keys.lock_of(key)
    }

    fn channel(&self) -> String {
        self.keys.channel()
    }
}

impl Remote for RedisRemote {
    type Subscription = RedisSubscription;
    type Queue = RedisPartitions;

    async fn get(&self, key: &Key) -> Result<Option<Entry>, LayerError> {
        let held: Option<Bytes> = self
            .link
            .reader()
            .get(self.key(key))
            .await
            .map_err(|e| failure(&e))?;
        entry_of(held.as_ref())
    }

    async fn get_and_extend(&self, key: &Key, ttl: Duration) -> Result<Option<Entry>, LayerError> {
        let mut call = self.scripts.get_and_extend.key(self.key(key));
        call.arg(millis(ttl));
        let held: Option<Bytes> = call
            .invoke_async(&mut self.connection())
            .await
            .map_err(|e| failure(&e))?;
        entry_of(held.as_ref())
    }

    async fn fill_sliding(
        &self,
        key: &Key,
        entry: &Entry,
        ttl: Duration,
    ) -> Result<Fill, LayerError> {
        let mut call = self.scripts.fill_sliding.key(self.key(key));
        call.arg(&wire::encode(entry)[..]).arg(millis(ttl));
        let stored: bool = call
            .invoke_async(&mut self.connection())
            .await
            .map_err(|e| failure(&e))?;
        Ok(if stored { Fill::Stored } else { Fill::Refused })
    }

    async fn fill(&self, key: &Key, entry: &Entry, ttl: Duration) -> Result<Fill, LayerError> {
        let stored: bool = self
            .scripts
            .fill
            .key(self.key(key))
            .arg(&wire::encode(entry)[..])
            .arg(millis(ttl))
            .invoke_async(&mut self.connection())
            .await
            .map_err(|e| failure(&e))?;
        Ok(if stored { Fill::Stored } else { Fill::Refused })
    }

    async fn overwrite(&self, key: &Key, entry: &Entry, ttl: Duration) -> Result<(), LayerError> {
        let value = wire::encode(entry);
        let mut connection = self.connection();
        connection
            .pset_ex(self.key(key), &value[..], millis(ttl))
            .await
            .map_err(|e| failure(&e))
    }

    async fn get_or_lease(
        &self,
        key: &Key,
        token: Token,
        ttl: Duration,
    ) -> Result<Leased, LayerError> {
        let mut call = self.scripts.get_or_lease.key(self.key(key));
        call.arg(&wire::encode_lease(token)[..]).arg(millis(ttl));
        let (state, held): (u8, Bytes) = call
            .invoke_async(&mut self.connection())
            .await
            .map_err(|e| failure(&e))?;
        match state {
            0 => match wire::decode(&held) {
                Ok(Stored::Entry(entry)) => Ok(Leased::Found(entry)),
                Ok(_) => Ok(Leased::Taken),
                Err(foreign) => Err(LayerError::Refused(NAME, foreign.to_string())),
            },
            1 => Ok(Leased::Granted),
            _ => Ok(Leased::Taken),
        }
    }

    async fn fill_leased(
        &self,
        key: &Key,
        token: Token,
        entry: Option<(&Entry, Duration)>,
    ) -> Result<Fill, LayerError> {
        let mut call = self.scripts.fill_leased.key(self.key(key));
        call.arg(&wire::encode_lease(token)[..])
            .arg(self.channel())
            .arg(filled(key)?);
        if let Some((entry, ttl)) = entry {
            call.arg(&wire::encode(entry)[..]).arg(millis(ttl));
        }
        let stored: bool = call
            .invoke_async(&mut self.connection())
            .await
            .map_err(|e| failure(&e))?;
        Ok(if stored { Fill::Stored } else { Fill::Refused })
    }

    async fn lock(&self, key: &Key, token: Token, ttl: Duration) -> Result<bool, LayerError> {
        let mut command = ::redis::cmd("SET");
        command
            .arg(self.lock_key(key))
            .arg(spelled(token))
            .arg("NX")
            .arg("PX")
            .arg(millis(ttl));
        let set: Option<String> = command
            .query_async(&mut self.connection())
            .await
            .map_err(|e| failure(&e))?;
        Ok(set.is_some())
    }

    async fn renew_lock(&self, key: &Key, token: Token, ttl: Duration) -> Result<bool, LayerError> {
        let mut call = self.scripts.renew_lock.key(self.lock_key(key));
        call.arg(spelled(token)).arg(millis(ttl));
        call.invoke_async(&mut self.connection())
            .await
            .map_err(|e| failure(&e))
    }

    async fn unlock(&self, key: &Key, token: Option<Token>) -> Result<(), LayerError> {
        let mut connection = self.connection();
        let Some(token) = token else {
            return connection
                .del(self.lock_key(key))
                .await
                .map_err(|e| failure(&e));
        };
        let mut call = self.scripts.unlock.key(self.lock_key(key));
        call.arg(spelled(token))
            .arg(self.channel())
            .arg(filled(key)?);
        call.invoke_async(&mut connection)
            .await
            .map_err(|e| failure(&e))
    }

    async fn invalidate(&self, keys: &[Key], version: Version) -> Result<(), LayerError> {
        if version == Version(0) {
            return self.purge(keys).await;
        }
        let tombstone = wire::encode_tombstone(version);
        let drops = keys.iter().map(|key| {
            let mut connection = self.connection();
            let mut call = self.scripts.invalidate.key(self.key(key));
            call.arg(&tombstone[..]).arg(millis(TOMBSTONE_TTL));
            async move {
                call.invoke_async::<()>(&mut connection)
                    .await
                    .map_err(|e| failure(&e))
            }
        });
        futures_util::future::try_join_all(drops).await.map(|_| ())
    }

    async fn raise(&self, scope: &Scope, known: Generation) -> Result<Generation, LayerError> {
        self.raise_generation(scope, known).await
    }

    async fn reconcile(&self, known: &[Marker]) -> Result<Vec<Marker>, LayerError> {
        self.reconcile_generations(known).await
    }

    async fn sweep(
        &self,
        globs: &[Glob],
        belongs: impl Fn(&Key) -> bool + Send + Sync,
    ) -> Result<u64, LayerError> {
        self.sweep_primaries(globs, belongs).await
    }

    async fn held(&self, keys: &[Key]) -> Result<Vec<Option<Version>>, LayerError> {
        self.versions_of(keys).await
    }

    fn announces_changes(&self) -> bool {
        !self.tracked.is_empty()
    }

    async fn publish(&self, notice: &Notice) -> Result<(), LayerError> {
        let text = serde_json::to_string(notice)
            .map_err(|error| LayerError::Refused(NAME, error.to_string()))?;
        self.connection()
            .publish(self.channel(), text)
            .await
            .map_err(|e| failure(&e))
    }

    async fn subscribe(&self) -> Result<RedisSubscription, LayerError> {
        if self.announces_changes() {
            return RedisSubscription::track(&self.link, &self.keys, &self.tracked).await;
        }
        RedisSubscription::open(&self.link, &self.channel()).await
    }

    async fn append(
        &self,
        write: &QueuedWrite,
        entry: &Entry,
        ttl: Duration,
        queue_max: u64,
    ) -> Result<Appended, LayerError> {
        let stream = self.keys.stream_for(&write.key)?;
        let mut call = self.scripts.append.key(self.key(&write.key));
        call.key(stream)
            .arg(&wire::encode(entry)[..])
            .arg(millis(ttl))
            .arg(write.version.0)
            .arg(self.keys.share_of(queue_max))
            .arg(PLACES_PER_MS)
            .arg(unix_millis(write.accepted_at + self.timeout));
        write_fields(write, |field| {
            call.arg(field);
        });
        let (became, version): (i8, u64) = call
            .invoke_async(&mut self.connection())
            .await
            .map_err(|e| failure(&e))?;
        match became {
            1 => Ok(Appended::Queued(Version(version))),
            0 => Ok(Appended::Full(Version(version))),
            _ => Err(LayerError::Refused(NAME, TOO_LATE.to_owned())),
        }
    }

    async fn queue(&self, consumer: &str) -> Result<RedisPartitions, LayerError> {
        let (streams, last_seen) = (self.keys.streams(), &self.last_seen);
        RedisPartitions::open(&self.link, streams, consumer, last_seen).await
    }

    async fn admit(&self, key: &Key, limit: Limit) -> Result<Admission, LayerError> {
        let mut connection = self.connection();
        let decided = self
            .counters
            .admit(&mut connection, &self.key(key), limit, None)
            .await;
        decided
            .map(|decided| decided.admission)
            .map_err(|e| failure(&e))
    }
}

/// The entry that stands at a key, if one does.
fn entry_of(held: Option<&Bytes>) -> Result<Option<Entry>, LayerError> {
    match held.map(wire::decode).transpose() {
        Ok(Some(Stored::Entry(entry))) => Ok(Some(entry)),
        Ok(Some(Stored::Tombstone(_) | Stored::Lease) | None) => Ok(None),
        Err(foreign) => Err(LayerError::Refused(NAME, foreign.to_string())),
    }
}

/// A token as a lock's value.
fn spelled(token: Token) -> String {
    format!("{:032x}", token.0)
}

/// The notice that nobody loads `key` any more.
fn filled(key: &Key) -> Result<String, LayerError> {
    serde_json::to_string(&Notice::Filled(key.as_str().to_owned()))
        .map_err(|error| LayerError::Refused(NAME, error.to_string()))
}

/// As Redis tells time.
pub(crate) fn unix_millis(moment: Timestamp) -> u64 {
    moment.as_unix_nanos() / 1_000_000
}

/// Redis takes whole milliseconds and refuses zero.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis())
        .unwrap_or(u64::MAX)
        .max(1)
}

/// The library's error in the engine's words.
pub(super) fn failure(error: &RedisError) -> LayerError {
    if error.is_timeout() {
        LayerError::TimedOut(NAME)
    } else if error.is_io_error() || error.is_connection_dropped() || error.is_connection_refusal()
    {
        LayerError::Unreachable(NAME, error.to_string())
    } else if error.kind() == ErrorKind::InvalidClientConfig {
        LayerError::Unreachable(NAME, format!("the URL cannot be used ({error})"))
    } else {
        LayerError::Refused(NAME, error.to_string())
    }
}
