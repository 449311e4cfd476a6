//! `operations.csv`: how every operation of every data type ended, one row per outcome that was
//! seen.
//!
//! For spreadsheets and scripts; the header is fixed.

use super::export::{ExportError, Exporter, csv_bytes};
use super::model::Report;
use crate::units::Ratio;

/// Makes `operations.csv`.
#[derive(Clone, Copy, Debug)]
pub struct OperationsCsv;

const HEADER: [&str; 6] = [
    "data_type",
    "operation",
    "outcome",
    "requests",
    "ratio_of_operation",
    "ratio_of_data_type",
];

impl Exporter for OperationsCsv {
    fn file_name(&self) -> &'static str {
        "operations.csv"
    }

    fn export(&self, report: &Report) -> Result<Vec<u8>, ExportError> {
        let mut rows = csv::Writer::from_writer(Vec::new());
        rows.write_record(HEADER)?;
        for (data_type, result) in &report.data_types {
            for (operation, outcomes) in &result.outcomes {
                let of_operation: u64 = outcomes.values().sum();
                for (outcome, requests) in outcomes {
                    rows.write_record([
                        data_type.as_str(),
                        operation,
                        outcome,
                        &requests.to_string(),
                        &ratio(*requests, of_operation),
                        &ratio(*requests, result.requests),
                    ])?;
                }
            }
        }
        csv_bytes(rows)
    }
}

/// From 0 to 1; empty for a part of nothing.
fn ratio(part: u64, whole: u64) -> String {
    Ratio::of(part, whole).map_or_else(String::new, |ratio| ratio.0.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::sample_report;

    type Row = (String, String, String, u64, f64, f64);

    #[test]
    fn rows_read_back_and_add_up() {
        let report = sample_report();
        let bytes = OperationsCsv.export(&report).expect("rows");
        let mut reader = csv::Reader::from_reader(bytes.as_slice());
        assert_eq!(reader.headers().expect("a header"), HEADER.as_slice());
        let rows: Vec<Row> = reader
            .deserialize()
            .collect::<Result<_, _>>()
            .expect("rows");
        assert_eq!(
            rows.iter().map(|row| row.3).sum::<u64>(),
            report.requests.total
        );
        for (data_type, operation, outcome, requests, ..) in &rows {
            assert_eq!(
                report.data_types[data_type].outcomes[operation][outcome],
                *requests
            );
        }
        let quote = rows.iter().filter(|row| row.0 == "quote");
        let (of_operation, of_data_type) =
            quote.fold((0.0, 0.0), |(a, b), row| (a + row.4, b + row.5));
        assert!((of_operation - 1.0_f64).abs() < 1e-9 && (of_data_type - 1.0_f64).abs() < 1e-9);
    }

    #[test]
    fn names_with_commas_and_quotes_survive() {
        let mut report = sample_report();
        let row = report.data_types.remove("quote").expect("a data type");
        report
            .data_types
            .insert("a \"quote\", really".to_owned(), row);
        let bytes = OperationsCsv.export(&report).expect("rows");
        let found = csv::Reader::from_reader(bytes.as_slice())
            .records()
            .filter(|row| {
                row.as_ref()
                    .is_ok_and(|row| &row[0] == "a \"quote\", really")
            })
            .count();
        assert!(found > 0);
    }
}
