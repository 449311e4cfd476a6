//! How many requests a second a load generator makes of the same server: our open loop, our closed loop
//! (goose), our HTTP client alone, `oha` and `wrk`, in turn.
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

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cachestorm::clock::Clock;
use cachestorm::drivers::arrivals::Source;
use cachestorm::drivers::closed_loop::ClosedLoop;
use cachestorm::drivers::crowd::{Call, Caller as _, Users};
use cachestorm::drivers::http::face::InstanceFace;
use cachestorm::drivers::http::{HttpCaller, HttpTargets};
use cachestorm::drivers::open_loop::OpenLoop;
use cachestorm::engine::data_type::DataTypeId;
use cachestorm::engine::layer::{Layer, Operation, Outcome};
use cachestorm::measure::loop_delay::LoopDelay;
use cachestorm::measure::measurements::Measurements;
use cachestorm::measure::query::{Phases, Query};
use cachestorm::measure::recorder::Recorder;
use cachestorm::measure::sink::SampleSink;
use cachestorm::measure::{PhaseId, PhaseKind, Schedule};
use cachestorm::scenario::{self, Overrides, plan::Plan};
use cachestorm::units::Rate;
use cachestorm::workload::arrivals::{Arrivals, PhaseArrivals, Shape};
use cachestorm::workload::size::ValueSizes;
use cachestorm::workload::user::Traffic;
use cachestorm::workload::{KeyParams, Request, UserKindId};
use tokio::runtime::Builder;
use tokio::sync::watch;

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
/// What goose may take to gather its users.
const SETTLE: Duration = Duration::from_millis(500);

/// One of the generators.
type Generate = fn(&Bench) -> Option<Made>;

