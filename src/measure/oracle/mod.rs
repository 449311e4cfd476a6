//! The keepers of truth: each watches one thing that must hold and tells where it did not.
//!
//! One oracle per file. They are told what happened and never ask the system under test. Their
//! findings go into the report word for word.

pub mod accounting;
mod history;
pub mod monotonic;
pub mod staleness;
pub mod write_behind;

use std::sync::Arc;

use crate::clock::Timestamp;
use crate::engine::data_type::{DataTypeId, Key};
use crate::engine::event::{Event, Observer};
use crate::engine::layer::Version;
use crate::environment::CommitListener;

/// What an oracle found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Finding {
    /// How many times it looked.
    pub checked: u64,
    /// How many times it found something wrong.
    pub violations: u64,
    /// The worst case in words; empty if there is nothing to tell.
    pub worst: String,
}

/// Two who are told the same, one after the other.
#[derive(Debug)]
pub struct Both<A, B>(pub Arc<A>, pub Arc<B>);

impl<A: CommitListener, B: CommitListener> CommitListener for Both<A, B> {
    fn committed(&self, data_type: DataTypeId, key: &Key, version: Version, at: Timestamp) {
        self.0.committed(data_type, key, version, at);
        self.1.committed(data_type, key, version, at);
    }
}

impl<A: Observer, B: Observer> Observer for Both<A, B> {
    fn observe(&self, event: &Event<'_>) {
        self.0.observe(event);
        self.1.observe(event);
    }
}
