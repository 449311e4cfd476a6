//! What a probe runs: the plan for a short while, with all that arrives scaled to the probe's rate.
//!
//! Called by the runner for the search of the [`knee`](super::knee). Pure: from a plan comes another.

use std::time::Duration;

use super::knee::{Limits, Probe};
use crate::gates::Gate;
use crate::gates::metric::{Metric, Scalar};
use crate::measure::PhaseKind;
use crate::scenario::plan::{Driver, Plan, SampleShare};
use crate::units::{Rate, Ratio};

/// So long a probe's warm-up and its measured phases last at the most, if nobody says otherwise.
const PHASES_MAX: Duration = Duration::from_secs(15);
/// The lowest rate that is probed, if nobody says which, as a share of what the scenario offers.
const FROM_SHARE: f64 = 1.0 / 8.0;
/// The highest, as a multiple of it.
const TO_FACTOR: f64 = 32.0;
/// More than any machine sends.
const RATE_MAX: f64 = 10_000_000.0;

/// How the knee is searched, as far as somebody has said.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wanted {
    /// The lowest rate to probe; `None`: an eighth of what the scenario offers.
    pub from: Option<Rate>,
    /// The highest; `None`: 32 times as much.
    pub to: Option<Rate>,
    /// How precisely the knee is to be known.
    pub precision: Ratio,
    /// How often a rate is probed; `None`: 3 times, in virtual time once.
    pub repeats: Option<u32>,
    /// How long all measured phases of a probe last together, and its warm-up at the most; `None`: as
    /// long as those of the scenario, but at most 15 s each.
    pub probe_for: Option<Duration>,
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            from: None,
            to: None,
            precision: Ratio(0.05),
            repeats: None,
            probe_for: None,
        }
    }
}

/// Why no rate can be set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoRate {
    /// Users wait for their answers.
    #[error(
        "--find-knee needs an open loop, and the scenario's driver is `{driver}`: its users slow down \
         with the system, so that no rate can be kept up; write `driver: open` and `arrivals: 500/s` \
         under `traffic`"
    )]
    NotOpen {
        /// What drives them.
        driver: &'static str,
    },
    /// A recording says when requests are due.
    #[error(
        "--find-knee sets the rate, and the scenario's trace does so, too; write `arrivals: 500/s` under \
         `traffic` in place of `trace`"
    )]
    Trace,
}

/// A plan that waits for its rate.
#[derive(Clone, Debug)]
pub struct Template {
    plan: Plan,
    offered: Rate,
    left_out: Vec<String>,
}

impl Template {
    /// What is probed of `plan`: without its baseline and its variants, and so without the gates that
    /// compare with the baseline.
    ///
    /// # Errors
    /// If its traffic has no rate that could be set.
    pub fn new(plan: &Plan, probe_for: Option<Duration>) -> Result<Self, NoRate> {
        if plan.traffic.driver != Driver::Open {
            let driver = plan.traffic.driver.name();
            return Err(NoRate::NotOpen { driver });
        }
        if plan.traffic.trace.is_some() {
            return Err(NoRate::Trace);
        }
        let mut plan = plan.clone();
        plan.baseline = None;
        plan.variants = Vec::new();
        // Who comes with an arrival costs nothing before: there is no need for a sample of them.
        plan.simulation.sample = SampleShare::Whole;
        let (kept, left): (Vec<Gate>, Vec<Gate>) =
            plan.gates.drain(..).partition(|gate| !is_of_baseline(gate));
        plan.gates = kept;
        shorten(&mut plan, PhaseKind::WarmUp, |whole| {
            whole.min(probe_for.unwrap_or(PHASES_MAX))
        });
        shorten(&mut plan, PhaseKind::Measure, |whole| {
            probe_for.unwrap_or(whole.min(PHASES_MAX))
        });
        Ok(Self {
            offered: offered(&plan),
            plan,
            left_out: left.into_iter().map(|gate| gate.name).collect(),
        })
    }

