//! What warming did, and how soon the cache was warm.

use crate::engine::data_type::DataTypeId;
use crate::measure::query::Phases;
use crate::measure::series::SecondRow;
use crate::measure::warming::{first_hit_ratio, seconds_to_hit_ratio, window_s};
use crate::report::model::{WarmedDataType, WarmingResult};
use crate::runner::pass::PassResult;
use crate::scenario::plan::{Plan, WarmingPlan};

/// The report's part; `None` if the plan says nothing of warming.
pub(super) fn result(plan: &Plan, pass: &PassResult) -> Option<WarmingResult> {
    let warming = plan.warming.as_ref()?;
    let width_s = pass.measurements.row_width_s();
    let rows = (pass.measurements.seconds(), width_s);
    let target = warming.target_hit_ratio.0;
    let counts = pass.engine.warming(Phases::All);
    let before = pass.engine.warming_before_traffic();
    let data_types = plan.policies.iter().filter_map(|(id, policy)| {
        let data_type = data_type(warming, pass, id)?;
        Some((policy.name.to_string(), data_type))
    });
    Some(WarmingResult {
        at_start: warming.at_start,
        before_traffic: warming.at_start && warming.before_traffic,
        every_s: warming.every.map(|every| every.as_secs_f64()),
        concurrency: warming.concurrency,
        rounds: counts.rounds,
        rounds_cut: counts.rounds_cut,
        before_traffic_s: before.took.as_secs_f64(),
        round_s_max: counts.took_max.as_secs_f64(),
        target_hit_ratio: target,
        window_s: window_s(width_s),
        first_hit_ratio: first_hit_ratio(rows, None),
        time_to_target_s: seconds_to_hit_ratio(rows, None, target),
        data_types: data_types.collect(),
    })
}

fn data_type(warming: &WarmingPlan, pass: &PassResult, id: DataTypeId) -> Option<WarmedDataType> {
    let rows = (pass.measurements.seconds(), pass.measurements.row_width_s());
    let wanted = warming.keys.iter().find(|(of, _)| *of == id);
    let read = |row: &SecondRow| row.answers.get(id.index()).is_some_and(|a| a.total() > 0);
    if wanted.is_none() && !rows.0.iter().any(read) {
        return None;
    }
    let warmth = pass.engine.warming(Phases::All).of(id);
    Some(WarmedDataType {
        keys: wanted.map_or(0, |(_, keys)| *keys),
        loaded: warmth.loaded,
        renewed: warmth.renewed,
        found: warmth.found,
        failed: warmth.failed,
        skipped: warmth.skipped,
        first_hit_ratio: first_hit_ratio(rows, Some(id)),
        time_to_target_s: seconds_to_hit_ratio(rows, Some(id), warming.target_hit_ratio.0),
    })
}
