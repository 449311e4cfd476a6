//! What can be wrong with a trace: which file, where in it, and what to do.

use std::fmt;
use std::io;

use super::TraceFormat;
use crate::units::thousands;

/// Where in a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// This line, counted from 1.
    Line(u64),
    /// This binary record, counted from 1.
    Record(u64),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "line {line}"),
            Self::Record(record) => write!(f, "record {record}"),
        }
    }
}

/// A part of a line that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Which column, counted from 1; 0 where the format has none.
    pub(crate) column: usize,
    pub(crate) field: &'static str,
    pub(crate) found: String,
    pub(crate) wanted: &'static str,
}

/// The most of a field that an error repeats.
const FOUND_CHARS_MAX: usize = 60;

impl Fault {
    pub(crate) fn new(field: &'static str, found: &[u8], wanted: &'static str) -> Self {
        let text = String::from_utf8_lossy(&found[..found.len().min(FOUND_CHARS_MAX * 4)]);
        let mut short: String = text.chars().take(FOUND_CHARS_MAX).collect();
        if short.len() < found.len() {
            short.push('…');
        }
        Self {
            column: 0,
            field,
            found: short,
            wanted,
        }
    }

    /// The same, in this column.
    pub(crate) fn at(self, column: usize) -> Self {
        Self { column, ..self }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.column > 0 {
            write!(f, "field {} ({}): ", self.column, self.field)?;
        } else {
            write!(f, "{}: ", self.field)?;
        }
        write!(f, "{:?} is not {}", self.found, self.wanted)
    }
}

/// A trace that cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TraceError {
    /// It cannot be opened.
    #[error("the trace {trace} cannot be opened: {source}; check its path and its permissions")]
    Open {
        /// Its name.
        trace: String,
        /// Why.
        source: io::Error,
    },
    /// It broke off.
    #[error(
        "the trace {trace} cannot be read on after {place}: {source}; if it was downloaded or is \
         still being written, it may not be complete"
    )]
    Read {
        /// Its name.
        trace: String,
        /// The last place that was read.
        place: Place,
        /// Why.
        source: io::Error,
    },
    /// Its name promises a compression that its content has not.
    #[error(
        "{trace} is named {suffix}, but its content is not compressed so; rename it, or fetch it \
         again"
    )]
    NotCompressed {
        /// Its name.
        trace: String,
        /// The suffix.
        suffix: &'static str,
    },
    /// There is nothing in it.
    #[error("the trace {trace} is empty: there is nothing to read")]
    Empty {
        /// Its name.
        trace: String,
    },
    /// There are lines in it, and no request.
    #[error(
        "the trace {trace} holds no request: check that it is the right file, and its --format"
    )]
    NoRequests {
        /// Its name.
        trace: String,
    },
    /// Its format cannot be told from its content.
    #[error(
        "the format of {trace} cannot be told from its name or its beginning; give it with \
         --format: {}",
        TraceFormat::names()
    )]
    UnknownFormat {
        /// Its name.
        trace: String,
    },
    /// A line that cannot be read.
    #[error(
        "{trace}, {place}: {fault}; correct it, give the right --format (this is read as {format}), \
         or leave such lines out, counted, with --skip-malformed"
    )]
    Malformed {
        /// The trace's name.
        trace: String,
        /// Where.
        place: Place,
        /// What is wrong: the field, what stands there, what should.
        fault: String,
        /// As what it is read.
        format: TraceFormat,
    },
    /// The sizes of so many keys' values are not kept.
    #[error(
        "the trace {trace} has more than {} keys in the part that is replayed, and the sizes of their \
         values would take too much memory: replay a sample of its keys \
         (`cachestorm trace convert {trace} OUT --sample 10%`) or less time of it, or write \
         `value_size: scenario`",
        thousands(*keys_max as u64)
    )]
    TooManyKeys {
        /// The trace's name.
        trace: String,
        /// How many are.
        keys_max: usize,
    },
    /// Values are to be as large as it says, and it says nothing.
    #[error(
        "the trace {trace} does not say how large values are, so they cannot be so large: write \
         `value_size: scenario` under `traffic.trace`, which takes the data type's"
    )]
    NoSizes {
        /// The trace's name.
        trace: String,
    },
    /// A file cannot be made or written.
    #[error("{path} cannot be written: {source}; check the folder, its permissions and its space")]
    Write {
        /// Which file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// Somebody asked to stop.
    #[error("interrupted; {path} was not written")]
    Interrupted {
        /// Which file is missing now.
        path: String,
    },
}

impl TraceError {
    /// Whether the trace or what was said about it is at fault, and not the machine.
    pub fn is_of_the_input(&self) -> bool {
        !matches!(self, Self::Write { .. } | Self::Interrupted { .. })
    }
}
