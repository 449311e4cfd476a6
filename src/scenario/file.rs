//! The scenario file as written: every key that there is, and whether it was given.
//!
//! This is the one place that knows the spelling of the schema; what the values mean, and whether
//! they fit together, is decided where the plan is built. Nothing is filled in here.
//!
//! ```yaml
//! name: short-name                   # letters, digits, - and _
//! description: what this is about    # may be left out
//! seed: 42                           # the reproducer; 42 if left out
//! target: { … }                      # a service that is not ours instead of all that follows but traffic,
//!                                    # alerts and gates; see file/target.rs and docs/external.md; or none
//! data_types:                        # the policy table, one row for each kind of data
//!   customer:
//!     key: "customer:360:{customer_id}"
//!     related: ["customer:basic:{customer_id}"]  # invalidated together; none if left out
//!     strategy: cache-aside          # or write-through, write-behind, counter
//!     ttl: 15m
//!     local_ttl: 1m                  # left out: this data type is not kept in the local layer
//!     invalidation: event            # or time, which it is if left out
//!     negative_ttl: 5s               # or none; as in `resilience` if left out
//!     ttl_jitter: 10%                # as in `resilience` if left out
//!     stampede: single-flight        # as in `resilience`, or this, if left out; also none,
//!                                    # adr-lock, lock, lease, stale-while-revalidate and
//!                                    # early-refresh or { early-refresh: 1.0 }, its beta
//!     serve_stale: 1h                # or none; as in `resilience`, or none, if left out
//!     sliding: { max_lifetime: 72h } # a read lets an entry live for its ttl again; or none
//!     store: sessions                # one of the remote layer's `stores`; none if left out
//!     consistency: versioned         # as in `resilience`, or this, if left out; or naive
//!     population: 50_000             # or by parameter: { product_id: 500, warehouse_id: 10 },
//!                                    # where `unique` stands for a running number
//!     popularity: { zipf: 0.99 }     # or uniform, which it is if left out, or per-user; see
//!                                    # docs/workloads.md for latest, hotspot, shares and `drift`
//!     one_hit: 20%                   # requests for keys that nobody asks for again; none if left out
//!     value_size: 2KiB               # or 1KiB..8KiB, { lognormal: … }, { quantiles: … }
//!     operations: { get: 95, put: 5 } # what `product: 40` in the mix means; get if left out
//!     preset: twitter/cluster12      # gives the ttl and the four above where they are left out
//!     prefilled: true                # whether rows exist from the start; true if left out, but
//!                                    # false with a `unique` parameter
//!     origin:
//!       query_time: { median: 150ms, p99: 400ms }
//!       write_time: { median: 10ms, p99: 30ms }  # as query_time if left out
//!   rate_limit:
//!     key: "ratelimit:{api_key}:{window}"
//!     strategy: counter              # a counter has a limit, and neither value nor row
//!     ttl: 1h
//!     limit: { requests: 1000, window: 1h, algorithm: sliding-buckets } # the default; or
//!                                    # sliding-log, two-buckets, fixed-window, or gcra, which has
//!                                    # also a `burst`: how many may come at once
//!     population: 1000
//! layers:                            # both stand here; `none` leaves one out
//!   local: { entries: 1000, bytes: 64MiB, policy: s3-fifo } # bytes may be left out; the policy is
//!                                    # lru, fifo, sieve or s3-fifo, which it is if left out
//!   remote:
//!     store: redis                   # the default; or memcached, which knows neither topology,
//!                                    # nor policy, nor invalidation
//!     topology: standalone           # the default; or replicated, sentinel, cluster
//!     primaries: 3                   # of a cluster; the default
//!     replicas: 2                    # of each primary; the default is 2, in a cluster 1
//!     read_from: primary             # who answers lookups; the default; or replica
//!     persistence: none              # the default; or rdb, aof, rdb+aof
//!     password: secret               # or none, which it is if left out
//!     tls: false                     # the default
//!     maxmemory: 256MiB              # of each server; or none, which it is if left out
//!     policy: allkeys-lru            # the default; any maxmemory-policy of Redis
//!     timeout: 500ms                 # for a command; the default
//!     connections: 1                 # for each instance; the default
//!     stores:                        # a second Redis for the data types that name it; or none
//!       sessions:                    # by any name; at most one, standalone; `store`, persistence,
//!         maxmemory: 64MiB           # password, tls, timeout and connections as above, but the
//!         policy: noeviction         # policy is noeviction if left out
//!     invalidation:                  # how instances tell each other; these are the defaults
//!       transport: pubsub            # or tracking: Redis tells which keys changed
//!       broadly: generation          # or scan: how many keys at once are invalidated
//!       on_loss: flush               # or revalidate, ignore: when notices may have been lost
//!       heartbeat: 1s                # 2.5 of them without an own notice: the instance is deaf
//! instances: 3                       # service instances; 1 if left out
//! origin:
//!   connections: 40
//!   acquire_timeout: 5s              # the default
//!   query_cache:                     # inside the database; none if left out
//!     entries: 10_000
//!     ttl: 10m                       # or none, which it is if left out: until its table is written
//!     hit_time: { median: 1ms, p99: 4ms }
//! resilience:                        # may be left out, as may each of its keys
//!   ttl_jitter: 10%                  # for every data type, as the four below; 0% if left out
//!   negative_ttl: 5s                 # none if left out
//!   stampede: single-flight
//!   serve_stale: none
//!   consistency: versioned
//!   breaker: { failures: 5, open_for: 1s, probes: 3 } # of the remote layer; the default, or none
//!   origin:                          # what follows is for each instance
//!     concurrency: 20                # calls at once, or none, which it is if left out
//!     queue: 100                     # calls that wait for their turn; the default
//!     soft_timeout: 200ms            # with a stale value nobody waits longer; none if left out
//!     hard_timeout: 5s               # nobody waits longer; none if left out
//!   write_behind:                    # the defaults
//!     queue_max: 100_000             # writes that may wait
//!     on_full: sync                  # the database commits at once; or refuse
//!     batch: 100                     # writes in one transaction
//!     max_deliveries: 5              # then a write goes to the dead letters
//!     claim_after: 30s               # then a silent consumer is dead
//! warming:                           # or none, which it is if left out
//!   keys: { product: 200, customer: 100 }  # so many of the most popular keys
//!   at_start: true                   # the default, as is what follows
//!   before_traffic: true             # an instance takes users when it is warm
//!   every: none                      # or 10m: again and again
//!   concurrency: 16                  # keys at once, over all instances
//!   limit: 30s                       # for a round; what is left then is skipped
//!   target_hit_ratio: 85%            # the time to reach it is reported
//! traffic:
//!   driver: closed                   # over HTTP; the default. direct: the same users in process
//!   users: 1000
//!   ramp: 5s                         # part of the first phase; 0s if left out
//!   rhythm:                          # who of them is there when; or none, if left out: all
//!     every: 24h                     # the default
//!     starts_at: 6h                  # the moment of it at which the run starts; 0s if left out
//!     present: { 0h: 30%, 4h: 5%, 9h: 100%, 18h: 80% }  # straight lines between them
//!   think_time: 1s..3s
//!   request_timeout: 10s             # the default
//!   on_start: [session.put]          # once for each user that comes; nothing if left out
//!   phases:                          # a phase named warm-up is one; all others are measured
//!     - { name: warm-up, for: 25s }
//!     - { name: steady, for: 60s }
//!   # or, instead of what users would do, `driver: open` and a trace: see docs/open-loop.md
//!   # trace: { file: web.csv.gz, data_type: product, pace: recorded, value_size: scenario }
//!   mix: { customer.get: 40, customer.put: 1 }   # weights; also invalidate, invalidate_all,
//!                                    # invalidate_pattern (all parameters but the last), admit
//!   # or journeys instead of a mix, and several kinds of users: see docs/journeys.md
//!   # journeys: { buy: { weight: 3, steps: [session.get, { product.get: 2..6, remember: id }] } }
//!   # kinds: { crawlers: { users: 5, think_time: 1s, mix: { product.get: 1 } } }
//! jobs:                              # what operators do by the clock; see docs/jobs.md
//!   - { name: new catalogue, at: 3h, every: 24h, over: 10m, put: { product: all } } # or how many
//!                                    # keys; invalidate and invalidate_pattern are written alike
//!   - { name: new prices, at: 6h, invalidate_all: quote }
//!   - { name: release, at: 10h, over: 6m, deploy: rolling }  # or all-at-once
//! simulation:                        # of `simulate` alone; these are the defaults
//!   sample: auto                     # of the users and keys: 2%, or none to simulate all of them
//!   samples: 4                       # independent ones, for the error bars
//! baseline: { for: 20s }             # the same with caching off, first; or none
//! alerts:                            # what is told, and decides nothing; see docs/alerts.md
//!   - "redis_up == 0"
//!   - { name: cold, source: where from, check: "hit_ratio < 80%", for: 5s, window: 10s }
//! gates:
//!   - "p95(response_time) < 1s"
//!   - { name: overall, source: where it comes from, check: "hit_ratio > 85%" }
//! variants:                          # the same with other values, run one after another; or none
//!   - { name: full, main: true }     # decides the verdict; the first if none says so
//!   - { name: local-only, set: { layers.remote: none } }  # paths as of --set
//! ```

