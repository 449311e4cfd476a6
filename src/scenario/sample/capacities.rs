//! How much the sample's caches may hold, and what their head keys get wrong.

use std::time::Duration;

use crate::engine::data_type::{DataType, DataTypeId, Strategy};
use crate::engine::layer::Operation;
use crate::engine::local::LocalPolicy;
use crate::environment::RedisConfig;
use crate::environment::modelled_redis::memory::MemoryLayout;
use crate::measure::sampling::{Lifetime, SampledKeys};
use crate::scenario::plan::{LocalPlan, Plan, RemotePlan};
use crate::seed::Seed;
use crate::units::{ByteSize, Ratio};
use crate::workload::residency::{Fitted, MISSED_MORE_MAX, Tenant, fit, missed_more};
use crate::workload::sampling::{Share, Strata, Thinned};

use super::rules::{ENTRIES_MIN, Problem};

/// What the engine writes before a value (`engine/remote/wire.rs`).
const WIRE_HEAD_BYTES: u64 = 57;
/// What the local layer counts for an entry beside key and value.
const LOCAL_ENTRY_BYTES: u64 = 128;
/// A counter's state, roughly.
const COUNTER_BYTES: u64 = 100;
/// What is worth telling of lookups that miss in the whole and hit in a sample.
const TOLD_FROM: f64 = 0.002;
/// Clients and kinds of commands of one instance at a server, roughly.
const CLIENTS_OF_INSTANCE: u64 = 3;
const COMMAND_KINDS: u64 = 10;

/// The capacities of a sample.
#[derive(Debug)]
pub(super) struct Capacities {
    entries: Option<u64>,
    bytes: Option<u64>,
    maxmemory: Option<u64>,
    aside_maxmemory: Option<u64>,
    pub(super) remote_base_bytes: u64,
    pub(super) aside_base_bytes: u64,
    pub(super) remote_excess_bytes: f64,
    pub(super) data_types: Vec<SampledKeys>,
    pub(super) problems: Vec<Problem>,
    /// What is no problem, but should be known.
    pub(super) caveats: Vec<String>,
}

/// A cache under its tenants.
struct Room {
    fitted: Fitted,
    exactly_lru: bool,
}

impl Capacities {
    /// Those of a sample of `plan`.
    pub(super) fn of(plan: &Plan, share: Share) -> Self {
        let local = plan
            .layers
            .local
            .map(|local| local_rooms(plan, &local, share));
        let remote = plan.layers.remote.as_ref();
        let main = remote
            .map(|remote| redis_room(plan, &remote.redis, servers(remote), Store::Main, share));
        let aside = remote.and_then(|remote| remote.aside.as_ref());
        let aside_base_bytes = aside.map_or(0, |_| base_bytes(plan));
        let aside = aside.map(|aside| redis_room(plan, &aside.redis, 1, Store::Aside, share));
        let capacity = |room: &Room| whole(room.fitted.capacity);
        let (entries, bytes) = local.as_ref().map_or((None, None), |(entries, bytes)| {
            (Some(capacity(entries)), bytes.as_ref().map(capacity))
        });
        let mut capacities = Self {
            entries,
            bytes,
            maxmemory: main.as_ref().and_then(|(_, maxmemory)| *maxmemory),
            aside_maxmemory: aside.as_ref().and_then(|(_, maxmemory)| *maxmemory),
            remote_base_bytes: remote.map_or(0, |remote| base_bytes(plan) * servers(remote)),
            aside_base_bytes,
            remote_excess_bytes: 0.0,
            data_types: Vec::new(),
            problems: Vec::new(),
            caveats: Vec::new(),
        };
        let rooms = [
            (
                "the local layer",
                local.as_ref().map(|(entries, _)| entries),
            ),
            (
                "the local layer",
                local.as_ref().and_then(|(_, bytes)| bytes.as_ref()),
            ),
            (
                "the remote layer",
                main.as_ref().and_then(|(room, _)| room.as_ref()),
            ),
            (
                "the store beside it",
                aside.as_ref().and_then(|(room, _)| room.as_ref()),
            ),
        ];
        capacities.problems = too_few_entries(rooms);
        // Whichever limit lets go of entries sooner.
        let local = local.map(|(entries, bytes)| match bytes {
            Some(bytes) if bytes.fitted.time < entries.fitted.time => bytes,
            _ => entries,
        });
        for (id, _) in plan.policies.iter() {
            let room = match store_of(plan, id) {
                Some(Store::Main) => main.as_ref().and_then(|(room, _)| room.as_ref()),
                Some(Store::Aside) => aside.as_ref().and_then(|(room, _)| room.as_ref()),
                None => None,
            };
            capacities.add(plan, id, (local.as_ref(), room), share);
        }
        capacities
    }

