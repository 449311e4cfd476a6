//! Nothing that write-behind accepted is missing in the database (FACTS, invariant 7).
//!
//! The oracle is told of every accepted write and of every commit, in whatever order these tidings
//! come. A write has arrived when its row has its version or a newer one. What is in the dead letters
//! has not arrived, but it is not lost either: it is told apart.
//!
//! A key whose writes have all arrived is forgotten after a quarter of an hour, so that what is held is
//! what waits, and what arrived lately. Time is that of the commits.

use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rustc_hash::{FxBuildHasher, FxHashMap};

use super::Finding;
use crate::clock::Timestamp;
use crate::engine::data_type::{self, DataTypeId, Key, PolicyTable};
use crate::engine::event::{Event, Observer};
use crate::engine::layer::Version;
use crate::environment::CommitListener;
use crate::units::thousands;

const SHARDS: usize = 64;
/// How many keys are watched: about 300 MB. What comes after is counted as unchecked.
const KEYS_MAX: usize = 2_000_000;

/// How long a key whose writes have arrived is remembered: longer than a writer waits for the answer
/// that its write is accepted, which may come after the commit.
const REMEMBER_FOR: Duration = Duration::from_mins(15);
/// How often those are looked for that can be forgotten.
const SWEEP_EVERY: Duration = Duration::from_mins(5);

/// What is known of one key.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    /// The newest version accepted.
    accepted: Version,
    /// The newest version committed.
    committed: Version,
    /// The newest version buried.
    buried: Version,
    /// When something of it was told last.
    told_at: Timestamp,
}

impl Known {
    fn arrived(&self) -> bool {
        self.committed.max(self.buried) >= self.accepted
    }
}

#[derive(Debug, Default)]
struct Shard {
    keys: FxHashMap<Key, Known>,
    sweep_at: Timestamp,
    /// When a key was last left out for want of room: its commit may have been.
    left_out_at: Option<Timestamp>,
    accepted: u64,
    unchecked: u64,
    buried: u64,
    worst_burial: Option<String>,
}

/// Watches what was accepted until it has arrived.
#[derive(Debug)]
pub struct WriteBehindOracle {
    policies: Arc<PolicyTable>,
    shards: Box<[Mutex<Shard>]>,
    keys_max_per_shard: usize,
    /// The time of the latest commit, in nanoseconds since the Unix epoch.
    now: AtomicU64,
}

impl WriteBehindOracle {
    /// An oracle for those data types of `policies` that are written behind.
    pub fn new(policies: Arc<PolicyTable>) -> Self {
        Self::with_keys_max(policies, KEYS_MAX)
    }

    fn with_keys_max(policies: Arc<PolicyTable>, keys_max: usize) -> Self {
        Self {
            policies,
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            keys_max_per_shard: keys_max.div_ceil(SHARDS),
            now: AtomicU64::new(0),
        }
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_unix_nanos(self.now.load(Ordering::Relaxed))
    }

    fn shard(&self, key: &Key) -> &Mutex<Shard> {
        // Bits from the middle: the map inside uses the lowest and the highest.
        let hash = FxBuildHasher.hash_one(key) >> 40;
        &self.shards[hash as usize % SHARDS]
    }

    /// Whoever wrote `version` of `key` was told that it is accepted.
    pub fn accepted(&self, key: &Key, version: Version) {
        let mut shard = self.shard(key).lock();
        shard.accepted += 1;
        if let Some(known) = self.known(&mut shard, key) {
            known.accepted = known.accepted.max(version);
        } else {
            shard.unchecked += 1;
        }
    }

    /// The database has `version` of `key`.
    pub fn committed(&self, key: &Key, version: Version) {
        let mut shard = self.shard(key).lock();
        if let Some(known) = self.known(&mut shard, key) {
            known.committed = known.committed.max(version);
        }
    }

    /// `version` of `key` is in the dead letters; neither is known of what cannot be read.
    pub fn buried(&self, key: Option<&Key>, version: Option<Version>, reason: &str) {
        let mut shard = key.map_or(&self.shards[0], |key| self.shard(key)).lock();
        shard.buried += 1;
        if shard.worst_burial.is_none() {
            let what = key.map_or("a write", Key::as_str);
            shard.worst_burial = Some(format!("{what}: {reason}"));
        }
        if let (Some(key), Some(version)) = (key, version)
            && let Some(known) = self.known(&mut shard, key)
        {
            known.buried = known.buried.max(version);
        }
    }

