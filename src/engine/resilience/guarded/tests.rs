//! The guard around a remote layer that dies and comes back as it is told, in paused time.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

use super::*;
use crate::clock::Timestamp;
use crate::engine::layer::{Generation, Row};
use crate::engine::remote::none::NoRemote;

const NOT_HERE: LayerError = LayerError::Unsupported("the fake", "this");
const LIMIT: Duration = Duration::from_millis(100);
const CONFIG: BreakerConfig = BreakerConfig {
    failures: 3,
    open_for: Duration::from_secs(1),
    probes: 1,
};

/// A remote layer in memory; hangs while it is dead.
#[derive(Default)]
struct Fake {
    dead: Mutex<bool>,
    entries: Mutex<HashMap<Key, Entry>>,
    floors: Mutex<HashMap<Key, Version>>,
    calls: AtomicUsize,
}

impl Fake {
    async fn call(&self) {
        self.calls.fetch_add(1, Ordering::SeqCst);
        if *self.dead.lock() {
            std::future::pending::<()>().await;
        }
    }
}

impl Remote for Arc<Fake> {
    type Subscription = NoRemote;
    type Queue = NoRemote;

    async fn get(&self, key: &Key) -> Result<Option<Entry>, LayerError> {
        self.call().await;
        Ok(self.entries.lock().get(key).cloned())
    }
    async fn fill(&self, key: &Key, entry: &Entry, _: Duration) -> Result<Fill, LayerError> {
        self.call().await;
        self.entries.lock().insert(key.clone(), entry.clone());
        Ok(Fill::Stored)
    }
    async fn invalidate(&self, keys: &[Key], version: Version) -> Result<(), LayerError> {
        self.call().await;
        for key in keys {
            self.entries.lock().remove(key);
            self.floors.lock().insert(key.clone(), version);
        }
        Ok(())
    }
    async fn overwrite(&self, _: &Key, _: &Entry, _: Duration) -> Result<(), LayerError> {
        Err(NOT_HERE)
    }
    async fn get_or_lease(&self, _: &Key, _: Token, _: Duration) -> Result<Leased, LayerError> {
        Err(NOT_HERE)
    }
    async fn fill_leased(
        &self,
        _: &Key,
        _: Token,
        _: Option<(&Entry, Duration)>,
    ) -> Result<Fill, LayerError> {
        Err(NOT_HERE)
    }
    async fn lock(&self, _: &Key, _: Token, _: Duration) -> Result<bool, LayerError> {
        Err(NOT_HERE)
    }
    async fn renew_lock(&self, _: &Key, _: Token, _: Duration) -> Result<bool, LayerError> {
        Err(NOT_HERE)
    }
    async fn unlock(&self, _: &Key, _: Option<Token>) -> Result<(), LayerError> {
        Err(NOT_HERE)
    }
    async fn publish(&self, _: &Notice) -> Result<(), LayerError> {
        Err(NOT_HERE)
    }
    async fn subscribe(&self) -> Result<NoRemote, LayerError> {
        Err(NOT_HERE)
    }
    async fn append(
        &self,
        _: &QueuedWrite,
        _: &Entry,
        _: Duration,
        _: u64,
    ) -> Result<Appended, LayerError> {
        Err(NOT_HERE)
    }
    async fn queue(&self, _: &str) -> Result<NoRemote, LayerError> {
        Err(NOT_HERE)
    }
    async fn admit(&self, _: &Key, _: Limit) -> Result<Admission, LayerError> {
        Err(NOT_HERE)
    }
}

#[derive(Default)]
struct Told {
    circuits: Mutex<Vec<Circuit>>,
    replayed: AtomicUsize,
}

impl Observer for Told {
    fn observe(&self, event: &Event<'_>) {
        match event {
            Event::CircuitChanged { circuit, .. } => self.circuits.lock().push(*circuit),
            Event::InvalidationsReplayed { keys } => {
                self.replayed.fetch_add(*keys, Ordering::SeqCst);
            }
            _ => {}
        }
    }
}

struct Scene {
    clock: Clock,
    fake: Arc<Fake>,
    told: Arc<Told>,
    guarded: Guarded<Arc<Fake>>,
}

