//! Gates: their checks are read by the gates' own grammar, their names are resolved here, those of a
//! phase join the list; and what alerts have in common with them.

mod watched;

use std::ops::Range;
use std::sync::Arc;

use super::super::decode::{Field, List, Located};
use super::super::diagnostics::{Diagnostic, Errors, Place, did_you_mean};
use super::super::file::{File, GateFile};
use super::super::plan::PhasePlan;
use super::super::yaml::short;
use super::data_types::Names;
use super::traffic::Traffic;
use super::{Built, alerts, kinds, traffic};
use crate::gates::Gate;
use crate::gates::grammar::{Check, CheckError, Selector};

/// What checks may name. Phases, alerts and kinds of users are unset if their names are not all known; then they are
/// not checked.
struct Known<'n> {
    data_types: &'n Names,
    phases: Option<Vec<Arc<str>>>,
    alerts: Option<Vec<Arc<str>>>,
    /// How long the phases are, if that is known.
    plan: Option<&'n [PhasePlan]>,
    source: &'n str,
    user_kinds: Option<Vec<Arc<str>>>,
}

/// Builds the gates of `file`, those of the list first and then those of each phase, whose data types
/// are called `names` and whose phases last as planned.
pub(super) fn build(
    file: &File,
    (names, traffic): (&Names, Option<&Traffic>),
    source: &str,
    errors: &mut Errors,
) -> Built<Vec<Gate>> {
    let known = Known {
        data_types: names,
        phases: file.traffic.value().and_then(traffic::phase_names),
        alerts: alerts::names(&file.alerts),
        plan: traffic.map(|traffic| &*traffic.plan.phases),
        source,
        user_kinds: file.traffic.value().and_then(kinds::names),
    };
    let mut seen = Vec::new();
    let mut built = Vec::new();
    for (list, phase) in lists(file) {
        let Some(list) = list.value() else {
            built.push(list.is_absent().then(Vec::new));
            continue;
        };
        for gate in list {
            let gate = gate.as_ref().map(|gate| Written {
                file: &gate.value,
                phase,
            });
            if let Some((name, place)) = gate.as_ref().and_then(Written::named) {
                only_once(&mut seen, ("gate", name, place), errors);
            }
            let one = gate.and_then(|gate| build_one(&gate, &known, errors));
            built.push(one.map(|gate| vec![gate]));
        }
    }
    let built: Option<Vec<Vec<Gate>>> = built.into_iter().collect();
    Some(built?.concat())
}

/// A list of gates, and the name of the phase that it stands in.
type InPhase<'f> = (&'f Field<List<GateFile>>, Option<&'f Located<Arc<str>>>);

/// The scenario's list of gates, and that of each phase.
fn lists(file: &File) -> Vec<InPhase<'_>> {
    let phases = file
        .traffic
        .value()
        .and_then(|traffic| traffic.phases.value());
    let phases = phases.into_iter().flatten().flatten();
    let of_phases = phases.filter_map(|phase| {
        let phase = &phase.value;
        // One without a name is wrong already, and takes its gates along.
        Some((&phase.gates, Some(phase.name.given()?)))
    });
    std::iter::once((&file.gates, None))
        .chain(of_phases)
        .collect()
}

/// A gate as written, and the name of the phase that it stands in, if it stands in one.
struct Written<'f> {
    file: &'f GateFile,
    phase: Option<&'f Located<Arc<str>>>,
}

impl<'f> Written<'f> {
    fn titled(&self) -> Titled<'f> {
        Titled {
            what: "gate",
            name: &self.file.name,
            check: &self.file.check,
        }
    }

    /// What it is called, as far as it is told apart by that: a check may stand in each phase.
    fn named(&self) -> Option<(Arc<str>, &'f Place)> {
        let (name, place) = self.titled().named()?;
        let by_check = !matches!(self.file.name, Field::Given(_));
        match self.phase.filter(|_| by_check) {
            Some(phase) => Some((format!("{name} in {}", phase.value).into(), place)),
            None => Some((name, place)),
        }
    }
}

/// What something with a check is called: by default the check's own text.
pub(super) struct Titled<'f> {
    /// "gate"
    pub(super) what: &'static str,
    pub(super) name: &'f Field<Arc<str>>,
    pub(super) check: &'f Field<Arc<str>>,
}

impl<'f> Titled<'f> {
    /// What it is called and where that is said; `None` if nobody knows.
    pub(super) fn named(&self) -> Option<(Arc<str>, &'f Place)> {
        let check = self.check.given()?;
        let name = self.name.or(check.value.clone()).unwrap_or_default();
        Some((name, self.name.place().unwrap_or(&check.place)))
    }

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

/// Reports a name that was `seen` before, of a `what`, and adds it.
pub(super) fn only_once<'f>(
    seen: &mut Vec<(Arc<str>, &'f Place)>,
    (what, name, place): (&str, Arc<str>, &'f Place),
    errors: &mut Errors,
) {
    if let Some((_, first)) = seen.iter().find(|(other, _)| *other == name) {
        let message = format!("two {what}s are called {:?}", short(&name));
        errors.push(
            Diagnostic::new(place, message)
                .label("give it another name, or remove it")
                .note("the first stands here", first),
        );
    }
    seen.push((name, place));
}

fn build_one(written: &Written<'_>, known: &Known<'_>, errors: &mut Errors) -> Built<Gate> {
    let name = written.titled().read(errors);
    let file = written.file;
    let from = file.source.or(Arc::default());
    let window = watched::window(&file.window, errors);
    let abort_after = watched::abort_after(file, errors);
    let check = read_check(written, known, errors)?;
    let mut gate = Gate::plain(check);
    if file.name.given().is_some() {
        gate.name = name.as_ref()?.to_string();
    }
    name?;
    gate.source = from?.to_string();
    (gate.window, gate.abort_after) = (window?, abort_after?);
    watched::fits(&gate, file, known, errors)?;
    Some(gate)
}

/// The check, narrowed to the phase that the gate stands in.
fn read_check(written: &Written<'_>, known: &Known<'_>, errors: &mut Errors) -> Built<Check> {
    let text = written.file.check.given()?;
    let check: Check = match text.value.parse() {
        Ok(check) => check,
        Err(CheckError { at, message }) => {
            let place = inside(known.source, text, at..end_of_word(&text.value, at));
            errors.push(Diagnostic::new(&place, message));
            return None;
        }
    };
    if !names_are_known(&check, text, known, errors) {
        return None;
    }
    let Some(phase) = written.phase else {
        return Some(check);
    };
    let wrong = if !check.metric.info().selectors.contains(&Selector::Phase) {
        let name = check.metric.info().name;
        Some((
            format!("{name} cannot be narrowed by phase, so no phase can have a gate on it"),
            "move it to the scenario's `gates`".to_owned(),
        ))
    } else if check.phase().is_some_and(|other| *other != *phase.value) {
        let message = format!("a gate of the phase `{}` looks at another", phase.value);
        Some((message, "leave `phase` out".to_owned()))
    } else {
        None
    };
    if let Some((message, advice)) = wrong {
        let place = inside(known.source, text, 0..text.value.len());
        errors.push(Diagnostic::new(&place, message).label(advice));
        return None;
    }
    Some(check.in_phase(&phase.value))
}

/// Whether all that `check` selects by exists.
fn names_are_known(
    check: &Check,
    text: &Located<Arc<str>>,
    known: &Known<'_>,
    errors: &mut Errors,
) -> bool {
    let selected = |what, name| Selected {
        what,
        name,
        within: (known.source, text),
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
    of_data_type && in_phase && of_alert && of_kind
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
