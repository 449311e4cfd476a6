//! The pictures of the report, in the order of the questions that a reader asks.
//!
//! One file a question. Each picture has a title that asks, a sentence computed from the data that
//! answers, a legend and units, so that it reads without its neighbours. A picture without data
//! says why instead of vanishing. Never judges: verdicts come with the report.

mod answered;
mod bought;
mod held;
mod sampled;
mod stale;
mod stores;
mod trust;
mod variants;
mod warming;

use serde::Serialize;

use super::chart::Tone;
use super::chart::line::LineChart;
use super::table::Table;
use super::timeline::Timeline;
use super::words;
use crate::report::model::Report;

/// One question of the reader.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Section {
    /// Where links lead.
    pub id: &'static str,
    /// The question.
    pub title: &'static str,
    /// Its pictures.
    pub figures: Vec<Figure>,
    /// Single facts, by name and value.
    pub facts: Vec<(String, String)>,
    /// Its tables.
    pub tables: Vec<Table>,
}

/// One picture.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Figure {
    /// What it asks.
    pub title: String,
    /// What it answers, or why there is nothing to show.
    pub takeaway: String,
    /// The chart; empty without data.
    pub svg: String,
    /// Charts beside each other instead of one.
    pub panels: Vec<Panel>,
    /// What the signs mean.
    pub legend: Vec<Key>,
    /// What else to know.
    pub note: String,
    /// Whether it may stand beside a neighbour where there is room.
    pub half: bool,
}

/// One of many charts of the same kind.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Panel {
    /// What it is about.
    pub name: String,
    /// What it says.
    pub note: String,
    /// The chart.
    pub svg: String,
}

/// A line of a legend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Key {
    /// The sign.
    pub kind: KeyKind,
    /// Its CSS class; empty if the kind tells all.
    pub class: &'static str,
    /// What it means.
    pub text: String,
}

/// A sign of a legend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum KeyKind {
    /// A line of a tone.
    Line,
    /// An area or bar of a tone.
    Area,
    /// A ring.
    Ring,
    /// A disc.
    Disc,
    /// A diamond.
    Diamond,
    /// A target's tick.
    Target,
    /// The shade of a warm-up.
    WarmUp,
    /// A fault's line.
    Fault,
    /// A job's line.
    Job,
    /// An alert's bar.
    Alert,
    /// The shade of windows that lost a target.
    Loss,
}

impl Key {
    /// A sign that needs no tone.
    pub(crate) fn new(kind: KeyKind, text: impl Into<String>) -> Self {
        Self {
            kind,
            class: "",
            text: text.into(),
        }
    }

    /// A line of `tone`.
    pub(crate) fn line(tone: Tone, text: impl Into<String>) -> Self {
        Self {
            class: tone.class(),
            ..Self::new(KeyKind::Line, text)
        }
    }

    /// An area of `tone`.
    pub(crate) fn area(tone: Tone, text: impl Into<String>) -> Self {
        Self {
            class: tone.class(),
            ..Self::new(KeyKind::Area, text)
        }
    }
}

impl Figure {
    /// A chart of lines with its legend; what it cannot show, its note tells.
    pub(crate) fn of_lines(
        title: &str,
        chart: &LineChart<'_>,
        timeline: &Timeline<'_>,
        mut legend: Vec<Key>,
        kept: &str,
    ) -> Self {
        let drawn = chart.draw();
        if drawn.limits_above.len() < chart.limits.len() {
            legend.push(Key::line(Tone::Limit, "target or limit"));
        }
        legend.extend_from_slice(timeline.keys());
        let mut notes: Vec<String> = timeline.point_note(kept).into_iter().collect();
        if !drawn.limits_above.is_empty() {
            let limits = words::sentence(&drawn.limits_above.join(", "));
            notes.push(format!("{limits}: far above this scale."));
        }
        Self {
            title: title.to_owned(),
            takeaway: chart.aria.to_owned(),
            svg: drawn.svg,
            legend,
            note: notes.join(" "),
            ..Self::default()
        }
    }

    /// A picture that cannot be drawn, and why.
    pub(crate) fn absent(title: &str, why: &str) -> Self {
        Self {
            title: title.to_owned(),
            takeaway: why.to_owned(),
            ..Self::default()
        }
    }

    /// The same, but it may stand beside a neighbour.
    pub(crate) fn half(self) -> Self {
        Self { half: true, ..self }
    }
}

/// Why a chart over time is missing.
pub(crate) const NO_SECONDS: &str =
    "No second of this run was recorded, so there is nothing to draw over time.";

/// Every section.
pub(crate) fn sections(report: &Report) -> Vec<Section> {
    let timeline = Timeline::of(report);
    let timeline = timeline.as_ref();
    let mut sections = vec![
        held::section(report, timeline),
        answered::section(report, timeline),
        bought::section(report),
        stale::section(report),
        stores::section(report, timeline),
        trust::section(report, timeline),
    ];
    if report.target.is_some() {
        // These look inside the service, or need one that can be run without its cache.
        sections.retain(|section| !["bought", "stale", "stores"].contains(&section.id));
    }
    if let Some(warm) = warming::section(report, timeline) {
        sections.insert(2, warm);
    }
    sections.extend(sampled::section(report));
    sections.extend(variants::section(report));
    for section in &mut sections {
        widen_the_lonely(&mut section.figures);
    }
    sections
}

/// Of an odd number of half figures in a row, the last gets the whole width.
fn widen_the_lonely(figures: &mut [Figure]) {
    for row in figures.chunk_by_mut(|a, b| a.half == b.half) {
        if row.len() % 2 == 1
            && let Some(last) = row.last_mut()
        {
            last.half = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_figures_stand_in_pairs() {
        let figures = |halves: &[bool]| -> Vec<Figure> {
            let figure = |half: &bool| Figure {
                half: *half,
                ..Figure::default()
            };
            halves.iter().map(figure).collect()
        };
        for (given, wanted) in [
            (&[false, true, true][..], &[false, true, true][..]),
            (&[true, true, true], &[true, true, false]),
            (&[true, false, true], &[false, false, false]),
            (&[], &[]),
        ] {
            let mut row = figures(given);
            widen_the_lonely(&mut row);
            let halves: Vec<bool> = row.iter().map(|figure| figure.half).collect();
            assert_eq!(halves, wanted);
        }
    }
}
