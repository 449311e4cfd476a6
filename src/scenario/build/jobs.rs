//! What operators do by the clock.

use std::sync::Arc;
use std::time::Duration;

use super::super::decode::{Field, Located, Map, Switch};
use super::super::diagnostics::{Diagnostic, Errors, Place, did_you_mean};
use super::super::file::File;
use super::super::file::jobs::{JobFile, KeysFile, NamesFile};
use super::super::jobs::{Deployment, JobAction, JobPlan, Keys};
use super::super::plan::TrafficPlan;
use super::super::yaml::short;
use super::data_types::{DataTypes, Names};
use super::{Built, PHASE_MAX, count, span, span_within, traffic};
use crate::engine::data_type::DataTypeId;
use crate::engine::layer::Operation;
use crate::units::{Span, thousands};
use crate::workload::{Dimension, Popularity, Population};

const JOBS_MAX: usize = 200;
/// More runs than a report can list.
const RUNS_MAX: u128 = 1_000;
const EVERY_MIN: Duration = Duration::from_secs(1);

/// What jobs have to do with the rest of the scenario; what is wrong itself is `None`.
pub(super) struct Around<'a> {
    names: &'a Names,
    data_types: Option<&'a DataTypes>,
    traffic: Option<&'a TrafficPlan>,
    /// The run was made longer or shorter by the command line: then what it does not reach is left
    /// out, and no mistake.
    stretched: bool,
}

impl<'a> Around<'a> {
    /// `duration` is how long the command line wants the run.
    pub(super) fn of(
        names: &'a Names,
        data_types: Option<&'a DataTypes>,
        traffic: Option<&'a traffic::Traffic>,
        duration: Option<Duration>,
    ) -> Self {
        Self {
            names,
            data_types,
            traffic: traffic.map(|traffic| &traffic.plan),
            stretched: duration.is_some(),
        }
    }
}

/// Builds the jobs of `file`.
pub(super) fn build(file: &File, around: &Around<'_>, errors: &mut Errors) -> Built<Vec<JobPlan>> {
    let Some(list) = file.jobs.given() else {
        return file.jobs.is_absent().then(Vec::new);
    };
    if list.value.len() > JOBS_MAX {
        let message = format!("a scenario has at most {JOBS_MAX} jobs");
        errors.push(Diagnostic::new(&list.place, message));
        return None;
    }
    let mut seen = Vec::new();
    let mut built = Some(Vec::new());
    for job in &list.value {
        let one = job
            .as_ref()
            .and_then(|job| build_one(job, around, &mut seen, errors));
        match (one, &mut built) {
            (Some(job), Some(built)) => built.push(job),
            (None, built) => *built = None,
            (Some(_), None) => {}
        }
    }
    let end = around.traffic.map(TrafficPlan::duration);
    let reached = |job: &JobPlan| end.is_none_or(|end| job.at < end);
    built.map(|jobs| jobs.into_iter().filter(reached).collect())
}

fn build_one<'f>(
    job: &'f Located<JobFile>,
    around: &Around<'_>,
    seen: &mut Vec<&'f Located<Arc<str>>>,
    errors: &mut Errors,
) -> Built<JobPlan> {
    let (place, file) = (&job.place, &job.value);
    let name = build_name(&file.name, seen, errors);
    let limits = Duration::ZERO..=PHASE_MAX;
    let at = span("at", &file.at, None, limits.clone(), errors);
    let over = span("over", &file.over, Some(Duration::ZERO), limits, errors);
    let action = build_action(place, file, around, errors);
    if let (Some(action), Some(over)) = (&action, file.over.given()) {
        takes_time(action, over, errors);
    }
    let every = build_every(&file.every, over, errors);
    let times = at.map(|at| Times {
        at,
        over: over.unwrap_or_default(),
        every: every.flatten(),
    });
    let fits = times.is_none_or(|times| fits(&times, file, around, errors));
    let job = JobPlan {
        name: name?.to_string(),
        at: at?,
        every: every?,
        over: over?,
        action: action?,
    };
    fits.then_some(job)
}

/// When a job is due; what is wrong of it is left out.
struct Times {
    at: Duration,
    over: Duration,
    every: Option<Duration>,
}

