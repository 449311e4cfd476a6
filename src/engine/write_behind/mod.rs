//! Write-behind: a write is accepted into the cache and a queue at once, and committed later.
//!
//! `accept.rs` is the writer's side, this file the consumer's. What is promised: an accepted write is
//! in the queue until the origin has committed it or the dead letters have it, whoever dies in
//! between; it is committed at least once and counts once, by its version. See
//! `docs/engine/write-behind.md` for what it costs and what Redis cannot promise.

mod accept;
pub mod policy;
mod settle;
pub mod version;

use std::time::Duration;

use super::Engine;
use super::data_type::{DataType, Strategy};
use super::event::Event;
use super::layer::{Layer, LayerError, Origin, Remote};
use super::queue::{Delivery, Queue, QueueId, Waiting};
use crate::clock::Timestamp;

/// How long writes are gathered, so that a transaction of the origin carries more than one.
pub const GATHER: Duration = Duration::from_millis(250);
/// The first wait after a failure; it doubles up to [`RETRY_MAX`].
const RETRY_MIN: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(1);
/// At the end of a run whoever was not heard of for so long is taken to be gone.
const DRAIN_IDLE: Duration = Duration::from_secs(1);

/// Waits that double.
#[derive(Debug)]
struct Retry(Duration);

impl Retry {
    const fn new() -> Self {
        Self(RETRY_MIN)
    }

    fn next(&mut self) -> Duration {
        let now = self.0;
        self.0 = (now * 2).min(RETRY_MAX);
        now
    }
}

/// What a consumer knows beside the queue.
#[derive(Debug)]
struct Consumer {
    /// Something of its own may wait to be delivered again.
    own: bool,
    /// When to look for what others left.
    claim_at: Timestamp,
    /// When to say that it lives, and to look how the queue fares.
    beat_at: Timestamp,
    /// How the queue fared at the last look; `None` before the first.
    waiting: Option<Waiting>,
    retry: Retry,
}

impl Consumer {
    fn new() -> Self {
        Self {
            own: true,
            claim_at: Timestamp::EPOCH,
            beat_at: Timestamp::EPOCH,
            waiting: None,
            retry: Retry::new(),
        }
    }
}

impl<R: Remote, O: Origin> Engine<R, O> {
    /// Consumes the queue as `consumer` for as long as it is polled; ends at once if no data type is
    /// written behind, or if the remote layer has no queue: then writes went to the origin at once.
    pub async fn consume(&self, consumer: &str) {
        let Some(remote) = self.queued_remote() else {
            return;
        };
        let mut state = Consumer::new();
        loop {
            let failure = match remote.queue(consumer).await {
                Ok(mut queue) => {
                    if queue.is_new() {
                        self.tell_lost(&mut state, 0);
                    }
                    // What was being delivered when the connection broke is delivered again.
                    state.own = true;
                    loop {
                        if let Err(error) = self.consume_once(&mut queue, &mut state).await {
                            break error;
                        }
                    }
                }
                Err(error) => error,
            };
            self.failed(Layer::Remote, &failure);
            if let LayerError::Unsupported(..) = failure {
                return;
            }
            self.clock.sleep(state.retry.next()).await;
        }
    }

    /// The remote layer, if there can be anything in its queue.
    fn queued_remote(&self) -> Option<&R> {
        let behind = |(_, policy): (_, &DataType)| policy.strategy == Strategy::WriteBehind;
        self.remote
            .as_ref()
            .filter(|_| self.policies.iter().any(behind))
    }

    /// The queue was evicted or flushed, or its Redis came back without it: what waited in it at the
    /// last look is lost, but for what is `saved`.
    fn tell_lost(&self, state: &mut Consumer, saved: u64) {
        let waiting = state.waiting.take().unwrap_or_default();
        let writes = waiting.writes.saturating_sub(saved);
        if writes > 0 {
            self.emit(&Event::WriteBehindLost { writes });
        }
    }

    async fn consume_once(
        &self,
        queue: &mut R::Queue,
        state: &mut Consumer,
    ) -> Result<(), LayerError> {
        self.beat(queue, state, &[]).await?;
        let limits = self.write_behind;
        let now = self.clock.now();
        let given = if state.own {
            let own = self.take_back(queue, None).await?;
            state.own = !own.is_empty();
            own
        } else if now >= state.claim_at {
            let left = self.take_back(queue, Some(limits.claim_after)).await?;
            if left.is_empty() {
                state.claim_at = now + limits.claim_after / 2;
            }
            left
        } else {
            let fresh = queue.next_batch(limits.batch).await?;
            if !fresh.is_empty() && fresh.len() < limits.batch {
                self.settle(queue, state, fresh).await?;
                self.clock.sleep(GATHER).await;
                return Ok(());
            }
            fresh
        };
        self.settle(queue, state, given).await
    }

    /// What was delivered and never acknowledged: to this consumer, or to one that has been idle.
    async fn take_back(
        &self,
        queue: &mut R::Queue,
        idle: Option<Duration>,
    ) -> Result<Vec<Delivery>, LayerError> {
        let limits = self.write_behind;
        let back = queue
            .take_back(idle, limits.batch, limits.alone_from())
            .await?;
        if back.vanished > 0 {
            let writes = back.vanished;
            self.emit(&Event::WriteBehindLost { writes });
        }
        if !back.deliveries.is_empty() {
            let writes = back.deliveries.len();
            self.emit(&Event::WriteBehindRedelivered { writes });
        }
        Ok(back.deliveries)
    }

    /// If it is time: says that this consumer lives and works on `holding`, and tells how the queue
    /// fares.
    async fn beat(
        &self,
        queue: &mut R::Queue,
        state: &mut Consumer,
        holding: &[QueueId],
    ) -> Result<(), LayerError> {
        let now = self.clock.now();
        if now < state.beat_at {
            return Ok(());
        }
        state.beat_at = now + self.write_behind.beat();
        if !queue.keep(holding).await? {
            // What this consumer holds, it can still commit.
            self.tell_lost(state, holding.len() as u64);
            return Ok(());
        }
        let waiting = queue.waiting().await?;
        state.waiting = Some(waiting);
        self.emit(&Event::WriteBehindWaiting { waiting });
        Ok(())
    }

    /// Consumes until nothing is left in the queue, for at most `limit`: at the end of a run. Gives
    /// whether nothing is.
    pub async fn drain(&self, consumer: &str, limit: Duration) -> bool {
        let Some(remote) = self.queued_remote() else {
            return true;
        };
        let draining = async {
            let mut state = Consumer::new();
            loop {
                let drained = match remote.queue(consumer).await {
                    Ok(mut queue) => self.drain_once(&mut queue, &mut state).await,
                    Err(error) => Err(error),
                };
                match drained {
                    // Without a queue nothing waits in one.
                    Ok(()) | Err(LayerError::Unsupported(..)) => return,
                    Err(error) => self.failed(Layer::Remote, &error),
                }
                self.clock.sleep(state.retry.next()).await;
            }
        };
        self.clock.timeout(limit, draining).await.is_ok()
    }

    async fn drain_once(
        &self,
        queue: &mut R::Queue,
        state: &mut Consumer,
    ) -> Result<(), LayerError> {
        loop {
            for idle in [None, Some(DRAIN_IDLE)] {
                let back = self.take_back(queue, idle).await?;
                self.settle(queue, state, back).await?;
            }
            let fresh = queue.next_batch(self.write_behind.batch).await?;
            self.settle(queue, state, fresh).await?;
            if queue.waiting().await?.writes == 0 {
                return Ok(());
            }
        }
    }
}
