//! What the watch keeps of its looks at the environment, so that a run of a week takes no more memory
//! than one of half an hour: a reading for each row of the series, those of the last minutes for the
//! alerts, and of every look of the judged time what was most.
//!
//! Filled by the monitor, read by alerts, evidence and report. Decides nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use super::memcached_server::MemcachedReading;
use super::monitor::Reading;
use super::redis_server::RedisReading;
use super::sight::{breakers_open, writes_waiting};
use crate::clock::Timestamp;
use crate::engine::data_type::DataTypeId;
use crate::environment::database::TableStats;
use crate::measure::window::WINDOW_MAX;
use crate::measure::{PhaseId, Schedule};

/// How often the watch of a real run looks around.
const TICK: Duration = Duration::from_millis(100);
/// How much longer than a window readings are kept, for looks that come late.
const MARGIN: Duration = Duration::from_secs(2);

/// How often the watch looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pace {
    tick: Duration,
    /// Seconds from one look to the next.
    look_s: u32,
    /// Seconds that a row of the series spans; a multiple of `look_s`.
    row_s: u32,
}

impl Pace {
    /// The pace of a run by `schedule`. In virtual time nothing is missed between two looks but
    /// what is looked at, so there is one for each row; one a second while alerts are `watched`.
    pub(super) fn of(schedule: &Schedule, is_virtual: bool, watched: bool) -> Self {
        let row_s = schedule.row_width_s();
        let look_s = if is_virtual && !watched { row_s } else { 1 };
        let tick = if is_virtual {
            Duration::from_secs(look_s.into())
        } else {
            TICK
        };
        Self {
            tick,
            look_s,
            row_s,
        }
    }

    /// How long to wait until the watch looks around again. When the plan is `over` nobody should
    /// wait for the next row.
    pub(super) fn tick(self, over: bool) -> Duration {
        if over {
            self.tick.min(Duration::from_secs(1))
        } else {
            self.tick
        }
    }
}

/// What is kept of the looks of a pass.
#[derive(Debug)]
pub(super) struct Readings {
    pace: Pace,
    /// How many looks there were.
    looks: u64,
    /// At the end of each row.
    rows: Vec<Reading>,
    /// The last looks, those of the longest window at least.
    recent: Vec<Reading>,
    /// The looks of the judged time.
    pub(super) judged: Judged,
    /// Those of each phase, its borders included.
    by_phase: BTreeMap<PhaseId, Judged>,
}

impl Readings {
    pub(super) fn new(pace: Pace) -> Self {
        Self {
            pace,
            looks: 0,
            rows: Vec::new(),
            recent: Vec::new(),
            judged: Judged::default(),
            by_phase: BTreeMap::new(),
        }
    }

    /// The looks of the judged time, or of one phase; `None` if that was never reached.
    pub(super) fn of(&self, phase: Option<PhaseId>) -> Option<&Judged> {
        match phase {
            None => Some(&self.judged),
            Some(phase) => self.by_phase.get(&phase),
        }
    }

    /// Takes a look into `phase`, as far as it counts for that alone.
    pub(super) fn take_in_phase(&mut self, reading: &Reading, phase: PhaseId) {
        self.by_phase.entry(phase).or_default().take(reading);
    }

    /// Whether it is time for the next look, so long after the start.
    pub(super) fn is_due(&self, since: Duration) -> bool {
        since.as_secs() / u64::from(self.pace.look_s) > self.looks
    }

    /// Takes a look in, made in this `phase`; `judged` if it was in the judged time.
    pub(super) fn take(&mut self, reading: Reading, phase: Option<PhaseId>, judged: bool) {
        if judged {
            self.judged.take(&reading);
        }
        if let Some(phase) = phase {
            self.take_in_phase(&reading, phase);
        }
        self.looks += 1;
        if self.ends_a_row() {
            self.rows.push(reading.clone());
        }
        let horizon = reading.at - (WINDOW_MAX + MARGIN);
        self.recent.push(reading);
        // Half of them at a time, so that each is moved once.
        let middle = self.recent.len() / 2;
        if self.recent[middle].at <= horizon {
            // The last one before a window is where it begins.
            self.recent.drain(..middle);
        }
    }

