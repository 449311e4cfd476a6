//! Everything that happened in a simulation, in its order and to the nanosecond, as one number.
//!
//! Two runs with the same number did the same. It is what tells that a simulation depends on nothing
//! but its scenario and seed; a report says less, because much cancels out in it.

use std::hash::{Hash as _, Hasher as _};
use std::sync::Arc;

use parking_lot::Mutex;
use rustc_hash::FxHasher;

use super::sink::SampleSink;
use super::{PhaseId, Sample};
use crate::clock::{Clock, Timestamp};
use crate::engine::event::{Event, Observer};
use crate::seed::{fnv1a, mix};

/// Takes what happens; keeps one number.
#[derive(Debug)]
pub struct EventLog {
    clock: Clock,
    state: Mutex<LogHash>,
}

/// How much was logged, and its hash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogHash {
    /// How many requests ended and things happened in engines.
    pub events: u64,
    /// Of all of them, in their order.
    pub hash: u64,
}

impl LogHash {
    fn add(&mut self, words: &[u64]) {
        self.events += 1;
        for word in words {
            self.hash = mix(self.hash.rotate_left(5) ^ word);
        }
    }
}

impl EventLog {
    /// An empty log by `clock`.
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            state: Mutex::default(),
        }
    }

    /// What it holds now.
    pub fn hash(&self) -> LogHash {
        *self.state.lock()
    }

    fn dropped(&self, phase: PhaseId) {
        let now = self.clock.now().as_unix_nanos();
        self.state.lock().add(&[u64::from(phase.0), now]);
    }

    fn sample(&self, sample: &Sample) {
        let key = sample.read.as_ref();
        let error = sample.error.as_ref();
        self.state.lock().add(&[
            sample.operation as u64 | (sample.outcome as u64) << 8 | (sample.layer as u64) << 16,
            u64::from(sample.data_type.0)
                | u64::from(sample.phase.0) << 32
                | u64::from(sample.user_kind.0) << 40,
            sample.intended_start.as_unix_nanos(),
            sample.sent.as_unix_nanos(),
            sample.finished.as_unix_nanos(),
            key.map_or(0, |(key, version)| {
                fnv1a(key.as_str().as_bytes()) ^ version.0
            }),
            error.map_or(0, |error| fnv1a(error.as_bytes())),
        ]);
    }
}

impl Observer for EventLog {
    fn observe(&self, event: &Event<'_>) {
        // What else an event says shows in what the instances do next.
        let mut kind = FxHasher::default();
        std::mem::discriminant(event).hash(&mut kind);
        let what = match event {
            Event::Lookup {
                data_type,
                layer,
                found,
                took,
            } => {
                let what = u64::from(data_type.0) << 8 | (*layer as u64) << 1 | u64::from(*found);
                what ^ (took.as_nanos() as u64).rotate_left(32)
            }
            Event::FlightEnded { key, followers, .. } => {
                fnv1a(key.as_str().as_bytes()) ^ u64::from(*followers)
            }
            Event::WriteAccepted { key, version, .. } => fnv1a(key.as_str().as_bytes()) ^ version.0,
            _ => 0,
        };
        let now: Timestamp = self.clock.now();
        let words = [kind.finish(), now.as_unix_nanos(), what];
        self.state.lock().add(&words);
    }
}

/// A sink whose samples are logged.
#[derive(Debug)]
pub struct Logged<S> {
    /// Where they go.
    pub sink: Arc<S>,
    /// Where they are logged.
    pub log: Arc<EventLog>,
}

impl<S: SampleSink> SampleSink for Logged<S> {
    fn record(&self, sample: Sample) {
        self.log.sample(&sample);
        self.sink.record(sample);
    }

    fn request_dropped(&self, phase: PhaseId) {
        self.log.dropped(phase);
        self.sink.request_dropped(phase);
    }

    fn user_started(&self) {
        self.sink.user_started();
    }

    fn user_ended(&self) {
        self.sink.user_ended();
    }

    fn request_started(&self) {
        self.sink.request_started();
    }

    fn request_ended(&self) {
        self.sink.request_ended();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::layer::Layer;

    #[test]
    fn the_number_depends_on_what_happened_and_in_which_order() {
        let failed = |layer| Event::Unsupported { layer, what: "x" };
        let sent = Event::InvalidationSent { keys: 1 };
        let hash_of = |events: &[Event<'_>]| {
            let clock = crate::clock::virtual_time::runtime(Timestamp::EPOCH)
                .expect("a runtime")
                .1;
            let log = EventLog::new(clock);
            for event in events {
                log.observe(event);
            }
            log.hash()
        };
        let both = hash_of(&[failed(Layer::Remote), sent]);
        assert_eq!(both, hash_of(&[failed(Layer::Remote), sent]));
        assert_eq!(both.events, 2);
        assert_ne!(both.hash, hash_of(&[sent, failed(Layer::Remote)]).hash);
        assert_ne!(both.hash, hash_of(&[sent]).hash);
    }
}
