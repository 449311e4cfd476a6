//! How many connections there are and were.
//!
//! Counted by the pool, read by whoever checks the generator, from any thread.

use std::ops::Add;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The connections of a caller, or of several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Connections {
    /// Open now, with those that are being opened.
    pub open: u64,
    /// The most that were open at once. Of several callers: the sum, though their peaks need not have
    /// been at the same time.
    pub peak: u64,
    /// Opened in all.
    pub opened: u64,
}

impl Add for Connections {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            open: self.open + other.open,
            peak: self.peak + other.peak,
            opened: self.opened + other.opened,
        }
    }
}

/// Counts the connections of one caller.
#[derive(Debug, Default)]
pub struct Gauge {
    open: AtomicU64,
    peak: AtomicU64,
    opened: AtomicU64,
}

impl Gauge {
    /// What it shows.
    pub fn read(&self) -> Connections {
        Connections {
            open: self.open.load(Ordering::Relaxed),
            peak: self.peak.load(Ordering::Relaxed),
            opened: self.opened.load(Ordering::Relaxed),
        }
    }

    /// One more is about to be opened; it counts until what this gives is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> Open {
        let open = self.open.fetch_add(1, Ordering::Relaxed) + 1;
        self.peak.fetch_max(open, Ordering::Relaxed);
        Open(Arc::clone(self))
    }
}

/// A connection, as long as it counts as open.
#[derive(Debug)]
pub(super) struct Open(Arc<Gauge>);

impl Open {
    /// It stands.
    pub(super) fn opened(&self) {
        self.0.opened.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}
