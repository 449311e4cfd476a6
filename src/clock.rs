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
//! In virtual time ([`virtual_time`]) the clock jumps from one moment at which somebody waits to the
//! next.
#![allow(
    clippy::disallowed_methods,
    reason = "this room is where time is read and waited for"
)]

pub mod virtual_time;

use std::fmt;
use std::future::Future;
use std::ops::{Add, Sub};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use pin_project_lite::pin_project;

use self::virtual_time::{VirtualTime, Wait};

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
    source: Source,
}

#[derive(Clone, Debug)]
enum Source {
    Real {
        wall_at_start: Timestamp,
        start: tokio::time::Instant,
    },
    Virtual(Arc<VirtualTime>),
}

impl Clock {
    /// A clock that shows real time.
    pub fn real() -> Self {
        let wall = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, nanos);
        Self {
            source: Source::Real {
                wall_at_start: Timestamp(wall),
                start: tokio::time::Instant::now(),
            },
        }
    }

    /// Whether it shows virtual time.
    pub fn is_virtual(&self) -> bool {
        matches!(self.source, Source::Virtual(_))
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        match &self.source {
            Source::Real {
                wall_at_start,
                start,
            } => *wall_at_start + start.elapsed(),
            Source::Virtual(time) => time.now(),
        }
    }

    /// Waits for `duration`. Tokio's timers tick once a millisecond, so in real time a wait may be up
    /// to a millisecond longer than asked.
    pub fn sleep(&self, duration: Duration) -> Sleep {
        let kind = match &self.source {
            _ if duration.is_zero() => SleepKind::Done,
            Source::Real { .. } => SleepKind::Real {
                sleep: tokio::time::sleep(duration),
            },
            Source::Virtual(time) => SleepKind::Virtual {
                wait: Wait::until(Arc::clone(time), time.now() + duration),
            },
        };
        Sleep { kind }
    }

    /// Waits until `deadline`; returns at once if it has passed.
    pub fn sleep_until(&self, deadline: Timestamp) -> Sleep {
        self.sleep(deadline.since(self.now()))
    }

    /// Runs `future` for at most `limit`. Gives [`Elapsed`] if it was not ready in time; it is dropped
    /// then.
    pub fn timeout<F: Future>(&self, limit: Duration, future: F) -> Timeout<F> {
        Timeout {
            future,
            limit: self.sleep(limit),
        }
    }
}

pin_project! {
    /// A wait of a [`Clock`].
    #[must_use = "nobody waits until it is polled"]
    #[derive(Debug)]
    pub struct Sleep {
        #[pin]
        kind: SleepKind,
    }
}

pin_project! {
    #[project = SleepProjected]
    #[derive(Debug)]
    enum SleepKind {
        Done,
        Real { #[pin] sleep: tokio::time::Sleep },
        Virtual { #[pin] wait: Wait },
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        match self.project().kind.project() {
            SleepProjected::Done => Poll::Ready(()),
            SleepProjected::Real { sleep } => sleep.poll(context),
            SleepProjected::Virtual { wait } => wait.poll(context),
        }
    }
}

pin_project! {
    /// A future that ends at a [`Clock`]'s limit. Holds it once: what bounds what bounds others would
    /// grow twofold with each layer otherwise.
    #[must_use = "nothing is run until it is polled"]
    #[derive(Debug)]
    pub struct Timeout<F> {
        #[pin]
        future: F,
        #[pin]
        limit: Sleep,
    }
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        // The future first: what is ready in time is never too late.
        if let Poll::Ready(output) = this.future.poll(context) {
            return Poll::Ready(Ok(output));
        }
        this.limit.poll(context).map(|()| Err(Elapsed))
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
