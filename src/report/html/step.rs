//! What a row of the series is called: a second, a minute, a span of 10 s; and rates, which are per
//! second however wide the rows are.
//!
//! Pure. Called by the timeline and the figures.

use super::words;
use crate::report::model::{Report, Second};

/// How wide the rows of a report's series are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    width_s: u32,
    end_s: f64,
}

impl Step {
    /// Of `report`.
    pub(crate) fn of(report: &Report) -> Self {
        Self {
            width_s: report.timeseries_interval_s.max(1),
            end_s: report.duration_s,
        }
    }

    /// How many seconds a row spans.
    pub(crate) fn width_s(self) -> u32 {
        self.width_s
    }

    /// How many seconds `row` spans: the last may be cut short by the run's end.
    pub(crate) fn seconds_of(self, row: &Second) -> f64 {
        let (width_s, left_s) = (f64::from(self.width_s), self.end_s - f64::from(row.t_s));
        if left_s >= 1.0 {
            left_s.min(width_s)
        } else {
            width_s
        }
    }

    /// `count` of `row` as a rate per second.
    pub(crate) fn per_s(self, row: &Second, count: u64) -> f64 {
        count as f64 / self.seconds_of(row)
    }

    /// Its own word, if people have one for it.
    fn word(self) -> Option<&'static str> {
        match self.width_s {
            1 => Some("second"),
            60 => Some("minute"),
            3_600 => Some("hour"),
            86_400 => Some("day"),
            _ => None,
        }
    }

    /// One row as a noun: `second`, `span of 10 s`.
    pub(crate) fn one(self) -> String {
        let width = || format!("span of {}", words::seconds(self.width_s.into()));
        self.word().map_or_else(width, str::to_owned)
    }

    /// `1 judged second`, `1,380 judged minutes`, `12 judged spans of 10 s`.
    pub(crate) fn judged(self, count: u64) -> String {
        let many = match self.word() {
            Some(word) => format!("judged {word}s"),
            None => format!("judged {}", self.one().replacen("span", "spans", 1)),
        };
        words::counted(count, &format!("judged {}", self.one()), &many)
    }

    /// From one row to the next: `second to second`.
    pub(crate) fn to_the_next(self) -> String {
        match self.word() {
            Some(word) => format!("{word} to {word}"),
            None => format!("one {} to the next", self.one()),
        }
    }

    /// What an axis is called that shows `what` of every row: `response time in each second`.
    pub(crate) fn in_each(self, what: &str) -> String {
        format!("{what} in each {}", self.one())
    }

    /// What an axis is called that shows a rate: `requests that ended in each second`, or of rows that
    /// are wider `requests that ended per second, mean of each minute`.
    pub(crate) fn rate_of(self, what: &str) -> String {
        match self.width_s {
            1 => self.in_each(what),
            _ => format!("{what} per second, mean of each {}", self.one()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(width_s: u32) -> Step {
        Step {
            width_s,
            end_s: 86_410.0,
        }
    }

    #[test]
    fn rows_have_names() {
        assert_eq!(
            [1, 60, 300].map(|s| step(s).judged(1_200)),
            [
                "1,200 judged seconds",
                "1,200 judged minutes",
                "1,200 judged spans of 5 min"
            ]
        );
        assert_eq!(
            [1, 10].map(|s| step(s).to_the_next()),
            ["second to second", "one span of 10 s to the next"]
        );
        assert_eq!(
            [1, 60].map(|s| step(s).rate_of("reads that ended")),
            [
                "reads that ended in each second",
                "reads that ended per second, mean of each minute"
            ]
        );
    }

    #[test]
    fn rates_are_per_second_also_of_the_last_row() {
        let row = |t_s| Second {
            t_s,
            ..Second::default()
        };
        let near = |rate: f64, wanted: f64| assert!((rate - wanted).abs() < 1e-9, "{rate}");
        near(step(1).per_s(&row(7), 30), 30.0);
        near(step(1).per_s(&row(86_410), 30), 30.0);
        near(step(60).per_s(&row(60), 30), 0.5);
        near(step(60).per_s(&row(86_400), 30), 3.0);
    }
}
