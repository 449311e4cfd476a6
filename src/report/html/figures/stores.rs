//! How did Redis and the database fare?

use super::{Figure, Key, NO_SECONDS, Section};
use crate::engine::layer::Layer;
use crate::report::html::chart::line::{Limit, Line, LineChart};
use crate::report::html::chart::{Tone, Unit};
use crate::report::html::step::Step;
use crate::report::html::table::{Cell, Table};
use crate::report::html::timeline::Timeline;
use crate::report::html::words;
use crate::report::model::{
    OriginResult, RedisResult, Report, Second, StoreResult, TtlDistribution,
};
use crate::report::watched::figures;
use crate::report::words::held_locally;
use crate::units::thousands;

const NO_REDIS: &str = "Nothing to show: this run had no Redis.";

pub(super) fn section(report: &Report, timeline: Option<&Timeline<'_>>) -> Section {
    let mut figures = match &report.redis {
        None => vec![Figure::absent("How did Redis fare?", NO_REDIS)],
        Some(redis) => vec![
            memory(redis, timeline),
            keys(redis, timeline),
            evictions(redis, timeline),
        ],
    };
    if let Some(origin) = &report.origin {
        figures.push(connections(origin, timeline));
        figures.push(queries((report, origin), timeline));
    }
    Section {
        id: "stores",
        title: "How did Redis and the database fare?",
        figures: figures.into_iter().map(Figure::half).collect(),
        facts: facts(report),
        tables: report.redis.iter().flat_map(tables).collect(),
    }
}

/// What differs from one chart of a store to the next.
struct Chart<'a> {
    title: &'a str,
    takeaway: String,
    /// By how wide rows are.
    y_title: &'a dyn Fn(Step) -> String,
    unit: Unit,
    tone: Tone,
    name: &'a str,
    limits: Vec<Limit>,
    value: &'a dyn Fn(Step, &Second) -> Option<f64>,
}

impl Chart<'_> {
    fn figure(self, timeline: Option<&Timeline<'_>>) -> Figure {
        let Some(timeline) = timeline else {
            return Figure::absent(self.title, &format!("{} {NO_SECONDS}", self.takeaway));
        };
        let values = timeline.largest(|second| (self.value)(timeline.step, second));
        if values.iter().all(Option::is_none) {
            let why = "Nothing to draw: no second of this run has a sample of it.";
            return Figure::absent(self.title, &format!("{} {why}", self.takeaway));
        }
        let legend = vec![Key::line(self.tone, self.name)];
        let chart = LineChart {
            aria: &self.takeaway,
            y_title: &(self.y_title)(timeline.step),
            unit: self.unit,
            time: &timeline.axis,
            lines: vec![Line {
                name: self.name.to_owned(),
                tone: self.tone,
                values,
            }],
            limits: self.limits,
            may_be_log: false,
        };
        Figure::of_lines(self.title, &chart, timeline, legend, "largest value")
    }
}

fn memory(redis: &RedisResult, timeline: Option<&Timeline<'_>>) -> Figure {
    let peak = redis.used_memory_bytes_max as f64;
    let limit = redis.maxmemory_bytes.filter(|limit| *limit > 0);
    let takeaway = match limit {
        Some(limit) => format!(
            "Redis used {} at the most, {} of its limit of {}.",
            words::bytes(peak),
            words::percent(peak / limit as f64),
            words::bytes(limit as f64)
        ),
        None => format!(
            "Redis used {} at the most; it had no limit.",
            words::bytes(peak)
        ),
    };
    Chart {
        title: "Did Redis' memory suffice?",
        takeaway,
        y_title: &|_| "used_memory".to_owned(),
        unit: Unit::Bytes,
        tone: Tone::Main,
        name: "memory used",
        limits: limit
            .map(|limit| Limit {
                value: limit as f64,
                label: format!("maxmemory {}", words::bytes(limit as f64)),
            })
            .into_iter()
            .collect(),
        value: &|_, second| second.redis_used_memory_bytes.map(|v| v as f64),
    }
    .figure(timeline)
}

fn keys(redis: &RedisResult, timeline: Option<&Timeline<'_>>) -> Figure {
    Chart {
        title: "How many keys did Redis hold?",
        takeaway: format!(
            "At the end Redis held {}; {} had expired by then.",
            words::counted(redis.keys, "key", "keys"),
            thousands(redis.expired)
        ),
        y_title: &|_| "keys".to_owned(),
        unit: Unit::Count,
        tone: Tone::Main,
        name: "keys",
        limits: Vec::new(),
        value: &|_, second| second.redis_keys.map(|v| v as f64),
    }
    .figure(timeline)
}

