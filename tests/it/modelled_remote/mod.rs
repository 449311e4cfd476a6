//! The remote layer on a modelled Redis, in virtual time: the promises that real stores keep, and what
//! only a model can be asked.

mod failover;
mod limits;
mod memory;
mod notices;

use std::time::Duration;

use cachestorm::clock::{Clock, Timestamp, virtual_time};
use cachestorm::engine::data_type::Key;
use cachestorm::engine::layer::{Fill, LayerError, Queue, Remote, Version};
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
use cachestorm::units::{ByteSize, Ratio};

use crate::conformance::{
    Pair, TTL, append, entry, items, policies, survives_a_storm_of_writers, take,
};

const START: Timestamp = Timestamp::from_unix_nanos(1_795_419_900_000_000_000);
const TIMEOUT: Duration = Duration::from_millis(500);

const fn us(us: u64) -> Duration {
    Duration::from_micros(us)
}

/// A deployment whose network always takes as long.
fn config(topology: Topology) -> ModelledRedisConfig {
    ModelledRedisConfig {
        redis: RedisConfig {
            maxmemory: None,
            policy: EvictionPolicy::Noeviction,
        },
        topology: TopologyConfig::of(topology),
        read_from: ReadFrom::Primary,
        network: Delay::constant(us(60)),
        costs: CommandCosts::MEASURED,
        prefix_len: 5,
        instances: 2,
        share: 1.0,
        pubsub: PubSubModel {
            delay: Delay::constant(us(100)),
            loss: Ratio(0.0),
        },
        replication_lag: REPLICATION_LAG,
    }
}

/// A network in which commands overtake each other.
fn uneven() -> Delay {
    let quantiles = vec![
        (0.0, us(40)),
        (0.5, us(100)),
        (0.9, us(900)),
        (1.0, us(5_000)),
    ];
    Delay::from_quantiles(quantiles).expect("ascending")
}

/// In a virtual time of its own.
fn run<F: Future>(body: impl FnOnce(Clock) -> F) -> F::Output {
    let (runtime, clock) = virtual_time::runtime(START).expect("a runtime");
    runtime.block_on(body(clock))
}

fn deploy(clock: &Clock, config: ModelledRedisConfig) -> ModelledRedis {
    ModelledRedis::new(config, clock, Seed(42))
}

fn connect(redis: &ModelledRedis) -> ModelledRemote {
    redis.connect(TIMEOUT, 2).serving(&policies())
}

async fn keeps_its_promises(clock: &Clock, config: ModelledRedisConfig) {
    let redis = deploy(clock, config);
    let pair = Pair {
        clock: clock.clone(),
        one: connect(&redis),
        other: connect(&redis),
    };
    pair.keeps_everything().await;
    survives_a_storm_of_writers(clock, pair.one).await;
}

#[test]
fn every_topology_keeps_what_the_remote_layer_promises() {
    run(async |clock: Clock| {
        for topology in [
            Topology::Standalone,
            Topology::Replicated,
            Topology::Sentinel,
            Topology::Cluster,
        ] {
            keeps_its_promises(&clock, config(topology)).await;
            let uneven = ModelledRedisConfig {
                network: uneven(),
                ..config(topology)
            };
            keeps_its_promises(&clock, uneven).await;
        }
    });
}

