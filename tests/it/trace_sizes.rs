//! A trace is replayed with its own value sizes, and what the local layer hits, holds and gives up is
//! held against a plain list, in virtual and in real time.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Output;

use cachestorm::workload::trace::key_id;
use serde_json::Value;

use crate::support::program::cachestorm;

/// What the local layer counts for an entry beside key and value.
const ENTRY_BYTES: u64 = 128;
/// The size of a value of which the trace says nothing: the data type's, in `scenarios/replay.yaml`.
const UNSAID_BYTES: u64 = 1_024;
/// The local layer's bound.
const BOUND_BYTES: u64 = 60_000;
const KEYS: u64 = 150;
const REQUESTS: u64 = 2_500;

/// One request of the trace: when, of which key, with which size, and whether it writes.
#[derive(Clone, Copy, Debug)]
struct Asked {
    key: u64,
    size: u64,
    put: bool,
}

/// Requests whose keys are skewed; of some keys the size is unknown at first, changes, is never said,
/// or is more than the whole layer holds.
fn requests() -> Vec<Asked> {
    let mut state = 42_u64;
    let mut next = move |below: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let request = |_| {
        let most = next(KEYS) + 1;
        let key = next(most);
        let size = match key {
            key if key % 10 == 7 => 0,
            90 => BOUND_BYTES + 1,
            key if key % 10 == 3 => 200 + 100 * next(4),
            // Not known by everybody who asks.
            key => [0, 40 + 37 * key % 3_000][usize::from(next(3) > 0)],
        };
        Asked {
            key,
            size,
            put: next(20) == 0,
        }
    };
    (0..REQUESTS).map(request).collect()
}

/// In the form of the Twitter traces, 100 requests a second.
fn written(requests: &[Asked]) -> String {
    let mut text = String::new();
    for (number, asked) in requests.iter().enumerate() {
        let operation = if asked.put { "set" } else { "get" };
        writeln!(
            text,
            "{}.{:02},key{},6,{},1,{operation},0",
            number / 100,
            number % 100,
            asked.key,
            asked.size
        )
        .expect("a line");
    }
    text
}

/// What is said of the sizes of each key, without those that say nothing.
fn said(requests: &[Asked]) -> BTreeMap<u64, Vec<u64>> {
    let mut said: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for asked in requests {
        let sizes = said.entry(asked.key).or_default();
        sizes.extend((asked.size > 0).then_some(asked.size));
    }
    said
}

/// A cache as a plain list, from the oldest to the newest.
#[derive(Debug, Default, PartialEq, Eq)]
struct Plain {
    row: Vec<(u64, u64)>,
    hits: u64,
    misses: u64,
    evictions: u64,
}

impl Plain {
    fn bytes(&self) -> u64 {
        self.row.iter().map(|(_, bytes)| bytes).sum()
    }

    fn ask(&mut self, key: u64, bytes: u64, is_lru: bool) {
        if let Some(at) = self.row.iter().position(|(held, _)| *held == key) {
            self.hits += 1;
            if is_lru {
                let used = self.row.remove(at);
                self.row.push(used);
            }
            return;
        }
        self.misses += 1;
        if bytes > BOUND_BYTES {
            return;
        }
        while self.bytes() + bytes > BOUND_BYTES {
            self.row.remove(0);
            self.evictions += 1;
        }
        self.row.push((key, bytes));
    }

    /// After all of `requests`; a write drops its key.
    fn after(requests: &[Asked], is_lru: bool) -> Self {
        let said = said(requests);
        let mut plain = Self::default();
        for asked in requests {
            if asked.put {
                plain.row.retain(|(key, _)| *key != asked.key);
                continue;
            }
            let value = said[&asked.key].iter().max().unwrap_or(&UNSAID_BYTES);
            let key = format!("page:{}", key_id(format!("key{}", asked.key).as_bytes()));
            let bytes = value + key.len() as u64 + ENTRY_BYTES;
            plain.ask(asked.key, bytes, is_lru);
        }
        plain
    }
}

/// Runs `scenarios/replay.yaml` over the trace in `file`.
fn replay(command: &str, file: &Path, set: &[&str]) -> (Output, Option<Value>) {
    let file = format!("traffic.trace.file={}", file.display());
    let own = [&file, "traffic.trace.value_size=trace"];
    let all: Vec<&str> = own
        .iter()
        .chain(set)
        .flat_map(|set| ["--set", set])
        .collect();
    cachestorm(command, "scenarios/replay.yaml", &all)
}

/// A trace in a folder of its own.
fn trace(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("trace.csv");
    std::fs::write(&file, text).expect("a trace");
    (folder, file)
}

/// What the local layer did in `report`.
fn found(report: &Value) -> (u64, u64, [u64; 3]) {
    let outcomes = &report["data_types"]["page"]["outcomes"]["get"];
    let held = &report["layers"]["local"]["held"];
    let [hits, misses] = ["hit", "miss"].map(|name| outcomes[name].as_u64().expect(name));
    let held = ["entries", "bytes", "evictions"].map(|name| held[name].as_u64().expect(name));
    (hits, misses, held)
}

