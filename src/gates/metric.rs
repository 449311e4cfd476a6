//! What can be judged: every metric with its unit, its selectors and its meaning, in one table.
//!
//! [`METRICS`] is the only list of metrics: the grammar reads by it, its errors suggest from it,
//! and `docs/gates.md` is held against it by a test. Evidence matches on [`Metric`]. Computes
//! nothing.

use std::fmt;

/// In what a metric is counted, and with it how its target is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unit {
    /// Microseconds; written as a duration, `150ms`.
    Us,
    /// A share, 0 to 1; written as `95%` or `0.95`.
    Ratio,
    /// Events per second; written as `100/s`.
    PerS,
    /// A whole number; written as `1_000`.
    Count,
    /// Bytes; written as `256MiB`.
    Bytes,
}

impl Unit {
    /// The unit's word in `report.json`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Us => "us",
            Self::Ratio => "ratio",
            Self::PerS => "per_s",
            Self::Count => "count",
            Self::Bytes => "bytes",
        }
    }

    /// What a target in this unit is, for an error: "a duration".
    pub fn kind(self) -> &'static str {
        match self {
            Self::Us => "a duration",
            Self::Ratio => "a share",
            Self::PerS => "a rate",
            Self::Count => "a count",
            Self::Bytes => "a size",
        }
    }
}

/// Something with a value per request, of which a gate judges one statistic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Distribution {
    /// From the intended start of a request to its end.
    ResponseTime,
    /// From the sending of a request to its end.
    ServiceTime,
    /// From the intended start of a request to its sending.
    Slip,
    /// How long a value had been replaced when it was read.
    Staleness,
}

/// Something that a run has one value of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scalar {
    /// Reads that a cache layer answered, of all reads.
    HitRatio,
    /// Failed requests, of all requests.
    ErrorRatio,
    /// Stale reads, of all reads that the oracle checked.
    StaleRatio,
    /// How much shorter the mean response time is than in the baseline.
    ResponseTimeReduction,
    /// How many fewer origin queries a request costs than in the baseline.
    OriginQueryReduction,
    /// Redis' memory as a share of its limit, at the most.
    MemoryUsage,
    /// Requests per second.
    Rate,
    /// Origin queries per second.
    OriginQueriesPerS,
    /// Evicted keys in one second, at the most.
    EvictionsPerS,
    /// Requests.
    Requests,
    /// Failed requests.
    Errors,
    /// Requests that were due but never started.
    Dropped,
    /// Users that were live at once, at the most.
    Users,
    /// Origin queries.
    OriginQueries,
    /// Origin connections in use at once, at the most.
    OriginPeakConnections,
    /// Origin loads of one key at once, at the most.
    OriginLoadsPerFlight,
    /// Keys in Redis at the end.
    RedisKeys,
    /// Redis' memory, at the most.
    RedisMemory,
    /// 1 if Redis answered whenever it was asked.
    RedisUp,
    /// Instances whose circuit to the remote layer was open at once, at the most.
    BreakersOpen,
    /// Writes that waited in the queue of write-behind at once, at the most.
    WriteBehindWaiting,
    /// Alerts that fired.
    AlertsFired,
}

/// Which value of a distribution is judged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Statistic {
    /// The value that this percentage of the samples does not exceed; above 0, below 100.
    Percentile(f64),
    /// The arithmetic mean.
    Mean,
    /// The smallest.
    Min,
    /// The largest.
    Max,
}

impl fmt::Display for Statistic {
    /// As written: `p95`, `p999`, `mean`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Reports call it p999, so a gate does too.
            Self::Percentile(percent) if percent.to_string() == "99.9" => f.write_str("p999"),
            Self::Percentile(percent) => write!(f, "p{percent}"),
            Self::Mean => f.write_str("mean"),
            Self::Min => f.write_str("min"),
            Self::Max => f.write_str("max"),
        }
    }
}

/// What a check looks at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Metric {
    /// One statistic of a distribution.
    Distribution(Distribution, Statistic),
    /// A number as it is.
    Scalar(Scalar),
}

impl Metric {
    /// The metric's row of the table.
    pub fn info(self) -> &'static MetricInfo {
        match self {
            Self::Distribution(of, _) => &METRICS[of as usize],
            Self::Scalar(scalar) => &METRICS[DISTRIBUTIONS + scalar as usize],
        }
    }
}

impl fmt::Display for Metric {
    /// As written: `p95(response_time)`, `hit_ratio`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.info().name;
        match self {
            Self::Distribution(_, statistic) => write!(f, "{statistic}({name})"),
            Self::Scalar(_) => f.write_str(name),
        }
    }
}

