//! Rows of bars or of marks: one named thing a row, its numbers in words beside it.
//!
//! Bars start at zero and so have a linear scale; marks compare places, so theirs may be a log
//! scale. A row is its name and its words above its bar: on a phone nothing has to shrink.

use super::scale::Scale;
use super::{Across, Escaped, Place, Svg, Tone, Unit};
use crate::report::html::words;

/// One row.
#[derive(Clone, Debug, Default)]
pub(crate) struct Row {
    /// What it is about.
    pub name: String,
    /// Its numbers in words.
    pub text: String,
    /// The bar's length and tone.
    pub bar: Option<(f64, Tone)>,
    /// The marks; a thin line joins them.
    pub marks: Vec<(f64, Mark)>,
    /// Where a target stands.
    pub target: Option<f64>,
    /// Whether the words tell of a lost target.
    pub lost: bool,
}

/// The shape of a mark; each has a meaning that the legend tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Mark {
    /// A ring: before, or the usual.
    Ring,
    /// A disc: after, or the bad case.
    Disc,
    /// A diamond: the worst.
    Diamond,
}

/// Rows of bars or marks.
#[derive(Debug)]
pub(crate) struct RowChart<'a> {
    /// What the chart says, for those who cannot see it.
    pub aria: &'a str,
    /// What the axis shows.
    pub x_title: &'a str,
    /// Its unit.
    pub unit: Unit,
    /// Its scale.
    pub scale: Scale,
    /// The rows.
    pub rows: Vec<Row>,
}

const ROW_PX: f64 = 46.0;
/// From the top of a row to its bar.
const BAR_TOP_PX: f64 = 22.0;
const BAR_PX: f64 = 13.0;
/// The most letters of a name: beside it stand the words, also on a phone.
const NAME_LETTERS: usize = 22;

