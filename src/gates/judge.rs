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
//! 4. The gate ended the run: fail.
//! 5. Another gate ended the run before the time was over that this one looks at: inconclusive,
//!    unless it is lost whatever would have come after.
//! 6. Pass if the comparison holds, else fail.
//!
//! Of a windowed gate the worst window is what was observed. Windows of too few samples say nothing;
//! without any other the gate is inconclusive.
//!
//! Pure: reads no file and no clock, and knows no report.

use std::time::Duration;

use super::abort::is_lost_for_good;
use super::grammar::{Check, Metric, Statistic};
use super::windowed::{Seconds, Windows};
use super::{Gate, Verdict};
use crate::units::{long, thousands};

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

    /// What windows showed of the gate at `place` of the list; `None` if nobody looked.
    fn windows(&self, _place: usize) -> Option<&Windows> {
        None
    }

    /// How a gate ended the run before its plan was done; `None` if none did.
    fn ended(&self) -> Option<&EarlyEnd> {
        None
    }

    /// Whether the run was ended before the time was over that `check` looks at.
    fn is_cut(&self, _check: &Check) -> bool {
        false
    }
}

/// The end of a run by gates that were lost.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EarlyEnd {
    /// When, from the start of the run.
    pub at: Duration,
    /// The gates that were lost then, at least one.
    pub lost: Vec<LostGate>,
}

impl EarlyEnd {
    /// The names of the gates, for a sentence: `“p95” and “errors”`.
    pub fn names(&self) -> String {
        let names: Vec<String> = self
            .lost
            .iter()
            .map(|one| format!("\"{}\"", one.name))
            .collect();
        names.join(" and ")
    }
}

/// A gate that ended a run.
#[derive(Clone, Debug, PartialEq)]
pub struct LostGate {
    /// Its place in the list.
    pub place: usize,
    /// What it is called.
    pub name: String,
    /// What was observed then; it has a value.
    pub seen: Observation,
    /// Of a windowed gate: in which window.
    pub seconds: Option<Seconds>,
}

/// A gate with what became of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged<'g> {
    /// The gate.
    pub gate: &'g Gate,
    /// What was observed.
    pub observation: Observation,
    /// Of a windowed gate: in which window.
    pub seconds: Option<Seconds>,
    /// What became of it.
    pub verdict: Verdict,
    /// Why, if it is not self-evident; may be empty.
    pub note: String,
}

/// Judges every gate, in order.
pub fn judge<'g>(gates: &'g [Gate], evidence: &impl Evidence, valid: bool) -> Vec<Judged<'g>> {
    let gates = gates.iter().enumerate();
    gates
        .map(|(place, gate)| judge_gate(gate, place, evidence, valid))
        .collect()
}

fn judge_gate<'g>(
    gate: &'g Gate,
    place: usize,
    evidence: &impl Evidence,
    valid: bool,
) -> Judged<'g> {
    let ended = evidence.ended();
    let windows = evidence.windows(place);
    let worst = windows.and_then(Windows::worst);
    let (observation, seconds) = match (gate.window, worst) {
        (Some(_), Some(worst)) => (worst.seen, Some(worst.seconds.clone())),
        (Some(_), None) => (Observation::default(), None),
        (None, _) => (evidence.observe(&gate.check), None),
    };
    let by_it = ended.and_then(|end| end.lost.iter().find(|lost| lost.place == place));
    if let (Some(end), Some(lost)) = (ended, by_it) {
        let note = format!("ended the run at {}", long(end.at));
        let (verdict, note) = if valid {
            (Verdict::Fail, note)
        } else {
            let note = format!("{note}, but the run is invalid");
            (Verdict::Inconclusive, note)
        };
        return Judged {
            gate,
            observation: lost.seen,
            seconds: lost.seconds.clone(),
            verdict,
            note: with(note, windows.map(told)),
        };
    }
    let (verdict, note) = match (gate.window, windows) {
        (Some(length), windows) if worst.is_none() => {
            (Verdict::Inconclusive, nothing_seen(length, windows))
        }
        _ => judge_one(&gate.check, observation, valid),
    };
    let cut = ended.filter(|_| valid && evidence.is_cut(&gate.check));
    let (verdict, note) = match cut {
        Some(end) => judge_cut(gate, observation, (verdict, note), end),
        None => (verdict, note),
    };
    Judged {
        gate,
        observation,
        seconds,
        verdict,
        note: with(note, windows.filter(|_| worst.is_some()).map(told)),
    }
}

/// `note`, and what else there is to tell.
fn with(note: String, more: Option<String>) -> String {
    match more {
        Some(more) if note.is_empty() => more,
        Some(more) => format!("{note}; {more}"),
        None => note,
    }
}

/// What windows showed beside the worst.
fn told(windows: &Windows) -> String {
    let blind = match windows.blind() {
        0 => String::new(),
        blind => format!(", {} had too few samples", thousands(blind)),
    };
    let lost = match windows.lost() {
        0 => "held".to_owned(),
        lost => format!("{} of them lost", thousands(lost)),
    };
    let plural = if windows.seen() == 1 { "" } else { "s" };
    format!(
        "{} window{plural} of {}: {lost}{blind}",
        thousands(windows.seen()),
        long(windows.length()),
    )
}

/// Why a windowed gate has no evidence.
fn nothing_seen(length: Duration, windows: Option<&Windows>) -> String {
    let length = long(length);
    match windows.map_or(0, Windows::seen) {
        0 => format!("no whole window of {length} was measured"),
        seen => format!(
            "none of {} windows of {length} had enough samples",
            thousands(seen)
        ),
    }
}

/// A gate whose time was cut short by another one.
fn judge_cut(
    gate: &Gate,
    observation: Observation,
    (verdict, note): (Verdict, String),
    end: &EarlyEnd,
) -> (Verdict, String) {
    let for_good = |value| gate.window.is_some() || is_lost_for_good(&gate.check, value);
    if verdict == Verdict::Fail && observation.value.is_some_and(for_good) {
        return (verdict, note);
    }
    let (at, by) = (long(end.at), end.names());
    let note = match verdict {
        Verdict::Pass => format!("held until {at}, when {by} ended the run"),
        Verdict::Fail => format!("was missed at {at}, when {by} ended the run"),
        Verdict::Inconclusive => format!("{note}; {by} ended the run at {at}"),
    };
    (Verdict::Inconclusive, note)
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
mod tests;
