//! The rules of popularity, sizes, operations and presets.

use std::time::Duration;

use super::super::super::file::presets::ROWS;
use super::super::super::yaml::Kind;
use super::super::{SMALL, plan};
use super::rule;
use crate::engine::data_type::DataTypeId;
use crate::engine::layer::Operation;
use crate::scenario::Plan;
use crate::units::{ByteSize, Ratio};
use crate::workload::popularity::{Drift, Shares};
use crate::workload::size::{Quantiles, ValueSize};
use crate::workload::{Popularity, What};

const ZIPF: &str = "{ zipf: 0.99 }";
const SIZE: &str = "value_size: 4KiB";
const CUSTOMER: &str = "    strategy: cache-aside\n    ttl: 15m\n";
const MIX: &str = "customer.get: 40, customer.put: 1";

/// The plan with `to` in the place of `from`; what is resolved gives the same again.
fn changed(from: &str, to: &str) -> Plan {
    assert_eq!(SMALL.matches(from).count(), 1, "{from:?} must stand once");
    twice(&SMALL.replace(from, to))
}

fn twice(text: &str) -> Plan {
    let first = plan(text);
    let again = plan(&first.resolved_yaml);
    assert_eq!(again.resolved_yaml, first.resolved_yaml);
    assert_eq!(again.workload, first.workload);
    assert_eq!(again.database, first.database);
    first
}

fn popularity(to: &str) -> Popularity {
    changed(ZIPF, to).workload.populations[0].popularity.clone()
}

fn size(to: &str) -> ValueSize {
    let plan = changed(SIZE, &format!("value_size: {to}"));
    plan.database.tables[0].value_size.clone()
}

#[test]
fn popularities_are_read() {
    assert_eq!(
        popularity("{ latest: 1.2 }"),
        Popularity::Latest { skew: 1.2 }
    );
    let hotspot = Popularity::Hotspot {
        keys: Ratio(0.01),
        requests: Ratio(0.9),
    };
    assert_eq!(
        popularity("{ hotspot: { keys: 1%, requests: 90% } }"),
        hotspot
    );
    let shares = Shares::new(vec![(0.01, 0.5), (0.1, 0.9)]).expect("a curve");
    assert_eq!(
        popularity("{ shares: { 1%: 50%, 10%: 90% } }"),
        Popularity::Shares(shares)
    );
    let drifting = changed(ZIPF, "{ zipf: 0.99, drift: 10%/1h }");
    let drift = Drift {
        share: Ratio(0.1),
        every: Duration::from_hours(1),
    };
    assert_eq!(drifting.workload.populations[0].drift, Some(drift));
    let hits = changed(ZIPF, &format!("{ZIPF}\n    one_hit: 2.5%"));
    assert_eq!(hits.workload.populations[0].one_hit, Ratio(0.025));
}

#[test]
fn popularities_that_are_none() {
    for (to, message, shown) in [
        ("{ zipf: 1, latest: 1 }", "2 laws of popularity", "{"),
        ("{ latest: -1 }", "cannot be -1", "-1"),
        ("{ drift: 10%/1h }", "`zipf` is missing", "{"),
        (
            "{ hotspot: { keys: 0%, requests: 90% } }",
            "cannot be hot",
            "0%",
        ),
        (
            "{ hotspot: { keys: 5%, requests: 2% } }",
            "colder than the others",
            "2%",
        ),
        (
            "{ shares: { 1%: 50%, 2%: 100%, 10%: 90% } }",
            "no curve of popularity",
            "{",
        ),
        (
            "{ shares: { some: 50% } }",
            "\"some\" is not a share",
            "some",
        ),
        ("{ zipf: 1, drift: 10% }", "is no drift", "10%"),
        ("{ zipf: 1, drift: 0%/1h }", "drifts nowhere", "0%/1h"),
        (
            "{ zipf: 1, drift: 10%/0s }",
            "a drift cannot take 0s",
            "10%/0s",
        ),
        ("{ latest: 1, drift: 10%/1h }", "every put moves", "10%/1h"),
        (
            "\"{ latest: 0.99 }\"",
            "a text, not a mapping",
            "\"{ latest: 0.99 }\"",
        ),
        ("latests", "`latests` is no popularity", "latests"),
    ] {
        rule(ZIPF, to, message, shown);
    }
    let limit = "limit: { requests: 100, window: 30m }";
    let own = format!("{limit}\n    one_hit: 10%");
    rule(limit, &own, "each user asks for keys of its own", "10%");
}

