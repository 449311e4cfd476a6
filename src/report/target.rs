//! A service that is not ours, in words.

use super::model::{Report, TargetResult};
use super::words::plain;

/// `target http://127.0.0.1:8080`, and how many more there are.
pub(super) fn named(target: &TargetResult) -> String {
    let first = target.urls.first().map_or("", String::as_str);
    let more = match target.urls.len() {
        0 | 1 => String::new(),
        all => format!(" and {} more", all - 1),
    };
    plain(&format!("target {first}{more}"))
}

/// How reads ended, over all data types: `900 hit, 100 miss`.
pub(super) fn reads_by_outcome(report: &Report) -> String {
    let mut counts = std::collections::BTreeMap::new();
    let gets = report.data_types.values();
    for (outcome, count) in gets.filter_map(|row| row.outcomes.get("get")).flatten() {
        *counts.entry(outcome).or_insert(0) += count;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let named = counts
        .into_iter()
        .map(|(outcome, count)| format!("{} {outcome}", crate::units::thousands(count)));
    named.collect::<Vec<_>>().join(", ")
}