    /// Whether the last look was at the end of a row.
    pub(super) fn ends_a_row(&self) -> bool {
        (self.looks * u64::from(self.pace.look_s)).is_multiple_of(self.pace.row_s.into())
    }

    /// The last looks, from the begin of the longest window or from the first.
    pub(super) fn recent(&self) -> &[Reading] {
        &self.recent
    }

    /// At the end of each row; of the last one as far as it came.
    pub(super) fn rows(&self) -> impl Iterator<Item = &Reading> {
        let open = self.recent.last().filter(|_| !self.ends_a_row());
        self.rows.iter().chain(open)
    }
}

/// What was most in the looks of the judged time, its borders included.
#[derive(Clone, Debug, Default)]
pub(super) struct Judged {
    /// How many looks there were.
    pub(super) looks: u64,
    /// At how many of them a store did not answer, or there was none.
    pub(super) down: u64,
    /// The most circuits that were open at once.
    pub(super) breakers_open_max: u64,
    /// The most writes that waited in the queue of write-behind.
    pub(super) writes_waiting_max: u64,
    /// The most bytes that the Redis servers used together, or memcached; `None` if none answered.
    pub(super) remote_bytes_max: Option<u64>,
    /// What Redis said; `None` if it never answered.
    pub(super) redis: Option<RedisLooks>,
    /// What the store beside it said.
    pub(super) aside: Option<RedisLooks>,
    /// What memcached said.
    pub(super) memcached: Option<MemcachedLooks>,
    /// What the database was asked.
    pub(super) queries: Option<QueriesLooks>,
}

/// The queries of the database at the first look and at the last.
#[derive(Clone, Debug)]
pub(super) struct QueriesLooks {
    from: Timestamp,
    to: Timestamp,
    /// By table.
    first: Vec<u64>,
    last: Vec<u64>,
}

impl QueriesLooks {
    /// The queries in between, of one data type or of all.
    pub(super) fn ran(&self, data_type: Option<DataTypeId>) -> u64 {
        let sum = |tables: &[u64]| match data_type {
            Some(id) => tables.get(id.index()).copied().unwrap_or(0),
            None => tables.iter().sum(),
        };
        sum(&self.last).saturating_sub(sum(&self.first))
    }

    /// How long that was.
    pub(super) fn lasted(&self) -> Duration {
        self.to.since(self.from)
    }

    fn take(held: &mut Option<Self>, reading: &Reading) {
        let tables = reading.database.tables.iter();
        let tables: Vec<u64> = tables.map(TableStats::queries).collect();
        let looks = held.get_or_insert_with(|| Self {
            from: reading.at,
            to: reading.at,
            first: tables.clone(),
            last: Vec::new(),
        });
        (looks.to, looks.last) = (reading.at, tables);
    }
}

impl Judged {
    /// Takes a look in; looks come in the order of time.
    pub(super) fn take(&mut self, reading: &Reading) {
        self.looks += 1;
        QueriesLooks::take(&mut self.queries, reading);
        self.down += u64::from(!reading.stores_up());
        let open = breakers_open(&reading.instances);
        self.breakers_open_max = self.breakers_open_max.max(open);
        let waiting = writes_waiting(&reading.instances);
        self.writes_waiting_max = self.writes_waiting_max.max(waiting);
        if let Some(redis) = &reading.redis {
            RedisLooks::take(&mut self.redis, redis);
        }
        for aside in reading.aside.iter().flatten() {
            RedisLooks::take(&mut self.aside, aside);
        }
        if let Some(memcached) = &reading.memcached {
            MemcachedLooks::take(&mut self.memcached, memcached);
        }
        let redis = reading.redis.iter().chain(reading.aside.iter().flatten());
        let used = redis.map(|redis| redis.info.used_memory.0);
        let used = used.reduce(|sum, used| sum + used);
        let memcached = reading.memcached.as_ref().map(|of| of.info.bytes.0);
        self.remote_bytes_max = self.remote_bytes_max.max(used).max(memcached);
    }

