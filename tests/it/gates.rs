//! Gates of phases, of windows, and those that end a run, from end to end: in virtual time, so that the
//! same windows are lost each time, and once as the command line shows it.

use std::path::Path;
use std::process::Command;

use cachestorm::gates::Verdict;
use cachestorm::report::model::{GateResult, Report};
use cachestorm::runner::{self, Moment, Progress, RunOptions};
use cachestorm::scenario::{self, Overrides};
use tokio::sync::watch;

/// Somebody throws the whole catalogue away in the middle: for a few seconds nothing is a hit.
const EMPTIED: &str = r#"
name: emptied
data_types:
  product:
    key: "product:{id}"
    strategy: cache-aside
    ttl: 10m
    local_ttl: 10m
    invalidation: event
    population: 300
    value_size: 100B
    origin: { query_time: { median: 20ms, p99: 40ms } }
layers: { local: { entries: 1000 }, remote: none }
instances: 1
origin: { connections: 20 }
traffic:
  driver: direct
  users: 40
  think_time: 100ms..300ms
  phases:
    - { name: warm-up, for: 10s }
    - { name: calm, for: 20s, gates: ["hit_ratio >= 95%"] }
    - { name: storm, for: 20s, gates: ["origin_queries_per_s > 5/s"] }
  mix: { product.get: 1 }
jobs:
  - { name: new catalogue, at: 35s, invalidate_all: product }
gates:
  - "hit_ratio >= 80%"
  - { name: every window, check: "hit_ratio >= 80%", window: 5s }
  - { name: calm windows, check: "hit_ratio{phase=calm} >= 95%", window: 5s }
  - { name: precise, check: "p999(response_time) < 1s", window: 2s }
  - "hit_ratio{phase=warm-up} < 95%"
"#;

struct Quiet;

impl Progress for Quiet {
    fn step(&self, _: &str) {}
    fn moment(&self, _: &Moment) {}
}

fn simulate(scenario: &str, set: &[(&str, &str)], out: &Path) -> Report {
    let set = set
        .iter()
        .map(|(path, value)| ((*path).to_owned(), (*value).to_owned()));
    let overrides = Overrides {
        set: set.collect(),
        ..Overrides::default()
    };
    let plan = scenario::parse("emptied.yaml", scenario, &overrides);
    let plan = plan.unwrap_or_else(|errors| panic!("{errors}"));
    let options = RunOptions {
        scenario_file: "emptied.yaml".to_owned(),
        out: Some(out.to_owned()),
        ..RunOptions::default()
    };
    let (_stop, stop) = watch::channel(false);
    let finished = runner::simulate(&plan, &options, &Quiet, stop);
    finished.expect("a simulation").report
}

fn gate<'r>(report: &'r Report, name: &str) -> &'r GateResult {
    let mut gates = report.gates.iter();
    gates
        .find(|gate| gate.name == name)
        .unwrap_or_else(|| panic!("no gate {name}"))
}

#[test]
fn a_whole_run_hides_what_a_window_shows() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let report = simulate(EMPTIED, &[], &folder.path().join("report"));
    assert_eq!(gate(&report, "hit_ratio >= 80%").verdict, Verdict::Pass);
    let every = gate(&report, "every window");
    assert_eq!(every.verdict, Verdict::Fail);
    let windows = every.windows.as_ref().expect("windows");
    // From 10 s to 50 s, a second apart.
    assert_eq!(
        (windows.length_s, windows.count, windows.without_evidence),
        (5, 36, 0)
    );
    assert!(windows.lost > 0 && windows.lost < 10, "{windows:?}");
    // The worst begins about when the catalogue went.
    let worst = windows.worst_from_s.expect("a worst");
    assert!((31..=36).contains(&worst), "{windows:?}");
    let losses = &windows.losses_s;
    assert!(
        losses.iter().all(|[from, to]| *from > 25 && *to < 46),
        "{losses:?}"
    );

    let calm = gate(&report, "calm windows");
    assert_eq!(
        (calm.verdict, calm.phase.as_deref()),
        (Verdict::Pass, Some("calm"))
    );
    assert_eq!(calm.windows.as_ref().map(|of| of.count), Some(16));
    // Some 400 requests in each window: no evidence, and that is told.
    let precise = gate(&report, "precise");
    assert_eq!(precise.verdict, Verdict::Inconclusive);
    assert_eq!(precise.note, "none of 39 windows of 2 s had enough samples");
    assert_eq!(
        gate(&report, "hit_ratio{phase=warm-up} < 95%").verdict,
        Verdict::Pass
    );
    assert_eq!(
        gate(&report, "hit_ratio{phase=calm} >= 95%").verdict,
        Verdict::Pass
    );
    let stormy = gate(&report, "origin_queries_per_s{phase=storm} > 5/s");
    assert_eq!(stormy.verdict, Verdict::Pass, "{stormy:?}");
    assert_eq!((report.ended_early, report.verdict), (None, Verdict::Fail));
    let html = std::fs::read_to_string(folder.path().join("report/report.html"));
    assert!(html.expect("a page").contains("storm"));
}

