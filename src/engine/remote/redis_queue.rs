//! The queue of write-behind on a Redis stream with one consumer group.
//!
//! The stream holds what is still to do and nothing else: committed writes are deleted when they
//! are acknowledged, so it is never trimmed (MAXLEN would also trim what nobody has acknowledged),
//! and it has no TTL while anything waits in it (a TTL would make it prey of the volatile policies).
//! What Redis cannot promise is told by [`Waiting::may_be_evicted`]: an allkeys policy evicts
//! streams as it does cache entries.
//!
//! A connection of its own, because `XREADGROUP BLOCK` holds it. In a Cluster the queue is several of
//! these ([`super::redis_partitions`]), which share connections and do not block.

use std::collections::HashMap;
use std::time::Duration;

use ::redis::streams::{StreamId, StreamReadReply};
use ::redis::{FromRedisValue, Script, Value, from_redis_value_ref};
use bytes::Bytes;

use super::redis::{Connection, failure};
use super::redis_subscription::bounded;
use crate::clock::Timestamp;
use crate::engine::data_type::{DataTypeId, Key};
use crate::engine::layer::{LayerError, Version};
use crate::engine::queue::{Delivery, Queue, QueueId, QueuedWrite, TakenBack, Waiting};
use crate::engine::write_behind::version::PLACES_PER_MS;

const GROUP: &str = "write-behind";
/// How long one read waits for new writes.
pub(crate) const BLOCK: Duration = Duration::from_millis(200);
/// How long any command may take on top of that.
pub(crate) const COMMAND_LIMIT: Duration = Duration::from_secs(2);
/// How long an empty queue outlives its last write.
pub(crate) const EMPTY_TTL: Duration = Duration::from_hours(24);
/// From this share of `maxmemory` on an allkeys policy is about to evict.
pub(crate) const MEMORY_SHARE_AT_RISK: f64 = 0.9;

/// An entry's id, its fields, and how often it was delivered.
type Given = (String, HashMap<String, Value>, u32);

#[derive(Debug)]
struct Scripts {
    take_back: Script,
    acknowledge: Script,
    bury: Script,
    waiting: Script,
}

/// The queue as one consumer sees it.
#[derive(Debug)]
pub struct RedisQueue {
    connection: Connection,
    stream: String,
    consumer: String,
    /// Over a connection of its own a read may wait for new writes.
    block: bool,
    is_new: bool,
    scripts: Scripts,
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
            let is_new = match made {
                Ok(()) => true,
                Err(error) if error.code() == Some("BUSYGROUP") => false,
                Err(error) => return Err(failure(&error)),
            };
            Ok(Self {
                connection,
                stream,
                consumer,
                block,
                is_new,
                scripts: Scripts {
                    take_back: Script::new(include_str!("scripts/take_back.lua")),
                    acknowledge: Script::new(include_str!("scripts/acknowledge.lua")),
                    bury: Script::new(include_str!("scripts/bury.lua")),
                    waiting: Script::new(include_str!("scripts/waiting.lua")),
                },
            })
        })
        .await
    }

    /// In the stream's slot of a Cluster, whose tag its name carries.
    fn dead_letters(&self) -> String {
        format!("{}:dead", self.stream)
    }

    /// Whether Redis would evict and is close to it. `None` if it does not say.
    async fn may_be_evicted(&mut self) -> Option<bool> {
        let info: String = ::redis::cmd("INFO")
            .arg("memory")
            .query_async(&mut self.connection)
            .await
            .ok()?;
        may_evict_streams(&info)
    }
}

impl Queue for RedisQueue {
    fn is_new(&self) -> bool {
        self.is_new
    }

