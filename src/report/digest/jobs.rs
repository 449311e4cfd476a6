//! What operators did meanwhile, in one sentence.

use super::{Fact, counted, listed};
use crate::report::model::{JobResult, Report};
use crate::report::table::Tone;
use crate::report::words::seconds;
use crate::units::thousands;

pub(super) fn facts(report: &Report) -> Option<Fact> {
    let jobs = &report.jobs;
    let wrong = jobs.iter().any(|job| job.failed + job.left_undone > 0);
    let tone = if wrong { Tone::Doubtful } else { Tone::Plain };
    // What went wrong is told in any case.
    let (bad, good): (Vec<_>, Vec<_>) = jobs
        .iter()
        .partition(|job| job.failed + job.left_undone > 0);
    let told = bad.into_iter().chain(good).map(told);
    (!jobs.is_empty()).then(|| Fact::new("jobs", listed(told), tone))
}

fn told(job: &JobResult) -> String {
    let wrong = [(job.failed, "FAILED"), (job.left_undone, "left UNDONE")];
    let wrong = wrong.iter().filter(|(count, _)| *count > 0);
    let wrong = wrong.map(|(count, what)| format!(" ({} {what})", thousands(*count)));
    format!(
        "{} at {}: {} in {}{}",
        job.name,
        seconds(job.at_s),
        counted(job.operations, "operation"),
        seconds(job.took_s),
        wrong.collect::<String>()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::{operated_report, sample_report};

    #[test]
    fn what_went_wrong_comes_first() {
        assert!(facts(&sample_report()).is_none());
        let mut report = operated_report();
        insta::assert_snapshot!(facts(&report).expect("jobs").text, @"new catalogue at 20 s: 400 operations in 10.2 s, new prices at 40 s: 1 operation in 0.1 s, release at 60 s: 3 operations in 4 s");
        report.jobs[2].failed = 1;
        report.jobs[2].left_undone = 2;
        let fact = facts(&report).expect("jobs");
        insta::assert_snapshot!(fact.text, @"release at 60 s: 3 operations in 4 s (1 FAILED) (2 left UNDONE), new catalogue at 20 s: 400 operations in 10.2 s, new prices at 40 s: 1 operation in 0.1 s");
        assert_eq!(fact.tone, Tone::Doubtful);
    }
}
