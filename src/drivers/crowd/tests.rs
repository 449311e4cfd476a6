//! A crowd with a rhythm, in virtual time: who is there when, and what those do who come back.

use super::*;
use crate::clock::virtual_time;
use crate::drivers::Driven;
use crate::drivers::direct::Direct;
use crate::drivers::stage::{Instance, Sink, stop_after};
use crate::engine::data_type::{DataType, DataTypeId, Strategy};
use crate::engine::layer::Operation;
use crate::environment::instance::service::Service;
use crate::measure::PhaseKind;
use crate::units::ByteSize;
use crate::units::Ratio;
use crate::workload::size::ValueSizes;
use crate::workload::{Dimension, MixEntry, Popularity, Population, UserKind, What, Workload};

const START: Timestamp = Timestamp::from_unix_nanos(1_795_419_900 * 1_000_000_000);
const SESSION: DataTypeId = DataTypeId(0);
const USERS: u32 = 400;
const ANSWERS_AFTER: Duration = Duration::from_millis(7);

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

struct Scene {
    instance: Arc<Instance>,
    sink: Arc<Sink>,
    driven: Driven,
}

/// Each user puts its session when it comes, and then reads it.
fn workload() -> Workload {
    Workload {
        sample: None,
        kinds: vec![UserKind {
            name: UserKind::ALL.to_owned(),
            users: USERS,
            think_time: "100ms..300ms".parse().expect("a range"),
            on_start: vec![(SESSION, Operation::Put)],
            what: What::Mix(vec![MixEntry {
                data_type: SESSION,
                operation: Operation::Get,
                weight: 1.0,
            }]),
        }],
        populations: vec![Population::new(
            vec![Dimension::Cardinality(USERS.into())],
            Popularity::PerUser,
        )],
    }
}

/// Runs for 50 s.
fn run(ramp: Duration, rhythm: Option<Rhythm>, stopped_after: Option<Duration>) -> Scene {
    let (runtime, clock) = virtual_time::runtime(START).expect("a runtime");
    let session = "session:{id}".parse().expect("a pattern");
    let session = DataType::new("session", session, Strategy::WriteThrough, s(60));
    let policies = Arc::new(PolicyTable::new(vec![session]));
    let sink = Arc::new(Sink::new(&clock));
    let instance = Arc::new(Instance::new(&clock, ANSWERS_AFTER));
    let (stop, stopping) = watch::channel(false);
    let users = Users {
        traffic: Traffic::new(&workload(), &policies, Seed(42)),
        policies,
        count: USERS,
        ramp,
        rhythm,
        request_timeout: s(1),
        value_sizes: ValueSizes::constant(&[ByteSize(64)]),
        clock: clock.clone(),
        schedule: Arc::new(Schedule::new(
            START,
            [("all".to_owned(), PhaseKind::Measure, s(50))],
        )),
        sink: Arc::clone(&sink) as _,
        stop: stopping,
    };
    let targets = vec![Arc::clone(&instance) as Arc<dyn Service>];
    let driven = runtime.block_on(async move {
        tokio::spawn(stop_after(stopped_after, clock, stop));
        Direct { users, targets }.run().await.expect("driven")
    });
    Scene {
        instance,
        sink,
        driven,
    }
}

/// From 20% to 80% in 10 s and back in 10 s, again and again.
fn rhythm() -> Rhythm {
    let point = |at, share| (s(at), Ratio(share));
    Rhythm::new(s(20), Duration::ZERO, vec![point(0, 0.2), point(10, 0.8)]).expect("a rhythm")
}

#[test]
fn as_many_are_there_as_the_rhythm_says() {
    let rhythm = rhythm();
    let scene = run(Duration::ZERO, Some(rhythm.clone()), None);
    for ms in (100..50_000).step_by(373) {
        let at = Duration::from_millis(ms);
        let wanted = rhythm.present(at) * f64::from(USERS);
        // Who waits for an answer stays until it is there.
        let found = scene.sink.live_at(START + at) as f64;
        assert!((found - wanted).abs() <= 2.0, "{ms} ms: {found}, {wanted}");
    }
    let most = scene.sink.live.lock().iter().map(|(_, live)| *live).max();
    assert!(
        most.is_some_and(|most| (316..=320).contains(&most)),
        "{most:?}"
    );
}

