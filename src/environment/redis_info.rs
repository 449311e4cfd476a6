//! What Redis says about itself: INFO, read into numbers, and the difference of two readings.
//!
//! Called by the managed Redis, by the probe of an external one, and once a second by the runner.
//! Parsing and subtracting are pure. Never decides whether a number is good.

mod ledger;
mod modelled;

use std::collections::BTreeMap;
use std::time::Duration;

use redis::aio::ConnectionLike;

pub use self::ledger::RedisLedger;
pub(in crate::environment) use self::modelled::Modelled;
use super::error::EnvironmentError;
use crate::clock::{Clock, Timestamp};
use crate::units::ByteSize;

/// One reading of INFO.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisInfo {
    /// When it was read, by our clock.
    pub read_at: Timestamp,
    /// The server's own version: Redis' or Valkey's.
    pub version: String,
    /// Names this life of the server: another after every restart.
    pub run_id: String,
    /// The server's process, if it says so.
    pub process_id: Option<u32>,
    /// `master` or `slave`, as Redis spells it.
    pub role: String,
    /// Whether the server is still reading its data set (RDB or AOF) and refuses commands.
    pub loading: bool,
    /// Bytes that Redis uses for data and overhead.
    pub used_memory: ByteSize,
    /// The memory limit; `None` for no limit.
    pub maxmemory: Option<ByteSize>,
    /// `maxmemory-policy`, as Redis spells it.
    pub maxmemory_policy: String,
    /// Connections now.
    pub connected_clients: u64,
    /// Keys dropped for lack of memory, since the server's start.
    pub evicted_keys: u64,
    /// Keys dropped at the end of their TTL, since the server's start.
    pub expired_keys: u64,
    /// Lookups that found a key, since the server's start.
    pub keyspace_hits: u64,
    /// Lookups that did not, since the server's start.
    pub keyspace_misses: u64,
    /// Commands, since the server's start.
    pub total_commands_processed: u64,
    /// Processor time in user and system mode, since the server's start.
    pub used_cpu: Duration,
    keyspace_by_db: BTreeMap<u32, Keyspace>,
    calls_by_command: BTreeMap<String, u64>,
}

/// What one database of Redis holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keyspace {
    /// Keys.
    pub keys: u64,
    /// Those that have a TTL.
    pub expires: u64,
    /// The mean TTL that these have left, as Redis estimates it, in milliseconds.
    pub avg_ttl_ms: u64,
}

impl Keyspace {
    /// That of several servers together.
    fn add(&mut self, other: &Self) {
        let ttl_ms = self.avg_ttl_ms * self.expires + other.avg_ttl_ms * other.expires;
        self.keys += other.keys;
        self.expires += other.expires;
        self.avg_ttl_ms = ttl_ms / self.expires.max(1);
    }
}

/// What happened between two readings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RedisActivity {
    /// The time between them.
    pub elapsed: Duration,
    /// Whether the server was another at the second reading; the rest then counts from its
    /// start, and what came before is lost.
    pub restarted: bool,
    /// Keys dropped for lack of memory.
    pub evicted_keys: u64,
    /// Keys dropped at the end of their TTL.
    pub expired_keys: u64,
    /// Lookups that found a key.
    pub keyspace_hits: u64,
    /// Lookups that did not.
    pub keyspace_misses: u64,
    /// Commands.
    pub commands: u64,
    /// Processor time.
    pub used_cpu: Duration,
}

