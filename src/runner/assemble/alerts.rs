//! What became of the alerts, in the words of the report.

use crate::clock::Timestamp;
use crate::report::model::{Alert, WatchedAlert};
use crate::runner::pass::PassResult;

/// Every firing, in the order in which they began.
pub(super) fn fired(pass: &PassResult) -> Vec<Alert> {
    let start = pass.measurements.schedule().start();
    let seconds = |moment: Timestamp| moment.since(start).as_secs_f64();
    let mut fired: Vec<Alert> = Vec::new();
    for (alert, watch) in &pass.observed.alerts {
        fired.extend(watch.episodes().map(|episode| Alert {
            name: alert.name.clone(),
            start_s: tenths(seconds(episode.began)),
            end_s: episode.ended.map(seconds).map(tenths),
            fired_s: Some(tenths(seconds(episode.fired))),
            source: alert.source.clone(),
            check: alert.check.text.clone(),
            worst: alert.check.format_value(episode.worst),
            worst_value: Some(episode.worst),
            unit: alert.check.unit().name().to_owned(),
        }));
    }
    fired.sort_by(|a, b| a.start_s.total_cmp(&b.start_s));
    fired
}

/// Looks are a tenth of a second exact.
fn tenths(seconds: f64) -> f64 {
    (seconds * 10.0).floor() / 10.0
}

/// Every alert, fired or not, in the order of the scenario.
pub(super) fn watched(pass: &PassResult) -> Vec<WatchedAlert> {
    let watched = pass.observed.alerts.iter();
    watched
        .map(|(alert, watch)| WatchedAlert {
            name: alert.name.clone(),
            source: alert.source.clone(),
            check: alert.check.text.clone(),
            for_s: alert.hold.as_secs_f64(),
            window_s: alert.window.as_secs_f64(),
            fired: watch.fired(),
            looks: watch.looks(),
            blind_looks: watch.blind_looks(),
        })
        .collect()
}
