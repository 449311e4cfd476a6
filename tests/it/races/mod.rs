//! One test per race or defect of `FACTS.md` and of the ADR's own code: it forces the interleaving, and
//! shows that the control has it and the default has not. A race that no control of the engine has is
//! shown by a control of the test: a remote layer with a `Defect`, or the naive steps by hand. The
//! engine is never weakened for it.
//!
//! | race | known from | test | control |
//! |---|---|---|---|
//! | waiters poll, late and in step | the ADR's `get_with_lock` | `waiters_learn_of_the_end_of_a_load` | `adr-lock` |
//! | a waiter misses the value and waits for hours | the same | `a_waiter_misses_what_it_waited_for` | `adr-lock` |
//! | a lock is deleted that is another's | the same | `a_load_takes_longer_than_its_lock_stands` | `adr-lock` |
//! | two owners after a pause, and a stale fill | the invariant of locks | `a_holder_of_a_lock_stands_still` | `naive` |
//! | an empty value, a zero, an absence loaded for ever | the ADR's `if cached:` | `what_is_falsy_is_loaded_for_ever` | `FalsyIsAbsent` |
//! | the cache is down and reads fail | the ADR's `redis.get` | `the_cache_is_gone_and_every_read_fails` | by hand |
//! | failing open stampedes the database | the same | `the_cache_is_gone_and_everybody_asks_the_database` | no origin limit |
//! | a fill after the invalidation | the ADR's cache-aside; lettuce#3481, guava#1881, caffeine#193 | `a_load_fills_after_the_invalidation` | `naive` |
//! | the same by a value from the remote layer | redis-rs `cache-aio` | `a_value_from_the_remote_layer_arrives_after_the_notice` | `naive` |
//! | the same of an absence, after the insert | negative caching | `an_absence_is_remembered_after_the_insert` | `naive` |
//! | a load between two writes | found by `model` | `a_load_comes_between_two_writes` | `naive` |
//! | a write that is outdated when it comes | found by `model` | `a_write_is_outdated_when_it_comes_to_the_cache` | `LateInvalidation` |
//! | a purge takes a tombstone away | found here | `a_purge_comes_between_a_write_and_a_slow_load` | a flush |
//! | two writers, the cache told in the other order | the ADR's write-through | `two_writers_tell_the_cache_in_the_other_order` | `naive` |
//! | shown and never queued | the ADR's `setex` and `publish` | `a_process_ends_between_the_cache_and_the_queue` | `CacheThenQueue` |
//! | two writes in one tick | the ADR's `activity:{user}:{now}` | `two_writes_in_one_tick`, `unique_values_never_repeat` | keys by time |
//! | acknowledged before it is committed | at-most-once queues | `a_consumer_dies_between_the_queue_and_the_database` | by hand |
//! | eviction drops the queue | the ADR's `allkeys-lru`; redis#6576 | `live_a_full_redis_evicts_the_queue` | `allkeys-lru` |
//! | MAXLEN trims what waits | redis#5570 | `live_a_bounded_stream_trims_what_waits` | XTRIM by hand |
//! | acknowledgements undone by a failover | redis#5433 | `live_acknowledgements_are_undone_by_a_failover` | a database without versions |
//! | stale for ever in each instance | the ADR's `lru_cache` | `a_local_value_outlives_the_write` | a TTL without end |
//! | the notice of a flush is not understood | lettuce PR#3885, redis-rs `cache-aio` | `a_flush_is_told_without_keys`, `live_flushall_empties_every_local_layer` | `DeafToFlush` |
//! | a subscriber is cut off while others write | FusionCache, JetCache, BentoCache | `a_write_is_told_while_a_subscriber_is_cut_off` | `on_loss: ignore` |
//! | a notice is lost | the same | `a_notice_is_lost_on_a_connection_that_stands`, `live_a_hole_in_the_numbers_is_a_lost_notice` | `on_loss: ignore` |
//! | a marker from a wrong clock | FusionCache#627 | `a_marker_comes_from_a_clock_that_is_ahead`, `live_generations_only_grow_whatever_redis_forgets` | `MarkersByClock` |
//! | an invalidation is seen late | moka#155 | `an_invalidation_is_seen_when_it_is_confirmed` | `LateInvalidation` |
//! | one load too many after a look | moka PR#195 | `a_load_ends_between_anothers_look_and_lock` | `adr-lock` |
//! | everybody misses after a failover | stampedes | `everybody_misses_after_a_failover`, `live_each_means_loads_as_often_as_it_promises` | `none` |
//! | the cache is back with what it held | outages | `the_cache_comes_back_with_what_it_held`, `live_a_redis_that_hung_does_not_serve_what_was_replaced_meanwhile` | no guard |
//! | others ask before it is told what it missed | found here | `others_ask_while_the_cache_is_being_told` | as above |
//! | a fixed window admits twice the limit | the ADR's counter | `live_the_fixed_window_is_a_control_that_the_oracle_catches` | `fixed-window` |
//! | read, and then write | redis-ratelimiting-js#2 | `live_reading_and_then_writing_lets_everyone_pass_and_one_script_does_not` | by hand |
//! | members that are times collapse | sockudo#251 | `live_a_log_whose_members_are_times_forgets_those_of_one_tick_and_ours_does_not` | by hand |
//! | counted before it is trimmed | shenyu#6754 | `live_a_log_that_counts_before_it_trims_refuses_with_room_and_ours_does_not` | by hand |
//! | INCR without EXPIRE | the same class | `live_a_count_without_expiry_locks_its_caller_out_for_ever_and_ours_expire` | by hand |

