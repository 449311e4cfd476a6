//! Invalidation over a real Redis: many keys at once, lost notices, deaf instances, tracking.

mod broad;
mod convergence;
mod cost;
mod generations;
mod http;
mod loss;
mod tracking;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cachestorm::engine::data_type::{DataTypeId, Key};
use cachestorm::engine::event::{Event, Observer};
use cachestorm::engine::invalidation::{
    Broadly, InvalidationConfig, OnLoss, Transport, tracked_prefixes,
};
use cachestorm::engine::layer::{InvalidationEvent, Notice};
use cachestorm::engine::local::{LocalConfig, LocalPolicy};
use cachestorm::engine::remote::redis::{RedisOptions, RedisRemote};
use cachestorm::engine::{Engine, Surroundings};
use cachestorm::seed::Seed;
use parking_lot::Mutex;
use tokio::task::JoinHandle;

use crate::support::{Stage, TestEngine};

/// Often enough that a test need not wait long, seldom enough that a busy machine keeps up.
const HEARTBEAT: Duration = Duration::from_millis(400);

fn config() -> InvalidationConfig {
    InvalidationConfig {
        heartbeat: HEARTBEAT,
        ..InvalidationConfig::default()
    }
}

fn by(broadly: Broadly) -> InvalidationConfig {
    InvalidationConfig {
        broadly,
        ..config()
    }
}

fn on(on_loss: OnLoss) -> InvalidationConfig {
    InvalidationConfig {
        on_loss,
        ..config()
    }
}

fn tracking() -> InvalidationConfig {
    InvalidationConfig {
        transport: Transport::Tracking,
        ..config()
    }
}

/// Counts what one engine tells.
#[derive(Debug, Default)]
struct Counts(Mutex<BTreeMap<&'static str, u64>>);

impl Counts {
    fn of(&self, what: &str) -> u64 {
        self.0.lock().get(what).copied().unwrap_or_default()
    }
}

impl Observer for Counts {
    fn observe(&self, event: &Event<'_>) {
        let (what, count) = match event {
            Event::InvalidationReceived { .. } => ("received", 1),
            Event::LocalFlushed { .. } => ("flushed", 1),
            Event::LocalRevalidated { kept, .. } => ("kept", *kept as u64),
            Event::NoticesMissed { missed, .. } => ("missed", *missed),
            Event::SubscriptionSilent { .. } => ("silent", 1),
            Event::FillRefused { .. } => ("refused", 1),
            Event::Swept { keys, .. } => ("swept", *keys),
            _ => return,
        };
        *self.0.lock().entry(what).or_default() += count;
    }
}

/// An engine that listens until this is dropped.
struct Instance {
    engine: Arc<TestEngine>,
    counts: Arc<Counts>,
    listening: Option<JoinHandle<()>>,
}

impl Drop for Instance {
    fn drop(&mut self) {
        if let Some(listening) = &self.listening {
            listening.abort();
        }
    }
}

impl Instance {
    /// What it answers, as text.
    async fn read(&self, data_type: DataTypeId, key: &Key) -> Option<String> {
        let answer = self.engine.get(data_type, key).await.expect("an answer");
        let value = answer.entry.row.value?;
        Some(String::from_utf8(value.to_vec()).expect("tests write text"))
    }
}

/// How to reach the stage's Redis.
async fn remote(stage: &Stage, prefix: &str) -> RedisRemote {
    let options = RedisOptions {
        url: stage.redis.url().to_owned(),
        prefix: prefix.to_owned(),
        connections: 2,
        timeout: Duration::from_millis(500),
    };
    RedisRemote::connect(options).await.expect("Redis answers")
}

/// An instance whose part in the talk nobody plays yet.
async fn deaf_instance(
    stage: &Stage,
    prefix: &str,
    number: u64,
    config: InvalidationConfig,
) -> Instance {
    let counts = Arc::<Counts>::default();
    let surroundings = Surroundings {
        clock: stage.clock.clone(),
        seed: Seed(1),
        observer: Arc::clone(&counts) as Arc<dyn Observer>,
        instance: number,
    };
    let local = LocalConfig {
        entries: 1_000,
        bytes: None,
        policy: LocalPolicy::default(),
    };
    let mut remote = remote(stage, prefix).await;
    if config.transport == Transport::Tracking {
        remote = remote.tracking(tracked_prefixes(&stage.policies));
    }
    let engine = Engine::new(
        Arc::clone(&stage.policies),
        Some(local),
        Some(remote),
        stage.origin.clone(),
        surroundings,
    );
    Instance {
        engine: Arc::new(engine.with_invalidation(config)),
        counts,
        listening: None,
    }
}

/// An instance that hears.
async fn instance_at(
    stage: &Stage,
    prefix: &str,
    number: u64,
    config: InvalidationConfig,
) -> Instance {
    let mut instance = deaf_instance(stage, prefix, number, config).await;
    let channel = format!("{prefix}invalidations");
    let before = subscribers(stage, &channel).await;
    let listener = Arc::clone(&instance.engine);
    instance.listening = Some(tokio::spawn(async move { listener.listen().await }));
    stage
        .until(async || subscribers(stage, &channel).await > before)
        .await;
    // The server knows it before the subscriber does.
    settle(stage, prefix, &instance).await;
    instance.counts.0.lock().clear();
    instance
}

async fn instance(stage: &Stage, number: u64, config: InvalidationConfig) -> Instance {
    instance_at(stage, "test:", number, config).await
}

async fn subscribers(stage: &Stage, channel: &str) -> usize {
    let reply: Vec<(String, usize)> = redis::cmd("PUBSUB")
        .arg(&["NUMSUB", channel])
        .query_async(&mut stage.connection().await)
        .await
        .expect("PUBSUB NUMSUB");
    reply.first().map_or(0, |(_, count)| *count)
}

/// Publishes as another instance would.
async fn publish(stage: &Stage, prefix: &str, notice: &Notice) {
    redis::cmd("PUBLISH")
        .arg(format!("{prefix}invalidations"))
        .arg(serde_json::to_string(notice).expect("JSON"))
        .query_async::<()>(&mut stage.connection().await)
        .await
        .expect("PUBLISH");
}

/// A notice of a publisher that is no engine.
fn notice(sequence: u64, keys: &[&Key]) -> Notice {
    Notice::Invalidated(InvalidationEvent {
        publisher: 99,
        incarnation: 1,
        sequence,
        keys: keys.iter().map(|key| key.as_str().to_owned()).collect(),
        ..InvalidationEvent::default()
    })
}

/// Waits until `instance` has taken in everything that was told so far.
async fn settle(stage: &Stage, prefix: &str, instance: &Instance) {
    let before = instance.counts.of("received");
    // Behind everything else on the connection; without a number, so nobody misses it.
    let last = Notice::Invalidated(InvalidationEvent {
        publisher: 98,
        ..InvalidationEvent::default()
    });
    publish(stage, prefix, &last).await;
    stage
        .until(async || instance.counts.of("received") > before)
        .await;
}

/// Asks Redis.
async fn ask<T: redis::FromRedisValue>(stage: &Stage, words: &[&str]) -> T {
    let (name, rest) = words.split_first().expect("a command");
    redis::cmd(name)
        .arg(rest)
        .query_async(&mut stage.connection().await)
        .await
        .expect(name)
}

fn bytes(text: &str) -> Bytes {
    Bytes::from(text.to_owned())
}
