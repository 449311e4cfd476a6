//! The plan written out again as a scenario: overrides applied, defaults filled in.
//!
//! Made from the plan and not from the file, so that it says what is run and not what was meant;
//! reading it gives the same plan, which a test holds. Goes into the report's folder.

mod arrivals;
mod day;
mod durability;
mod gates;
mod kinds;
mod layers;
mod models;
mod target;
mod warming;

use std::fmt::Write as _;
use std::time::Duration;

use super::plan::{Plan, SampleShare, TrafficPlan, Variant};
use super::words::{Algorithm, Word};
use crate::engine::data_type::{DataType, Limit, LimitAlgorithm, Stampede};
use crate::environment::{DatabaseConfig, ServiceTime, TableConfig};
use crate::gates::alert::Alert;
use crate::units::{ByteSize, Ratio, Span};
use crate::workload::{Dimension, Popularity, Population};

/// A value to be written.
#[derive(Clone, PartialEq)]
enum Yaml {
    /// A number, a quantity or one of our own words: safe without quotes.
    Word(String),
    /// Anything that a person wrote.
    Text(String),
    List(Vec<Yaml>),
    Map(Vec<(String, Yaml)>),
}

impl Yaml {
    fn word(word: impl std::fmt::Display) -> Self {
        Self::Word(format!("{word}"))
    }

    fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// A name: validated, so it needs quotes only where YAML would take it for something else.
    fn name(name: &str) -> Self {
        let special = ["null", "true", "false", "yes", "no", "on", "off", "y", "n"];
        let special = special.contains(&&*name.to_lowercase());
        if name.starts_with(|c: char| c.is_ascii_alphabetic()) && !special {
            Self::word(name)
        } else {
            Self::text(name)
        }
    }

    fn span(duration: Duration) -> Self {
        Self::word(Span(duration))
    }

    fn none_or<T>(value: Option<T>, write: impl Fn(T) -> Self) -> Self {
        value.map_or_else(|| Self::word("none"), write)
    }
}

/// A mapping in the order written.
fn map<'k>(entries: impl IntoIterator<Item = (&'k str, Yaml)>) -> Yaml {
    let entries = entries.into_iter();
    Yaml::Map(
        entries
            .map(|(key, value)| (key.to_owned(), value))
            .collect(),
    )
}

/// A size in the largest unit that keeps it exact: the short form for people would round it.
pub(super) fn size(size: ByteSize) -> String {
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    let whole = |shift: u32| size.0 > 0 && size.0.trailing_zeros() >= shift;
    match units.into_iter().find(|(shift, _)| whole(*shift)) {
        Some((shift, unit)) => format!("{}{unit}", size.0 >> shift),
        None => format!("{}B", size.0),
    }
}

/// A share in percent if that keeps it exact.
fn share(ratio: Ratio) -> String {
    let percent = format!("{}%", ratio.0 * 100.0);
    match percent.parse() {
        Ok(again) if ratio == again => percent,
        _ => ratio.0.to_string(),
    }
}

/// Writes `plan`.
pub(super) fn write(plan: &Plan) -> String {
    let mut root = sections(plan);
    if !plan.variants.is_empty() {
        let variants = plan
            .variants
            .iter()
            .map(|variant| write_variant(variant, &root));
        root.push(("variants".to_owned(), Yaml::List(variants.collect())));
    }
    let mut out =
        "# A scenario as cachestorm ran it: overrides applied, defaults filled in.\n".to_owned();
    write_block(&Yaml::Map(root), 0, &mut out);
    out
}

/// A variant: every section that is not as in the main one, as a whole.
fn write_variant(variant: &Variant, main: &[(String, Yaml)]) -> Yaml {
    let name = ("name", Yaml::name(&variant.name));
    let Some(plan) = &variant.plan else {
        return map([name, ("main", Yaml::word(true))]);
    };
    // What the baseline is, the main variant says alone.
    let differs = |section: &(String, Yaml)| section.0 != "baseline" && !main.contains(section);
    let changes = sections(plan).into_iter().filter(differs);
    map([name, ("set", Yaml::Map(changes.collect()))])
}

