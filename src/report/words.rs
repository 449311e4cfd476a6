//! Figures and verdicts in the words of a person; shared by everything that people read.
//!
//! Pure. A figure that is not there is a dash, never a zero.

use std::time::Duration;

use super::model::{GateResult, HeldLocally, Report};
use super::sampled::one_in;
use super::target::named;
use crate::gates::Verdict;
use crate::measure::Summary;
use crate::units::{ByteSize, Ratio, long, short, thousands};

/// What stands where nothing was measured.
pub(super) const NOTHING: &str = "–";

/// A time in microseconds: `38 ms`.
pub(super) fn us(value: f64) -> String {
    Duration::try_from_secs_f64(value / 1e6).map_or_else(|_| NOTHING.to_owned(), short)
}

/// One figure of `summary`, or a dash if it rests on nothing.
pub(super) fn of(summary: &Summary, figure: fn(&Summary) -> f64) -> String {
    if summary.count == 0 {
        NOTHING.to_owned()
    } else {
        us(figure(summary))
    }
}

/// A length of time or a moment of the run in seconds: `20 s`, `1.5 s`, `10.0 min`, `24 h`, `3 d 4 h`.
pub(super) fn seconds(value: f64) -> String {
    match Duration::try_from_secs_f64(value) {
        Ok(time) if time >= Duration::from_hours(1) => long(time),
        Ok(time) if time >= Duration::from_mins(2) => short(time),
        Ok(_) if value.fract() == 0.0 => format!("{value:.0} s"),
        Ok(_) => format!("{value:.1} s"),
        Err(_) => NOTHING.to_owned(),
    }
}

/// A rate per second: `493`, `4.5`.
pub(super) fn rate(per_s: f64) -> String {
    if !per_s.is_finite() {
        NOTHING.to_owned()
    } else if per_s.abs() < 10.0 {
        format!("{per_s:.1}")
    } else {
        let whole = format!("{per_s:.0}");
        whole.parse().map_or(whole, thousands)
    }
}

/// A ratio to one place, two near its ends, where a little is not nothing and almost all is not
/// all: `96.1%`, `0.02%`, `<0.01%`.
pub(super) fn ratio(value: Option<f64>) -> String {
    match value {
        Some(value) if value > 0.0 && value < 0.000_1 => "<0.01%".to_owned(),
        Some(value) if value > 0.999_9 && value < 1.0 => ">99.99%".to_owned(),
        Some(value) if value.is_finite() => Ratio(value).to_string(),
        _ => NOTHING.to_owned(),
    }
}

/// A share in whole percent, where a little is not nothing and almost all is not all.
pub(super) fn share(value: Option<f64>) -> String {
    match value.map(|value| value * 100.0) {
        Some(percent) if percent > 0.0 && percent < 0.5 => "<1%".to_owned(),
        Some(percent) if (99.5..100.0).contains(&percent) => ">99%".to_owned(),
        Some(percent) if percent.is_finite() => format!("{percent:.0}%"),
        _ => NOTHING.to_owned(),
    }
}

/// A reduction as what it does to the figure: 0.96 is `-96%`, -0.1 is `+10%`.
pub(super) fn change(reduction: f64) -> String {
    let percent = -reduction * 100.0;
    if !percent.is_finite() {
        NOTHING.to_owned()
    } else if percent.abs() < 0.5 {
        "±0%".to_owned()
    } else {
        format!("{percent:+.0}%")
    }
}

/// Processor time: `21% of a core`, `1.7 cores`.
pub(super) fn cores(value: f64) -> String {
    if value < 1.0 {
        format!("{} of a core", share(Some(value)))
    } else {
        format!("{value:.1} cores")
    }
}

/// `1 instance`, `3 instances`.
pub(super) fn counted(count: u64, one: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {one}{plural}", thousands(count))
}

/// What local layers held: `3.2 MiB in 1,234 keys in the end; 56 evicted`.
pub(super) fn held_locally(held: &HeldLocally) -> String {
    format!(
        "{} in {} in the end; {} evicted",
        ByteSize(held.bytes),
        counted(held.entries, "key"),
        thousands(held.evictions),
    )
}

/// `text` on one line and without control characters: names and errors come from elsewhere.
pub(super) fn plain(text: &str) -> String {
    let visible = |letter: char| if letter.is_control() { ' ' } else { letter };
    let text: String = text.chars().map(visible).collect();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The verdict of a run or a target, where it must be seen.
pub(super) fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "PASS",
        Verdict::Fail => "FAIL",
        Verdict::Inconclusive => "INCONCLUSIVE",
    }
}

/// How many targets became what: `17 of 17 targets`, `15 of 17 targets held, 1 failed, 1 without
/// evidence`.
pub(super) fn tally(gates: &[GateResult]) -> String {
    let count = |verdict| gates.iter().filter(|gate| gate.verdict == verdict).count();
    let (held, failed) = (count(Verdict::Pass), count(Verdict::Fail));
    let inconclusive = count(Verdict::Inconclusive);
    if gates.is_empty() {
        return "no targets".to_owned();
    }
    let part = |count: usize, word: &str| match count {
        0 => String::new(),
        _ => format!(", {count} {word}"),
    };
    let lost = part(failed, "failed") + &part(inconclusive, "inconclusive");
    let word = if lost.is_empty() { "" } else { " held" };
    format!(
        "{held} of {}{word}{lost}",
        counted(gates.len() as u64, "target")
    )
}

