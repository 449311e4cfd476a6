//! The keys of one modelled server, and what a command does to them and to the rest.
//!
//! The model of the remote layer keeps its values here. Every method that changes something first does
//! what the server does before a command: it catches up with the ticks that have passed, and evicts
//! while memory is over its limit. So `used_memory` may stand above `maxmemory` after a command, by
//! what that command added beside its value, as in Redis.
//!
//! Keys are found by a hash table, drawn at random from a dense index, and listed in the order of
//! their slots, which stay the same for as long as a key lives. Every order is thus given by the seed
//! and the commands.

use std::hash::BuildHasher as _;
use std::time::Duration;

use hashbrown::HashTable;
use rustc_hash::FxBuildHasher;

use super::command::Deadline;
use super::eviction::{self, Frequency, Pool, lru_clock};
use super::expiry::{self, Expires, NOWHERE};
use super::memory::MemoryLayout;
use super::table::Table;
use crate::clock::Timestamp;
use crate::engine::data_type::Key;
use crate::environment::EvictionPolicy;
use crate::seed::Stream;
use crate::units::ByteSize;

/// A server's limits, and how it lays out its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyspaceConfig {
    /// The memory limit; `None` for no limit.
    pub maxmemory: Option<ByteSize>,
    /// What to evict at the limit.
    pub policy: EvictionPolicy,
    /// What keys weigh.
    pub memory: MemoryLayout,
    /// What the server uses besides keys, above an empty server's: see
    /// [`MemoryLayout::overhead_bytes`].
    pub overhead_bytes: u64,
    /// How much longer keys are on the server than here: the run's prefix.
    pub prefix_len: usize,
}

impl Default for KeyspaceConfig {
    /// Redis 7.0 without a limit, without clients, without a prefix.
    fn default() -> Self {
        Self {
            maxmemory: None,
            policy: EvictionPolicy::default(),
            memory: MemoryLayout::REDIS_7_0,
            overhead_bytes: 0,
            prefix_len: 0,
        }
    }
}

/// A write was refused: memory is over its limit, and nothing may be evicted (Redis' `OOM`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "OOM command not allowed when used memory > 'maxmemory': {used} of {maxmemory} bytes are used and \
     the policy lets no key go; give it more memory, TTLs, or an allkeys policy"
)]
pub struct OutOfMemory {
    /// Bytes used.
    pub used: u64,
    /// The limit, in bytes.
    pub maxmemory: u64,
}

/// How long a key has still to live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeLeft {
    /// It has no TTL.
    Forever,
    /// Until its TTL ends.
    For(Duration),
}

/// What `INFO` says about the keys, since the server's start where it counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Keys, those included that are due but not gone.
    pub keys: u64,
    /// Those of them that have a TTL.
    pub expires: u64,
    /// Bytes for everything.
    pub used_memory: u64,
    /// Keys dropped for lack of memory.
    pub evicted: u64,
    /// Keys dropped at the end of their TTL.
    pub expired: u64,
    /// Lookups that found a key.
    pub hits: u64,
    /// Lookups that did not.
    pub misses: u64,
    /// How long the thread was busy with the active cycle of expiry.
    pub expire_cycle_time: Duration,
}

/// One key with what is known about it.
#[derive(Clone, Debug)]
pub(super) struct Entry<V> {
    pub(super) key: Key,
    pub(super) hash: u64,
    pub(super) value: V,
    /// Bytes of key and value, without tables and TTL.
    pub(super) held_bytes: u64,
    /// Its place in the index.
    pub(super) index_at: u32,
    /// Its place among the TTLs, or [`NOWHERE`].
    pub(super) expires_at: u32,
}

/// A key's place among those that are drawn from. What draws look at stands here, because it is dense.
#[derive(Clone, Copy, Debug)]
pub(super) struct Indexed {
    pub(super) slot: u32,
    /// When or how often the key was used, as the policy wants it.
    pub(super) use_bits: u32,
}