    fn known<'s>(&self, shard: &'s mut Shard, key: &Key) -> Option<&'s mut Known> {
        let now = self.now();
        if now >= shard.sweep_at {
            let lately = |known: &Known| known.told_at + REMEMBER_FOR > now;
            shard
                .keys
                .retain(|_, known| !known.arrived() || lately(known));
            shard.sweep_at = now + SWEEP_EVERY;
        }
        if !shard.keys.contains_key(key) {
            // Of a key that is new now, the commit may have been left out.
            let lately = |at: Timestamp| at + REMEMBER_FOR > now;
            let full = shard.keys.len() >= self.keys_max_per_shard;
            if full {
                shard.left_out_at = Some(now);
            }
            if full || shard.left_out_at.is_some_and(lately) {
                return None;
            }
        }
        let known = shard.keys.entry(key.clone()).or_default();
        known.told_at = now;
        Some(known)
    }

    /// How many keys are held.
    #[cfg(test)]
    fn keys_held(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| shard.lock().keys.len())
            .sum()
    }

    /// What was found. `queued` is how many writes still wait in the queue, if anybody knows: they
    /// are late, not lost.
    pub fn finding(&self, queued: Option<u64>) -> Finding {
        let (mut checked, mut unchecked, mut buried) = (0, 0, 0);
        let mut missing: Vec<(Key, Version)> = Vec::new();
        let mut burial = None;
        for shard in &self.shards {
            let shard = shard.lock();
            checked += shard.accepted - shard.unchecked;
            unchecked += shard.unchecked;
            buried += shard.buried;
            burial = burial.or_else(|| shard.worst_burial.clone());
            let late = shard.keys.iter().filter(|(_, known)| !known.arrived());
            missing.extend(late.map(|(key, known)| (key.clone(), known.accepted)));
        }
        let mut told = Vec::new();
        if let Some((key, version)) = missing.iter().min() {
            told.push(format!(
                "{} of {} accepted writes are not in the database{}, such as {key} in version \
                 {version}",
                thousands(missing.len() as u64),
                thousands(checked),
                waiting(queued),
            ));
        }
        if buried > 0 {
            let burial = burial.unwrap_or_default();
            let buried = thousands(buried);
            told.push(format!(
                "{buried} are in the dead letters, such as {burial}"
            ));
        }
        if unchecked > 0 && !told.is_empty() {
            told.push(format!("{} could not be checked", thousands(unchecked)));
        }
        Finding {
            checked,
            violations: missing.len() as u64 + buried,
            worst: told.join("; "),
        }
    }
}

fn waiting(queued: Option<u64>) -> String {
    match queued {
        Some(0) | None => String::new(),
        Some(queued) => format!(" ({} still wait in the queue)", thousands(queued)),
    }
}

impl CommitListener for WriteBehindOracle {
    fn committed(&self, data_type: DataTypeId, key: &Key, version: Version, at: Timestamp) {
        self.now.fetch_max(at.as_unix_nanos(), Ordering::Relaxed);
        if self.policies.get(data_type).strategy == data_type::Strategy::WriteBehind {
            self.committed(key, version);
        }
    }
}

