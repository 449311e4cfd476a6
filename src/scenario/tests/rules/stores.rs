//! The rules of a store beside the remote layer's own.

use std::time::Duration;

use super::super::{Overrides, Plan, SMALL, parse, plan};
use super::rule_in;
use crate::engine::data_type::DataTypeId;
use crate::environment::EvictionPolicy;
use crate::environment::redis_topology::{Persistence, Topology};
use crate::scenario::plan::StorePlan;
use crate::units::ByteSize;

const REMOTE: &str = "connections: 2 }";
const STOCK: &str = "    strategy: write-through\n    ttl: 5m";
const ACTIVITY: &str = "    strategy: write-behind\n    ttl: 2h";

/// [`SMALL`] with this under `stores`, and stock in the store `kept`.
fn with(stores: &str) -> String {
    SMALL
        .replace(REMOTE, &format!("connections: 2, stores: {stores} }}"))
        .replace(STOCK, &format!("{STOCK}\n    store: kept"))
}

fn aside(plan: &Plan) -> Option<StorePlan> {
    plan.layers.remote.as_ref()?.aside.clone()
}

#[test]
fn what_is_written_is_planned_and_written_again() {
    let keys = "store: redis, topology: standalone, maxmemory: 64MiB, persistence: aof, \
                password: secret, tls: true, timeout: 1s, connections: 4, policy: volatile-lru";
    let written = plan(&with(&format!("{{ kept: {{ {keys} }} }}")));
    let again = plan(&written.resolved_yaml);
    for plan in [&written, &again] {
        let store = aside(plan).expect("a store");
        assert_eq!(store.name, "kept");
        assert_eq!(store.redis.maxmemory, Some(ByteSize(64 << 20)));
        assert_eq!(store.redis.policy, EvictionPolicy::VolatileLru);
        assert_eq!(store.topology.topology, Topology::Standalone);
        assert_eq!(store.topology.persistence, Persistence::Aof);
        assert_eq!(store.topology.password.as_deref(), Some("secret"));
        assert!(store.topology.tls);
        assert_eq!(
            (store.timeout, store.connections),
            (Duration::from_secs(1), 4)
        );
        assert_eq!(store.data_types, [DataTypeId(1)]);
    }
    assert_eq!(again.resolved_yaml, written.resolved_yaml);
}

#[test]
fn what_is_left_out_keeps_what_stands_in_it() {
    let store = aside(&plan(&with("{ kept: {} }"))).expect("a store");
    assert_eq!(store.redis.maxmemory, None);
    assert_eq!(store.redis.policy, EvictionPolicy::Noeviction);
    assert_eq!(store.connections, 1);
    assert_eq!(aside(&plan(SMALL)), None);
}

#[test]
fn counters_and_all_of_write_behind_may_stand_aside() {
    let both = with("{ kept: {} }")
        .replace(ACTIVITY, &format!("{ACTIVITY}\n    store: kept"))
        .replace("    ttl: 1h\n", "    ttl: 1h\n    store: kept\n");
    let store = aside(&plan(&both)).expect("a store");
    assert_eq!(store.data_types, [1, 2, 3].map(DataTypeId));
}

/// As variants and `--set` do it.
#[test]
fn paths_reach_it() {
    let changed = |pairs: &[(&str, &str)]| {
        let parsed = parse("a.yaml", &with("{ kept: {} }"), &super::super::set(pairs));
        aside(&parsed.unwrap_or_else(|errors| panic!("{errors}")))
    };
    let path = "layers.remote.stores.kept.maxmemory";
    let store = changed(&[(path, "8MiB")]).expect("a store");
    assert_eq!(store.redis.maxmemory, Some(ByteSize(8 << 20)));
    let none = [
        ("layers.remote.stores", "none"),
        ("data_types.stock.store", "none"),
    ];
    assert_eq!(changed(&none), None);
}

