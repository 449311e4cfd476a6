//! The model of one Redis against a real one: what keys weigh, and whom it evicts.
//!
//! Both are given the same commands at the same times; what is compared are hit ratios and memory,
//! because no two servers draw the same keys.

use std::time::Duration;

use cachestorm::clock::{Clock, Timestamp};
use cachestorm::engine::data_type::Key;
use cachestorm::environment::EvictionPolicy;
use cachestorm::environment::managed_redis::ManagedRedis;
use cachestorm::environment::modelled_redis::keyspace::{Keyspace, KeyspaceConfig};
use cachestorm::environment::modelled_redis::memory::MemoryLayout;
use cachestorm::environment::redis_info::RedisInfo;
use cachestorm::seed::Seed;
use cachestorm::units::ByteSize;
use cachestorm::workload::Popularity;
use cachestorm::workload::popularity::RankSampler;
use redis::aio::MultiplexedConnection;

use crate::support::scene;

const ASK_LIMIT: Duration = Duration::from_secs(10);
const CELL_KEYS: usize = 20_000;
const VALUE_BYTES: usize = 200;

async fn connect(server: &ManagedRedis) -> MultiplexedConnection {
    let client = redis::Client::open(server.url()).expect("a URL");
    let config = redis::AsyncConnectionConfig::new().set_response_timeout(Some(ASK_LIMIT));
    let connection = client.get_multiplexed_async_connection_with_config(&config);
    connection.await.expect("Redis answers")
}

async fn used_memory(connection: &mut MultiplexedConnection, clock: &Clock) -> u64 {
    let info = RedisInfo::fetch(connection, clock, ASK_LIMIT).await;
    info.expect("INFO").used_memory.0
}

fn modelled(config: KeyspaceConfig, now: Timestamp) -> Keyspace<()> {
    Keyspace::new(config, Seed(42).stream("model"), now)
}

/// Skips a test where the server is of another family of versions than the layout.
fn layout(server: &ManagedRedis) -> Option<MemoryLayout> {
    let layout = MemoryLayout::of_version(server.version());
    if layout.is_none() {
        eprintln!("skipped: no layout for Redis {}", server.version());
    }
    layout
}

/// Lets the server reserve what it keeps for each kind of command and for this connection.
async fn warm_up(connection: &mut MultiplexedConnection, clock: &Clock) {
    let mut pipe = redis::pipe();
    for _ in 0..100 {
        pipe.cmd("SET")
            .arg("warm-up")
            .arg("x".repeat(VALUE_BYTES))
            .ignore();
        pipe.cmd("GET").arg("warm-up").ignore();
    }
    pipe.cmd("CONFIG").arg("GET").arg("maxmemory").ignore();
    pipe.cmd("CONFIG")
        .arg("SET")
        .arg("maxmemory")
        .arg(0)
        .ignore();
    pipe.cmd("FLUSHALL").ignore();
    pipe.query_async::<()>(connection).await.expect("warm-up");
    used_memory(connection, clock).await;
}

