//! Holds gates against evidence.
//!
//! Called by the runner after a run. The rules, in the order in which they apply; the first that
//! applies decides:
//!
//! 1. Nothing was observed, or it rests on no sample, or it is not a number: inconclusive.
//! 2. The run is invalid: inconclusive, whether the target was met or missed. What a saturated
//!    generator measured says nothing about the cache in either direction; the note says how it
//!    looked.
//! 3. A percentile rests on fewer samples than it takes to expect one beyond it
//!    ([`samples_min`]: 20 for p95, 100 for p99, 1,000 for p999): inconclusive, in either
//!    direction.
//! 4. Pass if the comparison holds, else fail.
//!
//! Pure: reads no file and no clock, and knows no report.

use super::grammar::{Check, Metric, Statistic};
use super::{Gate, Verdict};
use crate::units::thousands;

/// What was observed of a check's metric, narrowed as the check says.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Observation {
    /// In the check's unit; `None` if it was not measured.
    pub value: Option<f64>,
    /// What the value rests on: for a distribution its values, for a ratio its denominator, for a
    /// count or a rate the requests among which it was counted, for a reading of Redis or of the
    /// database the readings. With 0 there is no verdict.
    pub samples: u64,
}

/// Knows what was observed.
pub trait Evidence {
    /// What was observed of `check`.
    fn observe(&self, check: &Check) -> Observation;
}

/// A gate with what became of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged<'g> {
    /// The gate.
    pub gate: &'g Gate,
    /// What was observed.
    pub observation: Observation,
    /// What became of it.
    pub verdict: Verdict,
    /// Why, if it is not self-evident; may be empty.
    pub note: String,
}

/// Judges every gate, in order.
pub fn judge<'g>(gates: &'g [Gate], evidence: &impl Evidence, valid: bool) -> Vec<Judged<'g>> {
    gates
        .iter()
        .map(|gate| {
            let observation = evidence.observe(&gate.check);
            let (verdict, note) = judge_one(&gate.check, observation, valid);
            Judged {
                gate,
                observation,
                verdict,
                note,
            }
        })
        .collect()
}

fn judge_one(check: &Check, observation: Observation, valid: bool) -> (Verdict, String) {
    let inconclusive = |note: String| (Verdict::Inconclusive, note);
    let Some(value) = observation.value else {
        return inconclusive("not measured in this run".to_owned());
    };
    if observation.samples == 0 {
        return inconclusive("no samples".to_owned());
    }
    if !value.is_finite() {
        return inconclusive("what was observed is not a number".to_owned());
    }
    let holds = check.holds(value);
    if !valid {
        let looked = if holds { "passed" } else { "failed" };
        return inconclusive(format!("would have {looked}, but the run is invalid"));
    }
    if let Metric::Distribution(_, Statistic::Percentile(percent)) = check.metric {
        let wanted = samples_min(percent);
        if observation.samples < wanted {
            return inconclusive(format!(
                "{} needs at least {} samples, there were {}",
                Statistic::Percentile(percent),
                thousands(wanted),
                thousands(observation.samples)
            ));
        }
    }
    let verdict = if holds { Verdict::Pass } else { Verdict::Fail };
    (verdict, String::new())
}

/// Whether `observation` says anything about `check`, by rules 1 and 3.
pub fn has_evidence(check: &Check, observation: Observation) -> bool {
    let wanted = match check.metric {
        Metric::Distribution(_, Statistic::Percentile(percent)) => samples_min(percent),
        _ => 1,
    };
    observation.value.is_some_and(f64::is_finite) && observation.samples >= wanted
}

/// The fewest samples of which one can be expected to lie beyond the percentile. With fewer, the
/// percentile is nothing but the largest (or smallest) sample.
#[allow(
    clippy::cast_sign_loss,
    reason = "a percentile lies between 0 and 100, so the quotient is positive"
)]
pub fn samples_min(percent: f64) -> u64 {
    let beyond = percent.min(100.0 - percent);
    // The tolerance keeps 100/(100-99.9) at 1000 though 99.9 has no exact binary form.
    (100.0 / beyond - 1e-6).ceil() as u64
}

/// The verdict of the run as a whole: fail if a gate failed; inconclusive if the run is invalid,
/// a gate is inconclusive, or there is no gate at all, so that nothing passes on nothing; else
/// pass.
pub fn overall(judged: &[Judged<'_>], valid: bool) -> Verdict {
    let verdicts: Vec<Verdict> = judged.iter().map(|one| one.verdict).collect();
    overall_of(&verdicts, valid)
}

/// The same of the verdicts alone.
pub fn overall_of(verdicts: &[Verdict], valid: bool) -> Verdict {
    let any = |verdict| verdicts.contains(&verdict);
    if !valid || verdicts.is_empty() {
        Verdict::Inconclusive
    } else if any(Verdict::Fail) {
        Verdict::Fail
    } else if any(Verdict::Inconclusive) {
        Verdict::Inconclusive
    } else {
        Verdict::Pass
    }
}

#[cfg(test)]
mod tests {
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
        Gate {
            name: check.to_owned(),
            source: String::new(),
            check: check.parse().expect(check),
        }
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
}
