//! Generations: what makes an entry outdated without looking for it.
//!
//! Every entry carries the newest generation that its loader knew when it began to load. Raising
//! the generation of a scope outdates all entries in it at once, however many they are, in every
//! layer: they stay where they are and are not served any more. An instance learns of it by a
//! notice; should that be lost, by reconciling with the remote layer every heartbeat; and at once
//! by the first entry that it reads from one who knew more.
//!
//! A load that began before the raise carries the older generation, so it cannot bring back what
//! the raise outdated, whenever it ends.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;

use super::markers::{Marker, Markers, Scope};
use crate::engine::Engine;
use crate::engine::data_type::{DataTypeId, Key, PolicyTable};
use crate::engine::layer::{Entry, Generation, Layer, LayerError, Origin, Remote};

/// How many scopes wait to be raised in the remote layer; more become one.
const OWED_MAX: usize = 64;

/// What one instance knows of generations.
#[derive(Debug)]
pub(in crate::engine) struct Generations {
    markers: RwLock<Markers>,
    /// By data type, the newest marker that may concern it: what is not below it is not outdated.
    newest_of: Box<[AtomicU64]>,
    /// The newest of all; what is loaded now is filled under it.
    newest: AtomicU64,
    /// Whether the remote layer has been asked.
    in_step: AtomicBool,
    /// Somebody knows more than this instance does.
    behind: Notify,
    /// Scopes that the remote layer failed to raise.
    owed: Mutex<BTreeSet<Scope>>,
}

impl Generations {
    /// Nothing is known yet.
    pub(in crate::engine) fn new(policies: &PolicyTable) -> Self {
        Self {
            markers: RwLock::default(),
            newest_of: policies.iter().map(|_| AtomicU64::new(0)).collect(),
            newest: AtomicU64::new(0),
            in_step: AtomicBool::new(false),
            behind: Notify::new(),
            owed: Mutex::default(),
        }
    }

    /// What a load that begins now is filled under.
    pub(in crate::engine) fn now(&self) -> Generation {
        Generation(self.newest.load(Ordering::Acquire))
    }

    /// Whether an entry of `generation` may be served.
    fn counts(&self, data_type: DataTypeId, key: &Key, generation: Generation) -> bool {
        let newest = self.newest_of.get(data_type.index());
        let newest = newest.map_or(0, |newest| newest.load(Ordering::Acquire));
        generation.0 >= newest || generation >= self.markers.read().floor(data_type, key.as_str())
    }

    fn raise(&self, marker: Marker) -> bool {
        let (id, generation) = (marker.scope.data_type(), marker.generation.0);
        let news = self.markers.write().raise(marker);
        let concerned = (0..)
            .map(DataTypeId)
            .zip(&self.newest_of)
            .filter(|(of, _)| id.is_none_or(|id| id == *of));
        for (_, newest) in concerned {
            newest.fetch_max(generation, Ordering::AcqRel);
        }
        self.newest.fetch_max(generation, Ordering::AcqRel);
        news
    }

    /// The remote layer must be asked again before the next look into it, and is owed nothing. What is
    /// known stays, since it would be learned again then: reads that are under way need it.
    pub(in crate::engine) fn begin_anew(&self) {
        self.owed.lock().clear();
        self.in_step.store(false, Ordering::Release);
    }

    fn owe(&self, scope: Scope) {
        let mut owed = self.owed.lock();
        owed.insert(scope);
        if owed.len() > OWED_MAX {
            *owed = BTreeSet::from([Scope::Everything]);
        }
    }

    /// How many markers are known and scopes owed.
    #[cfg(test)]
    pub(in crate::engine) fn held(&self) -> usize {
        self.markers.read().iter().count() + self.owed.lock().len()
    }

    /// Ready when reconciling cannot wait.
    pub(super) async fn behind(&self) {
        self.behind.notified().await;
    }
}

