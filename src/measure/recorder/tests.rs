//! Tests of the recorder and of the measurements that it gives.

use super::super::histogram::Histogram;
use super::*;
use crate::clock::Timestamp;
use crate::engine::data_type::{DataType, DataTypeId, Invalidation, Key, Strategy as By};
use crate::engine::layer::{Layer, Operation, Version, is_hit};
use crate::measure::PhaseKind;
use crate::measure::query::{Phases, Query};
use crate::seed::mix;
use crate::workload::UserKindId;
use proptest::prelude::*;
use proptest::strategy::Strategy;

mod long_runs;

/// Data types of the tests.
pub(crate) const TYPES: u8 = 3;
const PHASES: u8 = 3;
const PHASE_S: u64 = 10;
const START: Timestamp = Timestamp::from_unix_nanos(1_000_000_000_000);

/// `a`, `b` and `c`, each with TTLs of 60 s and 10 s; `c` is written behind.
pub(crate) fn policies() -> Arc<PolicyTable> {
    let row = |name: &str, strategy| DataType {
        local_ttl: Some(Duration::from_secs(10)),
        invalidation: Invalidation::Event,
        ..DataType::new(
            name,
            format!("{name}:{{id}}").parse().expect("a pattern"),
            strategy,
            Duration::from_mins(1),
        )
    };
    Arc::new(PolicyTable::new(vec![
        row("a", By::CacheAside),
        row("b", By::WriteThrough),
        row("c", By::WriteBehind),
    ]))
}

/// A warm-up and two measured phases of ten seconds.
pub(crate) fn schedule(start: Timestamp) -> Arc<Schedule> {
    let phase = |name: &str, kind| (name.to_owned(), kind, Duration::from_secs(PHASE_S));
    Arc::new(Schedule::new(
        start,
        [
            phase("warm-up", PhaseKind::WarmUp),
            phase("steady", PhaseKind::Measure),
            phase("storm", PhaseKind::Measure),
        ],
    ))
}

/// How requests usually end; a cell for each of these takes memory enough for tests.
const ENDS: [(Outcome, Layer); 9] = [
    (Outcome::Hit, Layer::Local),
    (Outcome::Hit, Layer::Remote),
    (Outcome::NegativeHit, Layer::Remote),
    (Outcome::StaleHit, Layer::Local),
    (Outcome::Miss, Layer::Origin),
    (Outcome::Coalesced, Layer::Remote),
    (Outcome::Coalesced, Layer::Origin),
    (Outcome::Bypass, Layer::Origin),
    (Outcome::Error, Layer::Origin),
];

fn pick<T: Copy>(from: &[T], bits: u64) -> T {
    from[bits as usize % from.len()]
}

/// A sample that follows from `n`: any phase and operation, and any end of [`ENDS`].
pub(crate) fn sample(n: u64, data_type: u8) -> Sample {
    let bits = |of: u64| mix(n.wrapping_mul(31).wrapping_add(of)) >> 8;
    let phase = (bits(1) % u64::from(PHASES)) as u8;
    let into_phase = Duration::from_micros(bits(2) % (PHASE_S * 1_000_000));
    let intended_start = START + Duration::from_secs(PHASE_S * u64::from(phase)) + into_phase;
    let sent = intended_start + Duration::from_nanos(bits(3) % 3_000_000);
    let (outcome, layer) = pick(&ENDS, bits(4));
    Sample {
        phase: PhaseId(phase),
        user_kind: UserKindId((bits(10) % 3) as u8),
        data_type: DataTypeId(data_type.into()),
        operation: pick(&[Operation::Get, Operation::Get, Operation::Put], bits(5)),
        outcome,
        layer,
        intended_start,
        waited: Duration::ZERO,
        sent,
        finished: sent + Duration::from_nanos(bits(7) % 4_000_000_000),
        read: None,
        error: (outcome == Outcome::Error && bits(8) % 4 > 0)
            .then(|| format!("error {}", bits(9) % 3)),
    }
}

fn recorder() -> Recorder {
    Recorder::new(Clock::real(), schedule(START), policies(), None)
}

/// What a recorder gives of `samples`.
pub(crate) fn measured(samples: impl IntoIterator<Item = Sample>) -> Measurements {
    let recorder = recorder();
    for sample in samples {
        recorder.record(sample);
    }
    recorder.finish()
}

fn any_sample() -> impl Strategy<Value = Sample> {
    (any::<u64>(), 0..TYPES).prop_map(|(n, data_type)| sample(n, data_type))
}

