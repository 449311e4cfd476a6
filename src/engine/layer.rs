//! What every layer and the origin speak: entries, versions, outcomes, and their traits.
//!
//! The remote layer is a trait of meaning, not of commands ("fill if newer", not "SET"), so that
//! Redis, memcached and a model in virtual time can each do it in their own way. Knows no
//! implementation of itself.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::data_type::{DataTypeId, Key, Limit};
use super::invalidation::glob::Glob;
use super::invalidation::markers::{Marker, Scope};
pub use super::notice::{InvalidationEvent, Notice, Subscription};
pub use super::queue::{Appended, Delivery, Queue, QueueId, QueuedWrite, TakenBack, Waiting};
use crate::clock::Timestamp;

/// The commit version of a row, given by the origin; it grows with every commit and never shrinks.
/// Below 2^53, so that Lua's numbers hold it exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u64);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How many broad invalidations had been made, in a manner of counting that only grows, when an
/// entry's load began. An entry below the generation of a [`Marker`] that concerns it is outdated.
/// Below 2^53, as a [`Version`].
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Generation(pub u64);

/// Who holds data, from the user inwards.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Layer {
    /// L3, the CDN.
    Edge,
    /// L1, in the service instance.
    Local,
    /// L2, Redis or memcached.
    Remote,
    /// The database.
    Origin,
}

impl Layer {
    /// Every layer, from the user inwards.
    pub const ALL: [Self; 4] = [Self::Edge, Self::Local, Self::Remote, Self::Origin];

    /// The layer's word in files and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Edge => "edge",
            Self::Local => "local",
            Self::Remote => "remote",
            Self::Origin => "origin",
        }
    }
}

/// What an operation asks of the engine.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    /// Read a value.
    Get,
    /// Write a value.
    Put,
    /// Drop a value from every layer without writing.
    Invalidate,
    /// Drop from every layer what shares all parameters of the key but the last.
    #[serde(rename = "invalidate_pattern")]
    InvalidatePattern,
    /// Drop every value of the data type from every layer.
    #[serde(rename = "invalidate_all")]
    InvalidateAll,
    /// Count an arrival and say whether it may pass.
    Admit,
}

impl Operation {
    /// Every operation.
    pub const ALL: [Self; 6] = [
        Self::Get,
        Self::Put,
        Self::Invalidate,
        Self::InvalidatePattern,
        Self::InvalidateAll,
        Self::Admit,
    ];

    /// The operation's word in files and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Put => "put",
            Self::Invalidate => "invalidate",
            Self::InvalidatePattern => "invalidate_pattern",
            Self::InvalidateAll => "invalidate_all",
            Self::Admit => "admit",
        }
    }
}

/// How an operation ended.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// A layer had a fresh value.
    Hit,
    /// A layer had a value past its time, served because it was allowed.
    StaleHit,
    /// A layer knew that the row does not exist.
    NegativeHit,
    /// No layer had it; this request loaded it from the origin.
    Miss,
    /// No local layer had it; another request was fetching it already and this one waited.
    Coalesced,
    /// The cache was left out: it is switched off, or it failed. Also a write that succeeded:
    /// writes pass through the cache to the origin.
    Bypass,
    /// The limit of a counter was reached and the request refused, as it should be.
    Refused,
    /// Answered, but nobody said by whom. Only a service that is not ours leaves that open.
    Unknown,
    /// The operation failed.
    Error,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 9] = [
        Self::Hit,
        Self::StaleHit,
        Self::NegativeHit,
        Self::Miss,
        Self::Coalesced,
        Self::Bypass,
        Self::Refused,
        Self::Unknown,
        Self::Error,
    ];

    /// The outcome's word in files and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::StaleHit => "stale-hit",
            Self::NegativeHit => "negative-hit",
            Self::Miss => "miss",
            Self::Coalesced => "coalesced",
            Self::Bypass => "bypass",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
            Self::Error => "error",
        }
    }
}

/// Whether a read that ended with `outcome`, answered by `layer`, counts as a hit: any answer
/// that a cache layer gave. A coalesced read counts if its leader found the value in a cache.
pub fn is_hit(outcome: Outcome, layer: Layer) -> bool {
    match outcome {
        Outcome::Hit | Outcome::StaleHit | Outcome::NegativeHit => true,
        Outcome::Coalesced => layer != Layer::Origin,
        Outcome::Miss | Outcome::Bypass | Outcome::Refused | Outcome::Unknown | Outcome::Error => {
            false
        }
    }
}

/// A row as the origin gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The value; `None` if the row does not exist (at this version).
    pub value: Option<Bytes>,
    /// The commit that wrote it.
    pub version: Version,
    /// When that commit was made.
    pub committed_at: Timestamp,
    /// The newest commit, of any row, that the origin had made when this row was read. Layers
    /// decide "newer" by this and not by `version`, because a value can be out of date by the
    /// commit of another row that it was made from.
    pub as_of: Version,
}

