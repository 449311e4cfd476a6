//! Users, phases and what is asked for.

use std::sync::Arc;
use std::time::Duration;

use super::super::decode::{Field, List, Located, Map};
use super::super::diagnostics::{Diagnostic, Errors, Place, did_you_mean};
use super::super::file::{PhaseFile, TrafficFile};
use super::super::plan::{Driver, PhasePlan, TrafficPlan};
use super::super::yaml::short;
use super::kinds::{Known, Users};
use super::operations::{Names, Split};
use super::{
    Built, MS, PHASE_MAX, TIMEOUT_MAX, arrivals, check_name, count, kinds, rhythm, span,
    span_within, trace,
};
use crate::engine::data_type::{DataTypeId, Strategy};
use crate::engine::layer::Operation;
use crate::measure::PhaseKind;
use crate::units::Span;
use crate::workload::arrivals::Arrivals;
use crate::workload::{MixEntry, Population, UserKind, Workload};

/// A phase's place is a byte.
const PHASES_MAX: usize = 200;
const REQUEST_TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
/// As many connections as a service of this size is used to.
const IN_FLIGHT_DEFAULT: u64 = 1_000;
const IN_FLIGHT_MAX: u64 = 1_000_000;
const WARM_UP: &str = "warm-up";

/// The traffic, as far as it does not belong to the workload alone.
pub(super) struct Traffic {
    pub(super) plan: TrafficPlan,
    pub(super) kinds: Vec<UserKind>,
}

impl Traffic {
    /// The traffic among these keys.
    pub(super) fn among(self, populations: Vec<Population>) -> (TrafficPlan, Workload) {
        let workload = Workload {
            sample: None,
            kinds: self.kinds,
            populations,
        };
        (self.plan, workload)
    }
}

/// The names of all phases, if each has one.
pub(super) fn phase_names(file: &TrafficFile) -> Option<Vec<Arc<str>>> {
    let phases = file.phases.value()?.iter();
    phases
        .map(|phase| phase.as_ref()?.value.name.value().cloned())
        .collect()
}

/// Builds the traffic of `users`; `duration` is how long to measure in all.
pub(super) fn build(
    file: &TrafficFile,
    users: Option<&Users>,
    known: &Known<'_>,
    duration: Option<Duration>,
    errors: &mut Errors,
) -> Built<Traffic> {
    let request_timeout = span(
        "request_timeout",
        &file.request_timeout,
        Some(REQUEST_TIMEOUT_DEFAULT),
        MS..=TIMEOUT_MAX,
        errors,
    );
    let driver = file.driver.or(Driver::default());
    let arrivals = arrivals::build(&file.arrivals, errors);
    let phases = file.phases.given().and_then(|phases| {
        let built = build_phases(phases, arrivals?, duration, errors)?;
        if file.trace.is_absent() {
            check_arrivals(driver?, &file.driver, &built, phases, errors)?;
        }
        Some(built)
    });
    let in_flight = Some(IN_FLIGHT_DEFAULT);
    let in_flight = count(
        "in_flight",
        &file.in_flight,
        in_flight,
        1..=IN_FLIGHT_MAX,
        errors,
    );
    let rhythm = rhythm::build(&file.rhythm, errors);
    let ramp = build_ramp(&file.ramp, phases.as_deref(), errors);
    let trace = trace::build(file, driver, known, errors);
    let kinds = match &trace {
        Some(Some(trace)) => Some(trace::reader(trace)),
        _ if !file.trace.is_absent() => None,
        _ => kinds::build(file, users, known, errors),
    };
    Some(Traffic {
        plan: TrafficPlan {
            driver: driver?,
            users: users?.all,
            ramp: ramp?,
            rhythm: rhythm?,
            request_timeout: request_timeout?,
            trace: trace?,
            in_flight: in_flight? as u32,
            phases: phases?,
        },
        kinds: kinds?,
    })
}

fn build_ramp(
    field: &Field<Span>,
    phases: Option<&[PhasePlan]>,
    errors: &mut Errors,
) -> Built<Duration> {
    let limits = Duration::ZERO..=PHASE_MAX;
    let ramp = span("ramp", field, Some(Duration::ZERO), limits, errors)?;
    if let (Some(first), Some(place)) = (phases.and_then(<[_]>::first), field.place())
        && ramp > first.duration
    {
        let message = format!(
            "the ramp of {} is longer than the first phase, `{}`, of {}",
            Span(ramp),
            first.name,
            Span(first.duration)
        );
        let advice = "users arrive within the first phase; make it longer or the ramp shorter";
        errors.push(Diagnostic::new(place, message).label(advice));
        return None;
    }
    Some(ramp)
}

