//! Did it hold? Response times and traffic over time.

use super::{Figure, Key, KeyKind, NO_SECONDS, Section};
use crate::measure::PhaseKind;
use crate::report::html::chart::frame::TimeAxis;
use crate::report::html::chart::line::{Limit, Line, LineChart};
use crate::report::html::chart::{Tone, Unit};
use crate::report::html::table::{Cell, Table};
use crate::report::html::timeline::Timeline;
use crate::report::html::{targets, words};
use crate::report::model::{Fault, GateResult, Phase, Report, Second, WindowsResult};
use crate::units::thousands;

/// How long after a fault a bad second is told together with it.
const FAULT_SHADOW_S: f64 = 10.0;

pub(super) fn section(report: &Report, timeline: Option<&Timeline<'_>>) -> Section {
    Section {
        id: "held",
        title: "Did it hold?",
        figures: vec![response_times(report, timeline), traffic(report, timeline)],
        tables: vec![phases(&report.phases, report.is_open())],
        ..Section::default()
    }
}

type Percentile = (&'static str, Tone, fn(&Second) -> Option<f64>);

const PERCENTILES: [Percentile; 3] = [
    ("p99", Tone::Extreme, |second| second.response_time_us_p99),
    ("p95", Tone::Main, |second| second.response_time_us_p95),
    ("p50", Tone::Calm, |second| second.response_time_us_p50),
];

fn response_times(report: &Report, timeline: Option<&Timeline<'_>>) -> Figure {
    let title = "How long did users wait for an answer?";
    let Some(timeline) = timeline else {
        return Figure::absent(title, NO_SECONDS);
    };
    let takeaway = response_time_takeaway(report, timeline);
    let mut lines: Vec<Line> = PERCENTILES
        .iter()
        .map(|(name, tone, value)| Line {
            name: (*name).to_owned(),
            tone: *tone,
            values: timeline.largest(value),
        })
        .collect();
    let wanted =
        targets::overall(report, "response_time").chain(targets::windowed(report, "response_time"));
    let limits: Vec<Limit> = wanted
        .filter(|(function, _)| PERCENTILES.iter().any(|(name, ..)| name == function))
        .map(|(function, gate)| Limit {
            value: gate.target_value,
            label: format!("target {function} {}", gate.target),
        })
        .collect();
    let mut legend = vec![
        Key::line(Tone::Extreme, "p99: one request of 100 took longer"),
        Key::line(Tone::Main, "p95: one of 20"),
        Key::line(Tone::Calm, "p50: every other"),
    ];
    if report.is_open() {
        // What a closed loop would show: no wait before the sending is in it.
        lines.push(Line {
            name: "service".to_owned(),
            tone: Tone::Local,
            values: timeline.largest(|second| second.service_time_us_mean),
        });
        let service = "mean service time: from sending on, without the wait to be sent";
        legend.push(Key::line(Tone::Local, service));
    }
    let (losses_s, lost) = losses(report);
    legend.extend(lost);
    let time = TimeAxis {
        losses_s,
        ..timeline.axis.clone()
    };
    let chart = LineChart {
        aria: &takeaway,
        y_title: &timeline.step.in_each("response time"),
        unit: Unit::Us,
        time: &time,
        lines,
        limits,
        may_be_log: true,
    };
    let kept = format!("worst {}", timeline.step.one());
    Figure::of_lines(title, &chart, timeline, legend, &kept)
}

/// Where windows lost a target of the response time, and what their shade means.
fn losses(report: &Report) -> (Vec<(f64, f64)>, Option<Key>) {
    let lost = targets::windowed(report, "response_time");
    let lost: Vec<(&GateResult, &WindowsResult)> = lost
        .filter_map(|(_, gate)| Some((gate, gate.windows.as_ref()?)))
        .filter(|(_, windows)| windows.lost > 0)
        .collect();
    let spans = lost.iter().flat_map(|(_, windows)| &windows.losses_s);
    let spans = spans.map(|[from, to]| (f64::from(*from), f64::from(*to)));
    let names: Vec<&str> = lost.iter().map(|(gate, _)| &*gate.name).collect();
    let text = format!("windows that lost {}", names.join(", "));
    let key = (!names.is_empty()).then(|| Key::new(KeyKind::Loss, text));
    (spans.collect(), key)
}

/// The worst judged second by p95, and what a target says to it.
fn response_time_takeaway(report: &Report, timeline: &Timeline<'_>) -> String {
    let told = held_or_not(report, timeline);
    let lost = report.phases.iter().find_map(|phase| {
        let offered = phase.offered.filter(|offered| !offered.sustained)?;
        Some(format!(
            " The offered rate was not sustained in \"{}\": of {} due only {} were sent in time.",
            phase.name,
            words::per_s(offered.rate_per_s),
            words::per_s(offered.sent_per_s)
        ))
    });
    told + &lost.unwrap_or_default()
}

fn held_or_not(report: &Report, timeline: &Timeline<'_>) -> String {
    let p95: Vec<(f64, f64)> = timeline
        .judged()
        .filter_map(|second| Some((f64::from(second.t_s), second.response_time_us_p95?)))
        .collect();
    let Some((worst_s, worst)) = p95.iter().copied().max_by(|a, b| a.1.total_cmp(&b.1)) else {
        return "No request of a judged phase was answered.".to_owned();
    };
    let best = p95.iter().map(|(_, v)| *v).fold(f64::INFINITY, f64::min);
    let when = format!(
        "at {}{}",
        words::seconds(worst_s),
        after_fault(&report.faults, worst_s, timeline.step.width_s())
    );
    let target = targets::overall(report, "response_time").find(|(function, _)| *function == "p95");
    let Some((_, gate)) = target else {
        return format!(
            "From {} p95 lay between {} and {}; it was worst {when}.",
            timeline.step.to_the_next(),
            words::us(best),
            words::us(worst)
        );
    };
    let above = p95.iter().filter(|(_, v)| *v > gate.target_value).count();
    let judged = timeline.step.judged(p95.len() as u64);
    if above == 0 {
        format!(
            "p95 kept its target of {} in every one of {judged}; its worst was {}, {when}.",
            gate.target,
            words::us(worst)
        )
    } else {
        format!(
            "p95 was above its target of {} in {} of {judged}; its worst was {}, {when}.",
            gate.target,
            thousands(above as u64),
            words::us(worst)
        )
    }
}

/// `, 2 s after "kill-primary"`, if a fault was not long before the row of this moment, or in it.
fn after_fault(faults: &[Fault], moment_s: f64, row_s: u32) -> String {
    let row_s = f64::from(row_s);
    let since = |fault: &Fault| moment_s - (fault.at_s / row_s).floor() * row_s;
    faults
        .iter()
        .filter(|fault| (0.0..=FAULT_SHADOW_S.max(row_s)).contains(&since(fault)))
        .max_by(|a, b| a.at_s.total_cmp(&b.at_s))
        .map_or_else(String::new, |fault| {
            let after_s = (moment_s - fault.at_s).max(0.0);
            format!(", {} after \"{}\"", words::seconds(after_s), fault.name)
        })
}

fn traffic(report: &Report, timeline: Option<&Timeline<'_>>) -> Figure {
    let title = "How much was asked, and did any of it fail?";
    let takeaway = traffic_takeaway(report);
    let Some(timeline) = timeline else {
        return Figure::absent(title, &format!("{takeaway} {NO_SECONDS}"));
    };
    let chart = LineChart {
        aria: &takeaway,
        y_title: &timeline.step.rate_of("requests that ended"),
        unit: Unit::PerS,
        time: &timeline.axis,
        lines: vec![
            Line {
                name: "all".to_owned(),
                tone: Tone::Main,
                values: timeline.largest(|row| Some(timeline.per_s(row, row.requests))),
            },
            Line {
                name: "failed".to_owned(),
                tone: Tone::Error,
                values: timeline.largest(|row| Some(timeline.per_s(row, row.errors))),
            },
        ],
        limits: Vec::new(),
        may_be_log: false,
    };
    let legend = vec![
        Key::line(Tone::Main, "all requests per second"),
        Key::line(Tone::Error, "failed requests per second"),
    ];
    let kept = format!("busiest {}", timeline.step.one());
    Figure::of_lines(title, &chart, timeline, legend, &kept)
}

fn traffic_takeaway(report: &Report) -> String {
    let requests = &report.requests;
    if requests.total == 0 {
        return "No request was made in a judged phase.".to_owned();
    }
    let asked = format!(
        "{} asked {} on average",
        words::counted(report.validity.users_live_max, "user", "users"),
        words::per_s(requests.rate_per_s)
    );
    let total = thousands(requests.total);
    if requests.errors == 0 {
        return format!("{asked}; of {total} requests none failed.");
    }
    let mut kinds: Vec<_> = requests.errors_by_kind.iter().collect();
    kinds.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let kinds: Vec<String> = kinds
        .into_iter()
        .take(3)
        .map(|(kind, count)| format!("{} × {kind}", thousands(*count)))
        .collect();
    let kinds = if kinds.is_empty() {
        String::new()
    } else {
        format!(": {}", kinds.join(", "))
    };
    let ratio = words::share(requests.errors as f64, requests.total as f64);
    format!(
        "{asked}; of {total} requests {} failed ({}){kinds}.",
        thousands(requests.errors),
        words::percent(ratio)
    )
}

/// The columns of every phase, and those of an open loop.
const PHASE_COLUMNS: [&str; 9] = [
    "phase",
    "began",
    "lasted",
    "requests",
    "failed",
    "hit ratio",
    "p50",
    "p95",
    "p99",
];
const OFFERED_COLUMNS: [&str; 4] = ["offered per s", "sent per s", "p99 wait", "sustained"];

fn phases(phases: &[Phase], open: bool) -> Table {
    let mut columns = PHASE_COLUMNS.to_vec();
    if open {
        columns.extend(OFFERED_COLUMNS);
    }
    let mut table = Table::new("The phases", &columns);
    for phase in phases {
        let times = &phase.response_time_us;
        let name = match phase.kind {
            PhaseKind::WarmUp => format!("{} (not judged)", phase.name),
            PhaseKind::Measure => phase.name.clone(),
        };
        let mut row = vec![
            Cell::text(name),
            Cell::number(words::seconds(phase.start_s)),
            Cell::number(words::seconds(phase.duration_s)),
            Cell::count(phase.requests),
            Cell::problem(phase.errors),
            Cell::number(words::percent_or_nothing(phase.hit_ratio)),
        ];
        row.extend(Cell::times(times, [times.p50, times.p95, times.p99]));
        if let Some(offered) = &phase.offered {
            row.extend([
                Cell::number(words::per_s(offered.rate_per_s)),
                Cell::number(words::per_s(offered.sent_per_s)),
                Cell::number(words::us(offered.waited_us_p99)),
                Cell::text(if offered.sustained { "yes" } else { "NO" }.to_owned()),
            ]);
        }
        table.rows.push(row);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::{bare_report, day_report, sample_report};

    fn takeaway(report: &Report) -> String {
        response_time_takeaway(report, &Timeline::of(report).expect("seconds"))
    }

    #[test]
    fn the_sentence_follows_the_seconds() {
        let mut report = sample_report();
        report.faults.clear();
        let judged = report.timeseries.iter().filter(|s| s.phase != "warm-up");
        let judged = judged.count();
        assert!(takeaway(&report).starts_with("p95 kept its target of < 1.0 s in every one of"));

        report.timeseries[30].response_time_us_p95 = Some(1.4e6);
        report.faults.push(Fault {
            name: "kill-primary".to_owned(),
            at_s: 28.5,
        });
        let wanted = format!(
            "p95 was above its target of < 1.0 s in 1 of {judged} judged seconds; its worst was \
             1.4 s, at 30 s, 1.5 s after \"kill-primary\"."
        );
        assert_eq!(takeaway(&report), wanted);

        report.gates.clear();
        let text = takeaway(&report);
        assert!(
            text.starts_with("From second to second p95 lay between"),
            "{text}"
        );
        for second in &mut report.timeseries {
            second.response_time_us_p95 = None;
        }
        assert_eq!(
            takeaway(&report),
            "No request of a judged phase was answered."
        );
    }

    #[test]
    fn windows_that_lost_are_shaded() {
        let report = crate::report::fixture::cut_report();
        let timeline = Timeline::of(&report).expect("seconds");
        let figure = response_times(&report, Some(&timeline));
        assert_eq!(figure.svg.matches("class=\"loss\"").count(), 2);
        let key = figure.legend.iter().find(|key| key.kind == KeyKind::Loss);
        assert_eq!(
            key.map(|key| &*key.text),
            Some("windows that lost p95 in every window")
        );
        let report = sample_report();
        let figure = response_times(&report, Timeline::of(&report).as_ref());
        assert!(!figure.svg.contains("class=\"loss\""));
    }

    #[test]
    fn of_a_day_it_speaks_of_minutes() {
        let mut report = day_report();
        insta::assert_snapshot!(takeaway(&report), @"p95 kept its target of < 1.0 s in every one of 1,410 judged minutes; its worst was 227 ms, at 14 h 3 min.");
        report.gates.clear();
        assert!(takeaway(&report).starts_with("From minute to minute p95 lay"));
    }

    #[test]
    fn failures_are_told_by_kind() {
        let mut report = sample_report();
        report.requests.errors = 12;
        report.requests.errors_by_kind = [("timeout".to_owned(), 10), ("503".to_owned(), 2)].into();
        let text = traffic_takeaway(&report);
        assert!(text.contains(" 12 failed ("), "{text}");
        assert!(text.ends_with("): 10 × timeout, 2 × 503."), "{text}");
        report.requests.total = 0;
        assert!(traffic_takeaway(&report).starts_with("No request"));
    }

    #[test]
    fn without_seconds_it_says_so() {
        let figures = section(&bare_report(), None).figures;
        assert!(
            figures
                .iter()
                .all(|f| f.svg.is_empty() && f.takeaway.contains("No second"))
        );
    }
}
