//! What commands of Redis mean to a cache: which keys are read, written or dropped.
//!
//! | commands | become |
//! |---|---|
//! | GET, MGET, GETRANGE, EXISTS, HGET, HGETALL, LRANGE, SMEMBERS, ZRANGE … | a get of each key |
//! | SET, SETNX, SETEX, PSETEX, GETSET, MSET, MSETNX | a put of each key, with its size; with its TTL, if it is given with it |
//! | INCR, APPEND, HSET, HDEL, LPUSH, LPOP, SADD, ZADD … | a put of unknown size: the value is another afterwards, wherever it is kept |
//! | DEL, UNLINK | an invalidate of each key |
//! | GETDEL | a get and an invalidate |
//! | all others | skipped, counted by name: EXPIRE and TTL move no value, EVAL's commands are told by themselves, FLUSHALL names no key |
//!
//! Called by the trace reader and by the capture. Pure.

use std::time::Duration;

use super::fields::{NoRequest, whole};
use super::redis_monitor::{Command, since_epoch};
use crate::engine::layer::Operation;

/// One key that a command touches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Access<'c> {
    pub(crate) operation: Operation,
    pub(crate) key: &'c [u8],
    /// Of the value that is written, where the command has all of it; else 0.
    pub(crate) value_size: u32,
    pub(crate) ttl: Option<Duration>,
}

/// What a command does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    ReadOne,
    ReadAll,
    /// A part of the value becomes another.
    Change,
    DropAll,
    ReadAndDrop,
    /// Key, value, options.
    Set,
    /// Key, value.
    SetPlain,
    /// Key, TTL in this unit, value.
    SetFor(Duration),
    /// Key, value, key, value …
    SetPairs,
}

/// Names are no longer than this; what is longer names no command.
const NAME_BYTES_MAX: usize = 24;

/// Hands over every key that `command` touches, in its order.
pub(crate) fn accesses<'c>(
    command: &Command<'c>,
    each: &mut impl FnMut(Access<'c>),
) -> Result<(), NoRequest> {
    let name = command.argument(0).unwrap_or_default();
    let mut buffer = [0; NAME_BYTES_MAX];
    let upper = upper(name, &mut buffer);
    // What has too few arguments is refused by the server and changes nothing.
    let skip = || NoRequest::Skipped(reason(upper));
    let kind = upper.and_then(kind_of).ok_or_else(skip)?;
    let get = |key| Access::of(Operation::Get, key);
    let drop = |key| Access::of(Operation::Invalidate, key);
    let key = command.argument(1).ok_or_else(skip)?;
    let keys = (1..command.len()).filter_map(|at| command.argument(at));
    match kind {
        Kind::ReadOne => each(get(key)),
        Kind::ReadAll => keys.for_each(|key| each(get(key))),
        Kind::Change => each(Access::of(Operation::Put, key)),
        Kind::DropAll => keys.for_each(|key| each(drop(key))),
        Kind::ReadAndDrop => {
            each(get(key));
            each(drop(key));
        }
        Kind::Set | Kind::SetPlain => {
            let value = command.argument(2).ok_or_else(skip)?;
            let ttl = if kind == Kind::Set {
                ttl_of(command)
            } else {
                None
            };
            each(Access::put(key, value, ttl));
        }
        Kind::SetFor(unit) => {
            let (ttl, value) = command
                .argument(2)
                .zip(command.argument(3))
                .ok_or_else(skip)?;
            each(Access::put(
                key,
                value,
                whole(ttl).and_then(|count| times(unit, count)),
            ));
        }
        Kind::SetPairs => {
            let pairs = (1..command.len()).step_by(2);
            let pairs = pairs.filter_map(|at| command.argument(at).zip(command.argument(at + 1)));
            pairs.for_each(|(key, value)| each(Access::put(key, value, None)));
        }
    }
    Ok(())
}

impl<'c> Access<'c> {
    fn of(operation: Operation, key: &'c [u8]) -> Self {
        Self {
            operation,
            key,
            value_size: 0,
            ttl: None,
        }
    }

