//! How entries are invalidated: one key, related keys, a pattern of keys, all of a data type; and
//! how every instance comes to know of it (ADR, "Cache Invalidation Strategy").
//!
//! | file | what it does |
//! |---|---|
//! | [`broad`] | `invalidate_pattern` and `invalidate_all`, by generation or by looking for the keys |
//! | [`generation`] | what an instance knows of generations; [`markers`] is the pure part |
//! | [`glob`] | patterns of keys, as in Redis |
//! | [`listen`] | hears the others, says that it lives, notices when it is deaf |
//! | [`loss`] | what becomes of the local layer when notices were lost |
//! | [`sequence`] | finds the holes in what others said |
//!
//! Single and related keys are invalidated on the way of a write, in the write path (`engine/write.rs`).
//! `docs/engine/invalidation.md` says what each means promises and costs. Called by the engine;
//! knows no Redis.

pub mod broad;
pub mod generation;
pub mod glob;
pub mod listen;
pub mod loss;
pub mod markers;
pub mod sequence;

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::data_type::{DataType, DataTypeId, Invalidation, PolicyTable};
use super::layer::{InvalidationEvent, Layer, Notice, Origin, Remote};
use super::{Engine, event::Event};

/// How instances learn which keys were invalidated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    /// The writer publishes the keys.
    #[default]
    Pubsub,
    /// The remote layer itself tells which keys changed (RESP3 client tracking).
    Tracking,
}

/// How many keys at once are invalidated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Broadly {
    /// By a number that entries are held against: one step, however many they are.
    #[default]
    Generation,
    /// By looking for the keys and removing each.
    Scan,
}

/// What becomes of the local layer when notices may have been lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnLoss {
    /// It is emptied at once.
    #[default]
    Flush,
    /// Its versions are compared with those of the remote layer, and what differs is dropped.
    Revalidate,
    /// Nothing: entries are served until their TTL ends. A control, not advice.
    Ignore,
}

/// How invalidations travel between instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidationConfig {
    /// How instances learn which keys were invalidated.
    pub transport: Transport,
    /// How many keys at once are invalidated.
    pub broadly: Broadly,
    /// What becomes of the local layer when notices may have been lost.
    pub on_loss: OnLoss,
    /// How often an instance says that it lives and how far it has come, listens whether it hears
    /// that itself, and asks the remote layer for generations.
    pub heartbeat: Duration,
}

impl Default for InvalidationConfig {
    fn default() -> Self {
        Self {
            transport: Transport::default(),
            broadly: Broadly::default(),
            on_loss: OnLoss::default(),
            heartbeat: Duration::from_secs(1),
        }
    }
}

impl InvalidationConfig {
    /// How long an instance may not hear its own heartbeats until it takes itself for deaf: two may
    /// be lost or late.
    pub fn silence_max(&self) -> Duration {
        self.heartbeat * 2 + self.heartbeat / 2
    }
}

/// How long the local layer of a deaf instance keeps what invalidation by events should end: short
/// enough to bear, long enough that one instance asks once a second and not with every request.
const LOCAL_TTL_WHEN_DEAF: Duration = Duration::from_secs(1);

const NEVER_LISTENED: u8 = 0;
const LISTENING: u8 = 1;
const DEAF: u8 = 2;

/// What an instance keeps for its part in the talk of instances.
#[derive(Debug)]
pub(super) struct Talk {
    config: InvalidationConfig,
    /// This life of the instance.
    incarnation: u64,
    /// The last number given.
    sequence: AtomicU64,
    hearing: AtomicU8,
}

impl Talk {
    /// Before the first word. `incarnation` must be greater than that of an earlier life.
    pub(super) fn new(config: InvalidationConfig, incarnation: u64) -> Self {
        Self {
            config,
            incarnation,
            sequence: AtomicU64::new(0),
            hearing: AtomicU8::new(NEVER_LISTENED),
        }
    }
}

