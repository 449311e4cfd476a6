//! The knee from end to end: in virtual time where it can be worked out, and once on real servers as the
//! command line does it.

use std::path::Path;
use std::process::{Command, Output};

use cachestorm::capacity::probe::Wanted;
use cachestorm::gates::Verdict;
use cachestorm::report;
use cachestorm::report::model::{KneeResult, KneeVerdict, Report};
use cachestorm::runner::{self, Moment, Progress, RunError, RunOptions};
use cachestorm::scenario::{self, Overrides, plan::Plan};
use cachestorm::units::Rate;
use tokio::sync::watch;

/// Every request takes one of 10 connections for 50 ms: 200 a second, and not one more.
const POOL: &str = r#"
name: pool
seed: 7
data_types:
  row:
    key: "row:{id}"
    strategy: cache-aside
    ttl: 1m
    population: 1_000_000
    popularity: uniform
    value_size: 100B
    origin: { query_time: { median: 50ms, p99: 50ms } }
layers: { local: none, remote: none }
instances: 1
origin: { connections: 10 }
traffic:
  driver: open
  users: 1000
  think_time: 1s
  arrivals: { rate: 100/s, spacing: even }
  phases: [{ name: warm-up, for: 5s }, { name: steady, for: 20s }]
  mix: { row.get: 1 }
gates: ["p95(response_time) < 200ms"]
"#;

struct Quiet;

impl Progress for Quiet {
    fn step(&self, _: &str) {}
    fn moment(&self, _: &Moment) {}
}

fn plan(set: &[(&str, &str)]) -> Plan {
    let set = set
        .iter()
        .map(|(path, value)| ((*path).to_owned(), (*value).to_owned()));
    let overrides = Overrides {
        set: set.collect(),
        ..Overrides::default()
    };
    scenario::parse("pool.yaml", POOL, &overrides).expect("a good scenario")
}

fn search(plan: &Plan, wanted: &Wanted) -> Result<Report, RunError> {
    let folder = tempfile::tempdir().expect("a folder");
    let options = RunOptions {
        out: Some(folder.path().join("out")),
        ..RunOptions::default()
    };
    let (_keep, stop) = watch::channel(false);
    let finished = runner::simulate_knee(plan, wanted, (&options, &Quiet), &stop)?;
    let read = report::read(&finished.folder).expect("a report");
    assert_eq!(read.knee, finished.report.knee);
    Ok(finished.report)
}

fn knee(report: &Report) -> &KneeResult {
    report.knee.as_ref().expect("a knee")
}

#[test]
fn the_knee_of_a_pool_is_its_capacity() {
    for (connections, gate) in [(10, "200ms"), (10, "70ms"), (7, "200ms"), (33, "200ms")] {
        let gates = format!("[\"p95(response_time) < {gate}\"]");
        let count = connections.to_string();
        let plan = plan(&[("origin.connections", &*count), ("gates", &*gates)]);
        let report = search(&plan, &Wanted::default()).expect("a search");
        let found = knee(&report);
        let capacity = f64::from(connections) / 0.05;
        let held = found.rate_per_s.expect("a knee");
        assert!(
            held <= capacity * 1.000_1 && held * 1.051 >= capacity,
            "{held} of {capacity}"
        );
        let above = found.upper_per_s.expect("a rate above it");
        assert!(
            above > held && above <= held * 1.051,
            "{above} above {held}"
        );
        assert_eq!(
            found.limited_by,
            format!("gate: p95(response_time) < {gate}")
        );
        assert_eq!(report.verdict, Verdict::Pass);
        let measured = report.requests.rate_per_s;
        assert!(
            (measured / held - 1.0).abs() < 0.01,
            "the run at the knee: {measured}"
        );
        assert!(found.probes.iter().all(|probe| probe.repeat == 1));
    }
}

#[test]
fn the_same_seed_finds_the_same_and_repeats_are_other_requests() {
    let poisson = plan(&[("traffic.arrivals", "100/s")]);
    let wanted = Wanted {
        repeats: Some(3),
        ..Wanted::default()
    };
    let report = search(&poisson, &wanted).expect("a search");
    let again = search(&poisson, &wanted).expect("a search");
    assert_eq!(report.knee, again.knee);
    assert_eq!(report.event_log, again.event_log);
    let found = knee(&report);
    let held = found.rate_per_s.expect("a knee");
    assert!((150.0..=205.0).contains(&held), "{held}");
    let times = |repeat| {
        let probes = found
            .probes
            .iter()
            .filter(move |probe| probe.repeat == repeat);
        probes.filter(|probe| probe.rate_per_s.to_bits() == held.to_bits())
    };
    let first = times(1).next().expect("a first").p95_us;
    let second = times(2).next().expect("a second").p95_us;
    assert_ne!(first, second, "Poisson arrivals of another seed");
}

#[test]
fn shapes_keep_their_form_and_the_rate_is_their_peak() {
    let spike = "{ spike: 50/s..100/s, at: 5s, for: 10s, spacing: even }";
    let plan = plan(&[("traffic.arrivals", spike)]);
    let report = search(&plan, &Wanted::default()).expect("a search");
    // Half of it before and after: at the peak it may be full, for it has no time to pile up much.
    let held = knee(&report).rate_per_s.expect("a knee");
    assert!((190.0..230.0).contains(&held), "{held}");
    let mean = report.requests.rate_per_s / held;
    assert!((0.7..0.8).contains(&mean), "{mean} of the peak");
}

