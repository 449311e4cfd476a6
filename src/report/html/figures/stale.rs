//! How stale? Reads that gave a value which the origin had already replaced.

use super::{Figure, Key, KeyKind, Section};
use crate::report::html::chart::rows::{Mark, Row, RowChart};
use crate::report::html::chart::scale::Scale;
use crate::report::html::chart::{Tone, Unit};
use crate::report::html::words;
use crate::report::model::{DataTypeResult, Report};
use crate::units::thousands;

pub(super) fn section(report: &Report) -> Section {
    Section {
        id: "stale",
        title: "How stale?",
        figures: vec![shares(report).half(), ages(report).half()],
        ..Section::default()
    }
}

/// The data types whose reads were checked.
fn checked(report: &Report) -> impl Iterator<Item = (&String, &DataTypeResult)> {
    let rows = report.data_types.iter();
    rows.filter(|(_, row)| row.staleness_ms.checked > 0)
}

fn shares(report: &Report) -> Figure {
    let title = "How many reads gave a value that had been replaced?";
    let total: u64 = checked(report)
        .map(|(_, row)| row.staleness_ms.checked)
        .sum();
    let stale: u64 = checked(report).map(|(_, row)| row.staleness_ms.stale).sum();
    if total == 0 {
        return Figure::absent(
            title,
            "Unknown: no read could be checked against what the database had committed.",
        );
    }
    let takeaway = match stale {
        0 => format!(
            "None: of {} reads that were checked every one was current.",
            thousands(total)
        ),
        _ => format!(
            "{} of {} checked reads were stale ({}).",
            thousands(stale),
            thousands(total),
            words::percent(stale as f64 / total as f64)
        ),
    };
    let share = |row: &DataTypeResult| {
        words::share(
            row.staleness_ms.stale as f64,
            row.staleness_ms.checked as f64,
        )
    };
    let rows = checked(report)
        .map(|(name, row)| Row {
            name: name.clone(),
            text: format!(
                "{}: {} of {}",
                words::percent(share(row)),
                thousands(row.staleness_ms.stale),
                thousands(row.staleness_ms.checked)
            ),
            bar: Some((share(row), Tone::Extreme)),
            ..Row::default()
        })
        .collect();
    let worst = checked(report)
        .map(|(_, row)| share(row))
        .fold(0.0, f64::max);
    let svg = RowChart {
        aria: &takeaway,
        x_title: "stale reads, of the reads that were checked",
        unit: Unit::Share,
        scale: match worst {
            w if w > 0.0 => Scale::linear([w], Unit::Share.base()),
            _ => Scale::up_to(0.01),
        },
        rows,
    }
    .draw();
    Figure {
        title: title.to_owned(),
        takeaway,
        svg,
        legend: vec![Key::area(Tone::Extreme, "stale reads")],
        ..Figure::default()
    }
}

fn ages(report: &Report) -> Figure {
    let title = "How old were the stale ones?";
    let stale: Vec<(&String, &DataTypeResult)> = checked(report)
        .filter(|(_, row)| row.staleness_ms.stale > 0)
        .collect();
    let oldest = stale
        .iter()
        .max_by(|a, b| a.1.staleness_ms.max.total_cmp(&b.1.staleness_ms.max));
    let Some((oldest_name, oldest)) = oldest else {
        return Figure::absent(title, "Nothing to show: no read was found stale.");
    };
    let takeaway = format!(
        "The oldest answer, of {oldest_name}, came {} after its value had been replaced.",
        words::us(oldest.staleness_ms.max * 1e3)
    );
    let us = |row: &DataTypeResult| {
        let ages = &row.staleness_ms;
        [ages.p50, ages.p99, ages.max].map(|age_ms| age_ms * 1e3)
    };
    let values: Vec<f64> = stale.iter().flat_map(|(_, row)| us(row)).collect();
    let rows = stale
        .iter()
        .map(|(name, row)| {
            let [p50, p99, max] = us(row);
            Row {
                name: (*name).clone(),
                text: format!(
                    "p50 {}, p99 {}, max {}",
                    words::us(p50),
                    words::us(p99),
                    words::us(max)
                ),
                marks: vec![(p50, Mark::Ring), (p99, Mark::Disc), (max, Mark::Diamond)],
                ..Row::default()
            }
        })
        .collect();
    let svg = RowChart {
        aria: &takeaway,
        x_title: "time since the value had been replaced",
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
            Key::new(KeyKind::Ring, "p50"),
            Key::new(KeyKind::Disc, "p99"),
            Key::new(KeyKind::Diamond, "oldest"),
        ],
        ..Figure::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Staleness;
    use crate::report::fixture::sample_report;

    #[test]
    fn none_some_and_unknown_are_three_things() {
        let mut report = sample_report();
        let all = |report: &mut Report, staleness| {
            for row in report.data_types.values_mut() {
                row.staleness_ms = staleness;
            }
        };
        all(&mut report, Staleness::default());
        assert!(shares(&report).takeaway.starts_with("Unknown"));
        assert!(ages(&report).svg.is_empty());

        let checked = Staleness {
            checked: 100,
            ..Staleness::default()
        };
        all(&mut report, checked);
        assert!(shares(&report).takeaway.starts_with("None: of 700 reads"));
        assert!(ages(&report).svg.is_empty());

        let stale = Staleness {
            stale: 1,
            p50: 3.0,
            p99: 20.0,
            max: 340.0,
            ..checked
        };
        all(&mut report, stale);
        assert_eq!(
            shares(&report).takeaway,
            "7 of 700 checked reads were stale (1%)."
        );
        assert!(
            ages(&report).takeaway.contains("came 340 ms after"),
            "{}",
            ages(&report).takeaway
        );
    }
}
