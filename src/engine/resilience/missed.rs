//! Invalidations that the remote layer missed while it could not be reached, to be made up for
//! before it is asked again.
//!
//! Without this, a remote layer that was cut off and comes back with what it held would serve old
//! entries until their TTL ends. Bounded: what is too much to remember is counted as forgotten. What is
//! being made up for stays known until that is done, so that nobody overtakes it, and so that it is not
//! lost if whoever is at it gives up.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use crate::engine::data_type::Key;
use crate::engine::layer::Version;

/// How many keys are remembered: about 10 MB.
const KEYS_MAX: usize = 100_000;

/// What was missed of one key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Missing {
    /// Whatever is there must go.
    purge: bool,
    /// What was read before this commit must go and must not come back.
    floor: Version,
}

/// Keys whose entries may be out of date.
#[derive(Debug, Default)]
pub struct Missed {
    any: AtomicBool,
    keys: Mutex<Keys>,
}

#[derive(Debug, Default)]
struct Keys {
    held: FxHashMap<Key, Missing>,
    /// Being made up for.
    taken: FxHashMap<Key, Missing>,
}

impl Missing {
    fn and(&mut self, other: Self) {
        self.purge |= other.purge;
        self.floor = self.floor.max(other.floor);
    }
}

impl Missed {
    /// Whether there is any; cheap enough for every call.
    pub fn any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    /// Whether there is any of `key`.
    pub fn concerns(&self, key: &Key) -> bool {
        let keys = self.keys.lock();
        keys.held.contains_key(key) || keys.taken.contains_key(key)
    }

    /// The remote layer was not told that what it has of `keys` from before `version` is out of date
    /// (version 0: whatever it has). Gives how many of them there was no room to remember.
    pub fn remember<'k>(&self, keys: impl IntoIterator<Item = &'k Key>, version: Version) -> usize {
        let mut locked = self.keys.lock();
        let mut forgotten = 0;
        for key in keys {
            if !locked.held.contains_key(key) && locked.held.len() >= KEYS_MAX {
                forgotten += 1;
                continue;
            }
            locked.held.entry(key.clone()).or_default().and(Missing {
                purge: version == Version(0),
                floor: version,
            });
        }
        self.any.store(true, Ordering::Release);
        forgotten
    }

    /// Takes up to `max` keys out: the invalidations to be made, in their order. One at a time may do
    /// so, until it has [`Missed::made_up`]; what another took and gave up on is taken again.
    pub fn take(&self, max: usize) -> BTreeMap<Version, Vec<Key>> {
        let mut locked = self.keys.lock();
        for (key, missing) in std::mem::take(&mut locked.taken) {
            locked.held.entry(key).or_default().and(missing);
        }
        let chosen: Vec<Key> = locked.held.keys().take(max).cloned().collect();
        let mut by_version: BTreeMap<Version, Vec<Key>> = BTreeMap::new();
        for key in chosen {
            let missing = locked.held.remove(&key).unwrap_or_default();
            locked.taken.insert(key.clone(), missing);
            // Version 0, so it comes first: the tombstone of the other stays.
            if missing.purge && missing.floor > Version(0) {
                by_version.entry(Version(0)).or_default().push(key.clone());
            }
            by_version.entry(missing.floor).or_default().push(key);
        }
        by_version
    }

    /// Nothing is remembered any more. Gives of how many keys something was.
    pub fn forget(&self) -> usize {
        let mut locked = self.keys.lock();
        let Keys { held, taken } = std::mem::take(&mut *locked);
        self.any.store(false, Ordering::Release);
        let again = taken.keys().filter(|key| held.contains_key(*key)).count();
        held.len() + taken.len() - again
    }

    /// What was taken is made up for; what of it is not has been remembered again.
    pub fn made_up(&self) {
        let mut locked = self.keys.lock();
        locked.taken.clear();
        self.any.store(!locked.held.is_empty(), Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_remembered_is_taken_once() {
        let missed = Missed::default();
        let keys: Vec<Key> = (0..5).map(|n| Key::new(format!("k:{n}"))).collect();
        assert!(!missed.any());
        assert_eq!(missed.remember(&keys, Version(7)), 0);
        assert_eq!(missed.take(3)[&Version(7)].len(), 3);
        missed.made_up();
        assert!(missed.any());
        assert_eq!(missed.take(3)[&Version(7)].len(), 2);
        assert!(missed.any(), "not made up for yet");
        missed.made_up();
        assert!(!missed.any());
    }

    #[test]
    fn what_is_taken_and_given_up_is_not_lost() {
        let missed = Missed::default();
        let keys = ["a", "b"].map(Key::new);
        missed.remember(&keys, Version(7));
        assert_eq!(missed.take(9)[&Version(7)].len(), 2);
        assert!(keys.iter().all(|key| missed.concerns(key)));
        // Meanwhile one is missed again.
        missed.remember(&keys[..1], Version(8));
        let again = missed.take(9);
        assert_eq!(again[&Version(7)], keys[1..]);
        assert_eq!(again[&Version(8)], keys[..1]);
        missed.made_up();
        assert!(!missed.any() && !missed.concerns(&keys[0]));
    }

    #[test]
    fn what_is_forgotten_is_counted_once() {
        let missed = Missed::default();
        let keys = ["a", "b", "c"].map(Key::new);
        missed.remember(&keys[..2], Version(7));
        missed.take(1);
        missed.remember(&keys, Version(8));
        assert_eq!(missed.forget(), 3);
        assert!(!missed.any() && !missed.concerns(&keys[0]));
        assert_eq!(missed.forget(), 0);
    }

    #[test]
    fn what_is_too_much_is_counted() {
        let missed = Missed::default();
        let keys: Vec<Key> = (0..KEYS_MAX + 3)
            .map(|n| Key::new(format!("k:{n}")))
            .collect();
        assert_eq!(missed.remember(&keys, Version(1)), 3);
    }

    proptest! {
        #[test]
        fn of_many_for_one_key_nothing_is_weakened(versions in prop::collection::vec(0u64..9, 1..9)) {
            let missed = Missed::default();
            let key = Key::new("k");
            for version in &versions {
                missed.remember([&key], Version(*version));
            }
            let highest = versions.iter().max().copied().unwrap_or_default();
            let mut wanted = vec![Version(highest)];
            if versions.contains(&0) && highest > 0 {
                wanted.insert(0, Version(0));
            }
            let taken = missed.take(9);
            prop_assert_eq!(taken.keys().copied().collect::<Vec<_>>(), wanted);
            prop_assert!(taken.values().all(|keys| *keys == [key.clone()]));
        }
    }
}
