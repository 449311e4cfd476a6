//! The variants side by side: the key figures of each, and every target as judged of it.

use std::collections::BTreeMap;

use super::{gates, generator, improvement, parts, validity};
use crate::engine::layer::{Layer, Operation};
use crate::gates::Verdict;
use crate::gates::judge::{Evidence, Observation, judge, overall};
use crate::measure::query::{Phases, Query};
use crate::measure::{Staleness, Summary};
use crate::report::model::{Baseline, Stampede, VariantResult};
use crate::runner::evidence::RunEvidence;
use crate::runner::pass::PassResult;
use crate::runner::variants::Measured;
use crate::runner::{House, Passes, RunError, external};
use crate::scenario::plan::{Plan, Variant};

/// Every variant of `plan`, the main one from its own passes.
pub(super) fn results(
    (plan, house): (&Plan, &House<'_>),
    main: &Passes,
    measured: &Measured,
    baseline: Option<&Baseline>,
) -> Vec<VariantResult> {
    let variants = plan.variants.iter().zip(measured);
    variants
        .map(|(variant, measured)| {
            let own = variant.plan.as_ref().unwrap_or(plan);
            match measured {
                None => result(variant, (own, house), main, baseline),
                Some(Ok(passes)) => result(variant, (own, house), passes, baseline),
                Some(Err(error)) => not_run(variant, own, error),
            }
        })
        .collect()
}

fn result(
    variant: &Variant,
    (plan, house): (&Plan, &House<'_>),
    passes: &Passes,
    baseline: Option<&Baseline>,
) -> VariantResult {
    let pass = &passes.after;
    let all = Query::default();
    let improvement = baseline.and_then(|baseline| improvement(baseline, pass));
    let generator = generator::result(pass, &house.time);
    let validity = validity(plan, passes, &house.time, generator.as_ref());
    let name = variant.plan.as_ref().map(|_| &*variant.name);
    let scale = house.scale(name);
    let evidence = RunEvidence {
        improvement,
        ..RunEvidence::of(pass, passes.has_store(), &scale)
    };
    let mut judged = judge(&plan.gates, &evidence, validity.valid);
    external::without_the_unknowable(plan, &mut judged);
    let requests = parts::requests(pass);
    let origin = parts::origin(plan, pass);
    let stampede = parts::stampede(pass);
    let data_types = parts::data_types(pass).into_iter();
    VariantResult {
        not_run: None,
        remote: remote(passes),
        requests: requests.total,
        errors: requests.errors,
        rate_per_s: requests.rate_per_s,
        response_time_us: requests.response_time_us,
        hit_ratio: pass.measurements.hit_ratio(&all).map(|(ratio, _)| ratio),
        hit_ratio_by_data_type: data_types
            .map(|(name, result)| (name, result.hit_ratio))
            .collect(),
        answered_by: answered_by(pass),
        staleness_ms: pass.staleness_ms(&all),
        origin_queries: origin.queries,
        origin_queries_per_s: origin.queries_per_s,
        origin_queries_per_request: origin.queries_per_request,
        origin_peak_connections: origin.peak_connections,
        origin_loads_per_flight_max: stampede.origin_loads_per_flight_max,
        stampede,
        warming: super::warming::result(plan, pass),
        query_cache: origin.query_cache,
        remote_memory_bytes_max: pass.observed.looks.judged.remote_bytes_max,
        unsupported: unsupported(pass),
        improvement,
        oracles: parts::oracles(plan, passes),
        verdict: overall(&judged, validity.valid),
        gates: gates::results(&judged, pass),
        ended_early: gates::ended_early(pass),
        invalid: validity.reasons,
        warnings: validity.warnings,
        ..nothing(variant)
    }
}

fn not_run(variant: &Variant, plan: &Plan, error: &RunError) -> VariantResult {
    /// Nothing was observed.
    struct Nothing;
    impl Evidence for Nothing {
        fn observe(&self, _: &crate::gates::grammar::Check) -> Observation {
            Observation {
                value: None,
                samples: 0,
            }
        }
    }
    let judged = judge(&plan.gates, &Nothing, false);
    let text = error.to_string();
    let reason = text.lines().next().unwrap_or_default();
    VariantResult {
        not_run: Some(reason.to_owned()),
        gates: judged.iter().map(gates::unseen).collect(),
        invalid: vec![format!("it was not run: {reason}")],
        ..nothing(variant)
    }
}

/// A variant of which nothing is known.
fn nothing(variant: &Variant) -> VariantResult {
    VariantResult {
        name: variant.name.clone(),
        main: variant.plan.is_none(),
        changes: variant.changes.clone(),
        not_run: None,
        remote: None,
        requests: 0,
        errors: 0,
        rate_per_s: 0.0,
        response_time_us: Summary::default(),
        hit_ratio: None,
        hit_ratio_by_data_type: BTreeMap::new(),
        answered_by: BTreeMap::new(),
        staleness_ms: Staleness::default(),
        origin_queries: 0,
        origin_queries_per_s: 0.0,
        origin_queries_per_request: 0.0,
        origin_peak_connections: 0,
        origin_loads_per_flight_max: 0,
        stampede: Stampede::default(),
        warming: None,
        query_cache: None,
        remote_memory_bytes_max: None,
        unsupported: BTreeMap::new(),
        improvement: None,
        oracles: BTreeMap::new(),
        gates: Vec::new(),
        ended_early: None,
        verdict: Verdict::Inconclusive,
        invalid: Vec::new(),
        warnings: Vec::new(),
    }
}

fn remote(passes: &Passes) -> Option<String> {
    let redis = passes.redis.as_ref();
    let redis = redis.map(|redis| match passes.aside {
        Some(_) => format!("Redis {}, two stores", redis.version),
        None => format!("Redis {}", redis.version),
    });
    let memcached = passes.memcached_version.as_ref();
    redis.or_else(|| memcached.map(|version| format!("memcached {version}")))
}

/// Reads by the layer that answered, as shares of all reads.
fn answered_by(pass: &PassResult) -> BTreeMap<String, f64> {
    let reads = Query {
        operation: Some(Operation::Get),
        ..Query::default()
    };
    let all = pass.measurements.reads(&reads);
    let share = |layer| {
        let query = Query {
            layer: Some(layer),
            ..reads
        };
        pass.measurements.reads(&query) as f64 / all as f64
    };
    Layer::ALL
        .into_iter()
        .filter(|_| all > 0)
        .map(|layer| (layer.name().to_owned(), share(layer)))
        .filter(|(_, share)| *share > 0.0)
        .collect()
}

fn unsupported(pass: &PassResult) -> BTreeMap<String, u64> {
    let asked = pass.engine.unsupported(Phases::Measured).into_iter();
    asked
        .map(|(what, count)| (what.to_owned(), count))
        .collect()
}

/// Whether the run was ended before all variants were done.
pub(super) fn interrupted(measured: &Measured) -> bool {
    measured.iter().flatten().any(|variant| match variant {
        Ok(passes) => passes.after.observed.interrupted,
        Err(error) => matches!(error, RunError::Interrupted),
    })
}
