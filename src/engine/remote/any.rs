//! The remote layer on whichever store a scenario names, so that one engine type serves all.
//!
//! Hands every call on to the store; adds nothing to it.

use std::time::Duration;

use super::memcached::{MemcachedOptions, MemcachedRemote};
use super::none::NoRemote;
use super::redis::{RedisOptions, RedisRemote};
use super::redis_partitions::RedisPartitions;
use super::redis_subscription::RedisSubscription;
use crate::engine::data_type::{Key, Limit, PolicyTable};
use crate::engine::invalidation::glob::Glob;
use crate::engine::invalidation::markers::{Marker, Scope};
use crate::engine::layer::{
    Admission, Entry, Fill, Generation, LayerError, Leased, Notice, Remote, Subscription, Token,
    Version,
};
use crate::engine::queue::{Appended, Delivery, Queue, QueueId, QueuedWrite, TakenBack, Waiting};

/// How to reach a store.
#[derive(Clone, Debug)]
pub enum RemoteOptions {
    /// Redis or Valkey.
    Redis(RedisOptions),
    /// memcached.
    Memcached(MemcachedOptions),
}

impl RemoteOptions {
    /// How long an operation may take.
    pub fn timeout(&self) -> Duration {
        match self {
            Self::Redis(options) => options.timeout,
            Self::Memcached(options) => options.timeout,
        }
    }
}

/// The remote layer on one of the stores.
#[derive(Debug)]
pub enum AnyRemote {
    /// Redis or Valkey.
    Redis(Box<RedisRemote>),
    /// memcached.
    Memcached(MemcachedRemote),
}

impl AnyRemote {
    /// Connects. The runtime that this is called on carries the connections.
    ///
    /// # Errors
    /// If the store does not answer within its time limit.
    pub async fn connect(options: RemoteOptions) -> Result<Self, LayerError> {
        match options {
            RemoteOptions::Redis(options) => RedisRemote::connect(options)
                .await
                .map(|remote| Self::Redis(Box::new(remote))),
            RemoteOptions::Memcached(options) => {
                MemcachedRemote::connect(options).await.map(Self::Memcached)
            }
        }
    }

    /// The same, for keys of `policies`; a store that lays all keys out alike stays as it is.
    #[must_use]
    pub fn serving(self, policies: &PolicyTable) -> Self {
        match self {
            Self::Redis(store) => Self::Redis(Box::new(store.serving(policies))),
            store @ Self::Memcached(_) => store,
        }
    }

    /// The same, telling by itself of changes to keys that begin with one of `prefixes`; a store that
    /// cannot stays as it is.
    #[must_use]
    pub fn tracking(self, prefixes: Vec<String>) -> Self {
        match self {
            Self::Redis(store) => Self::Redis(Box::new(store.tracking(prefixes))),
            store @ Self::Memcached(_) => store,
        }
    }
}

/// Calls the same method of whichever store it is.
macro_rules! on_store {
    ($remote:expr, $store:ident => $call:expr) => {
        match $remote {
            AnyRemote::Redis($store) => $call,
            AnyRemote::Memcached($store) => $call,
        }
    };
}

impl Remote for AnyRemote {
    type Subscription = AnySubscription;
    type Queue = AnyQueue;

    async fn get(&self, key: &Key) -> Result<Option<Entry>, LayerError> {
        on_store!(self, store => store.get(key).await)
    }

    async fn fill(&self, key: &Key, entry: &Entry, ttl: Duration) -> Result<Fill, LayerError> {
        on_store!(self, store => store.fill(key, entry, ttl).await)
    }

    async fn get_and_extend(&self, key: &Key, ttl: Duration) -> Result<Option<Entry>, LayerError> {
        on_store!(self, store => store.get_and_extend(key, ttl).await)
    }

    async fn fill_sliding(
        &self,
        key: &Key,
        entry: &Entry,
        ttl: Duration,
    ) -> Result<Fill, LayerError> {
        on_store!(self, store => store.fill_sliding(key, entry, ttl).await)
    }

    async fn overwrite(&self, key: &Key, entry: &Entry, ttl: Duration) -> Result<(), LayerError> {
        on_store!(self, store => store.overwrite(key, entry, ttl).await)
    }

    async fn get_or_lease(
        &self,
        key: &Key,
        token: Token,
        ttl: Duration,
    ) -> Result<Leased, LayerError> {
        on_store!(self, store => store.get_or_lease(key, token, ttl).await)
    }

    async fn fill_leased(
        &self,
        key: &Key,
        token: Token,
        entry: Option<(&Entry, Duration)>,
    ) -> Result<Fill, LayerError> {
        on_store!(self, store => store.fill_leased(key, token, entry).await)
    }

    async fn lock(&self, key: &Key, token: Token, ttl: Duration) -> Result<bool, LayerError> {
        on_store!(self, store => store.lock(key, token, ttl).await)
    }

