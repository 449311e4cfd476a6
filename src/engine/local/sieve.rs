//! `sieve`: gives up the first entry that a slowly moving hand finds unused since it last came by.
//!
//! Source: Zhang et al., "SIEVE is Simpler than LRU: an Efficient Turn-Key Eviction Algorithm for
//! Web Caches", NSDI 2024. A hit sets one bit and moves nothing. Unlike in CLOCK, survivors keep
//! their place, so newcomers must prove themselves before the hand reaches them. It is not
//! resistant to scans longer than the cache.

use super::eviction::{Eviction, Slot};
use super::queue::Queue;

/// The entries by their arrival, which of them were used, and where the hand stands.
#[derive(Debug)]
pub(super) struct Sieve {
    by_arrival: Queue,
    used: Vec<bool>,
    /// The entry that is looked at next; `None`: the oldest.
    hand: Option<Slot>,
}

impl Sieve {
    pub(super) fn new() -> Self {
        Self {
            by_arrival: Queue::new(),
            used: Vec::new(),
            hand: None,
        }
    }
}

impl Eviction for Sieve {
    fn insert(&mut self, slot: Slot, _: u64, _: u64) {
        self.by_arrival.join(slot);
        let at = slot as usize;
        if at >= self.used.len() {
            self.used.resize(at + 1, false);
        }
        self.used[at] = false;
    }

    fn touch(&mut self, slot: Slot) {
        self.used[slot as usize] = true;
    }

    fn resize(&mut self, _: Slot, _: u64) {}

    fn remove(&mut self, slot: Slot) {
        if self.hand == Some(slot) {
            self.hand = self.by_arrival.newer(slot);
        }
        self.by_arrival.leave(slot);
    }

    fn evict(&mut self) -> Option<Slot> {
        let mut at = self.hand.or(self.by_arrival.oldest())?;
        // Every step clears a bit, so this ends within one round.
        while std::mem::take(&mut self.used[at as usize]) {
            at = self.by_arrival.newer(at).or(self.by_arrival.oldest())?;
        }
        self.hand = self.by_arrival.newer(at);
        self.by_arrival.leave(at);
        Some(at)
    }
}
