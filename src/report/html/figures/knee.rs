//! Where is the knee? Only for searches of it.

use super::{Figure, Key, KeyKind, Section};
use crate::report::html::chart::line::Limit;
use crate::report::html::chart::rows::Mark;
use crate::report::html::chart::scale::Scale;
use crate::report::html::chart::scatter::{Axis, Curve, Point, ScatterChart};
use crate::report::html::chart::{Tone, Unit};
use crate::report::html::table::{Cell, Table};
use crate::report::html::{targets, words};
use crate::report::knee::{Probed, by_rate, line, rate, why, word};
use crate::report::model::{KneeProbe, KneeResult, KneeVerdict, Report};

/// A target further than this factor above all that was measured is not drawn.
const LIMIT_FACTOR: f64 = 12.0;

pub(super) fn section(report: &Report) -> Option<Section> {
    let knee = report.knee.as_ref()?;
    let fact = |name: &str, value: String| (name.to_owned(), value);
    let mut facts = vec![
        fact(
            "searched",
            format!("from {} to {}", rate(knee.from_per_s), rate(knee.to_per_s)),
        ),
        fact("precision", words::percent(knee.precision)),
        fact(
            "each probe drove for",
            format!("{}, warm-up included", words::seconds(knee.probe_s)),
        ),
    ];
    facts.extend(knee.notes.iter().map(|note| fact("to know", note.clone())));
    facts.push(fact(
        "the rest of this page",
        "shows one probe: the last at the knee, or at the lowest rate if none holds".to_owned(),
    ));
    Some(Section {
        id: "knee",
        title: "Where is the knee?",
        figures: vec![figure(report, knee)],
        facts,
        tables: vec![probes(knee)],
    })
}

fn figure(report: &Report, knee: &KneeResult) -> Figure {
    let title = "How does the response time grow with the rate?";
    let takeaway = words::sentence(&format!("the knee: {}", line(knee)));
    let rates = by_rate(knee);
    if rates.iter().all(|probed| probed.p95_us.is_none()) {
        let why = format!("{takeaway} No request was measured, so there is nothing to draw.");
        return Figure::absent(title, &why);
    }
    let curve = |name: &str, tone, of: fn(&Probed<'_>) -> Option<f64>| Curve {
        name: name.to_owned(),
        tone,
        points: rates
            .iter()
            .filter_map(|probed| Some((probed.rate_per_s, of(probed)?)))
            .collect(),
    };
    let curves = vec![
        curve("p95", Tone::Main, |probed| probed.p95_us),
        curve("p99", Tone::Extreme, |probed| probed.p99_us),
    ];
    let drawn = curves.iter().flat_map(|curve| &curve.points);
    let mut times: Vec<f64> = drawn.map(|(_, time)| *time).collect();
    times.extend(knee.probes.iter().filter_map(|probe| probe.p95_us));
    let limits = limits(report, &times);
    times.extend(limits.iter().map(|limit| limit.value));
    let offered: Vec<f64> = rates.iter().map(|probed| probed.rate_per_s).collect();
    let chart = ScatterChart {
        aria: &takeaway,
        x: Axis {
            title: "offered rate, requests per second",
            unit: Unit::PerS,
            scale: Scale::fitting(&offered, Unit::PerS.base()),
        },
        y: Axis {
            title: "response time",
            unit: Unit::Us,
            scale: Scale::fitting(&times, Unit::Us.base()),
        },
        curves,
        points: knee.probes.iter().filter_map(point).collect(),
        limits,
        place: knee
            .rate_per_s
            .map(|per_s| (per_s, format!("knee {}", rate(per_s)))),
    };
    Figure {
        title: title.to_owned(),
        svg: chart.draw(),
        legend: legend(knee),
        note: "The lines join the medians of each rate's probes.".to_owned(),
        takeaway,
        ..Figure::default()
    }
}

/// The targets of the percentiles that are drawn, where they can be.
fn limits(report: &Report, times_us: &[f64]) -> Vec<Limit> {
    let most = times_us.iter().copied().fold(0.0, f64::max);
    let targets = targets::overall(report, "response_time");
    let drawn = targets.filter(|(function, gate)| {
        ["p95", "p99"].contains(function) && gate.target_value <= most * LIMIT_FACTOR
    });
    drawn
        .map(|(function, gate)| Limit {
            value: gate.target_value,
            label: format!("{function} target {}", gate.target),
        })
        .collect()
}

