//! Places in a row, from the oldest to the newest: a doubly linked list whose links stand in a
//! vector by place, so that joining, leaving and moving take constant time and no allocation.
//!
//! The building block of every eviction policy here. Decides nothing.

use super::eviction::Slot;

/// No place.
const NONE: Slot = Slot::MAX;

#[derive(Clone, Copy, Debug)]
struct Link {
    older: Slot,
    newer: Slot,
}

/// Places in the order in which they joined.
#[derive(Debug)]
pub(super) struct Queue {
    links: Vec<Link>,
    oldest: Slot,
    newest: Slot,
}

impl Queue {
    pub(super) fn new() -> Self {
        Self {
            links: Vec::new(),
            oldest: NONE,
            newest: NONE,
        }
    }

    fn some(slot: Slot) -> Option<Slot> {
        (slot != NONE).then_some(slot)
    }

    /// The place that joined first.
    pub(super) fn oldest(&self) -> Option<Slot> {
        Self::some(self.oldest)
    }

    /// The place that joined next after `slot`.
    pub(super) fn newer(&self, slot: Slot) -> Option<Slot> {
        Self::some(self.links[slot as usize].newer)
    }

    /// `slot`, which is not in the row, joins as the newest.
    pub(super) fn join(&mut self, slot: Slot) {
        let link = Link {
            older: self.newest,
            newer: NONE,
        };
        let at = slot as usize;
        if at >= self.links.len() {
            let unused = Link {
                older: NONE,
                newer: NONE,
            };
            self.links.resize(at + 1, unused);
        }
        self.links[at] = link;
        match Self::some(self.newest) {
            Some(newest) => self.links[newest as usize].newer = slot,
            None => self.oldest = slot,
        }
        self.newest = slot;
    }

    /// `slot`, which is in the row, leaves it.
    pub(super) fn leave(&mut self, slot: Slot) {
        let Link { older, newer } = self.links[slot as usize];
        match Self::some(older) {
            Some(older) => self.links[older as usize].newer = newer,
            None => self.oldest = newer,
        }
        match Self::some(newer) {
            Some(newer) => self.links[newer as usize].older = older,
            None => self.newest = older,
        }
    }

    /// `slot`, which is in the row, becomes the newest.
    pub(super) fn renew(&mut self, slot: Slot) {
        if self.newest != slot {
            self.leave(slot);
            self.join(slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_keeps_the_order_of_a_plain_list(
            steps in prop::collection::vec((0u32..12, any::<bool>()), 0..200)
        ) {
            let (mut queue, mut plain) = (Queue::new(), Vec::new());
            for (slot, leaves) in steps {
                match (plain.iter().position(|held| *held == slot), leaves) {
                    (None, _) => {
                        queue.join(slot);
                        plain.push(slot);
                    }
                    (Some(at), true) => {
                        queue.leave(slot);
                        plain.remove(at);
                    }
                    (Some(at), false) => {
                        queue.renew(slot);
                        plain.remove(at);
                        plain.push(slot);
                    }
                }
                let row: Vec<Slot> =
                    std::iter::successors(queue.oldest(), |slot| queue.newer(*slot)).collect();
                prop_assert_eq!(&row, &plain);
            }
        }
    }
}
