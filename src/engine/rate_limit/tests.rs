//! Every algorithm against its bound, over random arrivals, and the arrivals that reach the bound.

use proptest::prelude::*;

use super::*;

const WINDOW: Duration = Duration::from_secs(1);

fn algorithms() -> impl Strategy<Value = LimitAlgorithm> {
    prop_oneof![
        Just(LimitAlgorithm::SlidingBuckets),
        Just(LimitAlgorithm::SlidingLog),
        (1u64..8).prop_map(|burst| LimitAlgorithm::Gcra { burst }),
        Just(LimitAlgorithm::TwoBuckets),
        Just(LimitAlgorithm::FixedWindow),
    ]
}

/// Any moment, in microseconds; windows of the clock begin anywhere in it.
fn starts() -> impl Strategy<Value = u64> {
    1_700_000_000_000_000u64..1_800_000_000_000_000
}

/// Gaps between arrivals in microseconds: bursts, a steady stream, pauses.
fn gaps() -> impl Strategy<Value = Vec<u64>> {
    let gap = prop_oneof![
        4 => Just(0u64),
        4 => 0u64..20_000,
        3 => 0u64..300_000,
        1 => 900_000u64..1_100_000,
        1 => 0u64..5_000_000,
    ];
    prop::collection::vec(gap, 1..300)
}

fn at(us: u64) -> Timestamp {
    Timestamp::from_unix_nanos(us * 1_000)
}

fn limit(requests: u64, algorithm: LimitAlgorithm) -> Limit {
    Limit {
        algorithm,
        ..Limit::new(requests, WINDOW)
    }
}

/// The times at which `counter` admitted.
fn admitted(limit: Limit, arrivals_us: impl IntoIterator<Item = u64>) -> Vec<Timestamp> {
    let mut counter = Counter::new(limit);
    let times = arrivals_us.into_iter().map(at);
    times.filter(|now| counter.admit(*now).admitted).collect()
}

proptest! {
    #[test]
    fn no_window_holds_more_than_its_algorithm_promises(
        algorithm in algorithms(), requests in 1u64..12, start in starts(), gaps in gaps(),
    ) {
        let limit = limit(requests, algorithm);
        let mut now_us = start;
        let arrivals: Vec<u64> = gaps.iter().map(|gap| { now_us += gap; now_us }).collect();
        let admitted = admitted(limit, arrivals);
        prop_assert!(!admitted.is_empty());
        prop_assert!(audit::most_admitted(&admitted, WINDOW) <= audit::most_allowed(limit));
        if let LimitAlgorithm::Gcra { burst } = algorithm {
            prop_assert_eq!(audit::over_burst(&admitted, limit, burst), 0);
        }
    }

    #[test]
    fn the_log_refuses_only_when_the_window_is_full(
        requests in 1u64..12, start in starts(), gaps in gaps(),
    ) {
        let limit = limit(requests, LimitAlgorithm::SlidingLog);
        let (mut counter, mut admitted, mut now) = (Counter::new(limit), vec![], at(start));
        for gap in gaps {
            now = now + Duration::from_micros(gap);
            let inside = admitted.iter().filter(|at| **at + WINDOW > now).count() as u64;
            let decision = counter.admit(now);
            prop_assert_eq!(decision.admitted, inside < requests);
            if decision.admitted {
                admitted.push(now);
                prop_assert_eq!(decision.remaining, requests - inside - 1);
            }
        }
    }

    #[test]
    fn who_waits_as_told_is_admitted_and_who_comes_earlier_is_not(
        algorithm in algorithms(), requests in 1u64..12, start in starts(), gaps in gaps(),
    ) {
        let mut counter = Counter::new(limit(requests, algorithm));
        let mut now = at(start);
        for gap in gaps {
            now = now + Duration::from_micros(gap);
            let decision = counter.admit(now);
            if !decision.admitted {
                prop_assert!(!decision.retry_after.is_zero());
                prop_assert_eq!(decision.remaining, 0);
                let again = now + decision.retry_after;
                prop_assert!(!counter.clone().admit(again - Duration::from_micros(1)).admitted);
                prop_assert!(counter.clone().admit(again).admitted);
            }
        }
    }

    #[test]
    fn as_many_as_remain_may_pass_at_once(
        algorithm in algorithms(), requests in 1u64..12, start in starts(), gaps in gaps(),
    ) {
        let mut counter = Counter::new(limit(requests, algorithm));
        let mut now = at(start);
        for gap in gaps {
            now = now + Duration::from_micros(gap);
            let decision = counter.admit(now);
            let mut ahead = counter.clone();
            let pass = (0..20).take_while(|_| ahead.admit(now).admitted).count() as u64;
            prop_assert_eq!(decision.remaining, pass);
        }
    }

    #[test]
    fn a_clock_that_goes_back_never_lets_more_pass(
        algorithm in algorithms(), requests in 1u64..12, start in starts(), back in 0u64..5_000_000,
    ) {
        let mut counter = Counter::new(limit(requests, algorithm));
        let full = (0..20).filter(|_| counter.admit(at(start)).admitted).count();
        prop_assert!(full > 0);
        prop_assert!(!counter.admit(at(start - back)).admitted);
    }
}

/// The second before and the second after a whole one, at 10 in a second.
const WHOLE_US: u64 = 1_700_000_000_000_000;

#[test]
fn a_fixed_window_lets_twice_the_limit_pass_at_its_border() {
    let arrivals = (0..40).map(|n| WHOLE_US - 20 + n);
    let most = |algorithm| {
        let limit = limit(10, algorithm);
        let admitted = admitted(limit, arrivals.clone());
        (
            audit::most_admitted(&admitted, WINDOW),
            audit::most_allowed(limit),
        )
    };
    assert_eq!(most(LimitAlgorithm::FixedWindow), (20, 20));
    assert_eq!(most(LimitAlgorithm::SlidingLog), (10, 10));
    assert_eq!(most(LimitAlgorithm::SlidingBuckets), (10, 10));
    assert_eq!(most(LimitAlgorithm::Gcra { burst: 10 }), (10, 19));
}

#[test]
fn two_buckets_let_almost_twice_the_limit_pass_if_the_first_half_comes_late() {
    let limit = limit(10, LimitAlgorithm::TwoBuckets);
    let late = std::iter::repeat_n(WHOLE_US - 1, 10);
    let after = (0..1_000_000 - 1).map(|us| WHOLE_US + us);
    let admitted = admitted(limit, late.chain(after));
    assert_eq!(audit::most_admitted(&admitted, WINDOW), 19);
    assert_eq!(audit::most_allowed(limit), 19);
}

#[test]
fn gcra_reaches_its_bound() {
    let limit = limit(10, LimitAlgorithm::Gcra { burst: 4 });
    let admitted = admitted(limit, (0..3_000_000).map(|us| WHOLE_US + us));
    assert_eq!(audit::most_admitted(&admitted, WINDOW), 13);
    assert_eq!(audit::most_allowed(limit), 13);
    assert_eq!(admitted.len(), 33);
}

#[test]
fn sub_buckets_give_room_back_late_by_one_at_the_most() {
    let limit = limit(10, LimitAlgorithm::SlidingBuckets);
    let admitted = admitted(limit, (0..3_400_000).map(|us| WHOLE_US + us));
    // One full window every 33 sub-buckets of 1 s / 32.
    assert_eq!(admitted.len(), 40);
    let rounds: Vec<u128> = admitted
        .chunks(10)
        .map(|round| round[0].since(at(WHOLE_US)).as_micros())
        .collect();
    assert_eq!(rounds, [0, 1_031_250, 2_062_500, 3_093_750]);
}
