//! The rules of `warming`, one mistake at a time, and that what is written is what is planned.

use std::time::Duration;

use super::super::{SMALL, changed, plan, set};
use super::rule;
use crate::engine::data_type::DataTypeId;
use crate::scenario::plan::WarmingPlan;
use crate::units::Ratio;

/// One mistake among the keys of `warming`.
fn wrong(keys: &str, message: &str, shown: &str) {
    let to = format!("warming: {{ {keys} }}\nbaseline: {{ for: 20s }}");
    rule("baseline: { for: 20s }", &to, message, shown);
}

#[test]
fn what_is_warmed() {
    for (keys, message, shown) in [
        ("custmer: 5", "there is no data type `custmer`", "custmer"),
        ("customer: 301", "`keys` cannot be 301", "301"),
        ("stock: 0", "`keys` cannot be 0", "0"),
        ("limit: 5", "a counter has no entries", "limit"),
        (
            "activity: 5",
            "none of its keys is more popular",
            "activity",
        ),
    ] {
        wrong(&format!("keys: {{ {keys} }}"), message, shown);
    }
    wrong("every: 1m", "`keys` is missing in the warming", "{");
}

#[test]
fn how_it_is_warmed() {
    for (key, message, shown) in [
        ("concurrency: 0", "`concurrency` cannot be 0", "0"),
        ("limit: 2h", "`limit` cannot be 2h", "2h"),
        ("every: 5ms", "`every` cannot be 5ms", "5ms"),
        ("evry: 5m", "unknown key `evry`", "evry"),
        ("at_start: maybe", "`maybe` is no truth value", "maybe"),
        (
            "every: 11m",
            "entries of `customer` may end after 13m 30s and so between two rounds",
            "11m",
        ),
    ] {
        wrong(&format!("keys: {{ customer: 5 }}, {key}"), message, shown);
    }
}

#[test]
fn what_nobody_keeps_cannot_be_warmed() {
    let text = SMALL.replace(
        "resilience:",
        "warming: { keys: { stock: 5 } }\nresilience:",
    );
    let from = "remote: { maxmemory: 32MiB, policy: volatile-ttl, timeout: 250ms, connections: 2 }";
    super::rule_in(&text, from, "remote: none", "no layer keeps it", "stock");
}

#[test]
fn what_is_written_is_planned_and_written_again() {
    assert_eq!(plan(SMALL).warming, None);
    assert_eq!(changed(&set(&[("warming", "none")])).warming, None);
    let given = changed(&set(&[(
        "warming",
        "{ keys: { stock: 200, customer: 7 }, every: 2m, concurrency: 3, target_hit_ratio: 90% }",
    )]));
    let wanted = WarmingPlan {
        keys: vec![(DataTypeId(1), 200), (DataTypeId(0), 7)],
        at_start: true,
        before_traffic: true,
        every: Some(Duration::from_mins(2)),
        concurrency: 3,
        limit: Duration::from_secs(30),
        target_hit_ratio: Ratio(0.9),
    };
    let again = plan(&given.resolved_yaml);
    for plan in [given, again] {
        assert_eq!(plan.warming.as_ref(), Some(&wanted));
    }
    let cold = changed(&set(&[
        ("warming", "{ keys: { customer: 7 } }"),
        ("warming.at_start", "false"),
    ]));
    assert!(cold.warming.is_some_and(|warming| !warming.at_start));
}
