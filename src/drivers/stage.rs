//! For the tests of drivers in virtual time: an instance that answers everything after a while, and a
//! sink that keeps everything.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::clock::{Clock, Timestamp};
use crate::engine::data_type::{DataTypeId, Key};
use crate::engine::layer::{Layer, Operation, Outcome, Version};
use crate::environment::instance::service::{Restarting, Served, Service, Serving};
use crate::measure::sink::SampleSink;
use crate::measure::{PhaseId, Sample};

/// What each user asked for, and when.
pub(super) type Asked = BTreeMap<String, Vec<(Operation, Timestamp)>>;

/// An instance that answers everything, and keeps who asked for what and when.
pub(super) struct Instance {
    clock: Clock,
    answers_after: Duration,
    pub(super) asked: Mutex<Asked>,
}

impl Instance {
    pub(super) fn new(clock: &Clock, answers_after: Duration) -> Self {
        Self {
            clock: clock.clone(),
            answers_after,
            asked: Mutex::default(),
        }
    }
}

impl Service for Instance {
    fn serve<'s>(
        &'s self,
        operation: Operation,
        _: DataTypeId,
        key: &'s Key,
        _: Bytes,
    ) -> Serving<'s> {
        Box::pin(async move {
            {
                let mut asked = self.asked.lock();
                let of_user = asked.entry(key.as_str().to_owned()).or_default();
                of_user.push((operation, self.clock.now()));
            }
            self.clock.sleep(self.answers_after).await;
            Ok(Served {
                way_back: Duration::ZERO,
                outcome: Outcome::Hit,
                layer: Layer::Remote,
                version: Some(Version(1)),
            })
        })
    }

    fn restart(&self) -> Restarting<'_> {
        Box::pin(std::future::ready(()))
    }
}

/// Stops a driver after so long; without a time, never.
pub(super) async fn stop_after(after: Option<Duration>, clock: Clock, stop: watch::Sender<bool>) {
    if let Some(after) = after {
        clock.sleep(after).await;
        stop.send_replace(true);
    }
    // As long as nobody drops it, nobody takes it for an end.
    std::future::pending::<()>().await;
}

/// How many users were live from when on, and the samples.
pub(super) struct Sink {
    clock: Clock,
    pub(super) live: Mutex<Vec<(Timestamp, i64)>>,
    pub(super) samples: Mutex<Vec<Sample>>,
    pub(super) in_flight: AtomicU64,
    pub(super) dropped: AtomicU64,
}

impl Sink {
    pub(super) fn new(clock: &Clock) -> Self {
        Self {
            clock: clock.clone(),
            live: Mutex::default(),
            samples: Mutex::default(),
            in_flight: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        }
    }

    fn change(&self, by: i64) {
        let mut live = self.live.lock();
        let now = live.last().map_or(0, |(_, live)| *live) + by;
        live.push((self.clock.now(), now));
    }

    pub(super) fn live_at(&self, at: Timestamp) -> i64 {
        let live = self.live.lock();
        let until = live.partition_point(|(when, _)| *when <= at);
        until.checked_sub(1).map_or(0, |last| live[last].1)
    }
}

impl SampleSink for Sink {
    fn record(&self, sample: Sample) {
        self.samples.lock().push(sample);
    }
    fn request_dropped(&self, _: PhaseId) {
        self.dropped.fetch_add(1, Ordering::SeqCst);
    }
    fn user_started(&self) {
        self.change(1);
    }
    fn user_ended(&self) {
        self.change(-1);
    }
    fn request_started(&self) {
        self.in_flight.fetch_add(1, Ordering::SeqCst);
    }
    fn request_ended(&self) {
        self.in_flight.fetch_sub(1, Ordering::SeqCst);
    }
}
