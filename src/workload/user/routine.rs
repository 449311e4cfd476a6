//! What a kind of users does, made ready to be drawn from.
//!
//! Called by `user` alone. Pure: all randomness comes from the stream that is given.

use std::time::Duration;

use rand::RngExt;

use super::Place;
use crate::engine::data_type::DataTypeId;
use crate::engine::layer::Operation;
use crate::seed::Stream;
use crate::units::SpanRange;
use crate::workload::MixEntry;
use crate::workload::kinds::{Journey, JourneyStep, UserKind, What};

/// What a kind of users does.
#[derive(Debug)]
pub(super) struct Routine {
    pub(super) think_time: SpanRange,
    pub(super) on_start: Vec<(DataTypeId, Operation)>,
    pub(super) what: Prepared,
}

/// What users do, over and over.
#[derive(Debug)]
pub(super) enum Prepared {
    Mix(Mix),
    Journeys(Journeys),
}

/// Single requests by weight.
#[derive(Debug)]
pub(super) struct Mix {
    by_weight: ByWeight,
    lines: Vec<(DataTypeId, Operation)>,
}

/// Journeys by weight.
#[derive(Debug)]
pub(super) struct Journeys {
    by_weight: ByWeight,
    /// The steps of each.
    steps: Vec<Vec<JourneyStep>>,
}

/// The sums of some weights, each up to and including its own.
#[derive(Debug)]
struct ByWeight(Vec<f64>);

impl ByWeight {
    fn new(weights: impl Iterator<Item = f64>) -> Self {
        let mut sum = 0.0;
        let sums = weights.map(|weight| {
            sum += if weight > 0.0 { weight } else { 0.0 };
            sum
        });
        Self(sums.collect())
    }

    /// The place of one of them; `None` if none has a weight.
    fn draw(&self, stream: &mut Stream) -> Option<usize> {
        let all = self.0.last()?;
        let at = stream.random::<f64>() * all;
        let found = self.0.partition_point(|to_here| *to_here <= at);
        (found < self.0.len()).then_some(found)
    }
}

impl Routine {
    pub(super) fn new(kind: &UserKind) -> Self {
        Self {
            think_time: kind.think_time,
            on_start: kind.on_start.clone(),
            what: match &kind.what {
                What::Mix(mix) => Prepared::Mix(Mix::new(mix)),
                What::Journeys(journeys) => Prepared::Journeys(Journeys::new(journeys)),
            },
        }
    }

    /// That of nobody: thinks, and asks nothing.
    pub(super) fn idle() -> Self {
        Self {
            think_time: SpanRange {
                min: Duration::MAX,
                max: Duration::MAX,
            },
            on_start: Vec::new(),
            what: Prepared::Mix(Mix::new(&[])),
        }
    }
}

impl Prepared {
    /// The step of a journey at `place`.
    pub(super) fn step(&self, place: Place) -> Option<&JourneyStep> {
        match self {
            Self::Mix(_) => None,
            Self::Journeys(journeys) => {
                let steps = journeys.steps.get(usize::from(place.journey))?;
                steps.get(usize::from(place.step))
            }
        }
    }
}

impl Mix {
    fn new(mix: &[MixEntry]) -> Self {
        Self {
            by_weight: ByWeight::new(mix.iter().map(|entry| entry.weight)),
            lines: mix
                .iter()
                .map(|entry| (entry.data_type, entry.operation))
                .collect(),
        }
    }

    /// A line by weight; `None` if no line has any.
    pub(super) fn draw(&self, stream: &mut Stream) -> Option<(DataTypeId, Operation)> {
        let at = self.by_weight.draw(stream)?;
        self.lines.get(at).copied()
    }
}

impl Journeys {
    fn new(journeys: &[Journey]) -> Self {
        let weights = journeys.iter().map(|journey| journey.weight);
        Self {
            by_weight: ByWeight::new(weights),
            steps: journeys
                .iter()
                .map(|journey| journey.steps.clone())
                .collect(),
        }
    }

    /// The first request of a journey, drawn by weight; `None` if all its steps are left out, or if
    /// there is no journey.
    pub(super) fn begin(&self, stream: &mut Stream) -> Option<Place> {
        let journey = self.by_weight.draw(stream)?;
        self.from((u16::try_from(journey).ok()?, 0), 0, stream)
    }

    /// The request after that at `place`, of a user who remembers the values of `known`; `None` if the
    /// journey is over.
    pub(super) fn after(&self, place: Place, known: u8, stream: &mut Stream) -> Option<Place> {
        if place.left > 1 {
            return Some(Place {
                left: place.left - 1,
                ..place
            });
        }
        let steps = self.steps.get(usize::from(place.journey))?;
        let done = steps.get(usize::from(place.step))?;
        if done.leave.0 > 0.0 && stream.random::<f64>() < done.leave.0 {
            return None;
        }
        self.from((place.journey, place.step + 1), known, stream)
    }

    /// The first step of a journey, from the one given on, that is not left out.
    fn from(&self, (journey, first): (u16, u16), known: u8, stream: &mut Stream) -> Option<Place> {
        let steps = self.steps.get(usize::from(journey))?;
        (first..)
            .zip(steps.get(usize::from(first)..)?)
            .find_map(|(step, what)| {
                if !what.is_possible(known) {
                    return None;
                }
                if what.chance.0 < 1.0 && stream.random::<f64>() >= what.chance.0 {
                    return None;
                }
                let times = what.times;
                let left = if times.min < times.max {
                    stream.random_range(times.min..=times.max)
                } else {
                    times.min
                };
                (left > 0).then_some(Place {
                    journey,
                    step,
                    left,
                })
            })
    }
}

/// A duration within `span`.
pub(super) fn draw_span(span: SpanRange, stream: &mut Stream) -> Duration {
    let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    let (min, max) = (nanos(span.min), nanos(span.max));
    Duration::from_nanos(stream.random_range(min..=max.max(min)))
}
