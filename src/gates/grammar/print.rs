//! Prints a check: back as it can be written, and its numbers for people.
//!
//! A target is printed exactly, because it was chosen; an observation is rounded, but never so
//! far that the printed number stands otherwise to the target than the observed one does.

use std::cmp::Ordering;
use std::fmt;
use std::time::Duration;

use super::parse::parse_in_unit;
use super::{Check, Selectors, Unit};
use crate::units::{Ratio, short, thousands};

impl fmt::Display for Check {
    /// The check in its plainest spelling; reading it gives the same check.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}{} {} {}",
            self.metric,
            self.selectors,
            self.comparison.operator(),
            exact(self.target.value, self.target.unit).replace([' ', ','], ""),
        )
    }
}

impl fmt::Display for Selectors {
    /// `{data_type=customer, phase="peak hour"}`; nothing if it does not narrow.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted = |name: &str| {
            let plain = name
                .chars()
                .all(|c| c.is_alphanumeric() || "_-.".contains(c));
            if plain {
                name.to_owned()
            } else {
                format!("\"{name}\"")
            }
        };
        let parts = [
            ("data_type", self.data_type.as_deref().map(quoted)),
            ("operation", self.operation.map(|o| o.name().to_owned())),
            ("outcome", self.outcome.map(|o| o.name().to_owned())),
            ("layer", self.layer.map(|l| l.name().to_owned())),
            ("phase", self.phase.as_deref().map(quoted)),
            ("alert", self.alert.as_deref().map(quoted)),
            ("kind", self.user_kind.as_deref().map(quoted)),
        ];
        let set: Vec<String> = parts
            .into_iter()
            .filter_map(|(name, value)| Some(format!("{name}={}", value?)))
            .collect();
        if set.is_empty() {
            return Ok(());
        }
        write!(f, "{{{}}}", set.join(", "))
    }
}

impl Check {
    /// What is wanted, for a person: `< 1 s`, `≥ 95%`.
    pub fn target_text(&self) -> String {
        let target = exact(self.target.value, self.target.unit);
        format!("{} {target}", self.comparison.sign())
    }

    /// An observation in the check's unit, for a person: `38 ms`, `96.1%`.
    ///
    /// Rounded, but with as many digits as it takes to stand to the target as it really does:
    /// 94.96% against a target of 95% is not printed as `95.0%`.
    pub fn format_value(&self, canonical: f64) -> String {
        if !canonical.is_finite() {
            return "not a number".to_owned();
        }
        let rounded = rounded(canonical, self.target.unit);
        if self.same_side(canonical, &rounded) {
            return rounded;
        }
        (1..=9)
            .map(|digits| with_digits(canonical, self.target, digits))
            .find(|text| self.same_side(canonical, text))
            .unwrap_or(rounded)
    }

    /// Whether the printed number stands to the target as `value` does.
    fn same_side(&self, value: f64, printed: &str) -> bool {
        let target = self.target.value;
        let side = |value: f64| value.partial_cmp(&target).unwrap_or(Ordering::Equal);
        // A number that cannot be a target (a negative ratio) is far from every target.
        parse_in_unit(&printed.replace([',', ' '], ""), self.target.unit)
            .map_or(true, |printed| side(printed) == side(value))
    }
}

/// The units of time in microseconds, the largest first.
const SPANS: [(&str, f64); 5] = [
    ("h", 3_600e6),
    ("min", 60e6),
    ("s", 1e6),
    ("ms", 1e3),
    ("µs", 1.0),
];

/// The units of size in bytes, the largest first.
const SIZES: [(&str, f64); 5] = [
    ("TiB", (1u64 << 40) as f64),
    ("GiB", (1u64 << 30) as f64),
    ("MiB", (1u64 << 20) as f64),
    ("KiB", 1_024.0),
    ("B", 1.0),
];

/// A target with all its digits, in the largest unit that makes it at least 1.
fn exact(value: f64, unit: Unit) -> String {
    let in_largest = |units: &[(&str, f64)]| {
        units
            .iter()
            .map(|(name, size)| (value / size, format!("{} {name}", value / size)))
            .filter(|(number, text)| *number >= 1.0 && reads_as(text, value, unit))
            // Two decimals read well, more do not: then a smaller unit is better.
            .min_by_key(|(number, _)| decimals(*number) > 2)
            .map(|(_, text)| text)
    };
    match unit {
        Unit::Us if value == 0.0 => "0".to_owned(),
        Unit::Us => in_largest(&SPANS).unwrap_or_else(|| format!("{value} µs")),
        Unit::Bytes => in_largest(&SIZES).unwrap_or_else(|| format!("{value} B")),
        Unit::Count => whole(value),
        Unit::PerS => format!("{value}/s"),
        Unit::Ratio => {
            let digits = format!("{:.9}", value * 100.0);
            let percent = digits.trim_end_matches('0').trim_end_matches('.');
            let text = format!("{percent}%");
            if reads_as(&text, value, unit) {
                text
            } else {
                value.to_string()
            }
        }
    }
}

fn decimals(number: f64) -> usize {
    let text = number.to_string();
    text.split_once('.')
        .map_or(0, |(_, decimals)| decimals.len())
}

/// A number of at least 0 without its decimals, with thousands apart.
fn whole(value: f64) -> String {
    let digits = format!("{value:.0}");
    digits.parse().map_or(digits, thousands)
}

fn reads_as(text: &str, value: f64, unit: Unit) -> bool {
    parse_in_unit(&text.replace(' ', ""), unit).is_ok_and(|read| same(read, value))
}

/// Bit for bit: what is printed must be what was read.
fn same(a: f64, b: f64) -> bool {
    a.to_bits() == b.to_bits()
}

/// An observation as reports print quantities of its kind everywhere.
fn rounded(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Us => short(Duration::from_secs_f64(value.clamp(0.0, 1e18) / 1e6)),
        Unit::Ratio => Ratio(value).to_string(),
        Unit::Bytes => with_unit(value, &SIZES, value, 1),
        Unit::Count if value.fract() == 0.0 && value >= 0.0 => whole(value),
        Unit::Count => format!("{value:.1}"),
        Unit::PerS if value >= 100.0 => format!("{}/s", whole(value)),
        Unit::PerS => format!("{value:.1}/s"),
    }
}

/// An observation with this many decimals, in the unit in which the target reads best.
fn with_digits(value: f64, target: super::Target, digits: usize) -> String {
    match target.unit {
        Unit::Us => with_unit(value, &SPANS, target.value, digits),
        Unit::Bytes => with_unit(value, &SIZES, target.value, digits),
        Unit::Ratio => format!("{:.digits$}%", value * 100.0),
        Unit::Count => format!("{value:.digits$}"),
        Unit::PerS => format!("{value:.digits$}/s"),
    }
}

fn with_unit(value: f64, units: &[(&str, f64)], scale: f64, digits: usize) -> String {
    let (name, size) = units
        .iter()
        .find(|(_, size)| *size <= scale)
        .or(units.last())
        .copied()
        .unwrap_or(("", 1.0));
    let number = value / size;
    if number.fract() == 0.0 {
        format!("{number} {name}")
    } else {
        format!("{number:.digits$} {name}")
    }
}
