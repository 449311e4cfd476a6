//! A modelled Redis as a whole: its servers in their topology, the network before them, and who is
//! connected. What the managed Redis is to a real run, this is to one in virtual time.
//!
//! The runner makes one, hands connections to the instances ([`ModelledRedis::connect`]), asks it how it
//! fares, and kills its primaries. Everything random comes from the seed, everything timed from the
//! clock; one lock, never held over a wait.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::calls::Called;
use super::keyspace::KeyspaceConfig;
use super::memory::MemoryLayout;
use super::pubsub::{Hub, Inbox, PubSubModel, Tracked};
use super::remote::ModelledRemote;
use super::server::Server;
use super::shard::{Ask, Pace, Setup, Shard, Totals, unreachable};
use super::thread::CommandCosts;
use crate::clock::{Clock, Timestamp};
use crate::engine::data_type::{Key, PolicyTable};
use crate::engine::layer::LayerError;
use crate::engine::remote::redis::{SLOTS, slot_of};
use crate::environment::RedisConfig;
use crate::environment::delay::Delay;
use crate::environment::keyspace::ttl::{TtlSample, data_type_of};
use crate::environment::redis_info::{Keyspace, Modelled, RedisInfo};
use crate::environment::redis_topology::{ReadFrom, Topology, TopologyConfig};
use crate::seed::{Seed, Stream};
use crate::units::ByteSize;

/// The version that is modelled.
pub const VERSION: &str = "7.0.15";
/// How long a replica needs to hear of a write, where nothing else is said.
pub const REPLICATION_LAG: Duration = Duration::from_millis(1);

/// What is modelled.
#[derive(Clone, Debug)]
pub struct ModelledRedisConfig {
    /// Each server's limits.
    pub redis: RedisConfig,
    /// How the servers stand together.
    pub topology: TopologyConfig,
    /// Which of them answer lookups.
    pub read_from: ReadFrom,
    /// There and back, without the server's time; half of it each way.
    pub network: Delay,
    /// What commands cost a server's thread.
    pub costs: CommandCosts,
    /// How much longer keys are on the servers than in the engine.
    pub prefix_len: usize,
    /// How many instances have connections.
    pub instances: u16,
    /// The share of all traffic that is simulated; 1 for all of it. A server's thread is busy with all
    /// of it, while keys and counts are those of what is simulated.
    pub share: f64,
    /// How notices travel.
    pub pubsub: PubSubModel,
    /// How long a replica needs to hear of a write: see [`REPLICATION_LAG`].
    pub replication_lag: Duration,
}

/// A modelled Redis. Every clone is the same one.
#[derive(Clone, Debug)]
pub struct ModelledRedis {
    pub(super) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) config: ModelledRedisConfig,
    pub(super) clock: Clock,
    /// One way to the servers, if that is always as long.
    pub(super) way: Option<Duration>,
    pub(super) state: Mutex<State>,
    /// Something has been queued, or whoever waits for that is cut off.
    queued: Notify,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) shards: Vec<Shard>,
    hub: Hub,
    pub(super) network: Stream,
    /// Connections of one instance to each server.
    connections: u16,
    /// Connections to the primary of each shard beside those.
    blocking: Vec<u64>,
}

impl State {
    /// Carries a command out that arrives then, and tells whom it concerns.
    pub(super) fn carry_out<T>(
        &mut self,
        shard: usize,
        at: Timestamp,
        ask: Ask,
        act: impl FnOnce(&mut Server) -> Result<T, LayerError>,
    ) -> (Result<T, LayerError>, Timestamp) {
        let Some(shard) = self.shards.get_mut(shard) else {
            return (Err(unreachable()), at);
        };
        let (answer, done) = shard.carry_out(at, ask, self.hub.len(), act);
        let server = &mut shard.server;
        if !(server.published.is_empty() && server.changed.is_empty()) {
            self.hub
                .tell(&mut server.published, &mut server.changed, done);
        }
        (answer, done)
    }

    /// After somebody came or went.
    fn count_clients(&mut self, instances: u16) {
        let is_tracking = self.hub.is_tracking();
        let pooled = u64::from(instances) * u64::from(self.connections);
        for (at, shard) in self.shards.iter_mut().enumerate() {
            // One more asks how the server fares.
            let others = self.hub.connected_to(at) as u64 + self.blocking[at] + 1;
            shard.server.set_clients(pooled + others);
            shard.server.track(is_tracking);
        }
    }
}

