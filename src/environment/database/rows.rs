//! The rows that were written, sharded so that readers of different keys do not meet.
//!
//! Used by the database alone. A row and the time of its commit become visible together.

use std::hash::BuildHasher as _;

use bytes::Bytes;
use parking_lot::RwLock;
use rustc_hash::{FxBuildHasher, FxHashMap};

use crate::clock::Timestamp;
use crate::engine::data_type::Key;
use crate::engine::layer::{Row, Version};

const SHARDS: usize = 16;

#[derive(Default)]
pub(super) struct Rows {
    shards: [RwLock<FxHashMap<Key, Row>>; SHARDS],
}

impl Rows {
    pub(super) fn get(&self, key: &Key) -> Option<Row> {
        self.shard(key).read().get(key).cloned()
    }

    pub(super) fn version(&self, key: &Key) -> Option<Version> {
        self.shard(key).read().get(key).map(|row| row.version)
    }

    /// Writes a row. `announce` gives the time of the commit and is called while nobody can read
    /// the row, so that no reader sees the old row after that time, or the new one before.
    pub(super) fn commit(
        &self,
        key: &Key,
        version: Version,
        value: Bytes,
        announce: impl FnOnce(Version) -> Timestamp,
    ) -> Row {
        let mut shard = self.shard(key).write();
        let committed_at = announce(version);
        let row = Row {
            value: Some(value),
            version,
            committed_at,
            as_of: version,
        };
        shard.insert(key.clone(), row.clone());
        row
    }

    fn shard(&self, key: &Key) -> &RwLock<FxHashMap<Key, Row>> {
        // The map itself uses the top bits and the lowest ones: take others.
        let hash = FxBuildHasher.hash_one(key);
        &self.shards[(hash >> 32) as usize % SHARDS]
    }
}
