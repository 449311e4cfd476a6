//! Counters in Redis: each algorithm of [`rate_limit`](crate::engine::rate_limit) as one script, on
//! the server's time, that sets its key's expiry itself.
//!
//! One script, because a read and a write in two steps let as many pass as read in between. The
//! server's time, because instances' clocks differ. Called by the remote layer on Redis; knows
//! nothing of prefixes and connections. Tests give the time themselves and hold each script against
//! its twin in Rust.

use std::time::Duration;

use ::redis::aio::ConnectionLike;
use ::redis::{RedisError, Script};

use crate::clock::Timestamp;
use crate::engine::data_type::{Limit, LimitAlgorithm};
use crate::engine::layer::Admission;
use crate::engine::rate_limit::{BUCKETS, window_us};

/// A decision, and when it was made by the clock that it was made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decided {
    /// The decision.
    pub admission: Admission,
    /// The server's time, in whole microseconds.
    pub at: Timestamp,
}

/// The scripts of all algorithms.
#[derive(Debug)]
pub struct RedisCounters {
    sliding_buckets: Script,
    sliding_log: Script,
    gcra: Script,
    two_buckets: Script,
    fixed_window: Script,
}

impl Default for RedisCounters {
    fn default() -> Self {
        Self {
            sliding_buckets: Script::new(include_str!("scripts/limit_sliding_buckets.lua")),
            sliding_log: Script::new(include_str!("scripts/limit_sliding_log.lua")),
            gcra: Script::new(include_str!("scripts/limit_gcra.lua")),
            two_buckets: Script::new(include_str!("scripts/limit_two_buckets.lua")),
            fixed_window: Script::new(include_str!("scripts/limit_fixed_window.lua")),
        }
    }
}

impl RedisCounters {
    /// Counts an arrival at `key` against `limit`, in one round trip. `now` stands in for the
    /// server's time in tests; the expiry of keys goes by the server's time all the same.
    ///
    /// # Errors
    /// Those of the connection, and of Redis if `key` holds something else.
    pub async fn admit(
        &self,
        connection: &mut impl ConnectionLike,
        key: &str,
        limit: Limit,
        now: Option<Timestamp>,
    ) -> Result<Decided, RedisError> {
        let (script, extra) = match limit.algorithm {
            LimitAlgorithm::SlidingBuckets => (&self.sliding_buckets, BUCKETS),
            LimitAlgorithm::SlidingLog => (&self.sliding_log, 0),
            LimitAlgorithm::Gcra { burst } => (&self.gcra, burst.max(1)),
            LimitAlgorithm::TwoBuckets => (&self.two_buckets, 0),
            LimitAlgorithm::FixedWindow => (&self.fixed_window, 0),
        };
        let mut call = script.key(key);
        call.arg(limit.requests.max(1))
            .arg(window_us(limit.window))
            .arg(extra);
        if let Some(now) = now {
            call.arg(now.as_unix_nanos() / 1_000);
        }
        let (admitted, remaining, retry_after_us, at_us): (bool, u64, u64, u64) =
            call.invoke_async(connection).await?;
        Ok(Decided {
            admission: Admission {
                admitted,
                remaining,
                retry_after: Duration::from_micros(retry_after_us),
            },
            at: Timestamp::from_unix_nanos(at_us.saturating_mul(1_000)),
        })
    }
}
