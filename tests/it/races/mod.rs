//! Races.

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
