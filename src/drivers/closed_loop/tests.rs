//! Users against small servers: a good one, a silent one, and none.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicI64;

use axum::Router;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri};
use axum::response::IntoResponse;
use parking_lot::Mutex;

use super::*;
use crate::engine::data_type::{DataType, DataTypeId, KeyPattern, PolicyTable, Strategy};
use crate::engine::layer::{Layer, Operation, Outcome, Version};
use crate::environment::cache_status;
use crate::measure::sink::SampleSink;
use crate::measure::{PhaseKind, Sample, Schedule};
use crate::seed::Seed;
use crate::units::ByteSize;
use crate::workload::size::ValueSizes;
use crate::workload::user::{Traffic, User};
use crate::workload::{
    Dimension, MixEntry, Popularity, Population, Step, UserKind, What, Workload,
};

/// One attack at a time: the tests take turns.
static ONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

const PRODUCT: DataTypeId = DataTypeId(0);

fn policies() -> Arc<PolicyTable> {
    Arc::new(PolicyTable::new(vec![DataType::new(
        "product",
        "product:{product_id}"
            .parse::<KeyPattern>()
            .expect("a pattern"),
        Strategy::WriteThrough,
        Duration::from_mins(1),
    )]))
}

fn traffic(think_time: &str) -> Arc<Traffic> {
    let line = |operation, weight| MixEntry {
        data_type: PRODUCT,
        operation,
        weight,
    };
    let workload = Workload {
        kinds: vec![UserKind {
            name: UserKind::ALL.to_owned(),
            users: 1,
            think_time: think_time.parse().expect("a range"),
            on_start: vec![(PRODUCT, Operation::Get)],
            what: What::Mix(vec![line(Operation::Get, 3.0), line(Operation::Put, 1.0)]),
        }],
        populations: vec![Population::new(
            vec![Dimension::Cardinality(100)],
            Popularity::Zipf { skew: 0.99 },
        )],
        sample: None,
    };
    Traffic::new(&workload, &policies(), Seed(42))
}

#[derive(Default)]
struct Recorder {
    samples: Mutex<Vec<Sample>>,
    users: AtomicI64,
    users_max: AtomicI64,
    in_flight: AtomicI64,
    panics: bool,
}

