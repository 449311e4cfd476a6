//! How many requests a second a load generator makes of the same server: our open loop, our HTTP client
//! alone, our closed loop (on goose), goose as it comes, `oha` and `wrk`, in turn.
//! `cargo bench --bench generators [-- --rounds 3 --seconds 4 --connections 64]`
//!
//! The server is `cachestorm serve` in a process of its own, with a scenario of one product that the
//! local layer answers: all that a request costs is HTTP. Generators and server share the machine, so
//! what decides is what a generator spends on a request. `oha` and `wrk` are looked for on the PATH, or
//! at `OHA` and `WRK`.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::expect_used,
    clippy::panic,
    reason = "a benchmark times itself and talks to who called it"
)]

mod others;
mod ours;
mod server;

use std::collections::BTreeMap;
use std::time::Duration;

use cachestorm::measure::query::Phases;
use cachestorm::scenario::{self, Overrides, plan::Plan};

use ours::rate_of;
use server::Server;

/// One key, which the instance's local layer holds; the same for every generator.
const SCENARIO: &str = "
name: generators
data_types:
  product:
    key: 'product:{product_id}'
    strategy: cache-aside
    ttl: 24h
    local_ttl: 24h
    population: 1
    value_size: 512B
    origin: { query_time: { median: 1ms, p99: 1ms }, write_time: { median: 1ms, p99: 1ms } }
layers: { local: { entries: 100 }, remote: none }
instances: 1
origin: { connections: 10 }
traffic:
  users: 64
  think_time: 0s..0s
  request_timeout: 60s
  phases: [ { name: steady, for: 1m } ]
  mix: { product.get: 1 }
";

/// Far more than anybody can send: every place is taken again as soon as it is free.
const TOO_MANY_PER_S: f64 = 1_000_000.0;
const TIMEOUT: Duration = Duration::from_mins(1);
/// What a generator may take to make its connections before its requests count.
const SETTLE: Duration = Duration::from_millis(500);

/// One of the generators.
type Generate = fn(&Bench) -> Option<Made>;

/// What a generator made of its time.
struct Made {
    requests_per_s: f64,
    /// All that were made, if more than those in time.
    requests: Option<f64>,
    p50_us: f64,
    p99_us: f64,
    failed: u64,
    /// Processor time that it took for each request, itself and the server.
    cpu_us: (f64, f64),
}

struct Bench {
    server: u32,
    rounds: usize,
    span: Duration,
    connections: u32,
    url: String,
    path: String,
    plan: Plan,
}

fn main() {
    let (rounds, seconds, connections) = (
        argument("--rounds", 4),
        argument("--seconds", 4),
        argument("--connections", 64),
    );
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("generators.yaml");
    std::fs::write(&file, SCENARIO).expect("written");
    let plan = scenario::load(&file, &Overrides::default()).expect("a good scenario");
    let server = Server::start(&file);
    let bench = Bench {
        server: server.child.id(),
        rounds: rounds as usize,
        span: Duration::from_secs(seconds),
        connections: connections as u32,
        url: server.instance.clone(),
        path: server.example.clone(),
        plan,
    };
    println!(
        "{} rounds of {seconds} s each, {connections} connections, {} processors, GET {}",
        bench.rounds,
        processors(),
        bench.path
    );
    bench.all();
}

