//! Alternatives: what each variant becomes, and that mistakes in all of them come out together.

use super::*;
use crate::environment::{MemcachedConfig, QueryCacheConfig, ServiceTime};

const VARIANTS: &str = r"
variants:
  - { name: none, set: { layers: { local: none, remote: none } } }
  - name: database
    set:
      layers: { local: none, remote: none }
      origin.query_cache: { entries: 500, ttl: 10m, hit_time: { median: 1ms, p99: 4ms } }
  - { name: full, main: true }
  - name: memcached
    set:
      layers.remote: { store: memcached, maxmemory: 16MiB, timeout: 200ms }
      data_types.customer.local_ttl: none
      traffic.mix.stock.get: 7
";

fn with_variants(variants: &str) -> String {
    format!("{SMALL}{variants}")
}

#[test]
fn each_variant_is_a_plan_of_its_own() {
    let plan = plan(&with_variants(VARIANTS));
    assert!(plan.layers.local.is_some() && plan.layers.remote.is_some());
    let names: Vec<_> = plan.variants.iter().map(|v| &*v.name).collect();
    assert_eq!(names, ["none", "database", "full", "memcached"]);
    let plans: Vec<Option<&Plan>> = plan.variants.iter().map(|v| v.plan.as_ref()).collect();
    let [Some(none), Some(database), None, Some(memcached)] = plans[..] else {
        panic!("the main variant is the plan itself: {plans:?}");
    };
    for plan in [none, database] {
        assert!(plan.layers.local.is_none() && plan.layers.remote.is_none());
    }
    assert_eq!(none.database.query_cache, None);
    let hit_time = ServiceTime {
        median: Duration::from_millis(1),
        p99: Duration::from_millis(4),
    };
    let cache = QueryCacheConfig {
        entries: 500,
        ttl: Some(Duration::from_mins(10)),
        hit_time,
    };
    assert_eq!(database.database.query_cache, Some(cache));
    let remote = memcached.layers.remote.as_ref().expect("memcached");
    assert_eq!(remote.memcached, Some(MemcachedConfig { memory_mib: 16 }));
    assert_eq!(remote.timeout, Duration::from_millis(200));
    let customer = memcached.policies.id_of("customer").expect("a row");
    assert_eq!(memcached.policies.get(customer).local_ttl, None);
    assert_eq!(
        plan.variants[3].changes[1..],
        [
            "data_types.customer.local_ttl=none",
            "traffic.mix.stock.get=7"
        ]
    );
    assert_eq!(
        plan.variants[3].changes[0],
        "layers.remote={ store: memcached, maxmemory: 16MiB, timeout: 200ms }"
    );
    // The same users ask the same requests of all.
    assert_eq!(none.seed, plan.seed);
}

#[test]
fn the_first_is_the_main_one_unless_another_says_so() {
    let plan = plan(&with_variants(
        "variants: [{ name: a, set: { instances: 7 } }, { name: b }]",
    ));
    assert_eq!(plan.instances, 7);
    assert!(plan.variants[0].plan.is_none());
    let other = plan.variants[1].plan.as_ref().expect("a plan");
    assert_eq!(other.instances, 2);
}

#[test]
fn no_variants_are_no_variants() {
    for variants in ["", "variants: none"] {
        assert!(plan(&with_variants(variants)).variants.is_empty());
    }
    let off = set(&[("variants", "none")]);
    let plan = parse("a.yaml", &with_variants(VARIANTS), &off);
    assert!(plan.expect("a plan").variants.is_empty());
}

#[test]
fn the_command_line_changes_every_variant_but_for_what_makes_it_one() {
    let overrides = Overrides {
        users: Some(7),
        ..set(&[("instances", "5"), ("traffic.mix.stock.get", "9")])
    };
    let plan = parse("a.yaml", &with_variants(VARIANTS), &overrides).expect("a plan");
    let weight = |plan: &Plan| plan.workload.kinds[0].mix()[2].weight.to_string();
    assert_eq!((plan.instances, &*weight(&plan)), (5, "9"));
    let memcached = plan.variants[3].plan.as_ref().expect("a plan");
    assert_eq!(memcached.traffic.users, 7);
    assert_eq!((memcached.instances, &*weight(memcached)), (5, "7"));
}

#[test]
fn the_resolved_scenario_gives_the_same_variants() {
    let first = plan(&with_variants(VARIANTS));
    let again = plan(&first.resolved_yaml);
    assert_eq!(again.resolved_yaml, first.resolved_yaml);
    for (again, first) in again.variants.iter().zip(&first.variants) {
        assert_eq!(again.name, first.name);
        assert_eq!(format!("{:?}", again.plan), format!("{:?}", first.plan));
    }
    let at = first.resolved_yaml.find("variants:").expect("the list");
    insta::assert_snapshot!(&first.resolved_yaml[at..at + 700]);
}

#[test]
fn every_mistake_in_every_variant_is_told_at_once_and_once() {
    let wrong = r"
variants:
  - { name: a, set: { layers.remote: { store: memcached, policy: allkeys-lru, maxmemory: 100KiB } } }
  - { name: a, main: true, set: { layers.lokal: none, instances: 0 } }
  - { name: b, main: true, set: { baseline: none, variants: none, traffic.phases.stedy.for: 5s } }
  - { name: c, set: { data_types.customer: none, origin.query_cache: { entries: 5, ttl: 0s } } }
  - { name: d, mian: true, set: [x] }
  - { set: {} }
";
    let text = with_variants(wrong).replace("think_time: 1s..3s", "think_time: 3s..1s");
    let errors = parse("small.yaml", &text, &Overrides::default()).expect_err("mistakes");
    let told = errors.to_string();
    let in_all = told.matches("3s..1s").count();
    assert!(in_all <= 2, "one error and its line: {told}");
    insta::assert_snapshot!(told);
}

#[test]
fn a_list_of_variants_has_some() {
    for (variants, wanted) in [
        ("variants: []", "from 1 to 24 variants"),
        ("variants: 5", "a list is wanted here"),
        ("variants: { a: {} }", "a list is wanted here"),
        ("varients: []", "did you mean `variants`?"),
    ] {
        let text = with_variants(variants);
        let errors = parse("a.yaml", &text, &Overrides::default()).expect_err(variants);
        assert!(errors.to_string().contains(wanted), "{errors}");
    }
}
