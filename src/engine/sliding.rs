//! Sliding expiry, for sessions: every read lets an entry live for its `ttl` again, up to an absolute
//! end that no read and no write moves.
//!
//! The remote layer alone decides: it looks and extends in one round trip, and its time is the one
//! that counts. The local layer leaves such entries out, because what it answered would not be
//! extended (the session would end early), and what it kept would outlive the session. The absolute
//! end is the entry's `fresh_until`: the first write that the layer knows of, and `max_lifetime`. After
//! an eviction that write is forgotten; then it counts from the last one that the origin knows of.
//!
//! A session that nobody read for its `ttl` is gone from the cache; the next read asks the origin,
//! which decides whether it still exists. One whose last write is older than `max_lifetime` does not
//! exist any more, whatever the origin says.

use std::time::Duration;

use super::data_type::{DataType, Key};
use super::layer::{Entry, Fill, LayerError, Remote, Row};
use crate::clock::Timestamp;

/// How entries slide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sliding {
    /// After this an entry ends, however often it is read.
    pub max_lifetime: Duration,
}

impl Sliding {
    /// When an entry made from `row` ends.
    pub fn end(&self, row: &Row) -> Timestamp {
        row.committed_at + self.max_lifetime
    }
}

/// `row` as it counts now: without its value, if its time is over.
pub(super) fn at(policy: &DataType, row: Row, now: Timestamp) -> Row {
    match &policy.sliding {
        Some(sliding) if sliding.end(&row) <= now => Row { value: None, ..row },
        _ => row,
    }
}

/// Looks at `key` in `remote`, extending what slides.
pub(super) async fn look<R: Remote>(
    remote: &R,
    policy: &DataType,
    key: &Key,
) -> Result<Option<Entry>, LayerError> {
    match policy.sliding {
        Some(_) => remote.get_and_extend(key, policy.ttl).await,
        None => remote.get(key).await,
    }
}

/// Offers `entry` to `remote`, for `ttl`, if it is of a data type that slides.
pub(super) async fn fill<R: Remote>(
    remote: &R,
    policy: &DataType,
    key: &Key,
    (entry, ttl): (&Entry, Duration),
) -> Result<Fill, LayerError> {
    match policy.sliding {
        Some(_) if entry.row.value.is_some() => remote.fill_sliding(key, entry, ttl).await,
        _ => remote.fill(key, entry, ttl).await,
    }
}
