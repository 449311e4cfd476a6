//! One mistake at a time: each rule tells it once, in its words and at its place.

mod alerts;
mod data_types;
mod durability;
mod gates;
mod invalidation;
mod jobs;
mod kinds;
mod limits;
mod models;
mod rhythm;
mod simulation;
mod sliding;
mod stores;
mod target;
mod topology;
mod trace;
mod warming;

use super::{Overrides, Place, SMALL, parse};

/// Replaces the only `from` in [`SMALL`] by `to`; wants one error that says `message` and stands at `shown`.
fn rule(from: &str, to: &str, message: &str, shown: &str) {
    rule_in(SMALL, from, to, message, shown);
}

fn rule_in(scenario: &str, from: &str, to: &str, message: &str, shown: &str) {
    assert_eq!(
        scenario.matches(from).count(),
        1,
        "{from:?} must stand once"
    );
    let text = scenario.replace(from, to);
    let Err(errors) = parse("a.yaml", &text, &Overrides::default()) else {
        panic!("{to:?} was taken");
    };
    assert_eq!(errors.len(), 1, "{to:?} is one mistake:\n{errors}");
    let found = errors.iter().next().expect("one");
    assert!(
        found.message().contains(message),
        "{to:?} is not told as {message:?}:\n{errors}"
    );
    let Place::Source {
        line,
        column,
        width,
    } = *found.place()
    else {
        panic!("{to:?} has no place:\n{errors}");
    };
    let row = text.lines().nth(line - 1).expect("the line");
    let at: String = row.chars().skip(column - 1).take(width).collect();
    assert_eq!(at, shown, "{to:?} is shown at the wrong place:\n{errors}");
}

#[test]
fn names() {
    rule(
        "name: small",
        "name: so small",
        "name cannot be",
        "so small",
    );
    rule("name: small", "name: ../up", "name cannot be", "../up");
    rule("name: steady", "name: ste ady", "name cannot be", "ste ady");
    let far = "x".repeat(65);
    rule(
        "name: small",
        &format!("name: {far}"),
        "name cannot be",
        &far,
    );
    rule("name: small\n", "", "`name` is missing", "d");
}

#[test]
fn keys_of_the_schema() {
    rule(
        "instances: 2",
        "instnces: 2",
        "unknown key `instnces`",
        "instnces",
    );
    rule(
        "instances: 2",
        "faults: []",
        "unknown key `faults`",
        "faults",
    );
    rule("bytes: 64MiB", "per: instance", "unknown key `per`", "per");
    rule(
        "ttl: 15m\n",
        "ttl: 15m\n    ttl: 16m\n",
        "the key `ttl` stands twice",
        "ttl",
    );
    rule("instances: 2", "instances:", "nothing stands here", ":");
}

#[test]
fn layers() {
    rule("entries: 1000", "entries: 0", "`entries` cannot be 0", "0");
    rule("bytes: 64MiB", "bytes: 0B", "holds nothing", "0B");
    rule(
        "maxmemory: 32MiB",
        "maxmemory: 1MiB",
        "Redis needs more memory",
        "1MiB",
    );
    rule(
        "timeout: 250ms",
        "timeout: 0s",
        "`timeout` cannot be 0s",
        "0s",
    );
    rule(
        "connections: 2",
        "connections: 0",
        "`connections` cannot be 0",
        "0",
    );
    rule(
        "volatile-ttl",
        "volatile-tll",
        "`volatile-tll` is no eviction policy",
        "volatile-tll",
    );
    rule(
        "  local: { entries: 1000, bytes: 64MiB }\n",
        "",
        "`local` is missing in the layers",
        "layers",
    );
    rule(
        "instances: 2",
        "instances: 0",
        "`instances` cannot be 0",
        "0",
    );
    rule(
        "instances: 2",
        "instances: 65",
        "`instances` cannot be 65",
        "65",
    );
}

