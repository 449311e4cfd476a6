//! Watches a pass: tells the engines which phase it is, reads the environment as often as
//! [`super::readings`] says and at the borders of the judged time, shows progress, and ends the pass
//! when it must end.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::alerts::{Alarmed, Alarms};
use super::gate_watch::{GateWatch, GatesSeen};
use super::generator_watch::{GeneratorSeen, GeneratorWatch};
use super::memcached_server::{MemcachedReading, MemcachedServer};
use super::readings::{Pace, Readings};
use super::redis::Redis;
use super::redis_server::RedisReading;
use super::{Moment, Stage};
use crate::clock::{Clock, Timestamp};
use crate::environment::database::{DatabaseStats, MockDatabase};
use crate::environment::instance::metrics::{InstanceMetrics, InstanceReading};
use crate::environment::instance::simulated::Processor;
use crate::measure::cpu::ThreadTimes;
use crate::measure::engine_observer::EngineObserver;
use crate::measure::recorder::Recorder;
use crate::measure::{PhaseId, PhaseKind, Schedule};
use crate::units::long;

/// What a pass is made of, as far as it is watched.
pub(super) struct Watched {
    pub(super) schedule: Arc<Schedule>,
    pub(super) recorder: Arc<Recorder>,
    pub(super) observers: Vec<Arc<EngineObserver>>,
    pub(super) database: MockDatabase,
    /// Before anything was asked of the store and the database.
    pub(super) untouched: Untouched,
    pub(super) instances: Vec<Arc<InstanceMetrics>>,
    /// Those of simulated instances.
    pub(super) processors: Vec<Processor>,
    pub(super) alarms: Alarms,
    pub(super) gates: GateWatch,
    pub(super) generator: GeneratorWatch,
}

/// Everything around the engines at one moment.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    pub(super) at: Timestamp,
    pub(super) database: DatabaseStats,
    pub(super) redis: Option<RedisReading>,
    /// Each store beside it; `None` if it did not answer.
    pub(super) aside: Vec<Option<RedisReading>>,
    pub(super) memcached: Option<MemcachedReading>,
    pub(super) threads: Option<ThreadTimes>,
    /// How long the processors of simulated instances were busy so far.
    pub(super) processors_busy: Option<Duration>,
    pub(super) instances: Vec<InstanceReading>,
}

#[cfg(test)]
impl Reading {
    /// Of a moment at which there was nothing to be seen.
    pub(super) fn bare(at: Timestamp) -> Self {
        use crate::environment::database::FlightStats;
        let times = || hdrhistogram::Histogram::new(0).expect("digits");
        Self {
            at,
            database: DatabaseStats {
                tables: Vec::new(),
                connections_in_use: 0,
                peak_connections: 0,
                timeouts: 0,
                query_cache: None,
                wait_time_us: times(),
                service_time_us: times(),
                flights: FlightStats::default(),
            },
            redis: None,
            aside: Vec::new(),
            memcached: None,
            threads: None,
            processors_busy: None,
            instances: Vec::new(),
        }
    }
}

/// What Redis, or memcached in its place, said of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StoreReading {
    pub(super) at: Timestamp,
    pub(super) used_bytes: u64,
    /// `None` for no limit.
    pub(super) limit_bytes: Option<u64>,
    pub(super) keys: u64,
}

impl Reading {
    /// Whether every store answered; not, if there is none.
    pub(super) fn stores_up(&self) -> bool {
        self.store().is_some() && self.aside.iter().all(Option::is_some)
    }

    /// What the store said; `None` if it did not answer, or if there is none. One aside is told apart.
    pub(super) fn store(&self) -> Option<StoreReading> {
        let of_redis = self.redis.as_ref().map(|redis| StoreReading {
            at: redis.at,
            used_bytes: redis.info.used_memory.0,
            limit_bytes: redis.info.maxmemory.map(|limit| limit.0),
            keys: redis.info.keys_in(0),
        });
        of_redis.or_else(|| {
            self.memcached.as_ref().map(|memcached| StoreReading {
                at: memcached.at,
                used_bytes: memcached.info.bytes.0,
                limit_bytes: Some(memcached.info.limit.0),
                keys: memcached.info.items,
            })
        })
    }

