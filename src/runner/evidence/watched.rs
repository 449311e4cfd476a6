//! What the watch saw, as evidence for gates: whether Redis was up, circuits, the queue, alerts.

use super::{NOTHING, RunEvidence, counted};
use crate::clock::Timestamp;
use crate::gates::alert::{Alert, Episode, Watch};
use crate::gates::grammar::Check;
use crate::gates::judge::Observation;
use crate::gates::metric::Scalar;
use crate::measure::PhaseKind;
use crate::measure::query::Query;

impl RunEvidence<'_> {
    pub(super) fn of_watch(&self, scalar: Scalar, (check, query): (&Check, &Query)) -> Observation {
        let Some(judged) = self.looks(query) else {
            return NOTHING;
        };
        let samples = judged.looks;
        match scalar {
            Scalar::RedisUp if !self.has_store => NOTHING,
            Scalar::RedisUp => counted(u64::from(judged.down == 0), samples),
            Scalar::BreakersOpen => counted(judged.breakers_open_max, samples),
            Scalar::WriteBehindWaiting => counted(judged.writes_waiting_max, samples),
            _ => self.alerts_fired(check),
        }
    }

    /// Firings that reached into a judged phase, or into the phase that is named. Rests on the looks
    /// of the alert that saw least.
    fn alerts_fired(&self, check: &Check) -> Observation {
        let named = |alert: &Alert| check.alert().is_none_or(|name| name == alert.name);
        let alerts = self.alerts.iter();
        let watched: Vec<&Watch> = alerts
            .filter(|(alert, _)| named(alert))
            .map(|(_, watch)| watch)
            .collect();
        let phases = self.phases(check);
        let fired: u64 = watched.iter().map(|watch| firings(watch, &phases)).sum();
        let sighted = watched
            .iter()
            .map(|watch| watch.looks() - watch.blind_looks());
        match sighted.min() {
            None => NOTHING,
            Some(least) => counted(fired, least.max(fired.min(1))),
        }
    }

    /// From when to when each phase lasted that the check is about.
    fn phases(&self, check: &Check) -> Vec<(Timestamp, Timestamp)> {
        let schedule = self.measurements.schedule();
        let phases = schedule.iter().map(|(_, phase)| phase);
        let chosen = phases.filter(|phase| match check.phase() {
            Some(name) => phase.name == name,
            None => phase.kind == PhaseKind::Measure,
        });
        chosen.map(|phase| (phase.start, phase.end)).collect()
    }
}

/// How many firings reached into one of `phases`. Those that were not kept came last.
fn firings(watch: &Watch, phases: &[(Timestamp, Timestamp)]) -> u64 {
    let reaches = |episode: &Episode| {
        let until = episode.ended.unwrap_or(Timestamp::NEVER);
        phases
            .iter()
            .any(|(from, to)| episode.fired < *to && until > *from)
    };
    let kept = watch.episodes().count() as u64;
    watch.episodes().filter(reaches).count() as u64 + (watch.fired() - kept)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::gates::alert::{WINDOW_DEFAULT, check};

    #[test]
    fn a_firing_counts_where_it_reaches() {
        let alert = Alert {
            name: "hits".to_owned(),
            source: String::new(),
            check: check("hit_ratio < 80%").expect("a check"),
            hold: Duration::ZERO,
            window: WINDOW_DEFAULT,
        };
        let at = |second: u64| Timestamp::from_unix_nanos(second * 1_000_000_000);
        let mut watch = Watch::default();
        // Fires from 2 s to 5 s, and from 8 s on.
        for second in 0..10 {
            let low = (2..5).contains(&second) || second >= 8;
            let value = Some(if low { 0.5 } else { 0.9 });
            watch.look(&alert, at(second), Observation { value, samples: 1 });
        }
        let in_phase = |from, to| firings(&watch, &[(at(from), at(to))]);
        assert_eq!(in_phase(0, 2), 0);
        assert_eq!(in_phase(0, 3), 1);
        assert_eq!(in_phase(4, 7), 1);
        assert_eq!(in_phase(5, 8), 0);
        assert_eq!(in_phase(0, 20), 2);
        assert_eq!(in_phase(15, 20), 1, "it lasts to the end");
    }
}
