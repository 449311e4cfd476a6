//! L2 on memcached: what it can do, over its meta protocol; what it cannot, it says.
//!
//! memcached has no scripts, so "fill if newer" and its like are loops of look, compare and store
//! if unchanged (CAS), most often of one round: a fill after a miss is an `add`. It has no pub/sub
//! and no queue: [`Remote::publish`], [`Remote::subscribe`], [`Remote::append`] and
//! [`Remote::queue`] are [`LayerError::Unsupported`], and the engine then does without. It counts
//! by `incr` with an expiry, which is a fixed window: up to twice the limit may pass around the
//! window's end. TTLs are whole seconds.
//!
//! The client is our own because those to be had take one command at a time per connection and
//! close it when a caller gives up; this one pipelines, as the engine's 1,000 users need it.

mod connection;
mod protocol;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;

use self::connection::Connection;
use self::protocol::{Cas, Command, Reply, When, WireKey};
use super::wire::{self, Stored};
use crate::clock::Clock;
use crate::engine::data_type::{Key, Limit};
use crate::engine::layer::{
    Admission, Entry, Fill, LayerError, Leased, Notice, Remote, Subscription, Token, Version,
};
use crate::engine::queue::{Appended, Delivery, Queue, QueueId, QueuedWrite, TakenBack, Waiting};

const NAME: &str = "memcached";

/// A load that began before an invalidation is over by then, or its value may be stored.
const TOMBSTONE_TTL: Duration = Duration::from_mins(1);
/// How often a value may change between look and store until we give up. Each change is another's
/// success.
const ROUNDS_MAX: usize = 32;
/// A connection that is silent for this many time limits is made anew.
const PATIENCE_LIMITS: u32 = 4;

/// How to reach memcached, and within what limits.
#[derive(Clone, Debug)]
pub struct MemcachedOptions {
    /// Where it listens.
    pub address: SocketAddr,
    /// Stands before every key, so that runs do not meet.
    pub prefix: String,
    /// How many connections to open.
    pub connections: u16,
    /// How long an operation may take, all its rounds together.
    pub timeout: Duration,
    /// What its time limits are waited for with. The server is real, so this must be, too.
    pub clock: Clock,
    /// Counts the looks that were no lookups of readers, for those who compare with the server.
    pub comparisons: Arc<AtomicU64>,
}

/// The remote layer on memcached.
#[derive(Debug)]
pub struct MemcachedRemote {
    options: MemcachedOptions,
    connections: Box<[Connection]>,
    next: AtomicUsize,
}

/// A value as it was looked at.
struct Held {
    data: Bytes,
    cas: Cas,
}

/// What to do about what is there.
enum Step<T> {
    /// Nothing more.
    Over(T),
    /// Put this in its place, for this long.
    Put(Bytes, Duration, T),
    /// Take it away.
    Drop(T),
}

impl MemcachedRemote {
    /// Connects. The runtime that this is called on carries the connections.
    ///
    /// # Errors
    /// If memcached does not answer within the time limit.
    pub async fn connect(options: MemcachedOptions) -> Result<Self, LayerError> {
        let patience = options.timeout * PATIENCE_LIMITS;
        let open = |_| Connection::open(options.address, patience, options.clock.clone());
        let connections: Box<[_]> = (0..options.connections.max(1)).map(open).collect();
        let remote = Self {
            connections,
            next: AtomicUsize::new(0),
            options,
        };
        for _ in 0..remote.connections.len() {
            match remote.bounded(remote.ask(&Command::Version)).await? {
                Reply::Version(_) => {}
                other => return Err(unexpected(&other)),
            }
        }
        Ok(remote)
    }

    /// One command on the next connection.
    async fn ask(&self, command: &Command<'_>) -> Result<Reply, LayerError> {
        let at = self.next.fetch_add(1, Ordering::Relaxed) % self.connections.len();
        self.connections[at].ask(command).await
    }

    async fn bounded<T>(
        &self,
        work: impl Future<Output = Result<T, LayerError>>,
    ) -> Result<T, LayerError> {
        let limited = self.options.clock.timeout(self.options.timeout, work);
        limited.await.unwrap_or(Err(LayerError::TimedOut(NAME)))
    }

    fn key(&self, key: &Key) -> Result<WireKey, LayerError> {
        wire_key([&self.options.prefix, key.as_str()].concat())
    }

