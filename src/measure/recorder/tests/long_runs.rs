//! A recorder over days: bounded, and by the second where somebody looks.

use super::*;

/// A recorder of a run that lasts `hours`.
fn long_recorder(hours: u64) -> Recorder {
    let phase = (
        "days".to_owned(),
        PhaseKind::Measure,
        Duration::from_hours(hours),
    );
    let schedule = Arc::new(Schedule::new(START, [phase]));
    Recorder::new(Clock::real(), schedule, policies(), None)
}

/// A sample that ends in the given second.
fn ending_at(second: u64) -> Sample {
    let finished = START + Duration::from_secs(second);
    let sent = finished - Duration::from_millis(1 + second % 50);
    Sample {
        phase: PhaseId(0),
        intended_start: sent,
        waited: Duration::ZERO,
        sent,
        finished,
        ..sample(second, (second % u64::from(TYPES)) as u8)
    }
}

#[test]
fn a_recorder_of_days_holds_no_more_on_the_third_than_on_the_first() {
    const DAY_S: u64 = 86_400;
    let recorder = long_recorder(72);
    let mut held = Vec::new();
    for second in (0..3 * DAY_S).step_by(7) {
        recorder.record(ending_at(second));
        if second % DAY_S > DAY_S - 8 {
            held.push(recorder.closed.lock().held());
        }
    }
    // 300 s a row: 288 a day, and no more single seconds than before.
    let rows: Vec<usize> = held.iter().map(|(rows, _)| *rows).collect();
    assert_eq!(rows, [288, 576, 864]);
    assert!(
        held.iter().all(|(_, seconds)| *seconds <= 320 / 7 + 1),
        "{held:?}"
    );
    let rows = recorder.finish();
    let (first, last) = (&rows.seconds()[0], &rows.seconds()[863]);
    assert_eq!((first.t_s, last.t_s), (0, 258_900));
    let requests: u64 = rows.seconds().iter().map(|row| row.requests).sum();
    assert_eq!(requests, (3 * DAY_S).div_ceil(7));
}

/// Longer than fits into 32 bits of microseconds.
#[test]
fn an_answer_that_took_hours_is_timed() {
    let recorder = long_recorder(24);
    let sent = START + Duration::from_mins(1);
    let slow = Sample {
        intended_start: sent,
        waited: Duration::ZERO,
        sent,
        finished: sent + Duration::from_hours(5),
        outcome: Outcome::Miss,
        ..ending_at(60)
    };
    recorder.record(slow);
    let measured = recorder.finish();
    let last = measured.seconds().last().expect("a row");
    assert_eq!(last.t_s, 5 * 3_600 + 60);
    let near = |us: f64| (us - 18e9).abs() < 18e9 * 0.01;
    assert!(last.response_time_us_p50.is_some_and(near), "{last:?}");
    assert!(near(
        measured.response_time(&Query::default()).quantile_us(1.0)
    ));
}

#[test]
fn the_last_minutes_of_a_long_run_are_there_by_the_second() {
    let (long, short) = (long_recorder(24), recorder());
    for second in 0..2_000 {
        long.record(ending_at(second));
        if second >= 1_690 {
            short.record(ending_at(second));
        }
    }
    for seconds in [1_700..2_000, 1_990..2_000, 1_955..1_956, 1_800..1_850] {
        let (long, short) = (long.window(seconds.clone()), short.window(seconds.clone()));
        assert_eq!(long.requests(), seconds.len() as u64);
        assert_eq!(long.errors(), short.errors());
        assert_eq!(long.reads_and_hits(None), short.reads_and_hits(None));
        assert_eq!(long.response_time, short.response_time);
    }
}
