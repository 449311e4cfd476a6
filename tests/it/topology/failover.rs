//! A primary dies, or is deposed: the layer goes on.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use cachestorm::clock::Clock;
use cachestorm::engine::data_type::Key;
use cachestorm::engine::event::Unobserved;
use cachestorm::engine::layer::{Layer, LayerError, Outcome, Remote, Subscription};
use cachestorm::engine::remote::redis::{RedisRemote, Topology};
use cachestorm::engine::{Engine, Surroundings};
use cachestorm::environment::error::EnvironmentError;
use cachestorm::environment::keyspace::probe;
use cachestorm::environment::redis_topology::TopologyConfig;
use cachestorm::seed::Seed;

use super::conformance::{conformance, gets};
use super::{
    FAILOVER, ITEM, LAG, TTL, append, connect, entry, items, notice, policies, shows, start, take,
    until, view,
};
use crate::support::ScriptedOrigin;
#[tokio::test]
async fn live_one_server_with_a_password_over_tls() {
    let topology = TopologyConfig {
        password: Some("p@ss/wörd \"1\"".to_owned()),
        tls: true,
        ..TopologyConfig::of(Topology::Standalone)
    };
    let redis = start(&topology).await;
    conformance(redis.url()).await;
    probe(redis.url(), &Clock::real()).await.expect("probed");
    // A client that does not know who signed the certificate turns back.
    let (place, _) = redis.url().split_once('?').expect("a ca");
    let refused = connect(place).await.expect_err("nobody known signed it");
    assert!(matches!(refused, LayerError::Unreachable(..)), "{refused}");
    connect(&format!("{place}#insecure"))
        .await
        .expect("as asked");
}

#[tokio::test]
async fn live_replicas_answer_lookups_and_nothing_else() {
    let redis = start(&TopologyConfig::of(Topology::Replicated)).await;
    conformance(redis.url()).await;
    let shard = view(redis.url()).await.shards.remove(0);
    let primary = || std::iter::once(&shard.primary);
    let before = gets(redis.url(), primary()).await;
    let url = format!("{}?read_from=replica", redis.url());
    let remote = connect(&url).await.expect("connected");
    let keys = items(50);
    for key in &keys {
        remote.fill(key, &entry(9), TTL).await.expect("an answer");
        shows(&remote, key, Some(9)).await;
    }
    assert_eq!(gets(redis.url(), primary()).await, before);
    for replica in &shard.replicas {
        let answered = gets(redis.url(), std::iter::once(replica)).await;
        assert!(answered >= 25, "{replica} answered {answered}");
    }
}

#[tokio::test]
async fn live_under_sentinel_the_layer_follows_to_the_new_primary() {
    let topology = TopologyConfig {
        replicas: 1,
        password: Some("secret".to_owned()),
        ..TopologyConfig::of(Topology::Sentinel)
    };
    let mut redis = start(&topology).await;
    conformance(redis.url()).await;
    let remote = connect(redis.url()).await.expect("connected");
    let before = view(redis.url()).await.shards.remove(0);
    let mut subscription = remote.subscribe().await.expect("subscribed");
    let key = Key::new("item:failover");
    remote.fill(&key, &entry(1), TTL).await.expect("an answer");
    shows(&remote, &key, Some(1)).await;

    assert!(redis.crash(&before.primary));
    let heard = Clock::real().timeout(LAG, subscription.next()).await;
    assert_eq!(heard, Ok(None), "the lost subscription is told");
    until("a fill at the new primary", FAILOVER, async || {
        remote.fill(&key, &entry(2), TTL).await.ok()
    })
    .await;
    let after = view(redis.url()).await.shards.remove(0);
    assert_eq!(after.primary, before.replicas[0]);
    assert_eq!(redis.died(), None);
    goes_on(&remote).await;
}

#[tokio::test]
async fn live_a_primary_that_is_deposed_alive_is_left() {
    let topology = TopologyConfig {
        replicas: 1,
        ..TopologyConfig::of(Topology::Sentinel)
    };
    let redis = start(&topology).await;
    let remote = connect(redis.url()).await.expect("connected");
    let before = view(redis.url()).await.shards.remove(0);
    let mut subscription = remote.subscribe().await.expect("subscribed");
    let sentinel = redis.sentinels()[0].url();
    let client = redis::Client::open(sentinel).expect("a URL of ours");
    let connection = client.get_multiplexed_async_connection().await;
    redis::cmd("SENTINEL")
        .arg(&["FAILOVER", "mymaster"])
        .query_async::<()>(&mut connection.expect("connected"))
        .await
        .expect("a failover begins");
    // The old primary still answers: only who asks around notices.
    let heard = Clock::real().timeout(FAILOVER, subscription.next()).await;
    assert_eq!(heard, Ok(None), "the subscription at the old primary ends");
    let key = Key::new("item:switched");
    until("a fill at the new primary", FAILOVER, async || {
        remote.fill(&key, &entry(2), TTL).await.ok()
    })
    .await;
    let after = view(redis.url()).await.shards.remove(0);
    assert_eq!(after.primary, before.replicas[0]);
    goes_on(&remote).await;
}

