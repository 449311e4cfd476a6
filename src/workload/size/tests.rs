//! Laws of sizes: what is drawn, its mean, and that a key keeps its size.

use super::*;
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
}