fn argument(name: &str, default: u64) -> u64 {
    let mut arguments = std::env::args().skip_while(|argument| argument != name);
    let value = arguments.nth(1);
    value.map_or(default, |value| value.parse().expect(name))
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

impl Bench {
    /// Every generator in every round, each round from another one on.
    fn all(&self) {
        let generators: [(&str, Generate); 6] = [
            ("open", |bench| {
                Some(bench.open(TOO_MANY_PER_S, Duration::ZERO).0)
            }),
            ("client", |bench| Some(bench.client())),
            ("closed", |bench| Some(bench.closed())),
            ("goose", |bench| Some(bench.goose())),
            ("oha", Self::oha),
            ("wrk", Self::wrk),
        ];
        let mut made: BTreeMap<&str, Vec<Made>> = BTreeMap::new();
        // Nobody is the first to meet a cold server.
        self.client();
        for round in 0..self.rounds {
            for turn in 0..generators.len() {
                let (name, generate) = generators[(round + turn) % generators.len()];
                if only().is_some_and(|only| only != name) {
                    continue;
                }
                let before = (spent("self"), spent(&self.server.to_string()));
                let Some(mut one) = generate(self) else {
                    continue;
                };
                let in_time = one.requests_per_s * self.span.as_secs_f64();
                let requests = one.requests.unwrap_or(in_time);
                let of = |now: Duration, before: Duration| {
                    now.saturating_sub(before).as_secs_f64() * 1e6 / requests
                };
                one.cpu_us = (
                    of(spent("self"), before.0),
                    of(spent(&self.server.to_string()), before.1),
                );
                println!(
                    "  round {} {name:>7} {:>8.0}/s, {:.1} µs of its own for each",
                    round + 1,
                    one.requests_per_s,
                    one.cpu_us.0
                );
                made.entry(name).or_default().push(one);
            }
        }
        println!(
            "\n             median/s     lowest    highest      p50      p99  failed   own cpu server cpu"
        );
        for (name, _) in generators {
            match made.get(name) {
                Some(rounds) => tell(name, rounds),
                None => println!("  {name:>7}   not measured; install it, or say where it is"),
            }
        }
        compare(&made);
        if let Some(rounds) = made.get("open") {
            let highest = median(rounds.iter().map(|one| one.requests_per_s));
            let (_, measured) = self.open(highest / 2.0, SETTLE);
            let waits = measured.starts_in(Phases::Measured);
            println!(
                "\n  open at half of its highest rate: {:.0}/s, starts late by {:?} at p99",
                rate_of(&measured, self.span),
                waits.slip.quantile(0.99)
            );
        }
    }
}

/// One with another.
fn compare(made: &BTreeMap<&str, Vec<Made>>) {
    let rate = |name: &str| Some(median(made.get(name)?.iter().map(|one| one.requests_per_s)));
    println!();
    for (ours, theirs, wanted) in [
        ("open", "oha", Some(0.8)),
        ("open", "goose", Some(3.0)),
        ("open", "closed", None),
        ("open", "wrk", None),
        ("client", "oha", None),
        // What can be had at all.
        ("oha", "goose", None),
        ("wrk", "goose", None),
    ] {
        if let (Some(one), Some(other)) = (rate(ours), rate(theirs)) {
            let wanted = wanted.map_or_else(String::new, |w| format!(" (wanted: {w} or more)"));
            println!("  {ours}/{theirs}: {:.2}{wanted}", one / other);
        }
    }
}

/// `--only NAME`: to look at one with a profiler.
fn only() -> Option<String> {
    std::env::args()
        .skip_while(|argument| argument != "--only")
        .nth(1)
}

/// Processor time of a process and of those that it started and that have ended.
fn spent(process: &str) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("a process");
    let (_, fields) = stat.rsplit_once(") ").expect("its name in brackets");
    let ticks = fields.split(' ').skip(11).take(4);
    let ticks: u64 = ticks.filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    // Linux tells it in hundredths of a second, whatever the kernel's own ticks are.
    Duration::from_millis(ticks * 10)
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn tell(name: &str, rounds: &[Made]) {
    let rates = || rounds.iter().map(|one| one.requests_per_s);
    println!(
        "  {name:>7} {:>12.0} {:>10.0} {:>10.0} {:>8} {:>8} {:>7} {:>9} {:>10}",
        median(rates()),
        rates().fold(f64::INFINITY, f64::min),
        rates().fold(0.0, f64::max),
        us(median(rounds.iter().map(|one| one.p50_us))),
        us(median(rounds.iter().map(|one| one.p99_us))),
        rounds.iter().map(|one| one.failed).sum::<u64>(),
        us(median(rounds.iter().map(|one| one.cpu_us.0))),
        us(median(rounds.iter().map(|one| one.cpu_us.1))),
    );
}

fn us(us: f64) -> String {
    if us.is_nan() {
        return "–".to_owned();
    }
    if us < 100.0 {
        return format!("{us:.1} µs");
    }
    format!("{us:.0} µs")
}
