//! What it costs to record: one sample, with and without the oracle, and one event of the engine.
//!
//! `cargo bench --bench record` prints nanoseconds per call, the median of several rounds, on one
//! thread and on as many as there are processors. Figures quoted in docs/performance.md are from
//! here. It must never become a test: it asserts nothing.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::expect_used,
    reason = "a benchmark measures wall time, prints it, and may stop at an impossible error"
)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cachestorm::clock::Clock;
use cachestorm::engine::data_type::{DataType, DataTypeId, Key, PolicyTable, Strategy};
use cachestorm::engine::event::{Event, Observer, Unobserved};
use cachestorm::engine::layer::{Layer, Operation, Outcome, Version};
use cachestorm::environment::CommitListener;
use cachestorm::environment::instance::metrics::InstanceMetrics;
use cachestorm::measure::engine_observer::EngineObserver;
use cachestorm::measure::oracle::staleness::StalenessOracle;
use cachestorm::measure::recorder::Recorder;
use cachestorm::measure::sink::SampleSink;
use cachestorm::measure::{PhaseId, PhaseKind, Sample, Schedule};
use cachestorm::workload::UserKindId;

const ROUNDS: usize = 15;
const CALLS: usize = 200_000;
const KEYS: usize = 10_000;

fn main() {
    let clock = Clock::real();
    let policies = policies();
    let schedule = Arc::new(Schedule::new(
        clock.now(),
        [(
            "steady".to_owned(),
            PhaseKind::Measure,
            Duration::from_hours(1),
        )],
    ));
    let oracle = Arc::new(StalenessOracle::new(Arc::clone(&policies)));
    let keys: Vec<Key> = (0..KEYS)
        .map(|n| Key::new(format!("customer:360:{n}")))
        .collect();
    for (n, key) in keys.iter().enumerate() {
        oracle.committed(DataTypeId(0), key, Version(n as u64), clock.now());
    }
    let samples: Vec<Sample> = (0..CALLS)
        .map(|n| sample(n, &schedule, &keys[n * 7_919 % KEYS]))
        .collect();
    let recorder = |oracle: Option<&Arc<StalenessOracle>>| {
        let (schedule, policies) = (Arc::clone(&schedule), Arc::clone(&policies));
        Recorder::new(clock.clone(), schedule, policies, oracle.map(Arc::clone))
    };

    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    for threads in [1, threads] {
        println!("{threads} thread(s), median of {ROUNDS} rounds of {CALLS} calls each");
        let without = recorder(None);
        report("record a sample", threads, || {
            let samples = samples.clone();
            move_through(samples, |sample| without.record(sample))
        });
        let with = recorder(Some(&oracle));
        report("record a sample, with the oracle", threads, || {
            let samples = samples.clone();
            move_through(samples, |sample| with.record(sample))
        });
        report("count a request in flight", threads, || {
            move_through(0..CALLS, |_| {
                without.request_started();
                without.request_ended();
            })
        });
        let observer = EngineObserver::new();
        observer.enter_phase(PhaseId(0));
        let layers = [Layer::Local, Layer::Remote, Layer::Origin];
        let metrics = InstanceMetrics::new(&policies, &layers, true).expect("metrics");
        let told = InstanceMetrics::observer(&Arc::new(metrics), Arc::new(Unobserved));
        report("observe a lookup, for Prometheus", threads, || {
            move_through(0..CALLS, |n| told.observe(&black_box(lookup(n))))
        });
        report("observe a lookup", threads, || {
            move_through(0..CALLS, |n| observer.observe(&black_box(lookup(n))))
        });
    }
}

/// The time from the first item to the last.
fn move_through<T>(items: impl IntoIterator<Item = T>, mut call: impl FnMut(T)) -> Duration {
    let start = Instant::now();
    for item in items {
        call(black_box(item));
    }
    start.elapsed()
}

/// Prints the median over rounds of the slowest of `threads`, per call; and the least, which
/// other work on the machine disturbed least.
fn report(what: &str, threads: usize, round: impl Fn() -> Duration + Sync) {
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
    let (median, least) = (nanos[nanos.len() / 2], nanos[0]);
    println!("  {what:<34} {median:6.1} ns   least {least:6.1} ns");
}

fn policies() -> Arc<PolicyTable> {
    let row = |name: &str| {
        let key = format!("{name}:{{id}}").parse().expect("a pattern");
        DataType::new(name, key, Strategy::CacheAside, Duration::from_mins(15))
    };
    let names = ["customer", "product", "inventory", "session", "quote"];
    Arc::new(PolicyTable::new(names.map(row).into()))
}

/// A read as it is usual: five data types, three layers, times spread over three decades, one a
/// millisecond.
fn sample(n: usize, schedule: &Schedule, key: &Key) -> Sample {
    let sent = schedule.start() + Duration::from_millis(n as u64);
    let spread = n as u64 * 7_919;
    let layers = [Layer::Local, Layer::Remote, Layer::Origin];
    Sample {
        phase: PhaseId(0),
        user_kind: UserKindId::default(),
        data_type: DataTypeId((spread % 5) as u16),
        operation: Operation::Get,
        outcome: [Outcome::Hit, Outcome::Hit, Outcome::Miss][n % 3],
        layer: layers[n % 3],
        intended_start: sent,
        waited: Duration::ZERO,
        sent,
        finished: sent + Duration::from_micros(100 + spread % 100_000),
        read: Some((key.clone(), Version(1 << 40))),
        error: None,
    }
}

fn lookup(n: usize) -> Event<'static> {
    Event::Lookup {
        data_type: DataTypeId((n % 5) as u16),
        layer: [Layer::Local, Layer::Remote][n % 2],
        found: !n.is_multiple_of(3),
        took: Duration::from_nanos(200 + (n as u64 * 7_919) % 500_000),
    }
}