/// Where a target comes from without the words that all sources share, and those words: `ADR-006`
/// of `ADR-006, Context` and `ADR-006, Consequences`.
pub(super) fn common_source(gates: &[GateResult]) -> Option<&str> {
    let mut heads = gates
        .iter()
        .filter(|gate| !gate.source.is_empty())
        .map(|gate| gate.source.split_once(", ").map(|(head, _)| head));
    let first = heads.next()??;
    heads.all(|head| head == Some(first)).then_some(first)
}

/// What drove the traffic, and how much of it.
pub(super) fn driver(report: &Report) -> String {
    let users = counted(report.environment.users.into(), "user");
    match report.driver.as_str() {
        "closed" => format!("closed loop, {users}"),
        "open" => {
            let offered = report.phases.iter().filter_map(|phase| phase.offered);
            let most = offered
                .map(|offered| offered.rate_per_s)
                .fold(0.0, f64::max);
            format!("open loop, {}/s at most", rate(most))
        }
        other => format!("{}, {users}", plain(other)),
    }
}

/// What was run, where, with what: the parts of the first line.
pub(super) fn title(report: &Report) -> Vec<String> {
    let place = &report.environment;
    let redis = place.redis_version.as_ref().map_or_else(
        || match &place.memcached_version {
            Some(version) => plain(&format!("memcached {version} (managed)")),
            None => "no Redis".to_owned(),
        },
        |version| {
            let topology = place.redis_topology.as_deref().unwrap_or_default();
            let whose = if place.redis_managed {
                "managed"
            } else {
                "external"
            };
            plain(&format!("Redis {version} {topology} ({whose})"))
        },
    );
    let mut parts = vec![
        plain(&report.scenario.name),
        format!("seed {}", report.seed),
        driver(report),
    ];
    match &report.target {
        Some(target) => parts.push(named(target)),
        None => parts.extend([redis, counted(place.instances.into(), "instance")]),
    }
    if report.time != "real" {
        parts.push(format!("{} time", plain(&report.time)));
    }
    let sampling = report.sampling.as_ref();
    parts.extend(sampling.map(|sampling| format!("{} simulated", one_in(sampling))));
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::{failed_report, sample_report};

    #[test]
    fn a_little_is_not_nothing_and_almost_all_is_not_all() {
        let shares = [0.0, 0.001, 0.005, 0.35, 0.994, 0.996, 1.0].map(|value| share(Some(value)));
        assert_eq!(shares, ["0%", "<1%", "0%", "35%", "99%", ">99%", "100%"]);
        let ratios = [0.0, 0.000_04, 0.000_2, 0.961, 0.999_6, 0.999_96, 1.0];
        assert_eq!(
            ratios.map(|value| ratio(Some(value))),
            [
                "0%", "<0.01%", "0.02%", "96.1%", "99.96%", ">99.99%", "100%"
            ]
        );
        assert_eq!(
            (ratio(None), ratio(Some(f64::NAN))),
            ("–".to_owned(), "–".to_owned())
        );
        assert_eq!(share(None), "–");
        assert_eq!(share(Some(f64::NAN)), "–");
    }

    #[test]
    fn a_reduction_is_told_as_the_change_it_makes() {
        let changes = [0.964, 0.004, -0.004, -0.1, f64::NEG_INFINITY].map(change);
        assert_eq!(changes, ["-96%", "±0%", "±0%", "+10%", "–"]);
    }

    #[test]
    fn times_rates_and_processors_are_short() {
        assert_eq!(
            [0.0, 20.0, 1.54, 600.0, 86_400.0, -1.0].map(seconds),
            ["0 s", "20 s", "1.5 s", "10.0 min", "24 h", "–"]
        );
        assert_eq!(
            [0.0, 4.46, 493.4, 12_345.6, f64::NAN].map(rate),
            ["0.0", "4.5", "493", "12,346", "–"]
        );
        assert_eq!(
            [0.21, 0.001, 1.0, 1.72].map(cores),
            ["21% of a core", "<1% of a core", "1.0 cores", "1.7 cores"]
        );
        assert_eq!(us(f64::NAN), "–");
        assert_eq!(of(&Summary::default(), |summary| summary.p95), "–");
    }

    #[test]
    fn text_from_elsewhere_stays_on_its_line() {
        assert_eq!(plain("a\u{1b}[31mred\n\n  b\t"), "a [31mred b");
    }

    #[test]
    fn targets_are_counted_and_their_common_source_is_found() {
        assert_eq!(tally(&sample_report().gates), "17 of 17 targets");
        let mut gates = failed_report().gates;
        assert_eq!(
            tally(&gates),
            "15 of 17 targets held, 1 failed, 1 inconclusive"
        );
        assert_eq!(common_source(&gates), Some("ADR-006"));
        gates[4].source = String::new();
        assert_eq!(common_source(&gates), Some("ADR-006"));
        gates[5].source = "service level".to_owned();
        assert_eq!(common_source(&gates), None);
        assert_eq!(
            (tally(&[]).as_str(), common_source(&[])),
            ("no targets", None)
        );
    }
}
