//! File descriptors of this process and the system's local ports: how many are in use, and how many
//! there may be.
//!
//! Linux tells it (`/proc`); on other systems what is in use is unknown and said to be. Read by the
//! runner before a run and once a second in it.

use std::fs;
use std::ops::RangeInclusive;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// How many file descriptors a process may have open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DescriptorLimit {
    /// What holds now; `None` for no limit.
    pub soft: Option<u64>,
    /// Up to where the process may raise it itself.
    pub hard: Option<u64>,
}

impl DescriptorLimit {
    /// That of this process.
    pub fn read() -> Self {
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        Self {
            soft: current,
            hard: maximum,
        }
    }

    /// Raises what holds to what may hold, for this process and those that it starts.
    ///
    /// # Errors
    /// If the system does not allow it.
    pub fn raise(self) -> std::io::Result<()> {
        let raised = Rlimit {
            current: self.hard,
            maximum: self.hard,
        };
        Ok(setrlimit(Resource::Nofile, raised)?)
    }
}

/// How many file descriptors this process has open; `None` where the system does not tell.
pub fn open_descriptors() -> Option<u64> {
    let open = fs::read_dir("/proc/self/fd").ok()?.count() as u64;
    // One of them reads the others.
    Some(open.saturating_sub(1))
}

/// The local ports from which connections are made; `None` where the system does not tell.
pub fn local_ports() -> Option<RangeInclusive<u16>> {
    parse_range(&fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?)
}

/// How many TCP connections of the whole system are over, but keep their ports for a minute more; `None`
/// where the system does not tell.
pub fn in_time_wait() -> Option<u64> {
    parse_sockstat(&fs::read_to_string("/proc/net/sockstat").ok()?)
}

fn parse_range(text: &str) -> Option<RangeInclusive<u16>> {
    let mut ends = text.split_ascii_whitespace().map(str::parse);
    let (from, to) = (ends.next()?.ok()?, ends.next()?.ok()?);
    (from <= to).then_some(from..=to)
}

/// Of `TCP: inuse 27 orphan 0 tw 1204 alloc 31 mem 3`, the number after `tw`.
fn parse_sockstat(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("TCP:"))?;
    let mut words = line.split_ascii_whitespace();
    words.find(|word| *word == "tw")?;
    words.next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_says_is_read() {
        assert_eq!(parse_range("32768\t60999\n"), Some(32_768..=60_999));
        assert_eq!(parse_range("60999 32768"), None);
        assert_eq!(parse_range("many"), None);
        let sockets =
            "sockets: used 300\nTCP: inuse 27 orphan 0 tw 1204 alloc 31 mem 3\nUDP: inuse 1\n";
        assert_eq!(parse_sockstat(sockets), Some(1_204));
        assert_eq!(parse_sockstat("TCP: inuse 27"), None);
        assert_eq!(parse_sockstat(""), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_is_open_is_counted() {
        let before = open_descriptors().expect("linux tells");
        let files: Vec<fs::File> = (0..50)
            .map(|_| fs::File::open("/dev/null").expect("a file"))
            .collect();
        let during = open_descriptors().expect("linux tells");
        drop(files);
        // Other tests open and close files, too.
        assert!(
            during >= before.saturating_sub(20) + 30,
            "{before} {during}"
        );
        assert!(local_ports().is_some() && in_time_wait().is_some());
        let limit = DescriptorLimit::read();
        assert!(limit.soft.unwrap_or(u64::MAX) <= limit.hard.unwrap_or(u64::MAX));
    }
}