impl RedisInfo {
    /// Reads the answer of `INFO all`, which was got at `read_at`.
    pub fn parse(text: &str, read_at: Timestamp) -> Result<Self, EnvironmentError> {
        let fields = Fields::new(text);
        let valkey = fields.text("valkey_version");
        Ok(Self {
            read_at,
            version: valkey.or_else(|_| fields.text("redis_version"))?.to_owned(),
            run_id: fields.text("run_id").unwrap_or_default().to_owned(),
            process_id: fields.number("process_id").ok(),
            role: fields.text("role").unwrap_or_default().to_owned(),
            loading: ["loading", "async_loading"]
                .iter()
                .any(|flag| fields.text(flag).is_ok_and(|value| value != "0")),
            used_memory: ByteSize(fields.number("used_memory")?),
            maxmemory: fields
                .number("maxmemory")
                .ok()
                .filter(|limit| *limit > 0)
                .map(ByteSize),
            maxmemory_policy: fields
                .text("maxmemory_policy")
                .unwrap_or_default()
                .to_owned(),
            connected_clients: fields.number("connected_clients")?,
            evicted_keys: fields.number("evicted_keys")?,
            expired_keys: fields.number("expired_keys")?,
            keyspace_hits: fields.number("keyspace_hits")?,
            keyspace_misses: fields.number("keyspace_misses")?,
            total_commands_processed: fields.number("total_commands_processed")?,
            used_cpu: fields.seconds("used_cpu_sys")? + fields.seconds("used_cpu_user")?,
            keyspace_by_db: fields.keyspace_by_db(),
            calls_by_command: fields.calls_by_command(),
        })
    }

    /// Asks Redis, for at most `limit`.
    pub async fn fetch(
        conn: &mut (impl ConnectionLike + Send),
        clock: &Clock,
        limit: Duration,
    ) -> Result<Self, EnvironmentError> {
        let mut info = redis::cmd("INFO");
        info.arg("all");
        let text: String = clock
            .timeout(limit, info.query_async(conn))
            .await
            .map_err(|_| EnvironmentError::TimedOut {
                doing: "INFO".to_owned(),
                limit,
            })?
            .map_err(|error| EnvironmentError::command("INFO", &error))?;
        Self::parse(&text, clock.now())
    }

    /// How many keys the database numbered `db` holds.
    pub fn keys_in(&self, db: u32) -> u64 {
        self.keyspace(db).keys
    }

    /// What the database numbered `db` holds.
    pub fn keyspace(&self, db: u32) -> Keyspace {
        self.keyspace_by_db.get(&db).copied().unwrap_or_default()
    }

    /// How often `command` was called since the server's start, with all its subcommands; in
    /// whatever case it is written.
    pub fn calls_of(&self, command: &str) -> u64 {
        let command = command.to_ascii_lowercase();
        self.calls_by_command
            .iter()
            .filter(|(name, _)| name.split('|').next() == Some(command.as_str()))
            .map(|(_, calls)| calls)
            .sum()
    }

    /// What happened from `earlier` until this reading.
    pub fn since(&self, earlier: &Self) -> RedisActivity {
        let restarted = self.run_id != earlier.run_id;
        let count =
            |of: fn(&Self) -> u64| of(self).saturating_sub(if restarted { 0 } else { of(earlier) });
        let cpu_before = if restarted {
            Duration::ZERO
        } else {
            earlier.used_cpu
        };
        RedisActivity {
            elapsed: self.read_at.since(earlier.read_at),
            restarted,
            evicted_keys: count(|info| info.evicted_keys),
            expired_keys: count(|info| info.expired_keys),
            keyspace_hits: count(|info| info.keyspace_hits),
            keyspace_misses: count(|info| info.keyspace_misses),
            commands: count(|info| info.total_commands_processed),
            used_cpu: self.used_cpu.saturating_sub(cpu_before),
        }
    }
}

impl RedisActivity {
    /// `count` of this activity per second; `None` if no time passed.
    pub fn per_second(&self, count: u64) -> Option<f64> {
        let seconds = self.elapsed.as_secs_f64();
        (seconds > 0.0).then(|| count as f64 / seconds)
    }

    /// Processor time as a share of one core; `None` if no time passed.
    pub fn cpu_cores(&self) -> Option<f64> {
        let seconds = self.elapsed.as_secs_f64();
        (seconds > 0.0).then(|| self.used_cpu.as_secs_f64() / seconds)
    }
}

