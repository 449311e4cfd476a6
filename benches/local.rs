//! What the local layer costs: a hit, a miss, and a fill that makes another entry go, by policy.
//!
//! `cargo bench --bench local` prints nanoseconds per call, the median of several rounds, on one
//! thread and on as many as there are processors. Figures quoted in docs/engine/limits.md are from
//! here. It must never become a test: it asserts nothing.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::expect_used,
    reason = "a benchmark measures wall time, prints it, and may stop at an impossible error"
)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use cachestorm::clock::Timestamp;
use cachestorm::engine::data_type::Key;
use cachestorm::engine::layer::{Entry, Generation, Row, Version};
use cachestorm::engine::local::{LocalConfig, LocalLayer, LocalPolicy};

const ROUNDS: usize = 15;
const CALLS: usize = 200_000;
const ENTRIES: usize = 1_000;
const VALUE_BYTES: usize = 2_048;
const NOW: Timestamp = Timestamp::from_unix_nanos(1_000_000_000);

fn main() {
    let keys: Vec<Key> = (0..CALLS)
        .map(|n| Key::new(format!("customer:360:{n}")))
        .collect();
    let entry = entry();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    for threads in [1, threads] {
        println!("{threads} thread(s), median of {ROUNDS} rounds of {CALLS} calls each");
        for policy in [
            LocalPolicy::Lru,
            LocalPolicy::Fifo,
            LocalPolicy::Sieve,
            LocalPolicy::S3Fifo,
        ] {
            let local = LocalLayer::new(LocalConfig {
                entries: ENTRIES as u64,
                bytes: Some(64 << 20),
                policy,
            });
            // Filled and full, so that what is measured is the steady state.
            for key in keys.iter().rev() {
                local.fill(key, entry.clone(), Timestamp::NEVER);
            }
            let held: Vec<&Key> = keys
                .iter()
                .filter(|key| local.get(key, NOW).is_some())
                .collect();
            report(policy, "hit", threads, || {
                timed(|n| drop(black_box(local.get(held[n * 7_919 % held.len()], NOW))))
            });
            report(policy, "fill that evicts", threads, || {
                timed(|n| {
                    black_box(local.fill(&keys[n], entry.clone(), Timestamp::NEVER));
                })
            });
            local.clear();
            report(policy, "miss", threads, || {
                timed(|n| drop(black_box(local.get(&keys[n], NOW))))
            });
        }
    }
}

fn entry() -> Entry {
    Entry {
        row: Row {
            value: Some(Bytes::from(vec![0; VALUE_BYTES])),
            version: Version(1),
            committed_at: NOW,
            as_of: Version(1),
        },
        fetched_at: NOW,
        fresh_until: Timestamp::NEVER,
        load_time: Duration::from_millis(1),
        generation: Generation::default(),
    }
}

/// The time of all calls.
fn timed(mut call: impl FnMut(usize)) -> Duration {
    let start = Instant::now();
    for n in 0..CALLS {
        call(black_box(n));
    }
    start.elapsed()
}

/// Prints the median over rounds of the slowest of `threads`, per call.
fn report(policy: LocalPolicy, what: &str, threads: usize, round: impl Fn() -> Duration + Sync) {
    let mut nanos: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let slowest = std::thread::scope(|scope| {
                let running: Vec<_> = (0..threads).map(|_| scope.spawn(&round)).collect();
                running
                    .into_iter()
                    .map(|thread| thread.join().expect("a round does not panic"))
                    .max()
            });
            slowest.unwrap_or_default().as_nanos() as f64 / CALLS as f64
        })
        .collect();
    nanos.sort_by(f64::total_cmp);
    let policy = format!("{policy:?}");
    println!("  {policy:<8} {what:<18} {:6.1} ns", nanos[nanos.len() / 2]);
}
