//! Quantities with their units: parsed from what a person writes, printed as a person reads.
//!
//! A bare number where a unit belongs is an error with the right spelling in it. Called by the
//! scenario (parsing), by gates (targets) and by reports (printing). Never does arithmetic for
//! others beyond what a unit means.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Serialize, Serializer};

/// What was written is not a quantity of the wanted kind; the text says what would be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is not {wanted}")]
pub struct UnitError {
    found: String,
    wanted: &'static str,
}

impl UnitError {
    fn new(found: &str, wanted: &'static str) -> Self {
        Self {
            found: found.to_owned(),
            wanted,
        }
    }
}

const WANTED_SPAN: &str = "a duration with its unit, such as 150ms, 5s, 15m, 1h or 1h 30m";
const WANTED_SPAN_RANGE: &str = "a duration or a range of durations, such as 2s or 1s..3s";
const WANTED_BYTE_SIZE: &str = "a size with its unit, such as 512B, 2KiB or 256MiB";
const WANTED_RATIO: &str = "a share, such as 95% or 0.95, from 0 to 1";
const WANTED_RATE_RANGE: &str = "two rates, such as 100/s..500/s";
const WANTED_RATE: &str = "a rate with its unit, such as 100/s, 600/m or 1000/h";

/// A duration, written as `150ms`, `15m` or `1h 30m`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema)]
#[schemars(with = "String")]
pub struct Span(pub Duration);

impl FromStr for Span {
    type Err = UnitError;
    fn from_str(text: &str) -> Result<Self, UnitError> {
        let wrong = || UnitError::new(text, WANTED_SPAN);
        let text = text.trim();
        if text == "0" {
            return Ok(Self(Duration::ZERO));
        }
        if !text.contains('.') {
            return humantime::parse_duration(text)
                .map(Self)
                .map_err(|_| wrong());
        }
        // humantime takes whole numbers only; people write 1.5s.
        let unit_at = text.find(char::is_alphabetic).ok_or_else(wrong)?;
        let (number, unit) = text.split_at(unit_at);
        let number: f64 = number.trim().parse().map_err(|_| wrong())?;
        let one = humantime::parse_duration(&format!("1{unit}")).map_err(|_| wrong())?;
        Duration::try_from_secs_f64(one.as_secs_f64() * number)
            .map(Self)
            .map_err(|_| wrong())
    }
}

impl fmt::Display for Span {
    /// As it can be written in a scenario: `15m`, `1h 30m`, `24h`, `150ms`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DAY: Duration = Duration::from_hours(24);
        if self.0 == DAY {
            return f.write_str("24h");
        }
        let days = self.0.as_secs() / DAY.as_secs();
        let rest = Duration::new(self.0.as_secs() % DAY.as_secs(), self.0.subsec_nanos());
        // Not by months, whose length nobody knows.
        match days {
            0 | 365.. => return humantime::format_duration(self.0).fmt(f),
            1 => f.write_str("1day")?,
            days => write!(f, "{days}days")?,
        }
        if !rest.is_zero() {
            write!(f, " {}", humantime::format_duration(rest))?;
        }
        Ok(())
    }
}

/// A duration drawn evenly between two bounds, written as `1s..3s`, or always the same, `2s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(with = "String")]
pub struct SpanRange {
    /// The shortest.
    pub min: Duration,
    /// The longest; never below `min`.
    pub max: Duration,
}

impl FromStr for SpanRange {
    type Err = UnitError;
    fn from_str(text: &str) -> Result<Self, UnitError> {
        let parse = |part: &str| {
            part.parse::<Span>()
                .map(|span| span.0)
                .map_err(|_| UnitError::new(text, WANTED_SPAN_RANGE))
        };
        let (min, max) = match text.split_once("..") {
            Some((min, max)) => (parse(min)?, parse(max)?),
            None => (parse(text)?, parse(text)?),
        };
        if min > max {
            return Err(UnitError::new(text, WANTED_SPAN_RANGE));
        }
        Ok(Self { min, max })
    }
}

impl fmt::Display for SpanRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.min == self.max {
            Span(self.min).fmt(f)
        } else {
            write!(f, "{}..{}", Span(self.min), Span(self.max))
        }
    }
}

/// A number of bytes, written as `2KiB` or `256MiB`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema)]
#[schemars(with = "String")]
pub struct ByteSize(pub u64);

impl FromStr for ByteSize {
    type Err = UnitError;
    fn from_str(text: &str) -> Result<Self, UnitError> {
        let wrong = || UnitError::new(text, WANTED_BYTE_SIZE);
        let has_unit = text.ends_with(|c: char| c.is_ascii_alphabetic());
        let size: bytesize::ByteSize = text.trim().parse().map_err(|_| wrong())?;
        if has_unit || size.0 == 0 {
            Ok(Self(size.0))
        } else {
            Err(wrong())
        }
    }
}

