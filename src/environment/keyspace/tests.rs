//! Tests of [`super`], against the real redis-server where its behaviour matters.

use proptest::prelude::*;

use super::*;
use crate::environment::managed_redis::ManagedRedis;
use crate::environment::{EvictionPolicy, RedisConfig};

const LIMIT: Duration = Duration::from_secs(20);

async fn redis() -> (ManagedRedis, redis::aio::MultiplexedConnection) {
    let config = RedisConfig {
        maxmemory: None,
        policy: EvictionPolicy::Noeviction,
    };
    let redis = ManagedRedis::start(&config, &Clock::real()).await;
    let redis = redis.expect("start");
    let client = redis::Client::open(redis.url()).expect("a URL");
    let connection = client.get_multiplexed_async_connection().await;
    (redis, connection.expect("connect"))
}

async fn set_all(conn: &mut impl ConnectionLike, keys: impl Iterator<Item = String>) {
    let mut pipe = redis::pipe();
    for key in keys {
        pipe.set(key, "value").ignore();
    }
    pipe.query_async::<()>(conn).await.expect("SET");
}

#[test]
fn runs_have_prefixes_of_their_own() {
    let prefix = |seed, nanos| RunPrefix::new(Seed(seed), Timestamp::from_unix_nanos(nanos));
    let one = prefix(42, 1);
    assert_eq!(one, prefix(42, 1));
    assert_ne!(one, prefix(42, 2));
    assert_ne!(one, prefix(43, 1));
    insta::assert_snapshot!(one, @"cachestorm:8a978t266gv61:");
    assert_eq!(one.pattern(), format!("{one}*"));
}

#[tokio::test]
async fn live_only_the_keys_of_the_run_are_counted_and_deleted() {
    let clock = Clock::real();
    let (_redis, mut conn) = redis().await;
    // A prefix made of what means something in a pattern.
    let prefix = RunPrefix("run:[a-c]*?\\^:".to_owned());
    let own = (0..5_000).map(|at| format!("{prefix}customer:{at}"));
    set_all(&mut conn, own).await;
    let others = [
        "run:a*?\\^:1",
        "run:[a-c]xx\\^:1",
        "run:",
        "other",
        "run:[a-c]*?^:1",
    ];
    set_all(&mut conn, others.map(str::to_owned).into_iter()).await;
    let counted = count_keys(&mut conn, &prefix, &clock, LIMIT).await;
    assert_eq!(counted.expect("count"), 5_000);
    let deleted = delete_all(&mut conn, &prefix, &clock, LIMIT).await;
    assert_eq!(deleted.expect("delete"), 5_000);
    let mut left: Vec<String> = redis::cmd("KEYS")
        .arg("*")
        .query_async(&mut conn)
        .await
        .expect("KEYS");
    left.sort();
    let mut others = others.map(str::to_owned);
    others.sort();
    assert_eq!(left, others);
    let again = delete_all(&mut conn, &prefix, &clock, LIMIT).await;
    assert_eq!(again.expect("delete"), 0);
}

#[tokio::test]
async fn live_a_redis_that_hangs_ends_the_wait_at_its_limit() {
    let clock = Clock::real();
    let (redis, mut conn) = redis().await;
    conn.set_response_timeout(LIMIT);
    let client = redis::Client::open(redis.url()).expect("a URL");
    let mut blocker = client
        .get_multiplexed_async_connection()
        .await
        .expect("connect");
    blocker.set_response_timeout(LIMIT);
    let mut pause = redis::cmd("CLIENT");
    pause.arg("PAUSE").arg(60_000).arg("ALL");
    pause.query_async::<()>(&mut blocker).await.expect("PAUSE");
    let prefix = RunPrefix::new(Seed(1), clock.now());
    let short = Duration::from_millis(20);
    let deleted = delete_all(&mut conn, &prefix, &clock, short).await;
    assert!(matches!(
        deleted,
        Err(EnvironmentError::KeysLeft { deleted: 0, .. })
    ));
    let counted = count_keys(&mut conn, &prefix, &clock, short).await;
    assert!(matches!(counted, Err(EnvironmentError::TimedOut { .. })));
}

proptest! {
    #[test]
    fn a_prefix_is_thirteen_letters_that_mean_nothing_in_a_pattern(seed: u64, nanos: u64) {
        let prefix = RunPrefix::new(Seed(seed), Timestamp::from_unix_nanos(nanos));
        let id = prefix.as_str().strip_prefix("cachestorm:").and_then(|id| id.strip_suffix(':'));
        let id = id.expect("the form of a prefix");
        prop_assert_eq!(id.len(), 13);
        prop_assert!(id.bytes().all(|digit| ID_DIGITS.contains(&digit)));
    }
}
