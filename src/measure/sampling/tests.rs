//! The proof of the method without the engine: one cache under Zipf traffic, whole and sampled.
//!
//! The whole is simulated request by request; samples of it must find its hit ratio and its loads
//! within the error bars that they print. `docs/sampling.md` has the table of a longer run:
//! `SAMPLING_TABLE=1 cargo test --release --lib -- --ignored --nocapture the_table_of_errors`.

use bytes::Bytes;
use rand_distr::Distribution;

use super::*;
use crate::clock::Timestamp;
use crate::engine::data_type::Key;
use crate::engine::layer::{Entry, Generation, Row, Version};
use crate::engine::local::{LocalConfig, LocalLayer, LocalPolicy};
use crate::measure::error_bar::ErrorBar;
use crate::seed::Seed;
use crate::workload::popularity::RankSampler;
use crate::workload::residency::{Tenant, fit, missed_more};
use crate::workload::sampling::Strata;
use crate::workload::{Dimension, Popularity, Population};

/// Traffic to one cache.
#[derive(Clone, Copy, Debug)]
struct Case {
    skew: f64,
    ttl: Option<Duration>,
    keys: u64,
    /// Entries; more than keys if they do not compete.
    entries: u64,
    policy: LocalPolicy,
    per_s: f64,
    times: Times,
}

#[derive(Clone, Copy, Debug)]
struct Counted {
    reads: f64,
    loads: f64,
}

impl Case {
    fn population(&self) -> Population {
        Population::new(
            vec![Dimension::Cardinality(self.keys)],
            Popularity::Zipf { skew: self.skew },
        )
    }

    fn ttl(&self) -> Duration {
        self.ttl.unwrap_or(Duration::from_hours(10_000))
    }

    /// Simulates it; of a sample with the seed that draws its keys.
    fn run(&self, share: Share, entries: u64, seed: Seed) -> Counted {
        let ranks = RankSampler::new(self.keys, Popularity::Zipf { skew: self.skew });
        let strata = Strata::new(self.keys, self.skew, share, seed.fork("kept"));
        let layer = LocalLayer::new(LocalConfig {
            entries,
            bytes: None,
            policy: self.policy,
        });
        let names: Vec<Key> = (0..self.keys)
            .map(|rank| Key::new(rank.to_string()))
            .collect();
        let gaps = rand_distr::Exp::new(self.per_s * share.as_f64()).expect("a rate");
        let (mut draws, mut arrivals) = (seed.stream("ranks"), seed.stream("arrivals"));
        let (mut at, mut counted) = (
            0.0,
            Counted {
                reads: 0.0,
                loads: 0.0,
            },
        );
        let warm = self.times.warm_up.as_secs_f64();
        let end = warm + self.times.judged.as_secs_f64();
        loop {
            at += gaps.sample(&mut arrivals);
            if at >= end {
                return counted;
            }
            let rank = ranks.draw(&mut draws);
            let rank = if share == Share::WHOLE {
                rank
            } else {
                strata.representative(rank)
            };
            let now = Timestamp::EPOCH + Duration::from_secs_f64(at);
            let judged = f64::from(u8::from(at >= warm));
            counted.reads += judged;
            if layer.get(&names[rank as usize], now).is_none() {
                counted.loads += judged;
                layer.fill(
                    &names[rank as usize],
                    entry(now, now + self.ttl()),
                    now + self.ttl(),
                );
            }
        }
    }

    /// The error bars of hit ratio and loads per second, from so many samples.
    fn estimate(&self, share: Share, samples: u64, seed: Seed) -> (ErrorBar, ErrorBar) {
        let population = self.population();
        let tenant = Tenant::new(&population, 1, share);
        let fitted = fit(std::slice::from_ref(&tenant), self.entries as f64, share);
        #[allow(clippy::cast_sign_loss, reason = "a capacity is not negative")]
        let entries = fitted.capacity.round() as u64;
        let counted: Vec<Counted> = (0..samples)
            .map(|at| self.run(share, entries, seed.fork_index(at)))
            .collect();
        let strata = Strata::new(self.keys, self.skew, share, seed);
        let keys = SampledKeys {
            data_type: "row".to_owned(),
            keys: self.keys,
            kept: strata.kept(),
            thinned: strata.thinned(),
            loading: 0.0,
            cache: None,
            local: None,
            remote: None,
        };
        let more = missed_more(&tenant, &population, &fitted, share);
        let lifetime = Lifetime::new(self.ttl(), 1);
        let lifetime = if fitted.competed {
            lifetime.evicting(more, self.policy == LocalPolicy::Lru)
        } else {
            lifetime
        };
        let judged_s = self.times.judged.as_secs_f64();
        let mean = counted.iter().map(|one| one.reads).sum::<f64>() / counted.len() as f64;
        let missed = counted.iter().map(|one| one.loads).sum::<f64>() / counted.len() as f64;
        let bias = keys.missed_more(lifetime, mean, self.times);
        let unsure = lifetime.unsure_of(mean, missed);
        let hits: Vec<f64> = counted
            .iter()
            .map(|one| 1.0 - one.loads / one.reads)
            .collect();
        let loads: Vec<f64> = counted
            .iter()
            .map(|one| share.to_whole(one.loads / judged_s))
            .collect();
        let bar = |values: &[f64]| ErrorBar::of(values).expect("samples");
        (
            bar(&hits).corrected(bias / mean).widened(unsure / mean),
            bar(&loads)
                .corrected(-share.to_whole(bias / judged_s))
                .widened(share.to_whole(unsure / judged_s)),
        )
    }

