//! What users of a given traffic ask for.

mod journeys;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use super::super::{Popularity, Population};
use super::*;
use crate::engine::data_type::{DataType, KeyPattern, Strategy as CacheStrategy};
use crate::workload::{MixEntry, UserKind, What};

const PRODUCT: DataTypeId = DataTypeId(0);
const INVENTORY: DataTypeId = DataTypeId(1);
const SESSION: DataTypeId = DataTypeId(2);
const ACTIVITY: DataTypeId = DataTypeId(3);

fn row(name: &str, key: &str) -> DataType {
    let key = key.parse::<KeyPattern>().expect(key);
    DataType::new(name, key, CacheStrategy::CacheAside, Duration::from_mins(1))
}

fn policies() -> PolicyTable {
    PolicyTable::new(vec![
        row("product", "product:{product_id}"),
        row("inventory", "inventory:{product_id}:{warehouse_id}"),
        row("session", "session:{session_id}"),
        row("activity", "activity:{user_id}:{number}"),
    ])
}

fn population(dimensions: &[Dimension], popularity: Popularity) -> Population {
    Population::new(dimensions.to_vec(), popularity)
}

fn workload() -> Workload {
    use Dimension::{Cardinality, Unique};
    let line = |data_type, operation, weight| MixEntry {
        data_type,
        operation,
        weight,
    };
    Workload {
        kinds: vec![UserKind {
            name: UserKind::ALL.to_owned(),
            users: 1_000,
            think_time: "1s..3s".parse().expect("a range"),
            on_start: vec![(SESSION, Operation::Put), (SESSION, Operation::Get)],
            what: What::Mix(vec![
                line(PRODUCT, Operation::Get, 60.0),
                line(INVENTORY, Operation::Get, 25.0),
                line(SESSION, Operation::Invalidate, 0.0),
                line(SESSION, Operation::Get, 10.0),
                line(ACTIVITY, Operation::Put, 5.0),
            ]),
        }],
        populations: vec![
            population(&[Cardinality(1_000)], Popularity::Zipf { skew: 0.99 }),
            population(&[Cardinality(50), Cardinality(7)], Popularity::Uniform),
            population(&[Cardinality(20)], Popularity::PerUser),
            population(&[Cardinality(100), Unique], Popularity::PerUser),
        ],
        sample: None,
    }
}

fn traffic(seed: u64) -> Arc<Traffic> {
    Traffic::new(&workload(), &policies(), Seed(seed))
}

fn steps(traffic: &Arc<Traffic>, index: u64, count: usize) -> Vec<Step> {
    let mut user = User::new(Arc::clone(traffic), index);
    (0..count).map(|_| user.next()).collect()
}

fn requests(traffic: &Arc<Traffic>, index: u64, count: usize) -> Vec<Request> {
    let mut user = User::new(Arc::clone(traffic), index);
    std::iter::repeat_with(|| user.next())
        .filter_map(|step| match step {
            Step::Request(request) => Some(request),
            Step::Think(_) | Step::End => None,
        })
        .take(count)
        .collect()
}

#[test]
fn a_user_starts_with_its_login_and_then_thinks_and_asks_by_turns() {
    let steps = steps(&traffic(42), 3, 200);
    let login: Vec<Operation> = steps[..2]
        .iter()
        .map(|step| match step {
            Step::Request(request) if request.data_type == SESSION => request.operation,
            other => panic!("no login: {other:?}"),
        })
        .collect();
    assert_eq!(login, [Operation::Put, Operation::Get]);
    let mut thoughts = BTreeSet::new();
    for turn in steps[2..].chunks(2) {
        let [Step::Think(pause), Step::Request(_)] = turn else {
            panic!("out of turn: {turn:?}");
        };
        assert!((Duration::from_secs(1)..=Duration::from_secs(3)).contains(pause));
        thoughts.insert(*pause);
    }
    assert!(thoughts.len() > 90, "think times are drawn");
}

#[test]
fn the_same_seed_asks_the_same_of_each_user() {
    assert_eq!(steps(&traffic(42), 5, 500), steps(&traffic(42), 5, 500));
    assert_ne!(steps(&traffic(42), 5, 500), steps(&traffic(42), 6, 500));
    assert_ne!(steps(&traffic(42), 5, 500), steps(&traffic(43), 5, 500));
}

