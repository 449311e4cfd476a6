//! The invalidations of other instances over Redis pub/sub, or told by Redis itself (see
//! [`super::redis_tracking`]).
//!
//! A connection of its own that is never repaired: when it breaks, messages may have been lost, and
//! only the engine knows what to do about that (empty the local layer, subscribe anew).

use std::time::Duration;

use ::redis::aio::{PubSub, PubSubStream};
use futures_util::StreamExt as _;

use super::redis::{NAME, failure};
use super::redis_tracking::Tracking;
use crate::engine::layer::{LayerError, Notice, Subscription};

/// How long connecting and subscribing may take.
pub(super) const SUBSCRIBE_LIMIT: Duration = Duration::from_secs(2);

/// A live subscription.
pub struct RedisSubscription {
    source: Source,
}

/// Where the notices come from.
enum Source {
    Pubsub(PubSubStream),
    Tracking(Box<Tracking>),
}

impl std::fmt::Debug for RedisSubscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RedisSubscription")
    }
}

impl RedisSubscription {
    pub(super) async fn open(client: &::redis::Client, channel: &str) -> Result<Self, LayerError> {
        let opening = async {
            let mut pubsub: PubSub = client.get_async_pubsub().await.map_err(|e| failure(&e))?;
            pubsub.subscribe(channel).await.map_err(|e| failure(&e))?;
            let source = Source::Pubsub(pubsub.into_on_message());
            Ok(Self { source })
        };
        bounded(SUBSCRIBE_LIMIT, opening).await
    }

    pub(super) async fn track(
        client: &::redis::Client,
        channel: &str,
        prefix: &str,
        tracked: &[String],
    ) -> Result<Self, LayerError> {
        let opening = Tracking::open(client, channel, prefix, tracked);
        let source = Source::Tracking(Box::new(bounded(SUBSCRIBE_LIMIT, opening).await?));
        Ok(Self { source })
    }
}

impl Subscription for RedisSubscription {
    async fn next(&mut self) -> Option<Notice> {
        let messages = match &mut self.source {
            Source::Tracking(tracking) => return tracking.next().await,
            Source::Pubsub(messages) => messages,
        };
        loop {
            let message = messages.next().await?;
            // Something else on our channel is no notice of ours.
            if let Ok(notice) = serde_json::from_slice(message.get_payload_bytes()) {
                return Some(notice);
            }
        }
    }
}

/// Bounds what the client library leaves unbounded. Real Redis lives in real time, so tokio's
/// timer is the right one here whatever clock the engine has.
#[allow(
    clippy::disallowed_methods,
    reason = "bounds I/O with a real server: real time"
)]
pub(super) async fn bounded<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, LayerError>>,
) -> Result<T, LayerError> {
    tokio::time::timeout(limit, work)
        .await
        .unwrap_or(Err(LayerError::TimedOut(NAME)))
}