mod fills;
mod locks;
mod notices;
mod outage;
mod queue;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cachestorm::clock::Clock;
use cachestorm::engine::data_type::{
    DataType, DataTypeId, Invalidation, Key, PolicyTable, Strategy,
};
use cachestorm::engine::event::Observer;
use cachestorm::engine::invalidation::{InvalidationConfig, OnLoss};
use cachestorm::engine::layer::Outcome;
use cachestorm::engine::local::{LocalConfig, LocalPolicy};
use cachestorm::engine::{Answer, Engine, Surroundings};
use cachestorm::seed::Seed;

use crate::support::fake_remote::{FakeRemote, Server};
use crate::support::rigged::{Defect, Rig, Rigged};
use crate::support::{ScriptedOrigin, Told};

const ITEM: DataTypeId = DataTypeId(0);

type RaceEngine = Engine<Rigged<FakeRemote>, ScriptedOrigin>;

/// Instances over one remote layer in memory and one scripted database, in paused time.
struct Scene {
    clock: Clock,
    server: Arc<Server>,
    origin: ScriptedOrigin,
    policies: Arc<PolicyTable>,
    told: Arc<Told>,
    defect: Option<Defect>,
}

/// One instance, and what its connection is rigged with.
struct Instance {
    engine: Arc<RaceEngine>,
    rig: Arc<Rig>,
    remote: Rigged<FakeRemote>,
}

impl Scene {
    /// With one data type, kept in every layer, as `change` makes it.
    fn new(change: impl FnOnce(&mut DataType)) -> Self {
        let clock = Clock::real();
        let key = "item:{id}".parse().expect("a key pattern");
        let mut item = DataType::new("item", key, Strategy::CacheAside, Duration::from_mins(15));
        item.local_ttl = Some(Duration::from_mins(1));
        item.negative_ttl = Some(Duration::from_mins(1));
        item.invalidation = Invalidation::Event;
        change(&mut item);
        Self {
            server: Server::new(clock.clone()),
            origin: ScriptedOrigin::new(clock.clone()),
            policies: Arc::new(PolicyTable::new(vec![item])),
            told: Arc::default(),
            defect: None,
            clock,
        }
    }

