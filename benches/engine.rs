//! What the engine costs: a local hit, and remote hits beside bare GETs of the client library on the
//! same Redis, by turns in one run. `cargo bench --bench engine`
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::expect_used,
    reason = "a benchmark times itself and talks to who called it"
)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use cachestorm::clock::Clock;
use cachestorm::engine::data_type::{DataType, DataTypeId, Key, Limit, PolicyTable, Strategy};
use cachestorm::engine::event::Unobserved;
use cachestorm::engine::layer::{Admission, LayerError, Origin, QueuedWrite, Row, Version};
use cachestorm::engine::local::{LocalConfig, LocalPolicy};
use cachestorm::engine::remote::redis::{RedisOptions, RedisRemote};
use cachestorm::engine::{Engine, Surroundings};
use cachestorm::environment::managed_redis::ManagedRedis;
use cachestorm::environment::{EvictionPolicy, RedisConfig};
use cachestorm::seed::Seed;

const ROUNDS: usize = 9;
const LOCAL_HITS: u32 = 200_000;
const TASKS: usize = 100;
const GETS_PER_TASK: usize = 2_000;
const KEYS: usize = 1_000;
const VALUE_BYTES: usize = 512;

/// Answers at once with the same bytes.
struct Instant0(Clock);

impl Origin for Instant0 {
    async fn load(&self, _: DataTypeId, _: &Key) -> Result<Row, LayerError> {
        Ok(Row {
            value: Some(Bytes::from_static(&[b'x'; VALUE_BYTES])),
            version: Version(1),
            committed_at: self.0.now(),
            as_of: Version(1),
        })
    }
    async fn store(&self, id: DataTypeId, key: &Key, _: Bytes) -> Result<Row, LayerError> {
        self.load(id, key).await
    }
    async fn store_batch(&self, _: &[QueuedWrite]) -> Result<(), LayerError> {
        Ok(())
    }
    async fn admit(&self, _: DataTypeId, _: &Key, _: Limit) -> Result<Admission, LayerError> {
        Err(LayerError::Unsupported("the benchmark", "counters"))
    }
}

const NEAR: DataTypeId = DataTypeId(0);
const FAR: DataTypeId = DataTypeId(1);

fn policies() -> PolicyTable {
    let row = |name: &str, local_ttl| {
        let key = format!("{name}:{{id}}").parse().expect("a pattern");
        let row = DataType::new(name, key, Strategy::CacheAside, Duration::from_hours(1));
        DataType { local_ttl, ..row }
    };
    PolicyTable::new(vec![
        row("near", Some(Duration::from_hours(1))),
        row("far", None),
    ])
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(run());
    runtime.shutdown_background();
}

async fn run() {
    let clock = Clock::real();
    let config = RedisConfig {
        maxmemory: None,
        policy: EvictionPolicy::Noeviction,
    };
    let redis = ManagedRedis::start(&config, &clock)
        .await
        .expect("redis-server");
    let options = RedisOptions {
        url: redis.url().to_owned(),
        prefix: String::new(),
        connections: 1,
        timeout: Duration::from_secs(5),
    };
    let remote = RedisRemote::connect(options).await.expect("Redis answers");
    let engine = Arc::new(Engine::new(
        Arc::new(policies()),
        Some(LocalConfig {
            entries: 10_000,
            bytes: None,
            policy: LocalPolicy::default(),
        }),
        Some(remote),
        Instant0(clock.clone()),
        Surroundings {
            clock: clock.clone(),
            seed: Seed(42),
            observer: Arc::new(Unobserved),
            instance: 0,
        },
    ));
    let keys: Arc<[Key]> = (0..KEYS).map(|n| Key::new(format!("far:{n}"))).collect();
    for key in keys.iter() {
        engine.get(FAR, key).await.expect("an answer");
    }
    local_hits(&engine).await;
    remote_hits(&engine, &keys, redis.url()).await;
    redis.stop().await.expect("Redis stops");
}

async fn local_hits<O: Origin>(engine: &Engine<RedisRemote, O>) {
    let keys: Vec<Key> = (0..KEYS).map(|n| Key::new(format!("near:{n}"))).collect();
    for key in &keys {
        engine.get(NEAR, key).await.expect("an answer");
    }
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for n in 0..LOCAL_HITS as usize {
            black_box(engine.get(NEAR, &keys[n % KEYS]).await.expect("an answer"));
        }
        rounds.push(start.elapsed().as_nanos() as f64 / f64::from(LOCAL_HITS));
    }
    println!(
        "local hit through the engine: {:.0} ns (median of {ROUNDS} rounds)",
        median(rounds)
    );
}

async fn remote_hits<O: Origin>(
    engine: &Arc<Engine<RedisRemote, O>>,
    keys: &Arc<[Key]>,
    url: &str,
) {
    let client = redis::Client::open(url).expect("a URL of ours");
    // The same limits as the engine's connection has, or the client itself would be compared.
    let config = redis::AsyncConnectionConfig::new()
        .set_pipeline_buffer_size(4_096)
        .set_response_timeout(Some(Duration::from_secs(5)));
    let connection = client
        .get_multiplexed_async_connection_with_config(&config)
        .await
        .expect("Redis answers");
    let (mut bare, mut through, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let shared = connection.clone();
        let bare_rate = storm(keys, move |key| {
            let mut connection = shared.clone();
            async move {
                let value: Option<Bytes> = redis::AsyncCommands::get(&mut connection, key.as_str())
                    .await
                    .expect("an answer");
                assert!(value.is_some(), "{key} is gone");
            }
        })
        .await;
        let shared = Arc::clone(engine);
        let engine_rate = storm(keys, move |key| {
            let engine = Arc::clone(&shared);
            async move {
                black_box(engine.get(FAR, &key).await.expect("an answer"));
            }
        })
        .await;
        ratios.push(engine_rate / bare_rate);
        bare.push(bare_rate);
        through.push(engine_rate);
    }
    println!(
        "remote hits, {TASKS} tasks: {:.0}/s through the engine, {:.0}/s bare GETs, ratio {:.2} \
         (medians of {ROUNDS} rounds by turns)",
        median(through),
        median(bare),
        median(ratios)
    );
}

/// Gets per second of many tasks, each with keys of its own, so that none waits for another.
async fn storm<F: Future<Output = ()> + Send>(
    keys: &Arc<[Key]>,
    get: impl Fn(Key) -> F + Clone + Send + Sync + 'static,
) -> f64 {
    let start = Instant::now();
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let (keys, get) = (Arc::clone(keys), get.clone());
            tokio::spawn(async move {
                let own = KEYS / TASKS;
                for n in 0..GETS_PER_TASK {
                    get(keys[task * own + n % own].clone()).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no panic");
    }
    (TASKS * GETS_PER_TASK) as f64 / start.elapsed().as_secs_f64()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
