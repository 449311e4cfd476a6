//! The targets as rows of the page's first table.

use serde::Serialize;

use super::verdict_words;
use crate::gates::Verdict;
use crate::report::digest::{observed, within};
use crate::report::model::GateResult;
use crate::units::thousands;

/// A target.
#[derive(Debug, Serialize)]
pub(crate) struct TargetRow {
    /// The verdict in a word.
    pub verdict: &'static str,
    /// Its CSS class.
    pub class: &'static str,
    /// What a person calls it.
    pub name: String,
    /// Where it comes from.
    pub source: String,
    /// As written.
    pub check: String,
    /// What is wanted.
    pub target: String,
    /// In which part of the run; empty for all that is judged.
    pub within: String,
    /// What was observed.
    pub observed: String,
    /// On how many samples.
    pub samples: String,
    /// Why, if it is not self-evident.
    pub note: String,
}

/// Failed ones first, then those without evidence, then the rest; each in the order written.
pub(super) fn target_rows(gates: &[GateResult]) -> Vec<TargetRow> {
    let mut sorted: Vec<&GateResult> = gates.iter().collect();
    sorted.sort_by_key(|gate| match gate.verdict {
        Verdict::Fail => 0,
        Verdict::Inconclusive => 1,
        Verdict::Pass => 2,
    });
    sorted
        .into_iter()
        .map(|gate| TargetRow {
            verdict: match gate.verdict {
                Verdict::Pass => "pass",
                Verdict::Fail => "fail",
                Verdict::Inconclusive => "inconclusive",
            },
            class: verdict_words(gate.verdict).1,
            name: gate.name.clone(),
            source: gate.source.clone(),
            check: gate.check.clone(),
            target: gate.target.clone(),
            within: within(gate),
            observed: observed(gate),
            samples: thousands(gate.samples),
            note: gate.note.clone(),
        })
        .collect()
}