    /// How many keys the store evicted since `earlier`; `None` if one of the two is missing.
    pub(super) fn evicted_since(&self, earlier: &Self) -> Option<u64> {
        let of_redis = self.redis.as_ref().zip(earlier.redis.as_ref());
        let of_redis = of_redis.map(|(now, then)| now.info.since(&then.info).evicted_keys);
        of_redis.or_else(|| {
            let (now, then) = (self.memcached.as_ref()?, earlier.memcached.as_ref()?);
            Some(now.info.since(&then.info).evictions)
        })
    }
}

/// The store and the database before the instances started, which may warm: what the books are
/// balanced against.
#[derive(Clone, Debug)]
pub(super) struct Untouched {
    pub(super) database: DatabaseStats,
    pub(super) redis: Option<RedisReading>,
    pub(super) aside: Vec<Option<RedisReading>>,
    pub(super) memcached: Option<MemcachedReading>,
}

/// What the stores of a plan said at one moment.
struct StoresReading {
    redis: Option<RedisReading>,
    aside: Vec<Option<RedisReading>>,
    memcached: Option<MemcachedReading>,
}

impl StoresReading {
    async fn read(stage: &mut Stage<'_>) -> Self {
        let clock = &stage.clock;
        let stores = &mut stage.stores;
        let of = async |redis: &mut Option<Redis>| match redis {
            Some(redis) => Some(redis.info(clock).await),
            None => None,
        };
        // At once, so that one that is away does not delay what the other says.
        let (redis, aside) = tokio::join!(of(&mut stores.redis), of(&mut stores.aside));
        let memcached = match &mut stores.memcached {
            Some(memcached) => memcached.read(clock).await,
            None => None,
        };
        Self {
            redis: redis.flatten(),
            aside: aside.into_iter().collect(),
            memcached,
        }
    }
}

impl Untouched {
    pub(super) async fn read(stage: &mut Stage<'_>, database: &MockDatabase) -> Self {
        let StoresReading {
            redis,
            aside,
            memcached,
        } = StoresReading::read(stage).await;
        Self {
            database: database.stats(),
            redis,
            aside,
            memcached,
        }
    }
}

/// What the watch saw.
#[derive(Debug)]
pub(super) struct Observed {
    /// Before anything was asked of the store and the database.
    pub(super) untouched: Untouched,
    /// Before the first request; instances may have warmed already.
    pub(super) first: Reading,
    /// When the judged time began; `None` if it never did.
    pub(super) judged_from: Option<Reading>,
    /// When it ended, by plan or before.
    pub(super) judged_to: Option<Reading>,
    /// After the last request.
    pub(super) last: Reading,
    /// The looks in between.
    pub(super) looks: Readings,
    /// Keys of this run in Redis at the end.
    pub(super) redis_keys: Option<u64>,
    /// The same in the store aside.
    pub(super) aside_keys: Option<u64>,
    /// Somebody stopped the run.
    pub(super) interrupted: bool,
    /// How Redis, or the store beside it, died, if it did.
    pub(super) redis_died: Option<String>,
    /// How memcached died, if it did.
    pub(super) memcached_died: Option<String>,
    /// What became of the alerts.
    pub(super) alerts: Alarmed,
    /// What became of the gates while it went on.
    pub(super) gates: GatesSeen,
    /// How the generator fared in the judged time.
    pub(super) generator: GeneratorSeen,
}

pub(super) struct Monitor<'m, 'r> {
    stage: &'m mut Stage<'r>,
    watched: Watched,
    stop: watch::Sender<bool>,
    judged: Option<(Timestamp, Timestamp)>,
    phase: Option<PhaseId>,
    pace: Pace,
}

impl<'m, 'r> Monitor<'m, 'r> {
    pub(super) fn new(
        stage: &'m mut Stage<'r>,
        watched: Watched,
        stop: watch::Sender<bool>,
    ) -> Self {
        let judged = judged_time(&watched.schedule);
        let is_virtual = stage.clock.is_virtual();
        let is_watched = watched.alarms.any() || watched.gates.any_windows();
        Self {
            pace: Pace::of(&watched.schedule, is_virtual, is_watched),
            stage,
            watched,
            stop,
            judged,
            phase: None,
        }
    }

