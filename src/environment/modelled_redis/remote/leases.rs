//! Leases and locks: who loads, and who is told that it is over. After `get_or_lease.lua`,
//! `fill_leased.lua`, `renew_lock.lua` and `unlock.lua`.

use std::time::Duration;

use super::ModelledRemote;
use crate::engine::data_type::Key;
use crate::engine::layer::{Entry, Fill, LayerError, Leased, Notice, Token, Version};
use crate::engine::remote::wire::LEASE_BYTES;
use crate::environment::modelled_redis::calls::Called;
use crate::environment::modelled_redis::server::{Server, Ttl};
use crate::environment::modelled_redis::shard::Ask;
use crate::environment::modelled_redis::thread::Command;
use crate::environment::modelled_redis::value::{LOCK_BYTES, Value, entry_bytes};

impl ModelledRemote {
    pub(super) async fn get_entry_or_lease(
        &self,
        key: &Key,
        token: Token,
        ttl: Duration,
    ) -> Result<Leased, LayerError> {
        let key = self.spelled(key);
        let look = |server: &mut Server| {
            server.count(Called::Evalsha);
            let floor = match server.read(Called::Get, &key) {
                Some(Value::Entry(entry)) => {
                    let entry = entry.clone();
                    server.gives = entry_bytes(&entry) as u64;
                    return Ok(Leased::Found(entry));
                }
                Some(Value::Lease { .. }) => return Ok(Leased::Taken),
                Some(Value::Tombstone(floor)) => *floor,
                Some(_) => return Err(super::wrong_type()),
                None => Version(0),
            };
            server.set(&key, Value::Lease { floor, token }, Ttl::For(ttl))?;
            Ok(Leased::Granted)
        };
        let ask = Ask::bringing(Command::Script, LEASE_BYTES);
        self.at_key(&key, ask, look).await
    }

    pub(super) async fn fill_leased_entry(
        &self,
        key: &Key,
        token: Token,
        entry: Option<(&Entry, Duration)>,
    ) -> Result<Fill, LayerError> {
        let told = Notice::Filled(key.as_str().to_owned());
        let key = self.spelled(key);
        let fill = |server: &mut Server| {
            server.count(Called::Evalsha);
            let ours = match server.read(Called::Getrange, &key) {
                Some(Value::Lease { floor, token: held }) if *held == token => Some(*floor),
                _ => None,
            };
            let filled = match (ours, entry) {
                (Some(floor), None) if floor > Version(0) => {
                    server.set(&key, Value::Tombstone(floor), Ttl::Keep)?;
                    Fill::Stored
                }
                (Some(_), None) => {
                    server.delete(Called::Del, &key);
                    Fill::Stored
                }
                (Some(floor), Some((entry, ttl))) if entry.row.as_of >= floor => {
                    server.set(&key, Value::Entry(entry.clone()), Ttl::For(ttl))?;
                    Fill::Stored
                }
                _ => Fill::Refused,
            };
            server.publish(told);
            Ok(filled)
        };
        let brings = entry.map_or(LEASE_BYTES, |(entry, _)| LEASE_BYTES + entry_bytes(entry));
        let ask = Ask::bringing(Command::Script, brings);
        self.at_key(&key, ask, fill).await
    }

    pub(super) async fn take_lock(
        &self,
        key: &Key,
        token: Token,
        ttl: Duration,
    ) -> Result<bool, LayerError> {
        let key = self.lock_key(key);
        let lock = |server: &mut Server| {
            if server.peek(&key).is_some() {
                server.count(Called::Set);
                return Ok(false);
            }
            server.set(&key, Value::Lock(token), Ttl::For(ttl))?;
            Ok(true)
        };
        let ask = Ask::bringing(Command::Set, LOCK_BYTES);
        self.at_key(&key, ask, lock).await
    }

    pub(super) async fn hold_lock(
        &self,
        key: &Key,
        token: Token,
        ttl: Duration,
    ) -> Result<bool, LayerError> {
        let key = self.lock_key(key);
        let renew = |server: &mut Server| {
            server.count(Called::Evalsha);
            Ok(is_ours(server, &key, token) && server.expire(&key, Ttl::For(ttl)))
        };
        let ask = Ask::bringing(Command::Script, LOCK_BYTES);
        self.at_key(&key, ask, renew).await
    }

    pub(super) async fn give_lock_back(
        &self,
        key: &Key,
        token: Option<Token>,
    ) -> Result<(), LayerError> {
        let lock = self.lock_key(key);
        let shard = self.redis.shard_of(&lock);
        let Some(token) = token else {
            let unlock = |server: &mut Server| {
                server.delete(Called::Del, &lock);
                Ok(())
            };
            let ask = Ask::new(Command::Unlink);
            return self.redis.call(shard, self.timeout, ask, unlock).await;
        };
        let told = Notice::Filled(key.as_str().to_owned());
        let unlock = |server: &mut Server| {
            server.count(Called::Evalsha);
            if is_ours(server, &lock, token) {
                server.delete(Called::Del, &lock);
                server.publish(told);
            }
            Ok(())
        };
        let ask = Ask::bringing(Command::Script, LOCK_BYTES);
        self.redis.call(shard, self.timeout, ask, unlock).await
    }
}

fn is_ours(server: &mut Server, lock: &Key, token: Token) -> bool {
    let held = server.read(Called::Getrange, lock);
    matches!(held, Some(Value::Lock(held)) if *held == token)
}
