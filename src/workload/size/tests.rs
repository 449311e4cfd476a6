//! Laws of sizes: what is drawn, its mean, and that a key keeps its size.

use std::time::Duration;

use super::*;
use crate::engine::layer::Operation;
use crate::workload::trace::TraceRecord;
use proptest::prelude::*;

const DRAWS: u64 = 40_000;

fn sizes(law: &ValueSize) -> Vec<u64> {
    let seed = Seed(9);
    let mut sizes: Vec<u64> = (0..DRAWS)
        .map(|at| law.of(seed.fork_index(at).0).0)
        .collect();
    sizes.sort_unstable();
    sizes
}

fn quantiles() -> ValueSize {
    let points = [(0, 10), (SHARE_WHOLE / 2, 100), (SHARE_WHOLE, 1_100)];
    let points = points.map(|(share, size)| (share, ByteSize(size)));
    ValueSize::Quantiles(Quantiles::new(points.into()).expect("ascending"))
}

fn laws() -> [ValueSize; 4] {
    [
        ValueSize::Constant(ByteSize(7)),
        ValueSize::Uniform(ByteSize(1_000), ByteSize(1_999)),
        ValueSize::LogNormal {
            median: ByteSize(500),
            p99: ByteSize(20_000),
        },
        quantiles(),
    ]
}

#[test]
fn draws_follow_their_law() {
    let at = |law: &ValueSize, share: f64| {
        let sizes = sizes(law);
        #[allow(clippy::cast_sign_loss, reason = "a share of a count")]
        let place = (share * DRAWS as f64) as usize;
        sizes[place] as f64
    };
    let [constant, uniform, log_normal, quantiles] = laws();
    assert!((at(&constant, 0.1) - 7.0).abs() < 1e-9);
    // Some four standard errors.
    for (law, share, wanted, off) in [
        (&uniform, 0.1, 1_100.0, 8.0),
        (&uniform, 0.9, 1_900.0, 8.0),
        (&log_normal, 0.5, 500.0, 25.0),
        (&log_normal, 0.99, 20_000.0, 2_600.0),
        (&quantiles, 0.25, 55.0, 2.0),
        (&quantiles, 0.5, 100.0, 3.0),
        (&quantiles, 0.75, 600.0, 20.0),
    ] {
        let got = at(law, share);
        assert!((got - wanted).abs() < off, "{law:?} {share}: {got}");
    }
}

#[test]
fn the_mean_is_the_mean_of_what_is_drawn() {
    for law in laws() {
        let sum: u64 = sizes(&law).iter().sum();
        let (got, wanted) = (sum as f64 / DRAWS as f64, law.mean().0 as f64);
        assert!((got / wanted - 1.0).abs() < 0.06, "{law:?}: {got} {wanted}");
    }
}

#[test]
fn a_key_has_one_size_and_others_have_others() {
    let [.., law, _] = laws();
    let of = |seed, data_type, key: &str| {
        let sizes = ValueSizes::new(Seed(seed), [law.clone(), law.clone()]);
        sizes.of(DataTypeId(data_type), &Key::new(key))
    };
    let one = of(1, 0, "product:1");
    assert_eq!(one, of(1, 0, "product:1"));
    for other in [
        of(2, 0, "product:1"),
        of(1, 1, "product:1"),
        of(1, 0, "product:2"),
    ] {
        assert_ne!(one, other);
    }
    assert_eq!(of(1, 2, "no law"), ByteSize(0));
}

#[test]
fn the_size_of_a_key_is_pinned() {
    let [_, uniform, log_normal, quantiles] = laws();
    let sizes = ValueSizes::new(Seed(42), [uniform, log_normal, quantiles]);
    let key = Key::new("customer:360:17");
    let pinned = [0, 1, 2].map(|at| sizes.of(DataTypeId(at), &key).0);
    assert_eq!(pinned, [1_014, 7_698, 40]);
}

/// Sizes that a trace says: of key 1 five bytes, of key 20 seven, of key 3 none.
fn recorded(others: ValueSize) -> Recorded {
    let record = |(key, value_size): (u64, u32)| {
        Ok(TraceRecord {
            at: Duration::ZERO,
            key,
            operation: Operation::Get,
            value_size,
            ttl: None,
            client: 0,
        })
    };
    let said = [(1, 5), (20, 7), (3, 0)].map(record);
    let sizes = TraceSizes::learn("a trace", said, |_, _| true).expect("sizes");
    let pattern: KeyPattern = "page:{id}:v2".parse().expect("a pattern");
    Recorded::new(Arc::new(sizes), &pattern, others)
}

