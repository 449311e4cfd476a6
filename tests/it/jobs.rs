//! What happens in a day, in seconds: users that come and go, jobs on real instances, and an engine that
//! begins anew.

use std::path::Path;
use std::sync::Arc;

use cachestorm::engine::Answer;
use cachestorm::engine::data_type::Key;
use cachestorm::engine::layer::{Layer, Outcome};
use serde_json::Value;

use crate::support::program::Place;
use crate::support::{CUSTOMER, Stage};

fn seen(answer: &Answer) -> (Outcome, Layer) {
    (answer.outcome, answer.layer)
}

#[tokio::test]
async fn live_a_restart_leaves_redis_and_nothing_local() {
    let stage = Stage::new().await;
    let engine = stage.instance(0).await;
    let keys = ["customer:360:1", "customer:360:2"].map(Key::new);
    for key in &keys {
        stage.origin.set(key.as_str(), Some("Ada"));
        engine.get(CUSTOMER, key).await.expect("an answer");
    }
    assert_eq!(engine.local_entries(), 2);
    engine.restart().await;
    assert_eq!(engine.local_entries(), 0);
    for wanted in [(Outcome::Hit, Layer::Remote), (Outcome::Hit, Layer::Local)] {
        let answer = engine.get(CUSTOMER, &keys[0]).await.expect("an answer");
        assert_eq!(seen(&answer), wanted);
    }
    assert_eq!(stage.origin.loads(), 2);
}

/// The old process answers; the new one knows nothing of it.
#[tokio::test]
async fn live_a_load_under_way_is_answered_and_not_kept() {
    let stage = Stage::new().await;
    let engine = stage.instance(0).await;
    let key = Key::new("customer:360:3");
    stage.origin.set(key.as_str(), Some("Ada"));
    stage.origin.hold_loads();
    let reading = {
        let (engine, key) = (Arc::clone(&engine), key.clone());
        tokio::spawn(async move { engine.get(CUSTOMER, &key).await })
    };
    stage.until(async || stage.origin.loads() == 1).await;
    engine.restart().await;
    stage.origin.release_loads();
    let answer = reading.await.expect("no panic").expect("an answer");
    assert_eq!(seen(&answer), (Outcome::Miss, Layer::Origin));
    assert_eq!(engine.local_entries(), 0);
    let answer = engine.get(CUSTOMER, &key).await.expect("an answer");
    assert_eq!(seen(&answer), (Outcome::Hit, Layer::Remote));
}

/// What was outdated before a restart is outdated after it.
#[tokio::test]
async fn live_who_begins_anew_asks_for_generations_first() {
    let stage = Stage::new().await;
    let (first, second) = (stage.instance(0).await, stage.instance(1).await);
    let key = Key::new("customer:360:4");
    stage.origin.set(key.as_str(), Some("old"));
    first.get(CUSTOMER, &key).await.expect("an answer");
    second.invalidate_all(CUSTOMER).await.expect("raised");
    stage.origin.set(key.as_str(), Some("new"));
    first.restart().await;
    let answer = first.get(CUSTOMER, &key).await.expect("an answer");
    assert_eq!(seen(&answer), (Outcome::Miss, Layer::Origin));
    assert_eq!(answer.entry.row.value.as_deref(), Some(&b"new"[..]));
}

/// Ten seconds: half of the users at first and all from the fourth second on; a new catalogue from the
/// second to the third, all instances anew in the sixth.
const DAY: &str = r#"
name: short-day
data_types:
  product:
    key: "product:{id}"
    strategy: write-through
    ttl: 10m
    local_ttl: 5m
    invalidation: event
    population: 50
    value_size: 1KiB
    origin: { query_time: { median: 1ms, p99: 2ms } }
  stock:
    key: "stock:{id}:{house}"
    strategy: write-through
    ttl: 10m
    local_ttl: 1s
    invalidation: time
    population: { id: 10, house: 2 }
    value_size: 128B
    origin: { query_time: { median: 1ms, p99: 2ms } }
  session:
    key: "session:{id}"
    strategy: write-through
    ttl: 1h
    popularity: per-user
    prefilled: false
    value_size: 128B
    origin: { query_time: { median: 1ms, p99: 2ms } }
layers:
  local: { entries: 1000 }
  remote: { maxmemory: 64MiB }
