//! A user as a pure state machine: [`User::next`] says what it does next, a wait or a request.
//!
//! Every driver steps the same machine, and a user draws from a stream of its own, so the same
//! seed asks the same requests of each user whatever the schedule. Where requests arrive and nobody
//! lives, [`User::for_arrival`] gives the machine of one arrival. Called by drivers; reads no clock,
//! sends nothing, and knows nothing of answers.

mod follow;
mod routine;

use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;

use super::keys::{Draw, KeySpace};
use super::kinds::{self, JourneyStep, REMEMBERED_MAX, UserKindId};
use super::{Dimension, KeyParams, Request, Step, Workload};
use crate::engine::data_type::{DataTypeId, PolicyTable};
use crate::engine::layer::Operation;
use crate::seed::{Seed, Stream};
use follow::Follow;
use routine::{Prepared, Routine};

/// What all users share: what each kind does, and the tables from which keys are drawn. Built once.
#[derive(Debug)]
pub struct Traffic {
    seed: Seed,
    /// From which arrivals draw.
    arrivals: Seed,
    /// Of all kinds.
    users: u32,
    /// By kind; never none.
    routines: Vec<Routine>,
    /// The kinds of the users one after another, over and over; empty if there is only one.
    order: Vec<UserKindId>,
    /// In the order of the policy table.
    key_spaces: Vec<KeySpace>,
    /// In the same order: whose popularity its own is, if it is another's.
    follows: Vec<Option<Follow>>,
}

impl Traffic {
    /// The traffic of `workload`, drawn from `seed`. Takes some 20 ns for each item of a Zipf
    /// population, and 8 bytes.
    ///
    /// A parameter of a key pattern without a dimension in the workload has the one value 0; a
    /// line of a mix or a journey with a weight that is not above zero is never drawn.
    ///
    /// With a sample, `seed` draws the users and the keys that are kept. Users are numbered from 0 as
    /// ever: they are alike but for their kinds, their streams of randomness and their own keys, so
    /// that any of them are as good as any other, and drivers need not know of it.
    pub fn new(workload: &Workload, policies: &PolicyTable, seed: Seed) -> Arc<Self> {
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
        let follows = policies.iter().map(|(id, _)| Follow::of(workload, id));
        let counts: Vec<u32> = workload.kinds.iter().map(|kind| kind.users).collect();
        let several = workload.kinds.len() > 1;
        let mut routines: Vec<Routine> = workload.kinds.iter().map(Routine::new).collect();
        if routines.is_empty() {
            routines.push(Routine::idle());
        }
        Arc::new(Self {
            seed,
            arrivals: seed.fork("arrival"),
            users: counts.iter().sum(),
            routines,
            order: if several {
                kinds::interleaved(&counts)
            } else {
                Vec::new()
            },
            key_spaces,
            follows: follows.collect(),
        })
    }

    /// Of which kind the user numbered `index` is. Kinds are spread evenly over the numbers, so that
    /// the first so many users are of all kinds alike.
    pub fn kind_of(&self, index: u64) -> UserKindId {
        if self.order.is_empty() {
            return UserKindId(0);
        }
        self.order[(index % self.order.len() as u64) as usize]
    }

    /// Of which kind the arrival numbered `number` is: drawn, each kind as often as it has users.
    pub fn arrival_kind(&self, number: u64) -> UserKindId {
        self.kind_of(self.whose_arrival(number).0.into())
    }

    /// The user whose own keys an arrival asks for, and the stream from which it draws.
    fn whose_arrival(&self, number: u64) -> (u32, Stream) {
        let mut stream = self.arrivals.fork_index(number).into_stream();
        (stream.random_range(0..self.users.max(1)), stream)
    }

