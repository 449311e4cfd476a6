//! What a person wants to know of a report, as tables and facts; how it looks is left to others.
//!
//! Called by the terminal and by Markdown, so that both say the same.

mod jobs;
mod stores;
mod targets;
mod warming;

pub(super) use self::targets::{all_targets, lost, observed, within};
use super::model::{
    DataTypeResult, GeneratorResult, Improvement, OriginResult, Report, Stampede, TargetResult,
};
use super::table::{Cell, Column, Table, Tone};
use super::words::{NOTHING, change, cores, counted, of, plain, rate, ratio, seconds, share, us};
use super::{offered, watched};
use crate::engine::layer::Layer;
use crate::measure::{PhaseKind, Summary};
use crate::units::thousands;

/// The most faults or kinds of error that are listed one by one.
const LISTED_MAX: usize = 5;

/// Those of [`before_and_after`] that are about the origin, the last ones.
const ORIGIN_COLUMNS: usize = 3;

/// The run beside the same traffic with caching off, and what that changed.
pub(super) fn before_and_after(report: &Report) -> Table {
    let mut columns = vec![
        Column::names(""),
        Column::figures("for").rank(5),
        Column::figures("requests"),
        Column::figures("per s").rank(6),
        Column::figures("errors").rank(4),
        Column::figures("mean").rank(3),
        Column::figures("p95"),
        Column::figures("origin queries"),
        Column::figures("per request").rank(2),
        Column::figures("connections").luxury(),
    ];
    let origin = report.origin.as_ref();
    if origin.is_none() {
        columns.truncate(columns.len() - ORIGIN_COLUMNS);
    }
    let columns_count = columns.len();
    let mut table = Table::new(columns);
    if let Some(before) = &report.baseline {
        let side = Side {
            name: "before",
            duration_s: before.duration_s,
            requests: before.requests,
            rate_per_s: before.rate_per_s,
            errors: before.errors,
            response_time_us: &before.response_time_us,
            queries: before.origin_queries,
            queries_per_request: before.origin_queries_per_request,
            peak_connections: before.origin_peak_connections,
        };
        table.push(None, side.cells());
    }
    let judged = report
        .phases
        .iter()
        .filter(|phase| phase.kind == PhaseKind::Measure);
    let side = Side {
        name: if report.baseline.is_some() {
            "after"
        } else {
            "run"
        },
        duration_s: judged.map(|phase| phase.duration_s).sum(),
        requests: report.requests.total,
        rate_per_s: report.requests.rate_per_s,
        errors: report.requests.errors,
        response_time_us: &report.requests.response_time_us,
        queries: origin.map_or(0, |origin| origin.queries),
        queries_per_request: origin.map_or(0.0, |origin| origin.queries_per_request),
        peak_connections: origin.map_or(0, |origin| origin.peak_connections),
    };
    let mut cells = side.cells();
    cells.truncate(columns_count);
    table.push(None, cells);
    if let Some(gained) = &report.improvement {
        table.push(None, changes(gained));
    }
    table
}

/// One of the two runs that are held side by side.
struct Side<'a> {
    name: &'static str,
    duration_s: f64,
    requests: u64,
    rate_per_s: f64,
    errors: u64,
    response_time_us: &'a Summary,
    queries: u64,
    queries_per_request: f64,
    peak_connections: u32,
}

impl Side<'_> {
    fn cells(&self) -> Vec<Cell> {
        vec![
            self.name.into(),
            seconds(self.duration_s).into(),
            thousands(self.requests).into(),
            rate(self.rate_per_s).into(),
            thousands(self.errors).into(),
            of(self.response_time_us, |time| time.mean).into(),
            of(self.response_time_us, |time| time.p95).into(),
            thousands(self.queries).into(),
            format!("{:.2}", self.queries_per_request).into(),
            self.peak_connections.to_string().into(),
        ]
    }
}

fn changes(gained: &Improvement) -> Vec<Cell> {
    let nothing = || Cell::from("");
    let cell = |reduction: f64| {
        let tone = if reduction < 0.0 {
            Tone::Bad
        } else {
            Tone::Good
        };
        Cell::toned(change(reduction), tone)
    };
    vec![
        "change".into(),
        nothing(),
        nothing(),
        nothing(),
        nothing(),
        cell(gained.response_time_reduction),
        cell(gained.response_time_p95_reduction),
        nothing(),
        cell(gained.origin_query_reduction),
        nothing(),
    ]
}

