//! Data types whose popularity is that of another: asked for only with what a journey remembers of it.
//!
//! The stock of a product is looked at as often as the product, whatever the stock's own popularity
//! says. Who wants to know the most popular keys must be told so. Called when the traffic is built. Pure.

use crate::engine::data_type::DataTypeId;
use crate::workload::{Dimension, Journey, JourneyStep, KeyParams, Population, What, Workload};

/// A data type, and parameters that are its own: each by its place in the key that uses it, and in its
/// own.
type Shared = (DataTypeId, Vec<(usize, usize)>);

/// Whose keys decide, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Follow {
    pub(super) source: DataTypeId,
    /// The parameters that are the source's: the place in this key, and in that of the source.
    shared: Vec<(usize, usize)>,
    /// How many values the others have, each with its place.
    others: Vec<(usize, u64)>,
    params: usize,
}

impl Follow {
    /// What `id` follows; `None` if it has a popularity of its own, or several to follow.
    pub(super) fn of(workload: &Workload, id: DataTypeId) -> Option<Self> {
        let population = workload.populations.get(id.index())?;
        let mut shared: Option<Shared> = None;
        for kind in &workload.kinds {
            let journeys = match &kind.what {
                What::Mix(mix) if mix.iter().any(|line| line.data_type == id) => return None,
                What::Mix(_) => continue,
                What::Journeys(journeys) => journeys,
            };
            for journey in journeys.iter().filter(|journey| journey.weight > 0.0) {
                for step in journey.steps.iter().filter(|step| step.data_type == id) {
                    let found = source(journey, step).filter(|(source, _)| *source != id)?;
                    if shared.as_ref().is_some_and(|known| *known != found) {
                        return None;
                    }
                    shared = Some(found);
                }
            }
        }
        let (source, shared) = shared?;
        let is_shared = |id: DataTypeId| {
            let population = workload.populations.get(id.index());
            population.is_some_and(Population::is_shared)
        };
        if !is_shared(id) || !is_shared(source) {
            return None;
        }
        let own = |at: usize| shared.iter().all(|(of_this, _)| *of_this != at);
        let others = population.dimensions.iter().enumerate();
        let others = others.filter_map(|(at, dimension)| match dimension {
            Dimension::Cardinality(values) if own(at) => Some((at, (*values).max(1))),
            _ => None,
        });
        Some(Self {
            source,
            others: others.collect(),
            shared,
            params: population.dimensions.len(),
        })
    }

    /// How many keys of this data type there are for each of the source.
    pub(super) fn keys_each(&self) -> u64 {
        let values = self.others.iter().map(|(_, values)| *values);
        values.fold(1, u64::saturating_mul)
    }

    /// The key with what it shares with `source`, and the others numbered `rest`.
    pub(super) fn key(&self, source: KeyParams, mut rest: u64) -> KeyParams {
        let mut params = KeyParams::new(&vec![0; self.params]);
        for (at, values) in self.others.iter().rev() {
            params = params.with(*at, rest % values);
            rest /= values;
        }
        for (of_this, of_source) in &self.shared {
            let value = source.as_slice().get(*of_source).copied();
            params = params.with(*of_this, value.unwrap_or_default());
        }
        params
    }
}

/// The data type of which `step` uses what was remembered, if it is only one, and which parameters.
fn source(journey: &Journey, step: &JourneyStep) -> Option<Shared> {
    let mut of = None;
    let mut shared = Vec::new();
    for used in &step.uses {
        for (from, kept) in journey.rememberers(used.value) {
            let pair = (usize::from(used.param), usize::from(kept.param));
            if *of.get_or_insert(from.data_type) != from.data_type {
                return None;
            }
            if !shared.contains(&pair) {
                shared.push(pair);
            }
        }
    }
    // Two steps that remember different parameters as the same are two sources.
    let mut places: Vec<usize> = shared.iter().map(|(of_this, _)| *of_this).collect();
    places.dedup();
    shared.sort_unstable();
    (places.len() == shared.len()).then_some((of?, shared))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::layer::Operation;
    use crate::units::Ratio;
    use crate::workload::kinds::Carried;
    use crate::workload::{MixEntry, Popularity, UserKind};

    const PRODUCT: DataTypeId = DataTypeId(0);
    const STOCK: DataTypeId = DataTypeId(1);

    fn get(data_type: DataTypeId) -> JourneyStep {
        JourneyStep::once(data_type, Operation::Get)
    }

    fn workload(steps: Vec<JourneyStep>) -> Workload {
        let population = |dimensions: &[u64]| {
            let dimensions = dimensions.iter().copied().map(Dimension::Cardinality);
            Population::new(dimensions.collect(), Popularity::Zipf { skew: 1.0 })
        };
        let journey = Journey {
            name: "look".to_owned(),
            weight: 1.0,
            steps,
            remembered: vec!["product_id".to_owned()],
        };
        let think_time = "1s".parse().expect("a range");
        Workload {
            kinds: vec![UserKind {
                what: What::Journeys(vec![journey]),
                ..UserKind::only(1, think_time, Vec::new())
            }],
            populations: vec![population(&[10]), population(&[2, 10, 3])],
            sample: None,
        }
    }

    fn browse_and_look() -> Vec<JourneyStep> {
        let carried = |param| vec![Carried { param, value: 0 }];
        vec![
            JourneyStep {
                remember: carried(0),
                ..get(PRODUCT)
            },
            JourneyStep {
                chance: Ratio(0.5),
                uses: carried(1),
                ..get(STOCK)
            },
        ]
    }

    #[test]
    fn what_is_asked_only_with_what_was_remembered_follows_it() {
        let follow = Follow::of(&workload(browse_and_look()), STOCK).expect("it follows");
        assert_eq!((follow.source, follow.keys_each()), (PRODUCT, 6));
        let keys: Vec<Vec<u64>> = (0..6)
            .map(|rest| follow.key(KeyParams::new(&[7]), rest).as_slice().to_vec())
            .collect();
        assert_eq!(keys.first(), Some(&vec![0, 7, 0]));
        assert_eq!(keys.last(), Some(&vec![1, 7, 2]));
        assert_eq!(Follow::of(&workload(browse_and_look()), PRODUCT), None);
    }

    #[test]
    fn what_is_also_asked_otherwise_follows_nothing() {
        let mut steps = browse_and_look();
        steps.push(get(STOCK));
        assert_eq!(Follow::of(&workload(steps), STOCK), None);
        let mut crawled = workload(browse_and_look());
        let mix = vec![MixEntry {
            data_type: STOCK,
            operation: Operation::Get,
            weight: 1.0,
        }];
        let crawlers = UserKind::only(1, "1s".parse().expect("a range"), mix);
        crawled.kinds.push(crawlers);
        assert_eq!(Follow::of(&crawled, STOCK), None);
        let mut of_users = workload(browse_and_look());
        of_users.populations[0].popularity = Popularity::PerUser;
        assert_eq!(Follow::of(&of_users, STOCK), None);
    }
}