fn evictions(redis: &RedisResult, timeline: Option<&Timeline<'_>>) -> Figure {
    let takeaway = match redis.evictions {
        0 => "No: not one key was evicted.".to_owned(),
        count => format!(
            "Yes: {} evicted, at the most {} in one second.",
            words::counted(count, "key was", "keys were"),
            words::number(redis.evictions_per_s_max)
        ),
    };
    Chart {
        title: "Did Redis have to evict keys?",
        takeaway,
        y_title: &|step| step.rate_of("keys evicted"),
        unit: Unit::Count,
        tone: Tone::Extreme,
        name: "evictions per second",
        limits: Vec::new(),
        value: &|step, second| Some(step.per_s(second, second.redis_evictions?)),
    }
    .figure(timeline)
}

fn connections(origin: &OriginResult, timeline: Option<&Timeline<'_>>) -> Figure {
    let waited = match origin.timeouts {
        0 => "no query timed out waiting for one".to_owned(),
        count => format!(
            "{} out waiting for one",
            words::counted(count, "query timed", "queries timed")
        ),
    };
    Chart {
        title: "Did the database's connection pool suffice?",
        takeaway: format!(
            "At the most {} of {} connections were in use at once; {waited}.",
            origin.peak_connections, origin.connections
        ),
        y_title: &|step| format!("connections in use at the end of each {}", step.one()),
        unit: Unit::Count,
        tone: Tone::Origin,
        name: "connections in use",
        limits: vec![Limit {
            value: f64::from(origin.connections),
            label: format!("pool of {}", origin.connections),
        }],
        value: &|_, second| Some(f64::from(second.origin_connections)),
    }
    .figure(timeline)
}

fn queries((report, origin): (&Report, &OriginResult), timeline: Option<&Timeline<'_>>) -> Figure {
    let after = words::per_s(origin.queries_per_s);
    let baseline = report.baseline.as_ref();
    let takeaway = match baseline {
        Some(before) => format!(
            "The database ran {after} on average; without the cache it had to run {}.",
            words::per_s(before.origin_queries_per_s)
        ),
        None => format!("The database ran {after} on average."),
    };
    Chart {
        title: "How hard did the database work?",
        takeaway,
        y_title: &|step| match step.width_s() {
            1 => "origin queries per second".to_owned(),
            _ => step.rate_of("origin queries"),
        },
        unit: Unit::PerS,
        tone: Tone::Origin,
        name: "origin queries per second",
        limits: baseline
            .map(|before| Limit {
                value: before.origin_queries_per_s,
                label: format!(
                    "without cache {}",
                    words::per_s(before.origin_queries_per_s)
                ),
            })
            .into_iter()
            .collect(),
        value: &|step, second| Some(step.per_s(second, second.origin_queries)),
    }
    .figure(timeline)
}

/// How long keys had left to live, in each store that was looked at.
fn tables(redis: &RedisResult) -> Vec<Table> {
    let own = ttls(redis.ttl_distribution.as_ref(), "");
    let stores = redis.stores.iter();
    let aside = stores.filter_map(|(name, store)| {
        let place = format!(" in the store {name}");
        ttls(store.ttl_distribution.as_ref(), &place)
    });
    own.into_iter().chain(aside).collect()
}

fn ttls(seen: Option<&TtlDistribution>, place: &str) -> Option<Table> {
    let seen = seen?;
    let looked_at = words::counted(seen.looked_at, "key", "keys");
    let of = if seen.complete {
        format!("all of {looked_at}")
    } else {
        format!("a sample of {looked_at}")
    };
    let columns = [
        "data type",
        "keys",
        "without TTL",
        "shortest",
        "p10",
        "p50",
        "p90",
        "longest",
    ];
    let mut table = Table::new(
        &format!("TTLs that keys{place} had left at the end, {of}"),
        &columns,
    );
    for (name, ttls) in &seen.data_types {
        let mut row = vec![
            Cell::text(name.clone()),
            Cell::count(ttls.keys),
            Cell::count(ttls.without_ttl),
        ];
        row.extend(figures(ttls).map(|left_s| {
            Cell::number(left_s.map_or_else(|| words::NOTHING.to_owned(), words::seconds))
        }));
        table.rows.push(row);
    }
    Some(table)
}

