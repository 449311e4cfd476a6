//! How the scenario is simulated.

use super::super::diagnostics::{Diagnostic, Errors};
use super::super::file::File;
use super::super::plan::{SampleShare, SimulationPlan};
use super::{Built, count};

/// Two samples at least: one says nothing of how far it is off.
const SAMPLES: std::ops::RangeInclusive<u64> = 2..=30;

/// What `simulation` says, or what is meant without it.
pub(super) fn build(file: &File, errors: &mut Errors) -> Built<SimulationPlan> {
    let default = SimulationPlan::default();
    let Some(simulation) = file.simulation.value() else {
        return file.simulation.is_absent().then_some(default);
    };
    let samples = Some(u64::from(default.samples));
    let samples = count("samples", &simulation.samples, samples, SAMPLES, errors);
    let sample = match simulation.sample.given() {
        Some(given) if matches!(given.value, SampleShare::Of(share) if share.0 <= 0.0) => {
            let message = "a sample of nothing says nothing";
            let advice = "write a share above 0%, `auto`, or `none` to simulate every user and key";
            errors.push(Diagnostic::new(&given.place, message).label(advice));
            None
        }
        _ => simulation.sample.or(default.sample),
    };
    Some(SimulationPlan {
        sample: sample?,
        samples: samples? as u32,
    })
}
