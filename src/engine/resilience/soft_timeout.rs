//! A reader that has a stale value does not wait for a slow origin: after the soft timeout it
//! answers stale, and its load goes on without it, up to the hard timeout, and fills the cache.
//!
//! Readers of a key whose load is late answer stale at once, so a slow origin gets one load per key
//! and instance and not one per soft timeout. What a late load brings is kept locally only if no
//! invalidation came since it began. (The soft and hard timeouts of "fail-safe" caches; for HTTP
//! the same is `stale-while-revalidate` of RFC 5861.)

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use parking_lot::Mutex;
use rustc_hash::FxHashSet;
use tokio::sync::mpsc;

use crate::engine::data_type::{DataType, DataTypeId, Key};
use crate::engine::event::Event;
use crate::engine::layer::{Entry, Fill, LayerError, Origin, Remote, Row};
use crate::engine::read::{Began, Looked};
use crate::engine::{Engine, EngineError};

/// How many loads may be late at once; further readers wait for theirs.
const LATE_MAX: usize = 1_024;
/// What errors call the origin that is too slow for a reader who has something better.
const NAME: &str = "the origin (soft timeout)";

/// A load that goes on without its reader.
struct LateLoad {
    data_type: DataTypeId,
    key: Key,
    /// How many invalidations there were when it began.
    epoch: u64,
    began: Began,
    load: Pin<Box<dyn Future<Output = Result<Row, LayerError>> + Send>>,
}

/// The loads of one instance that go on without their readers.
pub(in crate::engine) struct LateLoads {
    keys: Mutex<FxHashSet<Key>>,
    to: mpsc::Sender<LateLoad>,
    from: tokio::sync::Mutex<mpsc::Receiver<LateLoad>>,
}

impl Default for LateLoads {
    fn default() -> Self {
        let (to, from) = mpsc::channel(LATE_MAX);
        Self {
            keys: Mutex::default(),
            to,
            from: tokio::sync::Mutex::new(from),
        }
    }
}

impl LateLoads {
    /// How many go on.
    #[cfg(test)]
    pub(in crate::engine) fn held(&self) -> usize {
        self.keys.lock().len()
    }

    fn is_late(&self, key: &Key) -> bool {
        let keys = self.keys.lock();
        // Nearly always nothing is late.
        !keys.is_empty() && keys.contains(key)
    }

    /// Takes a place for `key`, unless there is none or it has one.
    fn enter(&self, key: &Key) -> bool {
        let mut keys = self.keys.lock();
        keys.len() < LATE_MAX && keys.insert(key.clone())
    }

    fn leave(&self, key: &Key) {
        self.keys.lock().remove(key);
    }
}

impl<R: Remote, O: Origin> Engine<R, O> {
    /// From the origin; for a reader that has something stale only up to the soft timeout.
    pub(in crate::engine) async fn load_for(
        &self,
        data_type: DataTypeId,
        key: &Key,
        looked: &Looked,
    ) -> Result<Entry, EngineError> {
        let (Some(soft), Looked::Stale(_)) = (self.soft_timeout, looked) else {
            return self.load(data_type, key).await;
        };
        let too_slow = || {
            self.emit(&Event::SoftTimeout { data_type });
            Err(EngineError::Origin(LayerError::TimedOut(NAME)))
        };
        if self.late.is_late(key) {
            return too_slow();
        }
        let epoch = self.flights.epoch(key);
        let began = self.begin_load();
        let mut load = self.begin(data_type, key);
        if let Ok(row) = self.clock.timeout(soft, load.as_mut()).await {
            return self.loaded_since(data_type, began, row);
        }
        // Without a place in the background the load is worth waiting for.
        if !self.late.enter(key) {
            let row = load.await;
            return self.loaded_since(data_type, began, row);
        }
        let late = LateLoad {
            data_type,
            key: key.clone(),
            epoch,
            began,
            load,
        };
        match self.late.to.try_send(late) {
            Ok(()) => too_slow(),
            Err(unsent) => {
                self.late.leave(key);
                let row = unsent.into_inner().load.await;
                self.loaded_since(data_type, began, row)
            }
        }
    }

    /// A load that needs nothing of its caller.
    fn begin(
        &self,
        data_type: DataTypeId,
        key: &Key,
    ) -> Pin<Box<dyn Future<Output = Result<Row, LayerError>> + Send>> {
        let (origin, key) = (Arc::clone(&self.origin), key.clone());
        Box::pin(async move { origin.load(data_type, &key).await })
    }

    /// Brings late loads to their end, for as long as it is polled.
    pub async fn finish_late_loads(&self) {
        let mut late = self.late.from.lock().await;
        let mut loading = FuturesUnordered::new();
        loop {
            tokio::select! {
                biased;
                Some(()) = loading.next(), if !loading.is_empty() => {}
                load = late.recv() => match load {
                    Some(load) => loading.push(self.finish(load)),
                    None => return,
                },
            }
        }
    }

    async fn finish(&self, late: LateLoad) {
        let LateLoad {
            data_type,
            key,
            epoch,
            began,
            load,
        } = late;
        let row = load.await;
        // A failure was told; the next reader asks again.
        if let Ok(entry) = self.loaded_since(data_type, began, row) {
            self.keep_late(data_type, &key, epoch, &entry).await;
        }
        self.late.leave(&key);
    }

    async fn keep_late(&self, data_type: DataTypeId, key: &Key, epoch: u64, entry: &Entry) {
        let policy: &DataType = self.policies.get(data_type);
        if self.fill_remote(data_type, policy, key, entry).await != Fill::Refused {
            self.flights
                .if_still(key, epoch, || self.keep_locally(data_type, key, entry));
        }
    }
}
