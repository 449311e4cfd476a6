//! The queue of write-behind on Redis streams, each with one consumer group.
//!
//! Outside of a Cluster it is one stream, read over a connection of its own, because `XREADGROUP
//! BLOCK` holds it. In a Cluster it is several streams in several slots (`redis/keys.rs`), read over
//! the shared connections without blocking. The writes of one key are always in one stream, so
//! their order holds.

use std::collections::HashMap;
use std::time::Duration;

use ::redis::streams::{StreamId, StreamReadReply};
use ::redis::{FromRedisValue, Value, from_redis_value_ref};
use bytes::Bytes;
use futures_util::future::try_join_all;

use super::redis::{Connection, Link, NAME, failure};
use super::redis_subscription::bounded;
use crate::clock::Timestamp;
use crate::engine::data_type::{DataTypeId, Key};
use crate::engine::layer::{LayerError, Queue, QueueId, QueuedWrite, Version};

const GROUP: &str = "write-behind";
/// How long one read waits for new writes.
const BLOCK: Duration = Duration::from_millis(200);
/// How long any command may take on top of that.
const COMMAND_LIMIT: Duration = Duration::from_secs(2);

/// The queue as one consumer sees it.
#[derive(Debug)]
pub struct RedisQueue {
    streams: Vec<Stream>,
}

/// One stream of it.
#[derive(Debug)]
struct Stream {
    connection: Connection,
    name: String,
    consumer: String,
    /// `None` over a shared connection, which must not be held.
    block: Option<Duration>,
    /// From where to read this consumer's own deliveries again; `None` when all are acknowledged.
    redeliver_from: Option<String>,
}

impl RedisQueue {
    pub(super) async fn open(
        link: &Link,
        names: Vec<String>,
        consumer: &str,
    ) -> Result<Self, LayerError> {
        let connection = link.blocking().await?;
        let block = (!link.is_cluster()).then_some(BLOCK);
        let opening = names.into_iter().map(|name| {
            let (connection, consumer) = (connection.clone(), consumer.to_owned());
            Stream::open(connection, name, consumer, block)
        });
        Ok(Self {
            streams: try_join_all(opening).await?,
        })
    }
}

impl Stream {
    async fn open(
        mut connection: Connection,
        name: String,
        consumer: String,
        block: Option<Duration>,
    ) -> Result<Self, LayerError> {
        bounded(COMMAND_LIMIT, async {
            let made = ::redis::cmd("XGROUP")
                .arg(&["CREATE", &name, GROUP, "0", "MKSTREAM"])
                .query_async::<()>(&mut connection)
                .await;
            match made {
                Err(error) if error.code() != Some("BUSYGROUP") => Err(failure(&error)),
                _ => Ok(()),
            }
        })
        .await?;
        Ok(Self {
            connection,
            name,
            consumer,
            block,
            redeliver_from: Some("0".to_owned()),
        })
    }

    async fn read(&mut self, max: usize, from: &str) -> Result<Vec<StreamId>, LayerError> {
        let mut command = ::redis::cmd("XREADGROUP");
        command
            .arg(&["GROUP", GROUP, &self.consumer, "COUNT"])
            .arg(max);
        if let Some(block) = self.block {
            command.arg("BLOCK").arg(block.as_millis() as u64);
        }
        command.arg("STREAMS").arg(&self.name).arg(from);
        let limit = self.block.unwrap_or_default() + COMMAND_LIMIT;
        let reply: Option<StreamReadReply> = bounded(limit, async {
            command
                .query_async(&mut self.connection)
                .await
                .map_err(|e| failure(&e))
        })
        .await?;
        Ok(reply
            .into_iter()
            .flat_map(|reply| reply.keys)
            .flat_map(|key| key.ids)
            .collect())
    }

