//! What was offered in an open loop, in words.
//!
//! An offered rate that was not sustained is said plainly: what was measured then is how a backlog
//! grows, and it would have grown on.

use std::fmt::Write as _;

use super::digest::Fact;
use super::model::{Offered, Phase, Report};
use super::table::Tone;
use super::words::{counted, rate, share, us};
use crate::measure::PhaseKind;
use crate::units::{ByteSize, thousands};
use crate::workload::size::VALUE_SIZE_MAX;

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

/// So much of all keys, or of the mean of their sizes, is worth a doubt.
const DOUBTFUL_FROM: f64 = 0.1;

/// How large values were, if as the trace says.
pub(super) fn value_sizes(report: &Report) -> Option<Fact> {
    let sizes = report.trace.as_ref()?.value_sizes.as_ref()?;
    let keys = sizes.keys as f64;
    let part = |count: u64| share(Some(count as f64 / keys.max(1.0)));
    #[allow(
        clippy::cast_sign_loss,
        reason = "sizes are not negative, and the cast saturates"
    )]
    let bytes = |mean: f64| ByteSize(mean.round() as u64);
    let mut text = format!(
        "values as large as the trace says: {}, {} on average",
        counted(sizes.keys, "key"),
        bytes(sizes.bytes_mean),
    );
    if sizes.keys_changing > 0 {
        let _ = write!(
            text,
            "; {} of them change their size and have their largest ({} on average with the first)",
            part(sizes.keys_changing),
            bytes(sizes.bytes_mean_first)
        );
    }
    if sizes.keys_without_size > 0 {
        let _ = write!(
            text,
            "; of {} it says none: sized as the data type",
            part(sizes.keys_without_size)
        );
    }
    if sizes.keys_cut > 0 {
        let _ = write!(
            text,
            "; {} cut to {VALUE_SIZE_MAX}",
            counted(sizes.keys_cut, "value")
        );
    }
    let unsaid = sizes.keys_without_size as f64 > DOUBTFUL_FROM * keys;
    let larger = sizes.bytes_mean > (1.0 + DOUBTFUL_FROM) * sizes.bytes_mean_first;
    let tone = if unsaid || larger || sizes.keys_cut > 0 {
        Tone::Doubtful
    } else {
        Tone::Plain
    };
    Some(Fact::new("sizes", text, tone))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::sample_report;
    use crate::report::model::{TraceResult, TraceSizesResult};

    fn told(value_sizes: Option<TraceSizesResult>) -> Option<(String, Tone)> {
        let report = Report {
            trace: Some(TraceResult {
                file: "shop.csv.gz".to_owned(),
                format: "twitter".to_owned(),
                pace: "recorded".to_owned(),
                requests: 6_000,
                complete: true,
                skipped: std::collections::BTreeMap::new(),
                value_sizes,
            }),
            ..sample_report()
        };
        let fact = super::value_sizes(&report)?;
        Some((fact.text, fact.tone))
    }

    #[test]
    fn what_the_trace_says_of_sizes_is_told() {
        let plain = TraceSizesResult {
            keys: 2_000,
            keys_without_size: 0,
            keys_changing: 0,
            keys_cut: 0,
            bytes_mean: 4_300.4,
            bytes_mean_first: 4_300.4,
        };
        let (text, tone) = told(Some(plain)).expect("sizes");
        insta::assert_snapshot!(text, @"values as large as the trace says: 2,000 keys, 4.2 KiB on average");
        assert_eq!(tone, Tone::Plain);
        let (text, tone) = told(Some(TraceSizesResult {
            keys_without_size: 50,
            keys_changing: 300,
            keys_cut: 1,
            bytes_mean_first: 3_000.0,
            ..plain
        }))
        .expect("sizes");
        insta::assert_snapshot!(text, @"values as large as the trace says: 2,000 keys, 4.2 KiB on average; 15% of them change their size and have their largest (2.9 KiB on average with the first); of 2% it says none: sized as the data type; 1 value cut to 64.0 MiB");
        assert_eq!(tone, Tone::Doubtful);
        assert_eq!(told(None), None);
    }
}
