//! Scenarios from text to plan: what is read, what is refused and where, what may never happen.

mod mistakes;
mod rules;
mod survival;
mod variants;

use std::time::Duration;

use super::*;
use crate::engine::data_type::DataTypeId;
use crate::engine::layer::Operation;
use crate::measure::PhaseKind;
use crate::seed::Seed;
use crate::units::Ratio;
use crate::workload::{Dimension, Popularity};

const ADR: &str = include_str!("../../scenarios/adr-006.yaml");
const DAY: &str = include_str!("../../scenarios/day.yaml");
const MILLION: &str = include_str!("../../scenarios/million-users.yaml");

/// Short, right, and with one of everything.
const SMALL: &str = r#"
name: small
description: one of everything
data_types:
  customer:
    key: "customer:{customer_id}"
    related: ["basic:{customer_id}"]
    strategy: cache-aside
    ttl: 15m
    local_ttl: 1m
    invalidation: event
    population: 300
    popularity: { zipf: 0.99 }
    value_size: 4KiB
    origin:
      query_time: { median: 150ms, p99: 400ms }
  stock:
    key: "stock:{product}:{warehouse}"
    strategy: write-through
    ttl: 5m
    population: { product: 50, warehouse: 4 }
    value_size: 256B
    prefilled: true
    origin:
      query_time: { median: 100ms, p99: 250ms }
      write_time: { median: 10ms, p99: 40ms }
  limit:
    key: "limit:{api_key}:{window}"
    strategy: counter
    ttl: 1h
    limit: { requests: 100, window: 30m }
    popularity: per-user
  activity:
    key: "activity:{user}:{number}"
    strategy: write-behind
    ttl: 2h
    popularity: per-user
    population: { number: unique }
    value_size: 100B
    origin:
      query_time: { median: 20ms, p99: 60ms }
layers:
  local: { entries: 1000, bytes: 64MiB }
  remote: { maxmemory: 32MiB, policy: volatile-ttl, timeout: 250ms, connections: 2 }
instances: 2
origin: { connections: 10, acquire_timeout: 2s }
resilience: { ttl_jitter: 10%, negative_ttl: 5s }
traffic:
  users: 100
  ramp: 2s
  think_time: 1s..3s
  request_timeout: 7s
  on_start: [customer.get]
  phases:
    - { name: warm-up, for: 5s }
    - { name: calm, for: 10s }
    - { name: steady, for: 30s }
  mix: { customer.get: 40, customer.put: 1, stock.get: 20, limit.admit: 5, activity.put: 0.5 }
baseline: { for: 20s }
alerts:
  - "redis_up == 0"
  - { name: cold, source: the list, check: "hit_ratio{data_type=stock} < 80%", for: 5s, window: 20s }
gates:
  - "p95(response_time) < 1s"
  - { name: hits, source: the table, check: "hit_ratio{data_type=customer, phase=calm} >= 95%" }
"#;

fn plan(text: &str) -> Plan {
    parse("a.yaml", text, &Overrides::default()).unwrap_or_else(|errors| panic!("{errors}"))
}

fn set(pairs: &[(&str, &str)]) -> Overrides {
    let pairs = pairs
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    Overrides {
        set: pairs.collect(),
        ..Overrides::default()
    }
}

fn changed(overrides: &Overrides) -> Plan {
    parse("a.yaml", SMALL, overrides).unwrap_or_else(|errors| panic!("{errors}"))
}

fn refused(overrides: &Overrides) -> String {
    match parse("a.yaml", SMALL, overrides) {
        Ok(_) => panic!("{overrides:?} was taken"),
        Err(errors) => errors.to_string(),
    }
}

#[test]
fn a_scenario_becomes_a_plan_with_defaults_filled_in() {
    let plan = plan(SMALL);
    assert_eq!((plan.name.as_str(), plan.seed), ("small", Seed(42)));
    assert_eq!((plan.instances, plan.database.connections), (2, 10));
    let customer = plan.policies.id_of("customer").expect("a customer");
    let policy = plan.policies.get(customer);
    assert_eq!(policy.ttl_jitter, Ratio(0.1));
    assert_eq!(policy.negative_ttl, Some(Duration::from_secs(5)));
    let table = &plan.database.tables[customer.index()];
    assert_eq!(table.write_time, table.read_time);
    assert!(table.prefilled);
    let limit = plan.policies.id_of("limit").expect("a limit");
    assert_eq!(plan.policies.get(limit).ttl_jitter, Ratio(0.0));
    assert_eq!(plan.policies.get(limit).negative_ttl, None);
    let populations = &plan.workload.populations;
    assert_eq!(populations[2].dimensions, [Dimension::Cardinality(100)]);
    assert_eq!(
        populations[3].dimensions,
        [Dimension::Cardinality(100), Dimension::Unique]
    );
    assert!(!plan.database.tables[3].prefilled);
    let once: Vec<DataTypeId> = plan.keys_come_once().collect();
    assert_eq!(once, [DataTypeId(3)]);
    assert_eq!(
        plan.workload.kinds[0].on_start,
        [(customer, Operation::Get)]
    );
    let kinds: Vec<PhaseKind> = plan.traffic.phases.iter().map(|p| p.kind).collect();
    assert_eq!(
        kinds,
        [PhaseKind::WarmUp, PhaseKind::Measure, PhaseKind::Measure]
    );
    assert_eq!(plan.gates[0].name, "p95(response_time) < 1s");
    assert_eq!(plan.gates[1].source, "the table");
}

