//! What a call to the remote layer on a modelled Redis costs us in virtual time: lookups that hit, fills,
//! and both at once by many tasks.
//!
//! `cargo bench --bench model_remote` prints nanoseconds per call, the median of several rounds on one
//! thread. It must never become a test: it asserts nothing.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::expect_used,
    reason = "a benchmark measures wall time, prints it, and may stop at an impossible error"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use cachestorm::clock::{Timestamp, virtual_time};
use cachestorm::engine::data_type::{Key, Limit};
use cachestorm::engine::layer::{Entry, Generation, Remote as _, Row, Token, Version};
use cachestorm::environment::delay::Delay;
use cachestorm::environment::modelled_redis::deployment::{
    ModelledRedis, ModelledRedisConfig, REPLICATION_LAG,
};
use cachestorm::environment::modelled_redis::pubsub::PubSubModel;
use cachestorm::environment::modelled_redis::remote::ModelledRemote;
use cachestorm::environment::modelled_redis::thread::CommandCosts;
use cachestorm::environment::redis_topology::{ReadFrom, Topology, TopologyConfig};
use cachestorm::environment::{EvictionPolicy, RedisConfig};
use cachestorm::seed::Seed;
use cachestorm::units::Ratio;

const START: Timestamp = Timestamp::from_unix_nanos(1_800_000_000_000_000_000);
const ROUNDS: usize = 7;
const CALLS: usize = 100_000;
const TASKS: usize = 100;
const KEYS: usize = 100_000;
const TTL: Duration = Duration::from_hours(1);

fn config(topology: Topology, network: Delay) -> ModelledRedisConfig {
    ModelledRedisConfig {
        redis: RedisConfig {
            maxmemory: None,
            policy: EvictionPolicy::AllkeysLru,
        },
        topology: TopologyConfig::of(topology),
        read_from: ReadFrom::Primary,
        network,
        costs: CommandCosts::MEASURED,
        prefix_len: 25,
        instances: 3,
        share: 1.0,
        pubsub: PubSubModel {
            delay: Delay::constant(Duration::from_micros(100)),
            loss: Ratio(0.0),
        },
        replication_lag: REPLICATION_LAG,
    }
}

fn main() {
    let us = Duration::from_micros;
    let even = Delay::constant(us(60));
    let uneven = vec![
        (0.0, us(40)),
        (0.5, us(60)),
        (0.99, us(400)),
        (1.0, us(2_000)),
    ];
    let uneven = Delay::from_quantiles(uneven).expect("ascending");
    println!("{TASKS} tasks, median of {ROUNDS} rounds of {CALLS} calls");
    for (name, topology, network) in [
        (
            "standalone, even network",
            Topology::Standalone,
            even.clone(),
        ),
        (
            "standalone, uneven network",
            Topology::Standalone,
            uneven.clone(),
        ),
        ("cluster, uneven network", Topology::Cluster, uneven),
    ] {
        println!("  {name}");
        report("get, hits", topology, &network, async |remote, key, _| {
            remote.get(key).await.expect("an answer");
        });
        report("fill", topology, &network, async |remote, key, entry| {
            remote.fill(key, entry, TTL).await.expect("an answer");
        });
        report(
            "get_or_lease, hits",
            topology,
            &network,
            async |remote, key, _| {
                let leased = remote.get_or_lease(key, Token(1), TTL).await;
                leased.expect("an answer");
            },
        );
        let limit = Limit::new(1_000, Duration::from_mins(1));
        report("admit", topology, &network, async |remote, key, _| {
            let key = Key::new(key.as_str().replace("item", "limit"));
            remote.admit(&key, limit).await.expect("a decision");
        });
    }
}

fn report(
    what: &str,
    topology: Topology,
    network: &Delay,
    call: impl AsyncFn(&ModelledRemote, &Key, &Entry) + Copy,
) {
    let (runtime, clock) = virtual_time::runtime(START).expect("a runtime");
    let redis = ModelledRedis::new(config(topology, network.clone()), &clock, Seed(42));
    let remote = Arc::new(redis.connect(Duration::from_secs(1), 2));
    let keys: Vec<Key> = (0..KEYS)
        .map(|nth| Key::new(format!("item:{nth}")))
        .collect();
    let entry = Entry {
        row: Row {
            value: Some(Bytes::from(vec![b'v'; 2_048])),
            version: Version(1),
            committed_at: START,
            as_of: Version(1),
        },
        fetched_at: START,
        fresh_until: START + TTL,
        load_time: Duration::from_millis(1),
        generation: Generation(1),
    };
    let mut nanos: Vec<f64> = runtime.block_on(async {
        for key in &keys {
            remote.fill(key, &entry, TTL).await.expect("stored");
        }
        let mut nanos = Vec::new();
        for _ in 0..ROUNDS {
            let start = Instant::now();
            let tasks = (0..TASKS).map(|task| {
                let (remote, keys, entry) = (&remote, &keys, &entry);
                async move {
                    for nth in 0..CALLS / TASKS {
                        let key = &keys[(task * 7_919 + nth * 104_729) % KEYS];
                        call(remote, key, entry).await;
                    }
                }
            });
            let tasks: futures_util::stream::FuturesUnordered<_> = tasks.collect();
            futures_util::StreamExt::collect::<()>(tasks).await;
            nanos.push(start.elapsed().as_nanos() as f64 / CALLS as f64);
        }
        nanos
    });
    nanos.sort_by(f64::total_cmp);
    println!("    {what:<20} {:7.0} ns", nanos[ROUNDS / 2]);
}
