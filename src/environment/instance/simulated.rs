//! A service instance of virtual time: the same engine, and in place of HTTP and a thread of its own
//! what these take, as calibrated.
//!
//! A request is on its way for half of the network's delay, waits for the instance's processor, keeps
//! it busy, is served by the engine, and is on its way back for the other half: that one nobody waits
//! for here, it is told with the answer. Started and stopped by
//! the runner.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;

use super::deployed::Deployed;
use super::metrics::InstanceMetrics;
use super::running::Running;
use super::service::{Restarting, Served, Service, Serving, operate};
use super::{InstanceConfig, layer, metrics_of};
use crate::clock::{Clock, Timestamp};
use crate::engine::Engine;
use crate::engine::data_type::{DataTypeId, Key};
use crate::engine::layer::{Operation, Origin, Remote};
use crate::engine::local::LocalUsage;
use crate::environment::delay::Delay;
use crate::environment::error::EnvironmentError;
use crate::environment::modelled_redis::thread::{Dilation, Thread};
use crate::seed::Stream;

/// What stands between users and the engine of an instance, and takes time.
#[derive(Clone, Debug, PartialEq)]
pub struct Face {
    /// Between a user and the instance, there and back, and all that a request takes at both ends
    /// beside the engine.
    pub way: Delay,
    /// How long a request keeps the instance's only processor busy; it is in the way, too, as far as
    /// nobody waits for it.
    pub processor_time: Duration,
    /// The share of all requests that is simulated: the processor is as busy with them as it would be
    /// with all, and nobody waits longer for it.
    pub share: f64,
}

/// As many requests wait at once for a processor that is nearly always, but not overly, busy.
const QUEUE_OF_CHANCE: u32 = 64;

/// A store that an instance reaches, and how long it waits for it.
pub struct Reached<R> {
    /// The store.
    pub remote: R,
    /// How long an operation may take.
    pub timeout: Duration,
}

/// The stores of an instance: one, and maybe another for some data types.
pub struct Stores<R> {
    /// The remote layer's own.
    pub main: Reached<R>,
    /// The one aside, and whose entries stand in it.
    pub aside: Option<(Reached<R>, Vec<DataTypeId>)>,
}

/// A running instance.
pub struct SimulatedInstance {
    service: Arc<dyn Service>,
    metrics: Arc<InstanceMetrics>,
    processor: Processor,
    running: Box<dyn Drain>,
}

/// The processor of an instance, for those who watch it.
#[derive(Clone)]
pub struct Processor(Arc<Mutex<Way>>);

impl Processor {
    /// How long it was busy until `now`.
    pub fn busy(&self, now: Timestamp) -> Duration {
        self.0.lock().processor.busy(now)
    }
}

impl SimulatedInstance {
    /// Starts an instance behind `face`, over `stores` and in front of `origin`, on the runtime that
    /// this is called on. What `config` says of its remote layer counts for nothing.
    ///
    /// # Errors
    /// If its metrics have names that are none.
    pub async fn start<R: Remote, O: Origin>(
        mut config: InstanceConfig,
        stores: Option<Stores<R>>,
        origin: O,
        face: Face,
    ) -> Result<Self, EnvironmentError> {
        let number = config.number;
        let has_store = stores.is_some();
        let metrics = metrics_of(&config, (has_store, has_store)).map_err(|error| {
            let reason = error.to_string();
            EnvironmentError::Instance { number, reason }
        })?;
        config.observer = InstanceMetrics::observer(&metrics, config.observer);
        let guard = |store: Reached<R>| layer::guarded(store.remote, store.timeout, &config);
        let Some(Stores { main, aside }) = stores else {
            return Ok(Self::over(None::<R>, config, origin, (metrics, face)).await);
        };
        let main = guard(main);
        Ok(match aside.map(|(store, whose)| (guard(store), whose)) {
            None => Self::over(Some(main), config, origin, (metrics, face)).await,
            Some((aside, whose)) => {
                let split = layer::split(main, aside, &whose, &config);
                Self::over(Some(split), config, origin, (metrics, face)).await
            }
        })
    }