fn build_name<'f>(
    field: &'f Field<Arc<str>>,
    seen: &mut Vec<&'f Located<Arc<str>>>,
    errors: &mut Errors,
) -> Built<Arc<str>> {
    let name = field.given()?;
    if name.value.trim().is_empty() {
        let message = "a job's name is empty";
        errors.push(Diagnostic::new(&name.place, message).label("say what is done"));
        return None;
    }
    if let Some(first) = seen.iter().find(|first| first.value == name.value) {
        let message = format!("two jobs are called {:?}", short(&name.value));
        errors.push(
            Diagnostic::new(&name.place, message)
                .label("give it another name")
                .note("the first stands here", &first.place),
        );
    }
    seen.push(name);
    Some(Arc::clone(&name.value))
}

fn build_every(
    field: &Field<Switch<Span>>,
    over: Option<Duration>,
    errors: &mut Errors,
) -> Built<Option<Duration>> {
    let Some(given) = field.given() else {
        return field.is_absent().then_some(None);
    };
    let Switch::On(value) = given.value else {
        return Some(None);
    };
    let place = given.place.clone();
    let given = Located { value, place };
    let every = span_within("every", &given, EVERY_MIN..=PHASE_MAX, errors)?;
    if over.is_some_and(|over| over >= every) {
        let message = format!("the job begins again after {value}, before it is done");
        let advice = "longer than `over`";
        errors.push(Diagnostic::new(&given.place, message).label(advice));
        return None;
    }
    Some(Some(every))
}