#[test]
fn a_key_is_as_large_as_its_trace_says_and_others_by_the_law() {
    let [constant, uniform, ..] = laws();
    for law in [constant, uniform] {
        let with = ValueSizes::new(Seed(7), [ValueSize::Recorded(recorded(law.clone()))]);
        let without = ValueSizes::new(Seed(7), [law]);
        let of = |sizes: &ValueSizes, key: &str| sizes.of(DataTypeId(0), &Key::new(key)).0;
        assert_eq!(of(&with, "page:1:v2"), 5);
        assert_eq!(of(&with, "page:20:v2"), 7);
        for other in [
            "page:3:v2",
            "page:2:v2",
            "page:01:v2",
            "page:+1:v2",
            "page:1",
            "page::v2",
            "1",
            "page:1:v2:v2",
            "page:100000000000000000000:v2",
            "",
        ] {
            assert_eq!(of(&with, other), of(&without, other), "{other}");
        }
        // No key may be left unspelled.
        assert_eq!(with.constant_of(DataTypeId(0)), None);
    }
}

#[test]
fn the_mean_is_that_of_the_keys_of_a_trace() {
    let others = ValueSize::Constant(ByteSize(12));
    // Of 5, 7 and, because the trace does not say, 12 bytes.
    assert_eq!(
        ValueSize::Recorded(recorded(others.clone())).mean(),
        ByteSize(8)
    );
    let nothing = TraceSizes::learn("a trace", [], |_, _| true).expect("nothing");
    let pattern: KeyPattern = "page:{id}".parse().expect("a pattern");
    let nothing = Recorded::new(Arc::new(nothing), &pattern, others);
    assert_eq!(ValueSize::Recorded(nothing).mean(), ByteSize(12));
}

#[test]
fn what_does_not_ascend_to_the_whole_is_no_table() {
    let of = |points: &[(u32, u64)]| {
        let points = points.iter().map(|(share, size)| (*share, ByteSize(*size)));
        Quantiles::new(points.collect())
    };
    assert!(of(&[(SHARE_WHOLE, 5)]).is_some());
    assert!(of(&[]).is_none());
    assert!(of(&[(1, 5), (2, 6)]).is_none());
    assert!(of(&[(1, 5), (1, 6), (SHARE_WHOLE, 7)]).is_none());
    assert!(of(&[(1, 9), (SHARE_WHOLE, 7)]).is_none());
}

proptest! {
    #[test]
    fn sizes_stay_in_range(draw: u64, a in 1_u64..100_000, b in 1_u64..100_000) {
        let (min, max) = (ByteSize(a.min(b)), ByteSize(a.max(b)));
        let uniform = ValueSize::Uniform(min, max).of(draw);
        prop_assert!((min..=max).contains(&uniform));
        let log_normal = ValueSize::LogNormal { median: min, p99: max }.of(draw);
        prop_assert!((1..=VALUE_SIZE_MAX.0).contains(&log_normal.0));
        let size = quantiles().of(draw);
        prop_assert!((10..=1_100).contains(&size.0));
    }

    #[test]
    fn every_number_of_a_key_is_read_as_drivers_write_it(key: u64, size in 1_u32..1_000) {
        let record = TraceRecord {
            at: Duration::ZERO,
            key,
            operation: Operation::Put,
            value_size: size,
            ttl: None,
            client: 0,
        };
        let sizes = TraceSizes::learn("a trace", [Ok(record)], |_, _| true).expect("sizes");
        let sizes = Arc::new(sizes);
        for pattern in ["{id}", "page:{id}", "{id}:page", "a:{id}:b"] {
            let pattern: KeyPattern = pattern.parse().expect(pattern);
            let law = Recorded::new(Arc::clone(&sizes), &pattern, ValueSize::Constant(ByteSize(0)));
            let sizes = ValueSizes::new(Seed(1), [ValueSize::Recorded(law)]);
            let found = sizes.of(DataTypeId(0), &pattern.render(&[key], None));
            prop_assert_eq!(found, ByteSize(size.into()), "{}", pattern);
        }
    }
}
