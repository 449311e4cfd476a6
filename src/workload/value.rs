//! The values that users write: of a wanted size, readable as JSON, different for every request.
//!
//! Called by drivers for each write. Pure and cheap: a short head, and a slice of one pattern.

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

/// The value that `user` writes with its request number `sequence`: exactly `size` bytes. It is
/// a JSON object that names both where they fit, and else a JSON string or number as short as
/// that. The same arguments give the same bytes.
pub fn value(size: ByteSize, user: u64, sequence: u64) -> Bytes {
    const END: &[u8] = b"\"}";
    let size = usize::try_from(size.0).unwrap_or(usize::MAX);
    let mut value = Vec::with_capacity(size);
    let written = write!(
        value,
        "{{\"user\":{user},\"sequence\":{sequence},\"data\":\""
    );
    debug_assert!(written.is_ok(), "writing to a Vec cannot fail");
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
    }
}
