//! What stands on the page beside the pictures: the verdict, the targets, the data types, facts.

mod facts;
mod rows;

use serde::Serialize;

pub(crate) use self::rows::TargetRow;
use self::rows::target_rows;
use super::figures::{Section, sections};
use super::table::{Cell, Table};
use super::{targets, words};
use crate::engine::layer::Layer;
use crate::gates::Verdict;
use crate::report::model::{GateResult, OriginResult, Report};
use crate::report::target::named;
use crate::report::words::driver;
use crate::units::thousands;

/// Everything that the template sets.
#[derive(Debug, Serialize)]
pub(crate) struct Page {
    /// The scenario's name.
    pub name: String,
    /// What it is about.
    pub description: String,
    /// The verdict in one word: `PASS`.
    pub verdict: &'static str,
    /// Its CSS class.
    pub verdict_class: &'static str,
    /// `17 of 17 targets held`.
    pub held: String,
    /// What failed or is missing; may be empty.
    pub verdict_note: String,
    /// What a reader must know before anything else.
    pub cautions: Vec<String>,
    /// Seed, driver, place and time in one line.
    pub facts_line: Vec<String>,
    /// The few numbers that matter most.
    pub tiles: Vec<Tile>,
    /// Every target, those that need a look first.
    pub targets: Vec<TargetRow>,
    /// The data types.
    pub data_types: Table,
    /// The kinds of users, if there are several.
    pub user_kinds: Table,
    /// The pictures.
    pub sections: Vec<Section>,
    /// The command that makes the same run.
    pub command: String,
    /// What that run has in common with this one besides its requests.
    pub times_depend: &'static str,
    /// Where it ran.
    pub place: Vec<(String, String)>,
    /// What fired and what was injected.
    pub incidents: Vec<Table>,
    /// Who wrote the page.
    pub tool: String,
}

/// A number that matters.
#[derive(Debug, Serialize)]
pub(crate) struct Tile {
    /// What it is.
    pub name: &'static str,
    /// The number with its unit.
    pub value: String,
    /// What to compare it with; may be empty.
    pub note: String,
}

impl Page {
    /// The page of `report`.
    pub(crate) fn of(report: &Report) -> Self {
        let (verdict, verdict_class) = verdict_words(report.verdict);
        Self {
            name: report.scenario.name.clone(),
            description: report.scenario.description.clone(),
            verdict,
            verdict_class,
            held: held(&report.gates),
            verdict_note: verdict_note(&report.gates),
            cautions: cautions(report),
            facts_line: facts_line(report),
            tiles: tiles(report),
            targets: target_rows(&report.gates),
            data_types: data_types(report),
            user_kinds: facts::user_kinds(report),
            sections: sections(report),
            command: facts::command(report),
            times_depend: times_depend(&report.time),
            place: facts::place(report),
            incidents: vec![
                facts::alerts(report),
                facts::watched(report),
                facts::faults(report),
                facts::jobs(report),
            ],
            tool: format!("{} {}", report.tool.name, report.tool.version),
        }
    }
}

fn verdict_words(verdict: Verdict) -> (&'static str, &'static str) {
    match verdict {
        Verdict::Pass => ("PASS", "pass"),
        Verdict::Fail => ("FAIL", "fail"),
        Verdict::Inconclusive => ("INCONCLUSIVE", "inconclusive"),
    }
}

fn held(gates: &[GateResult]) -> String {
    let held = gates.iter().filter(|gate| gate.verdict == Verdict::Pass);
    match gates.len() {
        0 => "no target was stated".to_owned(),
        all => format!("{} of {all} targets held", held.count()),
    }
}