impl RowChart<'_> {
    /// The chart as SVG.
    pub(crate) fn draw(&self) -> String {
        let mut svg = Svg::default();
        let height = self.rows.len() as f64 * ROW_PX;
        svg.put(format_args!(
            r#"<svg class="chart rows" role="img" aria-label="{}" width="100%" height="{}">"#,
            Escaped(self.aria),
            Place(height + 40.0),
        ));
        self.draw_axis(&mut svg, height);
        for (at, row) in self.rows.iter().enumerate() {
            self.draw_row(&mut svg, row, at as f64 * ROW_PX);
        }
        svg.put(format_args!("</svg>"));
        svg.done()
    }

    fn draw_axis(&self, svg: &mut Svg, height: f64) {
        let ticks = self.scale.ticks(self.unit.base());
        let many = ticks.len() > 5;
        for (at, value) in ticks.iter().enumerate() {
            let place = self.scale.place(*value);
            let x = Across(place);
            let side = match place {
                p if p < 0.02 => "start",
                p if p > 0.98 => "end",
                _ => "mid",
            };
            let roomy = if many && at % 2 == 1 { " roomy" } else { "" };
            svg.put(format_args!(
                r#"<text class="tick {side}{roomy}" x="{x}" y="{}">{}</text>"#,
                Place(height + 14.0),
                Escaped(&self.unit.tick(*value)),
            ));
            for row in 0..self.rows.len() {
                let top = row as f64 * ROW_PX + BAR_TOP_PX;
                svg.put(format_args!(
                    r#"<line class="grid" x1="{x}" x2="{x}" y1="{}" y2="{}"/>"#,
                    Place(top - 3.0),
                    Place(top + BAR_PX + 3.0),
                ));
            }
        }
        let log = if self.scale.is_log() {
            ", log scale"
        } else {
            ""
        };
        svg.put(format_args!(
            r#"<text class="axis-title" y="{}">{}{log}</text>"#,
            Place(height + 32.0),
            Escaped(self.x_title),
        ));
    }

    fn draw_row(&self, svg: &mut Svg, row: &Row, top: f64) {
        let text_y = Place(top + 13.0);
        let lost = if row.lost { " lost" } else { "" };
        svg.put(format_args!(
            r#"<g class="row"><title>{}: {}</title><text class="row-name" y="{text_y}">{}</text><text class="row-text end{lost}" x="100%" y="{text_y}">{}</text>"#,
            Escaped(&row.name),
            Escaped(&row.text),
            Escaped(&words::cut(&row.name, NAME_LETTERS)),
            Escaped(&row.text),
        ));
        let bar_top = top + BAR_TOP_PX;
        if let Some((value, tone)) = row.bar {
            svg.put(format_args!(
                r#"<rect class="bed" width="100%" y="{0}" height="{BAR_PX}"/><rect class="area {1}" width="{2}" y="{0}" height="{BAR_PX}"/>"#,
                Place(bar_top),
                tone.class(),
                Across(self.scale.place(value)),
            ));
        }
        self.draw_marks(svg, &row.marks, bar_top + BAR_PX / 2.0);
        if let Some(target) = row.target {
            let x = Across(self.scale.place(target));
            svg.put(format_args!(
                r#"<line class="target-halo" x1="{x}" x2="{x}" y1="{0}" y2="{1}"/><line class="target" x1="{x}" x2="{x}" y1="{0}" y2="{1}"/>"#,
                Place(bar_top - 3.0),
                Place(bar_top + BAR_PX + 3.0),
            ));
        }
        svg.put(format_args!("</g>"));
    }

    fn draw_marks(&self, svg: &mut Svg, marks: &[(f64, Mark)], y: f64) {
        let places: Vec<f64> = marks.iter().map(|(v, _)| self.scale.place(*v)).collect();
        let from = places.iter().copied().reduce(f64::min);
        let to = places.iter().copied().reduce(f64::max);
        if let (Some(from), Some(to)) = (from, to) {
            svg.put(format_args!(
                r#"<line class="joint" x1="{}" x2="{}" y1="{2}" y2="{2}"/>"#,
                Across(from),
                Across(to),
                Place(y),
            ));
        }
        for (place, (_, mark)) in places.iter().zip(marks) {
            let x = Across(*place);
            let y = Place(y);
            match mark {
                Mark::Ring => svg.put(format_args!(
                    r#"<circle class="mark ring" cx="{x}" cy="{y}" r="5"/>"#
                )),
                Mark::Disc => svg.put(format_args!(
                    r#"<circle class="mark disc" cx="{x}" cy="{y}" r="6"/>"#
                )),
                Mark::Diamond => svg.put(format_args!(
                    r#"<svg x="{x}" y="{y}" overflow="visible"><path class="mark diamond" d="M0-6L6 0 0 6-6 0Z"/></svg>"#
                )),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(rows: Vec<Row>) -> String {
        RowChart {
            aria: "hit ratio",
            x_title: "hit ratio",
            unit: Unit::Share,
            scale: Scale::up_to(1.0),
            rows,
        }
        .draw()
    }

    #[test]
    fn a_bar_is_as_long_as_its_share_and_has_its_target() {
        let svg = chart(vec![Row {
            name: "customer".to_owned(),
            text: "96% of ≥ 95%".to_owned(),
            bar: Some((0.96, Tone::Main)),
            target: Some(0.95),
            ..Row::default()
        }]);
        assert!(svg.contains(r#"class="area t-main" width="96%""#), "{svg}");
        assert!(svg.contains(r#"class="target" x1="95%" x2="95%""#), "{svg}");
        assert!(svg.contains("<title>customer: 96% of ≥ 95%</title>"));
    }

    #[test]
    fn marks_are_joined_and_names_are_cut_and_escaped() {
        let svg = chart(vec![Row {
            name: "<a name that is much too long for a phone>".to_owned(),
            marks: vec![
                (0.9, Mark::Ring),
                (0.1, Mark::Disc),
                (f64::NAN, Mark::Diamond),
            ],
            ..Row::default()
        }]);
        assert!(svg.contains(r#"class="joint" x1="0%" x2="90%""#), "{svg}");
        assert!(svg.contains(">&lt;a name that is much…<"), "{svg}");
    }

    #[test]
    fn no_rows_are_an_empty_chart() {
        assert!(chart(Vec::new()).ends_with("</svg>"));
    }
}
