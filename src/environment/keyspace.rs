//! The keys of one run: how they are told from others, counted, and deleted when it ends.
//!
//! Every key of a run begins with its own prefix, so that an external Redis can be used without
//! touching what else it holds, and two runs at once do not meet. The runner calls this; it never
//! uses FLUSHALL, KEYS or anything else that would reach beyond the prefix or block the server.

mod probe;
pub mod ttl;

use std::fmt;
use std::time::Duration;

use redis::aio::ConnectionLike;
use rustc_hash::FxHashSet;

pub(in crate::environment) use self::probe::connect_node;
pub use self::probe::{mask_url, probe};
use super::error::EnvironmentError;
use crate::clock::{Clock, Timestamp};
use crate::seed::{Seed, fnv1a};

/// How many keys a step of SCAN looks at: few round trips, each well under a millisecond.
const SCAN_COUNT: u32 = 1_000;
/// Digits and small letters without those that look alike (Crockford's base 32).
const ID_DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// What every key of one run begins with: `cachestorm:<id>:`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RunPrefix(String);

impl RunPrefix {
    /// The prefix of the run with `seed` that started at `started_at`: runs of the same seed
    /// differ by their time.
    pub fn new(seed: Seed, started_at: Timestamp) -> Self {
        let id = seed
            .fork("run-prefix")
            .fork_index(started_at.as_unix_nanos());
        let digits = (0..13).map(|at| ID_DIGITS[(id.0 >> (at * 5) & 31) as usize] as char);
        Self(format!("cachestorm:{}:", digits.collect::<String>()))
    }

    /// The prefix's text, with its final colon.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The pattern that matches exactly the keys with this prefix.
    pub fn pattern(&self) -> String {
        let mut pattern = String::with_capacity(self.0.len() + 1);
        for letter in self.0.chars() {
            if matches!(letter, '*' | '?' | '[' | ']' | '\\') {
                pattern.push('\\');
            }
            pattern.push(letter);
        }
        pattern.push('*');
        pattern
    }
}

impl fmt::Display for RunPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Deletes every key of the run from one primary and says how many there were. Keys that others add
/// meanwhile may be missed. Takes at most `limit`; what is deleted by then stays deleted.
pub async fn delete_all(
    conn: &mut (impl ConnectionLike + Send),
    prefix: &RunPrefix,
    clock: &Clock,
    limit: Duration,
) -> Result<u64, EnvironmentError> {
    let deadline = clock.now() + limit;
    let mut deleted = 0;
    let mut cursor = 0;
    loop {
        let step = async {
            let (next, keys) = scan(conn, prefix, cursor).await?;
            let gone = unlink(conn, &keys).await?;
            Ok((next, gone))
        };
        let (next, gone) = clock
            .timeout(deadline.since(clock.now()), step)
            .await
            .unwrap_or_else(|_| {
                Err(EnvironmentError::KeysLeft {
                    deleted,
                    pattern: prefix.pattern(),
                    limit,
                })
            })?;
        deleted += gone;
        cursor = next;
        if cursor == 0 {
            return Ok(deleted);
        }
    }
}

/// How many keys the run has now on one primary. Takes at most `limit`.
pub async fn count_keys(
    conn: &mut (impl ConnectionLike + Send),
    prefix: &RunPrefix,
    clock: &Clock,
    limit: Duration,
) -> Result<u64, EnvironmentError> {
    let count = async {
        // SCAN may give a key more than once while its table is resized.
        let mut seen = FxHashSet::default();
        let mut cursor = 0;
        loop {
            let (next, keys) = scan(conn, prefix, cursor).await?;
            seen.extend(keys.iter().map(|key| fnv1a(key)));
            cursor = next;
            if cursor == 0 {
                return Ok(seen.len() as u64);
            }
        }
    };
    clock.timeout(limit, count).await.unwrap_or_else(|_| {
        Err(EnvironmentError::TimedOut {
            doing: "counting the run's keys".to_owned(),
            limit,
        })
    })
}

/// One step of SCAN: the next cursor, 0 at the end, and some keys.
async fn scan(
    conn: &mut (impl ConnectionLike + Send),
    prefix: &RunPrefix,
    cursor: u64,
) -> Result<(u64, Vec<Vec<u8>>), EnvironmentError> {
    redis::cmd("SCAN")
        .arg(cursor)
        .arg("MATCH")
        .arg(prefix.pattern())
        .arg("COUNT")
        .arg(SCAN_COUNT)
        .query_async(conn)
        .await
        .map_err(|error| EnvironmentError::command("SCAN", &error))
}

async fn unlink(
    conn: &mut (impl ConnectionLike + Send),
    keys: &[Vec<u8>],
) -> Result<u64, EnvironmentError> {
    if keys.is_empty() {
        return Ok(0);
    }
    // Each by itself: a node of a Cluster refuses keys of different slots in one command.
    let mut pipe = redis::pipe();
    for key in keys {
        pipe.unlink(key);
    }
    let gone: Vec<u64> = pipe
        .query_async(conn)
        .await
        .map_err(|error| EnvironmentError::command("UNLINK", &error))?;
    Ok(gone.iter().sum())
}

#[cfg(test)]
mod tests;
