//! Who the users are: kinds of them, and what each kind does, a mix of single requests or journeys.
//!
//! Plain values: made by the scenario, stepped by `user`. Pure.

use crate::engine::data_type::DataTypeId;
use crate::engine::layer::Operation;
use crate::units::{Ratio, SpanRange};

use super::{Dimension, MixEntry, Workload};

/// The most kinds of users in a workload.
pub const KINDS_MAX: usize = 32;

/// The most journeys of a kind, and the most steps of a journey.
pub const JOURNEYS_MAX: usize = 64;

/// The most requests of one step.
pub const STEP_TIMES_MAX: u16 = 1_000;

/// The most values that a user carries from step to step.
pub const REMEMBERED_MAX: usize = 4;

/// A kind's place in the workload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserKindId(pub u8);

impl UserKindId {
    /// The place as an index.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// Users who do alike.
#[derive(Clone, Debug, PartialEq)]
pub struct UserKind {
    /// Its name, unique in the workload. That of the only kind of a scenario without kinds is
    /// [`UserKind::ALL`].
    pub name: String,
    /// How many there are.
    pub users: u32,
    /// How long a user waits after a request, where a step does not say it itself.
    pub think_time: SpanRange,
    /// What each user does once, in order, before anything else: a login.
    pub on_start: Vec<(DataTypeId, Operation)>,
    /// What it does then.
    pub what: What,
}

impl UserKind {
    /// The name of the only kind of a scenario that tells no kinds apart.
    pub const ALL: &'static str = "users";

    /// The only kind, of so many users who ask by `mix` and do nothing when they come.
    pub fn only(users: u32, think_time: SpanRange, mix: Vec<MixEntry>) -> Self {
        Self {
            name: Self::ALL.to_owned(),
            users,
            think_time,
            on_start: Vec::new(),
            what: What::Mix(mix),
        }
    }

    /// The lines of its mix; none if it makes journeys.
    pub fn mix(&self) -> &[MixEntry] {
        match &self.what {
            What::Mix(mix) => mix,
            What::Journeys(_) => &[],
        }
    }
}

impl Workload {
    /// All steps of all journeys, each with its journey.
    fn steps(&self) -> impl Iterator<Item = (&Journey, &JourneyStep)> {
        let kinds = self.kinds.iter();
        let journeys = kinds.flat_map(|kind| match &kind.what {
            What::Mix(_) => &[],
            What::Journeys(journeys) => &**journeys,
        });
        journeys.flat_map(|journey| journey.steps.iter().map(move |step| (journey, step)))
    }

    /// Whether a journey asks for keys of this data type that are made of what it remembers of others,
    /// so that they are not drawn as its own popularity says.
    pub fn is_carried_into(&self, id: DataTypeId) -> bool {
        let params = self.populations.get(id.index());
        let params = params.map_or(0, |population| population.dimensions.len());
        let mut steps = self.steps().filter(|(_, step)| step.data_type == id);
        steps.any(|(journey, step)| !step.uses.is_empty() && !journey.asks_again(step, params))
    }

    /// Whether a journey asks again for a running number of this data type.
    pub fn comes_again(&self, id: DataTypeId) -> bool {
        let dimensions = self.populations.get(id.index());
        let dimensions = dimensions.map_or(&[][..], |population| &population.dimensions);
        let mut steps = self.steps().filter(|(_, step)| step.data_type == id);
        steps.any(|(_, step)| {
            let mut used = step.uses.iter();
            used.any(|used| dimensions.get(usize::from(used.param)) == Some(&Dimension::Unique))
        })
    }
}

/// What users do, over and over.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// Single requests, by weight.
    Mix(Vec<MixEntry>),
    /// Journeys, by weight, one after another.
    Journeys(Vec<Journey>),
}

/// An ordered list of operations that a user performs.
#[derive(Clone, Debug, PartialEq)]
pub struct Journey {
    /// Its name, unique in its kind.
    pub name: String,
    /// How often it is begun, relative to the kind's other journeys.
    pub weight: f64,
    /// Its steps, in order.
    pub steps: Vec<JourneyStep>,
    /// The names of the values that are carried from step to step; [`Carried::value`] is a place
    /// in it. At most [`REMEMBERED_MAX`].
    pub remembered: Vec<String>,
}

