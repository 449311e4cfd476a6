//! L1: entries in the memory of one instance, bounded, with deadlines of our own.
//!
//! A `shelf` bounds and evicts by one of several policies; here we decide expiry, by a clock that
//! is read elsewhere. One lock, fixed hashes and no randomness, so that the same operations evict
//! the same keys. Called by the engine under the flight table's lock of the key; never waits for
//! more than the lock, never reads time.

mod eviction;
mod fifo;
mod lru;
mod queue;
mod s3_fifo;
mod shelf;
mod sieve;

#[cfg(test)]
mod tests;

use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::data_type::Key;
use super::layer::{Entry, Fill, Version};
use crate::clock::Timestamp;
use eviction::Room;
use shelf::Shelf;

/// What a key, an entry and their bookkeeping cost beside the value, roughly.
const ENTRY_OVERHEAD_BYTES: u64 = 128;

/// Which entry the local layer gives up when it is full. `docs/engine/limits.md` has their measured
/// miss ratios.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LocalPolicy {
    /// The one not used for the longest time (the ADR's `lru_cache`).
    Lru,
    /// The one that came first: a control.
    Fifo,
    /// The first one unused since a slowly moving hand last came by.
    Sieve,
    /// One that was not used again soon after it came; resistant to scans.
    #[default]
    #[serde(rename = "s3-fifo")]
    S3Fifo,
}

/// How much the local layer may hold, and what it gives up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalConfig {
    /// The most entries.
    pub entries: u64,
    /// The most bytes of keys, values and bookkeeping; `None` for no limit of its own.
    pub bytes: Option<u64>,
    /// What is given up when there is no room.
    pub policy: LocalPolicy,
}

/// What a local layer holds, and how many entries it gave up for want of room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LocalUsage {
    /// Entries, expired ones that nobody asked for included.
    pub entries: u64,
    /// Bytes of keys, values and bookkeeping.
    pub bytes: u64,
    /// Entries given up for want of room, since it was made.
    pub evictions: u64,
}

#[derive(Debug)]
struct Held {
    entry: Entry,
    deadline: Timestamp,
}

/// The local layer of one instance.
#[derive(Debug)]
pub struct LocalLayer {
    shelf: Mutex<Shelf<Held>>,
}

impl LocalLayer {
    /// An empty layer that will hold no more than `config` says.
    pub fn new(config: LocalConfig) -> Self {
        let bounds = Room {
            entries: config.entries,
            bytes: config.bytes.unwrap_or(u64::MAX),
        };
        Self {
            shelf: Mutex::new(Shelf::new(config.policy, bounds)),
        }
    }

    /// The entry at `key` if its deadline has not come.
    pub fn get(&self, key: &Key, now: Timestamp) -> Option<Entry> {
        let mut locked = self.shelf.lock();
        let slot = locked.find(key)?;
        let held = locked.value(slot)?;
        if held.deadline > now {
            let entry = held.entry.clone();
            locked.touch(slot);
            return Some(entry);
        }
        locked.remove(key);
        None
    }

    /// Stores `entry` until `deadline`, unless one read later is there. One that is larger than the
    /// whole layer counts as stored, and as given up at once.
    pub fn fill(&self, key: &Key, entry: Entry, deadline: Timestamp) -> Fill {
        let value = entry.row.value.as_ref().map_or(0, bytes::Bytes::len) as u64;
        let bytes = value + key.as_str().len() as u64 + ENTRY_OVERHEAD_BYTES;
        let mut locked = self.shelf.lock();
        let held = locked.find(key).and_then(|slot| locked.value(slot));
        if held.is_some_and(|held| held.entry.row.as_of > entry.row.as_of) {
            return Fill::Refused;
        }
        locked.put(key, Held { entry, deadline }, bytes);
        Fill::Stored
    }

    /// Drops the entry at `key`.
    pub fn remove(&self, key: &Key) {
        self.shelf.lock().remove(key);
    }

    /// Drops every entry whose key is `gone`.
    pub fn remove_where(&self, gone: impl Fn(&Key) -> bool) {
        let mut locked = self.shelf.lock();
        let keys: Vec<Key> = locked.iter().map(|(key, _)| key.clone()).collect();
        for key in keys.iter().filter(|key| gone(key)) {
            locked.remove(key);
        }
    }

    /// Every key with the commit as of which its entry was read, in no order.
    pub fn held(&self) -> Vec<(Key, Version)> {
        let locked = self.shelf.lock();
        let pairs = locked.iter();
        pairs
            .map(|(key, held)| (key.clone(), held.entry.row.as_of))
            .collect()
    }

    /// Drops everything; gives how many entries there were.
    pub fn clear(&self) -> usize {
        let mut locked = self.shelf.lock();
        let empty = locked.emptied();
        let dropped = std::mem::replace(&mut *locked, empty);
        // Dropping many values takes a while, and nobody needs to wait for it.
        drop(locked);
        dropped.used().entries as usize
    }

    /// What it holds now.
    pub fn usage(&self) -> LocalUsage {
        let locked = self.shelf.lock();
        let used = locked.used();
        LocalUsage {
            entries: used.entries,
            bytes: used.bytes,
            evictions: locked.evictions(),
        }
    }

    /// How many entries there are, expired ones that nobody asked for included.
    pub fn len(&self) -> usize {
        self.shelf.lock().used().entries as usize
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
