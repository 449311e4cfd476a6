//! Scales: from a value to a place between 0 and 1, and the ticks that a person can read.
//!
//! Pure. Called by every chart. Never gives a place outside 0..=1 or a number that is not finite,
//! whatever it is fed.

/// From values to places.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Scale {
    /// Equal steps for equal differences, from zero.
    Linear {
        /// The value at place 1.
        max: f64,
    },
    /// Equal steps for equal factors.
    Log {
        /// The value at place 0; above zero.
        min: f64,
        /// The value at place 1; above `min`.
        max: f64,
    },
}

/// The span of values, as a factor, from which on a linear scale would hide the small ones.
const LOG_FROM_FACTOR: f64 = 30.0;
/// The most factors of ten that a log scale shows; what is below is drawn at its foot.
const DECADES_MAX: i32 = 9;

impl Scale {
    /// From zero to a round number not below any of `values`; steps of about a fifth.
    pub(crate) fn linear(values: impl IntoIterator<Item = f64>, base: Base) -> Self {
        let most = largest(values).unwrap_or(0.0);
        let most = if most > 0.0 { most } else { base.smallest() };
        let step = base.nice_step(most / 5.0);
        Self::Linear {
            max: (most / step).ceil() * step,
        }
    }

    /// From zero to exactly `max`: for shares, where 100% is the end.
    pub(crate) fn up_to(max: f64) -> Self {
        let fit = max.is_finite() && max > 0.0;
        Self::Linear {
            max: if fit { max } else { 1.0 },
        }
    }

    /// Over all positive `values`, widened to round numbers.
    pub(crate) fn log(values: impl IntoIterator<Item = f64>) -> Self {
        let (mut low, mut high) = (f64::INFINITY, 0.0_f64);
        for value in values.into_iter().filter(|v| v.is_finite() && *v > 0.0) {
            low = low.min(value);
            high = high.max(value);
        }
        if high <= 0.0 {
            (low, high) = (1.0, 10.0);
        }
        // Beyond this, powers of ten leave what a number can hold.
        let (low, high) = (low.clamp(1e-12, 1e15), high.clamp(1e-12, 1e15));
        let low = low.max(high / 10_f64.powi(DECADES_MAX));
        let (min, max) = (round_down_125(low), round_up_125(high));
        let max = if max > min * 1.5 { max } else { min * 10.0 };
        Self::Log { min, max }
    }

    /// The log scale if `values` span so much that a linear one would hide the small ones.
    pub(crate) fn fitting(values: &[f64], base: Base) -> Self {
        let positive = || values.iter().copied().filter(|v| *v > 0.0);
        let low = positive().fold(f64::INFINITY, f64::min);
        match largest(positive()) {
            Some(high) if high / low > LOG_FROM_FACTOR => Self::log(positive()),
            _ => Self::linear(positive(), base),
        }
    }

    /// Whether equal steps mean equal factors.
    pub(crate) fn is_log(self) -> bool {
        matches!(self, Self::Log { .. })
    }

    /// The value at place 1.
    pub(crate) fn max(self) -> f64 {
        match self {
            Self::Linear { max } | Self::Log { max, .. } => max,
        }
    }

    /// The place of `value`, held between 0 and 1.
    pub(crate) fn place(self, value: f64) -> f64 {
        if value.is_nan() {
            return 0.0;
        }
        let place = match self {
            Self::Linear { max } => value / max,
            Self::Log { min, max } if value > 0.0 => (value / min).ln() / (max / min).ln(),
            Self::Log { .. } => 0.0,
        };
        place.clamp(0.0, 1.0)
    }

    /// The values that get a line and a label, rising.
    pub(crate) fn ticks(self, base: Base) -> Vec<f64> {
        match self {
            Self::Linear { max } => {
                let step = base.nice_step(max / 5.0);
                multiples(step, max, 12)
            }
            Self::Log { min, max } => log_ticks(min, max),
        }
    }
}

fn largest(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    values
        .into_iter()
        .filter(|v| v.is_finite())
        .reduce(f64::max)
}

/// Which numbers are round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Base {
    /// 1, 2, 5, 10: for what can be divided.
    Ten,
    /// The same, but no fractions: for what is counted.
    Whole,
    /// 1, 2, 4, … 512 of a power of 1,024: for bytes.
    Binary,
}

impl Base {
    fn smallest(self) -> f64 {
        match self {
            Self::Ten | Self::Whole => 1.0,
            Self::Binary => 1_024.0,
        }
    }

