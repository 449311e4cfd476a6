//! From what was measured to the report: every number in its place, every gate judged.

mod alerts;
mod gates;
mod generator;
mod jobs;
mod kinds;
mod parts;
mod stores;
mod timeseries;
mod ttls;
mod variants;
mod warming;

use std::thread::available_parallelism;

use super::evidence::RunEvidence;
use super::monitor::Reading;
use super::pass::PassResult;
use super::variants::Measured;
use super::{House, Passes, Time, external, traces};
use crate::clock::Timestamp;
use crate::gates::judge::{judge, overall};
use crate::measure::event_log::LogHash;
use crate::measure::query::{Phases, Query};
use crate::measure::validity;
use crate::report::model::{
    Baseline, EnvironmentInfo, EventLogResult, GeneratorResult, Improvement, RedisResult, Report,
    SCHEMA_VERSION, ScenarioInfo, TargetResult, Tool, TraceResult, TraceSizesResult, Validity,
};
use crate::scenario::plan::Plan;
use crate::workload::trace::TraceFormat;
use crate::workload::trace::sizes::SizeCounts;

/// The report of a run: of the main plan's passes, and beside them of its variants'.
pub(super) fn report(
    plan: &Plan,
    house: &House<'_>,
    started_at: Timestamp,
    (passes, measured): (&Passes, &Measured),
) -> Report {
    let after = &passes.after;
    let baseline = passes.before.as_ref().and_then(baseline);
    let improvement = baseline
        .as_ref()
        .and_then(|baseline| improvement(baseline, after));
    let generator = generator::result(after, &house.time);
    let mut validity = validity(plan, passes, &house.time, generator.as_ref());
    // The main variant's verdict stands, but the run did not come to its end.
    validity.interrupted |= variants::interrupted(measured);
    let variants = variants::results((plan, house), passes, measured, baseline.as_ref());
    let scale = house.scale(None);
    let evidence = RunEvidence {
        improvement,
        ..RunEvidence::of(after, passes.has_store(), &scale)
    };
    let mut judged = judge(&plan.gates, &evidence, validity.valid);
    external::without_the_unknowable(plan, &mut judged);
    let ours = plan.target.is_none();
    let redis = stores::redis(plan, passes);
    validity
        .warnings
        .extend(lru_warning(plan, after, redis.as_ref()));
    Report {
        schema_version: SCHEMA_VERSION,
        tool: Tool {
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        },
        scenario: ScenarioInfo {
            name: plan.name.clone(),
            description: plan.description.clone(),
            file: house.options.scenario_file.clone(),
            overrides: house.options.overrides.clone(),
        },
        seed: plan.seed.0,
        driver: plan.traffic.driver.name().to_owned(),
        time: house.time.name().to_owned(),
        sampling: None,
        started_at: started_at.to_string(),
        event_log: house.time.log().map(|log| event_log(log.hash())),
        duration_s: after.measurements.duration(Phases::All).as_secs_f64(),
        environment: environment(plan, passes),
        target: target(plan, after),
        requests: parts::requests(after),
        phases: parts::phases(after, plan.traffic.driver),
        trace: trace(plan, after),
        data_types: parts::data_types(after),
        user_kinds: kinds::results(after),
        layers: parts::layers(plan, after),
        origin: ours.then(|| parts::origin(plan, after)),
        stampede: ours.then(|| parts::stampede(after)),
        warming: warming::result(plan, after),
        redis,
        memcached: parts::memcached(after),
        oracles: parts::oracles(plan, passes),
        alerts: alerts::fired(after),
        alerts_watched: alerts::watched(after),
        // No part of a scenario yet.
        faults: Vec::new(),
        jobs: jobs::done(plan, after),
        baseline,
        improvement,
        verdict: overall(&judged, validity.valid),
        gates: gates::results(&judged, after),
        ended_early: gates::ended_early(after),
        knee: None,
        variants,
        generator,
        validity,
        timeseries_interval_s: after.measurements.row_width_s(),
        timeseries: timeseries::seconds(after),
    }
}

