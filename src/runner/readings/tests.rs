//! What is kept of looks, and that it does not grow.

use super::*;
use crate::environment::redis_info::RedisInfo;
use crate::measure::PhaseKind;
use proptest::prelude::*;

const START: Timestamp = Timestamp::from_unix_nanos(1_000_000_000_000);

fn schedule(hours: u64) -> Schedule {
    let length = Duration::from_hours(hours);
    Schedule::new(START, [("all".to_owned(), PhaseKind::Measure, length)])
}

fn redis(at: Timestamp, run: &str, (evicted, used, clients): (u64, u64, u64)) -> RedisReading {
    let text = format!(
        "redis_version:7\r\nrun_id:{run}\r\nused_memory:{used}\r\nmaxmemory:1000\r\n\
         connected_clients:{clients}\r\nevicted_keys:{evicted}\r\nexpired_keys:0\r\n\
         keyspace_hits:0\r\nkeyspace_misses:0\r\ntotal_commands_processed:0\r\n\
         used_cpu_sys:0\r\nused_cpu_user:0\r\n"
    );
    RedisReading {
        at,
        info: RedisInfo::parse(&text, at).expect("INFO"),
        lives_ended: 0,
    }
}

fn reading(second: u64, redis: Option<RedisReading>) -> Reading {
    Reading {
        redis,
        ..Reading::bare(START + Duration::from_secs(second))
    }
}

fn seconds<'r>(readings: impl IntoIterator<Item = &'r Reading>) -> Vec<u64> {
    let since = |reading: &Reading| reading.at.since(START).as_secs();
    readings.into_iter().map(since).collect()
}

#[test]
fn the_pace_follows_the_time_and_the_length_of_the_run() {
    let pace = |hours, is_virtual, watched| {
        let pace = Pace::of(&schedule(hours), is_virtual, watched);
        (pace.tick(false).as_millis(), pace.look_s, pace.row_s)
    };
    assert_eq!(pace(0, false, false), (100, 1, 1));
    assert_eq!(pace(24, false, false), (100, 1, 60));
    assert_eq!(pace(24, true, true), (1_000, 1, 60));
    assert_eq!(pace(24, true, false), (60_000, 60, 60));
    let last = Pace::of(&schedule(24), true, false).tick(true);
    assert_eq!(last.as_secs(), 1, "nobody waits for the next row");
}

#[test]
fn a_short_run_keeps_a_reading_of_every_second() {
    let mut kept = Readings::new(Pace::of(&schedule(0), false, true));
    for second in 1..=400 {
        assert!(kept.is_due(Duration::from_secs(second)));
        assert!(!kept.is_due(Duration::from_millis(second * 1_000 - 1)));
        kept.take(reading(second, None), None, false);
    }
    let all: Vec<u64> = (1..=400).collect();
    assert_eq!(seconds(kept.rows()), all);
    assert_eq!(seconds(kept.recent()), all, "not yet worth a move");
    assert_eq!(kept.judged.looks, 0);
}

#[test]
fn a_long_run_keeps_a_reading_of_every_row_and_those_of_the_last_minutes() {
    for watched in [true, false] {
        let mut kept = Readings::new(Pace::of(&schedule(72), true, watched));
        let mut held = Vec::new();
        let step = if watched { 1 } else { 300 };
        for second in (step..=3 * 86_400).step_by(step as usize) {
            assert!(kept.is_due(Duration::from_secs(second)));
            kept.take(reading(second, None), None, true);
            assert!(kept.recent.len() <= 2 * 303, "{}", kept.recent.len());
            if second.is_multiple_of(86_400) {
                held.push((kept.rows.len(), kept.recent.len()));
                let begins = kept.recent[0].at;
                assert!(begins <= START + Duration::from_secs(second - 302));
            }
        }
        let rows: Vec<usize> = held.iter().map(|(rows, _)| *rows).collect();
        assert_eq!(rows, [288, 576, 864]);
        assert_eq!(kept.judged.looks, 3 * 86_400 / step);
    }
}

#[test]
fn the_last_row_is_as_long_as_it_came() {
    let mut kept = Readings::new(Pace::of(&schedule(24), true, true));
    for second in 1..=150 {
        kept.take(reading(second, None), None, false);
    }
    assert_eq!(seconds(kept.rows()), [60, 120, 150]);
}

proptest! {
    /// Against all readings kept: what was most is that of every look, however wide the rows are.
    #[test]
    fn what_was_most_is_that_of_every_look(
        looks in prop::collection::vec(
            prop::option::of((0u64..500, 1u64..1_000, 1u64..9)), 1..60,
        ),
    ) {
        let mut kept = Readings::new(Pace::of(&schedule(72), true, true));
        let mut evicted = 0;
        let mut all: Vec<RedisReading> = Vec::new();
        for (second, look) in (1..).zip(&looks) {
            let at = START + Duration::from_secs(second);
            let redis = look.map(|(more, used, clients)| {
                evicted += more;
                redis(at, "x", (evicted, used, clients))
            });
            all.extend(redis.clone());
            kept.take(reading(second, redis), None, true);
        }
        let judged = &kept.judged;
        prop_assert_eq!(judged.looks, looks.len() as u64);
        prop_assert_eq!(judged.down, looks.iter().filter(|look| look.is_none()).count() as u64);
        let rates = all.windows(2).map(|pair| {
            let evicted = pair[1].info.evicted_keys - pair[0].info.evicted_keys;
            evicted as f64 / pair[1].at.since(pair[0].at).as_secs_f64()
        });
        prop_assert_eq!(judged.evictions_per_s_max(), rates.reduce(f64::max));
        let most = |of: fn(&RedisReading) -> u64| all.iter().map(of).max();
        let of = judged.redis.as_ref();
        prop_assert_eq!(of.map(|of| of.used_bytes_max), most(|one| one.info.used_memory.0));
        prop_assert_eq!(of.map(|of| of.clients_max), most(|one| one.info.connected_clients));
        prop_assert_eq!(judged.remote_bytes_max, most(|one| one.info.used_memory.0));
        prop_assert_eq!(of.map(|of| of.first.at), all.first().map(|one| one.at));
        prop_assert_eq!(of.map(|of| of.last.at), all.last().map(|one| one.at));
    }
}

#[test]
fn a_redis_that_began_anew_is_no_storm_of_evictions() {
    let mut judged = Judged::default();
    for (second, run, evicted) in [(1, "x", 10), (2, "y", 900), (3, "y", 905)] {
        let at = START + Duration::from_secs(second);
        judged.take(&reading(second, Some(redis(at, run, (evicted, 1, 1)))));
    }
    assert_eq!(judged.evictions_per_s_max(), Some(5.0));
}