/// One row for each data type, and one for all.
pub(super) fn data_types(report: &Report) -> Table {
    let rows = &report.data_types;
    let layers: Vec<&str> = Layer::ALL
        .iter()
        .map(|layer| layer.name())
        .filter(|layer| {
            rows.values()
                .any(|row| row.answered_by.contains_key(*layer))
        })
        .collect();
    let mut columns = vec![
        Column::names("").cut_to(12),
        Column::figures("requests"),
        Column::figures("hit ratio"),
    ];
    columns.extend(layers.iter().map(|layer| Column::figures(*layer).rank(3)));
    columns.extend([
        Column::figures("p50").rank(5),
        Column::figures("p95"),
        Column::figures("p99").rank(4),
        Column::figures("stale").rank(1),
    ]);
    if report.baseline.is_some() {
        columns.push(Column::figures("p95 before").luxury());
    }
    let mut table = Table::new(columns);
    for (name, row) in rows {
        let mut cells = vec![
            plain(name).into(),
            thousands(row.requests).into(),
            ratio(row.hit_ratio).into(),
        ];
        cells.extend(
            layers
                .iter()
                .map(|layer| share(row.answered_by.get(*layer).copied()).into()),
        );
        cells.extend([
            of(&row.response_time_us, |time| time.p50).into(),
            of(&row.response_time_us, |time| time.p95).into(),
            of(&row.response_time_us, |time| time.p99).into(),
            ratio(stale_ratio(std::iter::once(row))).into(),
        ]);
        if let Some(before) = &report.baseline {
            let before = before.response_time_by_data_type_us.get(name);
            cells.push(
                before
                    .map_or_else(|| NOTHING.to_owned(), |time| of(time, |t| t.p95))
                    .into(),
            );
        }
        table.push(None, cells);
    }
    if rows.len() > 1 {
        table.push(None, all_data_types(report, &layers));
    }
    table
}

fn all_data_types(report: &Report, layers: &[&str]) -> Vec<Cell> {
    let reads: u64 = report.data_types.values().map(|row| row.reads).sum();
    let of_reads = |part: &dyn Fn(&DataTypeResult) -> Option<f64>| {
        let parts = report.data_types.values();
        let parts = parts.filter_map(|row| Some(part(row)? * row.reads as f64));
        // Of reads that all failed nothing is known.
        let sum = parts.reduce(|sum, part| sum + part)?;
        (reads > 0).then(|| sum / reads as f64)
    };
    let time = &report.requests.response_time_us;
    let mut cells = vec![
        "all".into(),
        thousands(report.requests.total).into(),
        ratio(of_reads(&|row| row.hit_ratio)).into(),
    ];
    cells.extend(
        layers
            .iter()
            .map(|layer| share(of_reads(&|row| row.answered_by.get(*layer).copied())).into()),
    );
    cells.extend([
        of(time, |time| time.p50).into(),
        of(time, |time| time.p95).into(),
        of(time, |time| time.p99).into(),
        ratio(stale_ratio(report.data_types.values())).into(),
    ]);
    if let Some(before) = &report.baseline {
        cells.push(of(&before.response_time_us, |time| time.p95).into());
    }
    cells
}

fn stale_ratio<'a>(rows: impl Iterator<Item = &'a DataTypeResult>) -> Option<f64> {
    let (stale, checked) = rows.fold((0, 0), |(stale, checked), row| {
        (
            stale + row.staleness_ms.stale,
            checked + row.staleness_ms.checked,
        )
    });
    (checked > 0).then(|| stale as f64 / checked as f64)
}

/// One thing worth knowing.
#[derive(Clone, Debug)]
pub(super) struct Fact {
    /// What it is about.
    pub(super) label: &'static str,
    /// The thing, on one line.
    pub(super) text: String,
    /// What it means.
    pub(super) tone: Tone,
}

impl Fact {
    pub(super) fn new(label: &'static str, text: impl AsRef<str>, tone: Tone) -> Self {
        Self {
            label,
            text: plain(text.as_ref()),
            tone,
        }
    }
}

