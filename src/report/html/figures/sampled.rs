//! How sure are the figures of a sample? Only for simulations of a share of the users and keys.

use super::Section;
use crate::report::html::table::{Cell, Table};
use crate::report::model::{Report, SampledFigure, SamplingResult};
use crate::report::sampled::{correction, told, value_of};

pub(super) fn section(report: &Report) -> Option<Section> {
    let sampling = report.sampling.as_ref()?;
    let fact = |name: &str, value: String| (name.to_owned(), value);
    let mut facts = vec![fact("simulated", told(sampling))];
    facts.extend(
        sampling
            .caveats
            .iter()
            .map(|caveat| fact("to know", caveat.clone())),
    );
    Some(Section {
        id: "sampled",
        title: "How sure are these figures?",
        facts,
        tables: vec![estimates(sampling)],
        ..Section::default()
    })
}

fn estimates(sampling: &SamplingResult) -> Table {
    let caption = format!(
        "Estimates of the whole from {} samples, with 95% confidence between the ends",
        sampling.samples
    );
    let columns = ["figure", "mean", "from", "to", "corrected by", "samples"];
    let mut table = Table::new(&caption, &columns);
    table.rows = sampling.figures.iter().map(row).collect();
    table
}

fn row(figure: &SampledFigure) -> Vec<Cell> {
    let value = |value: f64| Cell::number(value_of(figure, value));
    let samples: Vec<String> = figure
        .values
        .iter()
        .map(|one| value_of(figure, *one))
        .collect();
    vec![
        Cell::text(figure.name.clone()),
        value(figure.mean),
        value(figure.low),
        value(figure.high),
        Cell::number(correction(figure)),
        Cell::number(samples.join(", ")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::{sample_report, sampled_report};

    #[test]
    fn a_sample_has_its_section_and_others_have_none() {
        assert!(section(&sample_report()).is_none());
        let report = sampled_report();
        let section = section(&report).expect("a section");
        let figures = &report.sampling.as_ref().expect("a sample").figures;
        assert_eq!(section.tables[0].rows.len(), figures.len());
        let texts = section.tables[0].rows[0]
            .iter()
            .map(|cell| cell.text.clone());
        insta::assert_snapshot!(texts.collect::<Vec<_>>().join(" | "), @"hit ratio | 94.94% | 94.74% | 95.08% | +0.06% | 94.87%, 94.85%, 94.91%, 94.88%");
        assert_eq!(section.facts.len(), 2);
    }
}
