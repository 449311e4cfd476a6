//! Gates that every window of a length must hold: what windows showed, and the worst of them.
//!
//! A window is one look of an alert that fires where the gate is lost: the same metrics, the same rules
//! of evidence, the same [`Watch`]. Here is only what a gate asks beside that: how many windows held,
//! and which was worst, also if all held. Pure: the runner looks, and tells what it saw.

use std::ops::Range;
use std::time::Duration;

use super::Gate;
use super::alert::{Alert, Episode, Watch, Who, seen_in_window, worse};
use super::grammar::{Check, CheckError};
use super::judge::{Observation, has_evidence};
use crate::clock::Timestamp;

/// Whether windows show what `check` is about.
///
/// # Errors
/// If they do not, with what they show.
pub fn check_window(check: &Check) -> Result<(), CheckError> {
    seen_in_window(check, Who::Gate)
}

/// A window, by the seconds of the run from its begin to its end.
pub type Seconds = Range<u32>;

/// What windows showed of a gate.
#[derive(Clone, Debug, PartialEq)]
pub struct Windows {
    /// Fires where the gate is lost.
    alert: Alert,
    watch: Watch,
    lost: u64,
    worst: Option<Worst>,
}

/// The window that was worst for a gate; of equals the first.
#[derive(Clone, Debug, PartialEq)]
pub struct Worst {
    /// From when to when.
    pub seconds: Seconds,
    /// What it showed; it has a value.
    pub seen: Observation,
}

impl Windows {
    /// No window of `gate` yet; `None` if the gate has none.
    pub fn of(gate: &Gate) -> Option<Self> {
        let mut check = gate.check.clone();
        check.comparison = check.comparison.negated();
        let alert = Alert {
            name: gate.name.clone(),
            source: gate.source.clone(),
            check,
            hold: Duration::ZERO,
            window: gate.window?,
        };
        Some(Self {
            alert,
            watch: Watch::default(),
            lost: 0,
            worst: None,
        })
    }

    /// Takes the window of these `seconds` in, in which `seen` was seen; windows come in the order of
    /// time, each a second later than the one before.
    pub fn look(&mut self, seconds: Seconds, seen: Observation) {
        self.watch.look(&self.alert, second(seconds.end), seen);
        let check = &self.alert.check;
        let Some(value) = seen.value.filter(|_| has_evidence(check, seen)) else {
            return;
        };
        self.lost += u64::from(check.holds(value));
        let known = self.worst.as_ref().and_then(|worst| worst.seen.value);
        let is_worst = known.is_none_or(|known| match (check.holds(known), check.holds(value)) {
            (false, true) => true,
            (true, false) => false,
            // Bit for bit: it is one of the two.
            _ => worse(check, known, value).to_bits() != known.to_bits(),
        });
        if is_worst {
            self.worst = Some(Worst { seconds, seen });
        }
    }

    /// How long a window is.
    pub fn length(&self) -> Duration {
        self.alert.window
    }

    /// How many windows there were.
    pub fn seen(&self) -> u64 {
        self.watch.looks()
    }

    /// In how many the gate was lost.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// In how many there was too little to see.
    pub fn blind(&self) -> u64 {
        self.watch.blind_looks()
    }

    /// The worst; `None` if no window had evidence.
    pub fn worst(&self) -> Option<&Worst> {
        self.worst.as_ref()
    }

    /// Whether the gate was lost in the last window.
    pub fn is_lost_now(&self) -> bool {
        self.watch.is_firing()
    }

    /// Where it was lost: from the begin of the first lost window to the end of the last one, as far as
    /// windows that were lost one after another reach; the first [`super::alert::EPISODES_MAX`].
    pub fn losses(&self) -> impl Iterator<Item = Seconds> {
        let length = self.alert.window.as_secs() as u32;
        self.watch.episodes().map(move |episode: Episode| {
            let from = seconds_of(episode.began).saturating_sub(length);
            let last = episode.ended.map(|ended| seconds_of(ended) - 1);
            from..last.unwrap_or(u32::MAX)
        })
    }
}

/// A second of the run, as the watch wants it.
fn second(second: u32) -> Timestamp {
    Timestamp::from_unix_nanos(u64::from(second) * 1_000_000_000)
}

