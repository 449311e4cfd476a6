//! Arrivals in virtual time: what is sent when, what waits, and what is never sent.

use std::sync::atomic::Ordering;

use super::*;
use crate::clock::{Timestamp, virtual_time};
use crate::drivers::arrivals::{Pacing, Replay};
use crate::drivers::stage::{Instance, Sink, stop_after};
use crate::engine::data_type::{DataType, DataTypeId, PolicyTable, Strategy};
use crate::engine::layer::Operation;
use crate::measure::{PhaseKind, Sample, Schedule};
use crate::seed::Seed;
use crate::units::{ByteSize, Rate};
use crate::workload::arrivals::{Arrivals, PhaseArrivals, Shape};
use crate::workload::size::ValueSizes;
use crate::workload::user::Traffic;
use crate::workload::{
    Dimension, Journey, JourneyStep, MixEntry, Popularity, Population, UserKind, What, Workload,
};

const START: Timestamp = Timestamp::from_unix_nanos(1_795_419_900 * 1_000_000_000);
const PAGE: DataTypeId = DataTypeId(0);
/// So long a service takes: with ten places a hundred requests a second.
const TAKES: Duration = Duration::from_millis(100);
const TIMEOUT: Duration = Duration::from_secs(2);
const LENGTH: Duration = Duration::from_secs(10);

/// Who asks for one page.
fn readers() -> UserKind {
    let get = MixEntry {
        data_type: PAGE,
        operation: Operation::Get,
        weight: 1.0,
    };
    UserKind::only(5, "1s".parse().expect("a pause"), vec![get])
}

fn traffic(kind: UserKind) -> (Arc<Traffic>, Arc<PolicyTable>) {
    let key = "page:{id}".parse().expect("a pattern");
    let page = DataType::new("page", key, Strategy::CacheAside, LENGTH);
    let policies = Arc::new(PolicyTable::new(vec![page]));
    let workload = Workload {
        sample: None,
        kinds: vec![kind],
        populations: vec![Population::new(
            vec![Dimension::Cardinality(1_000)],
            Popularity::Zipf { skew: 0.9 },
        )],
    };
    (Traffic::new(&workload, &policies, Seed(42)), policies)
}

fn paced(traffic: &Arc<Traffic>, per_s: f64) -> Source {
    let shape = Shape::Constant(Rate { per_s });
    Source::Paced {
        traffic: Arc::clone(traffic),
        phases: vec![PhaseArrivals {
            duration: LENGTH,
            arrivals: Some(Arrivals {
                shape,
                poisson: false,
            }),
        }],
        start: START,
    }
}

struct Scene {
    samples: Vec<Sample>,
    dropped: u64,
    driven: Driven,
    instance: Arc<Instance>,
}

/// Drives an instance for ten seconds, or until a stop.
fn run(source: impl FnOnce(&Arc<Traffic>) -> Source, stopped_after: Option<Duration>) -> Scene {
    run_with(readers(), source, stopped_after)
}

fn run_with(
    kind: UserKind,
    source: impl FnOnce(&Arc<Traffic>) -> Source,
    stopped_after: Option<Duration>,
) -> Scene {
    let (runtime, clock) = virtual_time::runtime(START).expect("a runtime");
    let (traffic, policies) = traffic(kind);
    let source = source(&traffic);
    let sink = Arc::new(Sink::new(&clock));
    let instance = Arc::new(Instance::new(&clock, TAKES));
    let (stop, stopping) = watch::channel(false);
    let open = OpenLoop {
        loop_delay: LoopDelay::default(),
        source,
        in_flight: 10,
        users: Users {
            traffic,
            policies,
            count: 5,
            ramp: Duration::ZERO,
            rhythm: None,
            request_timeout: TIMEOUT,
            value_sizes: ValueSizes::constant(&[ByteSize(64)]),
            clock: clock.clone(),
            schedule: Arc::new(Schedule::new(
                START,
                [("all".to_owned(), PhaseKind::Measure, LENGTH)],
            )),
            sink: Arc::clone(&sink) as _,
            stop: stopping,
        },
    };
    let targets = vec![Arc::clone(&instance) as Arc<dyn Service>];
    let driven = runtime.block_on(async move {
        tokio::spawn(stop_after(stopped_after, clock, stop));
        open.run_directly(targets).await.expect("driven")
    });
    drop(runtime);
    let samples = std::mem::take(&mut *sink.samples.lock());
    Scene {
        samples,
        dropped: sink.dropped.load(Ordering::SeqCst),
        driven,
        instance,
    }
}

