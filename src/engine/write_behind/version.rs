//! The versions of write-behind: a clock that every write of a key agrees on.
//!
//! A version is a moment and a place in it: `milliseconds * PLACES_PER_MS + place`. Redis gives them
//! in the order in which it takes writes, as places in its stream. A write that goes past the queue,
//! because the queue is full or Redis is gone, must have its order among them, too: the queue gives
//! it a place if it can still be asked, else this instance makes one from its own clock. Each side
//! is told the highest version of the other, so that what one instance writes later has the higher
//! version whichever way it went. (Kulkarni et al., "Logical Physical Clocks", OPODIS 2014.)
//!
//! Between instances that cannot ask Redis, order is as good as their clocks agree.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::Timestamp;
use crate::engine::layer::Version;

/// How many versions there are in a millisecond. With 2^11 of them versions stay below 2^53, where
/// Lua's numbers are exact, until the year 2109.
pub const PLACES_PER_MS: u64 = 1 << 11;

/// The places of instances begin here; those below are left to the queue.
const OWN_PLACES_FROM: u64 = PLACES_PER_MS / 2;
/// How many places each instance has in a millisecond.
const OWN_PLACES: u64 = 16;
/// More instances than this share places with others.
const INSTANCES: u64 = (PLACES_PER_MS - OWN_PLACES_FROM) / OWN_PLACES;

/// The versions that one instance gave and saw.
#[derive(Debug, Default)]
pub(in crate::engine) struct Versions {
    highest: AtomicU64,
}

impl Versions {
    /// The highest so far: a new write must be above it.
    pub(in crate::engine) fn highest(&self) -> Version {
        Version(self.highest.load(Ordering::SeqCst))
    }

    /// The queue gave `version`.
    pub(in crate::engine) fn saw(&self, version: Version) {
        self.highest.fetch_max(version.0, Ordering::SeqCst);
    }

    /// A version for a write of `instance` that the queue cannot be asked for.
    pub(in crate::engine) fn make(&self, now: Timestamp, instance: u64) -> Version {
        let mut highest = self.highest.load(Ordering::SeqCst);
        loop {
            let next = next_after(highest, now, instance);
            let set = self.highest.compare_exchange_weak(
                highest,
                next,
                Ordering::SeqCst,
                Ordering::SeqCst,
            );
            match set {
                Ok(_) => return Version(next),
                Err(now_highest) => highest = now_highest,
            }
        }
    }
}

/// The lowest place of `instance`'s own that is above `highest` and not before `now`.
fn next_after(highest: u64, now: Timestamp, instance: u64) -> u64 {
    let own = OWN_PLACES_FROM + instance % INSTANCES * OWN_PLACES;
    let first_of = |ms: u64| ms * PLACES_PER_MS + own;
    let ms = (now.as_unix_nanos() / 1_000_000).max(highest / PLACES_PER_MS);
    let next = first_of(ms).max(highest + 1);
    if next < first_of(ms) + OWN_PLACES {
        next
    } else {
        first_of(ms + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_unix_nanos(ms * 1_000_000)
    }

    #[test]
    fn versions_stay_where_lua_is_exact_for_a_lifetime() {
        let year_2109 = 4_386_500_000_000;
        assert!(next_after(0, at(year_2109), 63) < 1 << 53);
    }

    #[test]
    fn many_writes_in_one_millisecond_borrow_from_the_next() {
        let versions = Versions::default();
        let made: Vec<u64> = (0..40).map(|_| versions.make(at(5), 0).0).collect();
        assert!(made.is_sorted_by(|a, b| a < b), "{made:?}");
        assert_eq!(made[0] / PLACES_PER_MS, 5);
        assert_eq!(made[39] / PLACES_PER_MS, 7);
    }

    proptest! {
        #[test]
        fn a_version_is_above_all_before_it_and_its_instances_own(
            highest in 0u64..1 << 40,
            ms in 0u64..1 << 28,
            instance in 0u64..200,
        ) {
            let next = next_after(highest, at(ms), instance);
            prop_assert!(next > highest);
            prop_assert!(next / PLACES_PER_MS >= ms);
            let place = next % PLACES_PER_MS;
            prop_assert!(place >= OWN_PLACES_FROM, "the queue's own place");
            prop_assert_eq!((place - OWN_PLACES_FROM) / OWN_PLACES, instance % INSTANCES);
        }

        #[test]
        fn no_later_than_need_be(highest in 0u64..1 << 40, instance in 0u64..64) {
            let ms = highest / PLACES_PER_MS;
            let next = next_after(highest, at(ms), instance);
            prop_assert!(next / PLACES_PER_MS <= ms + 1);
        }
    }
}
