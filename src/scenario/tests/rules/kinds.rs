//! The rules of `traffic.kinds` and `traffic.journeys`, one mistake at a time and all at once, and that
//! what is written is what is planned.

use std::time::Duration;

use super::super::{Overrides, parse, set};
use super::rule_in;
use crate::engine::layer::Operation;
use crate::scenario::plan::Plan;
use crate::units::Ratio;
use crate::workload::kinds::{Carried, Times};
use crate::workload::{Journey, UserKind, What};

const SHOP: &str = r#"
name: shop
data_types:
  session:
    key: "session:{id}"
    strategy: write-through
    ttl: 1h
    popularity: per-user
    value_size: 512B
    origin: { query_time: { median: 1ms, p99: 2ms } }
  product:
    key: "product:{product_id}"
    strategy: cache-aside
    ttl: 1h
    population: 1_000
    value_size: 1KiB
    origin: { query_time: { median: 1ms, p99: 2ms } }
  stock:
    key: "stock:{warehouse}:{product_id}"
    strategy: cache-aside
    ttl: 1h
    population: { warehouse: 4, product_id: 1_000 }
    value_size: 1KiB
    origin: { query_time: { median: 1ms, p99: 2ms } }
  order:
    key: "order:{number}"
    strategy: write-through
    ttl: 1h
    population: { number: unique }
    value_size: 1KiB
    origin: { query_time: { median: 1ms, p99: 2ms } }
layers: { local: none, remote: none }
origin: { connections: 10 }
traffic:
  phases: [ { name: steady, for: 5s } ]
  kinds:
    shoppers:
      users: 800
      think_time: 1s..3s
      on_start: [session.get]
      journeys:
        buy:
          weight: 3
          steps:
            - session.put
            - { product.get: 2..6, think_time: 5s, remember: product_id, leave: 30% }
            - { stock.get: 1, use: [product_id], chance: 80% }
            - { stock.get: 2, use: { product_id: product_id } }
            - { order.put: 1, remember: { mine: number } }
            - { order.get: 1, use: { number: mine } }
        look: { steps: [product.get] }
    crawlers: { users: 200, think_time: 100ms, mix: { product.get: 1 } }
"#;

fn shop(overrides: &Overrides) -> Plan {
    parse("a.yaml", SHOP, overrides).unwrap_or_else(|errors| panic!("{errors}"))
}

fn journeys(plan: &Plan) -> &[Journey] {
    match &plan.workload.kinds[0].what {
        What::Journeys(journeys) => journeys,
        What::Mix(_) => panic!("a mix"),
    }
}

fn users(plan: &Plan) -> Vec<u32> {
    plan.workload.kinds.iter().map(|kind| kind.users).collect()
}

