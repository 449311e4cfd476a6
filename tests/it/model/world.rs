//! Runs a script: instances over one remote layer and one database, every step in a task of its own, in
//! paused time. What was asked, answered and broken is written down with its times; `check.rs` judges it
//! when all is over.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cachestorm::clock::{Clock, Timestamp};
use cachestorm::engine::data_type::{DataType, DataTypeId, Key, PolicyTable, Strategy};
use cachestorm::engine::event::{Event, Observer};
use cachestorm::engine::invalidation::{Broadly, InvalidationConfig};
use cachestorm::engine::layer::{Layer, Outcome, Remote, Version};
use cachestorm::engine::local::{LocalConfig, LocalPolicy};
use cachestorm::engine::resilience::circuit_breaker::BreakerConfig;
use cachestorm::engine::resilience::guarded::Guarded;
use cachestorm::engine::write_behind::policy::WriteBehind;
use cachestorm::engine::{Engine, Surroundings};
use cachestorm::seed::Seed;
use parking_lot::Mutex;
use tokio::task::JoinHandle;

use super::book::{Book, PACE};
use super::script::{Act, INSTANCES, KEYS, Script, Setup, Step};

pub(super) const ITEM: DataTypeId = DataTypeId(0);
pub(super) const TTL: Duration = Duration::from_secs(4);
/// Longer than it may take until a lost notice is made up for, or the check would see nothing of it.
pub(super) const LOCAL_TTL: Duration = Duration::from_secs(3);
pub(super) const SERVE_STALE: Duration = Duration::from_secs(1);
pub(super) const HEARTBEAT: Duration = Duration::from_millis(200);
/// Nothing may take longer.
const NEVER_LONGER: Duration = Duration::from_secs(30);

/// What a read gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) value: Option<Bytes>,
    pub(super) version: Version,
    pub(super) outcome: Outcome,
    pub(super) layer: Layer,
}

/// What was done, and what came of it.
#[derive(Clone, Debug)]
pub(super) enum Did {
    Read(Key, Result<Seen, String>),
    Wrote(Key, Bytes, Result<Version, String>),
    /// What the cache was told of without a write.
    Told(Vec<Key>, How, Result<(), String>),
}

/// How the cache was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// Loads under way are of no account.
    Generation,
    /// A load under way may bring the old value back.
    Removal,
}

/// One step that has ended.
#[derive(Clone, Debug)]
pub(super) struct Record {
    /// Its number in the script.
    pub(super) step: usize,
    pub(super) by: usize,
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
    pub(super) did: Did,
    /// When every instance had heard of it, where that was waited for.
    pub(super) heard: Option<Timestamp>,
}

/// Something that was broken or repaired.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fault {
    pub(super) at: Timestamp,
    pub(super) by: usize,
    pub(super) act: Act,
}

/// All that is known when it is over.
pub(super) struct Story {
    pub(super) begin: Timestamp,
    pub(super) setup: Setup,
    pub(super) records: Vec<Record>,
    pub(super) faults: Vec<Fault>,
    pub(super) book: Book,
    /// Steps that never ended.
    pub(super) hung: usize,
    pub(super) drained: bool,
}

/// Counts what one instance heard.
#[derive(Debug, Default)]
struct Heard(Mutex<u64>);

impl Observer for Heard {
    fn observe(&self, event: &Event<'_>) {
        if let Event::InvalidationReceived { .. } = event {
            *self.0.lock() += 1;
        }
    }
}

struct Instance<R> {
    engine: Arc<Engine<Guarded<R>, Book>>,
    heard: Arc<Heard>,
    background: JoinHandle<()>,
    steps: Vec<JoinHandle<()>>,
}

impl<R> Instance<R> {
    /// As SIGKILL does.
    fn kill(&mut self) {
        self.background.abort();
        self.steps.drain(..).for_each(|step| step.abort());
    }
}

/// The remote layer of a world: how an instance gets at it, and how it is broken.
pub(super) trait Ground {
    type Remote: Remote;
    async fn connect(&self) -> Self::Remote;
    /// Does a step that is none of an instance.
    fn suffer(&self, act: Act);
    /// Whether steps are taken one by one, and everybody hears of each before the next.
    fn in_step(&self) -> bool {
        false
    }
    /// Has everybody hear something.
    async fn tell(&self) {}
    /// How many listen.
    async fn listeners(&self) -> usize;
}

pub(super) struct World<'g, G: Ground> {
    ground: &'g G,
    clock: Clock,
    setup: Setup,
    policies: Arc<PolicyTable>,
    book: Book,
    instances: Vec<Instance<G::Remote>>,
    records: Arc<Mutex<Vec<Record>>>,
    faults: Vec<Fault>,
}

pub(super) fn key(n: usize) -> Key {
    Key::new(format!("item:{}:{n}", n / 2))
}

