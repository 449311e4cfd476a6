//! A sample's figures as those of the whole, for gates and alerts; a report has its own way
//! (`report::sampled`).
//!
//! Called where evidence is given. Without a sample everything stays as it is.

use std::sync::Arc;

use crate::gates::judge::Observation;
use crate::gates::metric::{Metric, Scalar};
use crate::gates::scale::grows_with_users;
use crate::measure::sampling::Sampling;
use crate::scenario::plan::Plan;
use crate::scenario::sample::SampledPlan;

/// The share of all users that `plan` simulates, from 0 to 1.
pub(super) fn share_of(plan: &Plan) -> f64 {
    let sample = plan.workload.sample;
    sample.map_or(1.0, |sample| sample.share.as_f64())
}

/// A sample, and what it is a sample of.
#[derive(Clone, Copy, Debug)]
pub(super) struct OfWhole<'r> {
    pub(super) sample: &'r SampledPlan,
    pub(super) whole: &'r Plan,
}

impl OfWhole<'_> {
    /// How figures of the plan, or of one of its variants, become those of the whole.
    pub(super) fn scale(&self, variant: Option<&str>) -> Scale {
        self.of(variant)
            .map_or_else(Scale::default, |(sampling, whole)| {
                Scale::of(sampling, whole)
            })
    }

    /// What is known of the sample of the plan, or of one of its variants, and the whole of that.
    pub(super) fn of(&self, variant: Option<&str>) -> Option<(&Sampling, &Plan)> {
        let Some(name) = variant else {
            return Some((&self.sample.sampling, self.whole));
        };
        let mut sampled = self.sample.variants.iter();
        let (_, sampling) = sampled.find(|(of, _)| of == name)?;
        let mut wholes = self.whole.variants.iter();
        let whole = wholes.find(|variant| variant.name == name)?.plan.as_ref()?;
        Some((sampling, whole))
    }
}

/// How figures of a sample become those of the whole.
#[derive(Clone, Debug, Default)]
pub(super) struct Scale(Option<Of>);

/// What is sampled, and what the plan of the whole says.
#[derive(Clone, Debug)]
struct Of {
    sampling: Arc<Sampling>,
    connections: u32,
}

impl Scale {
    /// That of a sample of `whole`.
    pub(super) fn of(sampling: &Sampling, whole: &Plan) -> Self {
        Self(Some(Of {
            sampling: Arc::new(sampling.clone()),
            connections: whole.database.connections,
        }))
    }

    /// What was observed of `metric` in the sample, as it is in the whole. The samples that it rests on
    /// are those that there were.
    pub(super) fn to_whole(&self, metric: Metric, seen: Observation) -> Observation {
        let Some(Of {
            sampling,
            connections,
        }) = &self.0
        else {
            return seen;
        };
        if !grows_with_users(metric) {
            return seen;
        }
        let whole = |value: f64| match metric {
            Metric::Scalar(Scalar::RedisMemory) => sampling.memory_of_whole(value),
            // Parts of connections were rounded.
            Metric::Scalar(Scalar::OriginPeakConnections) => {
                let most = f64::from(*connections);
                sampling.share.to_whole(value).round().min(most)
            }
            Metric::Scalar(Scalar::Rate | Scalar::OriginQueriesPerS | Scalar::EvictionsPerS) => {
                sampling.share.to_whole(value)
            }
            _ => sampling.share.to_whole(value).round(),
        };
        Observation {
            value: seen.value.map(whole),
            ..seen
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gates::grammar::Check;
    use crate::scenario::{self, Overrides};
    use crate::workload::sampling::Share;

    #[test]
    fn what_grows_with_the_users_is_that_of_all() {
        let text = "{ name: a, data_types: { row: { key: 'r:{id}', strategy: cache-aside, ttl: 1m, \
                    population: 9, value_size: 9B, origin: { query_time: { median: 1ms, p99: 2ms }, \
                    write_time: { median: 1ms, p99: 2ms } } } }, layers: { local: { entries: 9 }, remote: none }, \
                    origin: { connections: 40 }, traffic: { users: 5, think_time: 1s..2s, \
                    phases: [{ name: steady, for: 1s }], mix: { row.get: 1 } } }";
        let plan = scenario::parse("a.yaml", text, &Overrides::default())
            .unwrap_or_else(|errors| panic!("{errors}"));
        let sampling = Sampling {
            share: Share::new(3, 31).expect("a share"),
            users_total: 31,
            users_simulated: 3,
            data_types: Vec::new(),
            remote_base_bytes: 1_000,
            aside_base_bytes: 0,
            remote_excess_bytes: 0.0,
            behind: None,
            caveats: Vec::new(),
        };
        let (none, scale) = (Scale::default(), Scale::of(&sampling, &plan));
        let told = |scale: &Scale, check: &str, value: f64| {
            let check: Check = check.parse().expect(check);
            let seen = Observation {
                value: Some(value),
                samples: 7,
            };
            let whole = scale.to_whole(check.metric, seen);
            assert_eq!(whole.samples, 7);
            whole.value.expect("a value")
        };
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-9, "{a} is not {b}");
        close(told(&none, "rate > 1/s", 12.0), 12.0);
        close(told(&scale, "rate > 1/s", 12.0), 124.0);
        close(told(&scale, "hit_ratio > 1%", 0.9), 0.9);
        close(told(&scale, "origin_peak_connections < 9", 4.0), 40.0);
        close(told(&scale, "redis_memory < 1MiB", 1_600.0), 7_200.0);
        close(told(&scale, "users > 1", 3.0), 31.0);
    }
}