impl Journey {
    /// The steps that remember this value, and as which parameter.
    pub fn rememberers(&self, value: u8) -> impl Iterator<Item = (&JourneyStep, Carried)> {
        self.steps.iter().flat_map(move |step| {
            let kept = step.remember.iter().filter(move |kept| kept.value == value);
            kept.map(move |kept| (step, *kept))
        })
    }

    /// Whether what `step` uses of so many parameters makes one whole key that was drawn before as such.
    fn asks_again(&self, step: &JourneyStep, params: usize) -> bool {
        let mut drawn_by: Option<&JourneyStep> = None;
        step.uses.len() == params
            && step.uses.iter().all(|used| {
                self.rememberers(used.value).all(|(from, kept)| {
                    let first = *drawn_by.get_or_insert(from);
                    let same = std::ptr::eq(first, from) && kept.param == used.param;
                    same && from.data_type == step.data_type
                })
            })
    }
}

/// One step of a journey: an operation, asked once or several times in a row.
#[derive(Clone, Debug, PartialEq)]
pub struct JourneyStep {
    /// The data type.
    pub data_type: DataTypeId,
    /// What is asked.
    pub operation: Operation,
    /// How often in a row.
    pub times: Times,
    /// The share of the journeys that come here in which it is done at all.
    pub chance: Ratio,
    /// How long the user waits after each of its requests; `None`: as the kind says.
    pub think_time: Option<SpanRange>,
    /// Parameters of its key that are kept, each time anew, for later steps.
    pub remember: Vec<Carried>,
    /// Parameters of its key that are not drawn but were kept by an earlier step. If none kept them,
    /// because it was left out, this step is left out, too.
    pub uses: Vec<Carried>,
    /// The share of the journeys that end after it was done.
    pub leave: Ratio,
}

impl JourneyStep {
    /// An operation, asked once and always.
    pub fn once(data_type: DataTypeId, operation: Operation) -> Self {
        Self {
            data_type,
            operation,
            times: Times { min: 1, max: 1 },
            chance: Ratio(1.0),
            think_time: None,
            remember: Vec::new(),
            uses: Vec::new(),
            leave: Ratio(0.0),
        }
    }

    /// Whether it is done by everybody who comes to it, whatever they did before.
    pub fn is_certain(&self) -> bool {
        self.chance.0 >= 1.0 && self.times.min > 0 && self.uses.is_empty()
    }

    /// Whether all that it uses is remembered, if a bit of `known` is set for each value that is.
    pub(super) fn is_possible(&self, known: u8) -> bool {
        let mut used = self.uses.iter();
        used.all(|used| u32::from(known) >> used.value & 1 == 1)
    }
}

/// How often in a row: any number from the first to the last, each as likely as another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// The fewest.
    pub min: u16,
    /// The most.
    pub max: u16,
}

/// A parameter of a key, and the remembered value that it becomes or comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carried {
    /// The parameter's place in the key pattern.
    pub param: u8,
    /// The value's place in [`Journey::remembered`].
    pub value: u8,
}

/// `total` in parts that are to each other as `weights`, by the largest remainder; of equal ones the
/// first. Nobody with a weight goes without a part if there are enough for all.
pub fn apportion(total: u32, weights: &[u32]) -> Vec<u32> {
    let sum: u64 = weights.iter().copied().map(u64::from).sum();
    if sum == 0 {
        return vec![0; weights.len()];
    }
    let exact = |weight: u32| u64::from(total) * u64::from(weight);
    let mut parts: Vec<u32> = weights
        .iter()
        .map(|weight| (exact(*weight) / sum) as u32)
        .collect();
    let mut left = total - parts.iter().sum::<u32>();
    let mut by_rest: Vec<usize> = (0..weights.len()).collect();
    by_rest.sort_by_key(|at| std::cmp::Reverse(exact(weights[*at]) % sum));
    for at in by_rest {
        if left > 0 {
            parts[at] += 1;
            left -= 1;
        }
    }
    give_each_one(&mut parts, weights);
    parts
}