pub(super) fn keys() -> Vec<Key> {
    (0..KEYS).map(key).collect()
}

fn policies(setup: &Setup) -> PolicyTable {
    let pattern = "item:{group}:{id}".parse().expect("a key pattern");
    let mut item = DataType::new("item", pattern, setup.strategy, TTL);
    item.local_ttl = setup.local.then_some(LOCAL_TTL);
    item.negative_ttl = Some(TTL / 2);
    item.serve_stale = Some(SERVE_STALE);
    item.stampede = setup.stampede;
    item.consistency = setup.consistency;
    item.invalidation = setup.invalidation;
    PolicyTable::new(vec![item])
}

impl<'g, G: Ground> World<'g, G> {
    pub(super) async fn new(ground: &'g G, setup: Setup, clock: Clock) -> Self {
        let mut world = Self {
            ground,
            setup,
            policies: Arc::new(policies(&setup)),
            book: Book::new(clock.clone()),
            instances: Vec::new(),
            records: Arc::default(),
            faults: Vec::new(),
            clock,
        };
        for number in 0..INSTANCES {
            let instance = world.start(number).await;
            world.instances.push(instance);
        }
        world
    }

    async fn start(&self, number: usize) -> Instance<G::Remote> {
        let (clock, heard) = (self.clock.clone(), Arc::<Heard>::default());
        let breaker = BreakerConfig {
            failures: 3,
            open_for: Duration::from_millis(200),
            probes: 2,
        };
        let remote = Guarded::new(
            self.ground.connect().await,
            Some(breaker),
            Duration::from_millis(500),
            clock.clone(),
            Arc::clone(&heard) as _,
        );
        let surroundings = Surroundings {
            clock,
            seed: Seed(7),
            observer: Arc::clone(&heard) as _,
            instance: number as u64,
        };
        let local = LocalConfig {
            entries: 100,
            bytes: None,
            policy: LocalPolicy::default(),
        };
        let engine = Engine::new(
            Arc::clone(&self.policies),
            self.setup.local.then_some(local),
            Some(remote),
            self.book.clone(),
            surroundings,
        );
        let invalidation = InvalidationConfig {
            broadly: self.setup.broadly,
            on_loss: self.setup.on_loss,
            heartbeat: HEARTBEAT,
            ..InvalidationConfig::default()
        };
        let write_behind = WriteBehind {
            queue_max: 10,
            claim_after: Duration::from_secs(1),
            ..WriteBehind::default()
        };
        let engine = engine
            .with_invalidation(invalidation)
            .with_write_behind(write_behind);
        let engine = Arc::new(engine);
        let background = tokio::spawn(run_background(Arc::clone(&engine), number));
        Instance {
            engine,
            heard,
            background,
            steps: Vec::new(),
        }
    }

    /// Takes every step, repairs what is broken, and reads everything again.
    pub(super) async fn run(mut self, script: &Script) -> Story {
        let begin = self.clock.now();
        self.all_listen().await;
        for (number, step) in script.0.iter().enumerate() {
            self.clock.sleep(step.after).await;
            self.take(number, step).await;
        }
        for act in [Act::Remote(None), Act::OriginFails(false)] {
            self.suffer(0, act);
        }
        let mut hung = self.finish().await;
        let drained = self.drain().await;
        // Soon after, when notices must have been made up for; and when every TTL has ended.
        let waits = if self.ground.in_step() {
            vec![Duration::ZERO]
        } else {
            vec![
                super::check::MADE_UP,
                TTL + SERVE_STALE + super::check::MARGIN,
            ]
        };
        for wait in waits {
            self.clock.sleep(wait * 2).await;
            for (by, item) in (0..INSTANCES).flat_map(|by| (0..KEYS).map(move |key| (by, key))) {
                let step = Step {
                    after: Duration::ZERO,
                    by,
                    pace: 0,
                    act: Act::Get(item),
                };
                self.take(script.0.len(), &step).await;
            }
            hung += self.finish().await;
        }
        for instance in &mut self.instances {
            instance.kill();
        }
        let records = std::mem::take(&mut *self.records.lock());
        Story {
            begin,
            setup: self.setup,
            records,
            faults: self.faults,
            book: self.book,
            hung,
            drained,
        }
    }

    async fn all_listen(&self) {
        let deadline = self.clock.now() + NEVER_LONGER;
        while self.ground.listeners().await < INSTANCES {
            assert!(self.clock.now() < deadline, "they do not listen");
            self.clock.sleep(Duration::from_millis(1)).await;
        }
    }

    fn suffer(&mut self, by: usize, act: Act) {
        let at = self.clock.now();
        self.faults.push(Fault { at, by, act });
        match act {
            Act::OriginFails(fails) => self.book.set_failing(fails),
            act => self.ground.suffer(act),
        }
    }