fn holds_what_the_plain_list_holds(command: &str, policies: &[&str]) {
    let requests = requests();
    let (_folder, file) = trace(&written(&requests));
    let bytes = format!("layers.local.bytes={BOUND_BYTES}B");
    for policy in policies {
        let plain = Plain::after(&requests, *policy == "lru");
        assert!(plain.evictions > 300 && plain.hits > 500, "{plain:?}");
        let policy = format!("layers.local.policy={policy}");
        let set = ["layers.local.entries=100_000", &bytes, &policy];
        let (output, report) = replay(command, &file, &set);
        let told = String::from_utf8_lossy(&output.stderr);
        let report = report.unwrap_or_else(|| panic!("{}: {told}", output.status));
        assert_eq!(report["requests"]["errors"], 0);
        let held = [plain.row.len() as u64, plain.bytes(), plain.evictions];
        assert_eq!(
            found(&report),
            (plain.hits, plain.misses, held),
            "{command} {policy}"
        );
        is_told(&report, &requests, &String::from_utf8_lossy(&output.stdout));
    }
}

/// The report says what the trace says.
fn is_told(report: &Value, requests: &[Asked], printed: &str) {
    let said = said(requests);
    let known: Vec<&Vec<u64>> = said.values().filter(|sizes| !sizes.is_empty()).collect();
    let changing = |sizes: &&Vec<u64>| sizes.iter().collect::<BTreeSet<_>>().len() > 1;
    let changing = known.iter().copied().filter(changing).count();
    assert!(changing > 5 && known.len() < said.len());
    let mean = |of: &dyn Fn(&Vec<u64>) -> u64| {
        let sum: u64 = known.iter().map(|sizes| of(sizes)).sum();
        sum as f64 / known.len() as f64
    };
    let sizes = &report["trace"]["value_sizes"];
    let count = |name: &str| sizes[name].as_u64().expect(name) as usize;
    assert_eq!(count("keys"), said.len());
    assert_eq!(count("keys_without_size"), said.len() - known.len());
    assert_eq!(count("keys_changing"), changing);
    assert_eq!(count("keys_cut"), 0);
    for (name, wanted) in [
        (
            "bytes_mean",
            mean(&|sizes| sizes.iter().copied().max().unwrap_or(0)),
        ),
        ("bytes_mean_first", mean(&|sizes| sizes[0])),
    ] {
        let found = sizes[name].as_f64().expect(name);
        assert!((found - wanted).abs() < 1e-6, "{name}: {found} {wanted}");
    }
    assert!(
        printed.contains("values as large as the trace says"),
        "{printed}"
    );
}

#[test]
fn a_simulated_layer_bounded_by_bytes_holds_what_a_plain_list_holds() {
    holds_what_the_plain_list_holds("simulate", &["fifo", "lru"]);
}

#[test]
fn live_a_layer_bounded_by_bytes_holds_what_a_plain_list_holds() {
    holds_what_the_plain_list_holds("run", &["lru"]);
}

#[test]
fn sizes_are_learned_of_that_part_alone_that_is_replayed() {
    let requests = requests();
    let (_folder, file) = trace(&written(&requests));
    let keys = |part: &[Asked]| said(part).len() as u64;
    let learned = |set: &[&str]| {
        let (output, report) = replay("simulate", &file, set);
        let told = String::from_utf8_lossy(&output.stderr);
        let report = report.unwrap_or_else(|| panic!("{}: {told}", output.status));
        let due = report["trace"]["requests"].as_u64();
        (due, report["trace"]["value_sizes"]["keys"].as_u64())
    };
    let part = Some(keys(&requests[..200]));
    assert_ne!(part, Some(keys(&requests)));
    for pace in ["recorded", "100/s"] {
        let pace = format!("traffic.trace.pace={pace}");
        let set = ["traffic.phases.replay.for=2s", &pace];
        assert_eq!(learned(&set), (Some(200), part), "{pace}");
        // A longer baseline comes further.
        let longer = [&set[..], &["baseline={ for: 4s }"]].concat();
        assert_eq!(learned(&longer), (Some(200), Some(keys(&requests[..400]))));
    }
}

#[test]
fn a_trace_that_says_no_sizes_is_refused() {
    let (_folder, file) = trace("0,a,1,0,1,get,0\n1,b,1,0,1,get,0\n");
    for command in ["run", "simulate"] {
        let (output, report) = replay(command, &file, &[]);
        assert_eq!(output.status.code(), Some(2));
        assert!(report.is_none());
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(told.contains("value_size: scenario"), "{told}");
    }
}

#[test]
fn each_variant_has_the_sizes_of_its_own_trace() {
    let requests = requests();
    let (_folder, file) = trace(&written(&requests));
    let variants = "variants=[{ name: trace, main: true }, \
                    { name: scenario, set: { traffic.trace.value_size: scenario } }, \
                    { name: small, set: { layers.local.bytes: 5_000B } }]";
    let bytes = format!("layers.local.bytes={BOUND_BYTES}B");
    let (output, report) = replay("simulate", &file, &[variants, &bytes]);
    let told = String::from_utf8_lossy(&output.stderr);
    let report = report.unwrap_or_else(|| panic!("{}: {told}", output.status));
    let ratios: Vec<f64> = report["variants"]
        .as_array()
        .expect("variants")
        .iter()
        .map(|variant| variant["hit_ratio"].as_f64().expect("a hit ratio"))
        .collect();
    let [trace, scenario, small] = ratios[..] else {
        panic!("{ratios:?}");
    };
    let plain = Plain::after(&requests, true);
    let wanted = plain.hits as f64 / (plain.hits + plain.misses) as f64;
    assert!((trace - wanted).abs() < 1e-9, "{trace} {wanted}");
    assert!((scenario - wanted).abs() > 0.01, "{scenario} {wanted}");
    assert!(small < trace, "{small} {trace}");
}