    /// Watches until `driving` has ended.
    pub(super) async fn watch<T>(mut self, driving: &JoinHandle<T>) -> Observed {
        let mut observed = Observed {
            untouched: self.watched.untouched.clone(),
            first: self.read().await,
            judged_from: None,
            judged_to: None,
            last: self.read().await,
            looks: Readings::new(self.pace),
            redis_keys: None,
            aside_keys: None,
            interrupted: false,
            redis_died: None,
            memcached_died: None,
            alerts: Vec::new(),
            gates: GatesSeen::default(),
            generator: GeneratorSeen::default(),
        };
        while !driving.is_finished() {
            self.enter_phase(&mut observed).await;
            self.look_at_borders(&mut observed).await;
            self.look_in_between(&mut observed).await;
            self.end_early(&mut observed);
            self.show();
            self.stage.clock.sleep_until(self.next_look()).await;
        }
        // Those the loop may have missed by a tick, or that an early end left open.
        observed.interrupted |= *self.stage.stop.borrow() && !self.is_over();
        observed.last = self.read().await;
        if !*self.stop.borrow() {
            let mut looks = observed.looks.recent().to_vec();
            looks.push(observed.last.clone());
            let until = observed.last.at.min(self.watched.schedule.end());
            // What came after the end is no part of the last window.
            let inside = looks.iter().take_while(|look| look.at < until).count();
            looks.truncate(inside + 1);
            let gates = &mut self.watched.gates;
            gates.look_at_windows(&observed.first, &looks, until);
        }
        if observed.redis_died.is_some() {
            // What ended the run must not be missed for want of a look.
            let mut looks = observed.looks.recent().to_vec();
            looks.push(observed.last.clone());
            self.watched.alarms.look(&observed.first, &looks);
        }
        if observed.judged_from.is_some() && observed.judged_to.is_none() {
            let last = observed.last.clone();
            self.judged_ends(&mut observed, last);
        }
        let Stage { stores, clock, .. } = &mut *self.stage;
        let last = &observed.last;
        observed.redis_keys = keys(stores.redis.as_mut(), last.redis.as_ref(), clock).await;
        let aside = last.aside.first().and_then(Option::as_ref);
        observed.aside_keys = keys(stores.aside.as_mut(), aside, clock).await;
        observed.alerts = self.watched.alarms.finish();
        observed.gates = self.watched.gates.finish(observed.gates.ended);
        observed
    }

    async fn enter_phase(&mut self, observed: &mut Observed) {
        let now = self.watched.schedule.phase_at(self.stage.clock.now());
        if now == self.phase {
            return;
        }
        let reading = self.look(MockDatabase::counts).await;
        for phase in [self.phase, now].into_iter().flatten() {
            observed.looks.take_in_phase(&reading, phase);
        }
        self.phase = now;
        for observer in &self.watched.observers {
            match now {
                Some(phase) => observer.enter_phase(phase),
                None => observer.leave_phases(),
            }
        }
    }

    async fn look_at_borders(&mut self, observed: &mut Observed) {
        let Some((from, to)) = self.judged else {
            return;
        };
        let now = self.stage.clock.now();
        if observed.judged_from.is_none() && now >= from {
            self.watched.database.reset_peak();
            let reading = self.read().await;
            observed.looks.judged.take(&reading);
            self.watched.generator.begin(&reading);
            observed.judged_from = Some(reading);
        }
        if observed.judged_to.is_none() && now >= to {
            let reading = self.read().await;
            self.judged_ends(observed, reading);
        }
    }

    /// The judged time ends with this look.
    fn judged_ends(&mut self, observed: &mut Observed, reading: Reading) {
        observed.looks.judged.take(&reading);
        self.watched.generator.take(&reading);
        observed.generator = self.watched.generator.end();
        observed.judged_to = Some(reading);
    }

    async fn look_in_between(&mut self, observed: &mut Observed) {
        let since = self.stage.clock.now().since(self.watched.schedule.start());
        if observed.looks.is_due(since) {
            let reading = self.look(MockDatabase::counts).await;
            let judged = observed.judged_from.is_some() && observed.judged_to.is_none();
            if judged {
                self.watched.generator.take(&reading);
            }
            observed.looks.take(reading, self.phase, judged);
            // Users that leave because it is over are no news.
            if !*self.stop.borrow() && !self.is_over() {
                let recent = observed.looks.recent();
                self.watched.alarms.look(&observed.first, recent);
                self.judge_so_far(observed);
            }
        }
    }

