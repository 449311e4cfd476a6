//! Complete reports with realistic figures, for tests, snapshots and examples of the exporters.
//!
//! Nothing in here was measured. The counts are worked out second by second from one small model
//! of the ADR's traffic, so that they agree with each other as those of a real run do: outcomes
//! add up to requests, seconds to phases, data types to the whole. Called by tests and examples
//! only; must never be read by a command.

mod alerts;
mod day;
mod gates;
mod jobs;
mod kinds;
mod knee;
mod results;
mod sampled;
mod traffic;
mod variants;
mod warming;

use std::collections::BTreeMap;

use super::model::{
    EnvironmentInfo, Fault, GeneratorResult, GeneratorThread, Improvement, Report, SCHEMA_VERSION,
    ScenarioInfo, Stampede, Tool, Validity,
};
use crate::gates::Verdict;
use crate::measure::Summary;
pub use jobs::operated_report;
pub use kinds::kinds_report;
pub use knee::knee_report;
use results::{
    baseline, data_type, layers, oracles, origin_result, phases, redis, requests, second,
};
pub use sampled::sampled_report;
#[cfg(test)]
pub(super) use sampled::{samples as sampled_samples, sampling as sampled_sampling};
use traffic::{Length, Model, TRAFFIC, USERS, summary};
pub use warming::warmed_report;

/// The ADR's run with 1,000 users: every one of its 17 targets held.
pub fn sample_report() -> Report {
    report_of(&Model {
        inventory_origin_permille: 115,
        length: Length::Minute,
    })
}

/// The same over a day of virtual time, in rows of a minute: some 15 million requests.
pub fn day_report() -> Report {
    let mut report = report_of(&Model {
        inventory_origin_permille: 115,
        length: Length::Day,
    });
    day::tell(&mut report);
    report
}

/// The same with one target lost (inventory's hit ratio) and one without evidence (Redis' memory).
pub fn failed_report() -> Report {
    let mut report = report_of(&Model {
        inventory_origin_permille: 183,
        length: Length::Minute,
    });
    for gate in &mut report.gates {
        if gate.name == "Redis memory" {
            "–".clone_into(&mut gate.observed);
            gate.observed_value = None;
            gate.samples = 0;
            gate.verdict = Verdict::Inconclusive;
            "Redis did not answer INFO".clone_into(&mut gate.note);
        }
    }
    report.verdict = Verdict::Fail;
    alerts::fire(&mut report);
    report
}

/// The first, ended by a gate whose windows it lost.
#[cfg(test)]
pub(super) fn cut_report() -> Report {
    let mut report = sample_report();
    gates::cut(&mut report);
    report
}

/// What the first could say of a second store.
#[cfg(test)]
pub(super) fn sample_store() -> super::model::StoreResult {
    results::store()
}

/// The first beside three alternatives.
pub fn variants_report() -> Report {
    let mut report = sample_report();
    report.variants = variants::of(&report);
    report
}

/// What can be left out is left out: no Redis, no baseline, no seconds, no gates; interrupted and
/// not to be trusted.
pub fn bare_report() -> Report {
    let mut report = sample_report();
    "bare".clone_into(&mut report.scenario.name);
    report.scenario.description = String::new();
    report.environment.redis_version = None;
    report.environment.redis_topology = None;
    report.environment.redis_managed = false;
    report.redis = None;
    report.baseline = None;
    report.improvement = None;
    report.gates = Vec::new();
    report.timeseries = Vec::new();
    report.data_types.retain(|name, _| name == "rate_limit");
    report.layers.remove("remote");
    report.oracles = BTreeMap::new();
    report.generator = None;
    report.validity = Validity {
        valid: false,
        reasons: vec!["the generator was the bottleneck: start slip p99 412 ms".to_owned()],
        warnings: vec!["only 3 requests measured".to_owned()],
        generator_limited: true,
        interrupted: true,
        generator_cpu_cores: None,
        instances_cpu_cores: None,
        slip_us: Summary::default(),
        users_live_max: 12,
        users_in_flight_max: 3,
    };
    report.verdict = Verdict::Inconclusive;
    report
}

fn generator() -> GeneratorResult {
    let thread = |name: &str, cpu_cores: f64, cpu_cores_worst: f64| GeneratorThread {
        name: name.to_owned(),
        cpu_cores,
        cpu_cores_worst,
        worst_at_s: 31.0,
    };
    GeneratorResult {
        threads: vec![
            thread("generator #2", 0.14, 0.22),
            thread("generator #1", 0.07, 0.18),
        ],
        loop_delay_us: Summary {
            count: 6_000,
            mean: 41.0,
            p50: 22.0,
            p90: 90.0,
            p95: 160.0,
            p99: 420.0,
            p999: 2_100.0,
            max: 6_800.0,
        },
        descriptors_max: Some(2_104),
        descriptors_limit: Some(65_536),
        descriptors_raised_from: Some(1_024),
        time_wait_max: Some(12),
        requests_without_descriptor: 0,
        requests_without_port: 0,
    }
}

fn tool() -> Tool {
    Tool {
        name: "cachestorm".to_owned(),
        version: "0.1.0".to_owned(),
    }
}

