//! Verdicts, by every rule.

use super::*;
use proptest::prelude::*;

/// The same observation for every check.
struct Always(Observation);

impl Evidence for Always {
    fn observe(&self, _: &Check) -> Observation {
        self.0
    }
}

fn gate(check: &str) -> Gate {
    Gate::plain(check.parse().expect(check))
}

fn observed(value: Option<f64>, samples: u64) -> Always {
    Always(Observation { value, samples })
}

fn verdict_of(check: &str, value: f64, samples: u64) -> (Verdict, String) {
    let gates = [gate(check)];
    let mut judged = judge(&gates, &observed(Some(value), samples), true);
    let one = judged.pop().expect("one gate");
    (one.verdict, one.note)
}

#[test]
fn a_gate_passes_or_fails_by_its_comparison() {
    let verdict = |check: &str, value| verdict_of(check, value, 1_000).0;
    assert_eq!(verdict("p95(response_time) < 1s", 999_999.0), Verdict::Pass);
    assert_eq!(verdict("p95(response_time) < 1s", 1e6), Verdict::Fail);
    assert_eq!(verdict("p95(response_time) <= 1s", 1e6), Verdict::Pass);
    assert_eq!(verdict("hit_ratio > 95%", 0.95), Verdict::Fail);
    assert_eq!(verdict("hit_ratio >= 95%", 0.95), Verdict::Pass);
    assert_eq!(verdict("origin_loads_per_flight == 1", 1.0), Verdict::Pass);
    assert_eq!(verdict("origin_loads_per_flight == 1", 2.0), Verdict::Fail);
    assert_eq!(verdict("origin_loads_per_flight != 1", 2.0), Verdict::Pass);
}

#[test]
fn without_evidence_there_is_no_verdict() {
    let gates = [gate("errors == 0")];
    for (evidence, note) in [
        (observed(None, 10), "not measured in this run"),
        (observed(Some(0.0), 0), "no samples"),
        (
            observed(Some(f64::NAN), 10),
            "what was observed is not a number",
        ),
        (
            observed(Some(f64::INFINITY), 10),
            "what was observed is not a number",
        ),
    ] {
        let judged = judge(&gates, &evidence, true);
        assert_eq!(judged[0].verdict, Verdict::Inconclusive);
        assert_eq!(judged[0].note, note);
    }
}

#[test]
fn an_invalid_run_decides_nothing_but_says_how_it_looked() {
    let gates = [gate("hit_ratio >= 95%")];
    for (value, note) in [
        (0.99, "would have passed, but the run is invalid"),
        (0.5, "would have failed, but the run is invalid"),
    ] {
        let judged = judge(&gates, &observed(Some(value), 10), false);
        assert_eq!(judged[0].verdict, Verdict::Inconclusive);
        assert_eq!(judged[0].note, note);
        assert_eq!(overall(&judged, false), Verdict::Inconclusive);
    }
}

#[test]
fn a_percentile_needs_samples_beyond_it() {
    let needed = [50.0, 90.0, 95.0, 97.5, 99.0, 99.9, 99.99, 5.0].map(samples_min);
    assert_eq!(needed, [2, 10, 20, 40, 100, 1_000, 10_000, 20]);
    let (verdict, note) = verdict_of("p99(response_time) < 1s", 5.0, 99);
    assert_eq!(verdict, Verdict::Inconclusive);
    assert_eq!(note, "p99 needs at least 100 samples, there were 99");
    assert_eq!(
        verdict_of("p99(response_time) < 1s", 5.0, 100).0,
        Verdict::Pass
    );
    assert_eq!(
        verdict_of("max(response_time) < 1s", 5.0, 1).0,
        Verdict::Pass
    );
}

