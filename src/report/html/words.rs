//! Numbers and short phrases as a person reads them.
//!
//! Pure; safe for every number, also for those that are not finite, because a report must be
//! written whatever was measured.

use std::time::Duration;

use crate::units::{ByteSize, Ratio, long, short, thousands};

/// What stands where nothing was measured.
pub(crate) const NOTHING: &str = "–";

/// A duration given in microseconds: `38 ms`.
pub(crate) fn us(value_us: f64) -> String {
    Duration::try_from_secs_f64(value_us / 1e6).map_or_else(|_| NOTHING.to_owned(), short)
}

/// A round duration given in microseconds, without digits that say nothing: `1 ms`, `500 µs`.
pub(crate) fn tick_us(value_us: f64) -> String {
    let (value, unit) = match value_us {
        v if v >= 60e6 => (v / 60e6, "min"),
        v if v >= 1e6 => (v / 1e6, "s"),
        v if v >= 1e3 => (v / 1e3, "ms"),
        v if v > 0.0 => (v, "µs"),
        _ => return "0".to_owned(),
    };
    format!("{} {unit}", number(value))
}

/// A moment or a length of time in seconds: `41 s`, `2 min 5 s`, `3 h 20 min`.
pub(crate) fn seconds(value_s: f64) -> String {
    let Ok(duration) = Duration::try_from_secs_f64(value_s) else {
        return NOTHING.to_owned();
    };
    if duration < Duration::from_secs(10) && duration.subsec_millis() >= 50 {
        return format!("{value_s:.1} s");
    }
    long(duration)
}

/// A moment of a run of days: `1 d`, `1 d 12 h`.
pub(crate) fn seconds_in_days(value_s: f64) -> String {
    let hours = whole(value_s / 3_600.0);
    match hours % 24 {
        0 => format!("{} d", hours / 24),
        rest => format!("{} d {rest} h", hours / 24),
    }
}

/// A share: `96.1%`.
pub(crate) fn percent(share: f64) -> String {
    match share {
        // What is not none and not all must not be rounded to it.
        _ if share > 0.0 && share < 5e-5 => "< 0.01%".to_owned(),
        _ if share < 1.0 && share > 1.0 - 5e-5 => "> 99.99%".to_owned(),
        _ if (share * 100.0).is_finite() => Ratio(share).to_string(),
        _ => NOTHING.to_owned(),
    }
}

/// A share or what stands for none.
pub(crate) fn percent_or_nothing(share: Option<f64>) -> String {
    share.map_or_else(|| NOTHING.to_owned(), percent)
}

/// A change for the better or the worse, from a reduction: `−88%`, `+12%`.
pub(crate) fn change(reduction: f64) -> String {
    let sign = if reduction >= 0.0 { "−" } else { "+" };
    let size = reduction.abs();
    if !(size * 100.0).is_finite() {
        return NOTHING.to_owned();
    }
    // Near a whole the last tenth is the news: 99.6% saved is not 100%.
    let digits = usize::from(size > 0.985 && size < 1.0);
    format!("{sign}{:.digits$}%", size * 100.0)
}

/// A number with at most three digits that matter, thousands apart: `0.25`, `38`, `1,200`.
pub(crate) fn number(value: f64) -> String {
    let size = value.abs();
    if !size.is_finite() {
        return NOTHING.to_owned();
    }
    let digits = match size {
        _ if size == 0.0 => 0,
        _ if size >= 99.95 => {
            let sign = if value < 0.0 { "−" } else { "" };
            return format!("{sign}{}", thousands(whole(size)));
        }
        _ if size >= 9.995 => 1,
        _ if size >= 0.1 => 2,
        // Two digits that matter.
        _ => (2..12_usize)
            .zip([10.0, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10])
            .find_map(|(digits, factor)| (size * factor >= 1.0).then_some(digits))
            .unwrap_or(12),
    };
    let text = format!("{value:.digits$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// The nearest whole number; zero for what is below, the largest for what is above.
#[expect(
    clippy::cast_sign_loss,
    reason = "the cast saturates, and zero is what is wanted below zero"
)]
fn whole(value: f64) -> u64 {
    value.round() as u64
}

/// A rate: `490/s`.
pub(crate) fn per_s(value: f64) -> String {
    format!("{}/s", number(value))
}

/// Processor time: `0.21 cores`.
pub(crate) fn cores(value: f64) -> String {
    format!("{} cores", number(value))
}

/// A size: `256 MiB`.
pub(crate) fn bytes(value: f64) -> String {
    if value.is_finite() {
        ByteSize(whole(value)).to_string().replace(".0 ", " ")
    } else {
        NOTHING.to_owned()
    }
}

/// A count with its noun: `1 user`, `1,000 users`.
pub(crate) fn counted(count: u64, one: &str, many: &str) -> String {
    let noun = if count == 1 { one } else { many };
    format!("{} {noun}", thousands(count))
}

/// `part` of `whole` as a share, zero if there is no whole.
pub(crate) fn share(part: f64, whole: f64) -> f64 {
    let share = part / whole;
    if share.is_finite() { share } else { 0.0 }
}

/// `text` cut to `letters` letters, with a mark that something is missing.
pub(crate) fn cut(text: &str, letters: usize) -> String {
    if text.chars().count() <= letters {
        return text.to_owned();
    }
    let kept: String = text.chars().take(letters.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

/// The first letter large.
pub(crate) fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_are_short() {
        let shown = [0.0, 0.000_15, 0.21, 1.0, 9.96, 38.44, 99.97, 1_234.5, -12.0].map(number);
        let wanted = [
            "0", "0.00015", "0.21", "1", "9.96", "38.4", "100", "1,235", "-12",
        ];
        assert_eq!(shown, wanted);
        let sizes = [0.0, 256.0 * 1_048_576.0, 1.5 * 1_048_576.0].map(bytes);
        assert_eq!(sizes, ["0 B", "256 MiB", "1.5 MiB"]);
        let ticks = [0.0, 500.0, 1e3, 2e5, 1e6, 6e7].map(tick_us);
        assert_eq!(ticks, ["0", "500 µs", "1 ms", "200 ms", "1 s", "1 min"]);
    }

    #[test]
    fn times_changes_and_counts_read_well() {
        let times = [0.0, 0.5, 41.0, 119.6, 125.0, 7_200.0, 200_000.0].map(seconds);
        let wanted = [
            "0 s",
            "0.5 s",
            "41 s",
            "2 min",
            "2 min 5 s",
            "2 h",
            "2 d 7 h",
        ];
        assert_eq!(times, wanted);
        let shares = [0.0, 1e-5, 0.5, 0.999_99, 1.0].map(percent);
        assert_eq!(shares, ["0%", "< 0.01%", "50%", "> 99.99%", "100%"]);
        let changes = [0.88, 0.996, 1.0, -0.12].map(change);
        assert_eq!(changes, ["−88%", "−99.6%", "−100%", "+12%"]);
        assert_eq!(counted(1, "user", "users"), "1 user");
        assert_eq!(counted(1_000, "user", "users"), "1,000 users");
        assert_eq!(
            (cut("warm-up", 7), cut("warm-up", 5)),
            ("warm-up".into(), "warm…".into())
        );
    }

    proptest! {
        #[test]
        fn no_number_is_too_strange(value in prop::num::f64::ANY) {
            for text in [
                us(value), tick_us(value), seconds(value), percent(value), change(value),
                number(value), per_s(value), cores(value), bytes(value), seconds_in_days(value),
            ] {
                prop_assert!(!text.is_empty() && !text.contains("NaN") && !text.contains("inf"));
            }
        }
    }
}
