//! The rules of a service that is not ours.

use std::path::Path;

use super::super::{SMALL, plan, set};
use super::{parse, rule_in};
use crate::engine::data_type::DataTypeId;
use crate::engine::layer::Operation;
use crate::environment::external::Trust;
use crate::environment::external::answer::Telling;
use crate::scenario::{Overrides, Plan, load};

const EXTERNAL: &str = include_str!("../../../../scenarios/external.yaml");

/// With one of everything.
const TARGET: &str = r#"
name: ours-not
target:
  url: [http://127.0.0.1:8080/api/, "https://shop.test"]
  tls: { ca: shop-ca.pem, verify: false }
  headers: { x-shop: "none of yours", x-user: "u{user}" }
  operations:
    stock.get: { path: "/stock/{product}/{house}" }
    stock.put:
      method: POST
      path: "/stock?key={key}"
      headers: { x-user: nobody }
      body: '{"id":{product},"in":{"house":{house}},"was":"{{product}}","data":{value}}'
      expect: [200..202, 409]
    stock.invalidate_pattern: { path: "/purge/{product}", method: POST }
    calls.admit: { path: "/calls/{who}" }
  outcome: { header: X-Mine, hit: [warm, hot], miss: cold }
  expect: 200..299
data_types:
  stock:
    key: "stock:{product}:{house}"
    population: { product: 50, house: 4 }
    popularity: { zipf: 0.9 }
    value_size: 256B
  calls:
    key: "calls:{who}:{window}"
    strategy: counter
    population: 100
traffic:
  users: 10
  think_time: 1s
  phases: [{ name: steady, for: 10s }]
  mix: { stock.get: 8, stock.put: 1, stock.invalidate: 1, stock.invalidate_pattern: 1, calls.admit: 2 }
gates: ["error_ratio < 1%", "origin_queries < 5"]
"#;

fn rule(from: &str, to: &str, message: &str, shown: &str) {
    rule_in(TARGET, from, to, message, shown);
}

fn errors_of(text: &str, overrides: &Overrides) -> String {
    match parse("a.yaml", text, overrides) {
        Ok(_) => panic!("it was taken"),
        Err(errors) => errors.to_string(),
    }
}

fn service(plan: &Plan) -> &crate::environment::external::ExternalService {
    plan.target.as_ref().expect("a target")
}

#[test]
fn a_target_is_planned_instead_of_instances() {
    let plan = plan(TARGET);
    assert_eq!(plan.instances, 0);
    assert!(plan.layers.local.is_none() && plan.layers.remote.is_none());
    let service = service(&plan);
    assert_eq!(
        service.urls,
        ["http://127.0.0.1:8080/api", "https://shop.test"]
    );
    let stock = DataTypeId(0);
    let put = service.asks(stock, Operation::Put).expect("a put");
    assert_eq!(put.method, Some(http::Method::POST));
    assert_eq!(put.path.source(), "/stock?key={key}");
    let deleted = service.asks(stock, Operation::Invalidate).expect("a place");
    assert_eq!(deleted.path.source(), "/stock/{product}/{house}");
    assert!(matches!(&service.outcome, Telling::Field(own) if own.name == "x-mine"));
}

#[test]
fn the_scenario_for_a_target_is_right() {
    let plan = plan(EXTERNAL);
    assert_eq!(service(&plan).urls, ["http://127.0.0.1:8080"]);
    assert_eq!(plan.traffic.users, 40);
}

#[test]
fn what_is_written_again_is_the_same() {
    for text in [TARGET, EXTERNAL] {
        let first = plan(text);
        let again = plan(&first.resolved_yaml);
        assert_eq!(again.resolved_yaml, first.resolved_yaml);
        assert_eq!(service(&again), service(&first));
        assert_eq!(again.workload, first.workload);
        assert!(!first.resolved_yaml.contains("layers"), "it has none");
    }
}

#[test]
fn the_command_line_says_where() {
    let overrides = Overrides {
        target: vec!["http://a.test".to_owned(), "https://b.test:81/".to_owned()],
        ..Overrides::default()
    };
    let plan = parse("a.yaml", EXTERNAL, &overrides).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(service(&plan).urls, ["http://a.test", "https://b.test:81"]);
    let wrong = Overrides {
        target: vec!["ftp://a.test".to_owned()],
        ..Overrides::default()
    };
    let told = errors_of(EXTERNAL, &wrong);
    assert!(
        told.contains("http:// or https://") && told.contains("--target ftp://a.test"),
        "{told}"
    );
}

#[test]
fn what_belongs_to_the_built_in_service_is_refused_where_it_stands() {
    for (section, key) in [
        ("layers: { local: none, remote: none }", "layers"),
        ("instances: 2", "instances"),
        ("origin: { connections: 4 }", "origin"),
        ("resilience: { stampede: lock }", "resilience"),
        ("warming: { keys: { stock: 10 } }", "warming"),
        ("jobs: [{ name: release, at: 1s, deploy: rolling }]", "jobs"),
        ("simulation: { samples: 4 }", "simulation"),
        ("baseline: { for: 5s }", "baseline"),
    ] {
        let message = format!("`{key}` belongs to the built-in service");
        rule(
            "name: ours-not",
            &format!("name: ours-not\n{section}"),
            &message,
            key,
        );
    }
    for (line, key) in [
        ("ttl: 5m", "ttl"),
        ("stampede: lease", "stampede"),
        ("prefilled: true", "prefilled"),
        (
            "origin: { query_time: { median: 1ms, p99: 2ms } }",
            "origin",
        ),
    ] {
        let message = format!("`{key}` says how the built-in service keeps a data type");
        rule(
            "    value_size: 256B",
            &format!("    value_size: 256B\n    {line}"),
            &message,
            key,
        );
    }
    let off = "name: ours-not\nbaseline: none\njobs: []";
    plan(&TARGET.replace("name: ours-not", off));
}

#[test]
fn all_mistakes_are_told_at_once() {
    let text = TARGET
        .replace("https://shop.test", "ftp://shop.test")
        .replace("path: \"/calls/{who}\"", "path: \"calls/{whom}\", boby: x")
        .replace("outcome: {", "outcome: { headr: x,")
        .replace("200..202", "202..200")
        .replace("name: ours-not", "name: ours-not\nbaseline: { for: 5s }");
    insta::assert_snapshot!(errors_of(&text, &Overrides::default()));
}

#[test]
fn each_rule_is_told_once() {
    let path = "path: \"/stock/{product}/{house}\"";
    rule(
        path,
        "path: \"/stock/{product}/{hous}\"",
        "nothing can stand for `{hous}` here",
        "\"/stock/{product}/{hous}\" ",
    );
    rule(
        path,
        "path: \"stock\"",
        "a path begins with `/`",
        "\"stock\" ",
    );
    rule(
        path,
        "path: \"/stock of {product}\"",
        "cannot be sent in a URL",
        "\"/stock of {product}\" ",
    );
    rule(
        "x-user: nobody",
        "content-length: 5",
        "is made by whoever sends",
        "content-length",
    );
    rule(
        "x-user: \"u{user}\"",
        "X-Shop: twice",
        "the field `x-shop` stands twice",
        "X-Shop",
    );
}

#[test]
fn what_contradicts_itself_is_told_once() {
    rule(
        "method: POST\n",
        "method: FETCH\n",
        "`FETCH` is no method",
        "FETCH",
    );
    rule(
        "miss: cold",
        "miss: Hot",
        "cannot be a hit and a miss",
        "Hot",
    );
    rule(
        "\"/purge/{product}\"",
        "\"/purge/{house}\"",
        "nothing can stand for `{house}`",
        "\"/purge/{house}\"",
    );
    rule(
        "stock.invalidate_pattern: { path: \"/purge/{product}\"",
        "stock.invalidate_all: { path: \"/purge\"",
        "nobody says how to ask for `stock.invalidate_pattern`",
        "operations",
    );
    rule(
        "  users: 10",
        "  users: 10\n  driver: direct",
        "the driver `direct` leaves HTTP out",
        "direct",
    );
    rule(
        "  stock:\n",
        "  stock:\n    strategy: write-through\n",
        "says how the built-in service writes",
        "write-through",
    );
    rule(
        "gates: [",
        "alerts: [\"redis_up == 0\"]\ngates: [",
        "nobody can know this of a target",
        "\"redis_up == 0\"",
    );
}

#[test]
fn a_scenario_of_ours_has_no_target_of_another() {
    let told = errors_of(SMALL, &set(&[("target.url", "http://shop.test")]));
    for wanted in [
        "`operations` is missing in the target",
        "`layers` belongs to the built-in service",
        "`baseline` belongs to the built-in service",
    ] {
        assert!(told.contains(wanted), "{wanted}:\n{told}");
    }
}

/// Whoever builds and tests this has it.
const VARIABLE: &str = "CARGO_PKG_DESCRIPTION";
const VALUE: &str = env!("CARGO_PKG_DESCRIPTION");

/// [`TARGET`] with these fields in every request.
fn with_headers(headers: &str) -> String {
    let usual = "headers: { x-shop: \"none of yours\", x-user: \"u{user}\" }";
    assert!(TARGET.contains(usual));
    TARGET.replace(usual, &format!("headers: {{ {headers} }}"))
}

#[test]
fn whom_to_trust_is_planned() {
    let trusted = service(&plan(TARGET)).tls.clone();
    assert_eq!(trusted.ca.as_deref(), Some(Path::new("shop-ca.pem")));
    assert!(!trusted.verify);
    assert_eq!(service(&plan(EXTERNAL)).tls, Trust::default());
    rule(
        "verify: false",
        "verify: perhaps",
        "is no truth value",
        "perhaps",
    );
    rule("ca: shop", "cert: shop", "unknown key `cert`", "cert");
}

#[test]
fn the_file_of_authorities_lies_beside_the_scenario() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("target.yaml");
    std::fs::write(&path, TARGET).expect("written");
    let loaded = load(&path, &Overrides::default()).expect("a plan");
    let ca = folder.path().join("shop-ca.pem");
    assert_eq!(service(&loaded).tls.ca.as_ref(), Some(&ca));
    assert!(loaded.resolved_yaml.contains(&ca.display().to_string()));
    let typed = load(&path, &set(&[("target.tls.ca", "other.pem")])).expect("a plan");
    let here = std::path::absolute("other.pem").expect("a path");
    assert_eq!(service(&typed).tls.ca, Some(here), "from where it is typed");
}