    fn routine(&self, kind: UserKindId) -> &Routine {
        &self.routines[kind.index()]
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
    /// drift, it is the one that was so at the run's start; where the newest are popular, now. What journeys
    /// ask for only with what they remember of another data type is as popular as that.
    pub fn of_rank(&self, data_type: DataTypeId, rank: u64) -> Option<KeyParams> {
        self.ranked(data_type, rank, self.follows.len())
    }

    /// The same, by way of so many others that are followed at the most.
    fn ranked(&self, data_type: DataTypeId, rank: u64, ways: usize) -> Option<KeyParams> {
        if let Some(Some(follow)) = self.follows.get(data_type.index()) {
            let each = follow.keys_each();
            let source = self.ranked(follow.source, rank / each, ways.checked_sub(1)?)?;
            return Some(follow.key(source, rank % each));
        }
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
}

/// How much it may ask of which no other does, of an arrival and of a user: bits of a number.
const ARRIVAL_REQUESTS_BITS: u32 = 20;
const USER_REQUESTS_BITS: u32 = 32;

/// Where in its journey a user is.
#[derive(Clone, Copy, Debug)]
struct Place {
    journey: u16,
    step: u16,
    /// How often the step is still to be done.
    left: u16,
}

/// What it does when asked the next time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Think,
    Ask,
    /// Nothing more.
    Over,
}

/// One user, or one arrival. About 130 bytes.
#[derive(Clone, Debug)]
pub struct User {
    traffic: Arc<Traffic>,
    state: State,
}

/// All of a user but what it shares.
#[derive(Clone, Debug)]
struct State {
    index: u64,
    stream: Stream,
    /// What it remembers of the keys of its journey, as far as `known` says.
    remembered: [u64; REMEMBERED_MAX],
    /// How many requests it has made.
    requests: u64,
    /// The user whose keys are its own.
    owner: u32,
    /// How much it has done of what every user does when it comes.
    begun: u32,
    /// `None` between journeys, and of who makes none.
    place: Option<Place>,
    /// A bit for each remembered value.
    known: u8,
    kind: UserKindId,
    /// It ends after one journey or one request.
    is_arrival: bool,
    turn: Turn,
    /// When its next step is, counted from the run's start.
    moment: Duration,
}

impl User {
    /// The user numbered `index`, counted from 0; below 2^32, so that its unique values are its
    /// own.
    pub fn new(traffic: Arc<Traffic>, index: u64) -> Self {
        let state = State {
            index,
            stream: traffic.seed.stream_of("user", index),
            remembered: [0; REMEMBERED_MAX],
            requests: 0,
            owner: index as u32,
            begun: 0,
            place: None,
            known: 0,
            kind: traffic.kind_of(index),
            is_arrival: false,
            turn: Turn::Think,
            moment: Duration::ZERO,
        };
        Self { traffic, state }
    }

    /// The arrival numbered `number`, counted from 0 and below 2^44: of a kind with a mix one request,
    /// of a kind with journeys what every user does when it comes and one journey, with its pauses;
    /// then [`Step::End`]. Keys that each user has of its own are those of a user that is drawn.
    pub fn for_arrival(traffic: Arc<Traffic>, number: u64) -> Self {
        let (owner, stream) = traffic.whose_arrival(number);
        let mut state = State {
            index: number,
            stream,
            remembered: [0; REMEMBERED_MAX],
            requests: 0,
            owner,
            begun: 0,
            place: None,
            known: 0,
            kind: traffic.kind_of(owner.into()),
            is_arrival: true,
            turn: Turn::Ask,
            moment: Duration::ZERO,
        };
        let routine = traffic.routine(state.kind);
        match routine.what {
            Prepared::Mix(_) => state.begun = u32::MAX,
            // It thinks before the journey, unless that is where it begins.
            Prepared::Journeys(_) if !routine.on_start.is_empty() => state.turn = Turn::Think,
            Prepared::Journeys(_) => {
                state.go_on(routine);
            }
        }
        Self { traffic, state }
    }

    /// It is `moment` now, counted from the run's start: by the schedule, not by when the user's turn
    /// came. To be said before [`User::next`]: where keys drift, it decides which of them are popular.
    pub fn at(&mut self, moment: Duration) {
        self.state.moment = moment;
    }

    /// It went and comes back: it begins again with what every user does once, a new login, and leaves
    /// the journey that it was on. What it asks for stays its own.
    pub fn come_back(&mut self) {
        self.state.begun = 0;
        self.state.place = None;
        self.state.turn = Turn::Think;
    }

    /// The user's number, or the arrival's.
    pub fn index(&self) -> u64 {
        self.state.index
    }

    /// Of which kind it is.
    pub fn kind(&self) -> UserKindId {
        self.state.kind
    }

    /// How many requests it has made so far.
    pub fn requests(&self) -> u64 {
        self.state.requests
    }

