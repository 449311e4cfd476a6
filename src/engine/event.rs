//! What happens inside the engine, told to observers that the engine does not know.
//!
//! An observer must return at once: it runs on the path of the request.

use std::time::Duration;

use super::data_type::{DataTypeId, Key};
use super::invalidation::markers::Scope;
use super::layer::{Layer, LayerError, Version};
use super::queue::Waiting;
use super::resilience::circuit_breaker::Circuit;
use super::warming::{Warmed, Warmth};

/// One thing that happened.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A layer was asked for a key. Of the remote layer exactly one per `GET` sent.
    Lookup {
        /// The data type asked for.
        data_type: DataTypeId,
        /// The layer asked.
        layer: Layer,
        /// Whether it had the entry; false also when it failed.
        found: bool,
        /// How long it took to answer.
        took: Duration,
    },
    /// A coalesced load ended.
    FlightEnded {
        /// The data type loaded.
        data_type: DataTypeId,
        /// The key loaded.
        key: &'a Key,
        /// How many requests waited for the leader.
        followers: u32,
        /// Whether the leader had to ask the origin.
        loaded_from_origin: bool,
    },
    /// A layer knew better and refused a value: a stale fill was prevented.
    FillRefused {
        /// The data type of the value.
        data_type: DataTypeId,
        /// The layer that refused.
        layer: Layer,
    },
    /// Invalidations were published by this instance.
    InvalidationSent {
        /// How many keys.
        keys: usize,
    },
    /// Invalidations were received from another instance.
    InvalidationReceived {
        /// How many keys.
        keys: usize,
    },
    /// A key was to be loaded anew in the background, but too many are already.
    RefreshDropped {
        /// The data type of the key.
        data_type: DataTypeId,
    },
    /// The local layer was emptied because invalidations may have been lost.
    LocalFlushed {
        /// How many entries were dropped.
        entries: usize,
    },
    /// The local layer was compared with the remote layer, because invalidations may have been lost.
    LocalRevalidated {
        /// How many entries were the same.
        kept: usize,
        /// How many were not, and were dropped.
        dropped: usize,
    },
    /// Notices of another instance never came.
    NoticesMissed {
        /// The instance.
        publisher: u64,
        /// How many.
        missed: u64,
    },
    /// The subscription stands, but this instance does not hear itself: it is taken for lost.
    SubscriptionSilent {
        /// For how long.
        silent_for: Duration,
    },
    /// This instance outdated every entry in a scope.
    Outdated {
        /// Whom it concerns.
        scope: &'a Scope,
    },
    /// This instance looked for every entry in a scope in the remote layer, and removed it.
    Swept {
        /// Whom it concerns.
        scope: &'a Scope,
        /// How many keys were removed.
        keys: u64,
    },
    /// The consumer of write-behind committed a batch.
    WriteBehindCommitted {
        /// How many writes.
        writes: usize,
    },
    /// A layer was asked for what it cannot do at all, and the engine did without.
    Unsupported {
        /// The layer.
        layer: Layer,
        /// What it was asked to do: "tell other instances".
        what: &'static str,
    },
    /// A write of write-behind was accepted, into the queue or past it into the origin: from now on
    /// it must not be lost.
    WriteAccepted {
        /// The data type written.
        data_type: DataTypeId,
        /// The key written.
        key: &'a Key,
        /// The version it got.
        version: Version,
    },
    /// A write found the queue of write-behind full.
    WriteBehindFull {
        /// The data type written.
        data_type: DataTypeId,
    },
    /// Writes were delivered that had been delivered before and never acknowledged.
    WriteBehindRedelivered {
        /// How many.
        writes: usize,
    },
    /// A write went to the dead letters.
    WriteBehindBuried {
        /// Its key, if it could be read.
        key: Option<&'a Key>,
        /// Its version, likewise.
        version: Option<Version>,
        /// Why.
        reason: &'a str,
    },
    /// Writes vanished from the queue though nobody acknowledged them: it was evicted, trimmed or
    /// flushed.
    WriteBehindLost {
        /// How many; as counted at the last look, if the whole queue was lost.
        writes: u64,
    },
    /// How the queue of write-behind fares, about once a second.
    WriteBehindWaiting {
        /// What waits in it.
        waiting: Waiting,
    },
    /// The circuit breaker in front of the remote layer changed its state.
    CircuitChanged {
        /// To what.
        circuit: Circuit,
        /// Whether it is the one of a second store, beside the remote layer's own.
        aside: bool,
    },
    /// Invalidations that the remote layer had missed were made up for.
    InvalidationsReplayed {
        /// How many keys.
        keys: usize,
    },
    /// Invalidations that the remote layer missed will never be made up for: there were too many to
    /// remember. Their entries may be served until their TTL ends.
    InvalidationsForgotten {
        /// How many keys.
        keys: usize,
    },
    /// The origin was protected from a call: too many others wait for it.
    OriginCallRefused,
    /// A reader was answered with a stale value because the origin was slow; its load goes on.
    SoftTimeout {
        /// The data type read.
        data_type: DataTypeId,
    },
    /// A round of warming began.
    WarmingBegan {
        /// With how many keys.
        keys: usize,
    },
    /// A round of warming is done with a key.
    Warmed {
        /// Its data type.
        data_type: DataTypeId,
        /// What became of it.
        warmed: Warmed,
    },
    /// A round of warming ended.
    WarmingEnded {
        /// What became of its keys.
        warmth: Warmth,
        /// How long it took, waiting for its turn included.
        took: Duration,
    },
    /// A layer failed.
    LayerFailed {
        /// The layer.
        layer: Layer,
        /// How.
        error: &'a LayerError,
    },
}

/// Told of every event, on the path of the request.
pub trait Observer: Send + Sync + 'static {
    /// Something happened.
    fn observe(&self, event: &Event<'_>);
}

/// Observes nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unobserved;

impl Observer for Unobserved {
    fn observe(&self, _: &Event<'_>) {}
}