fn any_query() -> impl Strategy<Value = Query> {
    let phases = prop_oneof![
        Just(Phases::Measured),
        Just(Phases::All),
        (0..PHASES).prop_map(|id| Phases::Only(PhaseId(id))),
    ];
    (
        phases,
        prop::option::of((0_u8..3).prop_map(UserKindId)),
        prop::option::of((0..u16::from(TYPES)).prop_map(DataTypeId)),
        prop::option::of(prop::sample::select(Operation::ALL.to_vec())),
        prop::option::of(prop::sample::select(Outcome::ALL.to_vec())),
        prop::option::of(prop::sample::select(Layer::ALL.to_vec())),
        prop::option::of(any::<bool>()),
    )
        .prop_map(
            |(phases, user_kind, data_type, operation, outcome, layer, hit)| Query {
                phases,
                user_kind,
                data_type,
                operation,
                outcome,
                layer,
                hit,
            },
        )
}

/// The query, written once more and in another way.
fn wanted(query: &Query, sample: &Sample) -> bool {
    let phase = match query.phases {
        Phases::All => true,
        Phases::Measured => sample.phase != PhaseId(0),
        Phases::Only(id) => sample.phase == id,
    };
    let others = [
        query.user_kind.is_some_and(|id| id != sample.user_kind),
        query.data_type.is_some_and(|id| id != sample.data_type),
        query.operation.is_some_and(|op| op != sample.operation),
        query
            .outcome
            .is_some_and(|outcome| outcome != sample.outcome),
        query.layer.is_some_and(|layer| layer != sample.layer),
        query
            .hit
            .is_some_and(|hit| hit != is_hit(sample.outcome, sample.layer)),
    ];
    phase && !others.contains(&true)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn queries_agree_with_brute_force(
        samples in prop::collection::vec(any_sample(), 0..150),
        query in any_query(),
    ) {
        let measured = measured(samples.clone());
        let chosen: Vec<&Sample> = samples.iter().filter(|s| wanted(&query, s)).collect();
        let count = |of: &dyn Fn(&&&Sample) -> bool| chosen.iter().filter(of).count() as u64;
        let answered = |s: &Sample| s.outcome != Outcome::Error;
        let read = |s: &Sample| s.operation == Operation::Get && answered(s);

        prop_assert_eq!(measured.count(&query), chosen.len() as u64);
        let outcomes = measured.outcomes(&query);
        prop_assert_eq!(outcomes.values().sum::<u64>(), chosen.len() as u64);
        let reads = count(&|s| read(s));
        let hits = count(&|s| read(s) && is_hit(s.outcome, s.layer));
        prop_assert_eq!((measured.reads(&query), measured.hits(&query)), (reads, hits));
        let ratio = (reads > 0).then(|| (hits as f64 / reads as f64, reads));
        prop_assert_eq!(measured.hit_ratio(&query), ratio);

        let mut exact = Histogram::new();
        let mut service = Histogram::new();
        let errors_wanted = query.outcome == Some(Outcome::Error);
        for sample in chosen.iter().filter(|s| errors_wanted || answered(s)) {
            exact.record(sample.finished.since(sample.intended_start));
            service.record(sample.finished.since(sample.sent));
        }
        prop_assert_eq!(measured.response_time(&query).summary_us(), exact.summary_us());
        prop_assert_eq!(measured.service_time(&query).summary_us(), service.summary_us());

        let errors = measured.errors_by_kind(&query);
        prop_assert_eq!(errors.values().sum::<u64>(), count(&|s| !answered(s)));
        let unnamed = count(&|s| !answered(s) && s.error.is_none());
        prop_assert_eq!(errors.get(UNNAMED_ERROR).copied().unwrap_or(0), unnamed);
    }

    #[test]
    fn seconds_add_up_to_the_whole(samples in prop::collection::vec(any_sample(), 0..150)) {
        let measured = measured(samples.clone());
        let rows = measured.seconds();
        let all = Query { phases: Phases::All, ..Query::default() };
        let sum = |of: &dyn Fn(&crate::measure::measurements::SecondRow) -> u64| {
            rows.iter().map(of).sum::<u64>()
        };
        prop_assert_eq!(sum(&|row| row.requests), measured.count(&all));
        let failed = Query { outcome: Some(Outcome::Error), ..all };
        prop_assert_eq!(sum(&|row| row.errors), measured.count(&failed));
        for id in (0..u16::from(TYPES)).map(DataTypeId) {
            let gets = Query { data_type: Some(id), operation: Some(Operation::Get), ..all };
            let answers = sum(&|row| row.answers[id.index()].total());
            prop_assert_eq!(answers, measured.count(&gets));
            let local = Query { layer: Some(Layer::Local), ..gets };
            let failed = Query { outcome: Some(Outcome::Error), ..local };
            let local_answers = sum(&|row| row.answers[id.index()].local);
            prop_assert_eq!(local_answers, measured.count(&local) - measured.count(&failed));
        }
        for (t_s, row) in (0..).zip(rows) {
            let second = START + Duration::from_secs(t_s);
            let mut times: Vec<Duration> = samples
                .iter()
                .filter(|s| s.finished >= second && s.finished < second + Duration::from_secs(1))
                .filter(|s| s.outcome != Outcome::Error)
                .map(|s| s.finished.since(s.intended_start))
                .collect();
            times.sort_unstable();
            let median = times.get(times.len().saturating_sub(1) / 2);
            prop_assert_eq!(row.response_time_us_p50.is_some(), median.is_some());
            if let (Some(got), Some(exact)) = (row.response_time_us_p50, median) {
                let exact = exact.as_secs_f64() * 1e6;
                prop_assert!((got - exact).abs() <= exact * 0.01, "{got} for {exact}");
            }
        }
    }
}

