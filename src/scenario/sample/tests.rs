//! What is scaled, what is refused, and which share is chosen.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::measure::sampling::Times;
use crate::scenario::{Overrides, parse};
use crate::workload::Step;
use crate::workload::user::{Traffic, User};

const ADR: &str = include_str!("../../../scenarios/adr-006.yaml");

/// Many keys under little room.
const LARGE: &str = r#"
name: large
data_types:
  product:
    key: "product:{id}"
    strategy: cache-aside
    ttl: 1h
    local_ttl: 1m
    population: 1_000_000
    popularity: { zipf: 0.99 }
    value_size: 1KiB
    origin: { query_time: { median: 10ms, p99: 40ms } }
  basket:
    key: "basket:{user}"
    strategy: write-through
    ttl: 24h
    popularity: per-user
    value_size: 512B
    origin: { query_time: { median: 10ms, p99: 40ms } }
layers:
  local: { entries: 100_000, policy: lru }
  remote: { maxmemory: 512MiB }
instances: 3
origin: { connections: 1_000 }
warming: { keys: { product: 5_000 }, concurrency: 100 }
resilience: { origin: { concurrency: 300, queue: 50 }, write_behind: { queue_max: 10_000 } }
traffic:
  users: 1_000_000
  think_time: 1s..3s
  phases: [{ name: warm-up, for: 60s }, { name: steady, for: 60s }]
  mix: { product.get: 90, product.put: 1, basket.get: 9 }
"#;

fn plan_with(text: &str, set: &[(&str, &str)]) -> Plan {
    let set = set
        .iter()
        .map(|(path, value)| ((*path).to_owned(), (*value).to_owned()));
    let overrides = Overrides {
        set: set.collect(),
        ..Overrides::default()
    };
    parse("a.yaml", text, &overrides).unwrap_or_else(|errors| panic!("{errors}"))
}

fn large(set: &[(&str, &str)]) -> Plan {
    plan_with(LARGE, set)
}

fn share(plan: &Plan, ratio: f64) -> Share {
    share_of(plan, Ratio(ratio))
}