#[test]
fn the_ends_of_the_range_have_their_verdicts() {
    let wanted = |from, to| Wanted {
        from: Some(Rate { per_s: from }),
        to: Some(Rate { per_s: to }),
        ..Wanted::default()
    };
    let low = search(&plan(&[]), &wanted(300.0, 600.0)).expect("a search");
    assert_eq!((low.verdict, knee(&low).rate_per_s), (Verdict::Fail, None));
    assert_eq!(knee(&low).upper_per_s, Some(300.0));
    assert_eq!(knee(&low).probes[0].verdict, KneeVerdict::Fails);
    let high = search(&plan(&[]), &wanted(20.0, 150.0)).expect("a search");
    assert_eq!(high.verdict, Verdict::Pass);
    assert_eq!(knee(&high).limited_by, "bound");
    assert_eq!(
        (knee(&high).rate_per_s, knee(&high).upper_per_s),
        (Some(150.0), None)
    );
}

#[test]
fn without_gates_it_is_where_no_more_is_sustained() {
    let plan = plan(&[("gates", "[]"), ("traffic.in_flight", "20")]);
    let report = search(&plan, &Wanted::default()).expect("a search");
    let found = knee(&report);
    let held = found.rate_per_s.expect("a knee");
    assert!((190.0..=215.0).contains(&held), "{held}");
    assert_eq!(found.limited_by, "not sustained");
    assert!(found.notes[0].starts_with("no gate is judged"));
}

#[test]
fn gates_without_evidence_do_not_hold() {
    let plan = plan(&[("gates", "[\"p95(response_time){operation=put} < 1s\"]")]);
    let report = search(&plan, &Wanted::default()).expect("a search");
    assert_eq!(report.verdict, Verdict::Inconclusive);
    let found = knee(&report);
    assert_eq!(found.rate_per_s, None);
    assert!(
        found.limited_by.starts_with("no evidence: p95"),
        "{}",
        found.limited_by
    );
}

fn cachestorm(arguments: &[&str], folder: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cachestorm"))
        .args(arguments)
        .current_dir(folder)
        .output()
        .expect("the program")
}

#[test]
fn live_a_search_ends_within_its_bounds_and_says_what_it_does() {
    let folder = tempfile::tempdir().expect("a folder");
    let short = POOL
        .replace("for: 5s", "for: 200ms")
        .replace("for: 20s", "for: 800ms");
    std::fs::write(folder.path().join("pool.yaml"), short).expect("a file");
    let typed = "run pool.yaml --find-knee --from 20/s --to 80/s --precision 50% --repeats 1 --out out \
                 --probe-for 700ms";
    let arguments: Vec<&str> = typed.split_whitespace().collect();
    let output = cachestorm(&arguments, folder.path());
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(
        told.contains("searching the knee from 20/s to 80/s"),
        "{told}"
    );
    assert!(told.contains("probe 1: 20/s: "), "{told}");
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(shown.contains("  knee     "), "{shown}");
    let report = report::read(&folder.path().join("out")).expect("a report");
    let found = knee(&report);
    assert!(
        !found.probes.is_empty() && found.probes.len() <= 6,
        "{found:?}"
    );
    let inside = |rate: f64| (20.0..=80.0).contains(&rate);
    assert!(found.probes.iter().all(|probe| inside(probe.rate_per_s)));
    // How far this machine comes is not the question here.
    assert!(found.rate_per_s.is_none_or(inside));
    let page = std::fs::read_to_string(folder.path().join("out/report.html")).expect("a page");
    assert!(page.contains("Where is the knee?"));
    assert!(
        page.contains("--find-knee --from 20"),
        "the command to run it again"
    );
}

#[test]
fn what_cannot_be_searched_is_refused_with_advice() {
    let folder = tempfile::tempdir().expect("a folder");
    let closed = POOL.replace("driver: open", "driver: closed");
    let closed = closed.replace("  arrivals: { rate: 100/s, spacing: even }\n", "");
    std::fs::write(folder.path().join("pool.yaml"), POOL).expect("a file");
    std::fs::write(folder.path().join("closed.yaml"), closed).expect("a file");
    for (typed, wanted) in [
        ("run closed.yaml --find-knee", "write `driver: open`"),
        ("simulate closed.yaml --find-knee", "write `driver: open`"),
        (
            "simulate pool.yaml --find-knee --from 9/s --to 5/s",
            "--from",
        ),
        (
            "simulate pool.yaml --find-knee --precision 0%",
            "--precision 5%",
        ),
        ("simulate pool.yaml --find-knee --repeats 0", "--repeats"),
        ("simulate pool.yaml --from 9/s", "--find-knee"),
    ] {
        let arguments: Vec<&str> = typed.split(' ').collect();
        let output = cachestorm(&arguments, folder.path());
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{typed}: {told}");
        assert!(told.contains(wanted), "{typed}: {told}");
    }
}