    async fn renew_lock(&self, key: &Key, token: Token, ttl: Duration) -> Result<bool, LayerError> {
        on_store!(self, store => store.renew_lock(key, token, ttl).await)
    }

    async fn unlock(&self, key: &Key, token: Option<Token>) -> Result<(), LayerError> {
        on_store!(self, store => store.unlock(key, token).await)
    }

    async fn invalidate(&self, keys: &[Key], version: Version) -> Result<(), LayerError> {
        on_store!(self, store => store.invalidate(keys, version).await)
    }

    async fn raise(&self, scope: &Scope, known: Generation) -> Result<Generation, LayerError> {
        on_store!(self, store => store.raise(scope, known).await)
    }

    async fn reconcile(&self, known: &[Marker]) -> Result<Vec<Marker>, LayerError> {
        on_store!(self, store => store.reconcile(known).await)
    }

    async fn sweep(
        &self,
        globs: &[Glob],
        belongs: impl Fn(&Key) -> bool + Send + Sync,
    ) -> Result<u64, LayerError> {
        on_store!(self, store => store.sweep(globs, belongs).await)
    }

    async fn held(&self, keys: &[Key]) -> Result<Vec<Option<Version>>, LayerError> {
        on_store!(self, store => store.held(keys).await)
    }

    fn announces_changes(&self) -> bool {
        on_store!(self, store => store.announces_changes())
    }

    async fn publish(&self, notice: &Notice) -> Result<(), LayerError> {
        on_store!(self, store => store.publish(notice).await)
    }

    async fn subscribe(&self) -> Result<AnySubscription, LayerError> {
        match self {
            Self::Redis(store) => store.subscribe().await.map(AnySubscription::Redis),
            Self::Memcached(store) => store.subscribe().await.map(AnySubscription::None),
        }
    }

    async fn append(
        &self,
        write: &QueuedWrite,
        entry: &Entry,
        ttl: Duration,
        queue_max: u64,
    ) -> Result<Appended, LayerError> {
        on_store!(self, store => store.append(write, entry, ttl, queue_max).await)
    }

    async fn queue(&self, consumer: &str) -> Result<AnyQueue, LayerError> {
        match self {
            Self::Redis(store) => {
                let queue = store.queue(consumer).await?;
                Ok(AnyQueue::Redis(Box::new(queue)))
            }
            Self::Memcached(store) => store.queue(consumer).await.map(AnyQueue::None),
        }
    }

    async fn admit(&self, key: &Key, limit: Limit) -> Result<Admission, LayerError> {
        on_store!(self, store => store.admit(key, limit).await)
    }
}

/// What [`AnyRemote`] listens with.
#[derive(Debug)]
pub enum AnySubscription {
    /// Over Redis' pub/sub.
    Redis(RedisSubscription),
    /// Stores without one have no value here.
    None(NoRemote),
}

impl Subscription for AnySubscription {
    async fn next(&mut self) -> Option<Notice> {
        match self {
            Self::Redis(subscription) => subscription.next().await,
            Self::None(never) => never.next().await,
        }
    }
}

/// What [`AnyRemote`] queues with.
#[derive(Debug)]
pub enum AnyQueue {
    /// A stream of Redis.
    Redis(Box<RedisPartitions>),
    /// Stores without one have no value here.
    None(NoRemote),
}

/// Calls the same method of the queue, if there is one.
macro_rules! on_queue {
    ($any:expr, $queue:ident => $call:expr) => {
        match $any {
            AnyQueue::Redis($queue) => $call,
            AnyQueue::None($queue) => $call,
        }
    };
}

impl Queue for AnyQueue {
    fn is_new(&self) -> bool {
        on_queue!(self, queue => queue.is_new())
    }

    async fn next_batch(&mut self, max: usize) -> Result<Vec<Delivery>, LayerError> {
        on_queue!(self, queue => queue.next_batch(max).await)
    }

    async fn take_back(
        &mut self,
        idle: Option<Duration>,
        max: usize,
        alone_from: u32,
    ) -> Result<TakenBack, LayerError> {
        on_queue!(self, queue => queue.take_back(idle, max, alone_from).await)
    }

    async fn keep(&mut self, ids: &[QueueId]) -> Result<bool, LayerError> {
        on_queue!(self, queue => queue.keep(ids).await)
    }

    async fn acknowledge(&mut self, ids: &[QueueId]) -> Result<(), LayerError> {
        on_queue!(self, queue => queue.acknowledge(ids).await)
    }

    async fn bury(&mut self, delivery: &Delivery, reason: &str) -> Result<(), LayerError> {
        on_queue!(self, queue => queue.bury(delivery, reason).await)
    }

    async fn waiting(&mut self) -> Result<Waiting, LayerError> {
        on_queue!(self, queue => queue.waiting().await)
    }
}
