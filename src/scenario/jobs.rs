//! Jobs: what operators do by the clock, as planned, and when each is due. Pure.
//!
//! Built with the plan; carried out by the runner.

use std::time::Duration;

use crate::engine::data_type::DataTypeId;
use crate::engine::layer::Operation;

/// What an operator does, once or again and again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobPlan {
    /// Its name, unique in the plan.
    pub name: String,
    /// When it is due, from the start of the run, warm-up included.
    pub at: Duration,
    /// How often again; `None`: never.
    pub every: Option<Duration>,
    /// In what time it is done, evenly; zero: as fast as may be.
    pub over: Duration,
    /// What.
    pub action: JobAction,
}

/// What is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobAction {
    /// An operation on many keys of some data types, one after another.
    OnKeys {
        /// A put, an invalidation of a key or one of a pattern.
        operation: Operation,
        /// How many keys of which data types, the most popular first. Of a pattern: how many patterns.
        keys: Vec<(DataTypeId, Keys)>,
    },
    /// Everything of some data types is invalidated.
    InvalidateAll(Vec<DataTypeId>),
    /// Every instance begins anew.
    Deploy(Deployment),
}

/// How many keys of a data type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    /// Every one; in all so many.
    All(u64),
    /// So many.
    Some(u64),
}

impl Keys {
    /// How many.
    pub fn count(self) -> u64 {
        match self {
            Self::All(count) | Self::Some(count) => count,
        }
    }
}

/// In what order the instances of a deployment begin anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deployment {
    /// One after another.
    Rolling,
    /// All at the same moment.
    AllAtOnce,
}

/// When each of `jobs` is due before `end`: by moments, and at the same one in the order written.
pub fn schedule(jobs: &[JobPlan], end: Duration) -> Vec<(Duration, &JobPlan)> {
    let of_one = |job: &'_ JobPlan| {
        let next = job.every.filter(|every| !every.is_zero());
        std::iter::successors(Some(job.at), move |at| at.checked_add(next?))
            .take_while(move |at| *at < end)
    };
    let mut due: Vec<(Duration, &JobPlan)> = jobs
        .iter()
        .flat_map(|job| of_one(job).map(move |at| (at, job)))
        .collect();
    due.sort_by_key(|(at, _)| *at);
    due
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(name: &str, at_s: u64, every_s: Option<u64>) -> JobPlan {
        JobPlan {
            name: name.to_owned(),
            at: Duration::from_secs(at_s),
            every: every_s.map(Duration::from_secs),
            over: Duration::ZERO,
            action: JobAction::Deploy(Deployment::Rolling),
        }
    }

    #[test]
    fn jobs_are_due_in_order_until_the_end() {
        let jobs = [
            job("b", 10, Some(20)),
            job("once", 30, None),
            job("a", 0, Some(15)),
            job("late", 60, None),
        ];
        let due = schedule(&jobs, Duration::from_mins(1));
        let due: Vec<String> = due
            .iter()
            .map(|(at, job)| format!("{}@{}", job.name, at.as_secs()))
            .collect();
        assert_eq!(due.join(" "), "a@0 b@10 a@15 b@30 once@30 a@30 a@45 b@50");
        assert!(schedule(&jobs, Duration::ZERO).is_empty());
    }
}
