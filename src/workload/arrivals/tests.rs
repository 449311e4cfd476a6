use proptest::prelude::*;

use super::*;

const fn rate(per_s: f64) -> Rate {
    Rate { per_s }
}

fn secs(s: u64) -> Duration {
    Duration::from_secs(s)
}

fn even(shape: Shape) -> Arrivals {
    Arrivals {
        shape,
        poisson: false,
    }
}

fn poisson(shape: Shape) -> Arrivals {
    Arrivals {
        shape,
        poisson: true,
    }
}

fn of_one(duration: Duration, arrivals: Arrivals, seed: u64) -> Vec<Duration> {
    let phase = PhaseArrivals {
        duration,
        arrivals: Some(arrivals),
    };
    Pacer::new(vec![phase], Seed(seed)).collect()
}

/// How many fall into each of so many equally long parts of the phase.
fn parts(due: &[Duration], phase: Duration, count: usize) -> Vec<usize> {
    let mut parts = vec![0; count];
    for moment in due {
        let at = moment.as_nanos() * count as u128 / phase.as_nanos();
        parts[at as usize] += 1;
    }
    parts
}

#[test]
fn a_constant_rate_is_evenly_spaced_and_never_drifts() {
    let due = of_one(secs(3_600), even(Shape::Constant(rate(1_000.0))), 1);
    assert_eq!(due.len(), 3_600_000);
    for (n, moment) in due.iter().enumerate().step_by(99_991) {
        let wanted = Duration::from_micros(500 + n as u64 * 1_000);
        let off = moment.abs_diff(wanted);
        assert!(off < Duration::from_micros(1), "{n}: {moment:?}");
    }
}

#[test]
fn shapes_have_their_rates() {
    let phase = secs(100);
    let counts = |shape, parts_of| parts(&of_one(phase, even(shape), 1), phase, parts_of);
    let (low, high) = (rate(100.0), rate(500.0));
    assert_eq!(
        counts(
            Shape::Ramp {
                from: low,
                to: high
            },
            4
        ),
        [3_750, 6_250, 8_750, 11_250]
    );
    let steps = Shape::Step {
        from: low,
        to: high,
        steps: 5,
    };
    assert_eq!(counts(steps, 5), [2_000, 4_000, 6_000, 8_000, 10_000]);
    let spike = Shape::Spike {
        base: low,
        peak: high,
        at: secs(40),
        length: secs(20),
    };
    assert_eq!(counts(spike, 5), [2_000, 2_000, 10_000, 2_000, 2_000]);
    let sine = Shape::Sine {
        low,
        high,
        period: secs(100),
    };
    // Over a half period around its lowest, the mean is 300 - 200 * 2 / pi.
    let quarters = counts(sine, 4);
    for (quarter, wanted) in quarters.iter().zip([4_317, 10_683, 10_683, 4_317]) {
        assert!(quarter.abs_diff(wanted) <= 12, "{quarters:?}");
    }
}

/// For a Poisson process the counts of equal parts have their mean as their variance, and gaps have
/// their mean as their standard deviation.
#[test]
fn poisson_arrivals_are_independent() {
    let phase = secs(1_000);
    let due = of_one(phase, poisson(Shape::Constant(rate(100.0))), 42);
    let counts = parts(&due, phase, 1_000);
    let mean = due.len() as f64 / 1_000.0;
    let variance: f64 = counts
        .iter()
        .map(|count| (*count as f64 - mean).powi(2))
        .sum::<f64>()
        / 999.0;
    assert!((mean - 100.0).abs() < 1.5, "{mean}");
    assert!((variance / mean - 1.0).abs() < 0.15, "{variance} {mean}");
    let gaps: Vec<f64> = due
        .windows(2)
        .map(|pair| pair[1].abs_diff(pair[0]).as_secs_f64())
        .collect();
    let long = gaps.iter().filter(|gap| **gap > 0.01).count() as f64 / gaps.len() as f64;
    assert!((long - (-1.0_f64).exp()).abs() < 0.01, "{long}");
}

#[test]
fn phases_follow_one_another_and_draw_for_themselves() {
    let phase = |duration, arrivals| PhaseArrivals { duration, arrivals };
    let first = Some(poisson(Shape::Constant(rate(50.0))));
    let last = Some(poisson(Shape::Constant(rate(20.0))));
    let due = |first| -> Vec<Duration> {
        let phases = vec![
            phase(secs(10), first),
            phase(secs(5), None),
            phase(secs(10), last),
        ];
        Pacer::new(phases, Seed(3)).collect()
    };
    let both = due(first);
    assert!(both.iter().all(|at| *at < secs(10) || *at >= secs(15)));
    let later: Vec<Duration> = both.iter().copied().filter(|at| *at >= secs(15)).collect();
    assert_eq!(due(None), later);
    assert!((100..300).contains(&later.len()), "{}", later.len());
}

#[test]
fn a_rate_of_zero_is_nobody() {
    assert!(of_one(secs(10), even(Shape::Constant(rate(0.0))), 1).is_empty());
    assert!(of_one(secs(10), poisson(Shape::Constant(rate(0.0))), 1).is_empty());
    let from_nothing = Shape::Ramp {
        from: rate(0.0),
        to: rate(10.0),
    };
    assert_eq!(of_one(secs(10), even(from_nothing), 1).len(), 50);
}

fn shapes() -> impl Strategy<Value = Shape> {
    let rates = || (0.0f64..2_000.0).prop_map(rate);
    prop_oneof![
        rates().prop_map(Shape::Constant),
        (rates(), rates()).prop_map(|(from, to)| Shape::Ramp { from, to }),
        (rates(), rates(), 1u32..20).prop_map(|(from, to, steps)| Shape::Step { from, to, steps }),
        (rates(), rates(), 0u64..9_000, 1u64..9_000).prop_map(|(base, peak, at, length)| {
            Shape::Spike {
                base,
                peak,
                at: Duration::from_millis(at),
                length: Duration::from_millis(length),
            }
        }),
        (rates(), rates(), 10u64..20_000).prop_map(|(low, high, period)| Shape::Sine {
            low,
            high,
            period: Duration::from_millis(period)
        }),
    ]
}

proptest! {
    #[test]
    fn arrivals_are_ordered_inside_their_phase_and_as_many_as_expected(
        shape in shapes(), poisson: bool, length_ms in 1u64..10_000, seed: u64,
    ) {
        let phase = Duration::from_millis(length_ms);
        let arrivals = Arrivals { shape, poisson };
        let due = of_one(phase, arrivals, seed);
        prop_assert!(due.is_sorted());
        prop_assert!(due.last().is_none_or(|last| *last < phase));
        let (count, wanted) = (due.len() as f64, shape.expected(phase));
        let allowed = if poisson { 6.0 * wanted.sqrt() + 6.0 } else { 1.0 };
        prop_assert!((count - wanted).abs() <= allowed, "{} of {}", count, wanted);
        prop_assert_eq!(&due, &of_one(phase, arrivals, seed));
        prop_assert!(shape.peak(phase).per_s * phase.as_secs_f64() >= wanted - 1e-6);
    }
}