/// The plan by its top-level keys.
fn sections(plan: &Plan) -> Vec<(String, Yaml)> {
    let data_types = plan.policies.iter().map(|(id, policy)| {
        let table = &plan.database.tables[id.index()];
        let population = &plan.workload.populations[id.index()];
        let mut row = data_type(policy, table, population, plan.traffic.users);
        if let (Some(store), Yaml::Map(entries)) = (layers::store_of(plan, id), &mut row) {
            entries.push(("store".to_owned(), store));
        }
        (policy.name.to_string(), row)
    });
    let gates = plan.gates.iter().map(gates::write);
    let sections = [
        ("name", Yaml::name(&plan.name)),
        ("description", Yaml::text(&plan.description)),
        ("seed", Yaml::word(plan.seed)),
        ("data_types", Yaml::Map(data_types.collect())),
        ("layers", layers::write(plan)),
        ("instances", Yaml::word(plan.instances)),
        ("origin", origin(&plan.database)),
        ("resilience", durability::write(&plan.resilience)),
        ("warming", warming::write(plan)),
        ("traffic", traffic(plan, &plan.traffic)),
        ("jobs", day::jobs(plan)),
        ("simulation", simulation(plan)),
        (
            "baseline",
            Yaml::none_or(plan.baseline, |baseline| {
                map([("for", Yaml::span(baseline.duration))])
            }),
        ),
        (
            "alerts",
            Yaml::List(plan.alerts.iter().map(alert).collect()),
        ),
        ("gates", Yaml::List(gates.collect())),
    ]
    .map(|(key, value)| (key.to_owned(), value));
    target::instead(plan, sections.into())
}

fn simulation(plan: &Plan) -> Yaml {
    let sample = match plan.simulation.sample {
        SampleShare::Auto => "auto".to_owned(),
        SampleShare::Whole => "none".to_owned(),
        SampleShare::Of(ratio) => share(ratio),
    };
    map([
        ("sample", Yaml::word(sample)),
        ("samples", Yaml::word(plan.simulation.samples)),
    ])
}

fn origin(database: &DatabaseConfig) -> Yaml {
    let query_cache = Yaml::none_or(database.query_cache, |cache| {
        map([
            ("entries", Yaml::word(cache.entries)),
            ("ttl", Yaml::none_or(cache.ttl, Yaml::span)),
            ("hit_time", time(cache.hit_time)),
        ])
    });
    map([
        ("connections", Yaml::word(database.connections)),
        ("acquire_timeout", Yaml::span(database.acquire_timeout)),
        ("query_cache", query_cache),
    ])
}

fn time(time: ServiceTime) -> Yaml {
    map([
        ("median", Yaml::span(time.median)),
        ("p99", Yaml::span(time.p99)),
    ])
}

fn alert(alert: &Alert) -> Yaml {
    map([
        ("name", Yaml::text(&alert.name)),
        ("source", Yaml::text(&alert.source)),
        ("check", Yaml::text(&alert.check.text)),
        ("for", Yaml::span(alert.hold)),
        ("window", Yaml::span(alert.window)),
    ])
}

fn data_type(policy: &DataType, table: &TableConfig, population: &Population, users: u32) -> Yaml {
    let mut row = vec![
        ("key", Yaml::text(policy.key.to_string())),
        ("strategy", Yaml::word(policy.strategy.word())),
        ("ttl", Yaml::span(policy.ttl)),
    ];
    if let Some(limit) = policy.limit {
        row.push(("limit", self::limit(limit)));
    } else {
        row.extend(values(policy, table));
    }
    let params: Vec<&str> = policy.key.params().collect();
    row.extend(keys(&params, population, users));
    Yaml::Map(
        row.into_iter()
            .map(|(key, value)| (key.to_owned(), value))
            .collect(),
    )
}