fn verdict_note(gates: &[GateResult]) -> String {
    let names = |verdict, what: &str| {
        let of = gates.iter().filter(|gate| gate.verdict == verdict);
        let names: Vec<&str> = of.map(|gate| gate.name.as_str()).collect();
        match names.len() {
            0 => None,
            1..=4 => Some(format!("{what}: {}.", names.join(", "))),
            many => Some(format!(
                "{what}: {} and {} more.",
                names[..3].join(", "),
                many - 3
            )),
        }
    };
    let notes = [
        names(Verdict::Fail, "Failed"),
        names(Verdict::Inconclusive, "Without evidence"),
    ];
    notes.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

fn cautions(report: &Report) -> Vec<String> {
    let validity = &report.validity;
    let mut cautions = Vec::new();
    if let Some(ended) = &report.ended_early {
        cautions.push(words::sentence(&format!(
            "the run was ended at {} of {}, because {} was lost: only what was measured until then is \
             here",
            words::seconds(ended.at_s),
            words::seconds(ended.planned_s),
            ended.gates.join(", ")
        )));
    }
    if validity.interrupted {
        cautions.push("The run was interrupted: only what was measured until then is here.".into());
    }
    if !validity.valid {
        let reasons = if validity.reasons.is_empty() {
            "no reason was given".to_owned()
        } else {
            validity.reasons.join("; ")
        };
        cautions.push(format!(
            "The run is invalid, its numbers prove nothing: {reasons}."
        ));
    }
    cautions.extend(
        validity
            .warnings
            .iter()
            .map(|warning| words::sentence(warning)),
    );
    cautions
}

fn facts_line(report: &Report) -> Vec<String> {
    let environment = &report.environment;
    let redis = match (&environment.redis_version, &environment.redis_topology) {
        (None, _) => "no Redis".to_owned(),
        (Some(version), topology) => {
            let topology = topology
                .as_deref()
                .map_or_else(String::new, |t| format!(" {t}"));
            let managed = if environment.redis_managed {
                " (managed)"
            } else {
                ""
            };
            format!("Redis {version}{topology}{managed}")
        }
    };
    let mut facts = vec![
        format!("seed {}", report.seed),
        driver(report),
        match &report.target {
            Some(target) => named(target),
            None => redis,
        },
        match &report.target {
            Some(_) => String::new(),
            None => words::counted(u64::from(environment.instances), "instance", "instances"),
        },
        format!(
            "{}, {}",
            environment.system,
            words::counted(u64::from(environment.cpus), "processor", "processors")
        ),
        format!(
            "{} {}",
            words::seconds(report.duration_s),
            duration_kind(&report.time)
        ),
        moment(&report.started_at),
    ];
    facts.retain(|fact| !fact.is_empty());
    facts
}

/// What a second run has in common with this one besides its requests.
fn times_depend(time: &str) -> &'static str {
    if time == "virtual" {
        "In virtual time all times are the same, too, whatever the machine."
    } else {
        "Times depend on the machine."
    }
}

fn duration_kind(time: &str) -> &'static str {
    if time == "virtual" {
        "of virtual time"
    } else {
        "long"
    }
}

/// `2026-11-23 07:45:00 UTC`, where it is written as expected.
fn moment(rfc3339: &str) -> String {
    match rfc3339
        .strip_suffix('Z')
        .and_then(|text| text.split_once('T'))
    {
        Some((day, time)) => format!("{day} {time} UTC"),
        None => rfc3339.to_owned(),
    }
}

fn tiles(report: &Report) -> Vec<Tile> {
    let times = &report.requests.response_time_us;
    let baseline = report.baseline.as_ref();
    let gained = report.improvement;
    let measured = |count: u64, text: String| {
        if count > 0 {
            text
        } else {
            words::NOTHING.to_owned()
        }
    };
    let before_time = baseline.filter(|before| before.response_time_us.count > 0);
    let read: u64 = report.data_types.values().map(|row| row.reads).sum();
    let answered = report.data_types.values();
    let answered = answered.filter_map(|row| Some((row.hit_ratio?, row.reads)));
    let (hits, of) = answered.fold((0.0, 0), |(hits, of), (ratio, reads)| {
        (hits + ratio * reads as f64, of + reads)
    });
    let mut shown = vec![
        Tile {
            name: "p95 response time",
            value: measured(times.count, words::us(times.p95)),
            note: before_time.map_or_else(String::new, |before| {
                let change = gained.map(|g| words::change(g.response_time_p95_reduction));
                before_note(&words::us(before.response_time_us.p95), change)
            }),
        },
        Tile {
            name: "hit ratio of all reads",
            value: measured(of, words::percent(words::share(hits, of as f64))),
            note: format!("{} reads", thousands(read)),
        },
        Tile {
            name: "requests",
            value: thousands(report.requests.total),
            note: format!(
                "{}, {} failed",
                words::per_s(report.requests.rate_per_s),
                thousands(report.requests.errors)
            ),
        },
    ];
    // Of a target nobody knows either.
    if let Some(origin) = &report.origin {
        shown.insert(2, origin_tile(report, origin));
        shown.push(stale_tile(report));
    }
    shown
}