/// The `name:value` lines of INFO.
struct Fields<'t> {
    by_name: BTreeMap<&'t str, &'t str>,
}

impl<'t> Fields<'t> {
    fn new(text: &'t str) -> Self {
        let by_name = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.trim_end().split_once(':'))
            .collect();
        Self { by_name }
    }

    fn text(&self, name: &str) -> Result<&'t str, EnvironmentError> {
        let missing = || unreadable(&format!("it has no {name}"));
        self.by_name.get(name).copied().ok_or_else(missing)
    }

    fn number<T: std::str::FromStr>(&self, name: &str) -> Result<T, EnvironmentError> {
        let text = self.text(name)?;
        text.parse()
            .map_err(|_| unreadable(&format!("its {name} is {text:?}, not a count")))
    }

    fn seconds(&self, name: &str) -> Result<Duration, EnvironmentError> {
        let seconds: f64 = self.number(name)?;
        Duration::try_from_secs_f64(seconds)
            .map_err(|error| unreadable(&format!("its {name} is {seconds}: {error}")))
    }

    /// From lines such as `db0:keys=12,expires=3,avg_ttl=0`.
    fn keyspace_by_db(&self) -> BTreeMap<u32, Keyspace> {
        self.by_name
            .iter()
            .filter_map(|(name, value)| {
                let db = name.strip_prefix("db")?.parse().ok()?;
                let keyspace = Keyspace {
                    keys: sub_field(value, "keys")?,
                    expires: sub_field(value, "expires").unwrap_or(0),
                    avg_ttl_ms: sub_field(value, "avg_ttl").unwrap_or(0),
                };
                Some((db, keyspace))
            })
            .collect()
    }

    /// From lines such as `cmdstat_get:calls=21,usec=175,…`.
    fn calls_by_command(&self) -> BTreeMap<String, u64> {
        self.by_name
            .iter()
            .filter_map(|(name, value)| {
                let command = name.strip_prefix("cmdstat_")?.to_ascii_lowercase();
                Some((command, sub_field(value, "calls")?))
            })
            .collect()
    }
}

/// The count called `name` in `name=1,other=2`.
fn sub_field(value: &str, name: &str) -> Option<u64> {
    value
        .split(',')
        .filter_map(|part| part.split_once('='))
        .find(|(part, _)| *part == name)
        .and_then(|(_, count)| count.parse().ok())
}

