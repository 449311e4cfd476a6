//! What a probe showed, and what came of them all, for the report and for people.
//!
//! Pure: reports in, words and figures out.

use std::collections::BTreeMap;

use crate::capacity::knee::{End, Found, Limits, Probe, Showing};
use crate::capacity::probe::Template;
use crate::gates::Verdict;
use crate::measure::PhaseKind;
use crate::report::knee::{rate, why};
use crate::report::model::{KneeProbe, KneeResult, KneeVerdict, Report};
use crate::units::{Rate, short};

const NOT_SUSTAINED: &str = "not sustained";
const GENERATOR: &str = "generator";

/// What `probe` showed by its report.
pub(super) fn judged(probe: Probe, report: &Report) -> (Showing, KneeProbe) {
    let sustained = sustained(report);
    let named = |wanted: Verdict| {
        let gates = report.gates.iter();
        let gates = gates.filter(move |gate| gate.verdict == wanted);
        gates.map(|gate| gate.name.clone()).collect::<Vec<_>>()
    };
    let failed_gates = named(Verdict::Fail);
    let (showing, note) = if report.validity.generator_limited {
        (Showing::Generator, report.validity.reasons.join("; "))
    } else if !sustained || !failed_gates.is_empty() {
        // Requests that found no place make a run invalid, but it is the system that had none.
        (Showing::Fails, String::new())
    } else if !report.validity.valid {
        (Showing::Unclear, report.validity.reasons.join("; "))
    } else {
        match named(Verdict::Inconclusive) {
            none if none.is_empty() => (Showing::Holds, String::new()),
            without => (Showing::Unclear, without.join(", ")),
        }
    };
    let times = &report.requests.response_time_us;
    let measured = |value: f64| (times.count > 0).then_some(value);
    let judged = KneeProbe {
        rate_per_s: probe.rate.per_s,
        repeat: probe.repeat,
        order: probe.order,
        verdict: verdict(showing),
        p95_us: measured(times.p95),
        p99_us: measured(times.p99),
        sustained,
        failed_gates,
        note,
    };
    (showing, judged)
}

fn verdict(showing: Showing) -> KneeVerdict {
    match showing {
        Showing::Holds => KneeVerdict::Holds,
        Showing::Fails => KneeVerdict::Fails,
        Showing::Unclear => KneeVerdict::Inconclusive,
        Showing::Generator => KneeVerdict::Invalid,
    }
}

fn sustained(report: &Report) -> bool {
    let measured = report.phases.iter();
    let mut measured = measured.filter(|phase| phase.kind == PhaseKind::Measure);
    measured.all(|phase| phase.offered.is_none_or(|offered| offered.sustained))
}

/// The number of the probe whose run stands for all: the last of those that hold at the knee, or else at
/// the lowest rate that does not, or else of all. There must be one.
pub(super) fn shown(found: &Found, probes: &[KneeProbe]) -> usize {
    let at = |rate: Rate, verdict: Option<KneeVerdict>| {
        probes.iter().rposition(|probe| {
            same(probe.rate_per_s, rate) && verdict.is_none_or(|one| one == probe.verdict)
        })
    };
    let held = found
        .holds
        .and_then(|rate| at(rate, Some(KneeVerdict::Holds)));
    let failed = found
        .ceiling
        .and_then(|(rate, showing)| at(rate, Some(verdict(showing))).or_else(|| at(rate, None)));
    held.or(failed).unwrap_or(probes.len().saturating_sub(1))
}

fn same(per_s: f64, rate: Rate) -> bool {
    per_s.to_bits() == rate.per_s.to_bits()
}

/// What the report says of the search.
pub(super) fn result(
    found: &Found,
    (limits, template): (&Limits, &Template),
    probes: Vec<KneeProbe>,
    mut notes: Vec<String>,
) -> KneeResult {
    notes.extend(cautions(found, limits));
    let holds = found.holds.map(|rate| rate.per_s);
    // Above the generator's limit nothing is known of the system, and above a gate without evidence
    // neither.
    let fails = found.ceiling.filter(|(_, why)| *why == Showing::Fails);
    KneeResult {
        rate_per_s: holds,
        lower_per_s: holds,
        upper_per_s: fails.map(|(rate, _)| rate.per_s),
        limited_by: limited_by(found, &probes),
        from_per_s: limits.from.per_s,
        to_per_s: limits.to.per_s,
        precision: limits.precision.0,
        repeats: limits.repeats,
        probe_s: template.duration().as_secs_f64(),
        notes,
        probes,
    }
}

