//! Targets held against several samples, after each sample was judged by itself.
//!
//! A figure that has an estimate is judged by that, because a sample alone knows neither its
//! corrections nor how far it is off. Of any other figure the samples must agree. Where the interval
//! reaches over the target, or samples disagree, nothing is decided. Pure.

use super::value_of;
use crate::gates::grammar::{Check, Selectors};
use crate::gates::judge::overall_of;
use crate::gates::metric::{Distribution, Metric, Scalar, Statistic};
use crate::gates::{Gate, Verdict};
use crate::report::model::{GateResult, Report, SampledFigure, SamplingResult};

/// Judges the `gates` of `shown` once more, by the estimates in it and by what each of `samples`, the
/// judged reports of the samples, says.
pub fn judge_again(shown: &mut Report, gates: &[Gate], samples: &[Report]) {
    let Some(sampling) = &shown.sampling else {
        return;
    };
    for (at, (gate, result)) in gates.iter().zip(&mut shown.gates).enumerate() {
        let undecided = result.verdict == Verdict::Inconclusive;
        // There is no estimate of the worst window.
        let estimate = estimate_of(&gate.check, sampling).filter(|_| gate.window.is_none());
        match estimate {
            Some(figure) if !undecided => by_estimate(&gate.check, figure, result),
            _ => {
                let judged = samples.iter().filter_map(|sample| sample.gates.get(at));
                let verdicts: Vec<Verdict> = judged.map(|gate| gate.verdict).collect();
                by_agreement(&verdicts, result);
            }
        }
    }
    let verdicts: Vec<Verdict> = shown.gates.iter().map(|gate| gate.verdict).collect();
    shown.verdict = overall_of(&verdicts, shown.validity.valid);
    for main in shown.variants.iter_mut().filter(|variant| variant.main) {
        main.gates.clone_from(&shown.gates);
        main.verdict = shown.verdict;
    }
}

fn by_estimate(check: &Check, figure: &SampledFigure, result: &mut GateResult) {
    result.observed_value = Some(figure.mean);
    result.observed = check.format_value(figure.mean);
    let holds = check.holds(figure.mean);
    if [figure.low, figure.high].map(|end| check.holds(end)) == [holds; 2] {
        result.verdict = if holds { Verdict::Pass } else { Verdict::Fail };
        return;
    }
    result.verdict = Verdict::Inconclusive;
    let [low, high] = [figure.low, figure.high].map(|end| value_of(figure, end));
    result.note = format!("it is between {low} and {high}: take more, or larger, samples");
}

fn by_agreement(verdicts: &[Verdict], result: &mut GateResult) {
    if verdicts.iter().all(|verdict| *verdict == result.verdict) {
        return;
    }
    let held = verdicts.iter().filter(|verdict| **verdict == Verdict::Pass);
    result.note = format!("it held in {} of {} samples", held.count(), verdicts.len());
    result.verdict = Verdict::Inconclusive;
}

/// The estimate of what `check` is about, if there is one of exactly that.
fn estimate_of<'s>(check: &Check, sampling: &'s SamplingResult) -> Option<&'s SampledFigure> {
    let Selectors {
        data_type, layer, ..
    } = &check.selectors;
    let narrowed = check.selectors.given().count();
    let name = match (check.metric, data_type, layer) {
        (Metric::Scalar(Scalar::HitRatio), Some(data_type), None) if narrowed == 1 => {
            format!("{data_type} hit ratio")
        }
        (Metric::Scalar(Scalar::HitRatio), None, Some(layer)) if narrowed == 1 => {
            format!("{} layer's hit ratio", layer.name())
        }
        (metric, ..) if narrowed == 0 => of_all(metric)?,
        _ => return None,
    };
    sampling.figures.iter().find(|figure| figure.name == name)
}

fn of_all(metric: Metric) -> Option<String> {
    Some(match metric {
        Metric::Scalar(Scalar::HitRatio) => "hit ratio".to_owned(),
        Metric::Scalar(Scalar::Rate) => "requests".to_owned(),
        Metric::Scalar(Scalar::OriginQueriesPerS) => "origin queries".to_owned(),
        Metric::Scalar(Scalar::RedisMemory) => "remote memory".to_owned(),
        Metric::Distribution(Distribution::ResponseTime, Statistic::Percentile(percent)) => {
            format!("p{percent} response time")
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::sampled_report;

    fn gate(check: &str) -> Gate {
        Gate::plain(check.parse().expect(check))
    }

    /// The gates as told after a sample alone said `verdicts`, the first of them the one that is shown.
    fn told(check: &str, verdicts: &[Verdict]) -> String {
        let mut shown = sampled_report();
        let gate = gate(check);
        let judged = |verdict| GateResult {
            verdict,
            ..sampled_report().gates[0].clone()
        };
        shown.gates = vec![judged(verdicts[0])];
        let samples: Vec<Report> = verdicts
            .iter()
            .map(|verdict| {
                let mut sample = sampled_report();
                sample.gates = vec![judged(*verdict)];
                sample
            })
            .collect();
        judge_again(&mut shown, &[gate], &samples);
        let judged = &shown.gates[0];
        assert_eq!(shown.verdict, judged.verdict);
        format!("{:?} {} {}", judged.verdict, judged.observed, judged.note)
    }

    #[test]
    fn what_has_an_estimate_is_judged_by_it() {
        let lost = [Verdict::Fail; 4];
        insta::assert_snapshot!(told("hit_ratio > 94%", &lost), @"Pass 94.9%");
        insta::assert_snapshot!(told("hit_ratio > 95%", &lost), @"Inconclusive 94.9% it is between 94.74% and 95.08%: take more, or larger, samples");
        insta::assert_snapshot!(told("hit_ratio{data_type=customer} > 99%", &lost), @"Fail 97.2%");
        insta::assert_snapshot!(told("hit_ratio{layer=local} > 9%", &lost), @"Pass 58.3%");
        insta::assert_snapshot!(told("p95(response_time) < 1s", &lost), @"Pass 61 ms");
        insta::assert_snapshot!(told("rate > 1/s", &lost), @"Pass 24,797/s");
    }

    #[test]
    fn otherwise_samples_must_agree() {
        let (pass, fail, open) = (Verdict::Pass, Verdict::Fail, Verdict::Inconclusive);
        let check = "error_ratio < 1%";
        assert!(told(check, &[pass; 3]).starts_with("Pass"));
        assert!(told(check, &[fail; 3]).starts_with("Fail"));
        let divided = told(check, &[pass, fail, pass]);
        assert!(divided.starts_with("Inconclusive"), "{divided}");
        assert!(divided.ends_with("it held in 2 of 3 samples"), "{divided}");
        // Without evidence an estimate decides nothing either.
        assert!(told("hit_ratio > 1%", &[open; 3]).starts_with("Inconclusive"));
    }
}
