//! The run by time, as charts need it: buckets, marks, and which seconds are judged.
//!
//! Pure. Lines show the worst row of a bucket, stacks its mean; see [`super::chart::reduce`]. A row is
//! a second, or more in a long run ([`super::step`]).

use super::chart::frame::{PhaseMark, TimeAxis};
use super::chart::reduce::{Keep, bucket_width, reduce};
use super::figures::{Key, KeyKind};
use super::step::Step;
use super::words;
use crate::measure::PhaseKind;
use crate::report::model::{Phase, Report, Second};

/// The most points that a full chart and a small one draw.
const BUCKETS_MAX: u64 = 180;
const BUCKETS_SMALL_MAX: u64 = 60;
/// The most faults, jobs and alerts, each, that are marked on a chart; tables have all.
const MARKS_MAX: usize = 9;

/// The run by time.
#[derive(Debug)]
pub(crate) struct Timeline<'r> {
    /// The axis of full charts.
    pub axis: TimeAxis,
    /// The axis of small charts.
    pub axis_small: TimeAxis,
    /// How wide rows are, and what they are called.
    pub step: Step,
    seconds: &'r [Second],
    phases: &'r [Phase],
    keys: Vec<Key>,
}

impl<'r> Timeline<'r> {
    /// The timeline of `report`; `None` if no second was recorded.
    pub(crate) fn of(report: &'r Report) -> Option<Self> {
        let last = report.timeseries.iter().max_by_key(|row| row.t_s)?;
        let (last_s, step) = (u64::from(last.t_s), Step::of(report));
        let width_s = u64::from(step.width_s());
        let rows = last_s / width_s + 1;
        let phases_end_s = report.phases.iter().map(|p| p.start_s + p.duration_s);
        let end_s = phases_end_s
            .filter(|end| end.is_finite())
            .fold(last_s as f64 + step.seconds_of(last), f64::max);
        let axis = |buckets_max| {
            let bucket_rows = bucket_width(rows, buckets_max);
            TimeAxis {
                end_s,
                bucket_s: bucket_rows * width_s,
                buckets: rows.div_ceil(bucket_rows) as usize,
                phases: report.phases.iter().map(phase_mark).collect(),
                faults_s: report
                    .faults
                    .iter()
                    .take(MARKS_MAX)
                    .map(|f| f.at_s)
                    .collect(),
                jobs_s: report.jobs.iter().take(MARKS_MAX).map(|j| j.at_s).collect(),
                alerts_s: Vec::new(),
                losses_s: Vec::new(),
            }
        };
        let alerts = report.alerts.iter().take(MARKS_MAX);
        Some(Self {
            axis: TimeAxis {
                alerts_s: alerts
                    .map(|a| (a.start_s, a.end_s.unwrap_or(end_s)))
                    .collect(),
                ..axis(BUCKETS_MAX)
            },
            axis_small: axis(BUCKETS_SMALL_MAX),
            step,
            seconds: &report.timeseries,
            phases: &report.phases,
            keys: keys(report),
        })
    }

    /// The largest value of each bucket.
    pub(crate) fn largest(&self, value: impl Fn(&Second) -> Option<f64>) -> Vec<Option<f64>> {
        self.reduced(&self.axis, Keep::Largest, value)
    }

    /// The smallest value of each bucket.
    pub(crate) fn smallest(&self, value: impl Fn(&Second) -> Option<f64>) -> Vec<Option<f64>> {
        self.reduced(&self.axis, Keep::Smallest, value)
    }

    /// The mean of each bucket, nothing counting as zero, for the axis given.
    pub(crate) fn mean(&self, axis: &TimeAxis, value: impl Fn(&Second) -> f64) -> Vec<f64> {
        let means = self.reduced(axis, Keep::Mean, |second| Some(value(second)));
        means.into_iter().map(|mean| mean.unwrap_or(0.0)).collect()
    }

    fn reduced(
        &self,
        axis: &TimeAxis,
        keep: Keep,
        value: impl Fn(&Second) -> Option<f64>,
    ) -> Vec<Option<f64>> {
        let values = self.seconds.iter().map(|s| (u64::from(s.t_s), value(s)));
        reduce(values, axis.buckets, axis.bucket_s, keep)
    }

    /// The rows that gates judge.
    pub(crate) fn judged(&self) -> impl Iterator<Item = &'r Second> {
        let phases = self.phases;
        self.seconds.iter().filter(move |second| {
            let phase = phases.iter().find(|phase| phase.name == second.phase);
            phase.is_some_and(|phase| phase.kind == PhaseKind::Measure)
        })
    }

    /// What the marks of full charts mean.
    pub(crate) fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// `count` of `row` as a rate per second.
    pub(crate) fn per_s(&self, row: &Second, count: u64) -> f64 {
        self.step.per_s(row, count)
    }

    /// What one point of a line stands for, where it is more than one row.
    pub(crate) fn point_note(&self, kept: &str) -> Option<String> {
        let wide_s = self.axis.bucket_s;
        (wide_s > u64::from(self.step.width_s())).then(|| {
            let (span, row) = (words::seconds(wide_s as f64), self.step.one());
            format!("Each point is the {kept} of {span}; timeseries.csv has every {row}.")
        })
    }
}

