//! The rules of `simulation`, and that what is written is what is planned.

use super::super::{SMALL, changed, plan, set};
use super::rule;
use crate::scenario::plan::{SampleShare, SimulationPlan};
use crate::units::Ratio;

/// One mistake in `simulation`.
fn wrong(keys: &str, message: &str, shown: &str) {
    let to = format!("simulation: {{ {keys} }}\nbaseline: {{ for: 20s }}");
    rule("baseline: { for: 20s }", &to, message, shown);
}

#[test]
fn what_a_sample_can_be() {
    for (keys, message, shown) in [
        ("sample: 0%", "a sample of nothing says nothing", "0%"),
        ("sample: 2", "\"2\" is not a share", "2"),
        ("sample: auot", "\"auot\" is not a share", "auot"),
        ("samples: 1", "`samples` cannot be 1", "1"),
        ("samples: 31", "`samples` cannot be 31", "31"),
        ("sampels: 4", "unknown key `sampels`", "sampels"),
    ] {
        wrong(keys, message, shown);
    }
}

#[test]
fn what_is_written_is_planned_and_written_again() {
    let default = SimulationPlan {
        sample: SampleShare::Auto,
        samples: 4,
    };
    assert_eq!(plan(SMALL).simulation, default);
    for (written, sample, samples) in [
        ("{ sample: auto }", SampleShare::Auto, 4),
        ("{ sample: none, samples: 2 }", SampleShare::Whole, 2),
        ("{ sample: 2% }", SampleShare::Of(Ratio(0.02)), 4),
        (
            "{ sample: 0.015, samples: 8 }",
            SampleShare::Of(Ratio(0.015)),
            8,
        ),
    ] {
        let given = changed(&set(&[("simulation", written)]));
        let wanted = SimulationPlan { sample, samples };
        assert_eq!(given.simulation, wanted, "{written}");
        assert_eq!(plan(&given.resolved_yaml).simulation, wanted, "{written}");
    }
}
