//! Counters in a real Redis: each script against its twin in Rust, against its bound under callers
//! who do not wait for each other, and beside the defects that limiters are known for.

use std::time::Duration;

use cachestorm::clock::{Clock, Timestamp};
use cachestorm::engine::data_type::{Limit, LimitAlgorithm};
use cachestorm::engine::rate_limit::{Counter, audit};
use cachestorm::engine::remote::redis_counter::{Decided, RedisCounters};
use cachestorm::seed::Seed;
use rand::RngExt;
use redis::aio::MultiplexedConnection;

use crate::support::Stage;

const ALGORITHMS: [LimitAlgorithm; 6] = [
    LimitAlgorithm::SlidingBuckets,
    LimitAlgorithm::SlidingLog,
    LimitAlgorithm::Gcra { burst: 1 },
    LimitAlgorithm::Gcra { burst: 5 },
    LimitAlgorithm::TwoBuckets,
    LimitAlgorithm::FixedWindow,
];

fn limit(requests: u64, window: Duration, algorithm: LimitAlgorithm) -> Limit {
    Limit {
        algorithm,
        ..Limit::new(requests, window)
    }
}

fn us(us: u64) -> Timestamp {
    Timestamp::from_unix_nanos(us * 1_000)
}

/// One Redis and one connection to it.
struct Asked {
    stage: Stage,
    counters: RedisCounters,
    connection: MultiplexedConnection,
}

impl Asked {
    async fn new() -> Self {
        let stage = Stage::new().await;
        Self {
            connection: stage.connection().await,
            counters: RedisCounters::default(),
            stage,
        }
    }

    async fn admit(&mut self, key: &str, limit: Limit, now: Option<Timestamp>) -> Decided {
        self.counters
            .admit(&mut self.connection, key, limit, now)
            .await
            .expect("a decision")
    }

    async fn run<T: redis::FromRedisValue>(&mut self, command: &[&str]) -> T {
        redis::cmd(command[0])
            .arg(&command[1..])
            .query_async(&mut self.connection)
            .await
            .expect(command[0])
    }

    /// The oracle of leaks: keys that Redis would keep for ever.
    async fn kept_for_ever(&mut self) -> Vec<String> {
        let mut kept = Vec::new();
        for key in self.run::<Vec<String>>(&["KEYS", "*"]).await {
            if self.run::<i64>(&["PTTL", &key]).await == -1 {
                kept.push(key);
            }
        }
        kept
    }
}

/// The oracle of limits: how many too many one window holds at the worst.
fn over(admitted: &[Timestamp], limit: Limit) -> u64 {
    audit::most_admitted(admitted, limit.window).saturating_sub(limit.requests)
}

/// Arrivals of every kind in microseconds: many in one tick, a stream, pauses of a few windows, and
/// now and then a clock that goes back.
fn arrivals(nth: u64, count: usize, window_us: u64) -> Vec<u64> {
    let mut random = Seed(20_26).stream_of("tests/rate-limit", nth);
    let mut now = random.random_range(1_700_000_000_000_000..1_800_000_000_000_000u64);
    let mut step = || match random.random_range(0..20) {
        0..6 => now,
        6..12 => {
            now += random.random_range(0..window_us / 50);
            now
        }
        12..18 => {
            now += random.random_range(0..window_us / 4);
            now
        }
        18 => {
            now += random.random_range(0..3 * window_us);
            now
        }
        _ => now - random.random_range(0..window_us),
    };
    (0..count).map(|_| step()).collect()
}

/// The windows are long, because keys expire by real time while the arrivals' time flies.
#[tokio::test]
async fn live_scripts_decide_as_their_twins_in_rust() {
    let mut asked = Asked::new().await;
    let (mut refused, mut checked) = (0, 0);
    for (nth, algorithm) in ALGORITHMS.into_iter().cycle().take(36).enumerate() {
        // Lengths that nothing divides evenly, and limits that do not divide them.
        let window_us = 600_000_000 + 7_919 * nth as u64;
        let requests = [5, 7, 11][nth % 3];
        let limit = limit(requests, Duration::from_micros(window_us), algorithm);
        let mut twin = Counter::new(limit);
        let key = format!("twin:{nth}");
        for now in arrivals(nth as u64, 150, window_us) {
            let script = asked.admit(&key, limit, Some(us(now))).await.admission;
            assert_eq!(script, twin.admit(us(now)), "{limit:?} at {now}");
            refused += u32::from(!script.admitted);
            checked += 1;
        }
    }
    assert!(
        refused > checked / 10 && refused < checked * 9 / 10,
        "{refused} of {checked} refused: not much of a comparison"
    );
    assert_eq!(asked.kept_for_ever().await, Vec::<String>::new());
}

