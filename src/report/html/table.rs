//! Tables: a head, rows, and how each cell is set.

use serde::Serialize;

use super::words;
use crate::measure::Summary;
use crate::units::thousands;

/// A table; the first cell of a row names it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Table {
    /// What it shows.
    pub caption: String,
    /// What each column shows.
    pub columns: Vec<String>,
    /// The rows, each as long as `columns`.
    pub rows: Vec<Vec<Cell>>,
}

/// One cell.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Cell {
    /// What stands in it.
    pub text: String,
    /// Its CSS class.
    pub class: &'static str,
}

impl Table {
    /// A table without rows.
    pub(crate) fn new(caption: &str, columns: &[&str]) -> Self {
        Self {
            caption: caption.to_owned(),
            columns: columns.iter().map(|&column| column.to_owned()).collect(),
            rows: Vec::new(),
        }
    }
}

impl Cell {
    /// Words.
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            class: "",
        }
    }

    /// A number with its unit.
    pub(crate) fn number(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            class: "n",
        }
    }

    /// A count.
    pub(crate) fn count(count: u64) -> Self {
        Self::number(thousands(count))
    }

    /// A count that should be zero.
    pub(crate) fn problem(count: u64) -> Self {
        Self {
            text: thousands(count),
            class: if count > 0 { "n bad" } else { "n" },
        }
    }

    /// Durations of a distribution, which mean nothing if it is empty.
    pub(crate) fn times<const N: usize>(
        of: &Summary,
        values_us: [f64; N],
    ) -> impl Iterator<Item = Self> {
        let measured = of.count > 0;
        values_us.into_iter().map(move |value_us| {
            Self::number(if measured {
                words::us(value_us)
            } else {
                words::NOTHING.to_owned()
            })
        })
    }
}
