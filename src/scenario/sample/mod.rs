//! From a plan to the plan of a sample: a share of its users and keys under capacities scaled so that
//! entries live and servers queue as in the whole.
//!
//! Pure: [`sampled`] scales or says what cannot be scaled; [`choose`] decides which share. `docs/sampling.md`
//! has the theory, what is exact, what is bounded, and what is refused. Called by the command that
//! simulates; a plan for a real run never comes here.
//!
//! | what | in the sample |
//! |---|---|
//! | users | the share of them, numbered from 0 |
//! | keys that all users share | one of each stratum: [`workload::sampling`](crate::workload::sampling) |
//! | keys that users bring | those of the sampled users |
//! | local entries and bytes, maxmemory | so that keys stay as long: [`workload::residency`](crate::workload::residency) |
//! | database connections, calls of an instance at once, keys warmed at once | the share of them |
//! | the write-behind queue, calls that wait | the share of their room |
//! | a single thread: Redis, an instance's processor | [`Dilation`](crate::environment::modelled_redis::thread::Dilation), by whoever models it |
//! | instances, TTLs, timeouts, limits per user, phases | as they are |

mod capacities;
mod rules;

#[cfg(test)]
mod tests;

use std::fmt;

use super::plan::{Plan, SampleShare, Variant};
use crate::measure::sampling::Sampling;
use crate::seed::Seed;
use crate::units::{Ratio, thousands};
use crate::workload::kinds::apportion;
use crate::workload::sampling::{KeySample, Share};
use crate::workload::{Dimension, TRAFFIC_SEED};
use capacities::Capacities;
pub use rules::Problem;

/// A plan of which a share is simulated.
#[derive(Clone, Debug)]
pub struct SampledPlan {
    /// The sample's plan; its variants are sampled, too. Its resolved scenario is the whole's.
    pub plan: Plan,
    /// What is simulated of the main variant, and what is known of its errors.
    pub sampling: Sampling,
    /// The same of the others, by name.
    pub variants: Vec<(String, Sampling)>,
}

/// A plan cannot be simulated by that share of it.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub struct SampleError {
    /// The share.
    pub share: Share,
    /// Why not.
    pub problems: Vec<Problem>,
    /// The users of the smallest share that would do; `None` if none does.
    pub users_needed: Option<(u32, u32)>,
}

impl fmt::Display for SampleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let share = Ratio(self.share.as_f64());
        write!(
            f,
            "a sample of {share} of the users and keys would not be true to the whole:"
        )?;
        for problem in &self.problems {
            write!(f, "\n  {problem}")?;
        }
        match self.users_needed {
            Some((users, of)) => write!(
                f,
                "\n  a share of {} would do: {} of {} users (`simulation: {{ sample: … }}`)",
                percent_up(f64::from(users) / f64::from(of)),
                thousands(users.into()),
                thousands(of.into())
            ),
            None => write!(
                f,
                "\n  no share would do: simulate it whole, with fewer users or `simulation: {{ sample: none }}`"
            ),
        }
    }
}

/// A share in percent that is not below it.
fn percent_up(share: f64) -> String {
    let percent = (share * 1e4 - 1e-6).ceil() / 100.0;
    format!("{}%", percent.min(100.0))
}

/// What is simulated.
#[derive(Clone, Debug, PartialEq)]
pub enum Choice {
    /// All users and keys.
    Whole,
    /// A share of them.
    Sample {
        /// Which.
        share: Share,
        /// Why not a smaller one, if a smaller one was wanted; empty if it was not.
        because: Vec<Problem>,
    },
}

impl Choice {
    /// What a person is told; `None` if there is nothing to tell.
    pub fn told(&self) -> Option<String> {
        let Self::Sample { share, because } = self else {
            return None;
        };
        let (users, total) = share.users();
        let mut told = format!(
            "simulating {} of {} users ({}) and as large a share of the keys",
            thousands(users.into()),
            thousands(total.into()),
            one_in(*share),
        );
        for (at, problem) in because.iter().enumerate() {
            told.push_str(if at == 0 {
                "; fewer would not do: "
            } else {
                "; "
            });
            told.push_str(&problem.to_string());
        }
        Some(told)
    }
}

