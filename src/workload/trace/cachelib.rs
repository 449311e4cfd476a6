//! CacheLib's key-value traces: CSV with a header that names its columns, one line for what one use case
//! did with one key in one moment.
//!
//! `key`, `op` and `size` must be there; `op_time` (seconds), `op_count` (how often, 1 without it),
//! `ttl` (seconds, 0 for none) and `usecase` (taken for the client) may; other columns are passed over.
//! Without a header the columns are those of CacheLib's own reader: `key`, `op`, `size`, `op_count`,
//! `key_size`, `ttl`. Without `op_time` a trace has no times at all. Pure.
//!
//! | op | becomes |
//! |---|---|
//! | GET, GET_LEASE | get |
//! | SET, SET_LEASE, ADD, REPLACE, CAS, APPEND, PREPEND, INCR, DECR | put |
//! | DELETE | invalidate |

use std::time::Duration;

use super::TimeResolution;
use super::error::Fault;
use super::fields::{NoRequest, Raw, SIZE_WANTED, TIME_WANTED, TTL_WANTED};
use super::fields::{seconds_ns, size, some_ttl, ttl, whole};
use super::key::{hash, key_id};
use crate::engine::layer::Operation;

/// Which column holds what, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Columns {
    key: usize,
    op: usize,
    size: usize,
    op_time: Option<usize>,
    op_count: Option<usize>,
    ttl: Option<usize>,
    usecase: Option<usize>,
    /// The columns were told by a line, which is no request.
    header: bool,
}

/// More columns than any of these traces has; those behind are not looked at.
const COLUMNS_MAX: usize = 64;

impl Columns {
    /// The columns that the first line names.
    pub(super) fn named_by(line: &[u8]) -> Option<Self> {
        let names: Vec<&[u8]> = split(line).map(<[u8]>::trim_ascii).collect();
        let find = |wanted: &str| names.iter().position(|name| *name == wanted.as_bytes());
        Some(Self {
            key: find("key")?,
            op: find("op")?,
            size: find("size")?,
            op_time: find("op_time"),
            op_count: find("op_count"),
            ttl: find("ttl"),
            usecase: find("usecase"),
            header: true,
        })
    }

    /// The columns of a trace that begins with this line.
    pub(super) fn of(first_line: &[u8]) -> Self {
        Self::named_by(first_line).unwrap_or(Self {
            key: 0,
            op: 1,
            size: 2,
            op_time: None,
            op_count: Some(3),
            ttl: Some(5),
            usecase: None,
            header: false,
        })
    }

    pub(super) fn resolution(&self) -> TimeResolution {
        match self.op_time {
            Some(_) => TimeResolution::Seconds,
            None => TimeResolution::Absent,
        }
    }

    /// The request of one line, the `number`th, from 1.
    pub(super) fn parse(&self, line: &[u8], number: u64) -> Result<Raw, NoRequest> {
        if self.header && number == 1 {
            return Err(NoRequest::Silent);
        }
        let mut cells = [None; COLUMNS_MAX];
        for (cell, text) in cells.iter_mut().zip(split(line)) {
            *cell = Some(text.trim_ascii());
        }
        let cell = |column: usize| cells.get(column).copied().flatten();
        let key = given(cell(self.key), self.key, "key", "a key", |text| {
            (!text.is_empty()).then(|| key_id(text))
        })?;
        let operation = given(cell(self.op), self.op, "op", OPERATIONS, operation_of)?;
        let value_size = given(cell(self.size), self.size, "size", SIZE_WANTED, size)?;
        let times = maybe(self.op_count, cell, 1, ("op_count", COUNT), |text| {
            let count = whole(text).and_then(|count| u32::try_from(count).ok());
            count.filter(|count| *count > 0)
        })?;
        // Some lines leave it empty.
        let none = Duration::ZERO;
        let ttl = maybe(self.ttl, cell, none, ("ttl", TTL_WANTED), |text| {
            if text.is_empty() {
                Some(none)
            } else {
                ttl(text)
            }
        })?;
        let client = maybe(self.usecase, cell, 0, ("usecase", "anything"), |text| {
            Some(whole(text).unwrap_or_else(|| hash(text)))
        })?;
        let time_ns = maybe(self.op_time, cell, 0, ("op_time", TIME_WANTED), seconds_ns)?;
        Ok(Raw {
            time_ns,
            key,
            operation,
            value_size,
            ttl: some_ttl(ttl),
            client,
            times,
        })
    }
}

