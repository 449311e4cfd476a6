//! Which target belongs into which picture.
//!
//! Pure. Reads no more of a check's text than its function, metric and selectors, and what it
//! cannot read belongs into no picture; it judges nothing, for that is done when a report is made.

use crate::gates::Verdict;
use crate::report::model::{GateResult, Report};

/// What a check looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Subject<'a> {
    /// `p95` of `p95(response_time)`; empty if there is none.
    pub function: &'a str,
    /// `response_time`.
    pub metric: &'a str,
    /// The selectors, as pairs.
    pub selectors: Vec<(&'a str, &'a str)>,
}

/// Reads the part of `check` before its operator; `None` if it has another form.
pub(crate) fn subject(check: &str) -> Option<Subject<'_>> {
    let (head, selectors) = match check.split_once('{') {
        Some((head, rest)) => (head, rest.split_once('}')?.0),
        None => (check.split(['<', '>', '=', '!']).next()?, ""),
    };
    let (function, metric) = match head.split_once('(') {
        Some((function, rest)) => (function.trim(), rest.split_once(')')?.0.trim()),
        None => ("", head.trim()),
    };
    let pairs = selectors
        .split(',')
        .map(str::trim)
        .filter(|s| !s.is_empty());
    let selectors = pairs
        .map(|pair| {
            pair.split_once('=')
                .map(|(k, v)| (k.trim(), v.trim().trim_matches('"')))
        })
        .collect::<Option<Vec<_>>>()?;
    (!metric.is_empty()).then_some(Subject {
        function,
        metric,
        selectors,
    })
}

/// The targets of `metric` that every window must hold, with their function.
pub(crate) fn windowed<'r>(
    report: &'r Report,
    metric: &'r str,
) -> impl Iterator<Item = (&'r str, &'r GateResult)> {
    report.gates.iter().filter_map(move |gate| {
        let found = subject(&gate.check)?;
        (found.metric == metric && gate.windows.is_some()).then_some((found.function, gate))
    })
}

/// The targets of `metric` over everything, with their function.
pub(crate) fn overall<'r>(
    report: &'r Report,
    metric: &'r str,
) -> impl Iterator<Item = (&'r str, &'r GateResult)> {
    report.gates.iter().filter_map(move |gate| {
        let found = subject(&gate.check)?;
        let over_all = found.selectors.is_empty() && gate.windows.is_none();
        (found.metric == metric && over_all).then_some((found.function, gate))
    })
}

/// The target of `metric` for one data type and nothing else.
pub(crate) fn of_data_type<'r>(
    report: &'r Report,
    metric: &str,
    data_type: &str,
) -> Option<&'r GateResult> {
    report.gates.iter().find(|gate| {
        subject(&gate.check).is_some_and(|found| {
            gate.windows.is_none()
                && found.metric == metric
                && found.selectors == [("data_type", data_type)]
        })
    })
}

/// A target in words: `target ≥ 95%`, with its verdict where it did not pass.
pub(crate) fn in_words(gate: &GateResult) -> String {
    let verdict = match gate.verdict {
        Verdict::Pass => "",
        Verdict::Fail => ", missed",
        Verdict::Inconclusive => ", inconclusive",
    };
    format!("target {}{verdict}", gate.target)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn checks_are_read_up_to_their_operator() {
        let read = |check| subject(check).map(|s| (s.function, s.metric, s.selectors));
        assert_eq!(
            read("p95(response_time) < 1s"),
            Some(("p95", "response_time", vec![]))
        );
        assert_eq!(
            read("hit_ratio{ data_type = \"customer\", layer=local }>=95%"),
            Some((
                "",
                "hit_ratio",
                vec![("data_type", "customer"), ("layer", "local")]
            ))
        );
        assert_eq!(
            read("evictions_per_s<=100/s"),
            Some(("", "evictions_per_s", vec![]))
        );
        for wrong in ["", "p95(", "x{y", "x{y}", "< 3"] {
            assert_eq!(subject(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(check in ".{0,40}") {
            let _ = subject(&check);
        }
    }
}
