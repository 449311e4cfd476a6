//! What was offered in an open loop, in words.
//!
//! An offered rate that was not sustained is said plainly: what was measured then is how a backlog
//! grows, and it would have grown on.

use std::fmt::Write as _;

use super::digest::Fact;
use super::model::{Offered, Phase, Report};
use super::table::Tone;
use super::words::{counted, rate, us};
use crate::measure::PhaseKind;
use crate::units::thousands;

/// The trace that was replayed.
pub(super) fn trace(report: &Report) -> Option<Fact> {
    let trace = report.trace.as_ref()?;
    let mut text = format!(
        "{} of {} ({}), {}",
        counted(trace.requests, "request"),
        trace.file,
        trace.format,
        trace.pace
    );
    if !trace.complete {
        text.push_str("; the rest of it was NOT REPLAYED, the run was over before");
    }
    let skipped: Vec<String> = trace
        .skipped
        .iter()
        .map(|(reason, count)| format!("{} {reason}", thousands(*count)))
        .collect();
    if !skipped.is_empty() {
        let _ = write!(text, "; left out: {}", skipped.join(", "));
    }
    let tone = if trace.complete {
        Tone::Plain
    } else {
        Tone::Doubtful
    };
    Some(Fact::new("trace", text, tone))
}

/// One line for each phase whose offered rate was not sustained, or one for all.
pub(super) fn facts(report: &Report) -> Vec<Fact> {
    let offered: Vec<(&Phase, &Offered)> = measured(report).collect();
    let lost = offered.iter().filter(|(_, offered)| !offered.sustained);
    let facts: Vec<Fact> = lost
        .map(|(phase, offered)| Fact::new("offered", lost_in(phase, offered), Tone::Bad))
        .collect();
    if !facts.is_empty() || offered.is_empty() {
        return facts;
    }
    let due: u64 = offered.iter().map(|(_, offered)| offered.due).sum();
    let waited = offered.iter().map(|(_, offered)| offered.waited_us_p99);
    let waited = match waited.fold(0.0, f64::max) {
        none if none <= 0.0 => "99 of 100 found a place at once".to_owned(),
        some => format!("one of 100 waited {} or more for a place", us(some)),
    };
    let text = format!("{} due, sustained; {waited}", counted(due, "request"));
    vec![Fact::new("offered", text, Tone::Plain)]
}

fn measured(report: &Report) -> impl Iterator<Item = (&Phase, &Offered)> {
    let judged = report
        .phases
        .iter()
        .filter(|phase| phase.kind == PhaseKind::Measure);
    judged.filter_map(|phase| Some((phase, phase.offered.as_ref()?)))
}

/// What happened in a phase whose offered rate was not sustained.
fn lost_in(phase: &Phase, offered: &Offered) -> String {
    let dropped = match offered.dropped {
        0 => String::new(),
        dropped => format!(", {} never sent", counted(dropped, "request")),
    };
    format!(
        "NOT SUSTAINED in {}: {}/s offered, {}/s sent in time; one of 100 waited {} or more for a \
         place{dropped}",
        phase.name,
        rate(offered.rate_per_s),
        rate(offered.sent_per_s),
        us(offered.waited_us_p99),
    )
}
