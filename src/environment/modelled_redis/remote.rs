//! The remote layer on a modelled Redis: what each operation of `engine/remote/redis*.rs` and of its Lua
//! scripts does, done natively to the same keys.
//!
//! Each instance has one. A script is one closure here, carried out as a whole at the server; beside each
//! stands what real Redis counts of it. One part of the layer per file. It must never do what the scripts
//! do not.

mod broad;
mod counters;
mod entries;
mod leases;
mod queue;
mod subscription;

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

pub use self::queue::ModelledStream;
pub use self::subscription::ModelledSubscription;
use super::deployment::ModelledRedis;
use super::server::Server;
use super::shard::Ask;
use super::thread::Command;
use crate::engine::data_type::{Key, Limit, PolicyTable};
use crate::engine::invalidation::glob::Glob;
use crate::engine::invalidation::markers::{Marker, Scope};
use crate::engine::layer::{
    Admission, Appended, Entry, Fill, Generation, LayerError, Leased, Notice, QueuedWrite, Remote,
    Token, Version,
};
use crate::engine::remote::redis::{Keys, NAME};
use crate::engine::remote::redis_partitions::{LastSeen, Partitions};

/// An instance's connection to a modelled Redis.
#[derive(Debug)]
pub struct ModelledRemote {
    redis: ModelledRedis,
    timeout: Duration,
    keys: Keys,
    /// Beginnings of keys whose changes subscribers are told of; none for pub/sub.
    tracked: Vec<String>,
    last_seen: LastSeen,
    /// Spreads what may go to any primary.
    turn: AtomicUsize,
}

impl ModelledRemote {
    pub(super) fn new(redis: ModelledRedis, timeout: Duration) -> Self {
        Self {
            // The prefix is counted, not spelled.
            keys: Keys::new(String::new(), redis.is_cluster()),
            redis,
            timeout,
            tracked: Vec::new(),
            last_seen: LastSeen::default(),
            turn: AtomicUsize::new(0),
        }
    }

    /// The same layer, for keys of `policies`: see
    /// [`RedisRemote::serving`](crate::engine::remote::redis::RedisRemote::serving).
    #[must_use]
    pub fn serving(mut self, policies: &PolicyTable) -> Self {
        self.keys.serve(policies);
        self
    }

    /// The same, with subscribers told by the servers of every change of a key that begins with one of
    /// `prefixes`.
    #[must_use]
    pub fn tracking(self, prefixes: Vec<String>) -> Self {
        Self {
            tracked: prefixes,
            ..self
        }
    }

    /// As it is spelled on the servers, but for the prefix.
    fn spelled<'k>(&self, key: &'k Key) -> Cow<'k, Key> {
        if self.keys.is_tagged(key) {
            Cow::Owned(Key::new(self.keys.spell(key)))
        } else {
            Cow::Borrowed(key)
        }
    }

    /// Does `act` where `key` stands, spelled as there, in one call.
    async fn at_key<T>(
        &self,
        key: &Key,
        ask: Ask,
        act: impl FnOnce(&mut Server) -> Result<T, LayerError>,
    ) -> Result<T, LayerError> {
        let shard = self.redis.shard_of(key);
        self.redis.call(shard, self.timeout, ask, act).await
    }

    fn lock_key(&self, key: &Key) -> Key {
        Key::new(self.keys.lock_of(key))
    }

    /// A primary for what may go to any, each in turn.
    fn any_shard(&self) -> usize {
        if !self.redis.is_cluster() {
            return 0;
        }
        self.turn.fetch_add(1, Ordering::Relaxed) % self.redis.primaries()
    }
}

impl Remote for ModelledRemote {
    type Subscription = ModelledSubscription;
    type Queue = Partitions<ModelledStream>;

    async fn get(&self, key: &Key) -> Result<Option<Entry>, LayerError> {
        self.get_entry(key).await
    }

    async fn get_and_extend(&self, key: &Key, ttl: Duration) -> Result<Option<Entry>, LayerError> {
        self.get_and_extend_entry(key, ttl).await
    }

    async fn fill(&self, key: &Key, entry: &Entry, ttl: Duration) -> Result<Fill, LayerError> {
        self.fill_entry(key, entry, ttl).await
    }