impl fmt::Display for ByteSize {
    /// `512 B`, `2.0 KiB`, `256.0 MiB`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        bytesize::ByteSize(self.0).display().iec().fmt(f)
    }
}

/// A share of a whole, from 0 to 1. A "%" appears only in what a person writes or reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, JsonSchema)]
#[schemars(with = "String")]
pub struct Ratio(pub f64);

impl Ratio {
    /// `part` of `whole`; nothing of nothing is no ratio.
    pub fn of(part: u64, whole: u64) -> Option<Self> {
        (whole > 0).then(|| Self(part as f64 / whole as f64))
    }
}

impl FromStr for Ratio {
    type Err = UnitError;
    fn from_str(text: &str) -> Result<Self, UnitError> {
        let wrong = || UnitError::new(text, WANTED_RATIO);
        let (number, divisor) = match text.trim().strip_suffix('%') {
            Some(number) => (number, 100.0),
            None => (text, 1.0),
        };
        let ratio = number.trim().parse::<f64>().map_err(|_| wrong())? / divisor;
        if (0.0..=1.0).contains(&ratio) {
            Ok(Self(ratio))
        } else {
            Err(wrong())
        }
    }
}

impl fmt::Display for Ratio {
    /// `96.1%`, and more digits only where rounding would turn a part into the whole.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = self.0 * 100.0;
        if (percent > 99.9 && percent < 100.0) || (percent > 0.0 && percent < 0.1) {
            write!(f, "{percent:.2}%")
        } else if percent.fract() == 0.0 {
            write!(f, "{percent:.0}%")
        } else {
            write!(f, "{percent:.1}%")
        }
    }
}

/// Events per second, written as `100/s`, `600/m` or `1000/h`.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, JsonSchema)]
#[schemars(with = "String")]
pub struct Rate {
    /// How many in one second.
    pub per_s: f64,
}

impl FromStr for Rate {
    type Err = UnitError;
    fn from_str(text: &str) -> Result<Self, UnitError> {
        let wrong = || UnitError::new(text, WANTED_RATE);
        let (number, unit) = text.split_once('/').ok_or_else(wrong)?;
        let seconds = match unit.trim() {
            "s" => 1.0,
            "m" | "min" => 60.0,
            "h" => 3_600.0,
            "d" => 86_400.0,
            _ => return Err(wrong()),
        };
        let number: f64 = number
            .trim()
            .replace('_', "")
            .parse()
            .map_err(|_| wrong())?;
        if number.is_finite() && number >= 0.0 {
            Ok(Self {
                per_s: number / seconds,
            })
        } else {
            Err(wrong())
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/s", self.per_s)
    }
}

/// Two rates, written as `100/s..500/s`: from the one to the other, either of which may be the higher.
#[derive(Clone, Copy, Debug, PartialEq, JsonSchema)]
#[schemars(with = "String")]
pub struct RateRange {
    /// The first.
    pub from: Rate,
    /// The second.
    pub to: Rate,
}

impl FromStr for RateRange {
    type Err = UnitError;
    fn from_str(text: &str) -> Result<Self, UnitError> {
        let wrong = || UnitError::new(text, WANTED_RATE_RANGE);
        let (from, to) = text.split_once("..").ok_or_else(wrong)?;
        let rate = |part: &str| part.parse::<Rate>().map_err(|_| wrong());
        Ok(Self {
            from: rate(from)?,
            to: rate(to)?,
        })
    }
}

impl fmt::Display for RateRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.from, self.to)
    }
}

