//! Broad invalidation: generations in one hash, and the scan that looks for keys. After `raise.lua`,
//! `reconcile.lua`, `sweep.lua` and `engine/remote/redis_invalidation.rs`.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;

use super::ModelledRemote;
use super::entries::floor;
use crate::engine::data_type::Key;
use crate::engine::invalidation::glob::Glob;
use crate::engine::invalidation::markers::{Marker, Scope};
use crate::engine::layer::{Generation, LayerError, Version};
use crate::engine::remote::redis::NAME;
use crate::engine::remote::redis_invalidation::{
    GENERATIONS_TTL, MOVED, SCAN_COUNT, SWEEP_LIMIT, SWEEPS_MAX,
};
use crate::environment::modelled_redis::calls::Called;
use crate::environment::modelled_redis::server::{Server, Ttl};
use crate::environment::modelled_redis::shard::{Ask, unreachable};
use crate::environment::modelled_redis::thread::Command;
use crate::environment::modelled_redis::value::Value;

type Scopes = BTreeMap<Scope, Generation>;

impl ModelledRemote {
    fn generations() -> Key {
        Key::new("generations")
    }

    pub(super) async fn raise_generation(
        &self,
        scope: &Scope,
        known: Generation,
    ) -> Result<Generation, LayerError> {
        let key = Self::generations();
        let raise = |server: &mut Server| {
            let now_us = server.time().as_unix_nanos() / 1_000;
            let mut scopes = scopes_of(server, Called::Hvals, &key)?;
            let above = scopes.values().copied().max();
            let above = above.unwrap_or_default().max(known).0 + 1;
            let raised = Generation(above.max(now_us));
            scopes.insert(scope.clone(), raised);
            server.count(Called::Hset);
            keep(server, &key, scopes)?;
            Ok(raised)
        };
        let (shard, ask) = (self.redis.shard_of(&key), Ask::new(Command::Script));
        self.redis.call(shard, self.timeout, ask, raise).await
    }

    pub(super) async fn reconcile_generations(
        &self,
        known: &[Marker],
    ) -> Result<Vec<Marker>, LayerError> {
        let key = Self::generations();
        let reconcile = |server: &mut Server| {
            let mut scopes = scopes_of(server, Called::Hgetall, &key)?;
            let before = scopes.clone();
            if scopes.is_empty() && known.is_empty() {
                // Nobody knows anything, so what was outdated may have been forgotten: everything is.
                let now_us = server.time().as_unix_nanos() / 1_000;
                scopes.insert(Scope::Everything, Generation(now_us));
            }
            let newer = put_together(&mut scopes, known);
            if scopes == before {
                server.expire(&key, Ttl::For(GENERATIONS_TTL));
            } else {
                for _ in before.keys().filter(|scope| !scopes.contains_key(scope)) {
                    server.count(Called::Hdel);
                }
                for _ in scopes
                    .iter()
                    .filter(|(scope, now)| before.get(scope) != Some(now))
                {
                    server.count(Called::Hset);
                }
                keep(server, &key, scopes)?;
            }
            Ok(newer)
        };
        let (shard, ask) = (self.redis.shard_of(&key), Ask::new(Command::Script));
        self.redis.call(shard, self.timeout, ask, reconcile).await
    }

    pub(super) async fn sweep_primaries(
        &self,
        globs: &[Glob],
        belongs: impl Fn(&Key) -> bool + Send + Sync,
    ) -> Result<u64, LayerError> {
        let globs = globs.iter().flat_map(|glob| self.keys.globs(glob));
        let globs: Vec<Glob> = globs
            .map(|glob| glob.parse().map_err(|error| refused(&error)))
            .collect::<Result<_, _>>()?;
        let mut removed = 0;
        for _ in 0..SWEEPS_MAX {
            let epochs = self.epochs()?;
            for glob in &globs {
                let sweeps = (0..epochs.len()).map(|shard| self.sweep_one(shard, glob, &belongs));
                removed += try_join_all(sweeps).await?.iter().sum::<u64>();
            }
            if self.epochs()? == epochs {
                return Ok(removed);
            }
        }
        Err(LayerError::Refused(NAME, MOVED.to_owned()))
    }

    fn epochs(&self) -> Result<Vec<u64>, LayerError> {
        let epochs = (0..self.redis.primaries()).map(|shard| self.redis.epoch(shard));
        epochs.collect::<Option<_>>().ok_or_else(unreachable)
    }

