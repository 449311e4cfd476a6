//! The targets, as a table and in sentences.

use super::Fact;
use crate::gates::Verdict;
use crate::report::model::{EndedEarly, GateResult, Report};
use crate::report::table::{Cell, Column, Table, Tone};
use crate::report::words::{common_source, plain, seconds, verdict};
use crate::units::thousands;

/// One row for each target, in the scenario's order.
fn targets<'a>(gates: impl IntoIterator<Item = &'a GateResult>, head: Option<&str>) -> Table {
    let gates: Vec<&GateResult> = gates.into_iter().collect();
    let narrowed = gates.iter().any(|gate| !within(gate).is_empty());
    let source = head.map_or_else(|| "source".to_owned(), |head| format!("section of {head}"));
    let mut columns = vec![
        Column::names("target").cut_to(18),
        Column::figures("wanted"),
        Column::figures("observed"),
        Column::names("verdict"),
        Column::names(plain(&source)).cut_to(12).rank(1),
        Column::figures("samples").luxury(),
    ];
    if narrowed {
        columns.insert(2, Column::names("in").cut_to(8));
    }
    let mut table = Table::new(columns);
    for gate in gates {
        let (mark, word, tone) = match gate.verdict {
            Verdict::Pass => (None, "pass", Tone::Good),
            Verdict::Fail => (Some('✗'), verdict(Verdict::Fail), Tone::Bad),
            Verdict::Inconclusive => (Some('?'), verdict(Verdict::Inconclusive), Tone::Doubtful),
        };
        let lost = if mark.is_some() { tone } else { Tone::Plain };
        let mut cells = vec![
            Cell::toned(plain(&gate.name), lost),
            plain(&gate.target).into(),
            Cell::toned(plain(&observed(gate)), lost),
            Cell::toned(word, tone),
            plain(section(gate, head)).into(),
            thousands(gate.samples).into(),
        ];
        if narrowed {
            cells.insert(2, plain(&within(gate)).into());
        }
        table.push(mark.map(|mark| (mark, tone)), cells);
    }
    table
}

fn section<'a>(gate: &'a GateResult, head: Option<&str>) -> &'a str {
    head.and_then(|head| gate.source.strip_prefix(head)?.strip_prefix(", "))
        .unwrap_or(&gate.source)
}

/// The part of the run that a target looks at, for a person: `spike, 10 s windows`; nothing, if it is
/// all that is judged.
pub(in crate::report) fn within(gate: &GateResult) -> String {
    let windows = gate.windows.as_ref();
    let windows = windows.map(|of| format!("{} windows", seconds(f64::from(of.length_s))));
    let parts: Vec<String> = gate.phase.clone().into_iter().chain(windows).collect();
    parts.join(", ")
}

/// What was observed, of windows with the time of the worst: `1.4 s at 31 s`.
pub(in crate::report) fn observed(gate: &GateResult) -> String {
    let worst = gate.windows.as_ref().and_then(|of| of.worst_from_s);
    match worst {
        Some(from_s) => format!("{} at {}", gate.observed, seconds(f64::from(from_s))),
        None => gate.observed.clone(),
    }
}

/// How a target ended the run.
pub(super) fn ended(ended: &EndedEarly) -> Fact {
    let text = format!(
        "ENDED at {} of {}: {} was lost",
        seconds(ended.at_s),
        seconds(ended.planned_s),
        ended.gates.join(", "),
    );
    Fact::new("run", text, Tone::Bad)
}

/// [`targets`] of the whole report.
pub(in crate::report) fn all_targets(report: &Report) -> Table {
    targets(&report.gates, common_source(&report.gates))
}

/// A target that did not pass, in one sentence.
pub(in crate::report) fn lost(gate: &GateResult) -> String {
    let or_nothing = |text: &str, full: String| if text.is_empty() { String::new() } else { full };
    let seen = match gate.verdict {
        Verdict::Inconclusive => "inconclusive".to_owned(),
        _ => format!("observed {}", observed(gate)),
    };
    let within = or_nothing(&within(gate), format!(" in {}", within(gate)));
    let note = or_nothing(&gate.note, format!("; {}", gate.note));
    let source = or_nothing(&gate.source, format!(" ({})", gate.source));
    plain(&format!(
        "{}: {seen}, wanted {}{within}{note}{source}",
        gate.name, gate.target
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::cut_report;

    #[test]
    fn phases_windows_and_the_end_are_told() {
        let report = cut_report();
        let few = targets(&report.gates[..3], None);
        insta::assert_snapshot!(few.lines(100, false).join("\n"), @"
          target               wanted in                observed verdict      source
        ✗ p95 in every window < 1.0 s 10 s windows 1.4 s at 24 s FAIL         ADR-006, Context
        ? concurrent users    ≥ 1,000 steady               1,000 INCONCLUSIVE ADR-006, Context
          customer hit ratio    ≥ 95%                      97.1% pass         ADR-006, Performance Impact
        ");
        let told: Vec<String> = report.gates[..3].iter().map(lost).collect();
        insta::assert_snapshot!(told.join("\n"), @r#"
        p95 in every window: observed 1.4 s at 24 s, wanted < 1.0 s in 10 s windows; ended the run at 34 s; 15 windows of 10 s: 4 of them lost, 1 had too few samples (ADR-006, Context)
        concurrent users: inconclusive, wanted ≥ 1,000 in steady; held until 34 s, when "p95 in every window" ended the run (ADR-006, Context)
        customer hit ratio: observed 97.1%, wanted ≥ 95% (ADR-006, Performance Impact)
        "#);
        let ended = ended(report.ended_early.as_ref().expect("it was ended"));
        insta::assert_snapshot!(ended.text, @"ENDED at 34.1 s of 85 s: p95 in every window was lost");
    }
}
