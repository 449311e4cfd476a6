//! `s3-fifo`: newcomers wait in a small row, and only those that are used there come into the main
//! one. Keys that are asked for once, as in a scan, pass through a tenth of the room and leave the
//! rest alone.
//!
//! Source: Yang et al., "FIFO Queues are All You Need for Cache Eviction", SOSP 2023, with its
//! sizes: a tenth for the small row, and a memory of keys given up (the ghosts) as large as the
//! main row, through which a key that comes back soon goes straight into the main row. An entry
//! leaves the small row for the main one if it was used twice there; in the main row each use, up
//! to three, buys another round.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use super::eviction::{Eviction, Room, Slot};
use super::queue::Queue;

/// Uses beyond these are not counted.
const USES_MAX: u8 = 3;
/// So many uses in the small row lead into the main one.
const USES_TO_STAY: u8 = 2;

#[derive(Clone, Copy, Debug, Default)]
struct Place {
    fingerprint: u64,
    bytes: u64,
    uses: u8,
    in_main: bool,
}

/// A row of entries and what they take.
#[derive(Debug)]
struct Row {
    queue: Queue,
    bounds: Room,
    held: Room,
}

impl Row {
    fn new(bounds: Room) -> Self {
        Self {
            queue: Queue::new(),
            bounds,
            held: Room::default(),
        }
    }

    fn join(&mut self, slot: Slot, bytes: u64) {
        self.queue.join(slot);
        self.held = self.held.plus(Room::of_one(bytes));
    }

    fn leave(&mut self, slot: Slot, bytes: u64) {
        self.queue.leave(slot);
        self.held = self.held.minus(Room::of_one(bytes));
    }
}

/// The two rows, and the keys given up.
#[derive(Debug)]
pub(super) struct S3Fifo {
    places: Vec<Place>,
    small: Row,
    main: Row,
    ghosts: Ghosts,
    /// Before the first eviction there is room for all, and the small row does not overflow.
    evicted: bool,
}

impl S3Fifo {
    pub(super) fn new(bounds: Room) -> Self {
        let small = bounds.tenth();
        let main = bounds.minus(small);
        Self {
            places: Vec::new(),
            small: Row::new(small),
            main: Row::new(main),
            ghosts: Ghosts::new(main),
            evicted: false,
        }
    }

    fn evict_from_small(&mut self) -> Option<Slot> {
        while let Some(slot) = self.small.queue.oldest() {
            let place = &mut self.places[slot as usize];
            self.small.leave(slot, place.bytes);
            if place.uses < USES_TO_STAY {
                self.ghosts.remember(place.fingerprint, place.bytes);
                return Some(slot);
            }
            place.uses = 0;
            place.in_main = true;
            self.main.join(slot, place.bytes);
        }
        None
    }

    fn evict_from_main(&mut self) -> Option<Slot> {
        // Every step takes a use away, so this ends within three rounds.
        while let Some(slot) = self.main.queue.oldest() {
            let place = &mut self.places[slot as usize];
            if place.uses == 0 {
                self.main.leave(slot, place.bytes);
                return Some(slot);
            }
            place.uses -= 1;
            self.main.queue.renew(slot);
        }
        None
    }
}

impl Eviction for S3Fifo {
    fn insert(&mut self, slot: Slot, fingerprint: u64, bytes: u64) {
        let newcomer = self.small.held.plus(Room::of_one(bytes));
        let known = self.ghosts.recall(fingerprint);
        let overflows = !self.evicted && !newcomer.fits(self.small.bounds);
        let in_main = known || overflows;
        let at = slot as usize;
        if at >= self.places.len() {
            self.places.resize(at + 1, Place::default());
        }
        self.places[at] = Place {
            fingerprint,
            bytes,
            uses: 0,
            in_main,
        };
        let row = if in_main {
            &mut self.main
        } else {
            &mut self.small
        };
        row.join(slot, bytes);
    }

