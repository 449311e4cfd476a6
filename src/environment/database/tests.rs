//! Tests of [`super`] in virtual time: nothing here waits.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::engine::data_type::{DataType, Strategy as CacheStrategy};
use crate::environment::{QueryCacheConfig, ServiceTime};
use crate::units::ByteSize;
use crate::workload::size::ValueSize;

const CUSTOMER: DataTypeId = DataTypeId(0);
const ACTIVITY: DataTypeId = DataTypeId(1);
const READ_TIME: Duration = Duration::from_millis(100);
const WRITE_TIME: Duration = Duration::from_millis(10);

/// Every commit: key, version, time.
#[derive(Default)]
struct Commits(Mutex<Vec<(String, Version, Timestamp)>>);

impl CommitListener for Commits {
    fn committed(&self, _: DataTypeId, key: &Key, version: Version, at: Timestamp) {
        self.0.lock().push((key.to_string(), version, at));
    }
}

impl Commits {
    fn versions(&self) -> Vec<u64> {
        self.0.lock().iter().map(|commit| commit.1.0).collect()
    }
}

fn data_type(name: &str) -> DataType {
    let key = format!("{name}:{{id}}").parse().expect("a pattern");
    DataType::new(
        name,
        key,
        CacheStrategy::CacheAside,
        Duration::from_mins(15),
    )
}

fn table(prefilled: bool) -> TableConfig {
    let constant = |time| ServiceTime {
        median: time,
        p99: time,
    };
    TableConfig {
        read_time: constant(READ_TIME),
        write_time: constant(WRITE_TIME),
        value_size: ValueSize::Constant(ByteSize(512)),
        prefilled,
    }
}

fn database_with(connections: u32, acquire_timeout: Duration) -> (MockDatabase, Arc<Commits>) {
    database_of(connections, acquire_timeout, None)
}

fn database_of(
    connections: u32,
    acquire_timeout: Duration,
    query_cache: Option<QueryCacheConfig>,
) -> (MockDatabase, Arc<Commits>) {
    let policies = PolicyTable::new(vec![data_type("customer"), data_type("activity")]);
    let config = DatabaseConfig {
        connections,
        acquire_timeout,
        query_cache,
        tables: vec![table(true), table(false)],
    };
    let commits = Arc::new(Commits::default());
    let listener: Arc<dyn CommitListener> = commits.clone();
    let clock = Clock::real();
    let database = MockDatabase::new(config, Arc::new(policies), Seed(42), clock, listener);
    (database, commits)
}

fn database(connections: u32) -> (MockDatabase, Arc<Commits>) {
    database_with(connections, Duration::from_hours(1))
}

fn key(text: &str) -> Key {
    Key::new(text)
}

fn queued(at: &str, version: u64, value: &str) -> QueuedWrite {
    QueuedWrite {
        data_type: ACTIVITY,
        key: key(at),
        value: value.to_owned().into(),
        version: Version(version),
        accepted_at: Timestamp::EPOCH,
    }
}

async fn store(database: &MockDatabase, id: DataTypeId, at: &str, value: &'static str) -> Row {
    let stored = database.store(id, &key(at), value.into()).await;
    stored.expect("a commit")
}

/// Starts a load and lets it run until it waits.
async fn begin_load(
    database: &MockDatabase,
    at: &str,
) -> tokio::task::JoinHandle<Result<Row, LayerError>> {
    let (database, at) = (database.clone(), key(at));
    let load = tokio::spawn(async move { database.load(CUSTOMER, &at).await });
    tokio::task::yield_now().await;
    load
}

