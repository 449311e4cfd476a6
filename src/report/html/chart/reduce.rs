//! Long series made short: at most so many buckets, each telling one thing of its seconds.
//!
//! Pure. A picture is as wide as it is whether the run took a minute or a week; what must survive
//! is the worst second, so lines keep the largest (or the smallest) value and never an average of
//! percentiles, which would be the percentile of nothing.

/// What a bucket tells of its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    /// The largest: for response times and loads.
    Largest,
    /// The smallest: for what should not fall.
    Smallest,
    /// The mean: for rates that are stacked, so that their sum stays a rate.
    Mean,
}

/// How many rows each bucket must span so that `rows` need at most `buckets_max`.
pub(crate) fn bucket_width(rows: u64, buckets_max: u64) -> u64 {
    rows.div_ceil(buckets_max.max(1)).max(1)
}

/// Puts `values`, each with its second, into `count` buckets of `width_s` seconds. A bucket without a
/// value is `None`, which draws a gap.
pub(crate) fn reduce(
    values: impl IntoIterator<Item = (u64, Option<f64>)>,
    count: usize,
    width_s: u64,
    keep: Keep,
) -> Vec<Option<f64>> {
    let mut reduced: Vec<Option<f64>> = vec![None; count];
    let mut counts = vec![0_u32; count];
    for (moment, value) in values {
        let at = usize::try_from(moment / width_s.max(1)).unwrap_or(usize::MAX);
        let (Some(value), Some(slot)) = (value.filter(|v| v.is_finite()), reduced.get_mut(at))
        else {
            continue;
        };
        counts[at] += 1;
        *slot = Some(match (*slot, keep) {
            (None, _) => value,
            (Some(held), Keep::Largest) => held.max(value),
            (Some(held), Keep::Smallest) => held.min(value),
            (Some(held), Keep::Mean) => held + (value - held) / f64::from(counts[at]),
        });
    }
    reduced
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn numbered(values: &[f64]) -> impl Iterator<Item = (u64, Option<f64>)> {
        (0..).zip(values.iter().copied().map(Some))
    }

    #[test]
    fn each_bucket_tells_what_was_asked() {
        let values = [1.0, 9.0, 4.0, 2.0, 6.0];
        let kept = |keep| reduce(numbered(&values), 3, 2, keep);
        assert_eq!(kept(Keep::Largest), [Some(9.0), Some(4.0), Some(6.0)]);
        assert_eq!(kept(Keep::Smallest), [Some(1.0), Some(2.0), Some(6.0)]);
        assert_eq!(kept(Keep::Mean), [Some(5.0), Some(3.0), Some(6.0)]);
    }

    #[test]
    fn what_was_not_measured_stays_a_gap() {
        let values = [
            (0, None),
            (1, Some(3.0)),
            (4, Some(f64::NAN)),
            (99, Some(1.0)),
        ];
        assert_eq!(reduce(values, 3, 2, Keep::Largest), [Some(3.0), None, None]);
        assert_eq!(bucket_width(0, 180), 1);
        assert_eq!(bucket_width(181, 180), 2);
        assert_eq!(bucket_width(10, 0), 10);
    }

    proptest! {
        #[test]
        fn the_worst_second_survives(
            values in prop::collection::vec(0.0..1e9_f64, 1..2_000),
            limit in 1_u64..300,
        ) {
            let bucket_s = bucket_width(values.len() as u64, limit);
            let buckets = values.len().div_ceil(bucket_s as usize);
            prop_assert!(buckets as u64 <= limit);
            let worst = |keep, pick: fn(f64, f64) -> f64| {
                let kept = reduce(numbered(&values), buckets, bucket_s, keep);
                assert!(kept.iter().all(Option::is_some));
                kept.into_iter().flatten().reduce(pick)
            };
            let pick = |pick: fn(f64, f64) -> f64| values.iter().copied().reduce(pick);
            prop_assert_eq!(worst(Keep::Largest, f64::max), pick(f64::max));
            prop_assert_eq!(worst(Keep::Smallest, f64::min), pick(f64::min));
        }
    }
}