fn facts(report: &Report) -> Vec<(String, String)> {
    let mut facts = Vec::new();
    let mut fact = |name: &str, value: String| facts.push((name.to_owned(), value));
    let local = report.layers.get(Layer::Local.name());
    if let Some(held) = local.and_then(|local| local.held.as_ref()) {
        fact("Local layers", held_locally(held));
    }
    if let Some(redis) = &report.redis {
        fact("Redis commands", thousands(redis.commands));
        let hits = format!(
            "{} and {}",
            thousands(redis.keyspace_hits),
            thousands(redis.keyspace_misses)
        );
        fact("Redis keyspace hits and misses", hits);
        fact(
            "Redis clients at the most",
            thousands(redis.connected_clients_max),
        );
        fact("Redis processor time", words::cores(redis.cpu_cores));
        for (name, store) in &redis.stores {
            fact(&format!("Store aside: {name}"), aside(store));
        }
    }
    let Some(origin) = &report.origin else {
        return facts;
    };
    fact("Origin queries", thousands(origin.queries));
    let times = |of: &crate::measure::Summary| match of.count {
        0 => words::NOTHING.to_owned(),
        _ => format!("p50 {}, p99 {}", words::us(of.p50), words::us(of.p99)),
    };
    fact("Waiting for a connection", times(&origin.wait_time_us));
    fact("Time of a query", times(&origin.service_time_us));
    let mut by_type: Vec<_> = origin.queries_by_data_type.iter().collect();
    by_type.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let by_type: Vec<String> = by_type
        .into_iter()
        .map(|(name, count)| format!("{name} {}", thousands(*count)))
        .collect();
    if !by_type.is_empty() {
        fact("Queries by data type", by_type.join(", "));
    }
    facts
}

/// A store beside the remote layer's own, which no chart shows.
fn aside(store: &StoreResult) -> String {
    let limit = store
        .maxmemory_bytes
        .map_or_else(|| "no limit".to_owned(), |limit| words::bytes(limit as f64));
    format!(
        "for {}; Redis {}; at most {} of {limit}, {}; {}, {} evicted, {} expired; {}",
        store.data_types.join(", "),
        store.version,
        words::bytes(store.used_memory_bytes_max as f64),
        store.maxmemory_policy,
        words::counted(store.keys, "key", "keys"),
        thousands(store.evictions),
        thousands(store.expired),
        words::cores(store.cpu_cores),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::{bare_report, sample_report, sample_store};

    #[test]
    fn without_redis_the_database_is_still_told() {
        let section = section(&bare_report(), None);
        assert_eq!(section.figures[0].takeaway, NO_REDIS);
        assert!(
            section.figures[1]
                .takeaway
                .contains("connections were in use")
        );
        assert!(
            section
                .facts
                .iter()
                .all(|(name, _)| !name.starts_with("Redis"))
        );
    }

    #[test]
    fn redis_that_gave_no_samples_leaves_a_reason() {
        let mut report = sample_report();
        for second in &mut report.timeseries {
            second.redis_used_memory_bytes = None;
        }
        let timeline = Timeline::of(&report);
        let figure = &section(&report, timeline.as_ref()).figures[0];
        assert!(figure.svg.is_empty() && figure.takeaway.contains("no second of this run has"));
    }

    #[test]
    fn a_store_aside_is_told_apart() {
        let mut report = sample_report();
        let redis = report.redis.as_mut().expect("redis");
        redis.stores = [("sessions".to_owned(), sample_store())].into();
        let section = section(&report, None);
        let fact = section
            .facts
            .iter()
            .find(|(name, _)| name == "Store aside: sessions");
        insta::assert_snapshot!(fact.expect("told").1, @"for session; Redis 7.0.15; at most 2.8 MiB of 64 MiB, noeviction; 1,000 keys, 0 evicted, 3 expired; 0.01 cores");
        let titles = section.tables.iter().map(|table| &table.caption);
        assert_eq!(
            titles
                .filter(|title| title.contains("in the store sessions"))
                .count(),
            1
        );
    }

    #[test]
    fn a_limit_of_zero_is_no_limit() {
        let mut report = sample_report();
        let redis = report.redis.as_mut().expect("redis");
        redis.maxmemory_bytes = Some(0);
        assert!(memory(redis, None).takeaway.contains("it had no limit"));
    }
}
