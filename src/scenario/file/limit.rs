//! The limit of a counter as written: `data_types.NAME.limit`. Read by `file.rs`; says nothing of
//! what values mean.

use crate::scenario::decode::{Decode, Field, Fields};
use crate::scenario::diagnostics::Errors;
use crate::scenario::words::Algorithm;
use crate::scenario::yaml::Node;
use crate::units::Span;

/// The limit of a counter.
pub(in crate::scenario) struct LimitFile {
    pub(in crate::scenario) requests: Field<u64>,
    pub(in crate::scenario) window: Field<Span>,
    pub(in crate::scenario) algorithm: Field<Algorithm>,
    pub(in crate::scenario) burst: Field<u64>,
}

impl Decode for LimitFile {
    fn decode(node: &Node, errors: &mut Errors) -> Option<Self> {
        let mut fields = Fields::of(node, "a limit", errors)?;
        let limit = Self {
            requests: fields.required("requests", "1000"),
            window: fields.required("window", "1h"),
            algorithm: fields.optional("algorithm"),
            burst: fields.optional("burst"),
        };
        fields.close();
        Some(limit)
    }
}
