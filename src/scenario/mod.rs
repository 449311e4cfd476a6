//! The scenario file as written, and the plan it becomes.
//!
//! The way of a scenario: text -> `yaml` tree in which every value knows its place -> command
//! line's overrides put into it -> one tree for each of its `variants` -> `file`'s types as written
//! -> `build` with all rules -> [`plan::Plan`]. Every step reports all errors it finds and goes on as far as it can; the
//! [`Diagnostics`] of all steps come out together. Called by the command line; reads one file and
//! the environment variables that it names, and touches nothing else.

mod build;
mod decode;
mod diagnostics;
mod file;
pub mod jobs;
mod overrides;
pub mod plan;
mod resolved;
pub mod sample;
mod shown;
mod target;
mod variants;
mod words;
mod yaml;

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use decode::Decode;
use diagnostics::Errors;
pub use diagnostics::{Diagnostic, Diagnostics, Place};
pub use overrides::Overrides;
use plan::Plan;
pub use shown::argument as shown_argument;

/// The largest scenario that is read.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Reads the scenario in the file at `path`, changed by `overrides`.
pub fn load(path: &Path, overrides: &Overrides) -> Result<Plan, Diagnostics> {
    let name = path.display().to_string();
    let bytes = read_file(path, &name)?;
    match String::from_utf8(bytes) {
        Ok(text) => {
            let mut plan = parse(&name, &text, overrides)?;
            if let Some(folder) = path.parent() {
                plan.rebase(folder);
            }
            Ok(plan)
        }
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            Err(not_utf8(&name, error.as_bytes(), at))
        }
    }
}

/// Reads the scenario `text`, changed by `overrides`; errors call it `name_of_source`.
pub fn parse(name_of_source: &str, text: &str, overrides: &Overrides) -> Result<Plan, Diagnostics> {
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(too_large(name_of_source));
    }
    let mut errors = Errors::default();
    let plan = read(text, overrides, &mut errors);
    match plan {
        Some(plan) if errors.is_empty() => Ok(plan),
        _ => Err(errors.of(name_of_source, text)),
    }
}

fn read(text: &str, overrides: &Overrides, errors: &mut Errors) -> Option<Plan> {
    let mut root = yaml::read(text, errors)?;
    overrides::apply(&mut root, overrides, errors);
    let duration = overrides.duration;
    match variants::take(&mut root, errors) {
        Some(list) => variants::read(&root, &list, text, duration, errors),
        None => read_one(&root, text, duration, errors),
    }
}

/// The plan of one tree, whose text is `source`.
fn read_one(
    root: &yaml::Node,
    source: &str,
    duration: Option<Duration>,
    errors: &mut Errors,
) -> Option<Plan> {
    let mut root = root.clone();
    target::complete(&mut root, errors);
    let file = file::File::decode(&root, errors)?;
    build::build(&file, source, duration, errors)
}

fn read_file(path: &Path, name: &str) -> Result<Vec<u8>, Diagnostics> {
    let unreadable = |error: std::io::Error| {
        let message = format!("the scenario cannot be read: {error}");
        Diagnostics::whole(
            name,
            message,
            "give the path of a scenario file, such as scenarios/adr-006.yaml",
        )
    };
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    // A pipe or a device could keep us waiting for ever.
    if !metadata.is_file() {
        let message = if metadata.is_dir() {
            "this is a folder, not a scenario file"
        } else {
            "this is not a regular file"
        };
        let help = "give the path of a file";
        return Err(Diagnostics::whole(name, message.to_owned(), help));
    }
    if metadata.len() > FILE_BYTES_MAX {
        return Err(too_large(name));
    }
    // It may grow while it is read.
    let mut bytes = Vec::new();
    let mut limited = File::open(path)
        .map_err(unreadable)?
        .take(FILE_BYTES_MAX + 1);
    limited.read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(too_large(name));
    }
    Ok(bytes)
}

fn too_large(name: &str) -> Diagnostics {
    let message = "the scenario is larger than 1 MiB".to_owned();
    Diagnostics::whole(
        name,
        message,
        "is this the right file? A scenario takes a few KiB",
    )
}

fn not_utf8(name: &str, bytes: &[u8], at: usize) -> Diagnostics {
    let before = String::from_utf8_lossy(&bytes[..at]);
    let line = before.matches('\n').count() + 1;
    let column = before
        .rsplit('\n')
        .next()
        .unwrap_or_default()
        .chars()
        .count()
        + 1;
    let place = Place::Source {
        line,
        column,
        width: 1,
    };
    let mut errors = Errors::default();
    errors.push(
        Diagnostic::new(&place, "this is not UTF-8")
            .label("from here on")
            .help("save the file as UTF-8"),
    );
    errors.of(name, &String::from_utf8_lossy(bytes))
}
