//! The policy table, and beside it the origin's tables and the populations.

use std::sync::Arc;
use std::time::Duration;

use super::super::decode::{Entry, Field, List, Located, Switch};
use super::super::diagnostics::{Diagnostic, Errors, Place};
use super::super::file::protection::ProtectionFile;
use super::super::file::{DataTypeFile, File, ResilienceFile, ServiceTimeFile};
pub(super) use super::operations::Names;
use super::{
    Built, MS, TIMEOUT_MAX, TTL_MAX, check_name, limit, operations, population, protection,
    sliding, span, span_within, value_size,
};
use crate::engine::data_type::{DataType, Invalidation, KeyPattern, Strategy};
use crate::environment::{ServiceTime, TableConfig};
use crate::units::{ByteSize, Ratio, Span};
use crate::workload::Population;
use crate::workload::size::ValueSize;

const DATA_TYPES_MAX: usize = 1_000;
/// With more, a TTL could shrink to nothing.
const TTL_JITTER_MAX: Ratio = Ratio(0.9);
/// A counter has no row in the origin.
const NO_TIME: ServiceTime = ServiceTime {
    median: Duration::ZERO,
    p99: Duration::ZERO,
};

/// The data types, in three tables side by side.
#[derive(Default)]
pub(super) struct DataTypes {
    pub(super) policies: Vec<DataType>,
    pub(super) tables: Vec<TableConfig>,
    pub(super) populations: Vec<Population>,
}

/// What holds for data types that do not say otherwise.
struct Defaults<'f> {
    protection: &'f ProtectionFile,
    ttl_jitter: Option<Ratio>,
    /// Inside, `None` is no negative caching.
    negative_ttl: Built<Option<Duration>>,
}

/// The names, strategies and operations of the data types.
pub(super) fn names(file: &File) -> Names {
    let data_types = file.data_types.value().map(|map| map.0.as_slice());
    let data_types = data_types.unwrap_or_default().iter();
    Names::of(data_types.map(|(name, file)| (name, file.as_ref().map(|file| &file.value))))
}

/// Builds every data type.
pub(super) fn build(file: &File, users: Option<u32>, errors: &mut Errors) -> Built<DataTypes> {
    let unwritten = ProtectionFile::absent();
    let defaults = defaults(&file.resilience, &unwritten, errors);
    let data_types = file.data_types.given()?;
    let entries = &data_types.value.0;
    if entries.is_empty() || entries.len() > DATA_TYPES_MAX {
        let message = format!("a scenario has 1 to {DATA_TYPES_MAX} data types");
        errors.push(Diagnostic::new(&data_types.place, message));
        return None;
    }
    check_keys_differ(entries, errors);
    let mut built = Some(DataTypes::default());
    for (name, data_type) in entries {
        let named = check_name(name, "a data type's name", errors);
        let row = data_type
            .as_ref()
            .and_then(|data_type| build_one(name, &data_type.value, &defaults, users, errors));
        match (row.filter(|_| named), &mut built) {
            (Some((policy, table, population)), Some(built)) => {
                built.policies.push(policy);
                built.tables.push(table);
                built.populations.push(population);
            }
            (None, built) => *built = None,
            (Some(_), None) => {}
        }
    }
    built
}

fn defaults<'f>(
    file: &'f Field<ResilienceFile>,
    unwritten: &'f ProtectionFile,
    errors: &mut Errors,
) -> Defaults<'f> {
    let (ttl_jitter, negative_ttl) = match file.value() {
        Some(resilience) => (&resilience.ttl_jitter, &resilience.negative_ttl),
        None => (&Field::Absent, &Field::Absent),
    };
    Defaults {
        protection: file
            .value()
            .map_or(unwritten, |resilience| &resilience.protection),
        ttl_jitter: build_jitter(ttl_jitter, Some(Ratio(0.0)), errors),
        negative_ttl: build_negative_ttl(negative_ttl, Some(None), errors),
    }
}

/// Two data types with the same keys would overwrite each other's entries.
fn check_keys_differ(entries: &[Entry<DataTypeFile>], errors: &mut Errors) {
    let keys = entries
        .iter()
        .filter_map(|(name, data_type)| Some((name, data_type.as_ref()?.value.key.given()?)));
    let mut seen: Vec<(String, &Arc<str>, &Place)> = Vec::new();
    for (name, key) in keys {
        // The names of parameters do not show in a key.
        let count = key.value.params().count();
        let shape = key.value.render(&vec!["{}"; count], None);
        let same = seen.iter().find(|(other, ..)| *other == shape.as_str());
        if let Some((_, other, place)) = same {
            let message = format!("`{}` has the same keys as `{other}`", name.value);
            errors.push(
                Diagnostic::new(&key.place, message)
                    .label("begin it with another word")
                    .note("the other stands here", place),
            );
        } else {
            seen.push((shape.as_str().to_owned(), &name.value, &key.place));
        }
    }
}

