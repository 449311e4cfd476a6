//! What an instance tells Prometheus: counters that its engine's events move, and gauges that are
//! read when somebody asks. `GET /metrics` writes them in the text format 0.0.4.
//!
//! Every series of a layer and a data type is there from the start, at zero, and is found by its
//! place in a table: an event costs a few atomic additions and no lock. docs/alerts.md lists the
//! metrics. Never judges, and never asks Redis: what it says of Redis is what the runner last read.

mod origin;
mod redis;
mod served;
mod shape;

use std::sync::Arc;

use parking_lot::Mutex;
use prometheus::{Encoder, IntCounter, IntGauge, Registry, TextEncoder};

pub use self::origin::Counted;
use self::redis::RedisSeries;
use self::served::ServedSeries;
pub(super) use self::served::{FAILED, Metered};
use self::shape::{Lookups, Shape};
use crate::engine::data_type::{DataTypeId, PolicyTable};
use crate::engine::event::{Event, Observer};
use crate::engine::layer::Layer;
use crate::engine::local::LocalUsage;
use crate::engine::resilience::circuit_breaker::Circuit;
use crate::environment::redis_info::RedisInfo;

/// What a scraper is told that it gets.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The layers of an engine that are told apart.
const LAYERS: usize = Layer::ALL.len();

/// The metrics could not be made or written. Only a defect of their names does that.
#[derive(Debug, thiserror::Error)]
#[error("the metrics of an instance are wrong: {0}")]
pub struct MetricsError(#[from] prometheus::Error);

/// The metrics of one instance.
pub struct InstanceMetrics {
    registry: Registry,
    /// By data type and layer; `None` for a layer that is not there.
    lookups: Vec<Option<Lookups>>,
    /// By layer.
    failures: Vec<IntCounter>,
    served: ServedSeries,
    /// `None` without Redis.
    redis: Option<RedisSeries>,
    origin_in_flight: IntGauge,
    counts: Counts,
    /// Of the remote layer's own store, and of one aside; the gauge shows the worse of the two.
    circuits: Mutex<[i64; 2]>,
    local: LocalSeries,
    /// One scrape at a time: some counters are set to what was counted elsewhere.
    scraping: Mutex<()>,
}

/// Counters and gauges without a data type.
struct Counts {
    flights: IntCounter,
    followers: IntCounter,
    fills_refused: IntCounter,
    invalidations_sent: IntCounter,
    invalidations_received: IntCounter,
    outdated: IntCounter,
    swept_keys: IntCounter,
    notices_lost: IntCounter,
    subscriptions_silent: IntCounter,
    local_flushes: IntCounter,
    local_revalidations: IntCounter,
    refreshes_dropped: IntCounter,
    writes_accepted: IntCounter,
    writes_committed: IntCounter,
    writes_redelivered: IntCounter,
    writes_buried: IntCounter,
    writes_lost: IntCounter,
    writes_queue_full: IntCounter,
    queue_length: IntGauge,
    dead_letters: IntGauge,
    circuit: IntGauge,
    circuits_opened: IntCounter,
    invalidations_replayed: IntCounter,
    invalidations_forgotten: IntCounter,
    origin_calls_refused: IntCounter,
    soft_timeouts: IntCounter,
}

/// The local layer, read when somebody asks.
struct LocalSeries {
    entries: IntGauge,
    bytes: IntGauge,
    evictions: IntCounter,
}

/// What the instance knows of itself at one moment, for those who watch it from within the process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InstanceReading {
    /// Whether its circuit to the remote layer is open, or with two stores one of the two.
    pub breaker_open: bool,
    /// Writes of write-behind that waited at its last look at the queue, which all instances share.
    pub writes_waiting: u64,
    /// How often each layer was asked by data type, and how often it had the entry.
    lookups: Vec<(u64, u64)>,
}

impl InstanceReading {
    /// How often `layer` was asked for `data_type`, and how often it had the entry.
    pub fn asked_and_found(&self, data_type: DataTypeId, layer: Layer) -> (u64, u64) {
        let place = place_of(data_type, layer);
        self.lookups.get(place).copied().unwrap_or_default()
    }
}

fn place_of(data_type: DataTypeId, layer: Layer) -> usize {
    data_type.index() * LAYERS + layer as usize
}

impl InstanceMetrics {
    /// All at zero, for an instance with these data types and layers, and with `redis` if its remote
    /// layer is one.
    ///
    /// # Errors
    /// If two metrics have one name, which a test holds against.
    pub fn new(
        policies: &Arc<PolicyTable>,
        layers: &[Layer],
        redis: bool,
    ) -> Result<Self, MetricsError> {
        let registry = Registry::new();
        let shape = Shape::new(&registry);
        Ok(Self {
            lookups: shape.lookups(policies, layers)?,
            failures: shape.failures()?,
            served: ServedSeries::new(&shape, Arc::clone(policies))?,
            redis: redis.then(|| RedisSeries::new(&shape)).transpose()?,
            origin_in_flight: shape.gauge(
                "origin_in_flight",
                "Calls of the origin that are under way.",
            )?,
            counts: shape.counts()?,
            circuits: Mutex::default(),
            local: LocalSeries {
                entries: shape.gauge("local_entries", "Entries in the local layer.")?,
                bytes: shape.gauge(
                    "local_bytes",
                    "Bytes of keys, values and bookkeeping in the local layer.",
                )?,
                evictions: shape.counter(
                    "local_evictions_total",
                    "Entries that the local layer gave up for want of room.",
                )?,
            },
            registry,
            scraping: Mutex::new(()),
        })
    }