#[test]
fn names_must_fit() {
    let kept = with("{ kept: {} }");
    let rules = [
        (
            "store: kept",
            "store: kepd",
            "there is no store `kepd`",
            "kepd",
        ),
        (
            "    store: kept\n",
            "",
            "no data type stands in the store `kept`",
            "kept",
        ),
        (
            "{ kept: {} }",
            "{ kept: {}, second: {} }",
            "this is a second",
            "second",
        ),
        (
            "kept: {} }",
            "kept: { maxmem: 1GiB } }",
            "unknown key `maxmem`",
            "maxmem",
        ),
    ];
    for (from, to, message, shown) in rules {
        rule_in(&kept, from, to, message, shown);
    }
    let stock = format!("{STOCK}\n    store: kept");
    rule_in(SMALL, STOCK, &stock, "there is no store `kept`", "kept");
    let mut text = kept.replace("kept", "none");
    text = text.replace("    store: none\n", "");
    rule_in(
        &text,
        "instances: 2",
        "instances: 1",
        "no store can be called `none`",
        "none",
    );
}

#[test]
fn advice_names_the_store_that_was_meant() {
    let text = with("{ kept: {} }").replace("store: kept", "store: kepd");
    let errors = parse("a.yaml", &text, &Overrides::default()).expect_err("refused");
    assert!(
        errors.to_string().contains("did you mean `kept`?"),
        "{errors}"
    );
}

#[test]
fn what_a_store_aside_cannot_be() {
    let kept = with("{ kept: {} }");
    for (keys, message, shown) in [
        (
            "store: memcached",
            "only Redis can be a store of its own",
            "memcached",
        ),
        (
            "topology: cluster",
            "a store of its own is one server",
            "cluster",
        ),
        ("replicas: 1", "`replicas` means nothing here", "1"),
        (
            "read_from: primary",
            "`read_from` means nothing here",
            "primary",
        ),
        (
            "maxmemory: 1MiB",
            "more memory than this for itself",
            "1MiB",
        ),
        ("connections: 0", "`connections` cannot be 0", "0"),
        (
            "invalidation: { heartbeat: 2s }",
            "tell each other over the remote layer's own Redis",
            "{",
        ),
    ] {
        let to = format!("kept: {{ {keys} }} }}");
        rule_in(&kept, "kept: {} }", &to, message, shown);
    }
}

#[test]
fn what_does_not_fit_with_it() {
    let kept = with("{ kept: {} }");
    let tracking = "stores: { kept: {} }, invalidation: { transport: tracking }";
    let message = "client tracking listens to one store";
    rule_in(&kept, "stores: { kept: {} }", tracking, message, "tracking");

    let memcached = "remote: { store: memcached, stores: { kept: {} } }";
    let remote = "remote: { maxmemory: 32MiB, policy: volatile-ttl, timeout: 250ms, \
                  connections: 2, stores: { kept: {} } }";
    rule_in(
        &kept,
        remote,
        memcached,
        "`stores` means nothing to memcached",
        "{",
    );
    rule_in(
        &kept,
        remote,
        "remote: none",
        "there is no store `kept`",
        "kept",
    );

    // Two write-behind data types in two stores.
    let second = "  log:\n    key: \"log:{user}:{number}\"\n    strategy: write-behind\n    \
                  ttl: 2h\n    store: kept\n    popularity: per-user\n    \
                  population: { number: unique }\n    value_size: 100B\n    \
                  origin: { query_time: { median: 20ms, p99: 60ms } }\nlayers:\n";
    let message = "the queue of write-behind stands in one store";
    rule_in(&kept, "layers:\n", second, message, "kept");

    let alike = "  piece:\n    key: \"stock:{product}:{warehouse}:piece\"\n    \
                 strategy: cache-aside\n    ttl: 1m\n    population: { product: 5, warehouse: 4 }\n    \
                 value_size: 1B\n    origin: { query_time: { median: 20ms, p99: 60ms } }\nlayers:\n";
    let message = "keys of `piece` would be taken for those of `stock`";
    rule_in(&kept, "layers:\n", alike, message, "kept");
}
