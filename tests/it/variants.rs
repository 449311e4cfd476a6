//! A scenario with variants as its users meet it: each run by itself, side by side in the report,
//! and the main one decides.
#![allow(
    clippy::disallowed_methods,
    reason = "waits for other processes, in real time"
)]

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::support::signal::{self, Signal};
use serde_json::Value;
use tempfile::TempDir;

/// The scenario of the alternatives in seconds: few users, short phases, one target that needs a
/// cache and no fast machine.
const SHORT: [&str; 14] = [
    "--users",
    "40",
    "--duration",
    "2s",
    "--set",
    "traffic.ramp=300ms",
    "--set",
    "traffic.think_time=50ms..150ms",
    "--set",
    "traffic.phases.warm-up.for=1s",
    "--set",
    "baseline.for=1s",
    "--set",
    "gates=[\"hit_ratio > 5%\"]",
];

struct ShortRun {
    temporary: TempDir,
}

impl ShortRun {
    fn new() -> Self {
        Self {
            temporary: tempfile::tempdir().expect("a temporary folder"),
        }
    }

    fn out(&self) -> PathBuf {
        self.temporary.path().join("report")
    }

    fn command(&self, variants: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cachestorm"));
        command
            .args(["run", "scenarios/alternatives.yaml"])
            .args(SHORT)
            .args(["--set", &format!("variants={variants}"), "--out"])
            .arg(self.out())
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env("TMPDIR", self.temporary.path())
            .stdin(Stdio::null());
        command
    }

    fn report(&self) -> Value {
        let text = std::fs::read_to_string(self.out().join("report.json"));
        let text = text.expect("report.json is there");
        serde_json::from_str(&text).expect("report.json is JSON")
    }

    fn file(&self, name: &str) -> String {
        std::fs::read_to_string(self.out().join(name)).expect(name)
    }

    fn nothing_is_left(&self) {
        let left = std::fs::read_dir(self.temporary.path()).expect("the folder");
        let left: Vec<_> = left
            .map(|entry| entry.expect("an entry").file_name())
            .filter(|name| name != "report" && name != "bin")
            .collect();
        assert!(left.is_empty(), "left behind: {left:?}");
    }
}

fn told(output: Output) -> (i32, String, String) {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (
        output.status.code().unwrap_or(-1),
        text(output.stdout),
        text(output.stderr),
    )
}

/// The exit code that a report stands for.
fn code_of(report: &Value) -> i32 {
    match report["verdict"].as_str() {
        Some("pass") => 0,
        Some("fail") => 3,
        _ => 4,
    }
}

fn variant<'r>(report: &'r Value, name: &str) -> &'r Value {
    let variants = report["variants"].as_array().expect("variants");
    let found = variants.iter().find(|variant| variant["name"] == name);
    found.expect(name)
}

fn is_valid(report: &Value) {
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/report.schema.json");
    let schema = std::fs::read_to_string(schema).expect("schema");
    let schema = serde_json::from_str(&schema).expect("the schema is JSON");
    let validator = jsonschema::validator_for(&schema).expect("the schema is a schema");
    let errors: Vec<String> = validator
        .iter_errors(report)
        .map(|error| error.to_string())
        .collect();
    assert!(errors.is_empty(), "{errors:#?}");
}

const FOUR: &str = "[\
    { name: full, main: true }, \
    { name: no-cache, set: { layers: { local: none, remote: none } } }, \
    { name: query-cache, set: { layers: { local: none, remote: none }, origin.query_cache: \
      { entries: 1000, hit_time: { median: 1ms, p99: 4ms } } } }, \
    { name: memcached, set: { layers.remote: { store: memcached } } }]";

#[test]
fn live_variants_stand_side_by_side_and_the_main_one_decides() {
    let run = ShortRun::new();
    let (code, stdout, stderr) = told(run.command(FOUR).output().expect("it starts"));
    assert!(
        stderr.contains("each of 4 variants: full, no-cache"),
        "{stderr}"
    );
    let report = run.report();
    is_valid(&report);
    assert_eq!(code, code_of(&report), "{stdout}\n{stderr}");
    let (full, no_cache) = (variant(&report, "full"), variant(&report, "no-cache"));
    let (query_cache, memcached) = (
        variant(&report, "query-cache"),
        variant(&report, "memcached"),
    );

    // The report as a whole is about the main one.
    assert_eq!(full["main"], true);
    assert_eq!(full["requests"], report["requests"]["total"]);
    assert_eq!(full["gates"], report["gates"]);
    assert_eq!(full["verdict"], report["verdict"]);
    for variant in [full, no_cache, query_cache, memcached] {
        let name = &variant["name"];
        assert_eq!(variant["not_run"], Value::Null, "{name}");
        assert!(variant["requests"].as_u64() > Some(100), "{name}");
        assert_eq!(variant["errors"], 0, "{name}");
        for (oracle, found) in variant["oracles"].as_object().expect("oracles") {
            // Without pub/sub a user may see an older value on another instance.
            if oracle != "monotonic" {
                assert_eq!(found["violations"], 0, "{name}: {oracle}: {found}");
            }
        }
        let invalid = variant["invalid"].as_array().expect("reasons");
        if invalid.is_empty() {
            let cached = name == "full" || name == "memcached";
            let wanted = if cached { "pass" } else { "fail" };
            assert_eq!(variant["verdict"], wanted, "{name}");
        }
    }
    assert_eq!(no_cache["hit_ratio"], 0.0);
    assert_eq!(no_cache["query_cache"], Value::Null);
    assert!(query_cache["query_cache"]["hits"].as_u64() > Some(0));
    assert!(query_cache["query_cache"]["invalidated"].as_u64() > Some(0));
    let remote = memcached["remote"].as_str().expect("a store");
    assert!(remote.starts_with("memcached 1."), "{remote}");
    assert!(memcached["remote_memory_bytes_max"].as_u64() > Some(0));
    assert!(memcached["unsupported"]["queue a write"].as_u64() > Some(0));
    assert!(memcached["oracles"]["remote_lookups"]["checked"].as_u64() > Some(100));
    assert!(memcached["improvement"]["origin_query_reduction"].as_f64() > Some(0.1));

    for text in [&stdout, &run.file("summary.md"), &run.file("report.html")] {
        for name in ["full", "no-cache", "query-cache", "memcached"] {
            assert!(text.contains(name), "{name} is missing:\n{text}");
        }
    }
    run.nothing_is_left();
}

