//! The cache under test: get, put, invalidate and admit over local, remote and origin.
//!
//! A library of its own: generic over the layer and origin traits, with its clock, randomness and
//! observer given from outside. It reads no environment variable, prints nothing, and knows no
//! driver and no histogram: it emits [`event::Event`]s.
//!
//! The way of a read is in `read.rs`, the way of a write in `write.rs`; both decide by the data type's
//! row of the policy table and by nothing else. Consistency rests on three rules: layers replace a
//! value only by one read later (`as_of`), an invalidation leaves a tombstone, and a load that an
//! invalidation overtook is not stored. What can be chosen, and what each choice promises and costs,
//! is in `docs/engine.md`.
#![doc = include_str!("examples.md")]

pub mod data_type;
pub mod event;
pub mod flight;
pub mod invalidation;
pub mod layer;
pub mod local;
#[cfg(test)]
mod long_run;
mod notice;
pub mod queue;
pub mod rate_limit;
mod read;
pub mod remote;
pub mod resilience;
mod restart;
pub mod sliding;
pub mod stampede;
mod waiters;
pub mod warming;
mod write;
pub mod write_behind;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rand::RngExt;

use crate::clock::{Clock, Timestamp};
use crate::seed::{Seed, Stream};
use data_type::{DataType, DataTypeId, Key, Limit, PolicyTable};
use event::{Event, Observer};
use flight::FlightTable;
use invalidation::generation::Generations;
use invalidation::{InvalidationConfig, Talk};
use layer::{Admission, Entry, Layer, LayerError, Origin, Outcome, Remote, Row};
use local::{LocalConfig, LocalLayer, LocalUsage};
use resilience::soft_timeout::LateLoads;
use stampede::refresh::Refreshes;
use waiters::Waiters;
use write_behind::policy::WriteBehind;
use write_behind::version::Versions;

/// What an engine is made of beside its policies.
#[derive(Clone)]
pub struct Surroundings {
    /// What it reads and waits for time with.
    pub clock: Clock,
    /// Where its randomness comes from.
    pub seed: Seed,
    /// Who is told what happens inside.
    pub observer: Arc<dyn Observer>,
    /// This instance's number among those that share a remote layer.
    pub instance: u64,
}

/// A multi-layer cache in front of an origin.
pub struct Engine<R, O> {
    policies: Arc<PolicyTable>,
    clock: Clock,
    observer: Arc<dyn Observer>,
    instance: u64,
    local: Option<LocalLayer>,
    remote: Option<R>,
    /// Shared with loads that go on without their reader.
    origin: Arc<O>,
    flights: FlightTable<Fetch>,
    waiters: Waiters,
    refreshes: Refreshes,
    generations: Generations,
    talk: Talk,
    late: LateLoads,
    soft_timeout: Option<Duration>,
    write_behind: WriteBehind,
    versions: Versions,
    random: Mutex<Stream>,
}

/// The answer to a read.
#[derive(Clone, Debug)]
pub struct Answer {
    /// How the read ended.
    pub outcome: Outcome,
    /// The layer that answered.
    pub layer: Layer,
    /// What it answered; its row has no value if the row does not exist.
    pub entry: Entry,
}

/// The acknowledgement of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// The layer that vouches for the write: the origin, or for write-behind the remote layer.
    pub layer: Layer,
    /// The version written.
    pub version: layer::Version,
    /// When it was committed, or for write-behind accepted.
    pub committed_at: Timestamp,
}

/// The engine could not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// The origin failed, and no layer could answer in its place.
    #[error("the origin failed: {0}")]
    Origin(LayerError),
    /// The remote layer failed at something that only it can do.
    #[error("the remote layer failed: {0}")]
    Remote(LayerError),
    /// The operation does not fit the data type's strategy.
    #[error("{operation} cannot be asked of {data_type}: its strategy is {strategy}")]
    WrongStrategy {
        /// What was asked.
        operation: &'static str,
        /// Of what.
        data_type: Arc<str>,
        /// Why not.
        strategy: &'static str,
    },
}

