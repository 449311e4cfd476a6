//! The last commits of every key, as the database told them.
//!
//! Bounded: the oldest commits of a key are forgotten, and keys past a limit are left out. Both
//! are remembered, so that the oracles that read this can say how much they know.
//!
//! Bounded in time, too: a key is forgotten when its last commit, and the last read of an older
//! version of it, are longer ago than any layer can hold an entry that nobody reads. What is read of
//! it then is its newest version, unless an entry was served that nobody had read for longer than
//! its life; that alone cannot be known any more.

use std::hash::BuildHasher;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use rustc_hash::{FxBuildHasher, FxHashMap};

use crate::clock::Timestamp;
use crate::engine::data_type::Key;
use crate::engine::layer::Version;

/// Commits that are kept of a key.
pub(super) const COMMITS_MAX: usize = 8;

/// Keys that are kept, over all shards: about 70 MB if each is committed a few times.
const KEYS_MAX: usize = 1 << 19;

/// Locks that the keys are spread over.
const SHARDS: usize = 64;

/// How often keys whose time is over are looked for.
const SWEEP_EVERY: Duration = Duration::from_mins(15);

/// The last commits of one key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct History {
    /// Sorted by version.
    commits: Vec<(Version, Timestamp)>,
    /// The newest version that was dropped from `commits`.
    forgotten: Option<Version>,
    /// Until when it may matter.
    until: Timestamp,
}

/// The first commit that made a version out of date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Replacement {
    pub(super) version: Version,
    pub(super) at: Timestamp,
    /// There may have been an earlier one, which is forgotten.
    pub(super) perhaps_earlier: bool,
}

/// Two commits of one key that contradict each other: versions must grow with time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Contradiction {
    pub(super) told: (Version, Timestamp),
    pub(super) known: (Version, Timestamp),
}

impl History {
    /// Adds a commit, in whatever order commits are told. `Err` if it cannot be true beside
    /// those that are known; it is added all the same, except for a version that is known.
    pub(super) fn commit(&mut self, version: Version, at: Timestamp) -> Result<(), Contradiction> {
        let told = (version, at);
        let place = self.commits.partition_point(|(known, _)| *known < version);
        let before = place.checked_sub(1).map(|place| self.commits[place]);
        let after = self.commits.get(place).copied();
        let contradicts = |known| Err(Contradiction { told, known });
        if let Some(known) = after.filter(|known| known.0 == version) {
            return if known == told {
                Ok(())
            } else {
                contradicts(known)
            };
        }
        if self.forgotten.is_some_and(|forgotten| version <= forgotten) {
            // It would be forgotten at once. Its time must still fit.
            return match after.filter(|known| known.1 < at) {
                Some(known) => contradicts(known),
                None => Ok(()),
            };
        }
        self.commits.insert(place, told);
        if self.commits.len() > COMMITS_MAX {
            self.forgotten = Some(self.commits.remove(0).0);
        }
        let wrong_before = before.filter(|known| known.1 > at);
        let wrong_after = after.filter(|known| known.1 < at);
        match wrong_before.or(wrong_after) {
            Some(known) => contradicts(known),
            None => Ok(()),
        }
    }

    /// What made `version` out of date; `None` if it is the newest.
    pub(super) fn replacement(&self, version: Version) -> Option<Replacement> {
        let place = self.commits.partition_point(|(known, _)| *known <= version);
        let (newer, at) = *self.commits.get(place)?;
        let perhaps_earlier =
            place == 0 && self.forgotten.is_some_and(|forgotten| version < forgotten);
        Some(Replacement {
            version: newer,
            at,
            perhaps_earlier,
        })
    }

    /// The newest version.
    pub(super) fn newest(&self) -> Option<Version> {
        self.commits.last().map(|(version, _)| *version)
    }
}

/// A part of the keys, with `T` beside it under the same lock.
#[derive(Debug, Default)]
pub(super) struct Shard<T> {
    keys: FxHashMap<Key, History>,
    /// Until when those keys may matter that were left out: an unknown key may be one of them.
    left_out_until: Timestamp,
    /// The time of the latest commit.
    now: Timestamp,
    sweep_at: Timestamp,
    pub(super) beside: T,
}

