//! Areas over time, stacked: parts of a whole, nearest to the user at the bottom.

use super::frame::{Frame, PATH_WIDTH, Size, TimeAxis};
use super::scale::Scale;
use super::{Escaped, Place, Svg, Tone, Unit, spread};
use crate::report::html::words;

/// One part of the whole.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    /// What it is.
    pub name: String,
    /// What it stands for.
    pub tone: Tone,
    /// One value for each bucket of the axis; not below zero.
    pub values: Vec<f64>,
}

/// Stacked areas over time.
#[derive(Debug)]
pub(crate) struct StackChart<'a> {
    /// What the chart says, for those who cannot see it.
    pub aria: &'a str,
    /// What the vertical axis shows.
    pub y_title: &'a str,
    /// The horizontal axis.
    pub time: &'a TimeAxis,
    /// The parts, from the bottom up.
    pub parts: Vec<Part>,
    /// What is stacked.
    pub of: Whole,
    /// The height of the plot in pixels.
    pub height: f64,
    /// How much to show around.
    pub size: Size,
}

/// What is stacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whole {
    /// Rates as they are.
    Rates,
    /// Each bucket as 100%; a bucket with nothing in it stays empty.
    Shares,
}

/// The least height in pixels at which a part is named at its end.
const NAMED_FROM_PX: f64 = 9.0;

