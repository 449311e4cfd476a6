//! How the generator fared: for the report, and as evidence for its validity.

use std::time::Duration;

use crate::drivers::{NO_DESCRIPTORS, NO_PORTS};
use crate::measure::query::{Phases, Query};
use crate::measure::validity::{BusyThread, Generator};
use crate::report::model::{GeneratorResult, GeneratorThread};
use crate::runner::Time;
use crate::runner::generator_watch::descriptors_limit;
use crate::runner::pass::PassResult;
use crate::units::Ratio;

/// What there is to tell of it; nothing in virtual time.
pub(super) fn result(pass: &PassResult, time: &Time) -> Option<GeneratorResult> {
    if matches!(time, Time::Virtual { .. }) {
        return None;
    }
    let seen = &pass.observed.generator;
    let start = pass.measurements.schedule().start();
    // Wherever they failed: it is not the system's doing.
    let errors = pass.measurements.errors_by_kind(&Query {
        phases: Phases::All,
        ..Query::default()
    });
    let failed = |word: &str| errors.get(word).copied().unwrap_or(0);
    let threads = seen.threads().into_iter().map(|thread| GeneratorThread {
        cpu_cores: thread.share,
        cpu_cores_worst: thread.share_worst,
        worst_at_s: thread.worst_at.since(start).as_secs_f64(),
        name: thread.name,
    });
    Some(GeneratorResult {
        threads: threads.collect(),
        loop_delay_us: seen.loop_delay_us,
        descriptors_max: seen.descriptors_max,
        descriptors_limit: descriptors_limit(),
        descriptors_raised_from: None,
        time_wait_max: seen.time_wait_max,
        requests_without_descriptor: failed(NO_DESCRIPTORS),
        requests_without_port: failed(NO_PORTS),
    })
}

/// The same as evidence.
pub(super) fn evidence(result: Option<&GeneratorResult>) -> Generator {
    let Some(result) = result else {
        return Generator::default();
    };
    let span = |seconds: f64| Duration::try_from_secs_f64(seconds).unwrap_or_default();
    let delay = result.loop_delay_us;
    Generator {
        busiest: result.threads.first().map(|thread| BusyThread {
            name: thread.name.clone(),
            share: Ratio(thread.cpu_cores),
            share_worst: Ratio(thread.cpu_cores_worst),
            worst_at: span(thread.worst_at_s),
        }),
        loop_delay_p99: (delay.count > 0).then(|| span(delay.p99 / 1e6)),
        descriptors_max: result.descriptors_max,
        descriptors_limit: result.descriptors_limit,
        without_descriptor: result.requests_without_descriptor,
        without_port: result.requests_without_port,
    }
}