impl<R: Remote, O: Origin> Engine<R, O> {
    /// Whether `entry`, found in a layer, was outdated by a broad invalidation.
    pub(in crate::engine) fn is_outdated(
        &self,
        data_type: DataTypeId,
        key: &Key,
        entry: &Entry,
    ) -> bool {
        if entry.generation > self.generations.now() {
            // Its loader knew of an invalidation that we have not heard of.
            self.generations.behind.notify_one();
        }
        !self.generations.counts(data_type, key, entry.generation)
    }

    /// Asks the remote layer for its generations before the first read. Otherwise that read does,
    /// and what it loads meanwhile is not kept locally. A failure is told, and the next read asks.
    pub async fn prepare(&self) {
        let _ = self.get_in_step().await;
    }

    /// Makes sure that the remote layer was asked for its generations once: before that, nobody
    /// knows what in it is outdated.
    pub(in crate::engine) async fn get_in_step(&self) -> Result<(), LayerError> {
        if self.generations.in_step.load(Ordering::Acquire) {
            return Ok(());
        }
        self.reconcile().await
    }

    /// Puts what this instance and the remote layer know together.
    pub(super) async fn reconcile(&self) -> Result<(), LayerError> {
        let Some(remote) = &self.remote else {
            return Ok(());
        };
        let owed = std::mem::take(&mut *self.generations.owed.lock());
        for scope in owed {
            if let Ok(marker) = self.raise(scope).await {
                self.tell_raised(marker).await;
            }
        }
        let known: Vec<Marker> = self.generations.markers.read().iter().collect();
        match remote.reconcile(&known).await {
            Ok(news) => news.into_iter().for_each(|marker| self.learn(marker)),
            // Then there is nothing to learn there.
            Err(LayerError::Unsupported(..)) => {}
            Err(error) => {
                self.failed(Layer::Remote, &error);
                return Err(error);
            }
        }
        self.generations.in_step.store(true, Ordering::Release);
        Ok(())
    }

    /// Takes `marker` in; loads under way in its scope are not joined and not stored any more.
    pub(in crate::engine) fn learn(&self, marker: Marker) {
        let scope = marker.scope.clone();
        if self.generations.raise(marker) {
            self.flights
                .invalidate_where(|key| self.is_in_scope(&scope, key));
        }
    }

    /// Outdates everything in `scope`, here and in the remote layer. If the remote layer fails, this
    /// instance's entries are outdated, and all others as soon as it can be told.
    pub(super) async fn raise(&self, scope: Scope) -> Result<Marker, LayerError> {
        let known = self.generations.now();
        let raised = match &self.remote {
            Some(remote) => remote.raise(&scope, known).await,
            None => Ok(Generation(known.0 + 1)),
        };
        // What cannot be done now is owed; what cannot be done at all is not.
        if matches!(&raised, Err(error) if !matches!(error, LayerError::Unsupported(..))) {
            self.generations.owe(scope.clone());
        }
        let marker = Marker {
            // Without the remote layer's number, the next one keeps at least our own entries out.
            generation: raised.clone().unwrap_or(Generation(known.0 + 1)),
            scope,
        };
        self.learn(marker.clone());
        raised.map(|_| marker)
    }

    /// Whether entries at `key` may be in `scope`.
    pub(super) fn is_in_scope(&self, scope: &Scope, key: &Key) -> bool {
        match scope {
            Scope::Everything => true,
            Scope::DataType(id) => self.belongs(*id, key),
            Scope::Pattern(id, glob) => glob.matches(key.as_str()) && self.belongs(*id, key),
        }
    }

    /// Whether `key` is one of a data type's keys or of their related keys.
    pub(super) fn belongs(&self, data_type: DataTypeId, key: &Key) -> bool {
        let policy = self.policies.get(data_type);
        let mut patterns = std::iter::once(&policy.key).chain(&policy.related);
        patterns.any(|pattern| pattern.read(key).is_some())
    }
}