/// How the origin, Redis and the keepers of truth fared, what happened, and whether the run can be
/// trusted, that last.
pub(super) fn facts(report: &Report) -> Vec<Fact> {
    let mut facts = sampled(report);
    facts.extend(report.target.as_ref().map(target));
    facts.extend(report.origin.as_ref().map(origin));
    facts.extend(report.stampede.as_ref().map(loads));
    facts.extend(warming::facts(report));
    facts.extend(stores::local(report));
    facts.extend(report.redis.as_ref().map(stores::redis));
    let asides = report.redis.iter().flat_map(|redis| &redis.stores);
    facts.extend(asides.map(stores::aside));
    facts.extend(report.memcached.as_ref().map(stores::memcached));
    facts.extend(watched::ttls(report));
    let query_cache = report.origin.as_ref().and_then(|origin| origin.query_cache);
    facts.extend(query_cache.map(stores::query_cache));
    facts.extend(offered::trace(report));
    facts.extend(offered::value_sizes(report));
    facts.extend(offered::facts(report));
    facts.extend(errors(report));
    facts.extend(oracles(report));
    facts.extend(happenings(report));
    facts.extend(validity(report));
    facts
}

/// What was simulated, and what to know of that; nothing if it was all.
fn sampled(report: &Report) -> Vec<Fact> {
    let Some(sampling) = &report.sampling else {
        return Vec::new();
    };
    let caveats = sampling.caveats.iter();
    let caveats = caveats.map(|caveat| Fact::new("", caveat, Tone::Doubtful));
    std::iter::once(Fact::new(
        "sample",
        super::sampled::told(sampling),
        Tone::Plain,
    ))
    .chain(caveats)
    .collect()
}

/// What could not be looked at.
fn target(target: &TargetResult) -> Fact {
    let unknown = match target.reads_unknown {
        0 => String::new(),
        some => format!("; {} did not say it", counted(some, "read")),
    };
    let text = format!(
        "{}, seen from outside; its cache by its own word ({}){unknown}",
        target.urls.join(" "),
        target.outcome
    );
    Fact::new("target", text, Tone::Plain)
}

fn origin(origin: &OriginResult) -> Fact {
    let in_vain = match origin.timeouts {
        0 => String::new(),
        timeouts => format!("; {} got none in time", thousands(timeouts)),
    };
    let text = format!(
        "{} queries, {}/s; at most {} of {} connections; p95 wait for one {}{in_vain}",
        thousands(origin.queries),
        rate(origin.queries_per_s),
        origin.peak_connections,
        origin.connections,
        of(&origin.wait_time_us, |time| time.p95),
    );
    Fact::new("origin", text, Tone::Plain)
}

fn loads(stampede: &Stampede) -> Fact {
    let most = stampede.origin_loads_per_flight_max;
    let text = format!(
        "{} in {}, at most {most} of one key at once; {} waited for another's load",
        counted(stampede.origin_loads, "load"),
        counted(stampede.flights, "flight"),
        counted(stampede.followers, "request"),
    );
    Fact::new(
        "loads",
        text,
        if most > 1 {
            Tone::Doubtful
        } else {
            Tone::Plain
        },
    )
}

fn errors(report: &Report) -> Option<Fact> {
    let requests = &report.requests;
    if requests.errors == 0 {
        return None;
    }
    let mut kinds: Vec<_> = requests.errors_by_kind.iter().collect();
    kinds.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let kinds = kinds
        .iter()
        .map(|(kind, count)| format!("{kind} ({})", thousands(**count)));
    let failed = thousands(requests.errors);
    let text = format!(
        "{failed} of {}: {}",
        counted(requests.total, "request"),
        listed(kinds)
    );
    Some(Fact::new("errors", text, Tone::Doubtful))
}

