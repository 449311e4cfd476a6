//! What did caching buy? The same traffic before and after.

use super::{Figure, Key, KeyKind, Section};
use crate::gates::Verdict;
use crate::report::html::chart::rows::{Mark, Row, RowChart};
use crate::report::html::chart::scale::Scale;
use crate::report::html::chart::{Tone, Unit};
use crate::report::html::{targets, words};
use crate::report::model::{Baseline, Improvement, Report};

const NO_BASELINE: &str = "Nothing to compare with: no baseline was measured. With `baseline:` in \
     the scenario the same users are first sent against the database with caching off.";

pub(super) fn section(report: &Report) -> Section {
    let figures = match &report.baseline {
        None => vec![Figure::absent(
            "How much faster, how much less work?",
            NO_BASELINE,
        )],
        Some(baseline) => vec![
            by_data_type(report, baseline),
            origin_queries(report, baseline).half(),
            reductions(report).half(),
        ],
    };
    Section {
        id: "bought",
        title: "What did caching buy?",
        figures,
        ..Section::default()
    }
}

fn by_data_type(report: &Report, baseline: &Baseline) -> Figure {
    let title = "How much shorter did users wait, by data type?";
    let mut pairs: Vec<(&str, f64, f64)> = Vec::new();
    let all = (
        &baseline.response_time_us,
        &report.requests.response_time_us,
    );
    if all.0.count > 0 && all.1.count > 0 {
        pairs.push(("all requests", all.0.p95, all.1.p95));
    }
    for (name, before) in &baseline.response_time_by_data_type_us {
        let after = report.data_types.get(name).map(|row| &row.response_time_us);
        if let Some(after) = after.filter(|after| after.count > 0 && before.count > 0) {
            pairs.push((name, before.p95, after.p95));
        }
    }
    if pairs.is_empty() {
        return Figure::absent(
            title,
            "Nothing to show: no request was answered both before and after.",
        );
    }
    let takeaway = by_data_type_takeaway(&pairs);
    let values: Vec<f64> = pairs
        .iter()
        .flat_map(|(_, before, after)| [*before, *after])
        .collect();
    let rows = pairs
        .iter()
        .map(|(name, before, after)| Row {
            name: (*name).to_owned(),
            text: format!(
                "{} → {}, {}",
                words::us(*before),
                words::us(*after),
                words::change(1.0 - after / before)
            ),
            marks: vec![(*before, Mark::Ring), (*after, Mark::Disc)],
            lost: is_slower(*before, *after),
            ..Row::default()
        })
        .collect();
    let svg = RowChart {
        aria: &takeaway,
        x_title: "p95 response time",
        unit: Unit::Us,
        scale: Scale::fitting(&values, Unit::Us.base()),
        rows,
    }
    .draw();
    Figure {
        title: title.to_owned(),
        takeaway,
        svg,
        legend: vec![
            Key::new(KeyKind::Ring, "before: caching off"),
            Key::new(KeyKind::Disc, "after: caching on"),
        ],
        note: format!(
            "Before: {}, {} requests. After: the judged phases.",
            words::seconds(baseline.duration_s),
            crate::units::thousands(baseline.requests)
        ),
        ..Figure::default()
    }
}

/// Less than this is no difference that a few seconds of baseline could show.
const SLOWER_FROM_FACTOR: f64 = 1.1;

fn is_slower(before: f64, after: f64) -> bool {
    after > before * SLOWER_FROM_FACTOR
}

fn by_data_type_takeaway(pairs: &[(&str, f64, f64)]) -> String {
    let (name, before, after) = pairs[0];
    let fell = if after <= before { "fell" } else { "rose" };
    let (before_text, after_text) = (words::us(before), words::us(after));
    let mut text = format!(
        "p95 of {name} {fell} from {before_text} to {after_text} ({})",
        words::change(1.0 - after / before)
    );
    let slower: Vec<&str> = pairs[1..]
        .iter()
        .filter(|(_, before, after)| is_slower(*before, *after))
        .map(|(name, ..)| *name)
        .collect();
    if !slower.is_empty() {
        text.push_str("; slower than before: ");
        text.push_str(&slower.join(", "));
    }
    text.push('.');
    text
}

