//! Alerts: what is read, what is refused, and where.

use std::time::Duration;

use super::super::{SMALL, plan};
use super::rule;
use crate::gates::alert::WINDOW_DEFAULT;

#[test]
fn alerts_are_read_with_their_defaults() {
    let alerts = plan(SMALL).alerts;
    let names: Vec<&str> = alerts.iter().map(|alert| &*alert.name).collect();
    assert_eq!(names, ["redis_up == 0", "cold"]);
    let (down, cold) = (&alerts[0], &alerts[1]);
    assert_eq!((down.hold, down.window), (Duration::ZERO, WINDOW_DEFAULT));
    assert_eq!(cold.hold, Duration::from_secs(5));
    assert_eq!(cold.window, Duration::from_secs(20));
    assert_eq!(
        (&*cold.source, cold.check.data_type()),
        ("the list", Some("stock"))
    );
}

#[test]
fn what_cannot_be_watched_is_refused_at_its_place() {
    let down = "\"redis_up == 0\"";
    for (written, message, place) in [
        (
            "\"redis_upp == 0\"",
            "there is no metric redis_upp; did you mean redis_up?",
            "redis_upp",
        ),
        (
            "\"max(staleness) > 1s\"",
            "an alert cannot watch staleness",
            "staleness",
        ),
        (
            "\"hit_ratio{phase=calm} < 80%\"",
            "hit_ratio cannot be narrowed by phase",
            "phase",
        ),
        (
            "\"hit_ratio{data_type=custmer} < 80%\"",
            "there is no data type `custmer`",
            "custmer",
        ),
        (
            "{ check: \"redis_up == 0\", for: 2h }",
            "`for` cannot be 2h",
            "2h",
        ),
        (
            "{ check: \"redis_up == 0\", window: 6m }",
            "`window` cannot be 6m",
            "6m",
        ),
        (
            "{ check: \"redis_up == 0\", window: 1500ms }",
            "`window` cannot be 1s 500ms",
            "1500ms",
        ),
        (
            "{ check: \"redis_up == 0\", fro: 5s }",
            "unknown key `fro` in an alert",
            "fro",
        ),
        (
            "{ name: \" \", check: \"redis_up == 0\" }",
            "an alert's name is empty",
            "\" \"",
        ),
        (
            "{ name: cold, check: \"redis_up == 0\" }",
            "two alerts are called \"cold\"",
            "cold",
        ),
    ] {
        rule(down, written, message, place);
    }
}

#[test]
fn a_gate_may_ask_for_an_alert_that_there_is() {
    let gate = "\"p95(response_time) < 1s\"";
    let of = |text: &str| SMALL.replace(gate, text);
    let asked = plan(&of("\"alerts_fired{alert=cold, phase=calm} == 0\""));
    assert_eq!(asked.gates[0].check.alert(), Some("cold"));
    rule(
        gate,
        "\"alerts_fired{alert=code} == 0\"",
        "there is no alert `code`",
        "code",
    );
}
