//! A primary and its replicas: who carries a command out, how long that takes, and what becomes of them
//! when the primary dies.
//!
//! Called by the deployment, which has one of these for each primary. Pure: every call says when it is.

use std::time::Duration;

use super::calls::{Called, Calls};
use super::keyspace::KeyspaceConfig;
use super::server::Server;
use super::thread::{Command, CommandCosts, Dilation, Thread};
use super::value::{Value, entry_bytes};
use crate::clock::Timestamp;
use crate::engine::data_type::Key;
use crate::engine::layer::{Entry, LayerError};
use crate::engine::remote::redis::NAME;
use crate::environment::managed_redis::NODE_TIMEOUT_MS;
use crate::environment::redis_topology::{Persistence, Topology, TopologyConfig};
use crate::seed::Seed;

/// How long after its last sign of life the others take a primary for dead.
const DOWN_AFTER: Duration = Duration::from_millis(NODE_TIMEOUT_MS as u64);
/// How long after that a replica is elected, promoted and found by clients: measured, four failovers each
/// of the managed servers, within 0.1 s.
const SENTINEL_ELECTION: Duration = Duration::from_millis(1_200);
const CLUSTER_ELECTION: Duration = Duration::from_millis(2_300);
/// A client tries again three times to reach a server that is gone, after 20, 40 and 80 ms and half as
/// much again on average (measured: 210 ms); whoever asks meanwhile waits for the end of that.
const RECONNECT: Duration = Duration::from_millis(210);

/// How long the thread is busy with commands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub(super) costs: CommandCosts,
    /// How the simulated commands stand for all.
    pub(super) dilation: Dilation,
}

impl Pace {
    /// That of a `share` of all traffic.
    pub(super) fn new(costs: CommandCosts, share: f64) -> Self {
        // A cycle of expiry takes a quarter of a tick, and behind it there may be a few commands.
        let chance = super::expiry::TICK / 4 + costs.script * 64;
        Self {
            costs,
            dilation: Dilation::new(share, chance),
        }
    }

    /// Takes one command, and everybody else's beside it; when that one is done. What instances ask of
    /// their own accord they ask as often in a sample as in the whole, so nothing is left out beside it.
    fn take(&self, thread: &mut Thread, arrives: Timestamp, cost: Duration, ask: Ask) -> Timestamp {
        let done = if ask.of_instance {
            thread.take_waking(arrives, cost, self.costs.wakeup)
        } else {
            thread.take(arrives, self.dilation.cost(cost))
        };
        arrives + self.dilation.wait(done.since(arrives))
    }
}

/// What a command is to the thread, and how many bytes it brings along.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask {
    pub(super) command: Command,
    pub(super) brings: usize,
    /// Whether an instance asks by itself, and not for a user.
    of_instance: bool,
}

impl Ask {
    pub(super) const fn new(command: Command) -> Self {
        Self::bringing(command, 0)
    }

    pub(super) const fn bringing(command: Command, brings: usize) -> Self {
        Self {
            command,
            brings,
            of_instance: false,
        }
    }

    /// The same of an instance's own accord, however many users there are.
    pub(super) const fn of_instance(self) -> Self {
        Self {
            of_instance: true,
            ..self
        }
    }
}

#[derive(Debug)]
struct Replica {
    thread: Thread,
    hits: u64,
    misses: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Up,
    /// Dead since then; a replica serves from then on, if one does.
    Down {
        since: Timestamp,
        until: Option<Timestamp>,
    },
}

/// What several servers say of themselves, added up.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Totals {
    pub(super) used_memory: u64,
    pub(super) keys: u64,
    pub(super) expires: u64,
    /// The TTLs that these have left, all together.
    pub(super) ttl_ms: u64,
    pub(super) evicted: u64,
    pub(super) expired: u64,
    pub(super) hits: u64,
    pub(super) misses: u64,
    pub(super) busy: Duration,
    pub(super) calls: Calls,
}

impl Totals {
    pub(super) fn add(&mut self, other: &Self) {
        self.used_memory += other.used_memory;
        self.keys += other.keys;
        self.expires += other.expires;
        self.ttl_ms += other.ttl_ms;
        self.evicted += other.evicted;
        self.expired += other.expired;
        self.hits += other.hits;
        self.misses += other.misses;
        self.busy += other.busy;
        self.calls.add_all(&other.calls);
    }

    /// What was counted, without what stands now.
    fn counted(self) -> Self {
        Self {
            used_memory: 0,
            keys: 0,
            expires: 0,
            ttl_ms: 0,
            ..self
        }
    }
}

