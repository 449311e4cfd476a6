//! The parts of a report that come straight from measurements.

use std::collections::BTreeMap;

use crate::drivers::TIMED_OUT;
use crate::engine::data_type::DataTypeId;
use crate::engine::layer::{Layer, Operation};
use crate::engine::local::LocalUsage;
use crate::environment::database::QueryCacheStats;
use crate::measure::histogram::summary_of_us;
use crate::measure::measurements::Measurements;
use crate::measure::oracle::Finding;
use crate::measure::oracle::accounting::{self, Open};
use crate::measure::query::{Phases, Query};
use crate::measure::starts::Starts;
use crate::report::model::{
    DataTypeResult, HeldLocally, LayerResult, MemcachedResult, Offered, OracleResult, OriginResult,
    Phase, QueryCacheResult, Requests, Stampede,
};
use crate::runner::Passes;
use crate::runner::evidence::queries;
use crate::runner::pass::PassResult;
use crate::runner::redis_server::RedisReading;
use crate::scenario::plan::{Driver, Plan};

pub(super) fn rate(measurements: &Measurements) -> f64 {
    let seconds = measurements.duration(Phases::Measured).as_secs_f64();
    let requests = measurements.count(&Query::default()) as f64;
    if seconds > 0.0 {
        requests / seconds
    } else {
        0.0
    }
}

pub(super) fn requests(pass: &PassResult) -> Requests {
    let measurements = &pass.measurements;
    let all = Query::default();
    let errors_by_kind = measurements.errors_by_kind(&all);
    let outcomes = measurements.outcomes(&all);
    Requests {
        total: measurements.count(&all),
        errors: errors_by_kind.values().sum(),
        errors_by_kind,
        dropped: measurements.starts_in(Phases::Measured).dropped,
        rate_per_s: rate(measurements),
        response_time_us: measurements.response_time(&all).summary_us(),
        service_time_us: measurements.service_time(&all).summary_us(),
        outcomes: outcomes
            .iter()
            .map(|(outcome, n)| (outcome.name().to_owned(), *n))
            .collect(),
    }
}

pub(super) fn phases(pass: &PassResult, driver: Driver) -> Vec<Phase> {
    let open = driver == Driver::Open;
    let measurements = &pass.measurements;
    let schedule = measurements.schedule();
    let phase = |(id, phase): (_, &crate::measure::ScheduledPhase)| {
        let query = PassResult::phase_query(id);
        let duration_s = measurements.duration(query.phases).as_secs_f64();
        Phase {
            name: phase.name.clone(),
            kind: phase.kind,
            start_s: phase.start.since(schedule.start()).as_secs_f64(),
            duration_s,
            requests: measurements.count(&query),
            errors: measurements.errors_by_kind(&query).values().sum(),
            hit_ratio: measurements.hit_ratio(&query).map(|(ratio, _)| ratio),
            response_time_us: measurements.response_time(&query).summary_us(),
            offered: open.then(|| offered(&measurements.starts_in(query.phases), duration_s)),
        }
    };
    schedule.iter().map(phase).collect()
}

fn offered(starts: &Starts, duration_s: f64) -> Offered {
    let per_s = |count: u64| {
        if duration_s > 0.0 {
            count as f64 / duration_s
        } else {
            0.0
        }
    };
    Offered {
        due: starts.due(),
        rate_per_s: per_s(starts.due()),
        sent_per_s: per_s(starts.sent_in_phase),
        dropped: starts.dropped,
        waited_us_p99: starts.waited_p99().as_secs_f64() * 1e6,
        sustained: starts.sustained(),
    }
}

pub(super) fn data_types(pass: &PassResult) -> BTreeMap<String, DataTypeResult> {
    let policies = pass.measurements.policies();
    policies
        .iter()
        .map(|(id, policy)| (policy.name.to_string(), data_type(pass, id)))
        .collect()
}

