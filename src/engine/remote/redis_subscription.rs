//! The invalidations of other instances over Redis pub/sub.
//!
//! A connection of its own that is never repaired: when it breaks, messages may have been lost, and
//! only the engine knows what to do about that (empty the local layer, subscribe anew).

use std::sync::Arc;
use std::time::Duration;

use ::redis::aio::PubSubStream;
use futures_util::StreamExt as _;
use tokio::sync::watch;

use super::redis::{Link, NAME, NodeAddress, Roster};
use crate::engine::layer::{LayerError, Notice, Subscription};

/// A live subscription.
pub struct RedisSubscription {
    messages: PubSubStream,
    /// Where the messages come from.
    node: NodeAddress,
    /// `None` where nothing can change.
    roster: Option<watch::Receiver<Arc<Roster>>>,
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
        Ok(Self {
            messages: pubsub.into_on_message(),
            node,
            roster,
        })
    }
}

impl Subscription for RedisSubscription {
    async fn next(&mut self) -> Option<Notice> {
        loop {
            let Self {
                messages,
                node,
                roster,
            } = self;
            let message = tokio::select! {
                biased;
                message = messages.next() => message?,
                () = deposed(roster.as_mut(), node) => return None,
            };
            // Something else on our channel is no notice of ours.
            if let Ok(notice) = serde_json::from_slice(message.get_payload_bytes()) {
                return Some(notice);
            }
        }
    }
}

/// Waits until `node` is told no longer what is published. It may be alive all the same: cut off, or
/// made a replica.
async fn deposed(roster: Option<&mut watch::Receiver<Arc<Roster>>>, node: &NodeAddress) {
    let Some(roster) = roster else {
        return std::future::pending().await;
    };
    // An error means that the layer is gone, and nobody listens any more.
    if roster
        .wait_for(|roster| !roster.is_told(node))
        .await
        .is_err()
    {
        std::future::pending::<()>().await;
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
