//! The layers, written out again.

use super::{Yaml, map, size};
use crate::engine::data_type::DataTypeId;
use crate::engine::invalidation::InvalidationConfig;
use crate::environment::redis_topology::{ReadFrom, Topology, TopologyConfig};
use crate::scenario::plan::{Plan, StorePlan};
use crate::scenario::words::Word as _;

/// The layers of `plan`.
pub(super) fn write(plan: &Plan) -> Yaml {
    let layers = &plan.layers;
    let local = Yaml::none_or(layers.local, |local| {
        let mut entries = vec![("entries".to_owned(), Yaml::word(local.entries))];
        if let Some(bytes) = local.bytes {
            entries.push(("bytes".to_owned(), Yaml::word(size(bytes))));
        }
        entries.push(("policy".to_owned(), Yaml::word(local.policy.word())));
        Yaml::Map(entries)
    });
    let remote = Yaml::none_or(layers.remote.as_ref(), |remote| {
        if let Some(memcached) = remote.memcached {
            let memory = format!("{}MiB", memcached.memory_mib);
            return map([
                ("store", Yaml::word("memcached")),
                ("maxmemory", Yaml::word(memory)),
                ("timeout", Yaml::span(remote.timeout)),
                ("connections", Yaml::word(remote.connections)),
            ]);
        }
        let maxmemory = Yaml::none_or(remote.redis.maxmemory, |most| Yaml::word(size(most)));
        let mut entries = topology(&remote.topology, remote.read_from);
        entries.extend([
            ("maxmemory", maxmemory),
            ("policy", Yaml::word(remote.redis.policy.word())),
            ("timeout", Yaml::span(remote.timeout)),
            ("connections", Yaml::word(remote.connections)),
            ("stores", stores(remote.aside.as_ref())),
            ("invalidation", invalidation(&remote.invalidation)),
        ]);
        named(entries)
    });
    map([("local", local), ("remote", remote)])
}

/// Sizes that a topology has not are not written: they would be refused.
fn topology(config: &TopologyConfig, read_from: ReadFrom) -> Vec<(&'static str, Yaml)> {
    let mut entries = vec![("topology", Yaml::word(config.topology.word()))];
    if config.topology == Topology::Cluster {
        entries.push(("primaries", Yaml::word(config.primaries)));
    }
    if config.topology != Topology::Standalone {
        entries.push(("replicas", Yaml::word(config.replicas)));
        entries.push(("read_from", Yaml::word(read_from.word())));
    }
    entries.extend(kept(config));
    entries
}

/// What a server keeps, and who may come.
fn kept(config: &TopologyConfig) -> [(&'static str, Yaml); 3] {
    [
        ("persistence", Yaml::word(config.persistence.word())),
        (
            "password",
            Yaml::none_or(config.password.as_ref(), Yaml::text),
        ),
        ("tls", Yaml::word(config.tls)),
    ]
}

fn stores(aside: Option<&StorePlan>) -> Yaml {
    Yaml::none_or(aside, |store| {
        let maxmemory = Yaml::none_or(store.redis.maxmemory, |most| Yaml::word(size(most)));
        let mut entries: Vec<_> = kept(&store.topology).into();
        entries.extend([
            ("maxmemory", maxmemory),
            ("policy", Yaml::word(store.redis.policy.word())),
            ("timeout", Yaml::span(store.timeout)),
            ("connections", Yaml::word(store.connections)),
        ]);
        Yaml::Map(vec![(store.name.clone(), named(entries))])
    })
}

/// The store that a data type names; `None` if it names none.
pub(super) fn store_of(plan: &Plan, id: DataTypeId) -> Option<Yaml> {
    let aside = plan.layers.remote.as_ref()?.aside.as_ref()?;
    let stands = aside.data_types.contains(&id);
    stands.then(|| Yaml::name(&aside.name))
}

fn named(entries: Vec<(&'static str, Yaml)>) -> Yaml {
    let named = entries.into_iter();
    Yaml::Map(named.map(|(key, value)| (key.to_owned(), value)).collect())
}

fn invalidation(config: &InvalidationConfig) -> Yaml {
    map([
        ("transport", Yaml::word(config.transport.word())),
        ("broadly", Yaml::word(config.broadly.word())),
        ("on_loss", Yaml::word(config.on_loss.word())),
        ("heartbeat", Yaml::span(config.heartbeat)),
    ])
}
