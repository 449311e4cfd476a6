//! What drives users: one driver per file, named as users write it.
//!
//! Called by the runner. A driver steps the users of `workload/`, sends what they ask, and hands
//! one sample per request to a sink; it judges nothing.

pub mod alarm;
pub mod arrivals;
pub mod closed_loop;
mod coming;
pub mod crowd;
pub mod direct;
mod dispatch;
pub mod http;
pub mod interrupt;
mod line;
pub mod open_loop;
#[cfg(test)]
mod stage;
mod tally;

use crate::engine::data_type::{Key, PolicyTable};
use crate::workload::Request;

/// The error of a request whose user did not wait longer for the answer.
pub const TIMED_OUT: &str = "timeout";

/// The word for a request that could not be sent, because this process has no file descriptor left: the
/// generator's fault, not the system's.
pub const NO_DESCRIPTORS: &str = "no file descriptors left";

/// The same for want of a local port to connect from.
pub const NO_PORTS: &str = "no local ports left";

/// What a driver did, beside the samples it recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Driven {
    /// Arrivals of users; who goes and comes back arrives again.
    pub users_started: u64,
    /// Users that vanished before their time: they panicked.
    pub users_lost: u64,
    /// Users that were still there when the driver's own time limit passed. Their requests may
    /// still be recorded.
    pub users_left: u64,
    /// Requests recorded.
    pub requests: u64,
    /// Requests that were sent but not recorded, because a stop did not wait for their answer.
    pub requests_abandoned: u64,
    /// Requests that were due and never sent: they would have waited longer than the request timeout
    /// for others to end.
    pub requests_dropped: u64,
    /// Whether it was stopped before the schedule's end.
    pub stopped: bool,
}

/// A driver could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// Nobody to send requests to.
    #[error("there is no instance to send requests to; the environment must start at least one")]
    NoTargets,
    /// Nobody to send requests.
    #[error("there are no users; set `traffic.users` to 1 or more")]
    NoUsers,
    /// Another attack is going on in this process.
    #[error("a closed-loop run is going on in this process; wait for its end, then start this one")]
    Busy,
    /// Nothing can be sent to a URL.
    #[error("nothing can be sent to `{url}`: {problem}")]
    Target {
        /// As it was given.
        url: String,
        /// What is wrong with it, and what to do.
        problem: String,
    },
    /// TLS cannot be spoken.
    #[error("{0}")]
    Tls(#[from] http::tls::TlsError),
    /// The trace could not be opened, or not be read to its end.
    #[error("{0}")]
    Trace(#[source] crate::workload::trace::TraceError),
    /// There is no thread left for the driver's alarm.
    #[error("the driver cannot start a thread: {0}; raise the limit of processes (ulimit -u)")]
    Thread(#[source] std::io::Error),
    /// The load tool refused or failed.
    #[error("the closed-loop driver failed: {0}")]
    Attack(String),
}

/// The key that `request` asks for.
fn key_of(policies: &PolicyTable, request: &Request) -> Key {
    let row = policies.get(request.data_type);
    row.key.render(
        request.params.as_slice(),
        row.limit.map(|limit| limit.window),
    )
}
