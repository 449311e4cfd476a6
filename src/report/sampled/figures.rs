//! From the reports of samples to estimates of the whole.

use std::time::Duration;

use crate::measure::error_bar::ErrorBar;
use crate::measure::sampling::{Lifetime, SampledKeys, Sampling, Times};
use crate::measure::{PhaseKind, Summary};
use crate::report::model::{DataTypeResult, Report, SampledFigure, SamplingResult};

/// What one sample found of a figure.
#[derive(Clone, Copy, Debug, Default)]
struct Found {
    /// The figure, scaled to the whole.
    value: f64,
    /// What has to be added to it for a known bias.
    bias: f64,
    /// How far off it may be besides, up or down.
    unsure: f64,
    /// How much lower and higher it may be, where a bias has no known size.
    below: f64,
    above: f64,
}

/// The estimates from the reports of `samples` as they were measured, not scaled. A figure that one of
/// them does not have is left out.
pub fn estimates(samples: &[Report], sampling: &Sampling) -> SamplingResult {
    let mut figures = vec![
        figure("hit ratio", "ratio", samples, |report| {
            hit_ratio(report, sampling)
        }),
        figure("requests", "per_s", samples, |report| {
            Some(sampling.share.to_whole(report.requests.rate_per_s).into())
        }),
        figure("origin queries", "per_s", samples, |report| {
            Some(origin_queries(report, sampling))
        }),
    ];
    for (name, level, of) in PERCENTILES {
        let name = format!("{name} response time");
        figures.push(figure(&name, "us", samples, |report| {
            percentile(report, sampling, level, of)
        }));
    }
    figures.push(figure("remote memory", "bytes", samples, |report| {
        remote_memory(report, sampling)
    }));
    figures.push(figure("evictions", "per_s", samples, |report| {
        evictions(report, sampling)
    }));
    for layer in ["local", "remote"] {
        let name = format!("{layer} layer's hit ratio");
        figures.push(figure(&name, "ratio", samples, |report| {
            layer_hit_ratio(report, sampling, layer)
        }));
    }
    let data_types = samples.first().map(|report| report.data_types.keys());
    for data_type in data_types.into_iter().flatten() {
        let name = format!("{data_type} hit ratio");
        figures.push(figure(&name, "ratio", samples, |report| {
            type_hit_ratio(report, sampling, data_type)
        }));
    }
    let keys = |of: fn(&SampledKeys) -> u64| {
        sampling
            .data_types
            .iter()
            .map(of)
            .fold(0, u64::saturating_add)
    };
    SamplingResult {
        share: sampling.share.as_f64(),
        users_total: sampling.users_total,
        users_simulated: sampling.users_simulated,
        keys_total: keys(|keys| keys.keys),
        keys_simulated: keys(|keys| keys.kept),
        samples: u32::try_from(samples.len()).unwrap_or(u32::MAX),
        figures: figures.into_iter().flatten().collect(),
        caveats: sampling.caveats.clone(),
    }
}

impl From<f64> for Found {
    fn from(value: f64) -> Self {
        Self {
            value,
            ..Self::default()
        }
    }
}

fn figure(
    name: &str,
    unit: &str,
    samples: &[Report],
    of: impl Fn(&Report) -> Option<Found>,
) -> Option<SampledFigure> {
    let found: Vec<Found> = samples.iter().map(of).collect::<Option<_>>()?;
    let values: Vec<f64> = found.iter().map(|found| found.value).collect();
    let raw = ErrorBar::of(&values)?;
    let mean = |of: fn(&Found) -> f64| found.iter().map(of).sum::<f64>() / found.len() as f64;
    let (bias, unsure) = (mean(|found| found.bias), mean(|found| found.unsure));
    let most = if unit == "ratio" { 1.0 } else { f64::MAX };
    let bar = raw.corrected(bias).widened(unsure);
    let bar = ErrorBar {
        low: bar.low - mean(|found| found.below),
        high: bar.high + mean(|found| found.above),
        ..bar
    };
    let bar = bar.within(0.0, most);
    Some(SampledFigure {
        name: name.to_owned(),
        unit: unit.to_owned(),
        mean: bar.mean,
        low: bar.low,
        high: bar.high,
        standard_error: raw.standard_error,
        corrected_by: bar.mean - raw.mean,
        values,
    })
}

fn times(report: &Report) -> Times {
    let of = |kind: PhaseKind| -> f64 {
        let phases = report.phases.iter().filter(|phase| phase.kind == kind);
        phases.map(|phase| phase.duration_s).sum()
    };
    let duration = |seconds: f64| Duration::try_from_secs_f64(seconds).unwrap_or_default();
    Times {
        warm_up: duration(of(PhaseKind::WarmUp)),
        judged: duration(of(PhaseKind::Measure)),
    }
}

