//! libCacheSim's oracleGeneral: binary records of 24 bytes without a header, little-endian: time in
//! seconds (u32), object (u64), size (u32), and the number of the object's next request, counted from
//! 1, or -1 if there is none (i64).
//!
//! It knows no operations, TTLs or clients: every record is a get. Pure.

use super::error::Fault;
use super::fields::Raw;
use crate::engine::layer::Operation;

pub(super) const RECORD_BYTES: usize = 24;
/// The object has no next request.
pub(super) const NEVER_AGAIN: i64 = -1;

/// One record as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) time_s: u32,
    pub(super) object: u64,
    pub(super) size: u32,
    pub(super) next: i64,
}

impl Record {
    pub(super) fn from_bytes(bytes: &[u8; RECORD_BYTES]) -> Self {
        Self {
            time_s: u32::from_le_bytes(part(bytes, 0)),
            object: u64::from_le_bytes(part(bytes, 4)),
            size: u32::from_le_bytes(part(bytes, 12)),
            next: i64::from_le_bytes(part(bytes, 16)),
        }
    }

    pub(super) fn to_bytes(self) -> [u8; RECORD_BYTES] {
        let mut bytes = [0; RECORD_BYTES];
        bytes[..4].copy_from_slice(&self.time_s.to_le_bytes());
        bytes[4..12].copy_from_slice(&self.object.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.size.to_le_bytes());
        bytes[16..].copy_from_slice(&self.next.to_le_bytes());
        bytes
    }

    pub(super) fn to_raw(self) -> Raw {
        Raw {
            time_ns: u64::from(self.time_s) * 1_000_000_000,
            key: self.object,
            operation: Operation::Get,
            value_size: self.size,
            ttl: None,
            client: 0,
            times: 1,
        }
    }
}

/// The bytes from `at` on.
fn part<const LENGTH: usize>(bytes: &[u8; RECORD_BYTES], at: usize) -> [u8; LENGTH] {
    std::array::from_fn(|index| bytes[at + index])
}

/// What is wrong with a last record of so many bytes.
pub(super) fn cut_off(bytes: &[u8]) -> Fault {
    let found = format!("{} bytes", bytes.len());
    Fault::new("record", found.as_bytes(), "a whole record of 24 bytes")
}

/// Records that a beginning must hold to be looked at.
const RECORDS_LOOKED_AT: usize = 512;
/// More requests than any trace has; letters make larger numbers.
const REQUESTS_MAX: i64 = 1 << 48;

/// Whether a beginning looks like one of this format: times that do not go back, and next requests
/// that lie ahead, as far as its records go.
pub(super) fn looks_like(beginning: &[u8]) -> bool {
    let records = beginning.chunks_exact(RECORD_BYTES);
    let (mut latest_s, mut count) = (0, 0_i64);
    for bytes in records.take(RECORDS_LOOKED_AT) {
        let mut whole = [0; RECORD_BYTES];
        whole.copy_from_slice(bytes);
        let record = Record::from_bytes(&whole);
        count += 1;
        // Some writers have the largest number for "never".
        let number = count < record.next && record.next < REQUESTS_MAX;
        let ahead = matches!(record.next, NEVER_AGAIN | i64::MAX) || number;
        if !ahead || record.time_s < latest_s {
            return false;
        }
        latest_s = record.time_s;
    }
    count > 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_record_is_laid_out_as_published() {
        let bytes = [
            7, 0, 0, 0, // time
            0xef, 0xcd, 0xab, 0x89, 0x67, 0x45, 0x23, 0x01, // object
            0, 4, 0, 0, // size
            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, // never again
        ];
        let record = Record::from_bytes(&bytes);
        let wanted = Record {
            time_s: 7,
            object: 0x0123_4567_89ab_cdef,
            size: 1_024,
            next: NEVER_AGAIN,
        };
        assert_eq!(record, wanted);
        assert!(looks_like(&bytes));
    }

    proptest! {
        #[test]
        fn a_record_survives_its_bytes(bytes: [u8; RECORD_BYTES]) {
            prop_assert_eq!(Record::from_bytes(&bytes).to_bytes(), bytes);
        }
    }

    #[test]
    fn text_does_not_look_like_it() {
        assert!(!looks_like(
            b"0,k0000001,8,1,0,get,0\n0,k0000002,8,1,0,get,0\n"
        ));
        assert!(!looks_like(b""));
        assert!(!looks_like(&[0; 48]));
    }
}