#[test]
fn the_run_passes_only_if_every_gate_does_and_there_is_one() {
    use Verdict::{Fail, Inconclusive, Pass};
    let gates = [gate("hit_ratio >= 95%"), gate("errors == 0")];
    let judged = |verdicts: [Verdict; 2]| -> Vec<Judged<'_>> {
        let one = |(gate, verdict)| Judged {
            gate,
            observation: Observation::default(),
            seconds: None,
            verdict,
            note: String::new(),
        };
        gates.iter().zip(verdicts).map(one).collect()
    };
    assert_eq!(overall(&judged([Pass, Pass]), true), Pass);
    assert_eq!(overall(&judged([Pass, Pass]), false), Inconclusive);
    assert_eq!(overall(&judged([Pass, Inconclusive]), true), Inconclusive);
    assert_eq!(overall(&judged([Fail, Inconclusive]), true), Fail);
    assert_eq!(overall(&[], true), Inconclusive);
}

fn rank(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Fail => 0,
        Verdict::Inconclusive => 1,
        Verdict::Pass => 2,
    }
}

proptest! {
    #[test]
    fn a_better_observation_is_never_judged_worse(
        target_ms in 0u64..10_000,
        one in -1e9f64..1e9,
        other in -1e9f64..1e9,
        samples in 0u64..200,
        valid: bool,
    ) {
        let (low, high) = if one < other { (one, other) } else { (other, one) };
        for (operator, (worse, better)) in [
            ("<", (high, low)),
            ("<=", (high, low)),
            (">", (low, high)),
            (">=", (low, high)),
        ] {
            let gates = [gate(&format!("p95(response_time) {operator} {target_ms}ms"))];
            let verdict =
                |value| judge(&gates, &observed(Some(value), samples), valid)[0].verdict;
            prop_assert!(rank(verdict(worse)) <= rank(verdict(better)));
        }
    }

    #[test]
    fn nothing_passes_without_samples_or_validity(value: f64, samples in 0u64..3, valid: bool) {
        let gates = [gate("mean(response_time) < 1h"), gate("mean(response_time) >= 0")];
        let judged = judge(&gates, &observed(Some(value), samples), valid);
        if samples == 0 || !valid || !value.is_finite() {
            for one in &judged {
                prop_assert_eq!(one.verdict, Verdict::Inconclusive);
                prop_assert!(!one.note.is_empty());
            }
            prop_assert_eq!(overall(&judged, valid), Verdict::Inconclusive);
        }
    }
}

/// What a run showed that a gate ended.
#[derive(Default)]
struct Shown {
    seen: Observation,
    windows: Option<Windows>,
    ended: Option<EarlyEnd>,
    cut: bool,
}

impl Evidence for Shown {
    fn observe(&self, _: &Check) -> Observation {
        self.seen
    }
    fn windows(&self, _: usize) -> Option<&Windows> {
        self.windows.as_ref()
    }
    fn ended(&self) -> Option<&EarlyEnd> {
        self.ended.as_ref()
    }
    fn is_cut(&self, _: &Check) -> bool {
        self.cut
    }
}

fn told(gate: &Gate, shown: &Shown, valid: bool) -> String {
    let judged = &judge(std::slice::from_ref(gate), shown, valid)[0];
    let value = judged.observation.value;
    let value = value.map_or_else(|| "–".to_owned(), |value| gate.check.format_value(value));
    let seconds = judged.seconds.clone();
    format!("{:?} {value} {seconds:?} {}", judged.verdict, judged.note)
}

fn in_windows(check: &str, values: &[(f64, u64)]) -> (Gate, Option<Windows>) {
    let windowed = Gate {
        window: Some(Duration::from_secs(10)),
        ..gate(check)
    };
    let mut windows = Windows::of(&windowed);
    for (from, (value, samples)) in (0..).zip(values) {
        let seen = Observation {
            value: Some(*value),
            samples: *samples,
        };
        let windows = windows.as_mut().expect("it has windows");
        windows.look(from..from + 10, seen);
    }
    (windowed, windows)
}

