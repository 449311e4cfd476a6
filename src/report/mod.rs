//! What tells: one exporter per file, all made from [`model::Report`].
//!
//! The runner prepares a [`folder::Folder`] before the run, so that a run is not lost for want of
//! a place, and calls [`write_all`] after it; the command prints [`terminal::render`]. Nothing in
//! here measures, judges or reads time: whatever a file says stands in the report already.

pub mod agreement;
mod digest;
pub mod export;
mod finite;
#[doc(hidden)]
pub mod fixture;
pub mod folder;
pub mod html;
pub mod json;
pub mod junit;
pub mod markdown;
pub mod model;
mod offered;
pub mod operations_csv;
pub mod read;
pub mod sampled;
pub mod schema;
mod table;
mod target;
pub mod terminal;
pub mod timeseries_csv;
mod user_kinds;
mod variants;
mod watched;
mod words;

use std::fmt;
use std::path::PathBuf;

pub use export::{ExportError, Exporter};
pub use read::{ReadError, read};

use folder::{Folder, FolderError};
use model::Report;

/// Every file that is made from a report, in the order in which they are written: one line each.
/// `report.json` is first, because the others can be made from it again.
const EXPORTERS: &[&dyn Exporter] = &[
    &json::Json,
    &html::Html,
    &junit::Junit,
    &markdown::Markdown,
    &timeseries_csv::TimeseriesCsv,
    &operations_csv::OperationsCsv,
];

/// Why one file is missing.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It could not be made from the report.
    #[error("{file}: {source}")]
    Export {
        /// The file's name.
        file: String,
        /// Why.
        source: ExportError,
    },
    /// It was made but could not be written.
    #[error(transparent)]
    Write(#[from] FolderError),
}

/// Some files of a report are missing. All the others were written all the same.
#[derive(Debug)]
pub struct ReportError {
    /// Where it was to be.
    pub folder: PathBuf,
    /// What is there.
    pub written: Vec<PathBuf>,
    /// What is missing, and why.
    pub missing: Vec<FileError>,
}

impl fmt::Display for ReportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (missing, folder) = (self.missing.len(), self.folder.display());
        let files = self.written.len() + missing;
        write!(
            f,
            "{missing} of {files} files of the report in {folder} are missing"
        )?;
        for error in &self.missing {
            write!(f, "\n  {error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ReportError {}

/// Writes every file of `report` into `folder`, and the `extras` (name and content) that come from
/// elsewhere, such as `scenario.yaml`. Gives the paths of what was written.
///
/// # Errors
/// If a file could not be made or written; the others are written all the same, because a run
/// cannot be had again.
pub fn write_all(
    folder: &Folder,
    report: &Report,
    extras: &[(&str, Vec<u8>)],
) -> Result<Vec<PathBuf>, ReportError> {
    let mut written = Vec::new();
    let mut missing = Vec::new();
    for exporter in EXPORTERS {
        let file = exporter.file_name();
        match exporter.export(report) {
            Ok(bytes) => match folder.write(file, &bytes) {
                Ok(path) => written.push(path),
                Err(error) => missing.push(error.into()),
            },
            Err(source) => missing.push(FileError::Export {
                file: file.to_owned(),
                source,
            }),
        }
    }
    for (name, bytes) in extras {
        match folder.write(name, bytes) {
            Ok(path) => written.push(path),
            Err(error) => missing.push(error.into()),
        }
    }
    if missing.is_empty() {
        Ok(written)
    } else {
        Err(ReportError {
            folder: folder.path().to_owned(),
            written,
            missing,
        })
    }
}

#[cfg(test)]
mod tests;