    /// The plan of one probe: the highest rate of its measured phases is the probe's, and all others
    /// keep their proportion to it. Each repeat has requests of its own, the first those of the plan.
    pub fn of(&self, probe: Probe) -> Plan {
        let mut plan = self.plan.clone();
        let factor = probe.rate.per_s / self.offered.per_s;
        for phase in &mut plan.traffic.phases {
            phase.arrivals = phase.arrivals.map(|arrivals| arrivals.scaled(factor, 1.0));
        }
        if probe.repeat > 1 {
            plan.seed = plan.seed.fork("probe").fork_index(u64::from(probe.repeat));
        }
        plan
    }

    /// The range that is searched.
    pub fn limits(&self, wanted: &Wanted, repeats: u32) -> Limits {
        let factor = TO_FACTOR / FROM_SHARE;
        let offered = self.offered.per_s;
        let given = (
            wanted.from.map(|rate| rate.per_s),
            wanted.to.map(|rate| rate.per_s),
        );
        // Who gives one end alone gives a range as wide where the other would not fit.
        let (from, to) = match given {
            (Some(from), Some(to)) => (from, to),
            (Some(from), None) => match offered * TO_FACTOR {
                to if to > from => (from, to),
                _ => (from, from * factor),
            },
            (None, Some(to)) => match offered * FROM_SHARE {
                from if from < to => (from, to),
                _ => (to / factor, to),
            },
            (None, None) => (offered * FROM_SHARE, offered * TO_FACTOR),
        };
        let to = if wanted.to.is_none() {
            to.min(RATE_MAX).max(from)
        } else {
            to
        };
        Limits {
            from: Rate { per_s: from },
            to: Rate { per_s: to },
            precision: wanted.precision,
            repeats,
        }
    }

    /// How long one probe drives.
    pub fn duration(&self) -> Duration {
        self.plan.traffic.duration()
    }

    /// How long the last of its answers may take.
    pub fn request_timeout(&self) -> Duration {
        self.plan.traffic.request_timeout
    }

    /// The gates that are not judged, because they compare with a baseline.
    pub fn left_out(&self) -> &[String] {
        &self.left_out
    }

    /// Whether there is any gate to judge by.
    pub fn has_gates(&self) -> bool {
        !self.plan.gates.is_empty()
    }
}

fn is_of_baseline(gate: &Gate) -> bool {
    matches!(
        gate.check.metric,
        Metric::Scalar(Scalar::ResponseTimeReduction | Scalar::OriginQueryReduction)
    )
}

/// Gives the phases of a kind another length together, each its share of it, and what arrives in them
/// the same form.
fn shorten(plan: &mut Plan, kind: PhaseKind, length: impl Fn(Duration) -> Duration) {
    let phases = || {
        plan.traffic
            .phases
            .iter()
            .filter(|phase| phase.kind == kind)
    };
    let whole: Duration = phases().map(|phase| phase.duration).sum();
    if whole.is_zero() {
        return;
    }
    let factor = length(whole).as_secs_f64() / whole.as_secs_f64();
    let phases = plan.traffic.phases.iter_mut();
    for phase in phases.filter(|phase| phase.kind == kind) {
        phase.duration = phase.duration.mul_f64(factor);
        phase.arrivals = phase.arrivals.map(|arrivals| arrivals.scaled(1.0, factor));
    }
}