    /// An observer that counts for `metrics`, and tells `observer` the same.
    pub fn observer(metrics: &Arc<Self>, observer: Arc<dyn Observer>) -> Arc<dyn Observer> {
        let metrics = Arc::clone(metrics);
        Arc::new(Told { metrics, observer })
    }

    /// What the runner read of Redis; `None` if it did not answer.
    pub fn redis_read(&self, info: Option<&RedisInfo>) {
        if let Some(redis) = &self.redis {
            redis.set(info);
        }
    }

    /// What it knows of itself now.
    pub fn read(&self) -> InstanceReading {
        let lookups = self.lookups.iter();
        InstanceReading {
            breaker_open: self.counts.circuit.get() == circuit_number(Circuit::Open),
            writes_waiting: u64::try_from(self.counts.queue_length.get()).unwrap_or(0),
            lookups: lookups
                .map(|lookups| lookups.as_ref().map_or((0, 0), Lookups::asked_and_found))
                .collect(),
        }
    }

    /// The whole page, with the local layer as it is now.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn page(&self, local: Option<LocalUsage>) -> Result<Vec<u8>, MetricsError> {
        let _alone = self.scraping.lock();
        let local = local.unwrap_or_default();
        self.local.entries.set(local.entries.cast_signed());
        self.local.bytes.set(local.bytes.cast_signed());
        self.local.evictions.reset();
        self.local.evictions.inc_by(local.evictions);
        let mut page = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut page)?;
        Ok(page)
    }

    fn count(&self, event: &Event<'_>) {
        let counts = &self.counts;
        match *event {
            Event::Lookup {
                data_type,
                layer,
                found,
                took,
            } => {
                let series = self.lookups.get(place_of(data_type, layer));
                if let Some(Some(series)) = series {
                    series.count(found, took);
                }
            }
            Event::FlightEnded { followers, .. } => {
                counts.flights.inc();
                counts.followers.inc_by(followers.into());
            }
            Event::FillRefused { .. } => counts.fills_refused.inc(),
            Event::InvalidationSent { keys } => counts.invalidations_sent.inc_by(keys as u64),
            Event::InvalidationReceived { keys } => {
                counts.invalidations_received.inc_by(keys as u64);
            }
            Event::Outdated { .. } => counts.outdated.inc(),
            Event::Swept { keys, .. } => counts.swept_keys.inc_by(keys),
            Event::NoticesMissed { missed, .. } => counts.notices_lost.inc_by(missed),
            Event::SubscriptionSilent { .. } => counts.subscriptions_silent.inc(),
            Event::LocalFlushed { .. } => counts.local_flushes.inc(),
            Event::LocalRevalidated { .. } => counts.local_revalidations.inc(),
            Event::RefreshDropped { .. } => counts.refreshes_dropped.inc(),
            Event::InvalidationsReplayed { keys } => {
                counts.invalidations_replayed.inc_by(keys as u64);
            }
            Event::InvalidationsForgotten { keys } => {
                counts.invalidations_forgotten.inc_by(keys as u64);
            }
            Event::CircuitChanged { circuit, aside } => {
                let mut circuits = self.circuits.lock();
                circuits[usize::from(aside)] = circuit_number(circuit);
                counts.circuit.set(circuits[0].max(circuits[1]));
                drop(circuits);
                counts
                    .circuits_opened
                    .inc_by(u64::from(circuit == Circuit::Open));
            }
            Event::OriginCallRefused => counts.origin_calls_refused.inc(),
            Event::SoftTimeout { .. } => counts.soft_timeouts.inc(),
            Event::LayerFailed { layer, .. } => self.failures[layer as usize].inc(),
            ref other => counts.count_writes(other),
        }
    }
}

impl Counts {
    /// What happens to writes of write-behind.
    fn count_writes(&self, event: &Event<'_>) {
        match *event {
            Event::WriteAccepted { .. } => self.writes_accepted.inc(),
            Event::WriteBehindCommitted { writes } => self.writes_committed.inc_by(writes as u64),
            Event::WriteBehindRedelivered { writes } => {
                self.writes_redelivered.inc_by(writes as u64);
            }
            Event::WriteBehindBuried { .. } => self.writes_buried.inc(),
            Event::WriteBehindLost { writes } => self.writes_lost.inc_by(writes),
            Event::WriteBehindFull { .. } => self.writes_queue_full.inc(),
            Event::WriteBehindWaiting { waiting } => {
                self.queue_length.set(waiting.writes.cast_signed());
                self.dead_letters.set(waiting.dead_letters.cast_signed());
            }
            _ => {}
        }
    }
}

/// As the gauge shows it.
fn circuit_number(circuit: Circuit) -> i64 {
    match circuit {
        Circuit::Closed => 0,
        Circuit::HalfOpen => 1,
        Circuit::Open => 2,
    }
}

/// Counts for the metrics, and tells another observer the same.
struct Told {
    metrics: Arc<InstanceMetrics>,
    observer: Arc<dyn Observer>,
}

impl Observer for Told {
    fn observe(&self, event: &Event<'_>) {
        self.metrics.count(event);
        self.observer.observe(event);
    }
}

#[cfg(test)]
mod tests;
