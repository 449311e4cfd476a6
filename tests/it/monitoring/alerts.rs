//! Alerts begin and end with what they watch.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use cachestorm::clock::Clock;
use cachestorm::environment::managed_redis::ManagedRedis;
use cachestorm::environment::{EvictionPolicy, RedisConfig};
use cachestorm::report::model::{Alert, Report, WatchedAlert};

use super::{Once, run};

const PAUSED: &str = r#"
name: paused
data_types:
  product:
    key: "product:{id}"
    strategy: cache-aside
    ttl: 10m
    population: 50
    value_size: 100B
    origin: { query_time: { median: 1ms, p99: 2ms } }
layers:
  local: none
  remote: { timeout: 200ms }
instances: 2
origin: { connections: 20 }
traffic:
  driver: direct
  users: 20
  think_time: 10ms..30ms
  phases: [ { name: steady, for: 6s } ]
  mix: { product.get: 1 }
alerts:
  - { name: Redis down, source: the ADR, check: "redis_up == 0" }
  - { name: circuit open, check: "breakers_open > 0" }
  - { name: patient, check: "redis_up == 0", for: 1m }
  - { name: full, check: "memory_usage > 90%" }
gates:
  - 'alerts_fired{alert="Redis down"} == 0'
  - "alerts_fired{alert=patient} == 0"
  - "redis_up == 1"
"#;

fn fired<'r>(report: &'r Report, name: &str) -> Vec<&'r Alert> {
    let alerts = report.alerts.iter();
    alerts.filter(|alert| alert.name == name).collect()
}

fn watched<'r>(report: &'r Report, name: &str) -> &'r WatchedAlert {
    let mut alerts = report.alerts_watched.iter();
    alerts.find(|alert| alert.name == name).expect(name)
}

fn observed(report: &Report, check: &str) -> Option<f64> {
    let mut gates = report.gates.iter();
    let gate = gates.find(|gate| gate.check == check);
    gate.expect(check).observed_value
}

/// Holds every answer of the Redis at `url` back for so long.
fn pause(url: &str, time: Duration) {
    let host = url.trim_start_matches("redis://").trim_end_matches("/0");
    let mut stream = TcpStream::connect(host).expect("Redis listens");
    write!(stream, "CLIENT PAUSE {} ALL\r\n", time.as_millis()).expect("a command");
    let mut answer = [0; 5];
    stream.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"+OK\r\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_a_redis_that_is_silent_for_a_while_is_down_for_a_while() {
    let config = RedisConfig {
        maxmemory: None,
        policy: EvictionPolicy::AllkeysLru,
    };
    let redis = ManagedRedis::start(&config, &Clock::real()).await;
    let redis = redis.expect("redis-server starts");
    let url = redis.url().to_owned();
    // Longer than a look and its patience, shorter than the silence after which a run is given up.
    let progress = Once::new(Duration::from_secs(2), {
        let url = url.clone();
        move || pause(&url, Duration::from_millis(1_900))
    });
    let report = run(PAUSED, Some(url), &progress).await;

    let down = fired(&report, "Redis down");
    assert!(!down.is_empty(), "{:?}", report.alerts);
    let (first, last) = (down[0], down[down.len() - 1]);
    assert!(first.start_s >= 2.0, "{first:?}");
    assert!(
        last.end_s.is_some_and(|end| end > first.start_s),
        "{last:?}"
    );
    assert_eq!((&*first.source, &*first.worst), ("the ADR", "0"));
    assert!(
        !fired(&report, "circuit open").is_empty(),
        "{:?}",
        report.alerts
    );

    assert_eq!(watched(&report, "Redis down").fired, down.len() as u64);
    assert_eq!(
        watched(&report, "patient").fired,
        0,
        "it never held for a minute"
    );
    // It has no limit that could be reached.
    let full = watched(&report, "full");
    assert_eq!((full.fired, full.blind_looks), (0, full.looks));

    let gate = "alerts_fired{alert=\"Redis down\"} == 0";
    assert_eq!(observed(&report, gate), Some(down.len() as f64));
    assert_eq!(
        observed(&report, "alerts_fired{alert=patient} == 0"),
        Some(0.0)
    );
    assert_eq!(observed(&report, "redis_up == 1"), Some(0.0));
}

const SMALL_REDIS: &str = r#"
name: small-redis
data_types:
  page:
    key: "page:{id}"
    strategy: cache-aside
    ttl: 10m
    population: 100_000
    value_size: 8KiB
    origin: { query_time: { median: 1ms, p99: 2ms } }
  token:
    key: "token:{id}"
    strategy: write-through
    ttl: 30s
    population: 20
    value_size: 10B
    origin: { query_time: { median: 1ms, p99: 2ms } }
layers:
  local: none
  remote: { maxmemory: 4MiB, policy: allkeys-lru }
origin: { connections: 100 }
traffic:
  driver: direct
  users: 50
  think_time: 5ms..15ms
  phases: [ { name: steady, for: 6s } ]
  mix: { page.get: 9, token.put: 1 }
alerts:
  - { name: evictions, check: "evictions_per_s > 100/s", window: 2s }
  - { name: memory, check: "memory_usage > 90%" }
  - { name: cold, check: "hit_ratio{data_type=page} < 80%", for: 2s }
  - { name: remote, check: "hit_ratio{layer=remote} < 80%", window: 3s }
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_a_redis_that_is_too_small_evicts_and_is_full() {
    let progress = Once::new(Duration::ZERO, || ());
    let report = run(SMALL_REDIS, None, &progress).await;
    for name in ["evictions", "memory", "cold", "remote"] {
        let alerts = fired(&report, name);
        let alert = *alerts
            .first()
            .unwrap_or_else(|| panic!("{name}: {:?}", report.alerts));
        let held_s = alert.fired_s.expect("when it fired") - alert.start_s;
        assert!((name == "cold") == (held_s >= 1.9), "{alert:?}");
    }
    let evictions = fired(&report, "evictions")[0];
    assert!(evictions.worst_value > Some(100.0), "{evictions:?}");
    assert!(evictions.worst.ends_with("/s"), "{evictions:?}");

    let redis = report.redis.expect("Redis");
    let ttls = redis.ttl_distribution.expect("TTLs");
    assert!(ttls.complete);
    let (page, token) = (&ttls.data_types["page"], &ttls.data_types["token"]);
    assert!(page.keys > 0 && page.without_ttl == 0, "{page:?}");
    assert!(
        page.max_s <= Some(600.0) && page.min_s > Some(60.0),
        "{page:?}"
    );
    assert!(token.max_s <= Some(30.0), "{token:?}");
}
