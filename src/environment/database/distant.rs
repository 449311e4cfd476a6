//! A database as far away as in a real run, for virtual time.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::clock::Clock;
use crate::engine::data_type::{DataTypeId, Key, Limit};
use crate::engine::layer::{Admission, LayerError, Origin, QueuedWrite, Row};
use crate::environment::delay::Delay;
use crate::seed::{Seed, Stream};

/// An origin that takes longer to reach. Cheap to clone.
#[derive(Clone)]
pub struct Distant<O> {
    origin: O,
    delay: Arc<Delay>,
    stream: Arc<Mutex<Stream>>,
    clock: Clock,
}

impl<O: Origin> Distant<O> {
    /// `origin`, but every call takes so much longer, after the way to it and before the answer.
    pub fn new(origin: O, delay: Delay, seed: Seed, clock: Clock) -> Self {
        Self {
            origin,
            delay: Arc::new(delay),
            stream: Arc::new(Mutex::new(seed.stream("distance"))),
            clock,
        }
    }

    async fn travel(&self) {
        let delay = self.delay.draw(&mut self.stream.lock());
        self.clock.sleep(delay).await;
    }
}

impl<O: Origin> Origin for Distant<O> {
    async fn load(&self, data_type: DataTypeId, key: &Key) -> Result<Row, LayerError> {
        self.travel().await;
        self.origin.load(data_type, key).await
    }

    async fn store(
        &self,
        data_type: DataTypeId,
        key: &Key,
        value: Bytes,
    ) -> Result<Row, LayerError> {
        self.travel().await;
        self.origin.store(data_type, key, value).await
    }

    async fn store_batch(&self, writes: &[QueuedWrite]) -> Result<(), LayerError> {
        self.travel().await;
        self.origin.store_batch(writes).await
    }

    async fn admit(
        &self,
        data_type: DataTypeId,
        key: &Key,
        limit: Limit,
    ) -> Result<Admission, LayerError> {
        self.travel().await;
        self.origin.admit(data_type, key, limit).await
    }
}
