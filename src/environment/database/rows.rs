//! The rows that were written, sharded so that readers of different keys do not meet.
//!
//! Used by the database alone. A row and the time of its commit become visible together.
//!
//! A row takes some 60 to 130 bytes, whatever its value's size: its key stands there as a fingerprint
//! of 128 bits, and a value that a user of the workload made as what it was made from. Rows whose keys
//! come once and never again ([`Rows::forget`]) are forgotten after [`REMEMBER_FOR`]: then it cannot be
//! known any more that they exist, and one that is written again in the same version is committed
//! again.

use std::hash::BuildHasher as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::RwLock;
use rustc_hash::{FxBuildHasher, FxHashMap};

use crate::clock::Timestamp;
use crate::engine::data_type::Key;
use crate::engine::layer::{Row, Version};
use crate::seed::{fnv1a, mix};
use crate::workload::value::Made;

const SHARDS: usize = 16;
/// How long a row is remembered whose key comes once: longer than a queue delivers a write again.
const REMEMBER_FOR: Duration = Duration::from_hours(6);
/// How often rows whose time is over are looked for.
const SWEEP_EVERY: Duration = Duration::from_mins(30);

#[derive(Default)]
pub(super) struct Rows {
    shards: [RwLock<Shard>; SHARDS],
    /// Whether rows are forgotten.
    forgets: AtomicBool,
}

#[derive(Default)]
struct Shard {
    rows: FxHashMap<Fingerprint, Held>,
    sweep_at: Timestamp,
}

/// A key by two independent hashes of it. Among a billion keys the odds that two have the same are one
/// to 10^20.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Fingerprint(u64, u64);

impl Fingerprint {
    fn of(key: &Key) -> Self {
        let bytes = key.as_str().as_bytes();
        Self(FxBuildHasher.hash_one(bytes), mix(fnv1a(bytes)))
    }
}

struct Held {
    version: Version,
    committed_at: Timestamp,
    value: Value,
}

/// A value, in as few bytes as it takes to have it again.
enum Value {
    Made(Made),
    /// Boxed, or it would be what makes every row large.
    Whole(Box<Bytes>),
}

impl Value {
    fn of(value: Bytes) -> Self {
        match Made::of(&value) {
            Some(made) => Self::Made(made),
            None => Self::Whole(Box::new(value)),
        }
    }

    fn bytes(&self) -> Bytes {
        match self {
            Self::Made(made) => made.value(),
            Self::Whole(bytes) => Bytes::clone(bytes),
        }
    }
}

impl Rows {
    /// From now on rows are forgotten after a time: nobody asks for one of these keys twice.
    pub(super) fn forget(&self) {
        self.forgets.store(true, Ordering::Relaxed);
    }

    pub(super) fn get(&self, key: &Key) -> Option<Row> {
        let fingerprint = Fingerprint::of(key);
        let shard = self.shard(fingerprint).read();
        shard.rows.get(&fingerprint).map(|held| Row {
            value: Some(held.value.bytes()),
            version: held.version,
            committed_at: held.committed_at,
            as_of: held.version,
        })
    }

    pub(super) fn version(&self, key: &Key) -> Option<Version> {
        let fingerprint = Fingerprint::of(key);
        let shard = self.shard(fingerprint).read();
        shard.rows.get(&fingerprint).map(|held| held.version)
    }

    /// Writes a row. `announce` gives the time of the commit and is called while nobody can read
    /// the row, so that no reader sees the old row after that time, or the new one before.
    pub(super) fn commit(
        &self,
        key: &Key,
        version: Version,
        value: Bytes,
        announce: impl FnOnce(Version) -> Timestamp,
    ) -> Row {
        let fingerprint = Fingerprint::of(key);
        let held = Value::of(value.clone());
        let mut shard = self.shard(fingerprint).write();
        let committed_at = announce(version);
        if self.forgets.load(Ordering::Relaxed) {
            shard.sweep(committed_at);
        }
        let held = Held {
            version,
            committed_at,
            value: held,
        };
        shard.rows.insert(fingerprint, held);
        Row {
            value: Some(value),
            version,
            committed_at,
            as_of: version,
        }
    }

    fn shard(&self, Fingerprint(fx, _): Fingerprint) -> &RwLock<Shard> {
        // The map itself uses the top bits and the lowest ones: take others.
        &self.shards[(fx >> 32) as usize % SHARDS]
    }

    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| shard.read().rows.len())
            .sum()
    }
}

impl Shard {
    fn sweep(&mut self, now: Timestamp) {
        if now >= self.sweep_at {
            self.rows
                .retain(|_, held| held.committed_at + REMEMBER_FOR > now);
            self.sweep_at = now + SWEEP_EVERY;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::ByteSize;
    use crate::workload::value::value;

    fn at(second: u64) -> Timestamp {
        Timestamp::from_unix_nanos(second * 1_000_000_000)
    }

    #[test]
    fn a_value_is_the_same_again_whether_it_was_made_or_not() {
        let rows = Rows::default();
        let values = [
            value(ByteSize(2_048), 17, 3),
            value(ByteSize(5), 17, 3),
            Bytes::from_static(b"{\"user\":017,\"sequence\":3,\"data\":\"\"}"),
            Bytes::new(),
        ];
        for (number, value) in (1..).zip(&values) {
            let key = Key::new(format!("k:{number}"));
            let version = Version(number);
            let written = rows.commit(&key, version, value.clone(), |_| at(number));
            assert_eq!(rows.get(&key), Some(written));
            assert_eq!(rows.version(&key), Some(version));
        }
        assert_eq!(rows.get(&Key::new("k:9")), None);
        let size = size_of::<(Fingerprint, Held)>();
        assert!(size <= 56, "{size} bytes for a row");
    }

    #[test]
    fn rows_whose_keys_come_once_do_not_grow_with_the_days_and_others_stay() {
        const DAY_S: u64 = 86_400;
        let (once, stay) = (Rows::default(), Rows::default());
        once.forget();
        let mut held = Vec::new();
        for second in (0..3 * DAY_S).step_by(6) {
            let made = value(ByteSize(512), 1, second);
            let key = Key::new(format!("activity:{second}"));
            once.commit(&key, Version(second), made.clone(), |_| at(second));
            let key = Key::new(format!("product:{}", second % 1_000));
            stay.commit(&key, Version(second), made, |_| at(second));
            if second % DAY_S == DAY_S - 6 {
                held.push((once.held(), stay.held()));
            }
        }
        let most = (6 * 3_600 + 1_800 + 600) / 6;
        assert!(
            held.iter().all(|(once, stay)| *once < most && *stay == 500),
            "{held:?}"
        );
        assert!(once.get(&Key::new("activity:240000")).is_some());
        assert!(once.get(&Key::new("activity:0")).is_none());
    }
}