    async fn over<R: Remote, O: Origin>(
        remote: Option<R>,
        config: InstanceConfig,
        origin: O,
        (metrics, face): (Arc<InstanceMetrics>, Face),
    ) -> Self {
        let number = u64::from(config.number);
        let stream = config.seed.stream_of("way", number);
        let clock = config.clock.clone();
        let running = Running::start(remote, config, origin, &metrics).await;
        let chance = face.processor_time * QUEUE_OF_CHANCE;
        let way = Arc::new(Mutex::new(Way {
            dilation: Dilation::new(face.share, chance),
            face,
            processor: Thread::new(clock.now(), Duration::ZERO),
            stream,
        }));
        let service = Simulated {
            engine: Arc::clone(&running.engine),
            process: Arc::clone(&running.service),
            way: Arc::clone(&way),
            clock,
        };
        Self {
            service: Arc::new(service),
            metrics,
            processor: Processor(way),
            running: Box::new(running),
        }
    }

    /// Its engine behind its face.
    pub fn service(&self) -> Arc<dyn Service> {
        Arc::clone(&self.service)
    }

    /// What it would tell Prometheus.
    pub fn metrics(&self) -> Arc<InstanceMetrics> {
        Arc::clone(&self.metrics)
    }

    /// Its processor.
    pub fn processor(&self) -> Processor {
        self.processor.clone()
    }

    /// Ends it: what write-behind has accepted is committed. Gives whether all of it was.
    pub async fn stop(self) -> bool {
        self.running.drain().await
    }
}

/// A [`Running`] of whatever layers.
trait Drain: Send + Sync {
    fn drain(&self) -> Pin<Box<dyn Future<Output = bool> + Send + '_>>;
}

impl<R: Remote, O: Origin> Drain for Running<R, O> {
    fn drain(&self) -> Pin<Box<dyn Future<Output = bool> + Send + '_>> {
        Box::pin(self.drain())
    }
}

/// An engine behind a face.
struct Simulated<R, O> {
    engine: Arc<Engine<R, O>>,
    /// The same, which can begin anew.
    process: Arc<Deployed<R, O>>,
    way: Arc<Mutex<Way>>,
    clock: Clock,
}

/// The way to an engine and back.
struct Way {
    face: Face,
    dilation: Dilation,
    processor: Thread,
    stream: Stream,
}

impl Way {
    /// When the engine begins with a request that is sent now, and how long its answer is on the way.
    fn take(&mut self, now: Timestamp) -> (Timestamp, Duration) {
        let way = self.face.way.draw(&mut self.stream);
        let there = now + way / 2;
        let busy = self.dilation.cost(self.face.processor_time);
        let done = self.processor.take(there, busy);
        let waited = done.since(there).saturating_sub(busy);
        (there + self.dilation.wait(waited), way / 2)
    }
}

impl<R: Remote, O: Origin> Service for Simulated<R, O> {
    fn serve<'s>(
        &'s self,
        operation: Operation,
        data_type: DataTypeId,
        key: &'s Key,
        value: Bytes,
    ) -> Serving<'s> {
        Box::pin(async move {
            let (begins, back) = self.way.lock().take(self.clock.now());
            self.clock.sleep_until(begins).await;
            match operate(&self.engine, operation, data_type, key, value).await {
                Ok(served) => Ok(Served {
                    way_back: back,
                    ..served
                }),
                Err(error) => {
                    self.clock.sleep(back).await;
                    Err(error)
                }
            }
        })
    }

    fn restart(&self) -> Restarting<'_> {
        self.process.restart()
    }

    fn local_usage(&self) -> Option<LocalUsage> {
        self.engine.local_usage()
    }
}

#[cfg(test)]
mod tests {
    use super::super::running::Protected;
    use super::*;
    use crate::engine::resilience::guarded::Guarded;
    use crate::environment::database::{Distant, MockDatabase};
    use crate::environment::modelled_redis::remote::ModelledRemote;

    /// Each request has a future of its own, which is moved as it is made: its size is time.
    #[test]
    fn the_future_of_a_request_stays_small() {
        type Engine0 = Engine<Guarded<ModelledRemote>, Protected<Distant<MockDatabase>>>;
        fn size_of_future<F>(_: impl FnOnce(&'static Engine0, &'static Key) -> F) -> usize {
            size_of::<F>()
        }
        let id = DataTypeId(0);
        let size =
            size_of_future(|engine, key| operate(engine, Operation::Get, id, key, Bytes::new()));
        assert!(size <= 2_048, "{size} bytes: box what only a miss needs");
    }
}
