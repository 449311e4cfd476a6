//! Tests of the staleness oracle, against a model that remembers everything.

use super::super::history::COMMITS_MAX;
use super::*;
use crate::measure::recorder::tests::{policies, schedule};
use proptest::prelude::*;
use proptest::strategy::Strategy;

const A: DataTypeId = DataTypeId(0);
const QUEUED: DataTypeId = DataTypeId(2);
const PHASE: PhaseId = PhaseId(1);

fn at_ms(ms: u64) -> Timestamp {
    Timestamp::from_unix_nanos(ms * 1_000_000)
}

fn all(oracle: &StalenessOracle) -> (Staleness, Finding) {
    let schedule = schedule(Timestamp::EPOCH);
    (
        oracle.staleness_ms(None, Phases::Measured, &schedule),
        oracle.finding(Phases::Measured, &schedule),
    )
}

#[test]
fn a_read_is_stale_by_the_time_since_the_first_newer_commit() {
    let oracle = StalenessOracle::new(policies());
    let key = Key::new("a:17");
    for (version, ms) in [(1, 1_000), (2, 2_000), (3, 9_000)] {
        oracle.committed(A, &key, Version(version), at_ms(ms));
    }
    let read = |version, ms| oracle.read(A, &key, Version(version), at_ms(ms), PHASE);
    read(1, 2_000); // at the moment of the commit, not after it
    read(1, 2_250);
    read(2, 9_100);
    read(3, 99_000);
    let (staleness, finding) = all(&oracle);
    assert_eq!((staleness.checked, staleness.stale), (4, 2));
    assert!((staleness.max - 250.0).abs() <= 0.25, "{}", staleness.max);
    assert!((staleness.p50 - 100.0).abs() <= 0.1, "{}", staleness.p50);
    assert_eq!((finding.checked, finding.violations), (4, 0));
    insta::assert_snapshot!(finding.worst, @"a:17 was read at version 1, 250 ms after version 2 was committed (version 3 is the newest), within the 1.2 min that its TTLs allow");
    assert_eq!(oracle.monotonic().violations, 0);
}

#[test]
fn a_read_beyond_its_ttls_is_a_violation_and_the_worst() {
    let oracle = StalenessOracle::new(policies());
    let key = Key::new("a:17");
    oracle.committed(A, &key, Version(5), at_ms(1_000));
    oracle.read(A, &key, Version(4), at_ms(71_000), PHASE); // 60 s + 10 s: just allowed
    assert_eq!(all(&oracle).1.violations, 0);
    oracle.read(A, &key, Version(4), at_ms(71_001), PHASE);
    let (_, finding) = all(&oracle);
    assert_eq!((finding.checked, finding.violations), (2, 1));
    insta::assert_snapshot!(finding.worst, @"a:17 was read at version 4, 1.2 min after version 5 was committed (version 5 is the newest), beyond the 1.2 min that its TTLs allow");
}

#[test]
fn reads_are_counted_by_data_type_and_phase() {
    let oracle = StalenessOracle::new(policies());
    let schedule = schedule(Timestamp::EPOCH);
    let key = Key::new("a:1");
    oracle.committed(A, &key, Version(2), at_ms(1));
    oracle.read(A, &key, Version(1), at_ms(2), PhaseId(0));
    oracle.read(QUEUED, &Key::new("c:1"), Version(1), at_ms(2), PHASE);
    let stale = |data_type, phases| {
        let staleness = oracle.staleness_ms(data_type, phases, &schedule);
        (staleness.checked, staleness.stale)
    };
    assert_eq!(stale(None, Phases::All), (2, 1));
    assert_eq!(stale(Some(A), Phases::All), (1, 1));
    assert_eq!(stale(Some(A), Phases::Measured), (0, 0));
    assert_eq!(stale(None, Phases::Measured), (1, 0));
}

#[test]
fn a_version_above_the_newest_commit_comes_from_nowhere() {
    let oracle = StalenessOracle::new(policies());
    let (key, queued) = (Key::new("a:1"), Key::new("c:1"));
    oracle.committed(A, &key, Version(7), at_ms(1));
    oracle.committed(QUEUED, &queued, Version(7), at_ms(1));
    oracle.read(A, &key, Version(7), at_ms(2), PHASE);
    oracle.read(QUEUED, &queued, Version(8), at_ms(2), PHASE);
    oracle.read(A, &Key::new("a:2"), Version(8), at_ms(2), PHASE);
    assert_eq!(oracle.monotonic().violations, 0);
    oracle.read(A, &key, Version(8), at_ms(2), PHASE);
    let found = oracle.monotonic();
    assert_eq!((found.checked, found.violations), (5, 1));
    insta::assert_snapshot!(found.worst, @"a:1 was read at version 8, but its newest commit is 7");
}

#[test]
fn what_is_not_remembered_is_told() {
    let oracle = StalenessOracle::with_keys_max(policies(), 0);
    let key = Key::new("a:1");
    oracle.committed(A, &key, Version(2), at_ms(1));
    oracle.read(A, &key, Version(1), at_ms(2), PHASE);
    let (staleness, finding) = all(&oracle);
    assert_eq!((staleness.checked, finding.checked), (0, 0));
    insta::assert_snapshot!(finding.worst, @"reads not checked because not all commits could be remembered: 1");

    let oracle = StalenessOracle::new(policies());
    for version in 2..=20 {
        oracle.committed(A, &key, Version(version), at_ms(version));
    }
    oracle.read(A, &key, Version(1), at_ms(100), PHASE);
    insta::assert_snapshot!(all(&oracle).1.worst, @"a:1 was read at version 1, 87 ms after version 13 was committed (version 20 is the newest), within the 1.2 min that its TTLs allow; stale reads counted too low because older commits were forgotten: 1");
}

