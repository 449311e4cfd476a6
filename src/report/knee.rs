//! The knee in words and as a table: where it is, what limits it, and what each rate showed.
//!
//! Called by the terminal, by Markdown, by the page and by the runner's progress, so that all say the
//! same. Empty where no knee was searched.

use super::digest::Fact;
use super::model::{KneeProbe, KneeResult, KneeVerdict, Report};
use super::table::{Cell, Column, Table, Tone};
use super::words::{NOTHING, counted, plain, us};
use crate::units::thousands;

/// A rate as a person compares rates: four digits, `702.5/s`, `12,800/s`.
pub(crate) fn rate(per_s: f64) -> String {
    if !per_s.is_finite() {
        return NOTHING.to_owned();
    }
    let size = per_s.abs();
    if size >= 999.95 {
        let whole = format!("{per_s:.0}");
        return whole.parse().map_or(whole, thousands) + "/s";
    }
    let digits = [(100.0, 1), (10.0, 2), (1.0, 3)];
    let digits = digits.into_iter().find(|(from, _)| size >= *from);
    let digits = digits.map_or(4, |(_, digits)| digits);
    let text = format!("{per_s:.digits$}");
    format!("{}/s", text.trim_end_matches('0').trim_end_matches('.'))
}

/// What was found, in a line, and then what else to know.
pub(super) fn facts(report: &Report) -> Vec<Fact> {
    let Some(knee) = &report.knee else {
        return Vec::new();
    };
    let sure = knee.rate_per_s.is_some() && knee.upper_per_s.is_some();
    let tone = match (knee.rate_per_s, sure) {
        (Some(_), true) => Tone::Good,
        (Some(_), false) => Tone::Doubtful,
        (None, _) => Tone::Bad,
    };
    let mut facts = vec![Fact::new("knee", line(knee), tone)];
    let notes = knee.notes.iter();
    facts.extend(notes.map(|note| Fact::new("", plain(note), Tone::Doubtful)));
    facts
}

/// Where the knee is and what limits it: `702.5/s holds, 733.6/s does not: gate: p95 …; 24 probes`.
pub(super) fn line(knee: &KneeResult) -> String {
    let limit = plain(&knee.limited_by);
    let found = match (knee.rate_per_s, knee.upper_per_s) {
        (Some(holds), Some(fails)) => {
            format!("{} holds, {} does not ({limit})", rate(holds), rate(fails))
        }
        (Some(holds), None) => format!("at least {} ({limit})", rate(holds)),
        (None, Some(fails)) if !limit.starts_with("no evidence") => {
            format!("none found: not even {} holds ({limit})", rate(fails))
        }
        (None, _) => format!("none found ({limit})"),
    };
    let probes = counted(knee.probes.len() as u64, "probe");
    format!("{found}; {probes}")
}

/// One row for each rate.
pub(super) fn table(report: &Report) -> Table {
    let mut table = Table::new(vec![
        Column::figures("rate"),
        Column::figures("p95"),
        Column::figures("p99").rank(2),
        Column::figures("held"),
        Column::names("verdict"),
        Column::names("why").cut_to(20),
    ]);
    let Some(knee) = &report.knee else {
        return table;
    };
    for probed in by_rate(knee) {
        let cells = vec![
            rate(probed.rate_per_s).into(),
            probed.p95_us.map_or(NOTHING.to_owned(), us).into(),
            probed.p99_us.map_or(NOTHING.to_owned(), us).into(),
            format!("{} of {}", probed.held, probed.probes.len()).into(),
            verdict_cell(probed.verdict),
            plain(&probed.why).into(),
        ];
        let mark = same(knee.rate_per_s, probed.rate_per_s).then_some(('→', Tone::Good));
        table.push(mark, cells);
    }
    table
}

fn same(knee: Option<f64>, per_s: f64) -> bool {
    knee.is_some_and(|knee| knee.to_bits() == per_s.to_bits())
}

fn verdict_cell(verdict: KneeVerdict) -> Cell {
    let tone = match verdict {
        KneeVerdict::Holds => Tone::Good,
        KneeVerdict::Fails => Tone::Bad,
        KneeVerdict::Inconclusive | KneeVerdict::Invalid => Tone::Doubtful,
    };
    Cell::toned(word(verdict), tone)
}

/// The verdict of a probe or of a rate.
pub(super) fn word(verdict: KneeVerdict) -> &'static str {
    match verdict {
        KneeVerdict::Holds => "holds",
        KneeVerdict::Fails => "FAILS",
        KneeVerdict::Inconclusive => "inconclusive",
        KneeVerdict::Invalid => "INVALID",
    }
}

/// Why a probe does not hold; empty if it does.
pub(crate) fn why(probe: &KneeProbe) -> String {
    match probe.verdict {
        KneeVerdict::Holds => String::new(),
        KneeVerdict::Inconclusive | KneeVerdict::Invalid => probe.note.clone(),
        KneeVerdict::Fails => {
            let lost = (!probe.sustained).then_some("not sustained");
            let gates = probe.failed_gates.iter().map(String::as_str);
            lost.into_iter().chain(gates).collect::<Vec<_>>().join(", ")
        }
    }
}

