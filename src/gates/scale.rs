//! What grows with the users: of a sample of them it is to be scaled before a gate judges it.
//!
//! Called by whoever gives evidence from a sampled simulation. Pure.

use super::metric::{Metric, Scalar};

/// Whether `metric` of a sample is the sample's share of that of the whole. Ratios and times are not,
/// nor what is counted by instance or by key.
pub fn grows_with_users(metric: Metric) -> bool {
    match metric {
        Metric::Distribution(..) => false,
        Metric::Scalar(scalar) => scalar_grows(scalar),
    }
}

fn scalar_grows(scalar: Scalar) -> bool {
    match scalar {
        Scalar::Rate
        | Scalar::OriginQueriesPerS
        | Scalar::EvictionsPerS
        | Scalar::Requests
        | Scalar::Errors
        | Scalar::Dropped
        | Scalar::Users
        | Scalar::OriginQueries
        | Scalar::OriginPeakConnections
        | Scalar::RedisKeys
        | Scalar::RedisMemory
        | Scalar::WriteBehindWaiting => true,
        Scalar::HitRatio
        | Scalar::ErrorRatio
        | Scalar::StaleRatio
        | Scalar::ResponseTimeReduction
        | Scalar::OriginQueryReduction
        | Scalar::MemoryUsage
        | Scalar::OriginLoadsPerFlight
        | Scalar::RedisUp
        | Scalar::BreakersOpen
        | Scalar::AlertsFired => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::grammar::Check;
    use super::super::metric::METRICS;
    use super::*;

    fn grows(check: &str) -> bool {
        let check: Check = check.parse().expect(check);
        grows_with_users(check.metric)
    }

    #[test]
    fn rates_and_counts_grow_with_the_users_and_ratios_and_times_do_not() {
        for check in [
            "rate > 1/s",
            "requests > 1",
            "origin_queries_per_s < 9/s",
            "redis_memory < 1GiB",
        ] {
            assert!(grows(check), "{check}");
        }
        for check in [
            "hit_ratio > 1%",
            "p95(response_time) < 1s",
            "memory_usage < 9%",
            "origin_loads_per_flight < 2",
        ] {
            assert!(!grows(check), "{check}");
        }
        assert!(METRICS.len() > 20);
    }
}
