//! Users of several kinds, on journeys and by a mix, from the scenario to the report: over real Redis,
//! and in virtual time.

use serde_json::Value;

use crate::support::program;

/// The report of `scenarios/journeys.yaml`.
fn report_of(command: &str, more: &[&str]) -> Value {
    program::report_of(command, "scenarios/journeys.yaml", more)
}

fn number<'v>(value: &'v Value, path: &str) -> &'v Value {
    let found = value.pointer(path).filter(|found| found.is_number());
    found.unwrap_or_else(|| panic!("{path} is not there"))
}

fn count(value: &Value, path: &str) -> u64 {
    number(value, path).as_u64().expect("a count")
}

fn gate<'r>(report: &'r Value, name: &str) -> &'r Value {
    let gates = report["gates"].as_array().expect("gates");
    let found = gates.iter().find(|gate| gate["name"] == name);
    found.unwrap_or_else(|| panic!("no gate {name}"))
}

/// What must be so in any run of the scenario; `users` are those of each kind.
fn check(report: &Value, users: [u64; 3]) {
    let kinds = report["user_kinds"].as_array().expect("kinds");
    let names: Vec<&str> = kinds
        .iter()
        .filter_map(|kind| kind["name"].as_str())
        .collect();
    assert_eq!(names, ["shoppers", "crawlers", "office"]);
    let planned: Vec<u64> = kinds.iter().map(|kind| count(kind, "/users")).collect();
    assert_eq!(planned, users);
    let requests = |kind: &Value| count(kind, "/requests");
    assert!(kinds.iter().all(|kind| requests(kind) > 0), "{kinds:?}");
    let sum: u64 = kinds.iter().map(requests).sum();
    assert_eq!(sum, count(report, "/requests/total"));
    let errors: u64 = kinds.iter().map(|kind| count(kind, "/errors")).sum();
    assert_eq!(errors, count(report, "/requests/errors"));

    // An order is looked at only by who has put it, so it is always there.
    let orders = |what: &str| {
        let path = format!("/data_types/order/outcomes/{what}");
        let outcomes = report.pointer(&path).and_then(Value::as_object);
        outcomes.map_or(0, |outcomes| {
            outcomes.values().filter_map(Value::as_u64).sum()
        })
    };
    let (put, got) = (orders("put"), orders("get"));
    assert!(put > 0 && got > 0, "{put} {got}");
    let gate = gate(report, "who ordered finds the order in the cache");
    assert_eq!(gate["verdict"], "pass", "{gate}");
    // Crawlers ask for products alone, and only by them is this gate judged.
    let gate = self::gate(report, "crawlers are served from the cache");
    assert_eq!(
        number(gate, "/observed_value"),
        number(&kinds[1], "/hit_ratio")
    );
    for (name, oracle) in report["oracles"].as_object().expect("oracles") {
        assert_eq!(oracle["violations"], 0, "{name}: {oracle}");
    }
}

#[test]
fn live_each_kind_does_its_own_and_is_told_apart() {
    let short = [
        "--users",
        "96",
        "--set",
        "traffic.phases.warm-up.for=3s",
        "--set",
        "traffic.phases.steady.for=12s",
        "--set",
        "traffic.ramp=1s",
    ];
    check(&report_of("run", &short), [80, 12, 4]);
}

#[test]
fn the_same_journeys_are_made_again_in_virtual_time() {
    let [one, two] = [(); 2].map(|()| report_of("simulate", &[]));
    check(&one, [400, 60, 20]);
    assert_eq!(one["event_log"], two["event_log"]);
    assert_eq!(one["verdict"], "pass", "{}", one["gates"]);
}

/// Of arrivals, as many are of a kind as it has users; each is one request or one whole visit.
#[test]
fn arrivals_are_of_all_kinds() {
    let open = ["--driver", "open", "--set", "traffic.arrivals=100/s"];
    let report = report_of(
        "simulate",
        &[&open[..], &["--set", "traffic.ramp=0s"]].concat(),
    );
    check(&report, [400, 60, 20]);
    let due = 100 * 25;
    let crawled = count(&report, "/user_kinds/1/requests");
    // One in eight, each one request.
    assert!(crawled.abs_diff(due / 8) < due / 40, "{crawled} of {due}");
    let shopped = count(&report, "/user_kinds/0/requests");
    assert!(
        shopped > 2 * due,
        "{shopped}: visits are more than one request"
    );
}
