//! The queue of write-behind: what waits in it, and what its consumer may ask of it.
//!
//! A write leaves the queue in one of two ways, never silently: it is acknowledged after the origin
//! has committed it, or it is buried in the dead letters with a reason. Knows no implementation of
//! itself.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;

use super::data_type::{DataTypeId, Key};
use super::layer::{LayerError, Version};
use crate::clock::Timestamp;

/// A write that waits in the queue of write-behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueuedWrite {
    /// The data type written.
    pub data_type: DataTypeId,
    /// The key written; it names the row.
    pub key: Key,
    /// The new value.
    pub value: Bytes,
    /// Orders the writes of one key; a second delivery of the same version changes nothing.
    pub version: Version,
    /// When it was accepted.
    pub accepted_at: Timestamp,
}

/// What became of a write that was to be appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// It is in the queue, with this version.
    Queued(Version),
    /// The queue is full and nothing was stored. Whoever commits the write directly does so with
    /// this version, which is above all that wait in the queue.
    Full(Version),
}

/// The place of a write in the queue of write-behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueId(pub String);

/// What the queue gives to a consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Its place.
    pub id: QueueId,
    /// How often it was delivered, this time included.
    pub deliveries: u32,
    /// The write, or why it cannot be read.
    pub write: Result<QueuedWrite, String>,
}

/// What was delivered before and never acknowledged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TakenBack {
    /// What is delivered again.
    pub deliveries: Vec<Delivery>,
    /// Writes that were delivered once and are not in the queue any more, though nobody
    /// acknowledged them: somebody trimmed or deleted them.
    pub vanished: u64,
}

/// How the queue fares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Writes that are not acknowledged.
    pub writes: u64,
    /// How long the oldest of them has waited; zero if there is none.
    pub oldest: Duration,
    /// Writes in the dead letters.
    pub dead_letters: u64,
    /// The store is close to its memory limit, and may evict the queue when it gets there.
    pub may_be_evicted: bool,
}

/// The queue of write-behind, as its consumer sees it.
pub trait Queue: Send + 'static {
    /// Whether the queue had to be made when it was opened: it was never used before, or it was
    /// lost.
    fn is_new(&self) -> bool;

    /// The next writes that nobody was given before, at most `max`, in order. Waits a short,
    /// bounded time; may give none.
    fn next_batch(
        &mut self,
        max: usize,
    ) -> impl Future<Output = Result<Vec<Delivery>, LayerError>> + Send;

    /// What was delivered and not acknowledged, at most `max`, in order: to this consumer, or with
    /// `idle` to anyone who has not been heard of for so long. A write that was delivered
    /// `alone_from` times or more comes alone, so that it fails alone.
    fn take_back(
        &mut self,
        idle: Option<Duration>,
        max: usize,
        alone_from: u32,
    ) -> impl Future<Output = Result<TakenBack, LayerError>> + Send;

    /// Says that this consumer lives and still works on these. False if the queue is gone, with all
    /// that was in it.
    fn keep(&mut self, ids: &[QueueId]) -> impl Future<Output = Result<bool, LayerError>> + Send;

    /// Says that these writes are in the origin for good.
    fn acknowledge(
        &mut self,
        ids: &[QueueId],
    ) -> impl Future<Output = Result<(), LayerError>> + Send;

    /// Moves a write to the dead letters, with the reason: out of the queue and in there, or
    /// neither.
    fn bury(
        &mut self,
        delivery: &Delivery,
        reason: &str,
    ) -> impl Future<Output = Result<(), LayerError>> + Send;

    /// How the queue fares now.
    fn waiting(&mut self) -> impl Future<Output = Result<Waiting, LayerError>> + Send;
}