/// The keys of one server, with values of type `V`.
#[derive(Clone, Debug)]
pub struct Keyspace<V> {
    pub(super) config: KeyspaceConfig,
    pub(super) stream: Stream,
    /// Where keys live; free ones are used again, the last first.
    pub(super) slots: Vec<Option<Entry<V>>>,
    free: Vec<u32>,
    by_key: HashTable<u32>,
    /// The slots in use, densely.
    pub(super) index: Vec<Indexed>,
    pub(super) expires: Expires,
    pub(super) keys_table: Table,
    pub(super) ttls_table: Table,
    pub(super) pool: Pool,
    /// The clock of LRU, as of the last tick.
    pub(super) clock: u32,
    pub(super) ticked_at: Timestamp,
    /// Whether the last cycle of expiry left work behind.
    pub(super) cycle_ran_out: bool,
    pub(super) short_cycle_at: Timestamp,
    pub(super) held_bytes: u64,
    pub(super) evicted: u64,
    pub(super) expired: u64,
    pub(super) hits: u64,
    pub(super) misses: u64,
    pub(super) expire_cycle_time: Duration,
    /// The keys that were expired or evicted, if anybody wants to know.
    pub(super) gone: Option<Vec<Key>>,
}

impl<V> Keyspace<V> {
    /// An empty server that starts at `now` and draws from `stream`.
    pub fn new(config: KeyspaceConfig, stream: Stream, now: Timestamp) -> Self {
        Self {
            config,
            stream,
            slots: Vec::new(),
            free: Vec::new(),
            by_key: HashTable::new(),
            index: Vec::new(),
            expires: Expires::default(),
            keys_table: Table::default(),
            ttls_table: Table::default(),
            pool: Pool::default(),
            clock: lru_clock(now),
            ticked_at: now,
            cycle_ran_out: false,
            short_cycle_at: now,
            held_bytes: 0,
            evicted: 0,
            expired: 0,
            hits: 0,
            misses: 0,
            expire_cycle_time: Duration::ZERO,
            gone: None,
        }
    }

    /// Looks a key up, as a use of it, and counts a hit or a miss.
    pub fn get(&mut self, key: &str, now: Timestamp) -> Option<&V> {
        self.pass_time(now);
        // Reads are answered also when nothing can be evicted.
        let _ = self.make_room(0, now);
        let Some(slot) = self.find_live(hash(key), key, now) else {
            self.misses += 1;
            return None;
        };
        self.hits += 1;
        self.mark_used(slot, now);
        self.entry(slot).map(|entry| &entry.value)
    }

    /// Looks a key up without a trace.
    pub fn peek(&self, key: &str, now: Timestamp) -> Option<&V> {
        let slot = self.find(key).filter(|slot| !self.is_due(*slot, now))?;
        self.entry(slot).map(|entry| &entry.value)
    }

    /// Stores `value`, which is so long on the server, with a TTL or without: one that the key had
    /// before is gone.
    ///
    /// # Errors
    /// [`OutOfMemory`] if memory is over its limit and no key may go; nothing is stored then.
    pub fn set(
        &mut self,
        key: &Key,
        value: V,
        value_bytes: usize,
        ttl: Option<Duration>,
        now: Timestamp,
    ) -> Result<(), OutOfMemory> {
        self.pass_time(now);
        let memory = self.config.memory;
        // The command itself is in memory already: its value, which stays, and its key.
        let value_held = memory.value_bytes(value_bytes as u64);
        let key_len = (self.config.prefix_len + key.as_str().len()) as u64;
        self.make_room(value_held + memory.value_bytes(key_len), now)?;
        let deadline = ttl.map_or(Deadline::None, |ttl| Deadline::after(now, ttl));
        self.put(key, (value, value_held), deadline, now);
        Ok(())
    }

    /// Changes a value in place, as a use of it; `change` says how long it is then. The TTL stays.
    /// `false` if there is no such key.
    ///
    /// # Errors
    /// [`OutOfMemory`] if memory is over its limit and no key may go; nothing is changed then.
    pub fn modify(
        &mut self,
        key: &str,
        now: Timestamp,
        change: impl FnOnce(&mut V) -> usize,
    ) -> Result<bool, OutOfMemory> {
        self.pass_time(now);
        self.make_room(0, now)?;
        let Some(slot) = self.find_live(hash(key), key, now) else {
            return Ok(false);
        };
        self.mark_used(slot, now);
        let Some(entry) = &mut self.slots[slot as usize] else {
            return Ok(false);
        };
        let value_bytes = change(&mut entry.value) as u64;
        let key_len = (self.config.prefix_len + entry.key.as_str().len()) as u64;
        let memory = self.config.memory;
        let held = memory.key_bytes(key_len) + memory.value_bytes(value_bytes);
        self.held_bytes = self.held_bytes - entry.held_bytes + held;
        entry.held_bytes = held;
        Ok(true)
    }