#[test]
fn sizes_are_read() {
    let (kib, mib) = (ByteSize(1 << 10), ByteSize(1 << 20));
    assert_eq!(size("1KiB"), ValueSize::Constant(kib));
    assert_eq!(size("1KiB..1MiB"), ValueSize::Uniform(kib, mib));
    let log_normal = ValueSize::LogNormal {
        median: kib,
        p99: mib,
    };
    assert_eq!(
        size("{ lognormal: { median: 1KiB, p99: 1MiB } }"),
        log_normal
    );
    let points = vec![(0, ByteSize(1)), (1_234_567, kib), (100_000_000, mib)];
    let quantiles = ValueSize::Quantiles(Quantiles::new(points).expect("quantiles"));
    let written = "{ quantiles: { 0%: 1B, 1.234567%: 1KiB, 100%: 1MiB } }";
    assert_eq!(size(written), quantiles);
}

#[test]
fn sizes_that_are_none() {
    for (to, message, shown) in [
        ("0B", "cannot be 0B", "0B"),
        ("65MiB", "cannot be 65MiB", "65MiB"),
        ("2KiB..1KiB", "from the smaller to the larger", "2KiB..1KiB"),
        ("1KiB..", "is not a size", "1KiB.."),
        (
            "{ lognormal: { median: 2KiB, p99: 1KiB } }",
            "p99 of 1KiB is below",
            "1KiB",
        ),
        (
            "{ quantiles: { 50%: 1KiB } }",
            "no quantiles of a size",
            "{",
        ),
        (
            "{ quantiles: { 50%: 2KiB, 100%: 1KiB } }",
            "no quantiles of a size",
            "{",
        ),
        ("{}", "follows one law", "{"),
    ] {
        rule(SIZE, &format!("value_size: {to}"), message, shown);
    }
}

fn mix_of(plan: &Plan) -> Vec<(u16, Operation, f64)> {
    let What::Mix(mix) = &plan.workload.kinds[0].what else {
        panic!("no mix");
    };
    mix.iter()
        .map(|entry| (entry.data_type.0, entry.operation, entry.weight))
        .collect()
}

#[test]
fn a_data_type_without_operation_is_split_by_its_own() {
    let text = SMALL
        .replace(
            CUSTOMER,
            &format!("{CUSTOMER}    operations: {{ get: 95, put: 5 }}\n"),
        )
        .replace(MIX, "customer: 40, customer.put: 1, stock: 2")
        .replace(
            "limit.admit: 5, activity.put: 0.5",
            "limit: 5, activity: 0.5",
        );
    let found = mix_of(&twice(&text));
    let wanted = [
        (0, Operation::Get, 38.0),
        (0, Operation::Put, 3.0),
        (1, Operation::Get, 22.0),
        (2, Operation::Admit, 5.0),
        (3, Operation::Put, 0.5),
    ];
    assert_eq!(found.len(), wanted.len(), "{found:?}");
    for (found, wanted) in found.into_iter().zip(wanted) {
        assert_eq!((found.0, found.1), (wanted.0, wanted.1));
        assert!((found.2 - wanted.2).abs() < 1e-9, "{found:?}");
    }
}

#[test]
fn operations_that_are_none() {
    let with = |operations: &str| format!("{CUSTOMER}    operations: {operations}\n");
    for (operations, message, shown) in [
        ("{ get: -1 }", "a weight cannot be -1", "-1"),
        ("{ get: 0 }", "leave users nothing to do", "{"),
        ("{ gte: 1 }", "`gte` is no operation", "gte"),
        ("{ admit: 1 }", "cannot be asked to admit", "admit"),
    ] {
        rule(CUSTOMER, &with(operations), message, shown);
    }
}

