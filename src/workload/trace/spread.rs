//! Requests of one second, spread evenly over it in their order.
//!
//! To know how many there are, the second is read ahead: up to [`LOOKAHEAD_MAX`] lines (60 MB). A second
//! with more is spread in parts: the first part over half of the second, the next over half of what is
//! left, and the last over the rest. The order and the second hold; the rate within it rises. Pure.

use std::time::Duration;

use super::fields::Raw;
use super::{TimeResolution, TraceRecord};

/// The most lines of one second that are read ahead.
pub(super) const LOOKAHEAD_MAX: usize = 1_000_000;

const SECOND_NS: u64 = 1_000_000_000;

/// Lines on their way to be records.
#[derive(Debug)]
pub(super) struct Spread {
    resolution: TimeResolution,
    lookahead_max: usize,
    /// Of the second that is being read.
    filling: Vec<Raw>,
    /// The first line of the second after that.
    later: Option<Raw>,
    /// Which second is being read, and how much of it was given to its earlier parts.
    second: u64,
    used_ns: u64,
    /// The part that is being handed over, and how far that has come.
    giving: Vec<Raw>,
    given_lines: usize,
    given_of_line: u32,
    part: Part,
}

/// A stretch of time and how many requests share it.
#[derive(Clone, Copy, Debug, Default)]
struct Part {
    start_ns: u64,
    length_ns: u64,
    requests: u64,
    given: u64,
}

impl Spread {
    pub(super) fn new(resolution: TimeResolution) -> Self {
        Self {
            resolution,
            lookahead_max: LOOKAHEAD_MAX,
            filling: Vec::new(),
            later: None,
            second: 0,
            used_ns: 0,
            giving: Vec::new(),
            given_lines: 0,
            given_of_line: 0,
            part: Part::default(),
        }
    }

    #[cfg(test)]
    pub(super) fn with_lookahead(self, lookahead_max: usize) -> Self {
        Self {
            lookahead_max,
            ..self
        }
    }

    pub(super) fn resolution(&self) -> TimeResolution {
        self.resolution
    }

    /// Takes a line. Its time is since the trace's first and not below that of the line before. To be
    /// called only while there is nothing to give.
    pub(super) fn add(&mut self, raw: Raw) {
        let second = raw.time_ns / SECOND_NS;
        if self.resolution != TimeResolution::Seconds {
            self.filling.push(raw);
            self.close(0);
        } else if second != self.second && !self.filling.is_empty() {
            self.later = Some(raw);
            self.close(SECOND_NS - self.used_ns);
        } else {
            self.begin(second);
            self.filling.push(raw);
            if self.filling.len() >= self.lookahead_max {
                self.close((SECOND_NS - self.used_ns) / 2);
            }
        }
    }

    fn begin(&mut self, second: u64) {
        if second != self.second {
            (self.second, self.used_ns) = (second, 0);
        }
    }

    /// No line follows, or none for now: what was read ahead is handed over. `false` if there is
    /// nothing.
    pub(super) fn end(&mut self) -> bool {
        if !self.filling.is_empty() {
            self.close(SECOND_NS - self.used_ns);
        }
        self.given_lines < self.giving.len()
    }

    /// What was read of the second shares its next `length_ns`.
    fn close(&mut self, length_ns: u64) {
        let Some(first) = self.filling.first() else {
            return;
        };
        let (start_ns, length_ns) = match self.resolution {
            TimeResolution::Seconds => (self.second * SECOND_NS + self.used_ns, length_ns),
            TimeResolution::Finer => (first.time_ns, 0),
            TimeResolution::Absent => (0, 0),
        };
        self.part = Part {
            start_ns,
            length_ns,
            requests: self.filling.iter().map(|raw| u64::from(raw.times)).sum(),
            given: 0,
        };
        self.giving.clear();
        std::mem::swap(&mut self.giving, &mut self.filling);
        (self.given_lines, self.given_of_line) = (0, 0);
        self.used_ns += length_ns;
        if let Some(later) = self.later.take() {
            self.begin(later.time_ns / SECOND_NS);
            self.filling.push(later);
        }
    }

    /// The next record, if one is ready.
    pub(super) fn give(&mut self) -> Option<TraceRecord> {
        let raw = self.giving.get(self.given_lines)?;
        let part = &mut self.part;
        let offset =
            u128::from(part.length_ns) * u128::from(part.given) / u128::from(part.requests);
        let record = TraceRecord {
            at: Duration::from_nanos(part.start_ns + offset as u64),
            key: raw.key,
            operation: raw.operation,
            value_size: raw.value_size,
            ttl: raw.ttl,
            client: raw.client,
        };
        part.given += 1;
        self.given_of_line += 1;
        if self.given_of_line >= raw.times {
            self.given_of_line = 0;
            self.given_lines += 1;
        }
        Some(record)
    }
}
