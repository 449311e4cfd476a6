//! The keepers of truth: each watches one thing that must hold and tells where it did not.
//!
//! One oracle per file. They are told what happened and never ask the system under test. Their
//! findings go into the report word for word.

pub mod accounting;
mod history;
pub mod monotonic;
pub mod staleness;

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