    async fn next_batch(&mut self, max: usize) -> Result<Vec<(QueueId, QueuedWrite)>, LayerError> {
        if let Some(from) = self.redeliver_from.clone() {
            let again = self.read(max, &from).await?;
            self.redeliver_from = again.last().map(|last| last.id.clone());
            if !again.is_empty() {
                return again.into_iter().map(read_fields).collect();
            }
        }
        let fresh = self.read(max, ">").await?;
        fresh.into_iter().map(read_fields).collect()
    }

    async fn acknowledge(&mut self, ids: &[&str]) -> Result<(), LayerError> {
        if ids.is_empty() {
            return Ok(());
        }
        // Acknowledged writes are deleted at once: the stream holds only what is still to do.
        let mut both = ::redis::pipe();
        both.atomic();
        both.cmd("XACK")
            .arg(&self.name)
            .arg(GROUP)
            .arg(ids)
            .ignore();
        both.cmd("XDEL").arg(&self.name).arg(ids).ignore();
        bounded(COMMAND_LIMIT, async {
            both.query_async(&mut self.connection)
                .await
                .map_err(|e| failure(&e))
        })
        .await
    }
}

/// A place in the queue: the stream's, and that of the write in it.
fn place(stream: usize, id: &QueueId) -> QueueId {
    QueueId(format!("{stream}/{}", id.0))
}

/// The place in stream number `stream`, if it is in there.
fn place_in<'i>(stream: usize, id: &'i QueueId) -> Option<&'i str> {
    let (of, id) = id.0.split_once('/')?;
    (of.parse() == Ok(stream)).then_some(id)
}

impl Queue for RedisQueue {
    async fn next_batch(&mut self, max: usize) -> Result<Vec<(QueueId, QueuedWrite)>, LayerError> {
        // Each stream its share, so that together they are no more than was asked for.
        let share = max.div_ceil(self.streams.len()).max(1);
        let reading = self
            .streams
            .iter_mut()
            .map(|stream| stream.next_batch(share));
        let batches = try_join_all(reading).await?;
        let placed = batches.into_iter().enumerate().flat_map(|(stream, batch)| {
            let placed = move |(id, write)| (place(stream, &id), write);
            batch.into_iter().map(placed)
        });
        Ok(placed.collect())
    }

    async fn acknowledge(&mut self, ids: &[QueueId]) -> Result<(), LayerError> {
        let telling = self.streams.iter_mut().enumerate().map(|(at, stream)| {
            let own: Vec<&str> = ids.iter().filter_map(|id| place_in(at, id)).collect();
            async move { stream.acknowledge(&own).await }
        });
        try_join_all(telling).await.map(|_| ())
    }
}

/// Gives the fields of `write` and their values, each as one argument.
pub(super) fn write_fields(write: &QueuedWrite, mut give: impl FnMut(&[u8])) {
    let number = |n: u64| n.to_string().into_bytes();
    give(b"data_type");
    give(&number(u64::from(write.data_type.0)));
    give(b"key");
    give(write.key.as_str().as_bytes());
    give(b"version");
    give(&number(write.version.0));
    give(b"accepted_at");
    give(&number(write.accepted_at.as_unix_nanos()));
    give(b"value");
    give(&write.value);
}

fn read_fields(entry: StreamId) -> Result<(QueueId, QueuedWrite), LayerError> {
    let fields = entry.map;
    let wrong = || LayerError::Refused(NAME, format!("queue entry {} cannot be read", entry.id));
    let write = (|| {
        Some(QueuedWrite {
            data_type: DataTypeId(field(&fields, "data_type")?),
            key: Key::new(field::<String>(&fields, "key")?),
            value: Bytes::from(field::<Vec<u8>>(&fields, "value")?),
            version: Version(field(&fields, "version")?),
            accepted_at: Timestamp::from_unix_nanos(field(&fields, "accepted_at")?),
        })
    })()
    .ok_or_else(wrong)?;
    Ok((QueueId(entry.id), write))
}

fn field<T: FromRedisValue>(fields: &HashMap<String, Value>, name: &str) -> Option<T> {
    from_redis_value_ref(fields.get(name)?).ok()
}
