//! `report.html`: the run as one page that needs nothing but itself.
//!
//! Called by the runner and by `cachestorm report`, with the record of a run; opened by people, on
//! a wall or on a phone, by day or by night, on paper. No network, no font, no library; a few lines
//! of script that show numbers under the pointer, and without them the page reads as well. Pure: the
//! same report gives the same bytes. Every text of the report is escaped. Never judges and never
//! measures: what it shows, it was told.
//!
//! The way of the data: `view` and `figures` turn the report into words, tables and SVG (drawn
//! by `chart`, which says why it does its own drawing), and the template puts them on the page.

mod chart;
mod figures;
mod step;
mod table;
mod targets;
mod timeline;
mod view;
mod words;

#[cfg(test)]
mod tests;

use super::export::{ExportError, Exporter};
use super::model::Report;

/// The page could not be put together. Only a defect of the template does that.
#[derive(Debug, thiserror::Error)]
#[error("report.html could not be written: its template failed; report.json has the same run")]
pub struct HtmlError(#[from] minijinja::Error);

/// `report.html`.
pub struct Html;

impl Exporter for Html {
    fn file_name(&self) -> &'static str {
        "report.html"
    }

    fn export(&self, report: &Report) -> Result<Vec<u8>, ExportError> {
        render(report)
            .map(String::into_bytes)
            .map_err(|error| ExportError::Render {
                what: "the page".to_owned(),
                reason: error.to_string(),
            })
    }
}

/// The page's name decides that everything in it is escaped.
const PAGE: &str = "page.html";

/// The whole page for `report`.
pub fn render(report: &Report) -> Result<String, HtmlError> {
    let mut environment = minijinja::Environment::new();
    environment.set_syntax(
        minijinja::syntax::SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build()?,
    );
    environment.add_template(PAGE, include_str!("page.html"))?;
    let page = view::Page::of(report);
    let context = minijinja::context! {
        style => include_str!("page.css"),
        script => include_str!("page.js"),
        page => minijinja::Value::from(minijinja::value::Serde(&page)),
    };
    Ok(environment.get_template(PAGE)?.render(context)?)
}