/// The target, if it is not ours.
fn target(plan: &Plan, pass: &PassResult) -> Option<TargetResult> {
    let service = plan.target.as_ref()?;
    Some(TargetResult {
        urls: service.urls.clone(),
        outcome: service.outcome.name().to_owned(),
        reads_unknown: pass.measurements.reads_unknown(&Query::default()),
    })
}

/// What to know of the remote layer's LRU, if it gave up what had only just come.
fn lru_warning(plan: &Plan, after: &PassResult, redis: Option<&RedisResult>) -> Option<String> {
    let policy = plan.layers.remote.as_ref()?.redis.policy;
    let judged = after.measurements.duration(Phases::Measured);
    stores::brief_residence(policy, redis?, judged)
}

/// What became of the trace that was replayed.
fn trace(plan: &Plan, pass: &PassResult) -> Option<TraceResult> {
    let (planned, replayed) = plan.traffic.trace.as_ref().zip(pass.replayed.as_ref())?;
    let mut skipped = replayed.skipped.other.clone();
    if replayed.skipped.malformed > 0 {
        skipped.insert("malformed".to_owned(), replayed.skipped.malformed);
    }
    let name = planned.file.file_name().unwrap_or_default();
    Some(TraceResult {
        file: name.to_string_lossy().into_owned(),
        format: replayed.format.map_or("", TraceFormat::name).to_owned(),
        pace: planned.pace.to_string(),
        requests: replayed.requests,
        complete: replayed.complete,
        skipped,
        value_sizes: traces::sizes_of(plan).map(|sizes| value_sizes(sizes.counts())),
    })
}

fn value_sizes(counts: SizeCounts) -> TraceSizesResult {
    TraceSizesResult {
        keys: counts.keys,
        keys_without_size: counts.unsized_keys(),
        keys_changing: counts.changing,
        keys_cut: counts.cut,
        bytes_mean: counts.mean(),
        bytes_mean_first: counts.mean_first(),
    }
}

/// What happened in virtual time, in one number.
pub(super) fn event_log(log: LogHash) -> EventLogResult {
    EventLogResult {
        events: log.events,
        hash: format!("{:016x}", log.hash),
    }
}

fn environment(plan: &Plan, passes: &Passes) -> EnvironmentInfo {
    let redis = passes.redis.as_ref();
    EnvironmentInfo {
        system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        cpus: cpus(),
        instances: u32::from(plan.instances),
        users: plan.traffic.users,
        redis_version: redis.map(|redis| redis.version.clone()),
        redis_topology: redis.map(|redis| redis.topology.name().to_owned()),
        redis_managed: redis.is_some_and(|redis| redis.managed),
        memcached_version: passes.memcached_version.clone(),
        origin_connections: match plan.target {
            None => plan.database.connections,
            Some(_) => 0,
        },
    }
}

fn cpus() -> u32 {
    available_parallelism().map_or(1, |cpus| u32::try_from(cpus.get()).unwrap_or(u32::MAX))
}

