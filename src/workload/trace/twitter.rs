//! The form of the Twitter cache traces: seven columns without a header, one request a line:
//! `timestamp,anonymized key,key size,value size,client id,operation,TTL`.
//!
//! Times are whole seconds there; ours may have decimals, which other tools cut off. A key may hold
//! commas: the first column is read from the left and the last five from the right. Pure.
//!
//! | operation | becomes |
//! |---|---|
//! | get, gets | get |
//! | set, add, replace, cas, append, prepend, incr, decr | put: the value is another afterwards |
//! | delete | invalidate |

use super::TimeResolution;
use super::error::Fault;
use super::fields::{NoRequest, Raw, SIZE_WANTED, TIME_WANTED, TTL_WANTED};
use super::fields::{seconds_ns, size, some_ttl, ttl, whole};
use super::key::{hash, key_id};
use crate::engine::layer::Operation;

const COLUMNS: &str = "the seven columns timestamp,key,key size,value size,client,operation,TTL";

/// The request of one line.
pub(super) fn parse(line: &[u8]) -> Result<Raw, NoRequest> {
    let [
        time,
        key,
        _key_size,
        value_size,
        client,
        operation,
        time_to_live,
    ] = columns(line).ok_or_else(|| Fault::new("line", line, COLUMNS))?;
    if key.is_empty() {
        return Err(Fault::new("key", key, "a key").at(2).into());
    }
    Ok(Raw {
        time_ns: seconds_ns(time)
            .ok_or_else(|| Fault::new("timestamp", time, TIME_WANTED).at(1))?,
        key: key_id(key),
        operation: operation_of(operation).ok_or_else(|| {
            let wanted =
                "one of get, gets, set, add, replace, cas, append, prepend, delete, incr, decr";
            Fault::new("operation", operation, wanted).at(6)
        })?,
        value_size: size(value_size)
            .ok_or_else(|| Fault::new("value size", value_size, SIZE_WANTED).at(4))?,
        client: client_id(client),
        ttl: ttl(time_to_live)
            .map(some_ttl)
            .ok_or_else(|| Fault::new("TTL", time_to_live, TTL_WANTED).at(7))?,
        times: 1,
    })
}

/// How exact the times are, by the first line.
pub(super) fn resolution(line: &[u8]) -> TimeResolution {
    let time = line.split(|byte| *byte == b',').next();
    if time.is_some_and(|time| time.contains(&b'.')) {
        TimeResolution::Finer
    } else {
        TimeResolution::Seconds
    }
}

/// Whether a line looks like one of this format.
pub(super) fn looks_like(line: &[u8]) -> bool {
    parse(line).is_ok()
}

fn columns(line: &[u8]) -> Option<[&[u8]; 7]> {
    let first = line.iter().position(|byte| *byte == b',')?;
    let (time, mut rest) = (&line[..first], &line[first + 1..]);
    let mut last = [&b""[..]; 5];
    for column in last.iter_mut().rev() {
        let comma = rest.iter().rposition(|byte| *byte == b',')?;
        *column = &rest[comma + 1..];
        rest = &rest[..comma];
    }
    let [key_size, value_size, client, operation, ttl] = last;
    Some([time, rest, key_size, value_size, client, operation, ttl])
}

/// A number is itself, words are hashed, nothing is 0.
fn client_id(text: &[u8]) -> u64 {
    match text {
        b"" => 0,
        text => whole(text).unwrap_or_else(|| hash(text)),
    }
}

fn operation_of(word: &[u8]) -> Option<Operation> {
    match word {
        b"get" | b"gets" => Some(Operation::Get),
        b"set" | b"add" | b"replace" | b"cas" | b"append" | b"prepend" | b"incr" | b"decr" => {
            Some(Operation::Put)
        }
        b"delete" => Some(Operation::Invalidate),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn fault(line: &str) -> String {
        match parse(line.as_bytes()) {
            Err(NoRequest::Malformed(fault)) => fault.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_line_is_a_request() {
        let raw = parse(b"17,nz:u:eeW511W3dcH3de3d15ec,22,304,8,set,86400").expect("a request");
        let wanted = Raw {
            time_ns: 17_000_000_000,
            key: key_id(b"nz:u:eeW511W3dcH3de3d15ec"),
            operation: Operation::Put,
            value_size: 304,
            ttl: Some(Duration::from_hours(24)),
            client: 8,
            times: 1,
        };
        assert_eq!(raw, wanted);
    }

    #[test]
    fn a_key_may_hold_commas_and_a_client_may_be_a_word() {
        let raw = parse(b"0,a,b,c,5,1,web-7,get,0").expect("a request");
        assert_eq!(raw.key, key_id(b"a,b,c"));
        assert_eq!(raw.client, hash(b"web-7"));
    }

    #[test]
    fn operations_become_ours() {
        let of =
            |word: &str| parse(format!("0,k,1,1,0,{word},0").as_bytes()).map(|raw| raw.operation);
        for (words, operation) in [
            ("get gets", Operation::Get),
            (
                "set add replace cas append prepend incr decr",
                Operation::Put,
            ),
            ("delete", Operation::Invalidate),
        ] {
            for word in words.split(' ') {
                assert_eq!(of(word), Ok(operation), "{word}");
            }
        }
    }

    #[test]
    fn a_fault_names_its_field() {
        insta::assert_snapshot!(fault("x,k,1,1,0,get,0"), @r#"field 1 (timestamp): "x" is not a time in seconds, such as 604038471 or 12.5"#);
        insta::assert_snapshot!(fault("0,,1,1,0,get,0"), @r#"field 2 (key): "" is not a key"#);
        insta::assert_snapshot!(fault("0,k,1,-1,0,get,0"), @r#"field 4 (value size): "-1" is not a size in bytes below 4 GiB"#);
        insta::assert_snapshot!(fault("0,k,1,1,0,touch,0"), @r#"field 6 (operation): "touch" is not one of get, gets, set, add, replace, cas, append, prepend, delete, incr, decr"#);
        insta::assert_snapshot!(fault("0,k,1,1,0,get,1h"), @r#"field 7 (TTL): "1h" is not a TTL in seconds, 0 for none"#);
        insta::assert_snapshot!(fault("0,k,1,1,0,get"), @r#"line: "0,k,1,1,0,get" is not the seven columns timestamp,key,key size,value size,client,operation,TTL"#);
    }
}
