//! `timeseries.csv`: one row for each second of the run, warm-up included, in wide format. In runs of
//! more than half an hour a row spans more, as `t_s` shows and `timeseries_interval_s` of report.json
//! says; counts are then over all of it.
//!
//! The header depends on the scenario's data types alone, never on what happened: the fixed
//! columns, then `<data_type>_<answer>` for every data type and each of local, remote, origin and
//! error, then answers of any other layer. An empty field was not measured.

use std::collections::{BTreeMap, BTreeSet};

use super::export::{ExportError, Exporter, csv_bytes};
use super::model::{Report, Second};

/// Makes `timeseries.csv`.
#[derive(Clone, Copy, Debug)]
pub struct TimeseriesCsv;

type Column = (&'static str, fn(&Second) -> String);

const FIXED: [Column; 14] = [
    ("t_s", |row| row.t_s.to_string()),
    ("phase", |row| row.phase.clone()),
    ("users_live", |row| row.users_live.to_string()),
    ("requests", |row| row.requests.to_string()),
    ("errors", |row| row.errors.to_string()),
    ("response_time_us_p50", |row| {
        measured(row.response_time_us_p50)
    }),
    ("response_time_us_p95", |row| {
        measured(row.response_time_us_p95)
    }),
    ("response_time_us_p99", |row| {
        measured(row.response_time_us_p99)
    }),
    ("service_time_us_mean", |row| {
        measured(row.service_time_us_mean)
    }),
    ("origin_queries", |row| row.origin_queries.to_string()),
    ("origin_connections", |row| {
        row.origin_connections.to_string()
    }),
    ("redis_used_memory_bytes", |row| {
        count(row.redis_used_memory_bytes)
    }),
    ("redis_keys", |row| count(row.redis_keys)),
    ("redis_evictions", |row| count(row.redis_evictions)),
];

const ANSWERS: [&str; 4] = ["local", "remote", "origin", "error"];

impl Exporter for TimeseriesCsv {
    fn file_name(&self) -> &'static str {
        "timeseries.csv"
    }

    fn export(&self, report: &Report) -> Result<Vec<u8>, ExportError> {
        let answers = answer_columns(report);
        let mut rows = csv::Writer::from_writer(Vec::new());
        let flat = answers
            .iter()
            .map(|(data_type, answer)| format!("{data_type}_{answer}"));
        rows.write_record(FIXED.iter().map(|(name, _)| (*name).to_owned()).chain(flat))?;
        for second in &report.timeseries {
            let fixed = FIXED.iter().map(|(_, value)| value(second));
            let flat = answers.iter().map(|(data_type, answer)| {
                let count = second
                    .answers
                    .get(*data_type)
                    .and_then(|by| by.get(*answer));
                count.copied().unwrap_or_default().to_string()
            });
            rows.write_record(fixed.chain(flat))?;
        }
        csv_bytes(rows)
    }
}

/// Data type and answer of each column after the fixed ones.
fn answer_columns(report: &Report) -> Vec<(&str, &str)> {
    let mut others: BTreeMap<&str, BTreeSet<&str>> = report
        .data_types
        .keys()
        .map(|name| (name.as_str(), BTreeSet::new()))
        .collect();
    for (data_type, answers) in report.timeseries.iter().flat_map(|second| &second.answers) {
        let unusual = answers
            .keys()
            .map(String::as_str)
            .filter(|name| !ANSWERS.contains(name));
        others.entry(data_type).or_default().extend(unusual);
    }
    let usual = others
        .keys()
        .flat_map(|name| ANSWERS.map(|answer| (*name, answer)));
    let unusual = others
        .iter()
        .flat_map(|(name, by)| by.iter().map(|answer| (*name, *answer)));
    usual.chain(unusual).collect()
}

fn measured(value: Option<f64>) -> String {
    value
        .filter(|value| value.is_finite())
        .map_or_else(String::new, |value| value.to_string())
}

fn count(value: Option<u64>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::{bare_report, sample_report};

    type Row = BTreeMap<String, String>;

    fn parsed(report: &Report) -> (Vec<String>, Vec<Row>) {
        let bytes = TimeseriesCsv.export(report).expect("rows");
        let mut reader = csv::Reader::from_reader(bytes.as_slice());
        let header = reader
            .headers()
            .expect("a header")
            .iter()
            .map(str::to_owned)
            .collect();
        (
            header,
            reader
                .deserialize()
                .collect::<Result<_, _>>()
                .expect("rows"),
        )
    }

    #[test]
    fn every_second_reads_back_with_all_its_answers() {
        let report = sample_report();
        let (_, rows) = parsed(&report);
        assert_eq!(rows.len(), report.timeseries.len());
        for (row, second) in rows.iter().zip(&report.timeseries) {
            let number = |name: &str| row[name].parse::<u64>().expect(name);
            assert_eq!(number("t_s"), u64::from(second.t_s));
            assert_eq!(row["phase"], second.phase);
            assert_eq!(number("requests"), second.requests);
            assert_eq!(
                row["response_time_us_p95"].parse().ok(),
                second.response_time_us_p95
            );
            assert_eq!(
                number("customer_origin"),
                second.answers["customer"]["origin"]
            );
            assert_eq!(number("activity_local"), 0);
        }
    }

    #[test]
    fn the_header_does_not_depend_on_what_happened() {
        let report = sample_report();
        let mut quiet = sample_report();
        quiet.timeseries.truncate(1);
        for second in &mut quiet.timeseries {
            second.answers.clear();
        }
        assert_eq!(parsed(&report).0, parsed(&quiet).0);
        let (header, rows) = parsed(&bare_report());
        assert_eq!(rows.len(), 0);
        insta::assert_snapshot!(header.join("\n"), @"
        t_s
        phase
        users_live
        requests
        errors
        response_time_us_p50
        response_time_us_p95
        response_time_us_p99
        service_time_us_mean
        origin_queries
        origin_connections
        redis_used_memory_bytes
        redis_keys
        redis_evictions
        rate_limit_local
        rate_limit_remote
        rate_limit_origin
        rate_limit_error
        ");
    }

    #[test]
    fn what_was_not_measured_is_empty_and_a_new_layer_gets_its_column() {
        let mut report = sample_report();
        report.timeseries[0].redis_keys = None;
        report.timeseries[0].response_time_us_p99 = None;
        let product = report.timeseries[0]
            .answers
            .entry("product".to_owned())
            .or_default();
        product.insert("edge".to_owned(), 5);
        let (header, rows) = parsed(&report);
        assert_eq!(rows[0]["redis_keys"], "");
        assert_eq!(rows[0]["response_time_us_p99"], "");
        assert_eq!(header.last().map(String::as_str), Some("product_edge"));
        assert_eq!(
            (
                rows[0]["product_edge"].as_str(),
                rows[1]["product_edge"].as_str()
            ),
            ("5", "0")
        );
    }
}
