//! A service instance: an engine with its own local layer and its own connections to the remote
//! layer, behind HTTP, on a runtime of its own with a named thread.
//!
//! A runtime of its own so that its processor time can be told apart from the generator's, and so
//! that one instance can be taken away without the others. Started and stopped by the runner.

mod deployed;
mod http;
mod layer;
pub mod metrics;
mod running;
pub mod service;
pub mod simulated;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::{oneshot, watch};

use self::http::Face;
pub use self::layer::Aside;
use self::metrics::{InstanceMetrics, Metered};
use self::running::Running;
use self::service::Service;
use super::error::EnvironmentError;
use crate::clock::Clock;
use crate::engine::data_type::PolicyTable;
use crate::engine::event::Observer;
use crate::engine::invalidation::InvalidationConfig;
use crate::engine::layer::{Layer, Origin, Remote};
use crate::engine::local::LocalConfig;
use crate::engine::remote::any::RemoteOptions;
use crate::engine::resilience::Resilience;
use crate::engine::warming::Warming;
use crate::seed::Seed;

/// How long an instance may take to start.
const START_LIMIT: Duration = Duration::from_secs(10);
/// How long the queue of write-behind may take to drain at the end.
const DRAIN_LIMIT: Duration = Duration::from_secs(5);

/// What an instance is made of.
pub struct InstanceConfig {
    /// Its number, from 0.
    pub number: u16,
    /// The policies it serves by.
    pub policies: Arc<PolicyTable>,
    /// Its local layer; `None` leaves it out.
    pub local: Option<LocalConfig>,
    /// Its remote layer; `None` leaves it out.
    pub remote: Option<RemoteOptions>,
    /// A second store beside that of the remote layer; `None` leaves it out.
    pub aside: Option<Aside>,
    /// How its invalidations travel.
    pub invalidation: InvalidationConfig,
    /// How it protects itself and what is behind it.
    pub resilience: Resilience,
    /// What it loads before users ask; `None`: nothing.
    pub warming: Option<InstanceWarming>,
    /// Time.
    pub clock: Clock,
    /// Randomness.
    pub seed: Seed,
    /// Who is told what happens in its engine.
    pub observer: Arc<dyn Observer>,
}

/// What an instance loads before users ask.
#[derive(Clone)]
pub struct InstanceWarming {
    /// What and how.
    pub warming: Warming,
    /// Whether it begins when the instance starts, and not one period later.
    pub at_start: bool,
    /// Whether the instance takes users only when that is done, as behind a readiness probe.
    pub before_traffic: bool,
}

/// A running instance. Dropping it ends it at once.
pub struct Instance {
    address: SocketAddr,
    service: Arc<dyn Service>,
    metrics: Arc<InstanceMetrics>,
    stop: watch::Sender<bool>,
    drained: oneshot::Receiver<bool>,
    clock: Clock,
    /// `Some` until it is shut down.
    runtime: Option<Runtime>,
}

impl Instance {
    /// Starts an instance in front of `origin`; it listens, on any free port, when this returns.
    ///
    /// # Errors
    /// If its thread, its port or its connections to the remote layer cannot be had within 10 seconds.
    pub async fn start<O: Origin>(
        config: InstanceConfig,
        origin: O,
    ) -> Result<Self, EnvironmentError> {
        Self::start_at(config, origin, 0).await
    }

