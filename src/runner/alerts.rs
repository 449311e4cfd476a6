//! Looks at the alerts of a plan, once a second, and says what became of every alert in the end.
//!
//! Called by the monitor, which reads the environment anyway. The life of an alert is decided in
//! `gates::alert`; what a window shows of a metric is `sight`'s.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::monitor::Reading;
use super::scale::Scale;
use super::sight::{Sight, readings, seconds_of};
use crate::engine::data_type::PolicyTable;
use crate::gates::alert::{Alert, Watch};
use crate::gates::judge::Evidence;
use crate::gates::metric::Metric;
use crate::measure::Schedule;
use crate::measure::recorder::Recorder;
use crate::measure::window::Window;

/// The alerts of a run and what became of them.
pub(super) struct Alarms {
    alerts: Vec<(Alert, Watch)>,
    policies: Arc<PolicyTable>,
    recorder: Arc<Recorder>,
    schedule: Arc<Schedule>,
    /// Whether there should be a Redis, or a memcached in its place.
    has_store: bool,
    /// Of a sample: how it becomes the whole that is watched.
    scale: Scale,
}

/// What became of the alerts of a run.
pub(super) type Alarmed = Vec<(Alert, Watch)>;

impl Alarms {
    pub(super) fn new(
        alerts: &[Alert],
        policies: &Arc<PolicyTable>,
        recorder: &Arc<Recorder>,
        schedule: &Arc<Schedule>,
        (has_store, scale): (bool, Scale),
    ) -> Self {
        let quiet = |alert: &Alert| (alert.clone(), Watch::default());
        Self {
            alerts: alerts.iter().map(quiet).collect(),
            policies: Arc::clone(policies),
            recorder: Arc::clone(recorder),
            schedule: Arc::clone(schedule),
            has_store,
            scale,
        }
    }

    /// Whether there is anything to look for.
    pub(super) fn any(&self) -> bool {
        !self.alerts.is_empty()
    }

    /// Looks: `first` was read before the first request, `seconds` since then, from the begin of the
    /// longest window on at least; the last of them is now.
    pub(super) fn look(&mut self, first: &Reading, seconds: &[Reading]) {
        let Some(now) = seconds.last() else { return };
        let mut windows: BTreeMap<(Duration, bool), Window> = BTreeMap::new();
        for (alert, watch) in &mut self.alerts {
            let timed = matches!(alert.check.metric, Metric::Distribution(..));
            let window = windows.entry((alert.window, timed)).or_insert_with(|| {
                let seconds = seconds_of(&self.schedule, now.at, alert.window);
                if timed {
                    self.recorder.window(seconds)
                } else {
                    self.recorder.window_of_counts(seconds)
                }
            });
            let sight = Sight {
                readings: readings(first, seconds, alert.window),
                window,
                policies: &self.policies,
                users: self.recorder.live_users(),
                has_store: self.has_store,
            };
            let seen = sight.observe(&alert.check);
            let seen = self.scale.to_whole(alert.check.metric, seen);
            watch.look(alert, now.at, seen);
        }
    }

    /// What became of the alerts so far.
    pub(super) fn so_far(&self) -> &[(Alert, Watch)] {
        &self.alerts
    }

    pub(super) fn finish(self) -> Alarmed {
        self.alerts
    }
}

#[cfg(test)]
mod tests;
