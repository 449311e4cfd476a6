//! The targets as judged, in the words of the report.

use crate::gates::judge::Judged;
use crate::gates::windowed::{Seconds, Windows};
use crate::report::model::{EndedEarly, GateResult, WindowsResult};
use crate::runner::pass::PassResult;

/// Every gate, in the order of the plan.
pub(super) fn results(judged: &[Judged<'_>], pass: &PassResult) -> Vec<GateResult> {
    let schedule = pass.measurements.schedule();
    // A loss may last to the end of the run.
    let end_s = pass.measurements.collected_at().since(schedule.start());
    let end_s = end_s.min(schedule.end().since(schedule.start())).as_secs() as u32;
    let windows = &pass.observed.gates.windows;
    let judged = judged.iter().enumerate();
    judged
        .map(|(place, one)| GateResult {
            windows: windows.get(&place).map(|of| windows_result(of, one, end_s)),
            ..unseen(one)
        })
        .collect()
}

/// A gate at whose windows nobody looked.
pub(super) fn unseen(judged: &Judged<'_>) -> GateResult {
    let gate = judged.gate;
    let check = &gate.check;
    let value = judged.observation.value;
    GateResult {
        name: gate.name.clone(),
        source: gate.source.clone(),
        check: check.text.clone(),
        phase: check.phase().map(str::to_owned),
        windows: None,
        abort: gate.abort_after.is_some(),
        target: check.target_text(),
        observed: value.map_or_else(|| "–".to_owned(), |value| check.format_value(value)),
        observed_value: value,
        target_value: check.target.value,
        unit: check.unit().name().to_owned(),
        samples: judged.observation.samples,
        verdict: judged.verdict,
        note: judged.note.clone(),
    }
}

fn windows_result(windows: &Windows, judged: &Judged<'_>, end_s: u32) -> WindowsResult {
    let worst = judged.seconds.as_ref();
    let loss = |seconds: Seconds| [seconds.start, seconds.end.min(end_s)];
    WindowsResult {
        length_s: windows.length().as_secs() as u32,
        count: windows.seen(),
        lost: windows.lost(),
        without_evidence: windows.blind(),
        worst_from_s: worst.map(|seconds| seconds.start),
        worst_to_s: worst.map(|seconds| seconds.end),
        losses_s: windows.losses().map(loss).collect(),
    }
}

/// How a gate ended the run.
pub(super) fn ended_early(pass: &PassResult) -> Option<EndedEarly> {
    let ended = pass.observed.gates.ended.as_ref()?;
    let schedule = pass.measurements.schedule();
    Some(EndedEarly {
        at_s: (ended.at.as_secs_f64() * 10.0).floor() / 10.0,
        planned_s: schedule.end().since(schedule.start()).as_secs_f64(),
        gates: ended.lost.iter().map(|lost| lost.name.clone()).collect(),
    })
}