    fn put(key: &'c [u8], value: &[u8], ttl: Option<Duration>) -> Self {
        Self {
            operation: Operation::Put,
            key,
            value_size: u32::try_from(value.len()).unwrap_or(u32::MAX),
            ttl,
        }
    }
}

/// The TTL among the options of SET.
fn ttl_of(command: &Command<'_>) -> Option<Duration> {
    let mut at = 3;
    while let Some(option) = command.argument(at) {
        let count = command.argument(at + 1).and_then(whole);
        let is = |word: &str| option.eq_ignore_ascii_case(word.as_bytes());
        let until = |unit: Duration| {
            let moment = times(unit, count?)?;
            Some(moment.saturating_sub(since_epoch(command)).max(MILLISECOND))
        };
        if is("EX") {
            return times(SECOND, count?);
        } else if is("PX") {
            return times(MILLISECOND, count?);
        } else if is("EXAT") {
            return until(SECOND);
        } else if is("PXAT") {
            return until(MILLISECOND);
        }
        at += 1;
    }
    None
}

const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);

/// `count` of `unit`, which is a second or a millisecond; nothing if it is zero or beyond all time.
fn times(unit: Duration, count: u64) -> Option<Duration> {
    let millis = count.checked_mul(unit.as_millis() as u64)?;
    (millis > 0).then(|| Duration::from_millis(millis))
}

fn upper<'b>(name: &[u8], buffer: &'b mut [u8; NAME_BYTES_MAX]) -> Option<&'b [u8]> {
    let upper = buffer.get_mut(..name.len())?;
    upper.copy_from_slice(name);
    upper.make_ascii_uppercase();
    Some(upper)
}

/// What a command is counted under that is not taken: its name, if it looks like one.
fn reason(name: Option<&[u8]>) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-|".contains(byte);
    match name {
        Some(name) if !name.is_empty() && name.iter().all(plain) => {
            String::from_utf8_lossy(name).into_owned()
        }
        _ => "no command".to_owned(),
    }
}

fn kind_of(name: &[u8]) -> Option<Kind> {
    let kind = match name {
        b"GET" | b"GETRANGE" | b"SUBSTR" | b"STRLEN" | b"GETEX" | b"GETBIT" | b"BITCOUNT"
        | b"BITPOS" | b"BITFIELD_RO" | b"HGET" | b"HMGET" | b"HGETALL" | b"HKEYS" | b"HVALS"
        | b"HLEN" | b"HEXISTS" | b"HSTRLEN" | b"HRANDFIELD" | b"HSCAN" | b"LRANGE" | b"LINDEX"
        | b"LLEN" | b"LPOS" | b"SMEMBERS" | b"SISMEMBER" | b"SMISMEMBER" | b"SCARD"
        | b"SRANDMEMBER" | b"SSCAN" | b"ZRANGE" | b"ZRANGEBYSCORE" | b"ZRANGEBYLEX"
        | b"ZREVRANGE" | b"ZREVRANGEBYSCORE" | b"ZREVRANGEBYLEX" | b"ZSCORE" | b"ZMSCORE"
        | b"ZRANK" | b"ZREVRANK" | b"ZCARD" | b"ZCOUNT" | b"ZLEXCOUNT" | b"ZRANDMEMBER"
        | b"ZSCAN" | b"XRANGE" | b"XREVRANGE" | b"XLEN" | b"GEOPOS" | b"GEODIST" | b"GEOHASH"
        | b"GEOSEARCH" | b"DUMP" | b"JSON.GET" => Kind::ReadOne,
        b"MGET" | b"EXISTS" | b"TOUCH" | b"SINTER" | b"SUNION" | b"SDIFF" | b"PFCOUNT" => {
            Kind::ReadAll
        }
        b"INCR" | b"INCRBY" | b"INCRBYFLOAT" | b"DECR" | b"DECRBY" | b"APPEND" | b"SETRANGE"
        | b"SETBIT" | b"BITFIELD" | b"HSET" | b"HMSET" | b"HSETNX" | b"HINCRBY"
        | b"HINCRBYFLOAT" | b"HDEL" | b"LPUSH" | b"RPUSH" | b"LPUSHX" | b"RPUSHX" | b"LSET"
        | b"LINSERT" | b"LREM" | b"LTRIM" | b"LPOP" | b"RPOP" | b"SADD" | b"SREM" | b"SPOP"
        | b"ZADD" | b"ZREM" | b"ZINCRBY" | b"ZPOPMIN" | b"ZPOPMAX" | b"ZREMRANGEBYRANK"
        | b"ZREMRANGEBYSCORE" | b"ZREMRANGEBYLEX" | b"PFADD" | b"XADD" | b"XDEL" | b"XTRIM"
        | b"GEOADD" | b"RESTORE" | b"JSON.SET" => Kind::Change,
        b"DEL" | b"UNLINK" => Kind::DropAll,
        b"GETDEL" => Kind::ReadAndDrop,
        b"SET" => Kind::Set,
        b"SETNX" | b"GETSET" => Kind::SetPlain,
        b"SETEX" => Kind::SetFor(SECOND),
        b"PSETEX" => Kind::SetFor(MILLISECOND),
        b"MSET" | b"MSETNX" => Kind::SetPairs,
        _ => return None,
    };
    Some(kind)
}