mod alerts;
pub(super) mod alternatives;
pub(super) mod arrivals;
pub(super) mod durability;
mod gates;
pub(super) mod invalidation;
pub(super) mod jobs;
pub(super) mod kinds;
mod limit;
mod local;
pub(super) mod popularity;
pub(super) mod presets;
pub(super) mod protection;
pub(super) mod rhythm;
mod simulation;
pub(super) mod sliding;
pub(super) mod stores;
pub(super) mod target;
pub(super) mod topology;
mod trace;
mod traffic;
pub(super) mod value_size;
pub(super) mod warming;

use std::sync::Arc;

pub(super) use self::alerts::AlertFile;
pub(super) use self::gates::GateFile;
pub(super) use self::limit::LimitFile;
pub(super) use self::local::LocalFile;
pub(super) use self::trace::TraceFile;
use super::decode::{Decode, Field, Fields, List, Map, Switch};
use super::diagnostics::{Diagnostic, Errors};
use super::yaml::{Kind, Node, short};
use crate::engine::data_type::{Invalidation, KeyPattern, Strategy};
use crate::environment::EvictionPolicy;
use crate::seed::Seed;
use crate::units::{ByteSize, Ratio, Span};
use alternatives::{QueryCacheFile, StoreFile};
use durability::DurabilityFile;
use invalidation::InvalidationFile;
use jobs::JobFile;
pub(super) use popularity::PopularityFile;
use protection::ProtectionFile;
use simulation::SimulationFile;
use sliding::SlidingFile;
use stores::AsideFile;
use target::TargetFile;
use topology::TopologyFile;
pub(super) use traffic::{BaselineFile, PhaseFile, TrafficFile};
use value_size::ValueSizeFile;
use warming::WarmingFile;