#[tokio::test]
async fn live_a_cluster_goes_on_without_one_of_its_primaries() {
    let mut redis = start(&TopologyConfig::of(Topology::Cluster)).await;
    let url = format!("{}?read_from=replica", redis.url());
    conformance(&url).await;
    let seen = view(&url).await;
    let primaries = || seen.shards.iter().map(|shard| &shard.primary);
    // The scripts look with GET, too, at the primary; plain lookups do not.
    let before = gets(&url, primaries()).await;
    let remote = connect(&url).await.expect("connected");
    let keys = items(60);
    for key in &keys {
        remote.fill(key, &entry(11), TTL).await.expect("an answer");
    }
    for key in &keys {
        shows(&remote, key, Some(11)).await;
    }
    assert_eq!(gets(&url, primaries()).await, before);
    assert!(redis.crash(&seen.shards[0].primary));
    // Two thirds of the keys are served by the others all the time; all of them when its replica
    // has taken over.
    let mut served = 0;
    for key in &keys {
        served += usize::from(remote.fill(key, &entry(12), TTL).await.is_ok());
    }
    assert!((20..60).contains(&served), "{served} of 60 fills");
    until("every key to be served again", FAILOVER, async || {
        for key in &keys {
            remote.fill(key, &entry(13), TTL).await.ok()?;
        }
        Some(())
    })
    .await;
    let after = view(&url).await;
    assert_eq!(after.shards[0].primary, seen.shards[0].replicas[0]);
    assert_eq!(redis.died(), None);
    goes_on(&remote).await;
}

#[tokio::test]
async fn live_a_cluster_with_a_password_over_tls() {
    let topology = TopologyConfig {
        replicas: 0,
        password: Some("secret".to_owned()),
        tls: true,
        ..TopologyConfig::of(Topology::Cluster)
    };
    let redis = start(&topology).await;
    conformance(redis.url()).await;
    let clock = Clock::real();
    let info = probe(redis.url(), &clock).await.expect("probed");
    assert_eq!(info.version, redis.version());

    let wrong = redis.url().replacen(":secret@", ":terces@", 1);
    let refused = connect(&wrong).await.expect_err("a wrong password");
    assert!(!refused.to_string().contains("terces"), "{refused}");
    let refused = probe(&wrong, &clock).await.expect_err("a wrong password");
    assert!(
        matches!(refused, EnvironmentError::WrongPassword { .. }),
        "{refused}"
    );
    // A URL of another topology than the servers are of.
    let one = redis.nodes()[0].url();
    let refused = probe(one, &clock).await.expect_err("a node of a Cluster");
    assert!(
        matches!(refused, EnvironmentError::OtherTopology { .. }),
        "{refused}"
    );
}

/// The engine over a layer whose primary dies: answers go on, from the origin, and come from Redis
/// again when there is a new primary.
#[tokio::test]
async fn live_an_engine_answers_through_a_failover() {
    let topology = TopologyConfig {
        replicas: 1,
        ..TopologyConfig::of(Topology::Sentinel)
    };
    let mut redis = start(&topology).await;
    let clock = Clock::real();
    let origin = ScriptedOrigin::new(clock.clone());
    let surroundings = Surroundings {
        clock: clock.clone(),
        seed: Seed(1),
        observer: Arc::new(Unobserved),
        instance: 0,
    };
    let remote = connect(redis.url()).await.expect("connected");
    let policies = Arc::new(policies());
    let engine = Engine::new(policies, None, Some(remote), origin.clone(), surroundings);
    let key = Key::new("item:1");
    origin.set(key.as_str(), Some("Ada"));
    engine.get(ITEM, &key).await.expect("an answer");
    let answer = engine.get(ITEM, &key).await.expect("an answer");
    assert_eq!(
        (answer.outcome, answer.layer),
        (Outcome::Hit, Layer::Remote)
    );

    let primary = view(redis.url()).await.shards.remove(0).primary;
    assert!(redis.crash(&primary));
    let mut bypassed = 0;
    until("an answer from Redis", FAILOVER, async || {
        // No answer may fail, or take longer than reconnecting in vain does.
        let limit = Duration::from_secs(5);
        let answer = clock.timeout(limit, engine.get(ITEM, &key)).await;
        let answer = answer.expect("in time").expect("an answer");
        assert_eq!(answer.entry.row.value.as_deref(), Some(&b"Ada"[..]));
        bypassed += usize::from(answer.outcome == Outcome::Bypass);
        (answer.layer == Layer::Remote).then_some(())
    })
    .await;
    assert!(bypassed > 0, "nobody noticed that the primary was gone");
}

/// After a failover: listening, telling, queueing and counting as before.
async fn goes_on(remote: &RedisRemote) {
    let mut subscription = until("a subscription", FAILOVER, async || {
        remote.subscribe().await.ok()
    })
    .await;
    let told = notice("item:after");
    until("a notice", FAILOVER, async || {
        remote.publish(&told).await.ok()?;
        let clock = Clock::real();
        let heard = clock
            .timeout(Duration::from_secs(1), subscription.next())
            .await;
        (heard == Ok(Some(told.clone()))).then_some(())
    })
    .await;
    for user in 0..20 {
        until("an accepted write", FAILOVER, async || {
            append(remote, user, 9).await.ok()
        })
        .await;
    }
    let taken = take(remote, "c2", 20).await;
    let users: BTreeSet<&str> = taken.iter().map(|write| write.key.as_str()).collect();
    assert!(users.len() >= 20, "{users:?}");
}
