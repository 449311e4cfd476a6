//! Which windows are looked at, and which gate ends a run.

use super::*;
use crate::clock::Clock;
use crate::engine::data_type::{DataType, DataTypeId, Strategy};
use crate::engine::layer::{Layer, Operation, Outcome};
use crate::gates::judge::judge;
use crate::gates::{Gate, Verdict};
use crate::measure::sink::SampleSink;
use crate::measure::{PhaseId, PhaseKind, Sample};
use crate::runner::monitor::Untouched;
use crate::runner::readings::{Pace, Readings};
use crate::workload::UserKindId;

const START: Timestamp = Timestamp::from_unix_nanos(1_000_000_000_000);

fn at(ms: u64) -> Timestamp {
    START + Duration::from_millis(ms)
}

/// A warm-up of 3 s, then 6.5 s of calm and 5 s of a spike.
fn sources() -> Sources {
    let phases = [
        ("warm-up", PhaseKind::WarmUp, 3_000),
        ("calm", PhaseKind::Measure, 6_500),
        ("spike", PhaseKind::Measure, 5_000),
    ];
    let phases = phases.map(|(name, kind, ms)| (name.to_owned(), kind, Duration::from_millis(ms)));
    let schedule = Arc::new(Schedule::new(START, phases));
    let key = "a:{id}".parse().expect("a pattern");
    let row = DataType::new("a", key, Strategy::CacheAside, Duration::from_mins(1));
    let policies = Arc::new(PolicyTable::new(vec![row]));
    let recorder = Recorder::new(
        Clock::real(),
        Arc::clone(&schedule),
        Arc::clone(&policies),
        None,
    );
    Sources {
        schedule,
        recorder: Arc::new(recorder),
        oracle: Arc::new(StalenessOracle::new(Arc::clone(&policies))),
        policies,
        observers: Vec::new(),
        user_kinds: Vec::new(),
        has_store: false,
        scale: Scale::default(),
    }
}

fn observed(sources: &Sources) -> Observed {
    let first = Reading::bare(START);
    Observed {
        untouched: Untouched {
            database: first.database.clone(),
            redis: None,
            aside: Vec::new(),
            memcached: None,
        },
        judged_from: None,
        judged_to: None,
        last: first.clone(),
        first,
        looks: Readings::new(Pace::of(&sources.schedule, false, true)),
        redis_keys: None,
        aside_keys: None,
        interrupted: false,
        redis_died: None,
        memcached_died: None,
        alerts: Vec::new(),
        gates: GatesSeen::default(),
        generator: crate::runner::generator_watch::GeneratorSeen::default(),
    }
}

/// A hundred requests in a second, all of which took so long; each failed if `failed`.
fn second(sources: &Sources, second: u64, took_ms: u64, failed: bool) {
    for n in 0..100 {
        let finished = at(second * 1_000 + n * 10);
        let intended_start = finished - Duration::from_millis(took_ms);
        let phase = sources.schedule.phase_at(intended_start);
        sources.recorder.record(Sample {
            phase: phase.unwrap_or(PhaseId(0)),
            data_type: DataTypeId(0),
            operation: Operation::Get,
            outcome: if failed {
                Outcome::Error
            } else {
                Outcome::Miss
            },
            layer: Layer::Origin,
            intended_start,
            user_kind: UserKindId(0),
            sent: intended_start,
            waited: Duration::ZERO,
            finished,
            read: None,
            error: None,
        });
    }
}

fn gate(check: &str) -> Gate {
    Gate::plain(check.parse().expect(check))
}

fn windowed(check: &str, window_s: u64) -> Gate {
    Gate {
        window: Some(Duration::from_secs(window_s)),
        ..gate(check)
    }
}

fn ending(gate: Gate, after_s: u64) -> Gate {
    Gate {
        abort_after: Some(Duration::from_secs(after_s)),
        ..gate
    }
}

/// Looks at these moments, and at the end; gives each gate's windows as count and lost, and the worst.
fn look(gates: &[Gate], sources: &Sources, looks_ms: &[u64]) -> Vec<(u64, u64, Option<Seconds>)> {
    let mut watch = GateWatch::new(gates, true, sources.clone());
    let first = Reading::bare(START);
    let mut recent = Vec::new();
    for ms in looks_ms {
        recent.push(Reading::bare(at(*ms)));
        let until = at(*ms).min(sources.schedule.end());
        watch.look_at_windows(&first, &recent, until);
    }
    let seen = watch.finish(None);
    let of = |windows: &Windows| {
        let worst = windows.worst().map(|worst| worst.seconds.clone());
        (windows.seen(), windows.lost(), worst)
    };
    seen.windows.values().map(of).collect()
}

