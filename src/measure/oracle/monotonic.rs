//! Versions grow, and nobody reads one that was never committed (FACTS, invariants 3 and 4, as
//! far as they can be seen from outside of a session).
//!
//! Two rules, for every key: of two commits the later one has the higher version; and a read
//! never gives a version above the newest commit. The rules are applied by the staleness oracle,
//! which holds the commits and is told of the reads; here is what they mean and what they found.
//!
//! Of what the histories have forgotten nothing is said: a key is compared with its commits of the
//! last hours.
//!
//! Commits may be told in any order: what counts is their time. Data types whose writes wait in a
//! queue (write-behind) are exempt from the second rule: readers see those before the database.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::Finding;
use super::history::Contradiction;
use crate::engine::data_type::Key;
use crate::engine::layer::Version;
use crate::units::short;

/// Counts breaches of both rules.
#[derive(Debug, Default)]
pub(super) struct Monotonic {
    commits: AtomicU64,
    violations: AtomicU64,
    /// The first one: later ones are often its consequences.
    first: Mutex<Option<String>>,
}

impl Monotonic {
    /// A commit of `key` was told, and this came of it.
    pub(super) fn committed(&self, key: &Key, told: Result<(), Contradiction>) {
        self.commits.fetch_add(1, Ordering::Relaxed);
        if let Err(wrong) = told {
            self.violation(|| describe(key, wrong));
        }
    }

    /// `version` of `key` was read though the newest known commit is `newest`.
    pub(super) fn read_from_nowhere(&self, key: &Key, version: Version, newest: Version) {
        self.violation(|| {
            format!("{key} was read at version {version}, but its newest commit is {newest}")
        });
    }

    fn violation(&self, describe: impl FnOnce() -> String) {
        self.violations.fetch_add(1, Ordering::Relaxed);
        self.first.lock().get_or_insert_with(describe);
    }

    /// What was found, when `reads` were looked at besides the commits.
    pub(super) fn finding(&self, reads: u64) -> Finding {
        Finding {
            checked: self.commits.load(Ordering::Relaxed) + reads,
            violations: self.violations.load(Ordering::Relaxed),
            worst: self.first.lock().clone().unwrap_or_default(),
        }
    }
}

fn describe(key: &Key, Contradiction { told, known }: Contradiction) -> String {
    if told.0 == known.0 {
        return format!("version {} of {key} was committed twice", told.0);
    }
    let (older, newer) = if told.0 < known.0 {
        (told, known)
    } else {
        (known, told)
    };
    format!(
        "version {} of {key} was committed {} before version {}",
        newer.0,
        short(older.1.since(newer.1)),
        older.0
    )
}

#[cfg(test)]
mod tests {
    use super::super::history::History;
    use super::*;
    use crate::clock::Timestamp;

    fn told(commits: &[(u64, u64)]) -> Finding {
        let (monotonic, mut history) = (Monotonic::default(), History::default());
        let key = Key::new("product:7");
        for (version, ms) in commits {
            let at = Timestamp::from_unix_nanos(ms * 1_000_000);
            monotonic.committed(&key, history.commit(Version(*version), at));
        }
        monotonic.finding(0)
    }

    #[test]
    fn growing_versions_are_right_in_whatever_order_they_are_told() {
        let right = told(&[(1, 10), (3, 30), (2, 20), (3, 30)]);
        assert_eq!((right.checked, right.violations), (4, 0));
        assert_eq!(right.worst, "");
    }

    #[test]
    fn a_version_that_goes_back_is_found() {
        let wrong = told(&[(1, 10), (3, 30), (2, 42)]);
        assert_eq!((wrong.checked, wrong.violations), (3, 1));
        insta::assert_snapshot!(wrong.worst, @"version 3 of product:7 was committed 12 ms before version 2");
        let twice = told(&[(1, 10), (1, 11), (0, 50)]);
        assert_eq!(twice.violations, 2);
        insta::assert_snapshot!(twice.worst, @"version 1 of product:7 was committed twice");
    }
}