    async fn next_batch(&mut self, max: usize) -> Result<Vec<Delivery>, LayerError> {
        let mut command = ::redis::cmd("XREADGROUP");
        command
            .arg(&["GROUP", GROUP, &self.consumer, "COUNT"])
            .arg(max);
        if self.block {
            command.arg("BLOCK").arg(millis(BLOCK));
        }
        command.arg("STREAMS").arg(&self.stream).arg(">");
        let reply: Option<StreamReadReply> = bounded(BLOCK + COMMAND_LIMIT, async {
            command
                .query_async(&mut self.connection)
                .await
                .map_err(|e| failure(&e))
        })
        .await?;
        let keys = reply.into_iter().flat_map(|reply| reply.keys);
        let entries = keys.flat_map(|key| key.ids);
        Ok(entries
            .map(|StreamId { id, map, .. }| delivery(id, &map, 1))
            .collect())
    }

    async fn take_back(
        &mut self,
        idle: Option<Duration>,
        max: usize,
        alone_from: u32,
    ) -> Result<TakenBack, LayerError> {
        let mut call = self.scripts.take_back.key(&self.stream);
        call.arg(GROUP).arg(&self.consumer);
        match idle {
            Some(idle) => call.arg(millis(idle)),
            None => call.arg(-1),
        };
        call.arg(max).arg(alone_from);
        let given: (Vec<Given>, u64) = bounded(COMMAND_LIMIT, async {
            call.invoke_async(&mut self.connection)
                .await
                .map_err(|e| failure(&e))
        })
        .await?;
        let deliveries = given.0.into_iter();
        Ok(TakenBack {
            deliveries: deliveries
                .map(|(id, fields, deliveries)| delivery(id, &fields, deliveries))
                .collect(),
            vanished: given.1,
        })
    }

    async fn keep(&mut self, ids: &[QueueId]) -> Result<bool, LayerError> {
        if ids.is_empty() {
            return Ok(true);
        }
        // JUSTID resets the idle time without counting a delivery.
        let mut command = ::redis::cmd("XCLAIM");
        command.arg(&[&self.stream, GROUP, &self.consumer, "0"]);
        command.arg(ids.iter().map(|id| id.0.as_str()).collect::<Vec<_>>());
        command.arg("JUSTID");
        bounded(COMMAND_LIMIT, async {
            let kept = command.query_async::<()>(&mut self.connection).await;
            match kept {
                Ok(()) => Ok(true),
                Err(error) if error.code() == Some("NOGROUP") => Ok(false),
                Err(error) => Err(failure(&error)),
            }
        })
        .await
    }

    async fn acknowledge(&mut self, ids: &[QueueId]) -> Result<(), LayerError> {
        if ids.is_empty() {
            return Ok(());
        }
        let mut call = self.scripts.acknowledge.key(&self.stream);
        call.arg(GROUP).arg(millis(EMPTY_TTL));
        for id in ids {
            call.arg(&id.0);
        }
        bounded(COMMAND_LIMIT, async {
            call.invoke_async(&mut self.connection)
                .await
                .map_err(|e| failure(&e))
        })
        .await
    }

    async fn bury(&mut self, delivery: &Delivery, reason: &str) -> Result<(), LayerError> {
        let mut call = self.scripts.bury.key(&self.stream);
        call.key(self.dead_letters())
            .arg(GROUP)
            .arg(&delivery.id.0)
            .arg(reason)
            .arg(delivery.deliveries);
        bounded(COMMAND_LIMIT, async {
            call.invoke_async(&mut self.connection)
                .await
                .map_err(|e| failure(&e))
        })
        .await
    }

    async fn waiting(&mut self) -> Result<Waiting, LayerError> {
        let dead_letters = self.dead_letters();
        bounded(COMMAND_LIMIT, async {
            let mut call = self.scripts.waiting.key(&self.stream);
            let (writes, oldest_ms, dead_letters): (u64, u64, u64) = call
                .key(dead_letters)
                .invoke_async(&mut self.connection)
                .await
                .map_err(|e| failure(&e))?;
            Ok(Waiting {
                writes,
                oldest: Duration::from_millis(oldest_ms),
                dead_letters,
                // One that may not be asked says nothing of itself.
                may_be_evicted: self.may_be_evicted().await.unwrap_or(false),
            })
        })
        .await
    }
}