    fn lock_key(&self, key: &Key) -> Result<WireKey, LayerError> {
        wire_key(format!("{}lock:{key}", self.options.prefix))
    }

    async fn look(&self, key: &WireKey) -> Result<Option<Held>, LayerError> {
        match self.ask(&Command::Get(key)).await? {
            Reply::Value {
                data,
                cas: Some(cas),
                ..
            } => Ok(Some(Held { data, cas })),
            Reply::Missing => Ok(None),
            other => Err(unexpected(&other)),
        }
    }

    /// Whether `value` is stored: not if the condition does not hold.
    async fn set(
        &self,
        key: &WireKey,
        value: &[u8],
        ttl: Duration,
        when: When,
    ) -> Result<bool, LayerError> {
        stored(&self.ask(&Command::Set(key, value, ttl, when)).await?)
    }

    async fn drop_key(&self, key: &WireKey, when: When) -> Result<bool, LayerError> {
        match self.ask(&Command::Delete(key, when)).await? {
            Reply::Done | Reply::Missing => Ok(true),
            Reply::Changed | Reply::NotStored => Ok(false),
            other => Err(unexpected(&other)),
        }
    }

    /// Looks at `key` and does what `decide` says of what is there, unless it has changed meanwhile:
    /// then looks again. The first of `lookups` looks are those of a reader.
    async fn rounds<T>(
        &self,
        key: &WireKey,
        lookups: usize,
        decide: impl Fn(Option<&Bytes>) -> Result<Step<T>, LayerError> + Send,
    ) -> Result<T, LayerError> {
        for round in 0..ROUNDS_MAX {
            if round >= lookups {
                self.options.comparisons.fetch_add(1, Ordering::Relaxed);
            }
            let held = self.look(key).await?;
            let step = decide(held.as_ref().map(|held| &held.data))?;
            let when = held.map_or(When::Absent, |held| When::Unchanged(held.cas));
            let (done, result) = match step {
                Step::Over(result) => return Ok(result),
                Step::Put(value, ttl, result) => (self.set(key, &value, ttl, when).await?, result),
                Step::Drop(result) => (self.drop_key(key, when).await?, result),
            };
            if done {
                return Ok(result);
            }
        }
        let text = format!("a value changed {ROUNDS_MAX} times while it was compared");
        Err(LayerError::Refused(NAME, text))
    }

    async fn fill_rounds(
        &self,
        key: &WireKey,
        entry: &Entry,
        ttl: Duration,
    ) -> Result<Fill, LayerError> {
        let value = wire::encode(entry);
        // After a miss there is nothing: one round trip.
        if self.set(key, &value, ttl, When::Absent).await? {
            return Ok(Fill::Stored);
        }
        self.rounds(key, 0, |held| {
            let newer = floor(held).is_some_and(|held| held > entry.row.as_of);
            Ok(if newer {
                Step::Over(Fill::Refused)
            } else {
                Step::Put(value.clone(), ttl, Fill::Stored)
            })
        })
        .await
    }

    async fn invalidate_rounds(&self, key: &WireKey, version: Version) -> Result<(), LayerError> {
        self.rounds(key, 0, |held| {
            let newer = floor(held).is_some_and(|held| held >= version);
            Ok(if newer {
                Step::Over(())
            } else {
                Step::Put(wire::encode_tombstone(version), TOMBSTONE_TTL, ())
            })
        })
        .await
    }

    /// What was read before what is dropped stays out.
    async fn purge_rounds(&self, key: &WireKey) -> Result<(), LayerError> {
        self.rounds(key, 0, |held| {
            let floor = floor(held).filter(|floor| *floor > Version(0));
            Ok(match (held, floor) {
                (None, _) => Step::Over(()),
                (Some(_), None) => Step::Drop(()),
                (Some(_), Some(floor)) => {
                    Step::Put(wire::encode_tombstone(floor), TOMBSTONE_TTL, ())
                }
            })
        })
        .await
    }
}

/// The lease, unless there is an entry or another has it.
fn lease(held: Option<&Bytes>, token: Token, ttl: Duration) -> Result<Step<Leased>, LayerError> {
    let floor = match held.map(decode).transpose()? {
        Some(Stored::Entry(entry)) => return Ok(Step::Over(Leased::Found(entry))),
        Some(Stored::Lease) => return Ok(Step::Over(Leased::Taken)),
        Some(Stored::Tombstone(floor)) => floor,
        None => Version(0),
    };
    let lease = wire::encode_lease_above(floor, token);
    Ok(Step::Put(lease, ttl, Leased::Granted))
}

