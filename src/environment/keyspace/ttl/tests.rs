//! TTLs by data type, against the real redis-server.

use redis::aio::MultiplexedConnection;

use super::*;
use crate::engine::data_type::{DataType, Strategy};
use crate::environment::managed_redis::ManagedRedis;
use crate::environment::{EvictionPolicy, RedisConfig};
use crate::seed::Seed;

const BUDGET: TtlBudget = TtlBudget {
    keys_max: 10_000,
    limit: Duration::from_secs(20),
};

fn policies() -> PolicyTable {
    let row = |name: &str, key: &str, strategy| {
        let key = key.parse().expect("a pattern");
        DataType::new(name, key, strategy, Duration::from_mins(1))
    };
    let mut customer = row("customer", "customer:360:{id}", Strategy::CacheAside);
    customer.related = vec!["customer:basic:{id}".parse().expect("a pattern")];
    PolicyTable::new(vec![
        customer,
        row(
            "stock",
            "stock:{product}:{warehouse}",
            Strategy::WriteThrough,
        ),
        row("limit", "limit:{key}:{window}", Strategy::Counter),
    ])
}

const CUSTOMER: Option<DataTypeId> = Some(DataTypeId(0));
const STOCK: Option<DataTypeId> = Some(DataTypeId(1));

async fn redis() -> (ManagedRedis, MultiplexedConnection) {
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

/// Sets `count` keys that `name` makes of a number, with this TTL.
async fn set(
    conn: &mut MultiplexedConnection,
    count: usize,
    ttl_s: Option<u64>,
    name: impl Fn(usize) -> String,
) {
    let mut pipe = redis::pipe();
    for at in 0..count {
        match ttl_s {
            Some(ttl_s) => pipe.set_ex(name(at), "value", ttl_s).ignore(),
            None => pipe.set(name(at), "value").ignore(),
        };
    }
    pipe.query_async::<()>(conn).await.expect("SET");
}

#[test]
fn keys_are_told_apart_by_their_patterns() {
    let policies = policies();
    let of = |key: &str| data_type_of(&policies, key).map(|id| policies.get(id).name.to_string());
    assert_eq!(of("customer:360:7").as_deref(), Some("customer"));
    assert_eq!(
        of("customer:basic:7").as_deref(),
        Some("customer"),
        "related"
    );
    assert_eq!(of("stock:1:2").as_deref(), Some("stock"));
    assert_eq!(of("limit:key:3600:17:more").as_deref(), Some("limit"));
    for own in ["lock:customer:360:7", "generations", "write-behind", ""] {
        assert_eq!(of(own), None, "{own}");
    }
}

#[tokio::test]
async fn live_every_key_of_the_run_is_looked_at_once() {
    let clock = Clock::real();
    let (_redis, mut conn) = redis().await;
    let prefix = RunPrefix::new(Seed(1), clock.now());
    set(&mut conn, 3_000, Some(600), |at| {
        format!("{prefix}customer:360:{at}")
    })
    .await;
    set(&mut conn, 40, None, |at| format!("{prefix}stock:{at}:1")).await;
    set(&mut conn, 1, Some(5), |_| format!("{prefix}generations")).await;
    set(&mut conn, 500, None, |at| format!("other:{at}")).await;
    let mut nodes = [conn];
    let seen = sample(&mut nodes, &prefix, &policies(), (&clock, BUDGET)).await;
    let seen = seen.expect("a sample");
    assert!(seen.complete);
    let counts: Vec<_> = seen
        .ttls
        .iter()
        .map(|(id, ttls)| (*id, ttls.len()))
        .collect();
    assert_eq!(counts, [(None, 1), (CUSTOMER, 3_000), (STOCK, 40)]);
    assert_eq!(seen.ttls[&STOCK], vec![None; 40]);
    let near = |ttl: &Option<Duration>| {
        ttl.is_some_and(|ttl| ttl > Duration::from_mins(9) && ttl <= Duration::from_mins(10))
    };
    assert!(seen.ttls[&CUSTOMER].iter().all(near));
}

#[tokio::test]
async fn live_a_budget_is_shared_by_nodes_and_its_end_is_said() {
    let clock = Clock::real();
    let (_one, mut one) = redis().await;
    let (_two, mut two) = redis().await;
    let prefix = RunPrefix::new(Seed(1), clock.now());
    set(&mut one, 5_000, Some(60), |at| {
        format!("{prefix}customer:360:{at}")
    })
    .await;
    set(&mut two, 5_000, Some(60), |at| {
        format!("{prefix}stock:{at}:1")
    })
    .await;
    let mut nodes = [one, two];
    let keys_max = 3_000;
    let some = TtlBudget { keys_max, ..BUDGET };
    let seen = sample(&mut nodes, &prefix, &policies(), (&clock, some)).await;
    let seen = seen.expect("a sample");
    assert!(!seen.complete);
    assert_eq!(
        (seen.ttls[&CUSTOMER].len(), seen.ttls[&STOCK].len()),
        (1_500, 1_500)
    );
    // What is just enough is all.
    let enough = TtlBudget {
        keys_max: 10_000,
        ..BUDGET
    };
    let seen = sample(&mut nodes, &prefix, &policies(), (&clock, enough)).await;
    assert!(seen.expect("a sample").complete);
    let no_time = TtlBudget {
        limit: Duration::ZERO,
        ..BUDGET
    };
    let seen = sample(&mut nodes, &prefix, &policies(), (&clock, no_time)).await;
    assert!(!seen.expect("a sample").complete);
}