#[test]
fn live_a_main_variant_that_fails_fails_the_run() {
    let run = ShortRun::new();
    let variants = "[{ name: full }, \
        { name: no-cache, main: true, set: { layers: { local: none, remote: none } } }]";
    let (code, stdout, stderr) = told(run.command(variants).output().expect("it starts"));
    let report = run.report();
    assert_eq!(code, code_of(&report), "{stdout}\n{stderr}");
    assert_ne!(report["verdict"], "pass");
    assert_eq!(variant(&report, "no-cache")["main"], true);
    assert_eq!(report["redis"], Value::Null);
    assert!(variant(&report, "full")["remote"].is_string());
}

/// Without memcached its variant is told as not run; the others are measured and judged.
#[test]
fn live_a_variant_that_cannot_be_run_is_told() {
    let run = ShortRun::new();
    let bin = run.temporary.path().join("bin");
    std::fs::create_dir(&bin).expect("a folder");
    let path = std::env::var_os("PATH").expect("PATH");
    for program in ["redis-server", "sh", "rm"] {
        let folders = std::env::split_paths(&path).map(|folder| folder.join(program));
        let found = folders.into_iter().find(|found| found.exists());
        symlink(found.expect(program), bin.join(program)).expect("a link");
    }
    let variants = "[{ name: full }, { name: memcached, set: { layers.remote: \
        { store: memcached } } }]";
    let mut command = run.command(variants);
    let (code, stdout, stderr) = told(command.env("PATH", &bin).output().expect("it starts"));
    let report = run.report();
    assert_eq!(code, code_of(&report), "{stdout}\n{stderr}");
    let memcached = variant(&report, "memcached");
    let reason = memcached["not_run"].as_str().expect("a reason");
    assert!(reason.contains("apt-get install memcached"), "{reason}");
    assert_eq!(memcached["verdict"], "inconclusive");
    assert_eq!(variant(&report, "full")["not_run"], Value::Null);
    assert!(stdout.contains("memcached not run"), "{stdout}");
    // As the main one, nothing can be said without it.
    let mut alone =
        run.command("[{ name: memcached, set: { layers.remote: { store: memcached } } }]");
    let (code, _, stderr) = told(alone.env("PATH", &bin).output().expect("it starts"));
    assert_eq!(code, 5, "{stderr}");
    assert!(stderr.contains("memcached was not found"), "{stderr}");
}

#[test]
fn live_an_interruption_keeps_what_the_main_variant_measured() {
    let run = ShortRun::new();
    let variants = "[{ name: full }, \
        { name: long, set: { traffic.phases.warm-up.for: 10m } }, { name: never }]";
    let mut child = run
        .command(variants)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    // The main variant takes four seconds, and the next one ten minutes.
    std::thread::sleep(Duration::from_secs(12));
    signal::send(Signal::INT, child.id());
    let deadline = Instant::now() + Duration::from_secs(20);
    let code = loop {
        if let Some(status) = child.try_wait().expect("a child of ours") {
            break status.code();
        }
        if Instant::now() > deadline {
            child.kill().expect("a child of ours");
            panic!("still running after the interruption");
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(code, Some(130));
    let report = run.report();
    is_valid(&report);
    assert_eq!(report["validity"]["interrupted"], true);
    assert!(report["requests"]["total"].as_u64() > Some(100));
    let long = variant(&report, "long");
    assert_eq!(long["verdict"], "inconclusive");
    let reasons = long["invalid"].to_string();
    assert!(reasons.contains("interrupted"), "{reasons}");
    let never = variant(&report, "never")["not_run"].as_str();
    assert!(never.is_some_and(|reason| reason.contains("interrupted")));
    run.nothing_is_left();
}
