//! Days of virtual time through one engine: what it holds beside its local layer does not grow with
//! them, and is nothing when nobody asks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;

use super::data_type::{DataType, Key, Limit, PolicyTable, Stampede, Strategy};
use super::event::Unobserved;
use super::layer::{Admission, LayerError, Origin, QueuedWrite, Row, Version};
use super::local::{LocalConfig, LocalPolicy};
use super::remote::none::NoRemote;
use super::{Engine, Surroundings};
use crate::clock::{Clock, Timestamp, virtual_time};
use crate::engine::data_type::DataTypeId;
use crate::seed::Seed;

const ENTRIES: u64 = 200;
const REFRESHED: DataTypeId = DataTypeId(0);
const REVALIDATED: DataTypeId = DataTypeId(1);
const SOFT: Duration = Duration::from_millis(50);

/// Every fifth load is slower than the soft timeout.
struct Moody {
    clock: Clock,
    version: AtomicU64,
    calls: AtomicU64,
}

impl Moody {
    async fn row(&self) -> Row {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        let ms = if call.is_multiple_of(5) { 400 } else { 10 };
        self.clock.sleep(Duration::from_millis(ms)).await;
        let version = Version(self.version.load(Ordering::Relaxed));
        Row {
            value: Some(Bytes::from_static(b"x")),
            version,
            committed_at: self.clock.now(),
            as_of: version,
        }
    }
}

impl Origin for Moody {
    async fn load(&self, _: DataTypeId, _: &Key) -> Result<Row, LayerError> {
        Ok(self.row().await)
    }

    async fn store(&self, _: DataTypeId, _: &Key, _: Bytes) -> Result<Row, LayerError> {
        self.version.fetch_add(1, Ordering::Relaxed);
        Ok(self.row().await)
    }

    async fn store_batch(&self, _: &[QueuedWrite]) -> Result<(), LayerError> {
        Ok(())
    }

    async fn admit(&self, _: DataTypeId, _: &Key, _: Limit) -> Result<Admission, LayerError> {
        Err(LayerError::Unsupported("the test's origin", "this"))
    }
}

type Instance = Engine<NoRemote, Moody>;

fn instance(clock: &Clock) -> Arc<Instance> {
    let row = |name: &str, stampede| {
        let key = format!("{name}:{{id}}").parse().expect("a key pattern");
        let ttl = Duration::from_mins(5);
        DataType {
            local_ttl: Some(ttl),
            serve_stale: Some(Duration::from_mins(30)),
            stampede,
            ..DataType::new(name, key, Strategy::CacheAside, ttl)
        }
    };
    let policies = PolicyTable::new(vec![
        row("early", Stampede::EarlyRefresh { beta: 4.0 }),
        row("late", Stampede::StaleWhileRevalidate),
    ]);
    let local = LocalConfig {
        entries: ENTRIES,
        bytes: None,
        policy: LocalPolicy::default(),
    };
    let origin = Moody {
        clock: clock.clone(),
        version: AtomicU64::new(1),
        calls: AtomicU64::new(0),
    };
    let surroundings = Surroundings {
        clock: clock.clone(),
        seed: Seed(7),
        observer: Arc::new(Unobserved),
        instance: 0,
    };
    let engine = Engine::new(Arc::new(policies), Some(local), None, origin, surroundings);
    Arc::new(engine.with_soft_timeout(Some(SOFT)))
}

/// What an engine does in the background, as its owner does it.
fn poll(engine: &Arc<Instance>) {
    let refreshing = Arc::clone(engine);
    tokio::spawn(async move { refreshing.refresh().await });
    let finishing = Arc::clone(engine);
    tokio::spawn(async move { finishing.finish_late_loads().await });
}

/// A minute of it: keys that everybody wants, keys of this hour, writes and invalidations.
async fn minute(engine: &Arc<Instance>, clock: &Clock, minute: u64) {
    let mut readers = Vec::new();
    for n in 0..12 {
        let (name, id) = match n % 2 {
            0 => ("early", REFRESHED),
            _ => ("late", REVALIDATED),
        };
        let number = if n < 8 {
            n / 2
        } else {
            minute / 60 * 100 + minute % 60 + n
        };
        let key = Key::new(format!("{name}:{number}"));
        for _ in 0..2 {
            let (engine, key) = (Arc::clone(engine), key.clone());
            readers.push(tokio::spawn(async move { engine.get(id, &key).await }));
        }
        if n == 3 && minute.is_multiple_of(10) {
            engine
                .put(id, &key, Bytes::from_static(b"y"))
                .await
                .expect("written");
        }
        clock.sleep(Duration::from_secs(5)).await;
    }
    for reader in readers {
        reader.await.expect("no panic").expect("an answer");
    }
    if minute.is_multiple_of(30) {
        let key = Key::new(format!("late:{}", minute % 5));
        engine.invalidate(REVALIDATED, &key).await.expect("purged");
        engine
            .invalidate_pattern(
                REFRESHED,
                format!("early:{}*", minute / 30).parse().expect("glob"),
            )
            .await
            .expect("outdated");
    }
}

impl Instance {
    /// Flights, waiters, refreshes and late loads under way; and what is known of generations.
    fn held(&self) -> ([usize; 4], usize) {
        let under_way = [
            self.flights.held(),
            self.waiters.held(),
            self.refreshes.held(),
            self.late.held(),
        ];
        (under_way, self.generations.held())
    }
}

#[test]
fn an_engine_holds_no_more_on_the_third_day_than_on_the_first() {
    let start = Timestamp::from_unix_nanos(1_795_419_900 * 1_000_000_000);
    let (runtime, clock) = virtual_time::runtime(start).expect("a runtime");
    let engine = instance(&clock);
    let gone: Weak<Instance> = Arc::downgrade(&engine);
    runtime.block_on(async {
        poll(&engine);
        let mut known = Vec::new();
        for day in 0..3 {
            for at in 0..24 * 60 {
                minute(&engine, &clock, day * 24 * 60 + at).await;
            }
            // Whoever is still at it comes to an end.
            clock.sleep(Duration::from_secs(5)).await;
            let (under_way, generations) = engine.held();
            assert_eq!(under_way, [0; 4], "day {day}");
            assert!(engine.local_entries() as u64 <= ENTRIES);
            known.push(generations);
        }
        // 48 patterns a day, and never more than are told apart.
        assert!(known.iter().all(|known| *known <= 129), "{known:?}");
    });
    drop((engine, runtime));
    assert!(gone.upgrade().is_none());
}
