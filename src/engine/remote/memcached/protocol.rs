//! memcached's meta text protocol, as far as the cache needs it: commands as bytes, bytes as
//! replies.
//!
//! Pure. Knows no connection and no entry. (memcached, `doc/protocol.txt`, "Meta Commands".)

use std::fmt::{self, Write as _};
use std::time::Duration;

use bytes::{Bytes, BytesMut};

/// memcached's own limit.
const KEY_BYTES_MAX: usize = 250;
/// A line of a reply is a few flags; more is not memcached.
const LINE_BYTES_MAX: usize = 8_192;
/// The largest item that a memcached can be told to hold (`-I`).
const VALUE_BYTES_MAX: usize = 1 << 30;
/// memcached takes larger numbers for moments instead of durations.
const TTL_MAX_S: u64 = 30 * 24 * 60 * 60;

/// Names an item's state; memcached gives a new one at every write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cas(pub(super) u64);

/// A key that memcached takes: 1 to 250 bytes, none of them a space or a control character.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WireKey(String);

/// A key that memcached cannot hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a key of memcached has from 1 to {KEY_BYTES_MAX} bytes and neither spaces nor control \
     characters; use a shorter key pattern, or plain parameters"
)]
pub(super) struct BadKey;

impl WireKey {
    pub(super) fn new(text: String) -> Result<Self, BadKey> {
        let plain = |byte: u8| byte > b' ' && byte != 0x7f;
        let good = (1..=KEY_BYTES_MAX).contains(&text.len()) && text.bytes().all(plain);
        if good { Ok(Self(text)) } else { Err(BadKey) }
    }
}

/// When a value may be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    Always,
    /// Nothing is there.
    Absent,
    /// What is there is still in this state.
    Unchanged(Cas),
}

