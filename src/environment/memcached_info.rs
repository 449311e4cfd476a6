//! What memcached says about itself: `stats`, read into numbers, and the difference of two readings.
//!
//! Called by the managed memcached and once a second by the runner, on a connection of its own, so
//! that nothing it counts of the cache's traffic comes from here. Parsing and subtracting are pure.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::error::EnvironmentError;
use crate::clock::{Clock, Timestamp};
use crate::units::ByteSize;

/// `stats` is a few KiB; more is something else.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// One reading of `stats`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemcachedInfo {
    /// When it was read, by our clock.
    pub read_at: Timestamp,
    /// The server's version.
    pub version: String,
    /// The server's process.
    pub process_id: u32,
    /// Items now, expired ones that nobody asked for included.
    pub items: u64,
    /// Bytes that items take now.
    pub bytes: ByteSize,
    /// The memory for items.
    pub limit: ByteSize,
    /// Connections now.
    pub connections: u64,
    /// The counters, since the server's start.
    pub counts: MemcachedCounts,
}

/// What memcached counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemcachedCounts {
    /// Looks at a key: `cmd_get`.
    pub gets: u64,
    /// Those that found it.
    pub get_hits: u64,
    /// Those that did not.
    pub get_misses: u64,
    /// Stores: `cmd_set`.
    pub sets: u64,
    /// Stores that another was faster than: `cas_badval`.
    pub cas_lost: u64,
    /// Items dropped for lack of memory.
    pub evictions: u64,
    /// Processor time in user and system mode.
    pub used_cpu: Duration,
}

impl MemcachedInfo {
    /// Reads the answer to `stats`, which was got at `read_at`.
    pub fn parse(text: &str, read_at: Timestamp) -> Result<Self, EnvironmentError> {
        let field = |name: &str| {
            let found = text.lines().find_map(|line| {
                let (found, value) = line.strip_prefix("STAT ")?.split_once(' ')?;
                (found == name).then_some(value.trim())
            });
            found.ok_or_else(|| strange(format!("its `stats` have no {name}")))
        };
        let number = |name: &str| -> Result<u64, EnvironmentError> {
            let value = field(name)?;
            let number = value.parse();
            number.map_err(|_| strange(format!("its `stats` say {name} {value:?}")))
        };
        let seconds = |name: &str| -> Result<Duration, EnvironmentError> {
            let value = field(name)?;
            let seconds = value.parse().ok();
            let time = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
            time.ok_or_else(|| strange(format!("its `stats` say {name} {value:?}")))
        };
        Ok(Self {
            read_at,
            version: field("version")?.to_owned(),
            process_id: u32::try_from(number("pid")?).unwrap_or_default(),
            items: number("curr_items")?,
            bytes: ByteSize(number("bytes")?),
            limit: ByteSize(number("limit_maxbytes")?),
            connections: number("curr_connections")?,
            counts: MemcachedCounts {
                gets: number("cmd_get")?,
                get_hits: number("get_hits")?,
                get_misses: number("get_misses")?,
                sets: number("cmd_set")?,
                cas_lost: number("cas_badval")?,
                evictions: number("evictions")?,
                used_cpu: seconds("rusage_user")? + seconds("rusage_system")?,
            },
        })
    }

    /// Asks memcached, for at most `limit`.
    pub async fn fetch(
        address: SocketAddr,
        clock: &Clock,
        limit: Duration,
    ) -> Result<Self, EnvironmentError> {
        let asking = async {
            let mut stream = TcpStream::connect(address).await?;
            stream.write_all(b"stats\r\n").await?;
            let mut answer = Vec::with_capacity(4 << 10);
            while !answer.ends_with(b"END\r\n") && answer.len() < ANSWER_BYTES_MAX {
                if stream.read_buf(&mut answer).await? == 0 {
                    return Err(std::io::ErrorKind::UnexpectedEof.into());
                }
            }
            Ok::<_, std::io::Error>(answer)
        };
        let answer = match clock.timeout(limit, asking).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return Err(strange(error.to_string())),
            Err(_) => {
                return Err(strange(format!(
                    "no answer within {} ms",
                    limit.as_millis()
                )));
            }
        };
        Self::parse(&String::from_utf8_lossy(&answer), clock.now())
    }

    /// What was counted from `earlier` until this reading.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> MemcachedCounts {
        let (now, then) = (&self.counts, &earlier.counts);
        MemcachedCounts {
            gets: now.gets.saturating_sub(then.gets),
            get_hits: now.get_hits.saturating_sub(then.get_hits),
            get_misses: now.get_misses.saturating_sub(then.get_misses),
            sets: now.sets.saturating_sub(then.sets),
            cas_lost: now.cas_lost.saturating_sub(then.cas_lost),
            evictions: now.evictions.saturating_sub(then.evictions),
            used_cpu: now.used_cpu.saturating_sub(then.used_cpu),
        }
    }
}

fn strange(reason: String) -> EnvironmentError {
    EnvironmentError::Memcached {
        doing: "stats",
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATS: &str = "STAT pid 4711\r\nSTAT version 1.6.18\r\nSTAT rusage_user 1.250000\r\n\
         STAT rusage_system 0.750000\r\nSTAT curr_connections 5\r\nSTAT cmd_get 100\r\n\
         STAT cmd_set 40\r\nSTAT get_hits 70\r\nSTAT get_misses 30\r\nSTAT cas_badval 2\r\n\
         STAT limit_maxbytes 67108864\r\nSTAT bytes 4096\r\nSTAT curr_items 9\r\n\
         STAT evictions 3\r\nEND\r\n";

    #[test]
    fn stats_are_read_and_subtracted() {
        let read_at = Timestamp::from_unix_nanos(1);
        let first = MemcachedInfo::parse(STATS, read_at).expect("stats");
        assert_eq!((first.process_id, first.items), (4_711, 9));
        assert_eq!(first.limit, ByteSize(64 << 20));
        assert_eq!(first.counts.used_cpu, Duration::from_secs(2));
        let later = STATS
            .replace("cmd_get 100", "cmd_get 150")
            .replace("evictions 3", "evictions 10");
        let later = MemcachedInfo::parse(&later, read_at).expect("stats");
        let passed = later.since(&first);
        let wanted = MemcachedCounts {
            gets: 50,
            evictions: 7,
            ..MemcachedCounts::default()
        };
        assert_eq!(passed, wanted);
    }

    #[test]
    fn what_is_missing_or_strange_is_named() {
        let error = |text: &str| {
            let read = MemcachedInfo::parse(text, Timestamp::EPOCH);
            read.expect_err("an error").to_string()
        };
        let missing = STATS.replace("STAT bytes 4096\r\n", "");
        insta::assert_snapshot!(error(&missing), @"memcached failed at stats: its `stats` have no bytes");
        let strange = STATS.replace("cmd_get 100", "cmd_get many");
        insta::assert_snapshot!(error(&strange), @r#"memcached failed at stats: its `stats` say cmd_get "many""#);
    }
}
