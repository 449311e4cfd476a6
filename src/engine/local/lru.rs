//! `lru`: gives up the entry that was not used for the longest time, as the ADR's `lru_cache` does.
//!
//! Source: the classic rule; its stack property (a larger cache holds all that a smaller one does)
//! is Mattson et al., "Evaluation techniques for storage hierarchies", IBM Systems Journal 9(2),
//! 1970. A scan over keys that are asked for once drives everything else out.

use super::eviction::{Eviction, Slot};
use super::queue::Queue;

/// The entries by their last use.
#[derive(Debug)]
pub(super) struct Lru {
    by_use: Queue,
}

impl Lru {
    pub(super) fn new() -> Self {
        Self {
            by_use: Queue::new(),
        }
    }
}

impl Eviction for Lru {
    fn insert(&mut self, slot: Slot, _: u64, _: u64) {
        self.by_use.join(slot);
    }

    fn touch(&mut self, slot: Slot) {
        self.by_use.renew(slot);
    }

    fn resize(&mut self, _: Slot, _: u64) {}

    fn remove(&mut self, slot: Slot) {
        self.by_use.leave(slot);
    }

    fn evict(&mut self) -> Option<Slot> {
        let victim = self.by_use.oldest()?;
        self.by_use.leave(victim);
        Some(victim)
    }
}