/// Lookups that missed in a sample and would not have in the whole, and how far off that may be.
#[derive(Clone, Copy, Debug, Default)]
struct Excess {
    lookups: f64,
    unsure: f64,
}

fn excess_of(
    report: &Report,
    sampling: &Sampling,
    (name, result): (&str, &DataTypeResult),
    lifetime: impl Fn(&SampledKeys) -> Option<Lifetime>,
) -> Excess {
    let reads = result.reads as f64;
    let Some((keys, lifetime)) = sampling
        .keys_of(name)
        .and_then(|keys| Some((keys, lifetime(keys)?)))
    else {
        return Excess::default();
    };
    // No more than what missed at all.
    let missed = reads * (1.0 - result.hit_ratio.unwrap_or(0.0));
    let local_missed = reads * (1.0 - result.answered_by.get("local").copied().unwrap_or(0.0));
    let most = if lifetime.caches > 1 {
        local_missed
    } else {
        missed
    };
    Excess {
        lookups: keys.missed_more(lifetime, reads, times(report)).min(most),
        unsure: lifetime.unsure_of(reads, most),
    }
}

fn excess(
    report: &Report,
    sampling: &Sampling,
    lifetime: impl Fn(&SampledKeys) -> Option<Lifetime>,
) -> Excess {
    let each = report
        .data_types
        .iter()
        .map(|(name, result)| excess_of(report, sampling, (name, result), &lifetime));
    each.fold(Excess::default(), |sum, one| Excess {
        lookups: sum.lookups + one.lookups,
        unsure: sum.unsure + one.unsure,
    })
}

fn cache(keys: &SampledKeys) -> Option<Lifetime> {
    keys.cache
}

/// How many lookups hit that would find their key being loaded in the whole.
fn loading_of(sampling: &Sampling, (name, result): (&str, &DataTypeResult)) -> f64 {
    let keys = sampling.keys_of(name);
    let hits = result.reads as f64 * result.hit_ratio.unwrap_or(0.0);
    keys.map_or(0.0, |keys| keys.loading * result.reads as f64)
        .min(hits)
}

fn loading(report: &Report, sampling: &Sampling) -> f64 {
    let data_types = report.data_types.iter();
    data_types
        .map(|(name, result)| loading_of(sampling, (name, result)))
        .sum()
}

fn hit_ratio(report: &Report, sampling: &Sampling) -> Option<Found> {
    let rows = || {
        report
            .data_types
            .values()
            .filter(|row| row.hit_ratio.is_some())
    };
    let reads: f64 = rows().map(|row| row.reads as f64).sum();
    let hits: f64 = rows()
        .map(|row| row.reads as f64 * row.hit_ratio.unwrap_or(0.0))
        .sum();
    let excess = excess(report, sampling, cache);
    (reads > 0.0).then(|| Found {
        value: hits / reads,
        bias: excess.lookups / reads,
        unsure: excess.unsure / reads,
        below: loading(report, sampling) / reads,
        ..Found::default()
    })
}

fn type_hit_ratio(report: &Report, sampling: &Sampling, name: &str) -> Option<Found> {
    let result = report.data_types.get(name)?;
    let reads = result.reads as f64;
    let excess = excess_of(report, sampling, (name, result), cache);
    Some(Found {
        value: result.hit_ratio?,
        bias: excess.lookups / reads,
        unsure: excess.unsure / reads,
        below: loading_of(sampling, (name, result)) / reads,
        ..Found::default()
    })
}

/// Of the local layer, whose misses the head overstates; and of the remote layer, which is asked more
/// often by that, and finds those.
fn layer_hit_ratio(report: &Report, sampling: &Sampling, layer: &str) -> Option<Found> {
    let result = report.layers.get(layer)?;
    let (lookups, found) = (result.lookups as f64, result.found as f64);
    if lookups <= 0.0 {
        return None;
    }
    let local = excess(report, sampling, |keys| keys.local);
    let value = found / lookups;
    if layer == "local" {
        return Some(Found {
            value,
            bias: (local.lookups / lookups).min(1.0 - value),
            unsure: local.unsure / lookups,
            below: loading(report, sampling) / lookups,
            ..Found::default()
        });
    }
    let remote = excess(report, sampling, |keys| keys.remote);
    // Both ways: fewer lookups that hit, and fewer that miss.
    let fewer_hits = local.lookups.min(found);
    let fewer_misses = remote.lookups.min(lookups - found);
    let without_hits = (found - fewer_hits) / (lookups - fewer_hits).max(1.0);
    let without_misses = found / (lookups - fewer_misses).max(1.0);
    Some(Found {
        value,
        below: (value - without_hits).max(0.0) + loading(report, sampling) / lookups,
        above: (without_misses - value).max(0.0),
        unsure: remote.unsure / lookups,
        ..Found::default()
    })
}