#[test]
fn threads_that_record_at_once_lose_nothing() {
    const THREADS: u64 = 8;
    const EACH: u64 = 1_000;
    let recorder = recorder();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let recorder = &recorder;
            scope.spawn(move || {
                for n in thread * EACH..(thread + 1) * EACH {
                    recorder.request_started();
                    recorder.record(sample(n, 0));
                    recorder.request_ended();
                }
            });
        }
    });
    let parallel = recorder.finish();
    let serial = measured((0..THREADS * EACH).map(|n| sample(n, 0)));
    assert!(parallel.cells().eq(serial.cells()), "cells");
    assert_eq!(parallel.seconds(), serial.seconds());
    assert_eq!(
        parallel.starts_in(Phases::All).slip,
        serial.starts_in(Phases::All).slip
    );
    assert_eq!(parallel.starts_in(Phases::All).slip.count(), THREADS * EACH);
    let all = Query::default();
    assert_eq!(parallel.errors_by_kind(&all), serial.errors_by_kind(&all));
    assert!((1..=THREADS).contains(&parallel.in_flight_max()));
    assert_eq!(recorder.live().in_flight, 0);
    assert_eq!(recorder.live().requests, THREADS * EACH);
}

#[test]
fn collecting_twice_gives_the_same() {
    let recorder = recorder();
    (0..500).for_each(|n| recorder.record(sample(n, 0)));
    let (first, second) = (recorder.finish(), recorder.finish());
    assert!(first.cells().eq(second.cells()));
    assert_eq!(first.seconds(), second.seconds());
}

#[test]
fn slip_is_of_the_measured_phases() {
    let late = |n, phase, ms| {
        let sample = sample(n, 0);
        Sample {
            phase: PhaseId(phase),
            sent: sample.intended_start + Duration::from_millis(ms),
            ..sample
        }
    };
    let measured = measured([late(1, 0, 500), late(2, 1, 3), late(3, 2, 1)]);
    assert_eq!(measured.starts_in(Phases::Measured).slip.count(), 2);
    assert_eq!(
        measured.starts_in(Phases::Measured).slip.max().as_millis(),
        3
    );
    assert_eq!(measured.starts_in(Phases::Only(PhaseId(0))).slip.count(), 1);
}

#[test]
fn kinds_of_errors_are_bounded_and_none_is_lost() {
    let failed = |n: usize| Sample {
        phase: PhaseId(1),
        outcome: Outcome::Error,
        error: Some(format!("error at address {n}")),
        ..sample(n as u64, 0)
    };
    let errors = measured((0..1_000).map(failed)).errors_by_kind(&Query::default());
    assert_eq!(errors.len(), ERROR_KINDS_MAX + 1);
    assert_eq!(errors.values().sum::<u64>(), 1_000);
    assert_eq!(errors[OTHER_ERRORS], 1_000 - ERROR_KINDS_MAX as u64);
}

#[test]
fn what_ends_after_the_last_row_is_in_the_last_row() {
    let late = Sample {
        finished: START + Duration::from_hours(50),
        ..sample(1, 0)
    };
    let measured = measured([late]);
    let rows = measured.seconds();
    assert_eq!(rows.len(), crate::measure::series::ROWS_MAX as usize);
    assert_eq!(rows.last().map(|row| row.requests), Some(1));
}

