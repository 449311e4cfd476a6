//! A distribution of durations: an HDR histogram of nanoseconds with three significant digits.
//!
//! Every duration that is reported went through one of these. It grows with the largest value it
//! holds (about 100 KB at 10 s, 60 KB at 1 ms) and is exact to 0.1%.

use std::time::Duration;

use super::Summary;

/// Significant decimal digits kept.
const DIGITS: u8 = 3;

/// Counts in 32 bits saturate, per bucket, at 4 billion: days of the fastest load in one bucket.
type Inner = hdrhistogram::Histogram<u32>;

/// A distribution of durations.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    inner: Inner,
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

/// An empty histogram of `digits` significant digits that grows as needed.
#[allow(
    clippy::expect_used,
    reason = "the one error is a number of digits above five"
)]
pub(super) fn growing(digits: u8) -> Inner {
    Inner::new(digits).expect("between zero and five digits")
}

/// A duration as it stands in a histogram.
pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Histogram {
    /// An empty one.
    pub fn new() -> Self {
        Self {
            inner: growing(DIGITS),
        }
    }

    /// Counts one `duration`.
    pub fn record(&mut self, duration: Duration) {
        let recorded = self.inner.record(nanos(duration));
        debug_assert!(recorded.is_ok(), "it grows to hold any 64-bit value");
    }

    /// Counts all that `other` counted.
    pub fn merge(&mut self, other: &Self) {
        let added = self.inner.add(&other.inner);
        debug_assert!(added.is_ok(), "it grows to hold what the other holds");
    }

    /// How many durations were counted.
    pub fn count(&self) -> u64 {
        self.inner.len()
    }

    /// Whether none was counted.
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// The largest; zero if empty.
    pub fn max(&self) -> Duration {
        Duration::from_nanos(if self.is_empty() { 0 } else { self.inner.max() })
    }

    /// The mean in microseconds; zero if empty.
    pub fn mean_us(&self) -> f64 {
        self.inner.mean() / 1e3
    }

    /// The smallest value that a share `q` of the durations does not exceed; zero if empty.
    pub fn quantile(&self, q: f64) -> Duration {
        Duration::from_nanos(self.inner.value_at_quantile(q))
    }

    /// [`Self::quantile`] in microseconds.
    pub fn quantile_us(&self, q: f64) -> f64 {
        self.inner.value_at_quantile(q) as f64 / 1e3
    }

    /// What reports print of it, in microseconds.
    pub fn summary_us(&self) -> Summary {
        Summary {
            count: self.count(),
            mean: self.mean_us(),
            p50: self.quantile_us(0.5),
            p90: self.quantile_us(0.9),
            p95: self.quantile_us(0.95),
            p99: self.quantile_us(0.99),
            p999: self.quantile_us(0.999),
            max: nanos(self.max()) as f64 / 1e3,
        }
    }

    /// The histogram itself, for the interval log.
    pub(super) fn inner(&self) -> &Inner {
        &self.inner
    }
}

/// The same of a histogram that was recorded elsewhere, in whole microseconds.
pub fn summary_of_us(times_us: &hdrhistogram::Histogram<u64>) -> Summary {
    if times_us.is_empty() {
        return Summary::default();
    }
    let quantile = |q| times_us.value_at_quantile(q) as f64;
    Summary {
        count: times_us.len(),
        mean: times_us.mean(),
        p50: quantile(0.5),
        p90: quantile(0.9),
        p95: quantile(0.95),
        p99: quantile(0.99),
        p999: quantile(0.999),
        max: times_us.max() as f64,
    }
}

impl<'h> FromIterator<&'h Histogram> for Histogram {
    /// All of them merged.
    fn from_iter<I: IntoIterator<Item = &'h Self>>(histograms: I) -> Self {
        let mut merged = Self::new();
        for histogram in histograms {
            merged.merge(histogram);
        }
        merged
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_empty_histogram_is_all_zeros() {
        assert_eq!(Histogram::new().summary_us(), Summary::default());
    }

    #[test]
    fn extremes_are_kept() {
        let mut histogram = Histogram::new();
        histogram.record(Duration::ZERO);
        histogram.record(Duration::MAX);
        assert_eq!(histogram.count(), 2);
        assert_eq!(histogram.quantile(0.5), Duration::ZERO);
        assert_eq!(histogram.max(), Duration::from_nanos(u64::MAX));
    }

    fn of(nanos: &[u64]) -> Histogram {
        let mut histogram = Histogram::new();
        for nanos in nanos {
            histogram.record(Duration::from_nanos(*nanos));
        }
        histogram
    }

    proptest! {
        #[test]
        fn quantiles_are_exact_to_a_thousandth(
            mut nanos in prop::collection::vec(0u64..100_000_000_000, 1..400),
            q in 0.0..=1.0f64,
        ) {
            let got = of(&nanos).quantile_us(q) * 1e3;
            nanos.sort_unstable();
            #[allow(clippy::cast_sign_loss, reason = "a share of a count is not negative")]
            let rank = ((q * nanos.len() as f64).ceil() as usize).clamp(1, nanos.len());
            let exact = nanos[rank - 1] as f64;
            prop_assert!(got >= exact - 0.5 && got <= exact * 1.001 + 1.0, "{got} for {exact}");
        }

        #[test]
        fn merging_is_counting_all(
            left in prop::collection::vec(0u64..u64::MAX / 2, 0..100),
            right in prop::collection::vec(0u64..100_000, 0..100),
        ) {
            let mut merged = of(&left);
            merged.merge(&of(&right));
            prop_assert_eq!(merged, of(&[left, right].concat()));
        }
    }
}
