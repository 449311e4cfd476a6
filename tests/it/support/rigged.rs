//! A remote layer that stops where a test wants it to, and that can be given a defect: the control of
//! races for which the engine has none of its own.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use cachestorm::clock::{Clock, Timestamp};
use cachestorm::engine::data_type::{Key, Limit};
use cachestorm::engine::invalidation::glob::Glob;
use cachestorm::engine::invalidation::markers::{Marker, Scope};
use cachestorm::engine::layer::{
    Admission, Appended, Entry, Fill, Generation, LayerError, Leased, Notice, QueuedWrite, Remote,
    Subscription, Token, Version,
};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

/// What a remote layer can be asked to stop at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Get,
    Fill,
    Lock,
    RenewLock,
    Invalidate,
    Append,
    Publish,
}

/// What is wrong with a remote layer, or with the library in front of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Defect {
    /// `if cached:`: an empty value, a zero and a known absence are no answer.
    FalsyIsAbsent,
    /// Whoever comes last wins.
    BlindFill,
    /// The notice that everything is gone is not understood.
    DeafToFlush,
    /// An invalidation is done some time after it was confirmed.
    LateInvalidation,
    /// What was read before a marker's time is outdated, and the time is the marker's sender's.
    MarkersByClock {
        /// How wrong that clock is.
        ahead: Duration,
    },
    /// The cache first, the queue in a second step.
    CacheThenQueue,
}

/// Where the next call of its kind stops.
#[derive(Clone)]
pub(crate) struct Stop {
    inner: Arc<StopInner>,
}

struct StopInner {
    call: Call,
    before: bool,
    clock: Clock,
    reached: Semaphore,
    go: Semaphore,
}

impl Stop {
    /// Waits until a call has come here; fails the test if none does within half a minute.
    pub(crate) async fn reached(&self) {
        let reached = self.inner.reached.acquire();
        let limit = Duration::from_secs(30);
        let permit = self.inner.clock.timeout(limit, reached).await;
        permit
            .expect("nobody came to the stop")
            .expect("never closed")
            .forget();
    }

    /// Lets the call go on.
    pub(crate) fn go(&self) {
        self.inner.go.add_permits(1);
    }
}

/// What the connections of one or several instances are rigged with.
pub(crate) struct Rig {
    clock: Clock,
    defect: Option<Defect>,
    stops: Mutex<Vec<Stop>>,
    /// Confirmed and not done.
    late: Mutex<Vec<(Vec<Key>, Version)>>,
    marked: Mutex<Option<Timestamp>>,
}

impl Rig {
    pub(crate) fn new(clock: Clock, defect: Option<Defect>) -> Arc<Self> {
        Arc::new(Self {
            clock,
            defect,
            stops: Mutex::default(),
            late: Mutex::default(),
            marked: Mutex::default(),
        })
    }

    /// The next `call` stops before it is made.
    pub(crate) fn stop_before(&self, call: Call) -> Stop {
        self.stop(call, true)
    }

    /// The next `call` is made, and stops before its answer is given.
    pub(crate) fn stop_after(&self, call: Call) -> Stop {
        self.stop(call, false)
    }

    fn stop(&self, call: Call, before: bool) -> Stop {
        let stop = Stop {
            inner: Arc::new(StopInner {
                call,
                before,
                clock: self.clock.clone(),
                reached: Semaphore::new(0),
                go: Semaphore::new(0),
            }),
        };
        self.stops.lock().push(stop.clone());
        stop
    }

    async fn pass(&self, call: Call, before: bool) {
        let stop = {
            let mut stops = self.stops.lock();
            let here = |stop: &Stop| stop.inner.call == call && stop.inner.before == before;
            let at = stops.iter().position(here);
            at.map(|at| stops.remove(at))
        };
        if let Some(stop) = stop {
            stop.inner.reached.add_permits(1);
            let permit = stop.inner.go.acquire().await;
            permit.expect("never closed").forget();
        }
    }

    fn has(&self, defect: Defect) -> bool {
        self.defect == Some(defect)
    }

    /// What such a layer takes for no answer.
    fn overlooks(&self, entry: &Entry) -> bool {
        match self.defect {
            Some(Defect::FalsyIsAbsent) => {
                let value = entry.row.value.as_deref().unwrap_or_default();
                matches!(value, b"" | b"0" | b"[]")
            }
            Some(Defect::MarkersByClock { .. }) => {
                let marked = *self.marked.lock();
                marked.is_some_and(|marked| entry.fetched_at < marked)
            }
            _ => false,
        }
    }
}

/// A rigged connection to `R`.
pub(crate) struct Rigged<R> {
    remote: Arc<R>,
    rig: Arc<Rig>,
}

impl<R: Remote> Rigged<R> {
    pub(crate) fn new(remote: R, rig: &Arc<Rig>) -> Self {
        Self {
            remote: Arc::new(remote),
            rig: Arc::clone(rig),
        }
    }

    async fn at<T>(&self, call: Call, made: impl Future<Output = T>) -> T {
        self.rig.pass(call, true).await;
        let answer = made.await;
        self.rig.pass(call, false).await;
        answer
    }

    /// Does what was confirmed and put off.
    pub(crate) async fn catch_up(&self) {
        let late = std::mem::take(&mut *self.rig.late.lock());
        for (keys, version) in late {
            let done = self.remote.invalidate(&keys, version).await;
            done.expect("invalidated");
        }
    }
}

