//! When an alert fires and when it ends, which checks it takes, and what its documentation says.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::clock::Timestamp;
use crate::gates::judge::Observation;
use crate::gates::metric::METRICS;

fn alert(text: &str, hold_s: u64) -> Alert {
    Alert {
        name: text.to_owned(),
        source: String::new(),
        check: check(text).expect(text),
        hold: Duration::from_secs(hold_s),
        window: WINDOW_DEFAULT,
    }
}

fn at(second: usize) -> Timestamp {
    Timestamp::from_unix_nanos(second as u64 * 1_000_000_000)
}

/// One look a second at these values; `None` is nothing to see.
fn watch(alert: &Alert, values: &[Option<f64>]) -> Watch {
    let mut watch = Watch::default();
    for (second, value) in values.iter().enumerate() {
        let samples = u64::from(value.is_some()) * 1_000;
        let value = *value;
        watch.look(alert, at(second), Observation { value, samples });
    }
    watch
}

fn episodes(alert: &Alert, values: &[f64]) -> Vec<(usize, usize, Option<usize>, f64)> {
    let values: Vec<Option<f64>> = values.iter().copied().map(Some).collect();
    let second = |moment: Timestamp| moment.as_unix_secs() as usize;
    watch(alert, &values)
        .episodes()
        .map(|e| {
            (
                second(e.began),
                second(e.fired),
                e.ended.map(second),
                e.worst,
            )
        })
        .collect()
}

#[test]
fn it_fires_when_its_condition_has_held_for_long_enough() {
    let hits = alert("hit_ratio < 80%", 2);
    let values = [0.9, 0.7, 0.6, 0.9, 0.5, 0.7, 0.6, 0.4, 0.8, 0.9];
    // From 1 s to 2 s it was only pending.
    assert_eq!(episodes(&hits, &values), [(4, 6, Some(8), 0.4)]);
    let at_once = alert("hit_ratio < 80%", 0);
    assert_eq!(
        episodes(&at_once, &values),
        [(1, 1, Some(3), 0.6), (4, 4, Some(8), 0.4)]
    );
}

#[test]
fn what_lasts_to_the_end_has_no_end() {
    let evictions = alert("evictions_per_s > 100/s", 1);
    let seen = episodes(&evictions, &[100.0, 101.0, 250.0, 170.0]);
    assert_eq!(seen, [(1, 2, None, 250.0)]);
    // Pending is not fired.
    assert_eq!(episodes(&evictions, &[0.0, 500.0]), []);
}

#[test]
fn the_worst_is_what_is_farthest_beyond() {
    let up = alert("redis_up == 0", 0);
    assert_eq!(episodes(&up, &[1.0, 0.0, 1.0]), [(1, 1, Some(2), 0.0)]);
    let users = alert("users != 100", 0);
    assert_eq!(
        episodes(&users, &[90.0, 130.0, 95.0]),
        [(0, 0, None, 130.0)]
    );
}

#[test]
fn nobody_is_woken_by_nothing() {
    let hits = alert("hit_ratio < 80%", 0);
    let watch = watch(&hits, &[None, Some(f64::NAN), Some(0.1), None]);
    assert_eq!(
        (watch.looks(), watch.blind_looks(), watch.fired()),
        (4, 3, 1)
    );
    assert!(!watch.is_firing());
    // A percentile of too few requests is nothing, too.
    let slow = alert("p99(response_time) > 1s", 0);
    let mut watch = Watch::default();
    for samples in [99, 100] {
        let value = Some(2e6);
        watch.look(&slow, at(0), Observation { value, samples });
    }
    assert_eq!((watch.blind_looks(), watch.fired()), (1, 1));
}

#[test]
fn firings_are_counted_beyond_those_that_are_kept() {
    let hits = alert("hit_ratio < 80%", 0);
    let restless: Vec<Option<f64>> = (0..500).map(|n| Some(f64::from(n % 2))).collect();
    let watch = watch(&hits, &restless);
    assert_eq!(watch.fired(), 250);
    assert_eq!(watch.episodes().count(), EPISODES_MAX);
}

