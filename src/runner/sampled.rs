//! Simulates a plan of more users than can be simulated one by one: several samples of it, each in a
//! virtual time of its own, and one report of them all.
//!
//! Samples know nothing of each other, so two run at once where there are two processors. What becomes
//! of them depends on nothing but the plan and their number.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::scale::OfWhole;
use super::{Moment, Orders, Outcome, Progress, RunError, assemble, in_virtual_time};
use crate::gates::Verdict;
use crate::measure::event_log::LogHash;
use crate::measure::sampling::Sampling;
use crate::report::model::{OracleResult, Report};
use crate::report::sampled::{Whole, estimates, judge_again, to_whole, variant_to_whole};
use crate::scenario::plan::Plan;
use crate::scenario::sample::{
    Choice, Problem, SampleError, SampledPlan, choose, sampled, seed_of,
};
use crate::seed::mix;
use crate::workload::sampling::Share;

/// So many users are simulated one by one, if the scenario does not say otherwise.
const WHOLE_MAX: u32 = 50_000;
/// So many of more of them are enough, if the plan does not need more.
const SAMPLE_MAX: u32 = 20_000;
/// Each takes memory for its users and keys.
const AT_ONCE_MAX: usize = 2;
/// As much as a main thread has.
const STACK_BYTES: usize = 8 << 20;

/// What is simulated of `plan`.
pub(super) fn choice(plan: &Plan) -> Result<Choice, SampleError> {
    choose(plan, WHOLE_MAX, SAMPLE_MAX)
}

/// Simulates samples of so large a `share` of `plan`; `because` of these it is no smaller one.
pub(super) fn simulate(
    plan: &Plan,
    (share, because): (Share, &[Problem]),
    orders: Orders<'_>,
) -> Result<Outcome, RunError> {
    let all = 0..plan.simulation.samples;
    let samples = all.map(|at| sampled(plan, share, seed_of(plan, at)));
    let samples: Vec<SampledPlan> = samples.collect::<Result<_, _>>()?;
    let Some(first) = samples.first() else {
        return Err(RunError::Interrupted);
    };
    let (mut ended, mut interrupted) = (Vec::new(), false);
    for outcome in side_by_side(plan, &samples, orders) {
        match outcome {
            Ok(outcome) => {
                interrupted |= outcome.report.validity.interrupted;
                ended.push(outcome);
            }
            Err(RunError::Interrupted) => interrupted = true,
            Err(error) => return Err(error),
        }
    }
    // Half a sample beside whole ones would spoil the estimates.
    if ended.iter().any(|one| !one.report.validity.interrupted) {
        ended.retain(|one| !one.report.validity.interrupted);
    }
    let of = OfWhole {
        sample: first,
        whole: plan,
    };
    let mut outcome = one_of_all(ended, of).ok_or(RunError::Interrupted)?;
    outcome.report.validity.interrupted = interrupted;
    if let Some(sampling) = &mut outcome.report.sampling {
        let because = because.iter();
        let because = because.map(|problem| format!("fewer users would not do: {problem}"));
        sampling.caveats.extend(because);
    }
    Ok(outcome)
}

/// What became of each of `samples`, in their order.
fn side_by_side(
    whole: &Plan,
    samples: &[SampledPlan],
    (options, progress, stop): Orders<'_>,
) -> Vec<Result<Outcome, RunError>> {
    let next = AtomicUsize::new(0);
    let done: Vec<AtomicBool> = samples.iter().map(|_| AtomicBool::new(false)).collect();
    let outcomes: Vec<Mutex<_>> = samples.iter().map(|_| Mutex::new(None)).collect();
    let work = || {
        while let Some(at) = take(&next, samples.len(), &stop) {
            let shown = OfSample {
                progress,
                at,
                done: &done,
            };
            let of = OfWhole {
                sample: &samples[at],
                whole,
            };
            let orders: Orders<'_> = (options, &shown, stop.clone());
            let outcome = in_virtual_time(&of.sample.plan, orders, Some(of));
            *outcomes[at].lock() = Some(outcome);
            done[at].store(true, Ordering::Relaxed);
        }
    };
    let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    thread::scope(|scope| {
        for _ in 1..cores.min(AT_ONCE_MAX).min(samples.len()) {
            // Where no thread can be had, one does it all.
            let _ = thread::Builder::new()
                .name("samples".to_owned())
                .stack_size(STACK_BYTES)
                .spawn_scoped(scope, work);
        }
        work();
    });
    let outcomes = outcomes.into_iter().map(Mutex::into_inner);
    outcomes
        .map(|outcome| outcome.unwrap_or(Err(RunError::Interrupted)))
        .collect()
}

/// The number of a sample that nobody has begun; `None` if there is none, or nobody shall.
fn take(next: &AtomicUsize, samples: usize, stop: &watch::Receiver<bool>) -> Option<usize> {
    let at = next.fetch_add(1, Ordering::Relaxed);
    (at < samples && !*stop.borrow()).then_some(at)
}