/// The highest rate of the measured phases. A plan with an open loop has one.
fn offered(plan: &Plan) -> Rate {
    let measured = plan.traffic.phases.iter();
    let measured = measured.filter(|phase| phase.kind == PhaseKind::Measure);
    let peaks = measured.filter_map(|phase| Some(phase.arrivals?.shape.peak(phase.duration).per_s));
    Rate {
        per_s: peaks.fold(0.0, f64::max),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{self, Overrides};
    use crate::workload::arrivals::Shape;

    fn plan(traffic: &str) -> Plan {
        let text = format!(
            "name: shop\n\
             data_types:\n  product:\n    key: 'product:{{id}}'\n    strategy: cache-aside\n    \
             ttl: 1m\n    population: 10\n    value_size: 1KiB\n    \
             origin: {{ query_time: {{ median: 1ms, p99: 2ms }} }}\n\
             layers: {{ local: {{ entries: 10 }}, remote: none }}\norigin: {{ connections: 4 }}\n\
             traffic:\n  users: 5\n  think_time: 1s\n  {traffic}\n  mix: {{ product.get: 1 }}\n\
             baseline: {{ for: 5s }}\n\
             gates: ['p95(response_time) < 1s', 'origin_query_reduction > 50%']\n"
        );
        scenario::parse("shop.yaml", &text, &Overrides::default()).expect("a good scenario")
    }

    const OPEN: &str = "driver: open\n  arrivals: 100/s\n  phases: [{ name: warm-up, for: 10s, \
                        arrivals: 50/s }, { name: steady, for: 40s }, { name: spike, for: 20s, \
                        arrivals: { spike: 100/s..400/s, at: 5s, for: 10s } }]";

    fn probe(rate: f64, repeat: u32) -> Probe {
        Probe {
            rate: Rate { per_s: rate },
            repeat,
            order: 1,
        }
    }

    #[test]
    fn a_probe_is_the_plan_in_small() {
        let plan = plan(OPEN);
        let template = Template::new(&plan, None).expect("an open loop");
        assert_eq!(template.duration(), Duration::from_secs(25));
        assert_eq!(template.left_out(), ["origin_query_reduction > 50%"]);
        let made = template.of(probe(800.0, 1));
        assert!(made.baseline.is_none() && made.gates.len() == 1);
        assert_eq!(made.seed, plan.seed);
        let shapes = made.traffic.phases.iter();
        let shapes: Vec<Shape> = shapes
            .filter_map(|phase| Some(phase.arrivals?.shape))
            .collect();
        let rate = |per_s| Rate { per_s };
        assert_eq!(
            shapes[..2],
            [Shape::Constant(rate(100.0)), Shape::Constant(rate(200.0))]
        );
        let wanted = Shape::Spike {
            base: rate(200.0),
            peak: rate(800.0),
            at: Duration::from_millis(1_250),
            length: Duration::from_millis(2_500),
        };
        assert_eq!(shapes[2], wanted);
        assert_ne!(template.of(probe(800.0, 2)).seed, plan.seed);
    }

    #[test]
    fn how_long_a_probe_lasts_can_be_said() {
        let plan = plan(OPEN);
        for (said, wanted) in [(3, 6), (60, 70)] {
            let template = Template::new(&plan, Some(Duration::from_secs(said)));
            let template = template.expect("an open loop");
            assert_eq!(template.duration(), Duration::from_secs(wanted));
        }
    }

    #[test]
    fn the_range_is_around_what_the_scenario_offers() {
        let template = Template::new(&plan(OPEN), None).expect("an open loop");
        let limits = |from: Option<f64>, to: Option<f64>| {
            let rate = |per_s| Rate { per_s };
            let wanted = Wanted {
                from: from.map(rate),
                to: to.map(rate),
                ..Wanted::default()
            };
            let limits = template.limits(&wanted, 3);
            (limits.from.per_s, limits.to.per_s)
        };
        assert_eq!(limits(None, None), (50.0, 12_800.0));
        assert_eq!(limits(Some(1.0), None), (1.0, 12_800.0));
        assert_eq!(limits(Some(20_000.0), None), (20_000.0, 5_120_000.0));
        assert_eq!(limits(None, Some(25.6)), (0.1, 25.6));
        assert_eq!(limits(Some(7.0), Some(5.0)), (7.0, 5.0), "refused later");
    }

    #[test]
    fn without_a_rate_there_is_advice() {
        let closed = plan("phases: [{ name: steady, for: 5s }]");
        let error = Template::new(&closed, None).expect_err("users");
        insta::assert_snapshot!(error, @"--find-knee needs an open loop, and the scenario's driver is `closed`: its users slow down with the system, so that no rate can be kept up; write `driver: open` and `arrivals: 500/s` under `traffic`");
    }
}
