//! Who the users are: how many of each kind, and what each kind does.

use std::sync::Arc;

use super::super::decode::{Field, Located, Map};
use super::super::diagnostics::{Diagnostic, Errors};
use super::super::file::kinds::{DoingFile, KindFile, given};
use super::super::file::{File, TrafficFile};
use super::data_types::{DataTypes, Names};
use super::traffic::{build_mix, build_on_start};
use super::{Built, TIMEOUT_MAX, check_name, count, journeys, span_within};
use crate::engine::data_type::{DataTypeId, KeyPattern};
use crate::units::{Span, SpanRange, thousands};
use crate::workload::kinds::{KINDS_MAX, apportion};
use crate::workload::{Population, UserKind, What};

const USERS_MAX: u64 = 1_000_000;

/// How many users there are; populations need it too.
#[derive(Clone)]
pub(super) struct Users {
    pub(super) all: u32,
    /// In the order of the kinds.
    by_kind: Vec<u32>,
}

/// Reads how many users there are, of each kind if there are kinds.
pub(super) fn users(file: &TrafficFile, errors: &mut Errors) -> Built<Users> {
    let mut one = |field: &Field<u64>| count("users", field, None, 1..=USERS_MAX, errors);
    let Some(kinds) = file.kinds.given() else {
        if !file.kinds.is_absent() {
            return None;
        }
        if file.users.is_absent() {
            // There are none: a trace asks.
            return Some(Users {
                all: 1,
                by_kind: vec![1],
            });
        }
        let all = one(&file.users)? as u32;
        return Some(Users {
            all,
            by_kind: vec![all],
        });
    };
    let each: Vec<Option<u32>> = kinds
        .value
        .0
        .iter()
        .map(|(_, kind)| Some(one(&kind.as_ref()?.value.users)? as u32))
        .collect();
    // All of them in the same proportions.
    let scaled = match &file.users {
        Field::Absent => None,
        users => Some(one(users)? as u32),
    };
    let each = each.into_iter().collect::<Option<Vec<u32>>>()?;
    let sum: u64 = each.iter().copied().map(u64::from).sum();
    if sum > USERS_MAX && scaled.is_none() {
        let message = format!("these are {} users", thousands(sum));
        let advice = format!("up to {} in all", thousands(USERS_MAX));
        errors.push(Diagnostic::new(&kinds.place, message).help(advice));
        return None;
    }
    let all = scaled.unwrap_or(sum as u32);
    if (all as usize) < each.len() {
        let message = format!("{all} users cannot be of {} kinds", each.len());
        let place = file.users.place().unwrap_or(&kinds.place);
        errors.push(Diagnostic::new(place, message).label("at least one of each kind"));
        return None;
    }
    Some(Users {
        all,
        by_kind: apportion(all, &each),
    })
}

/// What is known of the data types that users ask for.
pub(super) struct Known<'f> {
    pub(super) names: &'f Names,
    /// The patterns of their keys, as far as they can be read.
    keys: Vec<Option<&'f KeyPattern>>,
    /// How many keys they have; `None` if one of them is wrong.
    populations: Option<&'f [Population]>,
}

impl<'f> Known<'f> {
    pub(super) fn of(file: &'f File, names: &'f Names, built: Option<&'f DataTypes>) -> Self {
        let written = file.data_types.value().map(|map| map.0.as_slice());
        let keys = written.unwrap_or_default().iter();
        Self {
            names,
            keys: keys
                .map(|(_, data_type)| data_type.as_ref()?.value.key.value())
                .collect(),
            populations: built.map(|built| built.populations.as_slice()),
        }
    }

    pub(super) fn key(&self, id: DataTypeId) -> Option<&'f KeyPattern> {
        self.keys.get(id.index()).copied().flatten()
    }

    pub(super) fn population(&self, id: DataTypeId) -> Option<&'f Population> {
        self.populations?.get(id.index())
    }
}

