//! How the scenario is simulated, as written under `simulation`.

use super::super::decode::{Decode, Field, Fields};
use super::super::diagnostics::Errors;
use super::super::plan::SampleShare;
use super::super::yaml::{Kind, Node};
use crate::units::Ratio;

/// The keys of `simulation`.
pub(in crate::scenario) struct SimulationFile {
    pub(in crate::scenario) sample: Field<SampleShare>,
    pub(in crate::scenario) samples: Field<u64>,
}

impl Decode for SimulationFile {
    fn decode(node: &Node, errors: &mut Errors) -> Option<Self> {
        let mut fields = Fields::of(node, "the simulation", errors)?;
        let simulation = Self {
            sample: fields.optional("sample"),
            samples: fields.optional("samples"),
        };
        fields.close();
        Some(simulation)
    }
}

impl Decode for SampleShare {
    fn decode(node: &Node, errors: &mut Errors) -> Option<Self> {
        match &node.kind {
            Kind::Scalar(text) if &**text == "auto" => Some(Self::Auto),
            Kind::Scalar(text) if &**text == "none" => Some(Self::Whole),
            _ => Ratio::decode(node, errors).map(Self::Of),
        }
    }
}
