//! `GET /metrics` of every instance, scraped while a run goes on, against the run's own report.

use std::sync::Mutex;

use cachestorm::report::model::Report;
use cachestorm::runner::{Moment, Progress};

use super::{get, run};
use crate::support::exposition::{Page, parse};

const SCENARIO: &str = r#"
name: scraped
data_types:
  # The name of a path that is taken.
  metrics:
    key: "metrics:{id}"
    strategy: cache-aside
    ttl: 10m
    local_ttl: 1m
    invalidation: event
    population: 200
    popularity: { zipf: 0.9 }
    value_size: 100B
    origin: { query_time: { median: 2ms, p99: 5ms } }
  activity:
    key: "activity:{user}:{n}"
    strategy: write-behind
    ttl: 10m
    popularity: per-user
    population: { n: unique }
    value_size: 50B
    origin: { query_time: { median: 2ms, p99: 5ms } }
layers:
  local: { entries: 20 }
  remote: { maxmemory: 64MiB }
instances: 2
origin: { connections: 20 }
traffic:
  users: 20
  think_time: 10ms..40ms
  phases: [ { name: steady, for: 4s } ]
  mix: { metrics.get: 90, metrics.invalidate: 5, metrics.invalidate_all: 0.3, activity.put: 5 }
"#;

/// Scrapes every instance when the users are about to go, and while they are there.
#[derive(Default)]
struct Scraper {
    urls: Mutex<Vec<String>>,
    meanwhile: Mutex<Vec<Vec<Page>>>,
    at_the_end: Mutex<Vec<Page>>,
}

impl Scraper {
    fn scrape(&self) -> Vec<Page> {
        let urls = self.urls.lock().expect("no panic").clone();
        let pages = urls.iter().map(|url| {
            let (head, body) = get(url);
            assert!(
                head.contains("content-type: text/plain; version=0.0.4"),
                "{head}"
            );
            parse(&body).unwrap_or_else(|wrong| panic!("{wrong}"))
        });
        pages.collect()
    }
}

impl Progress for Scraper {
    /// The users have gone, the instances are still there.
    fn step(&self, doing: &str) {
        if doing == "looking at what Redis holds" {
            *self.at_the_end.lock().expect("no panic") = self.scrape();
        }
    }

    fn moment(&self, moment: &Moment) {
        let mut meanwhile = self.meanwhile.lock().expect("no panic");
        if moment.elapsed.as_secs() > meanwhile.len() as u64 {
            meanwhile.push(self.scrape());
        }
    }

    fn note(&self, text: &str) {
        let urls = text
            .strip_prefix("metrics: ")
            .expect("where the metrics are");
        let urls = urls.split(' ').map(str::to_owned);
        *self.urls.lock().expect("no panic") = urls.collect();
    }
}

fn sum(pages: &[Page], name: &str, labels: &[(&str, &str)]) -> u64 {
    let sum: f64 = pages.iter().map(|page| page.sum(name, labels)).sum();
    assert!(
        sum >= 0.0 && sum.fract() == 0.0,
        "{name}{labels:?} is {sum}"
    );
    format!("{sum:.0}").parse().expect("a count")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_the_metrics_of_a_run_agree_with_its_report() {
    let scraper = Scraper::default();
    let report = run(SCENARIO, None, &scraper).await;
    let pages = scraper.at_the_end.into_inner().expect("no panic");
    assert_eq!(pages.len(), 2, "one page of each instance");
    assert_eq!(report.requests.errors, 0, "{:?}", report.requests);
    agree(&pages, &report);

    // Nothing that is counted goes back, and the environment is told, too.
    let meanwhile = scraper.meanwhile.into_inner().expect("no panic");
    assert!(!meanwhile.is_empty());
    let lookups = |pages: &[Page]| sum(pages, "cachestorm_cache_lookups_total", &[]);
    let mut counts: Vec<u64> = meanwhile.iter().map(|pages| lookups(pages)).collect();
    counts.push(lookups(&pages));
    assert!(counts.is_sorted() && counts[0] > 0, "{counts:?}");
    let last = meanwhile.last().expect("a scrape");
    assert_eq!(sum(last, "cachestorm_redis_up", &[]), 2);
    assert!(sum(last, "cachestorm_redis_keys", &[]) > 0);
    assert_eq!(
        sum(last, "cachestorm_redis_memory_max_bytes", &[]),
        2 * (64 << 20)
    );
}

fn agree(pages: &[Page], report: &Report) {
    // The oracles count the whole pass, as the metrics do.
    let lookups = |layer| sum(pages, "cachestorm_cache_lookups_total", &[("layer", layer)]);
    assert_eq!(lookups("remote"), report.oracles["remote_lookups"].checked);
    assert_eq!(lookups("origin"), report.oracles["origin_queries"].checked);
    // A few requests end after the last phase, in which the report does not count them.
    let local = report.layers["local"].lookups;
    assert!(
        lookups("local") >= local && lookups("local") <= local + 20,
        "{local}"
    );

    // Every request of the users was intended to start in the only phase.
    let served = |labels: &[(&str, &str)]| sum(pages, "cachestorm_requests_total", labels);
    assert_eq!(served(&[]), report.requests.total);
    for (name, row) in &report.data_types {
        assert_eq!(served(&[("data_type", name)]), row.requests, "{name}");
        for (operation, outcomes) in &row.outcomes {
            for (outcome, count) in outcomes {
                let labels = [
                    ("data_type", &**name),
                    ("operation", operation),
                    ("outcome", outcome),
                ];
                assert_eq!(served(&labels), *count, "{labels:?}");
            }
        }
    }
    let timed = sum(pages, "cachestorm_request_duration_seconds_count", &[]);
    assert_eq!(timed, report.requests.total);
    let timed = sum(
        pages,
        "cachestorm_cache_lookup_duration_seconds_count",
        &[("layer", "remote")],
    );
    assert_eq!(timed, lookups("remote"));

    let some = |name: &str| sum(pages, &format!("cachestorm_{name}"), &[]);
    assert!(some("flight_followers_total") >= report.stampede.expect("ours").followers);
    assert!(some("invalidations_sent_total") > 0);
    assert!(some("scopes_outdated_total") > 0);
    assert!(some("write_behind_accepted_total") >= report.data_types["activity"].requests);
    // Twenty entries cannot hold two hundred.
    assert!(
        (1..=40).contains(&some("local_entries")),
        "{}",
        some("local_entries")
    );
    assert!(some("local_bytes") > 0 && some("local_evictions_total") > 0);
    // Each instance's consumer of write-behind may be at it.
    assert!(some("origin_in_flight") <= 2);
    assert_eq!(some("breaker_state"), 0);
    assert_eq!(some("notices_lost_total"), 0);
    let page = &pages[0];
    assert!(page.has("cachestorm_write_behind_queue_length"));
    assert_eq!(page.kind("cachestorm_cache_lookups_total"), Some("counter"));
    assert_eq!(page.kind("cachestorm_breaker_state"), Some("gauge"));
    assert_eq!(
        page.kind("cachestorm_request_duration_seconds"),
        Some("histogram")
    );
}