fn error(text: &str) -> String {
    let error = check(text).expect_err(text);
    format!("{text}\n{:>at$}^ {}", "", error.message, at = error.at)
}

#[test]
fn what_only_a_gate_can_judge_is_refused() {
    let wrong = [
        "hit_rato < 80%",
        "max(staleness) > 1s",
        "hit_ratio{phase=steady} < 80%",
        "p95(response_time){data_type=customer} > 1s",
        "memory > 90%",
    ];
    insta::assert_snapshot!(wrong.map(error).join("\n"), @"
    hit_rato < 80%
    ^ there is no metric hit_rato; did you mean hit_ratio?
    max(staleness) > 1s
        ^ an alert cannot watch staleness, only a gate can judge it; alerts watch response_time, hit_ratio, error_ratio, memory_usage, rate, origin_queries_per_s, evictions_per_s, requests, errors, users, origin_queries, redis_keys, redis_memory, redis_up, breakers_open, write_behind_waiting
    hit_ratio{phase=steady} < 80%
              ^ in an alert hit_ratio cannot be narrowed by phase; there it takes data_type, layer
    p95(response_time){data_type=customer} > 1s
                       ^ in an alert response_time cannot be narrowed by data_type; there it takes none
    memory > 90%
    ^ there is no metric memory; did you mean memory_usage?
    ");
}

#[test]
fn every_row_is_a_metric_of_gates_and_can_be_narrowed_no_further() {
    for row in &WATCHED {
        let metric = METRICS.iter().find(|metric| metric.name == row.name);
        let metric = metric.unwrap_or_else(|| panic!("gates do not know {}", row.name));
        for selector in row.selectors {
            assert!(metric.selectors.contains(selector), "{}", row.name);
        }
    }
}

#[test]
fn the_documentation_names_every_metric() {
    let documentation = include_str!("../../../docs/alerts.md");
    for row in &WATCHED {
        let names: Vec<String> = row
            .selectors
            .iter()
            .map(|s| format!("`{}`", s.name()))
            .collect();
        let selectors = match names.len() {
            0 => "–".to_owned(),
            _ => names.join(", "),
        };
        let line = format!("| `{}` | {selectors} | {} |", row.name, row.meaning);
        assert!(
            documentation.contains(&line),
            "docs/alerts.md lacks\n{line}"
        );
    }
}

proptest! {
    /// Against the plainest reading of the rule: a firing is a run of looks at which the condition
    /// holds that is long enough.
    #[test]
    fn firings_are_the_long_runs(
        values in prop::collection::vec(prop::option::of(0.0..=1.0f64), 0..60),
        hold_s in 0u64..6,
    ) {
        let hits = alert("hit_ratio < 50%", hold_s);
        let held = |value: &Option<f64>| value.is_some_and(|value| value < 0.5);
        let mut wanted = Vec::new();
        let mut start = 0;
        for run in values.chunk_by(|a, b| held(a) == held(b)) {
            let end = start + run.len();
            let fires_at = start + hold_s as usize;
            if held(&run[0]) && fires_at < end {
                let worst = run.iter().flatten().copied().reduce(f64::min).expect("values");
                wanted.push(Episode {
                    began: at(start),
                    fired: at(fires_at),
                    ended: (end < values.len()).then(|| at(end)),
                    worst,
                });
            }
            start = end;
        }
        let watch = watch(&hits, &values);
        prop_assert_eq!(watch.fired(), wanted.len() as u64);
        prop_assert_eq!(watch.episodes().collect::<Vec<_>>(), wanted);
        let blind = values.iter().filter(|value| value.is_none()).count();
        prop_assert_eq!((watch.looks(), watch.blind_looks()), (values.len() as u64, blind as u64));
    }
}
