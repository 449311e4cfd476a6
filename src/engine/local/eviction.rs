//! What an eviction policy owes the shelf, and how the two speak of places and sizes.
//!
//! A policy never sees keys' texts, values or time: it is told which places are taken, used and
//! given up, and names the place to give up next. So it decides by the sequence of calls alone, and
//! the same sequence evicts the same places every time.

use std::fmt;

/// A place on the shelf. Places are numbered from zero and used again once they are free, so a
/// policy may keep what it knows of them in a vector.
pub(super) type Slot = u32;

/// So many entries with so many bytes: what is held, or the most that may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Room {
    pub(super) entries: u64,
    pub(super) bytes: u64,
}

impl Room {
    /// The room of one entry.
    pub(super) fn of_one(bytes: u64) -> Self {
        Self { entries: 1, bytes }
    }

    /// Whether neither bound is crossed.
    pub(super) fn fits(self, bounds: Self) -> bool {
        self.entries <= bounds.entries && self.bytes <= bounds.bytes
    }

    #[must_use]
    pub(super) fn plus(self, more: Self) -> Self {
        Self {
            entries: self.entries.saturating_add(more.entries),
            bytes: self.bytes.saturating_add(more.bytes),
        }
    }

    #[must_use]
    pub(super) fn minus(self, less: Self) -> Self {
        Self {
            entries: self.entries.saturating_sub(less.entries),
            bytes: self.bytes.saturating_sub(less.bytes),
        }
    }

    /// A tenth, rounded down, but room for one entry at least.
    #[must_use]
    pub(super) fn tenth(self) -> Self {
        Self {
            entries: (self.entries / 10).max(1),
            bytes: self.bytes / 10,
        }
    }
}

/// An eviction policy. What it must keep:
///
/// - It knows exactly the places between their [`insert`](Eviction::insert) and their
///   [`remove`](Eviction::remove) or [`evict`](Eviction::evict), and names no other.
/// - As long as it knows any place, `evict` names one: else a full shelf could not make room.
/// - It draws no randomness and reads no time.
/// - [`touch`](Eviction::touch) is on the path of every hit: it allocates nothing and takes
///   constant time. `evict` takes constant time on the average over many calls.
pub(super) trait Eviction: fmt::Debug + Send {
    /// A new entry stands at `slot`; `fingerprint` tells its key from others, also after it is
    /// gone.
    fn insert(&mut self, slot: Slot, fingerprint: u64, bytes: u64);

    /// The entry at `slot` was asked for and found, or was replaced by a newer value.
    fn touch(&mut self, slot: Slot);

    /// The entry at `slot` has another size now.
    fn resize(&mut self, slot: Slot, bytes: u64);

    /// The entry at `slot` is gone, by expiry or invalidation and not by want of room.
    fn remove(&mut self, slot: Slot);

    /// Chooses the entry to give up, and forgets it; `None` if there is none.
    fn evict(&mut self) -> Option<Slot>;
}
