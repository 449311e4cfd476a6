//! How skewed a popularity is: the Zipf skew that fits how often keys were asked for.
//!
//! The method is maximum likelihood over the ranks that the counts themselves give: of all skews, the one
//! under which requests would most likely fall upon the ranks as they did. A line through the points of
//! a plot with two logarithmic axes, as often drawn, gives the many keys of the tail that were asked for
//! once all the say. The ranks come from the counts, so the fit of a short trace is a little too steep.
//! How good it is says the largest gap between the shares of the requests that fall upon the n most
//! popular keys, in the trace and in the fit, over all n: 0 is perfect; above about 0.1 the popularity
//! is no Zipf. Pure.

use schemars::JsonSchema;
use serde::Serialize;

use crate::workload::popularity::ZipfSums;

/// A Zipf popularity that fits a trace.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ZipfFit {
    /// The weight of rank r is 1/r^skew.
    pub skew: f64,
    /// The largest gap between the shares of requests that fall upon the most popular keys, in the trace
    /// and in the fit.
    pub largest_gap: f64,
    /// Over how many keys.
    pub keys: u64,
}

/// Fewer keys have no tail.
const KEYS_MIN: usize = 10;
const SKEW_MAX: f64 = 5.0;
/// Each step takes off a third of what is left.
const STEPS: u32 = 48;

/// The fit for keys that were asked for so often, the most popular first; `None` for too few keys.
pub(super) fn fit(counts: &[u32]) -> Option<ZipfFit> {
    if counts.len() < KEYS_MIN {
        return None;
    }
    let keys = counts.len() as u64;
    let requests: f64 = counts.iter().map(|count| f64::from(*count)).sum();
    let ranks = (1_u64..).map(|rank| rank as f64);
    let log_ranks: f64 = ranks
        .zip(counts)
        .map(|(rank, count)| f64::from(*count) * rank.ln())
        .sum();
    // The first rank's weight is 1, so its share is one part of the sum of all weights.
    let first = |skew: f64| ZipfSums::new(keys, skew).weight(&(0..1));
    let likelihood = |skew: f64| requests * first(skew).ln() - skew * log_ranks;
    let (mut low, mut high) = (0.0, SKEW_MAX);
    for _ in 0..STEPS {
        let third = (high - low) / 3.0;
        if likelihood(low + third) < likelihood(high - third) {
            low += third;
        } else {
            high -= third;
        }
    }
    let skew = f64::midpoint(low, high);
    Some(ZipfFit {
        skew,
        largest_gap: largest_gap(counts, requests, (skew, first(skew))),
        keys,
    })
}

fn largest_gap(counts: &[u32], requests: f64, (skew, first): (f64, f64)) -> f64 {
    let (mut found, mut fitted, mut largest) = (0.0, 0.0, 0.0_f64);
    for (rank, count) in (1_u64..).zip(counts) {
        found += f64::from(*count) / requests;
        fitted += first * (rank as f64).powf(-skew);
        largest = largest.max((found - fitted).abs());
    }
    largest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;
    use crate::workload::Popularity;
    use crate::workload::popularity::RankSampler;

    #[test]
    fn counts_that_are_zipf_are_met() {
        for skew in [0.0, 0.6, 0.99, 1.4] {
            #[allow(clippy::cast_sign_loss, reason = "a power is positive")]
            let count = |rank: u32| (1e9 / f64::from(rank).powf(skew)) as u32;
            let counts: Vec<u32> = (1..=10_000).map(count).collect();
            let fit = fit(&counts).expect("a fit");
            assert!((fit.skew - skew).abs() < 0.001, "{skew} {fit:?}");
            assert!(fit.largest_gap < 0.001, "{skew} {fit:?}");
        }
    }

    #[test]
    fn draws_are_met_nearly() {
        for skew in [0.6, 0.99, 1.2] {
            let sampler = RankSampler::new(20_000, Popularity::Zipf { skew });
            let mut stream = Seed(7).stream("draws");
            let mut counts = vec![0_u32; 20_000];
            for _ in 0..400_000 {
                counts[sampler.draw(&mut stream) as usize] += 1;
            }
            counts.retain(|count| *count > 0);
            counts.sort_unstable_by(|a, b| b.cmp(a));
            let fit = fit(&counts).expect("a fit");
            assert!((fit.skew - skew).abs() < 0.05, "{skew} {fit:?}");
            assert!(fit.largest_gap < 0.03, "{skew} {fit:?}");
        }
    }

    #[test]
    fn what_is_no_zipf_is_told_by_its_gap() {
        // A tenth of the keys takes nine tenths of the requests, evenly.
        let counts: Vec<u32> = (0..10_000)
            .map(|rank| if rank < 1_000 { 810 } else { 10 })
            .collect();
        let fit = fit(&counts).expect("a fit");
        assert!(fit.largest_gap > 0.1, "{fit:?}");
        assert_eq!(super::fit(&[1; 9]), None);
    }
}
