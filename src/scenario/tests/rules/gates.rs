//! Gates: those of phases, windows, and those that end a run; what is read, refused, and where.

use std::time::Duration;

use super::super::{SMALL, plan};
use super::{rule, rule_in};
use crate::gates::Gate;
use crate::scenario::{Overrides, parse};

const FIRST: &str = "  - \"p95(response_time) < 1s\"";
const CALM: &str = "{ name: calm, for: 10s }";

/// [`SMALL`] with one more gate in the list, and with gates in its calm phase.
fn small(gate: &str, of_calm: &str) -> String {
    SMALL
        .replace(FIRST, &format!("{FIRST}\n  - {gate}"))
        .replace(
            CALM,
            &format!("{{ name: calm, for: 10s, gates: [{of_calm}] }}"),
        )
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn gates_of_a_phase_mean_the_same_as_in_the_list() {
    let of_calm = "\"p95(response_time) < 2s\", { check: \"hit_ratio{data_type=stock} > 5%\", name: hits of stock }";
    let gates = plan(&small("\"p95(response_time){phase=calm} < 3s\"", of_calm)).gates;
    let texts: Vec<&str> = gates.iter().map(|gate| &*gate.check.text).collect();
    insta::assert_debug_snapshot!(texts, @r#"
    [
        "p95(response_time) < 1s",
        "p95(response_time){phase=calm} < 3s",
        "hit_ratio{data_type=customer, phase=calm} >= 95%",
        "p95(response_time){phase=calm} < 2s",
        "hit_ratio{data_type=stock, phase=calm} > 5%",
    ]
    "#);
    let last = &gates[4];
    assert_eq!(
        (&*last.name, last.check.phase()),
        ("hits of stock", Some("calm"))
    );
    assert_eq!(
        gates[3],
        Gate::plain(gates[3].check.text.parse().expect("a check"))
    );
    // The same check may stand in every phase.
    let twice = small("\"errors == 0\"", "\"errors == 0\"").replace(
        "{ name: steady, for: 30s }",
        "{ name: steady, for: 30s, gates: [\"errors == 0\"] }",
    );
    assert_eq!(plan(&twice).gates.len(), 5);
    // And so may the phase's own name in it.
    let named = plan(&small("\"errors == 0\"", "\"errors{phase=calm} == 0\"")).gates;
    assert_eq!(named[3].check.text, "errors{phase=calm} == 0");
}

#[test]
fn windows_and_ends_are_read_and_written_again() {
    let gates = [
        "{ check: \"p95(response_time) < 1ms\", window: 10s, abort: true }",
        "{ check: \"error_ratio < 5%\", abort_after: 30s }",
        "{ check: \"error_ratio < 6%\", abort: true, abort_after: 30s }",
        "{ check: \"error_ratio < 7%\", abort: false }",
        "{ check: \"memory_usage{phase=calm} < 90%\", window: 10s }",
    ];
    let text = small(
        &gates.join("\n  - "),
        "{ check: \"rate > 1/s\", window: 5s, abort: true }",
    );
    let first = plan(&text);
    let read: Vec<_> = first
        .gates
        .iter()
        .map(|gate| (gate.window, gate.abort_after))
        .collect();
    let none = (None, None);
    let wanted = [
        none,
        (Some(secs(10)), Some(secs(0))),
        (None, Some(secs(30))),
        (None, Some(secs(30))),
        none,
        (Some(secs(10)), None),
        none,
        (Some(secs(5)), Some(secs(0))),
    ];
    assert_eq!(read, wanted);
    let again = parse("again.yaml", &first.resolved_yaml, &Overrides::default());
    let again = again.unwrap_or_else(|errors| panic!("{errors}\n{}", first.resolved_yaml));
    assert_eq!(again.gates, first.gates);
    assert_eq!(again.resolved_yaml, first.resolved_yaml);
}

#[test]
fn every_metric_that_takes_a_phase_takes_the_warm_up() {
    use crate::gates::metric::{Kind, METRICS, Selector};
    for row in METRICS
        .iter()
        .filter(|row| row.selectors.contains(&Selector::Phase))
    {
        let metric = match row.kind {
            Kind::Distribution(_) => format!("p95({})", row.name),
            Kind::Scalar(_) => row.name.to_owned(),
        };
        let target = match row.unit.name() {
            "ratio" => "5%",
            "us" => "5s",
            "per_s" => "5/s",
            "bytes" => "5B",
            _ => "5",
        };
        let written = |phase: &str| format!("  - \"{metric}{{phase={phase}}} < {target}\"");
        let gates = plan(&SMALL.replace(FIRST, &written("warm-up"))).gates;
        assert_eq!(gates[0].check.phase(), Some("warm-up"), "{metric}");
        rule(
            FIRST,
            &written("warmup"),
            "there is no phase `warmup`",
            "warmup",
        );
    }
}

#[test]
fn what_cannot_be_is_refused_at_its_place() {
    for (written, message, place) in [
        (
            "{ check: \"p95(response_time) < 1s\", window: 500ms }",
            "`window` cannot be 500ms",
            "500ms",
        ),
        (
            "{ check: \"p95(response_time) < 1s\", window: 6m }",
            "`window` cannot be 6m",
            "6m",
        ),
        (
            "{ check: \"p95(response_time) < 1s\", window: 2500ms }",
            "`window` cannot be 2s 500ms",
            "2500ms",
        ),
        (
            "{ check: \"p95(response_time) < 1s\", window: 41s }",
            "no window of 41s fits into the measured time, which is 40s long",
            "41s",
        ),
        (
            "{ check: \"p95(response_time){phase=calm} < 1s\", window: 11s }",
            "no window of 11s fits into the phase `calm`, which is 10s long",
            "11s",
        ),
        (
            "{ check: \"max(staleness) < 1s\", window: 5s }",
            "a window does not show staleness",
            "staleness",
        ),
        (
            "{ check: \"p95(response_time){data_type=stock} < 1s\", window: 5s }",
            "in a window response_time cannot be narrowed by data_type",
            "data_type",
        ),
        (
            "{ check: \"errors == 0\", abort: false, abort_after: 5s }",
            "`abort: false` contradicts `abort_after`",
            "false",
        ),
        (
            "{ check: \"errors == 0\", abort_after: 8d }",
            "`abort_after` cannot be 8d",
            "8d",
        ),
        (
            "{ check: \"errors{phase=steady} == 0\", abort_after: 30s }",
            "the run is over 30s after the begin of the phase `steady`",
            "30s",
        ),
        (
            "{ check: \"requests > 9\", abort: true }",
            "requests only grows",
            "true",
        ),
        (
            "{ check: \"redis_keys < 9\", abort_after: 1s }",
            "redis_keys is known at the end only",
            "1s",
        ),
        ("{ check: \"errors == 0\", abort: yes }", "yes", "yes"),
        (
            "{ check: \"errors == 0\", windw: 5s }",
            "unknown key `windw` in a gate",
            "windw",
        ),
    ] {
        rule(FIRST, &format!("  - {written}"), message, place);
    }
}

#[test]
fn gates_of_a_phase_are_refused_at_their_place() {
    let of_calm = |gates: &str| format!("{{ name: calm, for: 10s, gates: {gates} }}");
    for (gates, message, place) in [
        (
            "[\"errors{phase=steady} == 0\"]",
            "a gate of the phase `calm` looks at another",
            "errors{phase=steady} == 0",
        ),
        (
            "[\"users >= 9\"]",
            "users cannot be narrowed by phase",
            "users >= 9",
        ),
        (
            "[\"p95(respons_time) < 1s\"]",
            "did you mean response_time?",
            "respons_time",
        ),
        (
            "[\"hit_ratio{data_type=stok} < 1%\"]",
            "there is no data type `stok`",
            "stok",
        ),
        (
            "[\"errors == 0\", \"errors == 0\"]",
            "two gates are called \"errors == 0 in calm\"",
            "\"errors == 0\"",
        ),
        (
            "[{ name: hits, check: \"errors == 0\" }]",
            "two gates are called \"hits\"",
            "hits",
        ),
        (
            "[{ check: \"errors == 0\", abort_after: 40s }]",
            "the run is over 40s after the begin",
            "40s",
        ),
        ("{}", "a list is wanted here", "{"),
    ] {
        rule_in(SMALL, CALM, &of_calm(gates), message, place);
    }
}