const OPERATIONS: &str =
    "one of GET, GET_LEASE, SET, SET_LEASE, ADD, REPLACE, CAS, APPEND, PREPEND, INCR, DECR, DELETE";
const COUNT: &str = "a count of at least 1";

fn split(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| *byte == b',')
}

/// What a column says that must be there.
fn given<T>(
    cell: Option<&[u8]>,
    column: usize,
    field: &'static str,
    wanted: &'static str,
    read: impl Fn(&[u8]) -> Option<T>,
) -> Result<T, Fault> {
    let text = cell.unwrap_or_default();
    read(text).ok_or_else(|| Fault::new(field, text, wanted).at(column + 1))
}

/// What a column says that may be left out of the whole trace.
fn maybe<'l, T>(
    column: Option<usize>,
    cell: impl Fn(usize) -> Option<&'l [u8]>,
    without: T,
    (field, wanted): (&'static str, &'static str),
    read: impl Fn(&[u8]) -> Option<T>,
) -> Result<T, Fault> {
    match column {
        Some(column) => given(cell(column), column, field, wanted, read),
        None => Ok(without),
    }
}

fn operation_of(word: &[u8]) -> Option<Operation> {
    match word {
        b"GET" | b"GET_LEASE" => Some(Operation::Get),
        b"SET" | b"SET_LEASE" | b"ADD" | b"REPLACE" | b"CAS" | b"APPEND" | b"PREPEND" | b"INCR"
        | b"DECR" => Some(Operation::Put),
        b"DELETE" => Some(Operation::Invalidate),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &[u8] =
        b"op_time,key,key_size,op,op_count,size,cache_hits,ttl,usecase,sub_usecase";

    fn parsed(columns: &Columns, line: &str) -> Result<Raw, String> {
        columns
            .parse(line.as_bytes(), 2)
            .map_err(|error| match error {
                NoRequest::Malformed(fault) => fault.to_string(),
                other => panic!("{other:?}"),
            })
    }

    #[test]
    fn a_line_is_read_by_the_header() {
        let columns = Columns::of(HEADER);
        assert_eq!(columns.parse(HEADER, 1), Err(NoRequest::Silent));
        let line = "604038473,828769c1e1ce3a29,67,SET,3,65,0,7200,2777918327,655456894";
        let wanted = Raw {
            time_ns: 604_038_473_000_000_000,
            key: key_id(b"828769c1e1ce3a29"),
            operation: Operation::Put,
            value_size: 65,
            ttl: Some(Duration::from_hours(2)),
            client: 2_777_918_327,
            times: 3,
        };
        assert_eq!(parsed(&columns, line), Ok(wanted));
        assert_eq!(columns.resolution(), TimeResolution::Seconds);
    }

    #[test]
    fn columns_that_are_not_there_say_nothing() {
        let columns = Columns::of(b"size,op,key");
        let raw = parsed(&columns, "9,DELETE,k").expect("a request");
        assert_eq!((raw.time_ns, raw.times, raw.ttl), (0, 1, None));
        assert_eq!(raw.operation, Operation::Invalidate);
        assert_eq!(columns.resolution(), TimeResolution::Absent);
        // Without a header, as CacheLib's own reader takes them.
        let columns = Columns::of(b"k,GET,7,2,16,0");
        let raw = columns.parse(b"k,GET,7,2,16,0", 1).expect("a request");
        assert_eq!((raw.value_size, raw.times), (7, 2));
    }

    #[test]
    fn a_fault_names_its_field() {
        let columns = Columns::of(HEADER);
        let fault = |line| parsed(&columns, line).expect_err("a fault");
        insta::assert_snapshot!(fault("604038473,k,67,SAT,3,65,0,7200,1,1"), @r#"field 4 (op): "SAT" is not one of GET, GET_LEASE, SET, SET_LEASE, ADD, REPLACE, CAS, APPEND, PREPEND, INCR, DECR, DELETE"#);
        insta::assert_snapshot!(fault("604038473,k,67,SET,0,65,0,7200,1,1"), @r#"field 5 (op_count): "0" is not a count of at least 1"#);
        insta::assert_snapshot!(fault("604038473,k,67,SET"), @r#"field 6 (size): "" is not a size in bytes below 4 GiB"#);
        insta::assert_snapshot!(fault("soon,k,67,SET,1,65,0,7200,1,1"), @r#"field 1 (op_time): "soon" is not a time in seconds, such as 604038471 or 12.5"#);
    }
}
