//! Numbers with units, read from a scenario; one without its unit is told how it should be written.

use std::str::FromStr;

use super::super::diagnostics::{Diagnostic, Errors};
use super::super::yaml::{Node, short};
use super::{Decode, text, without_underscores};
use crate::units::{ByteSize, Rate, RateRange, Ratio, Span, SpanRange, UnitError};

/// A quantity with a unit.
trait Quantity: FromStr<Err = UnitError> {
    /// What it is called.
    const WHAT: &'static str;
    /// How `number`, written without a unit, should have been written.
    fn with_unit(number: &str) -> String;
}

impl Quantity for Span {
    const WHAT: &'static str = "a duration";
    fn with_unit(number: &str) -> String {
        format!("write `{number}ms`, `{number}s` or `{number}m`, whichever is meant")
    }
}

impl Quantity for SpanRange {
    const WHAT: &'static str = "a duration or a range of durations";
    fn with_unit(number: &str) -> String {
        format!("write `{number}ms`, `{number}s` or `{number}m`, whichever is meant")
    }
}

impl Quantity for ByteSize {
    const WHAT: &'static str = "a size";
    fn with_unit(number: &str) -> String {
        format!("write `{number}B`, `{number}KiB` or `{number}MiB`, whichever is meant")
    }
}

impl Quantity for Ratio {
    const WHAT: &'static str = "a share";
    fn with_unit(number: &str) -> String {
        format!("write `{number}%` if percent is meant")
    }
}

impl Quantity for Rate {
    const WHAT: &'static str = "a rate";
    fn with_unit(number: &str) -> String {
        format!("write `{number}/s`, `{number}/m` or `{number}/h`, whichever is meant")
    }
}

impl Quantity for RateRange {
    const WHAT: &'static str = "two rates";
    fn with_unit(number: &str) -> String {
        format!("write `{number}/s..{number}/s` with the rates that are meant")
    }
}

fn quantity<Q: Quantity>(node: &Node, errors: &mut Errors) -> Option<Q> {
    let found = text(node, Q::WHAT, errors)?;
    let plain = without_underscores(found);
    match plain.parse() {
        Ok(value) => Some(value),
        Err(error) => {
            let mut told = Diagnostic::new(&node.place, error_of(found, &error));
            let number = plain.trim();
            if number.len() <= 20
                && number
                    .parse::<f64>()
                    .is_ok_and(|n| n.is_finite() && n >= 0.0)
            {
                told = told.label(Q::with_unit(number));
            }
            errors.push(told);
            None
        }
    }
}

/// The error as it is, but about what was written, and short.
fn error_of(found: &str, error: &UnitError) -> String {
    let told = error.to_string();
    match told.split_once(" is not ") {
        Some((_, wanted)) if !found.contains(" is not ") => {
            format!("{:?} is not {wanted}", short(found))
        }
        _ => short(&told),
    }
}

macro_rules! decode_quantities {
    ($($quantity:ty),*) => {$(
        impl Decode for $quantity {
            fn decode(node: &Node, errors: &mut Errors) -> Option<Self> {
                quantity(node, errors)
            }
        }
    )*};
}
decode_quantities!(Span, SpanRange, ByteSize, Ratio, Rate, RateRange);
