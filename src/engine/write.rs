//! The way of a write: to the origin first, then the cache is told; for write-behind the reverse.
//!
//! A write has succeeded when the origin has it (write-behind: when the queue has it). If the cache
//! cannot be told afterwards, the write still stands; the failure is an event, and the entry that
//! stays behind ends with its TTL.

use std::time::Duration;

use bytes::Bytes;

use super::data_type::{DataType, DataTypeId, Invalidation, Key, Strategy};
use super::event::Event;
use super::layer::{InvalidationEvent, Layer, Notice, Origin, QueuedWrite, Remote, Row, Version};
use super::{Engine, EngineError, Written, wrong_strategy};

impl<R: Remote, O: Origin> Engine<R, O> {
    /// Writes `value` at `key`.
    ///
    /// # Errors
    /// If the data type is a counter, or if the origin did not commit the write.
    pub async fn put(
        &self,
        data_type: DataTypeId,
        key: &Key,
        value: Bytes,
    ) -> Result<Written, EngineError> {
        let policy = self.policies.get(data_type);
        match policy.strategy {
            Strategy::Counter => Err(wrong_strategy("put", policy)),
            Strategy::WriteBehind => self.write_behind(data_type, policy, key, value).await,
            Strategy::CacheAside => {
                let row = self.store(data_type, key, value).await?;
                let keys = [vec![key.clone()], related(policy, key)].concat();
                self.invalidate_everywhere(policy, keys, row.version).await;
                Ok(written(&row))
            }
            Strategy::WriteThrough => {
                let row = self.store(data_type, key, value).await?;
                self.write_through(data_type, policy, key, row.clone())
                    .await;
                Ok(written(&row))
            }
        }
    }

    /// Drops `key` and its related keys from every layer, without a write: a purge.
    ///
    /// # Errors
    /// If the data type is a counter.
    pub async fn invalidate(&self, data_type: DataTypeId, key: &Key) -> Result<(), EngineError> {
        let policy = self.policies.get(data_type);
        if policy.strategy == Strategy::Counter {
            return Err(wrong_strategy("invalidate", policy));
        }
        let keys = [vec![key.clone()], related(policy, key)].concat();
        self.invalidate_everywhere(policy, keys, Version(0)).await;
        Ok(())
    }

    async fn store(
        &self,
        data_type: DataTypeId,
        key: &Key,
        value: Bytes,
    ) -> Result<Row, EngineError> {
        self.origin
            .store(data_type, key, value)
            .await
            .map_err(|error| {
                self.failed(Layer::Origin, &error);
                EngineError::Origin(error)
            })
    }

    /// Puts the committed row into the cache, and drops what else was made from the old one.
    async fn write_through(&self, data_type: DataTypeId, policy: &DataType, key: &Key, row: Row) {
        let floor = row.version;
        let entry = self.entry(policy, row, Duration::ZERO);
        self.fill_remote(data_type, policy, key, &entry).await;
        self.flights
            .invalidate(key, floor, || self.keep_locally(data_type, key, &entry));
        let related = related(policy, key);
        if !related.is_empty() {
            self.drop_remotely(&related, floor).await;
        }
        if policy.invalidation == Invalidation::Event {
            self.publish([vec![key.clone()], related].concat(), floor)
                .await;
        }
    }

    /// Accepts the write into the cache and the queue; without a remote layer, or if it fails or has
    /// no queue, the origin takes it at once, so that nothing acknowledged is lost.
    async fn write_behind(
        &self,
        data_type: DataTypeId,
        policy: &DataType,
        key: &Key,
        value: Bytes,
    ) -> Result<Written, EngineError> {
        let now = self.clock.now();
        // Microseconds since 1970 grow with every write of a key and stay below 2^53.
        let version = Version(now.as_unix_nanos() / 1_000);
        if let Some(remote) = &self.remote {
            let row = Row {
                value: Some(value.clone()),
                version,
                committed_at: now,
                as_of: version,
            };
            let entry = self.entry(policy, row, Duration::ZERO);
            let write = QueuedWrite {
                data_type,
                key: key.clone(),
                value: value.clone(),
                version,
                accepted_at: now,
            };
            let keep_for = self.remote_ttl(policy, &entry).unwrap_or(policy.ttl);
            match remote.append(&write, &entry, keep_for).await {
                Ok(()) => {
                    self.flights
                        .invalidate(key, version, || self.keep_locally(data_type, key, &entry));
                    return Ok(Written {
                        layer: Layer::Remote,
                        version,
                        committed_at: now,
                    });
                }
                Err(error) => self.failed(Layer::Remote, &error),
            }
        }
        let row = self.store(data_type, key, value).await?;
        // The layers may hold the old value.
        self.write_through(data_type, policy, key, row.clone())
            .await;
        Ok(written(&row))
    }

    async fn invalidate_everywhere(&self, policy: &DataType, keys: Vec<Key>, floor: Version) {
        self.drop_remotely(&keys, floor).await;
        for key in &keys {
            self.drop_locally(key, floor);
        }
        if policy.invalidation == Invalidation::Event {
            self.publish(keys, floor).await;
        }
    }

    async fn drop_remotely(&self, keys: &[Key], floor: Version) {
        if let Some(remote) = &self.remote
            && let Err(error) = remote.invalidate(keys, floor).await
        {
            self.failed(Layer::Remote, &error);
        }
    }

    async fn publish(&self, keys: Vec<Key>, version: Version) {
        let Some(remote) = &self.remote else { return };
        let event = InvalidationEvent {
            publisher: self.instance,
            keys: keys.iter().map(|key| key.as_str().to_owned()).collect(),
            version: version.0,
        };
        match remote.publish(&Notice::Invalidated(event)).await {
            Ok(()) => self.emit(&Event::InvalidationSent { keys: keys.len() }),
            Err(error) => self.failed(Layer::Remote, &error),
        }
    }
}

/// The other keys made from the row of `key`.
fn related(policy: &DataType, key: &Key) -> Vec<Key> {
    if policy.related.is_empty() {
        return Vec::new();
    }
    let Some(values) = policy.key.read(key) else {
        return Vec::new();
    };
    policy
        .related
        .iter()
        .map(|pattern| pattern.render_named(&values))
        .collect()
}

fn written(row: &Row) -> Written {
    Written {
        layer: Layer::Origin,
        version: row.version,
        committed_at: row.committed_at,
    }
}
