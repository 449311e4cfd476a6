//! Values of rows that nobody wrote: text that looks like JSON and can be told apart.
//!
//! Used by the database for its prefilled rows, and by whoever writes and has nothing of its own
//! to say. The same seed, key and version give the same bytes.

use bytes::Bytes;
use rand::RngExt as _;

use crate::engine::data_type::Key;
use crate::engine::layer::Version;
use crate::seed::{Seed, fnv1a};
use crate::units::ByteSize;

const PADDING: &[u8; 64] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";

/// A value of exactly `size` bytes: `{"key":"…","version":…,"data":"…"}`, filled up with text that
/// does not compress well. If `size` is too small for that, its beginning.
pub fn generated_value(seed: Seed, key: &Key, version: Version, size: ByteSize) -> Bytes {
    const END: &[u8] = b"\"}";
    let size = size.0 as usize;
    let mut value = Vec::with_capacity(size.max(64));
    value.extend_from_slice(
        format!("{{\"key\":\"{key}\",\"version\":{version},\"data\":\"").as_bytes(),
    );
    let padding = size.saturating_sub(value.len() + END.len());
    let mut stream = seed
        .fork("value")
        .fork_index(fnv1a(key.as_str().as_bytes()))
        .stream_of("version", version.0);
    let mut bits: u64 = 0;
    for at in 0..padding {
        // A draw is good for ten letters of six bits.
        bits = if at % 10 == 0 {
            stream.random()
        } else {
            bits >> 6
        };
        value.push(PADDING[(bits & 63) as usize]);
    }
    value.extend_from_slice(END);
    value.truncate(size);
    value.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value(seed: u64, key: &str, version: u64, size: u64) -> Bytes {
        generated_value(Seed(seed), &Key::new(key), Version(version), ByteSize(size))
    }

    #[test]
    fn a_value_is_json_that_names_its_key_and_version() {
        let bytes = value(1, "customer:360:17", 3, 2_048);
        let json: serde_json::Value = serde_json::from_slice(&bytes).expect("JSON");
        assert_eq!(
            (&json["key"], &json["version"]),
            (&"customer:360:17".into(), &3.into())
        );
        assert_eq!(bytes.len(), 2_048);
    }

    #[test]
    fn the_same_is_the_same_and_another_is_another() {
        let one = value(1, "a", 0, 200);
        assert_eq!(one, value(1, "a", 0, 200));
        for other in [
            value(2, "a", 0, 200),
            value(1, "b", 0, 200),
            value(1, "a", 1, 200),
        ] {
            // Not only the key and version in front, but the padding, too.
            assert_ne!(one[100..], other[100..]);
        }
    }

    proptest! {
        #[test]
        fn a_value_has_exactly_its_size(size in 0u64..5_000, key in "[a-z:0-9]{0,40}") {
            prop_assert_eq!(value(7, &key, 5, size).len() as u64, size);
        }
    }
}