impl StackChart<'_> {
    /// The chart as SVG.
    pub(crate) fn draw(&self) -> String {
        let totals = self.totals();
        let (unit, scale) = match self.of {
            Whole::Shares => (Unit::Share, Scale::up_to(1.0)),
            Whole::Rates => {
                let base = Unit::PerS.base();
                (Unit::PerS, Scale::linear(totals.iter().copied(), base))
            }
        };
        let frame = Frame {
            aria: self.aria,
            y_title: self.y_title,
            unit,
            scale,
            time: self.time,
            height: self.height,
            size: self.size,
        };
        let tops = self.tops(&totals);
        frame.draw(
            |svg| self.draw_areas(&frame, &tops, svg),
            |svg| self.draw_names(&frame, &tops, svg),
            &self.tips(&totals),
        )
    }

    fn value(&self, part: usize, bucket: usize) -> f64 {
        let value = self.parts[part].values.get(bucket).copied();
        value.filter(|v| v.is_finite()).unwrap_or(0.0).max(0.0)
    }

    fn totals(&self) -> Vec<f64> {
        (0..self.time.buckets)
            .map(|bucket| {
                (0..self.parts.len())
                    .map(|part| self.value(part, bucket))
                    .sum()
            })
            .collect()
    }

    /// For each part, its upper edge in each bucket.
    fn tops(&self, totals: &[f64]) -> Vec<Vec<f64>> {
        let mut edge = vec![0.0; totals.len()];
        (0..self.parts.len())
            .map(|part| {
                for (bucket, (edge, total)) in edge.iter_mut().zip(totals).enumerate() {
                    let value = self.value(part, bucket);
                    *edge += match self.of {
                        Whole::Rates => value,
                        Whole::Shares => words::share(value, *total),
                    };
                }
                edge.clone()
            })
            .collect()
    }

    fn draw_areas(&self, frame: &Frame<'_>, tops: &[Vec<f64>], svg: &mut Svg) {
        let floor = vec![0.0; self.time.buckets];
        for (part, top) in tops.iter().enumerate() {
            let bottom = if part == 0 { &floor } else { &tops[part - 1] };
            if top == bottom {
                continue;
            }
            let mut path = Svg::default();
            let mut first = true;
            for (x, y) in self.edge(frame, top) {
                let pen = if first { "M" } else { "L" };
                path.put(format_args!("{pen}{} {}", Place(x), Place(y)));
                first = false;
            }
            let back: Vec<(f64, f64)> = self.edge(frame, bottom).collect();
            for (x, y) in back.into_iter().rev() {
                path.put(format_args!("L{} {}", Place(x), Place(y)));
            }
            svg.put(format_args!(
                r#"<path class="area {}" d="{}Z"/>"#,
                self.parts[part].tone.class(),
                path.done()
            ));
        }
    }

    /// An edge through the middles of the buckets, level to the ends of the first and the last.
    fn edge<'f>(
        &'f self,
        frame: &'f Frame<'_>,
        values: &'f [f64],
    ) -> impl Iterator<Item = (f64, f64)> + 'f {
        let end = values.len().saturating_sub(1);
        values.iter().enumerate().flat_map(move |(bucket, value)| {
            let y = frame.y(*value);
            let (from, to) = self.time.bucket_edges(bucket);
            let start = (bucket == 0).then_some((from, y));
            let stop = (bucket == end).then_some((to, y));
            let middle = (self.time.bucket_middle(bucket), y);
            [start, Some(middle), stop]
                .into_iter()
                .flatten()
                .map(|(x, y)| (x * PATH_WIDTH, y))
        })
    }

    /// The name of each part beside its end, where it is thick enough to be pointed at.
    fn draw_names(&self, frame: &Frame<'_>, tops: &[Vec<f64>], svg: &mut Svg) {
        if self.size == Size::Small {
            return;
        }
        let mut named = Vec::new();
        for (part, top) in tops.iter().enumerate() {
            let last = |edge: &[f64]| frame.y(edge.last().copied().unwrap_or(0.0));
            let upper = last(top);
            let lower = if part == 0 {
                frame.y(0.0)
            } else {
                last(&tops[part - 1])
            };
            if lower - upper >= NAMED_FROM_PX {
                named.push((&self.parts[part], f64::midpoint(upper, lower)));
            }
        }
        let places: Vec<f64> = named.iter().map(|(_, y)| *y).collect();
        for ((part, _), y) in named.iter().zip(spread(&places, 14.0, self.height)) {
            svg.put(format_args!(
                r#"<text class="name ink-{} roomy" x="100%" dx="7" y="{}" dy=".35em">{}</text>"#,
                part.tone.class(),
                Place(y),
                Escaped(&part.name),
            ));
        }
    }

    fn tips(&self, totals: &[f64]) -> Vec<String> {
        let tips = totals.iter().enumerate().map(|(bucket, total)| {
            if *total <= 0.0 {
                return String::new();
            }
            // From the top down, as the eye meets them.
            let parts = (0..self.parts.len()).rev();
            let lines: Vec<String> = parts
                .filter(|part| self.value(*part, bucket) > 0.0)
                .map(|part| self.tip_line(part, bucket, *total))
                .collect();
            format!("{}\n{}", self.time.bucket_name(bucket), lines.join("\n"))
        });
        tips.collect()
    }

    fn tip_line(&self, part: usize, bucket: usize, total: f64) -> String {
        let (name, value) = (&self.parts[part].name, self.value(part, bucket));
        let share = words::percent(words::share(value, total));
        match self.of {
            Whole::Shares => format!("{name} {share}"),
            Whole::Rates => format!("{name} {} ({share})", words::per_s(value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack(of: Whole, local: &[f64], origin: &[f64]) -> String {
        let time = TimeAxis {
            end_s: local.len() as f64,
            bucket_s: 1,
            buckets: local.len(),
            ..TimeAxis::default()
        };
        let part = |name: &str, tone, values: &[f64]| Part {
            name: name.to_owned(),
            tone,
            values: values.to_vec(),
        };
        StackChart {
            aria: "who",
            y_title: "reads per second",
            time: &time,
            parts: vec![
                part("local", Tone::Local, local),
                part("origin", Tone::Origin, origin),
            ],
            of,
            height: 100.0,
            size: Size::Full,
        }
        .draw()
    }

    #[test]
    fn parts_lie_on_each_other() {
        let svg = stack(Whole::Rates, &[50.0, 50.0], &[50.0, 50.0]);
        assert!(
            svg.contains("M0 50L250 50L750 50L1000 50L1000 100"),
            "{svg}"
        );
        assert!(svg.contains("M0 0L250 0L750 0L1000 0L1000 50"), "{svg}");
        assert!(svg.contains("0 s\norigin 50/s (50%)\nlocal 50/s (50%)"));
    }

    #[test]
    fn shares_fill_the_plot_and_an_empty_second_stays_empty() {
        let svg = stack(Whole::Shares, &[1.0, 0.0], &[3.0, 0.0]);
        assert!(svg.contains("M0 75L250 75L750 100L1000 100"), "{svg}");
        assert_eq!(svg.matches("<title>").count(), 1);
    }

    #[test]
    fn nothing_and_nonsense_are_drawn_as_nothing() {
        for values in [&[][..], &[f64::NAN, -3.0]] {
            let svg = stack(Whole::Rates, values, values);
            assert!(
                !svg.contains("class=\"area") && !svg.contains("NaN"),
                "{svg}"
            );
        }
    }
}
