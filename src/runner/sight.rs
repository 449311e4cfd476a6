//! What a sliding window shows of each metric, for alerts and for windowed gates.
//!
//! Made of what the recorder counted in the window's seconds and of the environment's readings from its
//! begin to its end. Decides nothing.

use std::time::Duration;

use super::evidence::queries;
use super::monitor::Reading;
use crate::clock::Timestamp;
use crate::engine::data_type::{DataTypeId, PolicyTable};
use crate::engine::layer::Layer;
use crate::environment::instance::metrics::InstanceReading;
use crate::gates::grammar::Check;
use crate::gates::judge::{Evidence, Observation};
use crate::gates::metric::{Metric, Scalar, Statistic};
use crate::measure::Schedule;
use crate::measure::window::Window;

/// Looks are about a second apart; one that came a little early still counts as a second ago.
const SLACK: Duration = Duration::from_millis(500);

/// The last whole seconds of the run before `now`.
pub(super) fn seconds_of(
    schedule: &Schedule,
    now: Timestamp,
    length: Duration,
) -> std::ops::Range<u32> {
    let second = now.since(schedule.start()).as_secs() as u32;
    let length = length.as_secs() as u32;
    second.saturating_sub(length)..second
}

/// The readings of a window, from the one at its begin to the one at its end.
pub(super) fn readings<'r>(
    first: &'r Reading,
    seconds: &'r [Reading],
    length: Duration,
) -> Vec<&'r Reading> {
    let Some(now) = seconds.last() else {
        return Vec::new();
    };
    let from = now.at - length + SLACK;
    let inside = seconds.iter().rev().take_while(|reading| reading.at > from);
    let inside = inside.count();
    let before = match seconds.len() - inside {
        0 => first,
        n => &seconds[n - 1],
    };
    std::iter::once(before)
        .chain(&seconds[seconds.len() - inside..])
        .collect()
}

/// What can be seen in one window.
pub(super) struct Sight<'r> {
    pub(super) readings: Vec<&'r Reading>,
    pub(super) window: &'r Window,
    pub(super) policies: &'r PolicyTable,
    /// Those that are live now.
    pub(super) users: u64,
    /// Whether there should be a Redis, or a memcached in its place.
    pub(super) has_store: bool,
}

const NOTHING: Observation = Observation {
    value: None,
    samples: 0,
};

fn seen(value: f64) -> Observation {
    Observation {
        value: Some(value),
        samples: 1,
    }
}

fn share(part: u64, whole: u64) -> Observation {
    Observation {
        value: (whole > 0).then(|| part as f64 / whole as f64),
        samples: whole,
    }
}

impl Evidence for Sight<'_> {
    fn observe(&self, check: &Check) -> Observation {
        let data_type = match check.data_type() {
            Some(name) => match self.policies.id_of(name) {
                Some(id) => Some(id),
                None => return NOTHING,
            },
            None => None,
        };
        match check.metric {
            Metric::Distribution(_, statistic) => self.response_time(statistic),
            Metric::Scalar(Scalar::HitRatio) => self.hit_ratio(data_type, check.selectors.layer),
            Metric::Scalar(scalar) => self
                .of_requests(scalar)
                .or_else(|| self.of_origin(scalar, data_type))
                .or_else(|| self.of_store(scalar))
                .or_else(|| self.of_instances(scalar))
                .unwrap_or(NOTHING),
        }
    }
}

