//! The plan: a scenario after validation. Every number is in its type, every name is resolved,
//! every default is filled in; whoever holds a [`Plan`] need not doubt it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::jobs::JobPlan;
use super::resolved;
use super::words::Word as _;
use crate::engine::data_type::{DataTypeId, PolicyTable};
use crate::engine::invalidation::InvalidationConfig;
use crate::engine::local::LocalPolicy;
use crate::engine::resilience::Resilience;
use crate::environment::external::ExternalService;
use crate::environment::redis_topology::{ReadFrom, TopologyConfig};
use crate::environment::{DATABASE_SEED, DatabaseConfig, MemcachedConfig, RedisConfig};
use crate::gates::Gate;
use crate::gates::alert::Alert;
use crate::measure::PhaseKind;
use crate::seed::Seed;
use crate::units::{ByteSize, Rate, Ratio};
use crate::workload::arrivals::Arrivals;
use crate::workload::rhythm::Rhythm;
use crate::workload::size::ValueSizes;
use crate::workload::trace::TraceFormat;
use crate::workload::{Dimension, Population, Workload};

/// A validated scenario.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The scenario's name; it becomes part of a folder's name.
    pub name: String,
    /// What the scenario is about, in a line or two; may be empty.
    pub description: String,
    /// The reproducer of everything random.
    pub seed: Seed,
    /// A service that is not ours and that is driven instead of the built-in one. Then what is said here of
    /// layers, resilience, database and warming says nothing, and there are no instances.
    pub target: Option<Arc<ExternalService>>,
    /// What is stored, and by which policy.
    pub policies: Arc<PolicyTable>,
    /// Where it is stored.
    pub layers: LayersPlan,
    /// How many service instances there are; none if a target is driven.
    pub instances: u16,
    /// How they protect themselves and the database.
    pub resilience: Resilience,
    /// The database behind the cache.
    pub database: DatabaseConfig,
    /// What is loaded before users ask; `None`: nothing.
    pub warming: Option<WarmingPlan>,
    /// What users do.
    pub workload: Workload,
    /// How many users, how they arrive, how long.
    pub traffic: TrafficPlan,
    /// What operators do by the clock, in the order written.
    pub jobs: Vec<JobPlan>,
    /// How it is simulated, if it is.
    pub simulation: SimulationPlan,
    /// The same traffic with caching off, first; `None` leaves it out.
    pub baseline: Option<BaselinePlan>,
    /// What somebody should be told of.
    pub alerts: Vec<Alert>,
    /// What must hold.
    pub gates: Vec<Gate>,
    /// The alternatives that are run beside it and compared, in the order written; empty without.
    /// One of them is this plan itself.
    pub variants: Vec<Variant>,
    /// The scenario as resolved, to be written beside the report: overrides applied and defaults
    /// filled in. Reading it again gives the same plan, once secrets that were written stand in it again:
    /// it holds none.
    pub resolved_yaml: String,
}

impl Plan {
    /// The size of the value of every key.
    pub fn value_sizes(&self) -> ValueSizes {
        self.database.value_sizes(self.seed.fork(DATABASE_SEED))
    }

    /// The data types whose keys have a part that is new in each request, so that none comes twice:
    /// also none by a journey that remembers it.
    pub fn keys_come_once(&self) -> impl Iterator<Item = DataTypeId> {
        let populations = (0..).map(DataTypeId).zip(&self.workload.populations);
        let unique = |population: &Population| population.dimensions.contains(&Dimension::Unique);
        populations
            .filter(move |(id, population)| unique(population) && !self.workload.comes_again(*id))
            .map(|(id, _)| id)
    }
}

impl Plan {
    /// Makes relative paths, which are meant from `folder`, paths from here.
    pub(super) fn rebase(&mut self, folder: &Path) {
        // First, since they stand in what is written below.
        for variant in &mut self.variants {
            if let Some(plan) = &mut variant.plan {
                plan.rebase(folder);
            }
        }
        let trace = self.traffic.trace.as_mut().map(|trace| &mut trace.file);
        let target = self.target.as_mut().map(Arc::make_mut);
        let ca = target.and_then(|target| target.tls.ca.as_mut());
        for file in trace.into_iter().chain(ca) {
            *file = folder.join(&*file);
        }
        self.resolved_yaml = resolved::write(self);
    }
}

