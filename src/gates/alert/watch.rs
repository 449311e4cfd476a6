//! The life of an alert: quiet, pending while its condition holds, firing once it has held for long
//! enough, quiet again at the first look at which it does not hold.
//!
//! Pure: a function of looks, each a time and what was seen then. A look without evidence is one at
//! which the condition does not hold: nobody is woken by nothing.

use super::super::judge::{Observation, has_evidence};
use super::Alert;
use crate::clock::Timestamp;
use crate::gates::grammar::{Check, Comparison};

/// The most firings of one alert that are kept one by one; all are counted.
pub const EPISODES_MAX: usize = 100;

/// One firing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Episode {
    /// The first look at which the condition held.
    pub began: Timestamp,
    /// The look at which it had held for long enough.
    pub fired: Timestamp,
    /// The first look at which it did not hold any more; `None` if it held at the last look.
    pub ended: Option<Timestamp>,
    /// What was farthest beyond the target.
    pub worst: f64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum State {
    #[default]
    Quiet,
    Pending {
        since: Timestamp,
        worst: f64,
    },
    Firing(Episode),
}

/// The life of one alert.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Watch {
    state: State,
    episodes: Vec<Episode>,
    fired: u64,
    looks: u64,
    blind: u64,
}

impl Watch {
    /// Takes a look: at `now`, `seen` was seen of `alert`. Looks come in the order of time.
    pub fn look(&mut self, alert: &Alert, now: Timestamp, seen: Observation) {
        self.looks += 1;
        let evidence = seen.value.filter(|_| has_evidence(&alert.check, seen));
        self.blind += u64::from(evidence.is_none());
        match evidence.filter(|value| alert.check.holds(*value)) {
            Some(value) => self.holds(alert, now, value),
            None => self.rests(now),
        }
    }

    fn holds(&mut self, alert: &Alert, now: Timestamp, value: f64) {
        let or_worse = |known| worse(&alert.check, known, value);
        let (since, worst) = match self.state {
            State::Quiet => (now, value),
            State::Pending { since, worst } => (since, or_worse(worst)),
            State::Firing(episode) => {
                let worst = or_worse(episode.worst);
                self.state = State::Firing(Episode { worst, ..episode });
                return;
            }
        };
        self.state = if now.since(since) >= alert.hold {
            self.fired += 1;
            State::Firing(Episode {
                began: since,
                fired: now,
                ended: None,
                worst,
            })
        } else {
            State::Pending { since, worst }
        };
    }

    fn rests(&mut self, now: Timestamp) {
        if let State::Firing(episode) = self.state {
            let ended = Some(now);
            self.keep(Episode { ended, ..episode });
        }
        self.state = State::Quiet;
    }

    fn keep(&mut self, episode: Episode) {
        if self.episodes.len() < EPISODES_MAX {
            self.episodes.push(episode);
        }
    }

    /// Every firing, the one under way included; the first [`EPISODES_MAX`] of them.
    pub fn episodes(&self) -> impl Iterator<Item = Episode> {
        let under_way = match self.state {
            State::Firing(episode) if self.episodes.len() < EPISODES_MAX => Some(episode),
            _ => None,
        };
        self.episodes.iter().copied().chain(under_way)
    }

    /// How often it fired.
    pub fn fired(&self) -> u64 {
        self.fired
    }

    /// Whether it fires now.
    pub fn is_firing(&self) -> bool {
        matches!(self.state, State::Firing(_))
    }

    /// How often somebody looked.
    pub fn looks(&self) -> u64 {
        self.looks
    }

    /// At how many looks there was nothing to see.
    pub fn blind_looks(&self) -> u64 {
        self.blind
    }
}

/// Which of the two is farther beyond the target.
pub(in crate::gates) fn worse(check: &Check, one: f64, other: f64) -> f64 {
    let target = check.target.value;
    match check.comparison {
        Comparison::Below | Comparison::AtMost => one.min(other),
        Comparison::Above | Comparison::AtLeast => one.max(other),
        Comparison::Equal | Comparison::NotEqual => {
            if (other - target).abs() > (one - target).abs() {
                other
            } else {
                one
            }
        }
    }
}
