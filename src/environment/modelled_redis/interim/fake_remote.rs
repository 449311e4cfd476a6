//! A remote layer in memory that instances share: each operation as Redis' scripts do it, but on the
//! test's clock, so that thousands of cases run in paused time. `remote.rs` holds it to the same
//! promises as the real ones.
//!
//! [`Server`] is what would be Redis: it can go away, swallow its answers, lose notices and forget.
//! A [`FakeRemote`] is one instance's connection to it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, Timestamp};
use crate::engine::data_type::{Key, Limit};
use crate::engine::invalidation::glob::Glob;
use crate::engine::invalidation::markers::{Marker, Scope};
use crate::engine::layer::{
    Admission, Appended, Entry, Fill, Generation, LayerError, Leased, Notice, QueuedWrite, Remote,
    Subscription, Token, Version,
};
use crate::engine::rate_limit::Counter;
use crate::engine::write_behind::version::PLACES_PER_MS;
use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::fake_queue::{FakeQueue, Line};

pub const NAME: &str = "the fake remote";
const TOMBSTONE_TTL: Duration = Duration::from_mins(1);
/// How long a writer of write-behind waits for an answer.
const APPEND_LIMIT: Duration = Duration::from_millis(500);

/// How a server is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Away {
    /// Nothing reaches it.
    Gone,
    /// It does what it is asked, and its answers are lost.
    Mute,
}

/// What stands at a key.
#[derive(Clone, Debug)]
enum Held {
    Entry(Entry),
    Tombstone(Version),
    Lease { floor: Version, token: Token },
}

impl Held {
    /// What was read before this does not come in.
    fn floor(&self) -> Version {
        match self {
            Self::Entry(entry) => entry.row.as_of,
            Self::Tombstone(floor) | Self::Lease { floor, .. } => *floor,
        }
    }
}

#[derive(Default)]
pub struct State {
    held: rustc_hash::FxHashMap<Key, (Held, Timestamp)>,
    locks: rustc_hash::FxHashMap<Key, (Token, Timestamp)>,
    generations: BTreeMap<Scope, Generation>,
    counters: rustc_hash::FxHashMap<Key, Counter>,
    subscribers: Vec<mpsc::UnboundedSender<(Timestamp, Notice)>>,
    pub line: Line,
    away: Option<Away>,
    notices_to_lose: usize,
}

impl State {
    fn at(&mut self, key: &Key, now: Timestamp) -> Option<&Held> {
        if self.held.get(key).is_some_and(|(_, until)| *until <= now) {
            self.held.remove(key);
        }
        self.held.get(key).map(|(held, _)| held)
    }

    fn put(&mut self, key: &Key, held: Held, until: Timestamp) {
        self.held.insert(key.clone(), (held, until));
    }

    fn tell(&mut self, notice: &Notice, at: Timestamp) {
        let event = matches!(notice, Notice::Invalidated(_));
        if event && self.notices_to_lose > 0 {
            self.notices_to_lose -= 1;
            return;
        }
        self.subscribers
            .retain(|to| to.send((at, notice.clone())).is_ok());
    }

    /// Removes an entry; what is older than it stays out.
    fn purge(&mut self, key: &Key, now: Timestamp) {
        match self.at(key, now).map(Held::floor) {
            Some(floor) if floor > Version(0) => {
                self.put(key, Held::Tombstone(floor), now + TOMBSTONE_TTL);
            }
            _ => drop(self.held.remove(key)),
        }
    }

    /// Removes an entry; what keeps old values out stays.
    fn sweep(&mut self, key: &Key, now: Timestamp) -> bool {
        match self.at(key, now) {
            None | Some(Held::Tombstone(_)) => false,
            Some(Held::Lease { floor, .. }) if *floor > Version(0) => {
                let floor = *floor;
                if let Some((held, _)) = self.held.get_mut(key) {
                    *held = Held::Tombstone(floor);
                }
                true
            }
            Some(_) => self.held.remove(key).is_some(),
        }
    }
}

/// How long the next way to or from the server takes.
type Pace = Arc<dyn Fn() -> Duration + Send + Sync>;

