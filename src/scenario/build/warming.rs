//! What is loaded before users ask.

use std::sync::Arc;
use std::time::Duration;

use super::super::decode::{Field, Located, Map, Switch};
use super::super::diagnostics::{Diagnostic, Errors, did_you_mean};
use super::super::file::File;
use super::super::plan::{LayersPlan, WarmingPlan};
use super::super::yaml::short;
use super::data_types::{DataTypes, Names};
use super::{Built, MS, TIMEOUT_MAX, TTL_MAX, count, span, span_within};
use crate::engine::data_type::{DataType, DataTypeId, Strategy};
use crate::engine::warming::Warming;
use crate::units::{Ratio, Span};
use crate::workload::{Dimension, Popularity, Population};

const CONCURRENCY_DEFAULT: u64 = 16;
const CONCURRENCY_MAX: u64 = 10_000;
const LIMIT_DEFAULT: Duration = Duration::from_secs(30);
/// The ADR's "cache hit rate (target >85%)".
const TARGET_DEFAULT: Ratio = Ratio(0.85);

/// What `warming` says. `data_types` and `layers` are `None` if they are wrong.
pub(super) fn build(
    file: &File,
    (names, data_types, layers): (&Names, Option<&DataTypes>, Option<&LayersPlan>),
    errors: &mut Errors,
) -> Built<Option<WarmingPlan>> {
    let Some(given) = file.warming.given() else {
        return file.warming.is_absent().then_some(None);
    };
    let Switch::On(file) = &given.value else {
        return Some(None);
    };
    let every = build_every(&file.every, errors);
    let period = file.every.given().zip(every.flatten());
    let built = file
        .keys
        .given()
        .and_then(|keys| build_keys(keys, names, (data_types, layers), period, errors));
    let concurrency = count(
        "concurrency",
        &file.concurrency,
        Some(CONCURRENCY_DEFAULT),
        1..=CONCURRENCY_MAX,
        errors,
    );
    let limit = Some(LIMIT_DEFAULT);
    let limit = span("limit", &file.limit, limit, MS..=TIMEOUT_MAX, errors);
    Some(Some(WarmingPlan {
        keys: built?,
        at_start: file.at_start.or(true)?,
        before_traffic: file.before_traffic.or(true)?,
        every: every?,
        concurrency: concurrency? as u32,
        limit: limit?,
        target_hit_ratio: file.target_hit_ratio.or(TARGET_DEFAULT)?,
    }))
}

fn build_every(field: &Field<Switch<Span>>, errors: &mut Errors) -> Built<Option<Duration>> {
    let Some(given) = field.given() else {
        return field.is_absent().then_some(None);
    };
    let Switch::On(every) = given.value else {
        return Some(None);
    };
    let located = Located {
        value: every,
        place: given.place.clone(),
    };
    span_within(
        "every",
        &located,
        Duration::from_millis(100)..=TTL_MAX,
        errors,
    )
    .map(Some)
}

fn build_keys(
    keys: &Located<Map<u64>>,
    names: &Names,
    (data_types, layers): (Option<&DataTypes>, Option<&LayersPlan>),
    period: Option<(&Located<Switch<Span>>, Duration)>,
    errors: &mut Errors,
) -> Built<Vec<(DataTypeId, u64)>> {
    let mut built = Some(Vec::new());
    for (name, wanted) in &keys.value.0 {
        let found = names.iter().position(|(known, _)| *known == name.value);
        let Some(at) = found else {
            let message = format!("there is no data type `{}`", short(&name.value));
            let known = names.iter().map(|(known, _)| &**known);
            let advice = did_you_mean(&name.value, "data type", known);
            errors.push(Diagnostic::new(&name.place, message).label(advice));
            built = None;
            continue;
        };
        let row = data_types.map(|built| (&built.policies[at], &built.populations[at]));
        let prefilled = data_types.is_none_or(|built| built.tables[at].prefilled);
        let fits = row.is_none_or(|(policy, population)| {
            fits(name, policy, population, (prefilled, layers), errors)
                && lives_long_enough(policy, period, errors)
        });
        let most = row.map_or(u64::MAX, |(_, population)| keys_of(population));
        let wanted = wanted.as_ref().map(|wanted| Field::Given(wanted.clone()));
        let wanted = wanted.filter(|_| fits);
        let wanted = wanted.and_then(|wanted| count("keys", &wanted, None, 1..=most, errors));
        match (wanted, &mut built) {
            (Some(wanted), Some(built)) => built.push((DataTypeId(at as u16), wanted)),
            (None, built) => *built = None,
            (Some(_), None) => {}
        }
    }
    built
}

/// How many different keys there are.
fn keys_of(population: &Population) -> u64 {
    let values = population
        .dimensions
        .iter()
        .map(|dimension| match dimension {
            Dimension::Cardinality(values) => *values,
            Dimension::Unique => u64::MAX,
        });
    values.fold(1, u64::saturating_mul)
}

/// Whether there is anything to load, and a place for it.
fn fits(
    name: &Located<Arc<str>>,
    policy: &DataType,
    population: &Population,
    (prefilled, layers): (bool, Option<&LayersPlan>),
    errors: &mut Errors,
) -> bool {
    let unique = population.dimensions.contains(&Dimension::Unique);
    let kept = layers.is_none_or(|layers| {
        layers.remote.is_some() || (layers.local.is_some() && policy.local_ttl.is_some())
    });
    let (why, advice) = if policy.strategy == Strategy::Counter {
        ("a counter has no entries", "leave it out")
    } else if unique || population.popularity == Popularity::PerUser {
        (
            "none of its keys is more popular than another",
            "leave it out: each user has its own, or each is new",
        )
    } else if !prefilled {
        ("it has no rows before users write them", "leave it out")
    } else if !kept {
        ("no layer keeps it", "leave it out, or give it a layer")
    } else {
        return true;
    };
    let message = format!("`{}` cannot be warmed: {why}", name.value);
    errors.push(Diagnostic::new(&name.place, message).label(advice));
    false
}

/// Whether entries do not end between two rounds.
fn lives_long_enough(
    policy: &DataType,
    period: Option<(&Located<Switch<Span>>, Duration)>,
    errors: &mut Errors,
) -> bool {
    let Some((written, every)) = period else {
        return true;
    };
    let shortest = policy.ttl.mul_f64(1.0 - policy.ttl_jitter.0);
    if Warming::lifetime_min(every) <= shortest {
        return true;
    }
    let message = format!(
        "entries of `{}` may end after {} and so between two rounds of warming",
        policy.name,
        Span(shortest)
    );
    errors.push(
        Diagnostic::new(&written.place, message)
            .label("write four fifths of that or less, or a longer `ttl`"),
    );
    false
}
