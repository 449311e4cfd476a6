//! Which notices of other publishers were lost, told by the holes in their sequence numbers.
//!
//! A publisher numbers what it says without holes, and says now and then how far it has come. A
//! number that is passed over may still be on its way, because a publisher has several connections;
//! it is lost when it has not come after [`GRACE`]. Pure: time is given.

use std::collections::BTreeMap;
use std::time::Duration;

use rustc_hash::FxHashMap;

use crate::clock::Timestamp;
use crate::engine::layer::InvalidationEvent;

/// How long a notice may be overtaken by a later one.
pub const GRACE: Duration = Duration::from_millis(250);
/// How many holes are waited for at once; with more, the oldest is given up. A burst through two
/// connections may come as all odd numbers and then all even ones.
const HOLES_MAX: usize = 4_096;

/// A notice's place among those of its publisher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The publishing instance.
    pub publisher: u64,
    /// Its life; later ones are greater.
    pub incarnation: u64,
    /// The notice's number, from 1.
    pub sequence: u64,
}

impl Stamp {
    /// The place of `event`.
    pub fn of(event: &InvalidationEvent) -> Self {
        Self {
            publisher: event.publisher,
            incarnation: event.incarnation,
            sequence: event.sequence,
        }
    }
}

/// Numbers that never came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Whose.
    pub publisher: u64,
    /// How many; `None` when this subscriber came too late to know.
    pub missed: Option<u64>,
}

/// Numbers that have not come yet, from the hole's key up to this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Hole {
    last: u64,
    since: Timestamp,
}

/// One publisher as its subscriber sees it.
#[derive(Clone, Debug, Default)]
struct Heard {
    incarnation: u64,
    /// The greatest number that is known to have been given.
    up_to: u64,
    /// Below it, what has not come, by first number. Greater numbers are missing no longer than
    /// smaller ones.
    holes: BTreeMap<u64, Hole>,
}

impl Heard {
    /// `number` has come.
    fn fill(&mut self, number: u64) {
        let around = self.holes.range(..=number).next_back();
        let Some((first, hole)) = around.map(|(first, hole)| (*first, *hole)) else {
            return;
        };
        if hole.last < number {
            return;
        }
        self.holes.remove(&first);
        if first < number {
            let last = number - 1;
            self.holes.insert(first, Hole { last, ..hole });
        }
        if number < hole.last {
            self.holes.insert(number + 1, hole);
        }
    }

    /// Gives up the oldest hole if it is `lost`, and gives how many numbers it had.
    fn give_up(&mut self, lost: impl FnOnce(&Hole) -> bool) -> Option<u64> {
        let oldest = self.holes.first_entry()?;
        if !lost(oldest.get()) {
            return None;
        }
        let (first, hole) = oldest.remove_entry();
        Some(hole.last - first + 1)
    }
}

/// What a subscriber has heard of every publisher.
#[derive(Clone, Debug, Default)]
pub struct Sequences {
    publishers: FxHashMap<u64, Heard>,
    gaps: Vec<Gap>,
}

impl Sequences {
    /// The notice with this `stamp` has come.
    pub fn heard(&mut self, stamp: Stamp, now: Timestamp) {
        if stamp.incarnation == 0 || stamp.sequence == 0 {
            return;
        }
        self.told(
            Stamp {
                sequence: stamp.sequence - 1,
                ..stamp
            },
            now,
        );
        let Some(heard) = self.publishers.get_mut(&stamp.publisher) else {
            return;
        };
        if heard.incarnation == stamp.incarnation {
            heard.up_to = heard.up_to.max(stamp.sequence);
            heard.fill(stamp.sequence);
        }
    }

    /// The publisher says that `stamp` is the last number that it gave.
    pub fn told(&mut self, stamp: Stamp, now: Timestamp) {
        if stamp.incarnation == 0 {
            return;
        }
        let heard = self.publishers.entry(stamp.publisher).or_default();
        if stamp.incarnation < heard.incarnation {
            // A late word from a life that is over.
            return;
        }
        if stamp.incarnation > heard.incarnation {
            *heard = Heard {
                incarnation: stamp.incarnation,
                up_to: stamp.sequence,
                holes: BTreeMap::new(),
            };
            if stamp.sequence > 0 {
                // It spoke before we heard of it. Whether we were listening then, nobody knows.
                self.gaps.push(Gap {
                    publisher: stamp.publisher,
                    missed: None,
                });
            }
            return;
        }
        if stamp.sequence > heard.up_to {
            let hole = Hole {
                last: stamp.sequence,
                since: now,
            };
            heard.holes.insert(heard.up_to + 1, hole);
            heard.up_to = stamp.sequence;
            if heard.holes.len() > HOLES_MAX {
                let missed = heard.give_up(|_| true);
                self.gaps.push(Gap {
                    publisher: stamp.publisher,
                    missed,
                });
            }
        }
    }

    /// When to ask for [`Sequences::gaps`] again; `None` if nothing is missing.
    pub fn due(&self) -> Option<Timestamp> {
        if !self.gaps.is_empty() {
            return Some(Timestamp::EPOCH);
        }
        let oldest = self.publishers.values();
        oldest
            .filter_map(|heard| heard.holes.values().next())
            .map(|hole| hole.since + GRACE)
            .min()
    }