impl Sight<'_> {
    fn response_time(&self, statistic: Statistic) -> Observation {
        let samples = self.window.timed();
        let value = match statistic {
            Statistic::Percentile(percent) => self.window.quantile_us(percent / 100.0),
            Statistic::Mean => self.window.mean_us(),
            Statistic::Min => self.window.quantile_us(0.0),
            Statistic::Max => self.window.quantile_us(1.0),
        };
        Observation {
            value: (samples > 0).then_some(value),
            samples,
        }
    }

    fn hit_ratio(&self, data_type: Option<DataTypeId>, layer: Option<Layer>) -> Observation {
        let Some(layer) = layer else {
            let (reads, hits) = self.window.reads_and_hits(data_type);
            return share(hits, reads);
        };
        let (Some(then), Some(now)) = (self.readings.first(), self.readings.last()) else {
            return NOTHING;
        };
        let all = self.policies.iter().map(|(id, _)| id);
        let chosen: Vec<DataTypeId> = all
            .filter(|id| data_type.is_none_or(|only| only == *id))
            .collect();
        let total = |reading: &Reading| {
            let each = chosen.iter().flat_map(|id| {
                let instances = reading.instances.iter();
                instances.map(move |one| one.asked_and_found(*id, layer))
            });
            each.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
        };
        let (then, now) = (total(then), total(now));
        share(now.1 - then.1, now.0 - then.0)
    }

    fn of_requests(&self, scalar: Scalar) -> Option<Observation> {
        let (requests, errors) = (self.window.requests(), self.window.errors());
        Some(match scalar {
            Scalar::ErrorRatio => share(errors, requests),
            Scalar::Rate => self.per_s(requests),
            Scalar::Requests => seen(requests as f64),
            Scalar::Errors => seen(errors as f64),
            Scalar::Users => seen(self.users as f64),
            _ => return None,
        })
    }

    fn of_origin(&self, scalar: Scalar, data_type: Option<DataTypeId>) -> Option<Observation> {
        let (then, now) = (self.readings.first()?, self.readings.last()?);
        let ran =
            queries(&now.database, data_type).saturating_sub(queries(&then.database, data_type));
        match scalar {
            Scalar::OriginQueries => Some(seen(ran as f64)),
            Scalar::OriginQueriesPerS => Some(self.per_s(ran)),
            _ => None,
        }
    }

    fn of_store(&self, scalar: Scalar) -> Option<Observation> {
        let last = self.readings.last()?;
        let now = last.store();
        let value = match scalar {
            Scalar::RedisUp if self.has_store => Some(f64::from(u8::from(last.stores_up()))),
            Scalar::RedisUp => None,
            Scalar::MemoryUsage => now.and_then(|now| {
                let limit = now.limit_bytes.filter(|limit| *limit > 0)?;
                Some(now.used_bytes as f64 / limit as f64)
            }),
            Scalar::RedisMemory => now.map(|now| now.used_bytes as f64),
            Scalar::RedisKeys => now.map(|now| now.keys as f64),
            Scalar::EvictionsPerS => self.evictions_per_s(),
            _ => return None,
        };
        Some(value.map_or(NOTHING, seen))
    }

    /// Over the readings that there are, if the store answers now.
    fn evictions_per_s(&self) -> Option<f64> {
        let last = self.readings.last()?.store()?;
        let answered = self.readings.iter().filter(|r| r.store().is_some());
        let answered: Vec<&Reading> = answered.copied().collect();
        let first = answered.first()?.store()?;
        let evicted = answered.windows(2);
        let evicted: u64 = evicted
            .filter_map(|pair| pair[1].evicted_since(pair[0]))
            .sum();
        // Over a shorter time a handful would look like a storm.
        let seconds = last.at.since(first.at).as_secs_f64().max(1.0);
        (answered.len() > 1).then(|| evicted as f64 / seconds)
    }

    fn of_instances(&self, scalar: Scalar) -> Option<Observation> {
        let now = &self.readings.last()?.instances;
        Some(match scalar {
            Scalar::BreakersOpen => seen(breakers_open(now) as f64),
            Scalar::WriteBehindWaiting => seen(writes_waiting(now) as f64),
            _ => return None,
        })
    }

    fn per_s(&self, count: u64) -> Observation {
        let (Some(then), Some(now)) = (self.readings.first(), self.readings.last()) else {
            return NOTHING;
        };
        let seconds = now.at.since(then.at).as_secs_f64();
        if seconds > 0.0 {
            seen(count as f64 / seconds)
        } else {
            NOTHING
        }
    }
}

/// How many of them have their circuit open.
pub(super) fn breakers_open(instances: &[InstanceReading]) -> u64 {
    instances.iter().filter(|one| one.breaker_open).count() as u64
}

/// What waits in the queue that all of them share, as the one saw it that saw most.
pub(super) fn writes_waiting(instances: &[InstanceReading]) -> u64 {
    let waiting = instances.iter().map(|one| one.writes_waiting);
    waiting.max().unwrap_or(0)
}