    fn add(
        &mut self,
        plan: &Plan,
        id: DataTypeId,
        (local, remote): (Option<&Room>, Option<&Room>),
        share: Share,
    ) {
        let (policy, population) = (
            plan.policies.get(id),
            &plan.workload.populations[id.index()],
        );
        if !population.is_shared() || share.is_whole() {
            return;
        }
        let shortened = |ttl: Duration| ttl.mul_f64(1.0 - policy.ttl_jitter.0);
        let mut lifetime = |what: &str, tenant: Tenant, ttl, caches, room: Option<&Room>| {
            let lifetime = Lifetime::new(shortened(ttl), caches);
            let Some(room) = room.filter(|room| room.fitted.competed) else {
                return lifetime;
            };
            let missed = missed_more(&tenant, population, &room.fitted, share);
            if missed > MISSED_MORE_MAX {
                let what = format!("{what} for `{}`", policy.name);
                self.problems.push(Problem::TooSmall { what, missed });
            }
            lifetime.evicting(missed, room.exactly_lru)
        };
        let in_local = plan.layers.local.is_some() && policy.strategy != Strategy::Counter;
        let local_ttl = policy.local_ttl.filter(|_| in_local);
        let local = local_ttl.map(|ttl| {
            let tenant = local_tenant(plan, id, share);
            lifetime("the local layer", tenant, ttl, plan.instances.into(), local)
        });
        let store = store_of(plan, id);
        let in_remote = store.map(|_| {
            let tenant = remote_tenant(plan, id, share);
            lifetime("the remote layer", tenant, policy.ttl, 1, remote)
        });
        let strata = Strata::new(population.drawn_items(), population.skew(), share, Seed(0));
        let mut thinned = strata.thinned();
        // Of those requests that ask for keys that come again.
        for key in &mut thinned {
            key.draws *= 1.0 - population.one_hit.0;
        }
        let loading = loading(plan, id, &thinned, share);
        if loading > TOLD_FROM {
            self.caveats.push(format!(
                "`{}`: its popular keys are dropped so often that up to {} of its lookups hit and would find \
                 them being loaded in the whole",
                policy.name,
                Ratio(loading)
            ));
        }
        if store == Some(Store::Main) {
            // A head key counts as one of a whole stratum when it is scaled.
            let excess: f64 = thinned
                .iter()
                .map(|key| share.step() * (1.0 - key.rate))
                .sum();
            self.remote_excess_bytes += excess * bytes_in_redis(plan, id);
        }
        self.data_types.push(SampledKeys {
            data_type: policy.name.to_string(),
            keys: population.drawn_items(),
            kept: strata.kept(),
            thinned,
            loading,
            cache: in_remote.or(local),
            local,
            remote: in_remote,
        });
    }

    /// Sets them in `sample`.
    pub(super) fn put_into(&self, sample: &mut Plan) {
        if let Some(local) = &mut sample.layers.local {
            local.entries = self.entries.unwrap_or(local.entries);
            local.bytes = self.bytes.map(ByteSize).or(local.bytes);
        }
        if let Some(remote) = &mut sample.layers.remote {
            remote.redis.maxmemory = self.maxmemory.map(ByteSize);
            if let Some(aside) = &mut remote.aside {
                aside.redis.maxmemory = self.aside_maxmemory.map(ByteSize);
            }
        }
    }
}

#[allow(
    clippy::cast_sign_loss,
    reason = "a capacity is not negative, and the cast saturates"
)]
fn whole(capacity: f64) -> u64 {
    (capacity.round() as u64).max(1)
}