impl<R: Remote, O: Origin> Engine<R, O> {
    /// The same engine, before its first use, with its invalidations travelling as `config` says.
    #[must_use]
    pub fn with_invalidation(self, config: InvalidationConfig) -> Self {
        let talk = Talk::new(config, self.talk.incarnation);
        Self { talk, ..self }
    }

    /// How long the local layer may keep an entry of `policy`, of the `ttl` that it should.
    pub(super) fn local_ttl_now(&self, policy: &DataType, ttl: Duration) -> Duration {
        let deaf = self.talk.hearing.load(Ordering::Relaxed) == DEAF
            && self.talk.config.on_loss != OnLoss::Ignore;
        if deaf && policy.invalidation == Invalidation::Event {
            ttl.min(LOCAL_TTL_WHEN_DEAF)
        } else {
            ttl
        }
    }

    /// Tells the other instances, under the next number. A number whose notice could not be
    /// published is a hole to them, as it should be.
    pub(super) async fn tell(&self, event: InvalidationEvent) {
        let Some(remote) = &self.remote else { return };
        let keys = event.keys.len();
        let event = InvalidationEvent {
            publisher: self.instance,
            incarnation: self.talk.incarnation,
            sequence: self.talk.sequence.fetch_add(1, Ordering::Relaxed) + 1,
            ..event
        };
        match remote.publish(&Notice::Invalidated(event)).await {
            Ok(()) => self.emit(&Event::InvalidationSent { keys }),
            Err(error) => self.failed(Layer::Remote, &error),
        }
    }
}

/// The beginnings of all keys whose changes an instance must hear of, none of them the beginning of
/// another: for [`Transport::Tracking`].
pub fn tracked_prefixes(policies: &PolicyTable) -> Vec<String> {
    let kept = policies.iter().filter(|(_, policy)| {
        policy.local_ttl.is_some() && policy.invalidation == Invalidation::Event
    });
    let mut prefixes: Vec<String> = kept
        .flat_map(|(_, policy)| std::iter::once(&policy.key).chain(&policy.related))
        .map(|pattern| pattern.head().to_owned())
        .collect();
    // In order, a prefix stands right before those that it is the beginning of.
    prefixes.sort();
    prefixes.dedup_by(|later, earlier| later.starts_with(&**earlier));
    prefixes
}

/// The keys of a data type and their related keys, as patterns.
fn globs_of(policies: &PolicyTable, data_type: DataTypeId) -> Vec<glob::Glob> {
    let policy = policies.get(data_type);
    let patterns = std::iter::once(&policy.key).chain(&policy.related);
    // A key pattern that is too long to be a pattern of keys is covered by that of every key.
    patterns
        .map(|pattern| pattern.glob::<u64>(&[]).parse())
        .map(|glob| glob.unwrap_or_else(|_| glob::Glob::all()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::data_type::Strategy;

    fn data_type(key: &str, related: &[&str]) -> DataType {
        let pattern = |text: &str| text.parse().expect("a key pattern");
        DataType {
            related: related.iter().map(|text| pattern(text)).collect(),
            local_ttl: Some(Duration::from_mins(1)),
            invalidation: Invalidation::Event,
            ..DataType::new(
                "any",
                pattern(key),
                Strategy::CacheAside,
                Duration::from_mins(5),
            )
        }
    }

    #[test]
    fn prefixes_do_not_overlap_and_leave_out_what_nobody_keeps() {
        let mut elsewhere = data_type("session:{id}", &[]);
        elsewhere.local_ttl = None;
        let mut by_time = data_type("product:{id}", &[]);
        by_time.invalidation = Invalidation::Time;
        let policies = PolicyTable::new(vec![
            data_type(
                "customer:360:{id}",
                &["customer:{id}", "customer:basic:{id}"],
            ),
            data_type("inventory:{id}:{at}", &[]),
            elsewhere,
            by_time,
        ]);
        assert_eq!(tracked_prefixes(&policies), ["customer:", "inventory:"]);
    }

    #[test]
    fn deafness_is_found_within_three_seconds() {
        let silence = InvalidationConfig::default().silence_max();
        assert!(silence >= Duration::from_secs(2) && silence <= Duration::from_secs(3));
    }
}
