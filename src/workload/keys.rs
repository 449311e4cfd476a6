//! The keys of one data type: which are drawn how often, and what their parameters are.
//!
//! Called by `user` for every request. Pure: all randomness comes from the stream that is given.

use super::popularity::{Bijection, RankSampler};
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
    pub(super) bijection: Bijection,
}

impl KeySpace {
    pub(super) fn new(population: Option<&Population>, params: usize, seed: Seed) -> Self {
        let mut dimensions = population.map_or_else(Vec::new, |p| p.dimensions.clone());
        dimensions.resize(params.min(KEY_PARAMS_MAX), Dimension::Cardinality(1));
        let popularity = population.map_or(Popularity::Uniform, |p| p.popularity);
        let full = Population {
            dimensions,
            popularity,
        };
        let items = full.drawn_items();
        Self {
            own: full.own_dimension(),
            dimensions: full.dimensions,
            ranks: RankSampler::new(items, popularity),
            strata: None,
            bijection: Bijection::new(items, seed),
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

    /// The parameters of one request: of `user`, and with `unique` where a value must be new.
    pub(super) fn draw(&self, stream: &mut Stream, user: u64, unique: u64) -> KeyParams {
        let item = if self.ranks.items() == 1 {
            0
        } else {
            let rank = self.ranks.draw(stream);
            let kept = match &self.strata {
                Some(strata) => strata.representative(rank),
                None => rank,
            };
            self.bijection.map(kept)
        };
        self.params_of(item, user, unique)
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
