//! Reads a `report.json` back, for whoever compares runs or makes a report's files anew.

use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::model::{Report, SCHEMA_VERSION};

/// A report could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file is not there, or may not be read.
    #[error("{path}: {source}; name a report.json, or a report's folder", path = .path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is something else.
    #[error("{path} is no report of cachestorm: {source}", path = .path.display())]
    NoReport {
        /// Which file.
        path: PathBuf,
        /// What shows it.
        source: serde_json::Error,
    },
    /// It was written by a version that speaks another schema.
    #[error(
        "{path} has schema_version {found}, and this cachestorm reads {SCHEMA_VERSION}; \
         use the cachestorm that wrote it, or run the scenario again",
        path = .path.display()
    )]
    Version {
        /// Which file.
        path: PathBuf,
        /// The version it has.
        found: u64,
    },
    /// Its version is known, but its content does not fit.
    #[error("{path} is damaged: {source}", path = .path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What does not fit, with line and column.
        source: serde_json::Error,
    },
}

/// What every version of the file has.
#[derive(Deserialize)]
struct Head {
    schema_version: u64,
}

/// The report in `path`, a `report.json` or the folder of one.
///
/// # Errors
/// If there is none, or if it has a `schema_version` that is not known here.
pub fn read(path: &Path) -> Result<Report, ReadError> {
    let path = if path.is_dir() {
        path.join("report.json")
    } else {
        path.to_owned()
    };
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(source) => return Err(ReadError::Io { path, source }),
    };
    match serde_json::from_slice::<Head>(&bytes) {
        Ok(Head { schema_version }) if schema_version == u64::from(SCHEMA_VERSION) => {
            serde_json::from_slice(&bytes).map_err(|source| ReadError::Damaged { path, source })
        }
        Ok(Head { schema_version }) => Err(ReadError::Version {
            path,
            found: schema_version,
        }),
        Err(source) => Err(ReadError::NoReport { path, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::export::Exporter;
    use crate::report::fixture::sample_report;
    use crate::report::json::Json;

    fn read_text(text: &[u8]) -> Result<Report, ReadError> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("report.json");
        std::fs::write(&path, text).expect("a file");
        read(&path)
    }

    #[test]
    fn a_report_is_read_from_its_file_or_its_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("report.json");
        std::fs::write(&path, Json.export(&sample_report()).expect("a report")).expect("a file");
        assert_eq!(read(&path).expect("a report"), sample_report());
        assert_eq!(read(folder.path()).expect("a report"), sample_report());
    }

    #[test]
    fn another_version_is_refused_even_if_nothing_else_fits() {
        let error = read_text(br#"{"schema_version": 2, "all": "new"}"#).expect_err("version 2");
        let text = error.to_string();
        assert!(
            text.contains("has schema_version 2, and this cachestorm reads 1"),
            "{text}"
        );
    }

    #[test]
    fn what_is_no_report_says_so() {
        for text in ["", "[]", "{}", "{\"schema_version\": -1}", "hello"] {
            let error = read_text(text.as_bytes()).expect_err(text);
            assert!(
                matches!(error, ReadError::NoReport { .. }),
                "{text}: {error}"
            );
        }
        let error = read_text(br#"{"schema_version": 1, "seed": 1}"#).expect_err("damaged");
        assert!(matches!(error, ReadError::Damaged { .. }), "{error}");
        assert!(error.to_string().contains("missing field"), "{error}");
        let error = read(Path::new("no/such/report.json")).expect_err("no file");
        assert!(
            error.to_string().starts_with("no/such/report.json: "),
            "{error}"
        );
    }
}
