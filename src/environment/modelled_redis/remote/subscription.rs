//! What instances tell each other over a modelled Redis, and what its servers tell of themselves. After
//! `engine/remote/redis_subscription.rs` and `redis_tracking.rs`: a connection that is never repaired.

use std::sync::Arc;

use super::ModelledRemote;
use crate::clock::Clock;
use crate::engine::layer::{LayerError, Notice, Subscription};
use crate::environment::modelled_redis::deployment::Seat;
use crate::environment::modelled_redis::pubsub::{Found, Inbox, Tracked};

/// A live subscription.
#[derive(Debug)]
pub struct ModelledSubscription {
    clock: Clock,
    inbox: Arc<Inbox>,
    /// The connection is open as long as this is held.
    _seat: Seat,
}

impl ModelledRemote {
    /// Listens from when this returns.
    pub(super) async fn listen(&self) -> Result<ModelledSubscription, LayerError> {
        let tracked = (!self.tracked.is_empty()).then(|| Tracked {
            keys: self.keys.clone(),
            heads: self
                .tracked
                .iter()
                .flat_map(|head| self.keys.heads(head))
                .collect(),
        });
        let shard = self.any_shard();
        let sent = self.redis.clock().now();
        let (way, arrives) = self.redis.go(self.timeout).await;
        let (answer, at) = match self.redis.join(shard, tracked) {
            Ok(joined) => (Ok(joined), arrives),
            Err(error) => (Err(error), arrives),
        };
        let back = self.redis.come_back((sent, self.timeout), at + way, answer);
        let (held, inbox) = back.await?;
        Ok(ModelledSubscription {
            clock: self.redis.clock().clone(),
            inbox,
            _seat: held,
        })
    }
}

impl Subscription for ModelledSubscription {
    async fn next(&mut self) -> Option<Notice> {
        loop {
            match self.inbox.take(self.clock.now()) {
                Found::Notice(notice) => return Some(notice),
                Found::Lost => return None,
                Found::Due(due) => self.clock.sleep_until(due).await,
                Found::Nothing => self.inbox.changed().await,
            }
        }
    }
}