#[test]
fn windows_lie_in_the_time_of_their_gate_as_a_whole() {
    let sources = sources();
    for n in 0..15 {
        // Slow for 2 s of the warm-up, 2 s of calm and 1 s of the spike.
        let slow = n < 2 || (5..7).contains(&n) || n == 12;
        second(&sources, n, if slow { 900 } else { 10 }, false);
    }
    let gates = [
        windowed("p95(response_time) < 500ms", 2),
        windowed("p95(response_time){phase=calm} < 500ms", 2),
        windowed("p95(response_time){phase=spike} < 500ms", 4),
        windowed("p95(response_time){phase=warm-up} < 500ms", 1),
        windowed("requests <= 200", 2),
    ];
    let each_second: Vec<u64> = (1..=15).map(|second| second * 1_000 + 40).collect();
    let seen = look(&gates, &sources, &each_second);
    // Calm is from 3 s to 9.5 s, the spike from there to 14.5 s: half seconds belong to no window.
    assert_eq!(
        seen,
        [
            (10, 5, Some(4..6)),
            (5, 3, Some(4..6)),
            (1, 1, Some(10..14)),
            (3, 2, Some(0..1)),
            (10, 0, Some(3..5)),
        ]
    );
    // A look that comes late makes up for those that were missed.
    assert_eq!(look(&gates, &sources, &[1_040, 7_900, 14_700]), seen);
    // What was not measured to its end is no window.
    assert_eq!(look(&gates, &sources, &[4_900])[0].0, 0);
    assert_eq!(look(&gates, &sources, &[5_000])[0].0, 1);
}

#[test]
fn a_gate_ends_a_run_when_it_is_lost_and_not_before() {
    let sources = sources();
    let gates = [
        ending(gate("error_ratio < 10%"), 0),
        ending(gate("error_ratio{phase=warm-up} < 90%"), 2),
        ending(windowed("error_ratio < 50%", 2), 4),
        gate("errors == 0"),
    ];
    let first = Reading::bare(START);
    let lost_at = |gates: &[Gate], ms: u64, may_end: bool| {
        let mut watch = GateWatch::new(gates, may_end, sources.clone());
        let observed = observed(&sources);
        let recent: Vec<Reading> = (1..=ms / 1_000)
            .map(|s| Reading::bare(at(s * 1_000)))
            .collect();
        watch.look_at_windows(&first, &recent, at(ms));
        let ended = watch.lost(at(ms), (&observed, &[]), true)?;
        assert_eq!(ended.at, Duration::from_millis(ms));
        let places: Vec<usize> = ended.lost.iter().map(|lost| lost.place).collect();
        Some(places)
    };
    second(&sources, 0, 5, true);
    second(&sources, 1, 5, true);
    // The warm-up ends no run unless a gate names it, and this one waits.
    assert_eq!(lost_at(&gates, 1_500, true), None);
    assert_eq!(lost_at(&gates, 2_000, true), Some(vec![1]));
    for n in 2..6 {
        second(&sources, n, 5, n >= 4);
    }
    // The windowed one begins at 7 s, and what was lost before counts then.
    let but_the_second = [gates[0].clone(), gates[3].clone(), gates[2].clone()];
    assert_eq!(lost_at(&but_the_second, 6_000, true), Some(vec![0]));
    assert_eq!(lost_at(&but_the_second, 7_000, true), Some(vec![0, 2]));
    assert_eq!(lost_at(&but_the_second, 7_000, false), None);
}

#[test]
fn what_ended_a_run_is_judged_by_what_it_saw() {
    let sources = sources();
    for n in 0..6 {
        second(&sources, n, 5, n == 5);
    }
    let gates = [
        ending(gate("error_ratio < 10%"), 0),
        gate("error_ratio{phase=warm-up} < 10%"),
        gate("hit_ratio{phase=spike} > 10%"),
    ];
    let watch = GateWatch::new(&gates, true, sources.clone());
    let mut observed = observed(&sources);
    let ended = watch.lost(at(6_000), (&observed, &[]), true);
    observed.gates = watch.finish(ended);
    let measurements = sources.recorder.so_far();
    let engine = EngineMeasurements::collect([], Arc::clone(&sources.schedule));
    let evidence = RunEvidence {
        measurements: &measurements,
        engine: &engine,
        oracle: &sources.oracle,
        observed: &observed,
        alerts: &[],
        improvement: None,
        user_kinds: &[],
        has_store: false,
        scale: &sources.scale,
    };
    let judged = judge(&gates, &evidence, true);
    let told: Vec<(Verdict, &str)> = judged.iter().map(|one| (one.verdict, &*one.note)).collect();
    insta::assert_debug_snapshot!(told, @r#"
    [
        (
            Fail,
            "ended the run at 6 s",
        ),
        (
            Pass,
            "",
        ),
        (
            Inconclusive,
            "not measured in this run; \"error_ratio < 10%\" ended the run at 6 s",
        ),
    ]
    "#);
}
