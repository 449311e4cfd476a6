//! The keys of one data type: which are drawn how often, and what their parameters are.
//!
//! Called by `user` for every request. Pure, but for one number: how many keys users have made of
//! a data type whose newest are the popular ones. All randomness comes from the stream that is
//! given, so that a user draws the same ranks whatever the schedule; which key has a rank may
//! depend on the moment (drift) or on how many puts came before, of all users (latest).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rand::RngExt;

use super::popularity::{Bijection, Drifting, RankSampler};
use super::sampling::{KeySample, Strata};
use super::{Dimension, KEY_PARAMS_MAX, KeyParams, Popularity, Population};
use crate::seed::{Seed, Stream};

/// The keys of one data type.
#[derive(Debug)]
pub(super) struct KeySpace {
    pub(super) dimensions: Vec<Dimension>,
    /// The place of the dimension that is the user's own, if one is.
    pub(super) own: Option<usize>,
    /// Over all combinations of the dimensions that are drawn.
    pub(super) ranks: RankSampler,
    /// Of a sample: which ranks stand for which.
    pub(super) strata: Option<Strata>,
    bijection: Bijection,
    moves: Moves,
    /// The share of the requests for a key of their own.
    one_hit: f64,
}

/// How a rank comes to another key.
#[derive(Debug)]
enum Moves {
    Never,
    /// With time.
    Drifting(Drifting),
    /// With every put: how many there were.
    Latest(AtomicU64),
}

/// What a key is drawn for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Draw {
    /// Who asks.
    pub(super) user: u64,
    /// A number that no other request of the run has.
    pub(super) unique: u64,
    /// Whether it is a put.
    pub(super) puts: bool,
    /// When it asks, counted from the run's start.
    pub(super) moment: Duration,
}

impl KeySpace {
    pub(super) fn new(population: Option<&Population>, params: usize, seed: Seed) -> Self {
        let given = population.cloned();
        let mut full = given.unwrap_or_else(|| Population::new(Vec::new(), Popularity::Uniform));
        full.dimensions
            .resize(params.min(KEY_PARAMS_MAX), Dimension::Cardinality(1));
        let items = full.drawn_items();
        let moves = match (&full.popularity, full.drift) {
            (Popularity::Latest { .. }, _) => Moves::Latest(AtomicU64::new(0)),
            (_, Some(drift)) => Moves::Drifting(Drifting::new(items, drift, seed)),
            (_, None) => Moves::Never,
        };
        let counted = full
            .dimensions
            .iter()
            .any(|dimension| matches!(dimension, Dimension::Cardinality(_)));
        Self {
            own: full.own_dimension(),
            // Of keys that have no number, none is another's.
            one_hit: if counted { full.one_hit.0 } else { 0.0 },
            dimensions: full.dimensions,
            ranks: RankSampler::new(items, full.popularity),
            strata: None,
            bijection: Bijection::new(items, seed),
            moves,
        }
    }

    /// The same with a share of the keys, drawn by `seed`.
    pub(super) fn sampled(
        self,
        population: Option<&Population>,
        sample: Option<KeySample>,
        seed: Seed,
    ) -> Self {
        let shared = population.filter(|population| population.is_shared());
        let strata = shared.zip(sample).map(|(population, sample)| {
            Strata::new(self.ranks.items(), population.skew(), sample.share, seed)
        });
        Self { strata, ..self }
    }

    /// The parameters of one request.
    pub(super) fn draw(&self, stream: &mut Stream, asked: Draw) -> KeyParams {
        if self.one_hit > 0.0 && stream.random::<f64>() < self.one_hit {
            return self.one_hit(asked);
        }
        // One draw for a put as for a read, so that what comes next does not depend on which it is.
        let rank = match self.ranks.items() {
            1 => 0,
            _ => self.ranks.draw(stream),
        };
        let item = match &self.moves {
            Moves::Latest(puts) if asked.puts => {
                let puts = puts.fetch_add(1, Ordering::Relaxed) + 1;
                self.bijection.map(self.aged(puts, 0))
            }
            _ => {
                let strata = self.strata.as_ref();
                let kept = strata.map_or(rank, |strata| strata.representative(rank));
                self.item_of(kept, asked.moment)
            }
        };
        self.params_of(item, asked.user, asked.unique)
    }

    /// Which item has this rank at `moment`.
    pub(super) fn item_of(&self, rank: u64, moment: Duration) -> u64 {
        if self.ranks.items() == 1 {
            return 0;
        }
        let at = match &self.moves {
            Moves::Never => rank,
            Moves::Drifting(drifting) => drifting.at(rank, moment),
            Moves::Latest(puts) => self.aged(puts.load(Ordering::Relaxed), rank),
        };
        self.bijection.map(at)
    }

    /// The number of the key that is `age` keys older than the newest of so many `puts`. Numbers go
    /// round: the newest takes that of the oldest.
    fn aged(&self, puts: u64, age: u64) -> u64 {
        let items = self.ranks.items();
        (puts % items + (items - 1) + (items - age % items)) % items
    }

    /// A key that nobody else asks for: its first number is beyond those that are drawn.
    fn one_hit(&self, asked: Draw) -> KeyParams {
        let mut params = self.params_of(0, asked.user, asked.unique);
        let first = self
            .dimensions
            .iter()
            .position(|dimension| matches!(dimension, Dimension::Cardinality(_)));
        if let Some(at) = first
            && let Dimension::Cardinality(values) = self.dimensions[at]
        {
            params.values[at] = asked.unique.saturating_add(values);
        }
        params
    }

    pub(super) fn params_of(&self, mut item: u64, user: u64, unique: u64) -> KeyParams {
        let mut params = [0; KEY_PARAMS_MAX];
        // The last dimension changes fastest.
        for (at, dimension) in self.dimensions.iter().enumerate().rev() {
            params[at] = match dimension {
                Dimension::Unique => unique,
                Dimension::Cardinality(values) if self.own == Some(at) => user % (*values).max(1),
                Dimension::Cardinality(values) => {
                    let values = (*values).max(1);
                    let value = item % values;
                    item /= values;
                    value
                }
            };
        }
        KeyParams::new(&params[..self.dimensions.len()])
    }
}

#[cfg(test)]
mod tests;