#[test]
fn who_comes_back_logs_in_and_nobody_asks_while_away() {
    let rhythm = rhythm();
    let scene = run(Duration::ZERO, Some(rhythm.clone()), None);
    let asked = scene.instance.asked.lock();
    assert_eq!(asked.len(), 320, "those below 80%");
    let (mut logins, mut requests) = (0, 0);
    for of_user in asked.values() {
        requests += of_user.len() as u64;
        let mut stays = of_user.chunk_by(|_, next| next.0 != Operation::Put);
        for stay in stays.by_ref() {
            logins += 1;
            let (first, rest) = stay.split_first().expect("a request");
            assert_eq!(first.0, Operation::Put, "a stay begins with a login");
            let mut before = first.1;
            for (operation, at) in rest {
                assert_eq!(*operation, Operation::Get);
                // The longest pause, and the answer: nobody was away in between.
                assert!(at.since(before) <= Duration::from_millis(300) + ANSWERS_AFTER);
                before = *at;
            }
        }
        // Who comes and goes does so once in a period; 20% never go.
        let puts = of_user.iter().filter(|(asked, _)| *asked == Operation::Put);
        assert!((1..=3).contains(&puts.count()));
    }
    // Of the 240 that come and go: twice in the first 40 s, and two thirds or more once again.
    assert!(logins > 80 + 240 * 2 + 150, "{logins}");
    let driven = scene.driven;
    assert_eq!(driven.users_started, logins);
    assert_eq!(driven.requests, requests);
    assert_eq!((driven.users_lost, driven.users_left), (0, 0));
    assert_eq!(driven.requests_abandoned, 0);
    assert_eq!(scene.sink.samples.lock().len() as u64, requests);
    assert_eq!(scene.sink.live_at(Timestamp::NEVER), 0);
}

/// In virtual time a request is sent when it should be, also the first one after a return.
#[test]
fn intended_starts_are_right() {
    let scene = run(s(3), Some(rhythm()), None);
    let samples = scene.sink.samples.lock();
    for sample in &*samples {
        assert_eq!(sample.intended_start, sample.sent);
        assert_eq!(sample.finished.since(sample.sent), ANSWERS_AFTER);
    }
    // The first to come after the ramp are where the line crosses their places: one in 1/24 s.
    let mut logins: Vec<Timestamp> = samples
        .iter()
        .filter(|sample| sample.operation == Operation::Put)
        .map(|sample| sample.intended_start)
        .filter(|at| *at > START + s(4) && *at < START + s(9))
        .collect();
    logins.sort();
    let gaps = logins.windows(2).map(|pair| pair[1].since(pair[0]));
    let even = s(10) / 240;
    for gap in gaps {
        assert!(gap.abs_diff(even) < Duration::from_micros(1), "{gap:?}");
    }
    assert!(logins.len().abs_diff(5 * 24) <= 1);
}

/// With the ramp, who should be there but has not arrived yet comes later; nobody comes earlier.
#[test]
fn the_ramp_is_kept() {
    let (ramp, rhythm) = (s(8), rhythm());
    let scene = run(ramp, Some(rhythm.clone()), None);
    for ms in [500, 2_000, 6_000, 12_000] {
        let at = Duration::from_millis(ms);
        let arrived = (at.as_secs_f64() / ramp.as_secs_f64()).min(1.0);
        let wanted = arrived * rhythm.present(at) * f64::from(USERS);
        let found = scene.sink.live_at(START + at) as f64;
        // Places do not go by arrival, so this is a draw.
        let spread = 3.0 * wanted.sqrt().max(1.0) * (1.0 - arrived).sqrt() + 2.0;
        assert!((found - wanted).abs() <= spread, "{ms}: {found}, {wanted}");
    }
}

#[test]
fn a_stop_ends_who_is_there_and_who_is_away() {
    let scene = run(Duration::ZERO, Some(rhythm()), Some(s(15)));
    assert!(scene.driven.stopped);
    assert_eq!((scene.driven.users_lost, scene.driven.users_left), (0, 0));
    assert_eq!(scene.sink.live_at(Timestamp::NEVER), 0);
    let samples = scene.sink.samples.lock();
    assert!(samples.iter().all(|sample| sample.sent <= START + s(15)));
    assert!(samples.iter().any(|sample| sample.sent > START + s(14)));
}

#[test]
fn without_a_rhythm_all_stay_and_log_in_once() {
    let scene = run(s(1), None, None);
    assert_eq!(scene.driven.users_started, u64::from(USERS));
    let asked = scene.instance.asked.lock();
    for of_user in asked.values() {
        let puts = of_user.iter().filter(|(asked, _)| *asked == Operation::Put);
        assert_eq!(puts.count(), 1);
    }
    assert_eq!(scene.sink.live_at(START + s(30)), i64::from(USERS));
}

#[test]
fn the_same_seed_gives_the_same_day() {
    let day = || {
        let scene = run(s(2), Some(rhythm()), None);
        let asked = scene.instance.asked.lock();
        format!("{asked:?}")
    };
    assert_eq!(day(), day());
}
