//! Alerts: conditions over a sliding window, looked at once a second while a run goes on.
//!
//! An alert is written in the grammar of gates; [`watched`] names the metrics that can be seen in
//! a window, and [`check`] refuses the others. [`Watch`] is the life of one alert: quiet, pending,
//! firing. Pure: the runner looks, and tells what it saw. docs/alerts.md is held against the
//! table by a test.

mod watch;

use std::time::Duration;

pub(super) use self::watch::worse;
pub use self::watch::{EPISODES_MAX, Episode, Watch};
use super::grammar::{Check, CheckError, Metric, Selector};

/// Over how long an alert looks back unless it says.
pub const WINDOW_DEFAULT: Duration = Duration::from_secs(10);

/// A condition that somebody wants to be told of.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    /// What a person calls it: "Redis down". By default the check's own text.
    pub name: String,
    /// Where it comes from: "ADR-006, Cache Monitoring". May be empty.
    pub source: String,
    /// What is wrong while it holds.
    pub check: Check,
    /// How long it must hold before the alert fires.
    pub hold: Duration,
    /// Over how long it looks back.
    pub window: Duration,
}

/// A metric that can be seen in a window.
#[derive(Clone, Copy, Debug)]
pub struct Watched {
    /// As written, as in a gate.
    pub name: &'static str,
    /// By what it can be narrowed.
    pub selectors: &'static [Selector],
    /// What it says of a window, for people.
    pub meaning: &'static str,
}

use Selector::{DataType, Layer};

/// Every metric that can be seen in a window.
#[rustfmt::skip] // one metric, one row
pub const WATCHED: [Watched; 16] = [
    Watched { name: "response_time", selectors: &[], meaning: "of requests that ended in the window, failed ones left out" },
    Watched { name: "hit_ratio", selectors: &[DataType, Layer], meaning: "reads that a cache layer answered, of all reads that were answered in the window; with `layer`, lookups in that layer that found the entry" },
    Watched { name: "error_ratio", selectors: &[], meaning: "failed requests, of all requests that ended in the window" },
    Watched { name: "memory_usage", selectors: &[], meaning: "Redis' memory of its `maxmemory`, at the last look" },
    Watched { name: "rate", selectors: &[], meaning: "requests that ended, per second of the window" },
    Watched { name: "origin_queries_per_s", selectors: &[DataType], meaning: "origin queries, per second of the window" },
    Watched { name: "evictions_per_s", selectors: &[], meaning: "keys that Redis evicted, per second of the window" },
    Watched { name: "requests", selectors: &[], meaning: "requests that ended in the window" },
    Watched { name: "errors", selectors: &[], meaning: "failed requests that ended in the window" },
    Watched { name: "users", selectors: &[], meaning: "users that are live at the look" },
    Watched { name: "origin_queries", selectors: &[DataType], meaning: "origin queries in the window" },
    Watched { name: "redis_keys", selectors: &[], meaning: "keys in Redis, at the last look" },
    Watched { name: "redis_memory", selectors: &[], meaning: "Redis' `used_memory`, at the last look" },
    Watched { name: "redis_up", selectors: &[], meaning: "1 if Redis, and a store aside, answered at the last look, else 0" },
    Watched { name: "breakers_open", selectors: &[], meaning: "instances whose circuit to the remote layer is open at the look" },
    Watched { name: "write_behind_waiting", selectors: &[], meaning: "writes that wait in the queue of write-behind at the look" },
];

/// The row of [`WATCHED`] of `metric`; `None` if it cannot be seen in a window.
pub fn watched(metric: Metric) -> Option<&'static Watched> {
    let name = metric.info().name;
    WATCHED.iter().find(|row| row.name == name)
}

/// Reads the check of an alert.
///
/// # Errors
/// If it is no check at all, or one that only a gate can hold: about a metric or a part of it that
/// cannot be seen in a window.
pub fn check(text: &str) -> Result<Check, CheckError> {
    let check: Check = text.parse()?;
    seen_in_window(&check, Who::Alert)?;
    Ok(check)
}

/// Who looks at a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// An alert.
    Alert,
    /// A windowed gate, which can be narrowed to a phase beside what the table says.
    Gate,
}

/// Whether `check` is about something that a window shows.
pub(super) fn seen_in_window(check: &Check, who: Who) -> Result<(), CheckError> {
    let name = check.metric.info().name;
    let Some(row) = watched(check.metric) else {
        let all: Vec<&str> = WATCHED.iter().map(|row| row.name).collect();
        let all = all.join(", ");
        return Err(CheckError {
            at: check.text.find(name).unwrap_or(0),
            message: match who {
                Who::Alert => format!(
                    "an alert cannot watch {name}, only a gate can judge it; alerts watch {all}"
                ),
                Who::Gate => format!(
                    "a window does not show {name}; leave the window out, or judge one of {all}"
                ),
            },
        });
    };
    let takes = |selector: Selector| {
        row.selectors.contains(&selector) || (who == Who::Gate && selector == Selector::Phase)
    };
    let mut given = check.selectors.given();
    let Some(refused) = given.find(|selector| !takes(*selector)) else {
        return Ok(());
    };
    let known: Vec<&str> = Selector::ALL
        .into_iter()
        .filter(|selector| takes(*selector) && check.metric.info().selectors.contains(selector))
        .map(Selector::name)
        .collect();
    let known = match known.len() {
        0 => "none".to_owned(),
        _ => known.join(", "),
    };
    let selectors_at = check.text.find('{').unwrap_or(0);
    let at = check.text[selectors_at..].find(refused.name());
    let (refused, place) = (
        refused.name(),
        match who {
            Who::Alert => "an alert",
            Who::Gate => "a window",
        },
    );
    Err(CheckError {
        at: at.unwrap_or(0) + selectors_at,
        message: format!(
            "in {place} {name} cannot be narrowed by {refused}; there it takes {known}"
        ),
    })
}

#[cfg(test)]
mod tests;
