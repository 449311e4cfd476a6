//! Traffic: which keys are popular, what a user does next, who is there over the day, how large values
//! are. What each model of it means, and where it comes from, stands in `docs/workloads.md`.
//!
//! Everything here is pure and drawn from the run's seed: a user is a state machine that drivers
//! step. Knows no driver, no network and no clock.

pub mod arrivals;
pub mod demand;
mod keys;
pub mod kinds;
pub mod popularity;
pub mod presets;
pub mod residency;
pub mod rhythm;
pub mod sampling;
pub mod size;
pub mod trace;
pub mod user;
pub mod value;

use std::time::Duration;

use crate::engine::data_type::{DataTypeId, KeyPattern};
use crate::engine::layer::Operation;
use crate::units::Ratio;
pub use kinds::{Journey, JourneyStep, UserKind, UserKindId, What};
use popularity::{Drift, Shares};
use sampling::KeySample;

/// The most parameters that a key pattern may take from the workload.
pub const KEY_PARAMS_MAX: usize = 4;

/// The name under which a run forks its seed for the users and their keys.
pub const TRAFFIC_SEED: &str = "users";

/// The parameters of a key, in the order of its pattern. Cheap to copy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct KeyParams {
    values: [u64; KEY_PARAMS_MAX],
    count: u8,
}

impl KeyParams {
    /// These parameters; those past [`KEY_PARAMS_MAX`] are left out.
    pub fn new(params: &[u64]) -> Self {
        let count = params.len().min(KEY_PARAMS_MAX);
        let mut values = [0; KEY_PARAMS_MAX];
        values[..count].copy_from_slice(&params[..count]);
        Self {
            values,
            count: count as u8,
        }
    }

    /// The parameters as a slice.
    pub fn as_slice(&self) -> &[u64] {
        &self.values[..usize::from(self.count)]
    }

    /// The same with `value` as the parameter at this place, if there is one.
    #[must_use]
    pub fn with(mut self, at: usize, value: u64) -> Self {
        if at < usize::from(self.count) {
            self.values[at] = value;
        }
        self
    }
}

/// One arrival: an operation on a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// The data type.
    pub data_type: DataTypeId,
    /// What is asked.
    pub operation: Operation,
    /// The key's parameters.
    pub params: KeyParams,
}

impl Request {
    /// The keys, as a pattern, that [`Operation::InvalidatePattern`] asks for: those that share all
    /// parameters but the last. `key` is the data type's pattern.
    pub fn key_glob(&self, key: &KeyPattern) -> String {
        let params = self.params.as_slice();
        key.glob(&params[..params.len().saturating_sub(1)])
    }
}

/// What a user does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Waits.
    Think(Duration),
    /// Asks.
    Request(Request),
    /// Has done what it came for; only of an arrival, never of a user of a closed loop.
    End,
}

/// Which keys of a data type are asked for how often.
#[derive(Clone, Debug, PartialEq)]
pub enum Popularity {
    /// Each as often as any other.
    Uniform,
    /// The key of rank r with weight 1/r^skew; any skew from 0 upwards.
    Zipf {
        /// The skew; 0 is uniform, 0.99 is the default of YCSB.
        skew: f64,
    },
    /// A share of the keys gets a share of the requests; within both parts all are alike.
    Hotspot {
        /// The share of the keys that is hot: above 0.
        keys: Ratio,
        /// The share of the requests that goes to them: at least that of the keys.
        requests: Ratio,
    },
    /// As [`Popularity::Hotspot`], with any number of parts: a measured curve.
    Shares(Shares),
    /// Zipf by age: the newest key is asked for most. Every put makes a new key, under the name of
    /// the oldest one, so that there are always as many.
    Latest {
        /// The skew, as of [`Popularity::Zipf`].
        skew: f64,
    },
    /// Each user asks for its own key only.
    PerUser,
}

/// How one parameter of a key is chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dimension {
    /// One of this many values; all such dimensions together make the population.
    Cardinality(u64),
    /// A value never used before in this run: a log's running number.
    Unique,
}

/// The keys of one data type.
#[derive(Clone, Debug, PartialEq)]
pub struct Population {
    /// One for each parameter of the key pattern, in order.
    pub dimensions: Vec<Dimension>,
    /// Which are asked for how often.
    pub popularity: Popularity,
    /// How fast keys change places in it; `None`: never.
    pub drift: Option<Drift>,
    /// The share of the requests that asks for a key that nobody asked for before or will again;
    /// not of those that `popularity` draws from.
    pub one_hit: Ratio,
}

/// One line of the mix.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MixEntry {
    /// The data type.
    pub data_type: DataTypeId,
    /// The operation.
    pub operation: Operation,
    /// Its share, relative to the other lines.
    pub weight: f64,
}

/// What users do.
#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    /// Who they are, and what each kind of them does; at least one.
    pub kinds: Vec<UserKind>,
    /// The keys of each data type, in the order of the policy table.
    pub populations: Vec<Population>,
    /// Of the keys that all users draw from, a share alone; `None`: all of them.
    pub sample: Option<KeySample>,
}

impl Population {
    /// Keys of these `dimensions` and this `popularity`, that neither drift nor come only once.
    pub fn new(dimensions: Vec<Dimension>, popularity: Popularity) -> Self {
        Self {
            dimensions,
            popularity,
            drift: None,
            one_hit: Ratio(0.0),
        }
    }

    /// How many different keys users draw from: all combinations of the dimensions, but for those
    /// that are a user's own or always new.
    pub fn drawn_items(&self) -> u64 {
        let own = self.own_dimension();
        self.dimensions
            .iter()
            .enumerate()
            .filter(|(at, _)| Some(*at) != own)
            .fold(1_u64, |items, (_, dimension)| match dimension {
                Dimension::Cardinality(values) => items.saturating_mul((*values).max(1)),
                Dimension::Unique => items,
            })
    }

    /// The place of the dimension that is the user's own, if one is.
    pub fn own_dimension(&self) -> Option<usize> {
        let counted = |dimension: &Dimension| matches!(dimension, Dimension::Cardinality(_));
        let per_user = self.popularity == Popularity::PerUser;
        per_user
            .then(|| self.dimensions.iter().position(counted))
            .flatten()
    }

    /// Whether a sample leaves some of its keys out. Not so where each user brings its own, or each
    /// is new: there the sample of the users is the sample of the keys.
    pub fn is_shared(&self) -> bool {
        self.own_dimension().is_none() && !self.dimensions.contains(&Dimension::Unique)
    }

    /// The skew of what is drawn by Zipf's law; 0 if it is not.
    pub fn skew(&self) -> f64 {
        match self.popularity {
            Popularity::Zipf { skew } | Popularity::Latest { skew } => skew.max(0.0),
            Popularity::Uniform
            | Popularity::PerUser
            | Popularity::Hotspot { .. }
            | Popularity::Shares(_) => 0.0,
        }
    }

    /// Whether some keys are asked for more often than others.
    pub fn is_skewed(&self) -> bool {
        match self.popularity {
            Popularity::Hotspot { .. } | Popularity::Shares(_) => true,
            _ => self.skew() > 0.0,
        }
    }

    /// Whether a key keeps its rank.
    pub fn is_steady(&self) -> bool {
        self.drift.is_none() && !matches!(self.popularity, Popularity::Latest { .. })
    }
}
