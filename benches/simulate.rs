//! How fast virtual time is: simulated requests a second through the whole engine on one core, and
//! what a wait costs beside one of tokio's paused clock. `cargo bench --bench simulate`
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::expect_used,
    clippy::panic,
    reason = "a benchmark times itself and talks to who called it"
)]

use std::future::Future;
use std::path::Path;
use std::time::{Duration, Instant};

use cachestorm::clock::{Timestamp, virtual_time};
use cachestorm::report::model::Report;
use cachestorm::runner::{self, Moment, Progress, RunOptions};
use cachestorm::scenario::{self, Overrides};
use tokio::runtime::Builder;
use tokio::task::JoinSet;

const ROUNDS: usize = 5;
const WAITERS: u64 = 1_000;
const WAITS: u64 = 500;

/// Users whose every request but the first is answered by the instance.
const LOCAL: &str = "
name: local
data_types:
  a:
    key: 'a:{id}'
    strategy: cache-aside
    ttl: 24h
    local_ttl: 24h
    population: 1000
    value_size: 512B
    origin: { query_time: { median: 1ms, p99: 1ms }, write_time: { median: 1ms, p99: 1ms } }
layers: { local: { entries: 1000 }, remote: none }
instances: 3
origin: { connections: 10 }
traffic:
  users: 1000
  think_time: 1s..3s
  phases: [ { name: steady, for: 20m } ]
  mix: { a.get: 1 }
";

fn main() {
    waits();
    simulation("local hits", None, &[]);
    let adr = Some(Path::new("scenarios/adr-006.yaml"));
    let longer = [("traffic.phases.1.for", "10m")];
    simulation("adr-006, 1,000 users", adr, &longer);
    let more = [("traffic.users", "20000")];
    simulation("adr-006, 20,000 users", adr, &more);
}

/// What one wait costs, of a thousand who wait at once.
fn waits() {
    let mut ours = Vec::new();
    let mut paused = Vec::new();
    for _ in 0..ROUNDS {
        let (runtime, clock) = virtual_time::runtime(Timestamp::EPOCH).expect("a runtime");
        let wait = move |pause| clock.sleep(pause);
        ours.push(timed(|| runtime.block_on(many(wait.clone()))));
        let runtime = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        paused.push(timed(|| runtime.block_on(many(tokio::time::sleep))));
    }
    let per_wait = |mut rounds: Vec<Duration>| {
        rounds.sort_unstable();
        rounds[rounds.len() / 2].as_nanos() as u64 / (WAITERS * WAITS)
    };
    let (ours, paused) = (per_wait(ours), per_wait(paused));
    println!("a wait of virtual time: {ours} ns; of tokio's paused clock: {paused} ns");
}

async fn many<F: Future<Output = ()> + Send + 'static>(
    wait: impl Fn(Duration) -> F + Clone + Send + Sync + 'static,
) {
    let mut waiters = JoinSet::new();
    for waiter in 0..WAITERS {
        let wait = wait.clone();
        waiters.spawn(async move {
            for round in 0..WAITS {
                let millis = (waiter * 7_919 + round * 104_729) % 2_000;
                wait(Duration::from_millis(1_000 + millis)).await;
            }
        });
    }
    while waiters.join_next().await.is_some() {}
}

fn timed(work: impl FnOnce()) -> Duration {
    let began = Instant::now();
    work();
    began.elapsed()
}

/// Simulates a scenario without its baseline.
fn simulation(name: &str, file: Option<&Path>, set: &[(&str, &str)]) {
    let own = |(path, value): &(&str, &str)| ((*path).to_owned(), (*value).to_owned());
    let overrides = Overrides {
        set: set.iter().map(own).collect(),
        ..Overrides::default()
    };
    let plan = match file {
        Some(file) => scenario::load(file, &overrides),
        None => scenario::parse("local.yaml", LOCAL, &overrides),
    };
    let mut plan = plan.unwrap_or_else(|errors| panic!("{errors}"));
    plan.baseline = None;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut rates: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let options = RunOptions {
                out: Some(folder.path().join("report")),
                ..RunOptions::default()
            };
            let (_stop, stopped) = tokio::sync::watch::channel(false);
            let began = Instant::now();
            let finished = runner::simulate(&plan, &options, &Quiet, stopped);
            let took = began.elapsed();
            let report = finished.expect("a simulation").report;
            requests(&report) as f64 / took.as_secs_f64()
        })
        .collect();
    rates.sort_by(f64::total_cmp);
    let (low, median, high) = (rates[0], rates[ROUNDS / 2], rates[ROUNDS - 1]);
    println!("{name}: {median:.0} simulated requests a second ({low:.0} to {high:.0})");
}

/// Those of the warm-up, too.
fn requests(report: &Report) -> u64 {
    report.timeseries.iter().map(|second| second.requests).sum()
}

struct Quiet;

impl Progress for Quiet {
    fn step(&self, _: &str) {}
    fn moment(&self, _: &Moment) {}
}
