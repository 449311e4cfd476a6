//! Processor time by named groups of this process' threads.
//!
//! Generator, service instances and database run in one process on threads of their own with
//! names, so that it can be told who used the processor. Linux tells it (`/proc/self/task`, in
//! steps of 10 ms); on other systems it is unknown and said to be.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

/// Linux reports times in hundredths of a second (`USER_HZ`), whatever the kernel's own tick is.
const TICK: Duration = Duration::from_millis(10);

/// Which thread: the kernel gives identifiers again, but not with the same start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ThreadId {
    id: u64,
    started_ticks: u64,
}

/// Processor time of threads, from their start or since an earlier reading.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ThreadTimes {
    threads: BTreeMap<ThreadId, (String, Duration)>,
}

impl ThreadTimes {
    /// The times of this process' threads up to now; `None` where the system does not tell.
    pub fn read() -> Option<Self> {
        let mut threads = BTreeMap::new();
        for entry in fs::read_dir("/proc/self/task").ok()? {
            // A thread may end while it is read.
            let stat = entry.and_then(|entry| fs::read_to_string(entry.path().join("stat")));
            if let Some((id, name, time)) = stat.ok().as_deref().and_then(parse_stat) {
                threads.insert(id, (name.to_owned(), time));
            }
        }
        (!threads.is_empty()).then_some(Self { threads })
    }

    /// What was used since `earlier`. Threads that began in between count in full; those that
    /// ended are no longer told, so what they used is not in it.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let threads = self.threads.iter().map(|(id, (name, time))| {
            let before = earlier
                .threads
                .get(id)
                .map_or(Duration::ZERO, |(_, time)| *time);
            (*id, (name.clone(), time.saturating_sub(before)))
        });
        Self {
            threads: threads.collect(),
        }
    }

    /// The time of all threads whose name begins with `prefix`; the empty prefix means all. The
    /// kernel keeps the first 15 bytes of a name.
    pub fn of(&self, prefix: &str) -> Duration {
        let chosen = self
            .threads
            .values()
            .filter(|(name, _)| name.starts_with(prefix));
        chosen.map(|(_, time)| *time).sum()
    }

    /// Each thread whose name begins with `prefix`, with its name and its time.
    pub fn each(&self, prefix: &str) -> impl Iterator<Item = (ThreadId, &str, Duration)> {
        let threads = self.threads.iter();
        threads
            .filter(move |(_, (name, _))| name.starts_with(prefix))
            .map(|(id, (name, time))| (*id, &**name, *time))
    }

    /// [`Self::of`] as a share of one core over `elapsed`: 1.5 is one and a half cores. `None`
    /// over no time.
    pub fn cores_of(&self, prefix: &str, elapsed: Duration) -> Option<f64> {
        (!elapsed.is_zero()).then(|| self.of(prefix).as_secs_f64() / elapsed.as_secs_f64())
    }
}

#[cfg(test)]
impl ThreadTimes {
    /// Those of these lines of the kernel.
    pub(crate) fn of_lines(lines: &[String]) -> Self {
        let threads = lines.iter().filter_map(|line| parse_stat(line));
        Self {
            threads: threads
                .map(|(id, name, time)| (id, (name.to_owned(), time)))
                .collect(),
        }
    }
}

/// Reads one `/proc/self/task/*/stat` (proc(5)): identifier, name in brackets, and from the third
/// field on numbers, of which the 14th and 15th are the time used and the 22nd the start.
fn parse_stat(stat: &str) -> Option<(ThreadId, &str, Duration)> {
    // The name may hold spaces and brackets itself: its end is the last one.
    let (id, rest) = stat.split_once(" (")?;
    let (name, rest) = rest.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    let ticks = field(14)?.checked_add(field(15)?)?;
    let id = ThreadId {
        id: id.parse().ok()?,
        started_ticks: field(22)?,
    };
    Some((id, name, TICK.checked_mul(u32::try_from(ticks).ok()?)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line(id: u64, name: &str, user: u64, system: u64, started: u64) -> String {
        format!(
            "{id} ({name}) S 1 9 9 0 -1 4194304 81 0 0 0 {user} {system} 0 0 20 0 4 0 {started} \
             237568 210 18446744073709551615 1 1 0 0 0"
        )
    }

    fn times(lines: &[String]) -> ThreadTimes {
        ThreadTimes::of_lines(lines)
    }

    #[test]
    fn a_line_of_the_kernel_is_read() {
        let stat = line(17, "odd) (name", 250, 50, 777);
        let (id, name, time) = parse_stat(&stat).expect("a line");
        assert_eq!((id.id, id.started_ticks), (17, 777));
        assert_eq!(name, "odd) (name");
        assert_eq!(time, Duration::from_secs(3));
        assert_eq!(parse_stat("17 (cut off) S 1 2"), None);
    }

    #[test]
    fn groups_are_summed_by_prefix_and_differences_tolerate_change() {
        let before = times(&[
            line(1, "generator-0", 100, 0, 5),
            line(2, "generator-1", 100, 0, 5),
            line(3, "instance-0", 40, 10, 5),
        ]);
        let after = times(&[
            line(1, "generator-0", 150, 50, 5),
            // Thread 2 ended; another got its identifier.
            line(2, "generator-9", 30, 0, 900),
            line(3, "instance-0", 40, 30, 5),
            line(4, "origin-0", 10, 0, 901),
        ]);
        let used = after.since(&before);
        assert_eq!(used.of("generator"), Duration::from_millis(1_300));
        assert_eq!(used.of("instance"), Duration::from_millis(200));
        assert_eq!(used.of("redis"), Duration::ZERO);
        assert_eq!(used.of(""), Duration::from_millis(1_600));
        let cores = used.cores_of("generator", Duration::from_secs(2));
        assert_eq!(cores, Some(0.65));
        assert_eq!(used.cores_of("generator", Duration::ZERO), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_threads_of_this_process_are_read() {
        let name = "measured-thread";
        let (tell, told) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                let mut sum = 0u64;
                while told.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
                    sum = sum.wrapping_add(std::hint::black_box(1));
                }
                sum
            })
            .expect("a thread");
        // The kernel counts the busy thread's first tick long before the last try.
        let busy = || ThreadTimes::read().expect("linux tells").of(name) >= TICK;
        let counted = (0..100_000).any(|_| {
            std::thread::yield_now();
            busy()
        });
        drop(tell);
        assert!(thread.join().is_ok());
        assert!(counted);
    }

    proptest! {
        #[test]
        fn reading_never_panics(stat in ".{0,80}") {
            let _ = parse_stat(&stat);
            let _ = parse_stat(&format!("1 (x) {stat}"));
        }
    }
}
