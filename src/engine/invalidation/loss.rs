//! What becomes of the local layer when notices were, or may have been, lost.
//!
//! To flush is safe at once and costs the local layer. To revalidate asks the remote layer for the
//! versions of all that is held, without the values, and drops what differs; until the answers are
//! there, up to a round trip or two, what is stale is served. To ignore is a control: it is what
//! several caches in use do, and then an entry whose notice was lost is served until its TTL ends.
//!
//! A deaf instance is one whose subscription is lost. Its entries are dropped (when it revalidates:
//! only after some seconds of deafness), and what it stores meanwhile it keeps for a second at most.

use super::OnLoss;
use super::sequence::Gap;
use crate::clock::Timestamp;
use crate::engine::Engine;
use crate::engine::data_type::Key;
use crate::engine::event::Event;
use crate::engine::layer::{Layer, LayerError, Origin, Remote, Version};
use crate::engine::local::LocalLayer;

/// How many versions are asked for at once.
const AT_ONCE: usize = 256;

impl<R: Remote, O: Origin> Engine<R, O> {
    /// Empties the local layer, and keeps loads that are under way from being stored in it.
    pub fn flush_local(&self) {
        let mut entries = 0;
        self.flights
            .invalidate_all(|| entries = self.local.as_ref().map_or(0, LocalLayer::clear));
        if entries > 0 {
            self.emit(&Event::LocalFlushed { entries });
        }
    }

    /// A new subscription stands, after deafness or as the first.
    pub(super) async fn make_up(&self, deaf_since: Option<Timestamp>) {
        match (self.talk.config.on_loss, deaf_since) {
            (OnLoss::Ignore, _) => {}
            (OnLoss::Revalidate, Some(_)) => self.revalidate().await,
            (OnLoss::Flush | OnLoss::Revalidate, _) => self.flush_local(),
        }
    }

    /// The subscription was lost just now.
    pub(super) fn lost_hearing(&self) {
        if self.talk.config.on_loss == OnLoss::Flush {
            self.flush_local();
        }
    }

    /// It is not back.
    pub(super) fn still_deaf(&self, since: Timestamp) {
        let deaf_for = self.clock.now().since(since);
        let config = &self.talk.config;
        if config.on_loss == OnLoss::Revalidate && deaf_for >= config.silence_max() {
            self.flush_local();
        }
    }

    /// Notices are missing.
    pub(super) async fn miss(&self, gaps: Vec<Gap>) {
        for gap in &gaps {
            // Who came too late to know what was said before has missed nothing that it could tell.
            if let Some(missed) = gap.missed {
                self.emit(&Event::NoticesMissed {
                    publisher: gap.publisher,
                    missed,
                });
            }
        }
        if gaps.is_empty() {
            return;
        }
        match self.talk.config.on_loss {
            OnLoss::Ignore => return,
            OnLoss::Flush => self.flush_local(),
            OnLoss::Revalidate => self.revalidate().await,
        }
        // One of them may have raised a generation. A failure was told, and is tried again.
        let _ = self.reconcile().await;
    }

    /// Drops from the local layer what the remote layer does not hold in the same version.
    async fn revalidate(&self) {
        // What is being loaded now may be from before a notice that was lost.
        self.flights.invalidate_all(|| {});
        let held = self.local.as_ref().map(LocalLayer::held);
        match self.drop_different(held.unwrap_or_default()).await {
            Ok((kept, dropped)) => self.emit(&Event::LocalRevalidated { kept, dropped }),
            Err(error) => {
                self.failed(Layer::Remote, &error);
                self.flush_local();
            }
        }
    }

    /// Gives how many were kept and dropped.
    async fn drop_different(
        &self,
        held: Vec<(Key, Version)>,
    ) -> Result<(usize, usize), LayerError> {
        let Some(remote) = &self.remote else {
            return Ok((held.len(), 0));
        };
        let mut dropped = 0;
        for chunk in held.chunks(AT_ONCE) {
            let (keys, versions): (Vec<Key>, Vec<Version>) = chunk.iter().cloned().unzip();
            let there = remote.held(&keys).await?;
            for ((key, mine), theirs) in keys.iter().zip(versions).zip(there) {
                if theirs != Some(mine) {
                    self.drop_locally(key, Version(0));
                    dropped += 1;
                }
            }
        }
        Ok((held.len() - dropped, dropped))
    }
}
