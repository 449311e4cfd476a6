//! When a gate that may end the run ends it: while the run goes on, on what was measured so far.
//!
//! A gate is lost early only on evidence: a share or a percentile needs so many samples that one of
//! them could lie beyond the target, else the first failed request would end a run that allows one of a
//! hundred. What only grows (a count, a maximum) is lost for good once it is beyond its target, and
//! cannot be missed before the end if it has yet to reach it: such a gate may not end a run. Pure.

use super::Gate;
use super::grammar::{Check, Comparison};
use super::judge::{Observation, samples_min};
use super::metric::{Metric, Scalar, Statistic};
use crate::units::Ratio;

/// A mean of fewer samples says little.
const MEAN_SAMPLES_MIN: u64 = 30;

/// How what is measured so far goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trend {
    /// Never falls.
    Grows,
    /// Never rises.
    Falls,
    /// Either.
    Moves,
    /// It is known at the end only.
    AtEnd,
}

fn trend(metric: Metric) -> Trend {
    let scalar = match metric {
        Metric::Distribution(_, Statistic::Max) => return Trend::Grows,
        Metric::Distribution(_, Statistic::Min) => return Trend::Falls,
        Metric::Distribution(..) => return Trend::Moves,
        Metric::Scalar(scalar) => scalar,
    };
    match scalar {
        Scalar::HitRatio
        | Scalar::ErrorRatio
        | Scalar::StaleRatio
        | Scalar::Rate
        | Scalar::OriginQueriesPerS => Trend::Moves,
        Scalar::RedisUp => Trend::Falls,
        Scalar::ResponseTimeReduction | Scalar::OriginQueryReduction | Scalar::RedisKeys => {
            Trend::AtEnd
        }
        Scalar::MemoryUsage
        | Scalar::EvictionsPerS
        | Scalar::Requests
        | Scalar::Errors
        | Scalar::Dropped
        | Scalar::Users
        | Scalar::OriginQueries
        | Scalar::OriginPeakConnections
        | Scalar::OriginLoadsPerFlight
        | Scalar::RedisMemory
        | Scalar::BreakersOpen
        | Scalar::WriteBehindWaiting
        | Scalar::AlertsFired => Trend::Grows,
    }
}

/// Why `gate` cannot end a run; `None` if it can.
pub fn refusal(gate: &Gate) -> Option<String> {
    use Comparison::{Above, AtLeast, AtMost, Below, NotEqual};
    if gate.window.is_some() {
        // What a window showed, it showed.
        return None;
    }
    let check = &gate.check;
    let name = check.metric;
    match (trend(check.metric), check.comparison) {
        (Trend::AtEnd, _) => Some(format!(
            "{name} is known at the end only, so it cannot end the run before"
        )),
        (Trend::Grows, Above | AtLeast | NotEqual) => Some(format!(
            "{name} only grows, so that it is missed at the end only; it cannot end the run before"
        )),
        (Trend::Falls, Below | AtMost | NotEqual) => Some(format!(
            "{name} only falls, so that it is missed at the end only; it cannot end the run before"
        )),
        _ => None,
    }
}

/// Whether what is `seen` so far of `check` loses its gate before the end.
pub fn is_lost(check: &Check, seen: Observation) -> bool {
    let Some(value) = seen.value.filter(|value| value.is_finite()) else {
        return false;
    };
    if check.holds(value) || seen.samples < samples_wanted(check) {
        return false;
    }
    trend(check.metric) == Trend::Moves || is_lost_for_good(check, value)
}

/// Whether the gate of a `check` of which `value` was observed is lost whatever comes after it.
pub fn is_lost_for_good(check: &Check, value: f64) -> bool {
    use Comparison::{Above, AtLeast, AtMost, Below, Equal};
    if check.holds(value) {
        return false;
    }
    let target = check.target.value;
    match (trend(check.metric), check.comparison) {
        (Trend::Grows, Below | AtMost) | (Trend::Falls, Above | AtLeast) => true,
        (Trend::Grows, Equal) => value > target,
        (Trend::Falls, Equal) => value < target,
        _ => false,
    }
}

