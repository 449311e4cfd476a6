//! Entries: looked up, filled if newer, extended, dropped. After `fill.lua`, `fill_sliding.lua`,
//! `get_and_extend.lua`, `invalidate.lua` and `purge.lua`.

use std::time::Duration;

use super::ModelledRemote;
use crate::clock::Timestamp;
use crate::engine::data_type::Key;
use crate::engine::layer::{Entry, Fill, LayerError, Version};
use crate::engine::remote::redis::{TOMBSTONE_TTL, unix_millis};
use crate::engine::remote::wire::TOMBSTONE_BYTES;
use crate::environment::modelled_redis::calls::Called;
use crate::environment::modelled_redis::server::{Server, Ttl};
use crate::environment::modelled_redis::shard::Ask;
use crate::environment::modelled_redis::thread::Command;
use crate::environment::modelled_redis::value::{Value, entry_bytes};

/// How long a purge stays, where the servers tell of it.
const TOLD: Duration = Duration::from_millis(1);

impl ModelledRemote {
    pub(super) async fn get_entry(&self, key: &Key) -> Result<Option<Entry>, LayerError> {
        let key = self.spelled(key);
        let shard = self.redis.shard_of(&key);
        if self.redis.reads_replicas() {
            return self.get_at_replica(shard, &key).await;
        }
        let look = |server: &mut Server| Ok(get(server, &key));
        let ask = Ask::new(Command::Get);
        self.redis.call(shard, self.timeout, ask, look).await
    }

    async fn get_at_replica(&self, shard: usize, key: &Key) -> Result<Option<Entry>, LayerError> {
        let (sent, limit) = (self.redis.clock().now(), self.timeout);
        let (way, arrives) = self.redis.go(limit).await;
        let at_replica = self.redis.read_at_replica(shard, arrives, key);
        let (answer, done) = if let Some((entry, done)) = at_replica {
            (Ok(entry), done)
        } else {
            let look = |server: &mut Server| Ok(get(server, key));
            let ask = Ask::new(Command::Get);
            self.redis.carry_out(shard, arrives, ask, look)
        };
        self.redis
            .come_back((sent, limit), done + way, answer)
            .await
    }

    pub(super) async fn get_and_extend_entry(
        &self,
        key: &Key,
        ttl: Duration,
    ) -> Result<Option<Entry>, LayerError> {
        let key = self.spelled(key);
        let extend = |server: &mut Server| {
            server.count(Called::Evalsha);
            let Some(entry) = get(server, &key) else {
                return Ok(None);
            };
            if entry.row.value.is_none() {
                return Ok(Some(entry));
            }
            let left = left(server.time(), &entry);
            if left.is_zero() {
                server.unlink(&key);
                return Ok(None);
            }
            server.expire(&key, Ttl::For(ttl.min(left)));
            Ok(Some(entry))
        };
        let (shard, ask) = (self.redis.shard_of(&key), Ask::new(Command::Script));
        self.redis.call(shard, self.timeout, ask, extend).await
    }

    pub(super) async fn fill_entry(
        &self,
        key: &Key,
        entry: &Entry,
        ttl: Duration,
    ) -> Result<Fill, LayerError> {
        let key = self.spelled(key);
        let fill = |server: &mut Server| {
            server.count(Called::Evalsha);
            if floor(server, &key).is_some_and(|floor| floor > entry.row.as_of) {
                return Ok(Fill::Refused);
            }
            server.set(&key, Value::Entry(entry.clone()), Ttl::For(ttl))?;
            Ok(Fill::Stored)
        };
        let ask = Ask::bringing(Command::Script, entry_bytes(entry));
        self.at_key(&key, ask, fill).await
    }

    pub(super) async fn fill_sliding_entry(
        &self,
        key: &Key,
        entry: &Entry,
        ttl: Duration,
    ) -> Result<Fill, LayerError> {
        let key = self.spelled(key);
        let fill = |server: &mut Server| {
            server.count(Called::Evalsha);
            let held = server.read(Called::Getrange, &key).cloned();
            let floor = held.as_ref().and_then(Value::floor);
            if floor.is_some_and(|floor| floor > entry.row.as_of) {
                return Ok(Fill::Refused);
            }
            let now = server.time();
            let mut entry = entry.clone();
            if let Some(Value::Entry(old)) = held
                && old.row.value.is_some()
            {
                let (of_old, of_new) = (left(now, &old), left(now, &entry));
                if !of_old.is_zero() && of_old < of_new {
                    entry.fresh_until = old.fresh_until;
                }
            }
            let ttl = ttl.min(left(now, &entry));
            if ttl.is_zero() {
                server.unlink(&key);
            } else {
                server.set(&key, Value::Entry(entry), Ttl::For(ttl))?;
            }
            Ok(Fill::Stored)
        };
        let ask = Ask::bringing(Command::Script, entry_bytes(entry));
        self.at_key(&key, ask, fill).await
    }

