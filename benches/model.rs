//! What the modelled Redis costs us: a lookup that hits, and a write that evicts, at a million keys.
//!
//! `cargo bench --bench model` prints nanoseconds per call, the median of several rounds on one
//! thread, and our own memory per key beside key and value. It must never become a test: it asserts
//! nothing.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::expect_used,
    clippy::cast_sign_loss,
    reason = "a benchmark measures wall time, prints it, may stop at an impossible error, and rounds \
              positive figures"
)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use cachestorm::clock::Timestamp;
use cachestorm::engine::data_type::Key;
use cachestorm::environment::EvictionPolicy;
use cachestorm::environment::modelled_redis::keyspace::{Keyspace, KeyspaceConfig};
use cachestorm::seed::Seed;
use cachestorm::units::ByteSize;
use cachestorm::workload::Popularity;
use cachestorm::workload::popularity::RankSampler;

const ROUNDS: usize = 9;
const CALLS: usize = 200_000;
const BATCH: usize = 100;
const KEYS: usize = 1_000_000;
const VALUE_BYTES: usize = 100;
const TTL: Option<Duration> = Some(Duration::from_hours(1));
/// From call to call: 100,000 commands a second.
const GAP: Duration = Duration::from_micros(10);

fn main() {
    // Twice as many keys as fit, so that every other half of the writes is of keys that are not there.
    let keys: Vec<Key> = (0..2 * KEYS)
        .map(|nth| Key::new(format!("customer:360:{nth}")))
        .collect();
    let resident_before = resident_bytes();
    println!("{KEYS} keys, median of {ROUNDS} rounds of {CALLS} calls each");
    for policy in [
        EvictionPolicy::AllkeysRandom,
        EvictionPolicy::AllkeysLru,
        EvictionPolicy::AllkeysLfu,
        EvictionPolicy::VolatileTtl,
    ] {
        let mut bench = Bench::new(policy, &keys);
        if policy == EvictionPolicy::AllkeysRandom {
            let bytes = resident_bytes().saturating_sub(resident_before);
            println!("  our own memory: {} bytes per key", bytes / KEYS as u64);
        }
        let held = |nth| nth * 7_919 % KEYS;
        bench.report(policy, "hit", held, |bench, key| {
            black_box(bench.keyspace.get(key.as_str(), bench.now));
        });
        // Every other round of keys that are not there.
        let other = |nth| held(nth) + KEYS * (nth / CALLS % 2);
        bench.report(policy, "set, evicts", other, |bench, key| {
            let stored = bench.keyspace.set(key, (), VALUE_BYTES, TTL, bench.now);
            black_box(stored).expect("keys may go");
        });
        let ranks = RankSampler::new(2 * KEYS as u64, Popularity::Zipf { skew: 0.99 });
        let mut stream = Seed(42).stream("references");
        let popular = |_| ranks.draw(&mut stream) as usize;
        bench.report(policy, "cache-aside, zipf", popular, |bench, key| {
            if bench.keyspace.get(key.as_str(), bench.now).is_none() {
                let stored = bench.keyspace.set(key, (), VALUE_BYTES, TTL, bench.now);
                black_box(stored).expect("keys may go");
            }
        });
    }
}

struct Bench<'k> {
    keyspace: Keyspace<()>,
    keys: &'k [Key],
    now: Timestamp,
}

impl<'k> Bench<'k> {
    /// A server that a million keys fill to its limit.
    fn new(policy: EvictionPolicy, keys: &'k [Key]) -> Self {
        let now = Timestamp::from_unix_nanos(1_800_000_000_000_000_000);
        let mut config = KeyspaceConfig {
            policy,
            ..KeyspaceConfig::default()
        };
        let memory = config.memory;
        let per_key = memory.bytes_per_key(KEYS as u64, 20, VALUE_BYTES as u64, true) as u64;
        config.maxmemory = Some(ByteSize(memory.base_bytes + per_key * KEYS as u64));
        let mut bench = Self {
            keyspace: Keyspace::new(config, Seed(42).stream("bench"), now),
            keys,
            now,
        };
        for key in &keys[..KEYS] {
            let stored = bench.keyspace.set(key, (), VALUE_BYTES, TTL, bench.now);
            stored.expect("they fit");
            bench.now = bench.now + GAP;
        }
        bench
    }

    /// Prints the median over rounds, per call. `at` says which key is whose turn: in an order that no
    /// processor foresees.
    fn report(
        &mut self,
        policy: EvictionPolicy,
        what: &str,
        mut at: impl FnMut(usize) -> usize,
        call: impl Fn(&mut Self, &Key),
    ) {
        let mut nanos: Vec<f64> = (0..ROUNDS)
            .map(|round| {
                let mut spent = Duration::ZERO;
                for from in (round * CALLS..(round + 1) * CALLS).step_by(BATCH) {
                    // The caller has just made its key, so that it is not the key that is waited for.
                    let keys: Vec<Key> = (from..from + BATCH)
                        .map(|nth| Key::new(self.keys[at(nth)].as_str()))
                        .collect();
                    let start = Instant::now();
                    for key in &keys {
                        call(self, key);
                        self.now = self.now + GAP;
                    }
                    spent += start.elapsed();
                }
                spent.as_nanos() as f64 / CALLS as f64
            })
            .collect();
        nanos.sort_by(f64::total_cmp);
        let (policy, counters) = (format!("{policy:?}"), self.keyspace.counters());
        println!(
            "  {policy:<14} {what:<17} {:6.1} ns   {} keys, {} hits, {} evicted",
            nanos[ROUNDS / 2],
            counters.keys,
            counters.hits,
            counters.evicted
        );
    }
}

/// What this process has in memory, where the system tells.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or_default() * 1_024
}