/// What a flight fetches: who had it, and what it was.
type Fetch = Result<Fetched, EngineError>;

/// An entry and where it was found.
#[derive(Clone, Debug)]
struct Fetched {
    entry: Entry,
    layer: Layer,
    how: How,
    /// Whether layers above may keep it: not if the remote layer knew of something newer.
    keep: bool,
}

/// How a fetch came by its entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// As it should.
    Plainly,
    /// Another instance loaded it, and this one waited.
    Waited,
    /// The remote layer was there but failed.
    Bypassed,
    /// It is past its TTL, and nothing fresh could be had at once.
    Stale,
}

impl<R: Remote, O: Origin> Engine<R, O> {
    /// An engine over these layers; a layer that is `None` is left out.
    pub fn new(
        policies: Arc<PolicyTable>,
        local: Option<LocalConfig>,
        remote: Option<R>,
        origin: O,
        surroundings: Surroundings,
    ) -> Self {
        let Surroundings {
            clock,
            seed,
            observer,
            instance,
        } = surroundings;
        // Greater than that of an earlier life of this instance, and never 0.
        let incarnation = clock.now().as_unix_nanos().max(1);
        Self {
            generations: Generations::new(&policies),
            talk: Talk::new(InvalidationConfig::default(), incarnation),
            policies,
            clock,
            observer,
            instance,
            local: local.map(LocalLayer::new),
            remote,
            origin: Arc::new(origin),
            flights: FlightTable::new(),
            waiters: Waiters::default(),
            refreshes: Refreshes::default(),
            late: LateLoads::default(),
            soft_timeout: None,
            write_behind: WriteBehind::default(),
            versions: Versions::default(),
            random: Mutex::new(seed.stream_of("engine", instance)),
        }
    }

    /// The same with these limits of write-behind.
    #[must_use]
    pub fn with_write_behind(mut self, limits: WriteBehind) -> Self {
        self.write_behind = limits;
        self
    }

    /// The same, with readers that have a stale value waiting no longer than `soft` for a fresh one.
    /// Needs [`Engine::finish_late_loads`] to be polled.
    #[must_use]
    pub fn with_soft_timeout(mut self, soft: Option<Duration>) -> Self {
        self.soft_timeout = soft;
        self
    }

    /// The policy table.
    pub fn policies(&self) -> &Arc<PolicyTable> {
        &self.policies
    }

    /// The clock.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// How many entries the local layer holds now.
    pub fn local_entries(&self) -> usize {
        self.local.as_ref().map_or(0, LocalLayer::len)
    }

    /// What the local layer holds now; `None` without one.
    pub fn local_usage(&self) -> Option<LocalUsage> {
        self.local.as_ref().map(LocalLayer::usage)
    }

    /// Counts an arrival at the counter `key` and says whether it may pass.
    ///
    /// # Errors
    /// If the data type is no counter, or if neither the remote layer nor the origin could count.
    /// The caller decides whether an uncounted request may pass.
    pub async fn admit(&self, data_type: DataTypeId, key: &Key) -> Result<Admission, EngineError> {
        let policy = self.policies.get(data_type);
        let Some(limit) = policy.limit else {
            return Err(wrong_strategy("admit", policy));
        };
        let Some(remote) = &self.remote else {
            return Box::pin(self.admit_at_origin(data_type, key, limit)).await;
        };
        match remote.admit(key, limit).await {
            Ok(admission) => Ok(admission),
            Err(error) => {
                self.failed(Layer::Remote, &error);
                match error {
                    LayerError::Unsupported(..) => {
                        Box::pin(self.admit_at_origin(data_type, key, limit)).await
                    }
                    error => Err(EngineError::Remote(error)),
                }
            }
        }
    }

    async fn admit_at_origin(
        &self,
        data_type: DataTypeId,
        key: &Key,
        limit: Limit,
    ) -> Result<Admission, EngineError> {
        let counted = self.origin.admit(data_type, key, limit).await;
        counted.map_err(EngineError::Origin)
    }