/// The whole file.
pub(super) struct File {
    pub(super) name: Field<Arc<str>>,
    pub(super) description: Field<Arc<str>>,
    pub(super) seed: Field<Seed>,
    pub(super) target: Field<Switch<TargetFile>>,
    pub(super) data_types: Field<Map<DataTypeFile>>,
    pub(super) layers: Field<LayersFile>,
    pub(super) instances: Field<u64>,
    pub(super) origin: Field<OriginFile>,
    pub(super) resilience: Field<ResilienceFile>,
    pub(super) warming: Field<Switch<WarmingFile>>,
    pub(super) traffic: Field<TrafficFile>,
    pub(super) jobs: Field<List<JobFile>>,
    pub(super) simulation: Field<SimulationFile>,
    pub(super) baseline: Field<Switch<BaselineFile>>,
    pub(super) alerts: Field<List<AlertFile>>,
    pub(super) gates: Field<List<GateFile>>,
}

impl Decode for File {
    fn decode(node: &Node, errors: &mut Errors) -> Option<Self> {
        let mut fields = Fields::of(node, "a scenario", errors)?;
        let file = Self {
            name: fields.required("name", "my-scenario"),
            description: fields.optional("description"),
            seed: fields.optional("seed"),
            target: fields.optional("target"),
            data_types: fields.required("data_types", "{ customer: { key: …, … } }"),
            layers: fields.required(
                "layers",
                "{ local: { entries: 1000 }, remote: { maxmemory: 256MiB } }",
            ),
            instances: fields.optional("instances"),
            origin: fields.required("origin", "{ connections: 40 }"),
            resilience: fields.optional("resilience"),
            warming: fields.optional("warming"),
            traffic: fields.required("traffic", "{ users: 1000, think_time: 1s..3s, … }"),
            jobs: fields.optional("jobs"),
            simulation: fields.optional("simulation"),
            baseline: fields.optional("baseline"),
            alerts: fields.optional("alerts"),
            gates: fields.optional("gates"),
        };
        // Each variant is a scenario of its own: the list was taken out before.
        let _: Field<Arc<str>> = fields.optional("variants");
        fields.close();
        Some(file)
    }
}

