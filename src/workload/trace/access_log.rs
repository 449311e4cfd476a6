//! Access logs of web servers in common log format, `host ident user [time] "request" status bytes`, or
//! in combined log format, which adds referrer and browser.
//!
//! The key is the request's target as it stands, with its query and without its fragment; the client is
//! the host; the value's size is that of the answer's body. Requests are taken whatever their status:
//! what asks for a thing that is not there asks nevertheless. Pure.
//!
//! | method | becomes |
//! |---|---|
//! | GET, HEAD | get |
//! | PUT, POST, PATCH | put, of a size that the log does not tell |
//! | DELETE | invalidate |
//! | any other, or no request at all (`-`, as in a 400 or 408) | skipped and counted |

use super::error::Fault;
use super::fields::{NoRequest, Raw, whole};
use super::key::{hash, key_id};
use crate::engine::layer::Operation;

const LINE_WANTED: &str =
    "of the form host ident user [10/Oct/2000:13:55:36 -0700] \"GET /path HTTP/1.1\" 200 2326";
const TIME_WANTED: &str = "a time such as 10/Oct/2000:13:55:36 -0700";
const BYTES_WANTED: &str = "a size in bytes, or -";
const STATUS_WANTED: &str = "a status of three digits";

/// The request of one line.
pub(super) fn parse(line: &[u8]) -> Result<Raw, NoRequest> {
    let whole_line = || Fault::new("line", line, LINE_WANTED);
    let open = find(line, b'[').ok_or_else(whole_line)?;
    let close = open + find(&line[open..], b']').ok_or_else(whole_line)?;
    let host = line.split(|byte| *byte == b' ').next().unwrap_or_default();
    let rest = line[close + 1..].trim_ascii_start();
    let quoted = rest.strip_prefix(b"\"").ok_or_else(whole_line)?;
    let end = end_of_quoted(quoted).ok_or_else(whole_line)?;
    let (request, after) = (&quoted[..end], &quoted[end + 1..]);
    let mut after = after.trim_ascii_start().split(|byte| *byte == b' ');
    let (status, bytes) = (after.next(), after.next().unwrap_or_default());
    let status = status.filter(|status| status.len() == 3 && whole(status).is_some());
    status.ok_or_else(|| Fault::new("status", &quoted[end + 1..], STATUS_WANTED))?;
    let time = &line[open + 1..close];
    let time_s = unix_time_s(time).ok_or_else(|| Fault::new("time", time, TIME_WANTED))?;
    let (operation, target) = asked(request)?;
    let size = body_size(bytes).ok_or_else(|| Fault::new("bytes", bytes, BYTES_WANTED))?;
    Ok(Raw {
        time_ns: time_s * 1_000_000_000,
        key: key_id(target),
        operation,
        value_size: if operation == Operation::Get { size } else { 0 },
        ttl: None,
        client: hash(host),
        times: 1,
    })
}

/// Whether a line looks like one of this format.
pub(super) fn looks_like(line: &[u8]) -> bool {
    !matches!(parse(line), Err(NoRequest::Malformed(_)))
}

fn find(text: &[u8], wanted: u8) -> Option<usize> {
    text.iter().position(|byte| *byte == wanted)
}

/// Where the quote ends that `text` is in; servers escape quotes in it.
fn end_of_quoted(text: &[u8]) -> Option<usize> {
    let mut escaped = false;
    text.iter().position(|byte| {
        let ends = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        ends
    })
}

