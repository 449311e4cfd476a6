//! Which keys are popular: ranks drawn by weight, and a seeded bijection from ranks to items.
//!
//! Called by `keys` for every request. Pure: all randomness comes from the stream that is given.

mod drift;
mod shares;

use std::ops::Range;
use std::sync::Arc;

use rand::{Rng, RngExt};
use rand_distr::Distribution;

pub use self::drift::{Drift, Drifting};
pub use self::shares::Shares;
use self::shares::Steps;
use super::Popularity;
use crate::seed::{Seed, Stream, mix};

/// The largest population with an alias table: 16 Mi items are 128 MiB. Above it ranks are drawn
/// by rejection, which needs no memory and takes longer.
pub const ALIAS_ITEMS_MAX: u64 = 1 << 24;

/// Draws ranks, the most popular being 0. Cheap to clone.
#[derive(Clone, Debug)]
pub struct RankSampler(Ranks);

#[derive(Clone, Debug)]
enum Ranks {
    Uniform(u64),
    Alias(Arc<AliasTable>),
    Steps(Arc<Steps>),
    Rejection {
        items: u64,
        zipf: rand_distr::Zipf<f64>,
    },
}

impl RankSampler {
    /// The sampler of `popularity` over so many `items`. An alias table is built here, so build
    /// once and clone. [`Popularity::PerUser`] leaves nothing to draw; what is drawn by it
    /// nevertheless is uniform.
    pub fn new(items: u64, popularity: Popularity) -> Self {
        let items = items.max(1);
        let steps = |shares: &Shares| Self(Ranks::Steps(Arc::new(Steps::new(items, shares))));
        let skew = match popularity {
            _ if items == 1 => return Self(Ranks::Uniform(items)),
            Popularity::Zipf { skew } | Popularity::Latest { skew } if skew > 0.0 => skew,
            Popularity::Hotspot { keys, requests } => {
                return steps(&Shares::hotspot(keys, requests));
            }
            Popularity::Shares(shares) => return steps(&shares),
            _ => return Self(Ranks::Uniform(items)),
        };
        if items <= ALIAS_ITEMS_MAX {
            return Self(Ranks::Alias(Arc::new(AliasTable::zipf(items as u32, skew))));
        }
        Self(match rand_distr::Zipf::new(items as f64, skew) {
            Ok(zipf) => Ranks::Rejection { items, zipf },
            // Refuses only what was ruled out above.
            Err(_) => Ranks::Uniform(items),
        })
    }

    /// How many ranks there are.
    pub fn items(&self) -> u64 {
        match &self.0 {
            Ranks::Uniform(items) | Ranks::Rejection { items, .. } => *items,
            Ranks::Alias(table) => table.columns.len() as u64,
            Ranks::Steps(steps) => steps.items(),
        }
    }

    /// A rank below [`RankSampler::items`].
    #[allow(clippy::cast_sign_loss, reason = "ranks are drawn from 1 upwards")]
    pub fn draw(&self, stream: &mut Stream) -> u64 {
        match &self.0 {
            Ranks::Uniform(items) => stream.random_range(0..*items),
            Ranks::Alias(table) => u64::from(table.draw(stream)),
            Ranks::Steps(steps) => steps.draw(stream),
            Ranks::Rejection { items, zipf } => (zipf.sample(stream) as u64).clamp(1, *items) - 1,
        }
    }
}

/// Draws an index by weight with one random number and one look into memory: Walker's alias
/// method as built by Vose ("A linear algorithm for generating random numbers with a given
/// distribution", 1991).
#[derive(Debug)]
struct AliasTable {
    columns: Box<[Column]>,
}

/// The column's own index is drawn below the threshold, its alias from there on.
#[derive(Clone, Copy, Debug)]
struct Column {
    threshold: u32,
    alias: u32,
}

impl AliasTable {
    /// The table of weights 1/(rank+1)^skew, with skew above 0.
    ///
    /// Vose keeps two lists, of the columns with more and with less than the mean weight. Here
    /// the weights fall with the rank, so that the lists are the table's two ends and two indices
    /// stand for them.
    #[allow(
        clippy::cast_sign_loss,
        reason = "a share is not negative, and the cast saturates"
    )]
    fn zipf(items: u32, skew: f64) -> Self {
        let weight = |rank: u32| (f64::from(rank) + 1.0).powf(-skew);
        // From the smallest upwards, so that no small weight is lost in the sum.
        let total: f64 = (0..items).rev().map(weight).sum();
        let scaled = |rank: u32| weight(rank) * f64::from(items) / total;
        let whole = |rank: u32| Column {
            threshold: u32::MAX,
            alias: rank,
        };
        let part = |share: f64, alias: u32| Column {
            threshold: (share * (f64::from(u32::MAX) + 1.0)) as u32,
            alias,
        };

        let mut columns: Box<[Column]> = (0..items).map(whole).collect();
        let mut first_small = 0;
        while first_small < items && scaled(first_small) >= 1.0 {
            first_small += 1;
        }
        let mut large = 0;
        let mut rest = scaled(large);
        for small in first_small..items {
            let share = scaled(small);
            columns[small as usize] = part(share, large);
            rest -= 1.0 - share;
            while rest < 1.0 && large + 1 < first_small {
                columns[large as usize] = part(rest, large + 1);
                rest = scaled(large + 1) - (1.0 - rest);
                large += 1;
            }
        }
        Self { columns }
    }

    fn draw(&self, stream: &mut Stream) -> u32 {
        // One number of 64 bits, stretched: the whole part is the column, the rest is uniform in it.
        let wide = u128::from(stream.next_u64()) * self.columns.len() as u128;
        let at = (wide >> 64) as usize;
        let column = self.columns[at];
        if ((wide as u64) >> 32) as u32 <= column.threshold {
            at as u32
        } else {
            column.alias
        }
    }
}

