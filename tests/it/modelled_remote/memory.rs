//! The same operations through the remote layer of a real Redis and of a modelled one: what both then
//! weigh, and what both say of lookups.

use std::time::Duration;

use cachestorm::clock::Clock;
use cachestorm::engine::data_type::{Key, Limit, LimitAlgorithm};
use cachestorm::engine::invalidation::markers::Scope;
use cachestorm::engine::layer::{Entry, Generation, Queue, QueueId, Remote, Token, Version};
use cachestorm::engine::remote::redis::{RedisOptions, RedisRemote};
use cachestorm::environment::modelled_redis::deployment::ModelledRedisConfig;
use cachestorm::environment::modelled_redis::memory::MemoryLayout;
use cachestorm::environment::redis_info::RedisInfo;
use cachestorm::environment::redis_topology::Topology;

use super::{config, deploy, run};
use crate::conformance::{ITEM, TTL, append, entry, items, policies, until};
use crate::support::scene;

const PREFIX: &str = "model:";
/// All that both count, but for what a client says on its own account.
const COMMANDS: &str = "get getrange set hmget hgetall hset hincrby hvals zadd \
    zcard zcount zrange xadd xlen xrange xack xdel xclaim \
    xpending xreadgroup pexpire persist time unlink scan hdel publish";
const ASK_LIMIT: Duration = Duration::from_secs(10);

/// What the engine does in a run: misses and fills, invalidations, leases, locks, counters, a queue.
async fn operate(clock: &Clock, remote: &impl Remote) {
    let value = |nth: usize| entry(clock, 1, Some(&"v".repeat(nth % 700)));
    for (nth, key) in items(2_000).iter().enumerate() {
        remote.get(key).await.expect("an answer");
        remote.fill(key, &value(nth), TTL).await.expect("stored");
        if nth % 3 == 0 {
            remote.get(key).await.expect("an answer");
        }
    }
    for (nth, key) in items(200).iter().enumerate() {
        match nth % 5 {
            0 => {
                let one = std::slice::from_ref(key);
                remote.invalidate(one, Version(7)).await.expect("dropped");
            }
            1 => {
                let locked = remote.lock(key, Token(1), TTL).await;
                assert_eq!(locked, Ok(true));
            }
            2 => {
                let leased = Key::new(format!("leased:{nth}"));
                let taken = remote.get_or_lease(&leased, Token(1), TTL).await;
                taken.expect("an answer");
            }
            3 => {
                let end = clock.now() + TTL;
                let slides = Entry {
                    fresh_until: end,
                    ..value(nth)
                };
                let filled = remote.fill_sliding(key, &slides, TTL).await;
                filled.expect("stored");
                remote.get_and_extend(key, TTL).await.expect("an answer");
            }
            _ => {
                remote
                    .held(std::slice::from_ref(key))
                    .await
                    .expect("an answer");
            }
        }
    }
    count(remote).await;
    for n in 0..200 {
        append(clock, remote, n % 10, n as u64)
            .await
            .expect("accepted");
    }
    consume(remote).await;
    let raised = remote.raise(&Scope::DataType(ITEM), Generation(0)).await;
    let raised = raised.expect("raised");
    let known = remote.reconcile(&[]).await.expect("an answer");
    assert_eq!(known.len(), 1);
    remote.reconcile(&known).await.expect("an answer");
    let everything = remote.raise(&Scope::Everything, raised).await;
    everything.expect("raised");
    remote.reconcile(&known).await.expect("an answer");
    let all = "item:1*".parse().expect("a pattern");
    let swept = remote.sweep(&[all], |_| true).await;
    assert!(swept.expect("swept") > 1_000);
}

