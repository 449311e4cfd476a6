//! What the page says beside its pictures.

use super::facts::*;
use super::*;
use crate::report::fixture::{bare_report, failed_report, sample_report};

#[test]
fn the_verdict_counts_and_names() {
    let page = Page::of(&sample_report());
    assert_eq!(
        (page.verdict, page.held.as_str()),
        ("PASS", "17 of 17 targets held")
    );
    assert_eq!(page.verdict_note, "");
    let page = Page::of(&failed_report());
    assert_eq!(
        (page.verdict, page.held.as_str()),
        ("FAIL", "15 of 17 targets held")
    );
    assert_eq!(
        page.verdict_note,
        "Failed: inventory hit ratio. Without evidence: Redis memory."
    );
    let order: Vec<&str> = page.targets.iter().take(3).map(|row| row.verdict).collect();
    assert_eq!(order, ["fail", "inconclusive", "pass"]);
    assert_eq!(Page::of(&bare_report()).held, "no target was stated");
}

#[test]
fn the_command_can_be_pasted_into_a_shell() {
    let mut report = sample_report();
    assert_eq!(
        command(&report),
        "cachestorm run scenarios/adr-006.yaml --seed 42 --set traffic.users=1000"
    );
    report.scenario.file = "my scenarios/it's.yaml".to_owned();
    report.scenario.overrides = ["--seed 7", "--driver direct", "--set gates=[]; rm -r /"]
        .map(str::to_owned)
        .into();
    assert_eq!(
        command(&report),
        r"cachestorm run 'my scenarios/it'\''s.yaml' --seed 7 --driver direct --set 'gates=[]; rm -r /'"
    );
}

#[test]
fn what_must_be_known_first_comes_first() {
    let cautions = Page::of(&bare_report()).cautions;
    assert!(cautions[0].starts_with("The run was interrupted"));
    assert!(cautions[1].contains("invalid") && cautions[1].contains("bottleneck"));
    assert_eq!(cautions[2], "Only 3 requests measured");
    assert!(Page::of(&sample_report()).cautions.is_empty());
}

#[test]
fn a_moment_that_is_written_otherwise_stays_as_it_is() {
    assert_eq!(moment("2026-11-23T07:45:00Z"), "2026-11-23 07:45:00 UTC");
    assert_eq!(moment("yesterday"), "yesterday");
}
