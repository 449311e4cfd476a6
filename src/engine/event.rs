//! What happens inside the engine, told to observers that the engine does not know.
//!
//! An observer must return at once: it runs on the path of the request.

use std::time::Duration;

use super::data_type::{DataTypeId, Key};
use super::layer::{Layer, LayerError};

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
    /// The consumer of write-behind committed a batch.
    WriteBehindCommitted {
        /// How many writes.
        writes: usize,
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
