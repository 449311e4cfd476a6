//! The variants of a scenario side by side: a table of key figures, and which targets each misses.
//!
//! Called by the terminal, by Markdown and by the page, so that all say the same.

use super::digest::observed;
use super::model::{GateResult, Report, Stampede, VariantResult};
use super::table::{Cell, Column, Table, Tone};
use super::words::{NOTHING, counted, of, plain, rate, ratio, seconds, verdict};
use crate::gates::Verdict;
use crate::units::thousands;

/// The most targets that are named one by one.
const NAMED_MAX: usize = 12;

/// One row for each variant, in the order of the scenario; empty without variants.
pub(super) fn table(report: &Report) -> Table {
    let mut table = Table::new(vec![
        Column::names("variant").cut_to(14),
        Column::names("remote").luxury(),
        Column::figures("requests").luxury(),
        Column::figures("errors").rank(4),
        Column::figures("p50").luxury(),
        Column::figures("p95"),
        Column::figures("p99").rank(5),
        Column::figures("hit ratio"),
        Column::figures("stale").rank(2),
        Column::figures("queries/s").luxury(),
        Column::figures("per request").rank(3),
        Column::figures("loads per expiry").rank(1),
        Column::figures("held"),
        Column::names("verdict"),
    ]);
    for variant in &report.variants {
        table.push(None, row(variant));
    }
    table
}

fn row(variant: &VariantResult) -> Vec<Cell> {
    let name = plain(&variant.name);
    let name = if variant.main {
        format!("{name} (main)")
    } else {
        name
    };
    let measured = |text: String| {
        if variant.requests > 0 {
            text.into()
        } else {
            Cell::from(NOTHING)
        }
    };
    vec![
        name.into(),
        variant
            .remote
            .as_deref()
            .map_or(NOTHING.to_owned(), plain)
            .into(),
        measured(thousands(variant.requests)),
        measured(thousands(variant.errors)),
        of(&variant.response_time_us, |time| time.p50).into(),
        of(&variant.response_time_us, |time| time.p95).into(),
        of(&variant.response_time_us, |time| time.p99).into(),
        ratio(variant.hit_ratio).into(),
        ratio(stale_ratio(variant)).into(),
        measured(rate(variant.origin_queries_per_s)),
        measured(format!("{:.2}", variant.origin_queries_per_request)),
        measured(loads_per_expiry(variant)),
        held(variant).into(),
        verdict_cell(variant),
    ]
}

/// What the expiry of a key, or its first miss, cost the origin: the mean, and the most if it is
/// another.
pub(super) fn loads_per_expiry(variant: &VariantResult) -> String {
    let Stampede {
        flights,
        origin_loads,
        ..
    } = variant.stampede;
    if flights == 0 {
        return NOTHING.to_owned();
    }
    let most = thousands(variant.origin_loads_per_flight_max);
    if origin_loads == flights * variant.origin_loads_per_flight_max {
        return most;
    }
    let mean = origin_loads as f64 / flights as f64;
    let mean = if mean < 10.0 {
        format!("{mean:.2}")
    } else {
        rate(mean)
    };
    format!("{mean} (max {most})")
}

fn verdict_cell(variant: &VariantResult) -> Cell {
    match variant.verdict {
        Verdict::Pass => Cell::toned("pass", Tone::Good),
        Verdict::Fail => Cell::toned(verdict(Verdict::Fail), Tone::Bad),
        Verdict::Inconclusive => Cell::toned(verdict(Verdict::Inconclusive), Tone::Doubtful),
    }
}

pub(super) fn stale_ratio(variant: &VariantResult) -> Option<f64> {
    let staleness = &variant.staleness_ms;
    (staleness.checked > 0).then(|| staleness.stale as f64 / staleness.checked as f64)
}

/// `9 of 17`.
pub(super) fn held(variant: &VariantResult) -> String {
    let held = gates(variant, Verdict::Pass).count();
    format!("{held} of {}", variant.gates.len())
}

fn gates(variant: &VariantResult, wanted: Verdict) -> impl Iterator<Item = &GateResult> {
    let of_verdict = move |gate: &&GateResult| gate.verdict == wanted;
    variant.gates.iter().filter(of_verdict)
}

/// A variant and what it misses, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Misses {
    /// The variant.
    pub(super) name: String,
    /// Whether anything is amiss.
    pub(super) verdict: Verdict,
    /// What: `misses hit ratio (0%, wanted > 85%); no evidence of memory`.
    pub(super) text: String,
}

