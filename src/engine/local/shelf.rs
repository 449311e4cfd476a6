//! A bounded map: entries by key, and an eviction policy that is asked when there is no room.
//!
//! The local layer's store; it knows no time and no lock. Values are of any kind and their sizes
//! are told, so that traces can be replayed through it without values.

use rustc_hash::{FxBuildHasher, FxHashMap};
use std::hash::BuildHasher;

use super::LocalPolicy;
use super::eviction::{Eviction, Room, Slot};
use super::fifo::Fifo;
use super::lru::Lru;
use super::s3_fifo::S3Fifo;
use super::sieve::Sieve;
use crate::engine::data_type::Key;

#[derive(Debug)]
struct Held<V> {
    key: Key,
    value: V,
    bytes: u64,
}

/// Entries by key, never more than its bounds allow.
#[derive(Debug)]
pub(super) struct Shelf<V> {
    policy: LocalPolicy,
    bounds: Room,
    used: Room,
    evictions: u64,
    slots: Vec<Option<Held<V>>>,
    free: Vec<Slot>,
    by_key: FxHashMap<Key, Slot>,
    eviction: Box<dyn Eviction>,
}

impl<V> Shelf<V> {
    pub(super) fn new(policy: LocalPolicy, bounds: Room) -> Self {
        // Places are numbered by 32 bits, and one number is kept for none.
        let entries = bounds.entries.clamp(1, Slot::MAX.into());
        let bounds = Room { entries, ..bounds };
        Self {
            policy,
            bounds,
            used: Room::default(),
            evictions: 0,
            slots: Vec::new(),
            free: Vec::new(),
            by_key: FxHashMap::default(),
            eviction: match policy {
                LocalPolicy::Lru => Box::new(Lru::new()),
                LocalPolicy::Fifo => Box::new(Fifo::new()),
                LocalPolicy::Sieve => Box::new(Sieve::new()),
                LocalPolicy::S3Fifo => Box::new(S3Fifo::new(bounds)),
            },
        }
    }

    /// Where `key` stands.
    pub(super) fn find(&self, key: &Key) -> Option<Slot> {
        self.by_key.get(key).copied()
    }

    /// What stands at `slot`. Asking is no use of it.
    pub(super) fn value(&self, slot: Slot) -> Option<&V> {
        self.slots[slot as usize].as_ref().map(|held| &held.value)
    }

    /// Says that the entry at `slot` was used.
    pub(super) fn touch(&mut self, slot: Slot) {
        self.eviction.touch(slot);
    }

    /// Puts `value` of `bytes` under `key` in the place of what was there, giving up others to make
    /// room. A value that is larger than the whole shelf is not kept.
    pub(super) fn put(&mut self, key: &Key, value: V, bytes: u64) {
        let room = Room::of_one(bytes);
        if !room.fits(self.bounds) {
            self.remove(key);
        } else if let Some(slot) = self.find(key) {
            self.replace(slot, value, bytes);
        } else {
            self.make_room(room);
            let slot = self.place(Held {
                key: key.clone(),
                value,
                bytes,
            });
            self.used = self.used.plus(room);
            self.by_key.insert(key.clone(), slot);
            self.eviction
                .insert(slot, FxBuildHasher.hash_one(key), bytes);
        }
    }

    fn replace(&mut self, slot: Slot, value: V, bytes: u64) {
        let Some(held) = &mut self.slots[slot as usize] else {
            return;
        };
        let less = Room::of_one(held.bytes);
        self.used = self.used.minus(less).plus(Room::of_one(bytes));
        (held.value, held.bytes) = (value, bytes);
        self.eviction.resize(slot, bytes);
        self.eviction.touch(slot);
        self.make_room(Room::default());
    }

    fn make_room(&mut self, wanted: Room) {
        while !self.used.plus(wanted).fits(self.bounds)
            && let Some(victim) = self.eviction.evict()
        {
            self.vacate(victim);
            self.evictions += 1;
        }
    }

    fn place(&mut self, held: Held<V>) -> Slot {
        if let Some(slot) = self.free.pop() {
            self.slots[slot as usize] = Some(held);
            return slot;
        }
        self.slots.push(Some(held));
        (self.slots.len() - 1) as Slot
    }

    /// Takes away what stands at `slot`, of which the policy knows already.
    fn vacate(&mut self, slot: Slot) -> Option<V> {
        let held = self.slots[slot as usize].take()?;
        self.free.push(slot);
        self.by_key.remove(&held.key);
        self.used = self.used.minus(Room::of_one(held.bytes));
        Some(held.value)
    }

    /// Takes away what is under `key`.
    pub(super) fn remove(&mut self, key: &Key) -> Option<V> {
        let slot = self.find(key)?;
        self.eviction.remove(slot);
        self.vacate(slot)
    }

    /// What is held, in the order of places. Asking is no use of it.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Key, &V)> {
        let taken = self.slots.iter().flatten();
        taken.map(|held| (&held.key, &held.value))
    }

    /// An empty shelf of the same kind, that has seen what this one has.
    pub(super) fn emptied(&self) -> Self {
        Self {
            evictions: self.evictions,
            ..Self::new(self.policy, self.bounds)
        }
    }

    /// How many entries were given up for want of room.
    pub(super) fn evictions(&self) -> u64 {
        self.evictions
    }

    /// What is held.
    pub(super) fn used(&self) -> Room {
        self.used
    }
}
