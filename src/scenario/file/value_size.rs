//! How large values are, as written: `data_types.NAME.value_size`. Read by `file.rs`; says nothing
//! of what values mean.

use crate::scenario::decode::{Decode, Field, Fields, Map};
use crate::scenario::diagnostics::{Diagnostic, Errors};
use crate::scenario::yaml::{Kind, Node};
use crate::units::ByteSize;

/// How large values are.
#[derive(Clone)]
pub(in crate::scenario) enum ValueSizeFile {
    /// `2KiB`.
    Constant(ByteSize),
    /// `1KiB..8KiB`.
    Uniform(ByteSize, ByteSize),
    LogNormal(Field<LogNormalFile>),
    Quantiles(Field<Map<ByteSize>>),
}

/// As a time of the origin is given.
#[derive(Clone)]
pub(in crate::scenario) struct LogNormalFile {
    pub(in crate::scenario) median: Field<ByteSize>,
    pub(in crate::scenario) p99: Field<ByteSize>,
}

impl Decode for ValueSizeFile {
    fn decode(node: &Node, errors: &mut Errors) -> Option<Self> {
        match &node.kind {
            Kind::Mapping(_) => by_law(node, errors),
            Kind::Scalar(text) => match text.split_once("..") {
                None => ByteSize::decode(node, errors).map(Self::Constant),
                Some((min, max)) => {
                    let mut part = |text: &str| {
                        let kind = Kind::Scalar(text.trim().into());
                        let place = node.place.clone();
                        ByteSize::decode(&Node { kind, place }, errors)
                    };
                    let (min, max) = (part(min), part(max));
                    Some(Self::Uniform(min?, max?))
                }
            },
            Kind::Null | Kind::Sequence(_) => ByteSize::decode(node, errors).map(Self::Constant),
        }
    }
}

fn by_law(node: &Node, errors: &mut Errors) -> Option<ValueSizeFile> {
    let mut fields = Fields::of(node, "a value size", errors)?;
    let (log_normal, quantiles) = (fields.optional("lognormal"), fields.optional("quantiles"));
    fields.close();
    match (log_normal.is_absent(), quantiles.is_absent()) {
        (false, true) => Some(ValueSizeFile::LogNormal(log_normal)),
        (true, false) => Some(ValueSizeFile::Quantiles(quantiles)),
        _ => {
            let message = "a value size follows one law";
            let advice = "write { lognormal: { median: 1KiB, p99: 20KiB } } or \
                          { quantiles: { 50%: 1KiB, 100%: 20KiB } }";
            errors.push(Diagnostic::new(&node.place, message).label(advice));
            None
        }
    }
}

impl Decode for LogNormalFile {
    fn decode(node: &Node, errors: &mut Errors) -> Option<Self> {
        let mut fields = Fields::of(node, "a log-normal size", errors)?;
        let sizes = Self {
            median: fields.required("median", "1KiB"),
            p99: fields.required("p99", "20KiB"),
        };
        fields.close();
        Some(sizes)
    }
}
