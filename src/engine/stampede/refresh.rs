//! Loads that no reader waits for: of `early-refresh` and `stale-while-revalidate`.
//!
//! Readers put keys into a bounded queue, each key once; [`Engine::refresh`] takes them out, a few
//! at a time. The lock of the remote layer keeps other instances from loading the same key.

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use parking_lot::Mutex;
use rand::RngExt;
use rustc_hash::FxHashSet;
use tokio::sync::mpsc;

use super::TTL;
use super::early_refresh::is_due;
use crate::engine::Engine;
use crate::engine::data_type::{DataType, DataTypeId, Key, Stampede};
use crate::engine::event::Event;
use crate::engine::layer::{Entry, Origin, Remote};
use crate::engine::read::Looked;

/// How many keys may wait to be loaded anew; more are left to later readers.
const QUEUE: usize = 1_024;
/// How many are loaded at once.
const AT_ONCE: usize = 32;

type Job = (DataTypeId, Key);

/// Keys to be loaded anew.
#[derive(Debug)]
pub(in crate::engine) struct Refreshes {
    /// Those in the queue and those being loaded.
    pending: Mutex<FxHashSet<Key>>,
    to: mpsc::Sender<Job>,
    from: tokio::sync::Mutex<mpsc::Receiver<Job>>,
}

impl Default for Refreshes {
    fn default() -> Self {
        let (to, from) = mpsc::channel(QUEUE);
        Self {
            pending: Mutex::default(),
            to,
            from: tokio::sync::Mutex::new(from),
        }
    }
}

impl Refreshes {
    /// How many are queued or being loaded.
    #[cfg(test)]
    pub(in crate::engine) fn held(&self) -> usize {
        self.pending.lock().len()
    }

    /// Queues `key`, unless it is queued already or the queue is full.
    fn ask(&self, data_type: DataTypeId, key: &Key) -> bool {
        if !self.pending.lock().insert(key.clone()) {
            return true;
        }
        let queued = self.to.try_send((data_type, key.clone())).is_ok();
        if !queued {
            self.pending.lock().remove(key);
        }
        queued
    }
}

impl<R: Remote, O: Origin> Engine<R, O> {
    /// Has the entry loaded anew, if its data type does so early and it is time.
    pub(in crate::engine) fn refresh_early(
        &self,
        data_type: DataTypeId,
        policy: &DataType,
        key: &Key,
        entry: &Entry,
    ) {
        let Stampede::EarlyRefresh { beta } = policy.stampede else {
            return;
        };
        let uniform = 1.0 - self.random.lock().random::<f64>();
        if is_due(
            self.clock.now(),
            entry.fresh_until,
            entry.load_time,
            beta,
            uniform,
        ) {
            self.refresh_later(data_type, key);
        }
    }

    /// Has `key` loaded anew by [`Engine::refresh`].
    pub(in crate::engine) fn refresh_later(&self, data_type: DataTypeId, key: &Key) {
        if !self.refreshes.ask(data_type, key) {
            self.emit(&Event::RefreshDropped { data_type });
        }
    }

    /// Loads anew what readers asked for, for as long as it is polled. Without it, data types of
    /// `early-refresh` expire as others do, and `stale-while-revalidate` answers stale until
    /// `serve_stale` ends.
    pub async fn refresh(&self) {
        let mut jobs = self.refreshes.from.lock().await;
        let mut loading = FuturesUnordered::new();
        loop {
            tokio::select! {
                biased;
                Some(()) = loading.next(), if !loading.is_empty() => {}
                job = jobs.recv(), if loading.len() < AT_ONCE => match job {
                    Some((data_type, key)) => loading.push(self.refresh_one(data_type, key)),
                    None => return,
                },
            }
        }
    }

    async fn refresh_one(&self, data_type: DataTypeId, key: Key) {
        // A failure was told; the next reader asks again.
        let _ = self.load_anew(data_type, &key).await;
        self.refreshes.pending.lock().remove(&key);
    }

    /// Loads the entry at `key` anew and replaces what the layers have of it, unless another
    /// instance is at it.
    pub(in crate::engine) async fn load_anew(&self, data_type: DataTypeId, key: &Key) -> Anew {
        let policy = self.policies.get(data_type);
        let token = self.token();
        if !self.try_lock(key, token, TTL).await {
            return Anew::ByAnother;
        }
        let epoch = self.flights.epoch(key);
        let fetch = self
            .load_and_fill(data_type, policy, key, Looked::Absent)
            .await;
        if let Ok(fetched) = &fetch
            && fetched.keep
        {
            self.flights.if_still(key, epoch, || {
                self.keep_locally(data_type, key, &fetched.entry);
            });
        }
        self.give_back(key, Some(token)).await;
        match fetch {
            Ok(_) => Anew::Loaded,
            Err(_) => Anew::Failed,
        }
    }
}

/// What became of a key that was to be loaded anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Anew {
    /// It was.
    Loaded,
    /// Another instance has its lock.
    ByAnother,
    /// The origin failed; that was told.
    Failed,
}