fn origin_tile(report: &Report, origin: &OriginResult) -> Tile {
    let gained = report.improvement;
    let before = report.baseline.as_ref();
    Tile {
        name: "origin queries",
        value: words::per_s(origin.queries_per_s),
        note: before.map_or_else(String::new, |before| {
            let change =
                gained.map(|g| format!("{} per request", words::change(g.origin_query_reduction)));
            before_note(&words::per_s(before.origin_queries_per_s), change)
        }),
    }
}

fn before_note(before: &str, change: Option<String>) -> String {
    match change {
        Some(change) => format!("before {before}, {change}"),
        None => format!("before {before}"),
    }
}

fn stale_tile(report: &Report) -> Tile {
    let ages = || report.data_types.values().map(|row| &row.staleness_ms);
    let checked: u64 = ages().map(|age| age.checked).sum();
    let stale: u64 = ages().map(|age| age.stale).sum();
    let oldest_ms = ages()
        .filter(|age| age.stale > 0)
        .map(|age| age.max)
        .fold(0.0, f64::max);
    Tile {
        name: "stale reads",
        value: match checked {
            0 => words::NOTHING.to_owned(),
            _ => words::percent(stale as f64 / checked as f64),
        },
        note: match (checked, stale) {
            (0, _) => "none could be checked".to_owned(),
            (_, 0) => format!("{} checked", thousands(checked)),
            _ => format!(
                "{}, oldest by {}",
                words::counted(stale, "read", "reads"),
                words::us(oldest_ms * 1e3)
            ),
        },
    }
}

fn data_types(report: &Report) -> Table {
    let layers = layers(report);
    let mut head = vec!["data type", "requests", "hit ratio"];
    head.extend(&layers);
    head.extend(["p50", "p95", "p99", "p95 of hits"]);
    if report.origin.is_some() {
        head.extend(["stale", "origin queries"]);
    }
    let mut table = Table::new("Every data type over the judged phases", &head);
    for (name, row) in &report.data_types {
        let gate = targets::of_data_type(report, "hit_ratio", name);
        let missed = gate.is_some_and(|gate| gate.verdict == Verdict::Fail);
        let mut cells = vec![
            Cell::text(name.clone()),
            Cell::count(row.requests),
            Cell {
                text: words::percent_or_nothing(row.hit_ratio),
                class: if missed { "n bad" } else { "n strong" },
            },
        ];
        cells.extend(layers.iter().map(|layer| {
            let share = row.answered_by.get(*layer).copied();
            Cell::number(words::percent_or_nothing(share))
        }));
        let times = &row.response_time_us;
        cells.extend(Cell::times(times, [times.p50, times.p95, times.p99]));
        let hits = &row.hit_response_time_us;
        cells.extend(Cell::times(hits, [hits.p95]));
        if let Some(origin) = &report.origin {
            let age = &row.staleness_ms;
            let stale = (age.checked > 0).then(|| age.stale as f64 / age.checked as f64);
            cells.push(Cell::number(words::percent_or_nothing(stale)));
            let queries = origin.queries_by_data_type.get(name).copied();
            cells.push(Cell::count(queries.unwrap_or(0)));
        }
        table.rows.push(cells);
    }
    table
}

/// Ours, or of a target those that answered.
fn layers(report: &Report) -> Vec<&'static str> {
    let layers = Layer::ALL.into_iter().map(Layer::name);
    let answered = |layer: &&str| {
        let mut rows = report.data_types.values();
        rows.any(|row| {
            row.answered_by
                .get(*layer)
                .is_some_and(|share| *share > 0.0)
        })
    };
    match &report.target {
        Some(_) => layers.filter(answered).collect(),
        None => layers
            .filter(|layer| *layer != Layer::Edge.name())
            .collect(),
    }
}

#[cfg(test)]
mod tests;
