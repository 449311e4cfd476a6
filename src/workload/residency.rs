//! Which part of its keys a cache holds, in the whole and in a sample of it: how a sampled cache gets
//! the capacity at which its keys stay as long as they would in the whole.
//!
//! Che's approximation (Che, Tung and Wang, "Hierarchical Web caching systems", IEEE JSAC 20(7), 2002):
//! under least-recently-used, a key stays for a time that is nearly the same for all keys, and that
//! time is the one at which the keys asked for within it fill the cache. It is exact enough for
//! independent draws (Fricker, Robert and Roberts, "A versatile and accurate approximation for LRU
//! cache performance", ITC 24, 2012), and independent draws are what a workload makes. The same time
//! in the sample gives the sample's capacity: what is kept of the tail takes its share, and a head key
//! takes a whole place if it is asked for often enough in the sample to stay.
//!
//! Time is counted here in requests of the whole, so that nobody needs to know how many there are in
//! a second. Called by the scenario when it makes a sampled plan of a plan. Pure.

use std::ops::Range;

use super::popularity::ZipfSums;
use super::sampling::{Share, Strata, Thinned};
use super::{Dimension, Population};
use crate::seed::Seed;

/// Keys of one data type that are alike, in the whole and in the sample.
#[derive(Clone, Copy, Debug)]
struct Alike {
    /// How many there are.
    keys: f64,
    /// How often each is asked for, by request of the data type.
    rate: f64,
    /// How many of them the sample keeps.
    kept: f64,
    /// How often each of these is asked for while the whole makes one request.
    kept_rate: f64,
}

/// One data type in a cache.
#[derive(Clone, Debug)]
pub struct Tenant {
    alike: Vec<Alike>,
    /// Which share of its requests is for new keys: never asked for again, but held for a while.
    new: f64,
    /// Its requests to this cache, as a share of those of all tenants.
    requests: f64,
    /// What a key takes: bytes, or 1 where entries are counted.
    size: f64,
    /// The longest that an entry stays, in requests of the whole.
    life: f64,
}

impl Tenant {
    /// The keys of `population` under so many `users`, of which `share` is kept.
    pub fn new(population: &Population, users: u32, share: Share) -> Self {
        let unique = population.dimensions.contains(&Dimension::Unique);
        let alike = if population.is_shared() {
            shared(population, share)
        } else {
            vec![of_users(population, users, share)]
        };
        Self {
            alike,
            new: if unique { 1.0 } else { population.one_hit.0 },
            requests: 1.0,
            size: 1.0,
            life: f64::INFINITY,
        }
    }

    /// The same with this `weight` of requests beside those of the other tenants.
    #[must_use]
    pub fn asked(self, weight: f64) -> Self {
        Self {
            requests: weight,
            ..self
        }
    }

    /// The same with keys that take so much.
    #[must_use]
    pub fn sized(self, size: f64) -> Self {
        Self { size, ..self }
    }

    /// The same with entries that end after so many `requests` of the whole at the latest.
    #[must_use]
    pub fn living(self, requests: f64) -> Self {
        Self {
            life: requests,
            ..self
        }
    }

    /// What it holds if an entry stays for `time` after it was asked for, in the whole and in the
    /// sample.
    fn held(&self, time: f64, share: Share) -> (f64, f64) {
        let time = time.min(self.life) * self.requests;
        let new = self.new * time * self.size;
        let new = (new, new * share.as_f64());
        if self.new >= 1.0 {
            return new;
        }
        let time = (1.0 - self.new) * time;
        let there = |rate: f64| -(-rate * time).exp_m1();
        let sums = self.alike.iter().map(|alike| {
            let whole = alike.keys * there(alike.rate);
            (whole, alike.kept * there(alike.kept_rate))
        });
        sums.fold(new, |sum, (whole, kept)| {
            (sum.0 + whole * self.size, sum.1 + kept * self.size)
        })
    }

    /// The share of its requests that the sample misses though the whole hits: `thinned` keys are
    /// evicted more often, because they are asked for less often.
    fn missed_more(&self, thinned: &[Thinned], time: f64, share: Share) -> f64 {
        let again = 1.0 - self.new;
        let time = time.min(self.life) * self.requests * again;
        let missed = thinned.iter().map(|key| {
            let in_sample = key.draws * share.as_f64() * time;
            key.draws * ((-in_sample).exp() - (-in_sample / key.rate).exp())
        });
        missed.sum::<f64>() * again
    }
}

