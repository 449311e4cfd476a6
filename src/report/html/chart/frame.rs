//! What every chart over time has around its data: axes with units, phases, faults, jobs, alerts, and
//! the numbers of each bucket for the pointer.
//!
//! Heights are pixels. Widths are shares: the chart is as wide as the style sheet leaves it between
//! its gutters, where labels stand, and paths lie in an inner viewport that is stretched from
//! [`PATH_WIDTH`] units to whatever width there is.

use super::scale::{Scale, time_ticks};
use super::{Across, Escaped, Place, Svg, Unit};

/// The width of the stretched viewport in its own units.
pub(crate) const PATH_WIDTH: f64 = 1_000.0;
/// Above the plot: the title of the axis, the names of the phases and, if there are any, faults and
/// jobs.
const TOP_PX: f64 = 38.0;
const TOP_SMALL_PX: f64 = 8.0;
const FLAGS_PX: f64 = 14.0;
const LANE_PX: f64 = 12.0;
const LANES_MAX: usize = 4;
/// The width of an alert's short name as a share of a narrow plot.
const NAME_WIDTH: f64 = 0.1;
/// Below it: the moments.
const BOTTOM_PX: f64 = 24.0;
/// Roughly the width of a letter of a label in pixels.
const LETTER_PX: f64 = 6.8;
/// The widths of a plot in pixels from which on labels of a class are shown: on a small phone, in
/// half of a usual window, in a whole one. The style sheet hides them below.
const PLOT_PX: [(f64, &str); 3] = [(250.0, ""), (400.0, " roomy"), (780.0, " wide")];

/// The time that a chart spans, how it is cut, and what happened in it.
#[derive(Clone, Debug, Default)]
pub(crate) struct TimeAxis {
    /// The end in seconds; above zero.
    pub end_s: f64,
    /// Seconds in each bucket.
    pub bucket_s: u64,
    /// How many buckets.
    pub buckets: usize,
    /// The phases.
    pub phases: Vec<PhaseMark>,
    /// When faults were injected, in seconds, in the order of their numbers.
    pub faults_s: Vec<f64>,
    /// When jobs were due, in seconds, in the order of their numbers.
    pub jobs_s: Vec<f64>,
    /// From when to when alerts fired, in seconds, in the order of their numbers.
    pub alerts_s: Vec<(f64, f64)>,
    /// From when to when windows lost a target of the chart, in seconds; only some charts have any.
    pub losses_s: Vec<(f64, f64)>,
}

/// A phase on the axis.
#[derive(Clone, Debug)]
pub(crate) struct PhaseMark {
    /// Its name.
    pub name: String,
    /// When it began.
    pub start_s: f64,
    /// When it ended.
    pub end_s: f64,
    /// Whether it is judged by no gate.
    pub warm_up: bool,
}

impl TimeAxis {
    /// The place of a moment, between 0 and 1.
    pub(crate) fn across(&self, at_s: f64) -> f64 {
        let place = at_s / self.end_s;
        if place.is_finite() {
            place.clamp(0.0, 1.0)
        } else {
            0.0
        }
    }

    /// The place of the middle of a bucket.
    pub(crate) fn bucket_middle(&self, bucket: usize) -> f64 {
        let (from, to) = self.bucket_edges(bucket);
        f64::midpoint(from, to)
    }

    /// The places where a bucket begins and ends.
    pub(crate) fn bucket_edges(&self, bucket: usize) -> (f64, f64) {
        let start_s = bucket as f64 * self.bucket_s as f64;
        (
            self.across(start_s),
            self.across(start_s + self.bucket_s as f64),
        )
    }

    /// What a bucket is called: `12 s`, or `60 s to 72 s` if it spans more than one.
    pub(crate) fn bucket_name(&self, bucket: usize) -> String {
        let start_s = bucket as f64 * self.bucket_s as f64;
        let shown = super::words::seconds;
        match self.bucket_s {
            0 | 1 => shown(start_s),
            wide => format!("{} to {}", shown(start_s), shown(start_s + wide as f64)),
        }
    }
}

