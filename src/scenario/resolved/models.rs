//! How traffic is modelled: popularity, one-hit wonders and sizes.

use super::{Yaml, map, share, size};
use crate::units::{ByteSize, Ratio, Span};
use crate::workload::popularity::Drift;
use crate::workload::size::{SHARE_WHOLE, ValueSize};
use crate::workload::{Popularity, Population};

/// What is asked for how often.
pub(super) fn popularity(population: &Population) -> Yaml {
    let (law, value) = match &population.popularity {
        Popularity::Uniform => return Yaml::word("uniform"),
        Popularity::PerUser => return Yaml::word("per-user"),
        Popularity::Zipf { skew } => ("zipf", Yaml::word(skew)),
        Popularity::Latest { skew } => ("latest", Yaml::word(skew)),
        Popularity::Hotspot { keys, requests } => {
            let (keys, requests) = (share(*keys), share(*requests));
            let hotspot = [
                ("keys", Yaml::word(keys)),
                ("requests", Yaml::word(requests)),
            ];
            ("hotspot", map(hotspot))
        }
        Popularity::Shares(shares) => {
            let points = shares.points().iter();
            let points = points.map(|(keys, requests)| {
                let written = Yaml::word(share(Ratio(*requests)));
                (share(Ratio(*keys)), written)
            });
            ("shares", Yaml::Map(points.collect()))
        }
    };
    let mut entries = vec![(law.to_owned(), value)];
    if let Some(Drift { share: part, every }) = population.drift {
        let drift = format!("{}/{}", share(part), Span(every));
        entries.push(("drift".to_owned(), Yaml::word(drift)));
    }
    Yaml::Map(entries)
}

/// Keys that come once; nothing if none does.
pub(super) fn one_hit(population: &Population) -> Option<(&'static str, Yaml)> {
    let some = population.one_hit.0 > 0.0;
    some.then(|| ("one_hit", Yaml::word(share(population.one_hit))))
}

/// How large values are.
pub(super) fn value_size(law: &ValueSize) -> Yaml {
    match law {
        ValueSize::Constant(constant) => Yaml::word(size(*constant)),
        ValueSize::Uniform(min, max) => Yaml::word(format!("{}..{}", size(*min), size(*max))),
        ValueSize::LogNormal { median, p99 } => {
            let sizes = [("median", *median), ("p99", *p99)];
            map([(
                "lognormal",
                map(sizes.map(|(key, of)| (key, Yaml::word(size(of))))),
            )])
        }
        ValueSize::Quantiles(quantiles) => {
            let point = |(counted, of): &(u32, ByteSize)| {
                let ratio = Ratio(f64::from(*counted) / f64::from(SHARE_WHOLE));
                (share(ratio), Yaml::word(size(*of)))
            };
            let points = quantiles.points().iter().map(point);
            map([("quantiles", Yaml::Map(points.collect()))])
        }
        // The trace is named where it is replayed.
        ValueSize::Recorded(recorded) => value_size(recorded.others()),
    }
}
