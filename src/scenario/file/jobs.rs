//! What operators do by the clock, as written under `jobs`.

use std::sync::Arc;

use super::super::decode::{Decode, Field, Fields, List, Located, Map, Switch, located};
use super::super::diagnostics::{Diagnostic, Errors};
use super::super::yaml::{Kind, Node, short};
use crate::scenario::jobs::Deployment;
use crate::units::Span;

/// One job.
pub(in crate::scenario) struct JobFile {
    pub(in crate::scenario) name: Field<Arc<str>>,
    pub(in crate::scenario) at: Field<Span>,
    pub(in crate::scenario) every: Field<Switch<Span>>,
    pub(in crate::scenario) over: Field<Span>,
    pub(in crate::scenario) put: Field<Map<KeysFile>>,
    pub(in crate::scenario) invalidate: Field<Map<KeysFile>>,
    pub(in crate::scenario) invalidate_pattern: Field<Map<KeysFile>>,
    pub(in crate::scenario) invalidate_all: Field<NamesFile>,
    pub(in crate::scenario) deploy: Field<Deployment>,
}

impl Decode for JobFile {
    fn decode(node: &Node, errors: &mut Errors) -> Option<Self> {
        let mut fields = Fields::of(node, "a job", errors)?;
        let job = Self {
            name: fields.required("name", "new catalogue"),
            at: fields.required("at", "3h"),
            every: fields.optional("every"),
            over: fields.optional("over"),
            put: fields.optional("put"),
            invalidate: fields.optional("invalidate"),
            invalidate_pattern: fields.optional("invalidate_pattern"),
            invalidate_all: fields.optional("invalidate_all"),
            deploy: fields.optional("deploy"),
        };
        fields.close();
        Some(job)
    }
}

/// How many keys of a data type.
#[derive(Clone, Copy)]
pub(in crate::scenario) enum KeysFile {
    All,
    Count(u64),
}

impl Decode for KeysFile {
    fn decode(node: &Node, errors: &mut Errors) -> Option<Self> {
        match &node.kind {
            Kind::Scalar(text) if &**text == "all" => Some(Self::All),
            Kind::Scalar(text) if text.starts_with(|c: char| c.is_ascii_alphabetic()) => {
                let message = format!("{:?} is neither a number nor `all`", short(text));
                let advice = "write how many keys, the most popular first, or `all`";
                errors.push(Diagnostic::new(&node.place, message).label(advice));
                None
            }
            _ => u64::decode(node, errors).map(Self::Count),
        }
    }
}

/// One name, or a list of them.
pub(in crate::scenario) struct NamesFile(pub(in crate::scenario) Vec<Located<Arc<str>>>);

impl Decode for NamesFile {
    fn decode(node: &Node, errors: &mut Errors) -> Option<Self> {
        let Kind::Sequence(_) = node.kind else {
            return located(node, errors).map(|name| Self(vec![name]));
        };
        let names = List::decode(node, errors)?;
        names.into_iter().collect::<Option<_>>().map(Self)
    }
}