/// `1 in 50`.
pub fn one_in(share: Share) -> String {
    let step = share.step();
    if (step - step.round()).abs() < 0.005 {
        format!("1 in {step:.0}")
    } else {
        format!("1 in {step:.1}")
    }
}

/// What is simulated of `plan`: what the scenario says, else all if there are no more than
/// `whole_max` users, else as many of them as `sample_max`, or more if the plan needs more.
///
/// # Errors
/// If the share that the scenario wants, or every share, would not be true to the whole.
pub fn choose(plan: &Plan, whole_max: u32, sample_max: u32) -> Result<Choice, SampleError> {
    match plan.simulation.sample {
        SampleShare::Whole => Ok(Choice::Whole),
        SampleShare::Auto if plan.traffic.users <= whole_max => Ok(Choice::Whole),
        // It is as much work whoever its users are.
        SampleShare::Auto if plan.traffic.trace.is_some() => Ok(Choice::Whole),
        SampleShare::Auto => share_for(plan, sample_max),
        SampleShare::Of(ratio) => {
            let share = share_of(plan, ratio);
            match problems(plan, share) {
                _ if share.is_whole() => Ok(Choice::Whole),
                found if found.is_empty() => Ok(Choice::Sample {
                    share,
                    because: Vec::new(),
                }),
                found => Err(error(plan, share, found)),
            }
        }
    }
}

/// The share that is nearest to `ratio`: of at least one user.
pub fn share_of(plan: &Plan, ratio: Ratio) -> Share {
    let users = plan.traffic.users.max(1);
    #[allow(
        clippy::cast_sign_loss,
        reason = "a ratio is not negative, and the cast saturates"
    )]
    let kept = (f64::from(users) * ratio.0).round() as u32;
    Share::new(kept.clamp(1, users), users).unwrap_or(Share::WHOLE)
}

/// A share of `plan` with so many simulated users at the most, or with as few as the plan allows.
///
/// # Errors
/// If no share is true to the whole.
pub fn share_for(plan: &Plan, users_simulated_max: u32) -> Result<Choice, SampleError> {
    let users = plan.traffic.users.max(1);
    let wanted = users_simulated_max.clamp(1, users);
    let of = |kept: u32| Share::new(kept, users).unwrap_or(Share::WHOLE);
    let found = problems(plan, of(wanted));
    let kept = if found.is_empty() {
        Some(wanted)
    } else {
        users_needed(plan, wanted)
    };
    let Some(kept) = kept else {
        return Err(error(plan, of(wanted), found));
    };
    let share = of(whole_connections(plan, kept));
    if share.is_whole() {
        return Ok(Choice::Whole);
    }
    Ok(Choice::Sample {
        share,
        because: found,
    })
}

/// `kept` users or a few more, so that their part of the database's connections is a whole number
/// where it is so small that rounding it would matter.
fn whole_connections(plan: &Plan, kept: u32) -> u32 {
    const ROUNDING_MATTERS_BELOW: u64 = 50;
    let (users, connections) = (
        u64::from(plan.traffic.users),
        u64::from(plan.database.connections),
    );
    let part = (u64::from(kept) * connections).div_ceil(users.max(1));
    if part >= ROUNDING_MATTERS_BELOW {
        return kept;
    }
    let more = (part * users).div_ceil(connections.max(1)).min(users);
    u32::try_from(more).unwrap_or(kept)
}

/// The fewest users, more than `wanted`, whose share is true to the whole.
fn users_needed(plan: &Plan, wanted: u32) -> Option<u32> {
    let users = plan.traffic.users;
    let good =
        |kept: u32| Share::new(kept, users).is_some_and(|share| problems(plan, share).is_empty());
    // Everything is true to itself; what cannot be sampled fails just below it.
    if users < 2 || !good(users - 1) {
        return None;
    }
    let (mut bad, mut enough) = (wanted.min(users - 1), users - 1);
    while enough > bad + 1 {
        let middle = bad + (enough - bad) / 2;
        if good(middle) {
            enough = middle;
        } else {
            bad = middle;
        }
    }
    Some(enough)
}

