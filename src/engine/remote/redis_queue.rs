//! The queue of write-behind on a Redis stream with one consumer group.
//!
//! A connection of its own, because `XREADGROUP BLOCK` holds it. In a Cluster the queue is several
//! of these ([`super::redis_partitions`]), which share connections and do not block.

use std::collections::HashMap;
use std::time::Duration;

use ::redis::streams::{StreamId, StreamReadReply};
use ::redis::{FromRedisValue, Value, from_redis_value_ref};
use bytes::Bytes;

use super::redis::{Connection, NAME, failure};
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
pub(super) struct RedisQueue {
    connection: Connection,
    stream: String,
    consumer: String,
    /// Over a connection of its own a read may wait for new writes.
    block: bool,
    /// From where to read this consumer's own deliveries again; `None` when all are acknowledged.
    redeliver_from: Option<String>,
}

impl RedisQueue {
    pub(super) async fn open(
        mut connection: Connection,
        block: bool,
        stream: String,
        consumer: String,
    ) -> Result<Self, LayerError> {
        bounded(COMMAND_LIMIT, async {
            let made = ::redis::cmd("XGROUP")
                .arg(&["CREATE", &stream, GROUP, "0", "MKSTREAM"])
                .query_async::<()>(&mut connection)
                .await;
            match made {
                Err(error) if error.code() != Some("BUSYGROUP") => return Err(failure(&error)),
                _ => {}
            }
            Ok(Self {
                connection,
                stream,
                consumer,
                block,
                redeliver_from: Some("0".to_owned()),
            })
        })
        .await
    }

    async fn read(&mut self, max: usize, from: &str) -> Result<Vec<StreamId>, LayerError> {
        let mut command = ::redis::cmd("XREADGROUP");
        command
            .arg(&["GROUP", GROUP, &self.consumer, "COUNT"])
            .arg(max);
        if self.block {
            command.arg("BLOCK").arg(BLOCK.as_millis() as u64);
        }
        command.arg("STREAMS").arg(&self.stream).arg(from);
        let reply: Option<StreamReadReply> = bounded(BLOCK + COMMAND_LIMIT, async {
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
}

impl Queue for RedisQueue {
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

    async fn acknowledge(&mut self, ids: &[QueueId]) -> Result<(), LayerError> {
        if ids.is_empty() {
            return Ok(());
        }
        let ids: Vec<&str> = ids.iter().map(|id| id.0.as_str()).collect();
        // Acknowledged writes are deleted at once: the stream holds only what is still to do.
        let mut both = ::redis::pipe();
        both.atomic();
        both.cmd("XACK")
            .arg(&self.stream)
            .arg(GROUP)
            .arg(&ids)
            .ignore();
        both.cmd("XDEL").arg(&self.stream).arg(&ids).ignore();
        bounded(COMMAND_LIMIT, async {
            both.query_async(&mut self.connection)
                .await
                .map_err(|e| failure(&e))
        })
        .await
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
