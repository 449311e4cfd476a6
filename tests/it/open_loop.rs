//! Arrivals by a schedule and recorded traffic, from the scenario to the report, by the program itself.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::program::{cachestorm, report_of};

/// One line of `reference_miss_ratios.csv`.
#[derive(Debug, serde::Deserialize)]
struct Expected {
    trace: String,
    size_mode: String,
    cache_size: u64,
    policy: String,
    request_miss_ratio: f64,
}

/// Beside the project, or, in a work tree of it, beside the folder of work trees.
fn traces() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = root.ancestors().skip(1).take(2);
    let found = folders
        .find_map(|folder| Some(folder.join("shared/traces")).filter(|found| found.is_dir()));
    if found.is_none() {
        eprintln!("skipped: no traces at ../shared/traces, so no miss ratio was compared");
    }
    found
}

/// Through scenario, driver, service and engine, in virtual time: as many misses as a simulator of
/// caches alone counts, to the last digit that it prints.
#[test]
fn a_replayed_trace_has_exactly_the_reference_miss_ratio() {
    let Some(folder) = traces() else { return };
    let name = "cache2k_web12";
    let file = folder.join(format!("{name}.csv.gz"));
    let file = format!("traffic.trace.file={}", file.display());
    let mut lines =
        csv::Reader::from_path(folder.join("reference_miss_ratios.csv")).expect("the reference");
    let lines = lines.deserialize().map(|line| line.expect("a line"));
    let wanted: Vec<Expected> = lines
        .filter(|line: &Expected| line.trace == name && line.size_mode == "objects")
        .filter(|line| ["FIFO", "LRU"].contains(&&*line.policy))
        .filter(|line| [137, 1_375].contains(&line.cache_size))
        .collect();
    assert_eq!(wanted.len(), 4);
    for line in wanted {
        let policy = format!("layers.local.policy={}", line.policy.to_lowercase());
        let entries = format!("layers.local.entries={}", line.cache_size);
        let set = ["--set", &file, "--set", &policy, "--set", &entries];
        let report = report_of("simulate", "scenarios/replay.yaml", &set);
        assert_eq!(report["trace"]["requests"], 95_607);
        assert_eq!(report["trace"]["complete"], true);
        let hits = report["data_types"]["page"]["hit_ratio"].as_f64();
        let missed = 1.0 - hits.expect("a hit ratio");
        assert!(
            (missed - line.request_miss_ratio).abs() < 5e-7,
            "{line:?}: {missed}"
        );
    }
}

/// One by one over HTTP, the same requests meet the same cache.
#[test]
fn live_a_trace_replayed_over_http_hits_what_the_simulation_hits() {
    let scenario = "scenarios/replay.yaml";
    let [real, simulated] = ["run", "simulate"].map(|command| report_of(command, scenario, &[]));
    assert_eq!(
        (&*real["time"].to_string(), &*simulated["time"].to_string()),
        ("\"real\"", "\"virtual\"")
    );
    for report in [&real, &simulated] {
        assert_eq!(report["trace"]["requests"], 6_000);
        assert_eq!(report["trace"]["file"], "shop.csv.gz");
        assert_eq!(report["requests"]["errors"], 0);
    }
    let outcomes = |report: &Value| report["data_types"]["page"]["outcomes"].clone();
    assert_eq!(outcomes(&real), outcomes(&simulated));
}

#[test]
fn a_trace_that_is_not_there_is_told_before_anything_starts() {
    let set = ["--set", "traffic.trace.file=no/such/trace.csv"];
    for command in ["run", "simulate"] {
        let (output, report) = cachestorm(command, "scenarios/replay.yaml", &set);
        assert_eq!(output.status.code(), Some(2));
        assert!(report.is_none());
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(told.contains("no/such/trace.csv"), "{told}");
    }
}

#[test]
fn a_trace_without_times_wants_a_pace_of_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("kv.csv");
    std::fs::write(
        &file,
        "key,op,size,op_count,key_size\n1,GET,0,1,8\n2,GET,0,1,8\n1,GET,0,1,8\n",
    )
    .expect("a trace");
    let file = format!("traffic.trace.file={}", file.display());
    let set = |pace| ["--set", &*file, "--set", pace].map(str::to_owned);
    let replay = |pace| {
        let set = set(pace);
        let set: Vec<&str> = set.iter().map(|word| &**word).collect();
        cachestorm("simulate", "scenarios/replay.yaml", &set)
    };
    let (output, _) = replay("traffic.trace.pace=recorded");
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("has no times"), "{told}");
    let (_, report) = replay("traffic.trace.pace=100/s");
    assert_eq!(report.expect("a report")["trace"]["requests"], 3);
}

/// What a phase was offered, by the phase's name.
fn offered<'r>(report: &'r Value, phase: &str) -> &'r Value {
    let phases = report["phases"].as_array().expect("phases");
    let found = phases.iter().find(|found| found["name"] == phase);
    &found.unwrap_or_else(|| panic!("no phase {phase}"))["offered"]
}

#[test]
fn overload_is_told_and_shows_in_the_response_time_alone() {
    let [one, two] = [(); 2].map(|()| report_of("simulate", "scenarios/overload.yaml", &[]));
    assert_eq!(one["event_log"], two["event_log"]);
    assert_eq!(one["verdict"], "pass", "{}", one["gates"]);
    assert_eq!(offered(&one, "half-the-knee")["sustained"], true);
    let over = offered(&one, "twice-the-knee");
    assert_eq!(over["sustained"], false);
    assert_eq!(over["due"], 12_000);
    // Eight connections and 20 ms.
    let sent = over["sent_per_s"].as_f64().expect("a rate");
    assert!((395.0..=405.0).contains(&sent), "{sent}");
    let requests = &one["requests"];
    let [total, dropped] = ["total", "dropped"].map(|name| requests[name].as_u64());
    assert_eq!(total.zip(dropped).map(|(a, b)| a + b), Some(14_000));

    // The same users, who wait for their answers, see nothing of it.
    let closed = report_of(
        "simulate",
        "scenarios/overload.yaml",
        &["--set", "traffic.driver=closed"],
    );
    let p95 = |report: &Value| report["requests"]["response_time_us"]["p95"].as_f64();
    assert!(p95(&closed) < Some(250_000.0), "{:?}", p95(&closed));
    assert!(p95(&one) > Some(5_000_000.0), "{:?}", p95(&one));
    assert_eq!(offered(&closed, "twice-the-knee"), &Value::Null);
}

#[test]
fn live_an_open_loop_offers_its_rate_whatever_the_answers_take() {
    let set = [
        "--set",
        "traffic.phases.warm-up.for=1s",
        "--set",
        "traffic.phases.half-the-knee.for=2s",
        "--set",
        "traffic.phases.half-the-knee.arrivals=50/s",
        "--set",
        "traffic.phases.twice-the-knee.for=4s",
        "--set",
        "traffic.request_timeout=2s",
    ];
    let (output, report) = cachestorm("run", "scenarios/overload.yaml", &set);
    let report = report.expect("a report");
    let over = offered(&report, "twice-the-knee");
    assert_eq!(over["due"], 3_200);
    assert_eq!(over["sustained"], false);
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(told.contains("NOT SUSTAINED in twice-the-knee"), "{told}");
    let requests = &report["requests"];
    let p50 = |of: &str| requests[of]["p50"].as_f64();
    assert!(p50("service_time_us") < p50("response_time_us"));
    for (name, oracle) in report["oracles"].as_object().expect("oracles") {
        assert_eq!(oracle["violations"], 0, "{name}: {oracle}");
    }
}
