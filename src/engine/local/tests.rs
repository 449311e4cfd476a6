//! The local layer under all of its policies: deadlines, bounds, order, and the same keys given up
//! every time.

mod reference;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::engine::layer::{Generation, Row, Version};

const POLICIES: [LocalPolicy; 4] = [
    LocalPolicy::Lru,
    LocalPolicy::Fifo,
    LocalPolicy::Sieve,
    LocalPolicy::S3Fifo,
];

fn at(second: u64) -> Timestamp {
    Timestamp::from_unix_nanos(second * 1_000_000_000)
}

fn entry(as_of: u64, bytes: usize) -> Entry {
    let row = Row {
        value: Some(Bytes::from(vec![b'x'; bytes])),
        version: Version(as_of),
        committed_at: at(as_of),
        as_of: Version(as_of),
    };
    Entry {
        row,
        fetched_at: at(as_of),
        fresh_until: at(1_000_000),
        load_time: std::time::Duration::ZERO,
        generation: Generation::default(),
    }
}

fn key(n: u64) -> Key {
    Key::new(format!("key:{n}"))
}

fn layer(policy: LocalPolicy, entries: u64, bytes: Option<u64>) -> LocalLayer {
    LocalLayer::new(LocalConfig {
        entries,
        bytes,
        policy,
    })
}

/// Reads through the layer: what is not there is put there.
fn read(local: &LocalLayer, n: u64, bytes: usize) -> bool {
    let found = local.get(&key(n), at(1)).is_some();
    if !found {
        local.fill(&key(n), entry(1, bytes), at(60));
    }
    found
}

fn held(local: &LocalLayer, keys: std::ops::Range<u64>) -> Vec<u64> {
    let shelf = local.shelf.lock();
    keys.filter(|n| shelf.find(&key(*n)).is_some()).collect()
}

#[test]
fn an_entry_ends_at_its_deadline() {
    for policy in POLICIES {
        let local = layer(policy, 10, None);
        local.fill(&key(1), entry(1, 8), at(60));
        assert!(local.get(&key(1), at(59)).is_some());
        assert!(local.get(&key(1), at(60)).is_none());
        assert!(local.is_empty());
    }
}

#[test]
fn an_older_entry_never_replaces_a_newer_one() {
    for policy in POLICIES {
        let local = layer(policy, 10, None);
        assert_eq!(local.fill(&key(1), entry(2, 8), at(60)), Fill::Stored);
        assert_eq!(local.fill(&key(1), entry(1, 8), at(60)), Fill::Refused);
        assert_eq!(local.fill(&key(1), entry(3, 8), at(60)), Fill::Stored);
        let version = local.get(&key(1), at(1)).map(|held| held.row.version);
        assert_eq!(version, Some(Version(3)));
        assert_eq!(local.len(), 1);
    }
}

#[test]
fn what_is_larger_than_the_layer_is_not_kept_and_leaves_nothing_old_behind() {
    for policy in POLICIES {
        let local = layer(policy, 10, Some(1_000));
        local.fill(&key(1), entry(1, 100), at(60));
        local.fill(&key(2), entry(1, 100), at(60));
        assert_eq!(local.fill(&key(1), entry(2, 1_000), at(60)), Fill::Stored);
        assert_eq!(held(&local, 0..10), [2], "{policy:?}");
    }
}

#[test]
fn a_layer_of_one_entry_holds_the_last() {
    for policy in POLICIES {
        let local = layer(policy, 1, None);
        for n in [1, 2, 2, 2, 3, 1] {
            read(&local, n, 8);
            assert_eq!(held(&local, 0..10), [n], "{policy:?}");
        }
    }
}

#[test]
fn clearing_gives_the_count_and_leaves_a_layer_that_works() {
    for policy in POLICIES {
        let local = layer(policy, 5, None);
        (0..9).for_each(|n| assert!(!read(&local, n, 8)));
        assert_eq!(local.clear(), 5);
        assert!(local.is_empty());
        assert!(!read(&local, 8, 8) && read(&local, 8, 8));
    }
}

/// Which of three entries goes when a fourth comes, after the first was used and the second was
/// replaced.
#[test]
fn policies_differ_in_what_counts() {
    let survivors = |policy| {
        let local = layer(policy, 3, None);
        (0..3).for_each(|n| assert!(!read(&local, n, 8)));
        assert!(read(&local, 0, 8));
        local.fill(&key(1), entry(2, 8), at(60));
        read(&local, 3, 8);
        held(&local, 0..10)
    };
    assert_eq!(survivors(LocalPolicy::Lru), [0, 1, 3]);
    assert_eq!(survivors(LocalPolicy::Fifo), [1, 2, 3]);
    assert_eq!(survivors(LocalPolicy::Sieve), [0, 1, 3]);
}

