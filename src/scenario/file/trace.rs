//! Which recorded traffic is replayed, as written under `traffic.trace`.

use std::str::FromStr;
use std::sync::Arc;

use super::super::decode::{Decode, Field, Fields, text};
use super::super::diagnostics::{Diagnostic, Errors};
use super::super::plan::{Pace, SizesOf};
use super::super::yaml::{Node, short};
use crate::units::Rate;
use crate::workload::trace::TraceFormat;

/// The keys of `trace`.
pub(in crate::scenario) struct TraceFile {
    pub(in crate::scenario) file: Field<Arc<str>>,
    pub(in crate::scenario) format: Field<TraceFormat>,
    pub(in crate::scenario) data_type: Field<Arc<str>>,
    pub(in crate::scenario) pace: Field<Pace>,
    pub(in crate::scenario) value_size: Field<SizesOf>,
}

impl Decode for TraceFile {
    fn decode(node: &Node, errors: &mut Errors) -> Option<Self> {
        let mut fields = Fields::of(node, "the trace", errors)?;
        let trace = Self {
            file: fields.required("file", "traces/web.csv.gz"),
            format: fields.optional("format"),
            data_type: fields.required("data_type", "page"),
            pace: fields.optional("pace"),
            value_size: fields.optional("value_size"),
        };
        fields.close();
        Some(trace)
    }
}

/// How a pace is written, for errors.
const PACES: &str = "write `recorded`, a factor such as `10x`, a rate such as `5_000/s`, \
                     `one-by-one` or `flat-out`";

impl Decode for Pace {
    fn decode(node: &Node, errors: &mut Errors) -> Option<Self> {
        let found = text(node, "a pace", errors)?;
        if let Ok(pace) = found.parse() {
            return Some(pace);
        }
        let message = format!("{:?} is no pace", short(found));
        errors.push(Diagnostic::new(&node.place, message).label(PACES));
        None
    }
}

impl FromStr for Pace {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "recorded" => return Ok(Self::Times(1.0)),
            "one-by-one" => return Ok(Self::OneByOne),
            "flat-out" => return Ok(Self::FlatOut),
            _ => {}
        }
        if let Some(factor) = text.strip_suffix('x') {
            let factor: f64 = factor.replace('_', "").parse().map_err(|_| ())?;
            return (factor.is_finite() && factor > 0.0)
                .then_some(Self::Times(factor))
                .ok_or(());
        }
        let rate: Rate = text.parse().map_err(|_| ())?;
        (rate.per_s > 0.0).then_some(Self::Rate(rate)).ok_or(())
    }
}
