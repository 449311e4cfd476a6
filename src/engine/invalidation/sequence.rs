//! Which notices of other publishers were lost, told by the holes in their sequence numbers.
//!
//! A publisher numbers what it says without holes, and says now and then how far it has come. A
//! number that is passed over may still be on its way, because a publisher has several connections;
//! it is lost when it has not come after [`GRACE`]. Pure: time is given.

use std::time::Duration;

use rustc_hash::FxHashMap;

use crate::clock::Timestamp;
use crate::engine::layer::InvalidationEvent;

/// How long a notice may be overtaken by a later one.
pub const GRACE: Duration = Duration::from_millis(250);
/// How many holes are waited for at once; with more, the oldest is given up.
const HOLES_MAX: usize = 64;

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

/// Numbers that have not come yet, `first` to `last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Hole {
    first: u64,
    last: u64,
    since: Timestamp,
}

/// One publisher as its subscriber sees it.
#[derive(Clone, Debug, Default)]
struct Heard {
    incarnation: u64,
    /// The greatest number that is known to have been given.
    up_to: u64,
    /// Below it, what has not come.
    holes: Vec<Hole>,
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
            heard.holes = fill(&heard.holes, stamp.sequence);
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
                holes: vec![],
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
            heard.holes.push(Hole {
                first: heard.up_to + 1,
                last: stamp.sequence,
                since: now,
            });
            heard.up_to = stamp.sequence;
            if heard.holes.len() > HOLES_MAX {
                let oldest = heard.holes.remove(0);
                self.gaps.push(gap(stamp.publisher, &[oldest]));
            }
        }
    }

    /// When to ask for [`Sequences::gaps`] again; `None` if nothing is missing.
    pub fn due(&self) -> Option<Timestamp> {
        if !self.gaps.is_empty() {
            return Some(Timestamp::EPOCH);
        }
        let holes = self.publishers.values().flat_map(|heard| &heard.holes);
        holes.map(|hole| hole.since + GRACE).min()
    }

    /// What is lost for good; each loss is told once.
    pub fn gaps(&mut self, now: Timestamp) -> Vec<Gap> {
        for (publisher, heard) in &mut self.publishers {
            let overdue = |hole: &Hole| hole.since + GRACE <= now;
            let lost: Vec<Hole> = heard.holes.extract_if(.., |hole| overdue(hole)).collect();
            if !lost.is_empty() {
                self.gaps.push(gap(*publisher, &lost));
            }
        }
        std::mem::take(&mut self.gaps)
    }
}

fn gap(publisher: u64, holes: &[Hole]) -> Gap {
    let missed = holes.iter().map(|hole| hole.last - hole.first + 1).sum();
    Gap {
        publisher,
        missed: Some(missed),
    }
}

/// `holes` without `number`.
fn fill(holes: &[Hole], number: u64) -> Vec<Hole> {
    let parts = holes.iter().flat_map(|hole| {
        let before = Hole {
            last: hole.last.min(number.saturating_sub(1)),
            ..*hole
        };
        let after = Hole {
            first: hole.first.max(number + 1),
            ..*hole
        };
        [before, after]
    });
    parts.filter(|hole| hole.first <= hole.last).collect()
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
