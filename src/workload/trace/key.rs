//! Keys as numbers, and numbers as keys: how a key's text becomes 64 bits, and how these are written so
//! that they are read again as themselves.

use std::fmt;

use crate::seed::{fnv1a, mix};

/// What a number that stands for a key begins with, in our files.
const MARK: u8 = b'#';
/// The mark and sixteen hexadecimal digits.
const WRITTEN_BYTES: usize = 17;

/// The number of the key `text`: its hash, or itself if it is a number written as [`KeyId`] does.
pub fn key_id(text: &[u8]) -> u64 {
    written_id(text).unwrap_or_else(|| hash(text))
}

/// A stable hash: FNV-1a, whose bits are mixed because samples are taken by comparing numbers.
pub(super) fn hash(text: &[u8]) -> u64 {
    mix(fnv1a(text))
}

fn written_id(text: &[u8]) -> Option<u64> {
    let digits = text
        .strip_prefix(&[MARK])
        .filter(|_| text.len() == WRITTEN_BYTES)?;
    digits.iter().try_fold(0_u64, |id, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(id << 4 | u64::from(value))
    })
}

/// Whether `text` can stand in a line of ours as it is and is read again as the same key.
pub(super) fn is_plain(text: &[u8]) -> bool {
    let printable = std::str::from_utf8(text)
        .is_ok_and(|text| !text.is_empty() && !text.chars().any(char::is_control));
    printable && text.first() != Some(&MARK) && text.trim_ascii().len() == text.len()
}

/// A key's number as our files write it: `#00f3a9…`, sixteen digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyId(pub u64);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_hash_is_pinned() {
        // Recorded figures name keys by these numbers.
        assert_eq!(key_id(b"k0000001"), 0x8b86_9df3_ac82_b221);
        assert_eq!(key_id(b""), 0xf52a_15e9_a9b5_e89b);
    }

    proptest! {
        #[test]
        fn a_written_number_is_read_as_itself(id: u64) {
            prop_assert_eq!(key_id(KeyId(id).to_string().as_bytes()), id);
        }

        #[test]
        fn what_is_plain_is_one_line(text in proptest::collection::vec(any::<u8>(), 0..20)) {
            if is_plain(&text) {
                prop_assert!(!text.contains(&b'\n') && !text.contains(&b'\r'));
            }
        }
    }

    #[test]
    fn only_what_is_written_so_is_a_number() {
        for text in [
            "#",
            "#00",
            "#000000000000000G",
            "#00000000000000000",
            "00000000000000001",
        ] {
            assert_eq!(key_id(text.as_bytes()), hash(text.as_bytes()), "{text}");
        }
    }
}
