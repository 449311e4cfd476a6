//! How an entry stands in the remote layer: a fixed head and then the value's bytes.
//!
//! ```text
//! 0      kind: 'e' entry, 'n' known absence, 't' tombstone, 'l' lease
//! 1..9   as of, big endian (the scripts compare these bytes)
//! 9..17  version, big endian
//! 17..25 committed at, nanoseconds since the Unix epoch, big endian
//! 25..33 fetched at, likewise
//! 33..41 fresh until, likewise
//! 41..49 load time in nanoseconds, big endian
//! 49..57 generation, big endian
//! 57..   the value
//! ```
//!
//! A tombstone is kind and floor. A lease is kind, floor (the tombstone's that it replaced, or 0)
//! and the 16 bytes of its token.
//!
//! Pure. A value that is not of this shape is an error, never a guess.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};

use crate::clock::Timestamp;
use crate::engine::layer::{Entry, Generation, Row, Token, Version};

/// An entry without its value.
pub(crate) const HEAD_BYTES: usize = 57;
/// Kind and floor.
pub(crate) const TOMBSTONE_BYTES: usize = 9;
/// Kind, floor and token.
pub(crate) const LEASE_BYTES: usize = 25;
const ENTRY: u8 = b'e';
const ABSENCE: u8 = b'n';
const TOMBSTONE: u8 = b't';
const LEASE: u8 = b'l';

/// What stands at a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stored {
    Entry(Entry),
    /// Nothing, and nothing read before this commit may be put here.
    Tombstone(Version),
    /// Nothing, and somebody loads it.
    Lease,
}

/// Bytes that no entry of ours has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the value is not an entry of this cache ({0} bytes)")]
pub(super) struct NotAnEntry(usize);

pub(super) fn encode(entry: &Entry) -> Bytes {
    let value = entry.row.value.as_deref();
    let mut bytes = BytesMut::with_capacity(HEAD_BYTES + value.map_or(0, <[u8]>::len));
    bytes.put_u8(if value.is_some() { ENTRY } else { ABSENCE });
    bytes.put_u64(entry.row.as_of.0);
    bytes.put_u64(entry.row.version.0);
    bytes.put_u64(entry.row.committed_at.as_unix_nanos());
    bytes.put_u64(entry.fetched_at.as_unix_nanos());
    bytes.put_u64(entry.fresh_until.as_unix_nanos());
    bytes.put_u64(u64::try_from(entry.load_time.as_nanos()).unwrap_or(u64::MAX));
    bytes.put_u64(entry.generation.0);
    bytes.put_slice(value.unwrap_or_default());
    bytes.freeze()
}

pub(super) fn encode_tombstone(floor: Version) -> Bytes {
    let mut bytes = BytesMut::with_capacity(TOMBSTONE_BYTES);
    bytes.put_u8(TOMBSTONE);
    bytes.put_u64(floor.0);
    bytes.freeze()
}

/// A lease as it is asked for; the script fills in its floor.
pub(super) fn encode_lease(token: Token) -> Bytes {
    encode_lease_above(Version(0), token)
}

/// A lease that keeps the floor of the tombstone that it replaces.
pub(super) fn encode_lease_above(floor: Version, token: Token) -> Bytes {
    let mut bytes = BytesMut::with_capacity(LEASE_BYTES);
    bytes.put_u8(LEASE);
    bytes.put_u64(floor.0);
    bytes.put_u128(token.0);
    bytes.freeze()
}

/// The commit that what stands here is as of, whatever its kind: what is older has no place here.
pub(super) fn floor(bytes: &[u8]) -> Option<Version> {
    let number = bytes.get(1..9)?.try_into().ok()?;
    Some(Version(u64::from_be_bytes(number)))
}

/// Whether `bytes` are the lease with `token`.
pub(super) fn is_lease_of(bytes: &[u8], token: Token) -> bool {
    bytes.first() == Some(&LEASE) && bytes.get(9..) == Some(&token.0.to_be_bytes())
}