    /// The same on `port`; 0: on any that is free.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_at<O: Origin>(
        mut config: InstanceConfig,
        origin: O,
        port: u16,
    ) -> Result<Self, EnvironmentError> {
        let number = config.number;
        let clock = config.clock.clone();
        let start_limit = START_LIMIT + time_to_warm(config.warming.as_ref());
        let failed = |reason: String| EnvironmentError::Instance { number, reason };
        let redis = matches!(config.remote, Some(RemoteOptions::Redis(_)));
        let metrics = metrics_of(&config, (config.remote.is_some(), redis))
            .map_err(|error| failed(error.to_string()))?;
        config.observer = InstanceMetrics::observer(&metrics, config.observer);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name(format!("instance-{number}"))
            .enable_all()
            .build()
            .map_err(|error| failed(error.to_string()))?;
        let (stop, stopped) = watch::channel(false);
        let (ready_to, ready_from) = oneshot::channel();
        let (drained_to, drained) = oneshot::channel();
        let ties = Ties {
            metrics: Arc::clone(&metrics),
            stopped,
            ready: ready_to,
            port,
        };
        let serving = runtime.spawn(async move {
            let drained = serve(config, origin, ties).await;
            // The runner may have gone; then nobody wants to know.
            if let Ok(drained) = drained {
                let _ = drained_to.send(drained);
            }
            drained.err()
        });
        let started = clock.timeout(start_limit, ready_from).await;
        let (address, service) = match started {
            Ok(Ok(ready)) => ready,
            Ok(Err(_)) => {
                let reason = serving.await.ok().flatten();
                runtime.shutdown_background();
                return Err(failed(
                    reason.unwrap_or_else(|| "it ended at once".to_owned()),
                ));
            }
            Err(_) => {
                runtime.shutdown_background();
                return Err(failed(format!("not up after {} s", start_limit.as_secs())));
            }
        };
        Ok(Self {
            address,
            service,
            metrics,
            stop,
            drained,
            clock,
            runtime: Some(runtime),
        })
    }

    /// Where it listens, as in `http://127.0.0.1:34567`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where Prometheus finds its metrics.
    pub fn metrics_url(&self) -> String {
        format!("{}/metrics", self.url())
    }

    /// Its metrics, for those who watch it from within the process.
    pub fn metrics(&self) -> Arc<InstanceMetrics> {
        Arc::clone(&self.metrics)
    }

    /// Its engine, for drivers that leave HTTP out.
    pub fn service(&self) -> Arc<dyn Service> {
        Arc::clone(&self.service)
    }

    /// Ends it: no new connections, then what write-behind has accepted is committed. Gives whether
    /// all of it was.
    pub async fn stop(mut self) -> bool {
        // The instance may have ended by itself; then nobody hears this.
        let _ = self.stop.send(true);
        let bound = DRAIN_LIMIT + Duration::from_secs(1);
        let drained = self.clock.timeout(bound, &mut self.drained).await;
        matches!(drained, Ok(Ok(true)))
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// The metrics of an instance whose remote layer is there, and is Redis, or not.
fn metrics_of(
    config: &InstanceConfig,
    (remote, redis): (bool, bool),
) -> Result<Arc<InstanceMetrics>, metrics::MetricsError> {
    let present = [
        (Layer::Local, config.local.is_some()),
        (Layer::Remote, remote),
        (Layer::Origin, true),
    ];
    let layers: Vec<Layer> = present
        .into_iter()
        .filter_map(|(layer, present)| present.then_some(layer))
        .collect();
    InstanceMetrics::new(&config.policies, &layers, redis).map(Arc::new)
}

async fn bind(port: u16) -> Result<(TcpListener, SocketAddr), String> {
    let bound = async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let bound = listener.local_addr()?;
        Ok((listener, bound))
    };
    bound.await.map_err(|error: std::io::Error| match port {
        0 => error.to_string(),
        port => format!("port {port} cannot be had ({error}); take another with --port"),
    })
}

/// How long `warming` may delay the start.
fn time_to_warm(warming: Option<&InstanceWarming>) -> Duration {
    let first = warming.filter(|warming| warming.at_start && warming.before_traffic);
    first.map_or(Duration::ZERO, |first| first.warming.limit)
}

/// What an instance has to do with those who started it.
struct Ties {
    metrics: Arc<InstanceMetrics>,
    stopped: watch::Receiver<bool>,
    ready: oneshot::Sender<(SocketAddr, Arc<dyn Service>)>,
    /// Where it is to listen; 0: anywhere.
    port: u16,
}

/// The life of an instance. Gives whether write-behind was drained, or why it could not start.
async fn serve<O: Origin>(
    mut config: InstanceConfig,
    origin: O,
    ties: Ties,
) -> Result<bool, String> {
    let aside = config.aside.take();
    let main = match config.remote.take() {
        Some(options) => Some(layer::connect(options, &config).await?),
        None => None,
    };
    match (main, aside) {
        (
            Some(main),
            Some(Aside {
                options,
                data_types,
            }),
        ) => {
            let aside = layer::connect(options, &config).await;
            let aside = aside.map_err(|reason| format!("the store aside: {reason}"))?;
            let split = layer::split(main, aside, &data_types, &config);
            Box::pin(serve_over(Some(split), config, origin, ties)).await
        }
        (main, _) => Box::pin(serve_over(main, config, origin, ties)).await,
    }
}

/// The same over a remote layer that is connected, if there is one.
async fn serve_over<R: Remote, O: Origin>(
    remote: Option<R>,
    config: InstanceConfig,
    origin: O,
    ties: Ties,
) -> Result<bool, String> {
    let Ties {
        metrics,
        mut stopped,
        ready,
        port,
    } = ties;
    let (listener, bound) = bind(port).await?;
    let running = Running::start(remote, config, origin, &metrics).await;
    let engine = &running.engine;
    let service = Metered::new(Arc::clone(&running.service), &metrics, engine.clock());
    if ready.send((bound, Arc::new(service))).is_err() {
        return Err("nobody waits for it".to_owned());
    }
    let router = http::router(Face {
        engine: Arc::clone(engine),
        metrics,
    });
    let serving = async { axum::serve(listener, router).await };
    tokio::select! {
        biased;
        // Either the word to stop, or the runner is gone.
        _ = stopped.wait_for(|stop| *stop) => {}
        served = serving => served.map_err(|error| error.to_string())?,
    }
    Ok(running.drain().await)
}