    /// The same, with every connection so defective.
    fn with(self, defect: Option<Defect>) -> Self {
        Self { defect, ..self }
    }

    /// An instance that hears nothing of the others.
    fn instance(&self, number: u64) -> Instance {
        self.instance_that(number, OnLoss::Flush)
    }

    fn instance_that(&self, number: u64, on_loss: OnLoss) -> Instance {
        let rig = Rig::new(self.clock.clone(), self.defect);
        let remote = Rigged::new(self.server.connect(), &rig);
        let surroundings = Surroundings {
            clock: self.clock.clone(),
            seed: Seed(1),
            observer: Arc::clone(&self.told) as Arc<dyn Observer>,
            instance: number,
        };
        let local = LocalConfig {
            entries: 100,
            bytes: None,
            policy: LocalPolicy::default(),
        };
        let engine = Engine::new(
            Arc::clone(&self.policies),
            Some(local),
            Some(remote.clone()),
            self.origin.clone(),
            surroundings,
        );
        let config = InvalidationConfig {
            on_loss,
            ..InvalidationConfig::default()
        };
        Instance {
            engine: Arc::new(engine.with_invalidation(config)),
            rig,
            remote,
        }
    }

    /// An instance that hears the others.
    async fn listener(&self, number: u64, on_loss: OnLoss) -> Instance {
        let instance = self.instance_that(number, on_loss);
        let before = self.server.subscribers();
        let engine = Arc::clone(&instance.engine);
        tokio::spawn(async move { tokio::join!(engine.listen(), engine.refresh()) });
        self.until(|| self.server.subscribers() > before).await;
        instance
    }

    /// Lets the others go on until `condition` holds; fails the test if it never does.
    async fn until(&self, condition: impl Fn() -> bool) {
        let deadline = self.clock.now() + Duration::from_secs(30);
        while !condition() {
            assert!(self.clock.now() < deadline, "still not so");
            self.clock.sleep(Duration::from_millis(1)).await;
        }
    }
}

impl Instance {
    async fn answer(&self, key: &Key) -> Answer {
        self.engine.get(ITEM, key).await.expect("an answer")
    }

    /// What it answers, as text.
    async fn read(&self, key: &Key) -> Option<String> {
        text(&self.answer(key).await)
    }

    /// The same, by a task of its own.
    fn start_read(&self, key: &Key) -> tokio::task::JoinHandle<Answer> {
        let (engine, key) = (Arc::clone(&self.engine), key.clone());
        tokio::spawn(async move { engine.get(ITEM, &key).await.expect("an answer") })
    }

    async fn put(&self, key: &Key, value: &str) {
        let put = self.engine.put(ITEM, key, Bytes::from(value.to_owned()));
        put.await.expect("a commit");
    }
}

fn text(answer: &Answer) -> Option<String> {
    let value = answer.entry.row.value.as_deref()?;
    Some(String::from_utf8(value.to_vec()).expect("tests write text"))
}

/// The table above names what there is.
#[test]
fn every_test_of_the_table_exists() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/");
    let sources: String = ["tests/it", "src/workload"]
        .iter()
        .flat_map(|folder| walkdir::WalkDir::new(format!("{root}{folder}")))
        .map(|entry| entry.expect("the repository can be read"))
        .filter(|entry| entry.path().extension().is_some_and(|end| end == "rs"))
        .map(|entry| std::fs::read_to_string(entry.path()).expect("a text file"))
        .collect();
    let rows: Vec<&str> = include_str!("mod.rs")
        .lines()
        .filter(|line| line.starts_with("//! | ") && !line.contains("| known from |"))
        .collect();
    assert!(rows.len() > 30, "{} rows", rows.len());
    for row in rows {
        let names = row.split('|').nth(3).expect("a column of tests");
        for name in names.split(',').map(|name| name.trim().trim_matches('`')) {
            assert!(sources.contains(&format!("fn {name}()")), "{name}");
        }
    }
}
