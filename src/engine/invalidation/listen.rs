//! What an instance hears from the others, and whether it hears at all.
//!
//! A subscriber that is connected but dead hears nothing and knows nothing of it: the server is
//! stopped, the network swallows, the subscription went with a failover. So every instance says
//! now and then how far it has come, and listens for itself; if it does not hear itself for two and
//! a half heartbeats it takes the subscription for lost and begins anew. The same word lets the
//! others notice that they missed the last notice.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::sequence::{Sequences, Stamp};
use super::{DEAF, LISTENING};
use crate::clock::Timestamp;
use crate::engine::Engine;
use crate::engine::data_type::Key;
use crate::engine::event::Event;
use crate::engine::layer::{
    InvalidationEvent, Layer, LayerError, Notice, Origin, Remote, Subscription, Version,
};

/// The first wait before subscribing again; it doubles up to [`RETRY_MAX`].
const RETRY_MIN: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(1);
/// Who is behind asks at once, but not again before this.
const RECONCILE_MIN: Duration = Duration::from_millis(50);

impl<R: Remote, O: Origin> Engine<R, O> {
    /// Takes part in the talk of instances for as long as it is polled: hears invalidations of
    /// others, says that it lives, keeps its generations in step with the remote layer. Not at all
    /// where the remote layer cannot tell instances: then local entries live until their deadlines.
    pub async fn listen(&self) {
        let Some(remote) = &self.remote else { return };
        tokio::join!(self.hear(remote), self.keep_in_step(remote));
    }

    /// Says how far this instance has come and reconciles, every heartbeat.
    async fn keep_in_step(&self, remote: &R) {
        loop {
            // A failure was told; the next heartbeat tries again.
            let _ = self.reconcile().await;
            let alive = Notice::Alive {
                publisher: self.instance,
                incarnation: self.talk.incarnation,
                sequence: self.talk.sequence.load(Ordering::Relaxed),
            };
            if let Err(error) = remote.publish(&alive).await {
                self.failed(Layer::Remote, &error);
                if let LayerError::Unsupported(..) = error {
                    return;
                }
            }
            self.clock.sleep(RECONCILE_MIN).await;
            let rest = self.talk.config.heartbeat.saturating_sub(RECONCILE_MIN);
            // Either it is time, or it cannot wait.
            let _ = self.clock.timeout(rest, self.generations.behind()).await;
        }
    }

    async fn hear(&self, remote: &R) {
        let mut sequences = Sequences::default();
        let mut retry = RETRY_MIN;
        let mut deaf_since = None;
        loop {
            match remote.subscribe().await {
                Ok(subscription) => {
                    self.talk.hearing.store(LISTENING, Ordering::Relaxed);
                    self.make_up(deaf_since.take()).await;
                    let heard = self.attend(subscription, &mut sequences).await;
                    if heard {
                        retry = RETRY_MIN;
                    }
                    self.talk.hearing.store(DEAF, Ordering::Relaxed);
                    deaf_since = Some(self.clock.now());
                    self.lost_hearing();
                }
                Err(error) => {
                    self.failed(Layer::Remote, &error);
                    if let LayerError::Unsupported(..) = error {
                        return;
                    }
                }
            }
            if let Some(since) = deaf_since {
                self.still_deaf(since);
            }
            self.clock.sleep(retry).await;
            retry = (retry * 2).min(RETRY_MAX);
        }
    }

    /// Listens until the subscription is lost, and gives whether anything was heard.
    async fn attend(&self, mut subscription: R::Subscription, sequences: &mut Sequences) -> bool {
        let silence_max = self.talk.config.silence_max();
        let (mut heard, mut heard_myself_at) = (false, self.clock.now());
        loop {
            let now = self.clock.now();
            let deaf_at = heard_myself_at + silence_max;
            if now >= deaf_at {
                self.emit(&Event::SubscriptionSilent {
                    silent_for: now.since(heard_myself_at),
                });
                return heard;
            }
            if sequences.due().is_some_and(|due| due <= now) {
                self.miss(sequences.gaps(now)).await;
            }
            let until = sequences.due().map_or(deaf_at, |due| due.min(deaf_at));
            let next = self
                .clock
                .timeout(until.since(self.clock.now()), subscription.next())
                .await;
            match next {
                Ok(Some(notice)) => {
                    heard = true;
                    let now = self.clock.now();
                    if self.take_in(notice, sequences, now) {
                        heard_myself_at = now;
                    }
                }
                Ok(None) => return heard,
                Err(_) => {}
            }
        }
    }

    /// Does what `notice` says, and gives whether it was this instance's own.
    fn take_in(&self, notice: Notice, sequences: &mut Sequences, now: Timestamp) -> bool {
        let stamp = match &notice {
            Notice::Invalidated(event) => Stamp::of(event),
            Notice::Alive {
                publisher,
                incarnation,
                sequence,
            } => Stamp {
                publisher: *publisher,
                incarnation: *incarnation,
                sequence: *sequence,
            },
            Notice::Filled(key) => {
                self.waiters.wake(&Key::new(key.as_str()));
                return false;
            }
            Notice::Changed(keys) => {
                self.drop_changed(keys);
                return false;
            }
            Notice::Emptied => {
                self.flush_local();
                return false;
            }
        };
        if self.is_mine(stamp) {
            return true;
        }
        match notice {
            Notice::Invalidated(event) => {
                sequences.heard(stamp, now);
                self.apply(&event);
            }
            _ => sequences.told(stamp, now),
        }
        false
    }

    fn is_mine(&self, stamp: Stamp) -> bool {
        stamp.publisher == self.instance && stamp.incarnation == self.talk.incarnation
    }

    /// Does what `event` says, unless this instance published it.
    pub fn apply(&self, event: &InvalidationEvent) {
        if self.is_mine(Stamp::of(event)) {
            return;
        }
        for key in &event.keys {
            self.drop_locally(&Key::new(key.as_str()), Version(event.version));
        }
        if let Some(marker) = &event.raised {
            self.learn(marker.clone());
        }
        if let Some(scope) = &event.swept {
            self.sweep_locally(scope);
        }
        self.emit(&Event::InvalidationReceived {
            keys: event.keys.len(),
        });
    }

    /// The remote layer says that these keys changed; to what, it does not say, so what is being
    /// loaded may be from before.
    fn drop_changed(&self, keys: &[String]) {
        for key in keys {
            self.drop_locally(&Key::new(key.as_str()), Version(0));
        }
        self.emit(&Event::InvalidationReceived { keys: keys.len() });
    }
}
