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
use self::keys::Keys;
pub(super) use self::link::Link;
pub use self::nodes::Nodes;
pub(super) use self::roster::Roster;
pub use self::survey::{ShardView, Surveyor, View};
use super::redis_partitions::RedisPartitions;
use super::redis_queue::write_fields;
use super::redis_subscription::RedisSubscription;
use super::wire::{self, Stored};
use crate::engine::data_type::{Key, Limit, PolicyTable};
use crate::engine::layer::{
    Admission, Entry, Fill, LayerError, Leased, Notice, QueuedWrite, Remote, Token, Version,
};

pub(super) const NAME: &str = "Redis";

/// A load that began before an invalidation is over by then, or its value may be stored.
const TOMBSTONE_TTL: Duration = Duration::from_mins(1);
/// How long the queue of write-behind outlives its last write.
const STREAM_TTL: Duration = Duration::from_hours(24);
/// The sub-buckets of a counter's sliding window.
const WINDOW_BUCKETS: u32 = 32;

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
struct Scripts {
    fill: Script,
    invalidate: Script,
    append: Script,
    admit: Script,
    get_or_lease: Script,
    fill_leased: Script,
    renew_lock: Script,
    unlock: Script,
}

impl Scripts {
    fn new() -> Self {
        Self {
            fill: Script::new(include_str!("scripts/fill.lua")),
            invalidate: Script::new(include_str!("scripts/invalidate.lua")),
            append: Script::new(include_str!("scripts/append.lua")),
            admit: Script::new(include_str!("scripts/admit.lua")),
            get_or_lease: Script::new(include_str!("scripts/get_or_lease.lua")),
            fill_leased: Script::new(include_str!("scripts/fill_leased.lua")),
            renew_lock: Script::new(include_str!("scripts/renew_lock.lua")),
            unlock: Script::new(include_str!("scripts/unlock.lua")),
        }
    }
}

/// The remote layer on Redis.
#[derive(Debug)]
pub struct RedisRemote {
    keys: Keys,
    link: Link,
    scripts: Scripts,
}

impl RedisRemote {
    /// Connects. The runtime that this is called on carries the connections.
    ///
    /// # Errors
    /// [`LayerError::Unreachable`] if Redis does not answer within the time limit.
    pub async fn connect(options: RedisOptions) -> Result<Self, LayerError> {
        let link = Link::connect(&options).await?;
        Ok(Self {
            keys: Keys::new(options.prefix, link.is_cluster()),
            link,
            scripts: Scripts::new(),
        })
    }

    /// The same layer, for keys of `policies`. A Cluster must know before the first key which of
    /// them are written behind: those lie beside their queue.
    #[must_use]
    pub fn serving(mut self, policies: &PolicyTable) -> Self {
        self.keys.serve(policies);
        self
    }

    /// A connection for one command; each in turn.
    fn connection(&self) -> Connection {
        self.link.connection()
    }

    fn key(&self, key: &Key) -> String {
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
        match held.as_ref().map(wire::decode).transpose() {
            Ok(Some(Stored::Entry(entry))) => Ok(Some(entry)),
            Ok(Some(Stored::Tombstone(_) | Stored::Lease) | None) => Ok(None),
            Err(foreign) => Err(LayerError::Refused(NAME, foreign.to_string())),
        }
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
            // Each by itself: in a Cluster they may lie on different nodes.
            let drops = keys.iter().map(|key| {
                let mut connection = self.connection();
                async move {
                    let dropped = connection.unlink::<_, ()>(self.key(key)).await;
                    dropped.map_err(|e| failure(&e))
                }
            });
            return futures_util::future::try_join_all(drops).await.map(|_| ());
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

    async fn publish(&self, notice: &Notice) -> Result<(), LayerError> {
        let text = serde_json::to_string(notice)
            .map_err(|error| LayerError::Refused(NAME, error.to_string()))?;
        self.connection()
            .publish(self.channel(), text)
            .await
            .map_err(|e| failure(&e))
    }

    async fn subscribe(&self) -> Result<RedisSubscription, LayerError> {
        RedisSubscription::open(&self.link, &self.channel()).await
    }

    async fn append(
        &self,
        write: &QueuedWrite,
        entry: &Entry,
        ttl: Duration,
    ) -> Result<(), LayerError> {
        let stream = self.keys.stream_of(&write.key).ok_or_else(|| {
            let why = format!("{} is of no data type that is written behind", write.key);
            LayerError::Refused(NAME, why)
        })?;
        let mut call = self.scripts.append.key(self.key(&write.key));
        call.key(stream)
            .arg(&wire::encode(entry)[..])
            .arg(millis(ttl))
            .arg(millis(STREAM_TTL));
        write_fields(write, |field| {
            call.arg(field);
        });
        call.invoke_async(&mut self.connection())
            .await
            .map_err(|e| failure(&e))
    }

    async fn queue(&self, consumer: &str) -> Result<RedisPartitions, LayerError> {
        RedisPartitions::open(&self.link, self.keys.streams(), consumer).await
    }

    async fn admit(&self, key: &Key, limit: Limit) -> Result<Admission, LayerError> {
        let (admitted, remaining, retry_after_ms): (bool, u64, u64) = self
            .scripts
            .admit
            .key(self.key(key))
            .arg(limit.requests)
            .arg(millis(limit.window))
            .arg(WINDOW_BUCKETS)
            .invoke_async(&mut self.connection())
            .await
            .map_err(|e| failure(&e))?;
        Ok(Admission {
            admitted,
            remaining,
            retry_after: Duration::from_millis(retry_after_ms),
        })
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

/// Redis takes whole milliseconds and refuses zero.
fn millis(duration: Duration) -> u64 {
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
