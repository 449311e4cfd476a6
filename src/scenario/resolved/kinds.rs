//! Who the users are and what they do.

use super::super::plan::Plan;
use super::{Yaml, map, share};
use crate::engine::data_type::DataTypeId;
use crate::engine::layer::Operation;
use crate::units::Ratio;
use crate::workload::kinds::{Carried, Times};
use crate::workload::{Journey, JourneyStep, UserKind, What};

/// The keys of `traffic` that say it: of the only kind itself, or `kinds`.
pub(super) fn write(plan: &Plan) -> Vec<(&'static str, Yaml)> {
    match &*plan.workload.kinds {
        [only] if only.name == UserKind::ALL => one(plan, only),
        kinds => {
            let kinds = kinds.iter().map(|kind| {
                let written = one(plan, kind).into_iter();
                let written = written.map(|(key, value)| (key.to_owned(), value));
                (kind.name.clone(), Yaml::Map(written.collect()))
            });
            vec![("kinds", Yaml::Map(kinds.collect()))]
        }
    }
}

fn one(plan: &Plan, kind: &UserKind) -> Vec<(&'static str, Yaml)> {
    let on_start = kind.on_start.iter();
    let on_start = on_start.map(|(data_type, asked)| Yaml::name(&name(plan, *data_type, *asked)));
    let what = match &kind.what {
        What::Mix(mix) => {
            let lines = mix.iter().map(|line| {
                let name = name(plan, line.data_type, line.operation);
                (name, Yaml::word(line.weight))
            });
            ("mix", Yaml::Map(lines.collect()))
        }
        What::Journeys(journeys) => {
            let journeys = journeys
                .iter()
                .map(|one| (one.name.clone(), journey(plan, one)));
            ("journeys", Yaml::Map(journeys.collect()))
        }
    };
    vec![
        ("users", Yaml::word(kind.users)),
        ("think_time", Yaml::word(kind.think_time)),
        ("on_start", Yaml::List(on_start.collect())),
        what,
    ]
}

/// `customer.get`
fn name(plan: &Plan, data_type: DataTypeId, operation: Operation) -> String {
    format!("{}.{}", plan.policies.get(data_type).name, operation.name())
}

fn journey(plan: &Plan, journey: &Journey) -> Yaml {
    let steps = journey.steps.iter();
    let steps = steps.map(|one| step(plan, journey, one));
    map([
        ("weight", Yaml::word(journey.weight)),
        ("steps", Yaml::List(steps.collect())),
    ])
}

fn step(plan: &Plan, journey: &Journey, step: &JourneyStep) -> Yaml {
    let Times { min, max } = step.times;
    let times = if min == max {
        Yaml::word(min)
    } else {
        Yaml::word(format!("{min}..{max}"))
    };
    let mut written = vec![(name(plan, step.data_type, step.operation), times)];
    let mut add = |key: &str, value| written.push((key.to_owned(), value));
    if let Some(think_time) = step.think_time {
        add("think_time", Yaml::word(think_time));
    }
    let key = &plan.policies.get(step.data_type).key;
    let param = |carried: &Carried| key.params().nth(carried.param.into()).unwrap_or_default();
    let value = |carried: &Carried| {
        let name = journey.remembered.get(usize::from(carried.value));
        name.map(String::as_str).unwrap_or_default()
    };
    if !step.remember.is_empty() {
        let kept = step.remember.iter();
        let kept = kept.map(|one| (value(one).to_owned(), Yaml::name(param(one))));
        add("remember", Yaml::Map(kept.collect()));
    }
    if !step.uses.is_empty() {
        let used = step.uses.iter();
        let used = used.map(|one| (param(one).to_owned(), Yaml::name(value(one))));
        add("use", Yaml::Map(used.collect()));
    }
    if step.chance < Ratio(1.0) {
        add("chance", Yaml::word(share(step.chance)));
    }
    if step.leave > Ratio(0.0) {
        add("leave", Yaml::word(share(step.leave)));
    }
    Yaml::Map(written)
}