/// Sums of the weights 1/(rank+1)^skew, as parts of the sum over all items.
#[derive(Clone, Copy, Debug)]
pub struct ZipfSums {
    skew: f64,
    total: f64,
}

/// From this rank on a sum is an integral: the midpoint rule is wrong by less than one part in 10,000
/// there.
const INTEGRAL_FROM: u64 = 128;

impl ZipfSums {
    /// The sums over so many `items`.
    pub fn new(items: u64, skew: f64) -> Self {
        let skew = skew.max(0.0);
        Self {
            skew,
            total: sum_of(&(0..items.max(1)), skew),
        }
    }

    /// The share of the draws that falls upon `ranks`.
    pub fn weight(&self, ranks: &Range<u64>) -> f64 {
        sum_of(ranks, self.skew) / self.total
    }
}

fn sum_of(ranks: &Range<u64>, skew: f64) -> f64 {
    let split = ranks.end.min(INTEGRAL_FROM.max(ranks.start));
    let exact = ranks.start..split;
    let exact: f64 = exact.map(|rank| (rank as f64 + 1.0).powf(-skew)).sum();
    if split >= ranks.end {
        return exact;
    }
    // The term of rank r is the integral from r + 1/2 to r + 3/2, nearly.
    let (from, to) = (split as f64 + 0.5, ranks.end as f64 + 0.5);
    let flat = 1.0 - skew;
    let integral = if flat.abs() < 1e-9 {
        (to / from).ln()
    } else {
        (to.powf(flat) - from.powf(flat)) / flat
    };
    exact + integral
}

/// A seeded bijection of the numbers below `items`, so that popular ranks are not neighbouring
/// keys: a Feistel network over the next power of two, walked until it falls below `items`
/// (Black and Rogaway, "Ciphers with Arbitrary Finite Domains", 2002). At most two steps a walk
/// on average.
#[derive(Clone, Copy, Debug)]
pub struct Bijection {
    items: u64,
    low_bits: u32,
    low_mask: u64,
    high_mask: u64,
    round_keys: [u64; 4],
}

impl Bijection {
    /// The bijection of the numbers below `items` that `seed` names.
    pub fn new(items: u64, seed: Seed) -> Self {
        let items = items.max(1);
        let bits = (u64::BITS - (items - 1).leading_zeros()).max(2);
        let (low_bits, high_bits) = (bits / 2, bits - bits / 2);
        let mut stream = seed.stream("bijection");
        Self {
            items,
            low_bits,
            low_mask: (1 << low_bits) - 1,
            high_mask: (1 << high_bits) - 1,
            round_keys: std::array::from_fn(|_| stream.random()),
        }
    }

    /// The item of `rank`; ranks outside wrap around.
    pub fn map(&self, rank: u64) -> u64 {
        let mut item = self.permute(rank % self.items);
        // Ends: a permutation that starts inside must come back inside.
        while item >= self.items {
            item = self.permute(item);
        }
        item
    }

