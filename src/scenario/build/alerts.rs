//! Alerts: their checks are read by the grammar of gates, as far as a sliding window shows them.

use std::sync::Arc;
use std::time::Duration;

use super::super::decode::{Field, List, Located};
use super::super::diagnostics::{Diagnostic, Errors};
use super::super::file::AlertFile;
use super::data_types::Names;
use super::gates::{Selected, Titled, check_selector, end_of_word, inside, only_once};
use super::{Built, span};
use crate::gates::alert::{self, Alert, WINDOW_DEFAULT};
use crate::gates::grammar::CheckError;
use crate::measure::window::WINDOW_MAX;
use crate::units::Span;

const HOLD_MAX: Duration = Duration::from_hours(1);
const WINDOW_MIN: Duration = Duration::from_secs(1);

/// Builds the alerts.
pub(super) fn build(
    field: &Field<List<AlertFile>>,
    names: &Names,
    source: &str,
    errors: &mut Errors,
) -> Built<Vec<Alert>> {
    let Some(list) = field.value() else {
        return field.is_absent().then(Vec::new);
    };
    let mut seen = Vec::new();
    let mut built = Vec::new();
    for file in list {
        let file = file.as_ref().map(|file| &file.value);
        let alert = file.and_then(|file| build_one(file, names, source, errors));
        if let Some(file) = file {
            let titled = Titled {
                what: "alert",
                name: &file.name,
                check: &file.check,
            };
            if let Some((name, place)) = titled.named() {
                only_once(&mut seen, ("alert", name, place), errors);
            }
        }
        built.push(alert);
    }
    built.into_iter().collect()
}

/// What the alerts are called, as far as it is known; `None` if one of them cannot be.
pub(super) fn names(field: &Field<List<AlertFile>>) -> Option<Vec<Arc<str>>> {
    let Some(list) = field.value() else {
        return field.is_absent().then(Vec::new);
    };
    list.iter()
        .map(|file| {
            let file = &file.as_ref()?.value;
            file.name.or(file.check.value()?.clone())
        })
        .collect()
}

fn build_one(file: &AlertFile, names: &Names, source: &str, errors: &mut Errors) -> Built<Alert> {
    let name = Titled {
        what: "alert",
        name: &file.name,
        check: &file.check,
    }
    .read(errors);
    let from = file.source.or(Arc::default());
    let hold = Some(Duration::ZERO);
    let hold = span("for", &file.hold, hold, Duration::ZERO..=HOLD_MAX, errors);
    let window = match file.window {
        Field::Absent => Some(WINDOW_DEFAULT),
        _ => window(&file.window, errors),
    };
    let written = file.check.given()?;
    let check = match alert::check(&written.value) {
        Ok(check) => check,
        Err(CheckError { at, message }) => {
            let place = inside(source, written, at..end_of_word(&written.value, at));
            errors.push(Diagnostic::new(&place, message));
            return None;
        }
    };
    let selected = Selected {
        what: "data type",
        name: check.data_type(),
        within: (source, written),
    };
    if !check_selector(&selected, names.iter().map(|(name, _)| &**name), errors) {
        return None;
    }
    Some(Alert {
        name: name?.to_string(),
        source: from?.to_string(),
        check,
        hold: hold?,
        window: window?,
    })
}

/// In whole seconds, because a window is made of seconds.
pub(super) fn window(field: &Field<Span>, errors: &mut Errors) -> Built<Duration> {
    let window = span("window", field, None, WINDOW_MIN..=WINDOW_MAX, errors)?;
    if window.subsec_nanos() == 0 {
        return Some(window);
    }
    if let Some(Located { place, .. }) = field.given() {
        let message = format!("`window` cannot be {}", Span(window));
        let advice = "write whole seconds: looks are a second apart";
        errors.push(Diagnostic::new(place, message).label(advice));
    }
    None
}
