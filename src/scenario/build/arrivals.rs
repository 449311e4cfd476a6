//! When requests are due.

use std::time::Duration;

use super::super::decode::{Field, Switch};
use super::super::diagnostics::{Diagnostic, Errors, Place};
use super::super::file::arrivals::{ArrivalsFile, Spacing};
use super::{Built, MS, PHASE_MAX, count, span};
use crate::units::{Rate, RateRange};
use crate::workload::arrivals::{Arrivals, Shape};

/// More than any machine sends.
const RATE_MAX: Rate = Rate {
    per_s: 10_000_000.0,
};
const STEPS_DEFAULT: u64 = 5;
const STEPS_MAX: u64 = 1_000;
const PERIOD_MIN: Duration = Duration::from_millis(100);

/// What `arrivals` says, of the traffic or of a phase; inside, `None` is that nobody comes, or that
/// nothing is said.
pub(super) fn build(
    field: &Field<Switch<ArrivalsFile>>,
    errors: &mut Errors,
) -> Built<Option<Arrivals>> {
    let Some(given) = field.given() else {
        return field.is_absent().then_some(None);
    };
    let Switch::On(file) = &given.value else {
        return Some(None);
    };
    let spacing = file.spacing.or(Spacing::Poisson);
    let shape = build_shape(file, &given.place, errors);
    Some(Some(Arrivals {
        shape: shape?,
        poisson: spacing? == Spacing::Poisson,
    }))
}

fn build_shape(file: &ArrivalsFile, place: &Place, errors: &mut Errors) -> Built<Shape> {
    let ranges = [
        ("ramp", &file.ramp),
        ("step", &file.step),
        ("spike", &file.spike),
        ("sine", &file.sine),
    ];
    let given = ranges.iter().filter(|(_, range)| !range.is_absent());
    let mut given: Vec<&str> = given.map(|(name, _)| *name).collect();
    if !file.rate.is_absent() {
        given.push("rate");
    }
    let [name] = given[..] else {
        let message = if given.is_empty() {
            "the arrivals do not say how many come".to_owned()
        } else {
            format!("the arrivals say it in {} ways", given.len())
        };
        let advice = "give one of `rate`, `ramp`, `step`, `spike` and `sine`";
        errors.push(Diagnostic::new(place, message).label(advice));
        return None;
    };
    let details = check_details(file, name, errors);
    let limits = MS..=PHASE_MAX;
    if name == "rate" {
        let rate = file.rate.given()?;
        return within([rate.value], &rate.place, errors)
            .and(details)
            .map(|()| Shape::Constant(rate.value));
    }
    let range = ranges.iter().find(|(of, _)| *of == name)?.1.given()?;
    let RateRange { from, to } = range.value;
    within([from, to], &range.place, errors).and(details)?;
    Some(match name {
        "ramp" => Shape::Ramp { from, to },
        "step" => {
            let steps = Some(STEPS_DEFAULT);
            let steps = count("steps", &file.steps, steps, 1..=STEPS_MAX, errors)? as u32;
            Shape::Step { from, to, steps }
        }
        "spike" => {
            let at = span("at", &file.at, None, Duration::ZERO..=PHASE_MAX, errors);
            let length = span("for", &file.length, None, limits, errors);
            Shape::Spike {
                base: from,
                peak: to,
                at: at?,
                length: length?,
            }
        }
        _ => Shape::Sine {
            low: from,
            high: to,
            period: span("period", &file.period, None, PERIOD_MIN..=PHASE_MAX, errors)?,
        },
    })
}

/// Whether the keys that say more about a shape stand beside the one called `name`, and no others.
fn check_details(file: &ArrivalsFile, name: &str, errors: &mut Errors) -> Built<()> {
    let mut good = Some(());
    let mut check = |key, of, place: Option<&Place>, wanted: Option<&Place>, example| {
        let told = match (place, wanted) {
            (Some(place), None) => {
                let message = format!("`{key}` says nothing about `{name}`");
                Diagnostic::new(place, message).label(format!("it belongs to `{of}`"))
            }
            (None, Some(shape)) => {
                let message = format!("`{key}` is missing beside `{of}`");
                Diagnostic::new(shape, message).help(format!("add `{key}: {example}`"))
            }
            _ => return,
        };
        errors.push(told);
        good = None;
    };
    let spike = file.spike.place();
    check("at", "spike", file.at.place(), spike, "10s");
    check("for", "spike", file.length.place(), spike, "5s");
    check(
        "period",
        "sine",
        file.period.place(),
        file.sine.place(),
        "1h",
    );
    // It has a default.
    let step = file.step.place().and(file.steps.place());
    check("steps", "step", file.steps.place(), step, "5");
    good
}

fn within(rates: impl IntoIterator<Item = Rate>, place: &Place, errors: &mut Errors) -> Built<()> {
    for rate in rates {
        if rate.per_s > RATE_MAX.per_s {
            let message = format!("{rate} is more than can be sent");
            let advice = format!("from 0/s up to {RATE_MAX}");
            errors.push(Diagnostic::new(place, message).label(advice));
            return None;
        }
    }
    Some(())
}
