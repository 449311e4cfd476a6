//! L2 on Redis (or Valkey): every operation in one round trip, by a Lua script where it takes more
//! than one command to be safe.
//!
//! Each instance opens a few multiplexed connections and spreads its commands over them. The
//! client library's own limits are set on purpose: its pipeline buffer (50 by default) would be
//! the bottleneck at 1,000 users, its response timeout is the layer's time limit, and its
//! reconnection delay is capped. A command that meets a broken connection fails; it is not retried,
//! because the engine has a better answer: the origin.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ::redis::aio::{ConnectionManager, ConnectionManagerConfig};
use ::redis::{AsyncCommands, ErrorKind, RedisError, Script};
use bytes::Bytes;

use super::redis_counter::RedisCounters;
use super::redis_queue::{RedisQueue, write_fields};
use super::redis_subscription::RedisSubscription;
use super::wire::{self, Stored};
use crate::engine::data_type::{Key, Limit};
use crate::engine::layer::{
    Admission, Entry, Fill, LayerError, Notice, QueuedWrite, Remote, Version,
};

pub(super) const NAME: &str = "Redis";

/// How many commands may wait to be written to one connection.
const PIPELINE_BUFFER: usize = 4_096;
/// A load that began before an invalidation is over by then, or its value may be stored.
const TOMBSTONE_TTL: Duration = Duration::from_mins(1);
/// How long the queue of write-behind outlives its last write.
const STREAM_TTL: Duration = Duration::from_hours(24);

/// How to reach Redis, and within what limits.
#[derive(Clone, Debug)]
pub struct RedisOptions {
    /// As in `redis://127.0.0.1:6379/0`.
    pub url: String,
    /// Stands before every key and channel, so that runs do not meet.
    pub prefix: String,
    /// How many connections to open.
    pub connections: u16,
    /// How long a command may take.
    pub timeout: Duration,
}

#[derive(Debug)]
struct Scripts {
    fill: Script,
    invalidate: Script,
    append: Script,
}

impl Scripts {
    fn new() -> Self {
        Self {
            fill: Script::new(include_str!("scripts/fill.lua")),
            invalidate: Script::new(include_str!("scripts/invalidate.lua")),
            append: Script::new(include_str!("scripts/append.lua")),
        }
    }
}

/// The remote layer on Redis.
#[derive(Debug)]
pub struct RedisRemote {
    options: RedisOptions,
    client: ::redis::Client,
    connections: Box<[Connection]>,
    next: AtomicUsize,
    scripts: Scripts,
    counters: RedisCounters,
}

/// [`ConnectionManager`] prints nothing of itself.
struct Connection(ConnectionManager);

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connection")
    }
}

impl RedisRemote {
    /// Connects. The runtime that this is called on carries the connections.
    ///
    /// # Errors
    /// [`LayerError::Unreachable`] if Redis does not answer within the time limit.
    pub async fn connect(options: RedisOptions) -> Result<Self, LayerError> {
        let client = ::redis::Client::open(options.url.as_str()).map_err(|e| failure(&e))?;
        let config = ConnectionManagerConfig::new()
            .set_response_timeout(Some(options.timeout))
            .set_connection_timeout(Some(Duration::from_secs(1)))
            .set_pipeline_buffer_size(PIPELINE_BUFFER)
            .set_number_of_retries(3)
            .set_min_delay(Duration::from_millis(20))
            .set_max_delay(Duration::from_millis(500));
        let mut connections = Vec::new();
        for _ in 0..options.connections.max(1) {
            let manager = client
                .get_connection_manager_with_config(config.clone())
                .await;
            connections.push(Connection(manager.map_err(|e| failure(&e))?));
        }
        Ok(Self {
            options,
            client,
            connections: connections.into(),
            next: AtomicUsize::new(0),
            scripts: Scripts::new(),
            counters: RedisCounters::default(),
        })
    }

    /// A connection for one command; each in turn.
    fn connection(&self) -> ConnectionManager {
        let at = self.next.fetch_add(1, Ordering::Relaxed) % self.connections.len();
        self.connections[at].0.clone()
    }

    fn key(&self, key: &Key) -> String {
        [&self.options.prefix, key.as_str()].concat()
    }

    /// A key of the queue's slot: in a Cluster both keys of a script must be in one.
    fn stream(&self) -> String {
        format!("{}write-behind", self.options.prefix)
    }

    fn channel(&self) -> String {
        format!("{}invalidations", self.options.prefix)
    }
}

impl Remote for RedisRemote {
    type Subscription = RedisSubscription;
    type Queue = RedisQueue;

    async fn get(&self, key: &Key) -> Result<Option<Entry>, LayerError> {
        let held: Option<Bytes> = self
            .connection()
            .get(self.key(key))
            .await
            .map_err(|e| failure(&e))?;
        match held.as_ref().map(wire::decode).transpose() {
            Ok(Some(Stored::Entry(entry))) => Ok(Some(entry)),
            Ok(Some(Stored::Tombstone(_)) | None) => Ok(None),
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

    async fn invalidate(&self, keys: &[Key], version: Version) -> Result<(), LayerError> {
        if version == Version(0) {
            let keys: Vec<String> = keys.iter().map(|key| self.key(key)).collect();
            return self
                .connection()
                .unlink(keys)
                .await
                .map_err(|e| failure(&e));
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
        RedisSubscription::open(&self.client, &self.channel()).await
    }

    async fn append(
        &self,
        write: &QueuedWrite,
        entry: &Entry,
        ttl: Duration,
    ) -> Result<(), LayerError> {
        let mut call = self.scripts.append.key(self.key(&write.key));
        call.key(self.stream())
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

    async fn queue(&self, consumer: &str) -> Result<RedisQueue, LayerError> {
        RedisQueue::open(&self.client, self.stream(), consumer.to_owned()).await
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
