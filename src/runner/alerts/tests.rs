//! What a window shows.

use super::*;
use crate::clock::{Clock, Timestamp};
use crate::engine::data_type::{DataType, DataTypeId, Strategy};
use crate::engine::event::{Event, Unobserved};
use crate::engine::layer::{Layer, Operation, Outcome};
use crate::environment::instance::metrics::InstanceMetrics;
use crate::environment::redis_info::RedisInfo;
use crate::gates::alert::check;
use crate::measure::sink::SampleSink;
use crate::measure::{PhaseId, PhaseKind, Sample};
use crate::runner::redis_server::RedisReading;
use crate::runner::scale::Scale;
use crate::workload::UserKindId;

const START: Timestamp = Timestamp::from_unix_nanos(1_000_000_000_000);

fn policies() -> Arc<PolicyTable> {
    let row = |name: &str| {
        let key = format!("{name}:{{id}}").parse().expect("a pattern");
        DataType::new(name, key, Strategy::CacheAside, Duration::from_mins(1))
    };
    Arc::new(PolicyTable::new(vec![row("a"), row("b")]))
}

fn at(tenths: u64) -> Timestamp {
    START + Duration::from_millis(tenths * 100)
}

fn redis(at: Timestamp, run: &str, evicted: u64, used: u64) -> RedisReading {
    let text = format!(
        "redis_version:7\r\nrun_id:{run}\r\nused_memory:{used}\r\nmaxmemory:1000\r\n\
         connected_clients:1\r\nevicted_keys:{evicted}\r\nexpired_keys:0\r\nkeyspace_hits:0\r\n\
         keyspace_misses:0\r\ntotal_commands_processed:0\r\nused_cpu_sys:0\r\nused_cpu_user:0\r\n\
         db0:keys=7,expires=7,avg_ttl=5\r\n"
    );
    let info = RedisInfo::parse(&text, at).expect("INFO");
    RedisReading {
        at,
        info,
        lives_ended: 0,
    }
}

fn reading(tenths: u64, redis: Option<RedisReading>) -> Reading {
    Reading {
        redis,
        ..Reading::bare(at(tenths))
    }
}

fn alarms(checks: &[&str], window_s: u64) -> Alarms {
    let alert = |text: &&str| Alert {
        name: (*text).to_owned(),
        source: String::new(),
        check: check(text).expect(text),
        hold: Duration::ZERO,
        window: Duration::from_secs(window_s),
    };
    let alerts: Vec<Alert> = checks.iter().map(alert).collect();
    let phases = [("all".to_owned(), PhaseKind::Measure, Duration::from_mins(1))];
    let schedule = Arc::new(Schedule::new(START, phases));
    let policies = policies();
    let recorder = Recorder::new(
        Clock::real(),
        Arc::clone(&schedule),
        Arc::clone(&policies),
        None,
    );
    Alarms::new(
        &alerts,
        &policies,
        &Arc::new(recorder),
        &schedule,
        (true, Scale::default()),
    )
}

/// From when to when each alert fired, in tenths of a second.
fn fired(alarms: Alarms) -> Vec<Vec<(u64, Option<u64>)>> {
    let tenths = |moment: Timestamp| moment.since(START).as_millis() as u64 / 100;
    let of = |watch: &Watch| {
        let episodes = watch.episodes();
        episodes
            .map(|e| (tenths(e.began), e.ended.map(tenths)))
            .collect()
    };
    alarms.finish().iter().map(|(_, watch)| of(watch)).collect()
}

fn look_at_each(alarms: &mut Alarms, readings: &[Reading]) {
    for last in 1..readings.len() {
        alarms.look(&readings[0], &readings[1..=last]);
    }
}

#[test]
fn a_window_begins_with_the_reading_at_its_begin() {
    let all: Vec<Reading> = [0, 10, 21, 30, 41]
        .map(|tenths| reading(tenths, None))
        .into();
    let begins = |length_s| {
        let seen = readings(&all[0], &all[1..], Duration::from_secs(length_s));
        let tenths = seen[0].at.since(START).as_millis() / 100;
        (tenths, seen.len())
    };
    assert_eq!(begins(1), (30, 2));
    assert_eq!(begins(2), (21, 3));
    assert_eq!(begins(4), (0, 5));
    assert_eq!(begins(60), (0, 5), "as long as the run");
}

#[test]
fn evictions_are_counted_over_restarts_and_gaps() {
    let mut alarms = alarms(&["evictions_per_s > 100/s"], 3);
    let counts = [
        Some(("x", 0)),
        Some(("x", 50)),
        None,
        Some(("x", 650)),
        Some(("y", 30)),
    ];
    let each = (0..).step_by(10).zip(counts);
    let mut all: Vec<Reading> = each
        .map(|(tenths, redis_was)| {
            let redis = redis_was.map(|(run, count)| redis(at(tenths), run, count, 1));
            reading(tenths, redis)
        })
        .collect();
    // At 3 s it was 650 in 3 s, at 4 s 630; at 5 s nobody knows of before 3 s, and 30 came since.
    let quiet = [50, 60, 70].map(|tenths| reading(tenths, Some(redis(at(tenths), "y", 30, 1))));
    all.extend(quiet);
    look_at_each(&mut alarms, &all);
    assert_eq!(fired(alarms), [vec![(30, Some(50))]]);
}