/// By what a check can be narrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Selector {
    /// A row of the policy table.
    DataType,
    /// `get`, `put`, `invalidate`, `invalidate_pattern`, `invalidate_all` or `admit`.
    Operation,
    /// `hit`, `miss`, …
    Outcome,
    /// The layer that answered.
    Layer,
    /// A phase of the plan; without it, all phases that measure.
    Phase,
    /// An alert of the plan; without it, all of them.
    Alert,
    /// A kind of users of the plan; without it, all of them.
    UserKind,
}

impl Selector {
    /// Every selector, in the order in which they are printed.
    pub const ALL: [Self; 7] = [
        Self::DataType,
        Self::Operation,
        Self::Outcome,
        Self::Layer,
        Self::Phase,
        Self::Alert,
        Self::UserKind,
    ];

    /// By what requests can be narrowed.
    pub const OF_REQUESTS: [Self; 6] = [
        Self::DataType,
        Self::Operation,
        Self::Outcome,
        Self::Layer,
        Self::Phase,
        Self::UserKind,
    ];

    /// The selector as written.
    pub fn name(self) -> &'static str {
        match self {
            Self::DataType => "data_type",
            Self::Operation => "operation",
            Self::Outcome => "outcome",
            Self::Layer => "layer",
            Self::Phase => "phase",
            Self::Alert => "alert",
            Self::UserKind => "kind",
        }
    }
}

/// What a row of the table is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Judged by one of its statistics.
    Distribution(Distribution),
    /// Judged as it is.
    Scalar(Scalar),
}

/// One row of the table of metrics.
#[derive(Clone, Copy, Debug)]
pub struct MetricInfo {
    /// As written.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// Its canonical unit.
    pub unit: Unit,
    /// By what it can be narrowed.
    pub selectors: &'static [Selector],
    /// What it says, for people.
    pub meaning: &'static str,
    /// Other words for it, from which an error leads back here.
    pub also: &'static [&'static str],
}

const fn distribution(
    name: &'static str,
    of: Distribution,
    selectors: &'static [Selector],
    meaning: &'static str,
    also: &'static [&'static str],
) -> MetricInfo {
    MetricInfo {
        name,
        kind: Kind::Distribution(of),
        unit: Unit::Us,
        selectors,
        meaning,
        also,
    }
}

const fn scalar(
    name: &'static str,
    scalar: Scalar,
    unit: Unit,
    selectors: &'static [Selector],
    meaning: &'static str,
    also: &'static [&'static str],
) -> MetricInfo {
    MetricInfo {
        name,
        kind: Kind::Scalar(scalar),
        unit,
        selectors,
        meaning,
        also,
    }
}

/// How many rows of [`METRICS`] are distributions; they stand first.
const DISTRIBUTIONS: usize = 4;

use Selector::{Alert, DataType, Layer, Operation, Phase, UserKind};

