//! Drift: keys change places in a popularity over time, while the popularity itself stays as it is.
//!
//! Ranks are dealt into groups, each with some hot, some lukewarm and some cold ones. Once in a
//! period, each group at a moment of its own, the keys of a group move on by one place: the coldest
//! comes to the hottest place, and every other cools down by one. So a share of all ranks, hot and
//! cold alike, has another key after the same share of a period, and what was hot is long gone
//! before it comes back: cold keys turn hot at once and cool down by and by, as news do (the "hot-in"
//! pattern of Jin et al., "`NetCache`", SOSP 2017, spread over time).
//!
//! Called by `keys`. Pure: which key has a rank depends on the seed and the moment alone, never on
//! what was asked before, and at any moment each rank has one key and each key one rank.

use std::time::Duration;

use crate::seed::{Seed, mix};
use crate::units::Ratio;

/// How many ranks a group has, but for a few with one less.
const GROUP_RANKS: u64 = 16;

/// How fast keys change places: a share of the ranks in a time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Drift {
    /// The share of the ranks that get another key; above 0.
    pub share: Ratio,
    /// In this time.
    pub every: Duration,
}

impl Drift {
    /// In what time every rank gets another key, once.
    pub fn period(&self) -> Duration {
        let nanos = self.every.as_nanos() as f64 / self.share.0.max(f64::MIN_POSITIVE);
        #[allow(
            clippy::cast_sign_loss,
            reason = "a time is not negative, and the cast saturates"
        )]
        Duration::from_nanos((nanos as u64).max(1))
    }
}

/// A drift over so many items.
#[derive(Clone, Copy, Debug)]
pub struct Drifting {
    items: u64,
    groups: u64,
    period_ns: u64,
    seed: Seed,
}

impl Drifting {
    /// The drift of the numbers below `items`; `seed` draws when each group moves on.
    pub fn new(items: u64, drift: Drift, seed: Seed) -> Self {
        let items = items.max(1);
        Self {
            items,
            groups: items.div_ceil(GROUP_RANKS),
            period_ns: u64::try_from(drift.period().as_nanos()).unwrap_or(u64::MAX),
            seed: seed.fork("drift"),
        }
    }

    /// Which number has the place of `rank` at `moment`, counted from the run's start; at a run's
    /// start it is `rank` itself.
    pub fn at(&self, rank: u64, moment: Duration) -> u64 {
        let rank = rank % self.items;
        let (place, group) = (rank / self.groups, rank % self.groups);
        let places = (self.items - group).div_ceil(self.groups);
        let moved = self.moved(group, moment) % places;
        ((place + places - moved) % places) * self.groups + group
    }

    /// How often a group has moved on.
    fn moved(&self, group: u64, moment: Duration) -> u64 {
        let drawn = mix(self.seed.fork_index(group).0);
        // From 0 to just below a period: so much of its first one is over at the start.
        let phase = (u128::from(drawn) * u128::from(self.period_ns)) >> 64;
        let periods = (moment.as_nanos() + phase) / u128::from(self.period_ns);
        periods as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    const HOUR: Duration = Duration::from_hours(1);

    fn drift(percent: f64, every: Duration) -> Drift {
        Drift {
            share: Ratio(percent / 100.0),
            every,
        }
    }

    #[test]
    fn the_share_of_ranks_has_other_keys_after_the_time_wherever_one_looks() {
        let drifting = Drifting::new(160_000, drift(10.0, HOUR), Seed(3));
        for (from, ranks) in [
            (Duration::ZERO, 0..160_000),
            (HOUR * 37, 0..160_000),
            // Hot and cold alike, within what 1,000 draws leave open.
            (Duration::ZERO, 0..1_000),
            (HOUR * 5, 159_000..160_000),
        ] {
            let count = (ranks.end - ranks.start) as f64;
            let other = |rank: &u64| drifting.at(*rank, from) != drifting.at(*rank, from + HOUR);
            let changed = ranks.clone().filter(other).count() as f64 / count;
            let near = 4.0 * (0.09_f64 / count.min(10_000.0)).sqrt();
            assert!(
                (changed - 0.1).abs() < near,
                "{from:?} {ranks:?}: {changed}"
            );
        }
    }

    #[test]
    fn at_the_start_nothing_has_moved_and_in_a_period_everything_by_one() {
        let drifting = Drifting::new(32, drift(100.0, HOUR), Seed(3));
        let at = |moment| {
            (0..32)
                .map(|rank| drifting.at(rank, moment))
                .collect::<Vec<_>>()
        };
        assert_eq!(at(Duration::ZERO), (0..32).collect::<Vec<_>>());
        // Two groups, of the even and of the odd ranks: the coldest of each is hottest now.
        let after = at(HOUR);
        assert_eq!(after[..4], [30, 31, 0, 1]);
        assert_eq!(at(HOUR * 16), at(Duration::ZERO));
    }

    proptest! {
        #[test]
        fn each_rank_has_one_key_at_any_moment(
            items in 1_u64..400, percent in 0.001_f64..100.0, seed: u64, moment_ms: u64,
        ) {
            let drifting = Drifting::new(items, drift(percent, HOUR), Seed(seed));
            let moment = Duration::from_millis(moment_ms);
            let keys: BTreeSet<u64> = (0..items).map(|rank| drifting.at(rank, moment)).collect();
            prop_assert_eq!(keys.len() as u64, items);
            prop_assert_eq!(keys.last(), Some(&(items - 1)));
        }
    }
}
