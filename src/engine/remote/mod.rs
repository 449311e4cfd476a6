//! L2: the remote layer, one store per file.
//!
//! Every store implements [`Remote`](super::layer::Remote); what a store cannot do it says with
//! [`LayerError::Unsupported`](super::layer::LayerError::Unsupported).

pub mod any;
pub mod memcached;
pub mod none;
pub mod redis;
pub mod redis_counter;
pub(crate) mod redis_invalidation;
pub(crate) mod redis_partitions;
pub(crate) mod redis_queue;
mod redis_subscription;
pub(crate) mod redis_tracking;
pub mod split;
pub(crate) mod wire;
