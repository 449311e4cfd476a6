//! Can I trust this run? The generator's own health, and what the oracles found.

use super::{Figure, Key, KeyKind, NO_SECONDS, Section};
use crate::report::html::chart::line::{Limit, Line, LineChart};
use crate::report::html::chart::rows::{Mark, Row, RowChart};
use crate::report::html::chart::scale::Scale;
use crate::report::html::chart::{Tone, Unit};
use crate::report::html::table::{Cell, Table};
use crate::report::html::timeline::Timeline;
use crate::report::html::words;
use crate::report::model::{GeneratorResult, Report};
use crate::units::thousands;

pub(super) fn section(report: &Report, timeline: Option<&Timeline<'_>>) -> Section {
    Section {
        id: "trust",
        title: "Can I trust this run?",
        figures: vec![
            users(report, timeline),
            processors(report).half(),
            slip(report).half(),
        ],
        facts: facts(report),
        tables: generator(report)
            .into_iter()
            .chain([oracles(report)])
            .collect(),
    }
}

fn users(report: &Report, timeline: Option<&Timeline<'_>>) -> Figure {
    let title = "Were all users there?";
    let planned = u64::from(report.environment.users);
    let Some(timeline) = timeline else {
        let most = thousands(report.validity.users_live_max);
        let why = format!(
            "At the most {most} of {} were live at once.",
            thousands(planned)
        );
        return Figure::absent(title, &format!("{why} {NO_SECONDS}"));
    };
    let fewest = timeline.judged().map(|second| second.users_live).min();
    let takeaway = match fewest {
        None => "No second was judged.".to_owned(),
        Some(fewest) if fewest >= planned => format!(
            "Yes: all {} were live in every judged {}.",
            words::counted(planned, "user", "users"),
            timeline.step.one()
        ),
        Some(fewest) => format!(
            "Not always: in one judged {} only {} of {} were live.",
            timeline.step.one(),
            thousands(fewest),
            words::counted(planned, "user", "users")
        ),
    };
    let chart = LineChart {
        aria: &takeaway,
        y_title: &format!(
            "users that were live at the end of each {}",
            timeline.step.one()
        ),
        unit: Unit::Count,
        time: &timeline.axis,
        lines: vec![Line {
            name: "users live".to_owned(),
            tone: Tone::Main,
            values: timeline.smallest(|second| Some(second.users_live as f64)),
        }],
        limits: vec![Limit {
            value: planned as f64,
            label: format!("planned {}", thousands(planned)),
        }],
        may_be_log: false,
    };
    let legend = vec![Key::line(Tone::Main, "users live")];
    Figure::of_lines(title, &chart, timeline, legend, "smallest value")
}

const SHARED: &str = "The generator shares this machine with what it measures; if it is short of \
                      processor time, its times say more about itself.";

fn processors(report: &Report) -> Figure {
    let title = "Who used the processors?";
    let cpus = f64::from(report.environment.cpus);
    let used = [
        ("generator", report.validity.generator_cpu_cores),
        ("service instances", report.validity.instances_cpu_cores),
        ("Redis", report.redis.as_ref().map(|redis| redis.cpu_cores)),
    ];
    let used: Vec<(&str, f64)> = used
        .into_iter()
        .filter_map(|(name, cores)| Some((name, cores?)))
        .collect();
    if used.is_empty() {
        return Figure::absent(
            title,
            "Unknown: this system does not tell processor time by thread.",
        );
    }
    let sum: f64 = used.iter().map(|(_, cores)| cores).sum();
    let takeaway = format!(
        "Together they used {} of the {} there were.",
        words::number(sum),
        words::counted(u64::from(report.environment.cpus), "core", "cores")
    );
    let rows: Vec<Row> = used
        .iter()
        .map(|(name, cores)| Row {
            name: (*name).to_owned(),
            text: words::cores(*cores),
            bar: Some((*cores, Tone::Main)),
            ..Row::default()
        })
        .collect();
    let most = used.iter().map(|(_, cores)| *cores).fold(0.0, f64::max);
    let svg = RowChart {
        aria: &takeaway,
        x_title: "processor time, in cores kept busy",
        unit: Unit::Cores,
        scale: Scale::up_to(most.max(cpus)),
        rows,
    }
    .draw();
    Figure {
        title: title.to_owned(),
        takeaway,
        svg,
        legend: vec![Key::area(Tone::Main, "processor time")],
        note: match &*report.time {
            // There nobody is late for want of processor time.
            "virtual" => String::new(),
            _ => SHARED.to_owned(),
        },
        ..Figure::default()
    }
}