/// One thing asked of memcached; each has exactly one reply.
#[derive(Clone, Debug)]
pub(super) enum Command<'c> {
    /// The value and its state.
    Get(&'c WireKey),
    Set(&'c WireKey, &'c [u8], Duration, When),
    Delete(&'c WireKey, When),
    /// Adds one and gives the sum; what is not there begins at one and lives this long.
    Count(&'c WireKey, Duration),
    Version,
}

impl Command<'_> {
    pub(super) fn encode(&self) -> Bytes {
        let mut head = String::new();
        let value = match self {
            Self::Get(WireKey(key)) => {
                put(&mut head, format_args!("mg {key} v c"));
                None
            }
            Self::Set(WireKey(key), value, ttl, when) => {
                let (length, ttl) = (value.len(), seconds(*ttl));
                put(&mut head, format_args!("ms {key} {length} T{ttl}"));
                put_condition(&mut head, *when);
                Some(*value)
            }
            Self::Delete(WireKey(key), when) => {
                put(&mut head, format_args!("md {key}"));
                put_condition(&mut head, *when);
                None
            }
            Self::Count(WireKey(key), ttl) => {
                let ttl = seconds(*ttl);
                put(&mut head, format_args!("ma {key} N{ttl} J1 D1 v t"));
                None
            }
            Self::Version => {
                put(&mut head, format_args!("version"));
                None
            }
        };
        let mut bytes = BytesMut::with_capacity(head.len() + 4 + value.map_or(0, <[u8]>::len));
        bytes.extend_from_slice(head.as_bytes());
        bytes.extend_from_slice(b"\r\n");
        if let Some(value) = value {
            bytes.extend_from_slice(value);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.freeze()
    }
}

fn put(text: &mut String, what: fmt::Arguments<'_>) {
    let written = text.write_fmt(what);
    debug_assert!(written.is_ok(), "writing to a String cannot fail");
}

fn put_condition(text: &mut String, when: When) {
    match when {
        When::Always => {}
        // "E" for "add", as the protocol spells it.
        When::Absent => text.push_str(" ME"),
        When::Unchanged(Cas(cas)) => put(text, format_args!(" C{cas}")),
    }
}

/// Whole seconds, at least one: 0 would mean for ever. memcached's clock ticks once a second, so an
/// item may go up to a second early; it never stays longer than asked, rounded up.
fn seconds(ttl: Duration) -> u64 {
    let whole = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
    whole.clamp(1, TTL_MAX_S)
}

/// What memcached answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// `HD`: done, and nothing to tell.
    Done,
    /// `VA`: a value.
    Value {
        data: Bytes,
        cas: Option<Cas>,
        /// How long it still lives.
        ttl: Option<Duration>,
    },
    /// `EN` or `NF`: nothing is there.
    Missing,
    /// `NS`: not stored; something is there that should not be.
    NotStored,
    /// `EX`: not stored; it has changed.
    Changed,
    Version(String),
    /// `SERVER_ERROR`: it understood, and could not.
    Failed(String),
    /// `ERROR` or `CLIENT_ERROR`: it did not understand, so what follows may be anything.
    Misunderstood(String),
}

/// Bytes that memcached would not send.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what answers is not memcached: {0:?}")]
pub(super) struct NotMemcached(String);

/// Takes the first reply from the front of `buffer`; `None` if it is not all there yet.
pub(super) fn take_reply(buffer: &mut BytesMut) -> Result<Option<Reply>, NotMemcached> {
    let Some(end) = buffer.windows(2).position(|pair| pair == b"\r\n") else {
        if buffer.len() > LINE_BYTES_MAX {
            return Err(strange(buffer));
        }
        return Ok(None);
    };
    let line = std::str::from_utf8(&buffer[..end]).map_err(|_| strange(buffer))?;
    let mut words = line.split(' ');
    let reply = match words.next().unwrap_or_default() {
        "VA" => {
            let length: Option<usize> = words.next().and_then(|word| word.parse().ok());
            let length = length.filter(|length| *length <= VALUE_BYTES_MAX);
            let length = length.ok_or_else(|| strange(buffer))?;
            let (from, to) = (end + 2, end + 2 + length);
            if buffer.len() < to + 2 {
                return Ok(None);
            }
            if &buffer[to..to + 2] != b"\r\n" {
                return Err(strange(buffer));
            }
            let flags: Vec<&str> = words.collect();
            let reply = Reply::Value {
                // A copy: a slice would keep the whole buffer alive as long as the value.
                data: Bytes::copy_from_slice(&buffer[from..to]),
                cas: number(&flags, 'c').map(Cas),
                ttl: number(&flags, 't').map(Duration::from_secs),
            };
            let _ = buffer.split_to(to + 2);
            return Ok(Some(reply));
        }
        "HD" => Reply::Done,
        "EN" | "NF" => Reply::Missing,
        "NS" => Reply::NotStored,
        "EX" => Reply::Changed,
        "VERSION" => Reply::Version(words.collect::<Vec<_>>().join(" ")),
        "SERVER_ERROR" => Reply::Failed(words.collect::<Vec<_>>().join(" ")),
        "ERROR" | "CLIENT_ERROR" => Reply::Misunderstood(line.to_owned()),
        _ => return Err(strange(buffer)),
    };
    let _ = buffer.split_to(end + 2);
    Ok(Some(reply))
}

/// The number behind the flag `letter`; none for `t-1`, which lives for ever.
fn number(flags: &[&str], letter: char) -> Option<u64> {
    flags
        .iter()
        .find_map(|flag| flag.strip_prefix(letter))?
        .parse()
        .ok()
}

fn strange(buffer: &[u8]) -> NotMemcached {
    let shown = &buffer[..buffer.len().min(60)];
    NotMemcached(String::from_utf8_lossy(shown).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(text: &str) -> WireKey {
        WireKey::new(text.to_owned()).expect(text)
    }

    fn encoded(command: &Command<'_>) -> String {
        String::from_utf8(command.encode().to_vec()).expect("text")
    }

    fn take(bytes: &[u8]) -> Result<Option<Reply>, NotMemcached> {
        take_reply(&mut BytesMut::from(bytes))
    }

    #[test]
    fn commands_are_spelled_as_memcached_reads_them() {
        let (key, minute) = (key("product:7"), Duration::from_mins(1));
        let commands = [
            Command::Get(&key),
            Command::Set(&key, b"abc", minute, When::Always),
            Command::Set(&key, b"", minute, When::Absent),
            Command::Set(&key, b"a\r\nb", minute, When::Unchanged(Cas(17))),
            Command::Delete(&key, When::Always),
            Command::Delete(&key, When::Unchanged(Cas(17))),
            Command::Count(&key, Duration::from_hours(1)),
            Command::Version,
        ];
        let text: String = commands.iter().map(encoded).collect();
        insta::assert_snapshot!(text.replace("\r\n", "↵"), @"mg product:7 v c↵ms product:7 3 T60↵abc↵ms product:7 0 T60 ME↵↵ms product:7 4 T60 C17↵a↵b↵md product:7↵md product:7 C17↵ma product:7 N3600 J1 D1 v t↵version↵");
    }

    #[test]
    fn durations_are_whole_seconds_and_never_for_ever() {
        for (ttl, told) in [
            (Duration::ZERO, 1),
            (Duration::from_millis(1), 1),
            (Duration::from_millis(1_001), 2),
            (Duration::from_hours(24), 86_400),
            (Duration::from_hours(24 * 365), TTL_MAX_S),
        ] {
            assert_eq!(seconds(ttl), told, "{ttl:?}");
        }
    }

    #[test]
    fn a_key_cannot_carry_a_second_command() {
        for bad in ["", "a b", "a\r\nmd b", "a\0", "a\u{7f}", &"k".repeat(251)] {
            assert_eq!(WireKey::new(bad.to_owned()), Err(BadKey), "{bad:?}");
        }
        assert!(WireKey::new("k".repeat(250)).is_ok());
        assert!(WireKey::new("kundé:7".to_owned()).is_ok());
    }

    #[test]
    fn replies_are_read() {
        let value = Reply::Value {
            data: Bytes::from_static(b"a\r\nb"),
            cas: Some(Cas(9)),
            ttl: Some(Duration::from_secs(30)),
        };
        assert_eq!(take(b"VA 4 c9 t30\r\na\r\nb\r\n"), Ok(Some(value)));
        for (line, reply) in [
            ("HD", Reply::Done),
            ("HD c5", Reply::Done),
            ("EN", Reply::Missing),
            ("NF", Reply::Missing),
            ("NS", Reply::NotStored),
            ("EX", Reply::Changed),
            ("VERSION 1.6.18", Reply::Version("1.6.18".to_owned())),
            (
                "SERVER_ERROR out of memory",
                Reply::Failed("out of memory".to_owned()),
            ),
            ("ERROR", Reply::Misunderstood("ERROR".to_owned())),
        ] {
            let bytes = format!("{line}\r\n");
            assert_eq!(take(bytes.as_bytes()), Ok(Some(reply)), "{line}");
        }
        for strange in ["+PONG", "VA x", "VA 3", "HTTP/1.1 400 Bad Request"] {
            let bytes = format!("{strange}\r\nabcdef");
            assert!(take(bytes.as_bytes()).is_err(), "{strange}");
        }
        assert!(take(&[b'x'; LINE_BYTES_MAX + 1]).is_err());
    }

    proptest! {
        /// Whatever is cut where, the replies are the same, and none is taken too early.
        #[test]
        fn replies_arrive_in_pieces(
            values in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..8),
            piece in 1usize..20,
        ) {
            let mut stream = Vec::new();
            for value in &values {
                stream.extend(format!("VA {} c1\r\n", value.len()).into_bytes());
                stream.extend(value);
                stream.extend(b"\r\nEN\r\n");
            }
            let (mut buffer, mut replies) = (BytesMut::new(), Vec::new());
            for bytes in stream.chunks(piece) {
                buffer.extend_from_slice(bytes);
                while let Some(reply) = take_reply(&mut buffer).expect("memcached's words") {
                    replies.push(reply);
                }
            }
            prop_assert!(buffer.is_empty());
            prop_assert_eq!(replies.len(), values.len() * 2);
            for (pair, value) in replies.chunks(2).zip(values) {
                let wanted = Reply::Value { data: value.into(), cas: Some(Cas(1)), ttl: None };
                prop_assert_eq!(&pair[0], &wanted);
                prop_assert_eq!(&pair[1], &Reply::Missing);
            }
        }

        #[test]
        fn no_bytes_are_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = take(&bytes);
        }
    }
}
