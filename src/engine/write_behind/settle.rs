//! Settling a delivery: every write of it is committed and acknowledged, buried, or left in the
//! queue to be delivered again.
//!
//! Acknowledged only after the commit; a crash in between delivers the write again, and the origin's
//! upsert by version makes the second commit harmless. An origin that is away is waited for with the
//! writes in hand, so that an outage does not count as deliveries; meanwhile the queue is told that
//! this consumer lives.

use super::policy::{Arrival, Failure, on_arrival, on_failure};
use super::{Consumer, Retry};
use crate::engine::Engine;
use crate::engine::event::Event;
use crate::engine::layer::{Layer, LayerError, Origin, Remote};
use crate::engine::queue::{Delivery, Queue, QueueId, QueuedWrite};

/// A write that can be read, and how it was delivered.
type Readable = (Delivery, QueuedWrite);

impl<R: Remote, O: Origin> Engine<R, O> {
    pub(super) async fn settle(
        &self,
        queue: &mut R::Queue,
        state: &mut Consumer,
        given: Vec<Delivery>,
    ) -> Result<(), LayerError> {
        let max = self.write_behind.max_deliveries;
        let mut writes = Vec::with_capacity(given.len());
        for delivery in given {
            let readable = delivery.write.clone();
            match readable {
                Err(reason) => {
                    let reason = format!("it cannot be read: {reason}");
                    self.bury(queue, &delivery, &reason).await?;
                }
                Ok(_) if on_arrival(delivery.deliveries, max) == Arrival::Bury => {
                    let times = delivery.deliveries - 1;
                    let reason = format!("delivered {times} times, and no consumer survived it");
                    self.bury(queue, &delivery, &reason).await?;
                }
                Ok(write) => writes.push((delivery, write)),
            }
        }
        if writes.is_empty() {
            return Ok(());
        }
        let left = self.settle_readable(queue, state, &writes).await?;
        if left > 0 {
            state.own = true;
            self.clock.sleep(state.retry.next()).await;
        } else {
            state.retry = Retry::new();
        }
        Ok(())
    }

    /// Commits them together, or else each alone. Gives how many stay in the queue.
    async fn settle_readable(
        &self,
        queue: &mut R::Queue,
        state: &mut Consumer,
        writes: &[Readable],
    ) -> Result<usize, LayerError> {
        let together = match self.commit(queue, state, writes).await? {
            Some((Failure::Split, _)) => writes.chunks(1),
            refused => return self.after(queue, &writes[0].0, refused).await,
        };
        let mut left = 0;
        for one in together {
            let refused = self.commit(queue, state, one).await?;
            left += self.after(queue, &one[0].0, refused).await?;
        }
        Ok(left)
    }

    /// What becomes of a write that was tried alone. Gives how many stay in the queue.
    async fn after(
        &self,
        queue: &mut R::Queue,
        delivery: &Delivery,
        refused: Option<(Failure, LayerError)>,
    ) -> Result<usize, LayerError> {
        match refused {
            None => Ok(0),
            Some((Failure::Bury, error)) => {
                self.bury(queue, delivery, &error.to_string()).await?;
                Ok(0)
            }
            Some(_) => Ok(1),
        }
    }

    /// Commits `writes` and acknowledges them, however long the origin is away. Gives why the origin
    /// did not want them, if so.
    async fn commit(
        &self,
        queue: &mut R::Queue,
        state: &mut Consumer,
        writes: &[Readable],
    ) -> Result<Option<(Failure, LayerError)>, LayerError> {
        let max = self.write_behind.max_deliveries;
        let ids: Vec<QueueId> = writes.iter().map(|(given, _)| given.id.clone()).collect();
        let rows: Vec<QueuedWrite> = writes.iter().map(|(_, write)| write.clone()).collect();
        let deliveries = writes.first().map_or(0, |(given, _)| given.deliveries);
        let mut retry = Retry::new();
        loop {
            match self.store_alive(queue, state, (&ids, &rows)).await {
                Ok(()) => {
                    queue.acknowledge(&ids).await?;
                    let writes = ids.len();
                    self.emit(&Event::WriteBehindCommitted { writes });
                    return Ok(None);
                }
                Err(error) => {
                    self.failed(Layer::Origin, &error);
                    match on_failure(&error, writes.len(), deliveries, max) {
                        Failure::Wait => self.clock.sleep(retry.next()).await,
                        refused => return Ok(Some((refused, error))),
                    }
                }
            }
            self.beat_anyway(queue, state, &ids).await;
        }
    }

    /// Stores `rows`, and meanwhile says that this consumer lives.
    async fn store_alive(
        &self,
        queue: &mut R::Queue,
        state: &mut Consumer,
        (ids, rows): (&[QueueId], &[QueuedWrite]),
    ) -> Result<(), LayerError> {
        let storing = self.origin.store_batch(rows);
        tokio::pin!(storing);
        loop {
            let beat = self.write_behind.beat();
            if let Ok(stored) = self.clock.timeout(beat, storing.as_mut()).await {
                return stored;
            }
            self.beat_anyway(queue, state, ids).await;
        }
    }

    /// A beat that fails is told, and does not keep the origin from committing: at the worst another
    /// consumer takes over and commits the same once more.
    async fn beat_anyway(&self, queue: &mut R::Queue, state: &mut Consumer, ids: &[QueueId]) {
        if let Err(error) = self.beat(queue, state, ids).await {
            self.failed(Layer::Remote, &error);
        }
    }

    async fn bury(
        &self,
        queue: &mut R::Queue,
        delivery: &Delivery,
        reason: &str,
    ) -> Result<(), LayerError> {
        queue.bury(delivery, reason).await?;
        let version = delivery.write.as_ref().ok().map(|write| write.version);
        let key = delivery.write.as_ref().ok().map(|write| &write.key);
        self.emit(&Event::WriteBehindBuried {
            key,
            version,
            reason,
        });
        Ok(())
    }
}
