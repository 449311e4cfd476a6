//! The traces that a plan and its variants replay, before anything is started: whether they can be
//! opened, and, where that is wanted, how large their values are.
//!
//! Called by whoever brings a plan's service up. Sizes become part of the plan, as the law of the data
//! type whose keys a trace's keys become; so the database, the drivers and the jobs of every pass, in
//! real and in virtual time, know them without further ado.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::driving::pacing;
use super::pass::{PassKind, phases};
use super::{Progress, RunError};
use crate::scenario::plan::{Pace, Plan, SizesOf, TracePlan};
use crate::workload::size::{Recorded, ValueSize};
use crate::workload::trace::sizes::TraceSizes;
use crate::workload::trace::{self, TimeResolution};

/// While sizes are learned, it is looked after so many records whether somebody wants to stop.
const LOOK_EVERY: u64 = 4_096;

/// `plan`, whose traces can be opened, with the sizes of values that they say.
///
/// # Errors
/// If a trace cannot be opened, has no times and needs them, or says no sizes and is to; or if somebody
/// wants to `stop`.
pub(super) fn ready<'p>(
    plan: &'p Plan,
    progress: &dyn Progress,
    stop: &watch::Receiver<bool>,
) -> Result<Cow<'p, Plan>, RunError> {
    let mut wanted = false;
    for plan in all(plan) {
        opens(plan)?;
        wanted |= wants_sizes(plan).is_some();
    }
    if !wanted {
        return Ok(Cow::Borrowed(plan));
    }
    progress.step("learning how large the trace's values are");
    let mut learned = Learned::default();
    let mut with_sizes = plan.clone();
    learned.put_into(&mut with_sizes, stop)?;
    let variants = with_sizes.variants.iter_mut();
    for variant in variants.filter_map(|variant| variant.plan.as_mut()) {
        learned.put_into(variant, stop)?;
    }
    Ok(Cow::Owned(with_sizes))
}

/// The plan and those of its variants.
fn all(plan: &Plan) -> impl Iterator<Item = &Plan> {
    let variants = plan.variants.iter();
    std::iter::once(plan).chain(variants.filter_map(|variant| variant.plan.as_ref()))
}

/// Whether the trace of `plan`, if it has one, can be replayed.
fn opens(plan: &Plan) -> Result<(), RunError> {
    let Some(replayed) = &plan.traffic.trace else {
        return Ok(());
    };
    let reader = trace::open(&replayed.file, replayed.format)?;
    let by_its_times = matches!(replayed.pace, Pace::Times(_));
    if by_its_times && reader.resolution() == TimeResolution::Absent {
        let trace = replayed.file.display().to_string();
        return Err(RunError::NoTimes { trace });
    }
    Ok(())
}

/// The trace whose values' sizes `plan` is to have and has not.
fn wants_sizes(plan: &Plan) -> Option<&TracePlan> {
    let trace = plan.traffic.trace.as_ref();
    trace.filter(|trace| trace.value_size == SizesOf::Trace && sizes_of(plan).is_none())
}

/// The sizes of the trace that `plan` replays, if its values have them.
pub(super) fn sizes_of(plan: &Plan) -> Option<&TraceSizes> {
    let trace = plan.traffic.trace.as_ref()?;
    match &plan.database.tables[trace.data_type.index()].value_size {
        ValueSize::Recorded(recorded) => Some(recorded.sizes()),
        _ => None,
    }
}

/// What was learned so far: variants often replay the same.
#[derive(Default)]
struct Learned(Vec<(TracePlan, Duration, Arc<TraceSizes>)>);

impl Learned {
    fn put_into(&mut self, plan: &mut Plan, stop: &watch::Receiver<bool>) -> Result<(), RunError> {
        let Some(trace) = wants_sizes(plan) else {
            return Ok(());
        };
        let (id, lasts) = (trace.data_type, lasts(plan));
        let same = |(other, lasting, _): &&(TracePlan, Duration, _)| {
            (&other.file, other.format, other.pace) == (&trace.file, trace.format, trace.pace)
                && *lasting == lasts
        };
        let sizes = if let Some((.., sizes)) = self.0.iter().find(same) {
            Arc::clone(sizes)
        } else {
            let sizes = Arc::new(learn(trace, lasts, stop)?);
            self.0.push((trace.clone(), lasts, Arc::clone(&sizes)));
            sizes
        };
        let others = &mut plan.database.tables[id.index()].value_size;
        let recorded = Recorded::new(sizes, &plan.policies.get(id).key, others.clone());
        *others = ValueSize::Recorded(recorded);
        Ok(())
    }
}

/// How long the longer pass of `plan` lasts.
fn lasts(plan: &Plan) -> Duration {
    let of = |kind| phases(plan, kind).iter().map(|(.., length)| *length).sum();
    let [before, after]: [Duration; 2] = [PassKind::Before, PassKind::After].map(of);
    before.max(after)
}

/// The sizes of the values of that part of `trace` that is replayed in this time; all of it if nobody
/// knows how far that comes.
fn learn(
    trace: &TracePlan,
    lasts: Duration,
    stop: &watch::Receiver<bool>,
) -> Result<TraceSizes, RunError> {
    let pacing = pacing(trace.pace);
    let reader = trace::open(&trace.file, trace.format)?;
    let name = reader.name().to_owned();
    let mut stopped = false;
    let learned = TraceSizes::learn(&name, reader, |number, record| {
        stopped = number % LOOK_EVERY == 0 && *stop.borrow();
        let due = pacing.after(number, record);
        !stopped && due.is_none_or(|due| due < lasts)
    });
    if stopped {
        return Err(RunError::Interrupted);
    }
    Ok(learned?)
}
