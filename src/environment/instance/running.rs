//! An engine that runs in an instance, and what it does beside the requests.
//!
//! The same whether the instance is a server of its own or simulated.

use std::sync::Arc;

use tokio::task::JoinHandle;

use super::deployed::Deployed;
use super::metrics::{Counted, InstanceMetrics};
use super::{DRAIN_LIMIT, InstanceConfig, InstanceWarming};
use crate::engine::layer::{Origin, Remote};
use crate::engine::resilience::origin_limit::Bounded;
use crate::engine::resilience::timeout::Timed;
use crate::engine::{Engine, Surroundings};

/// An origin as an engine sees it: counted, never asked by more at once than allowed, and waited for
/// no longer than allowed; waiting for a turn counts, too.
pub(super) type Protected<O> = Timed<Bounded<Counted<O>>>;

/// An engine, and the task that does what it does beside the requests.
pub(super) struct Running<R, O> {
    pub(super) engine: Arc<Engine<R, Protected<O>>>,
    /// The same with what it does when its process starts.
    pub(super) service: Arc<Deployed<R, Protected<O>>>,
    background: JoinHandle<()>,
    consumer: String,
}

impl<R: Remote, O: Origin> Running<R, O> {
    /// Makes an engine over `remote` and `origin`, and brings it up: it knows the generations, and is
    /// warm if it has to be before users come.
    pub(super) async fn start(
        remote: Option<R>,
        config: InstanceConfig,
        origin: O,
        metrics: &Arc<InstanceMetrics>,
    ) -> Self {
        let consumer = format!("instance-{}", config.number);
        let warming = config.warming.clone();
        let engine = Arc::new(engine(remote, config, origin, metrics));
        engine.prepare().await;
        let background = spawn_background(&engine, &consumer, warming.clone());
        let at_start = warming.filter(|warming| warming.at_start);
        if let Some(first) = at_start.as_ref().filter(|first| first.before_traffic) {
            engine.warm(&first.warming).await;
        }
        let at_start = at_start.map(|first| first.warming);
        Self {
            service: Arc::new(Deployed::new(Arc::clone(&engine), at_start)),
            engine,
            background,
            consumer,
        }
    }

    /// Ends what it does beside the requests, and commits what write-behind has accepted. Gives whether
    /// all of it was.
    pub(super) async fn drain(&self) -> bool {
        self.background.abort();
        self.engine.drain(&self.consumer, DRAIN_LIMIT).await
    }
}

fn engine<R: Remote, O: Origin>(
    remote: Option<R>,
    config: InstanceConfig,
    origin: O,
    metrics: &Arc<InstanceMetrics>,
) -> Engine<R, Protected<O>> {
    let InstanceConfig {
        number,
        policies,
        local,
        invalidation,
        resilience,
        clock,
        seed,
        observer,
        ..
    } = config;
    let protection = resilience.origin;
    let origin = Counted::new(origin, Arc::clone(metrics));
    let origin = Bounded::new(origin, protection.limit, Arc::clone(&observer));
    let origin = Timed::new(origin, protection.hard_timeout, clock.clone());
    let surroundings = Surroundings {
        clock,
        seed,
        observer,
        instance: u64::from(number),
    };
    Engine::new(policies, local, remote, origin, surroundings)
        .with_invalidation(invalidation)
        .with_write_behind(resilience.write_behind)
        .with_soft_timeout(protection.soft_timeout)
}

/// Keeps `engine` warm for as long as it is polled. A round before the first user is not made here.
async fn keep_warm<R: Remote, O: Origin>(engine: &Engine<R, O>, warming: Option<InstanceWarming>) {
    let Some(warming) = warming else { return };
    let first_is_due = warming.at_start && !warming.before_traffic;
    engine.keep_warm(&warming.warming, first_is_due).await;
}

/// Polls what the engine does beside the requests.
fn spawn_background<R: Remote, O: Origin>(
    engine: &Arc<Engine<R, O>>,
    consumer: &str,
    warming: Option<InstanceWarming>,
) -> JoinHandle<()> {
    let (engine, consumer) = (Arc::clone(engine), consumer.to_owned());
    tokio::spawn(async move {
        tokio::join!(
            engine.listen(),
            engine.consume(&consumer),
            engine.refresh(),
            engine.finish_late_loads(),
            keep_warm(&engine, warming)
        );
    })
}