fn slip(report: &Report) -> Figure {
    let title = "Did requests start when they should?";
    let slip = &report.validity.slip_us;
    if slip.count == 0 {
        return Figure::absent(title, "Unknown: no request was started.");
    }
    let takeaway = format!(
        "99 of 100 requests started within {} of their time; {}.",
        words::us(slip.p99),
        match report.requests.dropped {
            0 => "none was dropped".to_owned(),
            count => format!("{} dropped", words::counted(count, "was", "were")),
        }
    );
    let values = [slip.p50, slip.p99, slip.max];
    let svg = RowChart {
        aria: &takeaway,
        x_title: "from the intended start to the sending",
        unit: Unit::Us,
        scale: Scale::fitting(&values, Unit::Us.base()),
        rows: vec![Row {
            name: "slip".to_owned(),
            text: format!(
                "p50 {}, p99 {}, latest {}",
                words::us(slip.p50),
                words::us(slip.p99),
                words::us(slip.max)
            ),
            marks: vec![
                (slip.p50, Mark::Ring),
                (slip.p99, Mark::Disc),
                (slip.max, Mark::Diamond),
            ],
            ..Row::default()
        }],
    }
    .draw();
    Figure {
        title: title.to_owned(),
        takeaway,
        svg,
        legend: vec![
            Key::new(KeyKind::Ring, "p50"),
            Key::new(KeyKind::Disc, "p99"),
            Key::new(KeyKind::Diamond, "latest"),
        ],
        ..Figure::default()
    }
}

fn facts(report: &Report) -> Vec<(String, String)> {
    let validity = &report.validity;
    let fact = |name: &str, value: String| (name.to_owned(), value);
    let mut facts = vec![
        fact("Users live at the most", thousands(validity.users_live_max)),
        fact(
            "Users waiting for an answer at the most",
            thousands(validity.users_in_flight_max),
        ),
        fact("Requests dropped", thousands(report.requests.dropped)),
        fact(
            "Ended before its plan was done",
            if validity.interrupted { "yes" } else { "no" }.to_owned(),
        ),
    ];
    if let Some(generator) = &report.generator {
        facts.extend(own_limits(generator));
    }
    facts
}

/// How near the generator came to its own limits.
fn own_limits(generator: &GeneratorResult) -> Vec<(String, String)> {
    let fact = |name: &str, value: String| (name.to_owned(), value);
    let or_unknown = |value: Option<u64>| value.map_or_else(|| "unknown".to_owned(), thousands);
    let delay = &generator.loop_delay_us;
    let late = match delay.count {
        0 => "not measured".to_owned(),
        _ => format!(
            "p99 {}, at the most {}",
            words::us(delay.p99),
            words::us(delay.max)
        ),
    };
    let limit = match generator.descriptors_limit {
        None => "no limit".to_owned(),
        Some(limit) => format!("the limit is {}", thousands(limit)),
    };
    let raised = generator
        .descriptors_raised_from
        .map_or_else(String::new, |from| {
            format!(", raised from {} for this run", thousands(from))
        });
    let open = format!("{}; {limit}{raised}", or_unknown(generator.descriptors_max));
    vec![
        fact("Delay of the generator's event loops", late),
        fact("File descriptors open at the most", open),
        fact(
            "Connections of the system in TIME_WAIT at the most",
            or_unknown(generator.time_wait_max),
        ),
        fact(
            "Requests without a file descriptor or a local port",
            thousands(generator.requests_without_descriptor + generator.requests_without_port),
        ),
    ]
}

/// The generator's threads; nothing in virtual time.
fn generator(report: &Report) -> Option<Table> {
    let threads = &report.generator.as_ref()?.threads;
    let mut table = Table::new(
        "The generator's threads, and their share of a core",
        &[
            "thread",
            "over the judged time",
            "in its worst second",
            "which began at",
        ],
    );
    for thread in threads {
        table.rows.push(vec![
            Cell::text(thread.name.clone()),
            Cell::number(words::percent(thread.cpu_cores)),
            Cell::number(words::percent(thread.cpu_cores_worst)),
            Cell::number(words::seconds(thread.worst_at_s)),
        ]);
    }
    (!threads.is_empty()).then_some(table)
}

fn oracles(report: &Report) -> Table {
    let mut table = Table::new(
        "The oracles, and what they found",
        &["oracle", "checked", "violations", "worst case"],
    );
    for (name, oracle) in &report.oracles {
        table.rows.push(vec![
            Cell::text(name.clone()),
            Cell::count(oracle.checked),
            Cell::problem(oracle.violations),
            Cell::text(if oracle.worst.is_empty() {
                words::NOTHING.to_owned()
            } else {
                oracle.worst.clone()
            }),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::{bare_report, sample_report};

    #[test]
    fn a_lost_user_is_noticed() {
        let mut report = sample_report();
        let text = |report: &Report| users(report, Timeline::of(report).as_ref()).takeaway;
        assert_eq!(
            text(&report),
            "Yes: all 1,000 users were live in every judged second."
        );
        report.timeseries[40].users_live = 996;
        assert_eq!(
            text(&report),
            "Not always: in one judged second only 996 of 1,000 users were live."
        );
    }

    #[test]
    fn what_is_unknown_is_called_so() {
        let report = bare_report();
        assert!(processors(&report).takeaway.starts_with("Unknown"));
        assert!(slip(&report).takeaway.starts_with("Unknown"));
        assert!(
            users(&report, None)
                .takeaway
                .starts_with("At the most 12 of")
        );
        assert!(oracles(&report).rows.is_empty());
    }
}
