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
use crate::engine::data_type::{DataTypeId, Key, Limit};
use crate::engine::layer::{Admission, LayerError, Origin, QueuedWrite, Row};
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

    async fn admit(
        &self,
        data_type: DataTypeId,
        key: &Key,
        limit: Limit,
    ) -> Result<Admission, LayerError> {
        let (origin, key) = (Arc::clone(&self.origin), key.clone());
        self.run(async move { origin.admit(data_type, &key, limit).await })
            .await
    }
}

struct EndedWithCaller<T>(JoinHandle<T>);

impl<T> Drop for EndedWithCaller<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::{Clock, Timestamp};
    use crate::engine::layer::Version;

    #[tokio::test]
    async fn a_hosted_origin_runs_on_threads_of_its_own() {
        /// Answers with the name of the thread it runs on.
        struct ThreadName;
        impl Origin for ThreadName {
            async fn load(&self, _: DataTypeId, key: &Key) -> Result<Row, LayerError> {
                assert_ne!(key.as_str(), "panic", "as asked");
                let name = std::thread::current().name().map(str::to_owned);
                Ok(Row {
                    value: name.map(Into::into),
                    version: Version(0),
                    committed_at: Timestamp::EPOCH,
                    as_of: Version(0),
                })
            }
            async fn store(&self, id: DataTypeId, key: &Key, _: Bytes) -> Result<Row, LayerError> {
                self.load(id, key).await
            }
            async fn store_batch(&self, _: &[QueuedWrite]) -> Result<(), LayerError> {
                Err(LayerError::Unsupported(NAME, "batches"))
            }
            async fn admit(
                &self,
                _: DataTypeId,
                _: &Key,
                _: Limit,
            ) -> Result<Admission, LayerError> {
                Err(LayerError::Unsupported(NAME, "counters"))
            }
        }
        let host = OriginHost::start().expect("a runtime");
        let origin = host.host(ThreadName).clone();
        let row = origin
            .load(DataTypeId(0), &Key::new("a"))
            .await
            .expect("a row");
        assert_eq!(row.value, Some("origin".into()));
        assert_eq!(
            origin.store(DataTypeId(0), &Key::new("a"), "".into()).await,
            Ok(row)
        );
        let batch = origin.store_batch(&[]).await;
        assert_eq!(batch, Err(LayerError::Unsupported(NAME, "batches")));
        let panicked = origin.load(DataTypeId(0), &Key::new("panic")).await;
        assert!(matches!(panicked, Err(LayerError::Refused(..))));
        drop(host);
        let gone = origin.load(DataTypeId(0), &Key::new("a")).await;
        insta::assert_snapshot!(gone.expect_err("no host"), @"the database cannot be reached: it was shut down");
    }

    #[tokio::test]
    async fn a_caller_that_goes_away_ends_its_call() {
        /// Never answers.
        struct Silent;
        impl Origin for Silent {
            async fn load(&self, _: DataTypeId, _: &Key) -> Result<Row, LayerError> {
                std::future::pending().await
            }
            async fn store(&self, id: DataTypeId, key: &Key, _: Bytes) -> Result<Row, LayerError> {
                self.load(id, key).await
            }
            async fn store_batch(&self, _: &[QueuedWrite]) -> Result<(), LayerError> {
                std::future::pending().await
            }
            async fn admit(
                &self,
                _: DataTypeId,
                _: &Key,
                _: Limit,
            ) -> Result<Admission, LayerError> {
                std::future::pending().await
            }
        }
        let host = OriginHost::start().expect("a runtime");
        let origin = host.host(Silent);
        let hosted = origin.clone();
        let caller = tokio::spawn(async move { hosted.load(DataTypeId(0), &Key::new("a")).await });
        let clock = Clock::real();
        // One holder here, one in the caller, one in the call.
        let until_holders_are = async |wanted| {
            let deadline = clock.now() + Duration::from_secs(20);
            while Arc::strong_count(&origin.origin) != wanted {
                assert!(
                    clock.now() < deadline,
                    "waited in vain for {wanted} holders"
                );
                clock.sleep(Duration::from_millis(1)).await;
            }
        };
        until_holders_are(3).await;
        caller.abort();
        until_holders_are(1).await;
    }
}
