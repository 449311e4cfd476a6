//! The lines of Redis' MONITOR, as `redis-cli monitor` prints them:
//! `1339518083.107412 [0 127.0.0.1:60866] "set" "x" "6"`.
//!
//! What `redis_commands.rs` makes of a command is a request, or several, as MGET and MSET are. The key of
//! a database other than 0 is taken for `dbN:KEY`. A client is a connection. Called by the trace reader
//! and by the capture. Pure.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::time::Duration;

use super::error::Fault;
use super::fields::{NoRequest, Raw, seconds_ns, whole};
use super::key::{hash, key_id};
use super::redis_commands::accesses;

const LINE_WANTED: &str =
    "a line of MONITOR such as 1339518083.107412 [0 127.0.0.1:60866] \"get\" \"x\"";
const TIME_WANTED: &str = "a time in seconds, such as 1339518083.107412";
const ARGUMENTS_WANTED: &str = "a list of quoted arguments";

/// Reads lines; keeps its buffers from one to the next.
#[derive(Debug, Default)]
pub(crate) struct MonitorParser {
    /// The arguments, unescaped, one behind the other, and where each ends.
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

/// One command that a server ran.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Command<'p> {
    /// When, since the Unix epoch.
    pub(crate) time_ns: u64,
    pub(crate) database: u64,
    /// The connection's address, or `lua`.
    pub(crate) client: &'p [u8],
    bytes: &'p [u8],
    ends: &'p [usize],
}

impl<'p> Command<'p> {
    /// The argument at `index`; the command's name is at 0.
    pub(crate) fn argument(&self, index: usize) -> Option<&'p [u8]> {
        let end = *self.ends.get(index)?;
        let start = match index {
            0 => 0,
            _ => self.ends[index - 1],
        };
        Some(&self.bytes[start..end])
    }

    /// How many arguments there are, the name among them.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// A key of this command among those of all databases.
    pub(crate) fn qualified(&self, key: &'p [u8]) -> Cow<'p, [u8]> {
        match self.database {
            0 => Cow::Borrowed(key),
            database => Cow::Owned([format!("db{database}:").as_bytes(), key].concat()),
        }
    }
}

impl MonitorParser {
    /// The command of one line; `Silent` for the greeting.
    pub(crate) fn command<'p>(&'p mut self, line: &'p [u8]) -> Result<Command<'p>, NoRequest> {
        // telnet shows the sign of a status answer.
        let line = line.strip_prefix(b"+").unwrap_or(line);
        if line == b"OK" {
            return Err(NoRequest::Silent);
        }
        let [time, place, arguments] =
            parts(line).ok_or_else(|| Fault::new("line", line, LINE_WANTED))?;
        let time_ns = seconds_ns(time).ok_or_else(|| Fault::new("time", time, TIME_WANTED))?;
        let space = place.iter().position(|byte| *byte == b' ');
        let (database, client) = place.split_at(space.unwrap_or(place.len()));
        let database =
            whole(database).ok_or_else(|| Fault::new("database", database, "a number"))?;
        self.unescape(arguments)
            .ok_or_else(|| Fault::new("arguments", arguments, ARGUMENTS_WANTED))?;
        Ok(Command {
            time_ns,
            database,
            client: client.trim_ascii(),
            bytes: &self.bytes,
            ends: &self.ends,
        })
    }

    /// `"set" "a\"b" "\xff"`, as Redis escapes it.
    fn unescape(&mut self, text: &[u8]) -> Option<()> {
        self.bytes.clear();
        self.ends.clear();
        let mut rest = text;
        while !rest.is_empty() {
            rest = rest.strip_prefix(b"\"")?;
            loop {
                let plain = rest.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
                self.bytes.extend_from_slice(&rest[..plain]);
                let (sign, after) = (rest[plain], &rest[plain + 1..]);
                if sign == b'"' {
                    rest = after;
                    break;
                }
                let (byte, length) = escaped(after)?;
                self.bytes.push(byte);
                rest = &after[length..];
            }
            self.ends.push(self.bytes.len());
            rest = match rest {
                [] => rest,
                _ => rest.strip_prefix(b" ")?,
            };
        }
        (!self.ends.is_empty()).then_some(())
    }
}

/// The requests of one line.
pub(super) fn parse(
    parser: &mut MonitorParser,
    line: &[u8],
    into: &mut VecDeque<Raw>,
) -> Result<(), NoRequest> {
    let command = parser.command(line)?;
    let client = hash(command.client);
    accesses(&command, &mut |access| {
        into.push_back(Raw {
            time_ns: command.time_ns,
            key: key_id(&command.qualified(access.key)),
            operation: access.operation,
            value_size: access.value_size,
            ttl: access.ttl,
            client,
            times: 1,
        });
    })
}

/// The byte that stands behind a backslash, and the length of what stands for it.
fn escaped(text: &[u8]) -> Option<(u8, usize)> {
    let byte = match text.first()? {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'a' => 7,
        b'b' => 8,
        b'x' => {
            let digits = std::str::from_utf8(text.get(1..3)?).ok()?;
            let hexadecimal = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
            let byte = u8::from_str_radix(digits, 16).ok()?;
            return hexadecimal.then_some((byte, 3));
        }
        byte @ (b'"' | b'\\') => *byte,
        _ => return None,
    };
    Some((byte, 1))
}