fn point(probe: &KneeProbe) -> Option<Point> {
    let (mark, class) = sign(probe.verdict);
    let time = |us: Option<f64>| us.map_or_else(|| words::NOTHING.to_owned(), words::us);
    let why = why(probe);
    let why = if why.is_empty() {
        why
    } else {
        format!(": {why}")
    };
    Some(Point {
        at: (probe.rate_per_s, probe.p95_us?),
        mark,
        class,
        tip: format!(
            "probe {}, {}: p95 {}, p99 {}; {}{why}",
            probe.order,
            rate(probe.rate_per_s),
            time(probe.p95_us),
            time(probe.p99_us),
            word(probe.verdict),
        ),
    })
}

fn sign(verdict: KneeVerdict) -> (Mark, &'static str) {
    match verdict {
        KneeVerdict::Holds => (Mark::Disc, "held"),
        KneeVerdict::Fails => (Mark::Diamond, "lost"),
        KneeVerdict::Inconclusive | KneeVerdict::Invalid => (Mark::Ring, ""),
    }
}

fn legend(knee: &KneeResult) -> Vec<Key> {
    let signed = |kind, class, text: &str| Key {
        class,
        ..Key::new(kind, text)
    };
    let mut legend = vec![
        Key::line(Tone::Main, "p95"),
        Key::line(Tone::Extreme, "p99"),
        signed(KeyKind::Disc, "held", "a probe that holds, at its p95"),
        signed(KeyKind::Diamond, "lost", "a probe that does not"),
    ];
    let vague = |probe: &KneeProbe| sign(probe.verdict).0 == Mark::Ring;
    if knee.probes.iter().any(vague) {
        legend.push(Key::new(KeyKind::Ring, "a probe that shows nothing"));
    }
    legend
}

fn probes(knee: &KneeResult) -> Table {
    let columns = ["probe", "rate", "time", "p95", "p99", "verdict", "why"];
    let mut table = Table::new(
        "Every probe, in the order in which they were made",
        &columns,
    );
    table.rows = knee.probes.iter().map(row).collect();
    table
}

fn row(probe: &KneeProbe) -> Vec<Cell> {
    let time = |us: Option<f64>| us.map_or_else(|| words::NOTHING.to_owned(), words::us);
    vec![
        Cell::count(u64::from(probe.order)),
        Cell::number(rate(probe.rate_per_s)),
        Cell::number(format!("{}.", probe.repeat)),
        Cell::number(time(probe.p95_us)),
        Cell::number(time(probe.p99_us)),
        Cell {
            text: word(probe.verdict).to_owned(),
            class: match probe.verdict {
                KneeVerdict::Holds => "",
                _ => "bad",
            },
        },
        Cell::text(why(probe)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::{knee_report, sample_report};

    #[test]
    fn a_search_has_its_picture_and_other_runs_have_none() {
        assert!(section(&sample_report()).is_none());
        let report = knee_report();
        let section = section(&report).expect("a section");
        let figure = &section.figures[0];
        insta::assert_snapshot!(figure.takeaway, @"The knee: 565.7/s holds, 590.7/s does not (gate: p95 response time, 1,000 users); 17 probes");
        assert_eq!(figure.svg.matches("mark disc held").count(), 8);
        assert_eq!(figure.svg.matches("mark diamond lost").count(), 9);
        assert!(figure.svg.contains("knee 565.7/s") && figure.svg.contains("p95 target"));
        assert_eq!(section.tables[0].rows.len(), 17);
    }

    #[test]
    fn what_shows_nothing_is_a_ring() {
        let mut report = knee_report();
        let knee = report.knee.as_mut().expect("a knee");
        knee.probes[3].verdict = KneeVerdict::Invalid;
        knee.probes[3].p95_us = None;
        knee.probes[4].verdict = KneeVerdict::Invalid;
        let figure = section(&report).expect("a section").figures.remove(0);
        assert_eq!(figure.svg.matches("mark ring").count(), 1);
        assert_eq!(figure.legend.len(), 5);
        let knee = report.knee.as_mut().expect("a knee");
        knee.probes.clear();
        let figure = section(&report).expect("a section").figures.remove(0);
        assert!(figure.svg.is_empty() && figure.takeaway.contains("nothing to draw"));
    }
}
