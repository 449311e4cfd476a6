//! Charts as SVG that lives inside the page: lines and stacked areas over time, rows of bars and
//! of marks, one value against another.
//!
//! Why not a drawing crate: `plotters` fixes every coordinate, font size and colour when it draws.
//! Here the width is left to the reader's window (coordinates across are percentages or a stretched
//! inner viewport, so letters and lines keep their size from a phone to a wall), colours and dashes
//! are CSS classes (so the page's dark mode and its print sheet reach into the charts), and each
//! chart names itself to screen readers and shows its numbers under the pointer.
//!
//! Called by the report's figures only. Pure: values in, text out. A chart knows nothing of the
//! run; it never judges, and it never writes a text from outside without escaping it.

pub(crate) mod frame;
pub(crate) mod line;
pub(crate) mod reduce;
pub(crate) mod rows;
pub(crate) mod scale;
pub(crate) mod scatter;
pub(crate) mod stack;

use std::fmt;

use super::words;
use scale::Base;

/// What a value is, and so how its axis is divided and labelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Microseconds, shown as a duration.
    Us,
    /// A share of a whole, shown in percent.
    Share,
    /// Something counted.
    Count,
    /// Something per second.
    PerS,
    /// Bytes.
    Bytes,
    /// Processor time as a share of one core.
    Cores,
}

impl Unit {
    /// Which steps are round for it.
    pub(crate) fn base(self) -> Base {
        match self {
            Self::Us | Self::Share | Self::PerS | Self::Cores => Base::Ten,
            Self::Count => Base::Whole,
            Self::Bytes => Base::Binary,
        }
    }

    /// The label of a tick.
    pub(crate) fn tick(self, value: f64) -> String {
        match self {
            Self::Us => words::tick_us(value),
            Self::Share => format!("{}%", words::number(value * 100.0)),
            Self::Count | Self::PerS | Self::Cores => words::number(value),
            Self::Bytes => words::bytes(value),
        }
    }

    /// A value with its unit.
    pub(crate) fn show(self, value: f64) -> String {
        match self {
            Self::Us => words::us(value),
            Self::Share => words::percent(value),
            Self::Bytes | Self::Count => self.tick(value),
            Self::PerS => words::per_s(value),
            Self::Cores => words::cores(value),
        }
    }
}

/// What a line, an area, a bar or a mark stands for. A tone is a CSS class: its colour, and its
/// dash or shape, are in the style sheet, so that no meaning hangs on colour alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Tone {
    /// The one series that matters.
    Main,
    /// Usual, beside the main one.
    Calm,
    /// The extreme, beside the main one.
    Extreme,
    /// Before: with caching off.
    Before,
    /// Answered by the local layer.
    Local,
    /// Answered by the remote layer.
    Remote,
    /// Answered by the origin.
    Origin,
    /// Failed.
    Error,
    /// A target or a limit.
    Limit,
}

impl Tone {
    /// The CSS class.
    pub(crate) fn class(self) -> &'static str {
        match self {
            Self::Main => "t-main",
            Self::Calm => "t-calm",
            Self::Extreme => "t-extreme",
            Self::Before => "t-before",
            Self::Local => "t-local",
            Self::Remote => "t-remote",
            Self::Origin => "t-origin",
            Self::Error => "t-error",
            Self::Limit => "t-limit",
        }
    }
}

/// A text for SVG or an attribute of it.
pub(crate) struct Escaped<'a>(pub(crate) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        for letter in self.0.chars() {
            match letter {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                // Control characters may not stand in a document at all.
                c if c.is_control() => f.write_char(' ')?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// SVG under construction.
#[derive(Debug, Default)]
pub(crate) struct Svg(String);

impl Svg {
    /// Appends markup. Texts in it must be [`Escaped`].
    pub(crate) fn put(&mut self, markup: fmt::Arguments<'_>) {
        use fmt::Write;
        // Writing to a string does not fail.
        let _ = self.0.write_fmt(markup);
    }

    /// The finished text.
    pub(crate) fn done(self) -> String {
        self.0
    }
}

/// A coordinate with one digit after the point, and none if it is a zero.
pub(crate) struct Place(pub(crate) f64);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenths = (self.0 * 10.0).round();
        let tenths = if tenths.is_finite() { tenths } else { 0.0 };
        if tenths % 10.0 == 0.0 {
            write!(f, "{:.0}", tenths / 10.0 + 0.0)
        } else {
            write!(f, "{:.1}", tenths / 10.0)
        }
    }
}

/// A place across in percent of the width, two digits after the point at most.
pub(crate) struct Across(pub(crate) f64);

impl fmt::Display for Across {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hundredths = (self.0 * 1e4).round();
        let percent = if hundredths.is_finite() {
            hundredths / 100.0 + 0.0
        } else {
            0.0
        };
        write!(f, "{percent}%")
    }
}

/// Moves `places` apart so that neighbours are at least `gap` from each other and all lie within
/// `0..=end` if there is room; keeps their order. For labels beside the ends of lines.
pub(crate) fn spread(places: &[f64], gap: f64, end: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..places.len()).collect();
    order.sort_by(|a, b| places[*a].total_cmp(&places[*b]));
    let mut moved = places.to_vec();
    let mut floor = f64::NEG_INFINITY;
    for at in order.iter().copied() {
        moved[at] = moved[at].max(floor);
        floor = moved[at] + gap;
    }
    let mut roof = end;
    for at in order.into_iter().rev() {
        moved[at] = moved[at].min(roof);
        roof = moved[at] - gap;
    }
    moved
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn coordinates_are_short() {
        let shown = [0.0, -0.0, 12.0, 12.34, f64::NAN].map(|v| Place(v).to_string());
        assert_eq!(shown, ["0", "0", "12", "12.3", "0"]);
        let across = [0.0, 0.5, 1.0 / 3.0, f64::INFINITY].map(|v| Across(v).to_string());
        assert_eq!(across, ["0%", "50%", "33.33%", "0%"]);
    }

    #[test]
    fn texts_cannot_leave_their_place() {
        let text = Escaped("a<b> & \"c\" 'd'\u{0}").to_string();
        assert_eq!(text, "a&lt;b&gt; &amp; &quot;c&quot; &#39;d&#39; ");
    }

    proptest! {
        #[test]
        fn spread_places_keep_their_distance(
            places in prop::collection::vec(0.0..200.0_f64, 0..8),
        ) {
            let moved = spread(&places, 14.0, 200.0);
            let mut sorted = moved.clone();
            sorted.sort_by(f64::total_cmp);
            prop_assert!(sorted.windows(2).all(|pair| pair[1] - pair[0] >= 14.0 - 1e-9));
            prop_assert!(moved.iter().all(|place| (0.0..=200.0).contains(place)));
        }
    }
}