#[test]
fn replicas_answer_lookups_late_and_keep_what_is_promised() {
    run(async |clock: Clock| {
        for topology in [Topology::Replicated, Topology::Cluster] {
            let config = ModelledRedisConfig {
                read_from: ReadFrom::Replica,
                replication_lag: Duration::from_millis(20),
                ..config(topology)
            };
            let redis = deploy(&clock, config);
            let remote = connect(&redis);
            let (key, lag) = (Key::new("item:late"), Duration::from_millis(20));
            let version = async || {
                let held = remote.get(&key).await.expect("an answer");
                held.map(|held| held.row.version)
            };
            let fill = async |as_of| {
                let filled = remote
                    .fill(&key, &entry(&clock, as_of, Some("v")), TTL)
                    .await;
                assert_eq!(filled, Ok(Fill::Stored));
            };
            fill(1).await;
            assert_eq!(version().await, None, "nobody has heard of it");
            clock.sleep(lag).await;
            assert_eq!(version().await, Some(Version(1)));
            fill(2).await;
            fill(3).await;
            assert_eq!(version().await, Some(Version(1)));
            clock.sleep(lag).await;
            assert_eq!(version().await, Some(Version(3)));
            let info = redis.info();
            assert_eq!((info.keyspace_hits, info.calls_of("get")), (3 + 2, 4));
            let (one, other) = (connect(&redis), connect(&redis));
            let clock = clock.clone();
            Pair { clock, one, other }.keeps_what_may_be_late().await;
        }
    });
}

/// What workers in a virtual time of their own are told: answers, times, and what the servers say of
/// themselves.
fn story(seed: u64) -> (Vec<Vec<String>>, String) {
    run(async |clock: Clock| {
        let mut config = ModelledRedisConfig {
            network: uneven(),
            pubsub: PubSubModel {
                delay: uneven(),
                loss: Ratio(0.1),
            },
            ..config(Topology::Sentinel)
        };
        config.redis.maxmemory = Some(ByteSize(3 << 20));
        config.redis.policy = EvictionPolicy::AllkeysLru;
        let redis = ModelledRedis::new(config, &clock, Seed(seed));
        let workers = (0..8_u64).map(|worker| {
            let (clock, redis, remote) = (clock.clone(), redis.clone(), connect(&redis));
            async move {
                let mut told = Vec::new();
                for nth in 0..400 {
                    let key = Key::new(format!("item:{}", (worker * 31 + nth * 17) % 2_000));
                    let held = remote.get(&key).await;
                    let value = entry(&clock, nth, Some(&"v".repeat(2_000)));
                    let filled = remote.fill(&key, &value, Duration::from_secs(nth)).await;
                    told.push(format!("{:?} {held:?} {filled:?}", clock.now()));
                    if (worker, nth) == (3, 200) {
                        redis.kill_primary(0);
                        clock.sleep(Duration::from_secs(4)).await;
                    }
                }
                told
            }
        });
        let told = futures_util::future::join_all(workers).await;
        (told, format!("{:?}", redis.info()))
    })
}

#[test]
fn the_same_seed_gives_the_same_answers() {
    let (once, again) = (story(7), story(7));
    assert_eq!(once.1, again.1);
    assert!(once.0 == again.0);
    assert!(once.1 != story(8).1, "another seed, another story");
    assert!(!once.1.contains("evicted_keys: 0,"), "{}", once.1);
}

/// The way, the thread, the way; and with a part of the traffic, the wait of all of it.
#[test]
fn a_call_takes_the_way_and_the_threads_time() {
    run(async |clock: Clock| {
        let redis = deploy(&clock, config(Topology::Standalone));
        let remote = connect(&redis);
        let key = Key::new("item:1");
        let begun = clock.now();
        remote.get(&key).await.expect("an answer");
        // 60 there and back, 8.5 to wake up, 0.6 for a GET.
        assert_eq!(clock.now().since(begun), Duration::from_nanos(69_100));
        let info = redis.info();
        assert_eq!(info.used_cpu, Duration::from_nanos(9_100));
        assert_eq!((info.keyspace_misses, info.calls_of("get")), (1, 1));

        let busy_for = async |share: f64| {
            let redis = deploy(
                &clock,
                ModelledRedisConfig {
                    share,
                    ..config(Topology::Standalone)
                },
            );
            let remote = connect(&redis);
            let begun = clock.now();
            for _ in 0..100 {
                remote.get(&key).await.expect("an answer");
                clock.sleep(Duration::from_millis(10)).await;
            }
            (clock.now().since(begun), redis.info().used_cpu)
        };
        let (all, of_all) = busy_for(1.0).await;
        let (some, of_some) = busy_for(0.01).await;
        assert_eq!(all, some, "alone, it waits for nobody");
        assert_eq!(of_all * 100, of_some, "and stands for a hundred");
    });
}

