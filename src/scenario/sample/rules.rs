//! What cannot be scaled, and what a reader should know of what was.

use std::fmt;

use crate::engine::data_type::{DataTypeId, Strategy};
use crate::engine::layer::Operation;
use crate::engine::write_behind::GATHER;
use crate::measure::sampling::Behind;
use crate::scenario::jobs::{JobAction, JobPlan};
use crate::scenario::plan::Plan;
use crate::units::{Ratio, thousands};
use crate::workload::demand::Demand;
use crate::workload::sampling::Share;
use crate::workload::{Popularity, Population, UserKind, What};

/// Fewer servers queue in another way than many.
const SERVERS_MIN: f64 = 4.0;

/// Of fewer users of a kind, rounding would leave out or add more than a twentieth.
const USERS_MIN: f64 = 10.0;

/// A cache of fewer entries is not alike a larger one.
pub(super) const ENTRIES_MIN: f64 = 16.0;

/// Requests that are made more often than by their share crowd out others: not more of them than this.
const CROWDED_OUT_MAX: f64 = 0.01;

/// Why a sample would not be true to the whole.
#[derive(Clone, Debug, PartialEq)]
pub enum Problem {
    /// No sample would be.
    Impossible {
        /// What.
        what: String,
        /// Why not.
        why: &'static str,
    },
    /// Too few of something are left.
    TooFew {
        /// Of what.
        what: &'static str,
        /// How many there are in the whole.
        whole: u32,
        /// How many the sample would have.
        part: f64,
    },
    /// Too few users of a kind are left.
    TooFewUsers {
        /// Of which.
        kind: String,
        /// How many there are in the whole.
        whole: u32,
        /// How many the sample would have.
        part: f64,
    },
    /// A cache has room for so few keys that they say nothing of what is evicted.
    TooFewEntries {
        /// Which.
        what: &'static str,
        /// For how many.
        entries: f64,
    },
    /// A cache is so small that the popular keys, asked for less often, do not stay.
    TooSmall {
        /// Which.
        what: String,
        /// The share of a data type's lookups that would miss and hit in the whole.
        missed: f64,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Impossible { what, why } => write!(f, "{what}: {why}"),
            Self::TooFew { what, whole, part } => write!(
                f,
                "{what}: {part:.1} of {} are left, and fewer than {SERVERS_MIN} queue in another way than many",
                thousands((*whole).into())
            ),
            Self::TooFewUsers { kind, whole, part } => write!(
                f,
                "users of the kind `{kind}`: {part:.1} of {} are left, and it takes {USERS_MIN} to keep the proportions",
                thousands((*whole).into())
            ),
            Self::TooFewEntries { what, entries } => write!(
                f,
                "{what} would have room for {entries:.0} keys, and it takes {ENTRIES_MIN} to say what is evicted"
            ),
            Self::TooSmall { what, missed } => write!(
                f,
                "{what} is too small: its popular keys would be evicted, and {} of the lookups miss that hit in the whole",
                Ratio(*missed)
            ),
        }
    }
}

/// Every rule that `plan` breaks.
pub(super) fn broken(plan: &Plan, share: Share) -> Vec<Problem> {
    let impossible = |what: String, why| Problem::Impossible { what, why };
    let mut found = Vec::new();
    let mut too_few = |what, whole: u32| {
        let part = f64::from(whole) * share.as_f64();
        // A hair below by rounding is enough.
        if part < SERVERS_MIN - 1e-6 {
            found.push(Problem::TooFew { what, whole, part });
        }
    };
    too_few(
        "connections of the database's pool",
        plan.database.connections,
    );
    if let Some(limit) = plan.resilience.origin.limit {
        too_few("calls that an instance may make at once", limit.concurrency);
    }
    let remote = plan.layers.remote.as_ref();
    if remote.is_some_and(|remote| remote.memcached.is_some()) {
        let why =
            "memcached gives memory to sizes of items in pages, and a share of a page is none";
        found.push(impossible("the remote layer".to_owned(), why));
    }
    if plan.traffic.trace.is_some() {
        let why = "its requests are replayed as they are, all of them; `cachestorm trace convert --sample` \
                   takes those of a share of its keys";
        found.push(impossible("the trace".to_owned(), why));
    }
    if plan.database.query_cache.is_some() {
        let why = "every write empties it for a whole table, and in a sample writes are fewer";
        found.push(impossible("the database's query cache".to_owned(), why));
    }
    for (id, policy) in plan.policies.iter() {
        let population = &plan.workload.populations[id.index()];
        let what = || format!("`{}`", policy.name);
        if policy.strategy == Strategy::Counter && population.is_shared() && population.is_skewed()
        {
            let why = "its popular keys are the ones that reach their limit, and they are asked for \
                       less often in a sample";
            found.push(impossible(what(), why));
        }
        if let Some(why) = law_without_sample(population) {
            found.push(impossible(what(), why));
        }
        if population.is_shared() && plan.workload.is_carried_into(id) {
            let why =
                "journeys ask for keys of it that earlier steps chose, and a sample keeps others";
            found.push(impossible(what(), why));
        }
        if is_changed(plan, id) && has_sampled_relatives(plan, id) {
            let why =
                "it drops related keys of another data type, and a sample keeps other keys of that";
            found.push(impossible(what(), why));
        }
    }
    found.extend(few_users(plan, share));
    found.extend(invalidations(plan, share));
    found.extend(jobs(plan));
    found
}