fn response(sample: &Sample) -> Duration {
    sample.finished.since(sample.intended_start)
}

#[test]
fn what_can_be_served_starts_when_it_is_due() {
    let scene = run(|traffic| paced(traffic, 50.0), None);
    assert_eq!(scene.samples.len(), 500);
    assert_eq!((scene.dropped, scene.driven.requests_dropped), (0, 0));
    assert_eq!(scene.driven.requests, 500);
    for sample in &scene.samples {
        assert_eq!(sample.sent, sample.intended_start);
        assert_eq!(response(sample), TAKES);
    }
}

/// Twice as much as is served: the wait grows by a second each second, and the service does not see it.
#[test]
fn overload_shows_in_the_response_time_and_not_in_the_service_time() {
    let scene = run(|traffic| paced(traffic, 200.0), None);
    let due_at = |ms: u64| START + Duration::from_millis(ms);
    for sample in &scene.samples {
        assert_eq!(sample.finished.since(sample.sent), TAKES);
        // All of the delay is told as a wait for a place, none as the generator's own.
        assert_eq!(sample.sent.since(sample.intended_start), sample.waited);
        assert!(sample.waited <= TIMEOUT);
        let due = sample.intended_start;
        if due >= due_at(500) && due < due_at(1_500) {
            let expected = due.since(START);
            let waited = sample.waited;
            assert!(waited.abs_diff(expected) <= TAKES, "{due}: {waited:?}");
        }
    }
    // What would have waited longer than the timeout is dropped; every request is one or the other.
    assert!(scene.dropped > 500, "{}", scene.dropped);
    assert_eq!(scene.samples.len() as u64 + scene.dropped, 2_000);
    assert_eq!(scene.driven.requests_dropped, scene.dropped);
    let most = scene.samples.iter().map(|sample| sample.waited).max();
    assert!(most > Some(TIMEOUT.saturating_sub(TAKES)), "{most:?}");
}

/// Whoever has come gets its turn in overload, too: new arrivals do not push in front of it.
#[test]
fn a_journey_that_began_goes_on_in_overload() {
    let steps =
        [Operation::Get, Operation::Put].map(|operation| JourneyStep::once(PAGE, operation));
    let journey = Journey {
        name: "edit".to_owned(),
        weight: 1.0,
        steps: steps.to_vec(),
        remembered: Vec::new(),
    };
    let editors = UserKind {
        think_time: "100ms".parse().expect("a pause"),
        what: What::Journeys(vec![journey]),
        ..readers()
    };
    let scene = run_with(editors, |traffic| paced(traffic, 200.0), None);
    let of = |operation| {
        let samples = scene.samples.iter();
        samples.filter(move |sample| sample.operation == operation)
    };
    // The second step of the others would be due past the end.
    let in_time = |sample: &&Sample| sample.finished + TAKES < START + LENGTH;
    let begun = of(Operation::Get).filter(in_time).count();
    assert!(begun > 400, "{begun}");
    assert!(of(Operation::Put).count().abs_diff(begun) <= 10);
    // It stands behind those that have come, and not behind all that are due.
    let longest = of(Operation::Put).map(|sample| sample.waited).max();
    assert!(longest <= Some(TAKES * 3), "{longest:?}");
}