    async fn take(&mut self, number: usize, step: &Step) {
        match step.act {
            Act::Change(item) => self.book.change(&key(item), &value(number)),
            Act::Restart => {
                self.suffer(step.by, step.act);
                self.instances[step.by].kill();
                // The dead are not heard any more, and a new life has a later beginning.
                self.clock.sleep(Duration::from_millis(1)).await;
                self.instances[step.by] = self.start(step.by).await;
                if self.ground.in_step() {
                    self.all_listen().await;
                }
            }
            Act::Get(_) | Act::Put(_) | Act::Purge(_) | Act::Pattern(_) | Act::All => {
                self.spawn(number, step);
                if self.ground.in_step() {
                    self.finish().await;
                    self.have_all_hear().await;
                }
            }
            act => self.suffer(step.by, act),
        }
    }

    fn spawn(&mut self, number: usize, step: &Step) {
        let instance = &mut self.instances[step.by];
        let (engine, records) = (Arc::clone(&instance.engine), Arc::clone(&self.records));
        let (clock, act, by) = (self.clock.clone(), step.act, step.by);
        let how = match self.setup.broadly {
            Broadly::Generation => How::Generation,
            Broadly::Scan => How::Removal,
        };
        let task = async move {
            let from = clock.now();
            let did = perform(&engine, act, number, how).await;
            let to = clock.now();
            records.lock().push(Record {
                step: number,
                by,
                from,
                to,
                did,
                heard: None,
            });
        };
        let task = tokio::spawn(PACE.scope((step.pace, Cell::new(0)), task));
        instance.steps.push(task);
    }

    /// Waits for every step to end; gives how many do not.
    async fn finish(&mut self) -> usize {
        let deadline = self.clock.now() + NEVER_LONGER;
        let mut hung = 0;
        for instance in &mut self.instances {
            for step in instance.steps.drain(..) {
                let left = deadline.since(self.clock.now());
                match self.clock.timeout(left, step).await {
                    Ok(Ok(())) => {}
                    Ok(Err(panic)) => std::panic::resume_unwind(panic.into_panic()),
                    Err(_) => hung += 1,
                }
            }
        }
        hung
    }

    async fn have_all_hear(&self) {
        let counts = || {
            self.instances
                .iter()
                .map(|instance| *instance.heard.0.lock())
        };
        let before: Vec<u64> = counts().collect();
        let deadline = self.clock.now() + NEVER_LONGER;
        for look in 0.. {
            // Now and then again: one that has just begun may not have listened yet.
            if look % 100 == 0 {
                self.ground.tell().await;
            }
            if counts().zip(&before).all(|(now, before)| now > *before) {
                break;
            }
            assert!(self.clock.now() < deadline, "they do not hear");
            self.clock.sleep(Duration::from_millis(1)).await;
        }
        let now = self.clock.now();
        if let Some(last) = self.records.lock().last_mut() {
            last.heard = Some(now);
        }
    }

    async fn drain(&self) -> bool {
        self.setup.strategy != Strategy::WriteBehind
            || self.instances[0]
                .engine
                .drain("drain", Duration::from_secs(30))
                .await
    }
}

async fn run_background<R: Remote>(engine: Arc<Engine<Guarded<R>, Book>>, number: usize) {
    let consumer = format!("c{number}");
    tokio::join!(
        engine.listen(),
        engine.refresh(),
        engine.finish_late_loads(),
        engine.consume(&consumer),
    );
}

fn value(number: usize) -> Bytes {
    Bytes::from(format!("value of step {number}"))
}

async fn perform<R: Remote>(
    engine: &Engine<Guarded<R>, Book>,
    act: Act,
    number: usize,
    how: How,
) -> Did {
    let text = |error: cachestorm::engine::EngineError| error.to_string();
    match act {
        Act::Get(item) => {
            let answer = engine.get(ITEM, &key(item)).await.map_err(text);
            let seen = answer.map(|answer| Seen {
                value: answer.entry.row.value,
                version: answer.entry.row.version,
                outcome: answer.outcome,
                layer: answer.layer,
            });
            Did::Read(key(item), seen)
        }
        Act::Put(item) => {
            let put = engine.put(ITEM, &key(item), value(number)).await;
            let put = put.map(|written| written.version).map_err(text);
            Did::Wrote(key(item), value(number), put)
        }
        Act::Purge(item) => {
            let told = engine.invalidate(ITEM, &key(item)).await.map_err(text);
            Did::Told(vec![key(item)], How::Removal, told)
        }
        Act::Pattern(group) => {
            let pattern = format!("item:{group}:*").parse().expect("a pattern");
            let told = engine.invalidate_pattern(ITEM, pattern).await.map_err(text);
            Did::Told(vec![key(2 * group), key(2 * group + 1)], how, told)
        }
        _ => {
            let told = engine.invalidate_all(ITEM).await.map_err(text);
            Did::Told(keys(), how, told)
        }
    }
}