/// The keys that all users draw from: the head one by one, the tail in parts of nearly equal keys.
fn shared(population: &Population, share: Share) -> Vec<Alike> {
    let (items, skew) = (population.drawn_items(), population.skew());
    // Which key of a stratum is kept does not matter here.
    let strata = Strata::new(items, skew, share, Seed(0));
    let sums = ZipfSums::new(items, skew);
    let alike = |ranks: &Range<u64>, kept: Option<f64>| {
        let keys = (ranks.end - ranks.start) as f64;
        let draws = sums.weight(ranks);
        let kept = kept.unwrap_or(keys * share.as_f64());
        Alike {
            keys,
            rate: draws / keys,
            kept,
            kept_rate: draws * share.as_f64() / kept,
        }
    };
    let mut parts: Vec<Alike> = strata
        .iter()
        .take(strata.head_strata())
        .map(|ranks| alike(&ranks, Some(1.0)))
        .collect();
    let mut start = strata.head_ranks();
    while start < items {
        let width = if skew > 0.0 { start / 16 + 1 } else { items };
        let end = start.saturating_add(width).min(items);
        // A tail shorter than a stratum is one key nevertheless.
        let all = start == strata.head_ranks() && end == items;
        let kept = (all && skew <= 0.0).then(|| strata.kept() as f64);
        parts.push(alike(&(start..end), kept));
        start = end;
    }
    parts
}

/// The keys that users bring: the sampled users bring theirs.
fn of_users(population: &Population, users: u32, share: Share) -> Alike {
    let own = population
        .own_dimension()
        .map(|at| population.dimensions[at].clone());
    let owners = match own {
        Some(Dimension::Cardinality(values)) => values.clamp(1, users.max(1).into()),
        _ => 1,
    };
    let keys = owners.saturating_mul(population.drawn_items()) as f64;
    let rate = 1.0 / keys;
    Alike {
        keys,
        rate,
        kept: keys * share.as_f64(),
        kept_rate: rate,
    }
}

/// A capacity for the sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fitted {
    /// What the sample's cache may hold, in the unit of the whole's.
    pub capacity: f64,
    /// Whether the keys compete for it. If not, there is room for all in both.
    pub competed: bool,
    /// How long an entry stays after it was asked for, in requests of the whole; infinite without
    /// competition.
    pub time: f64,
    /// How many keys of the sample fit, by the mean of their sizes.
    pub keys: f64,
}

/// Later than this nothing changes, but for keys that come anew for ever.
const FOREVER: f64 = 1e18;

/// The capacity at which the sample's keys stay as long as those of the whole in `capacity`.
pub fn fit(tenants: &[Tenant], capacity: f64, share: Share) -> Fitted {
    let held = |time: f64| {
        let each = tenants.iter().map(|tenant| tenant.held(time, share));
        each.fold((0.0, 0.0), |sum, held| (sum.0 + held.0, sum.1 + held.1))
    };
    let count = |time: f64| -> f64 {
        let each = tenants.iter().filter(|tenant| tenant.size > 0.0);
        each.map(|tenant| tenant.held(time, share).1 / tenant.size)
            .sum()
    };
    let (all, all_kept) = held(FOREVER);
    if all <= capacity {
        return Fitted {
            capacity: all_kept + (capacity - all) * share.as_f64(),
            competed: false,
            time: f64::INFINITY,
            keys: count(FOREVER),
        };
    }
    let (mut short, mut long) = (1e-6_f64, FOREVER);
    for _ in 0..200 {
        let time = (short * long).sqrt();
        if held(time).0 < capacity {
            short = time;
        } else {
            long = time;
        }
    }
    Fitted {
        capacity: held(short).1,
        competed: true,
        time: short,
        keys: count(short),
    }
}

/// A sample that misses more than this by eviction is too small to say much of the cache.
pub const MISSED_MORE_MAX: f64 = 0.05;