type Row = (DataType, TableConfig, Population);

fn build_one(
    name: &Located<Arc<str>>,
    file: &DataTypeFile,
    defaults: &Defaults<'_>,
    users: Option<u32>,
    errors: &mut Errors,
) -> Built<Row> {
    let strategy = file.strategy.value().copied();
    let counter = strategy.map(|strategy| strategy == Strategy::Counter);
    let key = file.key.given();
    if let Some(key) = key {
        check_window(key, strategy, errors);
    }
    let related = build_related(&file.related, key, errors);
    let ttl = span("ttl", &file.ttl, None, MS..=TTL_MAX, errors);
    let local_ttl = build_local_ttl(file, ttl, errors);
    let limit = limit::build(name, file, (strategy, ttl), errors);
    let sliding = sliding::build(file, ttl, errors);
    let ttl_jitter = build_jitter(&file.ttl_jitter, defaults.ttl_jitter, errors);
    let negative_ttl = build_negative_ttl(&file.negative_ttl, defaults.negative_ttl, errors);
    let invalidation = file.invalidation.or(Invalidation::default());
    let protection = protection::build(&file.protection, defaults.protection, errors);
    let population = population::build(name, file, users, errors);
    let split = operations::build(name, file, errors);
    let table = match counter {
        Some(true) => {
            refuse_values(name, file, errors);
            Some(TableConfig {
                read_time: NO_TIME,
                write_time: NO_TIME,
                value_size: ValueSize::Constant(ByteSize(0)),
                prefilled: false,
            })
        }
        Some(false) => build_table(name, file, errors),
        None => None,
    };
    let is_counter = counter?;
    split?;
    let mut protection = protection?;
    if sliding.flatten().is_some() {
        sliding::put_an_end_to(&mut protection);
    }
    let policy = DataType {
        related: related?,
        local_ttl: local_ttl?,
        invalidation: invalidation?,
        // A counter that forgets early admits too many.
        negative_ttl: negative_ttl?.filter(|_| !is_counter),
        ttl_jitter: if is_counter { Ratio(0.0) } else { ttl_jitter? },
        limit: limit?,
        stampede: protection.stampede,
        serve_stale: protection.serve_stale,
        sliding: sliding?,
        consistency: protection.consistency,
        ..DataType::new(name.value.clone(), key?.value.clone(), strategy?, ttl?)
    };
    Some((policy, table?, population?))
}

const WINDOW: &str = "{window}";

fn check_window(key: &Located<KeyPattern>, strategy: Option<Strategy>, errors: &mut Errors) {
    if key.value.to_string().contains(WINDOW) && strategy.is_some_and(|s| s != Strategy::Counter) {
        let message = "`{window}` stands for the window of a counter, and this is none";
        errors.push(Diagnostic::new(&key.place, message).label("give the parameter another name"));
    }
}

fn build_related(
    field: &Field<List<KeyPattern>>,
    key: Option<&Located<KeyPattern>>,
    errors: &mut Errors,
) -> Built<Vec<KeyPattern>> {
    let Some(list) = field.value() else {
        return field.is_absent().then(Vec::new);
    };
    for related in list.iter().flatten() {
        let Some(key) = key else { break };
        if related.value == key.value {
            let message = "this is the data type's own key";
            errors.push(Diagnostic::new(&related.place, message).label("remove it"));
        }
        let window = related
            .value
            .to_string()
            .contains(WINDOW)
            .then_some("window");
        let unknown = related.value.params().chain(window);
        for param in unknown.filter(|param| !key.value.params().any(|own| own == *param)) {
            let message = format!("`{{{param}}}` is no parameter of the data type's key");
            errors.push(
                Diagnostic::new(&related.place, message).label(format!("its key is {}", key.value)),
            );
        }
    }
    let patterns = list.iter().map(|one| Some(one.as_ref()?.value.clone()));
    patterns.collect()
}

fn build_local_ttl(
    file: &DataTypeFile,
    ttl: Built<Duration>,
    errors: &mut Errors,
) -> Built<Option<Duration>> {
    let Some(given) = file.local_ttl.given() else {
        return file.local_ttl.is_absent().then_some(None);
    };
    let Switch::On(span) = given.value else {
        return Some(None);
    };
    let local = Located {
        value: span,
        place: given.place.clone(),
    };
    let local_ttl = span_within("local_ttl", &local, MS..=TTL_MAX, errors)?;
    if let (Some(ttl), Some(place)) = (ttl, file.ttl.place())
        && ttl < local_ttl
    {
        let message = format!(
            "the local layer would keep entries for {span}, the remote one for {} only",
            Span(ttl)
        );
        errors.push(
            Diagnostic::new(&given.place, message)
                .label("write at most the `ttl`")
                .note("the `ttl` stands here", place),
        );
    }
    Some(Some(local_ttl))
}