impl<T> Shard<T> {
    /// What is known of `key`: `Ok(None)` if it was not committed for long, `Err` if it may have
    /// been left out.
    pub(super) fn history(&self, key: &Key) -> Result<Option<&History>, LeftOut> {
        match self.keys.get(key) {
            None if self.left_out_until > self.now => Err(LeftOut),
            known => Ok(known),
        }
    }

    /// Keeps what is known of `key` until then: a version of it that is not its newest is still held
    /// somewhere.
    pub(super) fn keep(&mut self, key: &Key, until: Timestamp) {
        if let Some(history) = self.keys.get_mut(key) {
            history.until = history.until.max(until);
        }
    }

    /// The history of `key`, to be added to at `now`, and kept until then.
    fn history_mut(
        &mut self,
        key: &Key,
        keys_max: usize,
        (now, until): (Timestamp, Timestamp),
    ) -> Result<&mut History, LeftOut> {
        self.now = self.now.max(now);
        if self.now >= self.sweep_at {
            let now = self.now;
            self.keys.retain(|_, history| history.until > now);
            self.sweep_at = now + SWEEP_EVERY;
        }
        if self.keys.len() >= keys_max && !self.keys.contains_key(key) {
            self.left_out_until = self.left_out_until.max(until);
            return Err(LeftOut);
        }
        let history = self.keys.entry(key.clone()).or_default();
        history.until = history.until.max(until);
        Ok(history)
    }
}

/// There was no room to remember this key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LeftOut;

/// The last commits of all keys, with a `T` beside each part of them.
#[derive(Debug)]
pub(super) struct Histories<T> {
    shards: Box<[Mutex<Shard<T>>]>,
    keys_max_per_shard: usize,
}

impl<T: Default> Histories<T> {
    pub(super) fn new() -> Self {
        Self::with_keys_max(KEYS_MAX)
    }

    /// With room for about `keys_max` keys.
    pub(super) fn with_keys_max(keys_max: usize) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            keys_max_per_shard: keys_max.div_ceil(SHARDS),
        }
    }
}