    /// The smallest round step not below `rough`.
    pub(crate) fn nice_step(self, rough: f64) -> f64 {
        let rough = if rough.is_finite() { rough } else { 1.0 };
        match self {
            Self::Ten => round_up_125(rough.clamp(1e-12, 1e18)),
            Self::Whole => round_up_125(rough.clamp(1.0, 1e18)),
            Self::Binary => 2_f64.powf(rough.clamp(1.0, 1e18).log2().ceil()),
        }
    }
}

/// The largest of … 0.5, 1, 2, 5, 10, … not above `value`, which must be positive.
fn round_down_125(value: f64) -> f64 {
    let decade = 10_f64.powf(value.log10().floor());
    [5.0, 2.0, 1.0]
        .into_iter()
        .map(|step| step * decade)
        .find(|step| *step <= value * (1.0 + 1e-9))
        .unwrap_or(decade)
}

/// The smallest of … 0.5, 1, 2, 5, 10, … not below `value`, which must be positive.
fn round_up_125(value: f64) -> f64 {
    let decade = 10_f64.powf(value.log10().floor());
    [1.0, 2.0, 5.0]
        .into_iter()
        .map(|step| step * decade)
        .find(|step| *step >= value * (1.0 - 1e-9))
        .unwrap_or(decade * 10.0)
}

/// Powers of ten, and 2 and 5 between them where these alone would be too few.
fn log_ticks(min: f64, max: f64) -> Vec<f64> {
    let inside = |v: &f64| *v >= min * (1.0 - 1e-9) && *v <= max * (1.0 + 1e-9);
    let first = min.log10().floor() as i32;
    let last = max.log10().ceil() as i32;
    let all = |steps: &[f64]| -> Vec<f64> {
        (first..=last)
            .flat_map(|decade| steps.iter().map(move |step| step * 10_f64.powi(decade)))
            .filter(inside)
            .collect()
    };
    let decades = all(&[1.0]);
    if decades.len() >= 3 {
        decades
    } else {
        all(&[1.0, 2.0, 5.0])
    }
}

/// 0, `step`, twice `step` and so on up to `end`, at most `count_max` steps.
fn multiples(step: f64, end: f64, count_max: u32) -> Vec<f64> {
    (0..=count_max)
        .map(|n| f64::from(n) * step)
        .take_while(|value| *value <= end * (1.0 + 1e-9))
        .collect()
}

/// Steps of time in seconds that a clock would show.
const TIME_STEPS_S: [f64; 18] = [
    1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1_800.0, 3_600.0, 7_200.0,
    14_400.0, 21_600.0, 43_200.0, 86_400.0,
];

