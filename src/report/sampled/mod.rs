//! The report of a sampled simulation: estimates of the whole with their error bars, from the reports
//! of its samples.
//!
//! [`estimates`] reads the samples' reports as they are; [`to_whole`] then scales the counts of the one
//! that is shown. `table` and `told` say it to people, the same in every exporter. Pure.

mod figures;
mod judge;
mod scale;

#[cfg(test)]
mod tests;

pub use figures::estimates;
pub use judge::judge_again;
pub use scale::{Whole, to_whole, variant_to_whole};

use super::model::{Report, SampledFigure, SamplingResult};
use super::table::{Column, Table};
use super::words::{plain, rate, us};
use crate::units::{ByteSize, thousands};

/// One row for each estimate; empty without a sample.
pub(super) fn table(report: &Report) -> Table {
    let mut table = Table::new(vec![
        Column::names("estimate of the whole"),
        Column::figures("mean"),
        Column::figures("from"),
        Column::figures("to"),
        Column::figures("corrected by").luxury(),
    ]);
    let figures = report
        .sampling
        .iter()
        .flat_map(|sampling| &sampling.figures);
    for figure in figures {
        let [mean, low, high] =
            [figure.mean, figure.low, figure.high].map(|value| value_of(figure, value));
        table.push(
            None,
            vec![
                plain(&figure.name).into(),
                mean.into(),
                low.into(),
                high.into(),
                correction(figure).into(),
            ],
        );
    }
    table
}

/// What was simulated, in a sentence: `1 in 50 users and keys: …`.
pub(super) fn told(sampling: &SamplingResult) -> String {
    let step = 1.0 / sampling.share;
    let step = if (step - step.round()).abs() < 0.005 {
        format!("{step:.0}")
    } else {
        format!("{step:.1}")
    };
    let hits = sampling
        .figures
        .iter()
        .find(|figure| figure.name == "hit ratio");
    let hits = hits.map_or_else(String::new, |figure| {
        format!("; hit ratio {}", plus_minus(figure))
    });
    format!(
        "1 in {step} users and keys: {} of {} users, {} of {} shared keys, {} samples{hits}",
        thousands(sampling.users_simulated.into()),
        thousands(sampling.users_total.into()),
        thousands(sampling.keys_simulated),
        thousands(sampling.keys_total),
        sampling.samples,
    )
}

/// `97.2% ± 0.3`, by the farther end of the interval.
fn plus_minus(figure: &SampledFigure) -> String {
    let half = (figure.high - figure.mean).max(figure.mean - figure.low) * 100.0;
    let half = if half < 0.095 {
        format!("{half:.2}")
    } else {
        format!("{half:.1}")
    };
    format!("{:.1}% ± {half}", figure.mean * 100.0)
}

/// A value of `figure` for a person.
pub(super) fn value_of(figure: &SampledFigure, value: f64) -> String {
    match figure.unit.as_str() {
        // Two digits: intervals are narrow.
        "ratio" => format!("{:.2}%", value * 100.0),
        "us" => us(value),
        "bytes" => bytes(value),
        "per_s" => format!("{}/s", rate(value)),
        _ => rate(value),
    }
}

/// The correction for a person; empty if there is none to speak of.
pub(super) fn correction(figure: &SampledFigure) -> String {
    let small = (figure.mean.abs() * 1e-4).max(1e-9);
    if figure.corrected_by.abs() <= small {
        return String::new();
    }
    let sign = if figure.corrected_by < 0.0 {
        "−"
    } else {
        "+"
    };
    format!("{sign}{}", value_of(figure, figure.corrected_by.abs()))
}

#[allow(
    clippy::cast_sign_loss,
    reason = "memory is not negative, and the cast saturates"
)]
fn bytes(value: f64) -> String {
    ByteSize(value as u64).to_string()
}
