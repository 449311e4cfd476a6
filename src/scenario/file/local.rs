//! The local layer as written: `layers.local`. Read by `file.rs`; says nothing of what values mean.

use crate::engine::local::LocalPolicy;
use crate::scenario::decode::{Decode, Field, Fields};
use crate::scenario::diagnostics::Errors;
use crate::scenario::yaml::Node;
use crate::units::ByteSize;

/// The local layer.
pub(in crate::scenario) struct LocalFile {
    pub(in crate::scenario) entries: Field<u64>,
    pub(in crate::scenario) bytes: Field<ByteSize>,
    pub(in crate::scenario) policy: Field<LocalPolicy>,
}

impl Decode for LocalFile {
    fn decode(node: &Node, errors: &mut Errors) -> Option<Self> {
        let mut fields = Fields::of(node, "the local layer", errors)?;
        let local = Self {
            entries: fields.required("entries", "1000"),
            bytes: fields.optional("bytes"),
            policy: fields.optional("policy"),
        };
        fields.close();
        Some(local)
    }
}