fn unreadable(reason: &str) -> EnvironmentError {
    EnvironmentError::Command {
        doing: "INFO".to_owned(),
        reason: format!("the answer cannot be read: {reason}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: &str = "# Server\r\nredis_version:7.0.15\r\nprocess_id:4711\r\n\
        run_id:aaaa\r\n\r\n# Clients\r\nconnected_clients:12\r\n# Memory\r\n\
        used_memory:1048576\r\nused_memory_human:1.00M\r\nmaxmemory:268435456\r\n\
        maxmemory_policy:allkeys-lru\r\n# Persistence\r\nloading:0\r\nasync_loading:0\r\n\
        # Stats\r\ntotal_commands_processed:1000\r\nexpired_keys:5\r\nevicted_keys:7\r\n\
        keyspace_hits:90\r\nkeyspace_misses:10\r\n# Replication\r\nrole:master\r\n\
        # CPU\r\nused_cpu_sys:1.250000\r\nused_cpu_user:2.500000\r\n\
        used_cpu_sys_children:9.0\r\n# Commandstats\r\n\
        cmdstat_get:calls=100,usec=175,usec_per_call=1.75,rejected_calls=0,failed_calls=0\r\n\
        cmdstat_config|get:calls=3,usec=9\r\ncmdstat_config|set:calls=2,usec=9\r\n\
        # Keyspace\r\ndb0:keys=42,expires=40,avg_ttl=1000\r\ndb12:keys=1,expires=0\r\n";

    fn at(second: u64) -> Timestamp {
        Timestamp::from_unix_nanos(second * 1_000_000_000)
    }

    fn parse(text: &str, second: u64) -> RedisInfo {
        RedisInfo::parse(text, at(second)).expect("INFO")
    }

    #[test]
    fn every_section_is_read() {
        let info = parse(INFO, 10);
        assert_eq!(info.version, "7.0.15");
        assert_eq!(info.process_id, Some(4_711));
        assert_eq!((info.role.as_str(), info.loading), ("master", false));
        assert_eq!(info.used_memory, ByteSize(1 << 20));
        assert_eq!(info.maxmemory, Some(ByteSize(256 << 20)));
        assert_eq!(info.maxmemory_policy, "allkeys-lru");
        assert_eq!(info.connected_clients, 12);
        assert_eq!((info.evicted_keys, info.expired_keys), (7, 5));
        assert_eq!((info.keyspace_hits, info.keyspace_misses), (90, 10));
        assert_eq!(info.total_commands_processed, 1_000);
        assert_eq!(info.used_cpu, Duration::from_millis(3_750));
        assert_eq!([0, 12, 3].map(|db| info.keys_in(db)), [42, 1, 0]);
        let keyspace = info.keyspace(0);
        assert_eq!((keyspace.expires, keyspace.avg_ttl_ms), (40, 1_000));
        let calls = ["get", "GET", "config", "set"].map(|command| info.calls_of(command));
        assert_eq!(calls, [100, 100, 5, 0]);
    }

    #[test]
    fn no_limit_of_memory_is_none_and_loading_is_seen() {
        let text = INFO
            .replace("maxmemory:268435456", "maxmemory:0")
            .replace("async_loading:0", "async_loading:1");
        let info = parse(&text, 10);
        assert_eq!((info.maxmemory, info.loading), (None, true));
    }

    #[test]
    fn valkey_tells_its_own_version() {
        let text = INFO.replace("run_id", "valkey_version:8.1.1\r\nrun_id");
        assert_eq!(parse(&text, 10).version, "8.1.1");
    }

    #[test]
    fn what_is_missing_or_unreadable_is_named() {
        let error = |text: &str| {
            RedisInfo::parse(text, at(0))
                .expect_err("unreadable")
                .to_string()
        };
        insta::assert_snapshot!(
            error(&INFO.replace("evicted_keys", "evicted")),
            @"Redis failed at INFO: the answer cannot be read: it has no evicted_keys"
        );
        insta::assert_snapshot!(
            error(&INFO.replace("keyspace_hits:90", "keyspace_hits:many")),
            @r#"Redis failed at INFO: the answer cannot be read: its keyspace_hits is "many", not a count"#
        );
        assert!(error("").contains("redis_version"));
    }

    #[test]
    fn two_readings_give_what_happened_between_them() {
        let later = INFO
            .replace("evicted_keys:7", "evicted_keys:207")
            .replace("used_cpu_user:2.5", "used_cpu_user:3.5")
            .replace("processed:1000", "processed:1500");
        let activity = parse(&later, 12).since(&parse(INFO, 10));
        assert_eq!(activity.evicted_keys, 200);
        assert_eq!(activity.per_second(activity.evicted_keys), Some(100.0));
        assert_eq!(activity.cpu_cores(), Some(0.5));
        assert_eq!((activity.commands, activity.keyspace_hits), (500, 0));
        assert!(!activity.restarted);
    }

    #[test]
    fn a_restarted_server_counts_from_its_start() {
        let later = INFO
            .replace("run_id:aaaa", "run_id:bbbb")
            .replace("evicted_keys:7", "evicted_keys:3");
        let activity = parse(&later, 12).since(&parse(INFO, 10));
        assert!(activity.restarted);
        assert_eq!((activity.evicted_keys, activity.commands), (3, 1_000));
    }

    #[test]
    fn nothing_is_a_rate_without_time() {
        let activity = parse(INFO, 10).since(&parse(INFO, 10));
        assert_eq!((activity.per_second(5), activity.cpu_cores()), (None, None));
    }
}
