//! Who arrives when: the pacer's moments with visitors, or the requests of a trace.
//!
//! Each lane of an open loop goes through all arrivals and takes those that are its own: so the same
//! seed brings the same visitors at the same moments, on however many threads. Called by the open-loop
//! driver.

use std::sync::Arc;

use super::DriverError;
use super::dispatch::{Arrival, Visitor};
use crate::clock::Timestamp;
use crate::workload::arrivals::{Pacer, PhaseArrivals};
use crate::workload::user::{Traffic, User};

/// Where arrivals come from.
#[derive(Clone, Debug)]
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
}

impl Source {
    /// Over how many lanes arrivals can be shared out.
    pub(super) fn lanes_max(&self) -> usize {
        match self {
            Self::Paced { .. } => usize::MAX,
        }
    }

    /// The arrivals of the lane numbered `at` of so many.
    pub(super) fn lane(&self, at: usize, of: usize) -> Result<LaneArrivals, DriverError> {
        match self {
            Self::Paced {
                traffic,
                phases,
                start,
            } => {
                let (start, traffic) = (*start, Arc::clone(traffic));
                let numbered =
                    (0..).zip(Pacer::new(phases.clone(), traffic.seed().fork("arrivals")));
                let arrivals = numbered
                    .skip(at)
                    .step_by(of)
                    .map(move |(number, due)| Arrival {
                        due: Some(start + due),
                        visitor: Visitor::User(User::for_arrival(Arc::clone(&traffic), number)),
                    });
                Ok(Box::new(arrivals))
            }
        }
    }
}

/// What arrives in one lane, in order.
pub(super) type LaneArrivals = Box<dyn Iterator<Item = Arrival> + Send>;
