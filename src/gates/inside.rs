//! Which metrics can be known of the built-in service alone, because they are read inside of it.
//!
//! Of a service that is not ours there is what its users see: requests, their times and errors, and what
//! its answers say of its cache. Pure.

use super::grammar::Check;
use super::metric::{Distribution, Metric, Scalar};

/// Whether `check` asks for something that only the built-in service can be asked.
pub fn is_inside(check: &Check) -> bool {
    match check.metric {
        Metric::Distribution(Distribution::Staleness, _) => true,
        Metric::Distribution(
            Distribution::ResponseTime | Distribution::ServiceTime | Distribution::Slip,
            _,
        ) => false,
        Metric::Scalar(scalar) => match scalar {
            // Of a layer's own lookups.
            Scalar::HitRatio => check.selectors.layer.is_some(),
            Scalar::ErrorRatio
            | Scalar::Rate
            | Scalar::Requests
            | Scalar::Errors
            | Scalar::Dropped
            | Scalar::Users
            | Scalar::AlertsFired => false,
            // Without a baseline there is no reduction either.
            Scalar::StaleRatio
            | Scalar::ResponseTimeReduction
            | Scalar::OriginQueryReduction
            | Scalar::MemoryUsage
            | Scalar::OriginQueriesPerS
            | Scalar::EvictionsPerS
            | Scalar::OriginQueries
            | Scalar::OriginPeakConnections
            | Scalar::OriginLoadsPerFlight
            | Scalar::RedisKeys
            | Scalar::RedisMemory
            | Scalar::RedisUp
            | Scalar::BreakersOpen
            | Scalar::WriteBehindWaiting => true,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_users_see_is_outside() {
        let inside = |text: &str| is_inside(&text.parse().expect(text));
        for outside in [
            "p95(response_time){phase=spike} < 1s",
            "hit_ratio > 80%",
            "error_ratio < 1%",
            "rate > 100/s",
            "p99(slip) < 1ms",
        ] {
            assert!(!inside(outside), "{outside}");
        }
        for within in [
            "hit_ratio{layer=local} > 80%",
            "origin_queries < 10",
            "evictions_per_s < 1/s",
            "max(staleness) < 1s",
            "redis_up == 1",
        ] {
            assert!(inside(within), "{within}");
        }
    }
}
