//! Popularity by shares: the most popular part of the keys gets so much of the requests, the next
//! part so much more, and within a part all keys are alike. A hotspot is two such parts, a curve
//! that was measured is many.
//!
//! Called by `popularity`. Pure.

use std::sync::Arc;

use rand::RngExt;

use crate::seed::Stream;
use crate::units::Ratio;

/// How much a request share may be below a straight line to its neighbours by rounding alone.
const ROUNDING: f64 = 1e-9;

/// Shares of the keys, the most popular first, and what share of the requests they get together.
#[derive(Clone, Debug, PartialEq)]
pub struct Shares(Arc<[(f64, f64)]>);

impl Shares {
    /// Shares of keys and requests, each counted from the most popular key on. What is left of both
    /// after the last belongs together.
    ///
    /// `None` if there is no point, if shares do not ascend within 0 and 1, or if later keys would
    /// be more popular than those before.
    pub fn new(mut points: Vec<(f64, f64)>) -> Option<Self> {
        if points.last()?.0 < 1.0 {
            points.push((1.0, 1.0));
        }
        let mut before = (0.0, 0.0);
        let mut density = f64::INFINITY;
        for (keys, requests) in &points {
            let (more_keys, more_requests) = (keys - before.0, requests - before.1);
            let ascends = more_keys > 0.0 && *keys <= 1.0 && more_requests >= 0.0;
            let next = more_requests / more_keys;
            if !ascends || *requests > 1.0 || next > density * (1.0 + ROUNDING) {
                return None;
            }
            (before, density) = ((*keys, *requests), next);
        }
        (before == (1.0, 1.0)).then(|| Self(points.into()))
    }

    /// So many `keys` get so many `requests`.
    pub(super) fn hotspot(keys: Ratio, requests: Ratio) -> Self {
        let point = (keys.0.clamp(0.0, 1.0), requests.0.clamp(0.0, 1.0));
        Self([point, (1.0, 1.0)].into())
    }

    /// The points, the last of which is everything.
    pub fn points(&self) -> &[(f64, f64)] {
        &self.0
    }
}

/// Shares over so many items.
#[derive(Debug)]
pub(super) struct Steps {
    items: u64,
    /// Where each part ends, and the share of the requests up to there; the last is everything.
    ends: Box<[(u64, f64)]>,
}

impl Steps {
    /// A part that is less than a key takes one key if it is hot, and goes to the next part if there
    /// is none left.
    #[allow(
        clippy::cast_sign_loss,
        reason = "a share is not negative, and the cast saturates"
    )]
    pub(super) fn new(items: u64, shares: &Shares) -> Self {
        let mut ends: Vec<(u64, f64)> = Vec::new();
        for (keys, requests) in shares.points() {
            let end = ((keys * items as f64).round() as u64).clamp(1, items);
            match ends.last_mut() {
                Some((last, share)) if *last == end => *share = *requests,
                _ => ends.push((end, *requests)),
            }
        }
        if let Some(last) = ends.last_mut() {
            *last = (items, 1.0);
        }
        Self {
            items,
            ends: ends.into(),
        }
    }

    pub(super) fn items(&self) -> u64 {
        self.items
    }

    pub(super) fn draw(&self, stream: &mut Stream) -> u64 {
        let share: f64 = stream.random();
        let part = self.ends.partition_point(|(_, to)| *to <= share);
        let part = part.min(self.ends.len() - 1);
        let start = part.checked_sub(1).map_or(0, |before| self.ends[before].0);
        stream.random_range(start..self.ends[part].0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;
    use proptest::prelude::*;

    const DRAWS: u64 = 40_000;

    /// Chi-square of the draws by part, per degree of freedom, and how many fell upon each key.
    fn drawn(items: u64, shares: &Shares) -> (f64, Vec<u64>) {
        let steps = Steps::new(items, shares);
        let mut stream = Seed(4).stream("steps");
        let mut seen = vec![0_u64; items as usize];
        for _ in 0..DRAWS {
            seen[steps.draw(&mut stream) as usize] += 1;
        }
        let (mut start, mut before, mut distance) = (0_usize, 0.0, 0.0);
        for (end, share) in &steps.ends {
            let wanted = (share - before) * DRAWS as f64;
            let got: u64 = seen[start..*end as usize].iter().sum();
            distance += (got as f64 - wanted).powi(2) / wanted;
            (start, before) = (*end as usize, *share);
        }
        (distance / (steps.ends.len() - 1) as f64, seen)
    }

    fn shares(points: &[(f64, f64)]) -> Shares {
        Shares::new(points.to_vec()).expect("shares")
    }

    #[test]
    fn parts_get_their_shares_and_keys_of_a_part_are_alike() {
        for (items, points) in [
            (100, &[(0.01, 0.9)][..]),
            (500, &[(0.002, 0.3), (0.01, 0.5), (0.2, 0.8)]),
            (7, &[(0.3, 0.6)]),
            (2, &[(0.5, 0.9)]),
        ] {
            let (distance, seen) = drawn(items, &shares(points));
            // Its mean is 1; for one degree of freedom 1 in 10,000 lies above 15.
            assert!(distance < 15.0, "{items} {points:?}: {distance}");
            assert!(seen.iter().all(|seen| *seen > 0), "{items} {points:?}");
        }
        let (_, seen) = drawn(1_000, &shares(&[(0.01, 0.9)]));
        let mean = DRAWS as f64 * 0.9 / 10.0;
        let apart: f64 = seen[..10]
            .iter()
            .map(|seen| (*seen as f64 - mean).powi(2) / mean)
            .sum();
        assert!(apart / 9.0 < 4.0, "{apart}");
    }

    #[test]
    fn a_part_of_less_than_a_key_is_a_key_or_joins_the_next() {
        let shares = shares(&[(0.000_1, 0.2), (0.000_5, 0.3), (0.1, 0.6)]);
        let steps = Steps::new(100, &shares);
        assert_eq!(*steps.ends, [(1, 0.3), (10, 0.6), (100, 1.0)]);
        assert_eq!(*Steps::new(1, &shares).ends, [(1, 1.0)]);
    }

    #[test]
    fn what_does_not_fall_with_the_rank_is_refused() {
        for wrong in [
            &[][..],
            &[(0.0, 0.1)],
            &[(0.5, 0.4)],
            &[(0.1, 0.2), (0.2, 0.5)],
            &[(0.2, 0.5), (0.1, 0.6)],
            &[(0.5, 1.1)],
            &[(1.0, 0.9)],
            &[(1.5, 1.0)],
        ] {
            assert!(Shares::new(wrong.to_vec()).is_none(), "{wrong:?}");
        }
        let whole = shares(&[(0.2, 0.5), (1.0, 1.0)]);
        assert_eq!(whole, shares(&[(0.2, 0.5)]));
    }

    proptest! {
        #[test]
        fn ranks_stay_in_range(
            items in 1_u64..1 << 40, keys in 1e-9_f64..1.0, above in 0.0_f64..1.0, seed: u64,
        ) {
            let shares = shares(&[(keys, keys + (1.0 - keys) * above)]);
            let steps = Steps::new(items, &shares);
            let mut stream = Seed(seed).stream("steps");
            let mut again = Seed(seed).stream("steps");
            for _ in 0..20 {
                let rank = steps.draw(&mut stream);
                prop_assert!(rank < items);
                prop_assert_eq!(rank, steps.draw(&mut again));
            }
        }
    }
}
