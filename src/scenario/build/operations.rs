//! What users do with a data type that the mix names without an operation.

use std::sync::Arc;

use super::super::decode::Located;
use super::super::diagnostics::{Diagnostic, Errors, did_you_mean};
use super::super::file::DataTypeFile;
use super::super::yaml::short;
use super::Built;
use super::traffic::fitting;
use crate::engine::data_type::Strategy;
use crate::engine::layer::Operation;

/// Operations and their shares, which add up to 1.
pub(super) type Split = Vec<(Operation, f64)>;

/// Builds the split of the data type `name`; without one, its strategy says what users do.
pub(super) fn build(
    name: &Located<Arc<str>>,
    file: &DataTypeFile,
    errors: &mut Errors,
) -> Built<Split> {
    let fits = fitting(*file.strategy.value()?);
    let Some(given) = file.operations.given() else {
        let natural = fits.first().map(|first| vec![(*first, 1.0)]);
        return natural.filter(|_| file.operations.is_absent());
    };
    let lines: Vec<_> = given
        .value
        .0
        .iter()
        .map(|(asked, weight)| {
            let operation = operation_of(asked, &name.value, fits, errors);
            let weight = weight.as_ref()?;
            if weight.value < 0.0 {
                let message = format!("a weight cannot be {}", weight.value);
                let advice = "from 0 upwards; only the proportions count";
                errors.push(Diagnostic::new(&weight.place, message).label(advice));
                return None;
            }
            Some((operation?, weight.value))
        })
        .collect();
    let lines = lines.into_iter().collect::<Option<Vec<_>>>()?;
    let sum: f64 = lines.iter().map(|(_, weight)| weight).sum();
    if !(sum > 0.0 && sum.is_finite()) {
        let message = "these weights leave users nothing to do";
        let advice = "give at least one operation a weight above 0";
        errors.push(Diagnostic::new(&given.place, message).help(advice));
        return None;
    }
    let used = lines.into_iter().filter(|(_, weight)| *weight > 0.0);
    Some(used.map(|(asked, weight)| (asked, weight / sum)).collect())
}

fn operation_of(
    asked: &Located<Arc<str>>,
    name: &str,
    fits: &[Operation],
    errors: &mut Errors,
) -> Built<Operation> {
    let known = Operation::ALL
        .into_iter()
        .find(|one| one.name() == &*asked.value);
    let (message, advice) = match known {
        Some(known) if fits.contains(&known) => return Some(known),
        Some(known) => {
            let fits: Vec<&str> = fits.iter().map(|one| one.name()).collect();
            let message = format!(
                "`{name}` cannot be asked to {}: its strategy does not know that",
                known.name()
            );
            (message, format!("it can {}", fits.join(", ")))
        }
        None => {
            let names = fits.iter().map(|one| one.name());
            let message = format!("`{}` is no operation", short(&asked.value));
            (message, did_you_mean(&asked.value, "operation", names))
        }
    };
    errors.push(Diagnostic::new(&asked.place, message).label(advice));
    None
}

/// What is known of the data types by name, wrong ones included, so that a mistake in one is not
/// told again by all who name it. As a slice: name and strategy.
pub(super) struct Names {
    known: Vec<(Arc<str>, Option<Strategy>)>,
    splits: Vec<Option<Split>>,
}

impl Names {
    /// Those of all data types of a file.
    pub(super) fn of<'f>(
        data_types: impl Iterator<Item = (&'f Located<Arc<str>>, Option<&'f DataTypeFile>)>,
    ) -> Self {
        let (known, splits) = data_types
            .map(|(name, file)| {
                let strategy = file.and_then(|file| file.strategy.value().copied());
                // Whoever builds the data type tells the errors.
                let untold = &mut Errors::default();
                let split = file.and_then(|file| build(name, file, untold));
                ((Arc::clone(&name.value), strategy), split)
            })
            .unzip();
        Self { known, splits }
    }

    /// What users do with the data type at this place; `None` if it is wrong.
    pub(super) fn split(&self, at: usize) -> Option<&Split> {
        self.splits.get(at)?.as_ref()
    }
}

impl std::ops::Deref for Names {
    type Target = [(Arc<str>, Option<Strategy>)];

    fn deref(&self) -> &Self::Target {
        &self.known
    }
}