fn report_of(model: &Model) -> Report {
    let origin = origin_result(model, model.judged_s());
    let requests = requests(model, model.judged_s());
    let baseline = baseline();
    let mut report = Report {
        ended_early: None,
        knee: None,
        generator: Some(generator()),
        schema_version: SCHEMA_VERSION,
        tool: tool(),
        scenario: scenario(),
        seed: 42,
        driver: "closed".to_owned(),
        time: "real".to_owned(),
        sampling: None,
        started_at: "2026-11-23T07:45:00Z".to_owned(),
        event_log: None,
        duration_s: f64::from(model.rows() * model.width_s()),
        environment: environment(),
        validity: validity(requests.total),
        improvement: Some(Improvement {
            response_time_reduction: 1.0
                - requests.response_time_us.mean / baseline.response_time_us.mean,
            response_time_p95_reduction: 1.0
                - requests.response_time_us.p95 / baseline.response_time_us.p95,
            origin_query_reduction: 1.0
                - origin.queries_per_request / baseline.origin_queries_per_request,
        }),
        baseline: Some(baseline),
        trace: None,
        phases: phases(model),
        data_types: TRAFFIC
            .iter()
            .map(|t| (t.name.to_owned(), data_type(t, model.judged(t))))
            .collect(),
        layers: layers(model),
        target: None,
        stampede: Some(Stampede {
            flights: model.sum(|_, c| c.misses),
            origin_loads: model.sum(|_, c| c.misses),
            origin_loads_per_flight_max: 1,
            followers: model.sum(|_, c| c.coalesced),
        }),
        warming: None,
        redis: Some(redis()),
        memcached: None,
        oracles: oracles(requests.total),
        alerts: alerts::fired(),
        alerts_watched: alerts::watched(),
        faults: vec![Fault {
            name: "origin slow x3 for 5 s".to_owned(),
            at_s: 55.0,
        }],
        jobs: Vec::new(),
        user_kinds: Vec::new(),
        gates: Vec::new(),
        verdict: Verdict::Pass,
        variants: Vec::new(),
        timeseries_interval_s: model.width_s(),
        timeseries: (0..model.rows()).map(|row| second(model, row)).collect(),
        origin: Some(origin),
        requests,
    };
    report.gates = gates::judged(&report);
    report
}

fn scenario() -> ScenarioInfo {
    ScenarioInfo {
        name: "adr-006".to_owned(),
        description: "1,000 users against the cache of ADR-006, before and after".to_owned(),
        file: "scenarios/adr-006.yaml".to_owned(),
        overrides: vec!["--set traffic.users=1000".to_owned()],
    }
}

fn environment() -> EnvironmentInfo {
    EnvironmentInfo {
        system: "linux x86_64".to_owned(),
        cpus: 8,
        instances: 3,
        users: USERS as u32,
        redis_version: Some("7.0.15".to_owned()),
        redis_topology: Some("standalone".to_owned()),
        redis_managed: true,
        memcached_version: None,
        origin_connections: 60,
    }
}

fn validity(requests: u64) -> Validity {
    let slip = [61.0, 42.0, 120.0, 171.0, 304.0, 1_210.0, 2_480.0];
    Validity {
        valid: true,
        reasons: Vec::new(),
        warnings: Vec::new(),
        generator_limited: false,
        interrupted: false,
        generator_cpu_cores: Some(0.21),
        instances_cpu_cores: Some(0.34),
        slip_us: summary(requests, slip),
        users_live_max: USERS,
        users_in_flight_max: 64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_agree_with_each_other() {
        for report in [sample_report(), failed_report(), day_report()] {
            let total = report.requests.total;
            assert_eq!(report.requests.outcomes.values().sum::<u64>(), total);
            let by_type = report.data_types.values().map(|row| row.requests);
            assert_eq!(by_type.sum::<u64>(), total);
            let outcomes = report
                .data_types
                .values()
                .flat_map(|row| row.outcomes.values());
            assert_eq!(outcomes.flat_map(BTreeMap::values).sum::<u64>(), total);
            let judged = report.phases[1..].iter().map(|phase| phase.requests);
            assert_eq!(judged.sum::<u64>(), total);
            let seconds = report.timeseries.iter().map(|row| row.requests);
            assert_eq!(seconds.sum::<u64>(), total + report.phases[0].requests);
            let rows = report.duration_s / f64::from(report.timeseries_interval_s);
            assert!((report.timeseries.len() as f64 - rows).abs() < 1e-9);
            assert_eq!(report.data_types.len(), 7);
        }
    }

    #[test]
    fn a_day_has_its_fifteen_million_requests() {
        let total = day_report().requests.total;
        assert!((14_000_000..16_000_000).contains(&total), "{total}");
    }

    #[test]
    fn the_targets_are_seventeen_and_judged_as_named() {
        let count = |report: &Report, verdict| {
            report
                .gates
                .iter()
                .filter(|gate| gate.verdict == verdict)
                .count()
        };
        let sample = sample_report();
        assert_eq!(count(&sample, Verdict::Pass), 17, "{:#?}", sample.gates);
        let failed = failed_report();
        assert_eq!(count(&failed, Verdict::Pass), 15, "{:#?}", failed.gates);
        assert_eq!(count(&failed, Verdict::Fail), 1);
        assert_eq!(count(&failed, Verdict::Inconclusive), 1);
    }
}
