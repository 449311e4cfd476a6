//! The memcached of a run or a variant: started for it, or one that exists already.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::{Clock, Timestamp};
use crate::engine::remote::memcached::MemcachedOptions;
use crate::environment::MemcachedConfig;
use crate::environment::error::EnvironmentError;
use crate::environment::keyspace::RunPrefix;
use crate::environment::managed_memcached::ManagedMemcached;
use crate::environment::memcached_info::MemcachedInfo;
use crate::scenario::plan::RemotePlan;

/// How long one question to memcached may take.
const ASK_LIMIT: Duration = Duration::from_millis(800);
/// How long finding an existing one may take.
const FIND_LIMIT: Duration = Duration::from_secs(5);
/// How many questions in a row must fail until an existing memcached counts as gone.
const FAILURES_MAX: u32 = 3;

/// The memcached of a run or a variant.
pub(super) struct MemcachedServer {
    /// `None` for one that exists already.
    managed: Option<ManagedMemcached>,
    address: SocketAddr,
    version: String,
    prefix: RunPrefix,
    /// The engines' looks that were no lookups of readers.
    comparisons: Arc<AtomicU64>,
    failures: u32,
}

impl MemcachedServer {
    /// Starts a memcached with `config`, or uses the one at `place`, as in `host:11211`.
    pub(super) async fn up(
        config: MemcachedConfig,
        place: Option<&str>,
        prefix: RunPrefix,
        clock: &Clock,
    ) -> Result<Self, EnvironmentError> {
        let (managed, address, version) = if let Some(place) = place {
            let (address, version) = find(place, clock).await?;
            (None, address, version)
        } else {
            let managed = ManagedMemcached::start(config, clock).await?;
            let (address, version) = (managed.address(), managed.version().to_owned());
            (Some(managed), address, version)
        };
        Ok(Self {
            managed,
            address,
            version,
            prefix,
            comparisons: Arc::default(),
            failures: 0,
        })
    }

    pub(super) fn version(&self) -> &str {
        &self.version
    }

    /// How an instance reaches it.
    pub(super) fn options(&self, remote: &RemotePlan, clock: &Clock) -> MemcachedOptions {
        MemcachedOptions {
            address: self.address,
            prefix: self.prefix.as_str().to_owned(),
            connections: remote.connections,
            timeout: remote.timeout,
            clock: clock.clone(),
            comparisons: Arc::clone(&self.comparisons),
        }
    }

    /// What it says of itself now; `None` if it does not answer.
    pub(super) async fn read(&mut self, clock: &Clock) -> Option<MemcachedReading> {
        // In this order: a comparison in between is counted there and not here, or not at all.
        let info = MemcachedInfo::fetch(self.address, clock, ASK_LIMIT).await;
        self.failures = if info.is_ok() { 0 } else { self.failures + 1 };
        Some(MemcachedReading {
            at: clock.now(),
            info: info.ok()?,
            comparisons: self.comparisons.load(Ordering::Relaxed),
        })
    }

    /// How it died, if it did.
    pub(super) fn died(&mut self) -> Option<String> {
        if let Some(managed) = &mut self.managed {
            return managed.died();
        }
        let gone = self.failures >= FAILURES_MAX;
        gone.then(|| format!("it answered none of the last {FAILURES_MAX} questions"))
    }

    /// Ends it if it was started for this. Gives what could not be cleaned up. An existing one keeps
    /// what the run wrote until its TTL ends: memcached does not list keys, and to flush it would
    /// take others' along.
    pub(super) async fn down(self) -> Vec<String> {
        let Some(managed) = self.managed else {
            return Vec::new();
        };
        let stopped = managed.stop().await;
        stopped
            .err()
            .map(|error| error.to_string())
            .into_iter()
            .collect()
    }
}

/// The first address of `place` at which a memcached answers, and its version.
async fn find(place: &str, clock: &Clock) -> Result<(SocketAddr, String), EnvironmentError> {
    let unreachable = |reason: String| EnvironmentError::Unreachable {
        url: place.to_owned(),
        reason,
    };
    let looking = clock
        .timeout(FIND_LIMIT, tokio::net::lookup_host(place))
        .await;
    let addresses = match looking {
        Ok(found) => found.map_err(|error| unreachable(error.to_string()))?,
        Err(_) => return Err(unreachable("its name cannot be looked up".to_owned())),
    };
    let mut refusal = unreachable("its name has no address".to_owned());
    for address in addresses {
        match MemcachedInfo::fetch(address, clock, FIND_LIMIT).await {
            Ok(info) => return Ok((address, info.version)),
            Err(error) => refusal = unreachable(error.to_string()),
        }
    }
    Err(refusal)
}

/// What was read of memcached at one moment.
#[derive(Clone, Debug)]
pub(super) struct MemcachedReading {
    pub(super) at: Timestamp,
    pub(super) info: MemcachedInfo,
    pub(super) comparisons: u64,
}
