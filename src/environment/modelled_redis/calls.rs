//! What the commands of the remote layer are called in `INFO commandstats`, those inside its scripts
//! included: each kind takes memory from its first use on, and each call counts.

use std::collections::BTreeMap;

/// What a command is called in `INFO commandstats`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Called {
    ClientTracking,
    Del,
    Evalsha,
    Get,
    Getrange,
    Hdel,
    Hgetall,
    Hincrby,
    Hmget,
    Hset,
    Hvals,
    Info,
    Persist,
    Pexpire,
    Ping,
    Psetex,
    Publish,
    Scan,
    ScriptLoad,
    Set,
    Subscribe,
    Time,
    Unlink,
    Xack,
    Xadd,
    Xclaim,
    Xdel,
    XgroupCreate,
    Xlen,
    Xpending,
    Xrange,
    Xreadgroup,
    Zadd,
    Zcard,
    Zcount,
    Zrange,
    Zremrangebyscore,
}

/// Every command's name, in the order of [`Called`].
const CALLED: [&str; 37] = [
    "client|tracking",
    "del",
    "evalsha",
    "get",
    "getrange",
    "hdel",
    "hgetall",
    "hincrby",
    "hmget",
    "hset",
    "hvals",
    "info",
    "persist",
    "pexpire",
    "ping",
    "psetex",
    "publish",
    "scan",
    "script|load",
    "set",
    "subscribe",
    "time",
    "unlink",
    "xack",
    "xadd",
    "xclaim",
    "xdel",
    "xgroup|create",
    "xlen",
    "xpending",
    "xrange",
    "xreadgroup",
    "zadd",
    "zcard",
    "zcount",
    "zrange",
    "zremrangebyscore",
];

/// The last command has the last name.
const _: () = assert!(Called::Zremrangebyscore as usize + 1 == CALLED.len());

/// How often each command was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Calls([u64; CALLED.len()]);

impl Default for Calls {
    fn default() -> Self {
        Self([0; CALLED.len()])
    }
}

impl Calls {
    /// Counts a call; whether it is the first of its kind.
    pub(super) fn count(&mut self, called: Called) -> bool {
        let calls = &mut self.0[called as usize];
        *calls += 1;
        *calls == 1
    }

    pub(super) fn add(&mut self, called: Called, calls: u64) {
        self.0[called as usize] += calls;
    }

    pub(super) fn add_all(&mut self, other: &Self) {
        let calls = self.0.iter_mut().zip(other.0);
        calls.for_each(|(all, more)| *all += more);
    }

    /// Those that were called, by their names.
    pub(super) fn by_name(&self) -> BTreeMap<String, u64> {
        let named = CALLED.iter().zip(self.0).filter(|(_, calls)| *calls > 0);
        named
            .map(|(name, calls)| ((*name).to_owned(), calls))
            .collect()
    }
}