/// The fewest samples on which a gate is lost before the end.
fn samples_wanted(check: &Check) -> u64 {
    match check.metric {
        Metric::Distribution(_, Statistic::Percentile(percent)) => samples_min(percent),
        Metric::Distribution(_, Statistic::Mean) => MEAN_SAMPLES_MIN,
        Metric::Scalar(Scalar::HitRatio | Scalar::ErrorRatio | Scalar::StaleRatio) => {
            let Ratio(target) = Ratio(check.target.value);
            // At 0% or 100% nothing is allowed, and the first sample tells.
            let allows = target > 0.0 && target < 1.0;
            if allows {
                samples_min(target * 100.0)
            } else {
                1
            }
        }
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gates::metric::{Kind, METRICS};

    fn check(text: &str) -> Check {
        text.parse().expect(text)
    }

    fn lost(text: &str, value: f64, samples: u64) -> bool {
        let value = Some(value);
        is_lost(&check(text), Observation { value, samples })
    }

    #[test]
    fn a_gate_is_lost_early_on_evidence_only() {
        assert!(lost("p95(response_time) < 1s", 1e6, 20));
        assert!(!lost("p95(response_time) < 1s", 1e6, 19));
        assert!(!lost("p95(response_time) < 1s", 9e5, 1_000));
        // One failed request of three is no 1%.
        assert!(!lost("error_ratio < 1%", 0.33, 3));
        assert!(lost("error_ratio < 1%", 0.33, 100));
        assert!(lost("error_ratio == 0%", 0.33, 3));
        assert!(!lost("hit_ratio >= 95%", 0.0, 19));
        assert!(lost("hit_ratio >= 95%", 0.0, 20));
        assert!(!lost("mean(response_time) < 1s", 2e6, 29));
        assert!(lost("max(response_time) < 1s", 2e6, 1));
        assert!(!lost("rate >= 100/s", f64::NAN, 30));
        assert!(lost("rate >= 100/s", 40.0, 30));
        assert!(!is_lost(&check("errors == 0"), Observation::default()));
    }

    #[test]
    fn what_only_grows_is_lost_beyond_its_target_alone() {
        assert!(lost("errors == 0", 1.0, 1));
        assert!(lost("origin_loads_per_flight == 1", 2.0, 1));
        assert!(!lost("origin_loads_per_flight == 2", 1.0, 1));
        assert!(lost("redis_up == 1", 0.0, 1));
        assert!(is_lost_for_good(&check("errors <= 3"), 4.0));
        assert!(!is_lost_for_good(&check("errors <= 3"), 3.0));
        assert!(!is_lost_for_good(&check("requests >= 30"), 3.0));
        assert!(!is_lost_for_good(&check("hit_ratio >= 30%"), 0.1));
    }

    fn refused(text: &str) -> String {
        refusal(&Gate::plain(check(text))).unwrap_or_else(|| "may".to_owned())
    }

    #[test]
    fn what_is_missed_at_the_end_only_may_end_no_run() {
        insta::assert_snapshot!(
            ["requests >= 9", "redis_up != 1", "redis_keys < 9", "max(slip) > 1s"]
                .map(refused)
                .join("\n"),
            @"
        requests only grows, so that it is missed at the end only; it cannot end the run before
        redis_up only falls, so that it is missed at the end only; it cannot end the run before
        redis_keys is known at the end only, so it cannot end the run before
        max(slip) only grows, so that it is missed at the end only; it cannot end the run before
        "
        );
        for may in [
            "requests < 9",
            "redis_up == 1",
            "hit_ratio > 1%",
            "errors == 0",
        ] {
            assert_eq!(refused(may), "may", "{may}");
        }
        let mut users = Gate::plain(check("users >= 9"));
        assert!(refusal(&users).is_some());
        users.window = Some(std::time::Duration::from_secs(5));
        assert_eq!(refusal(&users), None, "a window shows what it shows");
    }

    /// Whatever is lost early could not be held by a run that went on, if it is lost for good.
    #[test]
    fn no_metric_is_lost_where_it_holds() {
        for row in &METRICS {
            let metric = match row.kind {
                Kind::Distribution(of) => Metric::Distribution(of, Statistic::Max),
                Kind::Scalar(scalar) => Metric::Scalar(scalar),
            };
            for operator in ["<", "<=", ">", ">=", "==", "!="] {
                let target = match row.unit.name() {
                    "ratio" => "50%",
                    "us" => "5s",
                    "per_s" => "5/s",
                    "bytes" => "5B",
                    _ => "5",
                };
                let check = check(&format!("{metric} {operator} {target}"));
                for value in [0.0, 0.5, 1.0, 5.0, 6.0, 5e6, 6e6] {
                    let seen = Observation {
                        value: Some(value),
                        samples: 1_000,
                    };
                    assert!(
                        !(is_lost(&check, seen) && check.holds(value)),
                        "{check} {value}"
                    );
                }
            }
        }
    }
}
