//! A modelled Redis whose memory is full: what is refused is refused whole, and what is evicted may be
//! the queue.

use cachestorm::clock::Clock;
use cachestorm::engine::data_type::Key;
use cachestorm::engine::layer::{LayerError, Queue, QueueId, Remote, Token, Version};
use cachestorm::environment::EvictionPolicy;
use cachestorm::environment::redis_topology::Topology;
use cachestorm::units::ByteSize;

use super::{config, connect, deploy, run};
use crate::conformance::{TTL, append, entry, items};

/// The first call of each kind of command takes memory that was not asked for.
const ABOVE: u64 = 300_000;

#[test]
fn a_full_server_that_evicts_nothing_refuses_writes_whole() {
    run(async |clock: Clock| {
        let mut config = config(Topology::Standalone);
        config.redis.maxmemory = Some(ByteSize(3 << 20));
        let redis = deploy(&clock, config);
        let remote = connect(&redis);
        let mut queue = remote.queue("c1").await.expect("a queue");
        let value = entry(&clock, 1, Some(&"v".repeat(10_000)));
        let mut refused = None;
        for key in items(1_000) {
            if let Err(error) = remote.fill(&key, &value, TTL).await {
                refused = Some(error);
                break;
            }
        }
        let refused = refused.expect("it is full");
        assert!(matches!(refused, LayerError::Refused(..)), "{refused}");
        assert!(refused.to_string().contains("OOM"), "{refused}");
        // Small things fit for a while; then neither entry nor write is stored.
        while append(&clock, &remote, 1, 1).await.is_ok() {}
        let waiting = queue.waiting().await.expect("an answer").writes;
        assert!(append(&clock, &remote, 1, 2).await.is_err());
        assert_eq!(queue.waiting().await.expect("an answer").writes, waiting);
        assert_eq!(remote.get(&Key::new("activity:1:2")).await, Ok(None));
        assert!(remote.lock(&Key::new("x"), Token(1), TTL).await.is_err());
        // Reading and dropping goes on.
        assert!(remote.get(&items(1)[0]).await.expect("an answer").is_some());
        let dropped = remote.invalidate(&items(1), Version(0)).await;
        assert!(dropped.is_err(), "a purge leaves a tombstone");
        let info = redis.info();
        assert_eq!(info.evicted_keys, 0);
        assert!(info.used_memory <= ByteSize((3 << 20) + ABOVE));
    });
}

#[test]
fn a_full_server_that_evicts_any_key_evicts_the_queue() {
    run(async |clock: Clock| {
        let mut config = config(Topology::Standalone);
        config.redis.maxmemory = Some(ByteSize(3 << 20));
        config.redis.policy = EvictionPolicy::AllkeysRandom;
        let redis = deploy(&clock, config);
        let remote = connect(&redis);
        let mut queue = remote.queue("c1").await.expect("a queue");
        append(&clock, &remote, 1, 1).await.expect("accepted");
        assert!(!queue.waiting().await.expect("an answer").may_be_evicted);
        let value = entry(&clock, 1, Some(&"v".repeat(5_000)));
        let mut told = false;
        for key in items(20_000) {
            remote.fill(&key, &value, TTL).await.expect("stored");
            told |= redis.info().evicted_keys == 1
                && queue.waiting().await.expect("an answer").may_be_evicted;
        }
        assert!(told, "it was said before");
        let gone = queue.next_batch(1).await.expect_err("it is gone");
        assert!(gone.to_string().contains("NOGROUP"), "{gone}");
        assert_eq!(queue.keep(&[]).await, Ok(true), "nothing was asked");
        let id = QueueId("0/1-0".to_owned());
        assert_eq!(queue.keep(&[id]).await, Ok(false));
        assert!(remote.queue("c1").await.expect("a queue").is_new());
        let info = redis.info();
        assert!(info.evicted_keys > 10_000);
        assert!(info.used_memory <= ByteSize((3 << 20) + ABOVE));
    });
}
