//! How the servers of Redis stand together.

use super::super::{Overrides, SMALL, parse};
use super::rule;
use crate::environment::redis_topology::{Persistence, ReadFrom, Topology};
use crate::scenario::plan::RemotePlan;

/// Adds `keys` to the remote layer of [`SMALL`].
fn with(keys: &str) -> String {
    format!("maxmemory: 32MiB, {keys}")
}

fn plan(keys: &str) -> RemotePlan {
    let text = SMALL.replace("maxmemory: 32MiB", &with(keys));
    let plan = parse("a.yaml", &text, &Overrides::default()).expect(keys);
    // What was filled in says the same when it is read again.
    let again = parse("b.yaml", &plan.resolved_yaml, &Overrides::default());
    let again = again.expect("the resolved scenario");
    assert_eq!(again.layers.remote, plan.layers.remote);
    plan.layers.remote.expect("a remote layer")
}

#[test]
fn each_topology_has_its_sizes() {
    use ReadFrom::{Primary, Replica};
    use Topology::{Cluster, Replicated, Sentinel, Standalone};
    let sizes = |keys: &str| {
        let RemotePlan {
            topology,
            read_from,
            ..
        } = plan(keys);
        (
            topology.topology,
            topology.primaries,
            topology.replicas,
            read_from,
        )
    };
    assert_eq!(sizes("topology: standalone"), (Standalone, 1, 0, Primary));
    assert_eq!(sizes("topology: replicated"), (Replicated, 1, 2, Primary));
    let one = "topology: sentinel, replicas: 1, read_from: replica";
    assert_eq!(sizes(one), (Sentinel, 1, 1, Replica));
    assert_eq!(sizes("topology: cluster"), (Cluster, 3, 1, Primary));
    let six = "topology: cluster, primaries: 6, replicas: 0";
    assert_eq!(sizes(six), (Cluster, 6, 0, Primary));
}

#[test]
fn what_is_kept_and_who_may_come_is_planned() {
    let topology = plan("persistence: rdb+aof, password: \"s: e\\\"cret\", tls: true").topology;
    assert_eq!(topology.persistence, Persistence::RdbAndAof);
    assert_eq!(topology.password.as_deref(), Some("s: e\"cret"));
    assert!(topology.tls);
    assert_eq!(plan("password: none").topology.password, None);
}

#[test]
fn what_does_not_fit_together_is_told() {
    let rules = [
        ("topology: clustre", "`clustre` is no topology", "clustre"),
        ("replicas: 1", "no meaning for a standalone Redis", "1"),
        (
            "topology: sentinel, primaries: 3",
            "`primaries` has no meaning",
            "3",
        ),
        (
            "topology: cluster, primaries: 2",
            "`primaries` cannot be 2",
            "2",
        ),
        (
            "topology: replicated, replicas: 0",
            "`replicas` cannot be 0",
            "0",
        ),
        (
            "topology: cluster, replicas: 9",
            "`replicas` cannot be 9",
            "9",
        ),
        ("read_from: replica", "no replica to read from", "replica"),
        (
            "topology: cluster, replicas: 0, read_from: replica",
            "no replica to read from",
            "replica",
        ),
        ("read_from: nearest", "no source of lookups", "nearest"),
        ("persistence: disk", "no persistence", "disk"),
        (
            "password: \"\"",
            "a password has from 1 to 128 bytes",
            "\"\"",
        ),
        ("tls: perhaps", "no truth value", "perhaps"),
    ];
    for (keys, message, shown) in rules {
        rule("maxmemory: 32MiB", &with(keys), message, shown);
    }
}
