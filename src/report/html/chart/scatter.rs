//! Marks and lines over two axes of values: one thing against another.
//!
//! As the charts over time, but the way across is a value with a scale of its own. Marks lie above the
//! lines and say their numbers; a place across can be marked with a line and a name.

use super::frame::PATH_WIDTH;
use super::line::{HEIGHT, Limit};
use super::rows::Mark;
use super::scale::Scale;
use super::{Across, Escaped, Place, Svg, Tone, Unit, spread};

/// A value, what it is called, and how it is divided.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Axis<'a> {
    /// What it shows.
    pub title: &'a str,
    /// Its unit.
    pub unit: Unit,
    /// Its scale.
    pub scale: Scale,
}

impl Axis<'_> {
    fn full_title(&self) -> String {
        let log = if self.scale.is_log() {
            ", log scale"
        } else {
            ""
        };
        format!("{}{log}", self.title)
    }
}

/// A line through points.
#[derive(Clone, Debug)]
pub(crate) struct Curve {
    /// What it shows, short: it stands at its end.
    pub name: String,
    /// What it stands for.
    pub tone: Tone,
    /// From left to right.
    pub points: Vec<(f64, f64)>,
}

/// A mark at a point.
#[derive(Clone, Debug)]
pub(crate) struct Point {
    /// Across and up.
    pub at: (f64, f64),
    /// Its shape.
    pub mark: Mark,
    /// What its colour says; a CSS class.
    pub class: &'static str,
    /// Its numbers in words.
    pub tip: String,
}

/// Lines and marks.
#[derive(Debug)]
pub(crate) struct ScatterChart<'a> {
    /// What the chart says, for those who cannot see it.
    pub aria: &'a str,
    /// The way across.
    pub x: Axis<'a>,
    /// The way up.
    pub y: Axis<'a>,
    /// The lines.
    pub curves: Vec<Curve>,
    /// The marks.
    pub points: Vec<Point>,
    /// Lines across; what lies beyond the scale is left out.
    pub limits: Vec<Limit>,
    /// A place across with its name.
    pub place: Option<(f64, String)>,
}

const TOP_PX: f64 = 38.0;
const BOTTOM_PX: f64 = 44.0;

