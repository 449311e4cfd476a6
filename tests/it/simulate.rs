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

/// So many users that the mean of their samples is close, so few that all of them can be simulated here.
const CROWD: &str = "
name: crowd
seed: 11
data_types:
  product:
    key: 'product:{id}'
    strategy: cache-aside
    ttl: 10s
    local_ttl: 3s
    population: 20_000
    popularity: { zipf: 0.9 }
    value_size: 256B
    origin: { query_time: { median: 10ms, p99: 20ms }, write_time: { median: 5ms, p99: 5ms } }
  stock:
    key: 'stock:{id}'
    strategy: write-through
    ttl: 20s
    population: 5_000
    popularity: { zipf: 0.6 }
    value_size: 128B
    origin: { query_time: { median: 10ms, p99: 20ms }, write_time: { median: 5ms, p99: 5ms } }
  session:
    key: 'session:{user}'
    strategy: write-through
    ttl: 1h
    popularity: per-user
    prefilled: false
    value_size: 200B
    origin: { query_time: { median: 5ms, p99: 9ms }, write_time: { median: 5ms, p99: 5ms } }
  activity:
    key: 'activity:{user}:{n}'
    strategy: write-behind
    ttl: 1m
    popularity: per-user
    population: { n: unique }
    value_size: 200B
    origin: { query_time: { median: 10ms, p99: 10ms }, write_time: { median: 5ms, p99: 5ms } }
layers:
  local: { entries: 2_000, policy: lru }
  remote: { maxmemory: 256MiB }
instances: 2
origin: { connections: 200 }
traffic:
  users: 4_000
  ramp: 2s
  think_time: 1s..3s
  on_start: [session.put]
  phases: [ { name: warm-up, for: 12s }, { name: steady, for: 12s } ]
  mix: { product.get: 60, stock.get: 25, stock.put: 2, product.put: 0.5, session.get: 12, activity.put: 4 }
gates:
  - 'hit_ratio > 30%'
  - 'rate > 1000/s'
  - 'users >= 4000'
  - 'origin_queries_per_s < 1900/s'
  - 'error_ratio == 0%'
alerts: [{ check: 'rate > 1000/s' }]
jobs: [{ name: catalogue, at: 8s, over: 10s, put: { product: all } }]
";

fn crowd(set: &[(&str, &str)]) -> Plan {
    plan(CROWD, None, set)
}

const TENTH: (&str, &str) = ("simulation", "{ sample: 10%, samples: 4 }");

/// What is estimated from a tenth of the users and keys is what all of them give.
#[test]
fn estimates_of_a_sample_hold_the_whole() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let whole = simulate(&crowd(&[]), &folder.path().join("whole"), false).expect("all of it");
    assert_eq!(whole.sampling, None);
    let sample = simulate(&crowd(&[TENTH]), &folder.path().join("sample"), false);
    let sample = sample.expect("a sample");
    let estimates = sample.sampling.as_ref().expect("estimates");
    assert_eq!(
        (
            estimates.users_simulated,
            estimates.users_total,
            estimates.samples
        ),
        (400, 4_000, 4)
    );
    let ratio = |layer: &str| whole.layers[layer].hit_ratio.expect("lookups");
    let of_type = |name: &str| whole.data_types[name].hit_ratio.expect("reads");
    let truths = [
        ("local layer's hit ratio", ratio("local")),
        ("remote layer's hit ratio", ratio("remote")),
        ("product hit ratio", of_type("product")),
        ("stock hit ratio", of_type("stock")),
        (
            "origin queries",
            whole.origin.as_ref().expect("an origin").queries_per_s,
        ),
        ("requests", whole.requests.rate_per_s),
    ];
    let mut missed = Vec::new();
    for (name, truth) in truths {
        let figure = estimates.figures.iter().find(|figure| figure.name == name);
        let figure = figure.unwrap_or_else(|| panic!("no {name}"));
        if !(figure.low..=figure.high).contains(&truth) {
            missed.push(format!(
                "{name}: {truth}, not {} to {}",
                figure.low, figure.high
            ));
        }
        // A bar that holds everything would say nothing.
        let close = if figure.unit == "ratio" {
            0.03
        } else {
            0.05 * truth
        };
        assert!(
            (figure.mean - truth).abs() < close,
            "{name}: {truth}, not {}",
            figure.mean
        );
    }
    // With 95% each, one of six may be out of its bar.
    assert!(missed.len() <= 1, "{missed:#?}");
    is_told_as_the_whole(&sample, &whole);
}

