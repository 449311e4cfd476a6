//! The rules of `jobs`, one mistake at a time, and that what is written is what is planned.

use std::time::Duration;

use super::super::{Overrides, SMALL, changed, parse, plan, set};
use super::rule;
use crate::engine::data_type::DataTypeId;
use crate::engine::layer::Operation;
use crate::scenario::Diagnostic;
use crate::scenario::jobs::{Deployment, JobAction, JobPlan, Keys};

const SECOND: Duration = Duration::from_secs(1);

/// One mistake in one job of a run of 45 s.
fn wrong(job: &str, message: &str, shown: &str) {
    let to = format!("jobs: [{{ {job} }}]\nbaseline: {{ for: 20s }}");
    rule("baseline: { for: 20s }", &to, message, shown);
}

#[test]
fn when() {
    for (keys, message, shown) in [
        (
            "at: 45s",
            "the run ends after 45s, before this job begins",
            "45s",
        ),
        (
            "at: 40s, over: 6s",
            "the run ends after 45s, before this job is done",
            "6s",
        ),
        ("at: 1s, every: 500ms", "`every` cannot be 500ms", "500ms"),
        (
            "at: 1s, over: 3s, every: 3s",
            "begins again after 3s, before it is done",
            "3s",
        ),
        ("at: 5", "is not a duration", "5"),
        ("att: 5s", "unknown key `att`", "att"),
    ] {
        wrong(
            &format!("name: a, {keys}, put: {{ stock: all }}"),
            message,
            shown,
        );
    }
    wrong(
        "name: a, put: { stock: all }",
        "`at` is missing in a job",
        "{",
    );
    wrong(
        "at: 1s, put: { stock: all }",
        "`name` is missing in a job",
        "{",
    );
    wrong(
        "name: ' ', at: 1s, deploy: rolling",
        "a job's name is empty",
        "' '",
    );
    wrong(
        "name: a, at: 1s, deploy: rolling }, { name: a, at: 2s, deploy: rolling",
        "two jobs are called \"a\"",
        "a",
    );
}

#[test]
fn not_too_often() {
    let text = SMALL.replace("name: steady, for: 30s", "name: steady, for: 2h");
    let from = "baseline: { for: 20s }";
    let to = "jobs: [{ name: a, at: 1s, every: 1s, invalidate_all: stock }]";
    let message = "this job would run 7,214 times";
    super::rule_in(&text, from, to, message, "1s");
}

#[test]
fn what() {
    for (what, message, shown) in [
        ("every: 9s", "the job has nothing to do", "{"),
        (
            "deploy: rolling, invalidate_all: stock",
            "the job has two things to do",
            "rolling",
        ),
        ("deploy: rollin", "`rollin` is no deployment", "rollin"),
        (
            "deploy: all-at-once, over: 2s",
            "done at once, and not over a time",
            "2s",
        ),
        (
            "invalidate_all: stock, over: 2s",
            "done at once, and not over a time",
            "2s",
        ),
        (
            "invalidate_all: stok",
            "there is no data type `stok`",
            "stok",
        ),
        (
            "invalidate_all: [stock, limit]",
            "`limit` cannot be asked to invalidate_all",
            "limit",
        ),
        ("invalidate_all: []", "the job names no data type", "["),
        ("put: {}", "the job names no data type", "{"),
        ("put: stock", "a mapping is wanted here", "stock"),
        ("put: { stok: all }", "there is no data type `stok`", "stok"),
        ("put: { stock: 201 }", "`keys` cannot be 201", "201"),
        ("put: { stock: 0 }", "`keys` cannot be 0", "0"),
        (
            "put: { stock: every }",
            "\"every\" is neither a number nor `all`",
            "every",
        ),
        (
            "put: { limit: all }",
            "`limit` cannot be asked to put",
            "limit",
        ),
        (
            "put: { activity: all }",
            "each user has its own keys, or each is new",
            "activity",
        ),
        (
            "invalidate_pattern: { customer: all }",
            "its key has less than two parameters",
            "customer",
        ),
        (
            "invalidate_pattern: { stock: 51 }",
            "`keys` cannot be 51",
            "51",
        ),
    ] {
        wrong(&format!("name: a, at: 1s, {what}"), message, shown);
    }
}

