//! What each event moves, what is written, and that the documentation knows every metric.

use std::time::Duration;

use super::*;
use crate::clock::Timestamp;
use crate::engine::data_type::{DataType, Key, Strategy};
use crate::engine::event::Unobserved;
use crate::engine::invalidation::markers::Scope;
use crate::engine::layer::{LayerError, Operation, Outcome, Version};
use crate::engine::queue::Waiting;
use crate::environment::instance::service::Served;

const A: DataTypeId = DataTypeId(0);
const B: DataTypeId = DataTypeId(1);

fn policies() -> Arc<PolicyTable> {
    let row = |name: &str| {
        let key = format!("{name}:{{id}}").parse().expect("a pattern");
        DataType::new(name, key, Strategy::CacheAside, Duration::from_mins(1))
    };
    Arc::new(PolicyTable::new(vec![row("a"), row("b")]))
}

fn metrics() -> Arc<InstanceMetrics> {
    let layers = [Layer::Local, Layer::Remote, Layer::Origin];
    Arc::new(InstanceMetrics::new(&policies(), &layers, true).expect("metrics"))
}

fn page(metrics: &InstanceMetrics) -> String {
    let page = metrics.page(None).expect("a page");
    String::from_utf8(page).expect("UTF-8")
}

/// The lines that are there after and were not before.
fn moved(metrics: &Arc<InstanceMetrics>, events: &[Event<'_>]) -> Vec<String> {
    let before = page(metrics);
    let observer = InstanceMetrics::observer(metrics, Arc::new(Unobserved));
    for event in events {
        observer.observe(event);
    }
    let after = page(metrics);
    let known: std::collections::BTreeSet<&str> = before.lines().collect();
    let new = after.lines().filter(|line| !known.contains(line));
    new.map(|line| line.replace("cachestorm_", "")).collect()
}

fn of_circuit(aside: bool) -> impl Fn(Circuit) -> Event<'static> {
    move |circuit| Event::CircuitChanged { circuit, aside }
}