/// A row as a layer holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The row.
    pub row: Row,
    /// When it was read from the origin; its age counts from here.
    pub fetched_at: Timestamp,
    /// When its TTL ends. A layer may hold it longer, to be served stale where that is allowed.
    pub fresh_until: Timestamp,
    /// How long the origin took to give it: what a reader would wait for a fresh one.
    pub load_time: Duration,
    /// The newest generation that the loader knew of when it began to load.
    pub generation: Generation,
}

/// What became of a value offered to a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    /// It is stored.
    Stored,
    /// The layer knows a newer version, so the value was left out.
    Refused,
}

/// The decision of a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admission {
    /// Whether the request may pass.
    pub admitted: bool,
    /// How many more may pass now.
    pub remaining: u64,
    /// When it is worth to try again; zero if admitted.
    pub retry_after: Duration,
}

/// A layer could not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LayerError {
    /// No answer within the layer's time limit.
    #[error("{0} gave no answer within its time limit")]
    TimedOut(&'static str),
    /// It cannot be reached, or the connection broke.
    #[error("{0} cannot be reached: {1}")]
    Unreachable(&'static str, String),
    /// It answered with an error, or with something that cannot be read.
    #[error("{0} answered with an error: {1}")]
    Refused(&'static str, String),
    /// It has no room for more now and refused without trying; later it may be taken.
    #[error("{0} has no room: {1}")]
    Busy(&'static str, String),
    /// It cannot do this kind of operation at all.
    #[error("{0} cannot do this: {1}")]
    Unsupported(&'static str, &'static str),
}

/// The remote layer, by what it means. Every method answers within the layer's time limit.
pub trait Remote: Send + Sync + 'static {
    /// What [`Remote::subscribe`] gives.
    type Subscription: Subscription;
    /// What [`Remote::queue`] gives.
    type Queue: Queue;

    /// The entry at `key`, if there is one.
    fn get(&self, key: &Key) -> impl Future<Output = Result<Option<Entry>, LayerError>> + Send;

    /// Stores `entry` for `ttl` unless something read or invalidated later is there.
    fn fill(
        &self,
        key: &Key,
        entry: &Entry,
        ttl: Duration,
    ) -> impl Future<Output = Result<Fill, LayerError>> + Send;

    /// The entry at `key`, which lives for `ttl` again from now on, but not past its `fresh_until`.
    fn get_and_extend(
        &self,
        key: &Key,
        ttl: Duration,
    ) -> impl Future<Output = Result<Option<Entry>, LayerError>> + Send {
        let _ = (key, ttl);
        std::future::ready(Err(NO_SLIDING))
    }

    /// As [`Remote::fill`], for an entry that slides: if it replaces one, that one's `fresh_until`
    /// stays, if it is the earlier one.
    fn fill_sliding(
        &self,
        key: &Key,
        entry: &Entry,
        ttl: Duration,
    ) -> impl Future<Output = Result<Fill, LayerError>> + Send {
        let _ = (key, entry, ttl);
        std::future::ready(Err(NO_SLIDING))
    }

    /// Stores `entry` for `ttl` whatever is there: for [`Consistency::Naive`](super::data_type::Consistency).
    fn overwrite(
        &self,
        key: &Key,
        entry: &Entry,
        ttl: Duration,
    ) -> impl Future<Output = Result<(), LayerError>> + Send;

    /// The entry at `key`, or if there is none and nobody loads it, a lease for `ttl`: until then
    /// nobody else gets one, and [`Remote::fill_leased`] with the same token is accepted.
    fn get_or_lease(
        &self,
        key: &Key,
        token: Token,
        ttl: Duration,
    ) -> impl Future<Output = Result<Leased, LayerError>> + Send;

    /// Stores `entry` for `ttl` if the lease with `token` still stands, which no invalidation has
    /// taken away, and tells who waits. `None` gives the lease back without an entry.
    fn fill_leased(
        &self,
        key: &Key,
        token: Token,
        entry: Option<(&Entry, Duration)>,
    ) -> impl Future<Output = Result<Fill, LayerError>> + Send;

    /// Takes the lock of `key` for `ttl`, if nobody has it.
    fn lock(
        &self,
        key: &Key,
        token: Token,
        ttl: Duration,
    ) -> impl Future<Output = Result<bool, LayerError>> + Send;

    /// Holds the lock of `key` for `ttl` from now on. False if it is not ours any more.
    fn renew_lock(
        &self,
        key: &Key,
        token: Token,
        ttl: Duration,
    ) -> impl Future<Output = Result<bool, LayerError>> + Send;

    /// Gives the lock of `key` back if it is ours, and tells who waits. Without a token: whoever
    /// has it, which is the ADR's mistake and only for its control.
    fn unlock(
        &self,
        key: &Key,
        token: Option<Token>,
    ) -> impl Future<Output = Result<(), LayerError>> + Send;

    /// Drops `keys` and leaves tombstones that refuse fills read before the commit `version`.
    /// Version 0 drops although nothing newer is known to exist, and lets the same be filled again;
    /// what was read before what is dropped is refused as before.
    fn invalidate(
        &self,
        keys: &[Key],
        version: Version,
    ) -> impl Future<Output = Result<(), LayerError>> + Send;

    /// Outdates every entry in `scope` that was filled before now, whatever their number. Gives the
    /// generation from which on entries count; it is above `known`.
    fn raise(
        &self,
        scope: &Scope,
        known: Generation,
    ) -> impl Future<Output = Result<Generation, LayerError>> + Send {
        let _ = (scope, known);
        std::future::ready(Err(NO_GENERATIONS))
    }

    /// Puts what is `known` of generations together with what the layer knows, on both sides: gives
    /// what is newer there, and keeps what is newer here. A layer that knows nothing at all makes
    /// everything filled before now outdated, because it may have forgotten.
    fn reconcile(
        &self,
        known: &[Marker],
    ) -> impl Future<Output = Result<Vec<Marker>, LayerError>> + Send {
        let _ = known;
        std::future::ready(Err(NO_GENERATIONS))
    }

    /// Removes every key that matches one of `globs` and that `belongs`, on every primary: all that
    /// are there from the beginning to the end. Tombstones stay. Gives how many were removed.
    fn sweep(
        &self,
        globs: &[Glob],
        belongs: impl Fn(&Key) -> bool + Send + Sync,
    ) -> impl Future<Output = Result<u64, LayerError>> + Send {
        let _ = (globs, belongs);
        let unable = LayerError::Unsupported("this remote layer", "looking for keys by a pattern");
        std::future::ready(Err(unable))
    }

    /// As of which commit each of `keys` is held; `None` where there is no entry.
    fn held(
        &self,
        keys: &[Key],
    ) -> impl Future<Output = Result<Vec<Option<Version>>, LayerError>> + Send {
        let _ = keys;
        let unable = LayerError::Unsupported("this remote layer", "asking for versions alone");
        std::future::ready(Err(unable))
    }

    /// Whether subscribers are told of changed keys by the layer itself, so that instances need not.
    fn announces_changes(&self) -> bool {
        false
    }

    /// Forgets what it keeps in this process for itself, as in one that has just started.
    fn begin_anew(&self) {}

    /// Tells every instance that listens, this one included.
    fn publish(&self, notice: &Notice) -> impl Future<Output = Result<(), LayerError>> + Send;

    /// Listens to what instances tell each other, its own notices included, from when this returns.
    fn subscribe(&self) -> impl Future<Output = Result<Self::Subscription, LayerError>> + Send;

    /// Stores `entry` for `ttl` and appends `write` to the queue of write-behind: both or neither,
    /// and neither if `queue_max` writes wait there already. The queue gives the write and the entry
    /// a version above `write.version` and above that of every write before it. Once this has
    /// failed, the write does not get into the queue any more.
    fn append(
        &self,
        write: &QueuedWrite,
        entry: &Entry,
        ttl: Duration,
        queue_max: u64,
    ) -> impl Future<Output = Result<Appended, LayerError>> + Send;

    /// The queue of write-behind, for the consumer called `consumer`.
    fn queue(&self, consumer: &str)
    -> impl Future<Output = Result<Self::Queue, LayerError>> + Send;

    /// Counts an arrival at `key` against `limit`.
    fn admit(
        &self,
        key: &Key,
        limit: Limit,
    ) -> impl Future<Output = Result<Admission, LayerError>> + Send;
}

/// What a layer says that has no generations.
const NO_GENERATIONS: LayerError = LayerError::Unsupported("this remote layer", "generations");

/// What a layer says that cannot extend what it holds.
const NO_SLIDING: LayerError = LayerError::Unsupported("this remote layer", "sliding expiry");

/// What a layer says to a reader that would load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leased {
    /// There is an entry.
    Found(Entry),
    /// There is none, and this reader alone may load and fill.
    Granted,
    /// There is none, and another reader loads it.
    Taken,
}

/// A proof of ownership that nobody guesses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token(pub u128);

/// The origin: the database that owns the truth.
pub trait Origin: Send + Sync + 'static {
    /// Reads the row of `key`; a row that does not exist is a [`Row`] without value.
    fn load(
        &self,
        data_type: DataTypeId,
        key: &Key,
    ) -> impl Future<Output = Result<Row, LayerError>> + Send;

    /// Commits a new value for the row of `key`.
    fn store(
        &self,
        data_type: DataTypeId,
        key: &Key,
        value: Bytes,
    ) -> impl Future<Output = Result<Row, LayerError>> + Send;

    /// Commits many rows in one transaction; each as an upsert by version, so that a write that
    /// is delivered twice counts once.
    fn store_batch(
        &self,
        writes: &[QueuedWrite],
    ) -> impl Future<Output = Result<(), LayerError>> + Send;

    /// Counts an arrival at `key` against `limit`, where no remote layer does it.
    fn admit(
        &self,
        data_type: DataTypeId,
        key: &Key,
        limit: Limit,
    ) -> impl Future<Output = Result<Admission, LayerError>> + Send;
}