const HOUR_S: u64 = 3_600;

/// Days of writes to ever new keys, and a few that are written again and again: what is held is what
/// can still be read old.
#[test]
fn what_is_remembered_does_not_grow_with_the_days() {
    let oracle = StalenessOracle::new(policies());
    let at = |second: u64| at_ms(second * 1_000);
    let mut held = Vec::new();
    for second in 0..72 * HOUR_S {
        let key = Key::new(format!("a:{second}"));
        oracle.committed(A, &key, Version(second + 1), at(second));
        if second % 10 == 0 {
            let hot = Key::new(format!("a:hot:{}", second % 7));
            oracle.committed(A, &hot, Version(second + 1), at(second));
            oracle.read(A, &hot, Version(second + 1), at(second + 1), PHASE);
        }
        if second % (24 * HOUR_S) == 24 * HOUR_S - 1 {
            held.push(oracle.histories.keys_held());
        }
    }
    // TTLs of 70 s, the hour, and the time between two sweeps.
    let most = (HOUR_S + 70 + HOUR_S / 4 + 60) as usize;
    assert!(held.iter().all(|held| *held <= most), "{held:?}");
    assert_eq!(oracle.monotonic().violations, 0);
    assert_eq!(all(&oracle).0.stale, 0);
}

/// An old version that is read now and then is found out to be one, however long it lives; and a
/// key of which only its newest version is read is forgotten, which changes no answer.
#[test]
fn an_old_version_that_is_read_is_never_forgotten() {
    let oracle = StalenessOracle::new(policies());
    let at = |second: u64| at_ms(second * 1_000);
    let (slides, current) = (Key::new("a:slides"), Key::new("a:current"));
    for key in [&slides, &current] {
        oracle.committed(A, key, Version(7), at(0));
    }
    for second in (0..72 * HOUR_S).step_by(10) {
        let key = Key::new(format!("a:{second}"));
        oracle.committed(A, &key, Version(second + 8), at(second));
        if second % HOUR_S == 0 {
            oracle.read(A, &slides, Version(6), at(second + 1), PHASE);
            oracle.read(A, &current, Version(7), at(second + 1), PHASE);
        }
    }
    let (staleness, finding) = all(&oracle);
    assert_eq!((staleness.checked, staleness.stale), (144, 72));
    assert_eq!(
        finding.violations, 71,
        "all but the first are beyond the TTLs"
    );
    assert!(
        oracle
            .histories
            .shard(&slides)
            .history(&slides)
            .is_ok_and(|known| known.is_some())
    );
    assert_eq!(oracle.histories.shard(&current).history(&current), Ok(None));
}

/// One thing that happens, a millisecond after the last.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// The key gets its next version.
    Commit(usize),
    /// A read of the key, so many versions back, that was sent so many steps ago.
    Read(usize, u64, u64),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..3usize).prop_map(Step::Commit),
        (0..3usize, 0..14u64, 0..20u64).prop_map(|(key, back, ago)| Step::Read(key, back, ago)),
    ]
}

/// What a model that remembers every commit expects of the oracle.
#[derive(Debug, Default, PartialEq)]
struct Expected {
    checked: u64,
    unchecked: u64,
    lower_bounds: u64,
    stale_ms: Vec<u64>,
}

impl Expected {
    /// `commits` holds the time of each version of a key, from version 1 on.
    fn read(&mut self, commits: &[u64], version: u64, sent: u64) {
        let next = version as usize; // the place of version + 1
        let remembered_from = commits.len().saturating_sub(COMMITS_MAX);
        let known = next.max(remembered_from);
        let exact = known == next;
        match commits.get(known) {
            Some(newer) if *newer < sent => {
                self.checked += 1;
                self.lower_bounds += u64::from(!exact);
                self.stale_ms.push(sent - newer);
            }
            Some(_) if !exact => self.unchecked += 1,
            _ => self.checked += 1,
        }
    }
}

proptest! {
    #[test]
    fn the_oracle_agrees_with_a_model_that_remembers_everything(
        steps in prop::collection::vec(any_step(), 0..200),
    ) {
        let oracle = StalenessOracle::new(policies());
        let keys: Vec<Key> = (0..3).map(|n| Key::new(format!("a:{n}"))).collect();
        let mut commits: [Vec<u64>; 3] = Default::default();
        let mut expected = Expected::default();
        for (now, step) in (100..).zip(steps) {
            match step {
                Step::Commit(key) => {
                    commits[key].push(now);
                    let version = Version(commits[key].len() as u64);
                    oracle.committed(A, &keys[key], version, at_ms(now));
                }
                Step::Read(key, back, ago) => {
                    let version = (commits[key].len() as u64).saturating_sub(back);
                    oracle.read(A, &keys[key], Version(version), at_ms(now - ago), PHASE);
                    expected.read(&commits[key], version, now - ago);
                }
            }
        }
        let looked = oracle.looked(|_| true);
        let stale = oracle.stale.lock();
        let stale = stale.get(&(PHASE, A));
        prop_assert_eq!(looked.checked, expected.checked);
        prop_assert_eq!(looked.unchecked, expected.unchecked);
        prop_assert_eq!(stale.map_or(0, |stale| stale.lower_bounds), expected.lower_bounds);
        prop_assert_eq!(stale.map_or(0, |stale| stale.by.count()), expected.stale_ms.len() as u64);
        let mut by = Histogram::new();
        for ms in &expected.stale_ms {
            by.record(Duration::from_millis(*ms));
        }
        let found = stale.map_or_else(Histogram::new, |stale| stale.by.clone());
        prop_assert_eq!(found.summary_us(), by.summary_us());
    }
}