/// One of the alternatives that a scenario compares.
#[derive(Clone, Debug)]
pub struct Variant {
    /// Its name, unique in the plan.
    pub name: String,
    /// What makes it another, as `path=value`, for people.
    pub changes: Vec<String>,
    /// Its own plan, which has no variants; `None` for the main variant, which decides the verdict:
    /// it is the plan that holds this list.
    pub plan: Option<Plan>,
}

/// The cache's layers; `None` leaves a layer out.
#[derive(Clone, Debug)]
pub struct LayersPlan {
    /// L1.
    pub local: Option<LocalPlan>,
    /// L2.
    pub remote: Option<RemotePlan>,
}

/// The local layer of each instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalPlan {
    /// The most entries it holds.
    pub entries: u64,
    /// The most bytes it holds; `None` for no limit of its own.
    pub bytes: Option<ByteSize>,
    /// What it gives up when it is full.
    pub policy: LocalPolicy,
}

/// The remote layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemotePlan {
    /// How each server of a managed Redis is set up. An external one is used as it is.
    pub redis: RedisConfig,
    /// How the servers of a managed Redis stand together.
    pub topology: TopologyConfig,
    /// Who answers lookups, also of an external one.
    pub read_from: ReadFrom,
    /// A memcached instead of Redis; `redis` says nothing then.
    pub memcached: Option<MemcachedConfig>,
    /// How long a command may take before it counts as failed.
    pub timeout: Duration,
    /// How many connections each instance opens.
    pub connections: u16,
    /// How invalidations travel between instances.
    pub invalidation: InvalidationConfig,
    /// A second Redis beside it.
    pub aside: Option<StorePlan>,
}

/// A Redis of their own for some data types, beside that of the remote layer; always standalone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorePlan {
    /// Its name, as data types and the command line call it.
    pub name: String,
    /// How a managed one is set up. An external one is used as it is.
    pub redis: RedisConfig,
    /// Of a managed one: persistence, password and TLS.
    pub topology: TopologyConfig,
    /// How long a command may take before it counts as failed.
    pub timeout: Duration,
    /// How many connections each instance opens.
    pub connections: u16,
    /// Whose entries stand in it; never none.
    pub data_types: Vec<DataTypeId>,
}

/// What is loaded before users ask.
#[derive(Clone, Debug, PartialEq)]
pub struct WarmingPlan {
    /// Of which data types, and how many of their most popular keys.
    pub keys: Vec<(DataTypeId, u64)>,
    /// Whether each instance warms when it starts.
    pub at_start: bool,
    /// Whether it does so before it takes users.
    pub before_traffic: bool,
    /// How often again; `None`: never.
    pub every: Option<Duration>,
    /// How many keys at once, over all instances.
    pub concurrency: u32,
    /// How long a round may take.
    pub limit: Duration,
    /// The hit ratio whose time of arrival is reported.
    pub target_hit_ratio: Ratio,
}

/// How many users, how they arrive, how long.
#[derive(Clone, Debug, PartialEq)]
pub struct TrafficPlan {
    /// What drives the users.
    pub driver: Driver,
    /// How many closed-loop users.
    pub users: u32,
    /// In what time they all arrive, evenly; it is part of the first phase.
    pub ramp: Duration,
    /// Which of them are there at what time; `None`: all of them.
    pub rhythm: Option<Rhythm>,
    /// How long a user waits for an answer before it counts as an error.
    pub request_timeout: Duration,
    /// The recorded traffic that is replayed, instead of what users would do.
    pub trace: Option<TracePlan>,
    /// How many requests may be under way at once, if the driver is open.
    pub in_flight: u32,
    /// The phases, in order; at least one measures.
    pub phases: Vec<PhasePlan>,
}

impl TrafficPlan {
    /// How long the run takes, warm-up included.
    pub fn duration(&self) -> Duration {
        self.phases.iter().map(|phase| phase.duration).sum()
    }