#[cfg(test)]
mod tests {
    use super::super::redis_monitor::MonitorParser;
    use super::*;

    /// Operation, key, size and TTL of each access, or what the command was skipped as.
    fn told(arguments: &str) -> String {
        let quoted: Vec<String> = arguments
            .split(' ')
            .map(|word| format!("{word:?}"))
            .collect();
        let line = format!("100.5 [0 a:1] {}", quoted.join(" "));
        let mut parser = MonitorParser::default();
        let command = parser.command(line.as_bytes()).expect("a command");
        let mut told = vec![];
        let found = accesses(&command, &mut |access| {
            let key = String::from_utf8_lossy(access.key);
            let ttl = access
                .ttl
                .map_or(String::new(), |ttl| format!(" for {ttl:?}"));
            let size = access.value_size;
            told.push(format!("{} {key} {size}{ttl}", access.operation.name()));
        });
        match found {
            Ok(()) => told.join(", "),
            Err(NoRequest::Skipped(reason)) => format!("skipped {reason}"),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn commands_become_operations() {
        for (command, wanted) in [
            ("get a", "get a 0"),
            ("MGET a b", "get a 0, get b 0"),
            ("hgetall h", "get h 0"),
            ("set a 12345", "put a 5"),
            ("SET a 12345 NX EX 60", "put a 5 for 60s"),
            ("set a 1 px 1500 get", "put a 1 for 1.5s"),
            ("set a 1 EXAT 160", "put a 1 for 59.5s"),
            ("set a 1 pxat 100600", "put a 1 for 100ms"),
            ("set a 1 KEEPTTL", "put a 1"),
            ("setex a 60 12345", "put a 5 for 60s"),
            ("psetex a 250 1", "put a 1 for 250ms"),
            ("setnx a 12", "put a 2"),
            ("mset a 1 b 22", "put a 1, put b 2"),
            ("incr n", "put n 0"),
            ("hset h f v", "put h 0"),
            ("del a b", "invalidate a 0, invalidate b 0"),
            ("getdel a", "get a 0, invalidate a 0"),
            ("expire a 60", "skipped EXPIRE"),
            ("evalsha 0 1 a", "skipped EVALSHA"),
            ("auth (redacted)", "skipped AUTH"),
            ("flushall", "skipped FLUSHALL"),
            ("get", "skipped GET"),
            ("set a", "skipped SET"),
            ("bäd x", "skipped no command"),
            (
                "a-name-that-no-command-of-redis-has x",
                "skipped no command",
            ),
        ] {
            assert_eq!(told(command), wanted, "{command}");
        }
    }
}
