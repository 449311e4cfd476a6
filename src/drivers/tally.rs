//! What a driver did: users and requests, counted and told to the sink.
//!
//! Whoever is dropped on the way is counted as well: a user that panics is lost, a request that nobody
//! waits for any more is abandoned. Shared by all drivers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Driven;
use crate::measure::sink::SampleSink;
use crate::measure::{PhaseId, Sample};

/// Counts for one run of a driver.
pub(super) struct Tally {
    sink: Arc<dyn SampleSink>,
    started: AtomicU64,
    ended: AtomicU64,
    lost: AtomicU64,
    requests: AtomicU64,
    abandoned: AtomicU64,
    dropped: AtomicU64,
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::AcqRel);
}

impl Tally {
    pub(super) fn new(sink: Arc<dyn SampleSink>) -> Self {
        Self {
            sink,
            started: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            abandoned: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        }
    }

    pub(super) fn driven(&self, stopped: bool) -> Driven {
        let read = |count: &AtomicU64| count.load(Ordering::Acquire);
        let (ended, started) = (read(&self.ended), read(&self.started));
        Driven {
            users_started: started,
            users_lost: read(&self.lost),
            users_left: started.saturating_sub(ended),
            requests: read(&self.requests),
            requests_abandoned: read(&self.abandoned),
            requests_dropped: read(&self.dropped),
            stopped,
        }
    }

    /// A user comes.
    pub(super) fn user(&self) -> Presence<'_> {
        count(&self.started);
        self.sink.user_started();
        Presence {
            tally: self,
            ended: false,
        }
    }

    /// A request is sent.
    pub(super) fn request(&self) -> InFlight<'_> {
        self.sink.request_started();
        InFlight {
            tally: self,
            recorded: false,
        }
    }

    /// A request that was due in `phase` will never be sent.
    pub(super) fn drop_request(&self, phase: PhaseId) {
        count(&self.dropped);
        self.sink.request_dropped(phase);
    }
}

/// A user that is there. Dropped without its end, it is lost.
pub(super) struct Presence<'t> {
    tally: &'t Tally,
    ended: bool,
}

impl Presence<'_> {
    pub(super) fn end(mut self) {
        self.ended = true;
    }
}

impl Drop for Presence<'_> {
    fn drop(&mut self) {
        if !self.ended {
            count(&self.tally.lost);
        }
        count(&self.tally.ended);
        self.tally.sink.user_ended();
    }
}

/// A request that waits for its answer. Dropped without a record, it is abandoned.
pub(super) struct InFlight<'t> {
    tally: &'t Tally,
    recorded: bool,
}

impl InFlight<'_> {
    /// It was answered, or failed.
    pub(super) fn record(mut self, sample: Sample) {
        self.tally.sink.record(sample);
        self.recorded = true;
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        count(if self.recorded {
            &self.tally.requests
        } else {
            &self.tally.abandoned
        });
        self.tally.sink.request_ended();
    }
}
