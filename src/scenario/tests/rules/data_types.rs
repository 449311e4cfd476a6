//! The rules of data types, one mistake at a time.

use super::rule;

#[test]
fn key_patterns() {
    let customer = "key: \"customer:{customer_id}\"";
    rule(
        customer,
        "key: \"customer:{customer_id\"",
        "brace without its partner",
        "\"customer:{customer_id\"",
    );
    rule(customer, "key: \"\"", "from 1 to 512 bytes", "\"\"");
    rule(
        customer,
        "key: \"c:{customer_id}:{window}\"",
        "`{window}` stands for the window of a counter",
        "\"c:{customer_id}:{window}\"",
    );
    rule(
        "key: \"stock:{product}:{warehouse}\"",
        "key: \"s:{product}:{warehouse}:{a}:{b}:{c}\"",
        "at most 4 parameters, and this 5",
        "\"s:{product}:{warehouse}:{a}:{b}:{c}\"",
    );
    rule(
        "key: \"activity:{user}:{number}\"",
        "key: \"stock:{user}:{number}\"",
        "`activity` has the same keys as `stock`",
        "\"stock:{user}:{number}\"",
    );
    rule(
        "\"basic:{customer_id}\"",
        "\"basic:{id}\"",
        "`{id}` is no parameter of the data type's key",
        "\"basic:{id}\"",
    );
    rule(
        "\"basic:{customer_id}\"",
        "\"basic:{window}\"",
        "`{window}` is no parameter",
        "\"basic:{window}\"",
    );
    rule(
        "\"basic:{customer_id}\"",
        "\"customer:{customer_id}\"",
        "the data type's own key",
        "\"customer:{customer_id}\"",
    );
}

#[test]
fn times_to_live() {
    rule("ttl: 15m", "ttl: 0s", "`ttl` cannot be 0s", "0s");
    rule(
        "ttl: 15m",
        "ttl: 2years",
        "`ttl` cannot be 2years",
        "2years",
    );
    rule("ttl: 15m", "ttl: -5m", "\"-5m\" is not a duration", "-5m");
    rule("ttl: 15m", "ttl: 15", "\"15\" is not a duration", "15");
    rule(
        "local_ttl: 1m",
        "local_ttl: 0s",
        "`local_ttl` cannot be 0s",
        "0s",
    );
    rule(
        "local_ttl: 1m",
        "local_ttl: 16m",
        "the local layer would keep entries for 16m, the remote one for 15m only",
        "16m",
    );
    rule(
        "negative_ttl: 5s",
        "negative_ttl: 0s",
        "`negative_ttl` cannot be 0s",
        "0s",
    );
    rule(
        "ttl_jitter: 10%",
        "ttl_jitter: -1%",
        "is not a share",
        "-1%",
    );
    rule(
        "ttl_jitter: 10%",
        "ttl_jitter: 100%",
        "a TTL could be nothing",
        "100%",
    );
}

#[test]
fn counters() {
    rule(
        "    limit: { requests: 100, window: 30m }\n",
        "",
        "the counter `limit` has no limit",
        "limit",
    );
    rule(
        "ttl: 15m",
        "ttl: 15m\n    limit: { requests: 1, window: 1m }",
        "`customer` has a limit and is no counter",
        "{",
    );
    rule(
        "requests: 100",
        "requests: 0",
        "`requests` cannot be 0",
        "0",
    );
    rule("window: 30m", "window: 0s", "`window` cannot be 0s", "0s");
    rule(
        "window: 30m",
        "window: 3h",
        "forget after 1h, within its window of 3h",
        "1h",
    );
    for (key, value) in [
        ("related", "[]"),
        ("local_ttl", "1m"),
        ("invalidation", "event"),
        ("negative_ttl", "1s"),
        ("ttl_jitter", "1%"),
        ("value_size", "1KiB"),
        ("prefilled", "true"),
    ] {
        let line = format!("ttl: 1h\n    {key}: {value}\n");
        let message = format!("`{key}` means nothing for the counter");
        let shown = value.get(..1).filter(|_| value == "[]").unwrap_or(value);
        rule("ttl: 1h\n", &line, &message, shown);
    }
}