/// One data type.
pub(super) struct DataTypeFile {
    pub(super) key: Field<KeyPattern>,
    pub(super) related: Field<List<KeyPattern>>,
    pub(super) strategy: Field<Strategy>,
    pub(super) ttl: Field<Span>,
    pub(super) local_ttl: Field<Switch<Span>>,
    pub(super) invalidation: Field<Invalidation>,
    pub(super) negative_ttl: Field<Switch<Span>>,
    pub(super) ttl_jitter: Field<Ratio>,
    pub(super) population: Field<PopulationFile>,
    pub(super) popularity: Field<PopularityFile>,
    pub(super) one_hit: Field<Ratio>,
    pub(super) operations: Field<Map<f64>>,
    pub(super) value_size: Field<ValueSizeFile>,
    pub(super) prefilled: Field<bool>,
    pub(super) limit: Field<LimitFile>,
    pub(super) origin: Field<TableFile>,
    pub(super) sliding: Field<Switch<SlidingFile>>,
    pub(super) store: Field<Switch<Arc<str>>>,
    pub(super) protection: ProtectionFile,
}

impl Decode for DataTypeFile {
    fn decode(node: &Node, errors: &mut Errors) -> Option<Self> {
        let node = &*presets::with_preset(node, errors);
        let mut fields = Fields::of(node, "a data type", errors)?;
        // What it gives stands beside it now.
        let _: Field<Arc<str>> = fields.optional("preset");
        let data_type = Self {
            key: fields.required("key", "\"customer:360:{customer_id}\""),
            related: fields.optional("related"),
            strategy: fields.required("strategy", "cache-aside"),
            ttl: fields.required("ttl", "15m"),
            local_ttl: fields.optional("local_ttl"),
            invalidation: fields.optional("invalidation"),
            negative_ttl: fields.optional("negative_ttl"),
            ttl_jitter: fields.optional("ttl_jitter"),
            population: fields.optional("population"),
            popularity: fields.optional("popularity"),
            one_hit: fields.optional("one_hit"),
            operations: fields.optional("operations"),
            value_size: fields.optional("value_size"),
            prefilled: fields.optional("prefilled"),
            limit: fields.optional("limit"),
            origin: fields.optional("origin"),
            sliding: fields.optional("sliding"),
            store: fields.optional("store"),
            protection: ProtectionFile::of(&mut fields),
        };
        fields.close();
        Some(data_type)
    }
}

/// How many keys there are.
pub(super) enum PopulationFile {
    /// Of the only parameter.
    Total(u64),
    /// By parameter.
    ByParam(Map<DimensionFile>),
}

impl Decode for PopulationFile {
    fn decode(node: &Node, errors: &mut Errors) -> Option<Self> {
        match node.kind {
            Kind::Mapping(_) => Map::decode(node, errors).map(Self::ByParam),
            _ => u64::decode(node, errors).map(Self::Total),
        }
    }
}

/// How one parameter is chosen.
#[derive(Clone, Copy)]
pub(super) enum DimensionFile {
    Cardinality(u64),
    Unique,
}

impl Decode for DimensionFile {
    fn decode(node: &Node, errors: &mut Errors) -> Option<Self> {
        match &node.kind {
            Kind::Scalar(text) if &**text == "unique" => Some(Self::Unique),
            Kind::Scalar(text) if text.starts_with(|c: char| c.is_ascii_alphabetic()) => {
                let message = format!("{:?} is neither a number nor `unique`", short(text));
                let advice = "write how many values there are, or `unique` for a running number";
                errors.push(Diagnostic::new(&node.place, message).label(advice));
                None
            }
            _ => u64::decode(node, errors).map(Self::Cardinality),
        }
    }
}

