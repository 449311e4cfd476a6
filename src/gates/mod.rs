//! Targets and verdicts: the grammar in which a gate is written, and its judgement; alerts, which
//! speak the same grammar of a sliding window.
//!
//! [`metric`] is the table of what can be judged, [`grammar`] reads a check such as
//! `p95(response_time){data_type=customer} < 1s`, and [`judge`] holds it against evidence. A gate
//! without samples is inconclusive, never passed. [`windowed`] is the life of a gate that every
//! window must hold, [`abort`] says when a gate ends a run.

pub mod abort;
pub mod alert;
pub mod grammar;
pub mod inside;
pub mod judge;
pub mod metric;
pub mod scale;
pub mod windowed;

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use grammar::Check;

/// One target that must hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Gate {
    /// What a person calls it: "customer hit ratio". By default the check's own text.
    pub name: String,
    /// Where it comes from: "ADR-006, Performance Impact". May be empty.
    pub source: String,
    /// What is checked.
    pub check: Check,
    /// Every window of this length must hold; `None`: the whole time at once.
    pub window: Option<Duration>,
    /// The run ends when the gate is lost, but not before so long after the begin of what it looks
    /// at; `None`: never.
    pub abort_after: Option<Duration>,
}

impl Gate {
    /// A gate of the whole time that ends no run, called by its check's text.
    pub fn plain(check: Check) -> Self {
        Self {
            name: check.text.clone(),
            source: String::new(),
            check,
            window: None,
            abort_after: None,
        }
    }
}

/// What became of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It held.
    Pass,
    /// It did not.
    Fail,
    /// There was no evidence, or the evidence cannot be trusted.
    Inconclusive,
}