impl ModelledRedis {
    /// Empty servers that are up.
    pub fn new(config: ModelledRedisConfig, clock: &Clock, seed: Seed) -> Self {
        let now = clock.now();
        let primaries = match config.topology.topology {
            Topology::Cluster => config.topology.primaries.max(1),
            _ => 1,
        };
        let setup = |at: u16| Setup {
            keyspace: KeyspaceConfig {
                maxmemory: config.redis.maxmemory,
                policy: config.redis.policy,
                memory: MemoryLayout::REDIS_7_0,
                overhead_bytes: 0,
                prefix_len: config.prefix_len,
            },
            topology: config.topology.clone(),
            pace: Pace::new(config.costs, config.share),
            lag: config.replication_lag,
            seed: seed.fork("shard").fork_index(u64::from(at)),
        };
        let mut state = State {
            shards: (0..primaries)
                .map(|at| Shard::new(setup(at), now))
                .collect(),
            hub: Hub::new(config.pubsub.clone(), seed.stream("pubsub")),
            network: seed.stream("network"),
            connections: 1,
            blocking: vec![0; usize::from(primaries)],
        };
        state.count_clients(config.instances);
        let (fastest, slowest) = (config.network.quantile(0.0), config.network.quantile(1.0));
        let inner = Inner {
            way: (fastest == slowest).then(|| fastest / 2),
            clock: clock.clone(),
            state: Mutex::new(state),
            queued: Notify::new(),
            config,
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// An instance's connections, for commands that each take at most `timeout`.
    pub fn connect(&self, timeout: Duration, connections: u16) -> ModelledRemote {
        let mut state = self.inner.state.lock();
        state.connections = connections.max(1);
        state.count_clients(self.inner.config.instances);
        drop(state);
        ModelledRemote::new(self.clone(), timeout)
    }

    /// What is modelled.
    pub fn config(&self) -> &ModelledRedisConfig {
        &self.inner.config
    }

    /// What all servers say of themselves, added up as [`RedisLedger`](crate::environment::redis_info::RedisLedger)
    /// does: what stands now over the primaries that are up, what was counted over every server and life.
    pub fn info(&self) -> RedisInfo {
        let now = self.inner.clock.now();
        let mut state = self.inner.state.lock();
        let mut all = Totals::default();
        let mut up = 0;
        for shard in &mut state.shards {
            all.add(&shard.totals(now));
            up += u64::from(shard.is_up(now));
        }
        let clients = u64::from(self.inner.config.instances) * u64::from(state.connections);
        let others = state.hub.len() as u64 + state.blocking.iter().sum::<u64>();
        drop(state);
        let config = &self.inner.config;
        RedisInfo::modelled(Modelled {
            read_at: now,
            version: VERSION,
            redis: RedisConfig {
                maxmemory: config.redis.maxmemory.map(|size| ByteSize(size.0 * up)),
                policy: config.redis.policy,
            },
            clients: clients * up + others,
            used_memory: ByteSize(all.used_memory),
            keyspace: Keyspace {
                keys: all.keys,
                expires: all.expires,
                avg_ttl_ms: all.ttl_ms / all.expires.max(1),
            },
            evicted: all.evicted,
            expired: all.expired,
            hits: all.hits,
            misses: all.misses,
            used_cpu: all.busy,
            calls: all.calls.by_name(),
        })
    }

    /// The TTLs that keys have left, told apart by data type: of all keys, or of so many that lie evenly
    /// among them.
    pub fn ttls(&self, policies: &PolicyTable, keys_max: usize) -> TtlSample {
        let now = self.inner.clock.now();
        let mut state = self.inner.state.lock();
        for shard in &mut state.shards {
            shard.totals(now);
        }
        let keys: usize = state
            .shards
            .iter()
            .map(|shard| shard.server.keys() as usize)
            .sum();
        let stride = keys.div_ceil(keys_max.max(1)).max(1);
        let mut sample = TtlSample {
            complete: stride == 1,
            ..TtlSample::default()
        };
        let all = state.shards.iter().flat_map(|shard| shard.server.ttls());
        for (key, ttl) in all.step_by(stride) {
            let text = key.as_str();
            let untagged = text.split_once("}:").map_or(text, |(_, text)| text);
            let data_type =
                data_type_of(policies, text).or_else(|| data_type_of(policies, untagged));
            sample.ttls.entry(data_type).or_default().push(ttl);
        }
        sample
    }

    /// How many keys the primaries hold, those included that are due but not gone.
    pub fn keys(&self) -> u64 {
        let now = self.inner.clock.now();
        let mut state = self.inner.state.lock();
        let up = state.shards.iter_mut().filter_map(|shard| {
            let is_up = shard.is_up(now);
            is_up.then(|| shard.server.keys())
        });
        up.sum()
    }

    /// Whether every key has a primary now.
    pub fn is_up(&self) -> bool {
        let now = self.inner.clock.now();
        let mut state = self.inner.state.lock();
        state.shards.iter_mut().all(|shard| shard.is_up(now))
    }

    /// How many listen to notices.
    pub fn listeners(&self) -> usize {
        self.inner.state.lock().hub.len()
    }

    /// How many primaries there are; each is a shard by its place.
    pub fn primaries(&self) -> usize {
        self.inner.state.lock().shards.len()
    }

    /// The primary of a shard dies, as by a crash: nobody is told, and whoever is connected to it is cut
    /// off. Under Sentinels and in a Cluster one of its replicas takes over after a while, with what it
    /// had heard of; else it is gone until [`ModelledRedis::restart`].
    pub fn kill_primary(&self, shard: usize) {
        let now = self.inner.clock.now();
        let mut state = self.inner.state.lock();
        if let Some(dying) = state.shards.get_mut(shard) {
            dying.kill(now);
            state.hub.cut_off(shard, now);
            state.count_clients(self.inner.config.instances);
        }
        drop(state);
        self.inner.queued.notify_waiters();
    }

    /// The server of a shard that died last comes back: as a replica where another has taken over, else
    /// as the primary, with what it has on disk, which without persistence is nothing.
    pub fn restart(&self, shard: usize) {
        let now = self.inner.clock.now();
        let mut state = self.inner.state.lock();
        if let Some(dead) = state.shards.get_mut(shard) {
            dead.restart(now);
            state.count_clients(self.inner.config.instances);
        }
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.inner.clock
    }

    pub(super) fn is_cluster(&self) -> bool {
        self.inner.config.topology.topology == Topology::Cluster
    }

    /// Whether lookups go to replicas.
    pub(super) fn reads_replicas(&self) -> bool {
        let config = &self.inner.config;
        config.read_from == ReadFrom::Replica && config.topology.topology != Topology::Standalone
    }

    /// The shard that a key lies in, as it is spelled on the servers.
    pub(super) fn shard_of(&self, key: &Key) -> usize {
        if !self.is_cluster() {
            return 0;
        }
        let primaries = usize::from(self.inner.config.topology.primaries.max(1));
        let slot = usize::from(slot_of(key.as_str().as_bytes()));
        // Where the ranges end that the managed Cluster gives to its primaries.
        ((slot + 1) * primaries - 1) / usize::from(SLOTS)
    }

    /// Which primary of a shard it is; `None` if it is dead.
    pub(super) fn epoch(&self, shard: usize) -> Option<u64> {
        let now = self.inner.clock.now();
        let mut state = self.inner.state.lock();
        let shard = state.shards.get_mut(shard)?;
        shard.is_up(now).then(|| shard.epoch())
    }

    /// Somebody has queued something.
    pub(super) fn tell_queued(&self) {
        self.inner.queued.notify_one();
    }

    /// Until somebody has.
    pub(super) async fn queued(&self) {
        self.inner.queued.notified().await;
    }

    /// Listens at the primary of a shard, or at all of them.
    pub(super) fn join(
        &self,
        shard: usize,
        tracked: Option<Tracked>,
    ) -> Result<(Seat, Arc<Inbox>), LayerError> {
        let now = self.inner.clock.now();
        let mut state = self.inner.state.lock();
        let all = tracked.is_some();
        let mut asked = state.shards.iter_mut().enumerate();
        if asked.any(|(at, one)| (all || at == shard) && !one.is_up(now)) {
            return Err(unreachable());
        }
        for (at, one) in state.shards.iter_mut().enumerate() {
            if all {
                one.server.count(Called::ClientTracking);
            }
            if at == shard {
                one.server.count(Called::Subscribe);
            }
        }
        let (id, inbox) = state.hub.join(shard, tracked);
        state.count_clients(self.inner.config.instances);
        let redis = self.clone();
        Ok((
            Seat {
                redis,
                of: Of::Listener(id),
            },
            inbox,
        ))
    }

    /// A connection of its own to the primary of a shard.
    pub(super) fn sit_down(&self, shard: usize) -> Seat {
        self.change_blocking(shard, |count| count + 1);
        let redis = self.clone();
        Seat {
            redis,
            of: Of::Blocking(shard),
        }
    }

    fn change_blocking(&self, shard: usize, change: impl FnOnce(u64) -> u64) {
        let mut state = self.inner.state.lock();
        if let Some(count) = state.blocking.get_mut(shard) {
            *count = change(*count);
        }
        state.count_clients(self.inner.config.instances);
    }
}

/// A connection beside those that instances share; it ends with this.
#[derive(Debug)]
pub(super) struct Seat {
    redis: ModelledRedis,
    of: Of,
}

#[derive(Debug)]
enum Of {
    Listener(u64),
    Blocking(usize),
}

impl Drop for Seat {
    fn drop(&mut self) {
        match self.of {
            Of::Blocking(shard) => self.redis.change_blocking(shard, |count| count - 1),
            Of::Listener(id) => {
                let mut state = self.redis.inner.state.lock();
                state.hub.leave(id);
                state.count_clients(self.redis.inner.config.instances);
            }
        }
    }
}
