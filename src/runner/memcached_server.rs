//! The memcached of a variant: started for it, and how to reach it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::{Clock, Timestamp};
use crate::engine::remote::memcached::MemcachedOptions;
use crate::environment::MemcachedConfig;
use crate::environment::error::EnvironmentError;
use crate::environment::managed_memcached::ManagedMemcached;
use crate::environment::memcached_info::MemcachedInfo;
use crate::scenario::plan::RemotePlan;

/// How long one question to memcached may take.
const ASK_LIMIT: Duration = Duration::from_millis(800);
/// It is ours alone, so keys need no long prefix.
const PREFIX: &str = "cachestorm:";

/// The memcached of a variant.
pub(super) struct MemcachedServer {
    managed: ManagedMemcached,
    /// The engines' looks that were no lookups of readers.
    comparisons: Arc<AtomicU64>,
}

impl MemcachedServer {
    pub(super) async fn up(
        config: MemcachedConfig,
        clock: &Clock,
    ) -> Result<Self, EnvironmentError> {
        Ok(Self {
            managed: ManagedMemcached::start(config, clock).await?,
            comparisons: Arc::default(),
        })
    }

    pub(super) fn version(&self) -> &str {
        self.managed.version()
    }

    /// How an instance reaches it.
    pub(super) fn options(&self, remote: &RemotePlan, clock: &Clock) -> MemcachedOptions {
        MemcachedOptions {
            address: self.managed.address(),
            prefix: PREFIX.to_owned(),
            connections: remote.connections,
            timeout: remote.timeout,
            clock: clock.clone(),
            comparisons: Arc::clone(&self.comparisons),
        }
    }

    /// What it says of itself now; `None` if it does not answer.
    pub(super) async fn read(&self, clock: &Clock) -> Option<MemcachedReading> {
        // In this order: a comparison in between is counted there and not here, or not at all.
        let info = MemcachedInfo::fetch(self.managed.address(), clock, ASK_LIMIT).await;
        Some(MemcachedReading {
            at: clock.now(),
            info: info.ok()?,
            comparisons: self.comparisons.load(Ordering::Relaxed),
        })
    }

    /// How it died, if it did.
    pub(super) fn died(&mut self) -> Option<String> {
        self.managed.died()
    }

    /// Ends it. Gives what could not be cleaned up.
    pub(super) async fn down(self) -> Vec<String> {
        let stopped = self.managed.stop().await;
        stopped
            .err()
            .map(|error| error.to_string())
            .into_iter()
            .collect()
    }
}

/// What was read of memcached at one moment.
#[derive(Clone, Debug)]
pub(super) struct MemcachedReading {
    pub(super) at: Timestamp,
    pub(super) info: MemcachedInfo,
    pub(super) comparisons: u64,
}
