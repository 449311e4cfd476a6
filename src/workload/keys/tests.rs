//! The keys of each popularity: shares, ages, drift and one-hit wonders.

use std::collections::BTreeMap;

use super::*;
use crate::units::Ratio;
use crate::workload::popularity::Drift;
use proptest::prelude::*;

const DRAWS: u64 = 40_000;
const HOUR: Duration = Duration::from_hours(1);

fn population(items: u64, popularity: Popularity) -> Population {
    Population::new(vec![Dimension::Cardinality(items)], popularity)
}

fn space(population: &Population) -> KeySpace {
    KeySpace::new(Some(population), population.dimensions.len(), Seed(7))
}

fn asked(unique: u64, puts: bool, moment: Duration) -> Draw {
    Draw {
        user: 0,
        unique,
        puts,
        moment,
    }
}

/// How often each first parameter was drawn at `moment`.
fn counts(keys: &KeySpace, moment: Duration) -> BTreeMap<u64, u64> {
    let mut stream = Seed(8).stream("draws");
    let mut counts = BTreeMap::new();
    for unique in 0..DRAWS {
        let key = keys.draw(&mut stream, asked(unique, false, moment));
        *counts.entry(key.as_slice()[0]).or_default() += 1;
    }
    counts
}

fn first(keys: &KeySpace, moment: Duration) -> u64 {
    let counts = counts(keys, moment);
    let most = counts.iter().max_by_key(|(_, count)| **count);
    *most.expect("some draws").0
}

#[test]
fn a_hotspot_is_few_keys_with_most_of_the_requests() {
    let (keys, requests) = (Ratio(0.01), Ratio(0.9));
    let hot = space(&population(1_000, Popularity::Hotspot { keys, requests }));
    let mut counts: Vec<u64> = counts(&hot, Duration::ZERO).into_values().collect();
    counts.sort_unstable_by_key(|count| std::cmp::Reverse(*count));
    let hottest: u64 = counts[..10].iter().sum();
    assert!(hottest.abs_diff(DRAWS * 9 / 10) < 250, "{hottest}");
    // A cold key comes four times: few of them not at all.
    assert!((950..=1_000).contains(&counts.len()), "{}", counts.len());
}

#[test]
fn the_newest_key_is_asked_for_most_and_each_put_makes_one() {
    let latest = space(&population(100, Popularity::Latest { skew: 1.2 }));
    let mut stream = Seed(1).stream("puts");
    let mut put = || {
        latest
            .draw(&mut stream, asked(0, true, Duration::ZERO))
            .as_slice()[0]
    };
    let newest: Vec<u64> = (0..5).map(|_| put()).collect();
    let distinct: std::collections::BTreeSet<u64> = newest.iter().copied().collect();
    assert_eq!(distinct.len(), 5, "{newest:?}");
    let seen = counts(&latest, Duration::ZERO);
    let by_age: Vec<u64> = newest.iter().rev().map(|key| seen[key]).collect();
    assert!(
        by_age.is_sorted_by(|newer, older| newer > older),
        "{by_age:?}"
    );
    let total: f64 = (1..=100).map(|rank| f64::from(rank).powf(-1.2)).sum();
    let wanted = DRAWS as f64 / total;
    assert!(
        (by_age[0] as f64 - wanted).abs() < 4.0 * wanted.sqrt(),
        "{by_age:?} {wanted}"
    );
    // Names go round: the hundredth put after it has the same.
    let again: Vec<u64> = (0..100).map(|_| put()).collect();
    assert_eq!(again[95..], newest);
}

#[test]
fn a_put_draws_as_much_as_a_read() {
    let latest = space(&population(100, Popularity::Latest { skew: 0.99 }));
    let (mut reads, mut puts) = (Seed(1).stream("one"), Seed(1).stream("one"));
    latest.draw(&mut reads, asked(0, false, HOUR));
    latest.draw(&mut puts, asked(0, true, HOUR));
    assert_eq!(reads, puts);
}

