//! A second Redis beside the remote layer's, as written under its `stores`.

use super::super::decode::{Decode, Field, Fields, Switch};
use super::super::diagnostics::{Errors, Place};
use super::super::yaml::Node;
use super::alternatives::StoreFile;
use super::invalidation::InvalidationFile;
use super::topology::TopologyFile;
use crate::environment::EvictionPolicy;
use crate::environment::redis_topology::Topology;
use crate::units::{ByteSize, Span};

/// One store: the words of the remote layer. Some are read only to be refused with their reason.
pub(in crate::scenario) struct AsideFile {
    pub(in crate::scenario) store: Field<StoreFile>,
    pub(in crate::scenario) topology: TopologyFile,
    pub(in crate::scenario) maxmemory: Field<Switch<ByteSize>>,
    pub(in crate::scenario) policy: Field<EvictionPolicy>,
    pub(in crate::scenario) timeout: Field<Span>,
    pub(in crate::scenario) connections: Field<u64>,
    pub(in crate::scenario) invalidation: Field<InvalidationFile>,
}

impl Decode for AsideFile {
    fn decode(node: &Node, errors: &mut Errors) -> Option<Self> {
        let mut fields = Fields::of(node, "a store", errors)?;
        let aside = Self {
            store: fields.optional("store"),
            topology: TopologyFile::of(&mut fields),
            maxmemory: fields.optional("maxmemory"),
            policy: fields.optional("policy"),
            timeout: fields.optional("timeout"),
            connections: fields.optional("connections"),
            invalidation: fields.optional("invalidation"),
        };
        fields.close();
        Some(aside)
    }
}

impl AsideFile {
    /// Keys of several servers, and where they stand.
    pub(in crate::scenario) fn of_several_servers(&self) -> [(&'static str, Option<&Place>); 4] {
        let topology = &self.topology;
        let several = topology.topology.given();
        let several = several.filter(|given| given.value != Topology::Standalone);
        [
            ("topology", several.map(|given| &given.place)),
            ("primaries", topology.primaries.place()),
            ("replicas", topology.replicas.place()),
            ("read_from", topology.read_from.place()),
        ]
    }
}
