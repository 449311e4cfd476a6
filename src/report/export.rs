//! What every exporter is: a name and a pure function from the report to bytes.

use super::model::Report;

/// Makes one file of a report.
pub trait Exporter: Sync {
    /// The file's name in the report's folder; one of [`super::folder::REPORT_FILES`].
    fn file_name(&self) -> &'static str;

    /// The file's content.
    fn export(&self, report: &Report) -> Result<Vec<u8>, ExportError>;
}

/// A file could not be made from a report.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// JSON knows no such number, and `null` would say "not measured".
    #[error(
        "{at} is {value}, which is no number that JSON knows; \
         whoever filled in the report divided by nothing"
    )]
    NotFinite {
        /// The field, as in `requests.response_time_us.mean`.
        at: String,
        /// What stands there: `NaN`, `inf` or `-inf`.
        value: f64,
    },
    /// The report could not be put into JSON.
    #[error("cannot be put into JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// The report could not be put into rows.
    #[error("cannot be put into CSV: {0}")]
    Csv(#[from] csv::Error),
    /// The report could not be put into XML.
    #[error("cannot be put into XML: {0}")]
    Junit(#[from] quick_junit::SerializeError),
    /// The report could not be drawn or laid out.
    #[error("{what} cannot be drawn: {reason}")]
    Render {
        /// Which part.
        what: String,
        /// Why.
        reason: String,
    },
}

/// The bytes that `writer` has gathered.
pub(super) fn csv_bytes(writer: csv::Writer<Vec<u8>>) -> Result<Vec<u8>, ExportError> {
    writer
        .into_inner()
        .map_err(|error| ExportError::Csv(error.into_error().into()))
}