/// Why no share of these keys is asked for as all of them are.
fn law_without_sample(population: &Population) -> Option<&'static str> {
    if !population.is_shared() {
        return None;
    }
    if population.drift.is_some() {
        return Some(
            "its keys drift, and the few that a sample keeps would be new to it where the whole \
             has known them",
        );
    }
    match population.popularity {
        Popularity::Latest { .. } => Some(
            "every put makes a new key, and the fewer puts of a sample would age its keys more slowly",
        ),
        Popularity::Hotspot { .. } | Popularity::Shares(_) => {
            Some("a sample weighs keys by Zipf's law, and these follow another")
        }
        Popularity::Uniform | Popularity::Zipf { .. } | Popularity::PerUser => None,
    }
}

/// Kinds of which too few users are left, if there are several.
fn few_users(plan: &Plan, share: Share) -> impl Iterator<Item = Problem> {
    let kinds = plan.workload.kinds.iter();
    let several = plan.workload.kinds.len() > 1 && !share.is_whole();
    kinds.filter(move |_| several).filter_map(move |kind| {
        let part = f64::from(kind.users) * share.as_f64();
        let few = part < USERS_MIN - 1e-6;
        few.then(|| Problem::TooFewUsers {
            kind: kind.name.clone(),
            whole: kind.users,
            part,
        })
    })
}

/// What operators do that no sample does as well.
fn jobs(plan: &Plan) -> impl Iterator<Item = Problem> {
    let patterns = plan.jobs.iter().filter(|job| {
        matches!(
            job.action,
            JobAction::OnKeys {
                operation: Operation::InvalidatePattern,
                ..
            }
        )
    });
    patterns.map(|job| Problem::Impossible {
        what: format!("the job `{}`", job.name),
        why: "it drops a few groups of keys, of which a sample has about none",
    })
}

/// Whether users or operators change or drop keys in it.
fn is_changed(plan: &Plan, id: DataTypeId) -> bool {
    let by_operators = |job: &JobPlan| match &job.action {
        JobAction::OnKeys { keys, .. } => keys.iter().any(|(of, _)| *of == id),
        JobAction::InvalidateAll(_) | JobAction::Deploy(_) => false,
    };
    if plan.jobs.iter().any(by_operators) {
        return true;
    }
    let demand = plan.workload.demand().into_iter();
    let mut of_it = demand.filter(|asked| asked.data_type == id);
    of_it.any(|asked| !matches!(asked.operation, Operation::Get | Operation::Admit))
}

fn has_sampled_relatives(plan: &Plan, id: DataTypeId) -> bool {
    let related = &plan.policies.get(id).related;
    let shared = |id: DataTypeId| plan.workload.populations[id.index()].is_shared();
    let mut others = plan.policies.iter().filter(|(other, _)| *other != id);
    shared(id) && others.any(|(other, policy)| shared(other) && related.contains(&policy.key))
}

/// What an invalidation of many keys at once reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    /// Keys of one user: the sample has them all, or none.
    OneUser,
    /// Keys of all users, so that a key is dropped as often as anybody asks for that.
    Everybody,
    /// A few shared keys, of which a sample has about none.
    FewShared,
}

