//! What a sample of the users and keys is known to get wrong, and by how much at most.
//!
//! A popular key is kept whole but asked for less often, so it is loaded as often as in truth although
//! everything else is loaded less often by the sample's share: scaled up, its loads count too often.
//! The bias has one direction, and is bounded here from what was measured; the report adds it to the
//! error bars. Made by the scenario with a sampled plan; pure. See `docs/sampling.md`.

use std::time::Duration;

use crate::workload::sampling::{Share, Thinned};

/// A sample of the users and keys.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampling {
    /// The share that is simulated.
    pub share: Share,
    /// How many users there are.
    pub users_total: u32,
    /// How many of them are simulated.
    pub users_simulated: u32,
    /// The keys of every data type that has shared keys, in the order of the policy table.
    pub data_types: Vec<SampledKeys>,
    /// The memory that the servers of the remote layer take for themselves: it is not scaled.
    pub remote_base_bytes: u64,
    /// The same of the server of the store beside it.
    pub aside_base_bytes: u64,
    /// By how much the scaled memory of the remote layer is too large at most.
    pub remote_excess_bytes: f64,
    /// What is written behind, in batches; `None` if nothing is.
    pub behind: Option<Behind>,
    /// What else a reader should know.
    pub caveats: Vec<String>,
}

/// Writes that the consumers of a queue commit in batches: each batch is a query, and in a sample they
/// are smaller.
#[derive(Clone, Debug, PartialEq)]
pub struct Behind {
    /// Of which data types.
    pub data_types: Vec<String>,
    /// How many batches all consumers together can begin in a second, each of them after a pause for more
    /// writes to come.
    pub batches_per_s_max: f64,
    /// The most writes in a batch.
    pub batch_max: f64,
}

impl Behind {
    /// How many batches there are in the whole, if there are so many in a sample. Writes come by chance,
    /// so of the c batches that could begin, c · (1 − e^(−w/c)) have any of w writes.
    fn of_whole(&self, batches_per_s: f64, share: Share) -> f64 {
        let most = self.batches_per_s_max;
        let used = batches_per_s / most;
        if used.is_nan() || used >= 1.0 {
            // They rest no more: batches are full.
            return share.to_whole(batches_per_s);
        }
        let writes_per_s = share.to_whole(-most * (-used).ln_1p());
        let begun = most * (1.0 - (-writes_per_s / most).exp());
        begun.max(writes_per_s / self.batch_max)
    }
}

/// The sampled keys of one data type.
#[derive(Clone, Debug, PartialEq)]
pub struct SampledKeys {
    /// The data type.
    pub data_type: String,
    /// How many keys there are.
    pub keys: u64,
    /// How many of them are simulated.
    pub kept: u64,
    /// Those that are asked for less often than in truth.
    pub thinned: Vec<Thinned>,
    /// The share of the lookups that hit in the sample and would miss in the whole, at the most, because
    /// somebody dropped the key and it is being loaded.
    pub loading: f64,
    /// In the cache as a whole: whose misses load from the origin.
    pub cache: Option<Lifetime>,
    /// In the local layer; `None` if it is not kept there.
    pub local: Option<Lifetime>,
    /// In the remote layer; `None` if it is not kept there.
    pub remote: Option<Lifetime>,
}

/// How long entries live somewhere.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lifetime {
    /// The shortest TTL.
    pub ttl: Duration,
    /// How many caches there are, each with an entry of its own.
    pub caches: u32,
    /// The share of the lookups that the sample misses more than the whole because its head keys are
    /// evicted more often: what is expected.
    pub evicted: f64,
    /// How far off that may be, up or down.
    pub unsure: f64,
    /// The share of the misses that is not known better, up or down.
    pub unsure_of_misses: f64,
}

impl Lifetime {
    /// What is not known better of an eviction that is not exactly least-recently-used. Measured: see
    /// `docs/sampling.md`.
    const OTHER_POLICY: f64 = 0.04;

    /// Entries that end after `ttl` at the latest, in so many `caches`.
    pub fn new(ttl: Duration, caches: u32) -> Self {
        Self {
            ttl,
            caches,
            evicted: 0.0,
            unsure: 0.0,
            unsure_of_misses: 0.0,
        }
    }