/// What does not hold above the knee, as most probes of the lowest such rate say.
fn limited_by(found: &Found, probes: &[KneeProbe]) -> String {
    // What fails above rates that could not be judged does not limit them.
    if found.end == End::NoEvidence {
        return format!("no evidence: {}", unclear(probes.iter()));
    }
    let Some((ceiling, showing)) = found.ceiling else {
        return match found.end {
            End::HighestHolds => "bound".to_owned(),
            _ => "stopped".to_owned(),
        };
    };
    let there = || {
        let probes = probes.iter();
        probes.filter(|probe| same(probe.rate_per_s, ceiling))
    };
    match showing {
        Showing::Generator => GENERATOR.to_owned(),
        Showing::Unclear => format!("no evidence: {}", unclear(there())),
        Showing::Holds | Showing::Fails => {
            let why = there().flat_map(|probe| {
                let lost = (!probe.sustained).then(|| NOT_SUSTAINED.to_owned());
                let gates = probe.failed_gates.iter();
                lost.into_iter()
                    .chain(gates.map(|gate| format!("gate: {gate}")))
            });
            most(why).unwrap_or_else(|| NOT_SUSTAINED.to_owned())
        }
    }
}

fn unclear<'p>(probes: impl Iterator<Item = &'p KneeProbe>) -> String {
    let notes = probes.map(|probe| probe.note.clone());
    most(notes.filter(|note| !note.is_empty())).unwrap_or_else(|| "nothing was measured".to_owned())
}

/// What is said most often; of equals, what was said first.
fn most(said: impl Iterator<Item = String>) -> Option<String> {
    let mut counted: BTreeMap<String, (u32, std::cmp::Reverse<usize>)> = BTreeMap::new();
    for (at, text) in said.enumerate() {
        let entry = counted.entry(text);
        entry.or_insert((0, std::cmp::Reverse(at))).0 += 1;
    }
    let most = counted.into_iter().max_by_key(|(_, count)| *count);
    most.map(|(text, _)| text)
}

/// What a reader must know.
fn cautions(found: &Found, limits: &Limits) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some((fails, holds)) = found.contradiction {
        let again = match limits.repeats {
            1 => "",
            _ => ", also when they were probed again",
        };
        notes.push(format!(
            "{} does not hold though {} does{again}: the knee is taken below the lower one",
            rate(fails.per_s),
            rate(holds.per_s)
        ));
    }
    match (found.end, found.ceiling) {
        (_, Some((_, Showing::Generator))) => notes.push(
            "the generator was the limit, not the system: the knee is at least this high; give the \
             generator more cores or a machine of its own"
                .to_owned(),
        ),
        (End::HighestHolds, _) => notes.push(format!(
            "the highest rate that was probed holds: the knee is at least this high; give a higher one \
             than {} with --to",
            rate(limits.to.per_s)
        )),
        (End::LowestFails, _) => notes.push(format!(
            "even the lowest rate that was probed does not hold; give a lower one than {} with --from",
            rate(limits.from.per_s)
        )),
        (End::NoEvidence, _) | (_, Some((_, Showing::Unclear))) => notes.push(
            "gates without evidence cannot hold; probe for longer with --probe-for, or from a higher rate \
             with --from"
                .to_owned(),
        ),
        (End::Stopped, _) => notes.push(
            "the search ended before the knee was known as precisely as wanted; what stands here is what \
             was known by then"
                .to_owned(),
        ),
        _ => {}
    }
    notes
}

/// Makes the run that stands for all that of the search.
pub(super) fn into_report(report: &mut Report, knee: KneeResult, found: &Found) {
    let generator = matches!(found.ceiling, Some((_, Showing::Generator)));
    report.verdict = match found.end {
        _ if generator => Verdict::Inconclusive,
        End::Narrowed | End::HighestHolds => Verdict::Pass,
        End::LowestFails => Verdict::Fail,
        End::NoEvidence => Verdict::Inconclusive,
        End::Stopped => match found.holds.zip(found.ceiling) {
            Some(_) => Verdict::Pass,
            None => Verdict::Inconclusive,
        },
    };
    report.knee = Some(knee);
}

/// A probe in a line: `probe 5: 400/s, 2nd time: p95 12 ms, holds`.
pub(super) fn line(probe: &KneeProbe) -> String {
    let time = match probe.repeat {
        1 => String::new(),
        many => format!(", time {many}"),
    };
    let p95 = probe.p95_us.map_or_else(String::new, |us| {
        let time = std::time::Duration::try_from_secs_f64(us / 1e6).unwrap_or_default();
        format!("p95 {}, ", short(time))
    });
    let shown = match probe.verdict {
        KneeVerdict::Holds => "holds".to_owned(),
        KneeVerdict::Fails => format!("FAILS: {}", why(probe)),
        KneeVerdict::Inconclusive => format!("inconclusive: {}", why(probe)),
        KneeVerdict::Invalid => format!("INVALID: {}", why(probe)),
    };
    format!(
        "probe {}: {}{time}: {p95}{shown}",
        probe.order,
        rate(probe.rate_per_s)
    )
}

#[cfg(test)]
mod tests;
