//! `scenarios/sessions.yaml`, shorter: the store is started, counted, told apart and taken down.
#![allow(
    clippy::disallowed_methods,
    reason = "waits for other processes, in real time"
)]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cachestorm::clock::Clock;
use cachestorm::environment::managed_redis::ManagedRedis;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::scene::redis;
use crate::support::signal::{self, Signal};

const USERS: u64 = 100;
const SHORT: [&str; 10] = [
    "--users",
    "100",
    "--duration",
    "4s",
    "--set",
    "traffic.ramp=500ms",
    "--set",
    "traffic.think_time=150ms..400ms",
    "--set",
    "traffic.phases.warm-up.for=2s",
];
/// Without the control, which would be run after it.
const APART: [&str; 2] = ["--set", "variants=none"];

struct SessionRun {
    temporary: TempDir,
}

impl SessionRun {
    fn new() -> Self {
        Self {
            temporary: tempfile::tempdir().expect("a temporary folder"),
        }
    }

    fn command(&self, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cachestorm"));
        command
            .args(["run", "scenarios/sessions.yaml"])
            .args(SHORT)
            .arg("--out")
            .arg(self.temporary.path().join("report"))
            .args(more)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env("TMPDIR", self.temporary.path())
            .stdin(Stdio::null());
        command
    }

    /// Exit code, standard output, standard error.
    fn output(&self, more: &[&str]) -> (i32, String, String) {
        let output = self.command(more).output().expect("it starts");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        let code = output.status.code().unwrap_or(-1);
        (code, text(output.stdout), text(output.stderr))
    }

    fn file(&self, name: &str) -> String {
        let path = self.temporary.path().join("report").join(name);
        std::fs::read_to_string(path).expect(name)
    }

    fn report(&self) -> Value {
        serde_json::from_str(&self.file("report.json")).expect("report.json is JSON")
    }

    /// The servers that work in the temporary folder.
    fn servers(&self) -> Vec<PathBuf> {
        let processes = std::fs::read_dir("/proc").expect("/proc");
        let processes = processes.filter_map(|process| Some(process.ok()?.path()));
        let here = |process: &PathBuf| {
            let works_in = std::fs::read_link(process.join("cwd")).unwrap_or_default();
            let name = std::fs::read_to_string(process.join("comm")).unwrap_or_default();
            works_in.starts_with(self.temporary.path()) && name.starts_with("redis-server")
        };
        processes.filter(here).collect()
    }

    fn nothing_is_left(&self) {
        let left = std::fs::read_dir(self.temporary.path()).expect("the folder");
        let left: Vec<_> = left
            .map(|entry| entry.expect("an entry").file_name())
            .filter(|name| name != "report")
            .collect();
        assert!(left.is_empty(), "left behind: {left:?}");
        assert_eq!(self.servers(), [""; 0].map(PathBuf::from));
    }
}

fn balances(report: &Value) {
    for (oracle, found) in report["oracles"].as_object().expect("oracles") {
        assert_eq!(found["violations"], 0, "{oracle}: {found}");
    }
}

/// The report as the schema wants it.
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

#[test]
fn live_apart_no_session_is_lost_and_together_some_are() {
    let run = SessionRun::new();
    let (_, stdout, stderr) = run.output(&[]);
    let report = run.report();
    is_valid(&report);
    balances(&report);
    assert!(report["oracles"]["remote_lookups"]["checked"].as_u64() > Some(500));

    assert!(report["redis"]["evictions"].as_u64() > Some(0), "{stdout}");
    let session = &report["data_types"]["session"];
    assert!(session["reads"].as_u64() > Some(200), "{stderr}");
    assert_eq!(session["hit_ratio"], 1.0);
    assert_eq!(report["origin"]["queries_by_data_type"]["session"], 0);
    let store = &report["redis"]["stores"]["sessions"];
    assert_eq!(store["data_types"], serde_json::json!(["session"]));
    assert_eq!(
        (&store["keys"], &store["evictions"]),
        (&USERS.into(), &0.into())
    );
    assert_eq!(store["maxmemory_policy"], "noeviction");
    let of = |redis: &Value, data_type: &str| {
        redis["ttl_distribution"]["data_types"][data_type]["keys"].as_u64()
    };
    assert_eq!(of(store, "session"), Some(USERS));
    assert_eq!(of(&report["redis"], "session"), None);
    assert!(of(&report["redis"], "product") > Some(0));

    // The control: the same users, the same Redis, no store aside.
    let variants = report["variants"].as_array().expect("variants");
    let together = variants.iter().find(|one| one["name"] == "together");
    let together = together.expect("the control");
    assert!(together["hit_ratio_by_data_type"]["session"].as_f64() < Some(1.0));
    for (oracle, found) in together["oracles"].as_object().expect("oracles") {
        assert_eq!(found["violations"], 0, "together: {oracle}: {found}");
    }
    for text in [&stdout, &run.file("summary.md"), &run.file("report.html")] {
        assert!(text.contains("sessions"), "{text}");
    }
    assert!(stdout.contains("aside    sessions: "), "{stdout}");
    assert!(run.file("report.html").contains("Store aside: sessions"));
    run.nothing_is_left();
}

