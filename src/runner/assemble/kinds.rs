//! What users of each kind met.

use crate::measure::query::{Phases, Query};
use crate::report::model::UserKindResult;
use crate::runner::pass::PassResult;
use crate::workload::UserKindId;

/// One for each kind; none if there is only one, of which the whole report tells.
pub(super) fn results(pass: &PassResult) -> Vec<UserKindResult> {
    if pass.user_kinds.len() < 2 {
        return Vec::new();
    }
    let measurements = &pass.measurements;
    let seconds = measurements.duration(Phases::Measured).as_secs_f64();
    let kinds = (0..).map(UserKindId).zip(&pass.user_kinds);
    let result = |(id, (name, users)): (_, &(String, u32))| {
        let query = Query {
            user_kind: Some(id),
            ..Query::default()
        };
        let requests = measurements.count(&query);
        UserKindResult {
            name: name.clone(),
            users: *users,
            requests,
            errors: measurements.errors_by_kind(&query).values().sum(),
            rate_per_s: if seconds > 0.0 {
                requests as f64 / seconds
            } else {
                0.0
            },
            hit_ratio: measurements.hit_ratio(&query).map(|(ratio, _)| ratio),
            response_time_us: measurements.response_time(&query).summary_us(),
            service_time_us: measurements.service_time(&query).summary_us(),
        }
    };
    kinds.map(result).collect()
}
