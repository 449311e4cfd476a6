//! What happens over a day, written out again: who is there when, and what operators do.

use super::{Yaml, map, share};
use crate::engine::data_type::DataTypeId;
use crate::scenario::jobs::{JobAction, JobPlan, Keys};
use crate::scenario::plan::Plan;
use crate::scenario::words::Word as _;
use crate::units::Span;
use crate::workload::rhythm::Rhythm;

pub(super) fn rhythm(rhythm: Option<&Rhythm>) -> Yaml {
    Yaml::none_or(rhythm, |rhythm| {
        let present = rhythm.points().iter();
        let present = present.map(|(at, ratio)| (Span(*at).to_string(), Yaml::word(share(*ratio))));
        map([
            ("every", Yaml::span(rhythm.every())),
            ("starts_at", Yaml::span(rhythm.starts_at())),
            ("present", Yaml::Map(present.collect())),
        ])
    })
}

pub(super) fn jobs(plan: &Plan) -> Yaml {
    Yaml::List(plan.jobs.iter().map(|job| self::job(plan, job)).collect())
}

fn job(plan: &Plan, job: &JobPlan) -> Yaml {
    let name = |id: &DataTypeId| plan.policies.get(*id).name.to_string();
    let (action, what) = match &job.action {
        JobAction::OnKeys { operation, keys } => {
            let keys = keys.iter().map(|(id, keys)| {
                let keys = match keys {
                    Keys::All(_) => Yaml::word("all"),
                    Keys::Some(count) => Yaml::word(count),
                };
                (name(id), keys)
            });
            (operation.name(), Yaml::Map(keys.collect()))
        }
        JobAction::InvalidateAll(ids) => {
            let names = ids.iter().map(|id| Yaml::name(&name(id)));
            ("invalidate_all", Yaml::List(names.collect()))
        }
        JobAction::Deploy(how) => ("deploy", Yaml::word(how.word())),
    };
    map([
        ("name", Yaml::text(&job.name)),
        ("at", Yaml::span(job.at)),
        ("every", Yaml::none_or(job.every, Yaml::span)),
        ("over", Yaml::span(job.over)),
        (action, what),
    ])
}