    /// What it does next: first what every user does once, without a pause; from then on it
    /// thinks and asks by turns. A user with nothing to ask thinks for ever; an arrival ends.
    #[allow(
        clippy::should_implement_trait,
        reason = "a user never ends; as an iterator each step would have to be unwrapped"
    )]
    pub fn next(&mut self) -> Step {
        self.state.next(&self.traffic)
    }
}

impl State {
    fn next(&mut self, traffic: &Traffic) -> Step {
        let routine = traffic.routine(self.kind);
        if let Some((data_type, operation)) = routine.on_start.get(self.begun as usize) {
            self.begun += 1;
            return self.ask(traffic, *data_type, *operation);
        }
        match self.turn {
            Turn::Think => self.think(routine),
            Turn::Ask => self.ask_next(traffic, routine),
            Turn::Over => Step::End,
        }
    }

    fn think(&mut self, routine: &Routine) -> Step {
        let done = self.place.and_then(|place| routine.what.step(place));
        let pause = done.and_then(|step| step.think_time);
        if !self.go_on(routine) {
            self.turn = Turn::Over;
            return Step::End;
        }
        self.turn = Turn::Ask;
        let pause = pause.unwrap_or(routine.think_time);
        Step::Think(routine::draw_span(pause, &mut self.stream))
    }

    fn ask_next(&mut self, traffic: &Traffic, routine: &Routine) -> Step {
        self.turn = if self.is_arrival && self.place.is_none() {
            Turn::Over
        } else {
            Turn::Think
        };
        if let Prepared::Mix(mix) = &routine.what {
            return match mix.draw(&mut self.stream) {
                Some((data_type, operation)) => self.ask(traffic, data_type, operation),
                None => self.has_nothing(),
            };
        }
        match self.place.and_then(|place| routine.what.step(place)) {
            Some(step) => self.take(traffic, step),
            None => self.has_nothing(),
        }
    }

    fn has_nothing(&self) -> Step {
        if self.is_arrival {
            Step::End
        } else {
            Step::Think(Duration::MAX)
        }
    }

    /// Comes to what it asks next, in its journey or in the next one. False if there is nothing more.
    fn go_on(&mut self, routine: &Routine) -> bool {
        let Prepared::Journeys(journeys) = &routine.what else {
            return !self.is_arrival;
        };
        if let Some(place) = self.place {
            self.place = journeys.after(place, self.known, &mut self.stream);
            if self.place.is_some() || self.is_arrival {
                return self.place.is_some();
            }
        }
        self.known = 0;
        self.place = journeys.begin(&mut self.stream);
        self.place.is_some() || !self.is_arrival
    }

    fn ask(&mut self, traffic: &Traffic, data_type: DataTypeId, operation: Operation) -> Step {
        Step::Request(Request {
            data_type,
            operation,
            params: self.draw_key(traffic, data_type, operation == Operation::Put),
        })
    }

    /// Takes one step of a journey.
    fn take(&mut self, traffic: &Traffic, step: &JourneyStep) -> Step {
        // What is put under a remembered key was there before.
        let puts_new = step.operation == Operation::Put && step.uses.is_empty();
        let mut params = self.draw_key(traffic, step.data_type, puts_new);
        for used in &step.uses {
            if let Some(value) = self.remembered.get(usize::from(used.value)) {
                params = params.with(used.param.into(), *value);
            }
        }
        for kept in &step.remember {
            let value = params.as_slice().get(usize::from(kept.param));
            let place = self.remembered.get_mut(usize::from(kept.value));
            if let (Some(value), Some(place)) = (value, place) {
                *place = *value;
                self.known |= 1 << kept.value;
            }
        }
        Step::Request(Request {
            data_type: step.data_type,
            operation: step.operation,
            params,
        })
    }

    fn draw_key(&mut self, traffic: &Traffic, data_type: DataTypeId, puts: bool) -> KeyParams {
        let bits = if self.is_arrival {
            ARRIVAL_REQUESTS_BITS
        } else {
            USER_REQUESTS_BITS
        };
        let unique = (self.index << bits).wrapping_add(self.requests);
        self.requests += 1;
        match traffic.key_spaces.get(data_type.index()) {
            Some(keys) => {
                let draw = Draw {
                    user: self.owner.into(),
                    unique,
                    puts,
                    moment: self.moment,
                };
                keys.draw(&mut self.stream, draw)
            }
            None => KeyParams::default(),
        }
    }
}

#[cfg(test)]
mod tests;