#[test]
fn the_mix_has_its_shares() {
    let traffic = traffic(42);
    let mut counts: BTreeMap<(DataTypeId, Operation), f64> = BTreeMap::new();
    for user in 0..100 {
        for request in requests(&traffic, user, 402).into_iter().skip(2) {
            *counts
                .entry((request.data_type, request.operation))
                .or_default() += 1.0;
        }
    }
    let share =
        |data_type, operation| counts.get(&(data_type, operation)).unwrap_or(&0.0) / 40_000.0;
    for (data_type, operation, wanted) in [
        (PRODUCT, Operation::Get, 0.60),
        (INVENTORY, Operation::Get, 0.25),
        (SESSION, Operation::Get, 0.10),
        (ACTIVITY, Operation::Put, 0.05),
    ] {
        let got: f64 = share(data_type, operation);
        assert!((got - wanted).abs() < 0.015, "{data_type:?}: {got}");
    }
    assert!(
        !counts.contains_key(&(SESSION, Operation::Invalidate)),
        "weight 0"
    );
}

#[test]
fn keys_stay_within_their_dimensions_and_reach_all_of_them() {
    let traffic = traffic(42);
    let mut seen = BTreeSet::new();
    for user in 0..50 {
        for request in requests(&traffic, user, 500) {
            let params = request.params;
            match request.data_type {
                PRODUCT => assert!(params.as_slice()[0] < 1_000),
                INVENTORY => {
                    seen.insert(params.as_slice().to_vec());
                }
                _ => {}
            }
        }
    }
    assert_eq!(seen.len(), 50 * 7, "every product in every warehouse");
    assert_eq!(seen.last().map(Vec::as_slice), Some(&[49, 6][..]));
}

#[test]
fn popular_keys_are_the_same_for_all_users_and_not_neighbours() {
    let traffic = traffic(42);
    let mut counts: BTreeMap<u64, u32> = BTreeMap::new();
    for user in 0..100 {
        for request in requests(&traffic, user, 200) {
            if request.data_type == PRODUCT {
                *counts.entry(request.params.as_slice()[0]).or_default() += 1;
            }
        }
    }
    let mut ranked: Vec<(u32, u64)> = counts.iter().map(|(key, count)| (*count, *key)).collect();
    ranked.sort_unstable_by(|a, b| b.cmp(a));
    // The first of 1,000 ranks at skew 0.99 has a share of 13% of some 12,000 draws.
    assert!((1_300..1_900).contains(&ranked[0].0), "{:?}", ranked[0]);
    assert!(ranked[0].1.abs_diff(ranked[1].1) > 1);
}

#[test]
fn a_users_own_keys_are_its_own_and_wrap_around() {
    let traffic = traffic(42);
    for (user, session) in [(0, 0), (7, 7), (19, 19), (20, 0), (1_041, 1)] {
        for request in requests(&traffic, user, 300) {
            match request.data_type {
                SESSION => assert_eq!(request.params.as_slice(), [session]),
                ACTIVITY => assert_eq!(request.params.as_slice()[0], user % 100),
                _ => {}
            }
        }
    }
}

#[test]
fn unique_values_never_repeat() {
    let traffic = traffic(42);
    let mut seen = BTreeSet::new();
    let mut drawn = 0;
    for user in 0..200 {
        for request in requests(&traffic, user, 300) {
            if request.data_type == ACTIVITY {
                drawn += 1;
                seen.insert(request.params.as_slice()[1]);
            }
        }
    }
    assert!(drawn > 1_000);
    assert_eq!(seen.len(), drawn);
}

#[test]
fn a_user_with_nothing_to_ask_thinks_for_ever() {
    let mut nothing = workload();
    nothing.kinds[0].on_start.clear();
    let mut mix = nothing.kinds[0].mix().to_vec();
    mix.retain(|line| line.weight == 0.0);
    nothing.kinds[0].what = What::Mix(mix);
    let traffic = Traffic::new(&nothing, &policies(), Seed(1));
    let steps = steps(&traffic, 0, 4);
    assert!(matches!(steps[1], Step::Think(Duration::MAX)), "{steps:?}");
    assert!(matches!(steps[3], Step::Think(Duration::MAX)), "{steps:?}");
}

#[test]
fn a_user_is_small() {
    assert!(size_of::<User>() <= 128, "{} bytes", size_of::<User>());
}