impl<R> Clone for Rigged<R> {
    fn clone(&self) -> Self {
        Self {
            remote: Arc::clone(&self.remote),
            rig: Arc::clone(&self.rig),
        }
    }
}

pub(crate) struct RiggedSubscription<S> {
    inner: S,
    deaf_to_flush: bool,
}

impl<S: Subscription> Subscription for RiggedSubscription<S> {
    async fn next(&mut self) -> Option<Notice> {
        loop {
            match self.inner.next().await {
                Some(Notice::Emptied) if self.deaf_to_flush => {}
                notice => return notice,
            }
        }
    }
}

impl<R: Remote> Remote for Rigged<R> {
    type Subscription = RiggedSubscription<R::Subscription>;
    type Queue = R::Queue;

    async fn get(&self, key: &Key) -> Result<Option<Entry>, LayerError> {
        let held = self.at(Call::Get, self.remote.get(key)).await?;
        Ok(held.filter(|entry| !self.rig.overlooks(entry)))
    }

    async fn fill(&self, key: &Key, entry: &Entry, ttl: Duration) -> Result<Fill, LayerError> {
        let filling = async {
            if self.rig.has(Defect::BlindFill) {
                let put = self.remote.overwrite(key, entry, ttl).await;
                return put.map(|()| Fill::Stored);
            }
            self.remote.fill(key, entry, ttl).await
        };
        self.at(Call::Fill, filling).await
    }

    /// A fill, too, for those who wait for one.
    async fn overwrite(&self, key: &Key, entry: &Entry, ttl: Duration) -> Result<(), LayerError> {
        let put = self.remote.overwrite(key, entry, ttl);
        self.at(Call::Fill, put).await
    }

    async fn get_or_lease(
        &self,
        key: &Key,
        token: Token,
        ttl: Duration,
    ) -> Result<Leased, LayerError> {
        let looking = self.remote.get_or_lease(key, token, ttl);
        self.at(Call::Get, looking).await
    }

    async fn fill_leased(
        &self,
        key: &Key,
        token: Token,
        entry: Option<(&Entry, Duration)>,
    ) -> Result<Fill, LayerError> {
        let filling = self.remote.fill_leased(key, token, entry);
        self.at(Call::Fill, filling).await
    }

    async fn lock(&self, key: &Key, token: Token, ttl: Duration) -> Result<bool, LayerError> {
        self.at(Call::Lock, self.remote.lock(key, token, ttl)).await
    }

    async fn renew_lock(&self, key: &Key, token: Token, ttl: Duration) -> Result<bool, LayerError> {
        let renewing = self.remote.renew_lock(key, token, ttl);
        self.at(Call::RenewLock, renewing).await
    }

    async fn unlock(&self, key: &Key, token: Option<Token>) -> Result<(), LayerError> {
        self.remote.unlock(key, token).await
    }

    async fn invalidate(&self, keys: &[Key], version: Version) -> Result<(), LayerError> {
        if self.rig.has(Defect::LateInvalidation) {
            self.rig.late.lock().push((keys.to_vec(), version));
            return Ok(());
        }
        let invalidating = self.remote.invalidate(keys, version);
        self.at(Call::Invalidate, invalidating).await
    }

    async fn raise(&self, scope: &Scope, known: Generation) -> Result<Generation, LayerError> {
        if let Some(Defect::MarkersByClock { ahead }) = self.rig.defect {
            *self.rig.marked.lock() = Some(self.rig.clock.now() + ahead);
            return Ok(known);
        }
        self.remote.raise(scope, known).await
    }

    async fn reconcile(&self, known: &[Marker]) -> Result<Vec<Marker>, LayerError> {
        self.remote.reconcile(known).await
    }

    async fn sweep(
        &self,
        globs: &[Glob],
        belongs: impl Fn(&Key) -> bool + Send + Sync,
    ) -> Result<u64, LayerError> {
        self.remote.sweep(globs, belongs).await
    }

    async fn held(&self, keys: &[Key]) -> Result<Vec<Option<Version>>, LayerError> {
        self.remote.held(keys).await
    }

    fn announces_changes(&self) -> bool {
        self.remote.announces_changes()
    }

    async fn publish(&self, notice: &Notice) -> Result<(), LayerError> {
        let telling = self.remote.publish(notice);
        if let Notice::Invalidated(_) = notice {
            return self.at(Call::Publish, telling).await;
        }
        telling.await
    }

    async fn subscribe(&self) -> Result<Self::Subscription, LayerError> {
        Ok(RiggedSubscription {
            inner: self.remote.subscribe().await?,
            deaf_to_flush: self.rig.has(Defect::DeafToFlush),
        })
    }

    async fn append(
        &self,
        write: &QueuedWrite,
        entry: &Entry,
        ttl: Duration,
        queue_max: u64,
    ) -> Result<Appended, LayerError> {
        if self.rig.has(Defect::CacheThenQueue) {
            self.remote.overwrite(&write.key, entry, ttl).await?;
        }
        let appending = self.remote.append(write, entry, ttl, queue_max);
        self.at(Call::Append, appending).await
    }

    async fn queue(&self, consumer: &str) -> Result<R::Queue, LayerError> {
        self.remote.queue(consumer).await
    }

    async fn admit(&self, key: &Key, limit: Limit) -> Result<Admission, LayerError> {
        self.remote.admit(key, limit).await
    }
}
