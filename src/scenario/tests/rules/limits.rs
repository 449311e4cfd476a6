//! How limits are decided, and what the local layer gives up: what is refused, and what is read.

use super::super::{SMALL, changed, plan, set};
use super::rule;
use crate::engine::data_type::LimitAlgorithm;
use crate::engine::local::LocalPolicy;

#[test]
fn algorithms_of_a_limit() {
    rule(
        "window: 30m",
        "window: 30m, algorithm: sliding-lok",
        "`sliding-lok` is no algorithm of a limit",
        "sliding-lok",
    );
    rule(
        "window: 30m",
        "window: 30m, algorithm: gcra",
        "`gcra` needs its `burst`",
        "gcra",
    );
    rule(
        "window: 30m",
        "window: 30m, algorithm: gcra, burst: 101",
        "`burst` cannot be 101",
        "101",
    );
    rule(
        "window: 30m",
        "window: 30m, algorithm: gcra, burst: 0",
        "`burst` cannot be 0",
        "0",
    );
    rule(
        "window: 30m",
        "window: 30m, burst: 5",
        "`burst` means nothing for `sliding-buckets`",
        "5",
    );
    rule(
        "window: 30m",
        "window: 30m, algorithm: sliding-log, burst: 5",
        "`burst` means nothing for `sliding-log`",
        "5",
    );
}

#[test]
fn every_algorithm_is_read_and_written_again() {
    let algorithms = [
        ("sliding-buckets", LimitAlgorithm::SlidingBuckets),
        ("sliding-log", LimitAlgorithm::SlidingLog),
        ("gcra, burst: 100", LimitAlgorithm::Gcra { burst: 100 }),
        ("two-buckets", LimitAlgorithm::TwoBuckets),
        ("fixed-window", LimitAlgorithm::FixedWindow),
    ];
    let of = |text: &str| {
        let plan = plan(text);
        let id = plan.policies.id_of("limit").expect("a limit");
        let limit = plan.policies.get(id).limit.expect("a counter has one");
        (limit.algorithm, plan.resolved_yaml)
    };
    for (written, algorithm) in algorithms {
        let written = format!("window: 30m, algorithm: {written}");
        let (read, resolved) = of(&SMALL.replace("window: 30m", &written));
        assert_eq!(read, algorithm);
        assert_eq!(of(&resolved).0, algorithm);
    }
    assert_eq!(of(SMALL).0, LimitAlgorithm::SlidingBuckets);
}

#[test]
fn policies_of_the_local_layer() {
    rule(
        "bytes: 64MiB",
        "bytes: 64MiB, policy: lfu",
        "`lfu` is no policy of the local layer",
        "lfu",
    );
    for (written, policy) in [
        ("lru", LocalPolicy::Lru),
        ("fifo", LocalPolicy::Fifo),
        ("sieve", LocalPolicy::Sieve),
        ("s3-fifo", LocalPolicy::S3Fifo),
    ] {
        let read = changed(&set(&[("layers.local.policy", written)]));
        assert_eq!(read.layers.local.map(|local| local.policy), Some(policy));
        let again = plan(&read.resolved_yaml);
        assert_eq!(again.layers.local, read.layers.local);
    }
    let default = plan(SMALL).layers.local.map(|local| local.policy);
    assert_eq!(default, Some(LocalPolicy::S3Fifo));
}
