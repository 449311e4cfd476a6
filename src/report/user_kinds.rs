//! What users of each kind met, as a table for the terminal and for Markdown.

use super::model::Report;
use super::table::{Column, Table};
use super::words::{of, rate, ratio};
use crate::units::thousands;

/// One row for each kind; none if there is only one.
pub(super) fn table(report: &Report) -> Table {
    let mut table = Table::new(vec![
        Column::names("kind of users").cut_to(16),
        Column::figures("users"),
        Column::figures("requests"),
        Column::figures("per s").rank(2),
        Column::figures("errors").rank(1),
        Column::figures("hit ratio"),
        Column::figures("mean").rank(3),
        Column::figures("p50").rank(5),
        Column::figures("p95"),
        Column::figures("p99").rank(4),
    ]);
    for kind in &report.user_kinds {
        let times = &kind.response_time_us;
        table.push(
            None,
            vec![
                kind.name.as_str().into(),
                thousands(kind.users.into()).into(),
                thousands(kind.requests).into(),
                rate(kind.rate_per_s).into(),
                thousands(kind.errors).into(),
                ratio(kind.hit_ratio).into(),
                of(times, |times| times.mean).into(),
                of(times, |times| times.p50).into(),
                of(times, |times| times.p95).into(),
                of(times, |times| times.p99).into(),
            ],
        );
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::{kinds_report, sample_report};

    #[test]
    fn each_kind_has_a_row_if_there_are_several() {
        assert!(table(&sample_report()).is_empty());
        let shown = table(&kinds_report()).lines(100, false).join("\n");
        insta::assert_snapshot!(shown, @"
        kind of users  users  requests  per s  errors  hit ratio    mean     p50    p95     p99
        shoppers         800    20,041    334       0      96.1%   13 ms  0.5 ms  61 ms  402 ms
        crawlers         150     9,320    155       0      91.2%   19 ms  0.7 ms  86 ms  563 ms
        office            50       380    6.3       0          –  8.0 ms  0.3 ms  37 ms  241 ms
        ");
        let narrow = table(&kinds_report()).lines(60, false).join("\n");
        insta::assert_snapshot!(narrow, @"
        kind of users users requests per s errors hit ratio   p95
        shoppers        800   20,041   334      0     96.1% 61 ms
        crawlers        150    9,320   155      0     91.2% 86 ms
        office           50      380   6.3      0         – 37 ms
        ");
    }
}
