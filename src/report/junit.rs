//! `gates.junit.xml`: every target as a test case, for CI systems.
//!
//! A lost target is a `failure`. An inconclusive one is an `error`, not `skipped`: GitHub's and
//! GitLab's views count skipped cases as harmless, and a target without evidence is not. Whether
//! the measurement is valid is a case of its own. A run that did not pass never shows as passed,
//! even without targets.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Report as Junits, TestCase, TestCaseStatus, TestSuite};

use super::digest::{lost, observed, within};
use super::export::{ExportError, Exporter};
use super::model::{GateResult, Report};
use super::words::{plain, verdict};
use crate::gates::Verdict;

/// Makes `gates.junit.xml`.
#[derive(Clone, Copy, Debug)]
pub struct Junit;

impl Exporter for Junit {
    fn file_name(&self) -> &'static str {
        "gates.junit.xml"
    }

    fn export(&self, report: &Report) -> Result<Vec<u8>, ExportError> {
        let mut suite = TestSuite::new(&report.scenario.name);
        if let Ok(time) = Duration::try_from_secs_f64(report.duration_s) {
            suite.set_time(time);
        }
        suite.add_property(("seed", report.seed.to_string().as_str()));
        suite.add_property(("started_at", report.started_at.as_str()));
        suite.add_property(("verdict", verdict(report.verdict)));
        suite.add_test_cases(report.gates.iter().map(|gate| gate_case(report, gate)));
        suite.add_test_case(validity_case(report));
        let shown = report
            .gates
            .iter()
            .any(|gate| gate.verdict != Verdict::Pass);
        if report.verdict != Verdict::Pass && report.validity.valid && !shown {
            suite.add_test_case(verdict_case(report));
        }
        let mut junit = Junits::new(env!("CARGO_PKG_NAME"));
        junit.add_test_suite(suite);
        let mut bytes = Vec::new();
        junit.serialize(&mut bytes)?;
        Ok(bytes)
    }
}

fn case(report: &Report, name: &str, status: TestCaseStatus) -> TestCase {
    let mut case = TestCase::new(name, status);
    case.set_classname(&report.scenario.name);
    case
}

fn not_passed(verdict: Verdict, message: &str, description: &str) -> TestCaseStatus {
    let (kind, name) = match verdict {
        Verdict::Pass => return TestCaseStatus::success(),
        Verdict::Fail => (NonSuccessKind::Failure, "target"),
        Verdict::Inconclusive => (NonSuccessKind::Error, "inconclusive"),
    };
    let mut status = TestCaseStatus::non_success(kind);
    status
        .set_message(message)
        .set_type(name)
        .set_description(description);
    status
}

fn gate_case(report: &Report, gate: &GateResult) -> TestCase {
    let mut lines = vec![
        format!("check:    {}", gate.check),
        format!("wanted:   {}", gate.target),
        format!("observed: {}", observed(gate)),
        format!("samples:  {}", gate.samples),
    ];
    let within = within(gate);
    for (label, text) in [
        ("in:      ", &within),
        ("source:  ", &gate.source),
        ("note:    ", &gate.note),
    ] {
        if !text.is_empty() {
            lines.push(format!("{label} {text}"));
        }
    }
    let text = lines.join("\n");
    let mut case = case(
        report,
        &gate.name,
        not_passed(gate.verdict, &lost(gate), &text),
    );
    if gate.verdict == Verdict::Pass {
        // What held is worth reading as well, and only here do viewers show it.
        case.set_system_out(text);
    }
    case
}

fn validity_case(report: &Report) -> TestCase {
    let validity = &report.validity;
    let status = if validity.valid {
        TestCaseStatus::success()
    } else {
        let reasons = plain(&validity.reasons.join("; "));
        not_passed(
            Verdict::Inconclusive,
            &reasons,
            &validity.reasons.join("\n"),
        )
    };
    let mut case = case(report, "the measurement is valid", status);
    if !validity.warnings.is_empty() {
        case.set_system_out(validity.warnings.join("\n"));
    }
    case
}

