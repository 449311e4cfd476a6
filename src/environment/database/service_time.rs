//! How long queries take: draws from the log-normal distribution with a given median and 99th
//! percentile.
//!
//! Used by the database alone; each table has one stream of randomness for reads and one for
//! writes, so that more queries of one kind change nothing for another.

use std::time::Duration;

use parking_lot::Mutex;
use rand_distr::{Distribution as _, LogNormal};

use crate::environment::ServiceTime;
use crate::seed::Stream;

/// The 99th percentile of the standard normal distribution.
const Z_P99: f64 = 2.326_347_874_040_841;
/// No query takes longer than this many times its 99th percentile: a draw far out in the tail
/// would otherwise outlast the run.
const LONGEST_P99S: u32 = 100;

pub(super) struct ServiceTimes {
    median: Duration,
    longest: Duration,
    /// `None`: every query takes the median.
    spread: Option<(LogNormal<f64>, Mutex<Stream>)>,
}

impl ServiceTimes {
    pub(super) fn new(time: ServiceTime, stream: Stream) -> Self {
        // The logarithm of a log-normal value is normal: its median gives mu, and
        // p99 = exp(mu + Z_P99 * sigma) gives sigma.
        let median_s = time.median.as_secs_f64();
        let sigma = (time.p99.as_secs_f64() / median_s).ln() / Z_P99;
        let spread = (time.p99 > time.median && median_s > 0.0)
            .then(|| LogNormal::new(median_s.ln(), sigma).ok())
            .flatten();
        Self {
            median: time.median,
            longest: time.p99.saturating_mul(LONGEST_P99S),
            spread: spread.map(|spread| (spread, Mutex::new(stream))),
        }
    }

    pub(super) fn draw(&self) -> Duration {
        let Some((spread, stream)) = &self.spread else {
            return self.median;
        };
        let seconds = spread.sample(&mut *stream.lock());
        Duration::try_from_secs_f64(seconds).map_or(self.longest, |time| time.min(self.longest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;

    fn times(median_ms: u64, p99_ms: u64) -> ServiceTimes {
        let time = ServiceTime {
            median: Duration::from_millis(median_ms),
            p99: Duration::from_millis(p99_ms),
        };
        ServiceTimes::new(time, Seed(42).stream("test"))
    }

    #[test]
    fn draws_have_the_median_and_the_99th_percentile_that_were_asked() {
        let times = times(150, 400);
        let mut draws_ms: Vec<f64> = (0..20_000)
            .map(|_| times.draw().as_secs_f64() * 1e3)
            .collect();
        draws_ms.sort_by(f64::total_cmp);
        let (median, p99) = (draws_ms[10_000], draws_ms[19_800]);
        // Four standard errors of the estimates from 20,000 draws: 1.5% and 4.5%.
        assert!((median / 150.0 - 1.0).abs() < 0.015, "median {median} ms");
        assert!((p99 / 400.0 - 1.0).abs() < 0.045, "p99 {p99} ms");
    }

    #[test]
    fn equal_values_make_it_constant_and_zero_is_no_time() {
        assert_eq!(times(150, 150).draw(), Duration::from_millis(150));
        assert_eq!(times(0, 0).draw(), Duration::ZERO);
        assert_eq!(times(0, 400).draw(), Duration::ZERO);
    }

    #[test]
    fn the_same_stream_gives_the_same_times() {
        let draws = || -> Vec<Duration> {
            let times = times(10, 90);
            (0..100).map(|_| times.draw()).collect()
        };
        assert_eq!(draws(), draws());
    }
}