fn error(plan: &Plan, share: Share, problems: Vec<Problem>) -> SampleError {
    let (wanted, users) = (share.users().0, plan.traffic.users);
    SampleError {
        share,
        problems,
        users_needed: users_needed(plan, wanted).map(|kept| (kept, users)),
    }
}

/// Everything that keeps a sample from being true to the whole, in the plan and in its variants.
fn problems(plan: &Plan, share: Share) -> Vec<Problem> {
    let own = |plan: &Plan| {
        let mut found = rules::broken(plan, share);
        found.extend(Capacities::of(plan, share).problems);
        found
    };
    let mut found = own(plan);
    for variant in others(plan) {
        for problem in own(variant) {
            if !found.contains(&problem) {
                found.push(problem);
            }
        }
    }
    found
}

fn others(plan: &Plan) -> impl Iterator<Item = &Plan> {
    plan.variants
        .iter()
        .filter_map(|variant| variant.plan.as_ref())
}

/// The plan of a sample of `plan`: `share` of its users and keys. `seed` draws the sample, and all that
/// is random in it; keys are called as in the whole.
///
/// # Errors
/// If the sample would not be true to the whole; it says which share would.
pub fn sampled(plan: &Plan, share: Share, seed: Seed) -> Result<SampledPlan, SampleError> {
    let found = problems(plan, share);
    if !share.is_whole() && !found.is_empty() {
        return Err(error(plan, share, found));
    }
    let (mut sample, sampling) = scaled(plan, share, seed);
    let mut variants = Vec::new();
    sample.variants = plan
        .variants
        .iter()
        .map(|variant| {
            let plan = variant.plan.as_ref().map(|plan| {
                let (plan, sampling) = scaled(plan, share, seed);
                variants.push((variant.name.clone(), sampling));
                plan
            });
            Variant {
                plan,
                ..variant.clone()
            }
        })
        .collect();
    Ok(SampledPlan {
        plan: sample,
        sampling,
        variants,
    })
}

/// The seed of the `at`-th sample of `plan`.
pub fn seed_of(plan: &Plan, at: u32) -> Seed {
    plan.seed.fork("samples").fork_index(at.into())
}

fn scaled(plan: &Plan, share: Share, seed: Seed) -> (Plan, Sampling) {
    let capacities = Capacities::of(plan, share);
    let (users_simulated, _) = share.users();
    let part = |whole: u32| u32::try_from(share.part_of(whole.into())).unwrap_or(whole);
    let mut sample = plan.clone();
    sample.seed = seed;
    sample.traffic.users = users_simulated;
    let kinds = sample.workload.kinds.iter().map(|kind| kind.users);
    let parts = apportion(users_simulated, &kinds.collect::<Vec<_>>());
    for (kind, users) in sample.workload.kinds.iter_mut().zip(parts) {
        kind.users = users;
    }
    sample.workload.sample = (!share.is_whole()).then(|| KeySample {
        share,
        names: plan.seed.fork(TRAFFIC_SEED),
    });
    for population in &mut sample.workload.populations {
        let own = population.own_dimension();
        let own = own.and_then(|at| population.dimensions.get_mut(at));
        if let Some(Dimension::Cardinality(owners)) = own {
            *owners = share.part_of(*owners);
        }
    }
    rules::invalidate_as_often(plan, &mut sample, share);
    sample.database.connections = part(plan.database.connections);
    if let Some(limit) = &mut sample.resilience.origin.limit {
        limit.concurrency = part(limit.concurrency);
        limit.queue = part(limit.queue);
    }
    let write_behind = &mut sample.resilience.write_behind;
    write_behind.queue_max = share.part_of(write_behind.queue_max);
    if let Some(warming) = &mut sample.warming {
        warming.concurrency = part(warming.concurrency);
    }
    capacities.put_into(&mut sample);
    let mut caveats = rules::caveats(plan, share);
    caveats.extend(capacities.caveats);
    let sampling = Sampling {
        share,
        users_total: plan.traffic.users,
        users_simulated,
        remote_base_bytes: capacities.remote_base_bytes,
        aside_base_bytes: capacities.aside_base_bytes,
        remote_excess_bytes: capacities.remote_excess_bytes,
        data_types: capacities.data_types,
        behind: rules::behind(plan),
        caveats,
    };
    (sample, sampling)
}
