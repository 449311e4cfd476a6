//! Warming: loads the keys that will be asked for before users ask, at start and periodically, so
//! that a deployment does not send its users' misses to the origin all at once (ADR, "Cache
//! Warming" and "Plan for cache pre-warming during deployments").
//!
//! A round goes through the engine's own read path, so what protects a user's load protects this
//! one, and what another instance has loaded is found in the remote layer and not loaded again. Of
//! entries that are there, those that would end before the next round are loaded anew.
//!
//! **One instance at a time**, by a lock in the remote layer: so the bound on loads at once holds
//! for all instances together, and those that come later find everything loaded. A round has a time
//! limit, waiting for its turn included; what was not reached then is skipped and told. Without a
//! remote layer, or while it is away, each instance goes alone.
//!
//! Which keys, the engine does not know: its owner says ([`Popular`]). Called by the engine's owner,
//! who polls [`Engine::keep_warm`].

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use rand::RngExt;

use super::Engine;
use super::data_type::{DataType, DataTypeId, Key, Strategy};
use super::event::Event;
use super::layer::{Entry, Origin, Outcome, Remote};
use super::read::Looked;
use super::stampede::refresh::Anew;
use crate::clock::Timestamp;

/// The lock that instances take in turn. No key of a data type has this name.
const TURN: &str = "#warming";
/// Periods differ by up to this share, so that instances do not come in step.
const PERIOD_JITTER: f64 = 0.1;
/// An entry that ends within so many periods is loaded anew: the next round may come a little late,
/// and takes a while itself.
const AHEAD_PERIODS: f64 = 1.25;

/// Says which keys will be asked for.
pub trait Popular: Send + Sync + 'static {
    /// The keys, the most popular first. Asked before every round.
    fn keys(&self) -> Vec<(DataTypeId, Key)>;
}

impl Popular for Vec<(DataTypeId, Key)> {
    fn keys(&self) -> Vec<(DataTypeId, Key)> {
        self.clone()
    }
}

/// How an instance warms.
#[derive(Clone)]
pub struct Warming {
    /// What.
    pub popular: Arc<dyn Popular>,
    /// How many keys at once; at least 1, and 0 is taken for 1.
    pub concurrency: usize,
    /// How often again; `None`: never.
    pub every: Option<Duration>,
    /// How long a round may take, waiting for its turn included.
    pub limit: Duration,
}

impl Warming {
    /// The shortest time that an entry must live so that it does not end between two rounds.
    pub fn lifetime_min(every: Duration) -> Duration {
        every.mul_f64(AHEAD_PERIODS)
    }
}

/// What became of a key in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Warmed {
    /// It was nowhere, and was loaded.
    Loaded,
    /// It would have ended before the next round, and was loaded anew.
    Renewed,
    /// It was there, or another was loading it.
    Found,
    /// It could not be loaded.
    Failed,
    /// The round ended before its turn came.
    Skipped,
}

/// What became of the keys of a round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Warmth {
    /// Those that were nowhere, and were loaded.
    pub loaded: u64,
    /// Those that would have ended before the next round, and were loaded anew.
    pub renewed: u64,
    /// Those that were there.
    pub found: u64,
    /// Those that could not be loaded.
    pub failed: u64,
    /// Those that the round did not come to within its time limit.
    pub skipped: u64,
}

impl Warmth {
    /// All keys.
    pub fn keys(&self) -> u64 {
        self.loaded + self.renewed + self.found + self.failed + self.skipped
    }

    /// One more key.
    pub fn count(&mut self, warmed: Warmed) {
        let counter = match warmed {
            Warmed::Loaded => &mut self.loaded,
            Warmed::Renewed => &mut self.renewed,
            Warmed::Found => &mut self.found,
            Warmed::Failed => &mut self.failed,
            Warmed::Skipped => &mut self.skipped,
        };
        *counter += 1;
    }

