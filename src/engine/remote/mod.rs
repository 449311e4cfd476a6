//! L2: the remote layer, one store per file.
//!
//! Every store implements [`Remote`](super::layer::Remote); what a store cannot do it says with
//! [`LayerError::Unsupported`](super::layer::LayerError::Unsupported).

pub mod any;
pub mod memcached;
pub mod none;
pub mod redis;
pub mod redis_counter;
mod redis_invalidation;
mod redis_partitions;
mod redis_queue;
mod redis_subscription;
mod redis_tracking;
pub mod split;
mod wire;