#[test]
fn populations() {
    let one = "population: 300";
    rule(one, "population: 0", "a population of 0 keys", "0");
    rule(one, "population: 100_000_001", "too large", "100_000_001");
    rule(one, "population: -3", "not a whole number", "-3");
    rule(
        one,
        "population: { customer_i: 3, customer_id: 3 }",
        "has no parameter `customer_i`",
        "customer_i",
    );
    rule(
        &format!("    {one}\n"),
        "",
        "`population` is missing",
        "customer",
    );
    rule(
        one,
        "population: { customer_id: many }",
        "neither a number nor `unique`",
        "many",
    );
    let two = "population: { product: 50, warehouse: 4 }";
    rule(two, "population: 200", "has 2 parameters", "200");
    rule(
        two,
        "population: { product: 50 }",
        "how many values has the parameter `warehouse`?",
        "{",
    );
    rule(
        two,
        "population: { product: 18446744073709551615, warehouse: 4 }",
        "too large",
        "{",
    );
    rule(
        "key: \"stock:{product}:{warehouse}\"\n    strategy: write-through\n    ttl: 5m\n    population: { product: 50, warehouse: 4 }",
        "key: \"stock\"\n    strategy: write-through\n    ttl: 5m\n    population: 5",
        "has no parameter",
        "5",
    );
    rule(
        "population: { number: unique }",
        "population: { number: unique, user: 99 }",
        "99 keys are too few for one each of 100 users",
        "{",
    );
    rule(
        "population: { number: unique }",
        "population: { number: unique, user: unique }",
        "`activity` is per user, and no parameter is the user's",
        "activity",
    );
    rule(
        "value_size: 100B",
        "value_size: 100B\n    prefilled: true",
        "cannot exist before they are written",
        "true",
    );
}

#[test]
fn popularities() {
    rule("zipf: 0.99", "zipf: -0.1", "cannot be -0.1", "-0.1");
    rule("zipf: 0.99", "zipf: .inf", "is not a number", ".inf");
    rule("zipf: 0.99", "zipf: .nan", "is not a number", ".nan");
    rule("{ zipf: 0.99 }", "zipf", "zipf needs its skew", "zipf");
    rule(
        "{ zipf: 0.99 }",
        "unifrom",
        "`unifrom` is no popularity",
        "unifrom",
    );
    rule("{ zipf: 0.99 }", "{ zip: 1 }", "unknown key `zip`", "zip");
}

#[test]
fn tables_of_the_origin() {
    rule(
        "median: 150ms, p99: 400ms",
        "median: 150ms, p99: 100ms",
        "the p99 of 100ms is below the median of 150ms",
        "100ms",
    );
    rule(
        "median: 150ms, p99: 400ms",
        "median: 0s, p99: 400ms",
        "no log-normal distribution",
        "{",
    );
    rule("median: 150ms", "median: 2h", "`median` cannot be 2h", "2h");
    rule(
        "value_size: 4KiB",
        "value_size: 0B",
        "`value_size` cannot be 0B",
        "0B",
    );
    rule(
        "value_size: 4KiB",
        "value_size: 65MiB",
        "`value_size` cannot be 65MiB",
        "65MiB",
    );
    rule(
        "value_size: 4KiB",
        "value_size: 4096",
        "\"4096\" is not a size",
        "4096",
    );
    rule(
        "    value_size: 4KiB\n",
        "",
        "`value_size` is missing",
        "customer",
    );
    rule(
        "connections: 10,",
        "connections: 0,",
        "`connections` cannot be 0",
        "0",
    );
    rule(
        "acquire_timeout: 2s",
        "acquire_timeout: 0s",
        "cannot be 0s",
        "0s",
    );
}

#[test]
fn protection() {
    let ttl = "ttl: 15m";
    rule(
        ttl,
        "ttl: 15m\n    stampede: leese",
        "`leese` is no means against stampedes",
        "leese",
    );
    rule(
        ttl,
        "ttl: 15m\n    stampede: stale-while-revalidate",
        "nothing to serve without `serve_stale`",
        "stale-while-revalidate",
    );
    rule(
        ttl,
        "ttl: 15m\n    stampede: { early-refresh: 0 }",
        "beta of early-refresh cannot be 0",
        "0",
    );
    rule(
        ttl,
        "ttl: 15m\n    serve_stale: 5",
        "\"5\" is not a duration",
        "5",
    );
    rule(
        ttl,
        "ttl: 15m\n    consistency: eventual",
        "`eventual` is no consistency",
        "eventual",
    );
}
