//! Who arrives when: visitors at the moments of a pacer, or the requests of a trace.
//!
//! Each lane of an open loop goes through all arrivals and takes those that are its own: so the same
//! seed brings the same visitors at the same moments, on however many threads. Called by the open-loop
//! driver.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::DriverError;
use super::line::{Arrival, LaneArrivals, Visitor};
use crate::clock::Timestamp;
use crate::engine::data_type::DataTypeId;
use crate::units::Rate;
use crate::workload::arrivals::{Pacer, PhaseArrivals};
use crate::workload::trace::{self, Skipped, TraceError, TraceFormat, TraceReader, TraceRecord};
use crate::workload::user::{Traffic, User};
use crate::workload::{KeyParams, Request};

/// Where arrivals come from.
#[derive(Debug)]
pub enum Source {
    /// From a pacer: visitors do what users do.
    Paced {
        /// What visitors do.
        traffic: Arc<Traffic>,
        /// How many arrive, phase by phase.
        phases: Vec<PhaseArrivals>,
        /// When the first phase begins.
        start: Timestamp,
    },
    /// From a trace.
    Trace(Replay),
}

impl Source {
    /// Over how many lanes arrivals can be shared out.
    pub(super) fn lanes_max(&self) -> usize {
        match self {
            Self::Paced { .. } => usize::MAX,
            // Its order counts, and reading it twice would cost as much again.
            Self::Trace(_) => 1,
        }
    }

    /// The arrivals of the lane numbered `at` of so many.
    ///
    /// # Errors
    /// If a trace cannot be opened.
    pub(super) fn lane(&self, at: usize, of: usize) -> Result<LaneArrivals, DriverError> {
        Ok(match self {
            Self::Paced {
                traffic,
                phases,
                start,
            } => {
                let (start, traffic) = (*start, Arc::clone(traffic));
                let pacer = Pacer::new(phases.clone(), traffic.seed().fork("arrivals"));
                let own = (0..).zip(pacer).skip(at).step_by(of);
                Box::new(own.map(move |(number, due)| Arrival {
                    due: Some(start + due),
                    visitor: Visitor::User(User::for_arrival(Arc::clone(&traffic), number)),
                }))
            }
            Self::Trace(replay) => Box::new(replay.arrivals()?),
        })
    }
}

/// When the requests of a trace are due.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pacing {
    /// By its own times, so many times as fast.
    Times(f64),
    /// Evenly, in its order.
    Rate(Rate),
    /// As soon as there is a place, in its order.
    WhenFree,
}

impl Pacing {
    /// How long after the start the record of this number, counted from 0, is due; `None`: as soon as
    /// there is a place.
    pub fn after(self, number: u64, record: &TraceRecord) -> Option<Duration> {
        match self {
            Self::Times(factor) => Some(record.at.div_f64(factor)),
            Self::Rate(rate) => Some(Duration::from_secs_f64(number as f64 / rate.per_s)),
            Self::WhenFree => None,
        }
    }
}

/// A trace to be replayed.
#[derive(Debug)]
pub struct Replay {
    /// The file.
    pub file: PathBuf,
    /// Its format; `None`: told by its content.
    pub format: Option<TraceFormat>,
    /// The data type whose keys its keys become.
    pub data_type: DataTypeId,
    /// How fast.
    pub pacing: Pacing,
    /// When the first request is due, and the moment from which on none is.
    pub span: (Timestamp, Timestamp),
    /// What came of it so far.
    pub told: Arc<Mutex<Replayed>>,
}

/// What came of replaying a trace.
#[derive(Debug, Default)]
pub struct Replayed {
    /// The format in which it was read.
    pub format: Option<TraceFormat>,
    /// Requests that were due.
    pub requests: u64,
    /// Whether the trace ended before the run did.
    pub complete: bool,
    /// What gave no request.
    pub skipped: Skipped,
    /// Why it could not be read to its end.
    pub error: Option<TraceError>,
}

impl Replay {
    fn arrivals(&self) -> Result<Records, DriverError> {
        let reader = trace::open(&self.file, self.format).map_err(DriverError::Trace)?;
        self.told.lock().format = Some(reader.format());
        Ok(Records {
            reader,
            data_type: self.data_type,
            pacing: self.pacing,
            span: self.span,
            number: 0,
            told: Arc::clone(&self.told),
        })
    }
}

/// The requests of a trace, as arrivals.
struct Records {
    reader: TraceReader,
    data_type: DataTypeId,
    pacing: Pacing,
    span: (Timestamp, Timestamp),
    number: u64,
    told: Arc<Mutex<Replayed>>,
}

impl Records {
    /// When the next request is due.
    fn due(&self, record: &TraceRecord) -> Option<Timestamp> {
        let after = self.pacing.after(self.number, record)?;
        Some(self.span.0 + after)
    }

    fn end(&self, complete: bool, error: Option<TraceError>) {
        let mut told = self.told.lock();
        told.requests = self.number;
        told.complete = complete;
        told.skipped = self.reader.skipped().clone();
        told.error = error;
    }
}

impl Iterator for Records {
    type Item = Arrival;

    fn next(&mut self) -> Option<Arrival> {
        let record = match self.reader.next() {
            Some(Ok(record)) => record,
            Some(Err(error)) => {
                self.end(false, Some(error));
                return None;
            }
            None => {
                self.end(true, None);
                return None;
            }
        };
        let due = self.due(&record);
        if due.is_some_and(|due| due >= self.span.1) {
            self.end(false, None);
            return None;
        }
        self.number += 1;
        let request = Request {
            data_type: self.data_type,
            operation: record.operation,
            params: KeyParams::new(&[record.key]),
        };
        Some(Arrival {
            due,
            visitor: Visitor::Recorded {
                request: Some(request),
                number: self.number,
            },
        })
    }
}

impl Drop for Records {
    /// Whoever stops early leaves the rest unread.
    fn drop(&mut self) {
        let mut told = self.told.lock();
        told.requests = self.number;
    }
}
