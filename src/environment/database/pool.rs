//! The connection pool: never more than its size, waited for in the order of arrival.
//!
//! Used by the database alone. Safe to cancel at any point: a connection is given back when its
//! guard is dropped.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::clock::Clock;

pub(super) struct Pool {
    /// Tokio's semaphore is fair: first come, first served.
    free: Semaphore,
    acquire_timeout: Duration,
    in_use: AtomicU32,
    peak: AtomicU32,
    timeouts: AtomicU64,
}

/// A connection in use; free again when dropped.
pub(super) struct Connection<'p> {
    pool: &'p Pool,
    /// Given back after `drop` below, so that the gauge never shows more than there are.
    _permit: SemaphorePermit<'p>,
}

impl Pool {
    pub(super) fn new(connections: u32, acquire_timeout: Duration) -> Self {
        Self {
            free: Semaphore::new(connections as usize),
            acquire_timeout,
            in_use: AtomicU32::new(0),
            peak: AtomicU32::new(0),
            timeouts: AtomicU64::new(0),
        }
    }

    /// Waits for a connection; `None` if none became free in time, which is counted.
    pub(super) async fn acquire(&self, clock: &Clock) -> Option<Connection<'_>> {
        let acquired = clock.timeout(self.acquire_timeout, self.free.acquire());
        // The semaphore is never closed, so an error can only be the time limit.
        let Ok(Ok(permit)) = acquired.await else {
            self.timeouts.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        let in_use = self.in_use.fetch_add(1, Ordering::Relaxed) + 1;
        self.peak.fetch_max(in_use, Ordering::Relaxed);
        Some(Connection {
            pool: self,
            _permit: permit,
        })
    }

    pub(super) fn in_use(&self) -> u32 {
        self.in_use.load(Ordering::Relaxed)
    }

    pub(super) fn peak(&self) -> u32 {
        self.peak.load(Ordering::Relaxed)
    }

    pub(super) fn timeouts(&self) -> u64 {
        self.timeouts.load(Ordering::Relaxed)
    }

    pub(super) fn reset_peak(&self) {
        self.peak.store(self.in_use(), Ordering::Relaxed);
    }
}

impl Drop for Connection<'_> {
    fn drop(&mut self) {
        self.pool.in_use.fetch_sub(1, Ordering::Relaxed);
    }
}