    /// Deletes a key; its value, if there was one.
    pub fn remove(&mut self, key: &str, now: Timestamp) -> Option<V> {
        self.pass_time(now);
        let _ = self.make_room(0, now);
        let slot = self.find_live(hash(key), key, now)?;
        self.discard(slot)
    }

    /// Gives a key another TTL; none deletes it. `false` if there is no such key.
    pub fn expire(&mut self, key: &str, ttl: Duration, now: Timestamp) -> bool {
        self.pass_time(now);
        let _ = self.make_room(0, now);
        let Some(slot) = self.find_live(hash(key), key, now) else {
            return false;
        };
        if ttl.is_zero() {
            self.discard(slot);
        } else {
            self.mark_used(slot, now);
            self.set_deadline(slot, Some(expiry::deadline_ms(now, ttl)));
        }
        true
    }

    /// How long a key has still to live, to the millisecond; `None` if there is no such key.
    pub fn ttl(&self, key: &str, now: Timestamp) -> Option<TimeLeft> {
        let slot = self.find(key).filter(|slot| !self.is_due(*slot, now))?;
        Some(match self.deadline_ms(slot) {
            None => TimeLeft::Forever,
            Some(deadline_ms) => {
                TimeLeft::For(Duration::from_millis(deadline_ms - expiry::millis(now)))
            }
        })
    }

    /// A step of `SCAN`: the keys at the next `count` places from `cursor` on, and where to go on; zero
    /// is both the beginning and the end. Every key that is there throughout is told, once.
    pub fn scan(&mut self, cursor: u64, count: usize, now: Timestamp) -> (u64, Vec<Key>) {
        self.pass_time(now);
        let _ = self.make_room(0, now);
        let from = usize::try_from(cursor).unwrap_or(usize::MAX);
        let until = from.saturating_add(count.max(1)).min(self.slots.len());
        let mut keys = Vec::new();
        for slot in (from..until).map(|slot| slot as u32) {
            if self.is_due(slot, now) {
                self.lose(slot);
                self.expired += 1;
            }
            keys.extend(self.entry(slot).map(|entry| entry.key.clone()));
        }
        let is_end = until >= self.slots.len();
        (if is_end { 0 } else { until as u64 }, keys)
    }

    /// All keys that are not due, with their values, in the order of their slots.
    pub fn iter(&self, now: Timestamp) -> impl Iterator<Item = (&Key, &V)> {
        let held = self.slots.iter().zip(0..);
        held.filter_map(move |(entry, slot)| {
            let entry = entry.as_ref()?;
            (!self.is_due(slot, now)).then_some((&entry.key, &entry.value))
        })
    }

    /// Does what the server did until `now`, without a command. Every command does so by itself.
    pub fn pass_time(&mut self, now: Timestamp) {
        if now.since(self.ticked_at) >= expiry::TICK {
            self.catch_up(now);
        }
        self.expire_shortly(now);
    }

    /// What `INFO` would say.
    pub fn counters(&self) -> Counters {
        Counters {
            keys: self.index.len() as u64,
            expires: self.expires.len() as u64,
            used_memory: self.used_memory(),
            evicted: self.evicted,
            expired: self.expired,
            hits: self.hits,
            misses: self.misses,
            expire_cycle_time: self.expire_cycle_time,
        }
    }

    /// Bytes for everything: the empty server, clients, tables, TTLs, keys and values.
    pub fn used_memory(&self) -> u64 {
        let memory = &self.config.memory;
        let buckets = self.keys_table.buckets() + self.ttls_table.buckets();
        let ttls = self.expires.len() as u64 * memory.ttl_bytes();
        let empty = memory.base_bytes + self.config.overhead_bytes;
        empty + memory.buckets_bytes(buckets) + ttls + self.held_bytes
    }

    /// Bytes left below the limit.
    pub(super) fn free_bytes(&self) -> u64 {
        let maxmemory = self.config.maxmemory.map_or(u64::MAX, |size| size.0);
        maxmemory.saturating_sub(self.used_memory())
    }

    pub(super) fn entry(&self, slot: u32) -> Option<&Entry<V>> {
        self.slots.get(slot as usize)?.as_ref()
    }

