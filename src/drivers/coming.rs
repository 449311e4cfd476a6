//! When each user comes and goes, by the rhythm of the traffic.
//!
//! Users take the places of the rhythm in a seeded order, so that those who are there at night are
//! not those who arrived first. Called by the crowd; decides, waits for nothing.

use crate::clock::Timestamp;
use crate::seed::Seed;
use crate::workload::popularity::Bijection;
use crate::workload::rhythm::Rhythm;

/// The time that a user is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stay {
    /// When it comes.
    pub(super) from: Timestamp,
    /// When it goes; `None`: it stays.
    pub(super) to: Option<Timestamp>,
}

/// When users come and go.
#[derive(Debug)]
pub(super) struct Comings(Option<ByRhythm>);

#[derive(Debug)]
struct ByRhythm {
    rhythm: Rhythm,
    users: u64,
    /// The rank of each user.
    ranks: Bijection,
    /// When the rhythm begins to count.
    start: Timestamp,
}

impl Comings {
    /// Of `users` by `rhythm`, from `start` on; without one, who has come stays.
    pub(super) fn new(rhythm: Option<Rhythm>, users: u64, start: Timestamp, seed: Seed) -> Self {
        Self(rhythm.map(|rhythm| ByRhythm {
            rhythm,
            users,
            ranks: Bijection::new(users, seed.fork("rhythm")),
            start,
        }))
    }

    /// The next stay of `user`, who may come from `at` on; `None` if it never does.
    pub(super) fn next(&self, user: u64, at: Timestamp) -> Option<Stay> {
        let Some(by) = &self.0 else {
            return Some(Stay { from: at, to: None });
        };
        let place = Rhythm::place(by.ranks.map(user), by.users);
        let comes = by.rhythm.comes(place, at.since(by.start))?;
        let goes = by.rhythm.next_change(place, comes);
        Some(Stay {
            from: by.start + comes,
            to: goes.map(|goes| by.start + goes),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use super::*;
    use crate::units::Ratio;

    const USERS: u64 = 1_000;

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_unix_nanos(5_000_000_000 + ms * 1_000_000)
    }

    /// From nobody to everybody in 10 s, and back in 10 s.
    fn comings(seed: u64) -> Comings {
        let point = |s, share| (Duration::from_secs(s), Ratio(share));
        let rhythm = Rhythm::new(
            Duration::from_secs(20),
            Duration::ZERO,
            vec![point(0, 0.0), point(10, 1.0)],
        );
        Comings::new(rhythm, USERS, at(0), Seed(seed))
    }

    #[test]
    fn without_a_rhythm_who_comes_stays() {
        let comings = Comings::new(None, USERS, at(0), Seed(1));
        let stay = Stay {
            from: at(7),
            to: None,
        };
        assert_eq!(comings.next(3, at(7)), Some(stay));
    }

    #[test]
    fn as_many_are_there_as_the_rhythm_says_and_never_two_at_one_place() {
        let comings = comings(42);
        let stays = (0..USERS).filter_map(|user| comings.next(user, at(0)));
        let moments: BTreeSet<Timestamp> = stays.map(|stay| stay.from).collect();
        assert_eq!(moments.len() as u64, USERS);
        for ms in [1_000, 5_000, 10_000, 16_000, 23_000] {
            let there = (0..USERS).filter(|user| {
                let stay = comings.next(*user, at(ms));
                stay.is_some_and(|stay| stay.from == at(ms))
            });
            let of_period = ms % 20_000;
            let wanted = of_period.min(20_000 - of_period) / 10;
            assert!((there.count() as u64).abs_diff(wanted) <= 1, "{ms}");
        }
    }

    #[test]
    fn places_are_drawn_from_the_seed() {
        let first = |seed| {
            let comings = comings(seed);
            (0..USERS).min_by_key(|user| comings.next(*user, at(0)).map(|stay| stay.from))
        };
        assert_eq!(first(42), first(42));
        assert_ne!(first(42), first(43));
    }
}
