//! A user as a pure state machine: [`User::next`] says what it does next, a wait or a request.
//!
//! Every driver steps the same machine, and a user draws from a stream of its own, so the same
//! seed asks the same requests of each user whatever the schedule. Called by drivers; reads no
//! clock, sends nothing, and knows nothing of answers.

use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;

use super::keys::{Draw, KeySpace};
use super::{Dimension, KeyParams, Request, Step, Workload};
use crate::engine::data_type::{DataTypeId, PolicyTable};
use crate::engine::layer::Operation;
use crate::seed::{Seed, Stream};
use crate::units::SpanRange;

/// What all users share: the mix, and the tables from which keys are drawn. Built once.
#[derive(Debug)]
pub struct Traffic {
    seed: Seed,
    think_time: SpanRange,
    on_start: Vec<(DataTypeId, Operation)>,
    mix: Vec<MixLine>,
    /// In the order of the policy table.
    key_spaces: Vec<KeySpace>,
}

/// One line of the mix, with the sum of the weights up to and including its own.
#[derive(Debug)]
struct MixLine {
    weights_to_here: f64,
    data_type: DataTypeId,
    operation: Operation,
}

impl Traffic {
    /// The traffic of `workload`, drawn from `seed`. Takes some 20 ns for each item of a Zipf
    /// population, and 8 bytes.
    ///
    /// A parameter of a key pattern without a dimension in the workload has the one value 0; a
    /// line of the mix with a weight that is not above zero is never drawn.
    ///
    /// With a sample, `seed` draws the users and the keys that are kept. Users are numbered from 0 as
    /// ever: they are alike but for their streams of randomness and their own keys, so that any of
    /// them are as good as any other, and drivers need not know of it.
    pub fn new(workload: &Workload, policies: &PolicyTable, seed: Seed) -> Arc<Self> {
        let mut sum = 0.0;
        let mix = workload
            .mix
            .iter()
            .map(|entry| {
                sum += if entry.weight > 0.0 {
                    entry.weight
                } else {
                    0.0
                };
                MixLine {
                    weights_to_here: sum,
                    data_type: entry.data_type,
                    operation: entry.operation,
                }
            })
            .collect();
        let key_spaces = policies
            .iter()
            .map(|(id, row)| {
                let params = row.key.params().count();
                let part = |seed: Seed, name| seed.fork(name).fork_index(u64::from(id.0));
                let names = workload.sample.map_or(seed, |sample| sample.names);
                let population = workload.populations.get(id.index());
                KeySpace::new(population, params, part(names, "keys")).sampled(
                    population,
                    workload.sample,
                    part(seed, "kept"),
                )
            })
            .collect();
        Arc::new(Self {
            seed,
            think_time: workload.think_time,
            on_start: workload.on_start.clone(),
            mix,
            key_spaces,
        })
    }

    /// The seed that everything here is drawn from.
    pub fn seed(&self) -> Seed {
        self.seed
    }

    /// The parameters of the keys of `data_type` that are asked for most, the most popular first:
    /// `count` of them, or all there are; of a sample, those that it keeps of them. None if no key is more
    /// anybody's than another's: where each user has its own, or each is new.
    pub fn most_popular(&self, data_type: DataTypeId, count: u64) -> Vec<KeyParams> {
        let Some(keys) = self.key_spaces.get(data_type.index()) else {
            return Vec::new();
        };
        let of_rank = |rank| self.of_rank(data_type, rank);
        match &keys.strata {
            Some(strata) => strata.kept_below(count).filter_map(of_rank).collect(),
            None => (0..count).map_while(of_rank).collect(),
        }
    }

    /// The parameters of the key of `data_type` that is asked for more than all others but `rank` of
    /// them; `None` if there are not so many, or if no key is more anybody's than another's. Where keys
    /// drift, it is the one that was so at the run's start; where the newest are popular, now.
    pub fn of_rank(&self, data_type: DataTypeId, rank: u64) -> Option<KeyParams> {
        let keys = self.key_spaces.get(data_type.index())?;
        let shared = keys.own.is_none() && !keys.dimensions.contains(&Dimension::Unique);
        let found = shared && rank < keys.ranks.items();
        found.then(|| keys.params_of(keys.item_of(rank, Duration::ZERO), 0, 0))
    }

    /// How many of the `count` most popular keys of `data_type` there are to ask for: all of them, or of
    /// a sample those that it keeps.
    pub fn kept_of(&self, data_type: DataTypeId, count: u64) -> u64 {
        let keys = self.key_spaces.get(data_type.index());
        let strata = keys.and_then(|keys| keys.strata.as_ref());
        strata.map_or(count, |strata| strata.count_below(count))
    }

