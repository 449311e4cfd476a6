//! The rules of `resilience`, one mistake at a time, and that what is written is what is planned.

use std::time::Duration;

use super::super::{SMALL, plan};
use super::rule;
use crate::engine::resilience::circuit_breaker::BreakerConfig;
use crate::engine::resilience::origin_limit::OriginLimit;
use crate::engine::resilience::{OriginProtection, Resilience};
use crate::engine::write_behind::policy::{OnFull, WriteBehind};

const WRITTEN: &str = "resilience: { ttl_jitter: 10%, negative_ttl: 5s }";

/// One mistake among the keys of `resilience`.
fn wrong(keys: &str, message: &str, shown: &str) {
    let to = format!("resilience: {{ ttl_jitter: 10%, negative_ttl: 5s, {keys} }}");
    rule(WRITTEN, &to, message, shown);
}

#[test]
fn the_breaker() {
    wrong("breaker: { failures: 0 }", "`failures` cannot be 0", "0");
    wrong(
        "breaker: { probes: 1001 }",
        "`probes` cannot be 1,001",
        "1001",
    );
    wrong(
        "breaker: { open_for: 0ms }",
        "`open_for` cannot be 0",
        "0ms",
    );
    wrong(
        "breaker: { failure: 3 }",
        "unknown key `failure` in the circuit breaker",
        "failure",
    );
}

#[test]
fn the_protection_of_the_origin() {
    wrong(
        "origin: { concurrency: 0 }",
        "`concurrency` cannot be 0",
        "0",
    );
    wrong("origin: { queue: 7 }", "nobody waits in this `queue`", "7");
    wrong(
        "origin: { soft_timeout: 100ms }",
        "no data type has one",
        "100ms",
    );
    wrong(
        "serve_stale: 1h, origin: { soft_timeout: 2s, hard_timeout: 1s }",
        "the hard timeout of 1s is not above the soft one of 2s",
        "1s",
    );
    wrong(
        "origin: { hard_timeout: 5 }",
        "\"5\" is not a duration",
        "5",
    );
}

#[test]
fn the_limits_of_write_behind() {
    wrong(
        "write_behind: { queue_max: 0 }",
        "`queue_max` cannot be 0",
        "0",
    );
    wrong(
        "write_behind: { on_full: drop }",
        "`drop` is no way with a full queue",
        "drop",
    );
    wrong(
        "write_behind: { batch: 9000 }",
        "`batch` cannot be 9,000",
        "9000",
    );
    wrong(
        "write_behind: { max_deliveries: 1 }",
        "`max_deliveries` cannot be 1",
        "1",
    );
    wrong(
        "write_behind: { claim_after: 10ms }",
        "`claim_after` cannot be 10ms",
        "10ms",
    );
}

#[test]
fn what_is_written_is_planned_and_written_again() {
    assert_eq!(plan(SMALL).resilience, Resilience::default());
    let text = SMALL.replace(
        WRITTEN,
        "resilience:
  serve_stale: 1h
  breaker: { failures: 9, open_for: 3s, probes: 2 }
  origin: { concurrency: 12, queue: 34, soft_timeout: 200ms, hard_timeout: 4s }
  write_behind: { queue_max: 56, on_full: refuse, batch: 7, max_deliveries: 8, claim_after: 9s }",
    );
    let written = plan(&text);
    let wanted = Resilience {
        breaker: Some(BreakerConfig {
            failures: 9,
            open_for: Duration::from_secs(3),
            probes: 2,
        }),
        origin: OriginProtection {
            limit: Some(OriginLimit {
                concurrency: 12,
                queue: 34,
            }),
            soft_timeout: Some(Duration::from_millis(200)),
            hard_timeout: Some(Duration::from_secs(4)),
        },
        write_behind: WriteBehind {
            queue_max: 56,
            batch: 7,
            max_deliveries: 8,
            claim_after: Duration::from_secs(9),
            on_full: OnFull::Refuse,
        },
    };
    assert_eq!(written.resilience, wanted);
    assert_eq!(plan(&written.resolved_yaml).resilience, wanted);

    let none = "resilience: { breaker: none, origin: { concurrency: none, hard_timeout: none } }";
    let written = plan(&SMALL.replace(WRITTEN, none));
    assert_eq!(written.resilience.breaker, None);
    assert_eq!(written.resilience.origin, OriginProtection::default());
    assert_eq!(plan(&written.resolved_yaml).resilience.breaker, None);
}
