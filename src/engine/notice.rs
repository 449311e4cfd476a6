//! What instances tell each other, and how it is heard.
//!
//! Part of what every layer speaks ([`super::layer`]). Knows no implementation of itself.

use std::future::Future;

use serde::{Deserialize, Serialize};

use super::invalidation::markers::{Marker, Scope};

/// What an instance tells the others after a write or a purge.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct InvalidationEvent {
    /// The instance that published it.
    pub publisher: u64,
    /// Tells the lives of one instance apart; a later one is greater. 0 if the publisher does not
    /// number what it says.
    pub incarnation: u64,
    /// Its number among the events of this life, from 1; without holes, so that a hole is a loss.
    pub sequence: u64,
    /// The keys to drop.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
    /// Entries of a version below this one are out of date.
    pub version: u64,
    /// A generation that was raised.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raised: Option<Marker>,
    /// What was removed from the remote layer by looking for it; local entries are to follow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub swept: Option<Scope>,
}

/// What instances tell each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Notice {
    /// Entries are out of date.
    Invalidated(InvalidationEvent),
    /// A load that others wait for has ended: there is an entry at this key, or nobody loads it
    /// any more.
    Filled(String),
    /// How far a publisher has come: told now and then, so that the loss of its last notice is
    /// noticed, too, and that it hears itself.
    Alive {
        /// The instance.
        publisher: u64,
        /// Its life.
        incarnation: u64,
        /// The last sequence number that it gave.
        sequence: u64,
    },
    /// The remote layer itself says that these keys changed.
    Changed(Vec<String>),
    /// The remote layer itself says that all keys are gone.
    Emptied,
}

/// What instances tell each other, as it arrives.
pub trait Subscription: Send + 'static {
    /// The next notice; `None` when the connection is lost and notices may have been missed. If the
    /// future is dropped before it is ready, no notice is lost.
    fn next(&mut self) -> impl Future<Output = Option<Notice>> + Send;
}
