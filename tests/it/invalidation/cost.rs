//! What broad invalidation costs: the figures of `docs/engine/invalidation.md`.
//!
//! Not run by default; `cargo test --release --test it -- --ignored --nocapture the_cost_of` prints the
//! table.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cachestorm::engine::invalidation::Broadly;

use super::{ask, by, instance};
use crate::support::{CUSTOMER, Stage};

/// Microseconds that Redis itself spent on commands, by command.
async fn spent_us(stage: &Stage) -> BTreeMap<String, u64> {
    let info: String = ask(stage, &["INFO", "commandstats"]).await;
    let lines = info.lines().filter_map(|line| {
        let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(':')?;
        let usec = rest
            .split(',')
            .find_map(|part| part.strip_prefix("usec="))?;
        Some((name.to_owned(), usec.parse().ok()?))
    });
    lines.collect()
}

async fn measure(broadly: Broadly, keys: u64) {
    let stage = Stage::new().await;
    let invalidating = instance(&stage, 0, by(broadly)).await;
    let mut connection = stage.connection().await;
    // In steps, or the client's time limit ends it.
    for from in (1..=keys).step_by(10_000) {
        let fill = "for i = ARGV[1], ARGV[2] do \
                    redis.call('SET', 'test:customer:360:' .. i, 'e' .. string.rep('x', 200)) end";
        redis::cmd("EVAL")
            .arg(fill)
            .arg(0)
            .arg(from)
            .arg((from + 9_999).min(keys))
            .query_async::<()>(&mut connection)
            .await
            .expect("SET");
    }
    // Somebody else reads meanwhile, one after the other.
    let done = Arc::new(AtomicBool::new(false));
    let reading = tokio::spawn({
        let (done, clock) = (Arc::clone(&done), stage.clock.clone());
        let mut connection = stage.connection().await;
        async move {
            let mut slowest = Duration::ZERO;
            while !done.load(Ordering::Relaxed) {
                let start = clock.now();
                redis::cmd("GET")
                    .arg("other")
                    .query_async::<()>(&mut connection)
                    .await
                    .expect("GET");
                slowest = slowest.max(clock.now().since(start));
            }
            slowest
        }
    });
    ask::<()>(&stage, &["CONFIG", "RESETSTAT"]).await;
    let start = stage.clock.now();
    invalidating
        .engine
        .invalidate_all(CUSTOMER)
        .await
        .expect("invalidated");
    let took = stage.clock.now().since(start);
    done.store(true, Ordering::Relaxed);
    let slowest = reading.await.expect("no panic");
    let spent = spent_us(&stage).await;
    let of = |names: &[&str]| -> u64 { names.iter().filter_map(|name| spent.get(*name)).sum() };
    let server_us = match broadly {
        Broadly::Generation => of(&["evalsha", "eval", "publish"]),
        Broadly::Scan => of(&["scan", "evalsha", "eval", "publish"]),
    };
    let left: u64 = ask(&stage, &["DBSIZE"]).await;
    println!(
        "| {broadly:?} | {keys} | {:.2} | {:.2} | {:.2} | {left} |",
        took.as_secs_f64() * 1e3,
        server_us as f64 / 1e3,
        slowest.as_secs_f64() * 1e3
    );
    let expected = if broadly == Broadly::Scan { 0 } else { keys };
    // Besides, there is the hash of generations.
    assert_eq!(left, expected + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement of half a minute"]
async fn live_the_cost_of_invalidating_a_data_type() {
    println!("| by | keys | took ms | Redis busy ms | slowest GET beside it ms | keys left |");
    for keys in [1_000, 10_000, 100_000, 1_000_000] {
        for broadly in [Broadly::Generation, Broadly::Scan] {
            measure(broadly, keys).await;
        }
    }
}
