//! An origin whose calls under way are counted: what reaches it, after every limit.

use std::sync::Arc;

use bytes::Bytes;

use super::InstanceMetrics;
use crate::engine::data_type::{DataTypeId, Key, Limit};
use crate::engine::layer::{Admission, LayerError, Origin, QueuedWrite, Row};

/// An origin whose calls under way are counted.
pub struct Counted<O> {
    origin: O,
    metrics: Arc<InstanceMetrics>,
}

impl<O> Counted<O> {
    /// `origin`, counted in `metrics`.
    pub fn new(origin: O, metrics: Arc<InstanceMetrics>) -> Self {
        Self { origin, metrics }
    }

    fn enter(&self) -> UnderWay<'_> {
        self.metrics.origin_in_flight.inc();
        UnderWay(&self.metrics)
    }
}

/// A call; also one whose caller went away ends.
struct UnderWay<'m>(&'m InstanceMetrics);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.origin_in_flight.dec();
    }
}

impl<O: Origin> Origin for Counted<O> {
    async fn load(&self, data_type: DataTypeId, key: &Key) -> Result<Row, LayerError> {
        let _call = self.enter();
        self.origin.load(data_type, key).await
    }

    async fn store(
        &self,
        data_type: DataTypeId,
        key: &Key,
        value: Bytes,
    ) -> Result<Row, LayerError> {
        let _call = self.enter();
        self.origin.store(data_type, key, value).await
    }

    async fn store_batch(&self, writes: &[QueuedWrite]) -> Result<(), LayerError> {
        let _call = self.enter();
        self.origin.store_batch(writes).await
    }

    async fn admit(
        &self,
        data_type: DataTypeId,
        key: &Key,
        limit: Limit,
    ) -> Result<Admission, LayerError> {
        let _call = self.enter();
        self.origin.admit(data_type, key, limit).await
    }
}