/// Hot keys, then a scan over ten times as many as there is room for, then the hot keys again.
#[test]
fn a_scan_drives_out_the_hot_keys_of_all_but_s3_fifo() {
    let hits_after_scan = |policy| {
        let local = layer(policy, 100, None);
        let hot = (0..50).flat_map(|_| 0..80);
        for n in hot.chain(1_000..2_000) {
            read(&local, n, 8);
        }
        (0..80).filter(|n| read(&local, *n, 8)).count()
    };
    assert_eq!(hits_after_scan(LocalPolicy::Lru), 0);
    assert_eq!(hits_after_scan(LocalPolicy::Fifo), 0);
    assert_eq!(hits_after_scan(LocalPolicy::S3Fifo), 80);
}

#[derive(Clone, Debug)]
enum Step {
    Read { n: u64, bytes: usize },
    Replace { n: u64, bytes: usize },
    Remove { n: u64 },
    Clear,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (n, bytes) = (0u64..60, 1usize..2_000);
    let step = prop_oneof![
        20 => (n.clone(), bytes.clone()).prop_map(|(n, bytes)| Step::Read { n, bytes }),
        3 => (n.clone(), bytes).prop_map(|(n, bytes)| Step::Replace { n, bytes }),
        2 => n.prop_map(|n| Step::Remove { n }),
        1 => (0u8..20).prop_map(|n| if n == 0 { Step::Clear } else { Step::Remove { n: 0 } }),
    ];
    prop::collection::vec(step, 1..400)
}

fn take(local: &LocalLayer, step: &Step) {
    match *step {
        Step::Read { n, bytes } => {
            read(local, n, bytes);
        }
        Step::Replace { n, bytes } => {
            local.fill(&key(n), entry(1, bytes), at(60));
        }
        Step::Remove { n } => local.remove(&key(n)),
        Step::Clear => {
            local.clear();
        }
    }
}

/// The plainest thing that could be right: entries in the order in which they go.
#[derive(Default)]
struct Plain {
    row: Vec<(u64, u64)>,
}

impl Plain {
    fn take(&mut self, step: &Step, by_use: bool, entries: usize, bytes_max: u64) {
        let weigh = |n: u64, bytes: usize| {
            bytes as u64 + key(n).as_str().len() as u64 + ENTRY_OVERHEAD_BYTES
        };
        let find = |row: &[(u64, u64)], n| row.iter().position(|(held, _)| *held == n);
        match *step {
            Step::Clear => self.row.clear(),
            Step::Remove { n } => self.row.retain(|(held, _)| *held != n),
            Step::Read { n, bytes } | Step::Replace { n, bytes } => {
                let replaces = matches!(step, Step::Replace { .. });
                match find(&self.row, n) {
                    Some(at) => {
                        if replaces {
                            self.row[at].1 = weigh(n, bytes);
                        }
                        if by_use {
                            let last = self.row.remove(at);
                            self.row.push(last);
                        }
                    }
                    None => self.row.push((n, weigh(n, bytes))),
                }
                let total = |row: &[(u64, u64)]| row.iter().map(|(_, bytes)| bytes).sum::<u64>();
                while self.row.len() > entries || total(&self.row) > bytes_max {
                    self.row.remove(0);
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn both_bounds_hold_and_the_same_operations_evict_the_same_keys(steps in steps()) {
        for policy in POLICIES {
            let layers = [(); 2].map(|()| layer(policy, 20, Some(16_384)));
            for step in &steps {
                for local in &layers {
                    take(local, step);
                    let used = local.shelf.lock().used();
                    prop_assert!(used.entries <= 20 && used.bytes <= 16_384, "{:?}", used);
                }
            }
            let [first, second] = layers.map(|local| {
                assert_eq!(held(&local, 0..60).len(), local.len(), "a lost entry");
                held(&local, 0..60)
            });
            prop_assert_eq!(first, second);
        }
    }

    #[test]
    fn lru_and_fifo_give_up_what_a_plain_list_would(steps in steps()) {
        for (policy, by_use) in [(LocalPolicy::Lru, true), (LocalPolicy::Fifo, false)] {
            let (local, mut plain) = (layer(policy, 12, Some(9_000)), Plain::default());
            for step in &steps {
                take(&local, step);
                plain.take(step, by_use, 12, 9_000);
                let mut expected: Vec<u64> = plain.row.iter().map(|(n, _)| *n).collect();
                expected.sort_unstable();
                prop_assert_eq!(held(&local, 0..60), expected, "{:?} after {:?}", policy, step);
            }
        }
    }
}
