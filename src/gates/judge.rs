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
        let looked = if holds { "held" } else { "missed" };
        return inconclusive(format!("would have been {looked}, but the run is invalid"));
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
    let any = |verdict| judged.iter().any(|one| one.verdict == verdict);
    if !valid || judged.is_empty() {
        Verdict::Inconclusive
    } else if any(Verdict::Fail) {
        Verdict::Fail
    } else if any(Verdict::Inconclusive) {
        Verdict::Inconclusive
    } else {
        Verdict::Pass
    }
}