#[test]
fn every_mistake_is_told_at_once() {
    let jobs = "jobs:
  - { name: a, at: 1h, put: { stok: all, customer: 301, limit: 1 } }
  - { name: a, at: 1s }
  - { nme: b, at: 1s, deploy: never }
";
    let text = SMALL.replace("baseline: { for: 20s }\n", jobs);
    let errors = parse("a.yaml", &text, &Overrides::default()).expect_err("mistakes");
    let told: Vec<&str> = errors.iter().map(Diagnostic::message).collect();
    insta::assert_snapshot!(told.join("\n"), @r#"
    the run ends after 45s, before this job begins
    there is no data type `stok`
    `keys` cannot be 301
    `limit` cannot be asked to put: its strategy does not know that
    the job has nothing to do
    two jobs are called "a"
    unknown key `nme` in a job
    `never` is no deployment
    "#);
}

/// Who misspells a data type is not told that its keys are too many.
#[test]
fn mistakes_do_not_spread() {
    for (job, from, to, message, shown) in [
        (
            "at: 4s, put: { stock: 500 }",
            "population: { product: 50, warehouse: 4 }",
            "population: { product: 50, warehouse: many }",
            "neither a number nor `unique`",
            "many",
        ),
        (
            "at: 50s, put: { stock: 5 }",
            "for: 10s",
            "for: 10",
            "is not a duration",
            "10",
        ),
    ] {
        let jobs = format!("jobs: [{{ name: a, {job} }}]\ngates:");
        let text = SMALL.replace("gates:", &jobs);
        super::rule_in(&text, from, to, message, shown);
    }
}

#[test]
fn what_is_written_is_planned_and_written_again() {
    assert_eq!(plan(SMALL).jobs, []);
    let jobs = "[
      { name: 'new: stock', at: 4s, every: 20s, over: 10s, put: { stock: all, customer: 7 } },
      { name: prices, at: 0s, every: none, invalidate_all: customer },
      { name: recount, at: 5s, invalidate_pattern: { stock: all } },
      { name: release, at: 10s, over: 6s, deploy: rolling },
      { name: hurry, at: 12s, deploy: all-at-once },
    ]";
    let job = |name: &str, at_s: u32, every_s: Option<u32>, over_s: u32, action| JobPlan {
        name: name.to_owned(),
        at: SECOND * at_s,
        every: every_s.map(|every| SECOND * every),
        over: SECOND * over_s,
        action,
    };
    let (customer, stock) = (DataTypeId(0), DataTypeId(1));
    let on_keys = |operation, keys: &[(DataTypeId, Keys)]| JobAction::OnKeys {
        operation,
        keys: keys.to_vec(),
    };
    let put = [(stock, Keys::All(200)), (customer, Keys::Some(7))];
    let pattern = [(stock, Keys::All(50))];
    let wanted = [
        job("new: stock", 4, Some(20), 10, on_keys(Operation::Put, &put)),
        job(
            "prices",
            0,
            None,
            0,
            JobAction::InvalidateAll(vec![customer]),
        ),
        job(
            "recount",
            5,
            None,
            0,
            on_keys(Operation::InvalidatePattern, &pattern),
        ),
        job(
            "release",
            10,
            None,
            6,
            JobAction::Deploy(Deployment::Rolling),
        ),
        job(
            "hurry",
            12,
            None,
            0,
            JobAction::Deploy(Deployment::AllAtOnce),
        ),
    ];
    let given = changed(&set(&[("jobs", jobs)]));
    assert_eq!(given.jobs, wanted);
    assert_eq!(plan(&given.resolved_yaml).jobs, wanted);
    let later = changed(&set(&[("jobs", jobs), ("jobs.release.at", "20s")]));
    assert_eq!(later.jobs[3].at, SECOND * 20);
}

#[test]
fn a_run_that_is_shortened_leaves_out_what_it_does_not_reach() {
    let jobs = "[
      { name: early, at: 4s, over: 20s, put: { stock: all } },
      { name: late, at: 30s, deploy: rolling },
    ]";
    let short = changed(&Overrides {
        duration: Some(SECOND * 10),
        ..set(&[("jobs", jobs)])
    });
    let names: Vec<&str> = short.jobs.iter().map(|job| job.name.as_str()).collect();
    assert_eq!(names, ["early"]);
}
