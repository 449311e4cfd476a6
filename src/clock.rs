//! The only reader and waiter of time.
//!
//! Everything that asks "what time is it" or waits does so through a [`Clock`], so that the same
//! code runs in real time and on tokio's paused clock. Nothing else may call `Instant::now`,
//! `SystemTime::now` or `tokio::time::sleep`; `clippy.toml` holds that law, and this file is its
//! one exception.
//!
//! A [`Timestamp`] is a count of nanoseconds since the Unix epoch that never goes back: the wall
//! clock is read once, when the clock is made, and a monotonic clock is added to it.
//!
//! In virtual time tokio's paused clock jumps from one timer to the next. Its timers tick once a
//! millisecond, too coarse for a cache, so virtual time is dilated: a tick is [`VIRTUAL_TICK`].
#![allow(
    clippy::disallowed_methods,
    reason = "this room is where time is read and waited for"
)]

use std::fmt;
use std::future::Future;
use std::ops::{Add, Sub};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// A moment, in nanoseconds since the Unix epoch. Good until the year 2554.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The Unix epoch; as a deadline, long past.
    pub const EPOCH: Self = Self(0);
    /// Later than every other moment; as a deadline, never.
    pub const NEVER: Self = Self(u64::MAX);

    /// The moment `nanos` nanoseconds after the Unix epoch.
    pub const fn from_unix_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the Unix epoch.
    pub const fn as_unix_nanos(self) -> u64 {
        self.0
    }

    /// Whole seconds since the Unix epoch.
    pub const fn as_unix_secs(self) -> u64 {
        self.0 / 1_000_000_000
    }

    /// The time from `earlier` to `self`, zero if `earlier` is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The same moment for the standard library, for printing dates.
    pub fn to_system_time(self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_nanos(self.0)
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;
    fn add(self, rhs: Duration) -> Self {
        Self(self.0.saturating_add(nanos(rhs)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;
    fn sub(self, rhs: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(rhs)))
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with seconds, as in `2026-11-23T07:45:00Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_rfc3339_seconds(self.to_system_time()).fmt(f)
    }
}

/// A wait that was bounded ended at its bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not done within its time limit")]
pub struct Elapsed;

/// Reads time and waits for it. Cheap to clone; every clone shows the same time.
#[derive(Clone, Debug)]
pub struct Clock {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    wall_at_start: Timestamp,
    start: tokio::time::Instant,
    /// How much of the runtime's time one unit of ours takes: 1 in real time.
    dilation: u32,
}

/// What a millisecond of the runtime's paused clock stands for in virtual time: the finest wait.
pub const VIRTUAL_TICK: Duration = Duration::from_micros(10);

/// Runtime time for one unit of virtual time.
const DILATION: u32 = 100;

impl Clock {
    /// A clock that shows real time.
    pub fn real() -> Self {
        let wall = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, nanos);
        Self {
            inner: Arc::new(Inner {
                wall_at_start: Timestamp(wall),
                start: tokio::time::Instant::now(),
                dilation: 1,
            }),
        }
    }

    /// A clock that shows virtual time, `start` first. To be made on a runtime whose own clock is
    /// paused, or it shows real time a hundredfold slowed down.
    pub fn virtual_time(start: Timestamp) -> Self {
        Self {
            inner: Arc::new(Inner {
                wall_at_start: start,
                start: tokio::time::Instant::now(),
                dilation: DILATION,
            }),
        }
    }

    /// Whether it shows virtual time.
    pub fn is_virtual(&self) -> bool {
        self.inner.dilation != 1
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        self.inner.wall_at_start + self.inner.start.elapsed() / self.inner.dilation
    }

    /// `duration` as the runtime counts it.
    fn of_runtime(&self, duration: Duration) -> Duration {
        duration.saturating_mul(self.inner.dilation)
    }

    /// Waits for `duration`. Tokio's timers tick once a millisecond, so a wait may be up to a
    /// millisecond longer than asked; in virtual time up to a [`VIRTUAL_TICK`].
    pub async fn sleep(&self, duration: Duration) {
        if !duration.is_zero() {
            tokio::time::sleep(self.of_runtime(duration)).await;
        }
    }

    /// Waits until `deadline`; returns at once if it has passed.
    pub async fn sleep_until(&self, deadline: Timestamp) {
        self.sleep(deadline.since(self.now())).await;
    }

    /// Runs `future` for at most `limit`.
    ///
    /// # Errors
    /// [`Elapsed`] if `future` was not ready in time; it is dropped then.
    pub async fn timeout<F: Future>(
        &self,
        limit: Duration,
        future: F,
    ) -> Result<F::Output, Elapsed> {
        tokio::time::timeout(self.of_runtime(limit), future)
            .await
            .map_err(|_| Elapsed)
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_saturate_instead_of_wrapping() {
        assert_eq!(Timestamp::NEVER + Duration::from_secs(1), Timestamp::NEVER);
        assert_eq!(Timestamp::EPOCH - Duration::from_secs(1), Timestamp::EPOCH);
        assert_eq!(Timestamp::EPOCH.since(Timestamp::NEVER), Duration::ZERO);
    }

    #[test]
    fn a_timestamp_prints_as_utc() {
        let moment = Timestamp::from_unix_nanos(1_795_419_900 * 1_000_000_000);
        assert_eq!(moment.to_string(), "2026-11-23T07:45:00Z");
    }

    /// Days of virtual time pass at once, and to the tick.
    #[tokio::test(start_paused = true)]
    async fn virtual_time_is_dilated() {
        let start = Timestamp::from_unix_nanos(1_795_419_900 * 1_000_000_000);
        let clock = Clock::virtual_time(start);
        assert!(clock.is_virtual() && !Clock::real().is_virtual());
        for wait in [
            VIRTUAL_TICK,
            Duration::from_micros(123_450),
            Duration::from_hours(72),
        ] {
            let before = clock.now();
            clock.sleep(wait).await;
            assert_eq!(clock.now().since(before), wait);
        }
        let before = clock.now();
        clock.sleep(Duration::from_micros(3)).await;
        assert_eq!(clock.now().since(before), VIRTUAL_TICK, "rounded up");
        let never = clock.timeout(Duration::from_millis(5), std::future::pending::<()>());
        let before = clock.now();
        assert_eq!(never.await, Err(Elapsed));
        assert_eq!(clock.now().since(before), Duration::from_millis(5));
    }

    #[tokio::test(start_paused = true)]
    async fn the_clock_follows_tokio_and_bounds_waits() {
        let clock = Clock::real();
        let before = clock.now();
        clock.sleep(Duration::from_hours(1)).await;
        assert_eq!(clock.now().since(before), Duration::from_hours(1));
        let late = clock
            .timeout(Duration::from_secs(1), std::future::pending::<()>())
            .await;
        assert_eq!(late, Err(Elapsed));
    }
}
