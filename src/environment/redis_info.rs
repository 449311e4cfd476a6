//! What Redis says about itself: INFO, read into numbers, and the difference of two readings.
//!
//! Called by the managed Redis, by the probe of an external one, and once a second by the runner.
//! Parsing and subtracting are pure. Never decides whether a number is good.

use std::collections::BTreeMap;
use std::time::Duration;

use redis::aio::ConnectionLike;

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
    keys_by_db: BTreeMap<u32, u64>,
    calls_by_command: BTreeMap<String, u64>,
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
            keys_by_db: fields.keys_by_db(),
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
        self.keys_by_db.get(&db).copied().unwrap_or(0)
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
        let missing = || unreadable(format!("it has no {name}"));
        self.by_name.get(name).copied().ok_or_else(missing)
    }

    fn number<T: std::str::FromStr>(&self, name: &str) -> Result<T, EnvironmentError> {
        let text = self.text(name)?;
        text.parse()
            .map_err(|_| unreadable(format!("its {name} is {text:?}, not a count")))
    }

    fn seconds(&self, name: &str) -> Result<Duration, EnvironmentError> {
        let seconds: f64 = self.number(name)?;
        Duration::try_from_secs_f64(seconds)
            .map_err(|error| unreadable(format!("its {name} is {seconds}: {error}")))
    }

    /// From lines such as `db0:keys=12,expires=3,avg_ttl=0`.
    fn keys_by_db(&self) -> BTreeMap<u32, u64> {
        self.by_name
            .iter()
            .filter_map(|(name, value)| {
                let db = name.strip_prefix("db")?.parse().ok()?;
                Some((db, sub_field(value, "keys")?))
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

fn unreadable(reason: String) -> EnvironmentError {
    EnvironmentError::Command {
        doing: "INFO".to_owned(),
        reason: format!("the answer cannot be read: {reason}"),
    }
}