/// A primary and its replicas.
#[derive(Debug)]
pub(super) struct Shard {
    pub(super) server: Server,
    thread: Thread,
    replicas: Vec<Replica>,
    /// Who answers the next lookup of replicas.
    turn: usize,
    life: Life,
    /// Tells one primary from the next.
    epoch: u64,
    /// What servers that are gone have counted.
    past: Totals,
    setup: Setup,
}

/// How a shard begins, and begins anew.
#[derive(Clone, Debug)]
pub(super) struct Setup {
    pub(super) keyspace: KeyspaceConfig,
    pub(super) topology: TopologyConfig,
    pub(super) pace: Pace,
    /// How long replicas need to hear of a write.
    pub(super) lag: Duration,
    pub(super) seed: Seed,
}

impl Setup {
    fn thread(&self, now: Timestamp) -> Thread {
        Thread::new(now, self.pace.dilation.cost(self.pace.costs.wakeup))
    }

    fn server(&self, is_followed: bool, epoch: u64, now: Timestamp) -> Server {
        let random = self.seed.stream_of("keyspace", epoch);
        let lag = is_followed.then_some(self.lag);
        Server::new(self.keyspace, lag, random, now)
    }
}

impl Shard {
    pub(super) fn new(setup: Setup, now: Timestamp) -> Self {
        let replicas = match setup.topology.topology {
            Topology::Standalone => 0,
            _ => setup.topology.replicas,
        };
        let replica = |_| Replica {
            thread: setup.thread(now),
            hits: 0,
            misses: 0,
        };
        Self {
            server: setup.server(replicas > 0, 0, now),
            thread: setup.thread(now),
            replicas: (0..replicas).map(replica).collect(),
            turn: 0,
            life: Life::Up,
            epoch: 0,
            past: Totals::default(),
            setup,
        }
    }

    /// Tells one primary from the next.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Whether there is a primary at `now`; what was to happen until then has happened.
    pub(super) fn is_up(&mut self, now: Timestamp) -> bool {
        if let Life::Down {
            since,
            until: Some(until),
        } = self.life
            && until <= now
        {
            self.replicas.pop();
            self.server.fail_over(since, !self.replicas.is_empty());
            self.past.busy += self.thread.busy(since);
            self.thread = self.setup.thread(until);
            self.life = Life::Up;
            self.epoch += 1;
        }
        self.life == Life::Up
    }

    /// The primary dies.
    pub(super) fn kill(&mut self, now: Timestamp) {
        if !self.is_up(now) {
            return;
        }
        let election = match self.setup.topology.topology {
            Topology::Cluster => CLUSTER_ELECTION,
            _ => SENTINEL_ELECTION,
        };
        let has_heir = self.setup.topology.topology.fails_over() && !self.replicas.is_empty();
        self.life = Life::Down {
            since: now,
            until: has_heir.then(|| now + DOWN_AFTER + election),
        };
    }

    /// The server that died last comes back: as a replica where another has taken over, else as the
    /// primary, with what it has on disk. Of a snapshot (RDB) alone nothing is taken to be there.
    pub(super) fn restart(&mut self, now: Timestamp) {
        if self.is_up(now) {
            let missing = usize::from(self.setup.topology.replicas) > self.replicas.len();
            if missing && self.epoch > 0 {
                let thread = self.setup.thread(now);
                self.replicas.push(Replica {
                    thread,
                    hits: 0,
                    misses: 0,
                });
                self.server.be_followed(self.setup.lag);
            }
            return;
        }
        let keeps = match self.setup.topology.persistence {
            Persistence::Aof | Persistence::RdbAndAof => true,
            Persistence::None | Persistence::Rdb => false,
        };
        self.epoch += 1;
        if !keeps {
            self.past.add(&self.of_server().counted());
            let is_followed = !self.replicas.is_empty();
            self.server = self.setup.server(is_followed, self.epoch, now);
        }
        self.past.busy += self.thread.busy(now);
        self.thread = self.setup.thread(now);
        self.life = Life::Up;
    }

    /// Why a command that arrives then is not carried out, and when its caller learns of it.
    fn refusal(&mut self, at: Timestamp) -> Option<(LayerError, Timestamp)> {
        if self.is_up(at) {
            return None;
        }
        let Life::Down { since, .. } = self.life else {
            return None;
        };
        let rounds = at.since(since).as_nanos() / RECONNECT.as_nanos() + 1;
        let told_at = since + RECONNECT * u32::try_from(rounds).unwrap_or(u32::MAX);
        Some((unreachable(), told_at.max(at)))
    }

