//! Broad invalidation on Redis: generations in one hash, and the scan that looks for keys.
//!
//! Called by [`super::redis`] alone.

use std::time::Duration;

use ::redis::Script;
use ::redis::aio::ConnectionLike;
use bytes::Bytes;
use futures_util::future::try_join_all;

use super::redis::{NAME, RedisRemote, TOMBSTONE_TTL, failure, millis};
use super::redis_subscription::bounded;
use super::wire;
use crate::engine::data_type::Key;
use crate::engine::invalidation::glob::Glob;
use crate::engine::invalidation::markers::{Marker, Scope};
use crate::engine::layer::{Generation, LayerError, Remote as _, Version};

/// How long generations outlive the last instance that asked for them. Without them everything is
/// outdated, so nothing wrong comes of a loss.
pub(crate) const GENERATIONS_TTL: Duration = Duration::from_hours(24);
/// How many keys Redis looks at in one step of a scan; the server does nothing else meanwhile.
pub(crate) const SCAN_COUNT: usize = 1_000;
/// How long a scan of one primary may take in all.
pub(crate) const SWEEP_LIMIT: Duration = Duration::from_mins(1);

/// How often a scan begins anew when keys have moved to other primaries meanwhile.
pub(crate) const SWEEPS_MAX: usize = 3;

/// What a sweep says that did not find the servers standing still.
pub(crate) const MOVED: &str = "its primaries changed during every scan: some keys may have been \
                                passed over; try again when they stand still";

impl RedisRemote {
    fn generations(&self) -> String {
        format!("{}generations", self.keys.prefix())
    }

    pub(super) async fn raise_generation(
        &self,
        scope: &Scope,
        known: Generation,
    ) -> Result<Generation, LayerError> {
        let mut call = self.scripts.raise.key(self.generations());
        call.arg(scope.to_string())
            .arg(known.0)
            .arg(millis(GENERATIONS_TTL));
        let raised: u64 = call
            .invoke_async(&mut self.connection())
            .await
            .map_err(|e| failure(&e))?;
        Ok(Generation(raised))
    }

    pub(super) async fn reconcile_generations(
        &self,
        known: &[Marker],
    ) -> Result<Vec<Marker>, LayerError> {
        let mut call = self.scripts.reconcile.key(self.generations());
        call.arg(millis(GENERATIONS_TTL));
        for marker in known {
            call.arg(marker.scope.to_string()).arg(marker.generation.0);
        }
        let newer: Vec<(String, u64)> = call
            .invoke_async(&mut self.connection())
            .await
            .map_err(|e| failure(&e))?;
        let markers = newer.into_iter().map(|(scope, generation)| {
            let scope = scope
                .parse()
                .map_err(|error| LayerError::Refused(NAME, format!("{error}")))?;
            Ok(Marker {
                scope,
                generation: Generation(generation),
            })
        });
        markers.collect()
    }

    /// Drops `keys` without a commit. Where Redis itself tells of changes it tells of each of them,
    /// also of those that it does not hold: an instance may still do so.
    pub(super) async fn purge(&self, keys: &[Key]) -> Result<(), LayerError> {
        let nothing = wire::encode_tombstone(Version(0));
        let purges = keys.iter().map(|key| {
            let mut connection = self.connection();
            let mut call = self.scripts.purge.key(self.key(key));
            call.arg(millis(TOMBSTONE_TTL))
                .arg(u8::from(self.announces_changes()))
                .arg(&nothing[..]);
            async move {
                call.invoke_async::<()>(&mut connection)
                    .await
                    .map_err(|e| failure(&e))
            }
        });
        try_join_all(purges).await.map(|_| ())
    }

    pub(super) async fn versions_of(
        &self,
        keys: &[Key],
    ) -> Result<Vec<Option<Version>>, LayerError> {
        let looks = keys.iter().map(|key| {
            let (mut connection, key) = (self.connection(), self.key(key));
            async move {
                let mut command = ::redis::cmd("GETRANGE");
                command.arg(key).arg(0).arg(wire::AS_OF_END);
                let head: Bytes = command
                    .query_async(&mut connection)
                    .await
                    .map_err(|e| failure(&e))?;
                Ok(wire::as_of(&head))
            }
        });
        try_join_all(looks).await
    }

    pub(super) async fn sweep_primaries(
        &self,
        globs: &[Glob],
        belongs: impl Fn(&Key) -> bool + Send + Sync,
    ) -> Result<u64, LayerError> {
        let globs: Vec<String> = globs
            .iter()
            .flat_map(|glob| self.keys.globs(glob))
            .collect();
        let ours = |key: &str| {
            let key = self.keys.read(key);
            key.is_some_and(|key| belongs(&Key::new(key)))
        };
        let mut removed = 0;
        for _ in 0..SWEEPS_MAX {
            let (roster, primaries) = self.link.primaries();
            for glob in &globs {
                let sweeps = primaries.iter().map(|primary| {
                    let sweep = sweep_primary(primary.clone(), glob, ours, &self.scripts.sweep);
                    bounded(SWEEP_LIMIT, sweep)
                });
                removed += try_join_all(sweeps).await?.iter().sum::<u64>();
            }
            if self.link.stands(&roster) {
                return Ok(removed);
            }
        }
        Err(LayerError::Refused(NAME, MOVED.to_owned()))
    }
}

/// Removes from one primary every key that matches `glob` and is `ours`: all that are there from
/// the first step to the last (the promise of `SCAN`). Gives how many were removed.
async fn sweep_primary(
    mut connection: impl ConnectionLike + Clone,
    glob: &str,
    ours: impl Fn(&str) -> bool,
    sweep: &Script,
) -> Result<u64, LayerError> {
    let (mut cursor, mut removed) = (0_u64, 0_u64);
    loop {
        let mut step = ::redis::cmd("SCAN");
        step.arg(cursor)
            .arg(&["MATCH", glob, "COUNT"])
            .arg(SCAN_COUNT);
        let (next, found): (u64, Vec<Vec<u8>>) = step
            .query_async(&mut connection)
            .await
            .map_err(|e| failure(&e))?;
        // One call for each key: in a Cluster a script's keys must be in one slot.
        let removals = found
            .into_iter()
            .filter_map(|key| String::from_utf8(key).ok())
            .filter(|key| ours(key))
            .map(|key| {
                let mut connection = connection.clone();
                async move {
                    let call = sweep.key(key);
                    call.invoke_async::<u64>(&mut connection)
                        .await
                        .map_err(|e| failure(&e))
                }
            });
        removed += try_join_all(removals).await?.iter().sum::<u64>();
        cursor = next;
        if cursor == 0 {
            return Ok(removed);
        }
    }
}