proptest! {
    /// Whether seconds are still open in a thread or folded already, and whoever recorded them.
    #[test]
    fn a_window_is_the_sum_of_its_seconds(
        numbers in prop::collection::vec(0u64..100_000, 0..300),
        from in 0u32..35,
        length in 0u32..35,
    ) {
        let recorder = Recorder::new(Clock::real(), schedule(START), policies(), None);
        for n in &numbers {
            recorder.record(sample(*n, (n % u64::from(TYPES)) as u8));
        }
        let seconds = from..from + length;
        let window = recorder.window(seconds.clone());
        let samples: Vec<Sample> = numbers
            .iter()
            .map(|n| sample(*n, (n % u64::from(TYPES)) as u8))
            .filter(|sample| seconds.contains(&second_of(sample.finished, START)))
            .collect();
        let failed = |sample: &&Sample| sample.outcome == Outcome::Error;
        let errors = samples.iter().filter(failed).count() as u64;
        prop_assert_eq!((window.requests(), window.errors()), (samples.len() as u64, errors));
        prop_assert_eq!(window.timed(), window.requests() - errors);
        let counts = recorder.window_of_counts(seconds.clone());
        prop_assert_eq!((counts.requests(), counts.errors()), (window.requests(), errors));
        prop_assert_eq!((counts.timed(), counts.reads_and_hits(None)), (0, window.reads_and_hits(None)));
        for data_type in (0..TYPES).map(|id| DataTypeId(id.into())) {
            let reads = || {
                samples.iter().filter(|s| {
                    s.data_type == data_type
                        && s.operation == Operation::Get
                        && s.outcome != Outcome::Error
                })
            };
            let hits = reads().filter(|s| is_hit(s.outcome, s.layer)).count() as u64;
            let wanted = (reads().count() as u64, hits);
            prop_assert_eq!(window.reads_and_hits(Some(data_type)), wanted);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn users_and_the_last_seconds_are_shown_live() {
    let clock = Clock::real();
    let start = clock.now();
    let recorder = Recorder::new(clock.clone(), schedule(start), policies(), None);
    let answer = |layer, outcome| Sample {
        phase: PhaseId(0),
        operation: Operation::Get,
        outcome,
        layer,
        intended_start: clock.now(),
        waited: Duration::ZERO,
        sent: clock.now(),
        finished: clock.now() + Duration::from_millis(40),
        error: None,
        ..sample(1, 0)
    };
    for _ in 0..7 {
        recorder.user_started();
        recorder.request_started();
        recorder.record(answer(Layer::Local, Outcome::Hit));
        recorder.record(answer(Layer::Origin, Outcome::Miss));
        clock.sleep(Duration::from_secs(1)).await;
    }
    recorder.user_ended();
    recorder.record(answer(Layer::Origin, Outcome::Error));
    let live = recorder.live();
    assert_eq!((live.users, live.in_flight), (6, 7));
    assert_eq!((live.requests, live.errors), (15, 1));
    let per_s = live.rate_per_s;
    assert!(
        (per_s - 2.0).abs() < 1e-9,
        "{per_s}: a second that still runs does not count"
    );
    assert_eq!(live.hit_ratio, Some(0.5));
    assert_eq!(live.phase, Some(PhaseId(0)));
    let p95 = live.response_time_p95.expect("samples").as_secs_f64();
    assert!((p95 - 0.04).abs() < 0.0004, "{p95}");

    clock.sleep(Duration::from_secs(8)).await;
    let quiet = recorder.live();
    assert!(quiet.rate_per_s < 1e-9, "{}", quiet.rate_per_s);
    assert_eq!((quiet.hit_ratio, quiet.response_time_p95), (None, None));
    assert_eq!(quiet.phase, Some(PhaseId(1)));

    let measured = recorder.finish();
    assert_eq!(
        (measured.users_live_max(), measured.in_flight_max()),
        (7, 7)
    );
    let users: Vec<u64> = measured
        .seconds()
        .iter()
        .map(|row| row.users_live)
        .collect();
    assert_eq!(users, [1, 2, 3, 4, 5, 6, 7, 6]);
    // Interrupted after 15 of 30 seconds: half of the first measured phase was covered.
    assert_eq!(measured.duration(Phases::Measured), Duration::from_secs(5));
    assert_eq!(measured.duration(Phases::All), Duration::from_secs(15));
}

#[test]
fn reads_are_shown_to_the_oracle() {
    use crate::environment::CommitListener as _;
    let oracle = Arc::new(StalenessOracle::new(policies()));
    let key = Key::new("a:1");
    oracle.committed(DataTypeId(0), &key, Version(2), START);
    let recorder = Recorder::new(
        Clock::real(),
        schedule(START),
        policies(),
        Some(Arc::clone(&oracle)),
    );
    let read = Sample {
        phase: PhaseId(1),
        intended_start: START + Duration::from_secs(1),
        waited: Duration::ZERO,
        sent: START + Duration::from_secs(3),
        read: Some((key, Version(1))),
        ..sample(1, 0)
    };
    recorder.record(read);
    let staleness = oracle.staleness_ms(None, Phases::Measured, &schedule(START));
    assert_eq!((staleness.checked, staleness.stale), (1, 1));
    assert!(
        (staleness.max - 3_000.0).abs() <= 3.0,
        "from the sending: {}",
        staleness.max
    );
}