/// Whether the Redis of this `INFO memory` evicts streams, too, and is about to.
fn may_evict_streams(info: &str) -> Option<bool> {
    let field = |name: &str| {
        let line = info.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.strip_prefix(':')?.trim())
    };
    let number = |name| field(name)?.parse::<f64>().ok();
    let limit = number("maxmemory")?;
    let full = limit > 0.0 && number("used_memory")? >= limit * MEMORY_SHARE_AT_RISK;
    Some(full && field("maxmemory_policy")?.starts_with("allkeys"))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Gives the fields of `write` and their values, each as one argument. The version is not among
/// them: the place in the stream is the version.
pub(super) fn write_fields(write: &QueuedWrite, mut give: impl FnMut(&[u8])) {
    let number = |n: u64| n.to_string().into_bytes();
    give(b"data_type");
    give(&number(u64::from(write.data_type.0)));
    give(b"key");
    give(write.key.as_str().as_bytes());
    give(b"accepted_at");
    give(&number(write.accepted_at.as_unix_nanos()));
    give(b"value");
    give(&write.value);
}

fn delivery(id: String, fields: &HashMap<String, Value>, deliveries: u32) -> Delivery {
    Delivery {
        write: read_write(&id, fields),
        id: QueueId(id),
        deliveries,
    }
}

fn read_write(id: &str, fields: &HashMap<String, Value>) -> Result<QueuedWrite, String> {
    Ok(QueuedWrite {
        data_type: DataTypeId(field(fields, "data_type")?),
        key: Key::new(field::<String>(fields, "key")?),
        value: Bytes::from(field::<Vec<u8>>(fields, "value")?),
        version: version_of(id).ok_or_else(|| format!("its place {id} is no version of ours"))?,
        accepted_at: Timestamp::from_unix_nanos(field(fields, "accepted_at")?),
    })
}

fn field<T: FromRedisValue>(fields: &HashMap<String, Value>, name: &str) -> Result<T, String> {
    let value = fields
        .get(name)
        .ok_or_else(|| format!("it has no field `{name}`"))?;
    from_redis_value_ref(value).map_err(|_| format!("its field `{name}` cannot be read"))
}

/// The version that `append.lua` made of this place.
fn version_of(id: &str) -> Option<Version> {
    let (ms, place) = id.split_once('-')?;
    let (ms, place): (u64, u64) = (ms.parse().ok()?, place.parse().ok()?);
    let version = ms.checked_mul(PLACES_PER_MS)?.checked_add(place)?;
    (place < PLACES_PER_MS).then_some(Version(version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_version_and_grows_with_it() {
        assert_eq!(version_of("1-0"), Some(Version(PLACES_PER_MS)));
        assert!(version_of("1-2047") < version_of("2-0"));
        for foreign in ["", "7", "a-0", "1-x", "1-2048", "18446744073709551615-0"] {
            assert_eq!(version_of(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn a_redis_that_evicts_streams_is_recognised() {
        let info = |policy: &str, used: u64, limit: u64| {
            let text = format!(
                "# Memory\r\nused_memory:{used}\r\nused_memory_human:x\r\nmaxmemory:{limit}\r\n\
                 maxmemory_human:x\r\nmaxmemory_policy:{policy}\r\n"
            );
            may_evict_streams(&text)
        };
        assert_eq!(info("allkeys-lru", 95, 100), Some(true));
        assert_eq!(info("allkeys-lru", 50, 100), Some(false), "far from full");
        assert_eq!(info("allkeys-lru", 95, 0), Some(false), "no limit");
        assert_eq!(
            info("volatile-lru", 95, 100),
            Some(false),
            "no TTL, no prey"
        );
        assert_eq!(info("noeviction", 95, 100), Some(false));
        assert_eq!(may_evict_streams("redis_version:7"), None);
    }
}