    fn emit(&self, event: &Event<'_>) {
        self.observer.observe(event);
    }

    /// Tells of a failure. What a layer cannot do at all is none.
    fn failed(&self, layer: Layer, error: &LayerError) {
        self.emit(&match *error {
            LayerError::Unsupported(_, what) => Event::Unsupported { layer, what },
            _ => Event::LayerFailed { layer, error },
        });
    }

    /// `ttl`, shortened by a random share of up to the data type's jitter.
    fn jittered(&self, policy: &DataType, ttl: Duration) -> Duration {
        if policy.ttl_jitter.0 <= 0.0 {
            return ttl;
        }
        let share: f64 = self.random.lock().random();
        ttl.mul_f64(1.0 - policy.ttl_jitter.0 * share)
    }

    /// The entry of a row that the origin gave just now, after `load_time`.
    fn entry(&self, policy: &DataType, row: Row, load_time: Duration) -> Entry {
        let now = self.clock.now();
        let row = sliding::at(policy, row, now);
        let fresh_until = match (&row.value, &policy.sliding) {
            (None, _) => now + self.jittered(policy, policy.negative_ttl.unwrap_or_default()),
            (Some(_), None) => now + self.jittered(policy, policy.ttl),
            (Some(_), Some(sliding)) => sliding.end(&row),
        };
        Entry {
            row,
            // The age counts from the read's start: the row may have changed since then.
            fetched_at: now - load_time,
            fresh_until,
            load_time,
            // Who loads corrects it to what it knew at the beginning.
            generation: self.generations.now(),
        }
    }

    /// How long the remote layer keeps `entry`; `None` if it does not keep it at all.
    fn remote_ttl(&self, policy: &DataType, entry: &Entry) -> Option<Duration> {
        let kept = entry.row.value.is_some() || policy.negative_ttl.is_some();
        let fresh_for = entry.fresh_until.since(self.clock.now());
        if policy.sliding.is_some() {
            return kept.then(|| fresh_for.min(policy.ttl));
        }
        kept.then(|| fresh_for + policy.serve_stale.unwrap_or_default())
    }

    /// Offers `entry` to the local layer. Must be called under the key's lock of the flight table.
    fn keep_locally(&self, data_type: DataTypeId, key: &Key, entry: &Entry) {
        let policy = self.policies.get(data_type);
        let (Some(local), Some(local_ttl)) = (&self.local, policy.local_ttl) else {
            return;
        };
        // What slides, the remote layer alone keeps.
        let absent = entry.row.value.is_none() && policy.negative_ttl.is_none();
        if absent || policy.sliding.is_some() {
            return;
        }
        // Never longer than the entry itself is fresh.
        let local_ttl = self.local_ttl_now(policy, self.jittered(policy, local_ttl));
        let deadline = (self.clock.now() + local_ttl).min(entry.fresh_until);
        if policy.consistency == data_type::Consistency::Naive {
            local.remove(key);
        }
        if local.fill(key, entry.clone(), deadline) == layer::Fill::Refused {
            self.emit(&Event::FillRefused {
                data_type,
                layer: Layer::Local,
            });
        }
    }

    fn drop_locally(&self, key: &Key, floor: layer::Version) {
        self.flights.invalidate(key, floor, || {
            if let Some(local) = &self.local {
                local.remove(key);
            }
        });
    }
}

fn wrong_strategy(operation: &'static str, policy: &DataType) -> EngineError {
    let strategy = match policy.strategy {
        data_type::Strategy::CacheAside => "cache-aside",
        data_type::Strategy::WriteThrough => "write-through",
        data_type::Strategy::WriteBehind => "write-behind",
        data_type::Strategy::Counter => "counter",
    };
    EngineError::WrongStrategy {
        operation,
        data_type: Arc::clone(&policy.name),
        strategy,
    }
}
