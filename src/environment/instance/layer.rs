//! The remote layer of an instance, connected: one store, or two as one.
//!
//! Each store has a circuit breaker and a time limit of its own, so that one that is away does not
//! cut off the other. Called when an instance starts.

use std::sync::Arc;
use std::time::Duration;

use super::InstanceConfig;
use crate::engine::data_type::{DataTypeId, KeyPattern, Strategy};
use crate::engine::invalidation::{Transport, tracked_prefixes};
use crate::engine::layer::Remote;
use crate::engine::remote::any::{AnyRemote, RemoteOptions};
use crate::engine::remote::split::Split;
use crate::engine::resilience::guarded::Guarded;

/// A second store, for some data types.
#[derive(Clone, Debug)]
pub struct Aside {
    /// How to reach it.
    pub options: RemoteOptions,
    /// Whose entries stand in it.
    pub data_types: Vec<DataTypeId>,
}

/// The store at `options`, behind a circuit breaker.
pub(super) async fn connect(
    options: RemoteOptions,
    config: &InstanceConfig,
) -> Result<Guarded<AnyRemote>, String> {
    let limit = options.timeout();
    let remote = AnyRemote::connect(options).await;
    let remote = remote
        .map_err(|error| error.to_string())?
        .serving(&config.policies);
    let remote = match config.invalidation.transport {
        Transport::Pubsub => remote,
        Transport::Tracking => remote.tracking(tracked_prefixes(&config.policies)),
    };
    Ok(guarded(remote, limit, config))
}

/// `remote`, which answers within `limit`, behind a circuit breaker.
pub(super) fn guarded<R: Remote>(
    remote: R,
    limit: Duration,
    config: &InstanceConfig,
) -> Guarded<R> {
    let breaker = config.resilience.breaker;
    let observer = Arc::clone(&config.observer);
    Guarded::new(remote, breaker, limit, config.clock.clone(), observer)
}

/// `main`, but the entries of `data_types` stand in `aside`.
pub(super) fn split<R: Remote>(
    main: Guarded<R>,
    aside: Guarded<R>,
    data_types: &[DataTypeId],
    config: &InstanceConfig,
) -> Split<Guarded<R>> {
    let rows = || data_types.iter().map(|id| config.policies.get(*id));
    let patterns: Vec<KeyPattern> = rows().map(|row| row.key.clone()).collect();
    let queue = rows().any(|row| row.strategy == Strategy::WriteBehind);
    let split = Split::new(main, aside.aside(), patterns);
    if queue {
        split.with_queue_aside()
    } else {
        split
    }
}