impl SampleSink for Recorder {
    fn record(&self, sample: Sample) {
        let mut samples = self.samples.lock();
        samples.push(sample);
        let planted = self.panics && samples.len() == 5;
        drop(samples);
        assert!(!planted, "a planted panic");
    }
    fn request_dropped(&self, _: crate::measure::PhaseId) {
        unreachable!("who waits for an answer is never dropped");
    }
    fn user_started(&self) {
        let users = self.users.fetch_add(1, Ordering::SeqCst) + 1;
        self.users_max.fetch_max(users, Ordering::SeqCst);
    }
    fn user_ended(&self) {
        self.users.fetch_sub(1, Ordering::SeqCst);
    }
    fn request_started(&self) {
        self.in_flight.fetch_add(1, Ordering::SeqCst);
    }
    fn request_ended(&self) {
        self.in_flight.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Recorder {
    /// How many samples there are of each outcome or error.
    fn kinds(&self) -> BTreeMap<String, u64> {
        let mut kinds = BTreeMap::new();
        for sample in &*self.samples.lock() {
            let kind = sample
                .error
                .clone()
                .unwrap_or_else(|| sample.outcome.name().to_owned());
            *kinds.entry(kind).or_default() += 1;
        }
        kinds
    }

    fn is_idle(&self) -> bool {
        let counts = [&self.users, &self.in_flight];
        counts.iter().all(|count| count.load(Ordering::SeqCst) == 0)
    }
}

/// What a server saw: each method and path, how often.
type Seen = Arc<Mutex<BTreeMap<String, u64>>>;

async fn answer(State(seen): State<Seen>, method: Method, uri: Uri) -> impl IntoResponse {
    let line = format!("{method} {}", uri.path());
    *seen.lock().entry(line).or_default() += 1;
    let fields = [
        (
            "cache-status",
            cache_status::format(Outcome::Hit, Layer::Remote),
        ),
        ("etag", "\"17\""),
    ];
    if method == Method::GET {
        (StatusCode::OK, fields, "{}")
    } else {
        (StatusCode::NO_CONTENT, fields, "")
    }
}

/// A server that answers everything at once. Ends with the test's runtime.
async fn server() -> (String, Seen) {
    let seen = Seen::default();
    let router = Router::new().fallback(answer).with_state(Arc::clone(&seen));
    (serve(router).await, seen)
}

async fn serve(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

struct Setup {
    driver: ClosedLoop,
    recorder: Arc<Recorder>,
    stop: watch::Sender<bool>,
}

fn setup(users: u32, targets: Vec<String>, seconds: u64) -> Setup {
    let clock = Clock::real();
    let recorder = Arc::new(Recorder::default());
    let (stop, stopped) = watch::channel(false);
    let half = Duration::from_millis(seconds * 500);
    let start = clock.now() + Duration::from_millis(100);
    let phases = [
        ("warm-up", PhaseKind::WarmUp),
        ("steady", PhaseKind::Measure),
    ];
    let schedule = Schedule::new(
        start,
        phases.map(|(name, kind)| (name.to_owned(), kind, half)),
    );
    let users = Users {
        traffic: traffic("20ms..60ms"),
        policies: policies(),
        count: users,
        ramp: half / 2,
        rhythm: None,
        request_timeout: Duration::from_secs(2),
        value_sizes: ValueSizes::constant(&[ByteSize(64)]),
        clock,
        schedule: Arc::new(schedule),
        sink: Arc::clone(&recorder) as Arc<dyn SampleSink>,
        stop: stopped,
    };
    let driver = ClosedLoop { users, targets };
    Setup {
        driver,
        recorder,
        stop,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_is_sent_once_and_recorded_once() {
    let _turn = ONE.lock().await;
    let (first, seen_first) = server().await;
    let (second, seen_second) = server().await;
    // Twice: one attack after another in one process.
    for users in [50_u32, 30] {
        let setup = setup(users, vec![first.clone(), second.clone()], 2);
        let schedule = Arc::clone(&setup.driver.users.schedule);
        let driven = tokio::spawn(setup.driver.run())
            .await
            .expect("no panic")
            .expect("driven");
        assert_eq!(driven.users_started, u64::from(users));
        assert_eq!(
            setup.recorder.users_max.load(Ordering::SeqCst),
            i64::from(users)
        );
        assert_eq!(
            (
                driven.users_lost,
                driven.users_left,
                driven.requests_abandoned
            ),
            (0, 0, 0)
        );
        assert!(!driven.stopped);
        assert!(setup.recorder.is_idle());
        let samples = setup.recorder.samples.lock();
        assert_eq!(driven.requests, samples.len() as u64);
        let sum = |seen: &Seen| std::mem::take(&mut *seen.lock()).into_values().sum::<u64>();
        let (to_first, to_second) = (sum(&seen_first), sum(&seen_second));
        assert_eq!(to_first + to_second, driven.requests);
        assert!(
            to_first.abs_diff(to_second) < driven.requests / 5,
            "{to_first} {to_second}"
        );
        for sample in &*samples {
            assert_eq!(sample.error, None);
            assert_eq!(schedule.phase_at(sample.intended_start), Some(sample.phase));
            assert!(sample.intended_start <= sample.sent && sample.sent < sample.finished);
            if sample.operation == Operation::Get {
                assert_eq!(
                    (sample.outcome, sample.layer),
                    (Outcome::Hit, Layer::Remote)
                );
                let (key, version) = sample.read.as_ref().expect("a value was read");
                assert!(key.as_str().starts_with("product:"));
                assert_eq!(*version, Version(17));
            } else {
                assert_eq!(
                    (sample.outcome, sample.layer),
                    (Outcome::Bypass, Layer::Origin)
                );
                assert!(sample.read.is_none());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_ask_what_the_machine_says_and_arrive_evenly() {
    let _turn = ONE.lock().await;
    let (target, seen) = server().await;
    let mut setup = setup(10, vec![target], 2);
    setup.driver.users.ramp = Duration::from_secs(1);
    let (traffic, policies) = (Arc::clone(&setup.driver.users.traffic), policies());
    let start = setup.driver.users.schedule.start();
    let driven = setup.driver.run().await.expect("driven");
    assert_eq!(driven.users_started, 10);
    // Each user's login is its first request, at its place in the ramp.
    let mut intended: Vec<u64> = setup
        .recorder
        .samples
        .lock()
        .iter()
        .map(|sample| sample.intended_start.since(start).as_millis() as u64)
        .filter(|at| at % 100 == 0)
        .collect();
    intended.sort_unstable();
    intended.dedup();
    assert!(
        (0..10).all(|user| intended.contains(&(user * 100))),
        "{intended:?}"
    );
    // What was asked first is what the machine asks first.
    let seen = seen.lock();
    for index in 0..10 {
        let Step::Request(login) = User::new(Arc::clone(&traffic), index).next() else {
            panic!("no login");
        };
        let line = format!(
            "GET {}",
            super::super::http::face::build_path(&policies, &login)
        );
        assert!(seen.contains_key(&line), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_ends_the_run_in_ramp_and_in_thought() {
    let _turn = ONE.lock().await;
    let (target, _) = server().await;
    for (ramp_s, stop_after_ms) in [(600, 500), (0, 700), (600, 0)] {
        let mut setup = setup(40, vec![target.clone()], 1_200);
        setup.driver.users.ramp = Duration::from_secs(ramp_s);
        setup.driver.users.traffic = traffic("1h");
        let clock = setup.driver.users.clock.clone();
        let run = tokio::spawn(setup.driver.run());
        clock.sleep(Duration::from_millis(stop_after_ms)).await;
        setup.stop.send_replace(true);
        let driven = clock
            .timeout(GOOSE_SHUTDOWN_MAX, run)
            .await
            .expect("in time");
        let driven = driven.expect("no panic").expect("driven");
        assert!(driven.stopped);
        assert_eq!((driven.users_lost, driven.users_left), (0, 0));
        assert!(setup.recorder.is_idle());
        if ramp_s == 0 {
            assert_eq!((driven.users_started, driven.requests), (40, 40));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_server_gives_timeouts_and_no_hang() {
    let _turn = ONE.lock().await;
    let silent = Router::new().fallback(std::future::pending::<StatusCode>);
    let target = serve(silent).await;

    let mut setup_short = setup(20, vec![target.clone()], 2);
    setup_short.driver.users.request_timeout = Duration::from_millis(500);
    let driven = setup_short.driver.run().await.expect("driven");
    assert_eq!((driven.users_started, driven.users_lost), (20, 0));
    assert_eq!((driven.users_left, driven.requests_abandoned), (0, 0));
    let kinds = setup_short.recorder.kinds();
    assert!(kinds["timeout"] >= 40, "{kinds:?}");
    assert_eq!(kinds.len(), 1, "{kinds:?}");

    // A stop does not wait for long, and says how many it gave up.
    let mut setup_long = setup(20, vec![target], 1_000);
    setup_long.driver.users.ramp = Duration::ZERO;
    setup_long.driver.users.request_timeout = Duration::from_mins(10);
    let clock = setup_long.driver.users.clock.clone();
    let run = tokio::spawn(setup_long.driver.run());
    clock.sleep(Duration::from_millis(600)).await;
    setup_long.stop.send_replace(true);
    let driven = clock
        .timeout(GOOSE_SHUTDOWN_MAX, run)
        .await
        .expect("in time");
    let driven = driven.expect("no panic").expect("driven");
    assert_eq!((driven.requests, driven.requests_abandoned), (0, 20));
    assert_eq!((driven.users_lost, driven.users_left), (0, 0));
    assert!(setup_long.recorder.is_idle());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_are_counted_by_what_went_wrong() {
    let _turn = ONE.lock().await;
    let nobody = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        format!("http://{}", listener.local_addr().expect("bound"))
    };
    let overloaded = Router::new().fallback(async || {
        let text = "origin: no connection within 2 s, and so on and on\nsecret";
        (StatusCode::SERVICE_UNAVAILABLE, text)
    });
    let rude = {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a free port");
        let address = listener.local_addr().expect("bound");
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                // Reads a little, so that the request was sent, and hangs up.
                let _ = tokio::io::AsyncReadExt::read(&mut stream, &mut [0; 16]).await;
            }
        });
        format!("http://{address}")
    };
    let setup = setup(10, vec![nobody, serve(overloaded).await, rude], 1);
    let driven = setup.driver.run().await.expect("driven");
    let kinds = setup.recorder.kinds();
    assert_eq!(kinds.values().sum::<u64>(), driven.requests);
    let names: Vec<&str> = kinds.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "503 origin: no connection within 2 s, and so",
            "connection refused",
            "connection reset"
        ]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_that_panics_is_counted_and_the_others_go_on() {
    let _turn = ONE.lock().await;
    let (target, _) = server().await;
    let mut setup = setup(10, vec![target], 1);
    let recorder = Arc::new(Recorder {
        panics: true,
        ..Recorder::default()
    });
    setup.driver.users.sink = Arc::clone(&recorder) as Arc<dyn SampleSink>;
    let driven = setup.driver.run().await.expect("driven");
    assert_eq!((driven.users_started, driven.users_lost), (10, 1));
    assert_eq!((driven.users_left, driven.requests_abandoned), (0, 1));
    assert!(driven.requests > 50, "{driven:?}");
    assert!(recorder.is_idle());
}

#[tokio::test]
async fn impossible_runs_are_refused() {
    let _turn = ONE.lock().await;
    let nobody = setup(10, vec![], 1).driver.run().await;
    assert!(matches!(nobody, Err(DriverError::NoTargets)));
    let nowhere = setup(0, vec!["http://127.0.0.1:1".to_owned()], 1)
        .driver
        .run()
        .await;
    assert!(matches!(nowhere, Err(DriverError::NoUsers)));
    let _taken = Turn::take().expect("free");
    let second = setup(1, vec!["http://127.0.0.1:1".to_owned()], 1)
        .driver
        .run()
        .await;
    assert!(matches!(second, Err(DriverError::Busy)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schedule_that_is_over_asks_nothing() {
    let _turn = ONE.lock().await;
    let mut setup = setup(50, vec!["http://127.0.0.1:1".to_owned()], 1);
    setup.driver.users.ramp = Duration::ZERO;
    let past = setup.driver.users.clock.now() - Duration::from_mins(1);
    let phases = [(
        "steady".to_owned(),
        PhaseKind::Measure,
        Duration::from_secs(1),
    )];
    setup.driver.users.schedule = Arc::new(Schedule::new(past, phases));
    let driven = setup.driver.run().await.expect("driven");
    assert_eq!(driven, Driven::default());
}

/// Lives one run in a process of its own, for the test below.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "is interrupted by another test that starts it"]
async fn interrupted_run() {
    // A listener of tokio's from before must not be in the way either.
    tokio::spawn(tokio::signal::ctrl_c());
    let (target, _) = server().await;
    let setup = setup(20, vec![target], 1_200);
    let recorder = Arc::clone(&setup.recorder);
    let clock = setup.driver.users.clock.clone();
    let run = tokio::spawn(setup.driver.run());
    while recorder.samples.lock().is_empty() {
        clock.sleep(Duration::from_millis(10)).await;
    }
    println!("READY");
    let driven = run.await.expect("no panic").expect("driven");
    assert!(driven.stopped && driven.requests > 0);
    println!("WRITTEN");
}

#[test]
fn ctrl_c_ends_the_run_and_not_the_process_and_goose_prints_nothing() {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    let name = "drivers::closed_loop::tests::interrupted_run";
    let mut child = Command::new(std::env::current_exe().expect("this test"))
        .args([
            "--exact",
            name,
            "--ignored",
            "--nocapture",
            "--test-threads=1",
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("started");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut printed = vec![];
    for line in lines.by_ref() {
        printed.push(line.expect("text"));
        if printed.last().is_some_and(|line| line.ends_with("READY")) {
            break;
        }
    }
    // Twice in a row: at the second one goose would end the process.
    for _ in 0..2 {
        let kill = format!("kill -INT {}; sleep 0.1", child.id());
        assert!(
            Command::new("sh")
                .args(["-c", &kill])
                .status()
                .expect("sent")
                .success()
        );
    }
    printed.extend(lines.map(|line| line.expect("text")));
    let output = child.wait_with_output().expect("ended");
    assert!(output.status.success(), "{printed:?} {output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
    let own = ["running 1 test", "test ", "READY", "WRITTEN", "ok"];
    for line in printed.iter().filter(|line| !line.is_empty()) {
        assert!(own.iter().any(|start| line.starts_with(start)), "{line}");
    }
    assert!(printed.iter().any(|line| line == "WRITTEN"), "{printed:?}");
}