fn data_type(pass: &PassResult, id: DataTypeId) -> DataTypeResult {
    let measurements = &pass.measurements;
    let all = Query {
        data_type: Some(id),
        ..Query::default()
    };
    let reads = Query {
        operation: Some(Operation::Get),
        ..all
    };
    let answered = measurements.reads(&all);
    let share = |layer| {
        let query = Query {
            layer: Some(layer),
            ..reads
        };
        // Failed reads were answered by nobody.
        measurements.reads(&query) as f64 / answered as f64
    };
    let by_operation = Operation::ALL.into_iter().map(|operation| {
        let outcomes = measurements.outcomes(&Query {
            operation: Some(operation),
            ..all
        });
        let named = outcomes
            .iter()
            .map(|(outcome, n)| (outcome.name().to_owned(), *n));
        (
            operation.name().to_owned(),
            named.collect::<BTreeMap<_, _>>(),
        )
    });
    let by_layer = Layer::ALL.into_iter().map(|layer| {
        let query = Query {
            layer: Some(layer),
            ..reads
        };
        (
            layer.name().to_owned(),
            measurements.service_time(&query).summary_us(),
        )
    });
    DataTypeResult {
        requests: measurements.count(&all),
        reads: measurements.count(&reads),
        hit_ratio: measurements.hit_ratio(&all).map(|(ratio, _)| ratio),
        answered_by: Layer::ALL
            .into_iter()
            .filter(|_| answered > 0)
            .map(|layer| (layer.name().to_owned(), share(layer)))
            .filter(|(name, share)| *share > 0.0 || name != Layer::Edge.name())
            .collect(),
        outcomes: by_operation
            .filter(|(_, outcomes)| !outcomes.is_empty())
            .collect(),
        response_time_us: measurements.response_time(&all).summary_us(),
        hit_response_time_us: measurements
            .response_time(&Query {
                hit: Some(true),
                ..reads
            })
            .summary_us(),
        service_time_by_layer_us: by_layer.filter(|(_, summary)| summary.count > 0).collect(),
        staleness_ms: pass.staleness_ms(&all),
    }
}

pub(super) fn layers(plan: &Plan, pass: &PassResult) -> BTreeMap<String, LayerResult> {
    let present = [
        (Layer::Local, plan.layers.local.is_some()),
        (Layer::Remote, plan.layers.remote.is_some()),
        (Layer::Origin, plan.target.is_none()),
    ];
    let result = |layer| {
        let totals = pass.engine.layer(layer, Phases::Measured);
        let lookups = totals.lookups;
        LayerResult {
            lookups,
            found: totals.found,
            hit_ratio: (lookups > 0).then(|| totals.found as f64 / lookups as f64),
            service_time_us: totals.service_time.summary_us(),
            failures: totals.failures,
            fills_refused: totals.fills_refused,
            held: pass.local.filter(|_| layer == Layer::Local).map(held),
        }
    };
    let present = present.into_iter().filter(|(_, present)| *present);
    present
        .map(|(layer, _)| (layer.name().to_owned(), result(layer)))
        .collect()
}

fn held(usage: LocalUsage) -> HeldLocally {
    HeldLocally {
        entries: usage.entries,
        bytes: usage.bytes,
        evictions: usage.evictions,
    }
}

/// Queries per request of the users; `None` if there were no requests.
pub(super) fn queries_per_request(pass: &PassResult) -> Option<f64> {
    let requests = pass.measurements.count(&Query::default());
    let (database, _) = pass.origin_judged()?;
    (requests > 0).then(|| database.queries() as f64 / requests as f64)
}