fn seconds_of(moment: Timestamp) -> u32 {
    moment.as_unix_secs() as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn gate(text: &str, window_s: u64) -> Gate {
        Gate {
            window: Some(Duration::from_secs(window_s)),
            ..Gate::plain(text.parse().expect(text))
        }
    }

    /// A window a second, the first of them the first that fits.
    fn shown(text: &str, length_s: u32, values: &[Option<f64>]) -> Windows {
        let mut windows = Windows::of(&gate(text, length_s.into())).expect("it has windows");
        for (from, value) in (0..).zip(values) {
            let (value, samples) = (*value, u64::from(value.is_some()) * 1_000);
            windows.look(from..from + length_s, Observation { value, samples });
        }
        windows
    }

    #[test]
    fn the_worst_window_is_told_whether_it_was_lost_or_not() {
        let values = [2e5, 9e5, 9e5, 1e5].map(Some);
        let held = shown("p95(response_time) < 1s", 5, &values);
        assert_eq!((held.seen(), held.lost(), held.blind()), (4, 0, 0));
        let worst = held.worst().expect("evidence");
        assert_eq!((worst.seconds.clone(), worst.seen.value), (1..6, Some(9e5)));
        assert_eq!(held.losses().count(), 0);
        let hits = shown(
            "hit_ratio >= 90%",
            5,
            &[0.95, 0.7, 0.92, 0.8, 0.6].map(Some),
        );
        assert_eq!(hits.lost(), 3);
        assert_eq!(hits.worst().expect("evidence").seconds, 4..9);
        assert!(hits.is_lost_now());
        let losses: Vec<Seconds> = hits.losses().collect();
        assert_eq!(losses, [1..6, 3..u32::MAX]);
    }

    #[test]
    fn windows_of_too_few_samples_say_nothing() {
        let blind = shown("p95(response_time) < 1s", 5, &[None, None]);
        assert_eq!((blind.seen(), blind.lost(), blind.blind()), (2, 0, 2));
        assert_eq!(blind.worst(), None);
        let mut few = shown("p99(response_time) < 1s", 5, &[Some(5e5)]);
        let (value, samples) = (Some(3e6), 99);
        few.look(1..6, Observation { value, samples });
        assert_eq!((few.lost(), few.blind()), (0, 1));
        assert_eq!(few.worst().expect("evidence").seconds, 0..5);
    }

    fn error(text: &str) -> String {
        let error = check_window(&text.parse().expect(text)).expect_err(text);
        format!("{text}\n{:>at$}^ {}", "", error.message, at = error.at)
    }

    #[test]
    fn what_no_window_shows_is_refused() {
        let wrong = [
            "max(staleness) < 1s",
            "p95(response_time){data_type=customer, phase=spike} < 1s",
            "users{} < 9",
        ];
        assert!(check_window(&wrong[2].parse().expect("a check")).is_ok());
        insta::assert_snapshot!([error(wrong[0]), error(wrong[1])].join("\n"), @"
        max(staleness) < 1s
            ^ a window does not show staleness; leave the window out, or judge one of response_time, hit_ratio, error_ratio, memory_usage, rate, origin_queries_per_s, evictions_per_s, requests, errors, users, origin_queries, redis_keys, redis_memory, redis_up, breakers_open, write_behind_waiting
        p95(response_time){data_type=customer, phase=spike} < 1s
                           ^ in a window response_time cannot be narrowed by data_type; there it takes phase
        ");
        let narrowed = "hit_ratio{data_type=customer, phase=spike} > 1%";
        assert!(check_window(&narrowed.parse().expect("a check")).is_ok());
    }

    proptest! {
        /// Against the plainest reading: the gate held against each window by itself.
        #[test]
        fn each_window_counts_by_itself(
            values in prop::collection::vec(prop::option::of(0.0..=1.0f64), 0..60),
        ) {
            let windows = shown("hit_ratio >= 50%", 3, &values);
            let seen: Vec<f64> = values.iter().flatten().copied().collect();
            let lost = seen.iter().filter(|value| **value < 0.5).count();
            prop_assert_eq!(windows.lost(), lost as u64);
            prop_assert_eq!(windows.blind(), (values.len() - seen.len()) as u64);
            let worst = windows.worst().and_then(|worst| worst.seen.value);
            prop_assert_eq!(worst, seen.iter().copied().reduce(f64::min));
            // Every lost window lies in a loss.
            for (from, value) in (0..).zip(&values) {
                let is_lost = value.is_some_and(|value| value < 0.5);
                let inside = |loss: &Seconds| loss.start <= from && from + 3 <= loss.end;
                prop_assert!(!is_lost || windows.losses().any(|loss| inside(&loss)));
            }
        }
    }
}