/// What the instances share.
pub struct Server {
    pub clock: Clock,
    pace: Pace,
    pub state: Mutex<State>,
}

impl Server {
    /// One that answers at once.
    pub fn new(clock: Clock) -> Arc<Self> {
        Self::with_pace(clock, Arc::new(|| Duration::ZERO))
    }

    pub fn with_pace(clock: Clock, pace: Pace) -> Arc<Self> {
        Arc::new(Self {
            clock,
            pace,
            state: Mutex::default(),
        })
    }

    pub fn connect(self: &Arc<Self>) -> FakeRemote {
        FakeRemote {
            server: Arc::clone(self),
        }
    }

    /// Goes away, or comes back. Whoever listened does not any more.
    pub fn set_away(&self, away: Option<Away>) {
        let mut state = self.state.lock();
        state.away = away;
        if away.is_some() {
            state.subscribers.clear();
        }
    }

    /// Ends all subscriptions.
    pub fn cut_subscriptions(&self) {
        self.state.lock().subscribers.clear();
    }

    pub fn subscribers(&self) -> usize {
        self.state.lock().subscribers.len()
    }

    /// The next so many invalidations are told to nobody.
    pub fn lose_notices(&self, count: usize) {
        self.state.lock().notices_to_lose += count;
    }

    /// As `FLUSHALL` of a server that tells its trackers.
    pub fn flush(&self) {
        let now = self.clock.now();
        let mut state = self.state.lock();
        state.held.clear();
        state.locks.clear();
        state.tell(&Notice::Emptied, now);
    }

    pub async fn call<T>(
        &self,
        act: impl FnOnce(&mut State, Timestamp) -> Result<T, LayerError>,
    ) -> Result<T, LayerError> {
        self.clock.sleep((self.pace)()).await;
        let now = self.clock.now();
        let answer = {
            let mut state = self.state.lock();
            match state.away {
                None => act(&mut state, now),
                Some(Away::Gone) => Err(LayerError::Unreachable(NAME, "it is gone".to_owned())),
                Some(Away::Mute) => {
                    // Done, and nobody learns of it.
                    let _ = act(&mut state, now);
                    Err(LayerError::TimedOut(NAME))
                }
            }
        };
        self.clock.sleep((self.pace)()).await;
        answer
    }
}

/// One instance's connection to a [`Server`].
#[derive(Clone)]
pub struct FakeRemote {
    server: Arc<Server>,
}

pub struct FakeSubscription {
    clock: Clock,
    from: mpsc::UnboundedReceiver<(Timestamp, Notice)>,
    /// On its way.
    coming: Option<(Timestamp, Notice)>,
}

impl Subscription for FakeSubscription {
    async fn next(&mut self) -> Option<Notice> {
        if self.coming.is_none() {
            self.coming = self.from.recv().await;
        }
        let (at, _) = self.coming.as_ref()?;
        self.clock.sleep_until(*at).await;
        self.coming.take().map(|(_, notice)| notice)
    }
}

impl Remote for FakeRemote {
    type Subscription = FakeSubscription;
    type Queue = FakeQueue;

    async fn get(&self, key: &Key) -> Result<Option<Entry>, LayerError> {
        let look = |state: &mut State, now| match state.at(key, now) {
            Some(Held::Entry(entry)) => Ok(Some(entry.clone())),
            _ => Ok(None),
        };
        self.server.call(look).await
    }

    async fn fill(&self, key: &Key, entry: &Entry, ttl: Duration) -> Result<Fill, LayerError> {
        let fill = |state: &mut State, now| {
            if state
                .at(key, now)
                .is_some_and(|held| held.floor() > entry.row.as_of)
            {
                return Ok(Fill::Refused);
            }
            state.put(key, Held::Entry(entry.clone()), now + ttl);
            Ok(Fill::Stored)
        };
        self.server.call(fill).await
    }

    async fn overwrite(&self, key: &Key, entry: &Entry, ttl: Duration) -> Result<(), LayerError> {
        let put = |state: &mut State, now| {
            state.put(key, Held::Entry(entry.clone()), now + ttl);
            Ok(())
        };
        self.server.call(put).await
    }

