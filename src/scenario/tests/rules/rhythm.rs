//! The rules of `traffic.rhythm`, one mistake at a time, and that what is written is what is planned.

use std::time::Duration;

use super::super::{Overrides, SMALL, changed, parse, plan, set};
use super::rule;
use crate::scenario::Diagnostic;
use crate::units::Ratio;

const HOUR: Duration = Duration::from_hours(1);

/// One mistake in `rhythm`.
fn wrong(rhythm: &str, message: &str, shown: &str) {
    let to = format!("ramp: 2s\n  rhythm: {{ {rhythm} }}\n");
    rule("ramp: 2s\n", &to, message, shown);
}

#[test]
fn the_period() {
    let present = "present: { 0h: 30%, 9h: 80% }";
    for (keys, message, shown) in [
        ("evry: 24h", "unknown key `evry`", "evry"),
        ("every: 500ms", "`every` cannot be 500ms", "500ms"),
        ("every: 8days", "`every` cannot be 8days", "8days"),
        ("starts_at: 24h", "24h is not within 24h", "24h"),
        ("every: 9h", "9h is not within 9h", "9h"),
    ] {
        wrong(&format!("{keys}, {present}"), message, shown);
    }
}

#[test]
fn who_is_there() {
    for (present, message, shown) in [
        ("{ 0h: 30%, 25h: 80% }", "1day 1h is not within 24h", "25h"),
        ("{ 0h: 30%, nine: 80% }", "\"nine\" is no moment", "nine"),
        ("{ 0h: 30%, 9: 80% }", "\"9\" is no moment", "9"),
        ("{ 0h: 30%, 9h: 180% }", "\"180%\" is not a share", "180%"),
        ("{ 0h: 30%, 1h: 5%, 60m: 6% }", "1h stands twice", "60m"),
        ("{ 0h: 0%, 4h: 0% }", "nobody is ever there", "{"),
        ("{}", "nobody is ever there", "{"),
    ] {
        wrong(&format!("present: {present}"), message, shown);
    }
    wrong("every: 2h", "`present` is missing in the rhythm", "{");
}

#[test]
fn every_mistake_is_told_at_once() {
    let rhythm = "{ every: 10h, start_at: 3h, present: { x: 1%, 11h: 2%, 9h: 3 } }";
    let text = SMALL.replace("ramp: 2s\n", &format!("ramp: 2s\n  rhythm: {rhythm}\n"));
    let errors = parse("a.yaml", &text, &Overrides::default()).expect_err("mistakes");
    let told: Vec<&str> = errors.iter().map(Diagnostic::message).collect();
    insta::assert_snapshot!(told.join("\n"), @r#"
    unknown key `start_at` in the rhythm
    "x" is no moment of the rhythm
    11h is not within 10h
    "3" is not a share, such as 95% or 0.95, from 0 to 1
    "#);
}

#[test]
fn what_is_written_is_planned_and_written_again() {
    assert_eq!(plan(SMALL).traffic.rhythm, None);
    assert_eq!(plan(SMALL).traffic.users_live_wanted(), 100);
    let given = changed(&set(&[
        (
            "traffic.rhythm",
            "{ present: { 15h: 100%, 0h: 30%, 4h 30m: 5% } }",
        ),
        ("traffic.rhythm.starts_at", "6h"),
    ]));
    for plan in [plan(&given.resolved_yaml), given] {
        let rhythm = plan.traffic.rhythm.as_ref().expect("a rhythm");
        assert_eq!((rhythm.every(), rhythm.starts_at()), (HOUR * 24, HOUR * 6));
        let points = [(0, 0.3), (9, 0.05), (30, 1.0)];
        let points = points.map(|(halves, share)| (HOUR * halves / 2, Ratio(share)));
        assert_eq!(rhythm.points(), points);
        assert!((rhythm.present(HOUR * 9) - 1.0).abs() < 1e-9);
        // The run takes 45 s: the peak of the day is not in it.
        assert_eq!(plan.traffic.users_live_wanted(), 18);
    }
    let none = changed(&set(&[("traffic.rhythm", "none")]));
    assert_eq!(none.traffic.rhythm, None);
}