#[test]
fn a_lost_gate_ends_its_run_and_no_other() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let gates = "[{ name: every window, check: 'hit_ratio >= 80%', window: 5s, abort: true }, \
                 'hit_ratio >= 50%', 'hit_ratio{phase=calm} >= 50%', 'errors == 0', \
                 { check: 'error_ratio < 5%', abort_after: 5s }]";
    let variants = "[{ name: cached }, { name: bare, set: { layers.local: none } }, \
                    { name: unharmed, set: { jobs: [] } }]";
    let set = [
        ("gates", gates),
        ("traffic.phases.storm.gates", "[]"),
        ("variants", variants),
    ];
    let report = simulate(EMPTIED, &set, &folder.path().join("report"));
    let ended = report.ended_early.as_ref().expect("a gate ended it");
    assert_eq!(
        (ended.gates.as_slice(), ended.planned_s),
        (&["every window".to_owned()][..], 50.0)
    );
    assert!((36.0..=40.0).contains(&ended.at_s), "{ended:?}");
    assert!(report.duration_s < 45.0, "it ended: {}", report.duration_s);
    let every = gate(&report, "every window");
    assert_eq!((every.verdict, every.abort), (Verdict::Fail, true));
    assert!(every.note.starts_with("ended the run at"), "{}", every.note);
    let cut = gate(&report, "hit_ratio >= 50%");
    assert_eq!(cut.verdict, Verdict::Inconclusive);
    assert!(cut.note.starts_with("held until"), "{}", cut.note);
    // Its phase was over.
    assert_eq!(
        gate(&report, "hit_ratio{phase=calm} >= 50%").verdict,
        Verdict::Pass
    );
    assert!(report.validity.valid, "{:?}", report.validity.reasons);
    assert_eq!(report.verdict, Verdict::Fail);

    let variant = |name: &str| {
        let mut variants = report.variants.iter();
        variants.find(|variant| variant.name == name).expect(name)
    };
    // The first window of the measured time loses it.
    let bare = variant("bare")
        .ended_early
        .as_ref()
        .expect("without a cache");
    assert!((15.0..=16.0).contains(&bare.at_s), "{bare:?}");
    assert_eq!(variant("bare").verdict, Verdict::Fail);
    let unharmed = variant("unharmed");
    assert_eq!(
        (&unharmed.ended_early, unharmed.verdict),
        (&None, Verdict::Pass)
    );
}

#[test]
fn live_a_run_that_a_gate_ends_says_so_and_exits_with_three() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (file, out) = (
        folder.path().join("emptied.yaml"),
        folder.path().join("report"),
    );
    let scenario = EMPTIED.replace(
        "{ name: every window, check",
        "{ abort: true, name: every window, check",
    );
    std::fs::write(&file, scenario).expect("a scenario");
    let output = Command::new(env!("CARGO_BIN_EXE_cachestorm"))
        .arg("run")
        .arg(&file)
        .args(["--set", "traffic.phases.warm-up.for=1s", "--set", "jobs=[]"])
        .args(["--set", "layers.local=none", "--out"])
        .arg(&out)
        .output()
        .expect("it starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(3), "{stdout}{stderr}");
    assert!(stdout.contains("ENDED at"), "{stdout}");
    assert!(stdout.contains("5 s windows"), "{stdout}");
    let junit = std::fs::read_to_string(out.join("gates.junit.xml")).expect("JUnit");
    assert!(junit.contains("ended the run at"), "{junit}");
    let html = std::fs::read_to_string(out.join("report.html")).expect("a page");
    assert!(html.contains("The run was ended at"));
}