/// Shows the first sample that is under way.
struct OfSample<'p> {
    progress: &'p dyn Progress,
    at: usize,
    done: &'p [AtomicBool],
}

impl OfSample<'_> {
    fn is_shown(&self) -> bool {
        let mut before = self.done[..self.at].iter();
        before.all(|done| done.load(Ordering::Relaxed))
    }

    fn named(&self, what: &str) -> String {
        format!("sample {} of {}: {what}", self.at + 1, self.done.len())
    }
}

impl Progress for OfSample<'_> {
    fn step(&self, doing: &str) {
        if self.is_shown() {
            self.progress.step(&self.named(doing));
        }
    }

    fn moment(&self, moment: &Moment) {
        if self.is_shown() {
            self.progress.moment(&Moment {
                phase: self.named(&moment.phase),
                ..moment.clone()
            });
        }
    }

    fn note(&self, text: &str) {
        self.progress.note(&self.named(text));
    }
}

/// One outcome of those of all samples: the first, as the whole, with the estimates of all.
fn one_of_all(outcomes: Vec<Outcome>, of: OfWhole<'_>) -> Option<Outcome> {
    let log = logged(&outcomes);
    let (mut reports, mut hlog, mut leftovers) = (Vec::new(), None, Vec::new());
    for outcome in outcomes {
        hlog = hlog.or(outcome.hlog);
        leftovers.extend(outcome.leftovers);
        reports.push(outcome.report);
    }
    let mut shown = reports.first()?.clone();
    shown.seed = of.whole.seed.0;
    shown.event_log = Some(assemble::event_log(log));
    shown.sampling = Some(estimates(&reports, &of.sample.sampling));
    as_whole(&mut shown, of);
    trust(&mut shown, &reports);
    judge_again(&mut shown, &of.whole.gates, &reports);
    Some(Outcome {
        report: shown,
        hlog,
        log: Some(log),
        leftovers,
    })
}

/// What happened in all samples, in their order.
fn logged(outcomes: &[Outcome]) -> LogHash {
    let none = LogHash { events: 0, hash: 0 };
    let logs = outcomes.iter().filter_map(|outcome| outcome.log);
    logs.fold(none, |all, one| LogHash {
        events: all.events + one.events,
        hash: mix(all.hash ^ one.hash),
    })
}

fn as_whole(report: &mut Report, of: OfWhole<'_>) {
    let whole = |plan: &Plan| Whole {
        connections: plan.database.connections,
        maxmemory_bytes: maxmemory_bytes(plan),
        aside_maxmemory_bytes: aside_maxmemory_bytes(plan),
    };
    to_whole(report, &of.sample.sampling, whole(of.whole));
    for variant in &mut report.variants {
        let name = (!variant.main).then_some(&*variant.name);
        let found: Option<(&Sampling, &Plan)> = of.of(name);
        if let Some((sampling, plan)) = found {
            variant_to_whole(variant, sampling, whole(plan));
        }
    }
}

/// Of all primaries together, as they tell it.
fn maxmemory_bytes(plan: &Plan) -> Option<u64> {
    let remote = plan.layers.remote.as_ref()?;
    let primaries = u64::from(remote.topology.primaries).max(1);
    Some(remote.redis.maxmemory?.0.saturating_mul(primaries))
}

fn aside_maxmemory_bytes(plan: &Plan) -> Option<u64> {
    let aside = plan.layers.remote.as_ref()?.aside.as_ref()?;
    aside.redis.maxmemory.map(|limit| limit.0)
}

/// What one sample found wrong is wrong with all.
fn trust(shown: &mut Report, samples: &[Report]) {
    for (number, other) in (1_u32..).zip(samples).skip(1) {
        let named = |text: &String| format!("sample {number}: {text}");
        let validity = &mut shown.validity;
        validity.valid &= other.validity.valid;
        let reasons = other.validity.reasons.iter();
        validity.reasons.extend(reasons.map(named));
        let known = samples[0].validity.warnings.clone();
        let news = other.validity.warnings.iter();
        let news = news.filter(|warning| !known.contains(warning));
        validity.warnings.extend(news.map(named));
        for (name, found) in &other.oracles {
            match shown.oracles.get_mut(name) {
                Some(oracle) => add(oracle, found),
                None => drop(shown.oracles.insert(name.clone(), found.clone())),
            }
        }
    }
    if !shown.validity.valid {
        for gate in &mut shown.gates {
            gate.verdict = Verdict::Inconclusive;
            if gate.note.is_empty() {
                "a sample is invalid".clone_into(&mut gate.note);
            }
        }
    }
}

fn add(oracle: &mut OracleResult, found: &OracleResult) {
    if oracle.violations == 0 && found.violations > 0 {
        oracle.worst.clone_from(&found.worst);
    }
    oracle.checked += found.checked;
    oracle.violations += found.violations;
}
