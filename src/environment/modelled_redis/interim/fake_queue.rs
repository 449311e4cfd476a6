//! The queue of write-behind in memory, with one group of consumers: the other half of
//! `fake_remote.rs`.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::engine::layer::{
    Delivery, LayerError, Queue, QueueId, QueuedWrite, TakenBack, Version, Waiting,
};

use super::fake_remote::{Server, State};

/// How long one look for new writes waits.
const BLOCK: Duration = Duration::from_millis(200);

struct Waiter {
    write: QueuedWrite,
    joined_at: Timestamp,
    /// To whom it was given last, when that one was heard of last, and how often it was given.
    given: Option<(String, Timestamp, u32)>,
}

/// The queue itself.
#[derive(Default)]
pub struct Line {
    waiters: Vec<Waiter>,
    last: Version,
    opened: bool,
    dead_letters: u64,
}

impl Line {
    /// Whether it had to be made.
    pub fn open(&mut self) -> bool {
        !std::mem::replace(&mut self.opened, true)
    }

    /// Above `floor` and every version before it.
    pub fn next_version(&mut self, floor: Version) -> Version {
        self.last = Version(floor.max(self.last).0 + 1);
        self.last
    }

    pub fn waiting(&self) -> usize {
        self.waiters.len()
    }

    pub fn join(&mut self, write: &QueuedWrite, version: Version, now: Timestamp) {
        let write = QueuedWrite {
            version,
            ..write.clone()
        };
        self.waiters.push(Waiter {
            write,
            joined_at: now,
            given: None,
        });
    }

    fn give(&mut self, ids: &[Version], consumer: &str, now: Timestamp) -> Vec<Delivery> {
        let chosen = self.waiters.iter_mut();
        chosen
            .filter(|waiter| ids.contains(&waiter.write.version))
            .map(|waiter| {
                let deliveries = waiter.given.as_ref().map_or(0, |given| given.2) + 1;
                waiter.given = Some((consumer.to_owned(), now, deliveries));
                Delivery {
                    id: QueueId(waiter.write.version.to_string()),
                    deliveries,
                    write: Ok(waiter.write.clone()),
                }
            })
            .collect()
    }

    fn leave(&mut self, ids: &[QueueId]) {
        self.waiters
            .retain(|waiter| !ids.contains(&QueueId(waiter.write.version.to_string())));
    }
}

/// The queue as one consumer sees it.
pub struct FakeQueue {
    server: Arc<Server>,
    consumer: String,
    is_new: bool,
}

impl FakeQueue {
    pub fn new(server: Arc<Server>, consumer: &str, is_new: bool) -> Self {
        Self {
            server,
            consumer: consumer.to_owned(),
            is_new,
        }
    }
}

impl Queue for FakeQueue {
    fn is_new(&self) -> bool {
        self.is_new
    }

    async fn next_batch(&mut self, max: usize) -> Result<Vec<Delivery>, LayerError> {
        let take = |state: &mut State, now| {
            let line = &mut state.line;
            let fresh = line.waiters.iter().filter(|waiter| waiter.given.is_none());
            let ids: Vec<_> = fresh.take(max).map(|waiter| waiter.write.version).collect();
            Ok(line.give(&ids, &self.consumer, now))
        };
        let fresh = self.server.call(take).await?;
        if fresh.is_empty() {
            self.server.clock.sleep(BLOCK).await;
        }
        Ok(fresh)
    }

    async fn take_back(
        &mut self,
        idle: Option<Duration>,
        max: usize,
        alone_from: u32,
    ) -> Result<TakenBack, LayerError> {
        let take = |state: &mut State, now: Timestamp| {
            let line = &mut state.line;
            let mut ids = Vec::new();
            for waiter in &line.waiters {
                let Some((consumer, heard_at, deliveries)) = &waiter.given else {
                    continue;
                };
                let due = match idle {
                    None => *consumer == self.consumer,
                    Some(idle) => now.since(*heard_at) >= idle,
                };
                let alone = *deliveries >= alone_from;
                if !due || ids.len() >= max || (alone && !ids.is_empty()) {
                    continue;
                }
                ids.push(waiter.write.version);
                if alone {
                    break;
                }
            }
            let deliveries = line.give(&ids, &self.consumer, now);
            Ok(TakenBack {
                deliveries,
                vanished: 0,
            })
        };
        self.server.call(take).await
    }

    async fn keep(&mut self, ids: &[QueueId]) -> Result<bool, LayerError> {
        let keep = |state: &mut State, now| {
            for waiter in &mut state.line.waiters {
                let held = ids.contains(&QueueId(waiter.write.version.to_string()));
                if let Some(given) = waiter.given.as_mut().filter(|_| held) {
                    *given = (self.consumer.clone(), now, given.2);
                }
            }
            Ok(true)
        };
        self.server.call(keep).await
    }

    async fn acknowledge(&mut self, ids: &[QueueId]) -> Result<(), LayerError> {
        let leave = |state: &mut State, _| {
            state.line.leave(ids);
            Ok(())
        };
        self.server.call(leave).await
    }

    async fn bury(&mut self, delivery: &Delivery, _: &str) -> Result<(), LayerError> {
        let bury = |state: &mut State, _| {
            state.line.leave(std::slice::from_ref(&delivery.id));
            state.line.dead_letters += 1;
            Ok(())
        };
        self.server.call(bury).await
    }

    async fn waiting(&mut self) -> Result<Waiting, LayerError> {
        let look = |state: &mut State, now: Timestamp| {
            let oldest = state.line.waiters.first();
            Ok(Waiting {
                writes: state.line.waiters.len() as u64,
                oldest: oldest.map_or(Duration::ZERO, |waiter| now.since(waiter.joined_at)),
                dead_letters: state.line.dead_letters,
                may_be_evicted: false,
            })
        };
        self.server.call(look).await
    }
}
