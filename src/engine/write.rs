//! The way of a write: to the origin first, then the cache is told; for write-behind the reverse.
//!
//! A write has succeeded when the origin has it (write-behind: when the queue has it). If the cache
//! cannot be told afterwards, the write still stands; the failure is an event, and the entry that
//! stays behind ends with its TTL.

use std::time::Duration;

use bytes::Bytes;

use super::data_type::{Consistency, DataType, DataTypeId, Invalidation, Key, Strategy};
use super::layer::{
    Entry, Fill, Generation, InvalidationEvent, Layer, Origin, Remote, Row, Version,
};
use super::{Engine, EngineError, Written, wrong_strategy};

/// How things stood before a write was committed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Before {
    pub(super) generation: Generation,
    /// Of the flight table, at the key.
    epoch: u64,
}

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
            Strategy::WriteBehind => self.put_behind(data_type, policy, key, value).await,
            Strategy::CacheAside => {
                let row = self.store(data_type, key, value).await?;
                let keys = [vec![key.clone()], related(policy, key)].concat();
                self.invalidate_everywhere(policy, keys, row.version).await;
                Ok(written(&row))
            }
            Strategy::WriteThrough => {
                let before = self.before(key).await;
                let row = self.store(data_type, key, value).await?;
                self.write_through(data_type, policy, key, (row.clone(), before))
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

    /// To be asked before a write is committed or accepted.
    pub(super) async fn before(&self, key: &Key) -> Before {
        // A failure was told. What is written without knowing any generation is outdated as soon as
        // one is known, which is safe.
        let _ = self.get_in_step().await;
        Before {
            generation: self.generations.now(),
            epoch: self.flights.epoch(key),
        }
    }

    /// Keeps what was written locally, if the remote layer `stored` it and no notice came since
    /// `before`: of two writers side by side, the earlier may come here after the later's notice.
    pub(super) fn keep_written(
        &self,
        data_type: DataTypeId,
        key: &Key,
        (entry, stored): (&Entry, bool),
        before: Before,
    ) {
        let naive = self.policies.get(data_type).consistency == Consistency::Naive;
        let change = |alone: bool| {
            if naive || (alone && stored) {
                self.keep_locally(data_type, key, entry);
            } else if let Some(local) = &self.local {
                local.remove(key);
            }
        };
        self.flights
            .invalidate_since(key, entry.row.version, before.epoch, change);
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
    pub(super) async fn write_through(
        &self,
        data_type: DataTypeId,
        policy: &DataType,
        key: &Key,
        (row, before): (Row, Before),
    ) {
        let floor = row.version;
        let entry = Entry {
            generation: before.generation,
            ..self.entry(policy, row, Duration::ZERO)
        };
        let filled = self.fill_remote(data_type, policy, key, &entry).await;
        let stored = filled == Fill::Stored;
        if !stored && self.is_outdated(data_type, key, &entry) {
            // It was left out; what it was to replace need not be outdated.
            self.drop_remotely(std::slice::from_ref(key), floor).await;
        }
        self.keep_written(data_type, key, (&entry, stored), before);
        let related = related(policy, key);
        if !related.is_empty() {
            self.drop_remotely(&related, floor).await;
        }
        if policy.invalidation == Invalidation::Event {
            self.publish([vec![key.clone()], related].concat(), floor)
                .await;
        }
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

    pub(super) async fn drop_remotely(&self, keys: &[Key], floor: Version) {
        if let Some(remote) = &self.remote
            && let Err(error) = remote.invalidate(keys, floor).await
        {
            self.failed(Layer::Remote, &error);
        }
    }

    pub(super) async fn publish(&self, keys: Vec<Key>, version: Version) {
        if self.remote.as_ref().is_some_and(Remote::announces_changes) {
            return;
        }
        let event = InvalidationEvent {
            keys: keys.iter().map(|key| key.as_str().to_owned()).collect(),
            version: version.0,
            ..InvalidationEvent::default()
        };
        self.tell(event).await;
    }
}

/// The other keys made from the row of `key`.
pub(super) fn related(policy: &DataType, key: &Key) -> Vec<Key> {
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