/// What each variant misses, in the order of the scenario.
pub(super) fn misses(report: &Report) -> Vec<Misses> {
    let variants = report.variants.iter();
    variants
        .map(|variant| Misses {
            name: plain(&variant.name),
            verdict: variant.verdict,
            text: missed(variant),
        })
        .collect()
}

fn missed(variant: &VariantResult) -> String {
    if let Some(reason) = &variant.not_run {
        return plain(&format!("not run: {reason}"));
    }
    if !variant.invalid.is_empty() {
        return plain(&format!("INVALID: {}", variant.invalid.join("; ")));
    }
    let failed = gates(variant, Verdict::Fail)
        .map(|gate| format!("{} ({}, wanted {})", gate.name, observed(gate), gate.target));
    let unknown = gates(variant, Verdict::Inconclusive).map(|gate| gate.name.clone());
    let mut parts = match variant.verdict {
        Verdict::Pass => vec!["holds every target".to_owned()],
        _ => Vec::new(),
    };
    if let Some(ended) = &variant.ended_early {
        let (at, of) = (seconds(ended.at_s), seconds(ended.planned_s));
        parts.push(format!(
            "ended at {at} of {of} by {}",
            ended.gates.join(", ")
        ));
    }
    if let Some(failed) = named(failed) {
        parts.push(format!("misses {failed}"));
    }
    if let Some(unknown) = named(unknown) {
        parts.push(format!("no evidence of {unknown}"));
    }
    if let Some(cache) = variant.query_cache {
        let hits = ratio(cache.hit_ratio);
        parts.push(format!(
            "the database's own cache answered {hits} of its loads"
        ));
    }
    if !variant.unsupported.is_empty() {
        let lacks = variant.unsupported.iter();
        let lacks = lacks.map(|(what, count)| format!("{what} ({})", counted(*count, "time")));
        let lacks: Vec<String> = lacks.collect();
        parts.push(format!("its store cannot {}", lacks.join(", ")));
    }
    let violated = variant.oracles.iter().filter(|(_, o)| o.violations > 0);
    for (name, oracle) in violated {
        let violations = counted(oracle.violations, "violation");
        parts.push(format!("oracle {name}: {violations}, {}", oracle.worst));
    }
    if parts.is_empty() {
        return "has no targets".to_owned();
    }
    plain(&parts.join("; "))
}

fn named(names: impl Iterator<Item = String>) -> Option<String> {
    let mut names: Vec<String> = names.collect();
    if names.is_empty() {
        return None;
    }
    let more = names.len().saturating_sub(NAMED_MAX);
    names.truncate(NAMED_MAX);
    if more > 0 {
        names.push(format!("and {more} more"));
    }
    Some(names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::{bare_report, variants_report};

    #[test]
    fn the_variants_stand_side_by_side() {
        let lines = table(&variants_report()).lines(120, false).join("\n");
        insta::assert_snapshot!(lines, @r#"
        variant      errors    p95     p99  hit ratio   stale  per request  loads per expiry      held  verdict
        no-cache          2  1.9 s  402 ms         0%  <0.01%         0.95     1.00 (max 14)   7 of 17  FAIL
        memcached         2  64 ms  402 ms      94.9%    0.8%         0.09                 1  17 of 17  pass
        full (main)       2  61 ms  402 ms      94.9%  <0.01%         0.09                 1  17 of 17  pass
        cluster           –      –       –          –       –            –                 –   0 of 17  INCONCLUSIVE
        "#);
    }

    #[test]
    fn what_each_misses_is_told() {
        let told: Vec<String> = misses(&variants_report())
            .into_iter()
            .map(|misses| format!("{}: {}", misses.name, misses.text))
            .collect();
        insta::assert_snapshot!(told.join("\n"), @r#"
        no-cache: misses p95 response time, 1,000 users (1.9 s, wanted < 1.0 s), customer hit ratio (0%, wanted ≥ 95%), product hit ratio (0%, wanted ≥ 98%), inventory hit ratio (0%, wanted ≥ 85%), quote hit ratio (0%, wanted ≥ 75%), hit ratio of all reads (0%, wanted ≥ 85%), response time reduction (0%, wanted ≥ 50%), origin query reduction (0%, wanted ≥ 70%); no evidence of Redis evictions, Redis memory
        memcached: holds every target; its store cannot queue a write (1,184 times), tell other instances (431 times); oracle monotonic: 3 violations, customer:360:17 went back from version 40 to 12
        full: holds every target
        cluster: not run: redis-server was not found on PATH
        "#);
    }

    #[test]
    fn without_variants_there_is_nothing_to_show() {
        let report = bare_report();
        assert!(table(&report).is_empty() && misses(&report).is_empty());
    }
}