    fn touch(&mut self, slot: Slot) {
        let uses = &mut self.places[slot as usize].uses;
        *uses = (*uses + 1).min(USES_MAX);
    }

    fn resize(&mut self, slot: Slot, bytes: u64) {
        let place = &mut self.places[slot as usize];
        let row = if place.in_main {
            &mut self.main
        } else {
            &mut self.small
        };
        let less = Room::of_one(place.bytes);
        row.held = row.held.minus(less).plus(Room::of_one(bytes));
        place.bytes = bytes;
    }

    fn remove(&mut self, slot: Slot) {
        let place = self.places[slot as usize];
        let row = if place.in_main {
            &mut self.main
        } else {
            &mut self.small
        };
        row.leave(slot, place.bytes);
    }

    fn evict(&mut self) -> Option<Slot> {
        self.evicted = true;
        if self.main.held.fits(self.main.bounds)
            && let Some(slot) = self.evict_from_small()
        {
            return Some(slot);
        }
        self.evict_from_main().or_else(|| self.evict_from_small())
    }
}

/// The keys given up last by the small row, by their fingerprints.
#[derive(Debug)]
struct Ghosts {
    bounds: Room,
    held: Room,
    /// In the order given up. One that was recalled since, or given up again, is no longer the one
    /// that `sizes` knows by this number.
    row: VecDeque<(u64, u64)>,
    /// By fingerprint: the number it was given up with, and how large it was.
    sizes: FxHashMap<u64, (u64, u64)>,
    count: u64,
}

impl Ghosts {
    fn new(bounds: Room) -> Self {
        Self {
            bounds,
            held: Room::default(),
            row: VecDeque::new(),
            sizes: FxHashMap::default(),
            count: 0,
        }
    }

    fn remember(&mut self, fingerprint: u64, bytes: u64) {
        self.recall(fingerprint);
        self.count += 1;
        self.row.push_back((fingerprint, self.count));
        self.sizes.insert(fingerprint, (self.count, bytes));
        self.held = self.held.plus(Room::of_one(bytes));
        while !self.held.fits(self.bounds)
            && let Some((fingerprint, number)) = self.row.pop_front()
        {
            if self.is_current(fingerprint, number) {
                self.recall(fingerprint);
            }
        }
        // Those that were recalled are still in the row; at most as many again as live ones.
        if self.row.len() > 2 * self.sizes.len() + 16 {
            let sizes = &self.sizes;
            self.row
                .retain(|(fingerprint, number)| is_current(sizes, *fingerprint, *number));
        }
    }

    fn is_current(&self, fingerprint: u64, number: u64) -> bool {
        is_current(&self.sizes, fingerprint, number)
    }

    /// Whether the key was given up lately; it is forgotten.
    fn recall(&mut self, fingerprint: u64) -> bool {
        let Some((_, bytes)) = self.sizes.remove(&fingerprint) else {
            return false;
        };
        self.held = self.held.minus(Room::of_one(bytes));
        true
    }
}

fn is_current(sizes: &FxHashMap<u64, (u64, u64)>, fingerprint: u64, number: u64) -> bool {
    sizes
        .get(&fingerprint)
        .is_some_and(|(held, _)| *held == number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_keys_given_up_is_bounded() {
        let bounds = Room {
            entries: 100,
            bytes: 1_000,
        };
        let mut ghosts = Ghosts::new(bounds);
        for n in 0..100_000u64 {
            ghosts.remember(n, 5 + n % 10);
            // Half of them come back at once.
            if n % 2 == 0 {
                assert!(ghosts.recall(n));
                assert!(!ghosts.recall(n));
            }
            assert!(ghosts.held.fits(bounds));
            assert_eq!(ghosts.sizes.len() as u64, ghosts.held.entries);
            assert!(ghosts.row.len() <= 216, "{} in the row", ghosts.row.len());
        }
    }
}