fn oracles(report: &Report) -> Vec<Fact> {
    let violated = report
        .oracles
        .iter()
        .filter(|(_, oracle)| oracle.violations > 0);
    let mut facts: Vec<Fact> = violated
        .map(|(name, oracle)| {
            let violations = counted(oracle.violations, "VIOLATION");
            let checks = counted(oracle.checked, "check");
            let text = format!("{name}: {violations} in {checks}; worst: {}", oracle.worst);
            Fact::new(
                "oracle",
                text.replace("VIOLATIONs", "VIOLATIONS"),
                Tone::Bad,
            )
        })
        .collect();
    if facts.is_empty() && !report.oracles.is_empty() {
        let names = listed(report.oracles.keys().cloned());
        let checked = report.oracles.values().map(|oracle| oracle.checked).sum();
        let text = format!("{names}: no violation in {}", counted(checked, "check"));
        facts.push(Fact::new("oracles", text, Tone::Plain));
    }
    facts
}

fn happenings(report: &Report) -> Vec<Fact> {
    let mut facts = watched::alerts(report);
    facts.extend(jobs::facts(report));
    if !report.faults.is_empty() {
        let faults = report.faults.iter();
        let faults = faults.map(|fault| format!("{} at {}", fault.name, seconds(fault.at_s)));
        facts.push(Fact::new("faults", listed(faults), Tone::Plain));
    }
    facts
}

fn validity(report: &Report) -> Vec<Fact> {
    let validity = &report.validity;
    let cpu = |who, value: Option<f64>| Some(format!("{who} {}", cores(value?)));
    let generator = report.generator.as_ref();
    let busiest = generator.and_then(|of| of.threads.first());
    let delay = generator.map(|of| of.loop_delay_us);
    let delay = delay.filter(|delay| delay.count > 0);
    let signs: Vec<String> = [
        cpu("generator", validity.generator_cpu_cores),
        busiest.map(|thread| format!("busiest thread {}", share(Some(thread.cpu_cores)))),
        cpu("instances", validity.instances_cpu_cores),
        delay.map(|delay| format!("loop delay p99 {}", us(delay.p99))),
        (validity.slip_us.count > 0)
            .then(|| format!("start slip p99 {}", us(validity.slip_us.p99))),
        Some(match report.requests.dropped {
            0 => "nothing dropped".to_owned(),
            dropped => format!("{} DROPPED", thousands(dropped)),
        }),
        Some(at_most(report)),
    ]
    .into_iter()
    .chain([generator.and_then(descriptors)])
    .flatten()
    .collect();
    let signs = signs.join(", ");
    let mut facts = Vec::new();
    facts.extend(report.ended_early.as_ref().map(targets::ended));
    if validity.interrupted {
        let text = "INTERRUPTED: this is what was measured until then";
        facts.push(Fact::new("run", text, Tone::Doubtful));
    }
    if validity.valid {
        facts.push(Fact::new("run", format!("valid: {signs}"), Tone::Plain));
    } else {
        let because = validity.reasons.join("; ");
        facts.push(Fact::new("run", format!("INVALID: {because}"), Tone::Bad));
        facts.push(Fact::new("signs", signs, Tone::Plain));
    }
    if let Some(log) = &report.event_log {
        let text = format!(
            "{} events, hash {}: the same scenario and seed give the same",
            thousands(log.events),
            log.hash
        );
        facts.push(Fact::new("log", text, Tone::Plain));
    }
    let note = |warning: &String| Fact::new("note", warning, Tone::Doubtful);
    facts.extend(validity.warnings.iter().map(note));
    facts
}

/// `1,204 of 65,536 file descriptors`.
fn descriptors(generator: &GeneratorResult) -> Option<String> {
    let most = thousands(generator.descriptors_max?);
    let limit = generator.descriptors_limit.map(thousands);
    let of = limit.map_or_else(String::new, |limit| format!(" of {limit}"));
    Some(format!("{most}{of} file descriptors"))
}

/// The first few, and how many more there are.
/// How many users were there at once, or in an open loop how many requests were under way.
fn at_most(report: &Report) -> String {
    let validity = &report.validity;
    if report.is_open() {
        let most = counted(validity.users_in_flight_max, "request");
        return format!("at most {most} under way");
    }
    format!("at most {} live", counted(validity.users_live_max, "user"))
}

fn listed(texts: impl Iterator<Item = String>) -> String {
    let mut texts: Vec<String> = texts.collect();
    let more = texts.len().saturating_sub(LISTED_MAX);
    texts.truncate(LISTED_MAX);
    if more > 0 {
        texts.push(format!("and {} more", thousands(more as u64)));
    }
    texts.join(", ")
}
