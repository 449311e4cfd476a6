//! Which recorded traffic is replayed.

use std::path::PathBuf;

use super::super::decode::{Field, Switch};
use super::super::diagnostics::{Diagnostic, Errors, Place, did_you_mean};
use super::super::file::kinds::given;
use super::super::file::{TraceFile, TrafficFile};
use super::super::plan::{Driver, Pace, SizesOf, TracePlan};
use super::super::yaml::short;
use super::Built;
use super::kinds::Known;
use crate::engine::data_type::{DataTypeId, Strategy};
use crate::engine::layer::Operation;
use crate::units::SpanRange;
use crate::workload::{MixEntry, UserKind};

/// What `trace` says; inside, `None` is that nothing is replayed.
pub(super) fn build(
    file: &TrafficFile,
    driver: Option<Driver>,
    known: &Known<'_>,
    errors: &mut Errors,
) -> Built<Option<TracePlan>> {
    let Some(located) = file.trace.given() else {
        return file.trace.is_absent().then_some(None);
    };
    let Switch::On(trace) = &located.value else {
        return Some(None);
    };
    let stands_alone = stands_alone(file, errors);
    let data_type = data_type(trace, known, errors);
    if driver.is_some_and(|driver| driver != Driver::Open) {
        let place = file.driver.place().unwrap_or(&located.place);
        let advice = "requests of a trace are due when it says: write `driver: open`";
        errors.push(Diagnostic::new(place, "a trace wants the open driver").label(advice));
        return None;
    }
    let path = trace.file.given()?;
    let mut path_of = PathBuf::from(&*path.value);
    if let Place::Argument(_) = path.place {
        // What is typed is meant from where it is typed.
        path_of = std::path::absolute(&path_of).unwrap_or(path_of);
    }
    let format = match &trace.format {
        Field::Absent => None,
        format => Some(*format.value()?),
    };
    let plan = TracePlan {
        file: path_of,
        format,
        data_type: data_type?,
        pace: trace.pace.or(Pace::Times(1.0))?,
        value_size: trace.value_size.or(SizesOf::default())?,
    };
    stands_alone.then_some(Some(plan))
}

/// Who asks what a trace says: nobody in particular.
pub(super) fn reader(trace: &TracePlan) -> Vec<UserKind> {
    let at_once = SpanRange {
        min: std::time::Duration::ZERO,
        max: std::time::Duration::ZERO,
    };
    let get = MixEntry {
        data_type: trace.data_type,
        operation: Operation::Get,
        weight: 1.0,
    };
    vec![UserKind::only(1, at_once, vec![get])]
}

/// Whether nothing beside it says what is asked.
fn stands_alone(file: &TrafficFile, errors: &mut Errors) -> bool {
    let mut beside = given(&file.doing);
    beside.extend(file.arrivals.place().map(|place| ("arrivals", place)));
    beside.extend(file.kinds.place().map(|place| ("kinds", place)));
    for (key, place) in &beside {
        let message = format!("`{key}` stands beside `trace`");
        let advice = "the trace says who asks what when: remove one of them";
        errors.push(Diagnostic::new(place, message).label(advice));
    }
    beside.is_empty()
}

/// The data type whose keys a trace's keys become.
fn data_type(trace: &TraceFile, known: &Known<'_>, errors: &mut Errors) -> Built<DataTypeId> {
    let name = trace.data_type.given()?;
    let names = known.names;
    let Some(at) = names.iter().position(|(known, _)| **known == *name.value) else {
        let message = format!("there is no data type `{}`", short(&name.value));
        let all = names.iter().map(|(known, _)| &**known);
        let advice = did_you_mean(&name.value, "data type", all);
        errors.push(Diagnostic::new(&name.place, message).label(advice));
        return None;
    };
    let id = DataTypeId(u16::try_from(at).ok()?);
    let mut wrong = |message: &str, advice: &str| {
        errors.push(Diagnostic::new(&name.place, message.to_owned()).label(advice));
        None
    };
    if !matches!(names[at].1?, Strategy::CacheAside | Strategy::WriteThrough) {
        let message = "a trace reads, and keys of this strategy are not read";
        return wrong(message, "name one with cache-aside or write-through");
    }
    if known.key(id)?.params().count() != 1 {
        let message = "a key of a trace is one number, and keys of this data type are not";
        return wrong(message, "give its `key` one parameter, as in `page:{id}`");
    }
    Some(id)
}