/// What a generator made of its time.
struct Made {
    requests_per_s: f64,
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

/// The service, in a process of its own.
struct Server {
    child: Child,
    instance: String,
    example: String,
}

impl Server {
    fn start(scenario: &std::path::Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_cachestorm"))
            .arg("serve")
            .arg(scenario)
            .arg("--quiet")
            .stdout(Stdio::piped())
            .spawn()
            .expect("cachestorm serve starts");
        let (mut instance, mut example) = (String::new(), String::new());
        for line in BufReader::new(child.stdout.take().expect("piped")).lines() {
            let line = line.expect("text");
            match line.split_once(' ') {
                Some(("instance", url)) => url.clone_into(&mut instance),
                Some(("example", request)) => {
                    let (_, url) = request.split_once(' ').expect("a method and a URL");
                    url.clone_into(&mut example);
                }
                _ => {}
            }
            if line == "ready" {
                break;
            }
        }
        Self {
            child,
            instance,
            example,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It started nothing but itself: the scenario has no store.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Bench {
    /// Every generator in every round, each round from another one on.
    fn all(&self) {
        let generators: [(&str, Generate); 5] = [
            ("open", |bench| Some(bench.open(TOO_MANY_PER_S).0)),
            ("client", |bench| Some(bench.client())),
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
                let requests = one.requests_per_s * self.span.as_secs_f64();
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
        let rate = |name: &str| Some(median(made.get(name)?.iter().map(|one| one.requests_per_s)));
        println!();
        for (ours, theirs, wanted) in [
            ("open", "oha", Some(0.8)),
            ("open", "goose", Some(3.0)),
            ("open", "wrk", None),
            ("client", "oha", None),
        ] {
            if let (Some(one), Some(other)) = (rate(ours), rate(theirs)) {
                let wanted = wanted.map_or_else(String::new, |w| format!(" (wanted: {w} or more)"));
                println!("  {ours}/{theirs}: {:.2}{wanted}", one / other);
            }
        }
        if let Some(highest) = rate("open") {
            let (_, measured) = self.open(highest / 2.0);
            let waits = measured.starts_in(Phases::All);
            println!(
                "\n  open at half of its highest rate: {:.0}/s, starts late by {:?} at p99",
                rate_of(&measured, self.span),
                waits.slip.quantile(0.99)
            );
        }
    }

    fn users(&self, clock: &Clock, schedule: &Arc<Schedule>) -> (Users, Arc<Recorder>) {
        let policies = &self.plan.policies;
        let recorder = Arc::new(Recorder::new(
            clock.clone(),
            Arc::clone(schedule),
            Arc::clone(policies),
            None,
        ));
        let traffic = Traffic::new(&self.plan.workload, policies, self.plan.seed);
        // Nobody stops it.
        let (_, stop) = watch::channel(false);
        let users = Users {
            traffic,
            policies: Arc::clone(policies),
            count: self.connections,
            ramp: Duration::from_millis(1),
            rhythm: None,
            request_timeout: TIMEOUT,
            value_sizes: ValueSizes::constant(&[]),
            clock: clock.clone(),
            schedule: Arc::clone(schedule),
            sink: Arc::clone(&recorder) as Arc<dyn SampleSink>,
            stop,
        };
        (users, recorder)
    }

    fn face(&self) -> InstanceFace {
        InstanceFace {
            policies: Arc::clone(&self.plan.policies),
            value_sizes: ValueSizes::constant(&[]),
        }
    }

    /// Our open loop at an offered rate, as many under way as there are connections.
    fn open(&self, per_s: f64) -> (Made, Measurements) {
        let clock = Clock::real();
        let start = clock.now() + Duration::from_millis(200);
        let steady = ("steady".to_owned(), PhaseKind::Measure, self.span);
        let schedule = Arc::new(Schedule::new(start, [steady]));
        let (mut users, recorder) = self.users(&clock, &schedule);
        let (stop, stopped) = watch::channel(false);
        users.stop = stopped;
        let arrivals = Arrivals {
            shape: Shape::Constant(Rate { per_s }),
            poisson: false,
        };
        let phases = vec![PhaseArrivals {
            duration: self.span,
            arrivals: Some(arrivals),
        }];
        let traffic = Arc::clone(&users.traffic);
        let open = OpenLoop {
            loop_delay: LoopDelay::default(),
            source: Source::Paced {
                traffic,
                phases,
                start,
            },
            in_flight: self.connections,
            users,
        };
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let targets = [self.url.clone()];
            let driving = open.run(|| self.face(), &targets);
            let over = async {
                clock.sleep_until(start + self.span).await;
                stop.send_replace(true);
                std::future::pending::<()>().await;
            };
            tokio::select! {
                biased;
                driven = driving => {
                    driven.expect("driven");
                }
                () = over => {}
            }
        });
        let measured = recorder.finish();
        (made(&measured, self.span), measured)
    }

    /// goose: users who never think.
    fn goose(&self) -> Made {
        let clock = Clock::real();
        let start = clock.now() + Duration::from_millis(200);
        let settle = ("settle".to_owned(), PhaseKind::WarmUp, SETTLE);
        let steady = ("steady".to_owned(), PhaseKind::Measure, self.span);
        let schedule = Arc::new(Schedule::new(start, [settle, steady]));
        let (mut users, recorder) = self.users(&clock, &schedule);
        let (_keep, stopped) = watch::channel(false);
        users.stop = stopped;
        let targets = vec![self.url.clone()];
        let runtime = Builder::new_multi_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let driven = runtime.block_on(ClosedLoop { users, targets }.run());
        driven.expect("driven");
        made(&recorder.finish(), self.span)
    }

    /// The client alone, in a loop: as many at once as there are connections.
    fn client(&self) -> Made {
        let clock = Clock::real();
        let start = clock.now();
        let steady = ("steady".to_owned(), PhaseKind::Measure, self.span);
        let schedule = Arc::new(Schedule::new(start, [steady]));
        let (_, recorder) = self.users(&clock, &schedule);
        let threads = processors() as u32;
        std::thread::scope(|scope| {
            for at in 0..threads {
                let (clock, recorder) = (clock.clone(), Arc::clone(&recorder));
                let at_once = (self.connections + at) / threads;
                scope.spawn(move || {
                    let runtime = Builder::new_current_thread().enable_all().build();
                    let runtime = runtime.expect("a runtime");
                    runtime.block_on(self.ask(at_once, clock, recorder));
                });
            }
        });
        made(&recorder.finish(), self.span)
    }

    async fn ask(&self, at_once: u32, clock: Clock, recorder: Arc<Recorder>) {
        let to = HttpTargets {
            urls: vec![self.url.clone()],
            request_timeout: TIMEOUT,
            connections_max: at_once as usize,
        };
        let policies = Arc::clone(&self.plan.policies);
        let caller = HttpCaller::new(self.face(), policies, clock.clone(), &to);
        let caller = Arc::new(caller.expect("a good target"));
        let end = Instant::now() + self.span;
        let mut tasks = tokio::task::JoinSet::new();
        for user in 0..at_once {
            let (caller, recorder, clock) =
                (Arc::clone(&caller), Arc::clone(&recorder), clock.clone());
            tasks.spawn(async move {
                let request = Request {
                    data_type: DataTypeId(0),
                    operation: Operation::Get,
                    params: KeyParams::new(&[0]),
                };
                let mut sequence = 0;
                while Instant::now() < end {
                    let call = Call {
                        instance: 0,
                        request: &request,
                        user: u64::from(user),
                        user_kind: UserKindId(0),
                        sequence,
                        phase: PhaseId(0),
                        intended_start: clock.now(),
                        waited: Duration::ZERO,
                    };
                    recorder.record(caller.call(call).await);
                    sequence += 1;
                }
            });
        }
        while tasks.join_next().await.is_some() {}
    }

    fn oha(&self) -> Option<Made> {
        let (seconds, connections) = (self.span.as_secs(), self.connections);
        let arguments = format!("-z {seconds}s -c {connections} --no-tui --output-format json");
        let text = self.outside("oha", "OHA", &arguments)?;
        let json: serde_json::Value = serde_json::from_str(&text).expect("oha's JSON");
        let number = |path: &str| json.pointer(path).and_then(serde_json::Value::as_f64);
        let codes = json["statusCodeDistribution"].as_object().expect("codes");
        let other = codes.iter().filter(|(code, _)| *code != "200");
        Some(Made {
            requests_per_s: number("/summary/requestsPerSec").expect("a rate"),
            p50_us: number("/latencyPercentiles/p50")? * 1e6,
            p99_us: number("/latencyPercentiles/p99")? * 1e6,
            failed: other.filter_map(|(_, count)| count.as_u64()).sum(),
            cpu_us: (0.0, 0.0),
        })
    }

    fn wrk(&self) -> Option<Made> {
        let (seconds, connections) = (self.span.as_secs(), self.connections);
        let threads = processors();
        let arguments = format!("-t {threads} -c {connections} -d {seconds}s --latency");
        let text = self.outside("wrk", "WRK", &arguments)?;
        let after = |word: &str| {
            let mut lines = text.lines().map(str::trim);
            let line = lines.find_map(|line| line.strip_prefix(word));
            line.map(|rest| rest.trim().to_owned())
        };
        let time_us = |word: &str| {
            let time = after(word).expect("a time");
            let digits = time.trim_end_matches(char::is_alphabetic);
            let unit = match &time[digits.len()..] {
                "us" => 1.0,
                "ms" => 1e3,
                _ => 1e6,
            };
            digits.parse::<f64>().expect("a number") * unit
        };
        let failed = after("Non-2xx or 3xx responses:");
        Some(Made {
            requests_per_s: after("Requests/sec:")?.parse().expect("a rate"),
            p50_us: time_us("50%"),
            p99_us: time_us("99%"),
            failed: failed.map_or(0, |count| count.parse().expect("a count")),
            cpu_us: (0.0, 0.0),
        })
    }

    /// What another program prints; `None` if it is not there.
    fn outside(&self, name: &str, variable: &str, arguments: &str) -> Option<String> {
        let program = std::env::var_os(variable).unwrap_or_else(|| name.into());
        let output = Command::new(program)
            .args(arguments.split(' '))
            .arg(&self.path)
            .stderr(Stdio::inherit())
            .output()
            .ok()?;
        assert!(output.status.success(), "{name} failed");
        Some(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// `--only NAME`: to look at one with a profiler.
fn only() -> Option<String> {
    std::env::args()
        .skip_while(|argument| argument != "--only")
        .nth(1)
}

fn rate_of(measured: &Measurements, span: Duration) -> f64 {
    measured.count(&Query::default()) as f64 / span.as_secs_f64()
}

fn made(measured: &Measurements, span: Duration) -> Made {
    let all = Query::default();
    let hits = measured.count(&Query {
        outcome: Some(Outcome::Hit),
        layer: Some(Layer::Local),
        ..all
    });
    let service_time = measured.service_time(&all);
    Made {
        requests_per_s: rate_of(measured, span),
        p50_us: service_time.quantile_us(0.5),
        p99_us: service_time.quantile_us(0.99),
        failed: measured.count(&all) - hits,
        cpu_us: (0.0, 0.0),
    }
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
    if us < 100.0 {
        return format!("{us:.1} µs");
    }
    format!("{us:.0} µs")
}
