//! An origin that always answers: whatever takes longer than the hard timeout fails.
//!
//! The local layer needs no timeout (it never waits), the remote one has its own in its options. A
//! write that fails here may have been committed all the same, as with any database whose answer is
//! lost.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;

use crate::clock::Clock;
use crate::engine::data_type::{DataTypeId, Key, Limit};
use crate::engine::layer::{Admission, LayerError, Origin, QueuedWrite, Row};

/// What errors call it.
const NAME: &str = "the origin";

/// An origin that answers in time or fails.
#[derive(Debug)]
pub struct Timed<O> {
    origin: O,
    hard: Option<Duration>,
    clock: Clock,
}

impl<O: Origin> Timed<O> {
    /// `origin`, whose calls fail after `hard`; `None` for no limit.
    pub fn new(origin: O, hard: Option<Duration>, clock: Clock) -> Self {
        Self {
            origin,
            hard,
            clock,
        }
    }

    async fn bounded<T>(
        &self,
        call: impl Future<Output = Result<T, LayerError>>,
    ) -> Result<T, LayerError> {
        let Some(hard) = self.hard else {
            return call.await;
        };
        let answer = self.clock.timeout(hard, call).await;
        answer.unwrap_or(Err(LayerError::TimedOut(NAME)))
    }
}

impl<O: Origin> Origin for Timed<O> {
    async fn load(&self, data_type: DataTypeId, key: &Key) -> Result<Row, LayerError> {
        self.bounded(self.origin.load(data_type, key)).await
    }

    async fn store(
        &self,
        data_type: DataTypeId,
        key: &Key,
        value: Bytes,
    ) -> Result<Row, LayerError> {
        self.bounded(self.origin.store(data_type, key, value)).await
    }

    async fn store_batch(&self, writes: &[QueuedWrite]) -> Result<(), LayerError> {
        self.bounded(self.origin.store_batch(writes)).await
    }

    async fn admit(
        &self,
        data_type: DataTypeId,
        key: &Key,
        limit: Limit,
    ) -> Result<Admission, LayerError> {
        self.bounded(self.origin.admit(data_type, key, limit)).await
    }
}
