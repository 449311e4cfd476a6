//! The queue of write-behind as one, whether it is one stream or, in a Cluster, several.
//!
//! The streams of a Cluster lie in different slots (`redis/keys.rs`), so each is read by itself, over
//! the shared connections and without blocking. The writes of one key are always in one stream, so
//! their order holds.
//!
//! A Cluster can lose some of its streams and keep the others (a primary dies and its replica had
//! not got them yet), so what was lost is reckoned stream by stream, from what waited in each at the
//! last look, and told with what vanished. With one stream the engine reckons itself.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use parking_lot::Mutex;

use super::redis::{Link, NAME};
use super::redis_queue::RedisQueue;
use crate::clock::Clock;
use crate::engine::layer::{Delivery, LayerError, Queue, QueueId, TakenBack, Waiting};

/// How long a consumer rests that found nothing in any stream.
const REST: Duration = Duration::from_millis(50);

/// How many writes waited in each stream at the last look, for as long as the layer lives: a queue
/// is opened anew after every failure.
pub(crate) type LastSeen = Arc<Mutex<Vec<u64>>>;

/// The whole queue in Redis.
pub(super) type RedisPartitions = Partitions<RedisQueue>;

/// The whole queue as one consumer sees it, over streams that are each a queue by themselves.
#[derive(Debug)]
pub struct Partitions<Q> {
    streams: Vec<Q>,
    /// The stream to be read next.
    next: usize,
    /// The stream to be taken back from next.
    next_back: usize,
    last_seen: LastSeen,
    /// Writes that were lost with their stream and are not told yet.
    lost: u64,
    clock: Clock,
}

impl RedisPartitions {
    pub(super) async fn open(
        link: &Link,
        streams: Vec<String>,
        consumer: &str,
        last_seen: &LastSeen,
    ) -> Result<Self, LayerError> {
        let connection = link.blocking().await?;
        let block = !link.is_cluster();
        let opening = streams
            .into_iter()
            .map(|stream| RedisQueue::open(connection.clone(), block, stream, consumer.to_owned()));
        let streams = try_join_all(opening).await?;
        // Real Redis lives in real time, whatever clock the engine has.
        Ok(Self::of(streams, last_seen, Clock::real()))
    }
}

impl<Q: Queue> Partitions<Q> {
    /// The queue over `streams`, which were just opened.
    pub(crate) fn of(streams: Vec<Q>, last_seen: &LastSeen, clock: Clock) -> Self {
        last_seen.lock().resize(streams.len(), 0);
        let mut queue = Self {
            streams,
            next: 0,
            next_back: 0,
            last_seen: Arc::clone(last_seen),
            lost: 0,
            clock,
        };
        if queue.is_several() {
            for at in 0..queue.streams.len() {
                if queue.streams[at].is_new() {
                    queue.reckon_lost(at, 0);
                }
            }
        }
        queue
    }

    fn is_several(&self) -> bool {
        self.streams.len() > 1
    }

    /// Stream number `at` is gone, and with it what waited in it but for what is `saved`.
    fn reckon_lost(&mut self, at: usize, saved: usize) {
        if let Some(seen) = self.last_seen.lock().get_mut(at) {
            self.lost += std::mem::take(seen).saturating_sub(saved as u64);
        }
    }
}

/// A place in the queue: the stream's, and that of the write in it.
fn place(stream: usize, id: &QueueId) -> QueueId {
    QueueId(format!("{stream}/{}", id.0))
}

/// The stream's number and the place in it.
fn split(id: &QueueId) -> Option<(usize, QueueId)> {
    let (stream, place) = id.0.split_once('/')?;
    Some((stream.parse().ok()?, QueueId(place.to_owned())))
}

/// The places in stream number `stream`.
fn places_in(stream: usize, ids: &[QueueId]) -> Vec<QueueId> {
    let places = ids.iter().filter_map(split);
    places
        .filter(|(of, _)| *of == stream)
        .map(|(_, place)| place)
        .collect()
}

fn placed(stream: usize, delivery: Delivery) -> Delivery {
    Delivery {
        id: place(stream, &delivery.id),
        ..delivery
    }
}

/// The whole of what several streams say of themselves.
fn together(parts: &[Waiting]) -> Waiting {
    parts.iter().fold(Waiting::default(), |all, part| Waiting {
        writes: all.writes + part.writes,
        oldest: all.oldest.max(part.oldest),
        dead_letters: all.dead_letters + part.dead_letters,
        may_be_evicted: all.may_be_evicted || part.may_be_evicted,
    })
}

impl<Q: Queue> Queue for Partitions<Q> {
    fn is_new(&self) -> bool {
        // Of several streams, each is reckoned by itself.
        !self.is_several() && self.streams.iter().all(Queue::is_new)
    }

