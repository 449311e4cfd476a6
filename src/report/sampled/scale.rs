//! The counts of a sample, as they are in the whole.

use std::collections::BTreeMap;

use crate::measure::Staleness;
use crate::measure::sampling::Sampling;
use crate::report::model::{
    Baseline, OriginResult, RedisResult, Report, Requests, Second, Stampede, StoreResult,
    VariantResult,
};
use crate::workload::sampling::Share;

/// `report` with everything that grows with the users multiplied: counts, rates, connections and
/// memory. Ratios, times and what is per request or per key are left as they are, and so are the counts
/// of the times that were measured, because they tell how much evidence there is. The plan's own
/// figures are those of the whole: users, connections, the memory's limit.
pub fn to_whole(report: &mut Report, sampling: &Sampling, whole: Whole) {
    let share = sampling.share;
    report.environment.users = sampling.users_total;
    report.environment.origin_connections = whole.connections;
    requests(&mut report.requests, share);
    for phase in &mut report.phases {
        counts(share, [&mut phase.requests, &mut phase.errors]);
    }
    for row in report.data_types.values_mut() {
        counts(share, [&mut row.requests, &mut row.reads]);
        row.outcomes
            .values_mut()
            .for_each(|by_outcome| map(share, by_outcome));
        counts(
            share,
            [&mut row.staleness_ms.checked, &mut row.staleness_ms.stale],
        );
    }
    for kind in &mut report.user_kinds {
        counts(share, [&mut kind.requests, &mut kind.errors]);
        rates(share, [&mut kind.rate_per_s]);
        connections(share, &mut kind.users, sampling.users_total);
    }
    for layer in report.layers.values_mut() {
        counts(
            share,
            [
                &mut layer.lookups,
                &mut layer.found,
                &mut layer.failures,
                &mut layer.fills_refused,
            ],
        );
        // Its capacity was not scaled by the share.
        layer.held = None;
    }
    let requests = report.requests.total;
    if let Some(result) = &mut report.origin {
        origin((result, requests), sampling, whole.connections);
    }
    if let (Some(improvement), Some(baseline), Some(origin)) =
        (&mut report.improvement, &report.baseline, &report.origin)
        && baseline.origin_queries_per_request > 0.0
    {
        let after = origin.queries_per_request;
        improvement.origin_query_reduction = 1.0 - after / baseline.origin_queries_per_request;
    }
    if let Some(result) = &mut report.stampede {
        stampede(result, share);
    }
    if let Some(result) = &mut report.redis {
        redis(result, sampling, whole);
    }
    if let Some(result) = &mut report.baseline {
        baseline(result, share);
    }
    let validity = &mut report.validity;
    counts(
        share,
        [
            &mut validity.users_live_max,
            &mut validity.users_in_flight_max,
        ],
    );
    report
        .timeseries
        .iter_mut()
        .for_each(|row| second(row, sampling));
}

/// What the plan of the whole says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whole {
    /// Connections in the database's pool.
    pub connections: u32,
    /// The memory that the servers of the remote layer may use; `None` without a limit.
    pub maxmemory_bytes: Option<u64>,
    /// The same of the store beside it.
    pub aside_maxmemory_bytes: Option<u64>,
}

#[allow(
    clippy::cast_sign_loss,
    reason = "counts are not negative, and the cast saturates"
)]
fn counts<const N: usize>(share: Share, values: [&mut u64; N]) {
    for value in values {
        *value = share.to_whole(*value as f64).round() as u64;
    }
}

fn map(share: Share, counted: &mut BTreeMap<String, u64>) {
    for count in counted.values_mut() {
        counts(share, [count]);
    }
}

fn rates<const N: usize>(share: Share, values: [&mut f64; N]) {
    for value in values {
        *value = share.to_whole(*value);
    }
}

fn connections(share: Share, value: &mut u32, most: u32) {
    let mut wide = u64::from(*value);
    counts(share, [&mut wide]);
    *value = u32::try_from(wide).unwrap_or(u32::MAX).min(most);
}

fn requests(result: &mut Requests, share: Share) {
    counts(
        share,
        [&mut result.total, &mut result.errors, &mut result.dropped],
    );
    rates(share, [&mut result.rate_per_s]);
    map(share, &mut result.errors_by_kind);
    map(share, &mut result.outcomes);
}

