//! One Redis server as a pure model: what it holds, what it evicts and expires, what that weighs,
//! and how long its single thread is busy with a command.
//!
//! Virtual time cannot use a real server, so the remote layer of a simulation stands on this.
//! Without async, clock or I/O: time comes in as a [`Timestamp`](crate::clock::Timestamp) that must
//! not go back, randomness as a stream of the run's seed, so that the same seed and the same commands
//! give the same evictions. It knows strings with a TTL and a length; what else a value may be is its
//! owner's concern. One file per thing that a server does:
//!
//! - [`keyspace`]: the keys, and what a command does to them;
//! - [`memory`]: what a key weighs; [`table`]: the hash tables that double and halve;
//! - [`eviction`]: whom it gives up at `maxmemory`; [`expiry`]: how keys go at the end of their TTL;
//! - [`thread`]: the queue in front of the thread, and what a command costs.
//!
//! It must never draw randomness or read time from elsewhere, nor depend on the order of a hash map.

mod calls;
mod collections;
mod command;
pub mod deployment;
pub mod eviction;
pub mod expiry;
pub mod keyspace;
pub mod memory;
mod network;
pub mod pubsub;
pub mod remote;
mod replication;
mod server;
mod shard;
mod stream;
pub mod table;
pub mod thread;
mod value;