#[test]
fn what_is_written_is_planned_and_written_again() {
    let plan = shop(&Overrides::default());
    assert_eq!((plan.traffic.users, users(&plan)), (1_000, vec![800, 200]));
    let [buy, look] = journeys(&plan) else {
        panic!("two journeys");
    };
    assert_eq!((buy.weight, look.weight), (3.0, 1.0));
    assert_eq!(buy.remembered, ["product_id", "mine"]);
    let browse = &buy.steps[1];
    assert_eq!(browse.times, Times { min: 2, max: 6 });
    assert_eq!(
        browse.think_time.map(|time| time.max),
        Some(Duration::from_secs(5))
    );
    assert_eq!(
        (browse.leave, buy.steps[2].chance),
        (Ratio(0.3), Ratio(0.8))
    );
    assert_eq!(browse.remember, [Carried { param: 0, value: 0 }]);
    assert_eq!(buy.steps[2].uses, [Carried { param: 1, value: 0 }]);
    assert_eq!(buy.steps[3].uses, buy.steps[2].uses);
    assert_eq!(buy.steps[5].uses, [Carried { param: 0, value: 1 }]);
    assert_eq!(buy.steps[0].operation, Operation::Put);
    // An order is looked at again, so its keys are to be kept.
    assert_eq!(plan.keys_come_once().count(), 0);

    let again = parse("a.yaml", &plan.resolved_yaml, &Overrides::default());
    let again = again.unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(again.workload, plan.workload);
    assert_eq!(again.traffic, plan.traffic);
    let traffic = plan.resolved_yaml.find("  kinds:").expect("kinds");
    let end = plan.resolved_yaml.find("jobs:").expect("jobs");
    insta::assert_snapshot!(plan.resolved_yaml[traffic..end].trim_end(), @"
    kinds:
      shoppers:
        users: 800
        think_time: 1s..3s
        on_start: [session.get]
        journeys:
          buy:
            weight: 3
            steps:
              - { session.put: 1 }
              - product.get: 2..6
                think_time: 5s
                remember: { product_id: product_id }
                leave: 30%
              - stock.get: 1
                use: { product_id: product_id }
                chance: 80%
              - stock.get: 2
                use: { product_id: product_id }
              - order.put: 1
                remember: { mine: number }
              - order.get: 1
                use: { number: mine }
          look:
            weight: 1
            steps:
              - { product.get: 1 }
      crawlers:
        users: 200
        think_time: 100ms
        on_start: []
        mix: { product.get: 1 }
    ");
}

#[test]
fn the_only_kind_needs_no_name() {
    let from = SHOP.find("  kinds:").expect("kinds");
    let only = "  users: 5\n  think_time: 1s\n  journeys: { look: { steps: [product.get] } }\n";
    let text = format!("{}{only}", &SHOP[..from]);
    let plan = parse("a.yaml", &text, &Overrides::default());
    let plan = plan.unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(plan.workload.kinds[0].name, UserKind::ALL);
    assert_eq!(journeys(&plan)[0].name, "look");
    let again = parse("a.yaml", &plan.resolved_yaml, &Overrides::default());
    assert_eq!(again.expect("a plan").workload, plan.workload);
}

#[test]
fn the_command_line_keeps_the_proportions() {
    let of = |all| {
        let plan = shop(&Overrides {
            users: Some(all),
            ..Overrides::default()
        });
        assert_eq!(plan.traffic.users, all);
        users(&plan)
    };
    assert_eq!(of(10), [8, 2]);
    assert_eq!(of(7), [6, 1]);
    assert_eq!(of(2), [1, 1]);
    assert_eq!(of(5_000), [4_000, 1_000]);
    let plan = shop(&set(&[
        ("traffic.kinds.crawlers.mix.product.put", "2"),
        ("traffic.kinds.crawlers.users", "70"),
        ("traffic.kinds.shoppers.journeys.look.weight", "0"),
    ]));
    assert_eq!(users(&plan), [800, 70]);
    assert_eq!(plan.workload.kinds[1].mix().len(), 2);
    assert!(journeys(&plan)[1].weight.abs() < f64::EPSILON);
}

#[test]
fn gates_choose_a_kind() {
    let with = |check: &str| format!("{SHOP}gates: [\"{check}\"]\n");
    let good = with("p95(response_time){kind=crawlers} < 1s");
    let plan = parse("a.yaml", &good, &Overrides::default()).expect("a plan");
    assert_eq!(plan.gates[0].check.user_kind(), Some("crawlers"));
    let wrong = with("error_ratio{kind=crawler} < 1%");
    let told = parse("a.yaml", &wrong, &Overrides::default()).expect_err("a mistake");
    let told = told.iter().next().expect("one");
    assert_eq!(told.message(), "there is no kind of users `crawler`");
    assert_eq!(told.advice(), "did you mean `crawlers`?");
}

/// Replaces the only `from` in [`SHOP`].
fn wrong(from: &str, to: &str, message: &str, shown: &str) {
    rule_in(SHOP, from, to, message, shown);
}

#[test]
fn kinds() {
    let crawlers = "crawlers: { users: 200, think_time: 100ms, mix: { product.get: 1 } }";
    for (to, message, shown) in [
        (
            "crawl ers: { users: 2, think_time: 1s, mix: { product.get: 1 } }",
            "a kind's name",
            "crawl ers",
        ),
        (
            "c: { think_time: 1s, mix: { product.get: 1 } }",
            "`users` is missing",
            "{",
        ),
        (
            "c: { users: 0, think_time: 1s, mix: { product.get: 1 } }",
            "`users` cannot be 0",
            "0",
        ),
        (
            "c: { users: 999_900, think_time: 1s, mix: { product.get: 1 } }",
            "these are 1,000,700 users",
            "kinds",
        ),
        (
            "c: { users: 2, mix: { product.get: 1 } }",
            "`think_time` is missing",
            "{",
        ),
        (
            "c: { users: 2, think_time: 1s }",
            "`mix` is missing in a kind of users",
            "{",
        ),
        (
            "c: { users: 2, think_time: 2h, mix: { product.get: 1 } }",
            "`think_time` cannot be 2h",
            "2h",
        ),
        (
            "c: { users: 2, think_time: 1s, mix: {} }",
            "the mix is empty",
            "{",
        ),
        (
            "c: { users: 2, think_time: 1s, mix: { product.gt: 1 } }",
            "`gt` is no operation",
            "product.gt",
        ),
        (
            "c: { users: 2, think_time: 1s, on_start: [x.get], mix: { product.get: 1 } }",
            "there is no data type `x`",
            "x.get",
        ),
        (
            "c: { users: 2, think_time: 1s, mix: { product.get: 1 }, journeys: { look: { steps: [product.get] } } }",
            "either ask by a mix or make journeys",
            "{",
        ),
    ] {
        wrong(crawlers, to, message, shown);
    }
    let beside = "phases: [ { name: steady, for: 5s } ]\n  think_time: 1s";
    let phases = "phases: [ { name: steady, for: 5s } ]";
    wrong(phases, beside, "`think_time` stands beside `kinds`", "1s");
    let users = "phases: [ { name: steady, for: 5s } ]\n  users: 1";
    wrong(phases, users, "1 users cannot be of 2 kinds", "1");
}

#[test]
fn the_journeys_of_a_kind() {
    let look = "look: { steps: [product.get] }";
    for (to, message, shown) in [
        (
            "lo ok: { steps: [product.get] }",
            "a journey's name",
            "lo ok",
        ),
        (
            "look: { weight: -1, steps: [product.get] }",
            "a weight cannot be -1",
            "-1",
        ),
        ("look: { steps: [] }", "a journey has 1 to 64 steps", "["),
        ("look: {}", "`steps` is missing in a journey", "{"),
        (
            "look: { steps: [product.get], wait: 1s }",
            "unknown key `wait`",
            "wait",
        ),
        (
            "look: { steps: [{ product.get: 1, chance: 50% }] }",
            "may ask for nothing",
            "[",
        ),
        (
            "look: { steps: [{ product.get: 0..3 }] }",
            "may ask for nothing",
            "[",
        ),
    ] {
        wrong(look, to, message, shown);
    }
}

#[test]
fn the_steps_of_a_journey() {
    let look = "look: { steps: [product.get] }";
    for (step, message, shown) in [
        ("product", "`product` is no operation", "product"),
        ("prodct.get", "there is no data type `prodct`", "prodct.get"),
        (
            "{ product.admit: 1 }",
            "cannot be asked to admit",
            "product.admit",
        ),
        ("{ chance: 5% }", "this step asks for nothing", "{"),
        (
            "{ product.get: 1, session.get: 1 }",
            "asks for one thing only",
            "session.get",
        ),
        (
            "{ product.get: often }",
            "\"often\" is not how often",
            "often",
        ),
        ("{ product.get: 0 }", "cannot be done 0 times", "0"),
        ("{ product.get: 6..2 }", "6 is more than 2", "6..2"),
        (
            "{ product.get: 1..1_001 }",
            "cannot be done up to 1,001 times",
            "1..1_001",
        ),
        (
            "{ product.get: 1, think: 1s }",
            "unknown key `think`",
            "think",
        ),
        (
            "{ product.get: 1, think_time: 2h }",
            "`think_time` cannot be 2h",
            "2h",
        ),
        (
            "{ product.get: 1, chance: 120% }",
            "\"120%\" is not a share",
            "120%",
        ),
        ("{ product.get: 1, leave: 2 }", "\"2\" is not a share", "2"),
        (
            "{ product.get: 1, remember: id }",
            "has no parameter `id`",
            "id",
        ),
        (
            "{ product.get: 1, use: product_id }",
            "no earlier step remembers `product_id`",
            "product_id",
        ),
    ] {
        wrong(
            look,
            &format!("look: {{ steps: [session.get, {step}] }}"),
            message,
            shown,
        );
    }
}

#[test]
fn what_is_carried_from_step_to_step() {
    let look = "look: { steps: [product.get] }";
    for (steps, message, shown) in [
        (
            "{ product.get: 1, remember: product_id }, { session.get: 1, use: product_id }",
            "session:{id} has no parameter `product_id`",
            "product_id",
        ),
        (
            "{ product.get: 1, remember: product_id }, { stock.get: 1, use: { product_id: prodct_id } }",
            "no earlier step remembers `prodct_id`",
            "prodct_id",
        ),
        (
            "{ product.get: 1, remember: { seen: product_id } }, { stock.get: 1, use: { warehouse: seen } }",
            "`seen` may have 1,000 values, and the parameter only 4",
            "seen",
        ),
        (
            "{ order.put: 1, remember: { seen: number } }, { product.get: 1, use: { product_id: seen } }",
            "`seen` is a running number",
            "seen",
        ),
        (
            "{ product.get: 1, remember: { a: product_id, b: product_id, c: product_id, d: product_id, e: product_id } }",
            "remembers at most 4 values",
            "e",
        ),
    ] {
        wrong(
            look,
            &format!("look: {{ steps: [{steps}] }}"),
            message,
            shown,
        );
    }
    // Weights of nothing are no journey's mistake but all journeys'.
    let none = "look: { weight: 0, steps: [product.get] }";
    let text = SHOP.replace("weight: 3", "weight: 0").replace(look, none);
    let told = parse("a.yaml", &text, &Overrides::default()).expect_err("a mistake");
    assert!(told.to_string().contains("all weights are 0"), "{told}");
}

/// Everything is wrong at once.
const MANY: &str = "
            - session.putt
            - { prodct.get: 2..6, remember: product_id, leave: 130% }
            - { stock.get: 0, use: [product_id, shelf], chance: half }
            - { order.put: 1, order.get: 1, use: nothing }
            - { order.get: 1, remember: { mine: nmber }, use: { number: mine } }
";

#[test]
fn every_mistake_is_told_at_once_with_its_place() {
    let from = SHOP
        .find("\n            - session.put")
        .expect("the first step");
    let to = SHOP.find("        look:").expect("the next journey");
    let text = format!("{}{MANY}{}", &SHOP[..from], &SHOP[to..]);
    let text = text.replace("users: 200", "users: 0, use: 1");
    let told = parse("many.yaml", &text, &Overrides::default()).expect_err("mistakes");
    insta::assert_snapshot!("many_mistakes_in_journeys", told);
}
