//! The engine as a new process has it: what a deployment does to a cache.
//!
//! What an instance keeps for itself is gone: its local entries, the state of its circuits, and what
//! it still owed to a remote layer that was away. Before its next look into the remote layer it asks
//! for generations, as it did before its first. The remote layer keeps what it has. Requests under
//! way are answered, as by a process that a balancer drains, but nothing of what they bring is kept
//! locally.
//!
//! Its subscription goes on: it has nothing that a missed notice could have been about.

use super::Engine;
use super::layer::{Origin, Remote};
use super::local::LocalLayer;

impl<R: Remote, O: Origin> Engine<R, O> {
    /// Begins anew, and prepares for its first read ([`Engine::prepare`]).
    pub async fn restart(&self) {
        self.flights.invalidate_all(|| {
            self.local.as_ref().map(LocalLayer::clear);
        });
        self.generations.begin_anew();
        if let Some(remote) = &self.remote {
            remote.begin_anew();
        }
        self.prepare().await;
    }
}
