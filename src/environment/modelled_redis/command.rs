//! What the commands inside of a command do to the keys: one look at memory and at the time for all of
//! them, as a server has before a script.
//!
//! The model of the remote layer stands on these; who has one command at a time uses the methods of
//! [`Keyspace`]. Everything here comes after [`Keyspace::begin`]. It must never evict.

use std::time::Duration;

use super::expiry;
use super::keyspace::{Keyspace, OutOfMemory, hash};
use crate::clock::Timestamp;
use crate::engine::data_type::Key;

/// When a key ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deadline {
    /// By itself, never.
    None,
    /// When it did before; never, if it was not there.
    Keep,
    /// After this millisecond.
    At(u64),
}

impl Deadline {
    pub(super) fn after(now: Timestamp, ttl: Duration) -> Self {
        Self::At(expiry::deadline_ms(now, ttl))
    }
}

/// A key as it stood.
#[derive(Clone, Debug)]
pub(super) struct Stood<V> {
    pub(super) value: V,
    /// What the value weighs.
    pub(super) value_held: u64,
    pub(super) deadline_ms: Option<u64>,
}

impl<V> Keyspace<V> {
    /// What the server does before a command that brings so many bytes along.
    pub(super) fn begin(&mut self, incoming: u64, now: Timestamp) -> Result<(), OutOfMemory> {
        self.pass_time(now);
        self.make_room(incoming, now)
    }

    /// Looks a key up as a reading command does: a use of it, and counted as a hit or a miss.
    pub(super) fn read(&mut self, key: &str, now: Timestamp) -> Option<&V> {
        let Some(slot) = self.find_live(hash(key), key, now) else {
            self.misses += 1;
            return None;
        };
        self.hits += 1;
        self.mark_used(slot, now);
        self.entry(slot).map(|entry| &entry.value)
    }

    /// Looks a key up as a writing command does: a use of it, not counted. Whoever changes how much the
    /// value weighs says so with [`Keyspace::weigh`].
    pub(super) fn look(&mut self, key: &str, now: Timestamp) -> Option<&mut V> {
        let slot = self.find_live(hash(key), key, now)?;
        self.mark_used(slot, now);
        let entry = self.slots.get_mut(slot as usize)?.as_mut()?;
        Some(&mut entry.value)
    }

    /// A value of this weight from now on.
    pub(super) fn weigh(&mut self, key: &str, value_held: u64) {
        let (memory, prefix_len) = (self.config.memory, self.config.prefix_len);
        let slot = self.find(key).map(|slot| slot as usize);
        let entry = slot.and_then(|slot| self.slots.get_mut(slot)?.as_mut());
        if let Some(entry) = entry {
            let key_len = (prefix_len + entry.key.as_str().len()) as u64;
            let held = memory.key_bytes(key_len) + value_held;
            self.held_bytes = self.held_bytes - entry.held_bytes + held;
            entry.held_bytes = held;
        }
    }

    /// Stores a value that weighs so much.
    pub(super) fn put(
        &mut self,
        key: &Key,
        (value, value_held): (V, u64),
        deadline: Deadline,
        now: Timestamp,
    ) {
        let hash = hash(key.as_str());
        let slot = if let Some(slot) = self.find_live(hash, key.as_str(), now) {
            self.mark_used(slot, now);
            self.replace(slot, value, value_held);
            slot
        } else {
            self.insert(key, (hash, value), value_held, now)
        };
        match deadline {
            Deadline::None => self.set_deadline(slot, None),
            Deadline::Keep => {}
            Deadline::At(deadline_ms) => self.set_deadline(slot, Some(deadline_ms)),
        }
    }

    /// Deletes a key; whether it was there.
    pub(super) fn unlink(&mut self, key: &str, now: Timestamp) -> bool {
        let slot = self.find_live(hash(key), key, now);
        slot.and_then(|slot| self.discard(slot)).is_some()
    }

    /// Gives a key another end; whether it was there.
    pub(super) fn end(&mut self, key: &str, deadline: Deadline, now: Timestamp) -> bool {
        let Some(slot) = self.find_live(hash(key), key, now) else {
            return false;
        };
        self.mark_used(slot, now);
        match deadline {
            Deadline::None => self.set_deadline(slot, None),
            Deadline::Keep => {}
            Deadline::At(deadline_ms) => self.set_deadline(slot, Some(deadline_ms)),
        }
        true
    }

    /// A key that goes by itself: expired or evicted.
    pub(super) fn lose(&mut self, slot: u32) {
        if let Some(gone) = &mut self.gone {
            let key = self.slots.get(slot as usize).and_then(Option::as_ref);
            gone.extend(key.map(|entry| entry.key.clone()));
        }
        self.discard(slot);
    }

    /// When a key ends, in milliseconds, and what its value weighs.
    pub(super) fn standing(&self, key: &str, now: Timestamp) -> Option<(Option<u64>, u64)> {
        let slot = self.find(key).filter(|slot| !self.is_due(*slot, now))?;
        let entry = self.entry(slot)?;
        let key_len = (self.config.prefix_len + entry.key.as_str().len()) as u64;
        let value_held = entry.held_bytes - self.config.memory.key_bytes(key_len);
        Some((self.deadline_ms(slot), value_held))
    }

    /// The mean of the TTLs that keys have left, in milliseconds, by twenty keys that lie evenly among
    /// them.
    pub(super) fn mean_ttl_ms(&self, now: Timestamp) -> u64 {
        const SAMPLE: usize = 20;
        let keys = self.expires.len();
        let stride = keys.div_ceil(SAMPLE).max(1);
        let places = (0..keys).step_by(stride);
        let left = places.filter_map(|place| {
            let deadline_ms = self.deadline_ms(self.expires.slot_at(place))?;
            Some(deadline_ms.saturating_sub(expiry::millis(now)))
        });
        let (sum, count) = left.fold((0, 0), |(sum, count), ms| (sum + ms, count + 1));
        sum / std::cmp::max(count, 1)
    }

    /// A key as it stands.
    pub(super) fn stood(&self, key: &str, now: Timestamp) -> Option<Stood<V>>
    where
        V: Clone,
    {
        let (deadline_ms, value_held) = self.standing(key, now)?;
        Some(Stood {
            value: self.peek(key, now)?.clone(),
            value_held,
            deadline_ms,
        })
    }

    /// Puts a key back to how it stood.
    pub(super) fn restore(&mut self, key: &Key, stood: Option<Stood<V>>, now: Timestamp) {
        match stood {
            None => drop(self.unlink(key.as_str(), now)),
            Some(stood) => {
                let deadline = stood.deadline_ms.map_or(Deadline::None, Deadline::At);
                self.put(key, (stood.value, stood.value_held), deadline, now);
            }
        }
    }
}