#[test]
fn every_event_moves_its_metric() {
    let metrics = metrics();
    let key = Key::new("a:1");
    let scope = Scope::DataType(A);
    let error = LayerError::TimedOut("it");
    let (data_type, layer) = (A, Layer::Remote);
    let flight = Event::FlightEnded {
        data_type,
        key: &key,
        followers: 3,
        loaded_from_origin: true,
    };
    let silent_for = Duration::from_secs(1);
    let opened = of_circuit(false)(Circuit::Open);
    let told = moved(
        &metrics,
        &[
            flight,
            Event::FillRefused { data_type, layer },
            Event::InvalidationSent { keys: 4 },
            Event::InvalidationReceived { keys: 5 },
            Event::RefreshDropped { data_type },
            Event::LocalFlushed { entries: 9 },
            Event::LocalRevalidated {
                kept: 1,
                dropped: 2,
            },
            Event::NoticesMissed {
                publisher: 1,
                missed: 6,
            },
            Event::SubscriptionSilent { silent_for },
            Event::Outdated { scope: &scope },
            Event::Swept {
                scope: &scope,
                keys: 8,
            },
            opened,
            Event::InvalidationsReplayed { keys: 13 },
            Event::InvalidationsForgotten { keys: 14 },
            Event::OriginCallRefused,
            Event::SoftTimeout { data_type },
            Event::LayerFailed {
                layer,
                error: &error,
            },
        ],
    );
    insta::assert_snapshot!(told.join("\n"), @r#"
    breaker_opened_total 1
    breaker_state 2
    fills_refused_total 1
    flight_followers_total 3
    flights_total 1
    invalidations_forgotten_total 14
    invalidations_received_total 5
    invalidations_replayed_total 13
    invalidations_sent_total 4
    layer_failures_total{layer="remote"} 1
    local_flushes_total 1
    local_revalidations_total 1
    notices_lost_total 6
    origin_calls_refused_total 1
    refreshes_dropped_total 1
    scopes_outdated_total 1
    soft_timeouts_total 1
    subscriptions_silent_total 1
    swept_keys_total 8
    "#);
    assert!(metrics.read().breaker_open);
}

#[test]
fn a_circuit_that_tries_again_is_not_open() {
    let metrics = metrics();
    let changed = of_circuit(false);
    let of_other = of_circuit(true);
    moved(&metrics, &[changed(Circuit::Open)]);
    let back = moved(&metrics, &[changed(Circuit::HalfOpen)]);
    assert_eq!(back, ["breaker_state 1"]);
    assert!(!metrics.read().breaker_open);
    // With two stores it is the worse of the two.
    moved(
        &metrics,
        &[of_other(Circuit::Open), changed(Circuit::Closed)],
    );
    assert!(metrics.read().breaker_open);
    moved(&metrics, &[of_other(Circuit::Closed)]);
    assert!(!metrics.read().breaker_open);
}

#[test]
fn every_event_of_a_write_moves_its_metric() {
    let metrics = metrics();
    let (data_type, key, version) = (A, Key::new("a:1"), Version(1));
    let waiting = Waiting {
        writes: 7,
        dead_letters: 2,
        ..Waiting::default()
    };
    let accepted = Event::WriteAccepted {
        data_type,
        key: &key,
        version,
    };
    let buried = Event::WriteBehindBuried {
        key: None,
        version: None,
        reason: "too large",
    };
    let told = moved(
        &metrics,
        &[
            accepted,
            buried,
            Event::WriteBehindCommitted { writes: 10 },
            Event::WriteBehindFull { data_type },
            Event::WriteBehindRedelivered { writes: 11 },
            Event::WriteBehindLost { writes: 12 },
            Event::WriteBehindWaiting { waiting },
        ],
    );
    insta::assert_snapshot!(told.join("\n"), @"
    write_behind_accepted_total 1
    write_behind_buried_total 1
    write_behind_committed_total 10
    write_behind_dead_letters 2
    write_behind_lost_total 12
    write_behind_queue_full_total 1
    write_behind_queue_length 7
    write_behind_redelivered_total 11
    ");
    assert_eq!(metrics.read().writes_waiting, 7);
}

#[test]
fn lookups_are_counted_by_layer_and_data_type() {
    let metrics = metrics();
    let lookup = |data_type, found, micros| Event::Lookup {
        data_type,
        layer: Layer::Remote,
        found,
        took: Duration::from_micros(micros),
    };
    let told = moved(
        &metrics,
        &[
            lookup(A, true, 300),
            lookup(A, false, 3_000),
            lookup(B, true, 30),
        ],
    );
    let counts: Vec<&String> = told
        .iter()
        .filter(|line| !line.contains("bucket"))
        .collect();
    assert_eq!(
        counts,
        [
            "cache_lookup_duration_seconds_sum{data_type=\"a\",layer=\"remote\"} 0.0033",
            "cache_lookup_duration_seconds_count{data_type=\"a\",layer=\"remote\"} 2",
            "cache_lookup_duration_seconds_sum{data_type=\"b\",layer=\"remote\"} 0.00003",
            "cache_lookup_duration_seconds_count{data_type=\"b\",layer=\"remote\"} 1",
            "cache_lookups_total{data_type=\"a\",layer=\"remote\",result=\"hit\"} 1",
            "cache_lookups_total{data_type=\"a\",layer=\"remote\",result=\"miss\"} 1",
            "cache_lookups_total{data_type=\"b\",layer=\"remote\",result=\"hit\"} 1",
        ]
    );
    let reading = metrics.read();
    assert_eq!(reading.asked_and_found(A, Layer::Remote), (2, 1));
    assert_eq!(reading.asked_and_found(B, Layer::Local), (0, 0));
    // A layer that is not there has no series, and its events go nowhere.
    assert!(!page(&metrics).contains("layer=\"edge\",result"));
    let edge = Event::Lookup {
        data_type: A,
        layer: Layer::Edge,
        found: true,
        took: Duration::ZERO,
    };
    assert_eq!(moved(&metrics, &[edge]), [""; 0]);
}

#[test]
fn a_redis_that_began_anew_counts_from_its_start() {
    let metrics = metrics();
    let info = |evicted: u64| {
        let text = format!(
            "redis_version:7\r\nused_memory:5\r\nmaxmemory:10\r\nconnected_clients:1\r\n\
             evicted_keys:{evicted}\r\nexpired_keys:1\r\nkeyspace_hits:0\r\nkeyspace_misses:0\r\n\
             total_commands_processed:0\r\nused_cpu_sys:0\r\nused_cpu_user:0\r\n\
             db0:keys=7,expires=6,avg_ttl=500\r\n"
        );
        RedisInfo::parse(&text, Timestamp::EPOCH).expect("INFO")
    };
    let evicted = |metrics: &InstanceMetrics| {
        let page = page(metrics);
        let mut lines = page.lines();
        let line = lines.find(|line| line.starts_with("cachestorm_redis_evicted"));
        line.and_then(|line| line.rsplit(' ').next())
            .map(str::to_owned)
    };
    for (read, wanted) in [(30, "30"), (45, "45"), (45, "45"), (2, "2"), (9, "9")] {
        metrics.redis_read(Some(&info(read)));
        assert_eq!(evicted(&metrics).as_deref(), Some(wanted));
    }
    metrics.redis_read(None);
    let told = page(&metrics);
    for line in [
        "redis_up 0",
        "redis_keys 7",
        "redis_keys_with_ttl 6",
        "redis_ttl_mean_seconds 0.5",
        "redis_memory_max_bytes 10",
    ] {
        assert!(
            told.contains(&format!("\ncachestorm_{line}\n")),
            "{line}\n{told}"
        );
    }
}

#[test]
fn the_local_layer_is_shown_as_it_is() {
    let metrics = metrics();
    let usage = |entries, evictions| LocalUsage {
        entries,
        bytes: 512,
        evictions,
    };
    for evictions in [3, 3, 8] {
        let page = metrics.page(Some(usage(2, evictions))).expect("a page");
        let page = String::from_utf8(page).expect("UTF-8");
        assert!(page.contains("\ncachestorm_local_entries 2\n"));
        assert!(page.contains(&format!("\ncachestorm_local_evictions_total {evictions}\n")));
    }
}

#[test]
fn the_documentation_names_every_metric() {
    let metrics = metrics();
    // Series of what was served are made by the first that is.
    let served = Served {
        way_back: Duration::ZERO,
        outcome: Outcome::Hit,
        layer: Layer::Local,
        version: None,
    };
    metrics.served((A, Operation::Get), served, Duration::from_millis(1));
    let page = page(&metrics);
    let documentation = include_str!("../../../../docs/alerts.md");
    let mut count = 0;
    for line in page.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').expect("a type");
        let help = page
            .lines()
            .find_map(|line| line.strip_prefix(&format!("# HELP {name} ")))
            .expect("a help");
        let row = format!("| `{name}` | {kind} | ");
        let found = documentation.lines().find(|line| line.starts_with(&row));
        let found = found.unwrap_or_else(|| panic!("docs/alerts.md lacks {row}… | {help} |"));
        assert!(found.ends_with(&format!("| {help} |")), "{found}\n{help}");
        count += 1;
    }
    assert!(count > 30, "{count}");
}