/// Somebody must come if the driver waits for arrivals.
fn check_arrivals(
    driver: Driver,
    field: &Field<Driver>,
    built: &[PhasePlan],
    phases: &Located<List<PhaseFile>>,
    errors: &mut Errors,
) -> Built<()> {
    let measured = |phase: &&PhasePlan| phase.kind == PhaseKind::Measure;
    let comes = |phase: &PhasePlan| {
        let arrivals = phase.arrivals.as_ref();
        arrivals.is_some_and(|arrivals| arrivals.shape.expected(phase.duration) >= 1.0)
    };
    if driver != Driver::Open || built.iter().filter(measured).any(comes) {
        return Some(());
    }
    let place = field.place().unwrap_or(&phases.place);
    let message = "the driver is open, and nobody arrives in a measured phase";
    let advice = "say how many arrive, as in `arrivals: 500/s` under `traffic` or in a phase";
    errors.push(Diagnostic::new(place, message).help(advice));
    None
}

fn build_phases(
    list: &Located<List<PhaseFile>>,
    arrivals: Option<Arrivals>,
    duration: Option<Duration>,
    errors: &mut Errors,
) -> Built<Vec<PhasePlan>> {
    if list.value.len() > PHASES_MAX {
        let message = format!("a scenario has at most {PHASES_MAX} phases");
        errors.push(Diagnostic::new(&list.place, message));
        return None;
    }
    check_phase_names(&list.value, errors);
    let phases: Vec<Option<PhasePlan>> = list
        .value
        .iter()
        .map(|phase| {
            let phase = &phase.as_ref()?.value;
            let duration = span("for", &phase.duration, None, MS..=PHASE_MAX, errors);
            let own = arrivals::build(&phase.arrivals, errors);
            let name = phase.name.given()?;
            if !check_name(name, "a phase's name", errors) {
                return None;
            }
            Some(PhasePlan {
                name: name.value.to_string(),
                kind: kind_of(&name.value),
                duration: duration?,
                arrivals: if phase.arrivals.is_absent() {
                    arrivals
                } else {
                    own?
                },
            })
        })
        .collect();
    let mut phases = phases.into_iter().collect::<Option<Vec<_>>>()?;
    if phases.iter().all(|phase| phase.kind == PhaseKind::WarmUp) {
        errors.push(
            Diagnostic::new(&list.place, "no phase is measured")
                .help("add a phase after the warm-up, such as `{ name: steady, for: 60s }`"),
        );
        return None;
    }
    if let Some(duration) = duration {
        stretch(&mut phases, duration, errors)?;
    }
    Some(phases)
}

fn kind_of(name: &str) -> PhaseKind {
    if name == WARM_UP {
        PhaseKind::WarmUp
    } else {
        PhaseKind::Measure
    }
}

fn check_phase_names(phases: &List<PhaseFile>, errors: &mut Errors) {
    let names = phases.iter().enumerate().filter_map(|(at, phase)| {
        let name = phase.as_ref()?.value.name.given()?;
        Some((at, name))
    });
    let mut seen: Vec<&Located<Arc<str>>> = Vec::new();
    for (at, name) in names {
        if let Some(first) = seen.iter().find(|first| first.value == name.value) {
            let message = format!("two phases are called `{}`", short(&name.value));
            errors.push(
                Diagnostic::new(&name.place, message)
                    .label("give it another name")
                    .note("the first stands here", &first.place),
            );
        } else if &*name.value == WARM_UP && at > 0 {
            let message = "the warm-up is not the first phase";
            errors.push(
                Diagnostic::new(&name.place, message)
                    .label("move it to the front, or give it another name to measure it"),
            );
        }
        seen.push(name);
    }
}

/// Makes the measured phases last `wanted` in all, each in proportion; the last takes what
/// rounding to milliseconds leaves.
fn stretch(phases: &mut [PhasePlan], wanted: Duration, errors: &mut Errors) -> Built<()> {
    let place = Place::argument(format!("--duration {}", Span(wanted)));
    let given = Located {
        value: Span(wanted),
        place: place.clone(),
    };
    span_within("duration", &given, MS..=PHASE_MAX, errors)?;
    let mut measured: Vec<&mut Duration> = phases
        .iter_mut()
        .filter(|phase| phase.kind == PhaseKind::Measure)
        .map(|phase| &mut phase.duration)
        .collect();
    let before: u128 = measured.iter().map(|duration| duration.as_nanos()).sum();
    let (last, others) = measured.split_last_mut()?;
    let mut left = wanted;
    for duration in others {
        let share_ms = duration.as_nanos() * wanted.as_millis() / before.max(1);
        let share = Duration::from_millis(u64::try_from(share_ms).unwrap_or(u64::MAX)).max(MS);
        left = left.checked_sub(share).unwrap_or_default();
        **duration = share;
    }
    **last = left;
    if left.is_zero() {
        let message = format!("{} is too short for {} phases", given.value, measured.len());
        errors.push(Diagnostic::new(&place, message));
        return None;
    }
    Some(())
}

pub(super) fn build_on_start(
    field: &Field<List<Arc<str>>>,
    names: &Names,
    errors: &mut Errors,
) -> Built<Vec<(DataTypeId, Operation)>> {
    let Some(list) = field.value() else {
        return field.is_absent().then(Vec::new);
    };
    let operations: Vec<_> = list
        .iter()
        .map(|item| operation(item.as_ref()?, names, errors))
        .collect();
    operations.into_iter().collect()
}