fn reach(operation: Operation, population: &Population) -> Option<Reach> {
    match operation {
        Operation::InvalidateAll => Some(Reach::Everybody),
        Operation::InvalidatePattern => {
            let last = population.dimensions.len().saturating_sub(1);
            let own = population.own_dimension();
            Some(if own.is_some_and(|own| own < last) {
                Reach::OneUser
            } else if population.is_shared() && last > 0 {
                Reach::FewShared
            } else {
                Reach::Everybody
            })
        }
        Operation::Get | Operation::Put | Operation::Invalidate | Operation::Admit => None,
    }
}

fn invalidations(plan: &Plan, share: Share) -> Vec<Problem> {
    let by_kind = plan.workload.kinds.iter().flat_map(|kind| {
        let demand = kind.demand();
        let all: f64 = demand.iter().map(|asked| asked.per_s).sum();
        demand
            .into_iter()
            .filter_map(move |asked| invalidation(plan, kind, asked, all, share))
    });
    let mut found: Vec<Problem> = Vec::new();
    for problem in by_kind {
        if !found.contains(&problem) {
            found.push(problem);
        }
    }
    found
}

/// What is wrong with what users of `kind` ask for, who make `all` requests in a second.
fn invalidation(
    plan: &Plan,
    kind: &UserKind,
    asked: Demand,
    all: f64,
    share: Share,
) -> Option<Problem> {
    let population = &plan.workload.populations[asked.data_type.index()];
    let in_journeys = matches!(kind.what, What::Journeys(_));
    let why = match reach(asked.operation, population)? {
        Reach::OneUser => return None,
        Reach::FewShared => "it drops keys that a sample mostly leaves out",
        Reach::Everybody if in_journeys => {
            "it is part of journeys, which fewer users make less often, and it drops keys of all users"
        }
        Reach::Everybody if asked.per_s / all * (share.step() - 1.0) <= CROWDED_OUT_MAX => {
            return None;
        }
        Reach::Everybody => {
            "so few users would have to ask for it as often as all do, and do little else"
        }
    };
    let name = &plan.policies.get(asked.data_type).name;
    let what = format!("`{name}.{}`", asked.operation.name());
    Some(Problem::Impossible { what, why })
}

/// Gives what drops everybody's keys the weight at which it comes as often as in the whole.
pub(super) fn invalidate_as_often(plan: &Plan, sample: &mut Plan, share: Share) {
    let mixes = sample.workload.kinds.iter_mut();
    let mixes = mixes.filter_map(|kind| match &mut kind.what {
        What::Mix(mix) => Some(mix),
        What::Journeys(_) => None,
    });
    for line in mixes.flatten() {
        let population = &plan.workload.populations[line.data_type.index()];
        if reach(line.operation, population) == Some(Reach::Everybody) {
            line.weight *= share.step();
        }
    }
}

/// What is written behind in `plan`.
pub(super) fn behind(plan: &Plan) -> Option<Behind> {
    let policies = plan.policies.iter();
    let behind = policies.filter(|(_, policy)| policy.strategy == Strategy::WriteBehind);
    let data_types: Vec<String> = behind.map(|(_, policy)| policy.name.to_string()).collect();
    (!data_types.is_empty()).then(|| Behind {
        data_types,
        batches_per_s_max: f64::from(plan.instances) / GATHER.as_secs_f64(),
        batch_max: plan.resilience.write_behind.batch as f64,
    })
}

/// What a reader should know of the sample of `plan`.
pub(super) fn caveats(plan: &Plan, share: Share) -> Vec<String> {
    if share.is_whole() {
        return Vec::new();
    }
    let mut told = Vec::new();
    let connections = plan.database.connections;
    let exact = f64::from(connections) * share.as_f64();
    let part = share.part_of(connections.into());
    told.push(format!(
        "{part} connections stand for {}: waits for one are overstated, because few queue sooner than many",
        thousands(connections.into()),
    ));
    let off = part as f64 / exact - 1.0;
    if off.abs() > 0.01 {
        told.push(format!(
            "the pool is {:.0}% too {}: {exact:.1} connections were rounded",
            off.abs() * 100.0,
            if off > 0.0 { "large" } else { "small" },
        ));
    }
    let writes_behind = |asked: &Demand| {
        let policy = plan.policies.get(asked.data_type);
        policy.strategy == Strategy::WriteBehind
    };
    if plan.warming.is_some() {
        told.push("what warming loaded is told as it was in the sample".to_owned());
    }
    if plan.workload.demand().iter().any(writes_behind) {
        told.push(
            "consumers of the write-behind queue are as many as in the whole: its lag is understated \
             where they cannot keep up"
                .to_owned(),
        );
    }
    told
}