#[tokio::test(start_paused = true)]
async fn the_pool_is_used_up_and_never_exceeded() {
    let (database, _) = database(7);
    let started_at = database.inner.clock.now();
    let loads: Vec<_> = (0..200)
        .map(|at| {
            let database = database.clone();
            tokio::spawn(async move {
                let at = key(&format!("customer:{at}"));
                let row = database.load(CUSTOMER, &at).await.expect("a row");
                assert!(database.connections_in_use() <= 7);
                row
            })
        })
        .collect();
    for load in loads {
        load.await.expect("no panic");
    }
    let stats = database.stats();
    assert_eq!((stats.peak_connections, stats.connections_in_use), (7, 0));
    assert_eq!((stats.queries(), stats.timeouts), (200, 0));
    // 200 loads over 7 connections are 29 rounds; no two loads shared a connection.
    let took = database.inner.clock.now().since(started_at);
    assert_eq!(took, READ_TIME * 29);
    assert_eq!(stats.wait_time_us.len(), 200);
    assert_eq!(stats.service_time_us.len(), 200);
    assert_eq!(
        stats.service_time_us.max(),
        stats.service_time_us.highest_equivalent(100_000)
    );
    database.reset_peak();
    assert_eq!(database.stats().peak_connections, 0);
}

#[test]
fn the_pool_holds_on_many_threads() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let (mut config, policies) = (table(true), PolicyTable::default());
        config.read_time.median = Duration::ZERO;
        let config = DatabaseConfig {
            connections: 3,
            acquire_timeout: Duration::from_mins(1),
            query_cache: None,
            tables: vec![config],
        };
        let commits = Arc::new(Commits::default());
        let database = MockDatabase::new(
            config,
            Arc::new(policies),
            Seed(1),
            Clock::real(),
            commits.clone(),
        );
        let tasks: Vec<_> = (0..50)
            .map(|at| {
                let database = database.clone();
                tokio::spawn(async move {
                    let key = key(&format!("customer:{}", at % 5));
                    for _ in 0..4 {
                        let row = database.load(CUSTOMER, &key).await.expect("a row");
                        assert!(database.connections_in_use() <= 3);
                        let stored = database.store(CUSTOMER, &key, "new".into()).await;
                        assert!(stored.expect("a row").version > row.version);
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("no panic");
        }
        let stats = database.stats();
        assert!(stats.peak_connections <= 3 && stats.connections_in_use == 0);
        assert_eq!(
            stats.tables[0],
            TableStats {
                reads: 200,
                writes: 200
            }
        );
        assert_eq!(stats.flights.origin_loads(), 200);
        // Told in the order of the commits, without a gap, and at times that never go back.
        assert_eq!(commits.versions(), (1..=200).collect::<Vec<_>>());
        assert!(commits.0.lock().is_sorted_by_key(|commit| commit.2));
    });
}

#[tokio::test(start_paused = true)]
async fn who_gets_no_connection_in_time_fails_and_is_counted() {
    let (database, _) = database_with(1, Duration::from_millis(30));
    let first = begin_load(&database, "customer:1").await;
    let error = database.load(CUSTOMER, &key("customer:2")).await;
    let error = error.expect_err("the only connection is in use");
    assert_eq!(
        error,
        LayerError::TimedOut("the database's connection pool")
    );
    let stored = database
        .store(CUSTOMER, &key("customer:2"), "x".into())
        .await;
    assert_eq!(stored, Err(error));
    assert!(first.await.expect("no panic").is_ok());
    let stats = database.stats();
    assert_eq!((stats.timeouts, stats.queries()), (2, 1));
    assert_eq!(stats.wait_time_us.len(), 3, "waits in vain are waits");
    assert_eq!(stats.flights.origin_loads(), 1, "it never ran");
}

#[tokio::test(start_paused = true)]
async fn connections_are_given_in_the_order_of_arrival() {
    let (database, _) = database(1);
    let mut loads = vec![];
    for at in 0..5 {
        loads.push(begin_load(&database, &format!("customer:{at}")).await);
    }
    let started_at = database.inner.clock.now();
    for (at, load) in (1..).zip(loads) {
        load.await.expect("no panic").expect("a row");
        assert_eq!(database.inner.clock.now().since(started_at), READ_TIME * at);
    }
}

#[tokio::test(start_paused = true)]
async fn a_read_sees_what_was_committed_when_it_began() {
    let (database, commits) = database(10);
    let slow = begin_load(&database, "customer:1").await;
    let stored = store(&database, CUSTOMER, "customer:1", "new").await;
    assert_eq!(stored.version, Version(1));
    let slow = slow.await.expect("no panic").expect("a row");
    assert_eq!(slow.version, Version(0), "the stale load of FACTS.md");
    assert!(slow.committed_at < stored.committed_at);
    let fresh = database.load(CUSTOMER, &key("customer:1")).await;
    assert_eq!(fresh, Ok(stored.clone()));
    let told = commits.0.lock().clone();
    assert_eq!(
        told,
        [("customer:1".to_owned(), Version(1), stored.committed_at)]
    );
}

#[tokio::test(start_paused = true)]
async fn a_read_that_waits_for_a_connection_sees_what_was_committed_meanwhile() {
    let (database, _) = database(1);
    let (writer, at) = (database.clone(), key("customer:1"));
    let store = tokio::spawn(async move { writer.store(CUSTOMER, &at, "new".into()).await });
    tokio::task::yield_now().await;
    let row = database.load(CUSTOMER, &key("customer:1")).await;
    assert_eq!(row, store.await.expect("no panic"));
}

#[tokio::test(start_paused = true)]
async fn a_write_is_visible_only_when_it_ends() {
    let (database, commits) = database(10);
    let began_at = database.inner.clock.now();
    let (writer, at) = (database.clone(), key("customer:1"));
    let store = tokio::spawn(async move { writer.store(CUSTOMER, &at, "new".into()).await });
    tokio::task::yield_now().await;
    assert_eq!(commits.versions(), [0; 0]);
    let during = database.load(CUSTOMER, &key("customer:1")).await;
    assert_eq!(during.expect("a row").version, Version(0));
    let row = store.await.expect("no panic").expect("a commit");
    assert_eq!(row.committed_at.since(began_at), WRITE_TIME);
}

#[tokio::test(start_paused = true)]
async fn rows_exist_from_the_start_or_are_absent_until_written() {
    let (database, _) = database(10);
    let load = |id, at: &str| {
        let (database, at) = (database.clone(), key(at));
        async move { database.load(id, &at).await.expect("a row") }
    };
    let prefilled = load(CUSTOMER, "customer:1").await;
    assert_eq!(prefilled.value.as_ref().map(Bytes::len), Some(512));
    assert_eq!(prefilled, load(CUSTOMER, "customer:1").await);
    assert_ne!(prefilled.value, load(CUSTOMER, "customer:2").await.value);
    let absent = load(ACTIVITY, "activity:1").await;
    assert_eq!((absent.value, absent.version), (None, Version(0)));
    store(&database, ACTIVITY, "activity:1", "mine").await;
    let written = load(ACTIVITY, "activity:1").await;
    assert_eq!(written.value, Some("mine".into()));
    assert_eq!(written.version, Version(1));
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_database() {
    let (one, _) = database(10);
    let (two, _) = database(10);
    let row = |database: MockDatabase| async move {
        let row = database.load(CUSTOMER, &key("customer:7")).await;
        row.expect("a row").value
    };
    assert_eq!(row(one).await, row(two).await);
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_one_query_and_a_second_delivery_changes_nothing() {
    let (database, commits) = database(10);
    let batch = [queued("activity:1", 5, "a"), queued("activity:2", 6, "b")];
    let began_at = database.inner.clock.now();
    database.store_batch(&batch).await.expect("a commit");
    assert_eq!(database.inner.clock.now().since(began_at), WRITE_TIME);
    assert_eq!(commits.versions(), [5, 6]);
    let row = database.load(ACTIVITY, &key("activity:1")).await;
    database.store_batch(&batch).await.expect("a redelivery");
    database
        .store_batch(&[queued("activity:2", 4, "older")])
        .await
        .expect("a late delivery");
    assert_eq!(commits.versions(), [5, 6]);
    assert_eq!(row, database.load(ACTIVITY, &key("activity:1")).await);
    let stats = database.stats();
    assert_eq!(stats.tables[ACTIVITY.index()].writes, 3);
    assert_eq!(stats.tables[CUSTOMER.index()], TableStats::default());
    // What is stored directly after that is newer than what came by the queue.
    let stored = store(&database, ACTIVITY, "activity:2", "c").await;
    assert_eq!(stored.version, Version(7));
    assert_eq!(database.store_batch(&[]).await, Ok(()));
    assert_eq!(database.stats().queries(), stats.queries() + 1);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_query_gives_its_connection_back_and_commits_nothing() {
    let (database, commits) = database(1);
    let load = begin_load(&database, "customer:1").await;
    let waiting = begin_load(&database, "customer:1").await;
    assert_eq!(database.connections_in_use(), 1);
    waiting.abort();
    load.abort();
    assert!(load.await.expect_err("aborted").is_cancelled());
    assert!(waiting.await.expect_err("aborted").is_cancelled());
    assert_eq!(database.connections_in_use(), 0);
    let at = key("customer:1");
    let short = WRITE_TIME / 2;
    let store = database.store(CUSTOMER, &at, "never".into());
    let clock = database.inner.clock.clone();
    assert!(clock.timeout(short, store).await.is_err());
    assert_eq!(database.connections_in_use(), 0);
    let row = database.load(CUSTOMER, &at).await.expect("a connection");
    assert_eq!((row.version, commits.versions()), (Version(0), vec![]));
    let flights = database.stats().flights;
    assert_eq!((flights.flights(), flights.origin_loads()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn overlapping_loads_of_a_key_are_one_flight_and_others_their_own() {
    let (database, _) = database(10);
    let before = database.stats();
    let mut loads = vec![];
    for _ in 0..3 {
        loads.push(begin_load(&database, "customer:1").await);
        database.inner.clock.sleep(READ_TIME / 2).await;
    }
    for load in loads {
        load.await.expect("no panic").expect("a row");
    }
    let stampede = database.stats().since(&before).flights;
    assert_eq!((stampede.flights(), stampede.origin_loads()), (1, 3));
    assert_eq!(stampede.origin_loads_per_flight_max(), 3);
    assert_eq!(stampede.flights_with_many_loads(), 1);
    let between = database.stats();
    for _ in 0..2 {
        let row = database.load(CUSTOMER, &key("customer:1")).await;
        row.expect("a row");
    }
    let calm = database.stats().since(&between).flights;
    assert_eq!((calm.flights(), calm.origin_loads()), (2, 2));
    assert_eq!(calm.origin_loads_per_flight_max(), 1, "of this phase alone");
    assert_eq!(calm.flights_with_many_loads(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_stampede_on_a_small_pool_is_one_flight_to_its_end() {
    let (database, _) = database(2);
    let mut loads = vec![];
    for _ in 0..20 {
        loads.push(begin_load(&database, "customer:1").await);
    }
    for load in loads {
        load.await.expect("no panic").expect("a row");
    }
    let flights = database.stats().flights;
    assert_eq!(
        (flights.flights(), flights.origin_loads_per_flight_max()),
        (1, 20)
    );
}

#[tokio::test(start_paused = true)]
async fn a_phase_is_the_difference_of_two_readings() {
    let (database, _) = database(10);
    let load = || async { database.load(CUSTOMER, &key("customer:1")).await };
    load().await.expect("a row");
    let before = database.stats();
    assert_eq!(before.since(&before).queries(), 0);
    assert_eq!(before.since(&before).service_time_us.len(), 0);
    load().await.expect("a row");
    store(&database, ACTIVITY, "activity:1", "x").await;
    let phase = database.stats().since(&before);
    assert_eq!(
        phase.tables[0],
        TableStats {
            reads: 1,
            writes: 0
        }
    );
    assert_eq!(
        phase.tables[1],
        TableStats {
            reads: 0,
            writes: 1
        }
    );
    assert_eq!(phase.service_time_us.len(), 2);
    assert_eq!(
        before.since(&phase).queries(),
        0,
        "the wrong way round is nothing"
    );
}

#[tokio::test(start_paused = true)]
async fn a_data_type_without_a_table_is_refused() {
    let (database, _) = database(1);
    let error = database.load(DataTypeId(9), &key("x")).await;
    insta::assert_snapshot!(error.expect_err("no table"), @"the database answered with an error: it has no table for the data type 9");
    let mut write = queued("x", 1, "x");
    write.data_type = DataTypeId(9);
    assert!(database.store_batch(&[write]).await.is_err());
    assert_eq!(database.stats().queries(), 0);
}

const HIT_TIME: Duration = Duration::from_millis(2);

fn with_query_cache(connections: u32) -> (MockDatabase, Arc<Commits>) {
    let cache = QueryCacheConfig {
        entries: 100,
        ttl: None,
        hit_time: ServiceTime {
            median: HIT_TIME,
            p99: HIT_TIME,
        },
    };
    database_of(connections, Duration::from_hours(1), Some(cache))
}

#[tokio::test(start_paused = true)]
async fn the_query_cache_answers_until_its_table_is_written() {
    let (database, _) = with_query_cache(1);
    let clock = database.inner.clock.clone();
    let load = async |at: &str| {
        let start = clock.now();
        let row = database.load(CUSTOMER, &key(at)).await.expect("a row");
        (row, clock.now().since(start))
    };
    let (first, took) = load("customer:1").await;
    assert_eq!(took, READ_TIME);
    let (again, took) = load("customer:1").await;
    assert_eq!((again, took), (first, HIT_TIME));
    // Another table's write leaves it, but the result is as of that write.
    let other = store(&database, ACTIVITY, "activity:1", "click").await;
    let (after, took) = load("customer:1").await;
    assert_eq!((after.as_of, took), (other.version, HIT_TIME));
    // A write to any row of the table throws it away.
    store(&database, CUSTOMER, "customer:2", "new").await;
    assert_eq!(load("customer:1").await.1, READ_TIME);
    let stats = database.stats();
    let cache = stats.query_cache.expect("a cache");
    assert_eq!((cache.hits, cache.misses, cache.invalidated), (2, 2, 1));
    assert_eq!(stats.tables[0].reads, 2, "hits are no queries that ran");
    assert_eq!(stats.flights.origin_loads(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_hit_of_the_query_cache_takes_a_connection() {
    let (database, _) = with_query_cache(1);
    database
        .load(CUSTOMER, &key("customer:1"))
        .await
        .expect("a row");
    let slow = begin_load(&database, "customer:2").await;
    let start = database.inner.clock.now();
    let hit = database.load(CUSTOMER, &key("customer:1")).await;
    hit.expect("a row");
    let took = database.inner.clock.now().since(start);
    assert_eq!(took, READ_TIME + HIT_TIME, "it waited for the connection");
    slow.await.expect("no panic").expect("a row");
}

#[tokio::test(start_paused = true)]
async fn a_load_that_a_write_overtook_is_not_kept_by_the_query_cache() {
    let (database, _) = with_query_cache(2);
    let slow = begin_load(&database, "customer:1").await;
    let written = store(&database, CUSTOMER, "customer:1", "new").await;
    let old = slow.await.expect("no panic").expect("a row");
    assert!(old.version < written.version);
    let row = database.load(CUSTOMER, &key("customer:1")).await;
    assert_eq!(row.expect("a row").value, written.value);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Whatever order the queue delivers in and however often, the newest write stays.
    #[test]
    fn the_newest_write_of_a_key_stays(
        deliveries in proptest::collection::vec((0u64..4, 1u64..30), 1..40),
        batch_size in 1usize..6,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let (database, commits) = database(1);
            let write = |(at, version): &(u64, u64)| {
                queued(&format!("activity:{at}"), *version, &version.to_string())
            };
            for batch in deliveries.chunks(batch_size) {
                let batch: Vec<_> = batch.iter().map(write).collect();
                database.store_batch(&batch).await.expect("a commit");
            }
            for (at, _) in &deliveries {
                let newest = deliveries.iter().filter(|(other, _)| other == at);
                let newest = newest.map(|(_, version)| *version).max().expect("itself");
                let row = database.load(ACTIVITY, &key(&format!("activity:{at}"))).await;
                let row = row.expect("a row");
                assert_eq!(row.version, Version(newest));
                assert_eq!(row.value, Some(newest.to_string().into()));
            }
            let distinct: std::collections::BTreeSet<_> = deliveries.iter().collect();
            assert!(commits.versions().len() <= distinct.len());
        });
    }
}
