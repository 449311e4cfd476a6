//! How the servers of Redis stand together, as written: keys of the remote layer.

use std::sync::Arc;

use super::super::decode::{Field, Fields, Switch};
use super::super::diagnostics::Place;
use crate::environment::redis_topology::{Persistence, ReadFrom, Topology};

/// The keys of topology.
pub(in crate::scenario) struct TopologyFile {
    pub(in crate::scenario) topology: Field<Topology>,
    pub(in crate::scenario) primaries: Field<u64>,
    pub(in crate::scenario) replicas: Field<u64>,
    pub(in crate::scenario) read_from: Field<ReadFrom>,
    pub(in crate::scenario) persistence: Field<Persistence>,
    pub(in crate::scenario) password: Field<Switch<Arc<str>>>,
    pub(in crate::scenario) tls: Field<bool>,
}

impl TopologyFile {
    /// Reads them among the other keys of a mapping.
    pub(super) fn of(fields: &mut Fields<'_, '_>) -> Self {
        Self {
            topology: fields.optional("topology"),
            primaries: fields.optional("primaries"),
            replicas: fields.optional("replicas"),
            read_from: fields.optional("read_from"),
            persistence: fields.optional("persistence"),
            password: fields.optional("password"),
            tls: fields.optional("tls"),
        }
    }

    /// Where each key stands.
    pub(in crate::scenario) fn places(&self) -> [(&'static str, Option<&Place>); 7] {
        [
            ("topology", self.topology.place()),
            ("primaries", self.primaries.place()),
            ("replicas", self.replicas.place()),
            ("read_from", self.read_from.place()),
            ("persistence", self.persistence.place()),
            ("password", self.password.place()),
            ("tls", self.tls.place()),
        ]
    }
}