/// Callers on their own connections, on the server's own time, through many short windows.
#[tokio::test]
async fn live_no_window_holds_more_than_its_algorithm_promises() {
    const CALLERS: u64 = 4;
    let mut asked = Asked::new().await;
    let window = Duration::from_millis(150);
    let mut running = Vec::new();
    for (nth, algorithm) in ALGORITHMS.into_iter().enumerate() {
        let limit = limit(10, window, algorithm);
        let mut callers = Vec::new();
        for caller in 0..CALLERS {
            let connection = asked.stage.connection().await;
            let seed = Seed(7).fork_index(nth as u64).fork_index(caller);
            let calling = call(connection, format!("real:{nth}"), limit, seed);
            callers.push(tokio::spawn(calling));
        }
        running.push((limit, callers));
    }
    for (limit, callers) in running {
        let mut admitted = Vec::new();
        for caller in callers {
            admitted.extend(caller.await.expect("no panic"));
        }
        admitted.sort();
        let most = audit::most_admitted(&admitted, window);
        assert!(most <= audit::most_allowed(limit), "{most} for {limit:?}");
        if let LimitAlgorithm::Gcra { burst } = limit.algorithm {
            assert_eq!(audit::over_burst(&admitted, limit, burst), 0);
        }
        let count = admitted.len();
        assert!(count >= 30, "only {count} were admitted by {limit:?}");
    }
    assert_eq!(asked.kept_for_ever().await, Vec::<String>::new());
}

/// Asks for ten windows' time, in bursts and with pauses; gives when it was admitted.
async fn call(
    mut connection: MultiplexedConnection,
    key: String,
    limit: Limit,
    seed: Seed,
) -> Vec<Timestamp> {
    let (clock, counters) = (Clock::real(), RedisCounters::default());
    let mut random = seed.stream("caller");
    let until = clock.now() + limit.window * 10;
    let mut admitted = Vec::new();
    while clock.now() < until {
        let decided = counters
            .admit(&mut connection, &key, limit, None)
            .await
            .expect("a decision");
        if decided.admission.admitted {
            admitted.push(decided.at);
        } else if random.random_bool(0.5) {
            let wait = decided.admission.retry_after;
            clock.sleep(wait.min(limit.window)).await;
        }
        if random.random_bool(0.3) {
            let pause = random.random_range(0..30);
            clock.sleep(Duration::from_millis(pause)).await;
        }
    }
    admitted
}

#[tokio::test]
async fn live_every_key_expires_by_itself() {
    let mut asked = Asked::new().await;
    let minute = Duration::from_mins(1);
    for (nth, algorithm) in ALGORITHMS.into_iter().enumerate() {
        let long = limit(5, minute, algorithm);
        for _ in 0..8 {
            asked.admit(&format!("long:{nth}"), long, None).await;
            let left: i64 = asked.run(&["PTTL", &format!("long:{nth}")]).await;
            assert!((1..=120_001).contains(&left), "{left} ms by {algorithm:?}");
        }
        let short = limit(5, Duration::from_millis(20), algorithm);
        for _ in 0..8 {
            asked.admit(&format!("short:{nth}"), short, None).await;
        }
    }
    let clock = asked.stage.clock.clone();
    clock.sleep(Duration::from_millis(60)).await;
    for nth in 0..ALGORITHMS.len() {
        let there: bool = asked.run(&["EXISTS", &format!("short:{nth}")]).await;
        assert!(!there, "short:{nth} is still there");
    }
}

#[tokio::test]
async fn live_the_fixed_window_is_a_control_that_the_oracle_catches() {
    let mut asked = Asked::new().await;
    let minute = Duration::from_mins(1);
    let border = 1_700_000_040_000_000;
    for (algorithm, expected) in [
        (LimitAlgorithm::FixedWindow, 10),
        (LimitAlgorithm::SlidingLog, 0),
        (LimitAlgorithm::SlidingBuckets, 0),
    ] {
        let limit = limit(10, minute, algorithm);
        let mut admitted = Vec::new();
        for n in 0..30 {
            let now = us(border - 15 + n);
            let key = format!("border:{algorithm:?}");
            if asked.admit(&key, limit, Some(now)).await.admission.admitted {
                admitted.push(now);
            }
        }
        assert_eq!(over(&admitted, limit), expected, "{algorithm:?}");
    }
}