    pub(super) fn find(&self, key: &str) -> Option<u32> {
        self.find_hashed(hash(key), key)
    }

    pub(super) fn find_by_hash(&self, hash: u64) -> Option<u32> {
        let is_it = |slot: &u32| self.entry(*slot).is_some_and(|entry| entry.hash == hash);
        self.by_key.find(hash, is_it).copied()
    }

    fn find_hashed(&self, hash: u64, key: &str) -> Option<u32> {
        let is_it = |slot: &u32| {
            let entry = self.entry(*slot);
            entry.is_some_and(|entry| entry.hash == hash && entry.key.as_str() == key)
        };
        self.by_key.find(hash, is_it).copied()
    }

    /// Drops a key, whatever the reason.
    pub(super) fn discard(&mut self, slot: u32) -> Option<V> {
        self.set_deadline(slot, None);
        let entry = self.slots.get_mut(slot as usize)?.take()?;
        self.keys_table.step(1.0);
        if let Ok(found) = self.by_key.find_entry(entry.hash, |held| *held == slot) {
            found.remove();
        }
        self.index.swap_remove(entry.index_at as usize);
        if let Some(moved) = self.index.get(entry.index_at as usize)
            && let Some(moved) = &mut self.slots[moved.slot as usize]
        {
            moved.index_at = entry.index_at;
        }
        self.free.push(slot);
        self.held_bytes -= entry.held_bytes;
        Some(entry.value)
    }

    /// Looks a key up for a command: one that is due goes.
    pub(super) fn find_live(&mut self, hash: u64, key: &str, now: Timestamp) -> Option<u32> {
        self.keys_table.step(1.0);
        let slot = self.find_hashed(hash, key)?;
        self.ttls_table.step(1.0);
        if self.is_due(slot, now) {
            self.lose(slot);
            self.expired += 1;
            return None;
        }
        Some(slot)
    }

    pub(super) fn mark_used(&mut self, slot: u32, now: Timestamp) {
        let Some(place) = self.entry(slot).map(|entry| entry.index_at as usize) else {
            return;
        };
        self.index[place].use_bits = if eviction::counts_uses(self.config.policy) {
            let frequency = Frequency::from_bits(self.index[place].use_bits);
            frequency.used(now, &mut self.stream).bits()
        } else {
            self.clock
        };
    }

    pub(super) fn replace(&mut self, slot: u32, value: V, value_held: u64) {
        let memory = self.config.memory;
        let Some(entry) = &mut self.slots[slot as usize] else {
            return;
        };
        let key_len = (self.config.prefix_len + entry.key.as_str().len()) as u64;
        let held = memory.key_bytes(key_len) + value_held;
        self.held_bytes = self.held_bytes - entry.held_bytes + held;
        entry.held_bytes = held;
        entry.value = value;
    }

    pub(super) fn insert(
        &mut self,
        key: &Key,
        (hash, value): (u64, V),
        value_held: u64,
        now: Timestamp,
    ) -> u32 {
        let memory = self.config.memory;
        let free = self.free_bytes();
        let fits = |buckets: u64| memory.buckets_bytes(buckets) <= free;
        self.keys_table.step(1.0);
        self.keys_table.grow(self.index.len() as u64, fits);
        let key_len = (self.config.prefix_len + key.as_str().len()) as u64;
        let held_bytes = memory.key_bytes(key_len) + value_held;
        let use_bits = if eviction::counts_uses(self.config.policy) {
            Frequency::new(now).bits()
        } else {
            self.clock
        };
        let entry = Some(Entry {
            key: key.clone(),
            hash,
            value,
            held_bytes,
            index_at: self.index.len() as u32,
            expires_at: NOWHERE,
        });
        let slot = if let Some(slot) = self.free.pop() {
            self.slots[slot as usize] = entry;
            slot
        } else {
            self.slots.push(entry);
            (self.slots.len() - 1) as u32
        };
        self.index.push(Indexed { slot, use_bits });
        let slots = &self.slots;
        let rehash = |held: &u32| slots[*held as usize].as_ref().map_or(0, |entry| entry.hash);
        self.by_key.insert_unique(hash, slot, rehash);
        self.held_bytes += held_bytes;
        slot
    }
}

/// The same on every machine and in every run.
pub(super) fn hash(key: &str) -> u64 {
    FxBuildHasher.hash_one(key)
}

#[cfg(test)]
mod tests;
