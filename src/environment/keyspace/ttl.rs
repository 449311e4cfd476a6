//! The TTLs that a run's keys have left: SCAN and PTTL within a budget, told apart by data type.
//!
//! The runner asks at the end of a run, when nobody is measured any more. SCAN goes through the
//! keys in the order of their hashes, so that what the budget allows is a fair sample of all. Reads
//! only; touches no key's place in an eviction order (PTTL does not count as a use).

use std::collections::BTreeMap;
use std::time::Duration;

use redis::aio::ConnectionLike;
use rustc_hash::FxHashSet;

use super::{RunPrefix, scan};
use crate::clock::{Clock, Timestamp};
use crate::engine::data_type::{DataTypeId, Key, KeyPattern, PolicyTable};
use crate::environment::error::EnvironmentError;
use crate::seed::fnv1a;

/// How much may be looked at, over all nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TtlBudget {
    /// Keys.
    pub keys_max: usize,
    /// Time.
    pub limit: Duration,
}

/// What was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TtlSample {
    /// Whether every key of the run was looked at.
    pub complete: bool,
    /// By data type; `None` for the engine's own bookkeeping. A key without a TTL has none.
    pub ttls: BTreeMap<Option<DataTypeId>, Vec<Option<Duration>>>,
}

/// Samples the keys of the run on `nodes`, which together hold all of them: one standalone server,
/// or the primaries of a cluster. Each node gets an equal share of the budget that is left.
///
/// # Errors
/// If a node fails. One that is slow only ends its share.
pub async fn sample(
    nodes: &mut [impl ConnectionLike + Send],
    prefix: &RunPrefix,
    policies: &PolicyTable,
    (clock, budget): (&Clock, TtlBudget),
) -> Result<TtlSample, EnvironmentError> {
    let deadline = clock.now() + budget.limit;
    let mut sampling = Sampling {
        prefix,
        policies,
        seen: FxHashSet::default(),
        looked_at: 0,
        sample: TtlSample {
            complete: true,
            ttls: BTreeMap::new(),
        },
    };
    let mut nodes_left = nodes.len();
    for node in nodes {
        let keys = (budget.keys_max.saturating_sub(sampling.looked_at)) / nodes_left;
        let time = deadline.since(clock.now()) / nodes_left as u32;
        let share = Share {
            keys_until: sampling.looked_at + keys,
            until: clock.now() + time,
        };
        sampling.visit(node, share, clock).await?;
        nodes_left -= 1;
    }
    Ok(sampling.sample)
}

/// One node's part of the budget.
#[derive(Clone, Copy)]
struct Share {
    keys_until: usize,
    until: Timestamp,
}

struct Sampling<'p> {
    prefix: &'p RunPrefix,
    policies: &'p PolicyTable,
    /// SCAN may give a key more than once.
    seen: FxHashSet<u64>,
    looked_at: usize,
    sample: TtlSample,
}

impl Sampling<'_> {
    async fn visit(
        &mut self,
        node: &mut (impl ConnectionLike + Send),
        share: Share,
        clock: &Clock,
    ) -> Result<(), EnvironmentError> {
        let mut cursor = 0;
        loop {
            let step = async {
                let (next, keys) = scan(node, self.prefix, cursor).await?;
                let room = share.keys_until.saturating_sub(self.looked_at);
                let fresh = keys.into_iter().filter(|key| self.seen.insert(fnv1a(key)));
                let fresh: Vec<Vec<u8>> = fresh.collect();
                let cut = fresh.len() > room;
                let fresh: Vec<Vec<u8>> = fresh.into_iter().take(room).collect();
                let ttls = pttl(node, &fresh).await?;
                Ok::<_, EnvironmentError>((next, fresh, ttls, cut))
            };
            let stepped = clock.timeout(share.until.since(clock.now()), step).await;
            let Ok(stepped) = stepped else {
                self.sample.complete = false;
                return Ok(());
            };
            let (next, keys, ttls, cut) = stepped?;
            self.looked_at += keys.len();
            for (key, ttl_ms) in keys.iter().zip(ttls) {
                self.count(key, ttl_ms);
            }
            cursor = next;
            // A share that is used up may have been enough: the next step with a key in it tells.
            if cut {
                self.sample.complete = false;
            }
            if cursor == 0 || cut {
                return Ok(());
            }
        }
    }

    fn count(&mut self, key: &[u8], ttl_ms: i64) {
        let ttl = match ttl_ms {
            // It went between the two questions.
            -2 => return,
            left => u64::try_from(left).ok().map(Duration::from_millis),
        };
        let data_type = self.data_type_of(key);
        self.sample.ttls.entry(data_type).or_default().push(ttl);
    }

    fn data_type_of(&self, key: &[u8]) -> Option<DataTypeId> {
        let key = std::str::from_utf8(key).ok()?;
        data_type_of(self.policies, key.strip_prefix(self.prefix.as_str())?)
    }
}

/// The data type whose pattern `key` follows. A counter may keep more than one key, which go on where
/// its pattern ends: they belong to the data type whose pattern begins as they do.
pub(in crate::environment) fn data_type_of(
    policies: &PolicyTable,
    key: &str,
) -> Option<DataTypeId> {
    let typed = Key::new(key);
    let follows = |pattern: &KeyPattern| pattern.read(&typed).is_some();
    let exact = policies
        .iter()
        .find(|(_, row)| follows(&row.key) || row.related.iter().any(follows));
    let begins = policies
        .iter()
        .filter(|(_, row)| !row.key.head().is_empty() && key.starts_with(row.key.head()))
        .max_by_key(|(_, row)| row.key.head().len());
    exact.or(begins).map(|(id, _)| id)
}

async fn pttl(
    node: &mut (impl ConnectionLike + Send),
    keys: &[Vec<u8>],
) -> Result<Vec<i64>, EnvironmentError> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let mut pipe = redis::pipe();
    for key in keys {
        pipe.cmd("PTTL").arg(key);
    }
    pipe.query_async(node)
        .await
        .map_err(|error| EnvironmentError::command("PTTL", &error))
}

#[cfg(test)]
mod tests;