impl<T> Histories<T> {
    /// The part that holds `key`.
    pub(super) fn shard(&self, key: &Key) -> MutexGuard<'_, Shard<T>> {
        // Bits from the middle: the map inside uses the lowest and the highest.
        let hash = FxBuildHasher.hash_one(key) >> 40;
        self.shards[hash as usize % SHARDS].lock()
    }

    /// Adds a commit of `key`, which matters for as long as `keep_for`.
    pub(super) fn commit(
        &self,
        key: &Key,
        (version, at): (Version, Timestamp),
        keep_for: Duration,
    ) -> Result<Result<(), Contradiction>, LeftOut> {
        let mut shard = self.shard(key);
        let times = (at, at + keep_for);
        let history = shard.history_mut(key, self.keys_max_per_shard, times)?;
        Ok(history.commit(version, at))
    }

    /// How many keys are held.
    #[cfg(test)]
    pub(super) fn keys_held(&self) -> usize {
        self.each().map(|shard| shard.keys.len()).sum()
    }

    /// Every part, one after another.
    pub(super) fn each(&self) -> impl Iterator<Item = MutexGuard<'_, Shard<T>>> {
        self.shards.iter().map(|shard| shard.lock())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEEP_FOR: Duration = Duration::from_hours(1);

    fn at(nanos: u64) -> Timestamp {
        Timestamp::from_unix_nanos(nanos)
    }

    #[test]
    fn old_commits_are_forgotten_and_that_is_known() {
        let mut history = History::default();
        for version in 1..=COMMITS_MAX as u64 + 2 {
            assert_eq!(history.commit(Version(version), at(version * 10)), Ok(()));
        }
        let replacement = |version| history.replacement(Version(version));
        let third = |perhaps_earlier| {
            Some(Replacement {
                version: Version(3),
                at: at(30),
                perhaps_earlier,
            })
        };
        assert_eq!(replacement(1), third(true), "version 2 is forgotten");
        assert_eq!(replacement(2), third(false));
        assert_eq!(replacement(10), None);
        assert_eq!(history.newest(), Some(Version(10)));
    }

    #[test]
    fn a_version_told_twice_is_known_and_with_another_time_a_contradiction() {
        let mut history = History::default();
        assert_eq!(history.commit(Version(1), at(10)), Ok(()));
        assert_eq!(history.commit(Version(1), at(10)), Ok(()));
        let wrong = history
            .commit(Version(1), at(11))
            .expect_err("another time");
        assert_eq!(wrong.known, (Version(1), at(10)));
        let wrong = history.commit(Version(2), at(9)).expect_err("back in time");
        assert_eq!(wrong.told, (Version(2), at(9)));
        assert!(
            history.commit(Version(0), at(99)).is_err(),
            "late but older"
        );
    }

    #[test]
    fn keys_past_the_limit_are_left_out_and_that_is_known() {
        let histories = Histories::<()>::with_keys_max(SHARDS);
        let keys: Vec<Key> = (0..1_000).map(|n| Key::new(format!("k:{n}"))).collect();
        let kept = keys
            .iter()
            .filter(|key| {
                let commit = (Version(1), at(1));
                histories.commit(key, commit, KEEP_FOR).is_ok()
            })
            .count();
        assert!((1..=SHARDS).contains(&kept), "{kept}");
        for key in &keys {
            let shard = histories.shard(key);
            assert_ne!(shard.history(key), Ok(None), "committed, so never unknown");
        }
    }

    #[test]
    fn keys_that_were_left_out_are_unknown_until_they_cannot_matter_any_more() {
        let histories = Histories::<()>::with_keys_max(0);
        let (left_out, other) = (Key::new("k:1"), Key::new("k:2"));
        let commit = |key, at| histories.commit(key, (Version(1), at), KEEP_FOR);
        assert_eq!(commit(&left_out, at(1)), Err(LeftOut));
        assert_eq!(histories.shard(&left_out).history(&left_out), Err(LeftOut));
        let mut shard = histories.shard(&left_out);
        shard.now = at(1) + KEEP_FOR;
        assert_eq!(shard.history(&left_out), Ok(None));
        drop(shard);
        assert_eq!(commit(&other, at(1)), Err(LeftOut));
    }

    #[test]
    fn a_key_is_forgotten_when_it_cannot_matter_any_more() {
        let histories = Histories::<()>::with_keys_max(SHARDS * 100);
        let (key, sweeper) = neighbours(&histories);
        let commit = |key: &Key, minutes: u64| {
            let at = at(1) + Duration::from_mins(minutes);
            histories.commit(key, (Version(minutes), at), KEEP_FOR)
        };
        let knows = |key: &Key| histories.shard(key).history(key) != Ok(None);
        assert_eq!(commit(&key, 0), Ok(Ok(())));
        assert_eq!(commit(&sweeper, 59), Ok(Ok(())));
        assert!(knows(&key), "an hour is not over");
        // Somebody read an older version of it.
        let until = at(1) + Duration::from_mins(100);
        histories.shard(&key).keep(&key, until);
        assert_eq!(commit(&sweeper, 99), Ok(Ok(())));
        assert!(knows(&key));
        assert_eq!(commit(&sweeper, 115), Ok(Ok(())));
        assert!(!knows(&key) && knows(&sweeper));
        assert_eq!(histories.keys_held(), 1);
    }

    /// Two keys of one shard.
    fn neighbours(histories: &Histories<()>) -> (Key, Key) {
        let place = |key: &Key| std::ptr::from_ref(&*histories.shard(key)) as usize;
        let mut keys = (0..).map(|n| Key::new(format!("k:{n}")));
        let first = Key::new("first");
        let wanted = place(&first);
        let second = keys.find(|key| place(key) == wanted).expect("one of many");
        (first, second)
    }

    proptest! {
        #[test]
        fn the_order_of_telling_does_not_matter(
            mut versions in prop::collection::btree_set(0u64..1_000, 0..COMMITS_MAX)
                .prop_map(|set| set.into_iter().collect::<Vec<_>>())
                .prop_shuffle(),
        ) {
            let tell = |versions: &[u64]| {
                let mut history = History::default();
                for version in versions {
                    let told = history.commit(Version(*version), at(version * 7));
                    assert_eq!(told, Ok(()));
                }
                history
            };
            let shuffled = tell(&versions);
            versions.sort_unstable();
            prop_assert_eq!(shuffled, tell(&versions));
        }
    }
}