#[test]
fn a_value_from_the_environment_is_sent_and_never_written() {
    let from = format!("authorization: {{ env: {VARIABLE}, prefix: \"Bearer \" }}");
    let first = plan(&with_headers(&from));
    let (name, value) = &service(&first).headers[0];
    assert_eq!(name, "authorization");
    assert_eq!(value.template().source(), format!("Bearer {VALUE}"));
    let written = &first.resolved_yaml;
    assert!(
        written.contains(VARIABLE) && !written.contains(VALUE),
        "{written}"
    );
    let again = plan(written);
    assert_eq!(service(&again), service(&first));
    assert!(!format!("{first:?}").contains(VALUE));
}

#[test]
fn what_the_environment_lacks_is_told_where_it_is_wanted() {
    let usual = "x-shop: \"none of yours\"";
    rule(
        usual,
        "x-shop: { env: NOBODY_SETS_THIS }",
        "the environment has no variable `NOBODY_SETS_THIS`",
        "NOBODY_SETS_THIS",
    );
    rule(
        usual,
        "x-shop: { env: CARGO_PKG_NAME, prefix: \"ü\" }",
        "plain characters alone",
        "\"ü\" ",
    );
    rule(usual, "x-shop: { prefix: a }", "`env` is missing", "{");
}

#[test]
fn a_secret_that_was_written_is_hidden_and_wanted_again() {
    let text = with_headers("X-Api-Key: hush-hush, cookie: \"id={user}\"")
        .replace("x-user: nobody", "x-token: hush-hush");
    let written = plan(&text).resolved_yaml;
    assert!(
        !written.contains("hush") && !written.contains("id={user}"),
        "{written}"
    );
    assert_eq!(written.matches("\"…\"").count(), 3, "{written}");
    let told = errors_of(&written, &Overrides::default());
    assert_eq!(told.matches("a secret stood here").count(), 3, "{told}");
    assert!(told.contains("{ env: NAME }"), "{told}");
}

#[test]
fn what_variants_and_arguments_change_tells_no_secret() {
    let text = format!(
        "{TARGET}\nvariants:\n  - {{ name: a }}\n  - name: b\n    set:\n      \
         target.headers.authorization: hush\n      \
         target.operations.stock.get.headers: {{ x-token: hush, accept: json }}\n"
    );
    let plan = plan(&text);
    insta::assert_snapshot!(plan.variants[1].changes.join("\n"), @"
    target.headers.authorization=…
    target.operations.stock.get.headers={ x-token: …, accept: json }
    ");
    assert!(
        !plan.resolved_yaml.contains("hush"),
        "{}",
        plan.resolved_yaml
    );
    let told = errors_of(TARGET, &set(&[("target.headers.x-token", "hush ü")]));
    assert!(
        told.contains("--set target.headers.x-token=…") && !told.contains("hush"),
        "{told}"
    );
}