    /// Looks at the gates that are looked at while the run goes on, and ends it if one is lost that
    /// asks for that.
    fn judge_so_far(&mut self, observed: &mut Observed) {
        let recent = observed.looks.recent();
        let Some(now) = recent.last().map(|reading| reading.at) else {
            return;
        };
        let Watched { gates, alarms, .. } = &mut self.watched;
        gates.look_at_windows(&observed.first, recent, now);
        // What is measured so far takes longer to put together than a window.
        let all = !self.stage.clock.is_virtual() || observed.looks.ends_a_row();
        let Some(ended) = gates.lost(now, (observed, alarms.so_far()), all) else {
            return;
        };
        let text = format!(
            "{} is lost: the run ends at {}",
            ended.names(),
            long(ended.at)
        );
        self.stage.progress.note(&text);
        observed.gates.ended = Some(ended);
        self.stop.send_replace(true);
    }

    fn is_over(&self) -> bool {
        self.stage.clock.now() >= self.watched.schedule.end()
    }

    fn end_early(&mut self, observed: &mut Observed) {
        if observed.redis_died.is_none() {
            let stores = &mut self.stage.stores;
            let died = stores.redis.as_mut().and_then(Redis::died);
            let aside = || {
                Some(format!(
                    "the store aside, {}",
                    stores.aside.as_mut()?.died()?
                ))
            };
            observed.redis_died = died.or_else(aside);
        }
        if observed.memcached_died.is_none() {
            let memcached = self.stage.stores.memcached.as_mut();
            observed.memcached_died = memcached.and_then(MemcachedServer::died);
        }
        observed.interrupted |= *self.stage.stop.borrow();
        let died = observed.redis_died.is_some() || observed.memcached_died.is_some();
        if observed.interrupted || died {
            self.stop.send_replace(true);
        }
    }

    /// After a tick, or earlier if a phase ends before.
    fn next_look(&self) -> Timestamp {
        let now = self.stage.clock.now();
        let borders = self.watched.schedule.iter().map(|(_, phase)| phase.end);
        borders
            .filter(|border| *border > now)
            .fold(now + self.pace.tick(self.is_over()), Timestamp::min)
    }

    fn show(&self) {
        let Some(id) = self.phase else { return };
        let phase = self.watched.schedule.get(id);
        let of_variant = |variant| format!("{variant}: {}", phase.name);
        self.stage.progress.moment(&Moment {
            phase: (self.stage.variant).map_or_else(|| phase.name.clone(), of_variant),
            elapsed: self.stage.clock.now().since(phase.start),
            total: phase.end.since(phase.start),
            live: self.watched.recorder.live(),
        });
    }

    /// Everything, the times of the database included.
    async fn read(&mut self) -> Reading {
        self.look(MockDatabase::stats).await
    }

    async fn look(&mut self, database: fn(&MockDatabase) -> DatabaseStats) -> Reading {
        let StoresReading {
            redis,
            aside,
            memcached,
        } = StoresReading::read(self.stage).await;
        for instance in &self.watched.instances {
            instance.redis_read(redis.as_ref().map(|redis| &redis.info));
        }
        let instances = self.watched.instances.iter();
        let at = self.stage.clock.now();
        let busy = self.watched.processors.iter();
        Reading {
            at,
            processors_busy: busy
                .map(|processor| processor.busy(at))
                .reduce(|sum, busy| sum + busy),
            instances: instances.map(|instance| instance.read()).collect(),
            database: database(&self.watched.database),
            redis,
            aside,
            memcached,
            // In virtual time nobody's processor time means anything.
            threads: (!self.stage.clock.is_virtual())
                .then(ThreadTimes::read)
                .flatten(),
        }
    }
}

/// How many keys of this run stand in `redis`, which said `last`.
async fn keys(
    redis: Option<&mut Redis>,
    last: Option<&RedisReading>,
    clock: &Clock,
) -> Option<u64> {
    redis?.keys(last?, clock).await
}

/// From the first phase that is judged to the end of the last.
fn judged_time(schedule: &Schedule) -> Option<(Timestamp, Timestamp)> {
    let judged = || {
        schedule
            .iter()
            .filter(|(_, phase)| phase.kind == PhaseKind::Measure)
    };
    let from = judged().map(|(_, phase)| phase.start).min()?;
    let to = judged().map(|(_, phase)| phase.end).max()?;
    Some((from, to))
}
