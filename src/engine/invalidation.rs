//! Invalidations from other instances: each drops its keys from the local layer.
//!
//! While the subscription is down, events are lost, and an entry could be served stale until its
//! deadline. So the local layer is emptied whenever a subscription begins anew: what is kept then
//! was read after the listening began.

use std::time::Duration;

use super::data_type::Key;
use super::event::Event;
use super::layer::{InvalidationEvent, LayerError, Notice, Origin, Remote, Subscription, Version};
use super::local::LocalLayer;
use super::{Engine, Layer};

/// The first wait before subscribing again; it doubles up to [`RETRY_MAX`].
const RETRY_MIN: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(1);

impl<R: Remote, O: Origin> Engine<R, O> {
    /// Listens to the invalidations of other instances for as long as it is polled; not at all where
    /// the remote layer cannot tell them: then local entries live until their deadlines.
    pub async fn listen(&self) {
        let Some(remote) = &self.remote else { return };
        let mut retry = RETRY_MIN;
        loop {
            match remote.subscribe().await {
                Ok(mut subscription) => {
                    retry = RETRY_MIN;
                    self.flush_local();
                    while let Some(notice) = subscription.next().await {
                        match notice {
                            Notice::Invalidated(event) => self.apply(&event),
                            Notice::Filled(key) => self.waiters.wake(&Key::new(key)),
                        }
                    }
                    self.flush_local();
                }
                Err(error) => {
                    self.failed(Layer::Remote, &error);
                    if let LayerError::Unsupported(..) = error {
                        return;
                    }
                }
            }
            self.clock.sleep(retry).await;
            retry = (retry * 2).min(RETRY_MAX);
        }
    }

    /// Drops the keys of `event` from the local layer, unless this instance published it.
    pub fn apply(&self, event: &InvalidationEvent) {
        if event.publisher == self.instance {
            return;
        }
        for key in &event.keys {
            self.drop_locally(&Key::new(key.as_str()), Version(event.version));
        }
        self.emit(&Event::InvalidationReceived {
            keys: event.keys.len(),
        });
    }

    /// Empties the local layer, and keeps loads that are under way from being stored in it.
    pub fn flush_local(&self) {
        let mut entries = 0;
        self.flights
            .invalidate_all(|| entries = self.local.as_ref().map_or(0, LocalLayer::clear));
        if entries > 0 {
            self.emit(&Event::LocalFlushed { entries });
        }
    }
}
