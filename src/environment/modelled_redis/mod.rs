//! Redis in virtual time: a pure model of one server, several of them in a topology, and the remote layer
//! over them.
//!
//! Virtual time cannot use a real server, so a simulation's remote layer stands on this. Randomness is a
//! stream of the run's seed and time is the clock's, so that the same seed and the same calls give the
//! same answers, evictions and losses. One file per thing that a server does:
//!
//! - [`keyspace`]: the keys, and what a command does to them;
//! - [`memory`]: what a key weighs; [`table`]: the hash tables that double and halve;
//! - [`eviction`]: whom it gives up at `maxmemory`; [`expiry`]: how keys go at the end of their TTL;
//! - [`thread`]: the queue in front of the thread, and what a command costs.
//!
//! These know neither async nor clock: time comes in as a [`Timestamp`](crate::clock::Timestamp) that must
//! not go back. On them stand:
//!
//! - `value`, `stream`: what the remote layer keeps at a key; `collections`: what that weighs;
//! - `server`: a server as scripts see it; `calls`: what it counts;
//! - `shard`: a primary with its replicas, and its death; `replication`: what they have not heard of;
//! - [`deployment`]: all of them, for the runner; [`pubsub`]: who listens; `network`: the way there;
//! - [`remote`]: the remote layer, for an instance.
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