fn too_few_entries(rooms: [(&'static str, Option<&Room>); 4]) -> Vec<Problem> {
    let fitted = rooms
        .into_iter()
        .filter_map(|(what, room)| Some((what, room?.fitted)));
    let too_few = fitted.filter(|(_, fitted)| fitted.competed && fitted.keys < ENTRIES_MIN);
    too_few
        .map(|(what, fitted)| Problem::TooFewEntries {
            what,
            entries: fitted.keys,
        })
        .collect()
}

/// Where the remote entries of a data type stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Store {
    Main,
    Aside,
}

fn store_of(plan: &Plan, id: DataTypeId) -> Option<Store> {
    let remote = plan.layers.remote.as_ref()?;
    let aside = remote
        .aside
        .as_ref()
        .is_some_and(|aside| aside.data_types.contains(&id));
    Some(if aside { Store::Aside } else { Store::Main })
}

fn servers(remote: &RemotePlan) -> u64 {
    u64::from(remote.topology.primaries).max(1)
}

fn base_bytes(plan: &Plan) -> u64 {
    let layout = MemoryLayout::REDIS_7_0;
    let clients = u64::from(plan.instances) * CLIENTS_OF_INSTANCE;
    layout.base_bytes + layout.overhead_bytes(clients, COMMAND_KINDS)
}

/// What is asked of the data type, by operation, as a share of all requests.
fn weight(plan: &Plan, id: DataTypeId, wanted: impl Fn(Operation) -> bool) -> f64 {
    let demand = plan.workload.demand();
    let sum: f64 = demand.iter().map(|asked| asked.per_s).sum();
    let asked = demand
        .iter()
        .filter(|asked| asked.data_type == id && wanted(asked.operation));
    asked.map(|asked| asked.per_s).sum::<f64>() / sum.max(f64::MIN_POSITIVE)
}

/// The share of the lookups of a data type that hit in the sample and miss in the whole, because the key
/// was dropped and is being loaded: popular keys are dropped as much less often in a sample as they are
/// asked for, and loading them takes as long as ever. At the most: if everybody is answered at once.
fn loading(plan: &Plan, id: DataTypeId, thinned: &[Thinned], share: Share) -> f64 {
    let aside = plan.policies.get(id).strategy == Strategy::CacheAside;
    let drops = |operation| match operation {
        Operation::Invalidate => true,
        Operation::Put => aside,
        _ => false,
    };
    let per_s = requests_per_s(plan) * weight(plan, id, drops) * share.as_f64();
    let load_s = plan.database.tables[id.index()]
        .read_time
        .median
        .as_secs_f64();
    let missed = thinned.iter().map(|key| {
        let loaded = per_s * key.draws * load_s;
        key.draws * ((-loaded).exp() - (-loaded / key.rate).exp())
    });
    missed.sum()
}

fn key_bytes(policy: &DataType) -> u64 {
    // A running number has some six digits.
    let params: Vec<u64> = policy.key.params().map(|_| 100_000).collect();
    let window = policy.limit.map(|limit| limit.window);
    policy.key.render(&params, window).as_str().len() as u64
}

fn value_bytes(plan: &Plan, id: DataTypeId) -> u64 {
    match plan.policies.get(id).strategy {
        Strategy::Counter => COUNTER_BYTES,
        _ => plan.database.tables[id.index()].value_size.mean().0,
    }
}

fn bytes_in_redis(plan: &Plan, id: DataTypeId) -> f64 {
    let population = &plan.workload.populations[id.index()];
    let keys = population.drawn_items().min(1 << 32);
    let value = value_bytes(plan, id) + WIRE_HEAD_BYTES;
    MemoryLayout::REDIS_7_0.bytes_per_key(keys, key_bytes(plan.policies.get(id)), value, true)
}

fn local_tenant(plan: &Plan, id: DataTypeId, share: Share) -> Tenant {
    let population = &plan.workload.populations[id.index()];
    let reads = weight(plan, id, |operation| operation == Operation::Get);
    Tenant::new(population, plan.traffic.users, share).asked(reads)
}

/// Every data type that the local layer keeps.
fn local_tenants(plan: &Plan, size: impl Fn(DataTypeId) -> f64, share: Share) -> Vec<Tenant> {
    let kept = plan
        .policies
        .iter()
        .filter(|(_, policy)| policy.local_ttl.is_some() && policy.strategy != Strategy::Counter);
    kept.map(|(id, _)| local_tenant(plan, id, share).sized(size(id)))
        .collect()
}

/// By entries, and by bytes if they are limited.
fn local_rooms(plan: &Plan, local: &LocalPlan, share: Share) -> (Room, Option<Room>) {
    let exactly_lru = local.policy == LocalPolicy::Lru;
    let room = |tenants: &[Tenant], capacity: f64| Room {
        fitted: fit(tenants, capacity, share),
        exactly_lru,
    };
    let entries = room(&local_tenants(plan, |_| 1.0, share), local.entries as f64);
    let bytes = local.bytes.map(|bytes| {
        let size = |id: DataTypeId| {
            let key = key_bytes(plan.policies.get(id));
            (value_bytes(plan, id) + key + LOCAL_ENTRY_BYTES) as f64
        };
        room(&local_tenants(plan, size, share), bytes.0 as f64)
    });
    (entries, bytes)
}

fn remote_tenant(plan: &Plan, id: DataTypeId, share: Share) -> Tenant {
    let policy = plan.policies.get(id);
    let population = &plan.workload.populations[id.index()];
    let stored = |operation| {
        matches!(
            operation,
            Operation::Get | Operation::Put | Operation::Admit
        )
    };
    let asked = weight(plan, id, stored);
    Tenant::new(population, plan.traffic.users, share)
        .asked(asked)
        .sized(bytes_in_redis(plan, id))
        .living(requests_per_s(plan) * policy.ttl.as_secs_f64())
}

/// How much all users ask if they hardly wait for answers.
fn requests_per_s(plan: &Plan) -> f64 {
    plan.workload.requests_per_s()
}

/// The room of a Redis of so many `servers`, and the memory of each; none without a limit.
fn redis_room(
    plan: &Plan,
    redis: &RedisConfig,
    servers: u64,
    store: Store,
    share: Share,
) -> (Option<Room>, Option<u64>) {
    let Some(maxmemory) = redis.maxmemory else {
        return (None, None);
    };
    let tenants: Vec<Tenant> = plan
        .policies
        .iter()
        .filter(|(id, _)| store_of(plan, *id) == Some(store))
        .map(|(id, _)| remote_tenant(plan, id, share))
        .collect();
    // What the server takes for itself is not scaled.
    let base = base_bytes(plan).min(maxmemory.0);
    let capacity = (maxmemory.0 - base) * servers;
    let fitted = fit(&tenants, capacity as f64, share);
    let each = base + whole(fitted.capacity / servers as f64);
    let room = Room {
        fitted,
        // Redis' own is sampled.
        exactly_lru: false,
    };
    (Some(room), Some(each))
}
