//! Where is the knee: the highest rate at which every gate holds?
//!
//! A pure state machine: told what each probe showed, it says which rate to probe next, or what was
//! found. It grows from the lowest rate by factors of two until one does not hold, makes sure of both
//! ends, and narrows what lies between them to the wanted precision. A single probe decides nothing
//! but where to look: both ends, and all rates between them, are probed several times, and the
//! majority decides. What belongs to one round is probed in shuffled order, so that a machine that
//! slows down or a cache that warms up favours no rate.
//!
//! More load should not hold where less did not. Where it seems so, the rates in question are probed
//! again, and if it stays so that is told; the knee then is below the lowest rate that does not hold.
//!
//! Called by the runner. It ends after a number of probes that is known before the first
//! ([`Search::probes_max`]), whatever it is told.

mod tried;

use std::collections::VecDeque;

use rand::seq::SliceRandom as _;

use crate::seed::{Seed, Stream};
use crate::units::{Rate, Ratio};
use tried::Tried;

/// By how much the rate grows until one does not hold.
const GROWTH: f64 = 2.0;
/// Into how many pieces a bracket is cut in one round, if a rate is probed more than once.
const PIECES_MAX: u32 = 4;
/// So many rates may turn out to be otherwise than one probe had shown before the search gives up.
const SURPRISES: u32 = 4;
/// Nothing is told from less than this.
const PRECISION_MIN: Ratio = Ratio(0.001);
const REPEATS_MAX: u32 = 99;
/// What rounding leaves of equal rates.
const TOLERANCE: f64 = 1e-9;

/// What is searched, and how well.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// The lowest rate that is probed.
    pub from: Rate,
    /// The highest.
    pub to: Rate,
    /// By how much the lowest rate that does not hold may lie above the knee.
    pub precision: Ratio,
    /// How often a rate is probed before it is decided.
    pub repeats: u32,
}

/// What cannot be searched.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum LimitsError {
    /// There is nothing between the ends.
    #[error(
        "there is no rate to probe from {from} to {to}: give a lowest one above 0/s with --from and a \
         higher one with --to"
    )]
    Rates {
        /// The lowest.
        from: Rate,
        /// The highest.
        to: Rate,
    },
    /// Too fine, or no precision at all.
    #[error("a precision of {0} is none: give one from 0.1% to 100%, such as --precision 5%")]
    Precision(Ratio),
    /// Never, or for ever.
    #[error(
        "a rate cannot be probed {0} times: give a number from 1 to {REPEATS_MAX} with --repeats"
    )]
    Repeats(u32),
}

/// What one probe showed, or the majority of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Showing {
    /// Every gate passed, and what was offered was sustained.
    Holds,
    /// A gate failed, or what was offered was not sustained.
    Fails,
    /// A gate had no evidence.
    Unclear,
    /// The generator was the limit: nothing is known of the system.
    Generator,
}

/// One look at a rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Probe {
    /// The rate.
    pub rate: Rate,
    /// The how-manieth of this rate, from 1.
    pub repeat: u32,
    /// The how-manieth of all, from 1.
    pub order: u32,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Next {
    /// Probe a rate, and tell what it showed.
    Probe(Probe),
    /// Nothing: it is found, or will not be.
    Found(Found),
}

/// What came of a search.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Found {
    /// The highest rate that holds and below which no other was seen not to.
    pub holds: Option<Rate>,
    /// The lowest rate above it that does not hold.
    pub ceiling: Option<(Rate, Showing)>,
    /// How it ended.
    pub end: End,
    /// A rate that does not hold, and a higher one that does, also when they were probed again.
    pub contradiction: Option<(Rate, Rate)>,
}

/// How a search ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The knee is known as precisely as was wanted.
    Narrowed,
    /// The highest rate holds: the knee is not below it.
    HighestHolds,
    /// The lowest rate does not hold: the knee, if there is one, is below it.
    LowestFails,
    /// No rate that could be judged holds, and some could not be judged.
    NoEvidence,
    /// It has taken as many probes as it may, or was told to stop.
    Stopped,
}

/// A search under way.
#[derive(Debug)]
pub struct Search {
    limits: Limits,
    /// By rate.
    tried: Vec<Tried>,
    /// What is probed next, in this order.
    due: VecDeque<f64>,
    done: u32,
    order: Stream,
}

/// What follows from what was seen.
enum Step {
    Probe(Vec<f64>),
    End(End),
}

