//! Which slot of a Cluster a key lies in, and which key a command is about.
//!
//! Pure; after the Redis Cluster specification, "Key distribution model" and "Hash tags". Called by
//! what routes commands, and by what makes keys that must lie together.

use ::redis::{Arg, Cmd};

/// How many slots a Cluster has.
pub(crate) const SLOTS: u16 = 16_384;

/// CRC-16/XMODEM (polynomial 0x1021), one entry for each byte.
const CRC16: [u16; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 == 0 {
                crc << 1
            } else {
                (crc << 1) ^ 0x1021
            };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (crc << 8) ^ CRC16[usize::from((crc >> 8) ^ u16::from(*byte)) & 0xff]
    })
}

/// The slot of `key`: of its hash tag, if it has one, else of the whole key.
pub(crate) fn slot_of(key: &[u8]) -> u16 {
    crc16(hash_tag(key).unwrap_or(key)) % SLOTS
}

/// What stands between the first `{` and the next `}`, if it is not empty.
fn hash_tag(key: &[u8]) -> Option<&[u8]> {
    let open = key.iter().position(|byte| *byte == b'{')?;
    let tag = &key[open + 1..];
    let close = tag.iter().position(|byte| *byte == b'}')?;
    (close > 0).then(|| &tag[..close])
}

/// The key that decides where `command` goes; `None` if it has none and may go anywhere. Knows the
/// commands of this room; any other is taken to have its key first, as most have.
pub(super) fn key_of(command: &Cmd) -> Option<&[u8]> {
    let mut args = command.args_iter().map(|arg| match arg {
        Arg::Simple(bytes) => bytes,
        _ => &[],
    });
    let name = args.next()?;
    let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
    if [
        "PING", "PUBLISH", "SCRIPT", "INFO", "MULTI", "EXEC", "ASKING", "ROLE", "TIME", "CLUSTER",
    ]
    .iter()
    .any(|known| is(known))
    {
        return None;
    }
    if is("EVALSHA") || is("EVAL") {
        return args
            .nth(1)
            .filter(|count| *count != b"0")
            .and_then(|_| args.next());
    }
    if is("XGROUP") || is("XINFO") {
        return args.nth(1);
    }
    if is("XREAD") || is("XREADGROUP") {
        return args
            .by_ref()
            .find(|arg| arg.eq_ignore_ascii_case(b"STREAMS"))
            .and_then(|_| args.next());
    }
    args.next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::redis::cmd;
    use proptest::prelude::*;

    /// From the specification, and as redis-server's CLUSTER KEYSLOT tells.
    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!(slot_of(b"foo"), 12_182);
        assert_eq!(slot_of(b"somekey"), 11_058);
        assert_eq!(
            slot_of(b"{user1000}.following"),
            slot_of(b"{user1000}.followers")
        );
        assert_eq!(slot_of(b"foo{{bar}}zap"), slot_of(b"{bar"));
        assert_eq!(slot_of(b"foo{bar}{zap}"), slot_of(b"bar"));
        assert_eq!(slot_of(b"foo{}{bar}"), crc16(b"foo{}{bar}") % SLOTS);
    }

    #[test]
    fn the_key_of_each_command_is_found() {
        let mut script = cmd("EVALSHA");
        script
            .arg("sha")
            .arg(2)
            .arg("key")
            .arg("other")
            .arg("argument");
        let mut group = cmd("XGROUP");
        group.arg(&["CREATE", "key", "group", "0", "MKSTREAM"]);
        let mut read = cmd("xreadgroup");
        read.arg(&["GROUP", "group", "me", "COUNT", "5", "STREAMS", "key", ">"]);
        let mut get = cmd("GET");
        get.arg("key");
        for command in [&script, &group, &read, &get] {
            assert_eq!(key_of(command), Some(&b"key"[..]), "{command:?}");
        }
        let mut publish = cmd("PUBLISH");
        publish.arg("channel").arg("message");
        let mut keyless = cmd("EVALSHA");
        keyless.arg("sha").arg(0).arg("argument");
        for command in [&publish, &keyless, &cmd("PING"), &cmd("GET")] {
            assert_eq!(key_of(command), None, "{command:?}");
        }
    }

    proptest! {
        #[test]
        fn every_key_has_a_slot_and_a_tag_decides_it(
            key in prop::collection::vec(any::<u8>(), 0..40),
            tag in "[a-z0-9]{1,9}",
        ) {
            prop_assert!(slot_of(&key) < SLOTS);
            let tagged = [b"{", tag.as_bytes(), b"}", &key[..]].concat();
            prop_assert_eq!(slot_of(&tagged), slot_of(tag.as_bytes()));
        }
    }
}
