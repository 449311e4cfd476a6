//! The variants beside the main one, one after another, each with a store, a database and instances
//! of its own.
//!
//! The main variant is measured already when they begin, so nothing that happens here loses it: a
//! variant that cannot be run is told so in the report.

use super::{House, Passes, RunError};
use crate::scenario::plan::Plan;

/// What became of the variants of a plan, in their order; `None` for the main one.
pub(super) type Measured = Vec<Option<Result<Passes, RunError>>>;

pub(super) async fn measure(house: &mut House<'_>, plan: &Plan) -> Measured {
    let mut measured = Vec::new();
    for variant in &plan.variants {
        measured.push(match &variant.plan {
            None => None,
            // Asked here, so that nothing is started for nothing.
            Some(_) if *house.stop.borrow() => Some(Err(RunError::Interrupted)),
            Some(own) => Some(Box::pin(house.measure(own, Some(&variant.name))).await),
        });
    }
    measured
}
