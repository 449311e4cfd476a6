//! One request as a format's file hands it over, and the numbers that formats are made of.

use std::time::Duration;

use super::error::Fault;
use crate::engine::layer::Operation;

/// A request before its time is made relative and spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Raw {
    /// Nanoseconds on the trace's own clock.
    pub(super) time_ns: u64,
    pub(super) key: u64,
    pub(super) operation: Operation,
    pub(super) value_size: u32,
    pub(super) ttl: Option<Duration>,
    pub(super) client: u64,
    /// How often it was made; at least once.
    pub(super) times: u32,
}

/// A line that gives no request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NoRequest {
    /// It cannot be read.
    Malformed(Fault),
    /// It can, and is about something else; the reason is what it is counted under.
    Skipped(String),
    /// It says nothing: a header, a greeting.
    Silent,
}

impl From<Fault> for NoRequest {
    fn from(fault: Fault) -> Self {
        Self::Malformed(fault)
    }
}

/// A whole number in decimal digits.
pub(super) fn whole(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

/// The latest second whose nanoseconds still fit: in the year 2554.
pub(super) const SECONDS_MAX: u64 = 18_446_744_072;

/// Seconds with or without decimals, in nanoseconds. Decimals past the ninth say nothing.
pub(super) fn seconds_ns(text: &[u8]) -> Option<u64> {
    let point = text.iter().position(|byte| *byte == b'.');
    let (seconds, decimals) = match point {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, &b"0"[..]),
    };
    let seconds = whole(seconds).filter(|seconds| *seconds <= SECONDS_MAX)?;
    if decimals.is_empty() || !decimals.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digits = decimals.len().min(9);
    let fraction = whole(&decimals[..digits])? * 10_u64.pow(9 - digits as u32);
    Some(seconds * 1_000_000_000 + fraction)
}

/// A size in bytes; one that 32 bits cannot hold is no size of a cached value.
pub(super) fn size(text: &[u8]) -> Option<u32> {
    whole(text).and_then(|size| u32::try_from(size).ok())
}

/// A TTL in seconds, zero for none.
pub(super) fn ttl(text: &[u8]) -> Option<Duration> {
    seconds_ns(text).map(Duration::from_nanos)
}

/// A TTL, if it is one.
pub(super) fn some_ttl(ttl: Duration) -> Option<Duration> {
    (!ttl.is_zero()).then_some(ttl)
}

pub(super) const TIME_WANTED: &str = "a time in seconds, such as 604038471 or 12.5";
pub(super) const SIZE_WANTED: &str = "a size in bytes below 4 GiB";
pub(super) const TTL_WANTED: &str = "a TTL in seconds, 0 for none";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_or_refused_but_never_bent() {
        assert_eq!(whole(b"18446744073709551615"), Some(u64::MAX));
        for wrong in ["", "-1", "+1", "1 ", "18446744073709551616", "1e3"] {
            assert_eq!(whole(wrong.as_bytes()), None, "{wrong}");
        }
        assert_eq!(seconds_ns(b"12"), Some(12_000_000_000));
        assert_eq!(
            seconds_ns(b"1339518083.107412"),
            Some(1_339_518_083_107_412_000)
        );
        assert_eq!(seconds_ns(b"0.0000000019"), Some(1));
        for wrong in [".5", "1.", "1.x", "1.2.3", "18446744073", "1339518083107"] {
            assert_eq!(seconds_ns(wrong.as_bytes()), None, "{wrong}");
        }
        assert_eq!(size(b"4294967295"), Some(u32::MAX));
        assert_eq!(size(b"4294967296"), None);
        assert_eq!(ttl(b"0").map(some_ttl), Some(None));
        assert_eq!(ttl(b"7200"), Some(Duration::from_hours(2)));
    }
}
