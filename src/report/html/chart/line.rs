//! Lines over time, with limits across.
//!
//! A line breaks where nothing was measured and never bridges the gap. Lines are told apart by
//! dash and width (style sheet) and by their names at their ends.

use super::frame::{Frame, PATH_WIDTH, Size, TimeAxis};
use super::scale::Scale;
use super::{Escaped, Place, Svg, Tone, Unit, spread};

/// One line.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    /// What it shows, short: it stands at its end.
    pub name: String,
    /// What it stands for.
    pub tone: Tone,
    /// One value for each bucket of the axis.
    pub values: Vec<Option<f64>>,
}

/// A value that should not be crossed.
#[derive(Clone, Debug)]
pub(crate) struct Limit {
    /// Where.
    pub value: f64,
    /// What it is, with its number.
    pub label: String,
}

/// Lines over time.
#[derive(Debug)]
pub(crate) struct LineChart<'a> {
    /// What the chart says, for those who cannot see it.
    pub aria: &'a str,
    /// What the vertical axis shows.
    pub y_title: &'a str,
    /// Its unit.
    pub unit: Unit,
    /// The horizontal axis.
    pub time: &'a TimeAxis,
    /// The lines.
    pub lines: Vec<Line>,
    /// The limits.
    pub limits: Vec<Limit>,
    /// Whether a wide span of values may be shown on a log scale.
    pub may_be_log: bool,
}

/// The height of a plot in pixels.
pub(crate) const HEIGHT: f64 = 220.0;
/// A limit further than this factor above everything measured would press the lines to the floor:
/// it is told in words instead.
const LIMIT_FACTOR_LINEAR: f64 = 12.0;
const LIMIT_FACTOR_LOG: f64 = 1_000.0;

/// A finished chart of lines.
#[derive(Debug)]
pub(crate) struct Drawn {
    /// The chart.
    pub svg: String,
    /// The labels of limits that lie too far above to be drawn, for words beside the chart.
    pub limits_above: Vec<String>,
}

impl LineChart<'_> {
    /// The chart as SVG.
    pub(crate) fn draw(&self) -> Drawn {
        let scale = self.scale();
        let title = if scale.is_log() {
            format!("{}, log scale", self.y_title)
        } else {
            self.y_title.to_owned()
        };
        let frame = Frame {
            aria: self.aria,
            y_title: &title,
            unit: self.unit,
            scale,
            time: self.time,
            height: HEIGHT,
            size: Size::Full,
        };
        let svg = frame.draw(
            |svg| self.draw_lines(&frame, svg),
            |svg| {
                self.draw_limits(&frame, svg);
                self.draw_names(&frame, svg);
            },
            &self.tips(),
        );
        let above = self.limits.iter().filter(|l| !is_inside(l, scale));
        Drawn {
            svg,
            limits_above: above.map(|limit| limit.label.clone()).collect(),
        }
    }

    fn scale(&self) -> Scale {
        let values: Vec<f64> = self
            .lines
            .iter()
            .flat_map(|line| line.values.iter().copied().flatten())
            .collect();
        let most = values.iter().copied().fold(0.0, f64::max);
        let base = self.unit.base();
        let within = |factor: f64| {
            let limits = self.limits.iter().map(|limit| limit.value);
            let near = limits.filter(move |v| most <= 0.0 || *v <= most * factor);
            values.iter().copied().chain(near)
        };
        if self.may_be_log && Scale::fitting(&values, base).is_log() {
            return Scale::log(within(LIMIT_FACTOR_LOG));
        }
        Scale::linear(within(LIMIT_FACTOR_LINEAR), base)
    }

    fn draw_lines(&self, frame: &Frame<'_>, svg: &mut Svg) {
        for line in &self.lines {
            let mut path = Svg::default();
            let mut dots = Svg::default();
            let mut pen_down = false;
            for (bucket, value) in line.values.iter().enumerate() {
                let Some(value) = value else {
                    pen_down = false;
                    continue;
                };
                let x = Place(self.time.bucket_middle(bucket) * PATH_WIDTH);
                let y = Place(frame.y(*value));
                // A lone point gets no length, and its round cap makes it a dot.
                let alone = line.values.get(bucket + 1).is_none_or(Option::is_none);
                match pen_down {
                    true => path.put(format_args!("L{x} {y}")),
                    false if alone => dots.put(format_args!("M{x} {y}h0")),
                    false => path.put(format_args!("M{x} {y}")),
                }
                pen_down = true;
            }
            svg.put(format_args!(
                r#"<path class="line {}" d="{}"/>"#,
                line.tone.class(),
                path.done()
            ));
            let dots = dots.done();
            if !dots.is_empty() {
                let tone = line.tone.class();
                svg.put(format_args!(
                    r#"<path class="line dots {tone}" d="{dots}"/>"#
                ));
            }
        }
    }

    fn draw_limits(&self, frame: &Frame<'_>, svg: &mut Svg) {
        for limit in self.limits.iter().filter(|l| is_inside(l, frame.scale)) {
            let y = frame.y(limit.value);
            let text_y = if y < 18.0 { y + 14.0 } else { y - 6.0 };
            svg.put(format_args!(
                r#"<line class="line {}" x2="100%" y1="{1}" y2="{1}"/><text class="limit-name halo end" x="100%" y="{2}">{3}</text>"#,
                Tone::Limit.class(),
                Place(y),
                Place(text_y),
                Escaped(&limit.label),
            ));
        }
    }

    /// The name of each line beside its last value.
    fn draw_names(&self, frame: &Frame<'_>, svg: &mut Svg) {
        if self.lines.len() < 2 {
            return;
        }
        let ends: Vec<(&Line, f64)> = self
            .lines
            .iter()
            .filter_map(|line| {
                let last = line.values.iter().rev().find_map(|value| *value)?;
                Some((line, frame.y(last)))
            })
            .collect();
        let places: Vec<f64> = ends.iter().map(|(_, y)| *y).collect();
        for ((line, _), y) in ends.iter().zip(spread(&places, 14.0, HEIGHT)) {
            svg.put(format_args!(
                r#"<text class="name ink-{} roomy" x="100%" dx="7" y="{}" dy=".35em">{}</text>"#,
                line.tone.class(),
                Place(y),
                Escaped(&line.name),
            ));
        }
    }

    fn tips(&self) -> Vec<String> {
        (0..self.time.buckets)
            .map(|bucket| {
                let values: Vec<String> = self
                    .lines
                    .iter()
                    .filter_map(|line| {
                        let value = line.values.get(bucket).copied().flatten()?;
                        Some(format!("{} {}", line.name, self.unit.show(value)))
                    })
                    .collect();
                if values.is_empty() {
                    return String::new();
                }
                format!("{}\n{}", self.time.bucket_name(bucket), values.join("\n"))
            })
            .collect()
    }
}