/// Known defect: the count is read, and written in a second step. All read before anyone writes.
#[tokio::test]
async fn live_reading_and_then_writing_lets_everyone_pass_and_one_script_does_not() {
    let mut asked = Asked::new().await;
    let limit = limit(5, Duration::from_mins(1), LimitAlgorithm::SlidingLog);
    let mut read = Vec::new();
    for _ in 0..20 {
        read.push(asked.run::<Option<u64>>(&["GET", "naive"]).await);
    }
    let mut admitted = Vec::new();
    for count in read {
        if count.unwrap_or(0) < limit.requests {
            asked.run::<u64>(&["INCR", "naive"]).await;
            admitted.push(asked.stage.clock.now());
        }
    }
    assert_eq!(over(&admitted, limit), 15, "the oracle did not fire");

    for algorithm in ALGORITHMS {
        let limit = Limit { algorithm, ..limit };
        let key = format!("ours:{algorithm:?}");
        let now = Some(us(1_700_000_000_000_000));
        let calls = (0..20).map(|_| {
            let mut connection = asked.connection.clone();
            let (counters, key) = (&asked.counters, &key);
            async move { counters.admit(&mut connection, key, limit, now).await }
        });
        let decided = futures_util::future::try_join_all(calls)
            .await
            .expect("decisions");
        let admitted: Vec<Timestamp> = decided
            .iter()
            .filter(|decided| decided.admission.admitted)
            .map(|decided| decided.at)
            .collect();
        assert!(!admitted.is_empty());
        assert_eq!(over(&admitted, limit), 0, "{algorithm:?}");
    }
}

/// A log of the kind that has the two known defects of sorted sets: the time as the member, and the
/// count taken before the old ones are trimmed.
const NAIVE_LOG: &str = r"
local now, window, limit = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local counted = redis.call('ZCARD', KEYS[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - window)
if counted >= limit then return 0 end
redis.call('ZADD', KEYS[1], now, now)
redis.call('PEXPIRE', KEYS[1], 60000)
return 1";

/// In milliseconds from an arbitrary start, because Lua writes larger numbers inexactly.
async fn naive(asked: &mut Asked, now_ms: u64) -> bool {
    let limit = log_limit();
    redis::Script::new(NAIVE_LOG)
        .key("naive")
        .arg(now_ms)
        .arg(limit.window.as_millis() as u64)
        .arg(limit.requests)
        .invoke_async(&mut asked.connection)
        .await
        .expect("a decision")
}

fn log_limit() -> Limit {
    limit(5, Duration::from_mins(1), LimitAlgorithm::SlidingLog)
}

#[tokio::test]
async fn live_a_log_whose_members_are_times_forgets_those_of_one_tick_and_ours_does_not() {
    let mut asked = Asked::new().await;
    let (mut of_naive, mut of_ours) = (Vec::new(), Vec::new());
    for _ in 0..20 {
        let now = us(100_000_000);
        if naive(&mut asked, 100_000).await {
            of_naive.push(now);
        }
        let ours = asked.admit("ours", log_limit(), Some(now)).await;
        if ours.admission.admitted {
            of_ours.push(now);
        }
    }
    assert_eq!(over(&of_naive, log_limit()), 15, "the oracle did not fire");
    assert_eq!(of_ours.len(), 5);
    assert_eq!(asked.run::<u64>(&["ZCARD", "ours"]).await, 5);
}

#[tokio::test]
async fn live_a_log_that_counts_before_it_trims_refuses_with_room_and_ours_does_not() {
    let mut asked = Asked::new().await;
    for now_ms in [100_000, 100_001, 100_002, 100_003, 100_004] {
        assert!(naive(&mut asked, now_ms).await);
        let now = us(now_ms * 1_000);
        let ours = asked.admit("ours", log_limit(), Some(now)).await;
        assert!(ours.admission.admitted);
    }
    // Two windows later all of them are gone, and there is room for five.
    assert!(
        !naive(&mut asked, 220_000).await,
        "the control is no control"
    );
    let ours = asked
        .admit("ours", log_limit(), Some(us(220_000_000)))
        .await;
    assert_eq!(
        (ours.admission.admitted, ours.admission.remaining),
        (true, 4)
    );
}

/// Known defect: `INCR`, and `EXPIRE` in a second step that a crash prevents.
#[tokio::test]
async fn live_a_count_without_expiry_locks_its_caller_out_for_ever_and_ours_expire() {
    let mut asked = Asked::new().await;
    let window = Duration::from_millis(20);
    for _ in 0..6 {
        asked.run::<u64>(&["INCR", "naive"]).await;
    }
    for algorithm in ALGORITHMS {
        let limit = limit(5, window, algorithm);
        for _ in 0..6 {
            asked
                .admit(&format!("ours:{algorithm:?}"), limit, None)
                .await;
        }
    }
    assert_eq!(asked.kept_for_ever().await, ["naive"]);
    let clock = asked.stage.clock.clone();
    clock.sleep(window * 3).await;
    assert_eq!(asked.run::<u64>(&["INCR", "naive"]).await, 7, "locked out");
    for algorithm in ALGORITHMS {
        let limit = limit(5, window, algorithm);
        let key = format!("ours:{algorithm:?}");
        assert!(asked.admit(&key, limit, None).await.admission.admitted);
    }
}
