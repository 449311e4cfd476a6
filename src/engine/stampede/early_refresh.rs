//! `early-refresh`: a reader now and then has the entry loaded anew before its TTL ends, the likelier
//! the nearer the end and the longer a load takes, so that the end is hardly ever reached.
//!
//! `XFetch`: Vattani, Chierichetti and Lowenstein, "Optimal Probabilistic Cache Stampede Prevention",
//! VLDB 2015. Without coalescing the number of loads per expiry is geometric with mean `e^(1/beta)`
//! for many reads per load time; a test holds that. Here one of them per instance is loaded.

use std::time::Duration;

use crate::clock::Timestamp;

/// Whether a reader who drew `uniform`, from (0, 1], should have the entry loaded anew now.
pub fn is_due(
    now: Timestamp,
    fresh_until: Timestamp,
    load_time: Duration,
    beta: f64,
    uniform: f64,
) -> bool {
    // -ln is infinite at 0 and the duration saturates: then it is due.
    let ahead_s = load_time.as_secs_f64() * beta * -uniform.ln();
    let ahead = Duration::try_from_secs_f64(ahead_s).unwrap_or(Duration::MAX);
    now + ahead >= fresh_until
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;
    use proptest::prelude::*;
    use rand::RngExt;

    fn at_us(us: u64) -> Timestamp {
        Timestamp::from_unix_nanos(us * 1_000)
    }

    proptest! {
        #[test]
        fn past_its_ttl_an_entry_is_always_due(late_us in 0u64..1_000_000, uniform in 0.0001f64..=1.0) {
            let (end, load) = (at_us(5_000_000), Duration::from_millis(100));
            prop_assert!(is_due(at_us(5_000_000 + late_us), end, load, 1.0, uniform));
        }

        #[test]
        fn who_is_due_early_is_due_later(now in 0u64..5_000_000, later in 0u64..100_000, uniform in 0.0001f64..=1.0) {
            let (end, load) = (at_us(5_000_000), Duration::from_millis(100));
            if is_due(at_us(now), end, load, 1.0, uniform) {
                prop_assert!(is_due(at_us(now + later), end, load, 1.0, uniform));
            }
        }
    }

    /// FACTS, invariant 5: with many reads per load time and no coalescing, the loads until the
    /// first one lands are geometric with mean e^(1/beta).
    #[test]
    fn loads_per_expiry_are_geometric_with_mean_e_to_the_one_over_beta() {
        const READS_PER_LOAD: u64 = 400;
        const EXPIRIES: u32 = 2_000;
        let (end, load) = (at_us(100_000_000), Duration::from_secs(1));
        let gap_us = 1_000_000 / READS_PER_LOAD;
        for beta in [0.5, 1.0, 2.0] {
            let mut stream = Seed(42).stream("xfetch");
            let mut total = 0u32;
            // Earlier than this nobody is due but once in e^8 expiries.
            let ahead_s = beta * ((READS_PER_LOAD as f64).ln() + 8.0);
            for _ in 0..EXPIRIES {
                let before = Duration::from_secs_f64(ahead_s).as_micros() as u64;
                let mut now_us = 100_000_000 - before;
                let mut first_lands_us = u64::MAX;
                while now_us < first_lands_us {
                    let uniform = 1.0 - stream.random::<f64>();
                    if is_due(at_us(now_us), end, load, beta, uniform) {
                        total += 1;
                        first_lands_us = first_lands_us.min(now_us + 1_000_000);
                    }
                    now_us += gap_us;
                }
            }
            let mean = f64::from(total) / f64::from(EXPIRIES);
            let expected = (1.0 / beta).exp();
            // The standard error of a geometric mean is below expected / sqrt(n); five of them.
            let margin = 5.0 * expected / f64::from(EXPIRIES).sqrt() + 0.02 * expected;
            assert!(
                (mean - expected).abs() < margin,
                "beta {beta}: {mean}, expected {expected}"
            );
        }
    }
}