/// All probes of a rate.
pub(super) struct Probed<'k> {
    pub(super) rate_per_s: f64,
    pub(super) probes: Vec<&'k KneeProbe>,
    pub(super) held: usize,
    /// What most of them showed.
    pub(super) verdict: KneeVerdict,
    /// The median of their 95th percentiles.
    pub(super) p95_us: Option<f64>,
    pub(super) p99_us: Option<f64>,
    /// Why the last one that did not hold did not, if most did not.
    pub(super) why: String,
}

/// What each rate showed, the lowest first.
pub(super) fn by_rate(knee: &KneeResult) -> Vec<Probed<'_>> {
    let mut probes: Vec<&KneeProbe> = knee.probes.iter().collect();
    probes.sort_by(|a, b| a.rate_per_s.total_cmp(&b.rate_per_s));
    let same = |a: &&KneeProbe, b: &&KneeProbe| a.rate_per_s.to_bits() == b.rate_per_s.to_bits();
    probes
        .chunk_by(same)
        .map(|of_rate| probed(of_rate))
        .collect()
}

fn probed<'k>(probes: &[&'k KneeProbe]) -> Probed<'k> {
    let count = |verdict| {
        let alike = probes.iter().filter(|probe| probe.verdict == verdict);
        alike.count()
    };
    let held = count(KneeVerdict::Holds);
    let verdict = if held * 2 > probes.len() {
        KneeVerdict::Holds
    } else {
        // Of equals the last: what failed is known of the system.
        let others = [
            KneeVerdict::Inconclusive,
            KneeVerdict::Invalid,
            KneeVerdict::Fails,
        ];
        let most = others.into_iter().max_by_key(|verdict| count(*verdict));
        most.unwrap_or(KneeVerdict::Fails)
    };
    let last = probes.iter().rfind(|probe| probe.verdict == verdict);
    Probed {
        rate_per_s: probes.first().map_or(0.0, |probe| probe.rate_per_s),
        held,
        verdict,
        p95_us: median(probes.iter().filter_map(|probe| probe.p95_us)),
        p99_us: median(probes.iter().filter_map(|probe| probe.p99_us)),
        why: last.map_or_else(String::new, |probe| why(probe)),
        probes: probes.to_vec(),
    }
}

/// Of an even number, the upper of the two in the middle.
fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::knee_report;

    #[test]
    fn rates_have_four_digits() {
        let shown = [0.04, 1.5, 62.5, 702.53, 1_000.0, 12_800.4, f64::NAN].map(rate);
        let wanted = [
            "0.04/s", "1.5/s", "62.5/s", "702.5/s", "1,000/s", "12,800/s", "–",
        ];
        assert_eq!(shown, wanted);
    }

    #[test]
    fn every_end_has_its_words() {
        let report = knee_report();
        let knee = report.knee.as_ref().expect("a knee");
        let told = |change: fn(&mut KneeResult)| {
            let mut other = knee.clone();
            change(&mut other);
            line(&other)
        };
        let lines = [
            told(|_| {}),
            told(|knee| {
                knee.upper_per_s = None;
                knee.limited_by = "generator".to_owned();
            }),
            told(|knee| knee.rate_per_s = None),
            told(|knee| (knee.rate_per_s, knee.upper_per_s) = (None, None)),
        ];
        insta::assert_snapshot!(lines.join("\n"), @"
        565.7/s holds, 590.7/s does not (gate: p95 response time, 1,000 users); 17 probes
        at least 565.7/s (generator); 17 probes
        none found: not even 590.7/s holds (gate: p95 response time, 1,000 users); 17 probes
        none found (gate: p95 response time, 1,000 users); 17 probes
        ");
    }

    #[test]
    fn a_rate_is_what_most_of_its_probes_are() {
        insta::assert_snapshot!(table(&knee_report()).lines(100, false).join("\n"), @"
             rate    p95     p99    held  verdict  why
            100/s  58 ms   93 ms  1 of 1  holds
            200/s  59 ms   94 ms  1 of 1  holds
            400/s  62 ms   99 ms  2 of 2  holds
          475.7/s  64 ms  102 ms  2 of 2  holds
        → 565.7/s  76 ms  122 ms  2 of 3  holds
          590.7/s  1.2 s   1.9 s  0 of 2  FAILS    p95 response time, 1,000 users
          616.9/s  1.5 s   2.4 s  0 of 2  FAILS    p95 response time, 1,000 users
          672.7/s  1.9 s   3.0 s  0 of 2  FAILS    p95 response time, 1,000 users
            800/s  4.3 s   6.9 s  0 of 2  FAILS    not sustained, p95 response time, 1,000 users
        ");
    }

    #[test]
    fn without_a_search_there_is_nothing() {
        let report = crate::report::fixture::sample_report();
        assert!(facts(&report).is_empty() && table(&report).is_empty());
    }
}
