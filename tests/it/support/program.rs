//! The program itself, run in a temporary folder that goes with the run.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// A place for one run.
pub(crate) struct Place(TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    /// `cachestorm COMMAND SCENARIO`, quiet, with a report folder here.
    pub(crate) fn command(&self, command: &str, scenario: impl AsRef<Path>) -> Command {
        let mut cachestorm = Command::new(env!("CARGO_BIN_EXE_cachestorm"));
        cachestorm
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
            .arg(command)
            .arg(scenario.as_ref())
            .args(["--quiet", "--out"])
            .arg(self.out())
            // What the run puts into temporary folders goes with the place.
            .env("TMPDIR", self.folder())
            .stdin(Stdio::null());
        cachestorm
    }

    pub(crate) fn folder(&self) -> &Path {
        self.0.path()
    }

    fn out(&self) -> PathBuf {
        self.folder().join("report")
    }

    /// A file of the report.
    pub(crate) fn file(&self, name: &str) -> String {
        std::fs::read_to_string(self.out().join(name)).expect(name)
    }

    /// The report, if one was written.
    pub(crate) fn report(&self) -> Option<Value> {
        let report = std::fs::read_to_string(self.out().join("report.json")).ok()?;
        Some(serde_json::from_str(&report).expect("report.json is JSON"))
    }
}

/// Runs `cachestorm COMMAND SCENARIO` and gives what it said, and its report if it wrote one.
pub(crate) fn cachestorm(command: &str, scenario: &str, more: &[&str]) -> (Output, Option<Value>) {
    let place = Place::new();
    let output = place.command(command, scenario).args(more).output();
    (output.expect("the command starts"), place.report())
}

/// The report of a run that came to its end. Gates may fail on so small a run; what counts is what was
/// measured.
pub(crate) fn report_of(command: &str, scenario: &str, more: &[&str]) -> Value {
    let (output, report) = cachestorm(command, scenario, more);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(
        matches!(output.status.code(), Some(0 | 3 | 4)),
        "{}: {told}",
        output.status
    );
    report.unwrap_or_else(|| panic!("no report: {told}"))
}