instances: 2
origin: { connections: 20 }
traffic:
  driver: direct
  users: 40
  rhythm: { every: 20s, present: { 0s: 50%, 4s: 100%, 12s: 100% } }
  think_time: 20ms..60ms
  on_start: [session.put]
  phases:
    - { name: warm-up, for: 1s }
    - { name: day, for: 9s }
  mix: { product.get: 6, stock.get: 3, session.get: 1 }
jobs:
  - { name: new catalogue, at: 2s, over: 1s, put: { product: all, stock: 12 } }
  - { name: recall, at: 3s, every: 5s, invalidate_pattern: { stock: 3 } }
  - { name: hotfix, at: 6s, deploy: all-at-once }
gates: [ "errors == 0" ]
"#;

fn is_valid(report: &Value) {
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/report.schema.json");
    let schema = std::fs::read_to_string(schema).expect("schema");
    let schema = serde_json::from_str(&schema).expect("JSON");
    jsonschema::validate(&schema, report).unwrap_or_else(|error| panic!("{error}"));
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("a count: {value}"))
}

/// Reads of products that Redis answered in the seconds from `from` to before `to`.
fn from_redis(report: &Value, from: u64, to: u64) -> u64 {
    let seconds = report["timeseries"].as_array().expect("seconds").iter();
    let within = seconds.filter(|second| (from..to).contains(&number(&second["t_s"])));
    let counts = within.filter_map(|second| second["answers"]["product"]["remote"].as_u64());
    counts.sum()
}

/// What the terminal shows, and the report as data and as a page.
fn run_the_day() -> (String, Value, String) {
    let place = Place::new();
    let scenario = place.folder().join("day.yaml");
    std::fs::write(&scenario, DAY).expect("written");
    let output = place.command("run", &scenario).output();
    let told = String::from_utf8(output.expect("the command starts").stdout).expect("UTF-8");
    let report = place.report().expect("report.json is there");
    (told, report, place.file("report.html"))
}

#[test]
fn live_a_day_in_ten_seconds() {
    let (told, report, html) = run_the_day();
    is_valid(&report);
    assert_eq!(report["requests"]["errors"], 0, "{told}");

    let jobs = report["jobs"].as_array().expect("jobs");
    let done: Vec<String> = jobs
        .iter()
        .map(|job| {
            let (name, action) = (&job["name"], &job["action"]);
            let (at, operations) = (&job["at_s"], number(&job["operations"]));
            assert_eq!(
                (number(&job["failed"]), number(&job["left_undone"])),
                (0, 0)
            );
            format!("{name} ({action}) at {at}: {operations}").replace('"', "")
        })
        .collect();
    insta::assert_snapshot!(done.join("\n"), @"
    new catalogue (put product, stock) at 2.0: 62
    recall (invalidate_pattern stock) at 3.0: 3
    hotfix (deploy all-at-once) at 6.0: 2
    recall (invalidate_pattern stock) at 8.0: 3
    ");
    assert!(told.contains("  jobs     "), "{told}");
    assert!(html.contains("J3 hotfix, at 6 s"));

    // Everything stood locally in both instances, and then nothing did.
    let (before, after) = (from_redis(&report, 4, 6), from_redis(&report, 6, 10));
    assert!(before <= 5 && after >= 60, "{before} before, {after} after");

    // Nobody reads an old product longer than a notice travels, or old stock longer than the second that
    // it may stand locally; and a busy machine is given some more. Some have read it: the job's writes are writes to the oracle.
    let age = |name: &str| &report["data_types"][name]["staleness_ms"];
    assert!(
        age("product")["max"].as_f64() <= Some(2_500.0),
        "{}",
        age("product")
    );
    assert!(
        age("stock")["max"].as_f64() <= Some(3_000.0),
        "{}",
        age("stock")
    );
    assert!(number(&age("stock")["stale"]) > 0);
    let oracles = report["oracles"].as_object().expect("oracles");
    for (name, oracle) in oracles {
        assert_eq!(oracle["violations"], 0, "{name}: {oracle}");
    }
    // They are nobody's requests: users put sessions only.
    assert!(
        report["data_types"]["product"]["outcomes"]
            .get("put")
            .is_none()
    );

    let live = |t: usize| number(&report["timeseries"][t]["users_live"]);
    assert!((18..=30).contains(&live(0)), "{}", live(0));
    assert!(
        live(1) <= live(2) && live(2) < 40,
        "{} {}",
        live(1),
        live(2)
    );
    assert_eq!(live(5), 40);
    assert_eq!(report["validity"]["users_live_max"], 40);
}
