//! The grammar of a check: `function(metric){selector=value, …} operator target`.
//!
//! ```text
//! check     = metric [ selectors ] operator target ;
//! metric    = function "(" name ")" | name ;      (* a distribution | a scalar: metric::METRICS *)
//! function  = "p" percent | "mean" | "min" | "max" ;
//! percent   = number above 0 and below 100 | "99" "9" { "9" } ;  (* p95, p97.5; p999 is p99.9 *)
//! selectors = "{" [ selector { "," selector } ] "}" ;
//! selector  = ( "data_type" | "operation" | "outcome" | "layer" | "phase" | "alert" | "kind" ) "=" value ;
//! value     = word | '"' any text without quotes '"' ;
//! word      = letter, digit, "_", "-" or "." { the same } ;
//! operator  = "<" | "<=" | ">" | ">=" | "==" | "!=" ;
//! target    = duration | share | rate | count | size ;  (* as the metric's unit asks *)
//! duration  = "150ms" | "1s" | "1h 30m" … ;
//! share     = "95%" | "0.95" … ;
//! rate      = "100/s" | "600/m" … ;
//! count     = "1000" | "1_000" … ;
//! size      = "256MiB" … ;
//! ```
//!
//! Called by the scenario, which turns the place of an error into its line and column, and by
//! reports, which print targets and observations through [`Check`]. Judges nothing, and knows
//! neither data types nor phases: whether `customer` exists is for the scenario to say.

mod parse;
mod print;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;

pub use super::metric::{Distribution, Metric, Scalar, Selector, Statistic, Unit};
use crate::engine::layer::{Layer, Operation, Outcome};

/// A parsed check.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// As written.
    pub text: String,
    /// What is looked at.
    pub metric: Metric,
    /// Which part of it.
    pub selectors: Selectors,
    /// How it is compared.
    pub comparison: Comparison,
    /// With what.
    pub target: Target,
}

/// What a check is narrowed to; `None` does not narrow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selectors {
    /// A data type's name, not yet resolved.
    pub data_type: Option<String>,
    /// What was asked.
    pub operation: Option<Operation>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// Who answered.
    pub layer: Option<Layer>,
    /// A phase's name, not yet resolved; `None` stands for all phases that measure.
    pub phase: Option<String>,
    /// An alert's name, not yet resolved; `None` stands for all of them.
    pub alert: Option<String>,
    /// A kind of users by its name, not yet resolved; `None` stands for all of them.
    pub user_kind: Option<String>,
}

impl Selectors {
    /// Those that narrow.
    pub fn given(&self) -> impl Iterator<Item = Selector> {
        let given = [
            (Selector::DataType, self.data_type.is_some()),
            (Selector::Operation, self.operation.is_some()),
            (Selector::Outcome, self.outcome.is_some()),
            (Selector::Layer, self.layer.is_some()),
            (Selector::Phase, self.phase.is_some()),
            (Selector::Alert, self.alert.is_some()),
            (Selector::UserKind, self.user_kind.is_some()),
        ];
        given
            .into_iter()
            .filter_map(|(selector, given)| given.then_some(selector))
    }
}

/// How an observation is held against a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Comparison {
    /// `<`
    Below,
    /// `<=`
    AtMost,
    /// `>`
    Above,
    /// `>=`
    AtLeast,
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
}

impl Comparison {
    /// Every comparison.
    pub const ALL: [Self; 6] = [
        Self::Below,
        Self::AtMost,
        Self::Above,
        Self::AtLeast,
        Self::Equal,
        Self::NotEqual,
    ];

    /// The comparison as written.
    pub fn operator(self) -> &'static str {
        match self {
            Self::Below => "<",
            Self::AtMost => "<=",
            Self::Above => ">",
            Self::AtLeast => ">=",
            Self::Equal => "==",
            Self::NotEqual => "!=",
        }
    }

    /// The comparison as people read it.
    pub fn sign(self) -> &'static str {
        match self {
            Self::Below => "<",
            Self::AtMost => "≤",
            Self::Above => ">",
            Self::AtLeast => "≥",
            Self::Equal => "=",
            Self::NotEqual => "≠",
        }
    }

    /// What holds if and only if this one does not.
    #[must_use]
    pub fn negated(self) -> Self {
        match self {
            Self::Below => Self::AtLeast,
            Self::AtMost => Self::Above,
            Self::Above => Self::AtMost,
            Self::AtLeast => Self::Below,
            Self::Equal => Self::NotEqual,
            Self::NotEqual => Self::Equal,
        }
    }

    /// Whether it holds for an observation that stands to the target as `ordering` says.
    pub fn holds(self, ordering: Ordering) -> bool {
        match self {
            Self::Below => ordering.is_lt(),
            Self::AtMost => ordering.is_le(),
            Self::Above => ordering.is_gt(),
            Self::AtLeast => ordering.is_ge(),
            Self::Equal => ordering.is_eq(),
            Self::NotEqual => ordering.is_ne(),
        }
    }
}

/// The number that a check compares with; finite.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Target {
    /// In `unit`.
    pub value: f64,
    /// The metric's unit.
    pub unit: Unit,
}

/// A check that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} (at byte {at})")]
pub struct CheckError {
    /// The byte of the text where it goes wrong; at most the text's length.
    pub at: usize,
    /// What is wrong and what would be right.
    pub message: String,
}

impl Check {
    /// The data type that it is narrowed to.
    pub fn data_type(&self) -> Option<&str> {
        self.selectors.data_type.as_deref()
    }

    /// The phase that it is narrowed to.
    pub fn phase(&self) -> Option<&str> {
        self.selectors.phase.as_deref()
    }

    /// The same narrowed to the phase called `name`, its text with it.
    #[must_use]
    pub fn in_phase(mut self, name: &str) -> Self {
        if self.phase() != Some(name) {
            self.selectors.phase = Some(name.to_owned());
            self.text = self.to_string();
        }
        self
    }

    /// The alert that it is narrowed to.
    pub fn alert(&self) -> Option<&str> {
        self.selectors.alert.as_deref()
    }

    /// The kind of users that it is narrowed to.
    pub fn user_kind(&self) -> Option<&str> {
        self.selectors.user_kind.as_deref()
    }

    /// The unit of what is observed and of the target.
    pub fn unit(&self) -> Unit {
        self.target.unit
    }

    /// Whether `value`, in the check's unit, meets the target; never for a NaN.
    pub fn holds(&self, value: f64) -> bool {
        value
            .partial_cmp(&self.target.value)
            .is_some_and(|ordering| self.comparison.holds(ordering))
    }
}
