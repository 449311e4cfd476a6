//! When requests are due in an open loop: whatever the answers take, on an absolute schedule.
//!
//! A [`Shape`] says how many arrive per second over a phase. Arrivals follow from it by inversion: the
//! one numbered `n` is due when the integral of the rate has come to `n`; with Poisson arrivals, when it
//! has come to the sum of as many exponential draws (the time-rescaling theorem, so that any shape is an
//! exact Poisson process of that rate). Nothing is ever "slept then sent", and what is late does not
//! delay what comes after it.
//!
//! Called by the open-loop driver. Pure: time is counted from the start of the run.

use std::time::Duration;

use rand_distr::{Distribution as _, Exp1};

use crate::seed::{Seed, Stream};
use crate::units::Rate;

/// In how many straight pieces one period of a sine is drawn. The rate is off by less than one part in
/// 3,000 of its swing.
const SINE_PIECES: u32 = 64;

/// How many requests arrive per second over a phase.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    /// The same all the time.
    Constant(Rate),
    /// Evenly more, or less.
    Ramp {
        /// At the start.
        from: Rate,
        /// At the end.
        to: Rate,
    },
    /// As a ramp, in so many equally long steps; the first has the rate `from`, the last `to`.
    Step {
        /// The first step's.
        from: Rate,
        /// The last step's.
        to: Rate,
        /// How many, at least one.
        steps: u32,
    },
    /// More for a time.
    Spike {
        /// Before and after.
        base: Rate,
        /// For that time.
        peak: Rate,
        /// When it begins, from the start of the phase.
        at: Duration,
        /// How long it lasts.
        length: Duration,
    },
    /// Up and down, as over a day; begins at the lowest.
    Sine {
        /// The lowest.
        low: Rate,
        /// The highest, half a period later.
        high: Rate,
        /// From one lowest to the next.
        period: Duration,
    },
}

impl Shape {
    /// The piece numbered `at` of a phase that lasts so many seconds; `None` past its end.
    fn piece(&self, at: u32, phase_s: f64) -> Option<Piece> {
        let whole = |from: Rate, to: Rate| {
            (at == 0).then_some(Piece {
                end_s: phase_s,
                from: from.per_s,
                to: to.per_s,
            })
        };
        match *self {
            Self::Constant(rate) => whole(rate, rate),
            Self::Ramp { from, to } => whole(from, to),
            Self::Step { from, to, steps } => {
                let steps = steps.max(1);
                let share = f64::from(at) / f64::from((steps - 1).max(1));
                let rate = from.per_s + (to.per_s - from.per_s) * share;
                let end_s = phase_s * f64::from(at + 1) / f64::from(steps);
                (at < steps).then_some(Piece::flat(end_s, rate))
            }
            Self::Spike {
                base,
                peak,
                at: begins,
                length,
            } => {
                let (begins, ends) = (begins.as_secs_f64(), (begins + length).as_secs_f64());
                let flat = |end_s: f64, rate: Rate| Piece::flat(end_s.min(phase_s), rate.per_s);
                match at {
                    0 => Some(flat(begins, base)),
                    1 => Some(flat(ends, peak)),
                    2 => Some(flat(phase_s, base)),
                    _ => None,
                }
            }
            Self::Sine { low, high, period } => {
                let piece_s = period.as_secs_f64() / f64::from(SINE_PIECES);
                let start_s = f64::from(at) * piece_s;
                let rate = |piece: u32| {
                    let angle = std::f64::consts::TAU * f64::from(piece % SINE_PIECES)
                        / f64::from(SINE_PIECES);
                    low.per_s + (high.per_s - low.per_s) * (1.0 - angle.cos()) / 2.0
                };
                // The last is cut off where the phase ends, with its slope.
                (start_s < phase_s).then(|| Piece {
                    end_s: start_s + piece_s,
                    from: rate(at),
                    to: rate(at + 1),
                })
            }
        }
    }

    /// The highest rate that it reaches in a phase of this length.
    pub fn peak(&self, phase: Duration) -> Rate {
        let phase_s = phase.as_secs_f64();
        let pieces = (0..).map_while(|at| self.piece(at, phase_s));
        // A sine has been everywhere after one period.
        let per_s = pieces
            .take(SINE_PIECES as usize + 3)
            .map(|piece| piece.from.max(piece.to))
            .fold(0.0, f64::max);
        Rate { per_s }
    }

    /// How many arrive in a phase of this length, on average.
    pub fn expected(&self, phase: Duration) -> f64 {
        let phase_s = phase.as_secs_f64();
        let mut start_s = 0.0;
        let pieces = (0..).map_while(|at| self.piece(at, phase_s));
        pieces
            .map(|piece| {
                let area = piece.area(start_s, phase_s);
                start_s = piece.end_s;
                area
            })
            .sum()
    }
}

/// A time in which the rate changes evenly, or not at all.
#[derive(Clone, Copy, Debug)]
struct Piece {
    /// When it ends, from the start of the phase; it begins where the one before ends.
    end_s: f64,
    /// Arrivals per second at its start, and at its end.
    from: f64,
    to: f64,
}