    /// The sum of both.
    pub fn add(&mut self, other: &Self) {
        self.loaded += other.loaded;
        self.renewed += other.renewed;
        self.found += other.found;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl<R: Remote, O: Origin> Engine<R, O> {
    /// Warms now if `at_start`, and then every period, for as long as it is polled.
    pub async fn keep_warm(&self, warming: &Warming, at_start: bool) {
        if at_start {
            self.warm(warming).await;
        }
        let Some(every) = warming.every else { return };
        loop {
            let share = self
                .random
                .lock()
                .random_range(-PERIOD_JITTER..=PERIOD_JITTER);
            self.clock.sleep(every.mul_f64(1.0 + share)).await;
            self.warm(warming).await;
        }
    }

    /// One round: waits for this instance's turn, then brings every key into the cache.
    pub async fn warm(&self, warming: &Warming) -> Warmth {
        let keys = warming.popular.keys();
        let began = self.clock.now();
        self.emit(&Event::WarmingBegan { keys: keys.len() });
        let mut round = Round {
            keys: &keys,
            concurrency: warming.concurrency.max(1),
            every: warming.every,
            done: vec![false; keys.len()],
            warmth: Warmth::default(),
        };
        let (turn, token) = (Key::new(TURN), self.token());
        let deadline = began + warming.limit;
        if self.wait_for_lock(&turn, token, deadline).await {
            let rest = deadline.since(self.clock.now());
            // In time or not: what was done is in the round.
            let bounded = self.clock.timeout(rest, self.warm_all(&mut round));
            let _ = self.holding(&turn, token, bounded).await;
        }
        for at in 0..keys.len() {
            if !round.done[at] {
                self.end_with_key(&mut round, at, Warmed::Skipped);
            }
        }
        let warmth = round.warmth;
        self.emit(&Event::WarmingEnded {
            warmth,
            took: self.clock.now().since(began),
        });
        warmth
    }

    async fn warm_all(&self, round: &mut Round<'_>) {
        let mut next = 0;
        let mut warming = FuturesUnordered::new();
        loop {
            while warming.len() < round.concurrency && next < round.keys.len() {
                let (data_type, key) = &round.keys[next];
                warming.push(self.warm_numbered(next, *data_type, key, round.every));
                next += 1;
            }
            let Some((at, warmed)) = warming.next().await else {
                return;
            };
            self.end_with_key(round, at, warmed);
        }
    }

    fn end_with_key(&self, round: &mut Round<'_>, at: usize, warmed: Warmed) {
        round.done[at] = true;
        round.warmth.count(warmed);
        let data_type = round.keys[at].0;
        self.emit(&Event::Warmed { data_type, warmed });
    }

    async fn warm_numbered(
        &self,
        at: usize,
        data_type: DataTypeId,
        key: &Key,
        every: Option<Duration>,
    ) -> (usize, Warmed) {
        (at, self.warm_one(data_type, key, every).await)
    }

    async fn warm_one(&self, data_type: DataTypeId, key: &Key, every: Option<Duration>) -> Warmed {
        let policy = self.policies.get(data_type);
        if policy.strategy == Strategy::Counter {
            return Warmed::Failed;
        }
        // A failure was told.
        let Ok(answer) = self.get(data_type, key).await else {
            return Warmed::Failed;
        };
        let ahead = every.map(Warming::lifetime_min).unwrap_or_default();
        let until = self.clock.now() + ahead;
        match answer.outcome {
            Outcome::Miss | Outcome::Bypass => Warmed::Loaded,
            Outcome::Coalesced | Outcome::NegativeHit => Warmed::Found,
            _ if self.ends(policy, &answer.entry) > until => Warmed::Found,
            _ => self.renew_entry(data_type, policy, key, until).await,
        }
    }

    /// When `entry` has to be loaded again.
    fn ends(&self, policy: &DataType, entry: &Entry) -> Timestamp {
        match (&self.remote, policy.local_ttl) {
            (None, Some(local_ttl)) => {
                let shortest = local_ttl.mul_f64(1.0 - policy.ttl_jitter.0);
                entry.fresh_until.min(entry.fetched_at + shortest)
            }
            _ => entry.fresh_until,
        }
    }

    async fn renew_entry(
        &self,
        data_type: DataTypeId,
        policy: &DataType,
        key: &Key,
        until: Timestamp,
    ) -> Warmed {
        // Another instance may have renewed it already; the local layer does not know.
        let epoch = self.flights.epoch(key);
        if self.remote.is_some()
            && let Looked::Fresh(entry) = self.look_remotely(data_type, key).await
            && self.ends(policy, &entry) > until
        {
            self.flights
                .if_still(key, epoch, || self.keep_locally(data_type, key, &entry));
            return Warmed::Found;
        }
        match self.load_anew(data_type, key).await {
            Anew::Loaded => Warmed::Renewed,
            Anew::ByAnother => Warmed::Found,
            Anew::Failed => Warmed::Failed,
        }
    }
}

/// A round under way.
struct Round<'k> {
    keys: &'k [(DataTypeId, Key)],
    concurrency: usize,
    every: Option<Duration>,
    done: Vec<bool>,
    warmth: Warmth,
}

#[cfg(test)]
mod tests;
