//! Who answered? Reads by the layer that answered them, over time and by data type.

use super::{Figure, Key, KeyKind, NO_SECONDS, Panel, Section};
use crate::gates::Verdict;
use crate::report::html::chart::frame::{Size, TimeAxis};
use crate::report::html::chart::line::HEIGHT;
use crate::report::html::chart::rows::{Row, RowChart};
use crate::report::html::chart::scale::Scale;
use crate::report::html::chart::stack::{Part, StackChart, Whole};
use crate::report::html::chart::{Tone, Unit};
use crate::report::html::table::{Cell, Table};
use crate::report::html::timeline::Timeline;
use crate::report::html::{targets, words};
use crate::report::model::{DataTypeResult, Report, Second};
use crate::report::target::reads_by_outcome;
use crate::units::thousands;

/// Answers from the nearest on, with what they are called in a report.
const ANSWERS: [(&str, Tone); 4] = [
    ("local", Tone::Local),
    ("remote", Tone::Remote),
    ("origin", Tone::Origin),
    ("error", Tone::Error),
];

/// The same of a target, whose caches are told apart only if they have the names of ours.
const ANSWERS_OF_A_TARGET: [(&str, Tone); 6] = [
    ("edge", Tone::Local),
    ("local", Tone::Calm),
    ("remote", Tone::Remote),
    ("origin", Tone::Origin),
    ("unknown", Tone::Before),
    ("error", Tone::Error),
];

fn answers(report: &Report) -> &'static [(&'static str, Tone)] {
    match report.target {
        Some(_) => &ANSWERS_OF_A_TARGET,
        None => &ANSWERS,
    }
}

pub(super) fn section(report: &Report, timeline: Option<&Timeline<'_>>) -> Section {
    Section {
        id: "answered",
        title: "Who answered?",
        figures: vec![
            over_time(report, timeline),
            by_data_type(report, timeline),
            hit_ratios(report),
        ],
        facts: stampede(report),
        tables: vec![layers(report)],
    }
}

/// Reads of every judged phase by who answered, from the nearest on.
fn answered(report: &Report) -> Vec<(&'static str, f64)> {
    answers(report)
        .iter()
        .map(|(name, _)| {
            let rows = report.data_types.values();
            let reads = rows.map(|row| {
                let share = row.answered_by.get(*name).copied().unwrap_or(0.0);
                share * row.reads as f64
            });
            (*name, reads.sum())
        })
        .collect()
}

fn over_time(report: &Report, timeline: Option<&Timeline<'_>>) -> Figure {
    let title = "Which layer answered the reads?";
    let takeaway = over_time_takeaway(report);
    let Some(timeline) = timeline else {
        return Figure::absent(title, &format!("{takeaway} {NO_SECONDS}"));
    };
    let all = |second: &Second, answer: &str| -> f64 {
        let answers = second.answers.values();
        timeline.per_s(second, answers.filter_map(|by| by.get(answer)).sum())
    };
    let svg = StackChart {
        aria: &takeaway,
        y_title: &timeline.step.rate_of("reads that ended"),
        time: &timeline.axis,
        parts: parts((report, timeline), &timeline.axis, all),
        of: Whole::Rates,
        height: HEIGHT,
        size: Size::Full,
    }
    .draw();
    let mut legend = legend(report);
    legend.extend_from_slice(timeline.keys());
    Figure {
        title: title.to_owned(),
        takeaway,
        svg,
        legend,
        note: timeline.point_note("mean").unwrap_or_default(),
        ..Figure::default()
    }
}