fn validity(
    plan: &Plan,
    passes: &Passes,
    time: &Time,
    generator: Option<&GeneratorResult>,
) -> Validity {
    let after = &passes.after;
    let measurements = &after.measurements;
    let starts = measurements.starts_in(Phases::Measured);
    let generator_cpu_cores = cores(after, "generator");
    let died = |pass: &PassResult| pass.observed.redis_died.clone();
    let interrupted = |pass: &PassResult| pass.observed.interrupted;
    let evidence = validity::Evidence {
        requests: measurements.count(&Query::default()),
        dropped: starts.dropped,
        slip_p99: starts.slip.quantile(0.99),
        simulated: matches!(time, Time::Virtual { .. }),
        generator_cpu_cores,
        cpus: cpus(),
        users_planned: plan.traffic.users_live_wanted(),
        users_live_max: measurements.users_live_max(),
        interrupted: interrupted(after) || passes.before.as_ref().is_some_and(interrupted),
        generator: generator::evidence(generator),
        ended_by_gate: after.observed.gates.ended.is_some(),
        redis_died: passes
            .before
            .as_ref()
            .and_then(died)
            .or_else(|| died(after)),
    };
    let mut judgement = validity::judge(&evidence);
    if let Some(how) = &after.observed.memcached_died {
        judgement.reasons.push(format!(
            "memcached died during the run though no fault was injected: {how}"
        ));
    }
    let replayed = after.replayed.as_ref();
    if let Some(error) = replayed.and_then(|replayed| replayed.error.as_ref()) {
        let reason = format!("the trace was not replayed to its end: {error}");
        judgement.reasons.push(reason);
    }
    if after.driven.users_lost > 0 {
        judgement.reasons.push(format!(
            "{} users were lost on the way: they ended before the plan said so",
            after.driven.users_lost
        ));
    }
    let durability = after.engine.happened(Phases::All).durability;
    judgement.warnings.extend(durability.warnings());
    judgement.warnings.extend(passes.target_warnings.clone());
    judgement
        .warnings
        .extend(external::warnings(plan, measurements));
    Validity {
        valid: judgement.valid(),
        reasons: judgement.reasons,
        warnings: judgement.warnings,
        generator_limited: judgement.generator_limited,
        interrupted: evidence.interrupted,
        generator_cpu_cores,
        instances_cpu_cores: cores(after, "instance").or_else(|| simulated_cores(after)),
        slip_us: starts.slip.summary_us(),
        users_live_max: evidence.users_live_max,
        users_in_flight_max: measurements.in_flight_max(),
    }
}

/// The processor time of the threads called `name…` over the judged time, as a share of one core.
pub(super) fn cores(pass: &PassResult, name: &str) -> Option<f64> {
    let (from, to): (&Reading, &Reading) = pass
        .observed
        .judged_from
        .as_ref()
        .zip(pass.observed.judged_to.as_ref())?;
    let used = to.threads.as_ref()?.since(from.threads.as_ref()?);
    used.cores_of(name, to.at.since(from.at))
}

/// The same of the instances' simulated processors.
fn simulated_cores(pass: &PassResult) -> Option<f64> {
    let observed = &pass.observed;
    let (from, to) = (observed.judged_from.as_ref()?, observed.judged_to.as_ref()?);
    let used = to.processors_busy?.saturating_sub(from.processors_busy?);
    Some(used.as_secs_f64() / to.at.since(from.at).as_secs_f64())
}

/// What the users met without the cache; `None` if nothing was measured.
fn baseline(before: &PassResult) -> Option<Baseline> {
    let measurements = &before.measurements;
    let all = Query::default();
    let requests = measurements.count(&all);
    let (database, seconds) = before.origin_judged().filter(|_| requests > 0)?;
    let by_data_type = measurements.policies().iter().map(|(id, policy)| {
        let query = Query {
            data_type: Some(id),
            ..all
        };
        (
            policy.name.to_string(),
            measurements.response_time(&query).summary_us(),
        )
    });
    Some(Baseline {
        duration_s: measurements.duration(Phases::Measured).as_secs_f64(),
        requests,
        errors: measurements.errors_by_kind(&all).values().sum(),
        rate_per_s: parts::rate(measurements),
        response_time_us: measurements.response_time(&all).summary_us(),
        response_time_by_data_type_us: by_data_type.collect(),
        origin_queries: database.queries(),
        origin_queries_per_s: database.queries() as f64 / seconds,
        origin_queries_per_request: database.queries() as f64 / requests as f64,
        origin_peak_connections: database.peak_connections,
    })
}

/// What caching bought; `None` if there is nothing to compare.
fn improvement(before: &Baseline, after: &PassResult) -> Option<Improvement> {
    let times = after
        .measurements
        .response_time(&Query::default())
        .summary_us();
    let origin = parts::queries_per_request(after)?;
    let reduction = |before: f64, after: f64| (before > 0.0).then(|| 1.0 - after / before);
    if times.count == 0 || before.response_time_us.count == 0 {
        return None;
    }
    Some(Improvement {
        response_time_reduction: reduction(before.response_time_us.mean, times.mean)?,
        response_time_p95_reduction: reduction(before.response_time_us.p95, times.p95)?,
        origin_query_reduction: reduction(before.origin_queries_per_request, origin)?,
    })
}
