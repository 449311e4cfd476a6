//! How long a part of the way takes in virtual time, as measured in real time: a distribution by its
//! quantiles.
//!
//! The modelled network and the modelled instances draw from it; `validate` makes one from what a real
//! run measured. Pure: the stream of randomness comes from the caller.

use std::time::Duration;

use rand::RngExt as _;

use crate::seed::Stream;

/// A distribution of durations, drawn by linear interpolation between its quantiles.
#[derive(Clone, Debug, PartialEq)]
pub struct Delay {
    /// Shares from 0 to 1 and the duration that this share of all does not exceed; both ascending, and
    /// never empty.
    quantiles: Vec<(f64, Duration)>,
}

impl Delay {
    /// Always the same.
    pub fn constant(delay: Duration) -> Self {
        Self {
            quantiles: vec![(0.0, delay)],
        }
    }

    /// The distribution with these quantiles; `None` if there are none, or if shares or durations do
    /// not ascend.
    pub fn from_quantiles(quantiles: Vec<(f64, Duration)>) -> Option<Self> {
        let ascending = |pair: &[(f64, Duration)]| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1;
        let in_range = |(share, _): &(f64, Duration)| (0.0..=1.0).contains(share);
        let valid = !quantiles.is_empty()
            && quantiles.iter().all(in_range)
            && quantiles.windows(2).all(ascending);
        valid.then_some(Self { quantiles })
    }

    /// One duration.
    pub fn draw(&self, stream: &mut Stream) -> Duration {
        if let [(_, only)] = *self.quantiles {
            return only;
        }
        self.quantile(stream.random())
    }

    /// What a `share` of all does not exceed.
    pub fn quantile(&self, share: f64) -> Duration {
        let above = self.quantiles.partition_point(|(at, _)| *at < share);
        let (_, longest) = self.quantiles[self.quantiles.len() - 1];
        let Some(&(to, high)) = self.quantiles.get(above) else {
            return longest;
        };
        let Some(&(from, low)) = above.checked_sub(1).and_then(|at| self.quantiles.get(at)) else {
            return high;
        };
        low + high
            .saturating_sub(low)
            .mul_f64((share - from) / (to - from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;

    const fn us(us: u64) -> Duration {
        Duration::from_micros(us)
    }

    #[test]
    fn draws_follow_the_quantiles() {
        let quantiles = vec![
            (0.0, us(100)),
            (0.5, us(200)),
            (0.9, us(600)),
            (1.0, us(1_000)),
        ];
        let delay = Delay::from_quantiles(quantiles).expect("ascending");
        assert_eq!(delay.quantile(0.25), us(150));
        assert_eq!(delay.quantile(0.7), us(400));
        let mut stream = Seed(1).stream("delay");
        let mut draws: Vec<Duration> = (0..10_000).map(|_| delay.draw(&mut stream)).collect();
        draws.sort_unstable();
        // Four standard errors of the estimates.
        let near = |got: Duration, wanted: Duration| got.abs_diff(wanted) < us(20);
        assert!(near(draws[5_000], us(200)) && near(draws[9_000], us(600)));
        assert!(draws[0] >= us(100) && draws[9_999] <= us(1_000));
    }

    #[test]
    fn a_constant_is_always_the_same_and_draws_nothing() {
        let delay = Delay::constant(us(7));
        let (mut stream, untouched) = (Seed(1).stream("delay"), Seed(1).stream("delay"));
        assert_eq!(delay.draw(&mut stream), us(7));
        assert_eq!(stream, untouched);
        assert_eq!(delay.quantile(0.3), us(7));
    }

    #[test]
    fn what_does_not_ascend_is_no_distribution() {
        for wrong in [
            vec![],
            vec![(0.5, us(2)), (0.5, us(3))],
            vec![(0.1, us(2)), (0.5, us(1))],
            vec![(0.1, us(2)), (1.5, us(3))],
        ] {
            assert_eq!(Delay::from_quantiles(wrong), None);
        }
    }
}