    /// The same where keys compete for room. `missed_more` is what the model of least-recently-used
    /// expects; of other policies it is an upper bound, and half of it is nearer.
    #[must_use]
    pub fn evicting(self, missed_more: f64, exactly_lru: bool) -> Self {
        if exactly_lru {
            return Self {
                evicted: missed_more,
                ..self
            };
        }
        Self {
            evicted: missed_more / 2.0,
            unsure: missed_more / 2.0,
            unsure_of_misses: Self::OTHER_POLICY,
            ..self
        }
    }

    /// How many of so many `lookups`, of which so many `missed`, may have been counted on the wrong
    /// side.
    pub fn unsure_of(&self, lookups: f64, missed: f64) -> f64 {
        (self.unsure * lookups).min(missed) + self.unsure_of_misses * missed
    }
}

/// The time of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Times {
    /// From the first user to the first judged request.
    pub warm_up: Duration,
    /// From there to the end.
    pub judged: Duration,
}

impl SampledKeys {
    /// How many of so many `lookups`, counted in the sample, missed although they would have hit in
    /// the whole: what is expected of independent requests at a steady rate.
    ///
    /// A key that is asked for `x` times a TTL in the sample is missed once in `1 + x`; in truth each
    /// of its stratum is asked for `x / rate` times and missed once in `1 + x / rate`. If nothing
    /// expires in the run, only first requests miss, those that are not over with the warm-up.
    pub fn missed_more(&self, lifetime: Lifetime, lookups: f64, times: Times) -> f64 {
        let judged_s = times.judged.as_secs_f64();
        if lookups <= 0.0 || judged_s <= 0.0 {
            return 0.0;
        }
        let (warm_s, ttl_s) = (times.warm_up.as_secs_f64(), lifetime.ttl.as_secs_f64());
        let caches = f64::from(lifetime.caches.max(1));
        let expires = ttl_s < warm_s + judged_s;
        let missed = self.thinned.iter().map(|key| {
            let per_s = lookups / judged_s * key.draws / caches;
            let first = |per_s: f64| (-per_s * warm_s).exp() - (-per_s * (warm_s + judged_s)).exp();
            let asked = per_s * ttl_s;
            let again = if expires {
                let difference = (1.0 - key.rate) * asked / ((1.0 + asked) * (key.rate + asked));
                per_s * judged_s * difference
            } else {
                0.0
            };
            let firsts = first(per_s) - key.rate * first(per_s / key.rate);
            caches * (firsts + again).min(per_s * judged_s)
        });
        (missed.sum::<f64>() + lookups * lifetime.evicted).min(lookups)
    }
}

impl Sampling {
    /// The keys of `data_type`, if a sample of them is simulated.
    pub fn keys_of(&self, data_type: &str) -> Option<&SampledKeys> {
        self.data_types
            .iter()
            .find(|keys| keys.data_type == data_type)
    }

    /// How many queries of `data_type` there are in the whole, if a sample has so many a second.
    pub fn queries_of_whole(&self, data_type: &str, per_s: f64) -> f64 {
        let behind = self.behind.as_ref();
        match behind.filter(|behind| behind.data_types.iter().any(|name| name == data_type)) {
            Some(behind) => behind.of_whole(per_s, self.share),
            None => self.share.to_whole(per_s),
        }
    }

    /// The memory of the remote layer as it is in the whole.
    pub fn memory_of_whole(&self, used_bytes: f64) -> f64 {
        self.beyond(self.remote_base_bytes, used_bytes)
    }

    /// The memory of the store beside it as it is in the whole.
    pub fn aside_memory_of_whole(&self, used_bytes: f64) -> f64 {
        self.beyond(self.aside_base_bytes, used_bytes)
    }

    fn beyond(&self, base_bytes: u64, used_bytes: f64) -> f64 {
        let base = base_bytes as f64;
        base.min(used_bytes) + self.share.to_whole((used_bytes - base).max(0.0))
    }
}

#[cfg(test)]
mod tests;
