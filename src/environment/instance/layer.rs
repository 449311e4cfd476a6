//! The remote layer of an instance, connected: one store, or two as one.
//!
//! Each store has a circuit breaker and a time limit of its own, so that one that is away does not
//! cut off the other. Called when an instance starts.

use std::sync::Arc;

use super::InstanceConfig;
use crate::engine::data_type::{DataTypeId, KeyPattern, Strategy};
use crate::engine::invalidation::{Transport, tracked_prefixes};
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
pub(super) async fn guarded(
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
    let breaker = config.resilience.breaker;
    let observer = Arc::clone(&config.observer);
    Ok(Guarded::new(
        remote,
        breaker,
        limit,
        config.clock.clone(),
        observer,
    ))
}

/// `main`, but the entries of some data types stand aside.
pub(super) async fn split(
    main: Guarded<AnyRemote>,
    aside: Aside,
    config: &InstanceConfig,
) -> Result<Split<Guarded<AnyRemote>>, String> {
    let rows = || aside.data_types.iter().map(|id| config.policies.get(*id));
    let patterns: Vec<KeyPattern> = rows().map(|row| row.key.clone()).collect();
    let queue = rows().any(|row| row.strategy == Strategy::WriteBehind);
    let store = guarded(aside.options.clone(), config).await;
    let store = store.map_err(|reason| format!("the store aside: {reason}"))?;
    let split = Split::new(main, store.aside(), patterns);
    Ok(if queue {
        split.with_queue_aside()
    } else {
        split
    })
}