/// The entry in the lease's place, if it is still ours and the entry is not older than its floor;
/// without an entry, what stood there before the lease.
fn fill_lease(held: Option<&Bytes>, token: Token, entry: Option<(&Entry, Duration)>) -> Step<Fill> {
    let ours = held.filter(|held| wire::is_lease_of(held, token));
    let Some(floor) = floor(ours) else {
        return Step::Over(Fill::Refused);
    };
    match entry {
        Some((entry, _)) if entry.row.as_of < floor => Step::Over(Fill::Refused),
        Some((entry, ttl)) => Step::Put(wire::encode(entry), ttl, Fill::Stored),
        None if floor > Version(0) => {
            Step::Put(wire::encode_tombstone(floor), TOMBSTONE_TTL, Fill::Stored)
        }
        None => Step::Drop(Fill::Stored),
    }
}

/// What is older has no place here.
fn floor(held: Option<&Bytes>) -> Option<Version> {
    wire::floor(held?)
}

impl Remote for MemcachedRemote {
    type Subscription = Never;
    type Queue = Never;

    async fn get(&self, key: &Key) -> Result<Option<Entry>, LayerError> {
        let key = self.key(key)?;
        let held = self.bounded(self.look(&key)).await?;
        match held.as_ref().map(|held| decode(&held.data)).transpose()? {
            Some(Stored::Entry(entry)) => Ok(Some(entry)),
            Some(Stored::Tombstone(_) | Stored::Lease) | None => Ok(None),
        }
    }

    async fn fill(&self, key: &Key, entry: &Entry, ttl: Duration) -> Result<Fill, LayerError> {
        let key = self.key(key)?;
        self.bounded(self.fill_rounds(&key, entry, ttl)).await
    }

    async fn overwrite(&self, key: &Key, entry: &Entry, ttl: Duration) -> Result<(), LayerError> {
        let (key, value) = (self.key(key)?, wire::encode(entry));
        self.bounded(self.set(&key, &value, ttl, When::Always))
            .await
            .map(drop)
    }

    async fn get_or_lease(
        &self,
        key: &Key,
        token: Token,
        ttl: Duration,
    ) -> Result<Leased, LayerError> {
        let key = self.key(key)?;
        self.bounded(self.rounds(&key, 1, |held| lease(held, token, ttl)))
            .await
    }

    async fn fill_leased(
        &self,
        key: &Key,
        token: Token,
        entry: Option<(&Entry, Duration)>,
    ) -> Result<Fill, LayerError> {
        let key = self.key(key)?;
        self.bounded(self.rounds(&key, 0, |held| Ok(fill_lease(held, token, entry))))
            .await
    }

    async fn lock(&self, key: &Key, token: Token, ttl: Duration) -> Result<bool, LayerError> {
        let key = self.lock_key(key)?;
        self.bounded(self.set(&key, &spelled(token), ttl, When::Absent))
            .await
    }

    async fn renew_lock(&self, key: &Key, token: Token, ttl: Duration) -> Result<bool, LayerError> {
        let key = self.lock_key(key)?;
        let ours = spelled(token);
        self.bounded(self.rounds(&key, 0, |held| {
            let held = held.filter(|held| **held == ours);
            Ok(held.map_or(Step::Over(false), |held| Step::Put(held.clone(), ttl, true)))
        }))
        .await
    }

    /// Wakes nobody: there is no pub/sub, so those who wait look by themselves.
    async fn unlock(&self, key: &Key, token: Option<Token>) -> Result<(), LayerError> {
        let key = self.lock_key(key)?;
        let Some(ours) = token.map(spelled) else {
            let dropping = self.bounded(self.drop_key(&key, When::Always));
            return dropping.await.map(drop);
        };
        self.bounded(self.rounds(&key, 0, |held| {
            let held = held.filter(|held| **held == ours);
            Ok(held.map_or(Step::Over(()), |_| Step::Drop(())))
        }))
        .await
    }