    /// The parameters of the one of them numbered `at`, the most popular first, and for how many keys it
    /// stands; `None` as for [`Traffic::of_rank`].
    pub fn nth_kept(&self, data_type: DataTypeId, at: u64) -> Option<(KeyParams, u64)> {
        let keys = self.key_spaces.get(data_type.index())?;
        let (rank, keys) = match &keys.strata {
            Some(strata) => strata.nth(at)?,
            None => (at, 1),
        };
        Some((self.of_rank(data_type, rank)?, keys))
    }

    /// The parameters of the first key of a group of `data_type`: of those keys that share all parameters
    /// but the last. `None` if there are not so many groups, or if keys are somebody's own or new.
    pub fn of_group(&self, data_type: DataTypeId, number: u64) -> Option<KeyParams> {
        let keys = self.key_spaces.get(data_type.index())?;
        let Some(Dimension::Cardinality(last)) = keys.dimensions.last() else {
            return None;
        };
        let shared = keys.own.is_none() && !keys.dimensions.contains(&Dimension::Unique);
        let item = number.checked_mul((*last).max(1))?;
        (shared && item < keys.ranks.items()).then(|| keys.params_of(item, 0, 0))
    }

    /// A line of the mix by weight; `None` if no line has any.
    fn draw_operation(&self, stream: &mut Stream) -> Option<(DataTypeId, Operation)> {
        let weights = self.mix.last()?.weights_to_here;
        let at = stream.random::<f64>() * weights;
        let line = self.mix.partition_point(|line| line.weights_to_here <= at);
        let line = self.mix.get(line)?;
        Some((line.data_type, line.operation))
    }

    fn draw_think_time(&self, stream: &mut Stream) -> Duration {
        let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let (min, max) = (nanos(self.think_time.min), nanos(self.think_time.max));
        Duration::from_nanos(stream.random_range(min..=max.max(min)))
    }
}

/// One user. About 90 bytes.
#[derive(Clone, Debug)]
pub struct User {
    traffic: Arc<Traffic>,
    index: u64,
    stream: Stream,
    /// How many requests it has made.
    requests: u64,
    /// How much it has done of what every user does when it comes.
    begun: u32,
    /// Whether its last step was to think.
    thought: bool,
    /// When its next step is, counted from the run's start.
    moment: Duration,
}

impl User {
    /// The user numbered `index`, counted from 0; below 2^32, so that its unique values are its
    /// own.
    pub fn new(traffic: Arc<Traffic>, index: u64) -> Self {
        let stream = traffic.seed.stream_of("user", index);
        Self {
            traffic,
            index,
            stream,
            requests: 0,
            begun: 0,
            thought: false,
            moment: Duration::ZERO,
        }
    }

    /// It is `moment` now, counted from the run's start: by the schedule, not by when the user's turn
    /// came. To be said before [`User::next`]: where keys drift, it decides which of them are popular.
    pub fn at(&mut self, moment: Duration) {
        self.moment = moment;
    }

    /// SHIM
    pub fn for_arrival(traffic: Arc<Traffic>, number: u64) -> Self {
        let mut user = Self::new(traffic, number);
        user.begun = u32::MAX - 1;
        user.thought = true;
        user
    }

    /// It went and comes back: it begins again with what every user does once, a new login. What it
    /// asks for stays its own.
    pub fn come_back(&mut self) {
        self.begun = 0;
        self.thought = false;
    }

    /// The user's number.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// How many requests it has made so far.
    pub fn requests(&self) -> u64 {
        self.requests
    }

    /// What it does next: first what every user does once, without a pause; from then on it
    /// thinks and asks by turns. A user with nothing to ask thinks for ever.
    #[allow(
        clippy::should_implement_trait,
        reason = "a user never ends; as an iterator each step would have to be unwrapped"
    )]
    pub fn next(&mut self) -> Step {
        if let Some((data_type, operation)) = self.traffic.on_start.get(self.begun as usize) {
            let (data_type, operation) = (*data_type, *operation);
            self.begun += 1;
            return self.ask(data_type, operation);
        }
        if self.begun >= u32::MAX - 1 && self.requests > 0 {
            return Step::End;
        }
        self.thought = !self.thought;
        if self.thought {
            return Step::Think(self.traffic.draw_think_time(&mut self.stream));
        }
        match self.traffic.draw_operation(&mut self.stream) {
            Some((data_type, operation)) => self.ask(data_type, operation),
            None => Step::Think(Duration::MAX),
        }
    }

    fn ask(&mut self, data_type: DataTypeId, operation: Operation) -> Step {
        let unique = (self.index << 32).wrapping_add(self.requests);
        self.requests += 1;
        let params = match self.traffic.key_spaces.get(data_type.index()) {
            Some(keys) => {
                let draw = Draw {
                    user: self.index,
                    unique,
                    puts: operation == Operation::Put,
                    moment: self.moment,
                };
                keys.draw(&mut self.stream, draw)
            }
            None => KeyParams::default(),
        };
        Step::Request(Request {
            data_type,
            operation,
            params,
        })
    }
}

#[cfg(test)]
mod tests;