/// A few rounds of a consumer, with half of the writes left where they are.
async fn consume(remote: &impl Remote) {
    let mut queue = remote.queue("c1").await.expect("a queue");
    for _ in 0..10 {
        let given = queue.next_batch(10).await.expect("an answer");
        let ids: Vec<QueueId> = given.iter().map(|given| given.id.clone()).collect();
        assert_eq!(ids.len(), 10);
        queue.acknowledge(&ids[..8]).await.expect("acknowledged");
        queue.bury(&given[8], "a test").await.expect("buried");
        assert_eq!(queue.keep(&ids[9..]).await, Ok(true));
        let back = queue.take_back(None, 5, 100).await.expect("an answer");
        assert!(!back.deliveries.is_empty());
        let idle = Some(Duration::from_hours(1));
        let back = queue.take_back(idle, 5, 100).await.expect("an answer");
        assert_eq!(back.deliveries, []);
        queue.waiting().await.expect("an answer");
    }
}

async fn count(remote: &impl Remote) {
    for (nth, algorithm) in [
        LimitAlgorithm::SlidingBuckets,
        LimitAlgorithm::SlidingLog,
        LimitAlgorithm::Gcra { burst: 5 },
        LimitAlgorithm::TwoBuckets,
        LimitAlgorithm::FixedWindow,
    ]
    .into_iter()
    .enumerate()
    {
        let limit = Limit {
            requests: 5,
            window: Duration::from_hours(1_000),
            algorithm,
        };
        for user in 0..100 {
            let key = Key::new(format!("limit:{nth}:{user}"));
            for _ in 0..7 {
                remote.admit(&key, limit).await.expect("a decision");
            }
        }
    }
}

/// The same in the model.
async fn modelled(clock: Clock) -> RedisInfo {
    let config = ModelledRedisConfig {
        prefix_len: PREFIX.len(),
        instances: 1,
        ..config(Topology::Standalone)
    };
    let redis = deploy(&clock, config);
    let remote = redis.connect(super::TIMEOUT, 1).serving(&policies());
    operate(&clock, &remote).await;
    clock.sleep(Duration::from_secs(1)).await;
    redis.info()
}

#[tokio::test]
async fn live_the_model_weighs_what_a_real_one_does_after_the_same_operations() {
    let clock = Clock::real();
    let server = scene::redis(&clock).await;
    if MemoryLayout::of_version(server.version()).is_none() {
        return;
    }
    let options = RedisOptions {
        url: server.url().to_owned(),
        prefix: PREFIX.to_owned(),
        connections: 1,
        timeout: Duration::from_secs(2),
    };
    let remote = RedisRemote::connect(options).await.expect("Redis answers");
    let remote = remote.serving(&policies());
    operate(&clock, &remote).await;
    // A runtime has a thread of its own.
    let modelled = std::thread::spawn(|| run(modelled));
    let modelled = modelled.join().expect("no panic");

    let client = redis::Client::open(server.url()).expect("a URL");
    let connecting = client.get_multiplexed_async_connection().await;
    let mut connection = connecting.expect("connected");
    let mut ask = async || {
        let info = RedisInfo::fetch(&mut connection, &clock, ASK_LIMIT).await;
        info.expect("INFO")
    };
    let off =
        |measured: &RedisInfo| modelled.used_memory.0 as f64 / measured.used_memory.0 as f64 - 1.0;
    // Tables move and buffers shrink after a while.
    let measured = until(&clock, "the same memory", ASK_LIMIT, async || {
        let info = ask().await;
        (off(&info).abs() < 0.02).then_some(info)
    })
    .await;
    println!("memory {:+.2}% off", off(&measured) * 100.0);
    assert_eq!(modelled.keys_in(0), measured.keys_in(0));
    assert_eq!(modelled.keyspace(0).expires, measured.keyspace(0).expires);
    assert_eq!(modelled.keyspace_hits, measured.keyspace_hits);
    assert_eq!(modelled.keyspace_misses, measured.keyspace_misses);
    for command in COMMANDS.split_whitespace() {
        let calls = |info: &RedisInfo| info.calls_of(command);
        assert_eq!(calls(&modelled), calls(&measured), "{command}");
    }
    // Each script is told once.
    let told = measured.calls_of("script");
    assert_eq!(
        modelled.calls_of("evalsha") + told,
        measured.calls_of("evalsha")
    );
    server.stop().await.expect("stop");
}