/// A data type's table in the origin.
pub(super) struct TableFile {
    pub(super) query_time: Field<ServiceTimeFile>,
    pub(super) write_time: Field<ServiceTimeFile>,
}

impl Decode for TableFile {
    fn decode(node: &Node, errors: &mut Errors) -> Option<Self> {
        let mut fields = Fields::of(node, "a data type's origin", errors)?;
        let table = Self {
            query_time: fields.required("query_time", "{ median: 150ms, p99: 400ms }"),
            write_time: fields.optional("write_time"),
        };
        fields.close();
        Some(table)
    }
}

/// How long a query takes.
#[derive(Clone)]
pub(super) struct ServiceTimeFile {
    pub(super) median: Field<Span>,
    pub(super) p99: Field<Span>,
}

impl Decode for ServiceTimeFile {
    fn decode(node: &Node, errors: &mut Errors) -> Option<Self> {
        let mut fields = Fields::of(node, "a time of the origin", errors)?;
        let time = Self {
            median: fields.required("median", "150ms"),
            p99: fields.required("p99", "400ms"),
        };
        fields.close();
        Some(time)
    }
}

/// The layers.
pub(super) struct LayersFile {
    pub(super) local: Field<Switch<LocalFile>>,
    pub(super) remote: Field<Switch<RemoteFile>>,
}

impl Decode for LayersFile {
    fn decode(node: &Node, errors: &mut Errors) -> Option<Self> {
        let mut fields = Fields::of(node, "the layers", errors)?;
        let layers = Self {
            local: fields.required("local", "{ entries: 1000 }` or `local: none"),
            remote: fields.required("remote", "{ maxmemory: 256MiB }` or `remote: none"),
        };
        fields.close();
        Some(layers)
    }
}

/// The remote layer.
pub(super) struct RemoteFile {
    pub(super) store: Field<StoreFile>,
    pub(super) topology: TopologyFile,
    pub(super) maxmemory: Field<Switch<ByteSize>>,
    pub(super) policy: Field<EvictionPolicy>,
    pub(super) timeout: Field<Span>,
    pub(super) connections: Field<u64>,
    pub(super) stores: Field<Switch<Map<AsideFile>>>,
    pub(super) invalidation: Field<InvalidationFile>,
}

impl Decode for RemoteFile {
    fn decode(node: &Node, errors: &mut Errors) -> Option<Self> {
        let mut fields = Fields::of(node, "the remote layer", errors)?;
        let remote = Self {
            store: fields.optional("store"),
            topology: TopologyFile::of(&mut fields),
            maxmemory: fields.optional("maxmemory"),
            policy: fields.optional("policy"),
            timeout: fields.optional("timeout"),
            connections: fields.optional("connections"),
            stores: fields.optional("stores"),
            invalidation: fields.optional("invalidation"),
        };
        fields.close();
        Some(remote)
    }
}

/// The origin.
pub(super) struct OriginFile {
    pub(super) connections: Field<u64>,
    pub(super) acquire_timeout: Field<Span>,
    pub(super) query_cache: Field<Switch<QueryCacheFile>>,
}

impl Decode for OriginFile {
    fn decode(node: &Node, errors: &mut Errors) -> Option<Self> {
        let mut fields = Fields::of(node, "the origin", errors)?;
        let origin = Self {
            connections: fields.required("connections", "40"),
            acquire_timeout: fields.optional("acquire_timeout"),
            query_cache: fields.optional("query_cache"),
        };
        fields.close();
        Some(origin)
    }
}

/// Defaults for every data type.
pub(super) struct ResilienceFile {
    pub(super) ttl_jitter: Field<Ratio>,
    pub(super) negative_ttl: Field<Switch<Span>>,
    pub(super) protection: ProtectionFile,
    pub(super) durability: DurabilityFile,
}

impl Decode for ResilienceFile {
    fn decode(node: &Node, errors: &mut Errors) -> Option<Self> {
        let mut fields = Fields::of(node, "the resilience", errors)?;
        let resilience = Self {
            ttl_jitter: fields.optional("ttl_jitter"),
            negative_ttl: fields.optional("negative_ttl"),
            protection: ProtectionFile::of(&mut fields),
            durability: DurabilityFile::of(&mut fields),
        };
        fields.close();
        Some(resilience)
    }
}
