//! The writer's side of write-behind: into the cache and the queue, or past the queue.
//!
//! Past the queue go writes that find it full (if the limits say so) or that cannot reach it; the
//! origin commits them at once, under a version that has its order among the queued ones, so that
//! an older write still in the queue cannot come after it. What the queue did not confirm in time it
//! does not take later.

use std::time::Duration;

use bytes::Bytes;

use super::policy::OnFull;
use crate::clock::Timestamp;
use crate::engine::data_type::{DataType, DataTypeId, Invalidation, Key};
use crate::engine::event::Event;
use crate::engine::layer::{Entry, Layer, LayerError, Origin, Remote, Row, Version};
use crate::engine::queue::{Appended, QueuedWrite};
use crate::engine::write::{Before, related};
use crate::engine::{Engine, EngineError, Written};

/// What errors call it.
const NAME: &str = "the queue of write-behind";

impl<R: Remote, O: Origin> Engine<R, O> {
    /// Accepts the write into the cache and the queue, or has the origin commit it at once.
    pub(in crate::engine) async fn put_behind(
        &self,
        data_type: DataTypeId,
        policy: &DataType,
        key: &Key,
        value: Bytes,
    ) -> Result<Written, EngineError> {
        let now = self.clock.now();
        let write = QueuedWrite {
            data_type,
            key: key.clone(),
            value,
            version: self.versions.highest(),
            accepted_at: now,
        };
        let before = self.before(key).await;
        let version = match self.enqueue(policy, &write, before).await {
            Some(Appended::Queued(version)) => {
                self.accepted(policy, &write, (version, before)).await;
                return Ok(written(Layer::Remote, version, now));
            }
            Some(Appended::Full(version)) => {
                self.emit(&Event::WriteBehindFull { data_type });
                if self.write_behind.on_full == OnFull::Refuse {
                    let why = format!("{} writes wait already", self.write_behind.queue_max);
                    return Err(EngineError::Remote(LayerError::Busy(NAME, why)));
                }
                version
            }
            // By the time of now: a queue that did not answer may have taken the write all the same,
            // but not after the limit that has passed meanwhile.
            None => self.versions.make(self.clock.now(), self.instance),
        };
        let write = QueuedWrite { version, ..write };
        self.commit_at_once(policy, write, before).await
    }

    /// `None` if there is no queue, or if it cannot be reached.
    async fn enqueue(
        &self,
        policy: &DataType,
        write: &QueuedWrite,
        before: Before,
    ) -> Option<Appended> {
        let remote = self.remote.as_ref()?;
        let entry = Entry {
            generation: before.generation,
            ..self.entry(policy, row(write, write.version), Duration::ZERO)
        };
        let keep_for = self.remote_ttl(policy, &entry).unwrap_or(policy.ttl);
        let queue_max = self.write_behind.queue_max;
        match remote.append(write, &entry, keep_for, queue_max).await {
            Ok(appended) => {
                let (Appended::Queued(version) | Appended::Full(version)) = appended;
                self.versions.saw(version);
                Some(appended)
            }
            Err(error) => {
                self.failed(Layer::Remote, &error);
                None
            }
        }
    }

    /// The write is in the queue, and in the remote layer: now the local ones.
    async fn accepted(
        &self,
        policy: &DataType,
        write: &QueuedWrite,
        (version, before): (Version, Before),
    ) {
        let (data_type, key) = (write.data_type, &write.key);
        self.emit(&Event::WriteAccepted {
            data_type,
            key,
            version,
        });
        let entry = Entry {
            generation: before.generation,
            ..self.entry(policy, row(write, version), Duration::ZERO)
        };
        self.keep_written(data_type, key, (&entry, true), before);
        let related = related(policy, key);
        if !related.is_empty() {
            self.drop_remotely(&related, version).await;
            for key in &related {
                self.drop_locally(key, version);
            }
        }
        if policy.invalidation == Invalidation::Event {
            self.publish([vec![key.clone()], related].concat(), version)
                .await;
        }
    }

    /// Past the queue. A batch of one and not a plain store: only a batch takes our version, and
    /// changes nothing if the row is newer.
    async fn commit_at_once(
        &self,
        policy: &DataType,
        write: QueuedWrite,
        before: Before,
    ) -> Result<Written, EngineError> {
        let stored = self.origin.store_batch(std::slice::from_ref(&write)).await;
        stored.map_err(|error| {
            self.failed(Layer::Origin, &error);
            EngineError::Origin(error)
        })?;
        let (data_type, key, version) = (write.data_type, &write.key, write.version);
        self.emit(&Event::WriteAccepted {
            data_type,
            key,
            version,
        });
        let row = row(&write, version);
        self.write_through(data_type, policy, key, (row, before))
            .await;
        Ok(written(Layer::Origin, version, self.clock.now()))
    }
}

fn row(write: &QueuedWrite, version: Version) -> Row {
    Row {
        value: Some(write.value.clone()),
        version,
        committed_at: write.accepted_at,
        as_of: version,
    }
}

fn written(layer: Layer, version: Version, committed_at: Timestamp) -> Written {
    Written {
        layer,
        version,
        committed_at,
    }
}