    async fn fill_sliding(
        &self,
        key: &Key,
        entry: &Entry,
        ttl: Duration,
    ) -> Result<Fill, LayerError> {
        self.fill_sliding_entry(key, entry, ttl).await
    }

    async fn overwrite(&self, key: &Key, entry: &Entry, ttl: Duration) -> Result<(), LayerError> {
        self.overwrite_entry(key, entry, ttl).await
    }

    async fn get_or_lease(
        &self,
        key: &Key,
        token: Token,
        ttl: Duration,
    ) -> Result<Leased, LayerError> {
        self.get_entry_or_lease(key, token, ttl).await
    }

    async fn fill_leased(
        &self,
        key: &Key,
        token: Token,
        entry: Option<(&Entry, Duration)>,
    ) -> Result<Fill, LayerError> {
        self.fill_leased_entry(key, token, entry).await
    }

    async fn lock(&self, key: &Key, token: Token, ttl: Duration) -> Result<bool, LayerError> {
        self.take_lock(key, token, ttl).await
    }

    async fn renew_lock(&self, key: &Key, token: Token, ttl: Duration) -> Result<bool, LayerError> {
        self.hold_lock(key, token, ttl).await
    }

    async fn unlock(&self, key: &Key, token: Option<Token>) -> Result<(), LayerError> {
        self.give_lock_back(key, token).await
    }

    async fn invalidate(&self, keys: &[Key], version: Version) -> Result<(), LayerError> {
        self.invalidate_entries(keys, version).await
    }

    async fn raise(&self, scope: &Scope, known: Generation) -> Result<Generation, LayerError> {
        self.raise_generation(scope, known).await
    }

    async fn reconcile(&self, known: &[Marker]) -> Result<Vec<Marker>, LayerError> {
        self.reconcile_generations(known).await
    }

    async fn sweep(
        &self,
        globs: &[Glob],
        belongs: impl Fn(&Key) -> bool + Send + Sync,
    ) -> Result<u64, LayerError> {
        self.sweep_primaries(globs, belongs).await
    }

    async fn held(&self, keys: &[Key]) -> Result<Vec<Option<Version>>, LayerError> {
        self.versions_of(keys).await
    }

    fn announces_changes(&self) -> bool {
        !self.tracked.is_empty()
    }

    async fn publish(&self, notice: &Notice) -> Result<(), LayerError> {
        let ask = Ask::bringing(Command::Publish, notice_bytes(notice));
        let ask = match notice {
            Notice::Alive { .. } => ask.of_instance(),
            _ => ask,
        };
        let publish = |server: &mut Server| {
            server.publish(notice.clone());
            Ok(())
        };
        self.redis
            .call(self.any_shard(), self.timeout, ask, publish)
            .await
    }

    async fn subscribe(&self) -> Result<ModelledSubscription, LayerError> {
        self.listen().await
    }

    async fn append(
        &self,
        write: &QueuedWrite,
        entry: &Entry,
        ttl: Duration,
        queue_max: u64,
    ) -> Result<Appended, LayerError> {
        self.append_write(write, entry, ttl, queue_max).await
    }

    async fn queue(&self, consumer: &str) -> Result<Self::Queue, LayerError> {
        let consumer = Arc::from(consumer);
        self.open_queue(&consumer).await
    }

    async fn admit(&self, key: &Key, limit: Limit) -> Result<Admission, LayerError> {
        self.count_arrival(key, limit).await
    }
}

/// About as long as its JSON.
fn notice_bytes(notice: &Notice) -> usize {
    const HEAD: usize = 80;
    HEAD + match notice {
        Notice::Invalidated(event) => event.keys.iter().map(|key| key.len() + 3).sum(),
        Notice::Filled(key) => key.len(),
        Notice::Changed(keys) => keys.iter().map(|key| key.len() + 3).sum(),
        Notice::Alive { .. } | Notice::Emptied => 0,
    }
}

/// What Redis says of a key that holds something else.
fn wrong_type() -> LayerError {
    let why = "WRONGTYPE Operation against a key holding the wrong kind of value";
    LayerError::Refused(NAME, why.to_owned())
}