/// So many keys of one shape; what they used on the server, and in the model.
async fn weigh(
    server: &ManagedRedis,
    clock: &Clock,
    (key_len, value_len, ttl): (usize, usize, Option<Duration>),
) -> (f64, f64) {
    let mut watch = connect(server).await;
    warm_up(&mut watch, clock).await;
    let before = used_memory(&mut watch, clock).await;
    let start = clock.now();
    let mut model = modelled(KeyspaceConfig::default(), start);
    let modelled_before = model.used_memory();
    let value = "x".repeat(value_len);
    // A connection of its own: its buffers go with it.
    let mut writer = connect(server).await;
    for first in (0..CELL_KEYS).step_by(500) {
        let mut pipe = redis::pipe();
        for nth in first..first + 500 {
            let key = format!("{nth:k>key_len$}");
            let set = pipe.cmd("SET").arg(&key).arg(&value).ignore();
            if let Some(ttl) = ttl {
                set.arg("PX").arg(ttl.as_millis() as u64);
            }
            let stored = model.set(&Key::new(key), (), value_len, ttl, start);
            stored.expect("there is no limit");
        }
        pipe.query_async::<()>(&mut writer).await.expect("SET");
    }
    drop(writer);
    // The tables have moved, and the writer's buffers are gone, after a while.
    model.pass_time(start + Duration::from_secs(5));
    let expected = (model.used_memory() - modelled_before) as f64;
    let deadline = clock.now() + Duration::from_secs(5);
    loop {
        let grown = used_memory(&mut watch, clock).await as f64 - before as f64;
        if (grown / expected - 1.0).abs() < 0.005 || clock.now() > deadline {
            return (grown, expected);
        }
        clock.sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn live_keys_weigh_what_the_model_says() {
    let clock = Clock::real();
    let server = scene::redis(&clock).await;
    if layout(&server).is_none() {
        return;
    }
    let hour = Some(Duration::from_hours(1));
    let cells = [
        (12, 10, None),
        (12, 10, hour),
        (24, 44, hour),
        (24, 45, None),
        (31, 100, hour),
        (40, 300, None),
        (60, 500, hour),
        (28, 2_048, None),
        (28, 2_048, hour),
        (28, 5_000, hour),
    ];
    let mut worst = 0.0_f64;
    for cell in cells {
        let (grown, expected) = weigh(&server, &clock, cell).await;
        let off = grown / expected - 1.0;
        assert!(
            off.abs() < 0.01,
            "{cell:?}: {grown} measured, {expected} modelled"
        );
        worst = worst.max(off.abs());
    }
    println!("worst cell: {:.2}% off", worst * 100.0);
    server.stop().await.expect("stop");
}

/// Cache-aside in batches: lookups, then a write for each key that was missed.
struct Replay {
    policy: EvictionPolicy,
    /// What is left to keys.
    free: u64,
    population: u64,
    batches: usize,
    batch: usize,
    /// The time from batch to batch; none for full speed.
    pace: Option<Duration>,
}

/// Lookups that hit in the second half, when memory has long been full.
#[derive(Clone, Copy, Debug, Default)]
struct Score {
    hits: usize,
    lookups: usize,
}

impl Score {
    fn add(&mut self, found: &[bool]) {
        self.hits += found.iter().filter(|found| **found).count();
        self.lookups += found.len();
    }

    fn percent(self) -> f64 {
        self.hits as f64 / self.lookups as f64 * 100.0
    }
}

/// The keys of a batch that were missed, each once.
fn missed<'k>(keys: &'k [Key], found: &[bool]) -> Vec<&'k Key> {
    let pairs = keys.iter().zip(found);
    let mut missed: Vec<&Key> = pairs
        .filter(|(_, found)| !**found)
        .map(|(key, _)| key)
        .collect();
    missed.sort();
    missed.dedup();
    missed
}

async fn on_redis(connection: &mut MultiplexedConnection, keys: &[Key], value: &str) -> Vec<bool> {
    let mut pipe = redis::pipe();
    for key in keys {
        pipe.cmd("GET").arg(key.as_str());
    }
    let answers: Vec<Option<String>> = pipe.query_async(connection).await.expect("GET");
    let found: Vec<bool> = answers.iter().map(Option::is_some).collect();
    let mut pipe = redis::pipe();
    for key in missed(keys, &found) {
        pipe.cmd("SET").arg(key.as_str()).arg(value).ignore();
    }
    pipe.query_async::<()>(connection).await.expect("SET");
    found
}

fn on_model(model: &mut Keyspace<()>, keys: &[Key], now: Timestamp) -> Vec<bool> {
    let found: Vec<bool> = keys
        .iter()
        .map(|key| model.get(key.as_str(), now).is_some())
        .collect();
    for key in missed(keys, &found) {
        let stored = model.set(key, (), VALUE_BYTES, None, now);
        stored.expect("keys may go");
    }
    found
}

/// Sets the limit so that what the empty server and this connection use does not count.
async fn limit(connection: &mut MultiplexedConnection, replay: &Replay, used: u64) {
    let maxmemory = (used + replay.free).to_string();
    let policy = match replay.policy {
        EvictionPolicy::AllkeysLru => "allkeys-lru",
        EvictionPolicy::AllkeysLfu => "allkeys-lfu",
        _ => "allkeys-random",
    };
    for (name, value) in [
        ("maxmemory", maxmemory.as_str()),
        ("maxmemory-policy", policy),
    ] {
        let mut set = redis::cmd("CONFIG");
        set.arg("SET").arg(name).arg(value);
        set.query_async::<()>(connection).await.expect("CONFIG SET");
    }
}

