//! One row for each second, or in a long run for each minute or so: what users saw, beside what the database and Redis did meanwhile.

use std::collections::BTreeMap;

use crate::engine::data_type::PolicyTable;
use crate::measure::series::{Answers, SecondRow};
use crate::report::model::Second;
use crate::runner::monitor::Reading;
use crate::runner::pass::PassResult;

pub(super) fn seconds(pass: &PassResult) -> Vec<Second> {
    let measurements = &pass.measurements;
    let mut readings = pass.observed.looks.rows();
    let mut before = Some(&pass.observed.first);
    // What ended after the last phase is the tail of its requests, not a part of the run.
    let in_plan = measurements
        .seconds()
        .iter()
        .filter(|row| row.phase.is_some());
    let rows = in_plan.map(|row| {
        let now = readings.next();
        let mut second = users(row, pass);
        if let Some((then, now)) = before.zip(now) {
            environment(&mut second, then, now);
        }
        before = now;
        second
    });
    rows.collect()
}

fn users(row: &SecondRow, pass: &PassResult) -> Second {
    let measurements = &pass.measurements;
    let phase = row
        .phase
        .map(|id| measurements.schedule().get(id).name.clone());
    Second {
        t_s: row.t_s,
        phase: phase.unwrap_or_default(),
        users_live: row.users_live,
        requests: row.requests,
        errors: row.errors,
        response_time_us_p50: row.response_time_us_p50,
        response_time_us_p95: row.response_time_us_p95,
        response_time_us_p99: row.response_time_us_p99,
        service_time_us_mean: row.service_time_us_mean,
        answers: answers(&row.answers, measurements.policies()),
        ..Second::default()
    }
}

/// By data type and then by answer; what did not occur is left out.
fn answers(answers: &[Answers], policies: &PolicyTable) -> BTreeMap<String, BTreeMap<String, u64>> {
    let counts = |answers: &Answers| {
        let named = [
            ("edge", answers.edge),
            ("local", answers.local),
            ("remote", answers.remote),
            ("origin", answers.origin),
            ("unknown", answers.unknown),
            ("error", answers.errors),
        ];
        named
            .into_iter()
            .filter(|(_, count)| *count > 0)
            .map(|(name, count)| (name.to_owned(), count))
            .collect::<BTreeMap<_, _>>()
    };
    policies
        .iter()
        .zip(answers)
        .map(|((_, policy), answers)| (policy.name.to_string(), counts(answers)))
        .filter(|(_, counts)| !counts.is_empty())
        .collect()
}

/// What changed between two readings, and what stood at the later one.
fn environment(second: &mut Second, then: &Reading, now: &Reading) {
    second.origin_queries = now.database.since(&then.database).queries();
    second.origin_connections = now.database.connections_in_use;
    let Some(redis) = &now.redis else { return };
    second.redis_used_memory_bytes = Some(redis.info.used_memory.0);
    second.redis_keys = Some(redis.info.keys_in(0));
    second.redis_evictions = then
        .redis
        .as_ref()
        .map(|then| redis.info.since(&then.info).evicted_keys);
}