/// Builds the kinds of users.
pub(super) fn build(
    file: &TrafficFile,
    users: Option<&Users>,
    known: &Known<'_>,
    errors: &mut Errors,
) -> Built<Vec<UserKind>> {
    let users_of = |at: usize| users.and_then(|users| users.by_kind.get(at).copied());
    let Some(kinds) = file.kinds.given() else {
        let name = UserKind::ALL.to_owned();
        let only = build_one(name, &file.doing, users_of(0), known, errors);
        let absent = file.kinds.is_absent();
        return only.filter(|_| absent).map(|kind| vec![kind]);
    };
    let alone = stand_alone(file, errors);
    let kinds = &kinds.value;
    let fits = check_count(file, kinds, errors);
    let built: Vec<Option<UserKind>> = kinds
        .0
        .iter()
        .enumerate()
        .map(|(at, (name, kind))| {
            let named = check_name(name, "a kind's name", errors);
            let doing = &kind.as_ref()?.value.doing;
            let name = name.value.to_string();
            let kind = build_one(name, doing, users_of(at), known, errors);
            kind.filter(|_| named)
        })
        .collect();
    let built = built.into_iter().collect::<Option<Vec<_>>>();
    built.filter(|_| alone && fits)
}

/// Whether nothing that belongs into a kind stands beside `kinds`.
fn stand_alone(file: &TrafficFile, errors: &mut Errors) -> bool {
    let beside = given(&file.doing);
    for (key, place) in &beside {
        let message = format!("`{key}` stands beside `kinds`");
        let advice = "each kind has its own: move it into them";
        errors.push(Diagnostic::new(place, message).label(advice));
    }
    beside.is_empty()
}

fn check_count(file: &TrafficFile, kinds: &Map<KindFile>, errors: &mut Errors) -> bool {
    if (1..=KINDS_MAX).contains(&kinds.0.len()) {
        return true;
    }
    if let Some(place) = file.kinds.place() {
        let message = format!("there are 1 to {KINDS_MAX} kinds of users");
        errors.push(Diagnostic::new(place, message));
    }
    false
}

fn build_one(
    name: String,
    doing: &DoingFile,
    users: Option<u32>,
    known: &Known<'_>,
    errors: &mut Errors,
) -> Built<UserKind> {
    let think_time = doing.think_time.given();
    let think_time = think_time.and_then(|given| build_think_time(given, errors));
    let on_start = build_on_start(&doing.on_start, known.names, errors);
    let what = build_what(doing, known, errors);
    Some(UserKind {
        name,
        users: users?,
        think_time: think_time?,
        on_start: on_start?,
        what: what?,
    })
}

fn build_what(doing: &DoingFile, known: &Known<'_>, errors: &mut Errors) -> Built<What> {
    let mix = doing.mix.given();
    let mix = mix.map(|mix| build_mix(mix, known.names, errors));
    let journeys = doing.journeys.given();
    let journeys = journeys.map(|given| journeys::build(given, known, errors));
    if let (Some(mix), Some(journeys)) = (doing.mix.place(), doing.journeys.place()) {
        let message = "users either ask by a mix or make journeys";
        errors.push(
            Diagnostic::new(journeys, message)
                .label("remove one of them, or make two `kinds` of users")
                .note("the mix stands here", mix),
        );
        return None;
    }
    match (mix, journeys) {
        (Some(mix), None) if doing.journeys.is_absent() => mix.map(What::Mix),
        (None, Some(journeys)) if doing.mix.is_absent() => journeys.map(What::Journeys),
        _ => None,
    }
}

/// How long users wait between requests.
pub(super) fn build_think_time(
    given: &Located<SpanRange>,
    errors: &mut Errors,
) -> Built<SpanRange> {
    let max = Located {
        value: Span(given.value.max),
        place: given.place.clone(),
    };
    let limits = std::time::Duration::ZERO..=TIMEOUT_MAX;
    span_within("think_time", &max, limits, errors)?;
    Some(given.value)
}

/// The names of all kinds, if each has one.
pub(super) fn names(file: &TrafficFile) -> Option<Vec<Arc<str>>> {
    match &file.kinds {
        Field::Absent => Some(vec![UserKind::ALL.into()]),
        kinds => {
            let kinds = kinds.value()?.0.iter();
            Some(kinds.map(|(name, _)| name.value.clone()).collect())
        }
    }
}