/// For a run whose verdict no other case explains: it was interrupted, or had no targets.
fn verdict_case(report: &Report) -> TestCase {
    let why = match (report.validity.interrupted, report.gates.is_empty()) {
        (true, _) => "the run was interrupted",
        (false, true) => "the scenario has no targets",
        (false, false) => "the run as a whole did not pass",
    };
    case(
        report,
        "the run passes",
        not_passed(report.verdict, why, why),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::{bare_report, failed_report, sample_report};

    fn xml(report: &Report) -> String {
        String::from_utf8(Junit.export(report).expect("XML")).expect("UTF-8")
    }

    #[test]
    fn a_run_that_failed() {
        let mut report = failed_report();
        report.gates.retain(|gate| {
            gate.source.ends_with("Cache Monitoring") || gate.name.starts_with("inv")
        });
        insta::assert_snapshot!(xml(&report), @r#"
        <?xml version="1.0" encoding="UTF-8"?>
        <testsuites name="cachestorm" tests="6" skipped="0" failures="1" errors="1">
            <testsuite name="adr-006" tests="6" skipped="0" errors="1" failures="1" time="85.000">
                <properties>
                    <property name="seed" value="42"/>
                    <property name="started_at" value="2026-11-23T07:45:00Z"/>
                    <property name="verdict" value="FAIL"/>
                </properties>
                <testcase name="inventory hit ratio" classname="adr-006">
                    <failure message="inventory hit ratio: observed 82.1%, wanted ≥ 85% (ADR-006, Performance Impact)" type="target">check:    hit_ratio{data_type=inventory} &gt;= 85%
        wanted:   ≥ 85%
        observed: 82.1%
        samples:  6504
        source:   ADR-006, Performance Impact</failure>
                </testcase>
                <testcase name="hit ratio of all reads" classname="adr-006">
                    <system-out>check:    hit_ratio &gt;= 85%
        wanted:   ≥ 85%
        observed: 93.2%
        samples:  26478
        source:   ADR-006, Cache Monitoring</system-out>
                </testcase>
                <testcase name="inventory lookup from the cache" classname="adr-006">
                    <system-out>check:    p50(hit_response_time){data_type=inventory} &lt;= 10 ms
        wanted:   ≤ 10 ms
        observed: 0.5 ms
        samples:  5341
        source:   ADR-006, Performance Impact</system-out>
                </testcase>
                <testcase name="Redis evictions" classname="adr-006">
                    <system-out>check:    evictions &lt;= 100/s
        wanted:   ≤ 100/s
        observed: 0/s
        samples:  60
        source:   ADR-006, Cache Monitoring</system-out>
                </testcase>
                <testcase name="Redis memory" classname="adr-006">
                    <error message="Redis memory: inconclusive, wanted ≤ 90%; Redis did not answer INFO (ADR-006, Cache Monitoring)" type="inconclusive">check:    memory_used &lt;= 90%
        wanted:   ≤ 90%
        observed: –
        samples:  0
        source:   ADR-006, Cache Monitoring
        note:     Redis did not answer INFO</error>
                </testcase>
                <testcase name="the measurement is valid" classname="adr-006"/>
            </testsuite>
        </testsuites>
        "#);
    }

    #[test]
    fn a_run_of_which_little_is_known() {
        insta::assert_snapshot!(xml(&bare_report()), @r#"
        <?xml version="1.0" encoding="UTF-8"?>
        <testsuites name="cachestorm" tests="1" skipped="0" failures="0" errors="1">
            <testsuite name="bare" tests="1" skipped="0" errors="1" failures="0" time="85.000">
                <properties>
                    <property name="seed" value="42"/>
                    <property name="started_at" value="2026-11-23T07:45:00Z"/>
                    <property name="verdict" value="INCONCLUSIVE"/>
                </properties>
                <testcase name="the measurement is valid" classname="bare">
                    <error message="the generator was the bottleneck: start slip p99 412 ms" type="inconclusive">the generator was the bottleneck: start slip p99 412 ms</error>
                    <system-out>only 3 requests measured</system-out>
                </testcase>
            </testsuite>
        </testsuites>
        "#);
    }

    #[test]
    fn every_target_is_a_case_and_validity_one_more() {
        let text = xml(&sample_report());
        assert_eq!(text.matches("<testcase ").count(), 18);
        assert!(
            text.contains("tests=\"18\" skipped=\"0\" failures=\"0\" errors=\"0\""),
            "{text}"
        );
    }

    #[test]
    fn a_run_that_did_not_pass_never_shows_as_passed() {
        for verdict in [Verdict::Fail, Verdict::Inconclusive] {
            let mut report = sample_report();
            report.verdict = verdict;
            report.gates.clear();
            let text = xml(&report);
            assert!(text.contains("the scenario has no targets"), "{text}");
            report.validity.interrupted = true;
            assert!(xml(&report).contains("the run was interrupted"));
        }
    }

    #[test]
    fn text_from_elsewhere_stays_text() {
        let mut report = failed_report();
        report.gates[0].name = "p95 <1s> & \"more\" \u{1b}[31m".to_owned();
        let text = xml(&report);
        assert!(
            text.contains("p95 &lt;1s&gt; &amp; &quot;more&quot; \""),
            "{text}"
        );
    }
}
