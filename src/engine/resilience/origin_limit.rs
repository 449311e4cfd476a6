//! An origin that gets only so many calls at once, whatever the cache does: when the cache is gone,
//! the storm ends here (FACTS, invariant 9).
//!
//! A few more may wait for their turn, in the order of arrival; whoever comes on top of them is
//! refused at once, which is better than to answer when nobody waits any more. (Little's law: a
//! queue that is longer than `concurrency * patience / service time` holds callers who will have
//! gone.)

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::engine::data_type::{DataTypeId, Key, Limit};
use crate::engine::event::{Event, Observer};
use crate::engine::layer::{Admission, LayerError, Origin, QueuedWrite, Row};

/// What errors call it.
const NAME: &str = "the origin";

/// How many calls the origin gets from one instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OriginLimit {
    /// At once; at least 1.
    pub concurrency: u32,
    /// How many more may wait for their turn.
    pub queue: u32,
}

/// An origin that gets only so many calls at once.
pub struct Bounded<O> {
    origin: O,
    gate: Option<Gate>,
    observer: Arc<dyn Observer>,
}

struct Gate {
    limit: OriginLimit,
    /// Tokio's semaphore is fair: first come, first served.
    room: Semaphore,
    waiting: AtomicU32,
}

impl<O> std::fmt::Debug for Bounded<O> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let limit = self.gate.as_ref().map(|gate| gate.limit);
        f.debug_tuple("Bounded").field(&limit).finish()
    }
}

impl<O: Origin> Bounded<O> {
    /// `origin` with at most so many calls at once; `None` for no limit.
    pub fn new(origin: O, limit: Option<OriginLimit>, observer: Arc<dyn Observer>) -> Self {
        Self {
            origin,
            gate: limit.map(|limit| Gate {
                limit,
                room: Semaphore::new(limit.concurrency.max(1) as usize),
                waiting: AtomicU32::new(0),
            }),
            observer,
        }
    }

    /// Waits for a turn, if there is room to wait.
    async fn enter(&self) -> Result<Option<SemaphorePermit<'_>>, LayerError> {
        let Some(gate) = &self.gate else {
            return Ok(None);
        };
        // Not past those who wait: a permit that becomes free belongs to the first of them.
        if let Ok(permit) = gate.room.try_acquire() {
            return Ok(Some(permit));
        }
        let Some(_waiting) = gate.wait() else {
            self.observer.observe(&Event::OriginCallRefused);
            let OriginLimit { concurrency, queue } = gate.limit;
            let why = format!("{concurrency} calls are under way and {queue} wait");
            return Err(LayerError::Busy(NAME, why));
        };
        let closed = |_| LayerError::Unreachable(NAME, "its gate was closed".to_owned());
        gate.room.acquire().await.map(Some).map_err(closed)
    }
}

impl Gate {
    fn wait(&self) -> Option<Waiting<'_>> {
        let queue = self.limit.queue;
        let took = self
            .waiting
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |waiting| {
                (waiting < queue).then_some(waiting + 1)
            });
        took.ok().map(|_| Waiting { gate: self })
    }
}

/// A place among those who wait.
struct Waiting<'g> {
    gate: &'g Gate,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.gate.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

impl<O: Origin> Origin for Bounded<O> {
    async fn load(&self, data_type: DataTypeId, key: &Key) -> Result<Row, LayerError> {
        let _turn = self.enter().await?;
        self.origin.load(data_type, key).await
    }

    async fn store(
        &self,
        data_type: DataTypeId,
        key: &Key,
        value: Bytes,
    ) -> Result<Row, LayerError> {
        let _turn = self.enter().await?;
        self.origin.store(data_type, key, value).await
    }

    async fn store_batch(&self, writes: &[QueuedWrite]) -> Result<(), LayerError> {
        let _turn = self.enter().await?;
        self.origin.store_batch(writes).await
    }

    async fn admit(
        &self,
        data_type: DataTypeId,
        key: &Key,
        limit: Limit,
    ) -> Result<Admission, LayerError> {
        let _turn = self.enter().await?;
        self.origin.admit(data_type, key, limit).await
    }
}

#[cfg(test)]
pub(in crate::engine::resilience) mod tests;