fn parts(
    (report, timeline): (&Report, &Timeline<'_>),
    axis: &TimeAxis,
    value: impl Fn(&Second, &str) -> f64,
) -> Vec<Part> {
    answers(report)
        .iter()
        .map(|(name, tone)| Part {
            name: (*name).to_owned(),
            tone: *tone,
            values: timeline.mean(axis, |second| value(second, name)),
        })
        .collect()
}

fn legend(report: &Report) -> Vec<Key> {
    if report.target.is_some() {
        return legend_of_a_target(report);
    }
    let mut legend = vec![
        Key::area(Tone::Local, "local: the service instance's own memory"),
        Key::area(Tone::Remote, "remote: Redis"),
        Key::area(Tone::Origin, "origin: the database"),
    ];
    let mut answers = report
        .timeseries
        .iter()
        .flat_map(|row| row.answers.values());
    if answers.any(|by| by.get("error").is_some_and(|count| *count > 0)) {
        legend.push(Key::area(Tone::Error, "failed"));
    }
    legend
}

/// What occurred.
fn legend_of_a_target(report: &Report) -> Vec<Key> {
    let occurred = |name: &str| {
        let rows = report.timeseries.iter();
        let mut answers = rows.flat_map(|row| row.answers.values());
        answers.any(|by| by.get(name).is_some_and(|count| *count > 0))
    };
    let words = [
        "edge: a cache of the target",
        "local",
        "remote",
        "origin: what stands behind the cache",
        "unknown: the answer did not say",
        "failed",
    ];
    let keys = ANSWERS_OF_A_TARGET.iter().zip(words);
    keys.filter(|((name, _), _)| occurred(name))
        .map(|((_, tone), text)| Key::area(*tone, text))
        .collect()
}

fn over_time_takeaway(report: &Report) -> String {
    let reads: u64 = report.data_types.values().map(|row| row.reads).sum();
    if reads == 0 {
        return "No read was made in a judged phase.".to_owned();
    }
    if report.target.is_some() {
        let by_outcome = reads_by_outcome(report);
        return format!("Of {} judged reads: {by_outcome}.", thousands(reads));
    }
    let answered = answered(report);
    let known: f64 = answered.iter().map(|(_, count)| count).sum();
    let mut shares: Vec<String> = answered
        .iter()
        .filter(|(name, count)| *count > 0.0 && *name != "error")
        .map(|(name, count)| format!("{name} answered {}", words::percent(count / reads as f64)))
        .collect();
    let failed = 1.0 - known / reads as f64 + answered[3].1 / reads as f64;
    // Shares are rounded when a report is made; less than this is not a failure.
    if failed > 5e-4 {
        shares.push(format!("{} failed", words::percent(failed)));
    }
    format!(
        "Of {} judged reads {}.",
        thousands(reads),
        shares.join(", ")
    )
}

fn by_data_type(report: &Report, timeline: Option<&Timeline<'_>>) -> Figure {
    let title = "Did each data type come from the cache, and did that change?";
    let read_types = || report.data_types.iter().filter(|(_, row)| row.reads > 0);
    let takeaway = by_data_type_takeaway(read_types());
    let Some(timeline) = timeline else {
        return Figure::absent(title, &format!("{takeaway} {NO_SECONDS}"));
    };
    let panels: Vec<Panel> = read_types()
        .map(|(name, row)| {
            let note = format!("{} reads", thousands(row.reads));
            let hit_ratio = words::percent_or_nothing(row.hit_ratio);
            let aria = format!("{name}: hit ratio {hit_ratio}, {note}");
            let value = |second: &Second, answer: &str| -> f64 {
                let answers = second.answers.get(name);
                answers.and_then(|by| by.get(answer)).copied().unwrap_or(0) as f64
            };
            let svg = StackChart {
                aria: &aria,
                y_title: "",
                time: &timeline.axis_small,
                parts: parts((report, timeline), &timeline.axis_small, value),
                of: Whole::Shares,
                height: 92.0,
                size: Size::Small,
            }
            .draw();
            Panel {
                name: name.clone(),
                note: format!("hit ratio {hit_ratio} of {note}"),
                svg,
            }
        })
        .collect();
    if panels.is_empty() {
        return Figure::absent(title, &takeaway);
    }
    Figure {
        title: title.to_owned(),
        takeaway,
        panels,
        legend: legend(report),
        note: format!(
            "Share of the reads of each {} by who answered, in percent.",
            timeline.step.one()
        ),
        ..Figure::default()
    }
}

fn by_data_type_takeaway<'r>(
    rows: impl Iterator<Item = (&'r String, &'r DataTypeResult)>,
) -> String {
    let mut ratios: Vec<(&str, f64)> = rows
        .filter_map(|(name, row)| Some((name.as_str(), row.hit_ratio?)))
        .collect();
    ratios.sort_by(|a, b| a.1.total_cmp(&b.1));
    match ratios.as_slice() {
        [] => "Of no data type is known how many reads the cache answered.".to_owned(),
        [(only, ratio)] => format!(
            "The cache answered {} of the reads of {only}.",
            words::percent(*ratio)
        ),
        [(low, worst), .., (high, best)] => format!(
            "The cache answered most for {high} ({}) and least for {low} ({}).",
            words::percent(*best),
            words::percent(*worst)
        ),
    }
}

