//! What a simulation must be told of this machine, measured by short real runs of the same users.
//!
//! One before the run that is predicted and one after it, because a machine with other work on it is
//! another from minute to minute. With all the users: an idle machine wakes up more slowly, so delays
//! measured at another load are not those of this one.

use std::time::Duration;

use super::pass::PassResult;
use super::{House, RunError};
use crate::engine::layer::{Layer, Operation, Outcome};
use crate::environment::calibration::Calibration;
use crate::environment::delay::Delay;
use crate::measure::PhaseKind;
use crate::measure::histogram::Histogram;
use crate::measure::query::{Phases, Query};
use crate::scenario::plan::{PhasePlan, Plan};

/// How long users come before it is measured, at most.
const WARM_UP: Duration = Duration::from_secs(10);
/// How long it is measured, at most.
const MEASURED: Duration = Duration::from_secs(20);
/// A distribution from fewer values says little.
const VALUES_MIN: u64 = 200;
/// Which quantiles a delay is made of: close together where they change fast.
const SHARES: [f64; 18] = [
    0.0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999,
    1.0,
];

/// The plan of the short run.
fn short(plan: &Plan) -> Plan {
    let phases = &plan.traffic.phases;
    let all = |kind| phases.iter().filter(move |phase| phase.kind == kind);
    let lasts = |kind| all(kind).map(|phase| phase.duration).sum::<Duration>();
    let phase = |name: &str, kind, duration| PhasePlan {
        name: name.to_owned(),
        kind,
        duration,
        arrivals: None,
    };
    let mut short = plan.clone();
    short.baseline = None;
    short.variants.clear();
    short.alerts.clear();
    short.traffic.phases = vec![
        phase(
            "warm-up",
            PhaseKind::WarmUp,
            lasts(PhaseKind::WarmUp).clamp(plan.traffic.ramp, WARM_UP.max(plan.traffic.ramp)),
        ),
        phase(
            "calibration",
            PhaseKind::Measure,
            lasts(PhaseKind::Measure).min(MEASURED),
        ),
    ];
    short
}

/// What a short run says of this machine.
pub(super) struct Calibrating {
    /// Response times of local hits: all that a request takes beside the engine.
    local_hits: Histogram,
    /// Lookups in Redis, as the engine waited for them.
    lookups: Histogram,
    /// The instances' processor time for a request, each weighed by its run's requests.
    processor_time: Option<Duration>,
    requests: u64,
}

impl House<'_> {
    /// Measures what a simulation of `plan` must be told.
    pub(super) async fn calibrate(&mut self, plan: &Plan) -> Result<Calibrating, RunError> {
        let passes = Box::pin(self.measure(&short(plan), Some("calibration"))).await?;
        Ok(Calibrating::of(&passes.after))
    }
}

impl Calibrating {
    fn of(pass: &PassResult) -> Self {
        let local_hits = pass.measurements.response_time(&Query {
            operation: Some(Operation::Get),
            outcome: Some(Outcome::Hit),
            layer: Some(Layer::Local),
            ..Query::default()
        });
        let mut lookups = Histogram::new();
        for (id, _) in pass.measurements.policies().iter() {
            lookups.merge(
                &pass
                    .engine
                    .service_time(id, Layer::Remote, Phases::Measured),
            );
        }
        let requests = pass.measurements.count(&Query::default());
        let lasted = pass.measurements.duration(Phases::Measured);
        let cores = super::assemble::cores(pass, "instance").filter(|_| requests > 0);
        Self {
            local_hits,
            lookups,
            processor_time: cores.map(|cores| lasted.mul_f64(cores / requests as f64)),
            requests,
        }
    }

    /// Both together.
    pub(super) fn and(mut self, other: &Self) -> Self {
        self.local_hits.merge(&other.local_hits);
        self.lookups.merge(&other.lookups);
        let all = (self.requests + other.requests).max(1);
        let share = other.requests as f64 / all as f64;
        self.processor_time = match (self.processor_time, other.processor_time) {
            (Some(one), Some(two)) => Some(one.mul_f64(1.0 - share) + two.mul_f64(share)),
            (one, two) => one.or(two),
        };
        self.requests += other.requests;
        self
    }

    /// The median of a local hit's response time.
    pub(super) fn median(&self) -> Option<Duration> {
        (self.local_hits.count() >= VALUES_MIN).then(|| self.local_hits.quantile(0.5))
    }

    /// What a simulation is told; what could not be measured is as by default.
    pub(super) fn calibration(&self) -> Calibration {
        let by_default = Calibration::default();
        let of_thread = by_default.costs.get + by_default.costs.wakeup;
        Calibration {
            http: delay(&self.local_hits, Duration::ZERO).unwrap_or(by_default.http),
            processor_time: self.processor_time.unwrap_or(by_default.processor_time),
            redis: delay(&self.lookups, of_thread).unwrap_or(by_default.redis),
            ..by_default
        }
    }
}

/// The distribution of `times`, each less `without`; `None` if it rests on too few.
fn delay(times: &Histogram, without: Duration) -> Option<Delay> {
    let quantile = |share| (share, times.quantile(share).saturating_sub(without));
    (times.count() >= VALUES_MIN)
        .then(|| Delay::from_quantiles(SHARES.into_iter().map(quantile).collect()))
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_follows_what_was_measured_less_what_is_modelled() {
        let mut times = Histogram::new();
        for us in 0..1_000 {
            times.record(Duration::from_micros(100 + us));
        }
        let delay = delay(&times, Duration::from_micros(90)).expect("enough values");
        let median = delay.quantile(0.5).as_micros();
        assert!((505..515).contains(&median), "{median}");
        assert_eq!(super::delay(&Histogram::new(), Duration::ZERO), None);
    }
}
