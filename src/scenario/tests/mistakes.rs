//! How many mistakes at once are told.

use std::time::Duration;

use super::{Overrides, parse, refused, set};

const MANY: &str = r#"
name: many mistakes
sed: 42
data_types:
  customer:
    key: "customer:{customer_id"
    strategy: cache_aside
    ttl: 0s
    locl_ttl: 1m
    population: 50k
    popularity: zipf
    value_size: 2048
    origin:
      query_time: { median: 150ms }
  product:
    key: "product:{product_id}"
    strategy: write-through
    ttl: 15
    local_ttl: 2h
    population: { product: 400 }
    value_size: 65MiB
    origin:
      query_time: { median: 500ms, p99: 200ms }
  limit:
    key: "limit:{api_key}:{window}"
    strategy: counter
    ttl: 1h
    ttl: 2h
    population: 10
layers:
  local: {}
  remote: { topology: clustre, policy: all-keys-lru, maxmemory: 1KiB }
origin:
  connections: 0
traffic:
  users: 2_000_000
  ramp: 30s
  think_time: 3s..1s
  phases:
    - { name: warm-up, for: 10s }
    - { name: warm-up, for: 10s }
  mix:
    customer.get: 40
    prodct.get: 20
    product.gt: 20
    limit.get: 1
    product: -1
gates:
  - "p95(response_time){data_type=custmer} < 1s"
  - { name: hits, chek: "hit_ratio > 85%" }
"#;

#[test]
fn errors_in_arguments_name_the_argument() {
    let overrides = Overrides {
        users: Some(0),
        duration: Some(Duration::ZERO),
        ..set(&[
            ("data_types.customer.ttl", "0"),
            ("data_types.custmer.ttl", "1m"),
            ("traffic.phases.stedy.for", "1m"),
            ("traffic.phases.9.for", "1m"),
            ("traffic.mix.product.get", "1"),
            ("layers.remote.connections", "{a"),
            ("origin", ""),
            ("traffic..users", "1"),
        ])
    };
    insta::assert_snapshot!(refused(&overrides), @r#"
    error: data_types has no key `custmer`
     --> --set data_types.custmer.ttl=1m
      = help: did you mean `customer`?

    error: `traffic.phases` has no item `stedy`
     --> --set traffic.phases.stedy.for=1m
      = help: did you mean `steady`?
      = help: items are also numbered, from 0 to 2

    error: `traffic.phases` has no item `9`
     --> --set traffic.phases.9.for=1m
      = help: item is one of warm-up, calm and steady
      = help: items are also numbered, from 0 to 2

    error: the value cannot be read: this is not YAML: while parsing a flow mapping, did not find expected ',' or '}'
     --> --set layers.remote.connections={a

    error: the value cannot be read: there is nothing in it
     --> --set origin=

    error: "traffic..users" is no path into a scenario
     --> --set traffic..users=1
      = help: a path is names with dots between them, such as traffic.users=100

    error: `users` cannot be 0
     --> --users 0
      = from 1 up to 1,000,000

    error: `ttl` cannot be 0s
     --> --set data_types.customer.ttl=0
      = from 1ms up to 1year

    error: `duration` cannot be 0s
     --> --duration 0s
      = from 1ms up to 7days

    error: there is no data type `product`
     --> --set traffic.mix.product.get=1
      = data type is one of customer, stock, limit and activity

    10 errors in a.yaml
    "#);
}

#[test]
fn every_mistake_is_told_at_once() {
    let errors = parse("many.yaml", MANY, &Overrides::default()).expect_err("mistakes");
    insta::assert_snapshot!("many_mistakes", errors);
}
