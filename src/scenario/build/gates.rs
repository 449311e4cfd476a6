//! Gates: their checks are read by the gates' own grammar, their names are resolved here; and what
//! alerts have in common with them.

use std::ops::Range;
use std::sync::Arc;

use super::super::decode::{Field, Located};
use super::super::diagnostics::{Diagnostic, Errors, Place, did_you_mean};
use super::super::file::{File, GateFile};
use super::super::yaml::short;
use super::data_types::Names;
use super::{Built, alerts, kinds, traffic};
use crate::gates::Gate;
use crate::gates::grammar::Check;

/// What checks may name. Phases, alerts and kinds of users are unset if their names are not all known; then they are
/// not checked.
struct Known<'n> {
    data_types: &'n Names,
    phases: Option<Vec<Arc<str>>>,
    alerts: Option<Vec<Arc<str>>>,
    user_kinds: Option<Vec<Arc<str>>>,
}

/// Builds the gates of `file`, whose data types are called `names`.
pub(super) fn build(
    file: &File,
    names: &Names,
    source: &str,
    errors: &mut Errors,
) -> Built<Vec<Gate>> {
    let field = &file.gates;
    let Some(list) = field.value() else {
        return field.is_absent().then(Vec::new);
    };
    let known = Known {
        data_types: names,
        phases: file.traffic.value().and_then(traffic::phase_names),
        alerts: alerts::names(&file.alerts),
        user_kinds: file.traffic.value().and_then(kinds::names),
    };
    let mut seen = Vec::new();
    let mut built = Vec::new();
    for gate in list {
        let gate = gate.as_ref().map(|gate| &gate.value);
        let one = gate.and_then(|gate| build_one(gate, &known, source, errors));
        if let Some(GateFile { name, check, .. }) = gate {
            only_once(
                &mut seen,
                &Titled {
                    what: "gate",
                    name,
                    check,
                },
                errors,
            );
        }
        built.push(one);
    }
    built.into_iter().collect()
}

/// What something with a check is called: by default the check's own text.
pub(super) struct Titled<'f> {
    /// "gate"
    pub(super) what: &'static str,
    pub(super) name: &'f Field<Arc<str>>,
    pub(super) check: &'f Field<Arc<str>>,
}

impl Titled<'_> {
    pub(super) fn read(&self, errors: &mut Errors) -> Built<Arc<str>> {
        match self.name.given() {
            Some(name) if name.value.trim().is_empty() => {
                let message = format!("{} {}'s name is empty", article(self.what), self.what);
                errors.push(Diagnostic::new(&name.place, message).label("leave it out"));
                None
            }
            _ => self.name.or(self.check.given()?.value.clone()),
        }
    }
}

fn article(what: &str) -> &'static str {
    if what.starts_with(['a', 'e', 'i', 'o', 'u']) {
        "an"
    } else {
        "a"
    }
}

/// Reports a name that was `seen` before, and adds it.
pub(super) fn only_once<'f>(
    seen: &mut Vec<(Arc<str>, &'f Place)>,
    named: &Titled<'f>,
    errors: &mut Errors,
) {
    let Some(check) = named.check.given() else {
        return;
    };
    let name = named.name.or(check.value.clone()).unwrap_or_default();
    let place = named.name.place().unwrap_or(&check.place);
    if let Some((_, first)) = seen.iter().find(|(other, _)| *other == name) {
        let message = format!("two {}s are called {:?}", named.what, short(&name));
        errors.push(
            Diagnostic::new(place, message)
                .label("give it another name, or remove it")
                .note("the first stands here", first),
        );
    }
    seen.push((name, place));
}

fn build_one(file: &GateFile, known: &Known<'_>, source: &str, errors: &mut Errors) -> Built<Gate> {
    let name = Titled {
        what: "gate",
        name: &file.name,
        check: &file.check,
    }
    .read(errors);
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
    let selected = |what, name| Selected {
        what,
        name,
        within: (source, written),
    };
    let data_type = selected("data type", check.data_type());
    let data_types = known.data_types.iter().map(|(name, _)| &**name);
    let of_data_type = check_selector(&data_type, data_types, errors);
    let mut named = |what, name, known: Option<&[Arc<str>]>| {
        let names = known.map(|names| names.iter().map(|name| &**name));
        names.is_none_or(|names| check_selector(&selected(what, name), names, errors))
    };
    let in_phase = named("phase", check.phase(), known.phases.as_deref());
    let of_alert = named("alert", check.alert(), known.alerts.as_deref());
    let user_kinds = known.user_kinds.as_deref();
    let of_kind = named("kind of users", check.user_kind(), user_kinds);
    if !of_data_type || !in_phase || !of_alert || !of_kind {
        return None;
    }
    Some(Gate {
        name: name?.to_string(),
        source: from?.to_string(),
        check,
    })
}

/// A name that a check selects by, and where the check stands.
pub(super) struct Selected<'c> {
    /// "data type"
    pub(super) what: &'static str,
    pub(super) name: Option<&'c str>,
    /// The source, and the check in it.
    pub(super) within: (&'c str, &'c Located<Arc<str>>),
}

/// Whether the name that a check selects by is one of `known`.
pub(super) fn check_selector<'k>(
    selected: &Selected<'_>,
    known: impl Iterator<Item = &'k str> + Clone,
    errors: &mut Errors,
) -> bool {
    let (what, (source, written)) = (selected.what, selected.within);
    let Some(selected) = selected.name else {
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
pub(super) fn end_of_word(text: &str, at: usize) -> usize {
    let Some(rest) = text.get(at..) else {
        return text.len();
    };
    let word = |c: char| c.is_alphanumeric() || c == '_' || c == '-' || c == '.';
    let length = rest.find(|c| !word(c)).unwrap_or(rest.len());
    at + length.max(rest.chars().next().map_or(0, char::len_utf8))
}

/// The place of the bytes `range` of a text, if it stands in the source as it is: without escapes
/// and on one line. Else the place of the text.
pub(super) fn inside(source: &str, written: &Located<Arc<str>>, range: Range<usize>) -> Place {
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
