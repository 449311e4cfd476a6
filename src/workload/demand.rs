//! What users ask for how often, if they hardly wait for answers.
//!
//! Exact means, from the shares of a mix and the chances of a journey. Called by the scenario where it
//! makes a sample of a plan. Pure.

use crate::engine::data_type::DataTypeId;
use crate::engine::layer::Operation;
use crate::units::SpanRange;

use super::kinds::{Journey, JourneyStep, REMEMBERED_MAX, UserKind, What};
use super::{MixEntry, Workload};

/// An operation on a data type, and how often it is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Demand {
    /// The data type.
    pub data_type: DataTypeId,
    /// What is asked.
    pub operation: Operation,
    /// How often in a second, by all users together.
    pub per_s: f64,
}

/// Nobody asks more often than this.
const PAUSE_S_MIN: f64 = 1e-6;

impl Workload {
    /// What is asked for, one entry for each line of a mix and each step of a journey that has any
    /// weight. What users do once, when they come, is left out.
    pub fn demand(&self) -> Vec<Demand> {
        self.kinds.iter().flat_map(UserKind::demand).collect()
    }

    /// How many requests all users make in a second.
    pub fn requests_per_s(&self) -> f64 {
        self.demand().iter().map(|demand| demand.per_s).sum()
    }
}

impl UserKind {
    /// What users of this kind ask for.
    pub fn demand(&self) -> Vec<Demand> {
        let asked = match &self.what {
            What::Mix(mix) => of_mix(mix, mean_s(self.think_time)),
            What::Journeys(journeys) => of_journeys(journeys, self.think_time),
        };
        // Time passes by the pauses alone.
        let pause_s: f64 = asked.iter().map(|asked| asked.pause_s).sum();
        let rounds_per_s = f64::from(self.users) / pause_s.max(PAUSE_S_MIN);
        asked
            .into_iter()
            .filter(|asked| asked.requests > 0.0)
            .map(|asked| Demand {
                data_type: asked.data_type,
                operation: asked.operation,
                per_s: asked.requests * rounds_per_s,
            })
            .collect()
    }
}

/// What is asked in one round: a request by the mix, or a journey.
struct Asked {
    data_type: DataTypeId,
    operation: Operation,
    /// How many requests, on average.
    requests: f64,
    /// How long the user pauses after them, on average.
    pause_s: f64,
}

fn of_mix(mix: &[MixEntry], pause_s: f64) -> Vec<Asked> {
    let shares = shares(mix.iter().map(|entry| entry.weight));
    let asked = mix.iter().zip(shares).map(|(entry, share)| Asked {
        data_type: entry.data_type,
        operation: entry.operation,
        requests: share,
        pause_s: share * pause_s,
    });
    asked.collect()
}

fn of_journeys(journeys: &[Journey], think_time: SpanRange) -> Vec<Asked> {
    let shares = shares(journeys.iter().map(|journey| journey.weight));
    let mut asked = Vec::new();
    for (journey, share) in journeys.iter().zip(shares) {
        // The share of all rounds that comes to the step, by what is remembered then.
        let mut come = [0.0; 1 << REMEMBERED_MAX];
        come[0] = share;
        for step in &journey.steps {
            let requests = of_step(step, &mut come);
            let pause_s = mean_s(step.think_time.unwrap_or(think_time));
            asked.push(Asked {
                data_type: step.data_type,
                operation: step.operation,
                requests,
                pause_s: requests * pause_s,
            });
        }
    }
    asked
}

/// How many requests `step` makes, and who goes on to the next one.
fn of_step(step: &JourneyStep, come: &mut [f64; 1 << REMEMBERED_MAX]) -> f64 {
    let (min, max) = (f64::from(step.times.min), f64::from(step.times.max));
    // Of none up to `max` times, one is not at all.
    let some = if min > 0.0 { 1.0 } else { max / (max + 1.0) };
    let done = step.chance.0 * some;
    let kept = step.remember.iter();
    let kept = kept.fold(0, |kept, value| kept | 1 << value.value);
    let mut requests = 0.0;
    for known in (0..come.len())
        .rev()
        .filter(|known| step.is_possible(*known as u8))
    {
        let here = come[known];
        requests += here * step.chance.0 * f64::midpoint(min, max);
        come[known] -= here * done;
        // From the last on: what goes to more that is remembered does not come by again.
        if let Some(later) = come.get_mut(known | kept) {
            *later += here * done * (1.0 - step.leave.0);
        }
    }
    requests
}

/// Weights as shares of their sum; those that are not above zero are none.
fn shares(weights: impl Iterator<Item = f64> + Clone) -> impl Iterator<Item = f64> {
    let weights = weights.map(|weight| weight.max(0.0));
    let sum: f64 = weights.clone().sum();
    weights.map(move |weight| weight / sum.max(f64::MIN_POSITIVE))
}

fn mean_s(span: SpanRange) -> f64 {
    f64::midpoint(span.min.as_secs_f64(), span.max.as_secs_f64())
}