fn limit(limit: Limit) -> Yaml {
    let algorithm = Algorithm::of(limit.algorithm).word();
    let mut entries = vec![
        ("requests".to_owned(), Yaml::word(limit.requests)),
        ("window".to_owned(), Yaml::span(limit.window)),
        ("algorithm".to_owned(), Yaml::word(algorithm)),
    ];
    if let LimitAlgorithm::Gcra { burst } = limit.algorithm {
        entries.push(("burst".to_owned(), Yaml::word(burst)));
    }
    Yaml::Map(entries)
}

/// What counters do not have.
fn values(policy: &DataType, table: &TableConfig) -> [(&'static str, Yaml); 12] {
    let related = policy.related.iter().map(|key| Yaml::text(key.to_string()));
    [
        ("local_ttl", Yaml::none_or(policy.local_ttl, Yaml::span)),
        (
            "negative_ttl",
            Yaml::none_or(policy.negative_ttl, Yaml::span),
        ),
        ("ttl_jitter", Yaml::word(share(policy.ttl_jitter))),
        ("stampede", stampede(policy.stampede)),
        ("serve_stale", Yaml::none_or(policy.serve_stale, Yaml::span)),
        (
            "sliding",
            Yaml::none_or(policy.sliding, |sliding| {
                map([("max_lifetime", Yaml::span(sliding.max_lifetime))])
            }),
        ),
        ("consistency", Yaml::word(policy.consistency.word())),
        ("invalidation", Yaml::word(policy.invalidation.word())),
        ("related", Yaml::List(related.collect())),
        ("value_size", models::value_size(&table.value_size)),
        ("prefilled", Yaml::word(table.prefilled)),
        (
            "origin",
            map([
                ("query_time", time(table.read_time)),
                ("write_time", time(table.write_time)),
            ]),
        ),
    ]
}

fn stampede(stampede: Stampede) -> Yaml {
    match stampede {
        Stampede::None => Yaml::word("none"),
        Stampede::SingleFlight => Yaml::word("single-flight"),
        Stampede::AdrLock => Yaml::word("adr-lock"),
        Stampede::Lock => Yaml::word("lock"),
        Stampede::Lease => Yaml::word("lease"),
        Stampede::EarlyRefresh { beta } => map([("early-refresh", Yaml::word(beta))]),
        Stampede::StaleWhileRevalidate => Yaml::word("stale-while-revalidate"),
    }
}

/// The keys. A population of one key for each user is left to follow the number of users, so that a
/// resolved scenario can be run with more of them.
fn keys(params: &[&str], population: &Population, users: u32) -> Vec<(&'static str, Yaml)> {
    let per_user = population.popularity == Popularity::PerUser;
    let own = population
        .dimensions
        .iter()
        .position(|dimension| per_user && *dimension != Dimension::Unique);
    let mut dimensions = Vec::new();
    for (at, (param, dimension)) in params.iter().zip(&population.dimensions).enumerate() {
        let follows_users = Some(at) == own && *dimension == Dimension::Cardinality(users.into());
        if !follows_users {
            let written = match dimension {
                Dimension::Cardinality(count) => Yaml::word(count),
                Dimension::Unique => Yaml::word("unique"),
            };
            dimensions.push((String::from(*param), written));
        }
    }
    let mut keys = vec![("popularity", models::popularity(population))];
    keys.extend(models::one_hit(population));
    if !dimensions.is_empty() {
        keys.push(("population", Yaml::Map(dimensions)));
    }
    keys
}

fn traffic(plan: &Plan, traffic: &TrafficPlan) -> Yaml {
    let phases = traffic.phases.iter().map(|phase| {
        let mut keys = vec![
            ("name", Yaml::name(&phase.name)),
            ("for", Yaml::span(phase.duration)),
        ];
        // A phase without them is a phase to which nobody comes.
        let arrivals = phase.arrivals.as_ref();
        keys.extend(arrivals.map(|arrivals| ("arrivals", arrivals::arrivals(arrivals))));
        map(keys)
    });
    let mut written = vec![
        ("driver", Yaml::name(traffic.driver.name())),
        ("ramp", Yaml::span(traffic.ramp)),
        ("rhythm", day::rhythm(traffic.rhythm.as_ref())),
        ("request_timeout", Yaml::span(traffic.request_timeout)),
        ("in_flight", Yaml::word(traffic.in_flight)),
        ("phases", Yaml::List(phases.collect())),
    ];
    match &traffic.trace {
        Some(trace) => written.push(("trace", arrivals::trace(plan, trace))),
        None => written.extend(kinds::write(plan)),
    }
    map(written)
}

/// Writes `value` as a block whose lines are indented by `indent`.
fn write_block(value: &Yaml, indent: usize, out: &mut String) {
    match value {
        Yaml::Map(entries) => {
            for (key, value) in entries {
                push_indent(indent, out);
                write_entry(key, value, indent, out);
            }
        }
        Yaml::List(items) => {
            for item in items {
                push_indent(indent, out);
                out.push_str("- ");
                match item {
                    // The first key stands beside the dash, the others below it.
                    Yaml::Map(entries) if is_block(item) => {
                        for (at, (key, value)) in entries.iter().enumerate() {
                            if at > 0 {
                                push_indent(indent + 2, out);
                            }
                            write_entry(key, value, indent + 2, out);
                        }
                    }
                    _ => {
                        write_inline(item, out);
                        out.push('\n');
                    }
                }
            }
        }
        Yaml::Word(_) | Yaml::Text(_) => {
            write_inline(value, out);
            out.push('\n');
        }
    }
}

fn write_entry(key: &str, value: &Yaml, indent: usize, out: &mut String) {
    write_inline(&Yaml::name(key), out);
    out.push(':');
    if is_block(value) {
        out.push('\n');
        write_block(value, indent + 2, out);
    } else {
        out.push(' ');
        write_inline(value, out);
        out.push('\n');
    }
}

/// Whether `value` is better read over several lines.
fn is_block(value: &Yaml) -> bool {
    let scalar = |value: &Yaml| matches!(value, Yaml::Word(_) | Yaml::Text(_));
    match value {
        Yaml::Word(_) | Yaml::Text(_) => false,
        Yaml::List(items) => !items.iter().all(scalar),
        Yaml::Map(entries) => entries.len() > 2 || !entries.iter().all(|(_, value)| scalar(value)),
    }
}

fn write_inline(value: &Yaml, out: &mut String) {
    match value {
        Yaml::Word(word) => out.push_str(word),
        Yaml::Text(text) => push_quoted(text, out),
        Yaml::List(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                out.push_str(if at > 0 { ", " } else { "" });
                write_inline(item, out);
            }
            out.push(']');
        }
        Yaml::Map(entries) => {
            out.push_str("{ ");
            for (at, (key, value)) in entries.iter().enumerate() {
                out.push_str(if at > 0 { ", " } else { "" });
                write_inline(&Yaml::name(key), out);
                out.push_str(": ");
                write_inline(value, out);
            }
            out.push_str(" }");
        }
    }
}

fn push_quoted(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\u{feff}' | '\u{2028}' | '\u{2029}' => push_escape(c, out),
            c if c.is_control() => push_escape(c, out),
            c => out.push(c),
        }
    }
    out.push('"');
}

fn push_escape(c: char, out: &mut String) {
    let written = write!(out, "\\u{:04x}", u32::from(c));
    debug_assert!(written.is_ok(), "writing to a String cannot fail");
}

fn push_indent(indent: usize, out: &mut String) {
    out.extend(std::iter::repeat_n(' ', indent));
}