    async fn get_or_lease(
        &self,
        key: &Key,
        token: Token,
        ttl: Duration,
    ) -> Result<Leased, LayerError> {
        let look = |state: &mut State, now| {
            let floor = match state.at(key, now) {
                Some(Held::Entry(entry)) => return Ok(Leased::Found(entry.clone())),
                Some(Held::Lease { .. }) => return Ok(Leased::Taken),
                Some(Held::Tombstone(floor)) => *floor,
                None => Version(0),
            };
            state.put(key, Held::Lease { floor, token }, now + ttl);
            Ok(Leased::Granted)
        };
        self.server.call(look).await
    }

    async fn fill_leased(
        &self,
        key: &Key,
        token: Token,
        entry: Option<(&Entry, Duration)>,
    ) -> Result<Fill, LayerError> {
        let delay = (self.server.pace)();
        let fill = |state: &mut State, now| {
            let ours = match state.at(key, now) {
                Some(Held::Lease { floor, token: held }) if *held == token => Some(*floor),
                _ => None,
            };
            let filled = match (ours, entry) {
                (Some(floor), None) => {
                    if floor > Version(0) {
                        if let Some((held, _)) = state.held.get_mut(key) {
                            *held = Held::Tombstone(floor);
                        }
                    } else {
                        state.held.remove(key);
                    }
                    Fill::Stored
                }
                (Some(floor), Some((entry, ttl))) if entry.row.as_of >= floor => {
                    state.put(key, Held::Entry(entry.clone()), now + ttl);
                    Fill::Stored
                }
                _ => Fill::Refused,
            };
            state.tell(&Notice::Filled(key.as_str().to_owned()), now + delay);
            Ok(filled)
        };
        self.server.call(fill).await
    }

    async fn lock(&self, key: &Key, token: Token, ttl: Duration) -> Result<bool, LayerError> {
        let lock = |state: &mut State, now| {
            let free = state.locks.get(key).is_none_or(|(_, until)| *until <= now);
            if free {
                state.locks.insert(key.clone(), (token, now + ttl));
            }
            Ok(free)
        };
        self.server.call(lock).await
    }

    async fn renew_lock(&self, key: &Key, token: Token, ttl: Duration) -> Result<bool, LayerError> {
        let renew = |state: &mut State, now| {
            let held = state.locks.get_mut(key);
            let ours = held.filter(|(held, until)| *held == token && *until > now);
            Ok(ours.map(|(_, until)| *until = now + ttl).is_some())
        };
        self.server.call(renew).await
    }

    async fn unlock(&self, key: &Key, token: Option<Token>) -> Result<(), LayerError> {
        let delay = (self.server.pace)();
        let unlock = |state: &mut State, now| {
            let held = state.locks.get(key).filter(|(_, until)| *until > now);
            let ours = token.is_none_or(|token| held.is_some_and(|(held, _)| *held == token));
            if ours {
                state.locks.remove(key);
            }
            if ours && token.is_some() {
                state.tell(&Notice::Filled(key.as_str().to_owned()), now + delay);
            }
            Ok(())
        };
        self.server.call(unlock).await
    }

    async fn invalidate(&self, keys: &[Key], version: Version) -> Result<(), LayerError> {
        let invalidate = |state: &mut State, now| {
            for key in keys {
                if version == Version(0) {
                    state.purge(key, now);
                } else if state.at(key, now).is_none_or(|held| held.floor() < version) {
                    state.put(key, Held::Tombstone(version), now + TOMBSTONE_TTL);
                }
            }
            Ok(())
        };
        self.server.call(invalidate).await
    }

    async fn raise(&self, scope: &Scope, known: Generation) -> Result<Generation, LayerError> {
        let raise = |state: &mut State, now: Timestamp| {
            let newest = state.generations.values().copied().max();
            let above = newest.unwrap_or_default().max(known).0 + 1;
            let generation = Generation(above.max(now.as_unix_nanos() / 1_000));
            state.generations.insert(scope.clone(), generation);
            Ok(generation)
        };
        self.server.call(raise).await
    }