    fn truth(&self, seed: Seed) -> (f64, f64) {
        let whole = self.run(Share::WHOLE, self.entries, seed);
        let judged_s = self.times.judged.as_secs_f64();
        (1.0 - whole.loads / whole.reads, whole.loads / judged_s)
    }
}

fn entry(now: Timestamp, fresh_until: Timestamp) -> Entry {
    Entry {
        row: Row {
            value: Some(Bytes::from_static(b"row")),
            version: Version(1),
            committed_at: Timestamp::EPOCH,
            as_of: Version(1),
        },
        fetched_at: now,
        fresh_until,
        load_time: Duration::ZERO,
        generation: Generation::default(),
    }
}

fn cases(keys: u64, per_s: f64, times: Times, policies: &[LocalPolicy], one_in: u64) -> Vec<Case> {
    let mut cases = Vec::new();
    for skew in [0.6, 0.99, 1.2] {
        for (ttl, entries) in [
            (None, keys / one_in),
            (Some(Duration::from_secs(40)), keys * 2),
            (Some(Duration::from_secs(40)), keys / one_in),
        ] {
            for policy in policies {
                cases.push(Case {
                    skew,
                    ttl,
                    keys,
                    entries,
                    policy: *policy,
                    per_s,
                    times,
                });
            }
        }
    }
    cases
}

/// Another seed each time: with the same draws all cases would be lucky or unlucky together.
fn seeds() -> impl FnMut() -> Seed {
    let mut next = 0;
    move || {
        next += 1;
        Seed(44).fork("proof").fork_index(next)
    }
}

fn share(one_in: u32) -> Share {
    Share::new(1, one_in).expect("a share")
}

const POLICIES: [LocalPolicy; 3] = [LocalPolicy::Lru, LocalPolicy::S3Fifo, LocalPolicy::Sieve];

#[test]
fn samples_find_the_hit_ratio_and_the_loads_within_their_error_bars() {
    let times = Times {
        warm_up: Duration::from_mins(1),
        judged: Duration::from_mins(1),
    };
    let mut seed = seeds();
    let (mut hits_held, mut loads_held, mut all, mut told) = (0, 0, 0, Vec::new());
    for case in cases(40_000, 4_000.0, times, &POLICIES[..1], 5) {
        let (hit, loads) = case.truth(seed());
        for one_in in [10, 50] {
            for _ in 0..2 {
                let (hits, queries) = case.estimate(share(one_in), 4, seed());
                all += 1;
                hits_held += usize::from(hits.holds(hit));
                loads_held += usize::from(queries.holds(loads));
                if !hits.holds(hit) || !queries.holds(loads) {
                    told.push(format!(
                        "{case:?} 1/{one_in}: {hit} {hits:?}, {loads} {queries:?}"
                    ));
                }
                // An error bar that holds everything would be worth nothing.
                assert!(hits.high - hits.low < 0.08, "{case:?} 1/{one_in}: {hits:?}");
                assert!(
                    (hits.mean - hit).abs() < 0.015,
                    "{case:?} 1/{one_in}: {hit} {hits:?}"
                );
            }
        }
    }
    assert_eq!(all, 36);
    assert!(
        hits_held * 10 >= all * 9 && loads_held * 10 >= all * 9,
        "{told:#?}"
    );
}

#[test]
#[ignore = "takes long; prints the table of docs/sampling.md"]
fn the_table_of_errors() {
    let times = Times {
        warm_up: Duration::from_secs(80),
        judged: Duration::from_mins(2),
    };
    println!("| skew | TTL | entries | share | hit ratio | estimate | loads/s | estimate | held |");
    let mut seed = seeds();
    let (mut held, mut all) = (0, 0);
    for case in cases(50_000, 10_000.0, times, &POLICIES, 10) {
        let (hit, loads) = case.truth(seed());
        for one_in in [10, 50] {
            for _ in 0..3 {
                let (hits, queries) = case.estimate(share(one_in), 4, seed());
                let (h, l) = (hits.holds(hit), queries.holds(loads));
                all += 2;
                held += usize::from(h) + usize::from(l);
                println!(
                    "| {:?} {} | {} | {} | 1/{one_in} | {:.2}% | {:.2}% ({:.2} – {:.2}) {} | {loads:.0} | {:.0} ({:.0} – {:.0}) {} |",
                    case.policy,
                    case.skew,
                    case.ttl.map_or(0, |ttl| ttl.as_secs()),
                    case.entries,
                    hit * 100.0,
                    hits.mean * 100.0,
                    hits.low * 100.0,
                    hits.high * 100.0,
                    if h { "yes" } else { "NO" },
                    queries.mean,
                    queries.low,
                    queries.high,
                    if l { "yes" } else { "NO" },
                );
            }
        }
    }
    println!("{held} of {all}");
}

#[test]
fn batches_of_the_whole_are_fewer_than_those_of_samples_together() {
    let behind = Behind {
        data_types: vec!["activity".to_owned()],
        batches_per_s_max: 24.0,
        batch_max: 100.0,
    };
    let share = share(10);
    let begun = |writes_per_s: f64| 24.0 * (1.0 - (-writes_per_s / 24.0).exp());
    for whole in [1.0, 80.0, 300.0] {
        let told = behind.of_whole(begun(whole / 10.0), share);
        assert!((told - begun(whole)).abs() < 1e-9, "{whole}: {told}");
    }
    // More than batches hold at that pace.
    assert!((behind.of_whole(begun(480.0), share) - 48.0).abs() < 1e-6);
    assert!((behind.of_whole(30.0, share) - 300.0).abs() < 1e-9);
    let told = behind.of_whole(0.0, share);
    assert!(told.abs() < 1e-12, "{told}");
}
