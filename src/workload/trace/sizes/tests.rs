//! What is learned of sizes, held against a plain list of all that the trace says.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::engine::layer::Operation;

const NAME: &str = "web.csv";

fn record(key: u64, value_size: u32) -> TraceRecord {
    TraceRecord {
        at: Duration::ZERO,
        key,
        operation: Operation::Get,
        value_size,
        ttl: None,
        client: 0,
    }
}

fn records(said: &[(u64, u32)]) -> impl Iterator<Item = Result<TraceRecord, TraceError>> + '_ {
    said.iter().map(|(key, size)| Ok(record(*key, *size)))
}

fn learned(said: &[(u64, u32)]) -> TraceSizes {
    TraceSizes::learn(NAME, records(said), |_, _| true).expect("sizes")
}

#[test]
fn a_key_has_the_largest_size_that_is_said_of_it() {
    let sizes = learned(&[(1, 0), (1, 5), (2, 7), (1, 9), (1, 3), (3, 0), (2, 7)]);
    let of = |key| sizes.of(key).map(|size| size.0);
    assert_eq!([1, 2, 3, 4].map(of), [Some(9), Some(7), None, None]);
    let counts = SizeCounts {
        keys: 3,
        sized: 2,
        changing: 1,
        cut: 0,
        bytes: 16,
        bytes_first: 12,
    };
    assert_eq!(sizes.counts(), counts);
    assert_eq!(counts.unsized_keys(), 1);
    assert!((counts.mean() - 8.0).abs() < 1e-12);
    assert!((counts.mean_first() - 6.0).abs() < 1e-12);
}

#[test]
fn what_no_value_can_have_is_cut_and_counted() {
    let sizes = learned(&[(1, u32::MAX), (1, LARGEST + 1), (2, LARGEST)]);
    for key in [1, 2] {
        assert_eq!(sizes.of(key), Some(VALUE_SIZE_MAX));
    }
    assert_eq!((sizes.counts().cut, sizes.counts().changing), (1, 0));
}

#[test]
fn only_what_is_replayed_is_learned() {
    let said = [(1, 5), (2, 6), (3, 7)];
    let sizes = TraceSizes::learn(NAME, records(&said), |number, _| number < 2).expect("sizes");
    assert_eq!(sizes.counts().keys, 2);
    assert_eq!(sizes.of(3), None);
    // What comes after it may be broken.
    let broken = TraceError::Empty { trace: "x".into() };
    let trace = records(&said[..1]).chain([Ok(record(2, 0)), Err(broken)]);
    assert!(TraceSizes::learn(NAME, trace, |number, _| number < 1).is_ok());
}

#[test]
fn what_cannot_be_learned_is_told() {
    let said = |error: TraceError| error.to_string();
    let too_many = [(1, 5), (2, 6), (1, 5), (3, 7)];
    let learn = |keys_max| TraceSizes::learn_up_to(keys_max, NAME, records(&too_many), |_, _| true);
    assert!(learn(3).is_ok());
    insta::assert_snapshot!(said(learn(2).expect_err("three keys")), @"the trace web.csv has more than 2 keys in the part that is replayed, and the sizes of their values would take too much memory: replay a sample of its keys (`cachestorm trace convert web.csv OUT --sample 10%`) or less time of it, or write `value_size: scenario`");
    let none = TraceSizes::learn(NAME, records(&[(1, 0), (2, 0)]), |_, _| true);
    insta::assert_snapshot!(said(none.expect_err("no sizes")), @"the trace web.csv does not say how large values are, so they cannot be so large: write `value_size: scenario` under `traffic.trace`, which takes the data type's");
    // Nothing is replayed, so nothing is missing.
    assert!(TraceSizes::learn(NAME, records(&[]), |_, _| true).is_ok());
    let broken = [Err(TraceError::Empty { trace: "x".into() })];
    assert!(TraceSizes::learn(NAME, broken, |_, _| true).is_err());
}

#[test]
fn a_key_and_its_size_take_twelve_bytes() {
    assert_eq!(size_of::<(Packed, u32)>(), 12);
}

proptest! {
    #[test]
    fn it_is_a_plain_list_of_what_is_said(
        said in prop::collection::vec(
            (0_u64..20, prop_oneof![Just(0_u32), 1_u32..50, LARGEST - 1..LARGEST + 3]), 1..200
        )
    ) {
        let mut plain: BTreeMap<u64, Vec<u32>> = BTreeMap::new();
        for (key, size) in &said {
            plain.entry(*key).or_default().extend((*size > 0).then_some(*size));
        }
        let found = TraceSizes::learn(NAME, records(&said), |_, _| true);
        if plain.values().all(Vec::is_empty) {
            prop_assert!(found.is_err());
            return Ok(());
        }
        let found = found.expect("sizes");
        let mut counts = SizeCounts { keys: plain.len() as u64, ..SizeCounts::default() };
        for (key, sizes) in &plain {
            let cut: Vec<u32> = sizes.iter().map(|size| (*size).min(LARGEST)).collect();
            let largest = cut.iter().max().copied();
            prop_assert_eq!(found.of(*key), largest.map(|size| ByteSize(size.into())));
            counts.sized += u64::from(largest.is_some());
            counts.bytes += u64::from(largest.unwrap_or(0));
            counts.bytes_first += u64::from(cut.first().copied().unwrap_or(0));
            counts.changing += u64::from(cut.iter().any(|size| *size != cut[0]));
            counts.cut += u64::from(sizes.iter().any(|size| *size > LARGEST));
        }
        prop_assert_eq!(found.counts(), counts);
        // The order in which they are said decides nothing but which was first.
        let mut turned = said.clone();
        turned.reverse();
        let turned = learned(&turned);
        prop_assert_eq!(&turned.by_key, &found.by_key);
    }
}