impl Scene {
    fn new(breaker: Option<BreakerConfig>) -> Self {
        let (clock, fake, told) = (
            Clock::real(),
            Arc::<Fake>::default(),
            Arc::<Told>::default(),
        );
        let observer = Arc::clone(&told) as _;
        Self {
            guarded: Guarded::new(Arc::clone(&fake), breaker, LIMIT, clock.clone(), observer),
            clock,
            fake,
            told,
        }
    }

    fn set_dead(&self, dead: bool) {
        *self.fake.dead.lock() = dead;
    }

    fn calls(&self) -> usize {
        self.fake.calls.load(Ordering::SeqCst)
    }

    async fn open(&self) {
        self.set_dead(true);
        for _ in 0..CONFIG.failures {
            let failed = self.guarded.get(&Key::new("k")).await;
            assert_eq!(failed, Err(LayerError::TimedOut(NAME)));
        }
        assert_eq!(self.guarded.circuit(), Circuit::Open);
    }
}

fn entry(version: u64) -> Entry {
    Entry {
        row: Row {
            value: Some(Bytes::from("v")),
            version: Version(version),
            committed_at: Timestamp::EPOCH,
            as_of: Version(version),
        },
        fetched_at: Timestamp::EPOCH,
        fresh_until: Timestamp::NEVER,
        load_time: Duration::ZERO,
        generation: Generation::default(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_dead_layer_costs_nothing_once_the_circuit_is_open() {
    let scene = Scene::new(Some(CONFIG));
    scene.open().await;
    let (calls, began_at) = (scene.calls(), scene.clock.now());
    for _ in 0..1_000 {
        let failed = scene.guarded.get(&Key::new("k")).await;
        insta::allow_duplicates! {
            insta::assert_snapshot!(failed.expect_err("open"), @"the remote layer cannot be reached: the circuit is open");
        }
    }
    assert_eq!(scene.calls(), calls, "it was asked");
    assert_eq!(scene.clock.now(), began_at, "somebody waited");
}

#[tokio::test(start_paused = true)]
async fn a_layer_that_is_back_is_used_again() {
    let scene = Scene::new(Some(CONFIG));
    scene.open().await;
    scene.clock.sleep(CONFIG.open_for).await;
    let probe = scene.guarded.get(&Key::new("k")).await;
    assert_eq!(probe, Err(LayerError::TimedOut(NAME)), "it is still dead");
    scene.set_dead(false);
    assert!(
        scene.guarded.get(&Key::new("k")).await.is_err(),
        "too early"
    );
    scene.clock.sleep(CONFIG.open_for).await;
    assert_eq!(scene.guarded.get(&Key::new("k")).await, Ok(None));
    assert_eq!(scene.guarded.circuit(), Circuit::Closed);
    let wanted = [
        Circuit::Open,
        Circuit::HalfOpen,
        Circuit::Open,
        Circuit::HalfOpen,
        Circuit::Closed,
    ];
    assert_eq!(*scene.told.circuits.lock(), wanted);
}

#[tokio::test(start_paused = true)]
async fn a_probe_whose_caller_goes_away_lets_another_probe() {
    let scene = Scene::new(Some(CONFIG));
    scene.open().await;
    scene.clock.sleep(CONFIG.open_for).await;
    let key = Key::new("k");
    let impatient = scene
        .clock
        .timeout(LIMIT / 2, scene.guarded.get(&key))
        .await;
    assert!(impatient.is_err());
    scene.set_dead(false);
    assert_eq!(scene.guarded.get(&key).await, Ok(None));
    assert_eq!(scene.guarded.circuit(), Circuit::Closed);
}

/// Without this a layer that was cut off would serve what it held before.
#[tokio::test(start_paused = true)]
async fn what_it_missed_it_is_told_before_it_is_asked() {
    let scene = Scene::new(Some(CONFIG));
    let [invalidated, written, purged] = ["a", "b", "c"].map(Key::new);
    let ttl = Duration::from_secs(9);
    for key in [&invalidated, &written, &purged] {
        let filled = scene.guarded.fill(key, &entry(1), ttl).await;
        assert_eq!(filled, Ok(Fill::Stored));
    }
    scene.open().await;
    let failed = [
        scene
            .guarded
            .invalidate(std::slice::from_ref(&invalidated), Version(2))
            .await,
        scene.guarded.fill(&written, &entry(3), ttl).await.map(drop),
        scene
            .guarded
            .invalidate(std::slice::from_ref(&purged), Version(0))
            .await,
    ];
    assert!(failed.iter().all(Result::is_err));

    scene.set_dead(false);
    scene.clock.sleep(CONFIG.open_for).await;
    assert_eq!(scene.guarded.get(&invalidated).await, Ok(None), "stale");
    assert_eq!(scene.guarded.get(&written).await, Ok(None), "stale");
    assert_eq!(scene.guarded.get(&purged).await, Ok(None), "stale");
    assert_eq!(scene.told.replayed.load(Ordering::SeqCst), 3);
    let floors = scene.fake.floors.lock().clone();
    assert_eq!(floors[&invalidated], Version(2));
    assert_eq!(floors[&written], Version(3));
}

#[tokio::test(start_paused = true)]
async fn what_it_misses_again_is_not_forgotten() {
    let scene = Scene::new(Some(CONFIG));
    let key = Key::new("a");
    scene.open().await;
    let missed = scene
        .guarded
        .invalidate(std::slice::from_ref(&key), Version(2))
        .await;
    assert!(missed.is_err());
    for _ in 0..3 {
        scene.clock.sleep(CONFIG.open_for).await;
        assert!(scene.guarded.get(&key).await.is_err(), "it is still dead");
    }
    scene.set_dead(false);
    scene.clock.sleep(CONFIG.open_for).await;
    assert_eq!(scene.guarded.get(&key).await, Ok(None));
    assert_eq!(scene.fake.floors.lock()[&key], Version(2));
}

#[tokio::test(start_paused = true)]
async fn without_a_breaker_every_call_is_made_and_still_bounded() {
    let scene = Scene::new(None);
    scene.set_dead(true);
    for call in 1..=10 {
        let failed = scene.guarded.get(&Key::new("k")).await;
        assert_eq!(failed, Err(LayerError::TimedOut(NAME)));
        assert_eq!(scene.calls(), call);
    }
    // One lost invalidation is made up for by the next call that gets through.
    let key = Key::new("a");
    let missed = scene
        .guarded
        .invalidate(std::slice::from_ref(&key), Version(5))
        .await;
    assert!(missed.is_err());
    scene.set_dead(false);
    assert_eq!(scene.guarded.get(&key).await, Ok(None));
    assert_eq!(scene.fake.floors.lock()[&key], Version(5));
}

#[tokio::test(start_paused = true)]
async fn an_error_of_its_own_shows_that_it_lives() {
    let scene = Scene::new(Some(CONFIG));
    for _ in 0..10 {
        assert_eq!(scene.guarded.subscribe().await.err(), Some(NOT_HERE));
        let error = scene.guarded.publish(&Notice::Filled("k".to_owned())).await;
        assert_eq!(error, Err(NOT_HERE));
    }
    assert_eq!(scene.guarded.circuit(), Circuit::Closed);
}

/// As a new process has it, which knows nothing of the outage before it.
#[tokio::test(start_paused = true)]
async fn who_begins_anew_asks_again_and_owes_nothing() {
    let scene = Scene::new(Some(CONFIG));
    scene.open().await;
    let key = Key::new("k");
    let missed = scene
        .guarded
        .invalidate(std::slice::from_ref(&key), Version(3))
        .await;
    assert!(missed.is_err());
    scene.set_dead(false);
    scene.guarded.begin_anew();
    assert_eq!(scene.guarded.circuit(), Circuit::Closed);
    assert_eq!(
        *scene.told.circuits.lock(),
        [Circuit::Open, Circuit::Closed]
    );
    assert_eq!(scene.guarded.get(&key).await, Ok(None));
    assert_eq!(scene.told.replayed.load(Ordering::SeqCst), 0);
    assert!(scene.fake.floors.lock().is_empty());
}
