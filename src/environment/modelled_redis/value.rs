//! What the remote layer keeps at a key of a modelled server, and what that weighs there.
//!
//! The counterpart of `engine/remote/wire.rs` and of the scripts' hashes: nothing is encoded here, but
//! everything is as long as it would be. Pure.

use std::collections::BTreeMap;

use super::collections::stream_bytes;
use super::memory::MemoryLayout;
use super::stream::Stream;
use crate::engine::invalidation::markers::Scope;
use crate::engine::layer::{Entry, Generation, Token, Version};
use crate::engine::rate_limit::{Counter, Held};
use crate::engine::remote::wire::{HEAD_BYTES, LEASE_BYTES, TOMBSTONE_BYTES};

/// A lock's token, in hexadecimal digits.
pub(super) const LOCK_BYTES: usize = 32;

/// What stands at a key.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// An entry, or a known absence.
    Entry(Entry),
    /// Nothing, and nothing read before this commit may be put here.
    Tombstone(Version),
    /// Nothing, and who has the token loads it.
    Lease { floor: Version, token: Token },
    /// Who has the token loads the key that this is the lock of.
    Lock(Token),
    /// The generations, by scope.
    Generations(BTreeMap<Scope, Generation>),
    /// A counter of arrivals.
    Counter(Counter),
    /// A stream of the queue.
    Stream(Box<Stream>),
    /// So many dead letters, with so many bytes.
    DeadLetters { count: u64, bytes: u64 },
}

impl Value {
    /// The commit that what stands here is as of: what is older has no place here.
    pub(super) fn floor(&self) -> Option<Version> {
        match self {
            Self::Entry(entry) => Some(entry.row.as_of),
            Self::Tombstone(floor) | Self::Lease { floor, .. } => Some(*floor),
            _ => None,
        }
    }

    /// What it weighs, without its key.
    pub(super) fn held_bytes(&self, memory: &MemoryLayout) -> u64 {
        let text = |len: usize| memory.value_bytes(len as u64);
        match self {
            Self::Entry(entry) => text(entry_bytes(entry)),
            Self::Tombstone(_) => text(TOMBSTONE_BYTES),
            Self::Lease { .. } => text(LEASE_BYTES),
            Self::Lock(_) => text(LOCK_BYTES),
            Self::Generations(scopes) => {
                memory.times_bytes(scopes.keys().map(|scope| scope.to_string().len()))
            }
            Self::Counter(counter) => match counter.held() {
                Held::Due(_) => memory.integer_bytes(),
                Held::Window(numbers) => memory.numbers_bytes(&numbers),
                Held::Windows(numbers) => memory.numbers_bytes(&numbers),
                Held::Buckets(count) => memory.buckets_bytes_of(count),
                Held::Log(count) => memory.log_bytes(count),
            },
            Self::Stream(stream) => stream.held_bytes(),
            Self::DeadLetters { bytes, .. } => stream_bytes(*bytes, 0),
        }
    }
}

/// How long an entry is on the server.
pub(super) fn entry_bytes(entry: &Entry) -> usize {
    HEAD_BYTES + entry.row.value.as_ref().map_or(0, bytes::Bytes::len)
}