#[test]
fn a_redis_that_does_not_answer_is_down_and_says_nothing_else() {
    let mut alarms = alarms(
        &["redis_up == 0", "memory_usage > 90%", "redis_keys < 10"],
        10,
    );
    let full = |tenths| reading(tenths, Some(redis(at(tenths), "x", 0, 950)));
    let all = [full(0), full(10), reading(20, None), full(30)];
    look_at_each(&mut alarms, &all);
    let (down, memory) = (vec![(20, Some(30))], vec![(10, Some(20)), (30, None)]);
    assert_eq!(fired(alarms), [down, memory.clone(), memory]);
}

#[test]
fn without_a_redis_of_the_plan_nothing_is_down() {
    let mut alarms = alarms(&["redis_up == 0"], 10);
    alarms.has_store = false;
    look_at_each(&mut alarms, &[reading(0, None), reading(10, None)]);
    let (_, watch) = &alarms.finish()[0];
    assert_eq!((watch.fired(), watch.blind_looks()), (0, 1));
}

fn sample(second: u64, data_type: u16, outcome: Outcome, layer: Layer) -> Sample {
    let finished = START + Duration::from_secs(second) + Duration::from_millis(500);
    let began = finished - Duration::from_millis(200);
    Sample {
        phase: PhaseId(0),
        user_kind: UserKindId::default(),
        data_type: DataTypeId(data_type),
        operation: Operation::Get,
        outcome,
        layer,
        intended_start: began,
        waited: Duration::ZERO,
        sent: began,
        finished,
        read: None,
        error: None,
    }
}

#[test]
fn requests_count_in_the_window_in_which_they_ended() {
    let checks = [
        "hit_ratio < 50%",
        "hit_ratio{data_type=b} < 50%",
        "error_ratio > 10%",
        "max(response_time) >= 100ms",
        "requests == 2",
        "rate >= 2/s",
    ];
    let mut alarms = alarms(&checks, 1);
    let recorder = Arc::clone(&alarms.recorder);
    // Second 0: a misses, b hits. Second 1: an error. Second 2: nothing.
    recorder.record(sample(0, 0, Outcome::Miss, Layer::Origin));
    recorder.record(sample(0, 1, Outcome::Hit, Layer::Local));
    recorder.record(sample(1, 1, Outcome::Error, Layer::Origin));
    let all: Vec<Reading> = [0, 10, 20, 30].map(|tenths| reading(tenths, None)).into();
    look_at_each(&mut alarms, &all);
    let none: Vec<(u64, Option<u64>)> = Vec::new();
    let first = vec![(10, Some(20))];
    assert_eq!(
        fired(alarms),
        [
            none.clone(),
            none,
            vec![(20, Some(30))],
            first.clone(),
            first.clone(),
            first
        ]
    );
}

#[test]
fn a_hit_ratio_of_a_layer_is_what_its_lookups_found_in_the_window() {
    let policies = policies();
    let metrics = InstanceMetrics::new(&policies, &[Layer::Remote], true).expect("metrics");
    let metrics = Arc::new(metrics);
    let told = InstanceMetrics::observer(&metrics, Arc::new(Unobserved));
    let mut alarms = alarms(
        &[
            "hit_ratio{layer=remote} < 50%",
            "hit_ratio{data_type=b, layer=remote} < 50%",
        ],
        1,
    );
    let mut all = Vec::new();
    let mut now = |tenths| {
        let mut reading = reading(tenths, None);
        reading.instances = vec![metrics.read()];
        all.push(reading);
    };
    let lookup = |data_type, found| {
        told.observe(&Event::Lookup {
            data_type: DataTypeId(data_type),
            layer: Layer::Remote,
            found,
            took: Duration::from_micros(100),
        });
    };
    now(0);
    for found in [true, true, true, false] {
        lookup(0, found);
    }
    lookup(1, false);
    now(10);
    for found in [false, false, true] {
        lookup(0, found);
    }
    now(20);
    look_at_each(&mut alarms, &all);
    assert_eq!(fired(alarms), [vec![(20, None)], vec![(10, Some(20))]]);
}

#[test]
fn redis_is_up_when_both_of_its_stores_are() {
    let mut alarms = alarms(&["redis_up == 0"], 10);
    let read = |tenths| redis(at(tenths), "x", 0, 1);
    let of = |(tenths, aside): (u64, bool)| Reading {
        aside: vec![aside.then(|| read(tenths))],
        ..reading(tenths, Some(read(tenths)))
    };
    let all = [(0, true), (10, true), (20, false), (30, false), (40, true)].map(of);
    look_at_each(&mut alarms, &all);
    assert_eq!(fired(alarms), [[(20, Some(40))]]);
}
