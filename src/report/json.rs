//! `report.json`: the report itself, for programs, in the order of the model's fields.
//!
//! Never holds a number that JSON does not know: `serde_json` would write `null` for it, and `null`
//! says "not measured".

use super::export::{ExportError, Exporter};
use super::finite;
use super::model::Report;

/// Makes `report.json`.
#[derive(Clone, Copy, Debug)]
pub struct Json;

impl Exporter for Json {
    fn file_name(&self) -> &'static str {
        "report.json"
    }

    fn export(&self, report: &Report) -> Result<Vec<u8>, ExportError> {
        finite::check(report)?;
        let mut bytes = serde_json::to_vec_pretty(report)?;
        bytes.push(b'\n');
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::{bare_report, failed_report, sample_report};

    #[test]
    fn what_is_written_reads_back_the_same() {
        for report in [sample_report(), failed_report(), bare_report()] {
            let bytes = Json.export(&report).expect("a report");
            let again: Report = serde_json::from_slice(&bytes).expect("the same report");
            assert_eq!(again, report);
            assert_eq!(Json.export(&again).expect("a report"), bytes);
        }
    }

    #[test]
    fn keys_stand_in_the_order_of_the_model() {
        let bytes = Json.export(&sample_report()).expect("a report");
        let text = String::from_utf8(bytes).expect("UTF-8");
        let keys: Vec<&str> = text
            .lines()
            .filter(|line| line.starts_with("  \""))
            .filter_map(|line| line.split('"').nth(1))
            .collect();
        insta::assert_snapshot!(keys.join(" "), @"schema_version tool scenario seed driver time started_at event_log duration_s environment target validity sampling requests phases trace data_types user_kinds layers origin stampede warming redis memcached oracles alerts alerts_watched faults jobs baseline improvement gates ended_early verdict knee variants timeseries_interval_s timeseries");
    }

    #[test]
    fn a_number_that_json_does_not_know_is_refused_by_name() {
        let mut report = sample_report();
        let row = report.data_types.get_mut("quote").expect("a data type");
        row.hit_ratio = Some(f64::NAN);
        let error = Json.export(&report).expect_err("NaN").to_string();
        assert!(
            error.starts_with("data_types.quote.hit_ratio is NaN"),
            "{error}"
        );

        let mut report = sample_report();
        report.timeseries[3].response_time_us_p95 = Some(f64::INFINITY);
        let error = Json.export(&report).expect_err("inf").to_string();
        assert!(
            error.starts_with("timeseries.3.response_time_us_p95 is inf"),
            "{error}"
        );
    }
}
