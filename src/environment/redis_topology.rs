//! How a managed Redis is to be set up, beside its memory: topology, replicas, persistence, login
//! and TLS (ADR, "Redis High Availability").

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use crate::engine::remote::redis::{ReadFrom, Topology};

/// What a server keeps on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Persistence {
    /// Nothing.
    #[default]
    #[serde(rename = "none")]
    None,
    /// A snapshot after many changes (Redis' own default rules).
    #[serde(rename = "rdb")]
    Rdb,
    /// Every write in a log, on disk within a second.
    #[serde(rename = "aof")]
    Aof,
    /// Both (ADR: "regular backups").
    #[serde(rename = "rdb+aof")]
    RdbAndAof,
}

/// How the servers of a managed Redis stand together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopologyConfig {
    /// The topology.
    pub topology: Topology,
    /// The primaries of a Cluster; elsewhere there is one.
    pub primaries: u16,
    /// The replicas of each primary; 0 for one server.
    pub replicas: u16,
    /// What each server keeps on disk.
    pub persistence: Persistence,
    /// What clients and servers log in with; `None` for no login.
    pub password: Option<String>,
    /// Whether every connection is encrypted, those between servers, too.
    pub tls: bool,
}

impl TopologyConfig {
    /// `topology` in its smallest useful size: two replicas, or three primaries with one replica
    /// each.
    pub fn of(topology: Topology) -> Self {
        let (primaries, replicas) = match topology {
            Topology::Standalone => (1, 0),
            Topology::Replicated | Topology::Sentinel => (1, 2),
            Topology::Cluster => (3, 1),
        };
        Self {
            topology,
            primaries,
            replicas,
            ..Self::default()
        }
    }
}