    pub(super) async fn overwrite_entry(
        &self,
        key: &Key,
        entry: &Entry,
        ttl: Duration,
    ) -> Result<(), LayerError> {
        let key = self.spelled(key);
        let put = |server: &mut Server| {
            server.count(Called::Psetex);
            server.store(&key, Value::Entry(entry.clone()), Ttl::For(ttl))
        };
        let ask = Ask::bringing(Command::Set, entry_bytes(entry));
        self.at_key(&key, ask, put).await
    }

    pub(super) async fn invalidate_entries(
        &self,
        keys: &[Key],
        version: Version,
    ) -> Result<(), LayerError> {
        let is_told = !self.tracked.is_empty();
        let ask = Ask::bringing(Command::Script, TOMBSTONE_BYTES);
        let drop = |server: &mut Server, key: &Key| {
            server.count(Called::Evalsha);
            if version == Version(0) {
                purge(server, key, is_told)
            } else {
                invalidate(server, key, version)
            }
        };
        if let [key] = keys {
            let key = self.spelled(key);
            let drop = |server: &mut Server| drop(server, &key);
            let shard = self.redis.shard_of(&key);
            return self.redis.call(shard, self.timeout, ask, drop).await;
        }
        let placed = keys.iter().map(|key| self.spelled(key));
        let placed = placed.map(|key| (self.redis.shard_of(&key), key));
        let drop = |server: &mut Server, key: std::borrow::Cow<'_, Key>| drop(server, &key);
        let dropped = self.redis.call_each(placed, self.timeout, ask, drop);
        dropped.await.map(|_| ())
    }

    pub(super) async fn versions_of(
        &self,
        keys: &[Key],
    ) -> Result<Vec<Option<Version>>, LayerError> {
        let placed = keys.iter().map(|key| self.spelled(key));
        let placed = placed.map(|key| (self.redis.shard_of(&key), key));
        let look = |server: &mut Server, key: std::borrow::Cow<'_, Key>| {
            Ok(match server.read(Called::Getrange, &key) {
                Some(Value::Entry(entry)) => Some(entry.row.as_of),
                _ => None,
            })
        };
        let ask = Ask::new(Command::Get);
        self.redis.call_each(placed, self.timeout, ask, look).await
    }
}

/// `GET` of an entry.
pub(super) fn get(server: &mut Server, key: &Key) -> Option<Entry> {
    let entry = match server.read(Called::Get, key) {
        Some(Value::Entry(entry)) => Some(entry.clone()),
        _ => None,
    };
    server.gives = entry.as_ref().map_or(0, entry_bytes) as u64;
    entry
}

/// As of which commit a key is held, as `GETRANGE` tells the scripts.
pub(super) fn floor(server: &mut Server, key: &Key) -> Option<Version> {
    server.read(Called::Getrange, key).and_then(Value::floor)
}

/// How long an entry has until its end, in the whole milliseconds of the server.
fn left(now: Timestamp, entry: &Entry) -> Duration {
    let end_ms = unix_millis(entry.fresh_until);
    Duration::from_millis(end_ms.saturating_sub(unix_millis(now)))
}

fn invalidate(server: &mut Server, key: &Key, version: Version) -> Result<(), LayerError> {
    if floor(server, key).is_some_and(|floor| floor >= version) {
        return Ok(());
    }
    server.set(key, Value::Tombstone(version), Ttl::For(TOMBSTONE_TTL))
}

fn purge(server: &mut Server, key: &Key, is_told: bool) -> Result<(), LayerError> {
    match floor(server, key) {
        Some(floor) if floor > Version(0) => {
            server.set(key, Value::Tombstone(floor), Ttl::For(TOMBSTONE_TTL))
        }
        _ if is_told => server.set(key, Value::Tombstone(Version(0)), Ttl::For(TOLD)),
        _ => {
            server.unlink(key);
            Ok(())
        }
    }
}
