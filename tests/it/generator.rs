//! The generator's look at itself, from end to end: its limits before a run, and its figures after it.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

const SMALL: &str = r#"
name: small
data_types:
  product:
    key: "product:{id}"
    strategy: cache-aside
    ttl: 10m
    local_ttl: 10m
    population: 300
    value_size: 100B
    origin: { query_time: { median: 1ms, p99: 2ms } }
layers: { local: { entries: 1000 }, remote: none }
instances: 2
origin: { connections: 20 }
traffic:
  users: 200
  think_time: 100ms..300ms
  phases: [ { name: steady, for: 3s } ]
  mix: { product.get: 1 }
gates: ["error_ratio == 0%"]
"#;

/// Runs `command` on [`SMALL`] in a shell that has set its limits.
fn run(limits: &str, command: &str, more: &[&str], folder: &Path) -> Output {
    let file = folder.join("small.yaml");
    std::fs::write(&file, SMALL).expect("a scenario");
    Command::new("sh")
        .args(["-c", &format!("{limits} && exec \"$0\" \"$@\"")])
        .arg(env!("CARGO_BIN_EXE_cachestorm"))
        .args([command.as_ref(), file.as_os_str(), "--out".as_ref()])
        .arg(folder.join("report"))
        .args(more)
        .output()
        .expect("it starts")
}

fn report(folder: &Path) -> Value {
    let text = std::fs::read_to_string(folder.join("report/report.json"));
    serde_json::from_str(&text.expect("a report")).expect("JSON")
}

#[test]
fn a_run_that_its_limits_forbid_is_refused_with_what_to_do() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let output = run("ulimit -n 256", "run", &[], folder.path());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(5), "{stderr}");
    assert!(stderr.contains("200 HTTP connections at once"), "{stderr}");
    assert!(stderr.contains("`ulimit -n "), "{stderr}");
    assert!(stderr.contains("--driver direct"), "{stderr}");
    assert!(!folder.path().join("report").exists(), "it left a folder");
}

#[test]
fn live_a_limit_that_may_be_raised_is_raised_and_the_generator_is_told_of() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let output = run("ulimit -Sn 256", "run", &[], folder.path());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.contains("raised the limit on open files from 256 to"),
        "{stderr}"
    );
    let generator = &report(folder.path())["generator"];
    assert_eq!(generator["descriptors_raised_from"], 256);
    assert!(
        generator["descriptors_max"].as_u64() > Some(20),
        "{generator}"
    );
    assert!(
        generator["descriptors_limit"].as_u64() > Some(256),
        "{generator}"
    );
    assert_eq!(generator["requests_without_descriptor"], 0);
    // 300 ticks in 3 s, those that were missed included.
    let ticks = generator["loop_delay_us"]["count"].as_u64();
    assert!(ticks > Some(250), "{generator}");
    let threads = generator["threads"].as_array().expect("threads");
    assert!(!threads.is_empty());
    let name = threads[0]["name"].as_str().expect("a name");
    assert!(name.starts_with("generator"), "{name}");
}

#[test]
fn live_the_open_loop_probes_its_own_threads() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let more = [
        "--set",
        "traffic.driver=open",
        "--set",
        "traffic.arrivals=200/s",
    ];
    let output = run("true", "run", &more, folder.path());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        folder.path().join("report/report.json").exists(),
        "{stderr}"
    );
    let generator = &report(folder.path())["generator"];
    let ticks = generator["loop_delay_us"]["count"].as_u64();
    assert!(ticks > Some(250), "{generator}");
    let threads = generator["threads"].as_array().expect("threads");
    let own = |thread: &&Value| {
        thread["name"]
            .as_str()
            .is_some_and(|name| name.starts_with("generator-"))
    };
    assert!(threads.iter().find(own).is_some(), "{generator}");
}

#[test]
fn in_virtual_time_there_is_no_generator() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let output = run("ulimit -n 64", "simulate", &[], folder.path());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert_eq!(report(folder.path())["generator"], Value::Null);
}
