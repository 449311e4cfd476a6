//! How soon was the cache warm? Only for runs whose scenario speaks of warming.

use super::{Figure, Key, NO_SECONDS, Section};
use crate::report::html::chart::line::{Limit, Line, LineChart};
use crate::report::html::chart::{Tone, Unit};
use crate::report::html::table::{Cell, Table};
use crate::report::html::timeline::Timeline;
use crate::report::html::words;
use crate::report::model::{Report, Second, WarmingResult};
use crate::units::thousands;

pub(super) fn section(report: &Report, timeline: Option<&Timeline<'_>>) -> Option<Section> {
    let warming = report.warming.as_ref()?;
    Some(Section {
        id: "warm",
        title: "How soon was the cache warm?",
        figures: vec![over_time(warming, timeline)],
        facts: facts(warming),
        tables: vec![data_types(warming)],
    })
}

fn after(time: Option<u32>) -> String {
    time.map_or_else(|| "never".to_owned(), |time| words::seconds(time.into()))
}

fn takeaway(warming: &WarmingResult) -> String {
    let target = words::percent(warming.target_hit_ratio);
    let start = match (warming.rounds, warming.before_traffic) {
        (0, _) => "a cold start",
        (_, true) => "keys warmed before the first user",
        (_, false) => "keys warmed beside the users",
    };
    match warming.time_to_target_s {
        None => format!("A hit ratio of {target} was never reached: {start}."),
        Some(time) => format!(
            "A hit ratio of {target} was reached {} after the first user: {start}.",
            words::seconds(time.into())
        ),
    }
}

fn over_time(warming: &WarmingResult, timeline: Option<&Timeline<'_>>) -> Figure {
    let title = "When did the cache reach its target?";
    let takeaway = takeaway(warming);
    let Some(timeline) = timeline else {
        return Figure::absent(title, &format!("{takeaway} {NO_SECONDS}"));
    };
    let chart = LineChart {
        aria: &takeaway,
        y_title: &timeline.step.in_each("hit ratio of the reads that ended"),
        unit: Unit::Share,
        time: &timeline.axis,
        lines: vec![Line {
            name: "hit ratio".to_owned(),
            tone: Tone::Main,
            values: timeline.smallest(hit_ratio),
        }],
        limits: vec![Limit {
            value: warming.target_hit_ratio,
            label: format!("target {}", words::percent(warming.target_hit_ratio)),
        }],
        may_be_log: false,
    };
    let legend = vec![Key::line(Tone::Main, "hit ratio of all reads")];
    Figure::of_lines(title, &chart, timeline, legend, "smallest value")
}

fn hit_ratio(second: &Second) -> Option<f64> {
    let count = |answer: &str| -> u64 {
        let by_type = second.answers.values();
        by_type.filter_map(|by| by.get(answer)).sum()
    };
    let hits = count("edge") + count("local") + count("remote");
    let reads = hits + count("origin");
    (reads > 0).then(|| hits as f64 / reads as f64)
}

fn facts(warming: &WarmingResult) -> Vec<(String, String)> {
    let fact = |name: &str, value: String| (name.to_owned(), value);
    let first = words::percent_or_nothing(warming.first_hit_ratio);
    let mut facts = vec![
        fact(
            "time to the target hit ratio",
            after(warming.time_to_target_s),
        ),
        fact(
            &format!(
                "hit ratio in the first {}",
                words::seconds(warming.window_s.into())
            ),
            first,
        ),
        fact("rounds of warming", thousands(warming.rounds)),
        fact("keys at once", thousands(warming.concurrency.into())),
    ];
    if warming.before_traffic && warming.rounds > 0 {
        facts.push(fact(
            "warming before the first user",
            words::seconds(warming.before_traffic_s),
        ));
    }
    if warming.rounds_cut > 0 {
        facts.push(fact(
            "rounds that ran out of time",
            thousands(warming.rounds_cut),
        ));
    }
    facts
}

fn data_types(warming: &WarmingResult) -> Table {
    let mut table = Table::new(
        "Keys over all rounds, and times from the first user",
        &[
            "data type",
            "keys",
            "loaded",
            "renewed",
            "found",
            "failed",
            "skipped",
            "first hit ratio",
            "time to target",
        ],
    );
    for (name, row) in &warming.data_types {
        let mut cells = vec![Cell::text(name.clone())];
        let counts = [
            row.keys,
            row.loaded,
            row.renewed,
            row.found,
            row.failed,
            row.skipped,
        ];
        cells.extend(counts.map(Cell::count));
        let first = words::percent_or_nothing(row.first_hit_ratio);
        cells.push(Cell::number(first));
        cells.push(Cell::number(after(row.time_to_target_s)));
        table.rows.push(cells);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::{bare_report, warmed_report};

    #[test]
    fn a_warmed_run_has_its_section_and_others_have_none() {
        assert!(section(&bare_report(), None).is_none());
        let mut report = warmed_report();
        let timeline = Timeline::of(&report);
        let section = section(&report, timeline.as_ref()).expect("a section");
        assert!(section.figures[0].svg.contains("target 85%"));
        insta::assert_snapshot!(section.figures[0].takeaway, @"A hit ratio of 85% was reached 9 s after the first user: keys warmed before the first user.");
        assert_eq!(section.tables[0].rows.len(), 3);
        let warming = report.warming.as_mut().expect("warming");
        warming.rounds = 0;
        warming.time_to_target_s = None;
        insta::assert_snapshot!(takeaway(warming), @"A hit ratio of 85% was never reached: a cold start.");
    }
}