fn phase_mark(phase: &Phase) -> PhaseMark {
    PhaseMark {
        name: phase.name.clone(),
        start_s: phase.start_s,
        end_s: phase.start_s + phase.duration_s,
        warm_up: phase.kind == PhaseKind::WarmUp,
    }
}

fn keys(report: &Report) -> Vec<Key> {
    let mut keys = Vec::new();
    if let Some(phase) = report.phases.iter().find(|p| p.kind == PhaseKind::WarmUp) {
        let text = format!("{}, not judged", phase.name);
        keys.push(Key::new(KeyKind::WarmUp, text));
    }
    for (at, fault) in (1..).zip(report.faults.iter().take(MARKS_MAX)) {
        let text = format!("F{at} {}, at {}", fault.name, words::seconds(fault.at_s));
        keys.push(Key::new(KeyKind::Fault, text));
    }
    for (at, job) in (1..).zip(report.jobs.iter().take(MARKS_MAX)) {
        let text = format!("J{at} {}, at {}", job.name, words::seconds(job.at_s));
        keys.push(Key::new(KeyKind::Job, text));
    }
    for (at, alert) in (1..).zip(report.alerts.iter().take(MARKS_MAX)) {
        let from = words::seconds(alert.start_s);
        let text = match alert.end_s {
            Some(end_s) => format!(
                "A{at} alert {}, {from} to {}",
                alert.name,
                words::seconds(end_s)
            ),
            None => format!("A{at} alert {}, from {from} on", alert.name),
        };
        keys.push(Key::new(KeyKind::Alert, text));
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::{bare_report, day_report, operated_report, sample_report};

    #[test]
    fn a_long_run_is_drawn_with_few_points_and_keeps_its_worst_second() {
        let mut report = sample_report();
        report.timeseries = (0..20_000)
            .map(|t_s| Second {
                t_s,
                response_time_us_p95: Some(if t_s == 7_777 { 9e6 } else { 1e3 }),
                ..Second::default()
            })
            .collect();
        let timeline = Timeline::of(&report).expect("seconds");
        let p95 = timeline.largest(|second| second.response_time_us_p95);
        assert!(
            p95.len() as u64 <= BUCKETS_MAX
                && timeline.axis_small.buckets as u64 <= BUCKETS_SMALL_MAX
        );
        assert_eq!(p95.iter().flatten().copied().reduce(f64::max), Some(9e6));
        assert!(
            timeline
                .point_note("worst")
                .expect("a note")
                .contains("the worst of")
        );
    }

    #[test]
    fn wide_rows_are_drawn_as_wide_as_they_are() {
        let report = day_report();
        let timeline = Timeline::of(&report).expect("rows");
        let axis = &timeline.axis;
        // 1,440 minutes in 180 buckets at the most.
        assert_eq!((axis.bucket_s, axis.buckets), (480, 180));
        assert!((axis.end_s - 86_400.0).abs() < 1e-9);
        let rates = timeline.mean(axis, |row| timeline.per_s(row, row.requests));
        let mean = rates.iter().sum::<f64>() / rates.len() as f64;
        let all: u64 = report.timeseries.iter().map(|row| row.requests).sum();
        assert!((mean * 86_400.0 - all as f64).abs() < all as f64 * 1e-6);
        insta::assert_snapshot!(timeline.point_note("worst minute").expect("a note"), @"Each point is the worst minute of 8 min; timeseries.csv has every minute.");
    }

    #[test]
    fn only_phases_that_measure_are_judged() {
        let report = sample_report();
        let timeline = Timeline::of(&report).expect("seconds");
        let judged: u64 = timeline.judged().map(|second| second.requests).sum();
        assert_eq!(judged, report.requests.total);
        assert!(Timeline::of(&bare_report()).is_none());
    }

    #[test]
    fn jobs_are_marked_and_named() {
        let report = operated_report();
        let timeline = Timeline::of(&report).expect("seconds");
        assert_eq!(timeline.axis.jobs_s, [20.0, 40.0, 60.0]);
        let jobs = timeline
            .keys()
            .iter()
            .filter(|key| key.kind == KeyKind::Job);
        let jobs: Vec<&str> = jobs.map(|key| key.text.as_str()).collect();
        insta::assert_snapshot!(jobs.join("; "), @"J1 new catalogue, at 20 s; J2 new prices, at 40 s; J3 release, at 60 s");
    }
}