    async fn reconcile(&self, known: &[Marker]) -> Result<Vec<Marker>, LayerError> {
        let reconcile = |state: &mut State, now: Timestamp| {
            let held = &mut state.generations;
            if held.is_empty() && known.is_empty() {
                let now = Generation(now.as_unix_nanos() / 1_000);
                held.insert(Scope::Everything, now);
            }
            for marker in known {
                let here = held.entry(marker.scope.clone()).or_default();
                *here = marker.generation.max(*here);
            }
            let news = held.iter().map(|(scope, generation)| Marker {
                scope: scope.clone(),
                generation: *generation,
            });
            Ok(news.filter(|marker| !known.contains(marker)).collect())
        };
        self.server.call(reconcile).await
    }

    async fn sweep(
        &self,
        globs: &[Glob],
        belongs: impl Fn(&Key) -> bool + Send + Sync,
    ) -> Result<u64, LayerError> {
        let sweep = |state: &mut State, now| {
            let found: Vec<Key> = state
                .held
                .keys()
                .filter(|key| globs.iter().any(|glob| glob.matches(key.as_str())))
                .filter(|key| belongs(key))
                .cloned()
                .collect();
            let swept = found.iter().filter(|key| state.sweep(key, now));
            Ok(swept.count() as u64)
        };
        self.server.call(sweep).await
    }

    async fn held(&self, keys: &[Key]) -> Result<Vec<Option<Version>>, LayerError> {
        let versions = |state: &mut State, now| {
            let version = |key| match state.at(key, now) {
                Some(Held::Entry(entry)) => Some(entry.row.as_of),
                _ => None,
            };
            Ok(keys.iter().map(version).collect())
        };
        self.server.call(versions).await
    }

    async fn publish(&self, notice: &Notice) -> Result<(), LayerError> {
        let delay = (self.server.pace)();
        let tell = |state: &mut State, now| {
            state.tell(notice, now + delay);
            Ok(())
        };
        self.server.call(tell).await
    }

    async fn subscribe(&self) -> Result<FakeSubscription, LayerError> {
        let subscribe = |state: &mut State, _| {
            let (to, from) = mpsc::unbounded_channel();
            state.subscribers.push(to);
            Ok(FakeSubscription {
                clock: self.server.clock.clone(),
                from,
                coming: None,
            })
        };
        self.server.call(subscribe).await
    }

    async fn append(
        &self,
        write: &QueuedWrite,
        entry: &Entry,
        ttl: Duration,
        queue_max: u64,
    ) -> Result<Appended, LayerError> {
        let append = |state: &mut State, now: Timestamp| {
            if now > write.accepted_at + APPEND_LIMIT {
                return Err(LayerError::Refused(NAME, "too late".to_owned()));
            }
            let by_time = Version(now.as_unix_nanos() / 1_000_000 * PLACES_PER_MS);
            let version = state.line.next_version(by_time.max(write.version));
            if state.line.waiting() as u64 >= queue_max {
                return Ok(Appended::Full(version));
            }
            state.line.join(write, version, now);
            if state
                .at(&write.key, now)
                .is_none_or(|held| held.floor() <= version)
            {
                let mut entry = entry.clone();
                (entry.row.version, entry.row.as_of) = (version, version);
                state.put(&write.key, Held::Entry(entry), now + ttl);
            }
            Ok(Appended::Queued(version))
        };
        self.server.call(append).await
    }

    async fn queue(&self, consumer: &str) -> Result<FakeQueue, LayerError> {
        let open = |state: &mut State, _| Ok(state.line.open());
        let is_new = self.server.call(open).await?;
        Ok(FakeQueue::new(Arc::clone(&self.server), consumer, is_new))
    }

    async fn admit(&self, key: &Key, limit: Limit) -> Result<Admission, LayerError> {
        let admit = |state: &mut State, now| {
            let counter = state.counters.entry(key.clone());
            Ok(counter.or_insert_with(|| Counter::new(limit)).admit(now))
        };
        self.server.call(admit).await
    }
}
