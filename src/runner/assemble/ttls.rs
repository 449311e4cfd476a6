//! The TTLs that keys had left, as the report tells them.

use std::time::Duration;

use crate::environment::keyspace::ttl::TtlSample;
use crate::report::model::{TtlDistribution, Ttls};
use crate::runner::pass::PassResult;

/// What keys of the engine's own are called.
const BOOKKEEPING: &str = "bookkeeping";

/// Of what was seen of the keys of `pass` in one store.
pub(super) fn distribution(pass: &PassResult, seen: Option<&TtlSample>) -> Option<TtlDistribution> {
    let TtlSample { complete, ttls } = seen?;
    let policies = pass.measurements.policies();
    let name = |id: Option<_>| match id {
        Some(id) => policies.get(id).name.to_string(),
        None => BOOKKEEPING.to_owned(),
    };
    let looked_at = ttls.values().map(Vec::len).sum::<usize>() as u64;
    let by_type = ttls.iter().map(|(id, ttls)| (name(*id), of(ttls)));
    Some(TtlDistribution {
        looked_at,
        complete: *complete,
        data_types: by_type.collect(),
    })
}

fn of(ttls: &[Option<Duration>]) -> Ttls {
    let mut sorted: Vec<Duration> = ttls.iter().flatten().copied().collect();
    sorted.sort_unstable();
    // The smallest that `percent` of 100 do not exceed.
    let at = |percent: usize| {
        let rank = (sorted.len() * percent).div_ceil(100).max(1);
        sorted.get(rank - 1).map(Duration::as_secs_f64)
    };
    Ttls {
        keys: ttls.len() as u64,
        without_ttl: (ttls.len() - sorted.len()) as u64,
        min_s: at(0),
        p10_s: at(10),
        p50_s: at(50),
        p90_s: at(90),
        max_s: at(100),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_keys_that_have_a_ttl() {
        let ttls: Vec<Option<Duration>> = (1..=10)
            .rev()
            .map(|seconds| Some(Duration::from_secs(seconds)))
            .chain([None, None])
            .collect();
        let wanted = Ttls {
            keys: 12,
            without_ttl: 2,
            min_s: Some(1.0),
            p10_s: Some(1.0),
            p50_s: Some(5.0),
            p90_s: Some(9.0),
            max_s: Some(10.0),
        };
        assert_eq!(of(&ttls), wanted);
        let none = Ttls {
            keys: 1,
            without_ttl: 1,
            ..Ttls::default()
        };
        assert_eq!(of(&[None]), none);
    }
}
