//! The command as its users meet it: words, files, exit codes, and nothing left behind.
#![allow(
    clippy::disallowed_methods,
    reason = "waits for other processes, in real time"
)]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::support::signal::{self, Signal};
use cachestorm::clock::Clock;
use cachestorm::environment::managed_redis::ManagedRedis;
use cachestorm::environment::{EvictionPolicy, RedisConfig};
use serde_json::Value;
use tempfile::TempDir;

/// A run of the ADR's scenario that takes seconds: few users, short phases.
const SHORT: [&str; 12] = [
    "--users",
    "60",
    "--duration",
    "3s",
    "--set",
    "traffic.ramp=500ms",
    "--set",
    "traffic.think_time=100ms..300ms",
    "--set",
    "traffic.phases.warm-up.for=2s",
    "--set",
    "baseline.for=2s",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn cachestorm(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cachestorm"));
    command
        .args(arguments)
        .current_dir(root())
        .stdin(Stdio::null());
    command
}

fn output(arguments: &[&str]) -> (i32, String, String) {
    told(cachestorm(arguments).output().expect("the command starts"))
}

pub(crate) fn told(output: Output) -> (i32, String, String) {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (
        output.status.code().unwrap_or(-1),
        text(output.stdout),
        text(output.stderr),
    )
}

/// The arguments of a short run into a folder of its own.
pub(crate) struct ShortRun {
    temporary: TempDir,
}

impl ShortRun {
    pub(crate) fn new() -> Self {
        Self {
            temporary: tempfile::tempdir().expect("a temporary folder"),
        }
    }

    fn out(&self) -> PathBuf {
        self.temporary.path().join("report")
    }

    fn command(&self, more: &[&str]) -> Command {
        let mut command = cachestorm(&["run", "scenarios/adr-006.yaml"]);
        command.args(SHORT).arg("--out").arg(self.out()).args(more);
        // What the run puts into temporary folders must be gone in the end.
        command.env("TMPDIR", self.temporary.path());
        command
    }

    pub(crate) fn output(&self, more: &[&str]) -> (i32, String, String) {
        told(self.command(more).output().expect("the command starts"))
    }

    pub(crate) fn report(&self) -> Value {
        let path = self.out().join("report.json");
        let text = std::fs::read_to_string(&path).expect("report.json is there");
        serde_json::from_str(&text).expect("report.json is JSON")
    }

    pub(crate) fn nothing_is_left(&self) {
        let left: Vec<_> = std::fs::read_dir(self.temporary.path())
            .expect("the temporary folder")
            .map(|entry| entry.expect("an entry").file_name())
            .filter(|name| name != "report")
            .collect();
        assert!(left.is_empty(), "left behind: {left:?}");
        assert_eq!(
            servers_in(self.temporary.path()),
            0,
            "a server outlived its run"
        );
    }
}

/// How many processes work in `folder` or name it in their arguments.
pub(crate) fn servers_in(folder: &Path) -> usize {
    let folder = folder.to_str().expect("a plain path");
    let Ok(processes) = std::fs::read_dir("/proc") else {
        return 0;
    };
    processes
        .filter_map(|process| {
            let process = process.ok()?.path();
            let arguments = std::fs::read(process.join("cmdline")).ok()?;
            let works_in = std::fs::read_link(process.join("cwd")).unwrap_or_default();
            let named = String::from_utf8_lossy(&arguments).contains(folder);
            (process.file_name()?.to_str()?.parse::<u32>().is_ok()
                && (named || works_in.starts_with(folder)))
            .then_some(())
        })
        .count()
}

pub(crate) fn wait(child: &mut Child, limit: Duration) -> i32 {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait().expect("a child of ours") {
            return status.code().unwrap_or(-1);
        }
        if Instant::now() > deadline {
            child.kill().expect("a child of ours");
            panic!("still running after {limit:?}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub(crate) async fn redis(policy: EvictionPolicy) -> ManagedRedis {
    let config = RedisConfig {
        maxmemory: None,
        policy,
    };
    ManagedRedis::start(&config, &Clock::real())
        .await
        .expect("redis-server starts")
}

#[test]
fn live_a_run_writes_a_complete_report_that_agrees_with_itself() {
    let run = ShortRun::new();
    let (code, stdout, stderr) = run.output(&[]);
    // On a busy machine a gate may fail; no other end is right.
    assert!(code == 0 || code == 3, "exit {code}\n{stdout}\n{stderr}");
    let last = stdout.lines().last().expect("a verdict");
    assert!(last.ends_with("report/report.html"), "{last}");
    assert!(stderr.starts_with("adr-006 · seed 42"), "{stderr}");
    for file in [
        "report.json",
        "report.html",
        "summary.md",
        "gates.junit.xml",
        "timeseries.csv",
        "operations.csv",
        "response_time.hlog",
        "scenario.yaml",
    ] {
        let size = std::fs::metadata(run.out().join(file)).expect(file).len();
        assert!(size > 0, "{file} is empty");
    }
    let report = run.report();
    let schema = std::fs::read_to_string(root().join("docs/report.schema.json")).expect("schema");
    let schema = serde_json::from_str(&schema).expect("the schema is JSON");
    let validator = jsonschema::validator_for(&schema).expect("the schema is a schema");
    let errors: Vec<String> = validator
        .iter_errors(&report)
        .map(|e| e.to_string())
        .collect();
    assert!(errors.is_empty(), "{errors:#?}");

    let total = report["requests"]["total"].as_u64().expect("a count");
    let sum = |counts: &Value| -> u64 {
        counts
            .as_object()
            .expect("counts")
            .values()
            .filter_map(Value::as_u64)
            .sum()
    };
    assert!(total > 100, "{total} requests");
    assert_eq!(sum(&report["requests"]["outcomes"]), total);
    let data_types = report["data_types"].as_object().expect("data types");
    let by_type = data_types
        .values()
        .map(|of| of["requests"].as_u64().expect("a count"));
    assert_eq!(by_type.sum::<u64>(), total);
    assert_eq!(
        report["requests"]["errors"], 0,
        "{}",
        report["requests"]["errors_by_kind"]
    );
    assert_eq!(report["validity"]["users_live_max"], 60);
    for (name, oracle) in report["oracles"].as_object().expect("oracles") {
        assert_eq!(oracle["violations"], 0, "{name}: {}", oracle["worst"]);
    }
    assert!(report["oracles"]["remote_lookups"]["checked"].as_u64() > Some(0));
    run.nothing_is_left();
}

#[test]
fn live_the_resolved_scenario_is_the_same_scenario() {
    let run = ShortRun::new();
    run.output(&["--set", "baseline=none", "--seed", "7"]);
    let resolved = run.out().join("scenario.yaml");
    let (code, stdout, stderr) = output(&["check", resolved.to_str().expect("a plain path")]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains("seed 7 · 60 users"), "{stdout}");
}

#[test]
fn live_interrupted_runs_write_what_they_measured_and_leave_nothing() {
    for (signal, expected) in [(Signal::INT, 130), (Signal::TERM, 130)] {
        let run = ShortRun::new();
        let mut child = run
            .command(&["--set", "baseline=none", "--duration", "60s"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the command starts");
        std::thread::sleep(Duration::from_secs(5));
        signal::send(signal, child.id());
        assert_eq!(
            wait(&mut child, Duration::from_secs(10)),
            expected,
            "after {signal:?}"
        );
        let report = run.report();
        assert_eq!(report["validity"]["interrupted"], true);
        assert_eq!(report["verdict"], "inconclusive");
        assert!(
            report["requests"]["total"].as_u64() > Some(0),
            "nothing was kept"
        );
        run.nothing_is_left();
    }
}

#[test]
fn live_a_killed_run_leaves_no_server() {
    let run = ShortRun::new();
    let mut child = run
        .command(&["--quiet"])
        .stdout(Stdio::null())
        .spawn()
        .expect("it starts");
    let deadline = Instant::now() + Duration::from_secs(10);
    while servers_in(run.temporary.path()) < 2 {
        assert!(Instant::now() < deadline, "no server came up");
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().expect("a child of ours");
    child.wait().expect("a child of ours");
    while servers_in(run.temporary.path()) > 0 {
        assert!(Instant::now() < deadline, "the server outlived its run");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn live_an_existing_redis_keeps_its_keys_and_none_of_ours() {
    let redis = redis(EvictionPolicy::Noeviction).await;
    let client = redis::Client::open(redis.url()).expect("a URL of ours");
    let mut connection = client
        .get_multiplexed_async_connection()
        .await
        .expect("Redis answers");
    let set = redis::cmd("SET")
        .arg(&["theirs", "1"])
        .query_async::<()>(&mut connection)
        .await;
    set.expect("SET");
    let run = ShortRun::new();
    let url = redis.url().to_owned();
    let (code, stdout, stderr) = run.output(&["--redis", &url]);
    assert!(code == 0 || code == 3, "exit {code}\n{stdout}\n{stderr}");
    let keys: Vec<String> = redis::cmd("KEYS")
        .arg("*")
        .query_async(&mut connection)
        .await
        .expect("KEYS");
    assert_eq!(keys, ["theirs"]);
    let report = run.report();
    assert_eq!(report["environment"]["redis_managed"], false);
    assert!(report["redis"]["keys"].as_u64() > Some(0));
}

#[tokio::test]
async fn live_a_redis_that_dies_ends_the_run_with_what_was_measured() {
    let redis = redis(EvictionPolicy::Noeviction).await;
    let run = ShortRun::new();
    let mut child = run
        .command(&[
            "--redis",
            redis.url(),
            "--set",
            "baseline=none",
            "--duration",
            "60s",
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command starts");
    Clock::real().sleep(Duration::from_secs(5)).await;
    redis.stop().await.expect("Redis stops");
    assert_eq!(wait(&mut child, Duration::from_secs(30)), 4);
    let report = run.report();
    let reasons = report["validity"]["reasons"].to_string();
    assert!(reasons.contains("Redis died"), "{reasons}");
    assert!(
        report["requests"]["total"].as_u64() > Some(0),
        "nothing was kept"
    );
}

#[test]
fn live_a_redis_that_is_not_there_is_told_before_anything_starts() {
    let run = ShortRun::new();
    let (code, stdout, stderr) = run.output(&["--redis", "redis://:secret@127.0.0.1:1/0"]);
    assert_eq!((code, stdout.as_str()), (5, ""), "{stderr}");
    assert!(stderr.contains("connection refused"), "{stderr}");
    assert!(!stderr.contains("secret"), "{stderr}");
    assert!(!run.out().exists(), "a report of nothing was left");
}

#[test]
fn without_redis_server_the_advice_is_one_line() {
    let run = ShortRun::new();
    let (code, _, stderr) = told(
        run.command(&["--quiet"])
            .env("PATH", "/nowhere")
            .output()
            .expect("it starts"),
    );
    assert_eq!(code, 5, "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(
        stderr.contains("install it") && stderr.contains("--redis URL"),
        "{stderr}"
    );
}

#[test]
fn mistakes_in_a_scenario_are_told_together_and_nothing_starts() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let text = std::fs::read_to_string(root().join("scenarios/adr-006.yaml")).expect("scenario");
    let text = text
        .replace("    ttl: 15m\n", "    tll: 15m\n    ttl: 0s\n")
        .replace("think_time: 1s..3s", "think_time: 2")
        .replace("quote.get: 6", "quotes.get: 6");
    let path = folder.path().join("wrong.yaml");
    std::fs::write(&path, text).expect("a file");
    for command in ["check", "run"] {
        let (code, stdout, stderr) = output(&[command, path.to_str().expect("a plain path")]);
        assert_eq!((code, stdout.as_str()), (2, ""), "{stderr}");
        for expected in [
            "tll",
            "ttl",
            "0s",
            "think_time",
            "such as 2s",
            "quotes",
            "quote",
            "4 errors",
        ] {
            assert!(
                stderr.contains(expected),
                "{expected} is missing:\n{stderr}"
            );
        }
    }
}

#[test]
fn wrong_arguments_are_exit_2_and_help_is_not() {
    assert_eq!(output(&["run"]).0, 2);
    assert_eq!(
        output(&["run", "scenarios/adr-006.yaml", "--user", "5"]).0,
        2
    );
    assert_eq!(output(&["check", "scenarios/nowhere.yaml"]).0, 2);
    assert_eq!(
        output(&["check", "scenarios/adr-006.yaml", "--set", "traffic.user=5"]).0,
        2
    );
    let (code, stdout, _) = output(&["--help"]);
    assert_eq!(code, 0);
    assert!(stdout.contains("Exit codes"), "{stdout}");
    let (code, stdout, _) = output(&["check", "scenarios/adr-006.yaml"]);
    assert_eq!(code, 0);
    assert!(stdout.contains("valid"), "{stdout}");
}

#[test]
fn a_folder_with_other_files_is_not_overwritten() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("thesis.txt"), "years of work").expect("a file");
    let out = folder.path().to_str().expect("a plain path");
    let (code, _, stderr) = output(&["run", "scenarios/adr-006.yaml", "--out", out]);
    assert_eq!(code, 2, "{stderr}");
    let kept = std::fs::read_to_string(folder.path().join("thesis.txt")).expect("still there");
    assert_eq!(kept, "years of work");
}
