//! What the report of a probe shows, whose fault it is, and what is said in the end.

use super::*;
use crate::report::fixture::{knee_report, sample_report};
use crate::report::model::Offered;

fn probe() -> Probe {
    Probe {
        rate: Rate { per_s: 400.0 },
        repeat: 1,
        order: 5,
    }
}

/// A report of a real run in an open loop.
fn open(sustained: bool) -> Report {
    let mut report = sample_report();
    for phase in &mut report.phases {
        phase.offered = Some(Offered {
            due: 100,
            rate_per_s: 10.0,
            sent_per_s: 10.0,
            dropped: 0,
            waited_us_p99: 0.0,
            sustained,
        });
    }
    report
}

#[test]
fn it_holds_if_every_gate_passes_and_the_rate_was_sustained() {
    let (showing, judged) = judged(probe(), &open(true));
    assert_eq!(
        (showing, judged.verdict),
        (Showing::Holds, KneeVerdict::Holds)
    );
    insta::assert_snapshot!(line(&judged), @"probe 5: 400/s: p95 61 ms, holds");
}

#[test]
fn it_fails_by_a_gate_or_by_what_was_not_sustained() {
    let mut report = open(true);
    report.gates[2].verdict = Verdict::Fail;
    report.gates[3].verdict = Verdict::Inconclusive;
    let (showing, judged) = judged(probe(), &report);
    assert_eq!(showing, Showing::Fails);
    insta::assert_snapshot!(line(&judged), @"probe 5: 400/s: p95 61 ms, FAILS: customer hit ratio");
    // Dropped requests make a run invalid; the system had no place for them.
    let mut report = open(false);
    report.validity.valid = false;
    report.validity.reasons = vec!["12 of 100 requests were never started".to_owned()];
    let (showing, judged) = super::judged(probe(), &report);
    assert_eq!(showing, Showing::Fails);
    insta::assert_snapshot!(line(&judged), @"probe 5: 400/s: p95 61 ms, FAILS: not sustained");
}

#[test]
fn the_generators_limit_is_not_the_systems() {
    let mut report = open(false);
    report.validity.valid = false;
    report.validity.reasons = vec!["the generator was the bottleneck".to_owned()];
    report.validity.generator_limited = true;
    let (showing, judged) = judged(probe(), &report);
    assert_eq!(showing, Showing::Generator);
    insta::assert_snapshot!(line(&judged), @"probe 5: 400/s: p95 61 ms, INVALID: the generator was the bottleneck");
}

#[test]
fn without_evidence_it_shows_nothing() {
    let mut report = open(true);
    report.gates[3].verdict = Verdict::Inconclusive;
    let (showing, shown) = judged(probe(), &report);
    assert_eq!(showing, Showing::Unclear);
    insta::assert_snapshot!(line(&shown), @"probe 5: 400/s: p95 61 ms, inconclusive: product hit ratio");
    let mut report = open(true);
    report.validity.valid = false;
    report.validity.reasons = vec!["Redis died".to_owned()];
    assert_eq!(judged(probe(), &report).0, Showing::Unclear);
}

#[test]
fn the_run_that_stands_for_all_is_the_last_that_holds_at_the_knee() {
    let knee = knee_report().knee.expect("a knee");
    let rate = |per_s| Rate { per_s };
    let mut found = Found {
        holds: Some(rate(565.7)),
        ceiling: Some((rate(590.7), Showing::Fails)),
        end: End::Narrowed,
        contradiction: None,
    };
    assert_eq!(knee.probes[shown(&found, &knee.probes)].order, 13);
    found.holds = None;
    assert_eq!(knee.probes[shown(&found, &knee.probes)].order, 16);
    found.ceiling = None;
    assert_eq!(knee.probes[shown(&found, &knee.probes)].order, 17);
}

#[test]
fn every_end_has_its_verdict() {
    let rate = |per_s| Some(Rate { per_s });
    let fails = |showing| Some((Rate { per_s: 590.7 }, showing));
    for (holds, ceiling, end, wanted) in [
        (
            rate(565.7),
            fails(Showing::Fails),
            End::Narrowed,
            Verdict::Pass,
        ),
        (rate(565.7), None, End::HighestHolds, Verdict::Pass),
        (
            rate(565.7),
            fails(Showing::Generator),
            End::Narrowed,
            Verdict::Inconclusive,
        ),
        (None, fails(Showing::Fails), End::LowestFails, Verdict::Fail),
        (
            None,
            fails(Showing::Generator),
            End::LowestFails,
            Verdict::Inconclusive,
        ),
        (None, None, End::NoEvidence, Verdict::Inconclusive),
        (
            rate(565.7),
            fails(Showing::Fails),
            End::Stopped,
            Verdict::Pass,
        ),
        (rate(565.7), None, End::Stopped, Verdict::Inconclusive),
    ] {
        let found = Found {
            holds,
            ceiling,
            end,
            contradiction: None,
        };
        let mut report = knee_report();
        let knee = report.knee.take().expect("a knee");
        into_report(&mut report, knee, &found);
        assert_eq!(report.verdict, wanted, "{found:?}");
    }
}

#[test]
fn what_limits_it_is_what_most_probes_say() {
    let mut probes = knee_report().knee.expect("a knee").probes;
    let ceiling = |showing| Found {
        holds: None,
        ceiling: Some((Rate { per_s: 800.0 }, showing)),
        end: End::Narrowed,
        contradiction: None,
    };
    // Both fail a gate, and neither is sustained: of equals what was said first.
    assert_eq!(
        limited_by(&ceiling(Showing::Fails), &probes),
        "not sustained"
    );
    probes[3].sustained = true;
    let gate = "gate: p95 response time, 1,000 users";
    assert_eq!(limited_by(&ceiling(Showing::Fails), &probes), gate);
    assert_eq!(
        limited_by(&ceiling(Showing::Generator), &probes),
        "generator"
    );
}
