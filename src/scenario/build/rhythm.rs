//! Who of the users is there when.

use std::sync::Arc;
use std::time::Duration;

use super::super::decode::{Field, Located, Map, Switch};
use super::super::diagnostics::{Diagnostic, Errors, Place};
use super::super::file::rhythm::RhythmFile;
use super::super::yaml::short;
use super::{Built, PHASE_MAX, span};
use crate::units::{Ratio, Span};
use crate::workload::rhythm::Rhythm;

const EVERY_DEFAULT: Duration = Duration::from_hours(24);
const EVERY_MIN: Duration = Duration::from_secs(1);

/// What `rhythm` says; inside, `None` is that all users are there.
pub(super) fn build(
    field: &Field<Switch<RhythmFile>>,
    errors: &mut Errors,
) -> Built<Option<Rhythm>> {
    let Some(given) = field.given() else {
        return field.is_absent().then_some(None);
    };
    let Switch::On(file) = &given.value else {
        return Some(None);
    };
    let limits = EVERY_MIN..=PHASE_MAX;
    let every = span("every", &file.every, Some(EVERY_DEFAULT), limits, errors);
    let starts_at = build_start(&file.starts_at, every, errors);
    let present = file.present.given();
    let points = present.and_then(|present| build_points(present, every, errors));
    Rhythm::new(every?, starts_at?, points?).map(Some)
}

fn build_start(
    field: &Field<Span>,
    every: Option<Duration>,
    errors: &mut Errors,
) -> Built<Duration> {
    let Some(given) = field.given() else {
        return field.is_absent().then_some(Duration::ZERO);
    };
    within(given.value, &given.place, every?, errors)
}

/// A moment of the period.
fn within(moment: Span, place: &Place, every: Duration, errors: &mut Errors) -> Built<Duration> {
    if moment.0 < every {
        return Some(moment.0);
    }
    let message = format!("{moment} is not within {}", Span(every));
    let advice = "before the end of `every`, which is the beginning of the next";
    errors.push(Diagnostic::new(place, message).label(advice));
    None
}

fn build_points(
    present: &Located<Map<Ratio>>,
    every: Option<Duration>,
    errors: &mut Errors,
) -> Built<Vec<(Duration, Ratio)>> {
    let mut built = Some(Vec::new());
    let mut seen: Vec<(Duration, &Place)> = Vec::new();
    for (name, share) in &present.value.0 {
        let moment = build_moment(name, every, &mut seen, errors);
        match (moment.zip(share.as_ref()), &mut built) {
            (Some((moment, share)), Some(built)) => built.push((moment, share.value)),
            (None, built) => *built = None,
            (Some(_), None) => {}
        }
    }
    let built = built?;
    if built.iter().all(|(_, share)| share.0 <= 0.0) {
        let message = "nobody is ever there";
        let advice = "give at least one moment a share above 0%";
        errors.push(Diagnostic::new(&present.place, message).help(advice));
        return None;
    }
    Some(built)
}

fn build_moment<'f>(
    name: &'f Located<Arc<str>>,
    every: Option<Duration>,
    seen: &mut Vec<(Duration, &'f Place)>,
    errors: &mut Errors,
) -> Built<Duration> {
    let Ok(moment) = name.value.parse::<Span>() else {
        let message = format!("{:?} is no moment of the rhythm", short(&name.value));
        let advice = "write how far into it, such as 9h or 9h 30m";
        errors.push(Diagnostic::new(&name.place, message).label(advice));
        return None;
    };
    let place = &name.place;
    if let Some((_, first)) = seen.iter().find(|(other, _)| *other == moment.0) {
        let message = format!("{moment} stands twice");
        errors.push(
            Diagnostic::new(place, message)
                .label("remove one of them")
                .note("the first stands here", first),
        );
        return None;
    }
    seen.push((moment.0, place));
    within(moment, place, every?, errors)
}