fn origin_queries(report: &Report, sampling: &Sampling) -> Found {
    let excess = excess(report, sampling, cache);
    let judged_s = times(report).judged.as_secs_f64().max(1e-9);
    // A read that misses is a query at the most: fewer if it joins another's.
    let Some(origin) = &report.origin else {
        return Found::default();
    };
    let most = origin.queries as f64;
    let whole = |lookups: f64| sampling.share.to_whole(lookups.min(most) / judged_s);
    // What goes to the database in batches.
    let batches = origin.queries_by_data_type.iter();
    let too_many: f64 = batches
        .map(|(name, queries)| {
            let per_s = *queries as f64 / judged_s;
            sampling.share.to_whole(per_s) - sampling.queries_of_whole(name, per_s)
        })
        .sum();
    Found {
        value: sampling.share.to_whole(origin.queries_per_s),
        bias: -whole(excess.lookups) - too_many,
        unsure: whole(excess.unsure),
        ..Found::default()
    }
}

type Percentile = (&'static str, f64, fn(&Summary) -> f64);

const PERCENTILES: [Percentile; 3] = [
    ("p50", 0.50, |summary| summary.p50),
    ("p95", 0.95, |summary| summary.p95),
    ("p99", 0.99, |summary| summary.p99),
];

/// Requests that missed and would have hit are slow ones: without so many of them the percentile is
/// that of a lower level.
fn percentile(
    report: &Report,
    sampling: &Sampling,
    level: f64,
    of: fn(&Summary) -> f64,
) -> Option<Found> {
    let times = &report.requests.response_time_us;
    let requests = report.requests.total as f64;
    let excess = excess(report, sampling, cache);
    (times.count > 0 && requests > 0.0).then(|| {
        let slow = (excess.lookups + excess.unsure) / requests;
        let waiting = loading(report, sampling) / requests;
        let (value, lower) = (of(times), at_level(times, level - slow));
        Found {
            value,
            below: (value - lower).max(0.0),
            above: (at_level(times, level + waiting) - value).max(0.0),
            ..Found::default()
        }
    })
}

/// The value at any level, between those that are known.
fn at_level(times: &Summary, level: f64) -> f64 {
    let known = [
        (0.0, 0.0),
        (0.50, times.p50),
        (0.90, times.p90),
        (0.95, times.p95),
        (0.99, times.p99),
        (0.999, times.p999),
        (1.0, times.max),
    ];
    let level = level.clamp(0.0, 1.0);
    let above = known
        .iter()
        .position(|(at, _)| *at >= level)
        .unwrap_or(known.len() - 1);
    let (high_at, high) = known[above];
    let (low_at, low) = known[above.saturating_sub(1)];
    if high_at <= low_at {
        return high;
    }
    low + (high - low) * (level - low_at) / (high_at - low_at)
}

/// The tables in which Redis finds its keys and their TTLs double when they are full: each takes 8 to 16
/// bytes a key, and nobody knows how full they are in the whole.
const TABLE_BYTES_UNSURE: f64 = 16.0;
/// What a server takes for itself and its clients, which is not scaled, is known to about a quarter.
const BASE_UNSURE: f64 = 0.25;

fn remote_memory(report: &Report, sampling: &Sampling) -> Option<Found> {
    let redis = report.redis.as_ref()?;
    let used = redis.used_memory_bytes_max as f64;
    let value = sampling.memory_of_whole(used);
    // What is full is full: the limit was scaled with the head.
    let most = redis
        .maxmemory_bytes
        .is_none_or(|limit| used < 0.99 * limit as f64);
    Some(Found {
        value,
        below: if most {
            sampling.remote_excess_bytes.min(value)
        } else {
            0.0
        },
        unsure: sampling.share.to_whole(redis.keys as f64) * TABLE_BYTES_UNSURE
            + (sampling.share.step() - 1.0) * sampling.remote_base_bytes as f64 * BASE_UNSURE,
        ..Found::default()
    })
}

fn evictions(report: &Report, sampling: &Sampling) -> Option<Found> {
    let judged_s = times(report).judged.as_secs_f64();
    let redis = report.redis.as_ref().filter(|_| judged_s > 0.0)?;
    Some(
        sampling
            .share
            .to_whole(redis.evictions as f64 / judged_s)
            .into(),
    )
}
