//! A sample of the key space: a million users by a share of the users and keys.
//!
//! Ranks are cut into strata, and of each stratum one key, drawn by the seed, stands for all. Deep in
//! the tail a stratum is as wide as keys are left out (50 ranks at a share of 2%), so that the key that
//! is kept is asked for as often as each of its stratum is in truth: that is what TTLs and evictions
//! see. Towards the head strata become narrow, down to single ranks, so that the keys of a stratum are
//! alike; what is kept there is asked for less often than in truth, which [`Thinned`] tells. Every
//! stratum keeps its share of the requests, so the share of a popular key is no matter of luck.
//! Theory, sources and measured errors stand in `docs/sampling.md`.
//!
//! Called by `user` for every request. Pure; never changes how many keys there are or what they are
//! called.

use std::ops::Range;

use super::popularity::ZipfSums;
use crate::seed::{Seed, mix};

/// Keys of a stratum differ in popularity by about one part in so many, or they are one key.
const ALIKE: f64 = 4.0;

/// A share of the users and keys: so many of so many. Above zero, and one at the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    kept: u32,
    of: u32,
}

impl Share {
    /// Everything.
    pub const WHOLE: Self = Self { kept: 1, of: 1 };

    /// `kept` users of `of`; `None` if that is none, or more than all.
    pub fn new(kept: u32, of: u32) -> Option<Self> {
        (0 < kept && kept <= of).then_some(Self { kept, of })
    }

    /// So many users, of so many.
    pub fn users(self) -> (u32, u32) {
        (self.kept, self.of)
    }

    /// Whether nothing is left out.
    pub fn is_whole(self) -> bool {
        self.kept == self.of
    }

    /// As a number above 0, up to 1.
    pub fn as_f64(self) -> f64 {
        f64::from(self.kept) / f64::from(self.of)
    }

    /// For how many one stands.
    pub fn step(self) -> f64 {
        f64::from(self.of) / f64::from(self.kept)
    }

    /// What was counted in the sample, or measured in it by the second, as it is in the whole.
    pub fn to_whole(self, counted: f64) -> f64 {
        counted * self.step()
    }

    /// What belongs to the whole, as it belongs to the sample: rounded, but something of something.
    pub fn part_of(self, whole: u64) -> u64 {
        let (kept, of) = (u128::from(self.kept), u128::from(self.of));
        let part = (u128::from(whole) * kept * 2 + of) / (of * 2);
        (part as u64).max(u64::from(whole > 0))
    }

    /// The first rank of the `at`-th stratum of full width.
    fn first_of(self, at: u64) -> u64 {
        let whole = u128::from(at) * u128::from(self.of);
        u64::try_from(whole.div_ceil(u128::from(self.kept))).unwrap_or(u64::MAX)
    }

    /// In which stratum of full width a rank is.
    fn stratum_of(self, rank: u64) -> u64 {
        (u128::from(rank) * u128::from(self.kept) / u128::from(self.of)) as u64
    }
}

/// How the keys of a workload are sampled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeySample {
    /// Which share of them.
    pub share: Share,
    /// The seed that [`Traffic`](super::user::Traffic) gets without a sample: it names the keys, so
    /// that the same rank is the same key in every sample.
    pub names: Seed,
}

/// A kept key that is asked for less often than the keys that it stands for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Thinned {
    /// Its share of the requests for its data type.
    pub draws: f64,
    /// How often it is asked for, as a part of how often one of its stratum is in truth: from the
    /// sample's share up to 1.
    pub rate: f64,
}

/// The ranks of one data type, cut into strata.
#[derive(Clone, Debug)]
pub struct Strata {
    items: u64,
    skew: f64,
    share: Share,
    /// Where each of the narrow strata begins.
    head: Box<[u64]>,
    /// Where those of full width begin.
    tail: u64,
    seed: Seed,
}

