//! An instance's engine with what it does when its process starts: so it can start again.
//!
//! Made when an instance starts; asked to restart by who deploys.

use std::sync::Arc;

use bytes::Bytes;

use super::service::{Restarting, Service, Serving};
use crate::engine::Engine;
use crate::engine::data_type::{DataTypeId, Key};
use crate::engine::layer::{Operation, Origin, Remote};
use crate::engine::local::LocalUsage;
use crate::engine::warming::Warming;

/// An engine that warms when it begins anew.
pub(super) struct Deployed<R, O> {
    engine: Arc<Engine<R, O>>,
    at_start: Option<Warming>,
}

impl<R: Remote, O: Origin> Deployed<R, O> {
    /// `engine`, which warms `at_start`.
    pub(super) fn new(engine: Arc<Engine<R, O>>, at_start: Option<Warming>) -> Self {
        Self { engine, at_start }
    }
}

impl<R: Remote, O: Origin> Service for Deployed<R, O> {
    fn serve<'s>(
        &'s self,
        operation: Operation,
        data_type: DataTypeId,
        key: &'s Key,
        value: Bytes,
    ) -> Serving<'s> {
        self.engine.serve(operation, data_type, key, value)
    }

    fn restart(&self) -> Restarting<'_> {
        Box::pin(async move {
            self.engine.restart().await;
            if let Some(warming) = &self.at_start {
                // What could not be loaded was told.
                let _ = self.engine.warm(warming).await;
            }
        })
    }

    fn local_usage(&self) -> Option<LocalUsage> {
        self.engine.local_usage()
    }
}
