//! What a check may look like, what its errors say, and how its numbers are printed.

use proptest::prelude::*;

use super::super::metric::{Kind, METRICS};
use super::*;

fn check(text: &str) -> Check {
    text.parse()
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// The error with a caret under its place, as a person would see it.
fn error(text: &str) -> String {
    let error = text.parse::<Check>().expect_err(text);
    let column = text[..error.at].chars().count();
    format!("{text}\n{:>column$}^ {}", "", error.message)
}

fn errors(texts: &[&str]) -> String {
    let all: Vec<String> = texts.iter().map(|text| error(text)).collect();
    all.join("\n")
}

#[test]
fn a_check_is_read_into_its_parts() {
    let read =
        check("p95(response_time){data_type=customer, outcome=hit, phase=\"peak hour\"} < 1s");
    assert_eq!(
        read.metric,
        Metric::Distribution(Distribution::ResponseTime, Statistic::Percentile(95.0))
    );
    assert_eq!(read.data_type(), Some("customer"));
    assert_eq!(read.phase(), Some("peak hour"));
    assert_eq!(read.selectors.outcome, Some(Outcome::Hit));
    assert_eq!(read.selectors.operation, None);
    assert_eq!(read.comparison, Comparison::Below);
    assert_eq!(read.target.unit, Unit::Us);
    assert_eq!(read.target.value.to_bits(), 1e6_f64.to_bits());
}

#[test]
fn space_is_free() {
    for text in [
        "hit_ratio{layer=local}>=50%",
        "  hit_ratio { layer = local } >= 50% ",
        "hit_ratio\t{ layer=\"local\" }\n>= 0.5",
    ] {
        assert_eq!(check(text).to_string(), "hit_ratio{layer=local} >= 50%");
    }
    assert_eq!(check("hit_ratio{} > 0").to_string(), "hit_ratio > 0%");
}

#[test]
fn percentiles_are_read_as_they_are_spelled() {
    let percent = |function: &str| {
        let text = format!("{function}(slip) < 1ms");
        match text.parse::<Check>().ok()?.metric {
            Metric::Distribution(_, Statistic::Percentile(percent)) => Some(percent.to_string()),
            _ => None,
        }
    };
    let spelled = ["p50", "p5", "p97.5", "p99.9", "p999", "p9999", "p99.99"];
    let read = spelled.map(|function| percent(function).unwrap_or_default());
    assert_eq!(read, ["50", "5", "97.5", "99.9", "99.9", "99.99", "99.99"]);
    for wrong in [
        "p0", "p100", "p", "p950", "p-5", "p1e1", "p95.", "p.5", "p9.9.9", "pinf",
    ] {
        assert_eq!(percent(wrong), None, "{wrong}");
    }
}

#[test]
fn errors_about_metrics_point_and_suggest() {
    insta::assert_snapshot!(errors(&[
        "",
        "< 1s",
        "hit_rate >= 95%",
        "hitratio >= 95%",
        "p95(latency) < 1s",
        "p95(response_tme) < 1s",
        "banana < 1s",
        "response_time < 1s",
        "p95(hit_ratio) >= 95%",
        "avg(response_time) < 1s",
        "P95(response_time) < 1s",
        "p100(response_time) < 1s",
        "median(response_time) < 1s",
        "p95() < 1s",
        "p95(response_time < 1s",
    ]), @"
    ^ expected a metric such as p95(response_time) or hit_ratio, found the end
    < 1s
    ^ expected a metric such as p95(response_time) or hit_ratio, found '<'
    hit_rate >= 95%
    ^ there is no metric hit_rate; did you mean hit_ratio?
    hitratio >= 95%
    ^ there is no metric hitratio; did you mean hit_ratio?
    p95(latency) < 1s
        ^ there is no metric latency; did you mean response_time?
    p95(response_tme) < 1s
        ^ there is no metric response_tme; did you mean response_time?
    banana < 1s
    ^ there is no metric banana; there are response_time, service_time, slip, staleness, hit_ratio, error_ratio, stale_ratio, response_time_reduction, origin_query_reduction, memory_usage, rate, origin_queries_per_s, evictions_per_s, requests, errors, dropped, users, origin_queries, origin_peak_connections, origin_loads_per_flight, redis_keys, redis_memory, redis_up, breakers_open, write_behind_waiting, alerts_fired
    response_time < 1s
    ^ response_time is a distribution; say which value of it, such as p95(response_time) or mean(response_time)
    p95(hit_ratio) >= 95%
    ^ hit_ratio is one number, not a distribution; write it without p95( )
    avg(response_time) < 1s
    ^ there is no function avg; did you mean mean?
    P95(response_time) < 1s
    ^ there is no function P95; did you mean p95?
    p100(response_time) < 1s
    ^ there is no function p100; a percentile lies above 0 and below 100, such as p95, p97.5 or p999 (99.9%); the smallest is min, the largest max
    median(response_time) < 1s
    ^ there is no function median; there are p50, p90, p95, p99, p999, mean, min, max
    p95() < 1s
        ^ expected a metric such as p95(response_time), found ')'
    p95(response_time < 1s
                      ^ expected ')' after response_time, found '<'
    ");
}

#[test]
fn errors_about_selectors_point_and_suggest() {
    insta::assert_snapshot!(errors(&[
        "hit_ratio{datatype=customer} >= 95%",
        "hit_ratio{operation=get} >= 95%",
        "hit_ratio{layer=origin} >= 95%",
        "users{phase=steady} == 0",
        "hit_ratio{colour=red} >= 95%",
        "hit_ratio{} extra >= 95%",
        "hit_ratio{data_type customer} >= 95%",
        "hit_ratio{data_type=} >= 95%",
        "hit_ratio{phase=\"peak} >= 95%",
        "hit_ratio{data_type=a, data_type=b} >= 95%",
        "hit_ratio{data_type=a,} >= 95%",
        "hit_ratio{data_type=a phase=b} >= 95%",
        "p95(response_time){outcome=stale} < 1s",
        "p95(response_time){operation=gte} < 1s",
        "p95(response_time){layer=redis} < 1s",
    ]), @r#"
    hit_ratio{datatype=customer} >= 95%
              ^ there is no selector datatype; did you mean data_type?
    hit_ratio{operation=get} >= 95%
              ^ hit_ratio cannot be narrowed by operation; hit_ratio takes data_type, layer, phase, kind
    hit_ratio{layer=origin} >= 95%
                    ^ the origin is no cache and has no hit ratio; the layers that have one are edge, local, remote
    users{phase=steady} == 0
          ^ users cannot be narrowed by phase; users takes none
    hit_ratio{colour=red} >= 95%
              ^ there is no selector colour; hit_ratio takes data_type, layer, phase, kind
    hit_ratio{} extra >= 95%
                ^ expected one of < <= > >= == != and a target, found 'e'
    hit_ratio{data_type customer} >= 95%
                        ^ expected '=' after data_type, found 'c'
    hit_ratio{data_type=} >= 95%
                        ^ expected a value for data_type
    hit_ratio{phase="peak} >= 95%
                    ^ this quote has no partner
    hit_ratio{data_type=a, data_type=b} >= 95%
                           ^ data_type stands twice; a gate takes one
    hit_ratio{data_type=a,} >= 95%
                          ^ expected a selector, found '}'; hit_ratio takes data_type, layer, phase, kind
    hit_ratio{data_type=a phase=b} >= 95%
                          ^ expected ',' or '}' after the value of data_type, found 'p'
    p95(response_time){outcome=stale} < 1s
                               ^ there is no outcome stale; there are hit, stale-hit, negative-hit, miss, coalesced, bypass, refused, unknown, error
    p95(response_time){operation=gte} < 1s
                                 ^ there is no operation gte; did you mean get?
    p95(response_time){layer=redis} < 1s
                             ^ there is no layer redis; there are edge, local, remote, origin
    "#);
}

#[test]
fn errors_about_targets_point_and_name_the_unit() {
    insta::assert_snapshot!(errors(&[
        "p95(response_time)",
        "p95(response_time) = 1s",
        "p95(response_time) ≤ 1s",
        "p95(response_time) => 1s",
        "p95(response_time) is 1s",
        "p95(response_time) <",
        "p95(response_time) < 1",
        "p95(response_time) < 95%",
        "hit_ratio >= 95",
        "hit_ratio >= 1s",
        "evictions_per_s < 100",
        "origin_loads_per_flight == 1.5",
        "requests > -1",
        "redis_memory < 256",
        "users >= 1000 of them",
    ]), @r#"
    p95(response_time)
                      ^ expected one of < <= > >= == != and a target, found the end
    p95(response_time) = 1s
                       ^ write == instead of =
    p95(response_time) ≤ 1s
                       ^ write <= instead of ≤
    p95(response_time) => 1s
                       ^ write >= instead of =>
    p95(response_time) is 1s
                       ^ expected one of < <= > >= == != and a target, found 'i'
    p95(response_time) <
                        ^ the target is missing; response_time is a duration, such as 150ms or 1s
    p95(response_time) < 1
                         ^ response_time is a duration, and "1" is not a duration with its unit, such as 150ms, 5s, 15m, 1h or 1h 30m
    p95(response_time) < 95%
                         ^ response_time is a duration, and "95%" is not a duration with its unit, such as 150ms, 5s, 15m, 1h or 1h 30m
    hit_ratio >= 95
                 ^ hit_ratio is a share, and "95" is not a share, such as 95% or 0.95, from 0 to 1
    hit_ratio >= 1s
                 ^ hit_ratio is a share, and "1s" is not a share, such as 95% or 0.95, from 0 to 1
    evictions_per_s < 100
                      ^ evictions_per_s is a rate, and "100" is not a rate with its unit, such as 100/s, 600/m or 1000/h
    origin_loads_per_flight == 1.5
                               ^ origin_loads_per_flight is a count, and "1.5" is not a whole number, such as 1_000
    requests > -1
               ^ requests is a count, and "-1" is not a whole number, such as 1_000
    redis_memory < 256
                   ^ redis_memory is a size, and "256" is not a size with its unit, such as 512B, 2KiB or 256MiB
    users >= 1000 of them
             ^ users is a count, and "1000 of them" is not a whole number, such as 1_000
    "#);
}

#[test]
fn targets_are_printed_exactly() {
    let texts: Vec<String> = [
        "p95(response_time) < 1s",
        "p95(response_time) <= 1250ms",
        "p95(response_time) < 1100ms",
        "p95(response_time) < 1234567us",
        "max(staleness) < 1h 30m",
        "p50(response_time) > 0.4ms",
        "max(slip) == 0",
        "hit_ratio >= 95%",
        "hit_ratio >= 0.9525",
        "error_ratio != 0.07",
        "evictions_per_s <= 100/s",
        "rate > 90/m",
        "users >= 1_000",
        "redis_memory < 1536MiB",
    ]
    .iter()
    .map(|text| check(text).target_text())
    .collect();
    insta::assert_snapshot!(texts.join("\n"), @r"
    < 1 s
    ≤ 1.25 s
    < 1.1 s
    < 1234567 µs
    < 1.5 h
    > 400 µs
    = 0
    ≥ 95%
    ≥ 95.25%
    ≠ 7%
    ≤ 100/s
    > 1.5/s
    ≥ 1,000
    < 1.5 GiB
    ");
}

#[test]
fn observations_are_rounded_but_never_across_the_target() {
    let show = |text: &str, value: f64| check(text).format_value(value);
    let texts = [
        show("p95(response_time) < 1s", 38_200.0),
        show("p95(response_time) < 1s", 999_600.0),
        show("p95(response_time) < 1s", 999_999.9),
        show("p95(response_time) < 1s", 1_000_000.0),
        show("p95(response_time) < 1s", 1_000_400.0),
        show("hit_ratio >= 95%", 0.961_3),
        show("hit_ratio >= 95%", 0.95),
        show("hit_ratio >= 95%", 0.949_6),
        show("hit_ratio >= 95%", 0.949_999_99),
        show("response_time_reduction >= 50%", -0.12),
        show("evictions_per_s < 100/s", 12.34),
        show("evictions_per_s < 100/s", 99.98),
        show("rate > 400/s", 30_114.4),
        show("requests > 0", 30_114.0),
        show("redis_memory < 256MiB", 187_695_104.0),
        show("redis_memory < 256MiB", 268_435_455.0),
        show("redis_memory < 256MiB", 512.0),
        show("hit_ratio >= 95%", f64::NAN),
    ];
    insta::assert_snapshot!(texts.join("\n"), @r"
    38 ms
    0.9996 s
    0.9999999 s
    1.0 s
    1.0004 s
    96.1%
    95%
    94.96%
    94.999999%
    -12%
    12.3/s
    99.98/s
    30,114/s
    30,114
    179 MiB
    255.999999 MiB
    512 B
    not a number
    ");
}

fn any_check() -> impl Strategy<Value = Check> {
    let name = || proptest::option::of("[a-z][a-z0-9_.-]{0,8}|[a-z]{1,4} [a-zäß<{}=,]{1,4}");
    let statistic = prop_oneof![
        (1u32..1_000).prop_map(|tenths| Statistic::Percentile(f64::from(tenths) / 10.0)),
        Just(Statistic::Percentile(99.99)),
        Just(Statistic::Mean),
        Just(Statistic::Min),
        Just(Statistic::Max),
    ];
    let selectors = (
        name(),
        proptest::option::of(proptest::sample::select(&Operation::ALL[..])),
        proptest::option::of(proptest::sample::select(&Outcome::ALL[..])),
        proptest::option::of(proptest::sample::select(&Layer::ALL[..])),
        name(),
    );
    let comparison = proptest::sample::select(&Comparison::ALL[..]);
    let number = prop_oneof![0u64..100, 0u64..10_000_000_000];
    (0..METRICS.len(), statistic, selectors, comparison, number).prop_map(
        |(row, statistic, (data_type, operation, outcome, layer, phase), comparison, number)| {
            let row = &METRICS[row];
            let takes = |selector| row.selectors.contains(&selector);
            let value = match row.unit {
                Unit::Us => number as f64 / 1e3,
                Unit::Ratio => number as f64 / 1e10,
                Unit::PerS => number as f64 / 60.0,
                Unit::Count | Unit::Bytes => number as f64,
            };
            Check {
                text: String::new(),
                metric: match row.kind {
                    Kind::Distribution(of) => Metric::Distribution(of, statistic),
                    Kind::Scalar(scalar) => Metric::Scalar(scalar),
                },
                selectors: Selectors {
                    data_type: data_type.filter(|_| takes(Selector::DataType)),
                    operation: operation.filter(|_| takes(Selector::Operation)),
                    outcome: outcome.filter(|_| takes(Selector::Outcome)),
                    layer: layer.filter(|layer| {
                        takes(Selector::Layer)
                            && !(*layer == Layer::Origin && row.name == "hit_ratio")
                    }),
                    user_kind: phase.clone().filter(|_| takes(Selector::UserKind)),
                    alert: phase.clone().filter(|_| takes(Selector::Alert)),
                    phase: phase.filter(|_| takes(Selector::Phase)),
                },
                comparison,
                target: Target {
                    value,
                    unit: row.unit,
                },
            }
        },
    )
}

proptest! {
    #[test]
    fn what_is_printed_can_be_read_again(written in any_check()) {
        let text = written.to_string();
        let read: Check = text.parse().map_err(|e| TestCaseError::fail(format!("{text}: {e}")))?;
        prop_assert_eq!(&read, &Check { text: text.clone(), ..written });
        prop_assert_eq!(read.to_string(), text);
    }

    #[test]
    fn parsing_never_panics_and_points_into_the_text(text in ".{0,40}") {
        if let Err(error) = text.parse::<Check>() {
            prop_assert!(text.is_char_boundary(error.at));
        }
    }

    #[test]
    fn a_damaged_check_never_panics(
        written in any_check(),
        at in any::<prop::sample::Index>(),
        put in "[ -~é≥\"]{0,3}",
    ) {
        let mut text = written.to_string();
        let place = at.index(text.chars().count());
        let place = text.char_indices().nth(place).map_or(0, |(byte, _)| byte);
        text.truncate(place);
        text.push_str(&put);
        if let Err(error) = text.parse::<Check>() {
            prop_assert!(text.is_char_boundary(error.at));
        }
    }

    #[test]
    fn an_observation_is_printed_on_its_own_side_of_the_target(
        check in any_check(),
        near in -1_000i32..1_000,
        scale in 0i32..12,
    ) {
        let value = check.target.value * (1.0 + f64::from(near) / 10f64.powi(scale));
        let text = check.format_value(value);
        prop_assert!(!text.is_empty());
        let target = check.target_text();
        let (_, target) = target.split_once(' ').expect("a sign and a number");
        // Nine digits are enough for whatever a person would call different.
        let apart = (value - check.target.value).abs() > check.target.value * 1e-6;
        if apart && check.target.value > 0.0 {
            prop_assert_ne!(text, target.to_owned());
        }
    }
}