pub(super) fn origin(plan: &Plan, pass: &PassResult) -> OriginResult {
    let connections = plan.database.connections;
    let judged = pass.origin_judged();
    let database = judged
        .as_ref()
        .map_or(&pass.observed.first.database, |(judged, _)| judged);
    let seconds = judged.as_ref().map(|(_, seconds)| *seconds);
    let by_data_type = plan.policies.iter().map(|(id, policy)| {
        let queries = judged
            .as_ref()
            .map_or(0, |(judged, _)| queries(judged, Some(id)));
        (policy.name.to_string(), queries)
    });
    let count = judged.as_ref().map_or(0, |(judged, _)| judged.queries());
    OriginResult {
        queries: count,
        queries_per_s: seconds.map_or(0.0, |seconds| count as f64 / seconds),
        queries_per_request: queries_per_request(pass).unwrap_or(0.0),
        queries_by_data_type: by_data_type.collect(),
        peak_connections: database.peak_connections,
        connections,
        wait_time_us: summary_of_us(&database.wait_time_us),
        service_time_us: summary_of_us(&database.service_time_us),
        timeouts: judged.as_ref().map_or(0, |(judged, _)| judged.timeouts),
        query_cache: database.query_cache.map(query_cache),
    }
}

fn query_cache(stats: QueryCacheStats) -> QueryCacheResult {
    let looks = stats.hits + stats.misses;
    QueryCacheResult {
        hits: stats.hits,
        misses: stats.misses,
        hit_ratio: (looks > 0).then(|| stats.hits as f64 / looks as f64),
        invalidated: stats.invalidated,
        evictions: stats.evictions,
        entries: stats.entries,
    }
}

pub(super) fn stampede(pass: &PassResult) -> Stampede {
    let Some((database, _)) = pass.origin_judged() else {
        return Stampede::default();
    };
    Stampede {
        flights: database.flights.flights(),
        origin_loads: database.flights.origin_loads(),
        origin_loads_per_flight_max: database.flights.origin_loads_per_flight_max(),
        followers: pass.engine.happened(Phases::Measured).followers,
    }
}

pub(super) fn memcached(pass: &PassResult) -> Option<MemcachedResult> {
    let looks = pass.observed.looks.judged.memcached.as_ref()?;
    let (first, last) = (&looks.first, &looks.last);
    let counts = last.info.since(&first.info);
    let seconds = last.at.since(first.at).as_secs_f64();
    Some(MemcachedResult {
        used_memory_bytes: last.info.bytes.0,
        used_memory_bytes_max: looks.used_bytes_max,
        limit_bytes: last.info.limit.0,
        items: last.info.items,
        evictions: counts.evictions,
        evictions_per_s_max: pass.evictions_per_s_max().unwrap_or(0.0),
        gets: counts.gets,
        get_hits: counts.get_hits,
        get_misses: counts.get_misses,
        sets: counts.sets,
        cas_lost: counts.cas_lost,
        connections_max: looks.connections_max,
        cpu_cores: if seconds > 0.0 {
            counts.used_cpu.as_secs_f64() / seconds
        } else {
            0.0
        },
    })
}

/// What the keepers of truth found, over the whole pass and not only its judged time: a fault does
/// not wait for the measurement.
pub(super) fn oracles(plan: &Plan, passes: &Passes) -> BTreeMap<String, OracleResult> {
    let pass = &passes.after;
    let measurements = &pass.measurements;
    if plan.target.is_some() {
        return external_oracles(pass);
    }
    let mut findings = vec![
        (
            "staleness",
            pass.oracle.finding(Phases::All, measurements.schedule()),
        ),
        ("monotonic", pass.oracle.monotonic()),
        ("outcomes", outcomes(pass)),
        ("origin_queries", origin_queries(pass)),
        (
            "origin_pool",
            accounting::pool_kept(
                pass.observed.last.database.peak_connections,
                plan.database.connections,
            ),
        ),
        ("write_behind", write_behind(pass)),
    ];
    // Another's Redis also counts what others ask of it.
    let managed = passes.redis.as_ref().is_some_and(|redis| redis.managed)
        && passes.aside.as_ref().is_none_or(|aside| aside.managed);
    let of_redis = || remote_lookups(pass);
    let finding = managed.then(of_redis).flatten();
    if let Some(finding) = finding.or_else(|| memcached_lookups(pass)) {
        findings.push(("remote_lookups", finding));
    }
    findings
        .into_iter()
        .map(|(name, finding)| (name.to_owned(), oracle(finding)))
        .collect()
}

