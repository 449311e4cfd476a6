//! A figure from a few independent samples: its mean, and the interval that the truth is in with 95%
//! confidence.
//!
//! The interval is Student's: mean ± t · s / √B for B samples with the standard deviation s. On top of
//! it comes what is known of the direction and size of a bias. Pure; called by the report of a sampled
//! simulation.

/// An estimate with its interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ErrorBar {
    /// The mean of the samples.
    pub mean: f64,
    /// The standard error of that mean.
    pub standard_error: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// How many samples it rests on.
    pub samples: u32,
}

impl ErrorBar {
    /// The mean of `values` and its 95% interval. `None` with fewer than two values, which say
    /// nothing of how far they are off, or if one is not a number.
    pub fn of(values: &[f64]) -> Option<Self> {
        let samples = u32::try_from(values.len()).ok()?;
        if samples < 2 || values.iter().any(|value| !value.is_finite()) {
            return None;
        }
        let count = f64::from(samples);
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let standard_error = (squares / (count - 1.0) / count).sqrt();
        let half = t_quantile(samples - 1) * standard_error;
        Some(Self {
            mean,
            standard_error,
            low: mean - half,
            high: mean + half,
            samples,
        })
    }

    /// The same where the truth is expected to be higher by `bias` (lower, if that is negative) than
    /// what the samples say: the mean moves there, and the interval reaches from where it was to where
    /// it would be, because a bias that is worked out is not measured.
    #[must_use]
    pub fn corrected(self, bias: f64) -> Self {
        Self {
            mean: self.mean + bias,
            low: self.low + bias.min(0.0),
            high: self.high + bias.max(0.0),
            ..self
        }
    }

    /// The same where the truth may be so much further off on both sides.
    #[must_use]
    pub fn widened(self, by: f64) -> Self {
        Self {
            low: self.low - by.max(0.0),
            high: self.high + by.max(0.0),
            ..self
        }
    }

    /// The same within what is possible.
    #[must_use]
    pub fn within(self, least: f64, most: f64) -> Self {
        Self {
            mean: self.mean.clamp(least, most),
            low: self.low.clamp(least, most),
            high: self.high.clamp(least, most),
            ..self
        }
    }

    /// Whether `value` is in the interval.
    pub fn holds(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }
}

/// Student's t for a two-sided 95% interval, for 1 to 30 degrees of freedom. Source: NIST/SEMATECH
/// e-Handbook of Statistical Methods, 1.3.6.7.2, column 0.975.
const T_975: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160,
    2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056,
    2.052, 2.048, 2.045, 2.042,
];

/// Student's t for a two-sided 95% interval with so many degrees of freedom: one less than samples.
/// Beyond the table the last value, which is a little too careful.
fn t_quantile(degrees: u32) -> f64 {
    let at = (degrees.max(1) as usize).min(T_975.len()) - 1;
    T_975[at]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;
    use rand_distr::Distribution;

    #[test]
    fn a_mean_and_its_interval() {
        let bar = ErrorBar::of(&[1.0, 2.0, 3.0, 4.0]).expect("a bar");
        // s² = 5/3, so the standard error is √(5/12), and t is 3.182.
        assert!((bar.mean - 2.5).abs() < 1e-12);
        assert!((bar.standard_error - (5.0_f64 / 12.0).sqrt()).abs() < 1e-12);
        assert!((bar.high - (2.5 + 3.182 * bar.standard_error)).abs() < 1e-12);
        assert!((bar.low + bar.high - 5.0).abs() < 1e-12);
        let wide = bar.corrected(-1.0);
        assert!((wide.low - (bar.low - 1.0)).abs() < 1e-12 && (wide.mean - 1.5).abs() < 1e-12);
        assert_eq!(wide.high.to_bits(), bar.high.to_bits());
        let wide = bar.widened(0.5);
        assert!(
            (wide.high - bar.high - 0.5).abs() < 1e-12 && (bar.low - wide.low - 0.5).abs() < 1e-12
        );
        let cut = bar.within(1.0, 3.0);
        assert!(cut.holds(1.0) && cut.holds(3.0) && !cut.holds(3.01));
    }

    #[test]
    fn too_little_says_nothing() {
        assert_eq!(ErrorBar::of(&[]), None);
        assert_eq!(ErrorBar::of(&[1.0]), None);
        assert_eq!(ErrorBar::of(&[1.0, f64::NAN]), None);
        let same = ErrorBar::of(&[0.97, 0.97]).expect("a bar");
        assert!(same.holds(0.97) && same.standard_error.abs() < 1e-12);
    }

    #[test]
    fn the_interval_holds_the_truth_as_often_as_it_says() {
        let normal = rand_distr::Normal::new(10.0, 2.0).expect("a distribution");
        let mut stream = Seed(5).stream("coverage");
        for samples in [2, 4, 8, 31, 60] {
            let held = (0..2_000).filter(|_| {
                let values: Vec<f64> = (0..samples).map(|_| normal.sample(&mut stream)).collect();
                ErrorBar::of(&values).is_some_and(|bar| bar.holds(10.0))
            });
            let held = held.count();
            // 95% of 2,000 with five standard deviations on both sides.
            assert!(
                (1_850..=1_950).contains(&held),
                "{samples} samples: {held} of 2,000"
            );
        }
    }
}
