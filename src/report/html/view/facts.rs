//! The facts at the end of the page: how to run it again, where it ran, alerts, faults and jobs.

use super::super::table::{Cell, Table};
use super::super::words;
use super::moment;
use crate::report::model::Report;
use crate::report::offered;
use crate::report::words::driver;
use crate::units::thousands;

/// The command that makes the same run.
pub(super) fn command(report: &Report) -> String {
    let name = match report.time.as_str() {
        "virtual" => "simulate",
        _ => "run",
    };
    let mut parts = vec![
        format!("cachestorm {name}"),
        shell_word(&report.scenario.file),
    ];
    let overrides = &report.scenario.overrides;
    if !overrides.iter().any(|typed| typed.starts_with("--seed ")) {
        parts.push(format!("--seed {}", report.seed));
    }
    // Each is an option and its value.
    parts.extend(overrides.iter().map(|typed| match typed.split_once(' ') {
        Some((option, value)) => format!("{option} {}", shell_word(value)),
        None => shell_word(typed),
    }));
    parts.join(" ")
}

/// `text` as one word of a POSIX shell.
fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./=:,@%+".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

pub(super) fn place(report: &Report) -> Vec<(String, String)> {
    let environment = &report.environment;
    let fact = |name: &str, value: String| (name.to_owned(), value);
    let mut facts = vec![
        fact("Scenario", report.scenario.file.clone()),
        fact("Started", moment(&report.started_at)),
        fact(
            "Lasted",
            format!(
                "{} with its warm-up, without baseline and preparations",
                words::seconds(report.duration_s)
            ),
        ),
        fact(
            "Driver",
            format!("{}, {} time", driver(report), report.time),
        ),
        fact("System", environment.system.clone()),
        fact("Processors", environment.cpus.to_string()),
        fact("Users", thousands(u64::from(environment.users))),
    ];
    match &report.target {
        Some(target) => facts.push(fact("Target", target.urls.join(" "))),
        None => facts.extend(own_service(report)),
    }
    let traced = [offered::trace(report), offered::value_sizes(report)];
    let names = ["Trace", "Sizes of values"];
    let traced = names.into_iter().zip(traced);
    facts.extend(traced.filter_map(|(name, told)| Some(fact(name, told?.text))));
    facts.extend([
        fact(
            "Version",
            format!("{} {}", report.tool.name, report.tool.version),
        ),
        fact("Shape of report.json", report.schema_version.to_string()),
    ]);
    facts
}

/// What the built-in service was made of.
fn own_service(report: &Report) -> [(String, String); 5] {
    let environment = &report.environment;
    let fact = |name: &str, value: String| (name.to_owned(), value);
    let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "none".to_owned());
    [
        fact("Service instances", environment.instances.to_string()),
        fact("Redis", or_none(&environment.redis_version)),
        fact("Topology of Redis", or_none(&environment.redis_topology)),
        fact(
            "Redis was started by",
            match (&environment.redis_version, environment.redis_managed) {
                (None, _) => words::NOTHING,
                (_, true) => "this run",
                (_, false) => "someone else",
            }
            .to_owned(),
        ),
        fact(
            "Connections of the database",
            environment.origin_connections.to_string(),
        ),
    ]
}

pub(super) fn alerts(report: &Report) -> Table {
    let watched = report.alerts_watched.len() as u64;
    let caption = match watched {
        0 => "Alerts that fired".to_owned(),
        _ => format!(
            "Alerts that fired, of {} watched",
            words::counted(watched, "that was", "that were")
        ),
    };
    let columns = ["alert", "from", "until", "worst", "condition", "source"];
    let mut table = Table::new(&caption, &columns);
    for alert in &report.alerts {
        let until = alert
            .end_s
            .map_or_else(|| "the end".to_owned(), words::seconds);
        table.rows.push(vec![
            Cell::text(alert.name.clone()),
            Cell::number(words::seconds(alert.start_s)),
            Cell::number(until),
            Cell::number(or_nothing(&alert.worst)),
            Cell::text(alert.check.clone()),
            Cell::text(alert.source.clone()),
        ]);
    }
    table
}

fn or_nothing(text: &str) -> String {
    match text {
        "" => words::NOTHING.to_owned(),
        text => text.to_owned(),
    }
}

/// Every alert, fired or not.
pub(super) fn watched(report: &Report) -> Table {
    let columns = [
        "alert",
        "condition",
        "must hold for",
        "window",
        "fired",
        "looks",
        "looks without evidence",
        "source",
    ];
    let mut table = Table::new("Alerts that were watched", &columns);
    for alert in &report.alerts_watched {
        table.rows.push(vec![
            Cell::text(alert.name.clone()),
            Cell::text(alert.check.clone()),
            Cell::number(words::seconds(alert.for_s)),
            Cell::number(words::seconds(alert.window_s)),
            Cell::count(alert.fired),
            Cell::count(alert.looks),
            Cell::count(alert.blind_looks),
            Cell::text(alert.source.clone()),
        ]);
    }
    table
}

pub(super) fn faults(report: &Report) -> Table {
    let mut table = Table::new("Faults that were injected", &["fault", "at"]);
    for fault in &report.faults {
        table.rows.push(vec![
            Cell::text(fault.name.clone()),
            Cell::number(words::seconds(fault.at_s)),
        ]);
    }
    table
}

/// What users of each kind met.
pub(super) fn user_kinds(report: &Report) -> Table {
    let columns = [
        "kind of users",
        "users",
        "requests",
        "errors",
        "hit ratio",
        "p50",
        "p95",
        "p99",
    ];
    let mut table = Table::new("Every kind of users over the judged phases", &columns);
    for kind in &report.user_kinds {
        let times = &kind.response_time_us;
        let mut cells = vec![
            Cell::text(kind.name.clone()),
            Cell::count(kind.users.into()),
            Cell::count(kind.requests),
            Cell::count(kind.errors),
            Cell::number(words::percent_or_nothing(kind.hit_ratio)),
        ];
        cells.extend(Cell::times(times, [times.p50, times.p95, times.p99]));
        table.rows.push(cells);
    }
    table
}

/// What operators did by the clock.
pub(super) fn jobs(report: &Report) -> Table {
    let columns = [
        "job",
        "what it does",
        "at",
        "operations",
        "failed",
        "left undone",
        "took",
    ];
    let mut table = Table::new("Jobs that were done", &columns);
    for job in &report.jobs {
        table.rows.push(vec![
            Cell::text(job.name.clone()),
            Cell::text(job.action.clone()),
            Cell::number(words::seconds(job.at_s)),
            Cell::count(job.operations),
            Cell::count(job.failed),
            Cell::count(job.left_undone),
            Cell::number(words::seconds(job.took_s)),
        ]);
    }
    table
}