#[test]
fn lanes_share_out_the_same_requests() {
    let (traffic, _) = traffic(readers());
    let source = paced(&traffic, 100.0);
    let asked = |arrival: super::super::line::Arrival| {
        let mut visitor = arrival.visitor;
        (arrival.due, format!("{:?}", visitor.next()))
    };
    let all: Vec<_> = source.lane(0, 1).expect("arrivals").map(asked).collect();
    assert_eq!(all.len(), 1_000);
    let mut shared: Vec<_> = (0..3)
        .flat_map(|at| source.lane(at, 3).expect("arrivals").map(asked))
        .collect();
    shared.sort();
    assert_eq!(shared, all);
}

#[test]
fn a_stop_abandons_what_is_under_way_and_sends_nothing_more() {
    let after = Duration::from_millis(1_050);
    let scene = run(|traffic| paced(traffic, 50.0), Some(after));
    assert!(scene.driven.stopped);
    let last = scene.samples.iter().map(|sample| sample.sent).max();
    assert!(last <= Some(START + after), "{last:?}");
    // Those under way have time enough for their answers.
    assert_eq!(scene.driven.requests_abandoned, 0);
    assert!((50..=54).contains(&scene.samples.len()));
}

/// Three keys, of which the second is written.
fn trace(pacing: Pacing, span: (Timestamp, Timestamp)) -> (tempfile::TempDir, Replay) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("trace.csv");
    let lines = "10,a,1,100,1,get,0\n12,b,1,100,1,set,0\n12,c,1,100,1,get,0\n20,a,1,100,1,get,0\n";
    std::fs::write(&file, lines).expect("a trace");
    let replay = Replay {
        file,
        format: None,
        data_type: PAGE,
        pacing,
        span,
        told: Arc::default(),
    };
    (folder, replay)
}

fn replayed(pacing: Pacing) -> (Vec<u128>, Scene, bool) {
    let (_folder, replay) = trace(pacing, (START, START + LENGTH));
    let told = Arc::clone(&replay.told);
    let scene = run(|_| Source::Trace(replay), None);
    let mut samples: Vec<&Sample> = scene.samples.iter().collect();
    samples.sort_by_key(|sample| sample.intended_start);
    let due = samples.iter();
    let due = due.map(|sample| sample.intended_start.since(START).as_millis());
    let due = due.collect();
    let complete = told.lock().complete;
    (due, scene, complete)
}

#[test]
fn a_trace_is_replayed_at_its_own_times_or_faster_or_by_a_rate() {
    // The two of one second are spread over it. The last is due when the run has ended.
    let (due, _, complete) = replayed(Pacing::Times(1.0));
    assert_eq!(due, [0, 2_000, 2_500]);
    assert!(!complete);
    let (due, scene, complete) = replayed(Pacing::Times(2.0));
    assert_eq!(due, [0, 1_000, 1_250, 5_000]);
    assert!(complete);
    let puts = scene.samples.iter();
    assert_eq!(puts.filter(|s| s.operation == Operation::Put).count(), 1);
    let keys = scene.instance.asked.lock().len();
    assert_eq!(keys, 3, "the same text is the same key");
    let (due, ..) = replayed(Pacing::Rate(Rate { per_s: 4.0 }));
    assert_eq!(due, [0, 250, 500, 750]);
}

#[test]
fn a_trace_that_breaks_off_says_so() {
    let (folder, replay) = trace(Pacing::WhenFree, (START, START + LENGTH));
    std::fs::write(
        folder.path().join("trace.csv"),
        "10,a,1,100,1,get,0\nnonsense\n",
    )
    .expect("a trace");
    let told = Arc::clone(&replay.told);
    let scene = run(|_| Source::Trace(replay), None);
    assert_eq!(scene.samples.len(), 1);
    let told = told.lock();
    assert!(told.error.is_some() && !told.complete);
}

#[test]
fn places_are_shared_out_whole() {
    for (whole, of) in [(10, 3), (1, 1), (7, 8), (64, 4)] {
        let sum: u32 = (0..of).map(|at| share_of(whole, at, of)).sum();
        assert_eq!(sum, whole);
    }
}