    /// Carries a command out that arrives then; its answer, and when the thread is done with it. What
    /// the command told others is with the server; each of `listeners` costs the thread a little more.
    pub(super) fn carry_out<T>(
        &mut self,
        at: Timestamp,
        ask: Ask,
        listeners: usize,
        act: impl FnOnce(&mut Server) -> Result<T, LayerError>,
    ) -> (Result<T, LayerError>, Timestamp) {
        if let Some((error, told_at)) = self.refusal(at) {
            return (Err(error), told_at);
        }
        let at = self.begin(at, ask.brings);
        let answer = act(&mut self.server);
        let costs = &self.setup.pace.costs;
        let mut cost = costs.of(ask.command, ask.brings as u64 + self.server.gives);
        let told = self.server.published.len() + self.server.changed.len();
        if told * listeners > 0 {
            cost += costs.publish * u32::try_from(told * listeners).unwrap_or(u32::MAX);
        }
        (
            answer,
            self.setup.pace.take(&mut self.thread, at, cost, ask),
        )
    }

    /// What the server does before a command; when that is.
    fn begin(&mut self, at: Timestamp, brings: usize) -> Timestamp {
        let (spent, ticked_at) = self.server.expiry();
        self.server.begin(at, brings as u64);
        self.charge_expiry(spent, ticked_at);
        self.server.now()
    }

    /// Cycles of expiry keep the thread busy, each at its own time.
    fn charge_expiry(&mut self, spent_before: Duration, ticked_before: Timestamp) {
        let (spent, ticked_at) = self.server.expiry();
        if spent == spent_before {
            return;
        }
        let work = self
            .setup
            .pace
            .dilation
            .cost(spent.saturating_sub(spent_before));
        let ticks = ticked_at.since(ticked_before).as_nanos() / super::expiry::TICK.as_nanos();
        let last = work / u32::try_from(ticks.max(1)).unwrap_or(u32::MAX);
        self.thread.was_busy(work.saturating_sub(last));
        self.thread.occupy(ticked_at, last);
    }

    /// A lookup at a replica, each in turn; `None` if there is none.
    pub(super) fn read_at_replica(
        &mut self,
        at: Timestamp,
        key: &Key,
    ) -> Option<(Option<Entry>, Timestamp)> {
        self.is_up(at);
        let heard_at = match self.life {
            // Nobody hears of what the dead have not said.
            Life::Down { since, .. } => since,
            Life::Up => at,
        };
        let turn = self.turn;
        self.turn = turn.wrapping_add(1);
        let count = self.replicas.len();
        let replica = self.replicas.get_mut(turn.checked_rem(count)?)?;
        let held = self.server.peek_at_replica(key, (heard_at, at));
        let seen = if held.is_some() {
            &mut replica.hits
        } else {
            &mut replica.misses
        };
        *seen += 1;
        let entry = match held {
            Some(Value::Entry(entry)) => Some(entry.clone()),
            _ => None,
        };
        let bytes = entry.as_ref().map_or(0, entry_bytes) as u64;
        let (pace, ask) = (&self.setup.pace, Ask::new(Command::Get));
        let cost = pace.costs.of(ask.command, bytes);
        Some((entry, pace.take(&mut replica.thread, at, cost, ask)))
    }

    /// What the primary says of itself now, what was counted before it, and by the replicas.
    pub(super) fn totals(&mut self, now: Timestamp) -> Totals {
        let is_up = self.is_up(now);
        if is_up {
            let (spent, ticked_at) = self.server.expiry();
            self.server.pass_time(now);
            self.charge_expiry(spent, ticked_at);
        }
        let mut totals = self.of_server();
        totals.busy = match self.life {
            Life::Up => self.thread.busy(now),
            Life::Down { since, .. } => self.thread.busy(since),
        };
        if !is_up {
            totals = totals.counted();
        }
        totals.add(&self.past);
        for replica in &self.replicas {
            totals.hits += replica.hits;
            totals.misses += replica.misses;
            totals.busy += replica.thread.busy(now);
            totals.calls.add(Called::Get, replica.hits + replica.misses);
        }
        totals
    }

    fn of_server(&self) -> Totals {
        let counters = self.server.counters();
        Totals {
            used_memory: counters.used_memory,
            keys: counters.keys,
            expires: counters.expires,
            ttl_ms: self.server.mean_ttl_ms() * counters.expires,
            evicted: counters.evicted,
            expired: counters.expired,
            hits: counters.hits,
            misses: counters.misses,
            busy: Duration::ZERO,
            calls: self.server.calls,
        }
    }
}

/// What a client says of a server that is gone.
pub(super) fn unreachable() -> LayerError {
    LayerError::Unreachable(NAME, "Connection refused".to_owned())
}