fn is_told_as_the_whole(sample: &Report, whole: &Report) {
    assert_eq!(sample.seed, whole.seed);
    assert_eq!(sample.environment.users, 4_000);
    assert_eq!(sample.environment.origin_connections, 200);
    assert_eq!(sample.validity.users_live_max, 4_000);
    let near = |name: &str, one: f64, other: f64| {
        assert!((one / other - 1.0).abs() < 0.15, "{name}: {one} of {other}");
    };
    near(
        "requests",
        sample.requests.total as f64,
        whole.requests.total as f64,
    );
    let keys = |report: &Report| report.redis.as_ref().expect("Redis").keys as f64;
    near("keys", keys(sample), keys(whole));
    let thread = |report: &Report| report.redis.as_ref().expect("Redis").cpu_cores;
    near("Redis' thread", thread(sample), thread(whole));
    let limit = |report: &Report| report.redis.as_ref().expect("Redis").maxmemory_bytes;
    assert_eq!(limit(sample), limit(whole));
    let verdicts =
        |report: &Report| -> Vec<_> { report.gates.iter().map(|gate| gate.verdict).collect() };
    assert_eq!(verdicts(sample), verdicts(whole));
    assert_eq!(sample.verdict, whole.verdict);
    assert_eq!(sample.alerts.len(), whole.alerts.len());
    let job = |report: &Report| (report.jobs[0].operations, report.jobs[0].failed);
    assert_eq!(job(sample), job(whole));
    near("a job's time", sample.jobs[0].took_s, whole.jobs[0].took_s);
    for (name, oracle) in &sample.oracles {
        assert_eq!(oracle.violations, 0, "{name}: {:?}", oracle.worst);
    }
}

/// Samples are simulated side by side, and what becomes of them depends on nothing else.
#[test]
fn a_sample_is_the_same_each_time() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let set = [
        TENTH,
        ("traffic.phases.0.for", "3s"),
        ("traffic.phases.1.for", "4s"),
        ("jobs", "[]"),
        ("baseline", "{ for: 2s }"),
    ];
    let [once, again] = ["once", "again"].map(|name| {
        let out = folder.path().join(name);
        let report = simulate(&crowd(&set), &out, false).expect("a sample");
        (report.event_log.expect("a log"), files(&out))
    });
    assert!(once.0.events > 4_000, "{}", once.0.events);
    assert_eq!(once.0, again.0);
    assert_eq!(
        once.1.keys().collect::<Vec<_>>(),
        again.1.keys().collect::<Vec<_>>()
    );
    for (name, bytes) in &once.1 {
        assert!(again.1[name] == *bytes, "{name} differs");
    }
    let other = plan(CROWD, Some(12), &set);
    let other = simulate(&other, &folder.path().join("other"), false).expect("a sample");
    assert_ne!(other.event_log.expect("a log").hash, once.0.hash);
}

#[test]
fn a_sample_can_be_stopped() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    match simulate(&crowd(&[TENTH]), &folder.path().join("out"), true) {
        Ok(report) => assert!(report.validity.interrupted),
        Err(error) => assert!(matches!(error, RunError::Interrupted), "{error}"),
    }
}

#[test]
fn what_no_sample_is_true_to_is_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().join("out");
    let refused = |set: &[(&str, &str)]| -> String {
        let error = simulate(&crowd(set), &out, false).expect_err("it cannot be sampled");
        assert!(matches!(error, RunError::Sample(_)), "{error}");
        assert!(!out.exists(), "nothing is left behind");
        error.to_string()
    };
    let few = refused(&[TENTH, ("origin.connections", "20")]);
    assert!(few.contains("2.0 of 20 are left"), "{few}");
    assert!(
        few.contains("a share of 20% would do: 800 of 4,000 users"),
        "{few}"
    );
    let memcached = [TENTH, ("layers.remote", "{ store: memcached }")];
    let never = refused(&memcached);
    assert!(
        never.contains("no share would do: simulate it whole"),
        "{never}"
    );
}