fn oracle(finding: Finding) -> OracleResult {
    OracleResult {
        checked: finding.checked,
        violations: finding.violations,
        worst: finding.worst,
    }
}

/// Of a target that is not ours there is only what its users saw.
fn external_oracles(pass: &PassResult) -> BTreeMap<String, OracleResult> {
    BTreeMap::from([("outcomes".to_owned(), oracle(outcomes(pass)))])
}

/// Every request that was sent has an outcome.
fn outcomes(pass: &PassResult) -> Finding {
    let whole = Query {
        phases: Phases::All,
        ..Query::default()
    };
    let outcomes = pass.measurements.outcomes(&whole);
    accounting::outcomes_add_up(outcomes.values().copied(), pass.driven.requests)
}

/// What the engines, of whose calls so many failed, cannot know of.
fn open(pass: &PassResult, failed: u64) -> Open {
    let all = Query {
        phases: Phases::All,
        ..Query::default()
    };
    let errors = pass.measurements.errors_by_kind(&all);
    let timed_out = errors.get(TIMED_OUT).copied().unwrap_or(0);
    Open {
        failed,
        given_up: timed_out + pass.driven.requests_abandoned,
    }
}

/// The engines' loads against the database's reads, over the whole pass.
fn origin_queries(pass: &PassResult) -> Finding {
    let asked = pass.engine.layer(Layer::Origin, Phases::All);
    let reads = |reading: &crate::environment::database::DatabaseStats| {
        let hits = reading.query_cache.map_or(0, |cache| cache.hits);
        let reads = reading.tables.iter().map(|table| table.reads);
        hits + reads.sum::<u64>()
    };
    let observed = &pass.observed;
    let ran = reads(&observed.last.database).saturating_sub(reads(&observed.untouched.database));
    accounting::origin_queries_ran(asked.lookups, open(pass, asked.failures), ran)
}

/// The engines' remote lookups against the count of `GET` of all Redis servers, those of a store
/// aside included, over the whole pass.
fn remote_lookups(pass: &PassResult) -> Option<Finding> {
    let asked = pass.engine.layer(Layer::Remote, Phases::All);
    let (first, last) = (&pass.observed.untouched, &pass.observed.last);
    let mut gets = gets(first.redis.as_ref()?, last.redis.as_ref()?)?;
    for (first, last) in first.aside.iter().zip(&last.aside) {
        gets += self::gets(first.as_ref()?, last.as_ref()?)?;
    }
    Some(accounting::remote_lookups_arrived(
        asked.lookups,
        open(pass, asked.failures),
        gets,
    ))
}

/// How often one Redis was asked for an entry between two readings; `None` if that is not known: a
/// server that died took along what it counted last.
fn gets(first: &RedisReading, last: &RedisReading) -> Option<u64> {
    let calls = |reading: &RedisReading| reading.info.calls_of("get");
    let all_alive = last.lives_ended <= first.lives_ended;
    all_alive.then(|| calls(last).saturating_sub(calls(first)))
}

/// The same against memcached's count of looks, without those made to compare.
fn memcached_lookups(pass: &PassResult) -> Option<Finding> {
    let asked = pass.engine.layer(Layer::Remote, Phases::All);
    let first = pass.observed.untouched.memcached.as_ref()?;
    let last = pass.observed.last.memcached.as_ref()?;
    let compared = last.comparisons.saturating_sub(first.comparisons);
    let gets = last.info.since(&first.info).gets;
    Some(accounting::remote_lookups_arrived(
        asked.lookups + compared,
        open(pass, asked.failures),
        gets,
    ))
}

/// Every accepted write against the database's commits, after the queue was drained.
fn write_behind(pass: &PassResult) -> Finding {
    let found = pass.write_behind.finding(None);
    if pass.drained || found.violations > 0 {
        return found;
    }
    // Nothing accepted is missing, yet the queue did not say that it is empty.
    Finding {
        checked: found.checked.max(1),
        violations: 1,
        worst: "the queue could not be seen empty when the run ended".to_owned(),
    }
}