proptest! {
    #[test]
    fn params_are_complete_for_any_population(
        first in 0u64..=u64::MAX, second in 0u64..1_000, skew in 0.0f64..2.0, user in 0u64..1 << 32,
    ) {
        // A table is built for each case: keep Zipf populations small.
        let first = if skew > 0.5 { first % 20 } else { first };
        let popularity = if skew > 0.5 { Popularity::Zipf { skew } } else { Popularity::Uniform };
        let mut any = workload();
        any.populations[1] = population(
            &[Dimension::Cardinality(first), Dimension::Cardinality(second)],
            popularity,
        );
        any.populations.truncate(2);
        let traffic = Traffic::new(&any, &policies(), Seed(9));
        for request in requests(&traffic, user, 30) {
            let params = request.params;
            match request.data_type {
                INVENTORY => {
                    prop_assert!(params.as_slice()[0] < first.max(1));
                    prop_assert!(params.as_slice()[1] < second.max(1));
                }
                ACTIVITY => prop_assert_eq!(params.as_slice(), [0, 0]),
                _ => prop_assert_eq!(params.as_slice().len(), 1),
            }
        }
    }
}

#[test]
fn the_most_popular_keys_are_those_that_users_ask_for_most() {
    let traffic = traffic(42);
    let popular = traffic.most_popular(PRODUCT, 50);
    assert_eq!(popular.len(), 50);
    let mut asked: BTreeMap<u64, u32> = BTreeMap::new();
    for user in 0..200 {
        for request in requests(&traffic, user, 100) {
            if request.data_type == PRODUCT {
                *asked.entry(request.params.as_slice()[0]).or_default() += 1;
            }
        }
    }
    let of = |params: &KeyParams| asked.get(&params.as_slice()[0]).copied().unwrap_or(0);
    assert_eq!(asked.values().max(), Some(&of(&popular[0])));
    // By Zipf's law with 0.99 the first 50 of 1,000 keys have a share of 59%.
    let share =
        f64::from(popular.iter().map(of).sum::<u32>()) / f64::from(asked.values().sum::<u32>());
    assert!((0.56..0.62).contains(&share), "{share}");
}

#[test]
fn keys_without_a_rank_are_not_popular() {
    let traffic = traffic(42);
    assert!(traffic.most_popular(SESSION, 5).is_empty(), "a user's own");
    assert!(traffic.most_popular(ACTIVITY, 5).is_empty(), "always new");
    assert!(traffic.most_popular(DataTypeId(9), 5).is_empty());
    let all: BTreeSet<Vec<u64>> = traffic
        .most_popular(INVENTORY, u64::MAX)
        .iter()
        .map(|params| params.as_slice().to_vec())
        .collect();
    assert_eq!(all.len(), 350, "each once, and no more than there are");
}

#[test]
fn who_comes_back_begins_again_and_stays_itself() {
    let traffic = traffic(42);
    let mut user = User::new(Arc::clone(&traffic), 7);
    let login = |user: &mut User| [user.next(), user.next()];
    let first = login(&mut user);
    let mut numbers = BTreeSet::new();
    for pauses in 0..5 {
        // Half the time it goes in the middle of a pause.
        for _ in 0..20 + pauses {
            if let Step::Request(request) = user.next()
                && request.data_type == ACTIVITY
            {
                assert!(numbers.insert(request.params.as_slice()[1]), "used before");
            }
        }
        user.come_back();
        let Step::Request(again) = user.next() else {
            panic!("a pause before the login")
        };
        assert_eq!(Step::Request(again), first[0]);
        assert_eq!(user.next(), first[1]);
        assert!(matches!(user.next(), Step::Think(_)));
    }
    assert!(!numbers.is_empty());
}

#[test]
fn ranks_are_the_keys_one_by_one() {
    let traffic = traffic(42);
    let most = traffic.most_popular(INVENTORY, 1_000);
    let keys: BTreeSet<_> = most.iter().map(|key| key.as_slice().to_vec()).collect();
    assert_eq!((most.len(), keys.len()), (350, 350));
    assert_eq!(traffic.of_rank(INVENTORY, 349), most.last().copied());
    let groups: BTreeSet<u64> = (0..1_000)
        .map_while(|number| traffic.of_group(INVENTORY, number))
        .map(|key| key.as_slice()[0])
        .collect();
    assert_eq!(groups, (0..50).collect());
    for (data_type, rank) in [(INVENTORY, 350), (SESSION, 0), (ACTIVITY, 0)] {
        assert_eq!(traffic.of_rank(data_type, rank), None);
    }
}