/// The share of each tenant's requests that the sample misses more than the whole, where entries
/// stay for `fitted`'s time: bounds a bias.
pub fn missed_more(tenant: &Tenant, population: &Population, fitted: &Fitted, share: Share) -> f64 {
    if !fitted.competed || !population.is_shared() {
        return 0.0;
    }
    let strata = Strata::new(population.drawn_items(), population.skew(), share, Seed(0));
    tenant.missed_more(&strata.thinned(), fitted.time, share)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::Popularity;

    fn zipf(items: u64, skew: f64) -> Population {
        Population::new(
            vec![Dimension::Cardinality(items)],
            Popularity::Zipf { skew },
        )
    }

    fn fiftieth() -> Share {
        Share::new(1, 50).expect("a share")
    }

    fn tenant(population: &Population) -> Tenant {
        Tenant::new(population, 1_000, fiftieth())
    }

    #[test]
    fn a_cache_keeps_its_head_whole_and_a_share_of_the_rest() {
        let fitted = fit(&[tenant(&zipf(1_000_000, 0.99))], 100_000.0, fiftieth());
        assert!(fitted.competed);
        // The strata of the head, whole, and a fiftieth of what is beside their keys.
        let strata = Strata::new(1_000_000, 0.99, fiftieth(), Seed(0));
        let beside = 100_000.0 - strata.head_ranks() as f64;
        let rule = strata.head_strata() as f64 + beside / 50.0;
        assert!(
            (fitted.capacity / rule - 1.0).abs() < 0.01,
            "{fitted:?} {rule}"
        );
        assert!((fitted.keys - fitted.capacity).abs() < 1e-6);
    }

    #[test]
    fn a_head_key_takes_a_place_only_if_it_stays() {
        // 200 entries: in the sample most head keys are asked for too seldom to stay.
        let fitted = fit(&[tenant(&zipf(1_000_000, 0.99))], 200.0, fiftieth());
        assert!(fitted.capacity < 20.0, "{fitted:?}");
        let population = zipf(1_000_000, 0.99);
        let more = missed_more(&tenant(&population), &population, &fitted, fiftieth());
        assert!(more > 0.1, "{more}");
        let fitted = fit(&[tenant(&population)], 100_000.0, fiftieth());
        let more = missed_more(&tenant(&population), &population, &fitted, fiftieth());
        assert!(more < 1e-6, "{more}");
    }

    #[test]
    fn who_has_room_for_all_has_it_in_the_sample() {
        let fitted = fit(&[tenant(&zipf(1_000, 0.99))], 2_000.0, fiftieth());
        assert!(!fitted.competed);
        // All that is kept, and a fiftieth of the thousand places that are free.
        let kept = Strata::new(1_000, 0.99, fiftieth(), Seed(0)).kept() as f64;
        assert!((fitted.capacity - kept - 20.0).abs() < 1.5, "{fitted:?}");
    }

    #[test]
    fn users_bring_their_keys_and_new_keys_never_end() {
        let own = Population::new(
            vec![Dimension::Cardinality(1_000), Dimension::Cardinality(5)],
            Popularity::PerUser,
        );
        let fitted = fit(&[tenant(&own)], 2_500.0, fiftieth());
        assert!(
            fitted.competed && (fitted.capacity - 50.0).abs() < 1e-6,
            "{fitted:?}"
        );
        let new = Population::new(
            vec![Dimension::Cardinality(1_000), Dimension::Unique],
            Popularity::PerUser,
        );
        let fitted = fit(&[tenant(&new)], 2_500.0, fiftieth());
        assert!(
            fitted.competed && (fitted.capacity - 50.0).abs() < 1e-6,
            "{fitted:?}"
        );
        assert!((fitted.time - 2_500.0).abs() < 1e-3, "one key a request");
        // Unless they end by themselves.
        let fitted = fit(&[tenant(&new).living(1_000.0)], 2_500.0, fiftieth());
        assert!(
            !fitted.competed && (fitted.capacity - 50.0).abs() < 1e-6,
            "{fitted:?}"
        );
    }

    #[test]
    fn keys_that_come_once_take_room_from_those_that_come_again() {
        let mut mixed = zipf(10_000, 0.9);
        mixed.one_hit = crate::units::Ratio(0.3);
        let fitted = fit(&[tenant(&mixed)], 5_000.0, fiftieth());
        // As two data types would, one of new keys and one of the others.
        let (old, new) = (
            zipf(10_000, 0.9),
            Population::new(vec![Dimension::Unique], Popularity::Uniform),
        );
        let apart = [tenant(&old).asked(0.7), tenant(&new).asked(0.3)];
        let apart = fit(&apart, 5_000.0, fiftieth());
        assert!(
            (fitted.time / apart.time - 1.0).abs() < 0.01,
            "{fitted:?} {apart:?}"
        );
        assert!(
            (fitted.capacity / apart.capacity - 1.0).abs() < 0.01,
            "{fitted:?} {apart:?}"
        );
        let without = fit(&[tenant(&old)], 5_000.0, fiftieth());
        assert!(fitted.time < without.time * 0.8, "{fitted:?} {without:?}");
    }

    #[test]
    fn tenants_share_a_cache_by_what_they_take_and_how_often_they_are_asked() {
        let (large, small) = (zipf(10_000, 0.9), zipf(10_000, 0.9));
        let two = [
            tenant(&large).asked(0.5).sized(1_000.0),
            tenant(&small).asked(0.5).sized(10.0),
        ];
        let fitted = fit(&two, 5_050_000.0, fiftieth());
        // Both hold the same keys, so it is as if each had 5,000 places.
        let alone = fit(&[tenant(&large)], 5_000.0, fiftieth());
        assert!(
            (fitted.capacity / (alone.capacity * 1_010.0) - 1.0).abs() < 1e-6,
            "{fitted:?}"
        );
        assert!(
            (fitted.keys / (alone.keys * 2.0) - 1.0).abs() < 1e-6,
            "{fitted:?}"
        );
    }
}