/// What the request line asks, and of what.
fn asked(request: &[u8]) -> Result<(Operation, &[u8]), NoRequest> {
    let mut words = request.split(|byte| *byte == b' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next());
    let Some(target) = target.filter(|target| !target.is_empty()) else {
        return Err(NoRequest::Skipped("no request".to_owned()));
    };
    let operation = match method {
        b"GET" | b"HEAD" => Operation::Get,
        b"PUT" | b"POST" | b"PATCH" => Operation::Put,
        b"DELETE" => Operation::Invalidate,
        _ => return Err(NoRequest::Skipped(skipped_method(method))),
    };
    let fragment = find(target, b'#').filter(|at| *at > 0);
    Ok((operation, &target[..fragment.unwrap_or(target.len())]))
}

/// The reason to skip a method: its name, if it is one; what attackers send in its place is not told.
fn skipped_method(method: &[u8]) -> String {
    let known: [&str; 6] = ["OPTIONS", "CONNECT", "TRACE", "PROPFIND", "REPORT", "PURGE"];
    let name = known.into_iter().find(|name| name.as_bytes() == method);
    format!("method {}", name.unwrap_or("unknown"))
}

/// What the log says of the body: `-` for none. A body beyond 4 GiB counts as 4 GiB.
fn body_size(text: &[u8]) -> Option<u32> {
    match text {
        b"-" => Some(0),
        digits => whole(digits).map(|size| u32::try_from(size).unwrap_or(u32::MAX)),
    }
}

/// `10/Oct/2000:13:55:36 -0700` in seconds since the Unix epoch.
fn unix_time_s(text: &[u8]) -> Option<u64> {
    let (clock, zone) = text.split_at_checked(20)?;
    let number = |from: usize, to: usize| whole(&clock[from..to]);
    let separators = [(2, b'/'), (6, b'/'), (11, b':'), (14, b':'), (17, b':')];
    if !separators.iter().all(|(at, sign)| clock[*at] == *sign) {
        return None;
    }
    let (day, year) = (number(0, 2)?, number(7, 11)?);
    let month = month_of(&clock[3..6])?;
    let (hour, minute, second) = (number(12, 14)?, number(15, 17)?, number(18, 20)?);
    let in_range = (1..=31).contains(&day) && hour < 24 && minute < 60 && second <= 60;
    if !in_range || year < 1970 {
        return None;
    }
    let local = days_since_1970(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second;
    let offset_s = match zone.trim_ascii() {
        b"" => 0,
        zone => zone_s(zone)?,
    };
    local.checked_add_signed(-offset_s)
}

/// `-0700`, in seconds east of Greenwich.
fn zone_s(zone: &[u8]) -> Option<i64> {
    let (sign, digits) = zone.split_first()?;
    let number = whole(digits).filter(|_| digits.len() == 4)?;
    let digits = number.cast_signed();
    let east_s = digits / 100 * 3_600 + digits % 100 * 60;
    match sign {
        b'+' => Some(east_s),
        b'-' => Some(-east_s),
        _ => None,
    }
}

fn month_of(name: &[u8]) -> Option<u64> {
    const MONTHS: &[u8] = b"JanFebMarAprMayJunJulAugSepOctNovDec";
    let at = MONTHS.chunks(3).position(|month| month == name)?;
    Some(at as u64 + 1)
}

/// Days from the first of January 1970 to a day of the Gregorian calendar. The year is taken from March
/// on, so that the leap day is its last (Hinnant, "chrono-compatible low-level date algorithms").
fn days_since_1970(year: u64, month: u64, day: u64) -> u64 {
    let year = if month > 2 { year } else { year - 1 };
    let (era, year_of_era) = (year / 400, year % 400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const COMMON: &str = r#"127.0.0.1 - frank [10/Oct/2000:13:55:36 -0700] "GET /apache_pb.gif?a=1#top HTTP/1.0" 200 2326"#;

    fn error(line: &str) -> NoRequest {
        parse(line.as_bytes()).expect_err("no request")
    }

    #[test]
    fn common_and_combined_format_are_read() {
        let wanted = Raw {
            time_ns: 971_211_336_000_000_000,
            key: key_id(b"/apache_pb.gif?a=1"),
            operation: Operation::Get,
            value_size: 2_326,
            ttl: None,
            client: hash(b"127.0.0.1"),
            times: 1,
        };
        assert_eq!(parse(COMMON.as_bytes()), Ok(wanted));
        let combined =
            format!(r#"{COMMON} "http://a.b/\"x\"" "Mozilla/4.08 [en] (Win98; I ;Nav)""#);
        assert_eq!(parse(combined.as_bytes()), Ok(wanted));
    }

    #[test]
    fn what_asks_for_no_thing_is_skipped_by_its_reason() {
        for (request, reason) in [
            ("-", "no request"),
            ("", "no request"),
            ("OPTIONS * HTTP/1.1", "method OPTIONS"),
            (r"\x16\x03\x01 \x02", "method unknown"),
        ] {
            let line = COMMON.replace("GET /apache_pb.gif?a=1#top HTTP/1.0", request);
            assert_eq!(error(&line), NoRequest::Skipped(reason.to_owned()));
        }
    }

    #[test]
    fn quotes_in_a_target_are_part_of_it() {
        let line = COMMON.replace("?a=1#top", r#"\"q\\"#);
        let raw = parse(line.as_bytes()).expect("a request");
        assert_eq!(raw.key, key_id(br#"/apache_pb.gif\"q\\"#));
    }

    #[test]
    fn a_fault_says_what_would_be_right() {
        let fault = |line: String| match error(&line) {
            NoRequest::Malformed(fault) => fault.to_string(),
            other => panic!("{other:?}"),
        };
        insta::assert_snapshot!(fault("hello".to_owned()), @r#"line: "hello" is not of the form host ident user [10/Oct/2000:13:55:36 -0700] "GET /path HTTP/1.1" 200 2326"#);
        insta::assert_snapshot!(fault(COMMON.replace("Oct", "Okt")), @r#"time: "10/Okt/2000:13:55:36 -0700" is not a time such as 10/Oct/2000:13:55:36 -0700"#);
        insta::assert_snapshot!(fault(COMMON.replace(" 200 ", " ok ")), @r#"status: " ok 2326" is not a status of three digits"#);
        insta::assert_snapshot!(fault(COMMON.replace("2326", "many")), @r#"bytes: "many" is not a size in bytes, or -"#);
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        for (day, days) in [
            ((1970, 1, 1), 0),
            ((1972, 2, 29), 789),
            ((1995, 8, 1), 9_343),
            ((2000, 2, 29), 11_016),
            ((2000, 3, 1), 11_017),
            ((2100, 3, 1), 47_541),
        ] {
            assert_eq!(days_since_1970(day.0, day.1, day.2), days, "{day:?}");
        }
    }

    proptest! {
        #[test]
        fn parsing_never_panics(line in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = parse(&line);
            let _ = unix_time_s(&line);
        }
    }
}