    async fn sweep_one(
        &self,
        shard: usize,
        glob: &Glob,
        belongs: &(impl Fn(&Key) -> bool + Send + Sync),
    ) -> Result<u64, LayerError> {
        let sweep = self.sweep_unbounded(shard, glob, belongs);
        let swept = self.redis.clock().timeout(SWEEP_LIMIT, sweep).await;
        swept.unwrap_or(Err(LayerError::TimedOut(NAME)))
    }

    async fn sweep_unbounded(
        &self,
        shard: usize,
        glob: &Glob,
        belongs: &(impl Fn(&Key) -> bool + Send + Sync),
    ) -> Result<u64, LayerError> {
        let ours = |key: &Key| {
            let known = self.keys.read(key.as_str());
            known.is_some_and(|known| belongs(&Key::new(known)))
        };
        let (mut cursor, mut removed) = (0, 0);
        loop {
            let step = |server: &mut Server| Ok(server.scan(cursor, SCAN_COUNT));
            let ask = Ask::new(Command::Scan);
            let (next, found) = self.redis.call(shard, self.timeout, ask, step).await?;
            let matching = found.iter().filter(|key| glob.matches(key.as_str()));
            let matching: Vec<&Key> = matching.filter(|key| ours(key)).collect();
            if !matching.is_empty() {
                let placed = matching.into_iter().map(|key| (shard, key));
                let ask = Ask::new(Command::Script);
                let swept = self.redis.call_each(placed, self.timeout, ask, sweep);
                removed += swept.await?.into_iter().filter(|gone| *gone).count() as u64;
            }
            cursor = next;
            if cursor == 0 {
                return Ok(removed);
            }
        }
    }
}

/// Removes an entry; what keeps old values out stays.
fn sweep(server: &mut Server, key: &Key) -> Result<bool, LayerError> {
    server.count(Called::Evalsha);
    let floor = floor(server, key);
    match server.peek(key) {
        Some(Value::Tombstone(_)) => Ok(false),
        Some(Value::Lease { .. }) if floor > Some(Version(0)) => {
            let floor = floor.unwrap_or_default();
            server.set(key, Value::Tombstone(floor), Ttl::Keep)?;
            Ok(true)
        }
        _ => Ok(server.unlink(key)),
    }
}

fn scopes_of(server: &mut Server, called: Called, key: &Key) -> Result<Scopes, LayerError> {
    server.count(Called::Evalsha);
    match server.read(called, key) {
        None => Ok(Scopes::new()),
        Some(Value::Generations(scopes)) => Ok(scopes.clone()),
        Some(_) => Err(super::wrong_type()),
    }
}

fn keep(server: &mut Server, key: &Key, scopes: Scopes) -> Result<(), LayerError> {
    server.count(Called::Pexpire);
    server.store(key, Value::Generations(scopes), Ttl::For(GENERATIONS_TTL))
}

/// The greater of each holds, on both sides; gives what is newer here than known.
fn put_together(scopes: &mut Scopes, known: &[Marker]) -> Vec<Marker> {
    for marker in known {
        let held = scopes.entry(marker.scope.clone()).or_default();
        *held = marker.generation.max(*held);
    }
    let held = |scope: &Scope| scopes.get(scope).copied().unwrap_or_default();
    let wider = |scope: &Scope| match scope {
        Scope::Everything => Generation(0),
        Scope::DataType(_) => held(&Scope::Everything),
        Scope::Pattern(id, _) => held(&Scope::Everything).max(held(&Scope::DataType(*id))),
    };
    // A wider scope says the same and more.
    let kept = scopes
        .iter()
        .filter(|(scope, generation)| **generation > wider(scope));
    let kept: Scopes = kept
        .map(|(scope, generation)| (scope.clone(), *generation))
        .collect();
    let newer = |(scope, generation): (&Scope, &Generation)| {
        let known = known.iter().filter(|marker| marker.scope == *scope);
        let known = known.map(|marker| marker.generation).max();
        (*generation > known.unwrap_or_default()).then(|| Marker {
            scope: scope.clone(),
            generation: *generation,
        })
    };
    let told = kept.iter().filter_map(newer).collect();
    *scopes = kept;
    told
}

fn refused(error: &dyn std::fmt::Display) -> LayerError {
    LayerError::Refused(NAME, error.to_string())
}
