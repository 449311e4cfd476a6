//! The facts at the end of the page: how to run it again, where it ran, alerts and faults.

use super::super::table::{Cell, Table};
use super::super::words;
use super::{driver, moment};
use crate::report::model::Report;
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
    if report.driver != "closed" && report.time != "virtual" {
        parts.push(format!("--driver {}", shell_word(&report.driver)));
    }
    parts.push(format!("--seed {}", report.seed));
    let overrides = report.scenario.overrides.iter();
    let overrides = overrides.filter(|set| !set.starts_with("seed="));
    parts.extend(overrides.map(|set| format!("--set {}", shell_word(set))));
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
    let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "none".to_owned());
    vec![
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
            format!("{}, {} time", driver(&report.driver), report.time),
        ),
        fact("System", environment.system.clone()),
        fact("Processors", environment.cpus.to_string()),
        fact("Users", thousands(u64::from(environment.users))),
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
        fact(
            "Version",
            format!("{} {}", report.tool.name, report.tool.version),
        ),
        fact("Shape of report.json", report.schema_version.to_string()),
    ]
}

pub(super) fn alerts(report: &Report) -> Table {
    let mut table = Table::new("Alerts that fired", &["alert", "from", "until"]);
    for alert in &report.alerts {
        let until = alert
            .end_s
            .map_or_else(|| "the end".to_owned(), words::seconds);
        table.rows.push(vec![
            Cell::text(alert.name.clone()),
            Cell::number(words::seconds(alert.start_s)),
            Cell::number(until),
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