#[test]
fn of_windows_the_worst_is_judged() {
    let check = "p95(response_time) < 1s";
    let of = |values: &[(f64, u64)]| {
        let (gate, windows) = in_windows(check, values);
        told(
            &gate,
            &Shown {
                windows,
                ..Shown::default()
            },
            true,
        )
    };
    let lines = [
        of(&[(2e5, 30), (9e5, 30)]),
        of(&[(2e5, 30), (3e6, 30), (2e6, 30), (9e6, 5)]),
        of(&[(9e6, 5), (9e6, 19)]),
        of(&[]),
    ];
    insta::assert_snapshot!(lines.join("\n"), @"
    Pass 900 ms Some(1..11) 2 windows of 10 s: held
    Fail 3.0 s Some(1..11) 4 windows of 10 s: 2 of them lost, 1 had too few samples
    Inconclusive – None none of 2 windows of 10 s had enough samples
    Inconclusive – None no whole window of 10 s was measured
    ");
    // Nobody looked, as of a variant that was not run.
    let (gate, _) = in_windows(check, &[]);
    assert!(told(&gate, &Shown::default(), false).starts_with("Inconclusive"));
}

fn end(place: usize) -> EarlyEnd {
    let seen = Observation {
        value: Some(0.2),
        samples: 900,
    };
    let lost = LostGate {
        place,
        name: "failed requests".to_owned(),
        seen,
        seconds: None,
    };
    EarlyEnd {
        at: Duration::from_secs(34),
        lost: vec![lost],
    }
}

#[test]
fn a_gate_that_ended_the_run_failed_by_what_it_saw_then() {
    let gate = gate("error_ratio < 1%");
    // Later answers changed it.
    let seen = Observation {
        value: Some(0.0),
        samples: 1_000,
    };
    let shown = Shown {
        seen,
        ended: Some(end(0)),
        cut: true,
        ..Shown::default()
    };
    insta::assert_snapshot!(told(&gate, &shown, true), @"Fail 20% None ended the run at 34 s");
    insta::assert_snapshot!(told(&gate, &shown, false), @"Inconclusive 20% None ended the run at 34 s, but the run is invalid");
}

#[test]
fn gates_that_were_cut_short_are_open_unless_they_are_lost_for_good() {
    let of = |check: &str, value: f64, cut| {
        let seen = Observation {
            value: Some(value),
            samples: 1_000,
        };
        let shown = Shown {
            seen,
            ended: Some(end(7)),
            cut,
            ..Shown::default()
        };
        told(&gate(check), &shown, true)
    };
    let lines = [
        of("hit_ratio >= 95%", 0.99, true),
        of("hit_ratio >= 95%", 0.9, true),
        of("hit_ratio{phase=warm-up} >= 95%", 0.99, false),
        of("errors == 0", 3.0, true),
        of("requests >= 5000", 1_000.0, true),
    ];
    insta::assert_snapshot!(lines.join("\n"), @r#"
    Inconclusive 99% None held until 34 s, when "failed requests" ended the run
    Inconclusive 90% None was missed at 34 s, when "failed requests" ended the run
    Pass 99% None 
    Fail 3 None 
    Inconclusive 1,000 None was missed at 34 s, when "failed requests" ended the run
    "#);
    let (gate, windows) = in_windows("p95(response_time) < 1s", &[(2e6, 30)]);
    let shown = Shown {
        windows,
        ended: Some(end(7)),
        cut: true,
        ..Shown::default()
    };
    insta::assert_snapshot!(told(&gate, &shown, true), @"Fail 2.0 s Some(0..10) 1 window of 10 s: 1 of them lost");
    let shown = Shown {
        ended: Some(end(7)),
        cut: true,
        ..Shown::default()
    };
    insta::assert_snapshot!(told(&gate, &shown, true), @r#"Inconclusive – None no whole window of 10 s was measured; "failed requests" ended the run at 34 s"#);
}
