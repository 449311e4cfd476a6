//! The same form with other rates, or over another time: for whoever looks for a limit.

use std::time::Duration;

use super::{Arrivals, Shape};
use crate::units::Rate;

impl Arrivals {
    /// So many times as many, in a phase that lasts so many times as long.
    #[must_use]
    pub fn scaled(self, rates: f64, times: f64) -> Self {
        Self {
            shape: self.shape.scaled(rates, times),
            ..self
        }
    }
}

impl Shape {
    /// The same form: every rate times `rates`, and every time in it times `times`.
    #[must_use]
    pub fn scaled(self, rates: f64, times: f64) -> Self {
        let more = |rate: Rate| Rate {
            per_s: rate.per_s * rates,
        };
        let longer = |time: Duration| {
            Duration::try_from_secs_f64(time.as_secs_f64() * times).unwrap_or(Duration::MAX)
        };
        match self {
            Self::Constant(rate) => Self::Constant(more(rate)),
            Self::Ramp { from, to } => Self::Ramp {
                from: more(from),
                to: more(to),
            },
            Self::Step { from, to, steps } => Self::Step {
                from: more(from),
                to: more(to),
                steps,
            },
            Self::Spike {
                base,
                peak,
                at,
                length,
            } => Self::Spike {
                base: more(base),
                peak: more(peak),
                at: longer(at),
                length: longer(length),
            },
            Self::Sine { low, high, period } => Self::Sine {
                low: more(low),
                high: more(high),
                period: longer(period),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shapes() -> [Shape; 5] {
        let rate = |per_s| Rate { per_s };
        [
            Shape::Constant(rate(50.0)),
            Shape::Ramp {
                from: rate(10.0),
                to: rate(90.0),
            },
            Shape::Step {
                from: rate(10.0),
                to: rate(90.0),
                steps: 5,
            },
            Shape::Spike {
                base: rate(20.0),
                peak: rate(80.0),
                at: Duration::from_secs(4),
                length: Duration::from_secs(2),
            },
            Shape::Sine {
                low: rate(5.0),
                high: rate(95.0),
                period: Duration::from_secs(7),
            },
        ]
    }

    proptest! {
        #[test]
        fn the_form_stays(rates in 0.01..100.0_f64, times in 0.1..10.0_f64) {
            let phase = Duration::from_secs(20);
            let other = phase.mul_f64(times);
            for shape in shapes() {
                let scaled = shape.scaled(rates, times);
                let peak = scaled.peak(other).per_s / shape.peak(phase).per_s;
                prop_assert!((peak / rates - 1.0).abs() < 1e-6, "{scaled:?}");
                let count = scaled.expected(other) / shape.expected(phase);
                prop_assert!((count / (rates * times) - 1.0).abs() < 1e-6, "{scaled:?}");
            }
        }
    }
}
