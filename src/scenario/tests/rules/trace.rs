//! The rules of `traffic.trace` that concern the sizes of values, and that what is written is planned.

use super::super::{Overrides, parse, plan};
use super::rule_in;
use crate::scenario::plan::SizesOf;
use crate::scenario::sample::{Choice, SampleError, choose};

const REPLAY: &str = include_str!("../../../../scenarios/replay.yaml");
const PACE: &str = "pace: one-by-one";

fn with(keys: &str) -> String {
    assert_eq!(REPLAY.matches(PACE).count(), 1);
    REPLAY.replace(PACE, &format!("{PACE}, {keys}"))
}

#[test]
fn who_says_how_large_values_are() {
    for (written, shown) in [("1KiB", "1KiB"), ("traces", "traces")] {
        let to = format!("{PACE}, value_size: {written}");
        rule_in(REPLAY, PACE, &to, "source of sizes", shown);
    }
    let of = |text: &str| plan(text).traffic.trace.map(|trace| trace.value_size);
    assert_eq!(of(REPLAY), Some(SizesOf::Scenario));
    for (word, sizes) in [("scenario", SizesOf::Scenario), ("trace", SizesOf::Trace)] {
        let given = plan(&with(&format!("value_size: {word}")));
        assert_eq!(of(&given.resolved_yaml), Some(sizes));
        assert_eq!(
            given.traffic.trace.map(|trace| trace.value_size),
            Some(sizes)
        );
    }
}

#[test]
fn a_trace_is_simulated_whole_or_not_at_all() {
    let users = |more: &str| {
        let text =
            with("value_size: trace").replace("driver: open", "driver: open\n  users: 60_000");
        parse("a.yaml", &(text + more), &Overrides::default()).expect("a good scenario")
    };
    // However many users are written beside it.
    assert_eq!(choose(&users(""), 50_000, 20_000), Ok(Choice::Whole));
    let wanted = users("simulation: { sample: 10% }\n");
    let SampleError {
        problems,
        users_needed,
        ..
    } = choose(&wanted, 50_000, 20_000).expect_err("a share of a trace");
    assert_eq!(users_needed, None);
    let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(told.join("\n"), @"
    connections of the database's pool: 0.8 of 8 are left, and fewer than 4 queue in another way than many
    the trace: its requests are replayed as they are, all of them; `cachestorm trace convert --sample` takes those of a share of its keys
    ");
}