    fn permute(&self, value: u64) -> u64 {
        let (mut low, mut high) = (value & self.low_mask, value >> self.low_bits);
        for pair in self.round_keys.chunks_exact(2) {
            high ^= mix(low ^ pair[0]) & self.high_mask;
            low ^= mix(high ^ pair[1]) & self.low_mask;
        }
        (high << self.low_bits) | low
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DRAWS: u64 = 40_000;

    /// Chi-square of `DRAWS` draws against the exact Zipf probabilities, ranks gathered into
    /// buckets that double in width, per degree of freedom.
    fn chi_square_per_bucket(items: u64, skew: f64) -> f64 {
        let sampler = RankSampler::new(items, Popularity::Zipf { skew });
        let mut stream = Seed(11).stream("ranks");
        let bucket = |rank: u64| (u64::BITS - (rank + 1).leading_zeros()) as usize - 1;
        let buckets = bucket(items - 1) + 1;
        let (mut seen, mut wanted) = (vec![0.0; buckets], vec![0.0; buckets]);
        for _ in 0..DRAWS {
            seen[bucket(sampler.draw(&mut stream))] += 1.0;
        }
        let weight = |rank: u64| ((rank + 1) as f64).powf(-skew);
        let total: f64 = (0..items).map(weight).sum();
        for rank in 0..items {
            wanted[bucket(rank)] += weight(rank) / total * DRAWS as f64;
        }
        let distance: f64 = seen
            .iter()
            .zip(&wanted)
            .map(|(seen, wanted)| (seen - wanted) * (seen - wanted) / wanted)
            .sum();
        distance / (buckets - 1) as f64
    }

    #[test]
    fn draws_follow_the_law_for_every_skew() {
        for items in [2, 7, 1_000, 20_000] {
            for skew in [0.0, 0.5, 0.99, 1.0, 1.2, 2.0] {
                // Its mean is 1; for one degree of freedom 1 in 10,000 lies above 15.
                let distance = chi_square_per_bucket(items, skew);
                assert!(distance < 8.0, "{items} items, skew {skew}: {distance}");
            }
        }
    }

    #[test]
    fn the_table_gives_each_rank_exactly_its_weight() {
        let (items, skew) = (1_000_u32, 0.99);
        let table = AliasTable::zipf(items, skew);
        let mut shares = vec![0.0; items as usize];
        for (at, column) in table.columns.iter().enumerate() {
            let own = (f64::from(column.threshold) + 1.0) / (f64::from(u32::MAX) + 1.0);
            shares[at] += own;
            shares[column.alias as usize] += 1.0 - own;
        }
        let weight = |rank: u32| (f64::from(rank) + 1.0).powf(-skew);
        let total: f64 = (0..items).map(weight).sum();
        for rank in 0..items {
            let wanted = weight(rank) / total * f64::from(items);
            let got = shares[rank as usize];
            assert!((got - wanted).abs() < 1e-6, "rank {rank}: {got} {wanted}");
        }
    }

    #[test]
    fn sums_of_weights_are_right_however_many_there_are() {
        for skew in [0.0, 0.6, 0.99, 1.0, 1.2, 3.0] {
            let weight = |rank: u64| (rank as f64 + 1.0).powf(-skew);
            let total: f64 = (0..20_000).map(weight).sum();
            let sums = ZipfSums::new(20_000, skew);
            for ranks in [
                0..1,
                0..20_000,
                3..9,
                100..200,
                127..128,
                5_000..20_000,
                7..7,
            ] {
                let wanted: f64 = ranks.clone().map(weight).sum::<f64>() / total;
                let got = sums.weight(&ranks);
                assert!(
                    (got - wanted).abs() <= wanted * 1e-4,
                    "{ranks:?} {skew}: {got} {wanted}"
                );
            }
        }
    }

    #[test]
    fn populations_beyond_the_table_are_drawn_by_rejection() {
        let items = ALIAS_ITEMS_MAX * 4;
        let sampler = RankSampler::new(items, Popularity::Zipf { skew: 0.99 });
        assert!(matches!(sampler.0, Ranks::Rejection { .. }));
        let mut stream = Seed(1).stream("ranks");
        let ranks: Vec<u64> = (0..20_000).map(|_| sampler.draw(&mut stream)).collect();
        assert!(ranks.iter().all(|rank| *rank < items));
        let first = ranks.iter().filter(|rank| **rank == 0).count();
        // The first of 64 Mi ranks at skew 0.99 has a share of 4.9%.
        assert!((800..1_200).contains(&first), "{first}");
    }

    #[test]
    fn the_bijection_takes_each_item_once_and_moves_most() {
        for items in [1, 2, 3, 5, 64, 65, 1_000, 4_097] {
            let bijection = Bijection::new(items, Seed(5));
            let mapped: std::collections::BTreeSet<u64> =
                (0..items).map(|rank| bijection.map(rank)).collect();
            assert_eq!(mapped.len() as u64, items);
            assert_eq!(mapped.last(), Some(&(items - 1)));
        }
        let bijection = Bijection::new(1_000, Seed(5));
        let fixed = (0..1_000)
            .filter(|rank| bijection.map(*rank) == *rank)
            .count();
        assert!(fixed < 20, "{fixed} of 1,000 ranks are their own item");
    }

    proptest! {
        #[test]
        fn ranks_and_items_stay_in_range(
            items in 1u64..10_000, skew in 0.0f64..3.0, seed: u64, rank: u64,
        ) {
            let sampler = RankSampler::new(items, Popularity::Zipf { skew });
            prop_assert_eq!(sampler.items(), items);
            let mut stream = Seed(seed).stream("ranks");
            for _ in 0..20 {
                prop_assert!(sampler.draw(&mut stream) < items);
            }
            prop_assert!(Bijection::new(items, Seed(seed)).map(rank) < items);
        }

        #[test]
        fn the_bijection_holds_for_large_populations(items in 1u64 << 40..=u64::MAX, a: u64, b: u64) {
            let bijection = Bijection::new(items, Seed(3));
            let (a, b) = (a % items, b % items);
            prop_assert_eq!(a == b, bijection.map(a) == bijection.map(b));
        }
    }
}