/// What has been sent is carried out, also if nobody waits for the answer any more.
#[test]
fn a_call_that_takes_too_long_is_given_up_and_still_done() {
    run(async |clock: Clock| {
        for network in [Delay::constant(us(3_000)), {
            let slow = vec![(0.0, us(3_000)), (1.0, us(3_001))];
            Delay::from_quantiles(slow).expect("ascending")
        }] {
            let redis = deploy(
                &clock,
                ModelledRedisConfig {
                    network,
                    ..config(Topology::Standalone)
                },
            );
            let hasty = redis.connect(us(1_000), 1);
            let (key, begun) = (Key::new("item:1"), clock.now());
            let filled = hasty.fill(&key, &entry(&clock, 1, Some("v")), TTL).await;
            assert!(matches!(filled, Err(LayerError::TimedOut(_))), "{filled:?}");
            assert_eq!(clock.now().since(begun), us(1_000));
            let held = connect(&redis).get(&key).await;
            assert!(held.expect("an answer").is_some());
        }
    });
}

/// Times that no real run waits for.
#[test]
fn what_lasts_long_ends_all_the_same() {
    run(async |clock: Clock| {
        let redis = deploy(&clock, config(Topology::Standalone));
        let remote = connect(&redis);
        let key = Key::new("item:1");
        let stale = async || remote.fill(&key, &entry(&clock, 4, Some("v")), TTL).await;
        let invalidated = remote.invalidate(std::slice::from_ref(&key), Version(5));
        invalidated.await.expect("a tombstone");
        clock.sleep(Duration::from_secs(59)).await;
        assert_eq!(stale().await, Ok(Fill::Refused));
        clock.sleep(Duration::from_secs(2)).await;
        assert_eq!(stale().await, Ok(Fill::Stored), "the tombstone is gone");

        append(&clock, &remote, 1, 1).await.expect("accepted");
        clock.sleep(Duration::from_hours(72)).await;
        assert_eq!(take(&clock, &remote, "c1", 1).await.len(), 1, "it waits");
        clock.sleep(Duration::from_hours(23)).await;
        let open = async || remote.queue("c1").await.expect("a queue");
        assert!(!open().await.is_new());
        clock.sleep(Duration::from_hours(2)).await;
        assert!(open().await.is_new(), "an empty queue goes after a day");
    });
}

#[test]
fn keys_and_their_ttls_are_told_apart() {
    run(async |clock: Clock| {
        let redis = deploy(&clock, config(Topology::Cluster));
        let remote = connect(&redis);
        for (nth, key) in items(100).iter().enumerate() {
            let ttl = Duration::from_secs(10 + nth as u64);
            let value = entry(&clock, 1, Some("v"));
            remote.fill(key, &value, ttl).await.expect("stored");
        }
        append(&clock, &remote, 1, 1).await.expect("accepted");
        let all = redis.ttls(&policies(), 1_000);
        assert!(all.complete);
        let count = |of| all.ttls.get(&of).map_or(0, Vec::len);
        let (item, activity) = (crate::conformance::ITEM, crate::conformance::ACTIVITY);
        assert_eq!(
            (count(Some(item)), count(Some(activity)), count(None)),
            (100, 1, 1)
        );
        let some = redis.ttls(&policies(), 20);
        assert!(!some.complete);
        assert!(some.ttls.values().map(Vec::len).sum::<usize>() <= 20);
        assert_eq!(redis.keys(), 102);
        assert_eq!(redis.info().keys_in(0), 102);
        clock.sleep(Duration::from_secs(59)).await;
        let left = redis.ttls(&policies(), 1_000);
        assert_eq!(left.ttls.get(&Some(item)).map(Vec::len), Some(50));
    });
}