fn origin_queries(report: &Report, baseline: &Baseline) -> Figure {
    let after = report.origin.as_ref();
    // With a baseline there is an origin.
    let (queries_per_s, per_after) = after.map_or((0.0, 0.0), |after| {
        (after.queries_per_s, after.queries_per_request)
    });
    let (before, after) = (baseline.origin_queries_per_s, queries_per_s);
    let per_before = baseline.origin_queries_per_request;
    let verb = if per_after <= per_before {
        "spared"
    } else {
        "cost"
    };
    let saved = words::share((per_before - per_after).abs(), per_before);
    let takeaway = format!(
        "Caching {verb} the database {} of its queries per request, and it ran {} instead of {}.",
        words::percent(saved),
        words::per_s(after),
        words::per_s(before)
    );
    let row = |name: &str, per_s: f64, per_request: f64, tone| Row {
        name: name.to_owned(),
        text: format!(
            "{}, {} per request",
            words::per_s(per_s),
            words::number(per_request)
        ),
        bar: Some((per_s, tone)),
        ..Row::default()
    };
    let svg = RowChart {
        aria: &takeaway,
        x_title: "origin queries per second",
        unit: Unit::PerS,
        scale: Scale::linear([before, after], Unit::PerS.base()),
        rows: vec![
            row("before", before, per_before, Tone::Before),
            row("after", after, per_after, Tone::Main),
        ],
    }
    .draw();
    Figure {
        title: "How much work was the database spared?".to_owned(),
        takeaway,
        svg,
        legend: vec![
            Key::area(Tone::Before, "before: caching off"),
            Key::area(Tone::Main, "after: caching on"),
        ],
        note: "Users who wait less ask more often, so the queries per request are what compares."
            .to_owned(),
        ..Figure::default()
    }
}

fn reductions(report: &Report) -> Figure {
    let title = "Was the promised reduction kept?";
    let Some(improvement) = report.improvement else {
        return Figure::absent(title, "Nothing to show: the reduction was not worked out.");
    };
    let rows = reduction_rows(report, &improvement);
    let wanted = rows.iter().filter(|row| row.target.is_some()).count();
    let lost = rows.iter().filter(|row| row.lost).count();
    let takeaway = match (wanted, lost) {
        (0, _) => format!(
            "Mean response time {}, origin queries per request {}; the scenario states no target.",
            words::change(improvement.response_time_reduction),
            words::change(improvement.origin_query_reduction)
        ),
        (1, 0) => "Yes: the reduction that was promised came true.".to_owned(),
        (_, 0) => format!("Yes: all {wanted} promised reductions came true."),
        _ => format!("{lost} of {wanted} promised reductions did not come true."),
    };
    let svg = RowChart {
        aria: &takeaway,
        x_title: "reduction: 1 − after / before",
        unit: Unit::Share,
        scale: Scale::up_to(1.0),
        rows,
    }
    .draw();
    let mut legend = vec![Key::area(Tone::Main, "reduction")];
    if wanted > 0 {
        legend.push(Key::new(KeyKind::Target, "target"));
    }
    Figure {
        title: title.to_owned(),
        takeaway,
        svg,
        legend,
        ..Figure::default()
    }
}

fn reduction_rows(report: &Report, improvement: &Improvement) -> Vec<Row> {
    let all = [
        (
            "mean response time",
            improvement.response_time_reduction,
            "response_time_reduction",
        ),
        (
            "p95 response time",
            improvement.response_time_p95_reduction,
            "",
        ),
        (
            "queries per request",
            improvement.origin_query_reduction,
            "origin_query_reduction",
        ),
    ];
    all.into_iter()
        .map(|(name, reduction, metric)| {
            let gate = targets::overall(report, metric)
                .next()
                .map(|(_, gate)| gate);
            let change = words::change(reduction);
            Row {
                name: name.to_owned(),
                text: match gate {
                    Some(gate) => format!("{change}, {}", targets::in_words(gate)),
                    None => change,
                },
                bar: Some((reduction, Tone::Main)),
                target: gate.map(|gate| gate.target_value),
                lost: gate.is_some_and(|gate| gate.verdict == Verdict::Fail),
                ..Row::default()
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::{bare_report, sample_report};

    #[test]
    fn gains_and_losses_are_told_apart() {
        let gained = by_data_type_takeaway(&[("all requests", 1e6, 4e4), ("a", 1e5, 1e3)]);
        assert_eq!(
            gained,
            "p95 of all requests fell from 1.0 s to 40 ms (−96%)."
        );
        let lost = by_data_type_takeaway(&[("all requests", 1e4, 2e4), ("a", 1e3, 1e5)]);
        assert_eq!(
            lost,
            "p95 of all requests rose from 10 ms to 20 ms (+100%); slower than before: a."
        );
    }

    #[test]
    fn without_a_baseline_it_says_how_to_get_one() {
        let figures = section(&bare_report()).figures;
        assert_eq!(figures.len(), 1);
        assert!(figures[0].takeaway.contains("baseline:") && figures[0].svg.is_empty());
    }

    #[test]
    fn a_baseline_without_requests_divides_nothing() {
        let mut report = sample_report();
        if let Some(baseline) = &mut report.baseline {
            baseline.response_time_us.count = 0;
            baseline.response_time_by_data_type_us.clear();
            baseline.origin_queries_per_s = 0.0;
            baseline.origin_queries_per_request = 0.0;
        }
        let section = section(&report);
        assert!(section.figures[0].takeaway.starts_with("Nothing to show"));
        let all: String = section
            .figures
            .iter()
            .map(|f| f.takeaway.clone() + &f.svg)
            .collect();
        assert!(!all.contains("NaN") && !all.contains("inf%"), "{all}");
    }
}
