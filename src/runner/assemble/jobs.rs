//! What operators did, with the words of the plan for it.

use crate::report::model::JobResult;
use crate::runner::pass::PassResult;
use crate::scenario::jobs::{Deployment, JobAction};
use crate::scenario::plan::Plan;

/// Every run of a job, by when it was due.
pub(super) fn done(plan: &Plan, pass: &PassResult) -> Vec<JobResult> {
    let runs = pass.jobs.iter().map(|run| {
        let job = plan.jobs.iter().find(|job| job.name == run.name);
        JobResult {
            name: run.name.clone(),
            action: job.map_or_else(String::new, |job| words(plan, &job.action)),
            at_s: run.at.as_secs_f64(),
            operations: run.operations,
            failed: run.failed,
            left_undone: run.left,
            took_s: run.took.as_secs_f64(),
        }
    });
    runs.collect()
}

fn words(plan: &Plan, action: &JobAction) -> String {
    let (verb, ids) = match action {
        JobAction::OnKeys { operation, keys } => {
            let ids = keys.iter().map(|(id, _)| *id).collect();
            (operation.name(), ids)
        }
        JobAction::InvalidateAll(ids) => ("invalidate_all", ids.clone()),
        JobAction::Deploy(Deployment::Rolling) => return "deploy rolling".to_owned(),
        JobAction::Deploy(Deployment::AllAtOnce) => return "deploy all-at-once".to_owned(),
    };
    let names: Vec<&str> = (ids.iter())
        .map(|id| &*plan.policies.get(*id).name)
        .collect();
    format!("{verb} {}", names.join(", "))
}
