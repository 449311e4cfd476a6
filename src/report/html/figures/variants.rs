//! Which alternative keeps its promises? The scenario's variants side by side.

use super::{Figure, Key, KeyKind, Section};
use crate::gates::Verdict;
use crate::report::html::chart::Unit;
use crate::report::html::chart::rows::{Mark, Row, RowChart};
use crate::report::html::chart::scale::Scale;
use crate::report::html::table::{Cell, Table};
use crate::report::html::words;
use crate::report::model::{Report, VariantResult};
use crate::report::variants::{held, loads_per_expiry, misses, stale_ratio};

/// `None` for a scenario without variants: then nobody asked.
pub(super) fn section(report: &Report) -> Option<Section> {
    if report.variants.is_empty() {
        return None;
    }
    Some(Section {
        id: "variants",
        title: "Which alternative keeps its promises?",
        figures: vec![waiting(report)],
        tables: vec![key_figures(report), what_each_misses(report)],
        ..Section::default()
    })
}

fn waiting(report: &Report) -> Figure {
    let title = "How long did users wait with each?";
    let measured = |variant: &&VariantResult| variant.response_time_us.count > 0;
    let variants: Vec<&VariantResult> = report.variants.iter().filter(measured).collect();
    let Some(fastest) = (variants.iter()).min_by(|a, b| p95(a).total_cmp(&p95(b))) else {
        return Figure::absent(title, "Nothing to show: no variant answered a request.");
    };
    let holds = report.variants.iter();
    let holds = holds.filter(|variant| variant.verdict == Verdict::Pass);
    let takeaway = format!(
        "Shortest at p95: {} with {}; {} of {} variants hold every target.",
        fastest.name,
        words::us(p95(fastest)),
        holds.count(),
        report.variants.len()
    );
    let values: Vec<f64> = variants
        .iter()
        .flat_map(|variant| [variant.response_time_us.p50, p95(variant)])
        .collect();
    let rows = variants.iter().map(|variant| {
        let time = &variant.response_time_us;
        Row {
            name: variant.name.clone(),
            text: format!(
                "p50 {}, p95 {}, {} targets held",
                words::us(time.p50),
                words::us(time.p95),
                held(variant)
            ),
            marks: vec![(time.p50, Mark::Ring), (time.p95, Mark::Disc)],
            lost: variant.verdict == Verdict::Fail,
            ..Row::default()
        }
    });
    let svg = RowChart {
        aria: &takeaway,
        x_title: "response time",
        unit: Unit::Us,
        scale: Scale::fitting(&values, Unit::Us.base()),
        rows: rows.collect(),
    }
    .draw();
    Figure {
        title: title.to_owned(),
        takeaway,
        svg,
        legend: vec![
            Key::new(KeyKind::Ring, "p50"),
            Key::new(KeyKind::Disc, "p95"),
        ],
        note: "Each variant was run by itself, with the same users and requests; the rest of this \
               page is about the main one, which decides the verdict."
            .to_owned(),
        ..Figure::default()
    }
}

fn p95(variant: &VariantResult) -> f64 {
    variant.response_time_us.p95
}

fn key_figures(report: &Report) -> Table {
    let mut table = Table::new(
        "The variants, each over its judged phases: origin queries, how often a key was loaded when it \
         expired or was first asked for, hits of the database’s own cache, targets held",
        &[
            "variant",
            "remote",
            "requests",
            "errors",
            "hit ratio",
            "stale reads",
            "queries/s",
            "per request",
            "loads per expiry",
            "DB cache",
            "held",
        ],
    );
    let rows = report.variants.iter().map(|variant| {
        let name = if variant.main {
            format!("{} (main)", variant.name)
        } else {
            variant.name.clone()
        };
        let number = |text: String| match variant.requests {
            0 => Cell::number(words::NOTHING),
            _ => Cell::number(text),
        };
        let cache_hits = variant.query_cache.and_then(|cache| cache.hit_ratio);
        vec![
            Cell::text(name),
            Cell::text(variant.remote.as_deref().unwrap_or(words::NOTHING)),
            Cell::count(variant.requests),
            Cell::problem(variant.errors),
            Cell::number(words::percent_or_nothing(variant.hit_ratio)),
            Cell::number(words::percent_or_nothing(stale_ratio(variant))),
            number(words::number(variant.origin_queries_per_s)),
            number(words::number(variant.origin_queries_per_request)),
            number(loads_per_expiry(variant)),
            Cell::number(words::percent_or_nothing(cache_hits)),
            Cell {
                text: held(variant),
                class: match variant.verdict {
                    Verdict::Fail => "n bad",
                    Verdict::Pass | Verdict::Inconclusive => "n",
                },
            },
        ]
    });
    table.rows = rows.collect();
    table
}

fn what_each_misses(report: &Report) -> Table {
    let mut table = Table::new("What each variant misses", &["variant", "what", "set to"]);
    let rows = misses(report).into_iter().zip(&report.variants);
    let rows = rows.map(|(misses, variant)| {
        vec![
            Cell::text(misses.name),
            Cell::text(words::sentence(&misses.text)),
            Cell::text(variant.changes.join("; ")),
        ]
    });
    table.rows = rows.collect();
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::{bare_report, variants_report};

    #[test]
    fn the_takeaway_names_the_shortest_and_how_many_hold() {
        let section = section(&variants_report()).expect("variants");
        let figure = &section.figures[0];
        assert_eq!(
            figure.takeaway,
            "Shortest at p95: full with 61 ms; 2 of 4 variants hold every target."
        );
        // The one that was not run has no marks, but its row in the tables.
        assert_eq!(figure.svg.matches("ring").count(), 3);
        assert!(section.tables.iter().all(|table| table.rows.len() == 4));
    }

    #[test]
    fn without_variants_or_without_requests_nothing_is_invented() {
        assert!(section(&bare_report()).is_none());
        let mut report = variants_report();
        report.variants.drain(..3);
        let section = section(&report).expect("a variant");
        assert!(section.figures[0].takeaway.starts_with("Nothing to show"));
    }
}
