//! The consumer of write-behind: takes accepted writes from the queue and commits them in batches.
//!
//! A write is acknowledged to the queue only after the origin has committed it; a crash in between
//! delivers it again, and the origin's upsert by version makes the second delivery harmless.

use std::time::Duration;

use super::Engine;
use super::event::Event;
use super::layer::{Layer, LayerError, Origin, Queue, Remote};

/// How many writes go into one transaction of the origin.
const BATCH: usize = 100;
/// How long writes are gathered, so that a transaction of the origin carries more than one.
const GATHER: Duration = Duration::from_millis(250);
/// The first wait after a failure; it doubles up to [`RETRY_MAX`].
const RETRY_MIN: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(1);

impl<R: Remote, O: Origin> Engine<R, O> {
    /// Consumes the queue as `consumer` for as long as it is polled; not at all where the remote
    /// layer has none: then writes went to the origin at once.
    pub async fn consume(&self, consumer: &str) {
        let Some(remote) = &self.remote else { return };
        let mut retry = RETRY_MIN;
        loop {
            let failure = match remote.queue(consumer).await {
                Ok(mut queue) => loop {
                    match self.commit_batch(&mut queue).await {
                        Ok(writes) => {
                            retry = RETRY_MIN;
                            if writes < BATCH {
                                self.clock.sleep(GATHER).await;
                            }
                        }
                        Err(failure) => break failure,
                    }
                },
                Err(error) => (Layer::Remote, error),
            };
            self.failed(failure.0, &failure.1);
            if let LayerError::Unsupported(..) = failure.1 {
                return;
            }
            self.clock.sleep(retry).await;
            retry = (retry * 2).min(RETRY_MAX);
        }
    }

    /// Consumes until the queue is empty, for at most `limit`: at the end of a run. Gives whether
    /// it is empty.
    pub async fn drain(&self, consumer: &str, limit: Duration) -> bool {
        let Some(remote) = &self.remote else {
            return true;
        };
        let draining = async {
            let mut queue = remote
                .queue(consumer)
                .await
                .map_err(|error| (Layer::Remote, error))?;
            while self.commit_batch(&mut queue).await? > 0 {}
            Ok::<_, (Layer, LayerError)>(())
        };
        match self.clock.timeout(limit, draining).await {
            // Without a queue nothing waits in one.
            Ok(Ok(()) | Err((_, LayerError::Unsupported(..)))) => true,
            Ok(Err((layer, error))) => {
                self.failed(layer, &error);
                false
            }
            Err(_) => false,
        }
    }

    /// Commits the next writes, if there are any, and acknowledges them. Gives how many they were.
    async fn commit_batch(&self, queue: &mut R::Queue) -> Result<usize, (Layer, LayerError)> {
        let remote = |error| (Layer::Remote, error);
        let batch = queue.next_batch(BATCH).await.map_err(remote)?;
        if batch.is_empty() {
            return Ok(0);
        }
        let (ids, writes): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
        self.origin
            .store_batch(&writes)
            .await
            .map_err(|error| (Layer::Origin, error))?;
        queue.acknowledge(&ids).await.map_err(remote)?;
        self.emit(&Event::WriteBehindCommitted {
            writes: writes.len(),
        });
        Ok(writes.len())
    }
}