impl Piece {
    fn flat(end_s: f64, per_s: f64) -> Self {
        Self {
            end_s,
            from: per_s,
            to: per_s,
        }
    }

    /// How many arrive in it, if it begins at `start_s` and nothing comes after `phase_s`.
    fn area(&self, start_s: f64, phase_s: f64) -> f64 {
        let whole_s = self.end_s - start_s;
        let length_s = self.end_s.min(phase_s) - start_s;
        if length_s <= 0.0 {
            return 0.0;
        }
        let slope = (self.to - self.from) / whole_s;
        (self.from + slope * length_s / 2.0) * length_s
    }

    /// After how many seconds so many have arrived.
    fn time_of(&self, start_s: f64, count: f64) -> f64 {
        let slope = (self.to - self.from) / (self.end_s - start_s);
        // The root of slope/2 t² + from t = count, in the form that stays exact for a slope of zero.
        let root = (self.from * self.from + 2.0 * slope * count).max(0.0);
        2.0 * count / (self.from + root.sqrt())
    }
}

/// How requests arrive over a phase.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Arrivals {
    /// How many per second.
    pub shape: Shape,
    /// Whether each comes independently of the others; otherwise they are evenly spaced.
    pub poisson: bool,
}

/// The arrivals of one phase.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PhaseArrivals {
    /// How long the phase lasts.
    pub duration: Duration,
    /// What arrives in it; `None`: nothing.
    pub arrivals: Option<Arrivals>,
}

/// The moments of all arrivals of a run, one after another, each as the time since the run's start.
///
/// The same seed gives the same moments; each phase draws from a stream of its own, so that a change in
/// one changes nothing in the next.
#[derive(Debug)]
pub struct Pacer {
    phases: std::vec::IntoIter<PhaseArrivals>,
    seed: Seed,
    begun: u64,
    /// When the current phase began.
    phase_start: Duration,
    current: Option<Pacing>,
}

/// A phase under way.
#[derive(Debug)]
struct Pacing {
    arrivals: Arrivals,
    phase: Duration,
    phase_s: f64,
    stream: Stream,
    piece: Piece,
    piece_number: u32,
    piece_start_s: f64,
    /// How many must have arrived since the piece's start for the next one to be due.
    wanted: f64,
    /// How many arrive in the piece.
    area: f64,
}

impl Pacing {
    fn begin(phase: PhaseArrivals, stream: Stream) -> Option<Self> {
        let arrivals = phase.arrivals?;
        let phase_s = phase.duration.as_secs_f64();
        let piece = arrivals.shape.piece(0, phase_s)?;
        let mut pacing = Self {
            arrivals,
            phase: phase.duration,
            phase_s,
            stream,
            piece,
            piece_number: 0,
            piece_start_s: 0.0,
            wanted: 0.0,
            area: piece.area(0.0, phase_s),
        };
        // Evenly spaced ones stand in the middle of their intervals, so that phases join without a
        // double arrival.
        pacing.wanted = if arrivals.poisson { pacing.gap() } else { 0.5 };
        Some(pacing)
    }

    fn gap(&mut self) -> f64 {
        if self.arrivals.poisson {
            Exp1.sample(&mut self.stream)
        } else {
            1.0
        }
    }

    /// When the next is due, from the start of the phase; `None` when there is no more.
    fn next(&mut self) -> Option<Duration> {
        while self.wanted > self.area {
            self.wanted -= self.area;
            self.piece_start_s = self.piece.end_s;
            self.piece_number += 1;
            self.piece = self.arrivals.shape.piece(self.piece_number, self.phase_s)?;
            self.area = self.piece.area(self.piece_start_s, self.phase_s);
        }
        let due_s = self.piece_start_s + self.piece.time_of(self.piece_start_s, self.wanted);
        self.wanted += self.gap();
        let due = Duration::try_from_secs_f64(due_s).unwrap_or(self.phase);
        // Rounding must not move it into the next phase.
        Some(due.min(self.phase.saturating_sub(Duration::from_nanos(1))))
    }
}

impl Pacer {
    /// The arrivals of `phases`, which follow one another.
    pub fn new(phases: Vec<PhaseArrivals>, seed: Seed) -> Self {
        Self {
            phases: phases.into_iter(),
            seed,
            begun: 0,
            phase_start: Duration::ZERO,
            current: None,
        }
    }
}

impl Iterator for Pacer {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        loop {
            if let Some(pacing) = &mut self.current {
                if let Some(due) = pacing.next() {
                    return Some(self.phase_start + due);
                }
                self.phase_start += pacing.phase;
                self.current = None;
            }
            let phase = self.phases.next()?;
            let stream = self.seed.stream_of("arrivals", self.begun);
            self.begun += 1;
            self.current = Pacing::begin(phase, stream);
            if self.current.is_none() {
                self.phase_start += phase.duration;
            }
        }
    }
}

#[cfg(test)]
mod tests;