/// Hit ratios in percent: the server's, the model's, and those of a model that evicts anybody.
async fn compare(replay: Replay) -> Option<[f64; 3]> {
    let clock = Clock::real();
    let server = scene::redis(&clock).await;
    let memory = layout(&server)?;
    let mut connection = connect(&server).await;
    warm_up(&mut connection, &clock).await;
    let used = used_memory(&mut connection, &clock).await;
    limit(&mut connection, &replay, used).await;
    let start = clock.now();
    let mut models = [replay.policy, EvictionPolicy::AllkeysRandom].map(|policy| {
        let config = KeyspaceConfig {
            maxmemory: Some(ByteSize(used + replay.free)),
            policy,
            overhead_bytes: used - memory.base_bytes,
            ..KeyspaceConfig::default()
        };
        modelled(config, start)
    });
    let ranks = RankSampler::new(replay.population, Popularity::Zipf { skew: 0.9 });
    let mut stream = Seed(7).stream("references");
    let value = "x".repeat(VALUE_BYTES);
    let mut scores = [Score::default(); 3];
    for nth in 0..replay.batches {
        if let Some(pace) = replay.pace {
            clock.sleep_until(start + pace * nth as u32).await;
        }
        let keys: Vec<Key> = (0..replay.batch)
            .map(|_| Key::new(format!("customer:360:{}", ranks.draw(&mut stream))))
            .collect();
        let now = clock.now();
        let mut found = vec![on_redis(&mut connection, &keys, &value).await];
        found.extend(models.iter_mut().map(|model| on_model(model, &keys, now)));
        if nth >= replay.batches / 2 {
            for (score, found) in scores.iter_mut().zip(&found) {
                score.add(found);
            }
        }
    }
    let info = RedisInfo::fetch(&mut connection, &clock, ASK_LIMIT).await;
    let (keys, held) = (info.expect("INFO").keys_in(0) as f64, models[0].counters());
    let off = held.keys as f64 / keys - 1.0;
    assert!(
        off.abs() < 0.03,
        "{keys} keys measured, {} modelled",
        held.keys
    );
    assert!(
        held.evicted > held.keys,
        "the replay must turn over what is held"
    );
    server.stop().await.expect("stop");
    let percents = scores.map(Score::percent);
    println!(
        "{:?}: {percents:.2?}, keys {:.2}% off",
        replay.policy,
        off * 100.0
    );
    Some(percents)
}

#[tokio::test]
async fn live_full_speed_evicts_as_the_model_does() {
    for policy in [EvictionPolicy::AllkeysRandom, EvictionPolicy::AllkeysLfu] {
        let replay = Replay {
            policy,
            free: 4 << 20,
            population: 100_000,
            batches: 2_000,
            batch: 100,
            pace: None,
        };
        let Some([measured, modelled, random]) = compare(replay).await else {
            return;
        };
        assert!(
            (measured - modelled).abs() < 1.0,
            "{policy:?}: {measured} {modelled}"
        );
        // What the bound above is worth: another policy is far outside of it.
        let is_lfu = policy == EvictionPolicy::AllkeysLfu;
        assert_eq!(modelled > random + 3.0, is_lfu, "{modelled} {random}");
    }
}

/// Paced, because the clock of LRU ticks once a second: at full speed it knows nothing.
#[tokio::test]
async fn live_paced_lru_evicts_as_the_model_does() {
    let replay = Replay {
        policy: EvictionPolicy::AllkeysLru,
        free: 2 << 20,
        population: 30_000,
        batches: 1_200,
        batch: 40,
        pace: Some(Duration::from_millis(10)),
    };
    let Some([measured, modelled, random]) = compare(replay).await else {
        return;
    };
    assert!((measured - modelled).abs() < 1.5, "{measured} {modelled}");
    assert!(modelled > random + 2.0, "{modelled} {random}");
}
