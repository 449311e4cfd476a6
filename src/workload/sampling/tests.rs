//! Strata: complete, as wide as they should be, and true to the shares of the requests.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::workload::Popularity;
use crate::workload::popularity::RankSampler;
use proptest::prelude::*;

const DRAWS: u32 = 100_000;

fn share(kept: u32, of: u32) -> Share {
    Share::new(kept, of).expect("a share")
}

#[test]
fn a_share_is_of_something_and_scales_both_ways() {
    assert_eq!(Share::new(0, 10), None);
    assert_eq!(Share::new(11, 10), None);
    let fiftieth = share(20_000, 1_000_000);
    assert!((fiftieth.as_f64() - 0.02).abs() < 1e-12 && (fiftieth.step() - 50.0).abs() < 1e-9);
    assert!((fiftieth.to_whole(7.0) - 350.0).abs() < 1e-9);
    assert_eq!(
        [0, 1, 74, 75, 1_000].map(|whole| fiftieth.part_of(whole)),
        [0, 1, 1, 2, 20]
    );
    assert_eq!(Share::WHOLE.part_of(u64::MAX), u64::MAX);
}

#[test]
fn the_head_is_narrow_and_the_tail_as_wide_as_the_step() {
    let strata = Strata::new(50_000, 1.0, share(1, 50), Seed(3));
    let widths: Vec<u64> = strata.iter().map(|ranks| ranks.end - ranks.start).collect();
    assert!(widths[..8].iter().all(|width| *width == 1), "{widths:?}");
    assert!(
        widths.is_sorted_by(|a, b| a <= b || *b < 50),
        "{:?}",
        &widths[..60]
    );
    // Keys of a stratum differ by a quarter at the most, and the head is some tens of strata.
    assert!(
        (190..=250).contains(&strata.head_ranks()),
        "{}",
        strata.head_ranks()
    );
    assert!(
        (15..40).contains(&strata.head_strata()),
        "{}",
        strata.head_strata()
    );
    assert!(
        widths[strata.head_strata()..widths.len() - 1]
            .iter()
            .all(|width| *width == 50)
    );
    assert_eq!(strata.kept(), widths.len() as u64);
    // Keys that are all alike need no head.
    assert_eq!(
        Strata::new(50_000, 0.0, share(1, 50), Seed(3)).kept(),
        1_000
    );
}

#[test]
fn thinned_keys_are_those_of_narrow_strata() {
    let strata = Strata::new(50_000, 0.99, share(1, 50), Seed(3));
    let thinned = strata.thinned();
    assert_eq!(
        thinned.len(),
        strata.head_strata() + 1,
        "the last one is cut off"
    );
    assert!((thinned[0].rate - 0.02).abs() < 1e-9);
    assert!(thinned.iter().all(|key| key.rate < 1.0 && key.draws > 0.0));
    assert!(thinned[0].draws > 0.08, "{:?}", thinned[0]);
    // Few keys: one stands for all, and is asked for as often as a few of them.
    let few = Strata::new(5, 0.0, share(1, 50), Seed(3)).thinned();
    assert_eq!(few.len(), 1);
    assert!((few[0].draws - 1.0).abs() < 1e-9 && (few[0].rate - 0.1).abs() < 1e-9);
    assert!(
        Strata::new(5_000, 0.99, Share::WHOLE, Seed(3))
            .thinned()
            .is_empty()
    );
}

#[test]
fn every_stratum_keeps_its_share_of_the_requests() {
    let strata = Strata::new(5_000, 0.99, share(1, 20), Seed(3));
    let ranks = RankSampler::new(5_000, Popularity::Zipf { skew: 0.99 });
    let mut stream = Seed(4).stream("ranks");
    let mut drawn: BTreeMap<u64, f64> = BTreeMap::new();
    for _ in 0..DRAWS {
        *drawn
            .entry(strata.representative(ranks.draw(&mut stream)))
            .or_default() += 1.0;
    }
    assert!(drawn.len() as u64 <= strata.kept());
    let sums = ZipfSums::new(5_000, 0.99);
    for (kept, ranks) in strata.kept_below(u64::MAX).zip(strata.iter()) {
        assert!(ranks.contains(&kept));
        let wanted = sums.weight(&ranks) * f64::from(DRAWS);
        let got = drawn.get(&kept).copied().unwrap_or_default();
        // Six standard deviations.
        assert!(
            (got - wanted).abs() < 6.0 * wanted.sqrt() + 1.0,
            "{ranks:?}: {got} {wanted}"
        );
    }
}

#[test]
fn another_seed_keeps_other_keys_of_the_same_strata() {
    let kept = |seed| -> BTreeSet<u64> {
        let strata = Strata::new(50_000, 0.99, share(1, 50), Seed(seed));
        strata.kept_below(u64::MAX).collect()
    };
    assert_eq!(kept(1), kept(1));
    let (one, other) = (kept(1), kept(2));
    assert_eq!(one.len(), other.len());
    let both = one.intersection(&other).count();
    assert!((8..100).contains(&both), "{both} in both, of {}", one.len());
}

#[test]
fn kept_keys_can_be_counted_and_numbered() {
    for (skew, of) in [(0.99, 50), (1.2, 10), (0.0, 7), (0.99, 1)] {
        let strata = Strata::new(5_000, skew, share(1, of), Seed(3));
        let numbered: Vec<(u64, u64)> =
            (0..=strata.kept()).map_while(|at| strata.nth(at)).collect();
        let ranks = numbered.iter().map(|(rank, _)| *rank);
        assert!(ranks.eq(strata.kept_below(u64::MAX)), "{skew} 1/{of}");
        let stands_for: u64 = numbered.iter().map(|(_, keys)| keys).sum();
        assert_eq!(stands_for, 5_000);
        for end in (0..300).chain(4_900..5_001).chain([u64::MAX]) {
            let counted = strata.kept_below(end).count() as u64;
            assert_eq!(
                strata.count_below(end),
                counted,
                "{skew} 1/{of} below {end}"
            );
        }
    }
}

proptest! {
    #[test]
    fn strata_are_complete_and_keep_one_key_each(
        items in 1u64..20_000, skew in 0.0f64..3.0, kept in 1u32..500, more in 0u32..5_000, seed: u64,
    ) {
        let strata = Strata::new(items, skew, share(kept, kept + more), Seed(seed));
        let mut next = 0;
        for (at, ranks) in strata.iter().enumerate() {
            prop_assert_eq!(ranks.start, next);
            prop_assert!(ranks.end > ranks.start);
            next = ranks.end;
            let representative = strata.representative(ranks.start);
            prop_assert!(ranks.contains(&representative));
            prop_assert_eq!(strata.representative(ranks.end - 1), representative);
            if at > 40 {
                break;
            }
        }
        let last = strata.iter().last().expect("one");
        prop_assert_eq!(last.end, items);
        let whole: f64 = ZipfSums::new(items, skew).weight(&(0..items));
        prop_assert!((whole - 1.0).abs() < 1e-9);
    }

    #[test]
    fn any_number_of_keys_can_be_sampled(items in 1u64 << 40..=u64::MAX, rank: u64, skew in 0.0f64..2.0) {
        let strata = Strata::new(items, skew, share(1, 50), Seed(1));
        let kept = strata.representative(rank % items);
        prop_assert!(kept < items);
        prop_assert_eq!(strata.representative(kept), kept);
    }
}
