//! A target that is not ours: whether it answers before the run, and what of it nobody can know.
//!
//! Called by the runner for plans that have one. A run asks such a service exactly what its users ask and,
//! before they come, one request per operation and address.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use super::{RunError, Stage};
use crate::drivers::DriverError;
use crate::drivers::crowd::{Call, Caller as _};
use crate::drivers::http::external::ExternalFace;
use crate::drivers::http::tls::{self, TlsClient};
use crate::drivers::http::{HttpCaller, HttpTargets};
use crate::engine::data_type::DataTypeId;
use crate::engine::layer::Operation;
use crate::environment::error::EnvironmentError;
use crate::environment::external::ExternalService;
use crate::gates::inside::is_inside;
use crate::gates::judge::{Judged, Observation};
use crate::gates::{Gate, Verdict};
use crate::measure::PhaseId;
use crate::measure::measurements::{Measurements, UNKNOWN_SHARE_MAX};
use crate::measure::query::Query;
use crate::scenario::plan::Plan;
use crate::units::{Ratio, thousands};
use crate::workload::user::Traffic;
use crate::workload::{KeyParams, Request, TRAFFIC_SEED, UserKindId};

/// Nobody waits longer for the first answer, however long users would.
const FIRST_ANSWER_MAX: Duration = Duration::from_secs(10);
/// What a reader should know where certificates are not looked at.
const UNVERIFIED: &str = "the target's certificates were not verified (`target.tls.verify: false`): whoever \
                          answered was trusted";
/// Why a gate has no verdict.
const UNKNOWABLE: &str = "nobody can know this of a target that is not ours";

/// Refuses a plan with a target, in itself or in a variant, for what only the built-in service can do.
pub(super) fn refuse(plan: &Plan, command: &'static str) -> Result<(), RunError> {
    let variants = plan.variants.iter().filter_map(|one| one.plan.as_ref());
    let mut plans = std::iter::once(plan).chain(variants);
    match plans.find_map(|plan| plan.target.as_ref()) {
        None => Ok(()),
        Some(_) => Err(RunError::HasTarget { command }),
    }
}

/// The face of the target of `plan`, if it has one.
///
/// # Errors
/// If TLS is spoken to it, and whom to trust cannot be read.
pub(super) fn face(plan: &Plan) -> Result<Option<ExternalFace>, DriverError> {
    let Some(service) = &plan.target else {
        return Ok(None);
    };
    let policies = Arc::clone(&plan.policies);
    let face = ExternalFace::new(Arc::clone(service), policies, plan.value_sizes());
    Ok(Some(if service.speaks_tls() {
        face.over_tls(TlsClient::new(&service.tls)?)
    } else {
        face
    }))
}

/// Asks the target of the plan each operation once, at each address. Gives what a reader of the report
/// should know: which answers were none that are expected.
///
/// # Errors
/// If an address does not answer at all.
pub(super) async fn probe(stage: &Stage<'_>) -> Result<Vec<String>, RunError> {
    let plan = stage.plan;
    let (Some(service), Some(face)) = (&plan.target, face(plan)?) else {
        return Ok(Vec::new());
    };
    stage.progress.step("asking the target");
    let mut warnings = Vec::new();
    if service.speaks_tls() && !service.tls.verify {
        warnings.push(UNVERIFIED.to_owned());
    }
    for url in &service.urls {
        let to = HttpTargets {
            urls: vec![url.clone()],
            request_timeout: plan.traffic.request_timeout.min(FIRST_ANSWER_MAX),
            connections_max: 1,
        };
        let policies = Arc::clone(&plan.policies);
        let caller = HttpCaller::new(face.clone(), policies, stage.clock.clone(), &to)?;
        for (data_type, operation) in asked(service) {
            if *stage.stop.borrow() {
                return Err(RunError::Interrupted);
            }
            let request = request(plan, data_type, operation);
            let now = stage.clock.now();
            let sample = caller.call(Call {
                instance: 0,
                request: &request,
                user: 0,
                user_kind: UserKindId::default(),
                sequence: 0,
                phase: PhaseId(0),
                intended_start: now,
                waited: Duration::ZERO,
            });
            let Some(error) = sample.await.error else {
                continue;
            };
            // Errors of HTTP begin with the status.
            if !error.starts_with(|c: char| c.is_ascii_digit()) {
                let url = url.clone();
                return Err(match tls::advice(&error) {
                    Some(advice) => EnvironmentError::NoTls { url, error, advice },
                    None => EnvironmentError::NoAnswer { url, error },
                }
                .into());
            }
            let name = &plan.policies.get(data_type).name;
            let operation = operation.name();
            warnings.push(format!(
                "{url} answered {error} when it was asked for {name}.{operation} before the run; check \
                 the path, or add the status to the target's `expect`"
            ));
        }
    }
    Ok(warnings)
}

/// The operations that are said how to ask.
fn asked(service: &ExternalService) -> impl Iterator<Item = (DataTypeId, Operation)> {
    let asked = service.operations.iter();
    asked.map(|asked| (asked.data_type, asked.operation))
}

/// What users ask most.
fn request(plan: &Plan, data_type: DataTypeId, operation: Operation) -> Request {
    let traffic = Traffic::new(&plan.workload, &plan.policies, plan.seed.fork(TRAFFIC_SEED));
    let first = vec![0; plan.policies.get(data_type).key.params().count()];
    let params = traffic.of_rank(data_type, 0);
    Request {
        data_type,
        operation,
        params: params.unwrap_or_else(|| KeyParams::new(&first)),
    }
}

/// What a reader should know of the answers, by what the target said of its cache.
pub(super) fn warnings(plan: &Plan, measurements: &Measurements) -> Vec<String> {
    let Some(service) = &plan.target else {
        return Vec::new();
    };
    let all = Query::default();
    let (known, unknown) = (measurements.reads(&all), measurements.reads_unknown(&all));
    let mut warnings = Vec::new();
    if unknown > 0 {
        let share = Ratio::of(unknown, known + unknown).unwrap_or_default();
        let text = format!(
            "of {} reads ({share}) the target did not say whether its cache had the answer (outcome: {}); \
             more than {} of them, and there is no hit ratio",
            thousands(unknown),
            service.outcome.name(),
            UNKNOWN_SHARE_MAX
        );
        warnings.push(text);
    }
    warnings
}

/// The gates of `plan` as they can be watched while it runs: those of which nothing can be known have
/// no windows and end no run. Their places stay.
pub(super) fn watchable(plan: &Plan) -> Cow<'_, [Gate]> {
    if plan.target.is_none() {
        return Cow::Borrowed(&plan.gates);
    }
    let gates = plan.gates.iter().cloned();
    let watched = gates.map(|gate| {
        if is_inside(&gate.check) {
            Gate {
                window: None,
                abort_after: None,
                ..gate
            }
        } else {
            gate
        }
    });
    Cow::Owned(watched.collect())
}

/// Takes the verdict from every gate of `plan` of which nothing can be known.
pub(super) fn without_the_unknowable(plan: &Plan, judged: &mut [Judged<'_>]) {
    if plan.target.is_none() {
        return;
    }
    for one in judged {
        if is_inside(&one.gate.check) {
            one.observation = Observation::default();
            one.verdict = Verdict::Inconclusive;
            UNKNOWABLE.clone_into(&mut one.note);
        }
    }
}