#[test]
fn the_scenario_of_the_adr_is_right() {
    let plan = plan(ADR);
    assert_eq!(plan.traffic.users, 1_000);
    assert_eq!(plan.policies.len(), 7);
    let popularity = plan.workload.populations[0].popularity.clone();
    assert_eq!(popularity, Popularity::Zipf { skew: 0.99 });
    for gate in &plan.gates {
        assert!(gate.source.starts_with("ADR-006, "), "{}", gate.name);
    }
    // Its gate on connections repeats the pool's size.
    let pool = format!("origin_peak_connections <= {}", plan.database.connections);
    assert!(plan.gates.iter().any(|gate| gate.check.text == pool));
}

/// What their comments say of them.
#[test]
fn the_scenarios_for_virtual_time_are_right() {
    let day = plan(DAY);
    let hours = |hours| Duration::from_hours(hours);
    assert_eq!(day.traffic.duration(), hours(24));
    assert_eq!(
        (day.traffic.users, day.traffic.users_live_wanted()),
        (1_000, 990)
    );
    let rhythm = day.traffic.rhythm.as_ref().expect("a rhythm");
    // A request every 4 s from each who is there.
    let present = (0..24 * 60).map(|minute| rhythm.present(Duration::from_secs(minute * 60)));
    let requests = present.sum::<f64>() * 1_000.0 * 60.0 / 4.0;
    assert!((14.7e6..14.9e6).contains(&requests), "{requests}");
    assert_eq!(jobs::schedule(&day.jobs, hours(24)).len(), 5);
    let million = plan(MILLION);
    assert_eq!((million.traffic.users, million.instances), (1_000_000, 60));
    for plan in [&day, &million] {
        for gate in &plan.gates {
            assert!(gate.source.starts_with("ADR-006, "), "{}", gate.name);
        }
    }
}

#[test]
fn the_resolved_scenario_gives_the_same_plan() {
    let overrides = Overrides {
        users: Some(123),
        seed: Some(Seed(u64::MAX)),
        duration: Some(Duration::from_millis(90_001)),
        ..set(&[
            (
                "description",
                "\"tab \\t, quote \\\", line\\nfeed, \\x7f ünïcode 🦀\"",
            ),
            ("data_types.customer.value_size", "2049B"),
            ("data_types.customer.ttl_jitter", "33.3%"),
            ("data_types.customer.ttl", "1h 30m"),
            ("data_types.customer.popularity.zipf", "1.25e-3"),
            ("traffic.mix.stock.get", "0.1"),
            ("gates.1.name", "\"a: b # c\""),
        ])
    };
    let without_layers = set(&[
        ("layers", "{ local: none, remote: none }"),
        ("baseline", "none"),
        ("gates", "[]"),
        ("traffic.on_start", "[]"),
    ]);
    let plans = [
        plan(ADR),
        plan(SMALL),
        plan(DAY),
        changed(&overrides),
        changed(&without_layers),
    ];
    for first in plans {
        let again = plan(&first.resolved_yaml);
        assert_eq!(format!("{again:?}"), format!("{first:?}"));
    }
}

#[test]
fn the_resolved_scenario_reads_well() {
    insta::assert_snapshot!("resolved", plan(SMALL).resolved_yaml);
}

#[test]
fn the_command_line_changes_a_scenario() {
    let plan = changed(&set(&[
        ("traffic.phases.steady.for", "12s"),
        ("traffic.phases.0.for", "4s"),
        ("traffic.mix.customer.get", "7"),
        ("traffic.mix.stock.invalidate", "1"),
        ("layers.remote", "none"),
        ("layers.local.bytes", "1MiB"),
        ("data_types.customer.population", "{ customer_id: 77 }"),
        ("instances", "1"),
        ("instances", "3"),
    ]));
    let seconds: Vec<u64> = plan
        .traffic
        .phases
        .iter()
        .map(|p| p.duration.as_secs())
        .collect();
    assert_eq!(seconds, [4, 10, 12]);
    assert_eq!(plan.workload.kinds[0].mix()[0].weight.to_string(), "7");
    assert_eq!(
        plan.workload.kinds[0].mix()[5].operation,
        Operation::Invalidate
    );
    assert!(plan.layers.remote.is_none());
    let customers = &plan.workload.populations[0].dimensions;
    assert_eq!(customers, &[Dimension::Cardinality(77)]);
    assert_eq!(plan.instances, 3, "the last one wins");

    let back = parse(
        "a.yaml",
        &plan.resolved_yaml,
        &set(&[("layers.remote.maxmemory", "9MiB")]),
    );
    assert!(back.is_ok_and(|plan| plan.layers.remote.is_some()));
}