/// Every metric: distributions first, then scalars, each in the order of its enum.
#[rustfmt::skip] // one metric, one row
pub const METRICS: [MetricInfo; 26] = [
    distribution("response_time", Distribution::ResponseTime, &Selector::OF_REQUESTS,
        "from the intended start of a request to its end; failed requests left out unless \
         `outcome=error` asks for them", &["latency", "duration", "time"]),
    distribution("service_time", Distribution::ServiceTime, &Selector::OF_REQUESTS,
        "from the sending of a request to its end; failed requests left out as above", &[]),
    distribution("slip", Distribution::Slip, &[Phase],
        "from the intended start of a request to its sending", &["lag", "delay"]),
    distribution("staleness", Distribution::Staleness, &[DataType, Phase],
        "how long a value had been replaced when it was read; 0 if no read that could be \
         checked was stale", &["age"]),
    scalar("hit_ratio", Scalar::HitRatio, Unit::Ratio, &[DataType, Layer, Phase, UserKind],
        "reads that a cache layer answered, of all reads; with `layer`, lookups in that layer \
         that found the entry", &["hits", "hit_rate"]),
    scalar("error_ratio", Scalar::ErrorRatio, Unit::Ratio, &[DataType, Operation, Phase, UserKind],
        "failed requests, of all requests", &["failures", "error_rate"]),
    scalar("stale_ratio", Scalar::StaleRatio, Unit::Ratio, &[DataType, Phase],
        "stale reads, of all reads that could be checked", &["stale", "stale_rate"]),
    scalar("response_time_reduction", Scalar::ResponseTimeReduction, Unit::Ratio, &[DataType],
        "1 - mean response time / that of the baseline", &["improvement", "speedup"]),
    scalar("origin_query_reduction", Scalar::OriginQueryReduction, Unit::Ratio, &[],
        "1 - origin queries per request / that of the baseline", &["offload"]),
    scalar("memory_usage", Scalar::MemoryUsage, Unit::Ratio, &[Phase],
        "Redis' memory of its `maxmemory`, at the most; of memcached, its items of its memory", &["memory"]),
    scalar("rate", Scalar::Rate, Unit::PerS, &Selector::OF_REQUESTS,
        "requests per second", &["throughput", "rps", "qps"]),
    scalar("origin_queries_per_s", Scalar::OriginQueriesPerS, Unit::PerS, &[DataType, Phase],
        "origin queries per second", &["origin_rate"]),
    scalar("evictions_per_s", Scalar::EvictionsPerS, Unit::PerS, &[Phase],
        "keys that Redis (or memcached) evicted in one second, at the most", &["evictions", "eviction_rate"]),
    scalar("requests", Scalar::Requests, Unit::Count, &Selector::OF_REQUESTS,
        "requests", &["samples", "total"]),
    scalar("errors", Scalar::Errors, Unit::Count, &[DataType, Operation, Phase, UserKind],
        "failed requests", &["failed"]),
    scalar("dropped", Scalar::Dropped, Unit::Count, &[Phase],
        "requests that were due but never started", &["skipped"]),
    scalar("users", Scalar::Users, Unit::Count, &[],
        "users that were live at once, at the most", &["vus", "clients", "workers"]),
    scalar("origin_queries", Scalar::OriginQueries, Unit::Count, &[DataType, Phase],
        "origin queries; hits of the database's own cache are none", &["queries", "database_queries"]),
    scalar("origin_peak_connections", Scalar::OriginPeakConnections, Unit::Count, &[],
        "origin connections in use at once, at the most", &["connections"]),
    scalar("origin_loads_per_flight", Scalar::OriginLoadsPerFlight, Unit::Count, &[],
        "origin loads of one version of one key that overlapped, at the most; more than 1 is a \
         stampede", &["stampede"]),
    scalar("redis_keys", Scalar::RedisKeys, Unit::Count, &[],
        "keys of the run in Redis (or memcached) at its end", &["keys"]),
    scalar("redis_memory", Scalar::RedisMemory, Unit::Bytes, &[Phase],
        "Redis' `used_memory`, at the most; memcached's `bytes`", &["used_memory"]),
    scalar("redis_up", Scalar::RedisUp, Unit::Count, &[Phase],
        "1 if Redis (or memcached) answered whenever it was asked, once a second, else 0",
        &["up", "redis_down"]),
    scalar("breakers_open", Scalar::BreakersOpen, Unit::Count, &[Phase],
        "instances whose circuit to the remote layer was open at once, at the most",
        &["breaker_open", "breaker", "circuits_open"]),
    scalar("write_behind_waiting", Scalar::WriteBehindWaiting, Unit::Count, &[Phase],
        "writes that waited in the queue of write-behind at once, at the most",
        &["backlog", "write_behind_backlog", "queue_length"]),
    scalar("alerts_fired", Scalar::AlertsFired, Unit::Count, &[Phase, Alert],
        "alerts that fired, each as often as it did", &["alerts"]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_found_by_its_metric() {
        for (at, row) in METRICS.iter().enumerate() {
            let metric = match row.kind {
                Kind::Distribution(of) => Metric::Distribution(of, Statistic::Mean),
                Kind::Scalar(scalar) => Metric::Scalar(scalar),
            };
            assert_eq!(metric.info().name, row.name);
            let is_distribution = matches!(row.kind, Kind::Distribution(_));
            assert_eq!(is_distribution, at < DISTRIBUTIONS, "{}", row.name);
        }
    }

    #[test]
    fn no_name_stands_twice() {
        let mut names: Vec<&str> = METRICS
            .iter()
            .flat_map(|row| row.also.iter().chain([&row.name]))
            .copied()
            .collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }

    #[test]
    fn the_documentation_names_every_metric_with_its_unit_and_selectors() {
        let documentation = include_str!("../../docs/gates.md");
        for row in &METRICS {
            let selectors: Vec<String> = row
                .selectors
                .iter()
                .map(|selector| format!("`{}`", selector.name()))
                .collect();
            let selectors = match row.selectors.len() {
                0 => "–".to_owned(),
                _ if row.selectors == Selector::OF_REQUESTS => "all".to_owned(),
                _ => selectors.join(", "),
            };
            let line = format!(
                "| `{}` | {} | {selectors} | {} |",
                row.name,
                row.unit.kind(),
                row.meaning
            );
            assert!(documentation.contains(&line), "docs/gates.md lacks\n{line}");
        }
    }
}
