//! Watches the generator itself while it drives: which of its threads is how busy, how late its event
//! loops are, and how many file descriptors are open.
//!
//! Fed by the monitor with the looks of the judged time, one a second. Judges nothing: that is
//! `measure::validity`. In virtual time there is nothing to watch.

use std::collections::BTreeMap;
use std::time::Duration;

use super::monitor::Reading;
use crate::clock::Timestamp;
use crate::measure::Summary;
use crate::measure::cpu::{ThreadId, ThreadTimes};
use crate::measure::descriptors::{DescriptorLimit, in_time_wait, open_descriptors};
use crate::measure::loop_delay::LoopDelay;

/// The names of the generator's threads begin with this.
pub(super) const THREADS: &str = "generator";

/// Over a shorter time than this the kernel's steps of 10 ms say nothing of a second.
const WORST_OVER_MIN: Duration = Duration::from_millis(500);

/// Watches the generator.
#[derive(Debug)]
pub(super) struct GeneratorWatch {
    is_virtual: bool,
    loop_delay: LoopDelay,
    last: Option<(Timestamp, ThreadTimes)>,
    seen: GeneratorSeen,
}

/// What was seen of the generator in the judged time.
#[derive(Clone, Debug, Default)]
pub(super) struct GeneratorSeen {
    threads: BTreeMap<ThreadId, ThreadSeen>,
    /// How long its threads were watched.
    watched: Duration,
    /// The delays of its event loops, in microseconds; of no tick if nobody probed.
    pub(super) loop_delay_us: Summary,
    /// The most file descriptors of this process; `None` if unknown.
    pub(super) descriptors_max: Option<u64>,
    /// The most connections of the system that were over but kept their ports.
    pub(super) time_wait_max: Option<u64>,
}

/// What was seen of one thread.
#[derive(Clone, Debug)]
struct ThreadSeen {
    name: String,
    used: Duration,
    /// Its share of a core in its worst second, and when that began.
    worst: (f64, Timestamp),
}

/// One thread of the generator.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ThreadShare {
    pub(super) name: String,
    /// Its share of a core over the judged time.
    pub(super) share: f64,
    /// The same in its worst second.
    pub(super) share_worst: f64,
    /// When that began.
    pub(super) worst_at: Timestamp,
}

impl GeneratorWatch {
    pub(super) fn new(is_virtual: bool) -> Self {
        Self {
            is_virtual,
            loop_delay: LoopDelay::default(),
            last: None,
            seen: GeneratorSeen::default(),
        }
    }

    /// Where the delays of the generator's event loops are counted.
    pub(super) fn loop_delay(&self) -> LoopDelay {
        self.loop_delay.clone()
    }

    /// The judged time begins with this look.
    pub(super) fn begin(&mut self, reading: &Reading) {
        self.loop_delay.restart();
        self.seen = GeneratorSeen::default();
        self.last = None;
        self.take(reading);
    }

    /// Takes a look of the judged time in.
    pub(super) fn take(&mut self, reading: &Reading) {
        if self.is_virtual {
            return;
        }
        if let Some(threads) = &reading.threads {
            self.take_threads(reading.at, threads);
        }
        self.seen.descriptors_max = self.seen.descriptors_max.max(open_descriptors());
        self.seen.time_wait_max = self.seen.time_wait_max.max(in_time_wait());
    }

    fn take_threads(&mut self, at: Timestamp, threads: &ThreadTimes) {
        let Some((since, before)) = self.last.replace((at, threads.clone())) else {
            return;
        };
        let elapsed = at.since(since);
        self.seen.watched += elapsed;
        for (id, name, used) in threads.since(&before).each(THREADS) {
            let thread = self.seen.threads.entry(id).or_insert_with(|| ThreadSeen {
                name: name.to_owned(),
                used: Duration::ZERO,
                worst: (0.0, since),
            });
            thread.used += used;
            if elapsed >= WORST_OVER_MIN {
                let share = used.as_secs_f64() / elapsed.as_secs_f64();
                if share > thread.worst.0 {
                    thread.worst = (share, since);
                }
            }
        }
    }

    /// The judged time ends: what was seen in it.
    pub(super) fn end(&mut self) -> GeneratorSeen {
        let mut seen = std::mem::take(&mut self.seen);
        seen.loop_delay_us = self.loop_delay.summary_us();
        seen
    }
}

impl GeneratorSeen {
    /// The generator's threads, the busiest first. Those of one name are numbered.
    pub(super) fn threads(&self) -> Vec<ThreadShare> {
        let watched = self.watched.as_secs_f64();
        if watched <= 0.0 {
            return Vec::new();
        }
        let mut names: BTreeMap<&str, u32> = BTreeMap::new();
        for thread in self.threads.values() {
            *names.entry(&thread.name).or_default() += 1;
        }
        let mut number: BTreeMap<&str, u32> = BTreeMap::new();
        let mut threads: Vec<ThreadShare> = Vec::new();
        for thread in self.threads.values() {
            let at = number.entry(&thread.name).or_default();
            *at += 1;
            threads.push(ThreadShare {
                name: match names[&*thread.name] {
                    1 => thread.name.clone(),
                    _ => format!("{} #{at}", thread.name),
                },
                share: thread.used.as_secs_f64() / watched,
                share_worst: thread.worst.0,
                worst_at: thread.worst.1,
            });
        }
        threads.sort_by(|a, b| b.share.total_cmp(&a.share));
        threads
    }
}

/// The limit on file descriptors that holds now.
pub(super) fn descriptors_limit() -> Option<u64> {
    DescriptorLimit::read().soft
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_unix_nanos(1_000_000_000_000);

    fn times(ticks: [u64; 3]) -> ThreadTimes {
        let line = |id: u64, name: &str, ticks: u64| {
            format!("{id} ({name}) S 1 9 9 0 -1 0 0 0 0 0 {ticks} 0 0 0 20 0 4 0 5 0 0 0")
        };
        let [one, other, instance] = ticks;
        ThreadTimes::of_lines(&[
            line(7, "generator", one),
            line(8, "generator", other),
            line(9, "instance-0", instance),
        ])
    }

    #[test]
    fn each_thread_is_told_with_its_worst_second() {
        let mut watch = GeneratorWatch::new(false);
        let looks = [
            (0, [100, 100, 0]),
            (1_000, [110, 150, 90]),
            (2_000, [120, 250, 190]),
            // The border comes soon after a look, and a step of the kernel would be a whole core.
            (2_010, [120, 251, 190]),
        ];
        for (ms, ticks) in looks {
            watch.take_threads(START + Duration::from_millis(ms), &times(ticks));
        }
        let threads = watch.end().threads();
        let told: Vec<(&str, String, f64, u64)> = threads
            .iter()
            .map(|thread| {
                let worst_at_ms = thread.worst_at.since(START).as_millis() as u64;
                let share = format!("{:.2}", thread.share);
                (&*thread.name, share, thread.share_worst, worst_at_ms)
            })
            .collect();
        assert_eq!(
            told,
            [
                ("generator #2", "0.75".to_owned(), 1.0, 1_000),
                ("generator #1", "0.10".to_owned(), 0.1, 0),
            ]
        );
        assert!(watch.end().threads().is_empty(), "nothing was seen since");
    }
}