    async fn invalidate(&self, keys: &[Key], version: Version) -> Result<(), LayerError> {
        let keys: Result<Vec<_>, _> = keys.iter().map(|key| self.key(key)).collect();
        let keys = keys?;
        let drops = keys.iter().map(|key| async move {
            match version {
                Version(0) => self.purge_rounds(key).await,
                version => self.invalidate_rounds(key, version).await,
            }
        });
        let all = futures_util::future::try_join_all(drops);
        self.bounded(async { all.await.map(drop) }).await
    }

    async fn publish(&self, _: &Notice) -> Result<(), LayerError> {
        Err(LayerError::Unsupported(NAME, "tell other instances"))
    }

    async fn subscribe(&self) -> Result<Never, LayerError> {
        Err(LayerError::Unsupported(NAME, "listen to other instances"))
    }

    async fn append(
        &self,
        _: &QueuedWrite,
        _: &Entry,
        _: Duration,
        _: u64,
    ) -> Result<Appended, LayerError> {
        Err(LayerError::Unsupported(NAME, "queue a write"))
    }

    async fn queue(&self, _: &str) -> Result<Never, LayerError> {
        Err(LayerError::Unsupported(NAME, "give queued writes"))
    }

    /// A fixed window that begins with a key's first arrival: around its end up to twice the limit
    /// may pass within one window's length.
    async fn admit(&self, key: &Key, limit: Limit) -> Result<Admission, LayerError> {
        let key = self.key(key)?;
        let count = Command::Count(&key, limit.window);
        let (data, ttl) = match self.bounded(self.ask(&count)).await? {
            Reply::Value { data, ttl, .. } => (data, ttl),
            other => return Err(unexpected(&other)),
        };
        let count: Option<u64> = std::str::from_utf8(&data)
            .ok()
            .and_then(|text| text.trim().parse().ok());
        let count = count.ok_or_else(|| {
            LayerError::Refused(
                NAME,
                "a counter holds something that is no number".to_owned(),
            )
        })?;
        let admitted = count <= limit.requests;
        Ok(Admission {
            admitted,
            remaining: limit.requests.saturating_sub(count),
            retry_after: if admitted {
                Duration::ZERO
            } else {
                ttl.unwrap_or(limit.window)
            },
        })
    }
}

/// What memcached cannot give: there is no value of this type.
#[derive(Clone, Copy, Debug)]
pub enum Never {}

impl Subscription for Never {
    async fn next(&mut self) -> Option<Notice> {
        match *self {}
    }
}

impl Queue for Never {
    fn is_new(&self) -> bool {
        match *self {}
    }

    async fn next_batch(&mut self, _: usize) -> Result<Vec<Delivery>, LayerError> {
        match *self {}
    }

    async fn take_back(
        &mut self,
        _: Option<Duration>,
        _: usize,
        _: u32,
    ) -> Result<TakenBack, LayerError> {
        match *self {}
    }

    async fn keep(&mut self, _: &[QueueId]) -> Result<bool, LayerError> {
        match *self {}
    }

    async fn acknowledge(&mut self, _: &[QueueId]) -> Result<(), LayerError> {
        match *self {}
    }

    async fn bury(&mut self, _: &Delivery, _: &str) -> Result<(), LayerError> {
        match *self {}
    }

    async fn waiting(&mut self) -> Result<Waiting, LayerError> {
        match *self {}
    }
}

fn wire_key(text: String) -> Result<WireKey, LayerError> {
    WireKey::new(text).map_err(|bad| LayerError::Refused(NAME, bad.to_string()))
}

fn decode(data: &Bytes) -> Result<Stored, LayerError> {
    wire::decode(data).map_err(|foreign| LayerError::Refused(NAME, foreign.to_string()))
}

fn spelled(token: Token) -> Bytes {
    Bytes::from(format!("{:032x}", token.0))
}

fn stored(reply: &Reply) -> Result<bool, LayerError> {
    match reply {
        Reply::Done => Ok(true),
        Reply::NotStored | Reply::Changed | Reply::Missing => Ok(false),
        other => Err(unexpected(other)),
    }
}

fn unexpected(reply: &Reply) -> LayerError {
    let text = match reply {
        Reply::Failed(text) | Reply::Misunderstood(text) => text.clone(),
        other => format!("an answer that fits no question: {other:?}"),
    };
    LayerError::Refused(NAME, text)
}