/// Takes from the largest parts what those without any need.
fn give_each_one(parts: &mut [u32], weights: &[u32]) {
    while let Some(without) = (0..parts.len()).find(|at| parts[*at] == 0 && weights[*at] > 0) {
        let largest = (0..parts.len()).max_by_key(|at| parts[*at]);
        let Some(largest) = largest.filter(|at| parts[*at] > 1) else {
            return;
        };
        parts[largest] -= 1;
        parts[without] += 1;
    }
}

/// The kinds in an order in which every beginning has about its share of each: so many of each as
/// `users` says, or the smallest numbers that are to each other as these. Repeated, it is the order of
/// all users. Smooth weighted round-robin.
pub(super) fn interleaved(users: &[u32]) -> Vec<UserKindId> {
    let divisor = users.iter().copied().fold(0, greatest_common_divisor);
    let parts: Vec<i64> = users
        .iter()
        .map(|users| i64::from(users / divisor.max(1)))
        .collect();
    let all: i64 = parts.iter().sum();
    let mut owed = vec![0_i64; parts.len()];
    let next = |_| {
        for (owed, part) in owed.iter_mut().zip(&parts) {
            *owed += part;
        }
        // Of equal ones the first.
        let most = (0..owed.len()).rev().max_by_key(|at| owed[*at])?;
        owed[most] -= all;
        u8::try_from(most).ok().map(UserKindId)
    };
    (0..all).map_while(next).collect()
}

fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 {
        a
    } else {
        greatest_common_divisor(b, a % b)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn parts_are_those_of_the_largest_remainder() {
        assert_eq!(apportion(1_000, &[800, 150, 50]), [800, 150, 50]);
        assert_eq!(apportion(20, &[800, 150, 50]), [16, 3, 1]);
        assert_eq!(apportion(7, &[1, 1, 1]), [3, 2, 2]);
        assert_eq!(apportion(10, &[800, 150, 50]), [7, 2, 1], "each has one");
        assert_eq!(apportion(2, &[5, 5, 5]), [1, 1, 0], "not enough for all");
        assert_eq!(apportion(9, &[0, 3]), [0, 9]);
        assert_eq!(apportion(9, &[0, 0]), [0, 0]);
    }

    #[test]
    fn kinds_take_turns() {
        let order = |users: &[u32]| -> Vec<u8> {
            interleaved(users).into_iter().map(|kind| kind.0).collect()
        };
        assert_eq!(order(&[300, 100]), [0, 0, 1, 0]);
        assert_eq!(order(&[7]), [0]);
        assert_eq!(order(&[2, 3]), [1, 0, 1, 0, 1]);
        assert!(order(&[]).is_empty() && order(&[0, 0]).is_empty());
    }

    proptest! {
        #[test]
        fn parts_add_up_and_keep_the_proportions(
            total in 0_u32..1_000_000,
            weights in prop::collection::vec(1_u32..1_000_000, 1..12),
        ) {
            let parts = apportion(total, &weights);
            prop_assert_eq!(parts.iter().sum::<u32>(), total);
            let sum: u64 = weights.iter().copied().map(u64::from).sum();
            // Giving each one takes no more than the others' ones from anybody.
            let moved = weights.len() as f64;
            for (part, weight) in parts.iter().zip(&weights) {
                let exact = f64::from(total) * f64::from(*weight) / sum as f64;
                prop_assert!((f64::from(*part) - exact).abs() <= moved);
                prop_assert!(*part > 0 || total < weights.len() as u32);
            }
        }

        #[test]
        fn every_beginning_has_its_share_of_each_kind(
            users in prop::collection::vec(1_u32..60, 1..8),
        ) {
            let order = interleaved(&users);
            let all: u32 = users.iter().sum();
            prop_assert_eq!(all as usize % order.len(), 0);
            let kinds = users.len();
            let mut seen = vec![0_u32; kinds];
            for (at, kind) in order.iter().enumerate() {
                seen[kind.index()] += 1;
                for (seen, users) in seen.iter().zip(&users) {
                    let fair = (at + 1) as f64 * f64::from(*users) / f64::from(all);
                    prop_assert!((f64::from(*seen) - fair).abs() < kinds as f64);
                }
            }
            let repeats = all / order.len() as u32;
            prop_assert_eq!(seen.iter().map(|seen| seen * repeats).collect::<Vec<_>>(), users);
        }
    }
}