fn origin((result, requests): (&mut OriginResult, u64), sampling: &Sampling, whole: u32) {
    let share = sampling.share;
    let in_sample = result.queries as f64;
    let judged_s = in_sample / result.queries_per_s;
    counts(share, [&mut result.queries, &mut result.timeouts]);
    rates(share, [&mut result.queries_per_s]);
    if judged_s.is_finite() {
        for (name, queries) in &mut result.queries_by_data_type {
            let per_s = sampling.queries_of_whole(name, *queries as f64 / judged_s);
            *queries = rounded(per_s * judged_s);
        }
        result.queries = result.queries_by_data_type.values().sum();
        result.queries_per_s = result.queries as f64 / judged_s;
        if requests > 0 {
            result.queries_per_request = result.queries as f64 / requests as f64;
        }
    }
    connections(share, &mut result.peak_connections, whole);
    result.connections = whole;
}

fn stampede(result: &mut Stampede, share: Share) {
    counts(
        share,
        [
            &mut result.flights,
            &mut result.origin_loads,
            &mut result.followers,
        ],
    );
}

fn redis(result: &mut RedisResult, sampling: &Sampling, whole: Whole) {
    let share = sampling.share;
    memory(sampling, &mut result.used_memory_bytes);
    memory(sampling, &mut result.used_memory_bytes_max);
    result.maxmemory_bytes = whole.maxmemory_bytes;
    counts(
        share,
        [
            &mut result.keys,
            &mut result.evictions,
            &mut result.expired,
            &mut result.keyspace_hits,
            &mut result.keyspace_misses,
            &mut result.commands,
        ],
    );
    rates(share, [&mut result.evictions_per_s_max]);
    for aside in result.stores.values_mut() {
        store(aside, sampling, whole.aside_maxmemory_bytes);
    }
}

fn store(result: &mut StoreResult, sampling: &Sampling, maxmemory_bytes: Option<u64>) {
    let share = sampling.share;
    for bytes in [
        &mut result.used_memory_bytes,
        &mut result.used_memory_bytes_max,
    ] {
        *bytes = rounded(sampling.aside_memory_of_whole(*bytes as f64));
    }
    result.maxmemory_bytes = maxmemory_bytes;
    counts(
        share,
        [
            &mut result.keys,
            &mut result.evictions,
            &mut result.expired,
            &mut result.commands,
        ],
    );
    rates(share, [&mut result.evictions_per_s_max]);
}

/// The same for a variant of the plan.
pub fn variant_to_whole(result: &mut VariantResult, sampling: &Sampling, whole: Whole) {
    let share = sampling.share;
    let Staleness { checked, stale, .. } = &mut result.staleness_ms;
    counts(
        share,
        [
            &mut result.requests,
            &mut result.errors,
            checked,
            stale,
            &mut result.origin_queries,
        ],
    );
    map(share, &mut result.unsupported);
    rates(
        share,
        [&mut result.rate_per_s, &mut result.origin_queries_per_s],
    );
    connections(
        share,
        &mut result.origin_peak_connections,
        whole.connections,
    );
    stampede(&mut result.stampede, share);
    if let Some(bytes) = &mut result.remote_memory_bytes_max {
        memory(sampling, bytes);
    }
}

fn memory(sampling: &Sampling, bytes: &mut u64) {
    *bytes = rounded(sampling.memory_of_whole(*bytes as f64));
}

#[allow(
    clippy::cast_sign_loss,
    reason = "memory is not negative, and the cast saturates"
)]
fn rounded(bytes: f64) -> u64 {
    bytes.round() as u64
}

fn baseline(result: &mut Baseline, share: Share) {
    counts(
        share,
        [
            &mut result.requests,
            &mut result.errors,
            &mut result.origin_queries,
        ],
    );
    rates(
        share,
        [&mut result.rate_per_s, &mut result.origin_queries_per_s],
    );
    connections(share, &mut result.origin_peak_connections, u32::MAX);
}

fn second(row: &mut Second, sampling: &Sampling) {
    let share = sampling.share;
    counts(
        share,
        [
            &mut row.users_live,
            &mut row.requests,
            &mut row.errors,
            &mut row.origin_queries,
        ],
    );
    row.answers
        .values_mut()
        .for_each(|by_answer| map(share, by_answer));
    connections(share, &mut row.origin_connections, u32::MAX);
    if let Some(bytes) = &mut row.redis_used_memory_bytes {
        memory(sampling, bytes);
    }
    for count in [&mut row.redis_keys, &mut row.redis_evictions]
        .into_iter()
        .flatten()
    {
        counts(share, [count]);
    }
}