impl ScatterChart<'_> {
    /// The chart as SVG.
    pub(crate) fn draw(&self) -> String {
        let mut svg = Svg::default();
        svg.put(format_args!(
            r#"<svg class="chart" role="img" aria-label="{}" width="100%" height="{}"><text class="axis-title" y="12">{}</text><g transform="translate(0 {})">"#,
            Escaped(self.aria),
            Place(TOP_PX + HEIGHT + BOTTOM_PX),
            Escaped(&self.y.full_title()),
            Place(TOP_PX),
        ));
        self.draw_axes(&mut svg);
        self.draw_curves(&mut svg);
        self.draw_limits(&mut svg);
        self.draw_place(&mut svg);
        for point in &self.points {
            self.draw_point(&mut svg, point);
        }
        svg.put(format_args!("</g></svg>"));
        svg.done()
    }

    fn y_px(&self, value: f64) -> f64 {
        (1.0 - self.y.scale.place(value)) * HEIGHT
    }

    fn draw_axes(&self, svg: &mut Svg) {
        for value in self.y.scale.ticks(self.y.unit.base()) {
            let y = Place(self.y_px(value));
            let class = if value == 0.0 { "grid zero" } else { "grid" };
            svg.put(format_args!(
                r#"<line class="{class}" x2="100%" y1="{y}" y2="{y}"/><text class="tick end" x="-7" y="{y}" dy=".35em">{}</text>"#,
                Escaped(&self.y.unit.tick(value)),
            ));
        }
        let ticks = self.x.scale.ticks(self.x.unit.base());
        let many = ticks.len() > 5;
        for (at, value) in ticks.iter().enumerate() {
            let roomy = if many && at % 2 == 1 { " roomy" } else { "" };
            let x = Across(self.x.scale.place(*value));
            svg.put(format_args!(
                r#"<line class="notch{roomy}" x1="{x}" x2="{x}" y1="{0}" y2="{1}"/><text class="tick mid{roomy}" x="{x}" y="{2}">{3}</text>"#,
                Place(HEIGHT),
                Place(HEIGHT + 4.0),
                Place(HEIGHT + 18.0),
                Escaped(&self.x.unit.tick(*value)),
            ));
        }
        svg.put(format_args!(
            r#"<text class="axis-title" y="{}">{}</text>"#,
            Place(HEIGHT + 38.0),
            Escaped(&self.x.full_title()),
        ));
    }

    fn draw_curves(&self, svg: &mut Svg) {
        svg.put(format_args!(
            r#"<svg width="100%" height="{0}" viewBox="0 0 {PATH_WIDTH} {0}" preserveAspectRatio="none">"#,
            Place(HEIGHT),
        ));
        for curve in &self.curves {
            let mut path = Svg::default();
            for (at, (x, y)) in curve.points.iter().enumerate() {
                let pen = if at == 0 { 'M' } else { 'L' };
                path.put(format_args!(
                    "{pen}{} {}",
                    Place(self.x.scale.place(*x) * PATH_WIDTH),
                    Place(self.y_px(*y)),
                ));
            }
            svg.put(format_args!(
                r#"<path class="line {}" d="{}"/>"#,
                curve.tone.class(),
                path.done()
            ));
        }
        svg.put(format_args!("</svg>"));
        let ends = self.curves.iter();
        let ends = ends.filter_map(|curve| Some((curve, *curve.points.last()?)));
        let ends: Vec<(&Curve, (f64, f64))> = ends.collect();
        let places: Vec<f64> = ends.iter().map(|(_, (_, y))| self.y_px(*y)).collect();
        for ((curve, (x, _)), y) in ends.iter().zip(spread(&places, 14.0, HEIGHT)) {
            svg.put(format_args!(
                r#"<text class="name ink-{} roomy" x="{}" dx="9" y="{}" dy=".35em">{}</text>"#,
                curve.tone.class(),
                Across(self.x.scale.place(*x)),
                Place(y),
                Escaped(&curve.name),
            ));
        }
    }

    fn draw_limits(&self, svg: &mut Svg) {
        let inside = |limit: &&Limit| limit.value <= self.y.scale.max();
        for limit in self.limits.iter().filter(inside) {
            let y = self.y_px(limit.value);
            svg.put(format_args!(
                r#"<line class="line {}" x2="100%" y1="{1}" y2="{1}"/><text class="limit-name halo" x="4" y="{2}">{3}</text>"#,
                Tone::Limit.class(),
                Place(y),
                Place(if y < 18.0 { y + 14.0 } else { y - 6.0 }),
                Escaped(&limit.label),
            ));
        }
    }

    fn draw_place(&self, svg: &mut Svg) {
        let Some((value, name)) = &self.place else {
            return;
        };
        let place = self.x.scale.place(*value);
        let x = Across(place);
        // The name stands where there is room for it.
        let side = match place {
            place if place < 0.2 => "start",
            place if place > 0.8 => "end",
            _ => "mid",
        };
        svg.put(format_args!(
            r#"<line class="knee" x1="{x}" x2="{x}" y1="-4" y2="{}"/><text class="knee-name halo {side}" x="{x}" y="-10">{}</text>"#,
            Place(HEIGHT),
            Escaped(name),
        ));
    }

    fn draw_point(&self, svg: &mut Svg, point: &Point) {
        let (x, y) = point.at;
        let x = Across(self.x.scale.place(x));
        let y = Place(self.y_px(y));
        let class = point.class;
        svg.put(format_args!(
            r#"<g class="point"><title>{}</title>"#,
            Escaped(&point.tip)
        ));
        match point.mark {
            Mark::Ring => svg.put(format_args!(
                r#"<circle class="mark ring {class}" cx="{x}" cy="{y}" r="5"/>"#
            )),
            Mark::Disc => svg.put(format_args!(
                r#"<circle class="mark disc {class}" cx="{x}" cy="{y}" r="5.5"/>"#
            )),
            Mark::Diamond => svg.put(format_args!(
                r#"<svg x="{x}" y="{y}" overflow="visible"><path class="mark diamond {class}" d="M0-6L6 0 0 6-6 0Z"/></svg>"#
            )),
        }
        svg.put(format_args!("</g>"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: Vec<Point>, place: Option<(f64, String)>) -> String {
        let axis = |title, unit| Axis {
            title,
            unit,
            scale: Scale::log([1.0, 100.0]),
        };
        ScatterChart {
            aria: "p95 <by rate>",
            x: axis("rate", Unit::PerS),
            y: axis("p95", Unit::Us),
            curves: vec![Curve {
                name: "p95".to_owned(),
                tone: Tone::Main,
                points: points.iter().map(|point| point.at).collect(),
            }],
            points,
            limits: vec![
                Limit {
                    value: 10.0,
                    label: "near".to_owned(),
                },
                Limit {
                    value: 1e9,
                    label: "far".to_owned(),
                },
            ],
            place,
        }
        .draw()
    }

    fn point(at: (f64, f64), mark: Mark) -> Point {
        Point {
            at,
            mark,
            class: "held",
            tip: "a & b".to_owned(),
        }
    }

    #[test]
    fn marks_lie_where_their_values_are() {
        let points = vec![
            point((1.0, 1.0), Mark::Disc),
            point((10.0, 10.0), Mark::Diamond),
            point((100.0, 100.0), Mark::Ring),
        ];
        let svg = chart(points, Some((10.0, "knee 10/s".to_owned())));
        assert!(
            svg.contains(r#"class="mark disc held" cx="0%" cy="220""#),
            "{svg}"
        );
        assert!(svg.contains(r#"<svg x="50%" y="110" overflow"#), "{svg}");
        assert!(
            svg.contains(r#"class="mark ring held" cx="100%" cy="0""#),
            "{svg}"
        );
        assert!(svg.contains(r#"d="M0 220L500 110L1000 0""#), "{svg}");
        assert!(svg.contains(r#"class="knee" x1="50%""#) && svg.contains("knee 10/s"));
        assert!(svg.contains("<title>a &amp; b</title>") && svg.contains("&lt;by rate&gt;"));
        assert!(svg.contains("near") && !svg.contains("far"));
        assert!(svg.contains("rate, log scale"));
    }

    #[test]
    fn nothing_and_nonsense_still_give_a_chart() {
        assert!(chart(Vec::new(), None).ends_with("</g></svg>"));
        let svg = chart(vec![point((f64::NAN, f64::INFINITY), Mark::Disc)], None);
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }
}
