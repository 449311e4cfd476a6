//! The rules of sliding expiry.

use std::time::Duration;

use super::super::{SMALL, plan};
use super::{rule, rule_in};
use crate::engine::data_type::{DataTypeId, Sliding, Stampede};

const STOCK: &str = "    strategy: write-through\n    ttl: 5m";

fn stock(keys: &str) -> String {
    format!("{STOCK}\n    {keys}")
}

#[test]
fn what_does_not_fit_with_it() {
    let mapping = "{";
    for (keys, message, shown) in [
        (
            "sliding: { max_lifetime: 1m }",
            "`max_lifetime` cannot be 1m",
            "1m",
        ),
        (
            "sliding: { max_lifetime: 1h }\n    local_ttl: 1m",
            "what the local layer answers does not slide",
            mapping,
        ),
        (
            "sliding: { max_lifetime: 1h }\n    serve_stale: 1m",
            "an entry that slides has an end",
            mapping,
        ),
    ] {
        rule(STOCK, &stock(keys), message, shown);
    }
    let behind = "    strategy: write-behind\n    ttl: 2h";
    let slides = format!("{behind}\n    sliding: {{ max_lifetime: 4h }}");
    rule(behind, &slides, "only cache-aside and write-through", "{");
}

#[test]
fn only_redis_can() {
    let text = SMALL.replace(STOCK, &stock("sliding: { max_lifetime: 1h }"));
    let from = "remote: { maxmemory: 32MiB, policy: volatile-ttl, timeout: 250ms, connections: 2 }";
    rule_in(
        &text,
        from,
        "remote: none",
        "only Redis lets entries slide",
        "{",
    );
    let memcached = "remote: { store: memcached, maxmemory: 32MiB }";
    rule_in(&text, from, memcached, "only Redis lets entries slide", "{");
}

#[test]
fn what_is_written_is_planned_and_written_again() {
    let text = SMALL
        .replace(STOCK, &stock("sliding: { max_lifetime: 72h }"))
        .replace(
            "resilience: { ttl_jitter: 10%, negative_ttl: 5s }",
            "resilience: { serve_stale: 1h, stampede: stale-while-revalidate }",
        );
    let written = plan(&text);
    let again = plan(&written.resolved_yaml);
    for plan in [written, again] {
        let stock = plan.policies.get(DataTypeId(1));
        let max_lifetime = Duration::from_hours(72);
        assert_eq!(stock.sliding, Some(Sliding { max_lifetime }));
        // What is said of all is not meant for what has an end.
        assert_eq!(stock.serve_stale, None);
        assert_eq!(stock.stampede, Stampede::SingleFlight);
        assert_eq!(plan.policies.get(DataTypeId(0)).sliding, None);
    }
}