impl Strata {
    /// The strata of so many `items`, of which the one of rank r has the weight 1/(r+1)^`skew`;
    /// `seed` draws the keys that are kept.
    #[allow(
        clippy::cast_sign_loss,
        reason = "widths are not negative, and the cast saturates"
    )]
    pub fn new(items: u64, skew: f64, share: Share, seed: Seed) -> Self {
        let items = items.max(1);
        let mut head = Vec::new();
        let mut rank = 0_u64;
        // Without skew all keys are alike.
        while skew > 0.0 && rank < items {
            let width = (rank as f64 / (ALIKE * skew)).max(1.0);
            if width >= share.step() {
                break;
            }
            head.push(rank);
            rank = rank.saturating_add(width as u64);
        }
        Self {
            items,
            skew,
            share,
            head: head.into(),
            tail: rank.min(items),
            seed,
        }
    }

    /// How many keys are kept.
    pub fn kept(&self) -> u64 {
        let tail = self.items - self.tail;
        let strata = match tail {
            0 => 0,
            _ => self.share.stratum_of(tail - 1) + 1,
        };
        self.head.len() as u64 + strata
    }

    /// The rank that stands for `rank`.
    pub fn representative(&self, rank: u64) -> u64 {
        let (at, ranks) = self.stratum(rank.min(self.items - 1));
        self.drawn(at, &ranks)
    }

    /// The kept ranks of all strata that end below the rank `end`, the most popular first.
    pub fn kept_below(&self, end: u64) -> impl Iterator<Item = u64> {
        self.iter()
            .enumerate()
            .take_while(move |(_, ranks)| ranks.end <= end)
            .map(|(at, ranks)| self.drawn(at as u64, &ranks))
    }

    /// How many strata end below the rank `end`: so many keys are kept of those before it.
    pub fn count_below(&self, end: u64) -> u64 {
        let head = self.head.len() as u64;
        if end >= self.items {
            self.kept()
        } else if end >= self.tail {
            head + self.share.stratum_of(end - self.tail)
        } else {
            (self.head.partition_point(|start| *start <= end) as u64).saturating_sub(1)
        }
    }

    /// The kept rank of the `at`-th stratum, and for how many ranks it stands.
    pub fn nth(&self, at: u64) -> Option<(u64, u64)> {
        let ranks = (at < self.kept()).then(|| self.ranks_of(at))?;
        Some((self.drawn(at, &ranks), ranks.end - ranks.start))
    }

    /// All strata, as ranges of ranks.
    pub fn iter(&self) -> impl Iterator<Item = Range<u64>> {
        (0..self.kept()).map(|at| self.ranks_of(at))
    }

    /// Where the strata of full width begin: the ranks before are the head.
    pub fn head_ranks(&self) -> u64 {
        self.tail
    }

    /// How many strata the head has.
    pub fn head_strata(&self) -> usize {
        self.head.len()
    }

    /// The kept keys that are asked for less often than in truth: those of the head, and the last
    /// one of the tail if its stratum is cut off.
    pub fn thinned(&self) -> Vec<Thinned> {
        let sums = ZipfSums::new(self.items, self.skew);
        let head = self.head.len() as u64;
        let last = self.kept() - 1;
        let cut_off = (last >= head).then_some(last);
        (0..head)
            .chain(cut_off)
            .map(|at| {
                let ranks = self.ranks_of(at);
                let width = (ranks.end - ranks.start) as f64;
                Thinned {
                    draws: sums.weight(&ranks),
                    rate: (width * self.share.as_f64()).min(1.0),
                }
            })
            .filter(|thinned| thinned.rate < 1.0)
            .collect()
    }

    fn stratum(&self, rank: u64) -> (u64, Range<u64>) {
        let at = if rank < self.tail {
            self.head.partition_point(|start| *start <= rank) as u64 - 1
        } else {
            self.head.len() as u64 + self.share.stratum_of(rank - self.tail)
        };
        (at, self.ranks_of(at))
    }

    fn ranks_of(&self, at: u64) -> Range<u64> {
        let head = self.head.len() as u64;
        if at < head {
            let end = self.head.get(at as usize + 1).copied();
            return self.head[at as usize]..end.unwrap_or(self.tail);
        }
        let start = |at: u64| self.tail.saturating_add(self.share.first_of(at - head));
        start(at)..start(at + 1).min(self.items)
    }

    fn drawn(&self, at: u64, ranks: &Range<u64>) -> u64 {
        let width = (ranks.end - ranks.start).max(1);
        let drawn = mix(self.seed.fork_index(at).0);
        // The whole part of width * drawn / 2^64.
        ranks.start + ((u128::from(drawn) * u128::from(width)) >> 64) as u64
    }
}

#[cfg(test)]
mod tests;
