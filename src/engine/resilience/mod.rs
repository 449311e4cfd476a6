//! What keeps a slow or dead layer from making everything slow or dead: one means per file, a pure
//! decision in a thin wrapper around a layer.
//!
//! | means | around | promises |
//! |---|---|---|
//! | [`circuit_breaker`], [`guarded`] | the remote layer | a dead one costs nothing per request |
//! | [`missed`] | the same | what it was not told while it was away, it is told before it is asked again |
//! | [`origin_limit`] | the origin | never more than so many calls at once, whatever the cache does |
//! | [`timeout`] | the origin | no call takes longer than the hard timeout |
//! | [`soft_timeout`] | a read | a stale value after the soft timeout, the load goes on |
//!
//! Wrapped around their layers where an instance starts; the engine itself knows only of the soft
//! timeout, because only a reader knows whether it has a stale value.

pub mod circuit_breaker;
pub mod guarded;
pub mod missed;
pub mod origin_limit;
pub mod soft_timeout;
pub mod timeout;

use std::time::Duration;

use super::write_behind::policy::WriteBehind;
use circuit_breaker::BreakerConfig;
use origin_limit::OriginLimit;

/// How an instance protects itself and what is behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resilience {
    /// The circuit breaker of the remote layer; `None` leaves it out.
    pub breaker: Option<BreakerConfig>,
    /// The protection of the origin.
    pub origin: OriginProtection,
    /// The limits of write-behind.
    pub write_behind: WriteBehind,
}

impl Default for Resilience {
    /// With a circuit breaker, and the origin as it is.
    fn default() -> Self {
        Self {
            breaker: Some(BreakerConfig::default()),
            origin: OriginProtection::default(),
            write_behind: WriteBehind::default(),
        }
    }
}

/// How the origin is protected, and its callers from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OriginProtection {
    /// How many calls it gets from an instance at once; `None` for no limit.
    pub limit: Option<OriginLimit>,
    /// How long a reader that has a stale value waits for a fresh one; `None`: as long as others.
    pub soft_timeout: Option<Duration>,
    /// How long any call may take; `None`: as long as the origin likes.
    pub hard_timeout: Option<Duration>,
}