#[test]
fn users_and_seed_of_the_command_line_win() {
    let plan = changed(&Overrides {
        users: Some(250),
        seed: Some(Seed(7)),
        ..Overrides::default()
    });
    assert_eq!((plan.traffic.users, plan.seed), (250, Seed(7)));
    let per_user = &plan.workload.populations[2].dimensions;
    assert_eq!(per_user, &[Dimension::Cardinality(250)]);
}

#[test]
fn the_duration_is_shared_by_the_measured_phases() {
    for (wanted_ms, shares_ms) in [(80_000, [20_000, 60_000]), (10_001, [2_500, 7_501])] {
        let plan = changed(&Overrides {
            duration: Some(Duration::from_millis(wanted_ms)),
            ..Overrides::default()
        });
        let phases = &plan.traffic.phases;
        assert_eq!(phases[0].duration.as_secs(), 5, "the warm-up stays");
        let found = [phases[1].duration, phases[2].duration].map(|d| d.as_millis());
        assert_eq!(found, shares_ms);
    }
}

#[test]
fn a_bad_gate_is_shown_where_it_goes_wrong() {
    let check = "p95(respnse_time) < 1s";
    let text = SMALL.replace("p95(response_time) < 1s", check);
    let expected = check
        .parse::<crate::gates::grammar::Check>()
        .expect_err("no such metric");
    let errors = parse("a.yaml", &text, &Overrides::default()).expect_err("a bad gate");
    let found = errors.iter().next().expect("an error");
    assert_eq!(found.message(), expected.message);
    let Place::Source { line, column, .. } = *found.place() else {
        panic!("{:?}", found.place())
    };
    let row = text.lines().nth(line - 1).expect("the line");
    let at = row.find(check).expect("the check") + expected.at;
    assert_eq!(column, at + 1);
}

#[test]
fn files_that_are_none_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let told = |name: &str, content: Option<&[u8]>| {
        let path = folder.path().join(name);
        if let Some(content) = content {
            std::fs::write(&path, content).expect("written");
        }
        let errors = load(&path, &Overrides::default()).expect_err(name);
        errors
            .to_string()
            .replace(&folder.path().display().to_string(), "DIR")
    };
    insta::assert_snapshot!(told("missing.yaml", None), @"
    error: the scenario cannot be read: No such file or directory (os error 2)
     --> DIR/missing.yaml
      = help: give the path of a scenario file, such as scenarios/adr-006.yaml

    1 error in DIR/missing.yaml
    ");
    insta::assert_snapshot!(told("", None), @"
    error: this is a folder, not a scenario file
     --> DIR/
      = help: give the path of a file

    1 error in DIR/
    ");
    insta::assert_snapshot!(told("empty.yaml", Some(b"")), @"
    error: there is nothing in it
     --> DIR/empty.yaml
      = help: scenarios/adr-006.yaml is a scenario to begin with

    1 error in DIR/empty.yaml
    ");
    insta::assert_snapshot!(told("comment.yaml", Some(b"# nothing\n")), @"
    error: there is nothing in it
     --> DIR/comment.yaml
      = help: scenarios/adr-006.yaml is a scenario to begin with

    1 error in DIR/comment.yaml
    ");
    insta::assert_snapshot!(told("latin.yaml", Some(b"name: a\ndescription: caf\xe9\n")), @"
    error: this is not UTF-8
     --> DIR/latin.yaml:2:17
      |
    2 | description: caf�
      |                 ^ from here on
      = help: save the file as UTF-8

    1 error in DIR/latin.yaml
    ");
    insta::assert_snapshot!(told("large.yaml", Some(&vec![b'#'; (1 << 20) + 1])), @"
    error: the scenario is larger than 1 MiB
     --> DIR/large.yaml
      = help: is this the right file? A scenario takes a few KiB

    1 error in DIR/large.yaml
    ");
    insta::assert_snapshot!(told("list.yaml", Some(b"- a\n")), @"
    error: a scenario is wanted here, and a list stands here
     --> DIR/list.yaml:1:1
      |
    1 | - a
      | ^ write a mapping of keys to values

    1 error in DIR/list.yaml
    ");
    insta::assert_snapshot!(told("tab.yaml", Some(b"name:\n\t- a\n")), @"
    error: this is not YAML: tabs disallowed within this context (block indentation)
     --> DIR/tab.yaml:2:2
      |
    2 |  - a
      |  ^

    1 error in DIR/tab.yaml
    ");
}

#[test]
fn devices_are_not_waited_for() {
    let errors = load(Path::new("/dev/zero"), &Overrides::default()).expect_err("a device");
    assert!(
        errors.to_string().contains("not a regular file"),
        "{errors}"
    );
}

#[test]
fn a_file_is_loaded() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("small.yaml");
    std::fs::write(&path, SMALL).expect("written");
    let loaded = load(&path, &Overrides::default()).expect("a plan");
    assert_eq!(loaded.resolved_yaml, plan(SMALL).resolved_yaml);
}