    /// How many requests may be under way at once: of a trace that is replayed one by one a single one.
    pub fn in_flight_at_once(&self) -> u32 {
        match self.trace.as_ref().map(|trace| trace.pace) {
            Some(Pace::OneByOne) => 1,
            _ => self.in_flight,
        }
    }

    /// How many users should be live at once at some time: all, or by the rhythm 99% of the most
    /// from the moment when all have arrived.
    pub fn users_live_wanted(&self) -> u64 {
        // Visitors come and go.
        if self.driver == Driver::Open {
            return 0;
        }
        let users = u64::from(self.users);
        self.rhythm.as_ref().map_or(users, |rhythm| {
            let most = rhythm.most(self.ramp, self.duration());
            #[allow(clippy::cast_sign_loss, reason = "a share of a count is not negative")]
            let wanted = (users as f64 * most * RHYTHM_KEPT) as u64;
            wanted
        })
    }
}

/// The last users before a peak come for moments only, and may be gone before a busy machine has
/// let them in.
const RHYTHM_KEPT: f64 = 0.99;

/// Recorded traffic that is replayed.
#[derive(Clone, Debug, PartialEq)]
pub struct TracePlan {
    /// The file. A relative path that the scenario says is one from the scenario's folder.
    pub file: PathBuf,
    /// Its format; `None`: told by its content.
    pub format: Option<TraceFormat>,
    /// The data type whose keys its keys become.
    pub data_type: DataTypeId,
    /// How fast.
    pub pace: Pace,
    /// Who says how large values are.
    pub value_size: SizesOf,
}

/// Who says how large the values of a trace's keys are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SizesOf {
    /// The data type's `value_size`.
    #[default]
    Scenario,
    /// The trace, for each key that it says a size of; else the data type.
    Trace,
}

/// How fast a trace is replayed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// By its own times, so many times as fast.
    Times(f64),
    /// In its order, so many evenly each second.
    Rate(Rate),
    /// In its order, each when the one before has its answer.
    OneByOne,
    /// In its order, as fast as answers come to as many as may be under way at once.
    FlatOut,
}

impl fmt::Display for Pace {
    /// As written: `recorded`, `10x`, `500/s`, `one-by-one`, `flat-out`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Times(factor) if factor.to_bits() == 1.0_f64.to_bits() => f.write_str("recorded"),
            Self::Times(factor) => write!(f, "{factor}x"),
            Self::Rate(rate) => rate.fmt(f),
            Self::OneByOne => f.write_str("one-by-one"),
            Self::FlatOut => f.write_str("flat-out"),
        }
    }
}

/// What drives the users.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Driver {
    /// Over HTTP, each waiting for its answer.
    #[default]
    Closed,
    /// Over HTTP, by a schedule, whoever takes how long to answer.
    Open,
    /// The users of `closed` in process, without HTTP.
    Direct,
}

impl Driver {
    /// Its word in scenarios and reports.
    pub fn name(self) -> &'static str {
        self.word()
    }
}

/// One phase.
#[derive(Clone, Debug, PartialEq)]
pub struct PhasePlan {
    /// Its name, unique in the plan. The name `warm-up` makes it one.
    pub name: String,
    /// What it is for.
    pub kind: PhaseKind,
    /// How long it lasts.
    pub duration: Duration,
    /// How many requests arrive in it, if the driver is open; `None`: none.
    pub arrivals: Option<Arrivals>,
}

/// How a plan is simulated in virtual time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SimulationPlan {
    /// Which share of the users and keys.
    pub sample: SampleShare,
    /// How many independent samples, if it is not all of them; at least 2.
    pub samples: u32,
}

impl Default for SimulationPlan {
    fn default() -> Self {
        Self {
            sample: SampleShare::default(),
            samples: 4,
        }
    }
}

/// Which share of the users and keys is simulated.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum SampleShare {
    /// All of them, or as many as can be if there are too many.
    #[default]
    Auto,
    /// All of them.
    Whole,
    /// This share, above zero.
    Of(Ratio),
}

/// The run before the run: the same users with caching off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BaselinePlan {
    /// How long it is measured, after all users have arrived.
    pub duration: Duration,
}