#[test]
fn popularity_drifts_from_key_to_key_by_the_moment_alone() {
    let mut drifting = population(1_600, Popularity::Zipf { skew: 1.0 });
    drifting.drift = Some(Drift {
        share: Ratio(0.5),
        every: HOUR,
    });
    let (drifting, still) = (
        space(&drifting),
        space(&population(1_600, Popularity::Zipf { skew: 1.0 })),
    );
    assert_eq!(
        counts(&drifting, Duration::ZERO),
        counts(&still, Duration::ZERO)
    );
    assert_eq!(counts(&drifting, HOUR * 9), counts(&drifting, HOUR * 9));
    // Once around in two hours: after that, every rank has another key.
    assert_ne!(first(&drifting, HOUR * 2), first(&still, Duration::ZERO));
    let law = |counts: BTreeMap<u64, u64>| {
        let mut counts: Vec<u64> = counts.into_values().collect();
        counts.sort_unstable();
        counts
    };
    let (then, now) = (
        counts(&drifting, Duration::ZERO),
        counts(&drifting, HOUR * 7),
    );
    assert_eq!(law(then), law(now), "the popularity itself stays");
    let moved = |to| {
        let other =
            |rank: &u64| drifting.item_of(*rank, Duration::ZERO) != drifting.item_of(*rank, to);
        (0..1_600).filter(other).count()
    };
    assert!(moved(HOUR).abs_diff(800) < 170, "{}", moved(HOUR));
    assert_eq!(moved(HOUR * 2), 1_600);
}

#[test]
fn one_hit_wonders_are_a_share_of_the_requests_and_never_come_again() {
    let mut shared = population(1_000, Popularity::Zipf { skew: 0.99 });
    shared.one_hit = Ratio(0.2);
    let counts = counts(&space(&shared), Duration::ZERO);
    let wonders = counts.iter().filter(|(key, _)| **key >= 1_000);
    let (keys, requests) = wonders.fold((0, 0), |sum, (_, count)| (sum.0 + 1, sum.1 + count));
    assert_eq!(keys, requests, "each came once");
    assert!(keys.abs_diff(DRAWS / 5) < 330, "{keys}");
}

#[test]
fn a_one_hit_wonder_fits_the_key_of_several_parameters() {
    let dimensions = vec![Dimension::Cardinality(10), Dimension::Cardinality(3)];
    let mut shared = Population::new(dimensions, Popularity::Uniform);
    shared.one_hit = Ratio(1.0);
    let key = space(&shared).draw(&mut Seed(1).stream("one"), asked(5, false, HOUR));
    assert_eq!(key.as_slice(), [15, 0]);
    // Where each key is new already, there is nothing to do.
    let mut new = Population::new(vec![Dimension::Unique], Popularity::Uniform);
    new.one_hit = Ratio(1.0);
    let key = space(&new).draw(&mut Seed(1).stream("one"), asked(5, false, HOUR));
    assert_eq!(key.as_slice(), [5]);
}

fn any_popularity() -> impl Strategy<Value = Popularity> {
    let skew = 0.0_f64..2.5;
    prop_oneof![
        Just(Popularity::Uniform),
        skew.clone().prop_map(|skew| Popularity::Zipf { skew }),
        skew.prop_map(|skew| Popularity::Latest { skew }),
        (0.001_f64..1.0, 0.0_f64..1.0).prop_map(|(keys, above)| Popularity::Hotspot {
            keys: Ratio(keys),
            requests: Ratio(keys + (1.0 - keys) * above),
        }),
    ]
}

proptest! {
    #[test]
    fn draws_stay_in_range_and_the_same_seed_draws_the_same(
        popularity in any_popularity(),
        (a, b) in (1_u64..60, 1_u64..60),
        drift in prop::option::of(0.01_f64..1.0),
        moments_s in prop::collection::vec(0_u64..1_000_000, 1..20),
        seed: u64,
    ) {
        let dimensions = vec![Dimension::Cardinality(a), Dimension::Cardinality(b)];
        let mut population = Population::new(dimensions, popularity);
        population.drift = drift.map(|share| Drift { share: Ratio(share), every: HOUR });
        let draws = || {
            let keys = space(&population);
            let mut stream = Seed(seed).stream("draws");
            let moments = moments_s.iter().copied().map(Duration::from_secs);
            let draw = |at: Duration| keys.draw(&mut stream, asked(0, at.as_secs().is_multiple_of(3), at));
            moments.map(draw).collect::<Vec<_>>()
        };
        for key in draws() {
            prop_assert!(key.as_slice()[0] < a && key.as_slice()[1] < b);
        }
        prop_assert_eq!(draws(), draws());
    }

    #[test]
    fn every_age_is_a_key_and_every_key_has_an_age(items in 2_u64..300, puts in 0_u64..1_000) {
        let latest = space(&population(items, Popularity::Latest { skew: 0.99 }));
        let ages: std::collections::BTreeSet<u64> =
            (0..items).map(|age| latest.aged(puts, age)).collect();
        prop_assert_eq!(ages.len() as u64, items);
        prop_assert_eq!(latest.aged(puts + 1, 1), latest.aged(puts, 0), "all are older by one");
    }
}
