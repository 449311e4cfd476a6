//! `fifo`: gives up the entry that came first, used or not.
//!
//! The control beside the others: what they gain over it is what looking at use is worth. An entry
//! whose value is replaced keeps its place in the row.

use super::eviction::{Eviction, Slot};
use super::queue::Queue;

/// The entries by their arrival.
#[derive(Debug)]
pub(super) struct Fifo {
    by_arrival: Queue,
}

impl Fifo {
    pub(super) fn new() -> Self {
        Self {
            by_arrival: Queue::new(),
        }
    }
}

impl Eviction for Fifo {
    fn insert(&mut self, slot: Slot, _: u64, _: u64) {
        self.by_arrival.join(slot);
    }

    fn touch(&mut self, _: Slot) {}

    fn resize(&mut self, _: Slot, _: u64) {}

    fn remove(&mut self, slot: Slot) {
        self.by_arrival.leave(slot);
    }

    fn evict(&mut self) -> Option<Slot> {
        let victim = self.by_arrival.oldest()?;
        self.by_arrival.leave(victim);
        Some(victim)
    }
}
