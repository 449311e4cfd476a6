//! A runtime of its own for the origin, so that its processor time and its delays are not those
//! of the service instances that call it.
//!
//! The runner makes one [`OriginHost`] and gives each instance a [`HostedOrigin`], which runs
//! every call over there. Never used in virtual time, which knows one runtime only.

use std::sync::Arc;

use bytes::Bytes;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;

use super::NAME;
use crate::engine::data_type::{DataTypeId, Key};
use crate::engine::layer::{LayerError, Origin, QueuedWrite, Row};
use crate::environment::error::EnvironmentError;

/// What its threads are called; processor time is told apart by it.
const THREAD_NAME: &str = "origin";

/// The runtime on which an origin lives. When dropped, calls under way fail and nothing waits.
#[derive(Debug)]
pub struct OriginHost {
    /// `None` only while being dropped.
    runtime: Option<Runtime>,
    handle: Handle,
}

impl OriginHost {
    /// Starts the runtime: one thread, called `origin`.
    pub fn start() -> Result<Self, EnvironmentError> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name(THREAD_NAME)
            .enable_all()
            .build()
            .map_err(EnvironmentError::io("starting the origin's runtime"))?;
        Ok(Self {
            handle: runtime.handle().clone(),
            runtime: Some(runtime),
        })
    }

    /// `origin`, run over here.
    pub fn host<O: Origin>(&self, origin: O) -> HostedOrigin<O> {
        HostedOrigin {
            handle: self.handle.clone(),
            origin: Arc::new(origin),
        }
    }
}

impl Drop for OriginHost {
    fn drop(&mut self) {
        // A plain drop would block, which an async context forbids.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// An origin whose calls run on the host's runtime. Cheap to clone.
#[derive(Debug)]
pub struct HostedOrigin<O> {
    handle: Handle,
    origin: Arc<O>,
}

impl<O> Clone for HostedOrigin<O> {
    fn clone(&self) -> Self {
        Self {
            handle: self.handle.clone(),
            origin: Arc::clone(&self.origin),
        }
    }
}

impl<O: Origin> HostedOrigin<O> {
    /// Runs `call` over there. If the caller goes away, the call is ended, too.
    async fn run<T, F>(&self, call: F) -> Result<T, LayerError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, LayerError>> + Send + 'static,
    {
        let mut call = EndedWithCaller(self.handle.spawn(call));
        match (&mut call.0).await {
            Ok(answer) => answer,
            Err(error) if error.is_panic() => Err(LayerError::Refused(NAME, error.to_string())),
            Err(_) => Err(LayerError::Unreachable(NAME, "it was shut down".to_owned())),
        }
    }
}

impl<O: Origin> Origin for HostedOrigin<O> {
    async fn load(&self, data_type: DataTypeId, key: &Key) -> Result<Row, LayerError> {
        let (origin, key) = (Arc::clone(&self.origin), key.clone());
        self.run(async move { origin.load(data_type, &key).await })
            .await
    }

    async fn store(
        &self,
        data_type: DataTypeId,
        key: &Key,
        value: Bytes,
    ) -> Result<Row, LayerError> {
        let (origin, key) = (Arc::clone(&self.origin), key.clone());
        self.run(async move { origin.store(data_type, &key, value).await })
            .await
    }

    async fn store_batch(&self, writes: &[QueuedWrite]) -> Result<(), LayerError> {
        let (origin, writes) = (Arc::clone(&self.origin), writes.to_vec());
        self.run(async move { origin.store_batch(&writes).await })
            .await
    }
}

struct EndedWithCaller<T>(JoinHandle<T>);

impl<T> Drop for EndedWithCaller<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