impl Search {
    /// Begins a search. The `seed` decides in which order the rates of a round are probed.
    ///
    /// # Errors
    /// If there is nothing to search.
    pub fn new(limits: Limits, seed: Seed) -> Result<Self, LimitsError> {
        let Limits {
            from,
            to,
            precision,
            repeats,
        } = limits;
        let sound = |rate: Rate| rate.per_s.is_finite() && rate.per_s > 0.0;
        if !sound(from) || !sound(to) || from.per_s > to.per_s {
            return Err(LimitsError::Rates { from, to });
        }
        if !(PRECISION_MIN..=Ratio(1.0)).contains(&precision) {
            return Err(LimitsError::Precision(precision));
        }
        if !(1..=REPEATS_MAX).contains(&repeats) {
            return Err(LimitsError::Repeats(repeats));
        }
        Ok(Self {
            limits,
            tried: Vec::new(),
            due: VecDeque::new(),
            done: 0,
            order: seed.stream("order of probes"),
        })
    }

    /// What to do next; the same until it is told something.
    pub fn ask(&mut self) -> Next {
        loop {
            if self.done >= self.probes_max() {
                return Next::Found(self.stopped());
            }
            // A majority that stands needs no further votes.
            while let Some(rate) = self.due.front().copied() {
                let tried = self.tried.iter().find(|tried| same(tried.rate, rate));
                if tried.is_none_or(|tried| !tried.is_decided()) {
                    return Next::Probe(Probe {
                        rate: Rate { per_s: rate },
                        repeat: tried.map_or(0, Tried::votes) + 1,
                        order: self.done + 1,
                    });
                }
                self.due.pop_front();
            }
            match self.step() {
                Step::End(end) => return Next::Found(self.found(end)),
                Step::Probe(mut rates) => {
                    rates.shuffle(&mut self.order);
                    self.due.extend(rates);
                }
            }
        }
    }

    /// Tells what the probe showed that [`Self::ask`] had asked for.
    pub fn tell(&mut self, showing: Showing) {
        let Next::Probe(Probe { rate, .. }) = self.ask() else {
            return;
        };
        self.due.pop_front();
        self.done += 1;
        let at = self.tried.partition_point(|tried| tried.rate < rate.per_s);
        if self
            .tried
            .get(at)
            .is_none_or(|tried| !same(tried.rate, rate.per_s))
        {
            let fresh = Tried::new(rate.per_s, self.limits.repeats);
            self.tried.insert(at, fresh);
        }
        self.tried[at].count(showing);
    }

    /// What is known if no more is probed.
    pub fn stopped(&self) -> Found {
        self.found(End::Stopped)
    }

    /// How many probes it takes at the most.
    pub fn probes_max(&self) -> u32 {
        let repeats = self.limits.repeats;
        let (rounds, inner) = self.rounds();
        let narrowing = rounds * inner * repeats;
        // Whoever probes each rate once is never surprised, but by how rates are rounded.
        let spare = match repeats {
            1 => 2,
            _ => narrowing + SURPRISES * 2 * repeats,
        };
        self.steps_of_growth() + 2 * (repeats - 1) + narrowing + spare
    }

    /// How many it takes if the knee is somewhere in the middle and nothing surprises.
    pub fn probes_usual(&self) -> u32 {
        let (rounds, inner) = self.rounds();
        // Two of three are a majority.
        let votes = self.limits.repeats / 2 + 1;
        self.steps_of_growth().div_ceil(2) + 2 * (votes - 1) + rounds * inner * votes
    }

    fn steps_of_growth(&self) -> u32 {
        let factor = self.limits.to.per_s / self.limits.from.per_s;
        whole(factor.ln() / GROWTH.ln()) + 1
    }

    /// In how many rounds the ends come together, and how many rates each takes.
    fn rounds(&self) -> (u32, u32) {
        let cut = self.pieces_max();
        let mut pieces = self.pieces(GROWTH);
        let mut rounds = 0;
        while pieces > 1 {
            pieces = pieces.div_ceil(cut);
            rounds += 1;
        }
        (rounds, cut - 1)
    }

    fn pieces_max(&self) -> u32 {
        // With one look at each, halving takes the fewest; otherwise a round has something to shuffle.
        if self.limits.repeats == 1 {
            2
        } else {
            PIECES_MAX
        }
    }

    /// How many pieces of the wanted precision `factor` has.
    fn pieces(&self, factor: f64) -> u32 {
        whole(factor.ln() / self.limits.precision.0.ln_1p()).max(1)
    }