fn is_inside(limit: &Limit, scale: Scale) -> bool {
    limit.value <= scale.max()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(buckets: usize) -> TimeAxis {
        TimeAxis {
            end_s: buckets as f64,
            bucket_s: 1,
            buckets,
            ..TimeAxis::default()
        }
    }

    fn chart(time: &TimeAxis, values: Vec<Option<f64>>, limit: f64) -> Drawn {
        LineChart {
            aria: "keys <rose>",
            y_title: "keys",
            unit: Unit::Count,
            time,
            lines: vec![Line {
                name: "keys".to_owned(),
                tone: Tone::Main,
                values,
            }],
            limits: vec![Limit {
                value: limit,
                label: format!("limit {limit}"),
            }],
            may_be_log: true,
        }
        .draw()
    }

    #[test]
    fn a_gap_is_not_bridged_and_a_lone_point_is_a_dot() {
        let time = axis(5);
        let values = vec![Some(10.0), Some(20.0), None, Some(5.0), None];
        let svg = chart(&time, values, 20.0).svg;
        assert!(svg.contains(r#"d="M100 110L300 0""#), "{svg}");
        assert!(
            svg.contains(r#"class="line dots t-main" d="M700 165h0""#),
            "{svg}"
        );
        assert!(svg.contains("keys &lt;rose&gt;"));
        assert_eq!(svg.matches("<title>").count(), 3, "no numbers for the gaps");
    }

    #[test]
    fn a_limit_out_of_reach_is_told_and_not_drawn() {
        let time = axis(2);
        let values = vec![Some(1.0), Some(2.0)];
        let far = chart(&time, values.clone(), 1_000.0);
        assert_eq!(far.limits_above, ["limit 1000"]);
        assert!(!far.svg.contains(r#"class="line t-limit""#));
        let near = chart(&time, values, 4.0);
        assert!(near.limits_above.is_empty());
        assert!(near.svg.contains(r#"class="line t-limit""#));
    }

    #[test]
    fn nothing_measured_is_an_empty_chart() {
        for time in [axis(0), axis(3)] {
            let svg = chart(&time, vec![None; time.buckets], 10.0).svg;
            assert!(svg.contains(r#"d="""#) && svg.ends_with("</g></svg>"));
        }
    }
}
