//! Virtual time from end to end: the same seed gives the same report, another seed another, no real
//! time passes, and what is measured is what a real run measures.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use cachestorm::clock::Clock;
use cachestorm::report::model::Report;
use cachestorm::runner::{self, Moment, Progress, RunError, RunOptions};
use cachestorm::scenario::{self, Overrides, plan::Plan};
use cachestorm::seed::Seed;
use tokio::sync::watch;

/// Every strategy and layer at once, on a store that is too small.
const BUSY: &str = "
name: busy
seed: 7
data_types:
  customer:
    key: 'customer:360:{id}'
    related: ['customer:basic:{id}']
    strategy: cache-aside
    ttl: 20s
    local_ttl: 5s
    invalidation: event
    population: 400
    popularity: { zipf: 0.99 }
    value_size: 1KiB
    origin: { query_time: { median: 40ms, p99: 90ms }, write_time: { median: 5ms, p99: 5ms } }
  product:
    key: 'product:{id}'
    strategy: write-through
    ttl: 1m
    local_ttl: 10s
    population: 300
    popularity: { zipf: 0.8 }
    value_size: 2KiB
    origin: { query_time: { median: 30ms, p99: 80ms }, write_time: { median: 5ms, p99: 5ms } }
  activity:
    key: 'activity:{user}:{n}'
    strategy: write-behind
    ttl: 1m
    popularity: per-user
    population: { n: unique }
    value_size: 200B
    origin: { query_time: { median: 10ms, p99: 10ms }, write_time: { median: 5ms, p99: 5ms } }
  limit:
    key: 'limit:{user}:{window}'
    strategy: counter
    ttl: 10s
    limit: { requests: 3, window: 10s }
    popularity: per-user
layers:
  local: { entries: 100 }
  remote: { maxmemory: 2MiB, policy: volatile-lru }
instances: 3
origin: { connections: 8 }
resilience: { stampede: lease, ttl_jitter: 10%, negative_ttl: 1s, serve_stale: 5s }
warming: { at_start: true, keys: { product: 50 } }
traffic:
  users: 60
  ramp: 1s
  think_time: 100ms..500ms
  phases: [ { name: warm-up, for: 5s }, { name: steady, for: 40s } ]
  mix:
    customer.get: 40
    product.get: 30
    customer.put: 3
    product.put: 2
    customer.invalidate: 1
    product.invalidate_all: 0.05
    activity.put: 10
    limit.admit: 10
baseline: { for: 5s }
gates: ['hit_ratio > 50%', 'error_ratio == 0%']
alerts: [{ check: 'hit_ratio < 99%' }]
";

struct Quiet;

impl Progress for Quiet {
    fn step(&self, _: &str) {}
    fn moment(&self, _: &Moment) {}
}

fn plan(scenario: &str, seed: Option<u64>, set: &[(&str, &str)]) -> Plan {
    let overrides = Overrides {
        seed: seed.map(Seed),
        set: set
            .iter()
            .map(|(path, value)| ((*path).to_owned(), (*value).to_owned()))
            .collect(),
        ..Overrides::default()
    };
    scenario::parse("busy.yaml", scenario, &overrides).unwrap_or_else(|errors| panic!("{errors}"))
}

fn simulate(plan: &Plan, out: &Path, stopped: bool) -> Result<Report, RunError> {
    let options = RunOptions {
        scenario_file: "busy.yaml".to_owned(),
        out: Some(out.to_owned()),
        ..RunOptions::default()
    };
    let (_stop, stop) = watch::channel(stopped);
    runner::simulate(plan, &options, &Quiet, stop).map(|finished| finished.report)
}

/// The files of a report by name.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).expect("a folder");
    entries
        .map(|entry| {
            let entry = entry.expect("an entry");
            let bytes = fs::read(entry.path()).expect("a file");
            (entry.file_name().to_string_lossy().into_owned(), bytes)
        })
        .collect()
}

/// Each seed twice; every file of the report is the same, byte for byte.
#[test]
fn the_same_seed_gives_the_same_report_and_another_seed_another() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let topologies = ["standalone", "sentinel", "cluster"];
    let mut hashes = Vec::new();
    for (seed, topology) in [1, 2, 3].into_iter().zip(topologies) {
        let plan = plan(BUSY, Some(seed), &[("layers.remote.topology", topology)]);
        let [once, again] = ["once", "again"].map(|name| {
            let out = folder.path().join(format!("{seed}-{name}"));
            let report = simulate(&plan, &out, false).expect("a simulation");
            (report, files(&out))
        });
        assert_eq!(
            once.1.keys().collect::<Vec<_>>(),
            again.1.keys().collect::<Vec<_>>()
        );
        for (name, bytes) in &once.1 {
            assert!(again.1[name] == *bytes, "seed {seed}: {name} differs");
        }
        let report = once.0;
        let log = report.event_log.expect("a log");
        assert!(log.events > 10_000, "{}", log.events);
        hashes.push(log.hash);
        assert_eq!((&*report.time, report.validity.valid), ("virtual", true));
        for (name, oracle) in &report.oracles {
            assert_eq!(
                oracle.violations, 0,
                "seed {seed}, {name}: {:?}",
                oracle.worst
            );
        }
    }
    hashes.sort();
    hashes.dedup();
    assert_eq!(hashes.len(), 3, "every seed has a run of its own");
}

/// Hours pass in seconds; a bound far above what it takes, far below what it would.
#[test]
fn virtual_time_does_not_wait_for_real_time() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let set = [
        ("traffic.users", "5"),
        ("traffic.think_time", "10m..30m"),
        ("traffic.phases.1.for", "6h"),
    ];
    let clock = Clock::real();
    let began = clock.now();
    let report = simulate(&plan(BUSY, None, &set), folder.path(), false).expect("a simulation");
    assert!(report.duration_s > 6.0 * 3_600.0);
    assert!(report.requests.total > 60, "{}", report.requests.total);
    assert!(clock.now().since(began) < Duration::from_mins(30));
}

#[test]
fn a_simulation_can_be_stopped() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut plan = plan(BUSY, None, &[]);
    plan.baseline = None;
    match simulate(&plan, folder.path(), true) {
        Ok(report) => assert!(report.validity.interrupted),
        Err(error) => assert!(matches!(error, RunError::Interrupted), "{error}"),
    }
}

#[test]
fn what_has_no_model_is_refused_and_said() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let set = [
        ("layers.remote", "{ store: memcached }"),
        ("resilience.stampede", "single-flight"),
    ];
    let error = simulate(&plan(BUSY, None, &set), &folder.path().join("out"), false);
    let error = error.expect_err("there is no model of memcached");
    assert!(matches!(error, RunError::Environment(_)));
    assert!(
        error
            .to_string()
            .starts_with("memcached cannot be simulated"),
        "{error}"
    );
    assert!(
        !folder.path().join("out").exists(),
        "nothing is left behind"
    );
}
