//! L1: entries in the memory of one instance, bounded, with deadlines of our own.
//!
//! The crate beneath bounds and evicts; we decide expiry, because no cache crate lets its clock
//! be injected. One shard and a fixed hasher, so that the same operations evict the same keys.
//! Called by the engine under the flight table's lock of the key; never waits, never reads time.

use std::hash::BuildHasherDefault;

use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{OptionsBuilder, Weighter};
use rustc_hash::FxHasher;

use super::data_type::Key;
use super::layer::{Entry, Fill, Version};
use crate::clock::Timestamp;

/// What a key, an entry and their bookkeeping cost beside the value, roughly.
const ENTRY_OVERHEAD_BYTES: u64 = 128;

/// How much the local layer may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalConfig {
    /// The most entries.
    pub entries: u64,
    /// The most bytes of keys, values and bookkeeping; `None` for no limit of its own.
    pub bytes: Option<u64>,
}

#[derive(Clone, Debug)]
struct Held {
    entry: Entry,
    deadline: Timestamp,
}

/// Weighs an entry so that both bounds hold: by its bytes, but never less than an even share.
#[derive(Clone, Copy, Debug)]
struct Weight {
    least: u64,
    by_bytes: bool,
}

impl Weighter<Key, Held> for Weight {
    fn weight(&self, key: &Key, held: &Held) -> u64 {
        if !self.by_bytes {
            return 1;
        }
        let value = held.entry.row.value.as_ref().map_or(0, bytes::Bytes::len) as u64;
        (value + key.as_str().len() as u64 + ENTRY_OVERHEAD_BYTES).max(self.least)
    }
}

type Hasher = BuildHasherDefault<FxHasher>;

/// The local layer of one instance.
#[derive(Debug)]
pub struct LocalLayer {
    cache: Cache<Key, Held, Weight, Hasher, DefaultLifecycle<Key, Held>>,
}

impl LocalLayer {
    /// An empty layer that will hold no more than `config` says.
    pub fn new(config: LocalConfig) -> Self {
        let entries = config.entries.max(1);
        let weight = Weight {
            least: config.bytes.unwrap_or(entries).div_ceil(entries),
            by_bytes: config.bytes.is_some(),
        };
        let capacity = config.bytes.unwrap_or(entries);
        let mut options = OptionsBuilder::new();
        options
            .estimated_items_capacity(usize::try_from(entries).unwrap_or(usize::MAX))
            .weight_capacity(capacity)
            .shards(1);
        let cache = match options.build() {
            Ok(options) => Cache::with_options(
                options,
                weight,
                Hasher::default(),
                DefaultLifecycle::default(),
            ),
            // Unreachable while both capacities are set above; the plain constructor is the same
            // but for the number of shards.
            Err(_) => Cache::with(
                usize::try_from(entries).unwrap_or(usize::MAX),
                capacity,
                weight,
                Hasher::default(),
                DefaultLifecycle::default(),
            ),
        };
        Self { cache }
    }

    /// The entry at `key` if its deadline has not come.
    pub fn get(&self, key: &Key, now: Timestamp) -> Option<Entry> {
        let held = self.cache.get(key)?;
        if held.deadline > now {
            return Some(held.entry);
        }
        // Another thread may have put a fresh one in its place meanwhile.
        self.cache.remove_if(key, |held| held.deadline <= now);
        None
    }

    /// Stores `entry` until `deadline`, unless one read later is there.
    pub fn fill(&self, key: &Key, entry: Entry, deadline: Timestamp) -> Fill {
        let newer = self
            .cache
            .peek(key)
            .is_some_and(|held| held.entry.row.as_of > entry.row.as_of);
        if newer {
            return Fill::Refused;
        }
        self.cache.insert(key.clone(), Held { entry, deadline });
        Fill::Stored
    }

    /// Drops the entry at `key`.
    pub fn remove(&self, key: &Key) {
        self.cache.remove(key);
    }

    /// Drops every entry whose key is `gone`.
    pub fn remove_where(&self, gone: impl Fn(&Key) -> bool) {
        self.cache.retain(|key, _| !gone(key));
    }

    /// Every key with the commit as of which its entry was read, in no order.
    pub fn held(&self) -> Vec<(Key, Version)> {
        let pairs = self.cache.iter();
        pairs
            .map(|(key, held)| (key, held.entry.row.as_of))
            .collect()
    }

    /// Drops everything; gives how many entries there were.
    pub fn clear(&self) -> usize {
        let entries = self.cache.len();
        self.cache.clear();
        entries
    }

    /// How many entries there are, expired ones that nobody asked for included.
    pub fn len(&self) -> usize {
        self.cache.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.cache.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::layer::{Generation, Row};
    use bytes::Bytes;
    use proptest::prelude::*;

    fn at(second: u64) -> Timestamp {
        Timestamp::from_unix_nanos(second * 1_000_000_000)
    }

    fn entry(as_of: u64, bytes: usize) -> Entry {
        let row = Row {
            value: Some(Bytes::from(vec![b'x'; bytes])),
            version: Version(as_of),
            committed_at: at(as_of),
            as_of: Version(as_of),
        };
        Entry {
            row,
            fetched_at: at(as_of),
            fresh_until: at(1_000_000),
            load_time: std::time::Duration::ZERO,
            generation: Generation::default(),
        }
    }

    fn key(n: u64) -> Key {
        Key::new(format!("key:{n}"))
    }

    #[test]
    fn an_entry_ends_at_its_deadline() {
        let local = LocalLayer::new(LocalConfig {
            entries: 10,
            bytes: None,
        });
        local.fill(&key(1), entry(1, 8), at(60));
        assert!(local.get(&key(1), at(59)).is_some());
        assert!(local.get(&key(1), at(60)).is_none());
        assert!(local.is_empty());
    }

    #[test]
    fn an_older_entry_never_replaces_a_newer_one() {
        let local = LocalLayer::new(LocalConfig {
            entries: 10,
            bytes: None,
        });
        assert_eq!(local.fill(&key(1), entry(2, 8), at(60)), Fill::Stored);
        assert_eq!(local.fill(&key(1), entry(1, 8), at(60)), Fill::Refused);
        assert_eq!(
            local.get(&key(1), at(1)).map(|held| held.row.version),
            Some(Version(2))
        );
    }

    proptest! {
        #[test]
        fn both_bounds_hold_and_the_same_operations_evict_the_same_keys(
            operations in prop::collection::vec((0u64..200, 1usize..2_000), 1..400)
        ) {
            let survivors = || {
                let local = LocalLayer::new(LocalConfig { entries: 20, bytes: Some(16_384) });
                for (n, bytes) in &operations {
                    if local.get(&key(*n), at(1)).is_none() {
                        local.fill(&key(*n), entry(1, *bytes), at(60));
                    }
                    let held: u64 = local.cache.weight();
                    assert!(local.len() <= 20, "{} entries", local.len());
                    assert!(held <= 16_384, "{held} bytes");
                }
                (0..200).filter(|n| local.get(&key(*n), at(1)).is_some()).collect::<Vec<_>>()
            };
            prop_assert_eq!(survivors(), survivors());
        }
    }
}