#[test]
fn users_and_phases() {
    rule("users: 100\n", "users: 0\n", "`users` cannot be 0", "0");
    rule(
        "users: 100\n",
        "users: 1_000_001\n",
        "`users` cannot be 1,000,001",
        "1_000_001",
    );
    rule(
        "ramp: 2s",
        "ramp: 6s",
        "the ramp of 6s is longer than the first phase, `warm-up`, of 5s",
        "6s",
    );
    rule("1s..3s", "3s..1s", "is not a duration or a range", "3s..1s");
    rule("1s..3s", "1s..3h", "`think_time` cannot be 3h", "1s..3h");
    rule(
        "request_timeout: 7s",
        "request_timeout: 0s",
        "cannot be 0s",
        "0s",
    );
    rule("for: 30s", "for: 0s", "`for` cannot be 0s", "0s");
    rule(
        "name: steady",
        "name: calm",
        "two phases are called `calm`",
        "calm",
    );
    rule(
        "    - { name: warm-up, for: 5s }\n    - { name: calm, for: 10s }\n",
        "    - { name: calm, for: 10s }\n    - { name: warm-up, for: 5s }\n",
        "the warm-up is not the first phase",
        "warm-up",
    );
    rule("for: 20s", "for: 0s", "`for` cannot be 0s", "0s");
}

#[test]
fn a_phase_must_measure() {
    let scenario = SMALL.replace(", phase=calm", "");
    let phases = &scenario
        [scenario.find("  phases:").expect("phases")..scenario.find("  mix:").expect("a mix")];
    for only in ["[{ name: warm-up, for: 10s }]", "[]"] {
        let to = format!("  phases: {only}\n");
        rule_in(&scenario, phases, &to, "no phase is measured", "[");
    }
}

#[test]
fn the_mix() {
    let mix = "mix: { customer.get: 40, customer.put: 1, stock.get: 20, limit.admit: 5, activity.put: 0.5 }";
    rule(mix, "mix: {}", "the mix is empty", "{");
    rule(mix, "mix: { customer.get: 0 }", "all weights are 0", "{");
    rule(
        mix,
        "mix: { stock.get: 1e308, limit.admit: 1e308 }",
        "add up to more",
        "{",
    );
    rule(
        "customer.put: 1",
        "customer.put: -1",
        "a weight cannot be -1",
        "-1",
    );
    rule(
        "customer.put: 1",
        "custmer.put: 1",
        "no data type `custmer`",
        "custmer.put",
    );
    rule(
        "customer.put: 1",
        "customer.pt: 1",
        "`pt` is no operation",
        "customer.pt",
    );
    rule(
        "customer.put: 1",
        "customr: 1",
        "no operation on a data type",
        "customr",
    );
    rule(
        "customer.put: 1",
        "customer.admit: 1",
        "`customer` cannot be asked to admit",
        "customer.admit",
    );
    rule(
        "limit.admit: 5",
        "limit.get: 5",
        "cannot be asked to get",
        "limit.get",
    );
    rule(
        "activity.put",
        "activity.get",
        "cannot be asked to get",
        "activity.get",
    );
    rule(
        "[customer.get]",
        "[stok.get]",
        "no data type `stok`",
        "stok.get",
    );
}

#[test]
fn gates() {
    rule(
        "data_type=customer",
        "data_type=custmer",
        "no data type `custmer`",
        "custmer",
    );
    rule(
        "phase=calm",
        "phase=clam",
        "there is no phase `clam`",
        "clam",
    );
    rule("name: hits", "name: ''", "a gate's name is empty", "''");
    rule(
        "name: hits",
        "name: p95(response_time) < 1s",
        "two gates are called",
        "p95(response_time) < 1s",
    );
    let check = ", check: \"hit_ratio{data_type=customer, phase=calm} >= 95%\"";
    rule(check, "", "`check` is missing in a gate", "{");
}

/// A mistake in one place is not told again by all who refer to it.
#[test]
fn mistakes_do_not_spread() {
    rule(
        "strategy: cache-aside",
        "strategy: aside",
        "`aside` is no strategy",
        "aside",
    );
    rule(
        "strategy: counter",
        "strategy: countr",
        "`countr` is no strategy",
        "countr",
    );
    rule(
        "users: 100\n",
        "users: many\n",
        "not a whole number",
        "many",
    );
    rule(
        "key: \"limit:{api_key}:{window}\"",
        "key: \"limit:{\"",
        "brace",
        "\"limit:{\"",
    );
    rule(
        "{ name: warm-up, for: 5s }",
        "{ name: warm-up, for: 5 }",
        "is not a duration",
        "5",
    );
    rule(
        "{ name: calm, for: 10s }",
        "{ nme: calm, for: 10s }",
        "unknown key `nme`",
        "nme",
    );
}