/// The last byte that [`as_of`] needs.
pub(super) const AS_OF_END: usize = 8;

/// As of which commit the entry was read whose first bytes these are; `None` if it is none.
pub(super) fn as_of(head: &Bytes) -> Option<Version> {
    let number = head.get(1..=AS_OF_END)?.try_into().ok()?;
    matches!(head.first(), Some(&(ENTRY | ABSENCE))).then(|| Version(u64::from_be_bytes(number)))
}

pub(super) fn decode(bytes: &Bytes) -> Result<Stored, NotAnEntry> {
    let number = |from: usize| -> Option<u64> {
        Some(u64::from_be_bytes(
            bytes.get(from..from + 8)?.try_into().ok()?,
        ))
    };
    let time = |from| number(from).map(Timestamp::from_unix_nanos);
    let read = || match bytes.first()? {
        &TOMBSTONE => Some(Stored::Tombstone(Version(number(1)?))),
        &LEASE => Some(Stored::Lease),
        kind @ &(ENTRY | ABSENCE) => {
            let (as_of, version) = (Version(number(1)?), Version(number(9)?));
            let (committed_at, fetched_at) = (time(17)?, time(25)?);
            let (fresh_until, load_time) = (time(33)?, Duration::from_nanos(number(41)?));
            let generation = Generation(number(49)?);
            let value = (*kind == ENTRY).then(|| bytes.slice(HEAD_BYTES..));
            let row = Row {
                value,
                version,
                committed_at,
                as_of,
            };
            Some(Stored::Entry(Entry {
                row,
                fetched_at,
                fresh_until,
                load_time,
                generation,
            }))
        }
        _ => None,
    };
    read().ok_or(NotAnEntry(bytes.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(
            value in prop::option::of(prop::collection::vec(any::<u8>(), 0..64)),
            numbers in any::<[u64; 7]>(),
        ) {
            let entry = Entry {
                row: Row {
                    value: value.map(Bytes::from),
                    version: Version(numbers[0]),
                    committed_at: Timestamp::from_unix_nanos(numbers[1]),
                    as_of: Version(numbers[2]),
                },
                fetched_at: Timestamp::from_unix_nanos(numbers[3]),
                fresh_until: Timestamp::from_unix_nanos(numbers[4]),
                load_time: Duration::from_nanos(numbers[5]),
                generation: Generation(numbers[6]),
            };
            let head = encode(&entry).slice(..=AS_OF_END);
            prop_assert_eq!(as_of(&head), Some(entry.row.as_of));
            prop_assert_eq!(decode(&encode(&entry)), Ok(Stored::Entry(entry)));
            let floor = Version(numbers[2]);
            prop_assert_eq!(decode(&encode_tombstone(floor)), Ok(Stored::Tombstone(floor)));
            let token = Token(u128::from(numbers[3]) << 64 | u128::from(numbers[4]));
            let lease = encode_lease_above(floor, token);
            prop_assert_eq!(super::floor(&lease), Some(floor));
            prop_assert!(is_lease_of(&lease, token));
            prop_assert!(!is_lease_of(&lease, Token(token.0 ^ 1)));
            prop_assert_eq!(as_of(&encode_tombstone(floor)), None);
        }

        #[test]
        fn foreign_bytes_are_refused_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = decode(&Bytes::from(bytes));
        }
    }

    #[test]
    fn an_empty_value_is_a_value() {
        let row = Row {
            value: Some(Bytes::new()),
            version: Version(1),
            committed_at: Timestamp::EPOCH,
            as_of: Version(1),
        };
        let entry = Entry {
            row,
            fetched_at: Timestamp::EPOCH,
            fresh_until: Timestamp::EPOCH,
            load_time: Duration::ZERO,
            generation: Generation::default(),
        };
        assert_eq!(decode(&encode(&entry)), Ok(Stored::Entry(entry)));
    }
}