/// Time, database with client, and arguments.
fn parts(line: &[u8]) -> Option<[&[u8]; 3]> {
    let open = line.windows(2).position(|two| two == b" [")?;
    // An address may hold brackets itself.
    let behind = &line[open + 2..];
    let close = behind.windows(3).position(|three| three == b"] \"")?;
    Some([&line[..open], &behind[..close], &behind[close + 2..]])
}

/// Whether a line looks like one of this format.
pub(super) fn looks_like(line: &[u8]) -> bool {
    !matches!(
        MonitorParser::default().command(line),
        Err(NoRequest::Malformed(_))
    )
}

/// When a command was run, for TTLs that are given as a moment.
pub(super) fn since_epoch(command: &Command<'_>) -> Duration {
    Duration::from_nanos(command.time_ns)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn arguments(line: &str) -> Vec<Vec<u8>> {
        let mut parser = MonitorParser::default();
        let command = parser.command(line.as_bytes()).expect("a command");
        (0..command.len())
            .map(|at| command.argument(at).expect("an argument").to_vec())
            .collect()
    }

    #[test]
    fn a_line_is_a_command() {
        let mut parser = MonitorParser::default();
        let command = parser
            .command(b"1339518083.107412 [3 [::1]:60866] \"get\" \"a] \\\"b\"")
            .expect("a command");
        assert_eq!(command.time_ns, 1_339_518_083_107_412_000);
        assert_eq!((command.database, command.client), (3, &b"[::1]:60866"[..]));
        assert_eq!(command.argument(1), Some(&b"a] \"b"[..]));
        assert_eq!(&*command.qualified(b"k"), b"db3:k");
        assert_eq!(command.argument(2).is_none(), command.len() == 2);
    }

    #[test]
    fn escapes_are_undone() {
        let line = r#"1.5 [0 lua] "set" "\"\\\n\r\t\a\b\x00\xff" "" "kunde:m\xc3\xbcnchen""#;
        let wanted: [&[u8]; 4] = [
            b"set",
            b"\"\\\n\r\t\x07\x08\x00\xff",
            b"",
            "kunde:münchen".as_bytes(),
        ];
        assert_eq!(arguments(line), wanted);
    }

    #[test]
    fn a_greeting_says_nothing_and_the_sign_of_an_answer_neither() {
        let mut parser = MonitorParser::default();
        for greeting in ["OK", "+OK"] {
            let found = parser.command(greeting.as_bytes());
            assert!(matches!(found, Err(NoRequest::Silent)), "{found:?}");
        }
        assert_eq!(arguments("+1.5 [0 a:1] \"ping\""), [b"ping"]);
    }

    #[test]
    fn a_fault_says_what_would_be_right() {
        let fault = |line: &str| match MonitorParser::default().command(line.as_bytes()) {
            Err(NoRequest::Malformed(fault)) => fault.to_string(),
            other => panic!("{other:?}"),
        };
        insta::assert_snapshot!(fault("hello"), @r#"line: "hello" is not a line of MONITOR such as 1339518083.107412 [0 127.0.0.1:60866] "get" "x""#);
        insta::assert_snapshot!(fault("now [0 a:1] \"get\" \"x\""), @r#"time: "now" is not a time in seconds, such as 1339518083.107412"#);
        insta::assert_snapshot!(fault("1.5 [x a:1] \"get\" \"x\""), @r#"database: "x" is not a number"#);
        insta::assert_snapshot!(fault("1.5 [0 a:1] \"get\" \"x"), @r#"arguments: "\"get\" \"x" is not a list of quoted arguments"#);
        insta::assert_snapshot!(fault("1.5 [0 a:1] \"get\" \"\\y\""), @r#"arguments: "\"get\" \"\\y\"" is not a list of quoted arguments"#);
    }

    /// As Redis does it (`sdscatrepr`).
    fn quoted(argument: &[u8]) -> String {
        let mut text = String::from("\"");
        for byte in argument {
            match byte {
                b'"' | b'\\' => text.extend(['\\', char::from(*byte)]),
                b'\n' => text.push_str("\\n"),
                7 => text.push_str("\\a"),
                b' '..=b'~' => text.push(char::from(*byte)),
                _ => text.extend(format!("\\x{byte:02x}").chars()),
            }
        }
        text + "\""
    }

    proptest! {
        #[test]
        fn any_bytes_survive_their_escapes(
            given in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..12), 1..5),
        ) {
            let quoted: Vec<String> = given.iter().map(|argument| quoted(argument)).collect();
            let line = format!("1.5 [0 a:1] {}", quoted.join(" "));
            prop_assert_eq!(arguments(&line), given);
        }

        #[test]
        fn parsing_never_panics(line in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = parse(&mut MonitorParser::default(), &line, &mut VecDeque::new());
        }
    }
}
