//! Gates: their checks are read by the gates' own grammar, their names are resolved here.

use std::ops::Range;
use std::sync::Arc;

use super::super::decode::{Field, List, Located};
use super::super::diagnostics::{Diagnostic, Errors, Place, did_you_mean};
use super::super::file::GateFile;
use super::super::yaml::short;
use super::Built;
use super::data_types::Names;
use crate::gates::Gate;
use crate::gates::grammar::Check;

/// Builds the gates. `phases` is unset if their names are not all known; then they are not checked.
pub(super) fn build(
    field: &Field<List<GateFile>>,
    names: &Names,
    phases: Option<&[Arc<str>]>,
    source: &str,
    errors: &mut Errors,
) -> Built<Vec<Gate>> {
    let Some(list) = field.value() else {
        return field.is_absent().then(Vec::new);
    };
    let mut seen: Vec<(Arc<str>, &Place)> = Vec::new();
    let mut built = Vec::new();
    for gate in list {
        let gate = gate.as_ref().map(|gate| &gate.value);
        let one = gate.and_then(|gate| build_one(gate, names, phases, source, errors));
        if let Some(gate) = gate
            && let Some(check) = gate.check.given()
        {
            let name = gate.name.or(check.value.clone()).unwrap_or_default();
            let place = gate.name.place().unwrap_or(&check.place);
            if let Some((_, first)) = seen.iter().find(|(other, _)| *other == name) {
                let message = format!("two gates are called {:?}", short(&name));
                errors.push(
                    Diagnostic::new(place, message)
                        .label("give it another name, or remove it")
                        .note("the first stands here", first),
                );
            }
            seen.push((name, place));
        }
        built.push(one);
    }
    built.into_iter().collect()
}

fn build_one(
    file: &GateFile,
    names: &Names,
    phases: Option<&[Arc<str>]>,
    source: &str,
    errors: &mut Errors,
) -> Built<Gate> {
    let name = match file.name.given() {
        Some(name) if name.value.trim().is_empty() => {
            let message = "a gate's name is empty";
            errors.push(Diagnostic::new(&name.place, message).label("leave it out"));
            None
        }
        _ => file.name.or(file.check.given()?.value.clone()),
    };
    let from = file.source.or(Arc::default());
    let written = file.check.given()?;
    let text = &*written.value;
    let check: Check = match text.parse() {
        Ok(check) => check,
        Err(error) => {
            let error: crate::gates::grammar::CheckError = error;
            let end = end_of_word(text, error.at);
            let place = inside(source, written, error.at..end);
            errors.push(Diagnostic::new(&place, error.message));
            return None;
        }
    };
    let selected = check_selector(
        ("data type", check.data_type()),
        names.iter().map(|(name, _)| &**name),
        (source, written),
        errors,
    );
    let in_phase = phases.is_none_or(|phases| {
        check_selector(
            ("phase", check.phase()),
            phases.iter().map(|name| &**name),
            (source, written),
            errors,
        )
    });
    if !selected || !in_phase {
        return None;
    }
    Some(Gate {
        name: name?.to_string(),
        source: from?.to_string(),
        check,
    })
}

/// Whether the name that a check selects by is one of `known`.
fn check_selector<'k>(
    (what, selected): (&str, Option<&str>),
    known: impl Iterator<Item = &'k str> + Clone,
    (source, written): (&str, &Located<Arc<str>>),
    errors: &mut Errors,
) -> bool {
    let Some(selected) = selected else {
        return true;
    };
    if known.clone().any(|name| name == selected) {
        return true;
    }
    let text = &*written.value;
    let selectors_at = text.find('{').unwrap_or(0);
    let at = text[selectors_at..].find(selected);
    let range = at.map_or(0..0, |at| {
        selectors_at + at..selectors_at + at + selected.len()
    });
    let message = format!("there is no {what} `{}`", short(selected));
    let advice = did_you_mean(selected, what, known);
    errors.push(Diagnostic::new(&inside(source, written, range), message).label(advice));
    false
}

/// Where the word that begins at byte `at` ends.
fn end_of_word(text: &str, at: usize) -> usize {
    let Some(rest) = text.get(at..) else {
        return text.len();
    };
    let word = |c: char| c.is_alphanumeric() || c == '_' || c == '-' || c == '.';
    let length = rest.find(|c| !word(c)).unwrap_or(rest.len());
    at + length.max(rest.chars().next().map_or(0, char::len_utf8))
}

/// The place of the bytes `range` of a text, if it stands in the source as it is: without escapes
/// and on one line. Else the place of the text.
fn inside(source: &str, written: &Located<Arc<str>>, range: Range<usize>) -> Place {
    let exact = || {
        let Place::Source { line, column, .. } = written.place else {
            return None;
        };
        let row = source.lines().nth(line.checked_sub(1)?)?;
        let row: String = row.chars().skip(column - 1).collect();
        let quote = usize::from(row.starts_with(['"', '\'']));
        if !row[quote..].starts_with(&*written.value) {
            return None;
        }
        let before = written.value.get(..range.start)?.chars().count();
        let width = written.value.get(range.clone())?.chars().count();
        Some(Place::Source {
            line,
            column: column + quote + before,
            width: width.max(1),
        })
    };
    exact().unwrap_or_else(|| written.place.clone())
}
