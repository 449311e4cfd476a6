//! Invalidation of many keys at once: those that match a pattern, or all of a data type.
//!
//! By generation it is one step whose cost does not depend on how many entries there are; they stay
//! where they are until their TTL ends or a new value takes their place. By scan every key is looked
//! for and removed; a load under way that read before may put its value back after the scan has
//! passed, which the generation prevents.

use super::Broadly;
use super::glob::Glob;
use super::globs_of;
use super::markers::{Marker, Scope};
use crate::engine::data_type::{DataTypeId, Key, Strategy};
use crate::engine::event::Event;
use crate::engine::layer::{InvalidationEvent, Layer, LayerError, Origin, Remote};
use crate::engine::{Engine, EngineError, wrong_strategy};

impl<R: Remote, O: Origin> Engine<R, O> {
    /// Drops every entry of `data_type` and of its related keys from every layer of every instance.
    ///
    /// # Errors
    /// If the data type is a counter, or if the remote layer failed. Then this instance's local
    /// entries are dropped; by generation the rest follows when the remote layer answers again, by
    /// scan it lives until its TTL ends.
    pub async fn invalidate_all(&self, data_type: DataTypeId) -> Result<(), EngineError> {
        let globs = globs_of(&self.policies, data_type);
        self.invalidate_broadly(Scope::DataType(data_type), &globs)
            .await
    }

    /// The same for those entries of `data_type` whose key matches `pattern`.
    ///
    /// # Errors
    /// As [`Engine::invalidate_all`].
    pub async fn invalidate_pattern(
        &self,
        data_type: DataTypeId,
        pattern: Glob,
    ) -> Result<(), EngineError> {
        let globs = std::slice::from_ref(&pattern);
        self.invalidate_broadly(Scope::Pattern(data_type, pattern.clone()), globs)
            .await
    }

    async fn invalidate_broadly(&self, scope: Scope, globs: &[Glob]) -> Result<(), EngineError> {
        if let Some(data_type) = scope.data_type() {
            let policy = self.policies.get(data_type);
            if policy.strategy == Strategy::Counter {
                return Err(wrong_strategy("invalidate", policy));
            }
        }
        let done = match self.talk.config.broadly {
            Broadly::Generation => self.outdate(scope).await,
            Broadly::Scan => self.sweep(scope, globs).await,
        };
        done.map_err(|error| {
            self.failed(Layer::Remote, &error);
            EngineError::Remote(error)
        })
    }

    async fn outdate(&self, scope: Scope) -> Result<(), LayerError> {
        let marker = self.raise(scope).await?;
        self.tell_raised(marker).await;
        Ok(())
    }

    pub(super) async fn tell_raised(&self, marker: Marker) {
        self.emit(&Event::Outdated {
            scope: &marker.scope,
        });
        let event = InvalidationEvent {
            raised: Some(marker),
            ..InvalidationEvent::default()
        };
        self.tell(event).await;
    }

    async fn sweep(&self, scope: Scope, globs: &[Glob]) -> Result<(), LayerError> {
        let Some(remote) = &self.remote else {
            self.sweep_locally(&scope);
            return Ok(());
        };
        let belongs = |key: &Key| self.is_in_scope(&scope, key);
        let swept = remote.sweep(globs, belongs).await;
        // After the remote layer, or a reader in between would take the old value from there again.
        self.sweep_locally(&scope);
        let keys = swept?;
        self.emit(&Event::Swept {
            scope: &scope,
            keys,
        });
        let event = InvalidationEvent {
            swept: Some(scope),
            ..InvalidationEvent::default()
        };
        self.tell(event).await;
        Ok(())
    }

    /// Drops what is in `scope` from the local layer; loads under way are not stored in it.
    pub(super) fn sweep_locally(&self, scope: &Scope) {
        let gone = |key: &Key| self.is_in_scope(scope, key);
        // In this order: what lands before its flight is invalidated is there to be dropped.
        self.flights.invalidate_where(gone);
        if let Some(local) = &self.local {
            local.remove_where(gone);
        }
    }
}
