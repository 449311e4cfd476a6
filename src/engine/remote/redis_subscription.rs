//! The invalidations of other instances over Redis pub/sub, or told by Redis itself (see
//! [`super::redis_tracking`]).
//!
//! A connection of its own that is never repaired: when it breaks, messages may have been lost, and
//! only the engine knows what to do about that (empty the local layer, subscribe anew).

use std::sync::Arc;
use std::time::Duration;

use ::redis::aio::PubSubStream;
use futures_util::StreamExt as _;
use tokio::sync::watch;

use super::redis::{Keys, Link, NAME, NodeAddress, Roster};
use super::redis_tracking::Tracking;
use crate::engine::layer::{LayerError, Notice, Subscription};

/// How long connecting and subscribing may take.
pub(super) const SUBSCRIBE_LIMIT: Duration = Duration::from_secs(2);

/// A live subscription.
pub struct RedisSubscription {
    source: Source,
    /// `None` where nothing can change.
    roster: Option<watch::Receiver<Arc<Roster>>>,
}

/// Where the notices come from.
enum Source {
    /// From this node, which is told what is published.
    Pubsub(PubSubStream, NodeAddress),
    /// From every primary.
    Tracking(Box<Tracking>),
}

impl std::fmt::Debug for RedisSubscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RedisSubscription")
    }
}

impl RedisSubscription {
    pub(super) async fn open(link: &Link, channel: &str) -> Result<Self, LayerError> {
        let roster = link.changes();
        let (pubsub, node) = link.subscribe(channel).await?;
        let source = Source::Pubsub(pubsub.into_on_message(), node);
        Ok(Self { source, roster })
    }

    pub(super) async fn track(
        link: &Link,
        keys: &Keys,
        tracked: &[String],
    ) -> Result<Self, LayerError> {
        let roster = link.changes();
        let opening = Tracking::open(link, keys, tracked);
        let opened = bounded(SUBSCRIBE_LIMIT, opening).await;
        let tracking = opened.inspect_err(|_| link.doubt())?;
        let source = Source::Tracking(Box::new(tracking));
        Ok(Self { source, roster })
    }
}

impl Source {
    /// Whether all that is to be told is still told to it.
    fn is_told(&self, roster: &Roster) -> bool {
        match self {
            Self::Pubsub(_, node) => roster.is_told(node),
            Self::Tracking(tracking) => roster.has_primaries(tracking.nodes()),
        }
    }

    /// The next notice; `None` when one may have been lost.
    async fn next(&mut self) -> Option<Notice> {
        let messages = match self {
            Self::Tracking(tracking) => return tracking.next().await,
            Self::Pubsub(messages, _) => messages,
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

impl Subscription for RedisSubscription {
    async fn next(&mut self) -> Option<Notice> {
        let Self { source, roster } = self;
        let Some(roster) = roster else {
            return source.next().await;
        };
        loop {
            if !source.is_told(&roster.borrow_and_update()) {
                // It may be alive all the same: cut off, or made a replica.
                return None;
            }
            tokio::select! {
                biased;
                notice = source.next() => return notice,
                // An error means that the layer is gone, and nobody listens any more.
                changed = roster.changed() => if changed.is_err() {
                    return None;
                },
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