    async fn next_batch(&mut self, max: usize) -> Result<Vec<Delivery>, LayerError> {
        let mut writes = Vec::new();
        // Each in turn, and as much as there is: a stream that is behind is not held back by those
        // that are empty. The next time begins where this one ends.
        for _ in 0..self.streams.len() {
            let at = self.next % self.streams.len();
            self.next = at + 1;
            match self.streams[at].next_batch(max - writes.len()).await {
                Ok(batch) => writes.extend(batch.into_iter().map(|given| placed(at, given))),
                Err(error) if writes.is_empty() => return Err(error),
                // What others gave counts as delivered; the failure will show itself again.
                Err(_) => break,
            }
            if writes.len() >= max {
                break;
            }
        }
        if writes.is_empty() && self.is_several() {
            self.clock.sleep(REST).await;
        }
        Ok(writes)
    }

    async fn take_back(
        &mut self,
        idle: Option<Duration>,
        max: usize,
        alone_from: u32,
    ) -> Result<TakenBack, LayerError> {
        let mut vanished = std::mem::take(&mut self.lost);
        for _ in 0..self.streams.len() {
            let at = self.next_back % self.streams.len();
            self.next_back = at + 1;
            let back = match self.streams[at].take_back(idle, max, alone_from).await {
                Ok(back) => back,
                Err(error) => {
                    // Told the next time.
                    self.lost += vanished;
                    return Err(error);
                }
            };
            vanished += back.vanished;
            // From one stream at a time: a write that comes alone must stay alone.
            if !back.deliveries.is_empty() {
                let deliveries = back.deliveries.into_iter();
                return Ok(TakenBack {
                    deliveries: deliveries.map(|delivery| placed(at, delivery)).collect(),
                    vanished,
                });
            }
        }
        Ok(TakenBack {
            deliveries: Vec::new(),
            vanished,
        })
    }

    async fn keep(&mut self, ids: &[QueueId]) -> Result<bool, LayerError> {
        let keeping = self.streams.iter_mut().enumerate().map(|(at, stream)| {
            let own = places_in(at, ids);
            async move { Ok::<_, LayerError>((stream.keep(&own).await?, own.len())) }
        });
        let kept = try_join_all(keeping).await?;
        if !self.is_several() {
            return Ok(kept.iter().all(|(there, _)| *there));
        }
        for (at, (there, held)) in kept.into_iter().enumerate() {
            if !there {
                self.reckon_lost(at, held);
            }
        }
        Ok(true)
    }

    async fn acknowledge(&mut self, ids: &[QueueId]) -> Result<(), LayerError> {
        let telling = self.streams.iter_mut().enumerate().map(|(at, stream)| {
            let own = places_in(at, ids);
            async move { stream.acknowledge(&own).await }
        });
        try_join_all(telling).await.map(|_| ())
    }

    async fn bury(&mut self, delivery: &Delivery, reason: &str) -> Result<(), LayerError> {
        let place = split(&delivery.id);
        let stream = place.and_then(|(at, id)| Some((self.streams.get_mut(at)?, id)));
        let (stream, id) = stream.ok_or_else(|| {
            let why = format!("{} is no place in the queue", delivery.id.0);
            LayerError::Refused(NAME, why)
        })?;
        let delivery = Delivery {
            id,
            ..delivery.clone()
        };
        stream.bury(&delivery, reason).await
    }

    async fn waiting(&mut self) -> Result<Waiting, LayerError> {
        let asking = self.streams.iter_mut().map(Queue::waiting);
        let parts = try_join_all(asking).await?;
        *self.last_seen.lock() = parts.iter().map(|part| part.writes).collect();
        Ok(together(&parts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_found_again_in_its_stream_alone() {
        let id = QueueId("1795419900000-0".to_owned());
        let placed = place(12, &id);
        assert_eq!(split(&placed), Some((12, id.clone())));
        let (all, inner) = ([placed], [id.clone()]);
        assert_eq!(places_in(12, &all), inner);
        assert_eq!(places_in(1, &all), []);
        assert_eq!(split(&id), None);
    }

    #[test]
    fn streams_wait_as_long_as_the_longest_and_are_as_many_as_all() {
        let part = |writes, oldest_ms, may_be_evicted| Waiting {
            writes,
            oldest: Duration::from_millis(oldest_ms),
            dead_letters: 1,
            may_be_evicted,
        };
        let all = together(&[part(2, 70, false), part(0, 0, true), part(5, 30, false)]);
        assert_eq!(
            all,
            Waiting {
                writes: 7,
                oldest: Duration::from_millis(70),
                dead_letters: 3,
                may_be_evicted: true
            }
        );
    }
}