pub(super) fn build_mix(
    mix: &Located<Map<f64>>,
    names: &Names,
    errors: &mut Errors,
) -> Built<Vec<MixEntry>> {
    let entries: Vec<Option<Vec<MixEntry>>> = mix
        .value
        .0
        .iter()
        .map(|(name, weight)| {
            let asked = operations_of(name, names, errors);
            let weight = weight.as_ref()?;
            if weight.value < 0.0 {
                let message = format!("a weight cannot be {}", weight.value);
                let advice = "from 0 upwards; only the proportions count";
                errors.push(Diagnostic::new(&weight.place, message).label(advice));
                return None;
            }
            let (data_type, split) = asked?;
            let entry = |(operation, share): &(Operation, f64)| MixEntry {
                data_type,
                operation: *operation,
                weight: weight.value * share,
            };
            Some(split.iter().map(entry).collect())
        })
        .collect();
    let entries = entries.into_iter().collect::<Option<Vec<_>>>()?;
    let entries = added_up(entries.into_iter().flatten());
    let sum: f64 = entries.iter().map(|entry| entry.weight).sum();
    if sum > 0.0 && sum.is_finite() {
        return Some(entries);
    }
    let message = match (entries.is_empty(), sum > 0.0) {
        (true, _) => "the mix is empty, so users have nothing to ask",
        (false, true) => "the weights add up to more than a computer counts",
        (false, false) => "all weights are 0, so users have nothing to ask",
    };
    errors.push(
        Diagnostic::new(&mix.place, message).help("give at least one operation a weight above 0"),
    );
    None
}

/// What a line of the mix names: one operation, or a data type with its own.
fn operations_of(
    written: &Located<Arc<str>>,
    names: &Names,
    errors: &mut Errors,
) -> Built<(DataTypeId, Split)> {
    let bare = names.iter().position(|(known, _)| *known == written.value);
    if let Some(at) = bare {
        let data_type = DataTypeId(u16::try_from(at).ok()?);
        return Some((data_type, names.split(at)?.clone()));
    }
    let (data_type, operation) = operation(written, names, errors)?;
    Some((data_type, vec![(operation, 1.0)]))
}

/// Every operation once: a data type may stand there with and without one.
fn added_up(entries: impl Iterator<Item = MixEntry>) -> Vec<MixEntry> {
    let mut sums: Vec<MixEntry> = Vec::new();
    for entry in entries {
        let same = |sum: &&mut MixEntry| {
            (sum.data_type, sum.operation) == (entry.data_type, entry.operation)
        };
        match sums.iter_mut().find(same) {
            Some(sum) => sum.weight += entry.weight,
            None => sums.push(entry),
        }
    }
    sums
}

/// The operations that fit a strategy.
pub(super) fn fitting(strategy: Strategy) -> &'static [Operation] {
    match strategy {
        Strategy::CacheAside | Strategy::WriteThrough => &[
            Operation::Get,
            Operation::Put,
            Operation::Invalidate,
            Operation::InvalidatePattern,
            Operation::InvalidateAll,
        ],
        Strategy::WriteBehind => &[Operation::Put],
        Strategy::Counter => &[Operation::Admit],
    }
}

/// What `customer.get` means.
pub(super) fn operation(
    written: &Located<Arc<str>>,
    names: &Names,
    errors: &mut Errors,
) -> Built<(DataTypeId, Operation)> {
    let text = &*written.value;
    let wrong = |message: String| Diagnostic::new(&written.place, message);
    let Some((name, asked)) = text.split_once('.') else {
        let message = format!("`{}` is no operation on a data type", short(text));
        errors.push(
            wrong(message).label("write the data type, a dot and get, put, invalidate or admit"),
        );
        return None;
    };
    let found = names.iter().position(|(known, _)| **known == *name);
    let Some(at) = found else {
        let message = format!("there is no data type `{}`", short(name));
        let advice = did_you_mean(name, "data type", names.iter().map(|(known, _)| &**known));
        errors.push(wrong(message).label(advice));
        return None;
    };
    let known = Operation::ALL.into_iter().find(|one| one.name() == asked);
    let fits = names[at].1.map(fitting);
    match (known, fits) {
        (Some(known), Some(fits)) if fits.contains(&known) => {
            Some((DataTypeId(u16::try_from(at).ok()?), known))
        }
        // The data type's strategy is wrong itself, which has been reported.
        (Some(_), None) => None,
        (None, fits) => {
            let fits = fits.unwrap_or(&Operation::ALL);
            let message = format!("`{}` is no operation", short(asked));
            let advice = did_you_mean(asked, "operation", fits.iter().map(|one| one.name()));
            errors.push(wrong(message).label(advice));
            None
        }
        (Some(known), Some(fits)) => {
            let fits: Vec<&str> = fits.iter().map(|one| one.name()).collect();
            let message = format!(
                "`{name}` cannot be asked to {}: its strategy does not know that",
                known.name()
            );
            errors.push(wrong(message).label(format!("it can {}", fits.join(", "))));
            None
        }
    }
}