/// How much a chart shows around its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Size {
    /// Everything.
    Full,
    /// The least: for small multiples, whose neighbours share the rest.
    Small,
}

/// The surroundings of one chart.
#[derive(Debug)]
pub(crate) struct Frame<'a> {
    /// What the chart says, for those who cannot see it.
    pub aria: &'a str,
    /// What the vertical axis shows.
    pub y_title: &'a str,
    /// Its unit.
    pub unit: Unit,
    /// Its scale.
    pub scale: Scale,
    /// The horizontal axis.
    pub time: &'a TimeAxis,
    /// The height of the plot in pixels.
    pub height: f64,
    /// How much to show.
    pub size: Size,
}

impl Frame<'_> {
    /// The place of `value` from the top of the plot, in pixels.
    pub(crate) fn y(&self, value: f64) -> f64 {
        (1.0 - self.scale.place(value)) * self.height
    }

    /// The height of the strip in which faults and jobs are named.
    fn flags_px(&self) -> f64 {
        if self.time.faults_s.is_empty() && self.time.jobs_s.is_empty() {
            0.0
        } else {
            FLAGS_PX
        }
    }

    /// The height of the strips in which alerts are drawn.
    fn lanes_px(&self) -> f64 {
        let lanes = lanes(&self.time.alerts_s, self.time.end_s);
        let count = lanes.into_iter().max().map_or(0, |last| last + 1);
        count as f64 * LANE_PX
    }

    /// The whole chart. `paths` draws into the stretched viewport, `labels` above it into the
    /// plot; `tips` has the numbers of each bucket.
    pub(crate) fn draw(
        &self,
        paths: impl FnOnce(&mut Svg),
        labels: impl FnOnce(&mut Svg),
        tips: &[String],
    ) -> String {
        let mut svg = Svg::default();
        let (class, top) = match self.size {
            Size::Full => ("chart", TOP_PX + self.flags_px() + self.lanes_px()),
            Size::Small => ("chart small", TOP_SMALL_PX),
        };
        svg.put(format_args!(
            r#"<svg class="{class}" role="img" aria-label="{}" width="100%" height="{}">"#,
            Escaped(self.aria),
            Place(top + self.height + BOTTOM_PX),
        ));
        if self.size == Size::Full {
            svg.put(format_args!(
                r#"<text class="axis-title" y="12">{}</text>"#,
                Escaped(self.y_title)
            ));
        }
        svg.put(format_args!(
            r#"<g transform="translate(0 {})">"#,
            Place(top)
        ));
        self.draw_phases(&mut svg);
        self.draw_losses(&mut svg);
        self.draw_grid(&mut svg);
        self.draw_moments(&mut svg);
        svg.put(format_args!(
            r#"<svg width="100%" height="{0}" viewBox="0 0 {PATH_WIDTH} {0}" preserveAspectRatio="none">"#,
            Place(self.height),
        ));
        paths(&mut svg);
        svg.put(format_args!("</svg>"));
        self.draw_alerts(&mut svg);
        self.draw_marks(&mut svg, "job", &self.time.jobs_s);
        self.draw_marks(&mut svg, "fault", &self.time.faults_s);
        labels(&mut svg);
        self.draw_tips(&mut svg, tips);
        svg.put(format_args!("</g></svg>"));
        svg.done()
    }

    fn draw_phases(&self, svg: &mut Svg) {
        let strips_px = self.flags_px() + self.lanes_px();
        for (at, phase) in self.time.phases.iter().enumerate() {
            let (from, to) = (
                self.time.across(phase.start_s),
                self.time.across(phase.end_s),
            );
            if phase.warm_up {
                svg.put(format_args!(
                    r#"<rect class="warm-up" x="{}" width="{}" height="{}"/>"#,
                    Across(from),
                    Across(to - from),
                    Place(self.height),
                ));
            }
            if at > 0 {
                svg.put(format_args!(
                    r#"<line class="phase" x1="{0}" x2="{0}" y1="{1}" y2="{2}"/>"#,
                    Across(from),
                    if self.size == Size::Full {
                        Place(-16.0 - strips_px)
                    } else {
                        Place(0.0)
                    },
                    Place(self.height),
                ));
            }
            if self.size == Size::Full
                && let Some(class) = room_for(&phase.name, to - from)
            {
                svg.put(format_args!(
                    r#"<text class="phase-name{class}" x="{}" dx="4" y="{}">{}</text>"#,
                    Across(from),
                    Place(-6.0 - strips_px),
                    Escaped(&phase.name),
                ));
            }
        }
    }

    fn draw_losses(&self, svg: &mut Svg) {
        for (from_s, to_s) in &self.time.losses_s {
            let (from, to) = (self.time.across(*from_s), self.time.across(*to_s));
            svg.put(format_args!(
                r#"<rect class="loss" x="{}" width="{}" height="{}"/>"#,
                Across(from),
                Across((to - from).max(0.002)),
                Place(self.height),
            ));
        }
    }

    fn draw_grid(&self, svg: &mut Svg) {
        let ticks = match self.size {
            Size::Full => self.scale.ticks(self.unit.base()),
            Size::Small => vec![0.0, self.scale.max() / 2.0, self.scale.max()],
        };
        for value in ticks {
            let y = Place(self.y(value));
            let class = if value == 0.0 { "grid zero" } else { "grid" };
            svg.put(format_args!(
                r#"<line class="{class}" x2="100%" y1="{y}" y2="{y}"/><text class="tick end" x="-7" y="{y}" dy=".35em">{}</text>"#,
                Escaped(&self.unit.tick(value)),
            ));
        }
    }

    fn draw_moments(&self, svg: &mut Svg) {
        let ticks = time_ticks(self.time.end_s);
        let many = ticks.len() > 5;
        for (at, (moment_s, text)) in ticks.iter().enumerate() {
            let roomy = if many && at % 2 == 1 { " roomy" } else { "" };
            // Small multiples have room for the ends only.
            if self.size == Size::Small && at != 0 && at + 1 != ticks.len() {
                continue;
            }
            let roomy = if self.size == Size::Small { "" } else { roomy };
            let x = Across(self.time.across(*moment_s));
            svg.put(format_args!(
                r#"<line class="notch{roomy}" x1="{x}" x2="{x}" y1="{0}" y2="{1}"/><text class="tick mid{roomy}" x="{x}" y="{2}">{3}</text>"#,
                Place(self.height),
                Place(self.height + 4.0),
                Place(self.height + 18.0),
                Escaped(text),
            ));
        }
    }

    fn draw_alerts(&self, svg: &mut Svg) {
        if self.size == Size::Small {
            return;
        }
        let alerts_s = &self.time.alerts_s;
        let lanes = lanes(alerts_s, self.time.end_s);
        for (at, ((from_s, to_s), lane)) in alerts_s.iter().zip(lanes).enumerate() {
            let (from, to) = (self.time.across(*from_s), self.time.across(*to_s));
            let middle = -self.flags_px() - (lane as f64 + 0.5) * LANE_PX - 1.0;
            // The name stands behind the bar, or before it where there is no room behind.
            let (class, name_at, dx) = if to < 0.9 {
                ("", to, 4)
            } else {
                (" end", from.max(0.1), -4)
            };
            svg.put(format_args!(
                r#"<rect class="alert" x="{}" width="{}" y="{}" height="5"/><text class="alert-name halo{class}" x="{}" dx="{dx}" y="{}" dy=".35em">A{}</text>"#,
                Across(from),
                Across((to - from).max(0.004)),
                Place(middle - 2.5),
                Across(name_at),
                Place(middle),
                at + 1,
            ));
        }
    }

    /// Lines at `moments_s`, numbered and named by the first letter of their `kind`.
    fn draw_marks(&self, svg: &mut Svg, kind: &str, moments_s: &[f64]) {
        let letter = kind[..1].to_uppercase();
        for (at, moment_s) in (1..).zip(moments_s) {
            let x = Across(self.time.across(*moment_s));
            svg.put(format_args!(
                r#"<line class="{kind}" x1="{x}" x2="{x}" y2="{}"/>"#,
                Place(self.height),
            ));
            if self.size == Size::Full {
                svg.put(format_args!(
                    r#"<text class="{kind}-name mid" x="{x}" y="-4">{letter}{at}</text>"#,
                ));
            }
        }
    }

    fn draw_tips(&self, svg: &mut Svg, tips: &[String]) {
        // A viewport of its own: 100% is the height of the plot, not of the chart.
        svg.put(format_args!(
            r#"<svg class="tips" width="100%" height="{}">"#,
            Place(self.height)
        ));
        for (bucket, tip) in tips.iter().enumerate().filter(|(_, tip)| !tip.is_empty()) {
            let (from, to) = self.time.bucket_edges(bucket);
            svg.put(format_args!(
                r#"<rect x="{}" width="{}" height="100%"><title>{}</title></rect>"#,
                Across(from),
                Across(to - from),
                EscapedLines(tip),
            ));
        }
        svg.put(format_args!("</svg>"));
    }
}

