//! The queue of write-behind as one, whether it is one stream or, in a Cluster, several.
//!
//! The streams of a Cluster lie in different slots (`redis/keys.rs`), so each is read by itself, over
//! the shared connections and without blocking. The writes of one key are always in one stream, so
//! their order holds.

use futures_util::future::try_join_all;

use super::redis::Link;
use super::redis_queue::RedisQueue;
use crate::engine::layer::{LayerError, Queue, QueueId, QueuedWrite};

/// The whole queue as one consumer sees it.
#[derive(Debug)]
pub struct RedisPartitions {
    streams: Vec<RedisQueue>,
    /// The stream to be read next.
    next: usize,
}

impl RedisPartitions {
    pub(super) async fn open(
        link: &Link,
        streams: Vec<String>,
        consumer: &str,
    ) -> Result<Self, LayerError> {
        let connection = link.blocking().await?;
        let block = !link.is_cluster();
        let opening = streams
            .into_iter()
            .map(|stream| RedisQueue::open(connection.clone(), block, stream, consumer.to_owned()));
        Ok(Self {
            streams: try_join_all(opening).await?,
            next: 0,
        })
    }
}

/// A place in the queue: the stream's, and that of the write in it.
fn place(stream: usize, id: &QueueId) -> QueueId {
    QueueId(format!("{stream}/{}", id.0))
}

/// The place in stream number `stream`, if `id` is in there.
fn place_in(stream: usize, id: &QueueId) -> Option<QueueId> {
    let (of, place) = id.0.split_once('/')?;
    (of.parse() == Ok(stream)).then(|| QueueId(place.to_owned()))
}

impl Queue for RedisPartitions {
    async fn next_batch(&mut self, max: usize) -> Result<Vec<(QueueId, QueuedWrite)>, LayerError> {
        let mut writes = Vec::new();
        // Each in turn, and as much as there is: a stream that is behind is not held back by those
        // that are empty. The next time begins where this one ends.
        for _ in 0..self.streams.len() {
            let at = self.next % self.streams.len();
            self.next = at + 1;
            let batch = self.streams[at].next_batch(max - writes.len()).await?;
            writes.extend(batch.into_iter().map(|(id, write)| (place(at, &id), write)));
            if writes.len() >= max {
                break;
            }
        }
        Ok(writes)
    }

    async fn acknowledge(&mut self, ids: &[QueueId]) -> Result<(), LayerError> {
        let telling = self.streams.iter_mut().enumerate().map(|(at, stream)| {
            let own: Vec<QueueId> = ids.iter().filter_map(|id| place_in(at, id)).collect();
            async move { stream.acknowledge(&own).await }
        });
        try_join_all(telling).await.map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_found_again_in_its_stream_alone() {
        let id = QueueId("1795419900000-0".to_owned());
        let placed = place(12, &id);
        assert_eq!(place_in(12, &placed), Some(id));
        assert_eq!(place_in(1, &placed), None);
        assert_eq!(place_in(0, &QueueId("1795419900000-0".to_owned())), None);
    }
}