/// Moments for the axis of a run of `end_s` seconds, at most ten, with their labels.
pub(crate) fn time_ticks(end_s: f64) -> Vec<(f64, String)> {
    if !(end_s.is_finite() && end_s > 0.0) {
        return vec![(0.0, "0 s".to_owned())];
    }
    let step = TIME_STEPS_S
        .into_iter()
        .find(|step| end_s / step <= 9.0)
        .unwrap_or_else(|| 86_400.0 * Base::Whole.nice_step(end_s / 86_400.0 / 9.0));
    let (unit_s, unit) = match step {
        _ if step < 60.0 => (1.0, "s"),
        _ if step < 3_600.0 => (60.0, "min"),
        _ if step < 86_400.0 => (3_600.0, "h"),
        _ => (86_400.0, "d"),
    };
    let label = |at_s: f64| {
        // Of days, not of the hours since the first.
        if end_s > 172_800.0 && at_s >= 86_400.0 {
            super::words::seconds_in_days(at_s)
        } else {
            format!("{} {unit}", at_s / unit_s)
        }
    };
    multiples(step, end_s, 9)
        .into_iter()
        .map(|at_s| (at_s, label(at_s)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn linear_scales_start_at_zero_and_end_at_a_round_number() {
        let scale = Scale::linear([3.0, 87.0], Base::Ten);
        assert_eq!(scale, Scale::Linear { max: 100.0 });
        assert_eq!(scale.ticks(Base::Ten), [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
        assert_eq!(scale.place(25.0).to_bits(), 0.25_f64.to_bits());
        let users = Scale::linear([1_000.0], Base::Whole);
        assert_eq!(users.max().to_bits(), 1_000.0_f64.to_bits());
    }

    #[test]
    fn counts_have_no_fractions_and_bytes_are_powers_of_two() {
        let few = Scale::linear([2.0], Base::Whole);
        assert_eq!(few.ticks(Base::Whole), [0.0, 1.0, 2.0]);
        let mib = f64::from(1 << 20);
        let bytes = Scale::linear([200.0 * mib], Base::Binary);
        assert_eq!(bytes.max().to_bits(), (256.0 * mib).to_bits());
        assert_eq!(bytes.ticks(Base::Binary).len(), 5);
    }

    #[test]
    fn log_scales_have_decades_or_1_2_5() {
        let wide = Scale::log([300.0, 2_000_000.0]);
        assert_eq!(wide.ticks(Base::Ten), [1e3, 1e4, 1e5, 1e6]);
        let narrow = Scale::log([3.0, 40.0]);
        assert_eq!(narrow.ticks(Base::Ten), [2.0, 5.0, 10.0, 20.0, 50.0]);
        assert!(Scale::fitting(&[1.0, 40.0], Base::Ten).is_log());
        assert!(!Scale::fitting(&[10.0, 40.0], Base::Ten).is_log());
    }

    #[test]
    fn nothing_and_nonsense_still_give_a_scale() {
        for scale in [
            Scale::linear([], Base::Ten),
            Scale::linear([0.0, f64::NAN], Base::Whole),
            Scale::linear([f64::INFINITY], Base::Binary),
            Scale::log([]),
            Scale::log([-1.0, 0.0]),
            Scale::fitting(&[], Base::Ten),
            Scale::up_to(f64::NAN),
        ] {
            assert!(!scale.ticks(Base::Ten).is_empty(), "{scale:?}");
            assert!(scale.max() > 0.0, "{scale:?}");
        }
    }

    #[test]
    fn moments_are_labelled_as_on_a_clock() {
        let labels = |end_s: f64| -> Vec<String> {
            time_ticks(end_s)
                .into_iter()
                .map(|(_, text)| text)
                .collect()
        };
        assert_eq!(labels(30.0).join(" "), "0 s 5 s 10 s 15 s 20 s 25 s 30 s");
        assert_eq!(
            labels(420.0).join(" "),
            "0 min 1 min 2 min 3 min 4 min 5 min 6 min 7 min"
        );
        assert_eq!(
            labels(7_200.0).join(" "),
            "0 min 15 min 30 min 45 min 60 min 75 min 90 min 105 min 120 min"
        );
        let days = [24.0, 48.0, 76.0, 168.0].map(|hours| labels(hours * 3_600.0).join(" "));
        assert_eq!(
            days,
            [
                "0 h 4 h 8 h 12 h 16 h 20 h 24 h",
                "0 h 6 h 12 h 18 h 24 h 30 h 36 h 42 h 48 h",
                "0 h 12 h 1 d 1 d 12 h 2 d 2 d 12 h 3 d",
                "0 d 1 d 2 d 3 d 4 d 5 d 6 d 7 d",
            ]
        );
        assert_eq!(labels(0.0), ["0 s"]);
        assert_eq!(labels(f64::NAN), ["0 s"]);
    }

    proptest! {
        #[test]
        fn places_rise_with_values_and_stay_inside(
            values in prop::collection::vec(0.0..1e12_f64, 0..20),
            a in -1e13..1e13_f64,
            b in -1e13..1e13_f64,
        ) {
            for scale in [
                Scale::linear(values.iter().copied(), Base::Ten),
                Scale::linear(values.iter().copied(), Base::Binary),
                Scale::log(values.iter().copied()),
            ] {
                let (low, high) = (scale.place(a.min(b)), scale.place(a.max(b)));
                prop_assert!((0.0..=1.0).contains(&low) && low <= high && high <= 1.0);
            }
        }

        #[test]
        fn the_largest_value_fits_and_fills_at_least_half(max in 1e-6..1e15_f64) {
            for base in [Base::Ten, Base::Binary] {
                let scale = Scale::linear([max], base);
                prop_assert!(scale.max() >= max * (1.0 - 1e-9), "{scale:?}");
                prop_assert!(max < 1_024.0 || scale.place(max) >= 0.5, "{scale:?}");
            }
        }

        #[test]
        fn ticks_rise_and_are_few(low in 1e-6..1e9_f64, factor in 1.0..1e9_f64) {
            let values = [low, low * factor];
            for base in [Base::Ten, Base::Whole, Base::Binary] {
                for scale in [Scale::linear(values, base), Scale::log(values)] {
                    let ticks = scale.ticks(base);
                    prop_assert!((2..=13).contains(&ticks.len()), "{scale:?} {ticks:?}");
                    prop_assert!(ticks.windows(2).all(|pair| pair[0] < pair[1]));
                }
            }
        }

        #[test]
        fn moments_are_at_most_ten_and_inside(end_s in 0.1..1e9_f64) {
            let ticks = time_ticks(end_s);
            prop_assert!((1..=10).contains(&ticks.len()));
            prop_assert!(ticks.iter().all(|(at_s, _)| *at_s <= end_s * (1.0 + 1e-6)));
        }
    }
}
