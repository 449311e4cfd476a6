//! The values that users write: of a wanted size, readable as JSON, different for every request.
//!
//! Called by drivers for each write, and by the mock database, which recognises what was made here
//! and keeps what it was made from ([`Made`]). Pure and cheap: a short head, and a slice of one
//! pattern.

use std::io::Write as _;

use bytes::Bytes;

use crate::units::ByteSize;

/// What fills a value up.
const PATTERN: &[u8; 1_024] = &{
    let letters = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let mut pattern = [0; 1_024];
    let mut at = 0;
    while at < pattern.len() {
        pattern[at] = letters[at % letters.len()];
        at += 1;
    }
    pattern
};

const HEAD: &[u8] = b"{\"user\":";
const MIDDLE: &[u8] = b",\"sequence\":";
const TAIL: &[u8] = b",\"data\":\"";
const END: &[u8] = b"\"}";

/// The value that `user` writes with its request number `sequence`: exactly `size` bytes. It is
/// a JSON object that names both where they fit, and else a JSON string or number as short as
/// that. The same arguments give the same bytes.
pub fn value(size: ByteSize, user: u64, sequence: u64) -> Bytes {
    let size = usize::try_from(size.0).unwrap_or(usize::MAX);
    let mut value = Vec::with_capacity(size);
    value.extend_from_slice(HEAD);
    let user = write!(value, "{user}");
    value.extend_from_slice(MIDDLE);
    let sequence = write!(value, "{sequence}");
    value.extend_from_slice(TAIL);
    debug_assert!(user.and(sequence).is_ok(), "writing to a Vec cannot fail");
    if value.len() + END.len() <= size {
        pad(&mut value, size - END.len());
        value.extend_from_slice(END);
        return value.into();
    }
    value.clear();
    match size {
        0 | 1 => value.resize(size, b'0'),
        _ => {
            value.push(b'"');
            pad(&mut value, size - 1);
            value.push(b'"');
        }
    }
    value.into()
}

/// What a value was made from: all that must be kept of it to have it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Made {
    user: u32,
    size: u32,
    sequence: u64,
}

impl Made {
    /// From what `bytes` were made, if it is a value of [`value`] that names its user and sequence:
    /// then [`Made::value`] gives the same bytes again.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        let (user, rest) = leading_number(bytes.strip_prefix(HEAD)?)?;
        let (sequence, rest) = leading_number(rest.strip_prefix(MIDDLE)?)?;
        let data = rest.strip_prefix(TAIL)?.strip_suffix(END)?;
        let padded = data
            .chunks(PATTERN.len())
            .all(|chunk| *chunk == PATTERN[..chunk.len()]);
        let made = Self {
            user: u32::try_from(user).ok()?,
            size: u32::try_from(bytes.len()).ok()?,
            sequence,
        };
        padded.then_some(made)
    }

    /// The value.
    pub fn value(self) -> Bytes {
        value(ByteSize(self.size.into()), self.user.into(), self.sequence)
    }
}

/// The number that `text` begins with, as this file writes numbers, and what follows it.
fn leading_number(text: &[u8]) -> Option<(u64, &[u8])> {
    let length = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = text.split_at(length);
    // Not with zeros before it: those would not be written again.
    let plain = digits.len() == 1 || digits.first() != Some(&b'0');
    let number = std::str::from_utf8(digits).ok()?.parse().ok()?;
    plain.then_some((number, rest))
}

/// Fills `value` up to `length` with the pattern.
fn pad(value: &mut Vec<u8>, length: usize) {
    while value.len() < length {
        let missing = length - value.len();
        value.extend_from_slice(&PATTERN[..missing.min(PATTERN.len())]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_value_reads_as_json() {
        let text = |size| String::from_utf8(value(ByteSize(size), 7, 12).to_vec()).expect("UTF-8");
        insta::assert_snapshot!(text(48), @r#"{"user":7,"sequence":12,"data":"abcdefghijklmn"}"#);
        insta::assert_snapshot!(text(6), @r#""abcd""#);
        insta::assert_snapshot!(text(1), @"0");
    }

    proptest! {
        #[test]
        fn a_value_has_its_size_and_is_json(size in 0u64..5_000, user: u64, sequence: u64) {
            let value = value(ByteSize(size), user, sequence);
            prop_assert_eq!(value.len() as u64, size);
            if size > 0 {
                prop_assert!(serde_json::from_slice::<serde_json::Value>(&value).is_ok());
            }
        }

        #[test]
        fn a_value_can_be_made_again_from_what_it_was_made_from(
            size in 0u64..5_000, user: u32, sequence: u64,
        ) {
            let value = value(ByteSize(size), user.into(), sequence);
            match Made::of(&value) {
                Some(made) => {
                    prop_assert_eq!((made.user, made.sequence), (user, sequence));
                    prop_assert_eq!(made.value(), value);
                }
                // Too small for its head.
                None => prop_assert!(size < 70),
            }
        }

        #[test]
        fn what_was_changed_is_not_recognised_as_something_else(
            size in 40u64..3_000, user in 0u32..100, sequence in 0u64..100,
            at: prop::sample::Index, byte: u8,
        ) {
            let mut bytes = value(ByteSize(size), user.into(), sequence).to_vec();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if let Some(made) = Made::of(&bytes) {
                prop_assert_eq!(made.value(), bytes, "another user or sequence");
            }
        }
    }
}