macro_rules! serialize_as_written {
    ($($unit:ty),*) => {$(
        impl Serialize for $unit {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    )*};
}
serialize_as_written!(Span, SpanRange, ByteSize, Ratio, Rate, RateRange);

/// A duration for a person's eye, three digits at the most: `0 s`, `0.4 ms`, `38 ms`, `2.3 s`,
/// `4.5 min`, `2.0 h`, `3.2 d`.
pub fn short(duration: Duration) -> String {
    let us = duration.as_secs_f64() * 1e6;
    match us {
        _ if us <= 0.0 => "0 s".to_owned(),
        _ if us < 10.0 => format!("{us:.1} µs"),
        _ if us < 100.0 => format!("{us:.0} µs"),
        _ if us < 10_000.0 => format!("{:.1} ms", us / 1e3),
        _ if us < 1e6 => format!("{:.0} ms", us / 1e3),
        _ if us < 60e6 => format!("{:.1} s", us / 1e6),
        _ if us < 3_600e6 => format!("{:.1} min", us / 60e6),
        _ if us < 172_800e6 => format!("{:.1} h", us / 3_600e6),
        _ => format!("{:.1} d", us / 86_400e6),
    }
}

/// A length of time or a moment of a run, in the two largest units that it has, to the second:
/// `41 s`, `2 min 5 s`, `24 h`, `3 d 4 h`.
pub fn long(duration: Duration) -> String {
    let whole = (duration + Duration::from_millis(500)).as_secs();
    let pair = |big: u64, unit: &str, small: u64, small_unit: &str| match small {
        0 => format!("{big} {unit}"),
        _ => format!("{big} {unit} {small} {small_unit}"),
    };
    match whole {
        0..120 => format!("{whole} s"),
        120..7_200 => pair(whole / 60, "min", whole % 60, "s"),
        7_200..172_800 => pair(whole / 3_600, "h", whole % 3_600 / 60, "min"),
        _ => pair(whole / 86_400, "d", whole % 86_400 / 3_600, "h"),
    }
}

/// A count for a person's eye, with thousands apart: `30,114`.
pub fn thousands(count: u64) -> String {
    let digits = count.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_are_read_with_their_unit_only() {
        let ms = |text: &str| text.parse::<Span>().map(|span| span.0.as_millis());
        assert_eq!(ms("150ms"), Ok(150));
        assert_eq!(ms("1h 30m"), Ok(5_400_000));
        assert_eq!(ms("1.5s"), Ok(1_500));
        assert_eq!(ms("0"), Ok(0));
        for wrong in ["15", "15 minuten", "", "-5s", "s", "1.5", "1e400.0s"] {
            let error = ms(wrong).expect_err(wrong).to_string();
            assert!(error.contains("such as 150ms"), "{error}");
        }
    }

    #[test]
    fn ranges_sizes_ratios_and_rates_are_read() {
        let rates: RateRange = "600/m..2_000/s".parse().expect("two rates");
        assert_eq!(rates.to_string(), "10/s..2000/s");
        assert!("100/s".parse::<RateRange>().is_err());
        let range: SpanRange = "1s..3s".parse().expect("a range");
        assert_eq!((range.min.as_secs(), range.max.as_secs()), (1, 3));
        assert!("3s..1s".parse::<SpanRange>().is_err());
        assert_eq!("2KiB".parse(), Ok(ByteSize(2_048)));
        assert_eq!("256 MiB".parse(), Ok(ByteSize(256 << 20)));
        assert!("2048".parse::<ByteSize>().is_err());
        assert_eq!("95%".parse(), Ok(Ratio(0.95)));
        assert!("95".parse::<Ratio>().is_err());
        assert_eq!("600/m".parse(), Ok(Rate { per_s: 10.0 }));
        assert!("600".parse::<Rate>().is_err());
    }

    #[test]
    fn quantities_are_printed_short() {
        let texts: Vec<String> = [
            4e-7, 4.2e-4, 0.0382, 0.9996, 2.34, 272.0, 7_200.0, 273_600.0,
        ]
        .map(|s| short(Duration::from_secs_f64(s)))
        .into();
        assert_eq!(
            texts,
            [
                "0.4 µs", "0.4 ms", "38 ms", "1000 ms", "2.3 s", "4.5 min", "2.0 h", "3.2 d"
            ]
        );
        assert_eq!(Ratio(0.961).to_string(), "96.1%");
        assert_eq!(Ratio(0.9996).to_string(), "99.96%");
        assert_eq!(Ratio(1.0).to_string(), "100%");
        assert_eq!(
            [0, 999, 1_000, 30_114, 1_234_567].map(thousands),
            ["0", "999", "1,000", "30,114", "1,234,567"]
        );
    }

    #[test]
    fn lengths_of_runs_are_printed_in_their_largest_units() {
        let texts = [0, 41, 125, 5_400, 86_400, 90_000, 273_600, 604_800];
        let texts = texts.map(|seconds| long(Duration::from_secs(seconds)));
        let wanted = [
            "0 s",
            "41 s",
            "2 min 5 s",
            "90 min",
            "24 h",
            "25 h",
            "3 d 4 h",
            "7 d",
        ];
        assert_eq!(texts, wanted);
        let spans = ["24h", "25h", "48h", "76h", "31d", "1h 30m"];
        let spans = spans.map(|text| text.parse::<Span>().expect(text).to_string());
        assert_eq!(
            spans,
            ["24h", "1day 1h", "2days", "3days 4h", "31days", "1h 30m"]
        );
    }

    proptest! {
        #[test]
        fn what_is_printed_can_be_read_again(ms in 0u64..100_000_000) {
            let span = Span(Duration::from_millis(ms));
            prop_assert_eq!(span.to_string().parse(), Ok(span));
        }

        #[test]
        fn parsing_never_panics(text in ".{0,24}") {
            let _ = (text.parse::<Span>(), text.parse::<SpanRange>(), text.parse::<ByteSize>());
            let _ = (text.parse::<Ratio>(), text.parse::<Rate>());
        }
    }
}
