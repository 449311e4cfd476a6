//! Estimates from samples, and counts scaled to the whole.

use super::*;
use crate::report::fixture::{sample_report, sampled_report, sampled_samples, sampled_sampling};
use crate::report::model::OriginResult;
use crate::report::table::Table;

fn figure(name: &str) -> SampledFigure {
    let result = estimates(&sampled_samples(), &sampled_sampling());
    let found = result
        .figures
        .into_iter()
        .find(|figure| figure.name == name);
    found.unwrap_or_else(|| panic!("no {name}"))
}

fn origin(report: &Report) -> &OriginResult {
    report.origin.as_ref().expect("an origin")
}

fn text(table: &Table) -> String {
    table.lines(100, false).join("\n")
}

#[test]
fn what_people_read() {
    insta::assert_snapshot!(text(&table(&sampled_report())), @"
    estimate of the whole         mean      from        to  corrected by
    hit ratio                   94.94%    94.74%    95.08%        +0.06%
    requests                  24,797/s  24,683/s  24,910/s
    origin queries             2,151/s   2,120/s   2,196/s         −13/s
    p50 response time           0.5 ms    0.5 ms    0.5 ms
    p95 response time            61 ms     60 ms     61 ms
    p99 response time           402 ms    388 ms    404 ms
    remote memory              5.7 GiB   5.6 GiB   5.7 GiB
    evictions                    0.0/s     0.0/s     0.0/s
    local layer's hit ratio     58.27%    57.68%    58.27%        +0.59%
    remote layer's hit ratio    88.91%    88.57%    89.24%
    customer hit ratio          97.18%    96.81%    97.44%        +0.10%
    inventory hit ratio         88.97%    88.92%    89.01%
    product hit ratio           99.07%    98.79%    99.26%        +0.10%
    quote hit ratio             81.15%    81.12%    81.19%
    session hit ratio           99.99%    99.97%   100.00%
    ");
    let sampling = sampled_report().sampling.expect("a sample");
    insta::assert_snapshot!(told(&sampling), @"1 in 50 users and keys: 20,000 of 1,000,000 users, 2,040 of 100,000 shared keys, 4 samples; hit ratio 94.9% ± 0.2");
    assert!(table(&sample_report()).is_empty());
}

#[test]
fn a_figure_is_the_corrected_mean_and_its_interval_keeps_the_uncorrected() {
    for name in [
        "hit ratio",
        "customer hit ratio",
        "product hit ratio",
        "local layer's hit ratio",
    ] {
        let figure = figure(name);
        let raw = figure.values.iter().sum::<f64>() / 4.0;
        assert!(
            (figure.mean - raw - figure.corrected_by).abs() < 1e-9,
            "{figure:?}"
        );
        assert!(
            figure.corrected_by >= 0.0 && figure.low <= raw && figure.mean <= figure.high,
            "{figure:?}"
        );
        assert!(figure.high <= 1.0, "{figure:?}");
    }
    let queries = figure("origin queries");
    assert!(
        queries.corrected_by < 0.0 && queries.low < queries.mean,
        "{queries:?}"
    );
    // A data type that nobody samples is not corrected.
    let session = figure("session hit ratio");
    assert!(session.corrected_by.abs() < 1e-12, "{session:?}");
}

#[test]
fn rates_are_those_of_the_whole_and_ratios_are_left() {
    let requests = figure("requests");
    let sample = sample_report();
    assert!((requests.values[0] - sample.requests.rate_per_s * 50.0).abs() < 1e-6);
    let memory = figure("remote memory");
    let redis = sample.redis.as_ref().expect("Redis");
    let wanted = 1.5e6 + (redis.used_memory_bytes_max as f64 - 1.5e6) * 50.0;
    assert!((memory.values[0] - wanted).abs() < 1.0);
    assert!(
        memory.low < memory.mean - 2.9e6,
        "head keys count too much: {memory:?}"
    );
}

#[test]
fn percentiles_may_be_lower_but_not_higher_by_the_head() {
    let p99 = figure("p99 response time");
    let p50 = figure("p50 response time");
    assert!(p99.mean - p99.low > p99.high - p99.mean, "{p99:?}");
    assert!(
        p50.corrected_by.abs() < 1e-12 && p50.low < p50.mean,
        "{p50:?}"
    );
}

#[test]
fn one_sample_or_a_missing_figure_says_nothing() {
    let samples = sampled_samples();
    assert!(
        estimates(&samples[..1], &sampled_sampling())
            .figures
            .is_empty()
    );
    let mut samples = samples;
    samples[2].redis = None;
    let result = estimates(&samples, &sampled_sampling());
    assert!(!result.figures.iter().any(|figure| figure.unit == "bytes"));
    assert!(
        result
            .figures
            .iter()
            .any(|figure| figure.name == "hit ratio")
    );
}

#[test]
fn a_scaled_report_agrees_with_itself() {
    let (sample, whole) = (sample_report(), sampled_report());
    assert_eq!(whole.requests.total, sample.requests.total * 50);
    assert_eq!(
        whole.requests.outcomes.values().sum::<u64>(),
        whole.requests.total
    );
    let by_type = whole.data_types.values().map(|row| row.requests);
    assert_eq!(by_type.sum::<u64>(), whole.requests.total);
    let seconds = whole.timeseries.iter().map(|row| row.requests);
    assert_eq!(
        seconds.sum::<u64>(),
        whole.requests.total + whole.phases[0].requests
    );
    assert_eq!(
        (whole.environment.users, origin(&whole).connections),
        (1_000_000, 3_000)
    );
    assert!(origin(&whole).peak_connections <= 3_000);
    // Ratios and times are as they were, and so is the evidence for them.
    assert_eq!(
        whole.requests.response_time_us,
        sample.requests.response_time_us
    );
    assert_eq!(
        whole.layers["local"].hit_ratio,
        sample.layers["local"].hit_ratio
    );
    assert_eq!(
        origin(&whole).queries_per_request.to_bits(),
        origin(&sample).queries_per_request.to_bits()
    );
}

#[test]
fn every_exporter_for_people_tells_of_it() {
    let report = sampled_report();
    let folder = std::path::Path::new("out/report.html");
    let style = crate::report::terminal::Style {
        color: false,
        width: 110,
    };
    let terminal = crate::report::terminal::render(&report, folder, style);
    let of = |exporter: &dyn crate::report::Exporter| {
        String::from_utf8(exporter.export(&report).expect("a file")).expect("a text")
    };
    let summary = of(&crate::report::markdown::Markdown);
    let page = of(&crate::report::html::Html);
    for text in [&terminal, &summary, &page] {
        assert!(text.contains("1 in 50 users and keys"), "{text}");
        assert!(
            text.contains("origin queries") && text.contains("94.74%"),
            "{text}"
        );
        assert!(text.contains("20 connections stand for 1,000"), "{text}");
    }
}
