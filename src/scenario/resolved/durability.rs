//! How instances protect themselves, written out again.

use super::super::words::Word as _;
use super::{Yaml, map};
use crate::engine::resilience::{OriginProtection, Resilience};

pub(super) fn write(resilience: &Resilience) -> Yaml {
    let breaker = Yaml::none_or(resilience.breaker, |breaker| {
        map([
            ("failures", Yaml::word(breaker.failures)),
            ("open_for", Yaml::span(breaker.open_for)),
            ("probes", Yaml::word(breaker.probes)),
        ])
    });
    let limits = resilience.write_behind;
    let write_behind = map([
        ("queue_max", Yaml::word(limits.queue_max)),
        ("on_full", Yaml::word(limits.on_full.word())),
        ("batch", Yaml::word(limits.batch)),
        ("max_deliveries", Yaml::word(limits.max_deliveries)),
        ("claim_after", Yaml::span(limits.claim_after)),
    ]);
    map([
        ("breaker", breaker),
        ("origin", origin(&resilience.origin)),
        ("write_behind", write_behind),
    ])
}

fn origin(origin: &OriginProtection) -> Yaml {
    let concurrency = Yaml::none_or(origin.limit, |limit| Yaml::word(limit.concurrency));
    let mut written = vec![("concurrency".to_owned(), concurrency)];
    if let Some(limit) = origin.limit {
        written.push(("queue".to_owned(), Yaml::word(limit.queue)));
    }
    for (name, timeout) in [
        ("soft_timeout", origin.soft_timeout),
        ("hard_timeout", origin.hard_timeout),
    ] {
        written.push((name.to_owned(), Yaml::none_or(timeout, Yaml::span)));
    }
    Yaml::Map(written)
}