fn sample_of(plan: &Plan, ratio: f64) -> SampledPlan {
    sampled(plan, share(plan, ratio), seed_of(plan, 0)).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn operators_may_do_what_a_sample_can_do_as_well() {
    let jobs = |what: &str| format!("[{{ name: recall, at: 90s, {what} }}]");
    for good in [
        "put: { product: all }",
        "invalidate: { product: 500 }",
        "deploy: rolling",
    ] {
        sample_of(&large(&[("jobs", &jobs(good))]), 0.02);
    }
    let recall = jobs("invalidate_pattern: { product: 3 }");
    let set = [
        ("data_types.product.key", "product:{id}:{color}"),
        (
            "data_types.product.population",
            "{ id: 100_000, color: 10 }",
        ),
        ("jobs", &*recall),
    ];
    let told = refused(&set, 0.02);
    assert!(
        told.contains("the job `recall`: it drops a few groups of keys"),
        "{told}"
    );
}

#[test]
fn who_drops_what_is_being_loaded_is_told() {
    let mix =
        |drops: &str| format!("{{ product.get: 90, product.invalidate: {drops}, basket.get: 9 }}");
    let told = |drops: &str| {
        let plan = large(&[("traffic.mix", &*mix(drops))]);
        sample_of(&plan, 0.02).sampling.caveats.join("\n")
    };
    // The most popular product is asked for some 30,000 times a second, and loaded in 10 ms.
    assert!(!told("0.001").contains("being loaded"));
    insta::assert_snapshot!(told("0.5"), @"
    20 connections stand for 1,000: waits for one are overstated, because few queue sooner than many
    what warming loaded is told as it was in the sample
    `product`: its popular keys are dropped so often that up to 10.3% of its lookups hit and would find them being loaded in the whole
    ");
}

fn refused(set: &[(&str, &str)], ratio: f64) -> String {
    let plan = large(set);
    match sampled(&plan, share(&plan, ratio), plan.seed) {
        Ok(_) => panic!("{set:?} was taken"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_sample_is_scaled_so_that_its_keys_stay_as_long() {
    let whole = large(&[]);
    let SampledPlan { plan, sampling, .. } = sample_of(&whole, 0.02);
    assert_eq!(plan.traffic.users, 20_000);
    assert_eq!(
        (sampling.users_simulated, sampling.users_total),
        (20_000, 1_000_000)
    );
    assert_eq!((plan.instances, plan.database.connections), (3, 20));
    // The strata of the head, whole, and a fiftieth of the rest.
    let keys = sampling.keys_of("product").expect("sampled keys");
    let head = keys.thinned.len();
    assert!((15..40).contains(&head), "{head}");
    assert!(
        (20_000..20_100).contains(&keys.kept) && keys.keys == 1_000_000,
        "{}",
        keys.kept
    );
    let entries = plan.layers.local.expect("a local layer").entries;
    assert!((1_990..=2_040).contains(&entries), "{entries}");
    let maxmemory = |plan: &Plan| {
        let remote = plan.layers.remote.as_ref().expect("a remote layer");
        remote.redis.maxmemory.expect("a limit").0 as f64
    };
    let base = sampling.remote_base_bytes as f64;
    let part = (maxmemory(&plan) - base) / (maxmemory(&whole) - base);
    assert!((0.0199..0.0206).contains(&part), "{part}");
    let limit = plan.resilience.origin.limit.expect("a limit");
    assert_eq!((limit.concurrency, limit.queue), (6, 1));
    assert_eq!(plan.resilience.write_behind.queue_max, 200);
    assert_eq!(plan.warming.as_ref().expect("warming").concurrency, 2);
    // What a user does and how long things live is as it was.
    assert_eq!(plan.workload.kinds[0].what, whole.workload.kinds[0].what);
    assert_eq!(plan.traffic.phases, whole.traffic.phases);
    assert_eq!(plan.resolved_yaml, whole.resolved_yaml);
    assert!(sampling.keys_of("basket").is_none(), "users bring theirs");
    assert_eq!(
        plan.workload.populations[1].dimensions,
        [Dimension::Cardinality(20_000)]
    );
}

#[test]
fn keys_are_called_as_in_the_whole_and_samples_differ() {
    let whole = large(&[("data_types.product.population", "5_000")]);
    let (one, other) = (seed_of(&whole, 0), seed_of(&whole, 1));
    let share = share(&whole, 0.02);
    let traffic =
        |plan: &Plan| Traffic::new(&plan.workload, &plan.policies, plan.seed.fork(TRAFFIC_SEED));
    let of = |seed| traffic(&sampled(&whole, share, seed).expect("a sample").plan);
    let id = whole.policies.id_of("product").expect("products");
    let all = traffic(&whole).most_popular(id, 5_000);
    let (first, second) = (of(one), of(other));
    // The head is the same, and each sample has its own tail.
    assert_eq!(first.most_popular(id, 5), all[..5]);
    assert_ne!(
        first.most_popular(id, 5_000),
        second.most_popular(id, 5_000)
    );
    assert!(
        first
            .most_popular(id, 5_000)
            .iter()
            .all(|key| all.contains(key))
    );
    let asked = |traffic: &Arc<Traffic>| -> Vec<Step> {
        let mut user = User::new(Arc::clone(traffic), 0);
        (0..50).map(|_| user.next()).collect()
    };
    assert_eq!(asked(&first), asked(&of(one)));
    assert_ne!(asked(&first), asked(&second));
    // Nothing is asked for that is not kept.
    let kept = first.most_popular(id, 5_000);
    for step in (0..50).flat_map(|user| {
        let mut user = User::new(Arc::clone(&first), user);
        (0..50).map(move |_| user.next()).collect::<Vec<_>>()
    }) {
        if let Step::Request(request) = step
            && request.data_type == id
        {
            assert!(kept.contains(&request.params), "{request:?}");
        }
    }
}

#[test]
fn what_cannot_be_scaled_is_refused_with_the_share_that_would_do() {
    insta::assert_snapshot!(refused(&[("origin.connections", "40")], 0.02), @"
    a sample of 2% of the users and keys would not be true to the whole:
      connections of the database's pool: 0.8 of 40 are left, and fewer than 4 queue in another way than many
      a share of 10% would do: 100,000 of 1,000,000 users (`simulation: { sample: … }`)
    ");
    insta::assert_snapshot!(refused(&[("layers.local.entries", "1000")], 0.02), @"
    a sample of 2% of the users and keys would not be true to the whole:
      the local layer for `product` is too small: its popular keys would be evicted, and 17.8% of the lookups miss that hit in the whole
      a share of 6.86% would do: 68,563 of 1,000,000 users (`simulation: { sample: … }`)
    ");
    insta::assert_snapshot!(refused(&[("layers.local.entries", "60")], 0.02), @"
    a sample of 2% of the users and keys would not be true to the whole:
      the local layer would have room for 1 keys, and it takes 16 to say what is evicted
      the local layer for `product` is too small: its popular keys would be evicted, and 16.0% of the lookups miss that hit in the whole
      a share of 36.79% would do: 367,852 of 1,000,000 users (`simulation: { sample: … }`)
    ");
    insta::assert_snapshot!(refused(&[("traffic.mix.product.invalidate_all", "1")], 0.02), @"
    a sample of 2% of the users and keys would not be true to the whole:
      `product.invalidate_all`: so few users would have to ask for it as often as all do, and do little else
      a share of 49.76% would do: 497,513 of 1,000,000 users (`simulation: { sample: … }`)
    ");
}

#[test]
fn what_no_sample_is_true_to_is_refused() {
    let never = |set: &[(&str, &str)], wanted: &str| {
        let told = refused(set, 0.02);
        assert!(told.contains(wanted), "{told}");
        assert!(told.contains("no share would do"), "{told}");
    };
    never(
        &[("layers.remote", "{ store: memcached, maxmemory: 64MiB }")],
        "the remote layer: memcached",
    );
    never(
        &[(
            "origin.query_cache",
            "{ entries: 10, hit_time: { median: 1ms, p99: 2ms } }",
        )],
        "the database's query cache",
    );
    never(
        &[
            ("data_types.basket.key", "\"product:{id}\""),
            ("data_types.basket.popularity", "uniform"),
            ("data_types.basket.population", "1_000_000"),
            ("data_types.product.key", "\"item:{id}\""),
            ("data_types.product.related", "[\"product:{id}\"]"),
        ],
        "related keys of another data type",
    );
    never(
        &[
            ("data_types.product.key", "\"product:{id}:{size}\""),
            ("data_types.product.population", "{ id: 100_000, size: 10 }"),
            ("traffic.mix.product.invalidate_pattern", "1"),
        ],
        "drops keys that a sample mostly leaves out",
    );
    for (popularity, wanted) in [
        ("{ zipf: 0.99, drift: 10%/1h }", "its keys drift"),
        ("{ latest: 0.99 }", "every put makes a new key"),
        (
            "{ hotspot: { keys: 1%, requests: 90% } }",
            "these follow another",
        ),
    ] {
        never(&[("data_types.product.popularity", popularity)], wanted);
    }
}

const KINDS: &str = "{ \
    shoppers: { users: 900_000, think_time: 1s, mix: { product.get: 1, product.put: 0.1 } }, \
    office: { users: 100_000, think_time: 500ms, journeys: { work: { steps: [ \
        { product.get: 3, think_time: 1s, remember: id }, basket.get, \
        { product.put: 1, use: id, chance: 50% } ] } } } }";

/// [`LARGE`] with users of two kinds.
fn of_kinds(kinds: &str) -> Plan {
    let mix = "  mix: { product.get: 90, product.put: 1, basket.get: 9 }\n";
    let text = LARGE.replace("  users: 1_000_000\n  think_time: 1s..3s\n", "");
    plan_with(&text.replace(mix, &format!("  kinds: {kinds}\n")), &[])
}

#[test]
fn kinds_of_users_keep_their_proportions() {
    let plan = sample_of(&of_kinds(KINDS), 0.02).plan;
    let kinds = plan.workload.kinds.iter();
    let users: Vec<u32> = kinds.map(|kind| kind.users).collect();
    assert_eq!((plan.traffic.users, users), (20_000, vec![18_000, 2_000]));
    // A write of what the same journey read is of a key that the sample keeps.
    let traffic = Traffic::new(&plan.workload, &plan.policies, plan.seed.fork(TRAFFIC_SEED));
    let id = plan.policies.id_of("product").expect("products");
    let kept = traffic.most_popular(id, 1_000_000);
    let kept: std::collections::BTreeSet<_> = kept
        .iter()
        .map(crate::workload::KeyParams::as_slice)
        .collect();
    for user in (0..200).filter(|user| traffic.kind_of(*user).0 == 1) {
        let mut user = User::new(Arc::clone(&traffic), user);
        for _ in 0..50 {
            if let Step::Request(request) = user.next()
                && request.data_type == id
            {
                assert!(kept.contains(request.params.as_slice()), "{request:?}");
            }
        }
    }
}

#[test]
fn what_a_sample_cannot_keep_of_kinds_and_journeys_is_refused() {
    let refused = |plan: &Plan, ratio| match sampled(plan, share(plan, ratio), plan.seed) {
        Ok(_) => panic!("it was taken"),
        Err(error) => error.to_string(),
    };
    let few = of_kinds(&KINDS.replace("100_000", "400"));
    insta::assert_snapshot!(refused(&few, 0.02), @"
    a sample of 2% of the users and keys would not be true to the whole:
      users of the kind `office`: 8.0 of 400 are left, and it takes 10 to keep the proportions
      a share of 2.5% would do: 22,510 of 900,400 users (`simulation: { sample: … }`)
    ");
    let carried = "{ visitors: { users: 1_000_000, think_time: 1s, journeys: { \
        look: { steps: [{ basket.get: 1, remember: user }, { product.get: 1, use: { id: user } }] }, \
        sweep: { steps: [product.invalidate_all] } } } }";
    insta::assert_snapshot!(refused(&of_kinds(carried), 0.02), @"
    a sample of 2% of the users and keys would not be true to the whole:
      `product`: journeys ask for keys of it that earlier steps chose, and a sample keeps others
      `product.invalidate_all`: it is part of journeys, which fewer users make less often, and it drops keys of all users
      no share would do: simulate it whole, with fewer users or `simulation: { sample: none }`
    ");
}

#[test]
fn what_drops_everything_comes_as_often_as_in_the_whole() {
    let whole = large(&[("traffic.mix.product.invalidate_all", "0.01")]);
    let plan = sample_of(&whole, 0.02).plan;
    let line = plan.workload.kinds[0].mix().last().expect("a line");
    assert!((line.weight - 0.5).abs() < 1e-9, "{line:?}");
}

#[test]
fn the_share_is_chosen_and_told() {
    let told = |plan: &Plan| match choose(plan, 50_000, 20_000) {
        Ok(choice) => choice.told().unwrap_or_else(|| "whole".to_owned()),
        Err(error) => error.to_string(),
    };
    insta::assert_snapshot!(told(&large(&[])), @"simulating 20,000 of 1,000,000 users (1 in 50) and as large a share of the keys");
    insta::assert_snapshot!(told(&large(&[("traffic.users", "50_000")])), @"whole");
    insta::assert_snapshot!(told(&large(&[("simulation.sample", "none")])), @"whole");
    insta::assert_snapshot!(told(&large(&[("simulation.sample", "10%")])), @"simulating 100,000 of 1,000,000 users (1 in 10) and as large a share of the keys");
    insta::assert_snapshot!(told(&large(&[("simulation.sample", "0.1%")])), @"
    a sample of 0.1% of the users and keys would not be true to the whole:
      connections of the database's pool: 1.0 of 1,000 are left, and fewer than 4 queue in another way than many
      calls that an instance may make at once: 0.3 of 300 are left, and fewer than 4 queue in another way than many
      a share of 1.34% would do: 13,334 of 1,000,000 users (`simulation: { sample: … }`)
    ");
    // The ADR's pool is small: the sample must be larger than wanted, and a whole number of
    // connections is taken.
    insta::assert_snapshot!(told(&plan_with(ADR, &[("traffic.users", "1_000_000")])), @"simulating 100,000 of 1,000,000 users (1 in 10) and as large a share of the keys; fewer would not do: connections of the database's pool: 0.8 of 40 are left, and fewer than 4 queue in another way than many; the local layer for `customer` is too small: its popular keys would be evicted, and 12.4% of the lookups miss that hit in the whole; the local layer for `quote` is too small: its popular keys would be evicted, and 30.1% of the lookups miss that hit in the whole");
}

/// Its load does not grow with its users, so there is nothing to take a share of.
#[test]
fn an_open_loop_is_simulated_whole() {
    let open = [("traffic.driver", "open"), ("traffic.arrivals", "500/s")];
    assert_eq!(choose(&large(&open), 50_000, 20_000), Ok(Choice::Whole));
    let share = [open[0], open[1], ("simulation.sample", "10%")];
    let refused = choose(&large(&share), 50_000, 20_000).expect_err("refused");
    insta::assert_snapshot!(refused.to_string(), @"
    a sample of 10% of the users and keys would not be true to the whole:
      the open loop: requests arrive by their own rates, however many users there are; simulate it whole, or lower `arrivals`
      no share would do: simulate it whole, with fewer users or `simulation: { sample: none }`
    ");
}

#[test]
fn variants_are_sampled_too() {
    let text = format!(
        "{LARGE}variants:\n  - {{ name: all }}\n  - {{ name: no-local, set: {{ layers.local: none }} }}\n"
    );
    let plan = plan_with(&text, &[]);
    let sample = sample_of(&plan, 0.02);
    let other = sample.plan.variants[1].plan.as_ref().expect("a plan");
    assert_eq!(
        (other.traffic.users, other.database.connections),
        (20_000, 20)
    );
    assert_eq!(sample.variants.len(), 1);
    let keys = sample.variants[0].1.keys_of("product").expect("keys");
    assert!(keys.local.is_none() && keys.remote.is_some());
    // What one of them breaks, the sample breaks.
    let text = text.replace("layers.local: none", "origin.connections: 40");
    let plan = plan_with(&text, &[]);
    assert!(sampled(&plan, share(&plan, 0.02), plan.seed).is_err());
}

#[test]
fn a_sample_of_all_is_the_plan() {
    let whole = large(&[]);
    let sample = sample_of(&whole, 1.0);
    assert_eq!(sample.plan.workload, whole.workload);
    assert_eq!(sample.plan.layers.local, whole.layers.local);
    assert_eq!(sample.plan.layers.remote, whole.layers.remote);
    assert!(sample.sampling.caveats.is_empty() && sample.sampling.data_types.is_empty());
}

#[test]
fn what_is_known_of_errors_is_bounded() {
    let sampling = sample_of(&large(&[]), 0.02).sampling;
    let keys = sampling.keys_of("product").expect("keys");
    let times = Times {
        warm_up: Duration::from_mins(1),
        judged: Duration::from_mins(1),
    };
    let reads = 10_000.0 * 60.0;
    // Nothing expires in the remote layer, but locally entries do once a minute in each instance.
    let local = keys.missed_more(keys.local.expect("local"), reads, times);
    let thinned = keys.thinned.len() as f64;
    assert!(
        local > 2.0 * thinned && local < 3.2 * thinned,
        "{local} of {thinned}"
    );
    let cache = keys.cache.expect("a cache");
    assert!(keys.missed_more(cache, reads, times) < reads * (cache.evicted + 0.001));
    assert!(
        cache.evicted < 0.01 && cache.unsure_of_misses > 0.0,
        "{cache:?}"
    );
    insta::assert_debug_snapshot!(sampling.caveats, @r#"
    [
        "20 connections stand for 1,000: waits for one are overstated, because few queue sooner than many",
        "what warming loaded is told as it was in the sample",
        "`product`: its popular keys are dropped so often that up to 14.4% of its lookups hit and would find them being loaded in the whole",
    ]
    "#);
}