    /// What follows when all that was due is done.
    fn step(&mut self) -> Step {
        let Some(top) = self.tried.last() else {
            return Step::Probe(vec![self.limits.from.per_s]);
        };
        let top = top.rate;
        if let Some(again) = self.contradicted() {
            return Step::Probe(again);
        }
        let (floor, ceiling) = self.bracket();
        let ends: Vec<usize> = floor.into_iter().chain(ceiling).collect();
        match (floor, ceiling) {
            (_, None) if top < self.limits.to.per_s => {
                let next = (top * GROWTH).min(self.limits.to.per_s);
                Step::Probe(vec![next])
            }
            (_, None) => self.once_decided(
                &[self.tried.len() - 1],
                match floor {
                    Some(_) => End::HighestHolds,
                    None => End::NoEvidence,
                },
            ),
            (None, Some(ceiling)) => {
                let lowest = ceiling == 0 && self.tried[0].standing() != Showing::Unclear;
                let end = if lowest {
                    End::LowestFails
                } else {
                    End::NoEvidence
                };
                self.once_decided(&ends, end)
            }
            (Some(floor), Some(ceiling)) => {
                let (low, high) = (self.tried[floor].rate, self.tried[ceiling].rate);
                let pieces = self.pieces(high / low).min(self.pieces_max());
                match self.once_decided(&ends, End::Narrowed) {
                    Step::End(_) if pieces > 1 => Step::Probe(self.between(low, high, pieces)),
                    other => other,
                }
            }
        }
    }

    /// `end` if the rates numbered `ends` are decided, otherwise what decides them.
    fn once_decided(&self, ends: &[usize], end: End) -> Step {
        let missing = ends.iter().flat_map(|at| self.tried[*at].missing());
        let missing: Vec<f64> = missing.collect();
        if missing.is_empty() {
            Step::End(end)
        } else {
            Step::Probe(missing)
        }
    }

    /// The rates that cut what lies between two others into so many pieces, each as often as it takes.
    fn between(&self, low: f64, high: f64, pieces: u32) -> Vec<f64> {
        let cuts = (1..pieces).map(|at| {
            let exact = low * (high / low).powf(f64::from(at) / f64::from(pieces));
            let readable = four_digits(exact);
            // Rounding must neither leave the bracket nor move a cut by what matters.
            let near = (readable / exact).ln().abs() < self.limits.precision.0 / 50.0;
            if near { readable } else { exact }
        });
        let repeats = self.limits.repeats as usize;
        cuts.flat_map(|rate| std::iter::repeat_n(rate, repeats))
            .collect()
    }

    /// The highest rate that stands below all that do not hold, and the lowest of those. Below the
    /// first rate that could be judged, nothing counts.
    fn bracket(&self) -> (Option<usize>, Option<usize>) {
        let standings = self.tried.iter().map(Tried::standing);
        let (mut floor, mut ceiling) = (None, None);
        for (at, standing) in standings.enumerate() {
            match standing {
                Showing::Holds => floor = Some(at),
                Showing::Unclear if floor.is_none() => {}
                _ => {
                    ceiling = Some(at);
                    break;
                }
            }
        }
        (floor, ceiling)
    }

    /// A rate that does not hold, and the highest one above it that does.
    fn contradiction(&self) -> Option<(usize, usize)> {
        let (_, ceiling) = self.bracket();
        let ceiling = ceiling?;
        let holds = |tried: &Tried| tried.standing() == Showing::Holds;
        let highest = self.tried.iter().rposition(holds)?;
        (highest > ceiling).then_some((ceiling, highest))
    }

    /// What must be probed again because a higher rate holds where a lower one does not; `None` when all
    /// that has been done. Where one look at a rate is enough, a second would show the same.
    fn contradicted(&mut self) -> Option<Vec<f64>> {
        let (lowest, highest) = self.contradiction()?;
        if self.limits.repeats == 1 {
            return None;
        }
        let doubtful = &mut self.tried[lowest..=highest];
        let missing = |tried: &[Tried]| tried.iter().flat_map(Tried::missing).collect::<Vec<_>>();
        let undecided = missing(doubtful);
        if !undecided.is_empty() {
            return Some(undecided);
        }
        doubtful.iter_mut().for_each(Tried::doubt);
        let again = missing(doubtful);
        (!again.is_empty()).then_some(again)
    }

    fn found(&self, end: End) -> Found {
        let (floor, ceiling) = self.bracket();
        let rate = |at: usize| Rate {
            per_s: self.tried[at].rate,
        };
        Found {
            holds: floor.map(rate),
            ceiling: ceiling.map(|at| (rate(at), self.tried[at].standing())),
            end,
            contradiction: self
                .contradiction()
                .map(|(fails, holds)| (rate(fails), rate(holds))),
        }
    }
}

/// The next whole number, if rounding alone has not made it one more; none below zero.
#[allow(clippy::cast_sign_loss, reason = "never below zero")]
fn whole(count: f64) -> u32 {
    (count - TOLERANCE).ceil().max(0.0) as u32
}

fn same(one: f64, other: f64) -> bool {
    (one / other - 1.0).abs() < TOLERANCE
}

/// `rate` as a person would write it.
fn four_digits(rate: f64) -> f64 {
    let digits = 3 - rate.log10().floor() as i32;
    let unit = 10_f64.powi(digits.abs());
    // Divided, so that 0.1 comes from 1 and 10.
    if digits < 0 {
        (rate / unit).round() * unit
    } else {
        (rate * unit).round() / unit
    }
}

#[cfg(test)]
mod tests;