fn hit_ratios(report: &Report) -> Figure {
    let title = "Was each hit ratio as high as wanted?";
    let mut wanted = 0;
    let mut missed = Vec::new();
    let mut rows: Vec<Row> = Vec::new();
    let overall = targets::overall(report, "hit_ratio")
        .next()
        .map(|(_, gate)| gate);
    if let Some((gate, ratio)) = overall.and_then(|gate| Some((gate, gate.observed_value?))) {
        rows.push(hit_row("all reads", ratio, Some(gate)));
    }
    for (name, row) in &report.data_types {
        if let Some(ratio) = row.hit_ratio {
            let gate = targets::of_data_type(report, "hit_ratio", name);
            rows.push(hit_row(name, ratio, gate));
        }
    }
    for row in &rows {
        wanted += usize::from(row.target.is_some());
        if row.lost {
            missed.push(row.name.as_str());
        }
    }
    if rows.is_empty() {
        return Figure::absent(
            title,
            "Nothing to show: no data type was read in a judged phase.",
        );
    }
    let takeaway = match (wanted, missed.len()) {
        (0, _) => "The scenario states no target for a hit ratio.".to_owned(),
        (_, 0) => format!("All {wanted} hit ratios with a target held theirs."),
        (_, lost) => format!("{lost} of {wanted} missed: {}.", missed.join(", ")),
    };
    let svg = RowChart {
        aria: &takeaway,
        x_title: "share of the reads that a cache layer answered",
        unit: Unit::Share,
        scale: Scale::up_to(1.0),
        rows,
    }
    .draw();
    let mut legend = vec![Key::area(Tone::Main, "observed")];
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

fn hit_row(name: &str, ratio: f64, gate: Option<&crate::report::model::GateResult>) -> Row {
    let observed = words::percent(ratio);
    Row {
        name: name.to_owned(),
        text: match gate {
            Some(gate) => format!("{observed}, {}", targets::in_words(gate)),
            None => observed,
        },
        bar: Some((ratio, Tone::Main)),
        target: gate.map(|gate| gate.target_value),
        lost: gate.is_some_and(|gate| gate.verdict == Verdict::Fail),
        ..Row::default()
    }
}

fn stampede(report: &Report) -> Vec<(String, String)> {
    let Some(stampede) = &report.stampede else {
        return Vec::new();
    };
    let fact = |name: &str, value: String| (name.to_owned(), value);
    if stampede.flights == 0 {
        return vec![fact(
            "Stampedes",
            "no load of a key was seen at the database".to_owned(),
        )];
    }
    let most = stampede.origin_loads_per_flight_max;
    let verdict = if most <= 1 {
        "none: no key was ever loaded twice at once".to_owned()
    } else {
        format!("yes: one key was loaded {} times at once", thousands(most))
    };
    vec![
        fact("Stampedes", verdict),
        fact(
            "Flights (loads of one key that overlap)",
            thousands(stampede.flights),
        ),
        fact("Origin loads in them", thousands(stampede.origin_loads)),
        fact(
            "Requests that waited for another's load",
            thousands(stampede.followers),
        ),
    ]
}

fn layers(report: &Report) -> Table {
    let mut table = Table::new(
        "The layers as the engine saw them",
        &[
            "layer",
            "asked",
            "had it",
            "hit ratio",
            "p50",
            "p99",
            "failures",
            "stale fills refused",
        ],
    );
    // From the user inwards, not by letter.
    for (name, _) in ANSWERS {
        let Some(layer) = report.layers.get(name) else {
            continue;
        };
        let times = &layer.service_time_us;
        let mut row = vec![
            Cell::text(name),
            Cell::count(layer.lookups),
            Cell::count(layer.found),
            Cell::number(words::percent_or_nothing(layer.hit_ratio)),
        ];
        row.extend(Cell::times(times, [times.p50, times.p99]));
        row.extend([
            Cell::problem(layer.failures),
            Cell::count(layer.fills_refused),
        ]);
        table.rows.push(row);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::{bare_report, failed_report, sample_report};

    #[test]
    fn the_shares_add_up_to_the_reads() {
        let report = sample_report();
        let reads: u64 = report.data_types.values().map(|row| row.reads).sum();
        let known: f64 = answered(&report).iter().map(|(_, count)| count).sum();
        assert!(
            (known - reads as f64).abs() < reads as f64 * 1e-3,
            "{known} of {reads}"
        );
        let text = over_time_takeaway(&report);
        assert!(text.starts_with(&format!(
            "Of {} judged reads local answered",
            thousands(reads)
        )));
        assert!(!text.contains("failed"), "{text}");
    }

    #[test]
    fn a_missed_hit_ratio_is_named() {
        assert_eq!(
            hit_ratios(&failed_report()).takeaway,
            "1 of 5 missed: inventory."
        );
        let held = hit_ratios(&sample_report());
        assert_eq!(held.takeaway, "All 5 hit ratios with a target held theirs.");
        let mut report = sample_report();
        report.gates.clear();
        let none = hit_ratios(&report);
        assert!(none.takeaway.contains("no target") && !none.svg.contains("class=\"target\""));
    }

    #[test]
    fn types_without_reads_get_no_panel() {
        let report = sample_report();
        let timeline = Timeline::of(&report).expect("seconds");
        let figure = by_data_type(&report, Some(&timeline));
        let read = report
            .data_types
            .values()
            .filter(|row| row.reads > 0)
            .count();
        assert_eq!(figure.panels.len(), read);
        assert!(read < report.data_types.len(), "rate limits are never read");
        let bare = section(&bare_report(), None);
        assert!(bare.figures.iter().all(|figure| figure.svg.is_empty()));
    }
}