#[test]
fn a_preset_gives_what_is_not_written() {
    let cluster = "    strategy: cache-aside\n    preset: twitter/cluster12\n";
    let bare = SMALL
        .replace(CUSTOMER, cluster)
        .replace("    local_ttl: 1m\n", "")
        .replace("    popularity: { zipf: 0.99 }\n", "")
        .replace("    value_size: 4KiB\n", "")
        .replace(MIX, "customer: 50");
    let plan = twice(&bare);
    let customer = &plan.workload.populations[0];
    assert_eq!(customer.popularity, Popularity::Zipf { skew: 0.3048 });
    assert_eq!(customer.one_hit, Ratio(0.647));
    let ttl = plan.policies.get(DataTypeId(0)).ttl;
    assert_eq!(ttl, Duration::from_mins(5));
    let size = ValueSize::Constant(ByteSize(1_030));
    assert_eq!(plan.database.tables[0].value_size, size);
    let found = mix_of(&plan);
    assert_eq!(found[0].1, Operation::Get);
    assert!((found[0].2 - 10.0).abs() < 1e-9 && (found[1].2 - 40.0).abs() < 1e-9);
    // What is written beside it wins.
    let written = bare.replace(
        cluster,
        &format!("{cluster}    ttl: 10m\n    one_hit: 0%\n"),
    );
    let plan = twice(&written);
    assert_eq!(plan.workload.populations[0].one_hit, Ratio(0.0));
    let ttl = plan.policies.get(DataTypeId(0)).ttl;
    assert_eq!(ttl, Duration::from_mins(10));
}

#[test]
fn a_preset_leaves_out_what_a_strategy_has_no_use_for() {
    let text = SMALL
        .replace(
            "    strategy: counter\n",
            "    strategy: counter\n    preset: twitter/cluster1\n",
        )
        .replace(
            "    strategy: write-behind\n",
            "    strategy: write-behind\n    preset: ycsb/a\n",
        )
        .replace(
            "limit.admit: 5, activity.put: 0.5",
            "limit: 5, activity: 0.5",
        );
    let found = mix_of(&twice(&text));
    assert_eq!(found[3].1, Operation::Admit);
    assert_eq!(found[4].1, Operation::Put);
}

#[test]
fn presets_that_are_none() {
    let named = |name: &str| format!("{CUSTOMER}    preset: {name}\n");
    for (name, message, shown) in [
        (
            "twitter/cluster55",
            "no preset `twitter/cluster55`",
            "twitter/cluster55",
        ),
        ("ycsb/e", "it scans ranges of keys", "ycsb/e"),
        ("twitter/cluster5", "no figures of it", "twitter/cluster5"),
        ("[ycsb/a]", "a text is wanted here, not a list", "["),
    ] {
        rule(CUSTOMER, &named(name), message, shown);
    }
    // What it would have given is not missed.
    let alone = "    strategy: cache-aside\n    preset: twitter/cluster\n";
    rule(
        CUSTOMER,
        alone,
        "no preset `twitter/cluster`",
        "twitter/cluster",
    );
    // What is wrong with what it gives is told where it is named.
    let short = "    strategy: cache-aside\n    preset: twitter/cluster37\n";
    rule(
        CUSTOMER,
        short,
        "the local layer would keep entries for 1m",
        "1m",
    );
}

#[test]
fn every_preset_makes_a_data_type() {
    assert_eq!(ROWS.len(), 54 + 1 + 6);
    for (name, row) in ROWS.iter() {
        let Kind::Mapping(entries) = &row.kind else {
            panic!("{} is no mapping", name.text);
        };
        let has = |key: &str| entries.iter().any(|(known, _)| &*known.text == key);
        assert!(has("source"), "{} has no source", name.text);
        let keys = [
            "popularity",
            "one_hit",
            "value_size",
            "ttl",
            "operations",
            "published",
            "refused",
            "source",
        ];
        let known = |key: &str| keys.contains(&key);
        assert!(
            entries.iter().all(|(key, _)| known(&key.text)),
            "{}",
            name.text
        );
        if has("refused") {
            continue;
        }
        let text = SMALL
            .replace(
                CUSTOMER,
                &format!(
                    "    strategy: cache-aside\n    preset: {}\n{}",
                    name.text,
                    if has("ttl") { "" } else { "    ttl: 15m\n" }
                ),
            )
            .replace("    local_ttl: 1m\n", "")
            .replace("    popularity: { zipf: 0.99 }\n", "")
            .replace("    value_size: 4KiB\n", "")
            .replace(MIX, "customer: 50");
        let plan = twice(&text);
        assert!(plan.database.tables[0].value_size.mean().0 > 0);
    }
}