/// What can be done, and where it is written.
enum Written<'f> {
    OnKeys(Operation, &'f Field<Map<KeysFile>>),
    All(&'f Field<NamesFile>),
    Deploy(&'f Field<Deployment>),
}

impl Written<'_> {
    /// `None` if it is not there at all.
    fn place<'p>(&'p self, job: &'p Place) -> Option<&'p Place> {
        let (absent, place) = match self {
            Self::OnKeys(_, field) => (field.is_absent(), field.place()),
            Self::All(field) => (field.is_absent(), field.place()),
            Self::Deploy(field) => (field.is_absent(), field.place()),
        };
        (!absent).then(|| place.unwrap_or(job))
    }
}

fn build_action(
    place: &Place,
    file: &JobFile,
    around: &Around<'_>,
    errors: &mut Errors,
) -> Built<JobAction> {
    let written = [
        Written::OnKeys(Operation::Put, &file.put),
        Written::OnKeys(Operation::Invalidate, &file.invalidate),
        Written::OnKeys(Operation::InvalidatePattern, &file.invalidate_pattern),
        Written::All(&file.invalidate_all),
        Written::Deploy(&file.deploy),
    ];
    let mut there = written.iter().filter(|one| one.place(place).is_some());
    let Some(first) = there.next() else {
        let message = "the job has nothing to do";
        let help = "add `put: { product: all }`, `invalidate`, `invalidate_pattern`, \
                    `invalidate_all: product` or `deploy: rolling`";
        errors.push(Diagnostic::new(place, message).help(help));
        return None;
    };
    if let Some(second) = there.next().and_then(|one| one.place(place)) {
        let message = "the job has two things to do";
        errors.push(Diagnostic::new(second, message).label("make it a job of its own"));
        return None;
    }
    match first {
        Written::OnKeys(operation, field) => {
            let operation = *operation;
            let keys = build_keys(operation, field.given()?, around, errors)?;
            Some(JobAction::OnKeys { operation, keys })
        }
        Written::All(field) => {
            let names = field.given()?;
            let ids: Vec<Option<DataTypeId>> = (names.value.0.iter())
                .map(|name| asked(name, Operation::InvalidateAll, around, errors))
                .collect();
            not_empty(ids.is_empty(), &names.place, errors)?;
            ids.into_iter()
                .collect::<Option<_>>()
                .map(JobAction::InvalidateAll)
        }
        Written::Deploy(field) => field.value().copied().map(JobAction::Deploy),
    }
}

fn not_empty(empty: bool, place: &Place, errors: &mut Errors) -> Built<()> {
    if empty {
        let message = "the job names no data type";
        errors.push(Diagnostic::new(place, message).label("name at least one"));
    }
    (!empty).then_some(())
}

/// The data type called `name`, if `operation` can be asked of it.
fn asked(
    name: &Located<Arc<str>>,
    operation: Operation,
    around: &Around<'_>,
    errors: &mut Errors,
) -> Built<DataTypeId> {
    let known = || around.names.iter().map(|(known, _)| &**known);
    let Some(at) = known().position(|known| *known == *name.value) else {
        let message = format!("there is no data type `{}`", short(&name.value));
        let advice = did_you_mean(&name.value, "data type", known());
        errors.push(Diagnostic::new(&name.place, message).label(advice));
        return None;
    };
    // A strategy that is wrong itself has been reported.
    let fitting = traffic::fitting(around.names[at].1?);
    if !fitting.contains(&operation) {
        let (name, place) = (&name.value, &name.place);
        let message = format!(
            "`{name}` cannot be asked to {}: its strategy does not know that",
            operation.name()
        );
        errors.push(Diagnostic::new(place, message).label("leave it out"));
        return None;
    }
    Some(DataTypeId(u16::try_from(at).ok()?))
}

fn build_keys(
    operation: Operation,
    map: &Located<Map<KeysFile>>,
    around: &Around<'_>,
    errors: &mut Errors,
) -> Built<Vec<(DataTypeId, Keys)>> {
    let keys: Vec<Option<(DataTypeId, Keys)>> = (map.value.0.iter())
        .map(|(name, wanted)| {
            let id = asked(name, operation, around, errors)?;
            let population = &around.data_types?.populations[id.index()];
            let there = shared_keys(name, operation, population, errors)?;
            let wanted = wanted.as_ref()?;
            let keys = match wanted.value {
                KeysFile::All => Keys::All(there),
                KeysFile::Count(value) => {
                    let place = wanted.place.clone();
                    let field = Field::Given(Located { value, place });
                    Keys::Some(count("keys", &field, None, 1..=there, errors)?)
                }
            };
            Some((id, keys))
        })
        .collect();
    not_empty(keys.is_empty(), &map.place, errors)?;
    keys.into_iter().collect()
}

/// How many keys, or patterns of them, `operation` can be asked of.
fn shared_keys(
    name: &Located<Arc<str>>,
    operation: Operation,
    population: &Population,
    errors: &mut Errors,
) -> Built<u64> {
    let mut refuse = |why: &str, advice: &str| {
        let message = format!("`{}` is nothing for this job: {why}", name.value);
        errors.push(Diagnostic::new(&name.place, message).label(advice.to_owned()));
        None
    };
    let mut values = Some(Vec::new());
    for dimension in &population.dimensions {
        match (dimension, &mut values) {
            (Dimension::Cardinality(count), Some(values)) => values.push(*count),
            _ => values = None,
        }
    }
    let shared = values.filter(|_| population.popularity != Popularity::PerUser);
    let Some(mut values) = shared else {
        return refuse(
            "each user has its own keys, or each is new",
            "invalidate_all takes them all",
        );
    };
    if operation == Operation::InvalidatePattern {
        if values.len() < 2 {
            return refuse(
                "its key has less than two parameters",
                "write invalidate or invalidate_all",
            );
        }
        values.pop();
    }
    Some(values.into_iter().fold(1, u64::saturating_mul))
}

/// Tells that what is done in one step takes no time.
fn takes_time(action: &JobAction, over: &Located<Span>, errors: &mut Errors) {
    let at_once = match action {
        JobAction::InvalidateAll(_) => true,
        JobAction::Deploy(how) => *how == Deployment::AllAtOnce,
        JobAction::OnKeys { .. } => false,
    };
    if at_once && !over.value.0.is_zero() {
        let message = "this is done at once, and not over a time";
        errors.push(Diagnostic::new(&over.place, message).label("leave it out"));
    }
}

/// Whether the run is long enough for it, and short enough for its repetitions.
fn fits(times: &Times, file: &JobFile, around: &Around<'_>, errors: &mut Errors) -> bool {
    let (Some(traffic), Some(at)) = (around.traffic, file.at.given()) else {
        return true;
    };
    let end = traffic.duration();
    let mut refuse = |place: &Place, message: String, advice: &str| {
        errors.push(Diagnostic::new(place, message).label(advice.to_owned()));
        false
    };
    if times.at >= end {
        let message = format!("the run ends after {}, before this job begins", Span(end));
        let advice = "times count from its start, warm-up included";
        return around.stretched || refuse(&at.place, message, advice);
    }
    if times.at + times.over > end && !around.stretched {
        let message = format!("the run ends after {}, before this job is done", Span(end));
        let place = file.over.place().unwrap_or(&at.place);
        return refuse(place, message, "begin earlier, or take less time");
    }
    let (Some(every), Some(place)) = (times.every, file.every.place()) else {
        return true;
    };
    let left = end.saturating_sub(times.at);
    let runs = left.as_nanos().div_ceil(every.as_nanos().max(1));
    if runs > RUNS_MAX {
        let runs = thousands(u64::try_from(runs).unwrap_or(u64::MAX));
        let message = format!("this job would run {runs} times");
        return refuse(place, message, "1,000 times at most");
    }
    true
}