    /// What is lost for good; each loss is told once.
    pub fn gaps(&mut self, now: Timestamp) -> Vec<Gap> {
        for (publisher, heard) in &mut self.publishers {
            let mut missed = 0;
            while let Some(numbers) = heard.give_up(|hole| hole.since + GRACE <= now) {
                missed += numbers;
            }
            if missed > 0 {
                self.gaps.push(Gap {
                    publisher: *publisher,
                    missed: Some(missed),
                });
            }
        }
        std::mem::take(&mut self.gaps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PUBLISHER: u64 = 7;

    fn at_ms(ms: u64) -> Timestamp {
        Timestamp::from_unix_nanos(ms * 1_000_000)
    }

    fn stamp(incarnation: u64, sequence: u64) -> Stamp {
        Stamp {
            publisher: PUBLISHER,
            incarnation,
            sequence,
        }
    }

    fn lost(count: u64) -> Vec<Gap> {
        vec![Gap {
            publisher: PUBLISHER,
            missed: Some(count),
        }]
    }

    const LATER: u64 = 10_000;

    #[test]
    fn a_number_that_never_comes_is_lost_after_the_grace() {
        let mut sequences = Sequences::default();
        for sequence in [1, 2, 4] {
            sequences.heard(stamp(1, sequence), at_ms(0));
        }
        assert_eq!(sequences.due(), Some(at_ms(250)));
        assert_eq!(sequences.gaps(at_ms(249)), []);
        assert_eq!(sequences.gaps(at_ms(250)), lost(1));
        assert_eq!(sequences.gaps(at_ms(LATER)), []);
        assert_eq!(sequences.due(), None);
    }

    #[test]
    fn the_last_notice_is_missed_by_what_the_publisher_says_of_itself() {
        let mut sequences = Sequences::default();
        sequences.heard(stamp(1, 1), at_ms(0));
        sequences.told(stamp(1, 3), at_ms(0));
        assert_eq!(sequences.gaps(at_ms(LATER)), lost(2));
    }

    #[test]
    fn a_new_life_begins_anew_and_an_old_one_is_not_heard_any_more() {
        let mut sequences = Sequences::default();
        sequences.heard(stamp(1, 1), at_ms(0));
        sequences.told(stamp(2, 0), at_ms(0));
        sequences.heard(stamp(2, 1), at_ms(0));
        sequences.told(stamp(1, 99), at_ms(0));
        assert_eq!(sequences.gaps(at_ms(LATER)), []);
    }

    #[test]
    fn who_comes_late_cannot_know_what_it_missed() {
        let mut sequences = Sequences::default();
        sequences.heard(stamp(1, 9), at_ms(0));
        let unknown = Gap {
            publisher: PUBLISHER,
            missed: None,
        };
        assert_eq!(sequences.gaps(at_ms(0)), [unknown]);
        sequences.heard(stamp(1, 10), at_ms(0));
        assert_eq!(sequences.gaps(at_ms(LATER)), []);
    }

    #[test]
    fn a_burst_through_two_connections_is_no_loss() {
        let mut sequences = Sequences::default();
        let odd_then_even = (1..2_000).step_by(2).chain((2..2_000).step_by(2));
        for sequence in odd_then_even {
            sequences.heard(stamp(1, sequence), at_ms(0));
        }
        assert_eq!(sequences.gaps(at_ms(LATER)), []);
    }

    #[test]
    fn what_is_waited_for_is_bounded() {
        let mut sequences = Sequences::default();
        let odd: Vec<u64> = (1..20_000).step_by(2).collect();
        for sequence in &odd {
            sequences.heard(stamp(1, *sequence), at_ms(0));
        }
        assert_eq!(sequences.publishers[&PUBLISHER].holes.len(), HOLES_MAX);
        let missed: u64 = sequences
            .gaps(at_ms(LATER))
            .iter()
            .filter_map(|gap| gap.missed)
            .sum();
        assert_eq!(missed, odd.len() as u64 - 1);
    }

    /// Three days of an instance that loses a notice now and then and is deployed anew each day.
    #[test]
    fn what_is_remembered_of_a_publisher_does_not_grow_with_the_days() {
        const DAY_S: u64 = 86_400;
        let mut sequences = Sequences::default();
        for day in 0..3 {
            let life = day + 1;
            for sequence in 1..=DAY_S {
                let now = at_ms((day * DAY_S + sequence) * 1_000);
                if sequence % 97 != 0 {
                    sequences.heard(stamp(life, sequence), now);
                }
                sequences.told(stamp(life, sequence), now);
                sequences.gaps(now);
            }
            let holes = sequences.publishers.values().map(|heard| heard.holes.len());
            assert!(holes.sum::<usize>() <= 1);
            assert_eq!((sequences.publishers.len(), sequences.gaps.len()), (1, 0));
        }
    }

    #[test]
    fn notices_without_number_are_nobodys_loss() {
        let mut sequences = Sequences::default();
        sequences.heard(stamp(0, 0), at_ms(0));
        sequences.heard(stamp(1, 0), at_ms(0));
        assert_eq!(sequences.gaps(at_ms(LATER)), []);
    }

    proptest! {
        /// However notices overtake each other, and whichever are lost: as many are missed as were
        /// lost, and not one more.
        #[test]
        fn what_is_lost_is_found_and_nothing_else(
            order in Just((2u64..60).collect::<Vec<_>>()).prop_shuffle(),
            dropped in prop::collection::btree_set(2u64..60, 0..20),
        ) {
            let mut sequences = Sequences::default();
            sequences.heard(stamp(1, 1), at_ms(0));
            for number in order.iter().filter(|number| !dropped.contains(number)) {
                sequences.heard(stamp(1, *number), at_ms(1));
            }
            sequences.told(stamp(1, 59), at_ms(2));
            prop_assert_eq!(sequences.gaps(at_ms(3)), []);
            let missed: u64 = sequences.gaps(at_ms(LATER)).iter().filter_map(|gap| gap.missed).sum();
            prop_assert_eq!(missed, dropped.len() as u64);
        }
    }
}