async fn ask<T: redis::FromRedisValue>(redis: &ManagedRedis, words: &[&str]) -> T {
    let client = redis::Client::open(redis.url()).expect("a URL of our own");
    let connection = client.get_multiplexed_async_connection().await;
    let mut command = redis::cmd(words[0]);
    command.arg(&words[1..]);
    let answer = command.query_async(&mut connection.expect("Redis")).await;
    answer.expect("an answer")
}

#[tokio::test]
async fn live_existing_servers_are_used_and_cleaned() {
    let clock = Clock::real();
    let (main, own) = (redis(&clock).await, redis(&clock).await);
    for redis in [&main, &own] {
        let () = ask(redis, &["SET", "theirs", "1"]).await;
    }
    let run = SessionRun::new();
    let store = format!("sessions={}", own.url());
    let args = ["--redis", main.url(), "--store", &store];
    let (_, stdout, stderr) = run.output(&[&APART[..], &args].concat());
    let report = run.report();
    let told = &report["redis"]["stores"]["sessions"];
    assert_eq!(told["managed"], false, "{stdout}{stderr}");
    assert_eq!(told["keys"], USERS);
    assert_eq!(report["data_types"]["session"]["hit_ratio"], 1.0);
    for redis in [&main, &own] {
        let keys: Vec<String> = ask(redis, &["KEYS", "*"]).await;
        assert_eq!(keys, ["theirs"], "{stderr}");
    }
    run.nothing_is_left();

    // One server in both places would be no store of its own.
    let store = format!("sessions={}", main.url());
    let args = ["--redis", main.url(), "--store", &store];
    let (code, _, stderr) = run.output(&[&APART[..], &args].concat());
    assert_eq!(code, 5, "{stderr}");
    assert!(
        stderr.contains("this server is the cache's own"),
        "{stderr}"
    );
}

#[test]
fn a_url_for_a_store_that_there_is_not_is_refused() {
    let run = SessionRun::new();
    let (code, _, stderr) = run.output(&["--store", "session=redis://localhost"]);
    assert_eq!(code, 2, "{stderr}");
    assert!(
        stderr.contains("no store `session`; it has sessions"),
        "{stderr}"
    );
    let (code, _, stderr) = run.output(&["--store", "sessions"]);
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("NAME=URL"), "{stderr}");
}

fn wait(child: &mut Child, limit: Duration) -> Option<i32> {
    let deadline = Instant::now() + limit;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait().expect("a child of ours") {
            return status.code();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().expect("a child of ours");
    None
}

/// The run is over when a server of its own dies, and says which; the other one's keys go.
#[tokio::test]
async fn live_a_store_that_dies_ends_the_run_and_is_told() {
    let main = redis(&Clock::real()).await;
    let run = SessionRun::new();
    let args = ["--redis", main.url(), "--duration", "60s"];
    let mut child = run
        .command(&[&APART[..], &args].concat())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    // Until users come.
    let deadline = Instant::now() + Duration::from_secs(30);
    while ask::<u64>(&main, &["DBSIZE"]).await < 50 && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(100));
    }
    // Until the warm-up is over, in which nothing is measured.
    std::thread::sleep(Duration::from_secs(3));
    let servers = run.servers();
    let [server] = &*servers else {
        panic!("not one server: {servers:?}");
    };
    let pid = server
        .file_name()
        .and_then(|pid| pid.to_str()?.parse().ok());
    signal::send(Signal::KILL, pid.expect("a process"));
    assert_eq!(wait(&mut child, Duration::from_secs(30)), Some(4));
    let report = run.report();
    let reasons = report["validity"]["reasons"].to_string();
    assert!(reasons.contains("Redis died"), "{reasons}");
    assert!(reasons.contains("the store aside"), "{reasons}");
    assert!(report["requests"]["total"].as_u64() > Some(0));
    assert_eq!(ask::<u64>(&main, &["DBSIZE"]).await, 0);
    run.nothing_is_left();
}