/// The strip of each alert, so that those that overlap lie above each other; the last strip takes
/// all for which there is no room.
fn lanes(alerts_s: &[(f64, f64)], end_s: f64) -> Vec<usize> {
    let name_s = end_s * NAME_WIDTH;
    let mut free_from_s = [f64::NEG_INFINITY; LANES_MAX];
    alerts_s
        .iter()
        .map(|(from_s, to_s)| {
            let free = free_from_s.iter().position(|free_s| *free_s <= *from_s);
            let lane = free.unwrap_or(LANES_MAX - 1);
            free_from_s[lane] = free_from_s[lane].max(to_s + name_s);
            lane
        })
        .collect()
}

/// The class of a label in a place of this width, which tells how wide a plot must be to show it;
/// `None` if the label fits nowhere.
fn room_for(text: &str, width: f64) -> Option<&'static str> {
    let wanted_px = text.chars().count() as f64 * LETTER_PX + 6.0;
    PLOT_PX
        .into_iter()
        .find_map(|(plot_px, class)| (width * plot_px >= wanted_px).then_some(class))
}

/// A tip: its line breaks stay.
struct EscapedLines<'a>(&'a str);

impl std::fmt::Display for EscapedLines<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, line) in self.0.lines().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            Escaped(line).fmt(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_left_out_where_they_would_not_fit() {
        assert_eq!(room_for("steady", 0.8), Some(""));
        assert_eq!(room_for("warm-up", 0.16), Some(" roomy"));
        assert_eq!(room_for("warm-up", 0.12), Some(" wide"));
        assert_eq!(room_for("warm-up", 0.01), None);
    }

    #[test]
    fn an_axis_without_length_has_all_at_its_start() {
        let axis = TimeAxis::default();
        assert_eq!(
            axis.across(5.0).to_bits(),
            0.0_f64.to_bits().max(axis.across(5.0).to_bits())
        );
        assert!((0.0..=1.0).contains(&axis.across(f64::NAN)));
        assert!((0.0..=1.0).contains(&axis.bucket_middle(7)));
    }

    #[test]
    fn alerts_that_overlap_lie_in_strips_of_their_own() {
        let alerts_s = [(0.0, 11.0), (0.0, 19.0), (30.0, 31.0), (12.0, 40.0)];
        assert_eq!(lanes(&alerts_s, 85.0), [0, 1, 0, 2]);
        let many = lanes(&[(0.0, 9.0); 9], 85.0);
        assert_eq!(many.iter().max(), Some(&(LANES_MAX - 1)));
        assert!(lanes(&[], 85.0).is_empty());
    }

    #[test]
    fn buckets_name_their_seconds() {
        let axis = |bucket_s| TimeAxis {
            end_s: 720.0,
            bucket_s,
            ..TimeAxis::default()
        };
        assert_eq!(axis(1).bucket_name(12), "12 s");
        assert_eq!(axis(4).bucket_name(3), "12 s to 16 s");
    }
}