impl Observer for WriteBehindOracle {
    fn observe(&self, event: &Event<'_>) {
        match *event {
            Event::WriteAccepted { key, version, .. } => self.accepted(key, version),
            Event::WriteBehindBuried {
                key,
                version,
                reason,
            } => self.buried(key, version, reason),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::data_type::DataType;
    use proptest::prelude::*;
    use std::time::Duration;

    fn oracle(keys_max: usize) -> WriteBehindOracle {
        let row = |name: &str, strategy| {
            let key = format!("{name}:{{n}}").parse().expect("a key pattern");
            DataType::new(name, key, strategy, Duration::from_secs(1))
        };
        let rows = vec![
            row("activity", data_type::Strategy::WriteBehind),
            row("stock", data_type::Strategy::WriteThrough),
        ];
        WriteBehindOracle::with_keys_max(Arc::new(PolicyTable::new(rows)), keys_max)
    }

    fn key(n: u64) -> Key {
        Key::new(format!("activity:{n}"))
    }

    #[test]
    fn what_has_arrived_is_fine_and_what_has_not_is_told() {
        let oracle = oracle(1_000);
        for n in 0..10 {
            oracle.accepted(&key(n), Version(5));
        }
        for n in 0..7 {
            CommitListener::committed(
                &oracle,
                DataTypeId(0),
                &key(n),
                Version(5 + n % 2),
                Timestamp::EPOCH,
            );
        }
        oracle.buried(Some(&key(7)), Some(Version(5)), "the database has no table");
        oracle.committed(&key(8), Version(4));
        let found = oracle.finding(Some(1));
        assert_eq!((found.checked, found.violations), (10, 3));
        insta::assert_snapshot!(found.worst, @"2 of 10 accepted writes are not in the database (1 still wait in the queue), such as activity:8 in version 5; 1 are in the dead letters, such as activity:7: the database has no table");
    }

    #[test]
    fn commits_of_other_data_types_take_no_room() {
        let oracle = oracle(SHARDS);
        for n in 0..10_000 {
            let (at, stock) = (Timestamp::EPOCH, Key::new(format!("stock:{n}")));
            CommitListener::committed(&oracle, DataTypeId(1), &stock, Version(1), at);
        }
        oracle.accepted(&key(1), Version(1));
        assert_eq!(oracle.finding(None).checked, 1);
    }

    #[test]
    fn keys_past_the_limit_are_unchecked_and_never_called_lost() {
        let oracle = oracle(SHARDS);
        for n in 0..1_000 {
            oracle.accepted(&key(n), Version(1));
            oracle.committed(&key(n), Version(1));
        }
        let found = oracle.finding(None);
        assert!((1..=SHARDS as u64).contains(&found.checked), "{found:?}");
        assert_eq!((found.violations, &*found.worst), (0, ""));
    }

    #[test]
    fn what_is_held_does_not_grow_with_the_days_and_what_is_missing_stays() {
        const HOUR: u64 = 3_600;
        let oracle = oracle(KEYS_MAX);
        let lost = Key::new("activity:lost");
        oracle.accepted(&lost, Version(1));
        let mut held = Vec::new();
        for second in 0..72 * HOUR {
            let (at, version) = (
                Timestamp::from_unix_nanos(second * 1_000_000_000),
                Version(1),
            );
            // Every other acceptance is told after the commit.
            if second % 2 == 0 {
                oracle.accepted(&key(second), version);
            }
            CommitListener::committed(&oracle, DataTypeId(0), &key(second), version, at);
            if second % 2 == 1 {
                oracle.accepted(&key(second - 600.min(second - 1)), version);
            }
            if second % (24 * HOUR) == 24 * HOUR - 1 {
                held.push(oracle.keys_held());
            }
        }
        assert!(held.iter().all(|held| *held < 1_400), "{held:?}");
        let found = oracle.finding(None);
        assert_eq!((found.checked, found.violations), (72 * HOUR + 1, 1));
        assert!(
            found.worst.contains("such as activity:lost"),
            "{}",
            found.worst
        );
    }

    #[test]
    fn what_was_left_out_when_there_was_no_room_is_not_missed_when_there_is() {
        let oracle = oracle(0);
        let at = Timestamp::from_unix_nanos(60_000_000_000);
        CommitListener::committed(&oracle, DataTypeId(0), &key(1), Version(1), at);
        let oracle = WriteBehindOracle {
            keys_max_per_shard: 10,
            ..oracle
        };
        oracle.accepted(&key(1), Version(1));
        let found = oracle.finding(None);
        assert_eq!((found.checked, found.violations), (0, 0));
    }

    proptest! {
        #[test]
        fn the_order_of_tidings_does_not_matter(
            tidings in prop::collection::vec((0u64..4, 1u64..6, any::<bool>()), 0..40)
                .prop_flat_map(|tidings| (Just(tidings.clone()), Just(tidings).prop_shuffle())),
        ) {
            let tell = |tidings: &[(u64, u64, bool)]| {
                let oracle = oracle(1_000);
                for (n, version, accepted) in tidings {
                    if *accepted {
                        oracle.accepted(&key(*n), Version(*version));
                    } else {
                        oracle.committed(&key(*n), Version(*version));
                    }
                }
                oracle.finding(None)
            };
            prop_assert_eq!(tell(&tidings.0), tell(&tidings.1));
        }
    }
}
