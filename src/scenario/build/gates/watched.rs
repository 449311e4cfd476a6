//! What a gate says beside its check: its window, and whether it ends the run.

use std::time::Duration;

use super::super::super::decode::{Field, Located};
use super::super::super::diagnostics::{Diagnostic, Errors};
use super::super::super::file::GateFile;
use super::super::super::plan::PhasePlan;
use super::super::{Built, PHASE_MAX, alerts, span};
use super::{Known, end_of_word, inside};
use crate::gates::grammar::Check;
use crate::gates::windowed::check_window;
use crate::gates::{Gate, abort};
use crate::measure::PhaseKind;
use crate::units::Span;

/// How long each window is; inside, `None` is the whole time.
pub(super) fn window(field: &Field<Span>, errors: &mut Errors) -> Built<Option<Duration>> {
    match field {
        Field::Absent => Some(None),
        _ => alerts::window(field, errors).map(Some),
    }
}

/// From when on the gate ends the run; inside, `None` is never.
pub(super) fn abort_after(file: &GateFile, errors: &mut Errors) -> Built<Option<Duration>> {
    let limits = Duration::ZERO..=PHASE_MAX;
    let after = match file.abort_after {
        Field::Absent => None,
        _ => Some(span(
            "abort_after",
            &file.abort_after,
            None,
            limits,
            errors,
        )?),
    };
    let abort = match &file.abort {
        Field::Absent => after.is_some(),
        Field::Wrong => return None,
        Field::Given(abort) => abort.value,
    };
    if let (false, Some(_), Some(place)) = (abort, after, file.abort.place()) {
        let message = "`abort: false` contradicts `abort_after`";
        errors.push(Diagnostic::new(place, message).label("leave one of the two out"));
        return None;
    }
    Some(abort.then_some(after.unwrap_or_default()))
}

/// Whether windows show what the gate is about and fit into its time, and whether it can end a run.
pub(super) fn fits(
    gate: &Gate,
    file: &GateFile,
    known: &Known<'_>,
    errors: &mut Errors,
) -> Built<()> {
    let told = errors.count();
    if gate.window.is_some()
        && let Some(text) = file.check.given()
        // As written, without the phase that the gate stands in: errors point at the text.
        && let Err(error) = text.value.parse().and_then(|check: Check| check_window(&check))
    {
        let place = inside(
            known.source,
            text,
            error.at..end_of_word(&text.value, error.at),
        );
        errors.push(Diagnostic::new(&place, error.message));
    }
    let time = known.plan.and_then(|phases| time_of(&gate.check, phases));
    if let (Some(time), Some(window)) = (&time, file.window.given())
        && window.value.0 > time.lasts
    {
        let message = format!(
            "no window of {} fits into {}, which is {} long",
            window.value,
            time.name,
            Span(time.lasts)
        );
        let advice = "make the window shorter, or measure for longer";
        errors.push(Diagnostic::new(&window.place, message).label(advice));
    }
    if let Some(place) = file.abort_after.place().or(file.abort.place())
        && gate.abort_after.is_some()
        && let Some(message) = abort::refusal(gate)
    {
        let advice = "leave it out; the gate is judged at the end";
        errors.push(Diagnostic::new(place, message).label(advice));
    }
    if let (Some(time), Some(after)) = (&time, file.abort_after.given()) {
        never(time, after, errors);
    }
    (errors.count() == told).then_some(())
}

/// Tells of an `abort_after` that the run is over before.
fn never(time: &Time, after: &Located<Span>, errors: &mut Errors) {
    if after.value.0 < time.left {
        return;
    }
    let message = format!(
        "the run is over {} after the begin of {}, before {} have passed",
        Span(time.left),
        time.name,
        after.value
    );
    errors.push(Diagnostic::new(&after.place, message).label("write less"));
}

/// The time that a gate looks at.
struct Time {
    /// What it is called: "the phase `spike`".
    name: String,
    lasts: Duration,
    /// From its begin to the end of the run.
    left: Duration,
}

/// The time that `check` looks at; `None` if there is no such phase.
fn time_of(check: &Check, phases: &[PhasePlan]) -> Option<Time> {
    let chosen = |phase: &PhasePlan| match check.phase() {
        Some(name) => phase.name == name,
        None => phase.kind == PhaseKind::Measure,
    };
    let first = phases.iter().position(chosen)?;
    let sum = |phases: &mut dyn Iterator<Item = &PhasePlan>| -> Duration {
        phases.map(|phase| phase.duration).sum()
    };
    Some(Time {
        name: match check.phase() {
            Some(name) => format!("the phase `{name}`"),
            None => "the measured time".to_owned(),
        },
        lasts: sum(&mut phases.iter().filter(|phase| chosen(phase))),
        left: sum(&mut phases[first..].iter()),
    })
}