    /// The most evictions in one second, from one look to the next.
    pub(super) fn evictions_per_s_max(&self) -> Option<f64> {
        let of_redis = self.redis.as_ref().and_then(|of| of.evictions_per_s_max);
        let memcached = self.memcached.as_ref();
        let of_memcached = memcached.and_then(|of| of.evictions_per_s_max);
        of_redis.into_iter().chain(of_memcached).reduce(f64::max)
    }
}

/// What one Redis said in the judged time.
#[derive(Clone, Debug)]
pub(super) struct RedisLooks {
    /// How often it answered.
    pub(super) looks: u64,
    /// Its first answer.
    pub(super) first: RedisReading,
    /// Its last.
    pub(super) last: RedisReading,
    /// The most memory.
    pub(super) used_bytes_max: u64,
    /// The most memory as a share of its limit; `None` without a limit.
    pub(super) usage_max: Option<f64>,
    /// The most connections.
    pub(super) clients_max: u64,
    /// The most evictions per second between two answers; `None` with one answer.
    pub(super) evictions_per_s_max: Option<f64>,
}

impl RedisLooks {
    fn take(held: &mut Option<Self>, now: &RedisReading) {
        let looks = held.get_or_insert_with(|| Self {
            looks: 0,
            first: now.clone(),
            last: now.clone(),
            used_bytes_max: 0,
            usage_max: None,
            clients_max: 0,
            evictions_per_s_max: None,
        });
        if looks.looks > 0 {
            let activity = now.info.since(&looks.last.info);
            if !activity.restarted {
                let per_s = per_s(activity.evicted_keys, looks.last.at, now.at);
                looks.evictions_per_s_max = most(looks.evictions_per_s_max, Some(per_s));
            }
        }
        looks.looks += 1;
        let used = now.info.used_memory.0;
        looks.used_bytes_max = looks.used_bytes_max.max(used);
        let limit = now.info.maxmemory.filter(|limit| limit.0 > 0);
        let usage = limit.map(|limit| used as f64 / limit.0 as f64);
        looks.usage_max = most(looks.usage_max, usage);
        looks.clients_max = looks.clients_max.max(now.info.connected_clients);
        looks.last = now.clone();
    }
}

/// What memcached said in the judged time.
#[derive(Clone, Debug)]
pub(super) struct MemcachedLooks {
    /// How often it answered.
    pub(super) looks: u64,
    /// Its first answer.
    pub(super) first: MemcachedReading,
    /// Its last.
    pub(super) last: MemcachedReading,
    /// The most bytes of items.
    pub(super) used_bytes_max: u64,
    /// The most connections.
    pub(super) connections_max: u64,
    /// The most evictions per second between two answers; `None` with one answer.
    pub(super) evictions_per_s_max: Option<f64>,
}

impl MemcachedLooks {
    fn take(held: &mut Option<Self>, now: &MemcachedReading) {
        let looks = held.get_or_insert_with(|| Self {
            looks: 0,
            first: now.clone(),
            last: now.clone(),
            used_bytes_max: 0,
            connections_max: 0,
            evictions_per_s_max: None,
        });
        if looks.looks > 0 {
            let evicted = now.info.since(&looks.last.info).evictions;
            let per_s = per_s(evicted, looks.last.at, now.at);
            looks.evictions_per_s_max = most(looks.evictions_per_s_max, Some(per_s));
        }
        looks.looks += 1;
        looks.used_bytes_max = looks.used_bytes_max.max(now.info.bytes.0);
        looks.connections_max = looks.connections_max.max(now.info.connections);
        looks.last = now.clone();
    }
}

fn most(one: Option<f64>, other: Option<f64>) -> Option<f64> {
    one.into_iter().chain(other).reduce(f64::max)
}

/// Over a shorter time a handful would look like a storm.
fn per_s(evicted: u64, from: Timestamp, to: Timestamp) -> f64 {
    evicted as f64 / to.since(from).as_secs_f64().max(1.0)
}

#[cfg(test)]
mod tests;