fn build_jitter(field: &Field<Ratio>, default: Option<Ratio>, errors: &mut Errors) -> Built<Ratio> {
    let Some(given) = field.given() else {
        return default.filter(|_| field.is_absent());
    };
    if given.value > TTL_JITTER_MAX {
        let message = format!(
            "with a `ttl_jitter` of {} a TTL could be nothing",
            given.value
        );
        let advice = format!("from 0% up to {TTL_JITTER_MAX}");
        errors.push(Diagnostic::new(&given.place, message).label(advice));
        return None;
    }
    Some(given.value)
}

fn build_negative_ttl(
    field: &Field<Switch<Span>>,
    default: Built<Option<Duration>>,
    errors: &mut Errors,
) -> Built<Option<Duration>> {
    let Some(given) = field.given() else {
        return default.filter(|_| field.is_absent());
    };
    let Switch::On(span) = given.value else {
        return Some(None);
    };
    let negative = Located {
        value: span,
        place: given.place.clone(),
    };
    span_within("negative_ttl", &negative, MS..=TTL_MAX, errors).map(Some)
}

/// A counter has neither value nor row: what speaks of them is a mistake.
fn refuse_values(name: &Located<Arc<str>>, file: &DataTypeFile, errors: &mut Errors) {
    let spoken = [
        ("related", file.related.place()),
        ("local_ttl", file.local_ttl.place()),
        ("invalidation", file.invalidation.place()),
        ("negative_ttl", file.negative_ttl.place()),
        ("ttl_jitter", file.ttl_jitter.place()),
        ("sliding", file.sliding.place()),
        ("stampede", file.protection.stampede.place()),
        ("serve_stale", file.protection.serve_stale.place()),
        ("consistency", file.protection.consistency.place()),
        ("value_size", file.value_size.place()),
        ("prefilled", file.prefilled.place()),
        ("origin", file.origin.place()),
    ];
    for (key, place) in spoken {
        if let Some(place) = place {
            let message = format!("`{key}` means nothing for the counter `{}`", name.value);
            errors.push(
                Diagnostic::new(place, message)
                    .label("remove it: a counter has neither value nor row"),
            );
        }
    }
}

fn build_table(
    name: &Located<Arc<str>>,
    file: &DataTypeFile,
    errors: &mut Errors,
) -> Built<TableConfig> {
    let missing = [
        ("value_size", file.value_size.is_absent(), "2KiB"),
        (
            "origin",
            file.origin.is_absent(),
            "{ query_time: { median: 20ms, p99: 60ms } }",
        ),
    ];
    for (key, absent, example) in missing {
        if absent {
            let message = format!("`{key}` is missing in a data type");
            errors.push(
                Diagnostic::new(&name.place, message).help(format!("add `{key}: {example}`")),
            );
        }
    }
    let value_size = value_size::build(&file.value_size, errors);
    let unique = population::has_unique(file);
    let prefilled = file.prefilled.or(!unique);
    if let Some(given) = file.prefilled.given()
        && given.value
        && unique
    {
        let message = "rows with a `unique` parameter cannot exist before they are written";
        errors.push(Diagnostic::new(&given.place, message).label("remove it"));
    }
    let origin = file.origin.value();
    let read_time = origin.and_then(|origin| service_time(&origin.query_time, None, errors));
    let write_time = origin.and_then(|origin| service_time(&origin.write_time, read_time, errors));
    Some(TableConfig {
        read_time: read_time?,
        write_time: write_time?,
        value_size: value_size?,
        prefilled: prefilled?,
    })
}

pub(super) fn service_time(
    field: &Field<ServiceTimeFile>,
    default: Option<ServiceTime>,
    errors: &mut Errors,
) -> Built<ServiceTime> {
    let Some(given) = field.given() else {
        return default.filter(|_| field.is_absent());
    };
    let limits = Duration::ZERO..=TIMEOUT_MAX;
    let median = span("median", &given.value.median, None, limits.clone(), errors);
    let p99 = span("p99", &given.value.p99, None, limits, errors);
    let time = ServiceTime {
        median: median?,
        p99: p99?,
    };
    let p99_place = given.value.p99.place().unwrap_or(&given.place);
    if time.p99 < time.median {
        let message = format!(
            "the p99 of {} is below the median of {}",
            Span(time.p99),
            Span(time.median)
        );
        errors.push(Diagnostic::new(p99_place, message).label("write at least the median"));
        return None;
    }
    if time.median.is_zero() && !time.p99.is_zero() {
        let message = "no log-normal distribution has a median of 0 and a p99 above it";
        let advice = "write a median above 0, such as 1ms";
        errors.push(Diagnostic::new(&given.place, message).label(advice));
        return None;
    }
    Some(time)
}
