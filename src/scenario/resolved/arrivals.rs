//! When requests are due, written out again.

use super::{Yaml, map};
use crate::scenario::plan::{Plan, TracePlan};
use crate::scenario::words::Word as _;
use crate::units::{Rate, RateRange};
use crate::workload::arrivals::{Arrivals, Shape};

pub(super) fn trace(plan: &Plan, trace: &TracePlan) -> Yaml {
    let mut keys = vec![
        ("file", Yaml::text(trace.file.display().to_string())),
        (
            "data_type",
            Yaml::name(&plan.policies.get(trace.data_type).name),
        ),
        ("pace", Yaml::word(trace.pace)),
        ("value_size", Yaml::name(trace.value_size.word())),
    ];
    keys.extend(
        trace
            .format
            .map(|format| ("format", Yaml::name(format.word()))),
    );
    map(keys)
}

pub(super) fn arrivals(arrivals: &Arrivals) -> Yaml {
    let range = |from: Rate, to: Rate| Yaml::word(RateRange { from, to });
    let mut keys = match arrivals.shape {
        Shape::Constant(rate) => vec![("rate", Yaml::word(rate))],
        Shape::Ramp { from, to } => vec![("ramp", range(from, to))],
        Shape::Step { from, to, steps } => {
            vec![("step", range(from, to)), ("steps", Yaml::word(steps))]
        }
        Shape::Spike {
            base,
            peak,
            at,
            length,
        } => vec![
            ("spike", range(base, peak)),
            ("at", Yaml::span(at)),
            ("for", Yaml::span(length)),
        ],
        Shape::Sine { low, high, period } => {
            vec![("sine", range(low, high)), ("period", Yaml::span(period))]
        }
    };
    let spacing = if arrivals.poisson { "poisson" } else { "even" };
    keys.push(("spacing", Yaml::name(spacing)));
    map(keys)
}
