//! Several servers as one: what each says of itself, added up.
//!
//! What stands now (memory, keys) is added over the primaries, because replicas hold the same again;
//! connections over all that are alive. What was counted since a server's start is added over every
//! server and every life of it, so that a total never shrinks: when a server dies, the last that
//! it said is kept. What it counted after that is lost, and [`RedisLedger::lives_ended`] tells.
//! Pure. Kept by the runner.

use std::collections::BTreeMap;

use super::{Keyspace, RedisInfo};
use crate::units::ByteSize;

/// What the servers of one Redis have said.
#[derive(Clone, Debug, Default)]
pub struct RedisLedger {
    /// The last words of each life, by `run_id`.
    lives: BTreeMap<String, RedisInfo>,
    /// How many of them are alive.
    alive: usize,
}

impl RedisLedger {
    /// Enters what the servers that answered say now, and gives the total; `None` if no primary is
    /// among them.
    pub fn enter(&mut self, now: Vec<RedisInfo>) -> Option<RedisInfo> {
        let total = total(&now)?;
        self.alive = now.len();
        let entries = now.into_iter().map(|info| (info.run_id.clone(), info));
        self.lives.extend(entries);
        Some(self.with_counts(total))
    }

    /// How many servers have died, or are not to be reached: the total misses what they counted
    /// since they were last asked.
    pub fn lives_ended(&self) -> usize {
        self.lives.len() - self.alive
    }

    /// `total` with every count of every life.
    fn with_counts(&self, mut total: RedisInfo) -> RedisInfo {
        for life in self.lives.values() {
            total.evicted_keys += life.evicted_keys;
            total.expired_keys += life.expired_keys;
            total.keyspace_hits += life.keyspace_hits;
            total.keyspace_misses += life.keyspace_misses;
            total.total_commands_processed += life.total_commands_processed;
            total.used_cpu += life.used_cpu;
            for (command, calls) in &life.calls_by_command {
                *total.calls_by_command.entry(command.clone()).or_default() += calls;
            }
        }
        total
    }
}

/// What stands now, without any counts.
fn total(now: &[RedisInfo]) -> Option<RedisInfo> {
    let primaries = || now.iter().filter(|info| info.role != "slave");
    let first = primaries().next()?;
    let mut keyspace_by_db: BTreeMap<u32, Keyspace> = BTreeMap::new();
    for (db, keyspace) in primaries().flat_map(|info| &info.keyspace_by_db) {
        keyspace_by_db.entry(*db).or_default().add(keyspace);
    }
    let limits: Option<Vec<u64>> = primaries().map(|info| Some(info.maxmemory?.0)).collect();
    Some(RedisInfo {
        read_at: now.iter().map(|info| info.read_at).max()?,
        // A total never begins anew.
        run_id: "total".to_owned(),
        process_id: None,
        loading: now.iter().any(|info| info.loading),
        used_memory: ByteSize(primaries().map(|info| info.used_memory.0).sum()),
        // One server without a limit, and there is none.
        maxmemory: limits.map(|limits| ByteSize(limits.iter().sum())),
        connected_clients: now.iter().map(|info| info.connected_clients).sum(),
        evicted_keys: 0,
        expired_keys: 0,
        keyspace_hits: 0,
        keyspace_misses: 0,
        total_commands_processed: 0,
        used_cpu: std::time::Duration::ZERO,
        keyspace_by_db,
        calls_by_command: BTreeMap::new(),
        ..first.clone()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use proptest::{prop_assert, proptest};

    /// A server that has counted `count` of everything.
    fn server(id: &str, role: &str, count: u64) -> RedisInfo {
        let text = format!(
            "redis_version:7.0.15\nrun_id:{id}\nprocess_id:1\nrole:{role}\n\
             connected_clients:{count}\nused_memory:{count}\nmaxmemory:100\n\
             maxmemory_policy:allkeys-lru\ntotal_commands_processed:{count}\n\
             expired_keys:{count}\nevicted_keys:{count}\nkeyspace_hits:{count}\n\
             keyspace_misses:{count}\nused_cpu_sys:{count}\nused_cpu_user:0\n\
             cmdstat_get:calls={count},usec=1\ndb0:keys={count},expires=0\n"
        );
        RedisInfo::parse(&text, Timestamp::from_unix_nanos(count)).expect("INFO")
    }

    #[test]
    fn what_stands_is_of_primaries_and_what_was_counted_of_all() {
        let mut ledger = RedisLedger::default();
        let servers = vec![
            server("a", "master", 10),
            server("b", "master", 20),
            server("c", "slave", 7),
        ];
        let total = ledger.enter(servers).expect("a total");
        assert_eq!((total.used_memory, total.keys_in(0)), (ByteSize(30), 30));
        assert_eq!(total.maxmemory, Some(ByteSize(200)));
        assert_eq!((total.connected_clients, total.calls_of("get")), (37, 37));
        assert_eq!((total.evicted_keys, total.used_cpu.as_secs()), (37, 37));
        assert_eq!(ledger.lives_ended(), 0);
    }

    #[test]
    fn a_server_that_died_is_still_counted() {
        let mut ledger = RedisLedger::default();
        let before = vec![server("a", "master", 10), server("b", "slave", 5)];
        let before = ledger.enter(before).expect("a total");
        let after = vec![server("b", "master", 6)];
        let after = ledger.enter(after).expect("a total");
        assert_eq!(
            (after.used_memory, after.connected_clients),
            (ByteSize(6), 6)
        );
        assert_eq!(after.calls_of("get"), 16);
        assert_eq!(after.since(&before).commands, 1);
        assert!(!after.since(&before).restarted);
        assert_eq!(ledger.lives_ended(), 1);
    }

    #[test]
    fn without_a_primary_there_is_no_total() {
        let mut ledger = RedisLedger::default();
        assert_eq!(ledger.enter(vec![server("a", "slave", 1)]), None);
        assert_eq!(ledger.enter(vec![]), None);
        let mut unlimited = server("b", "master", 1);
        unlimited.maxmemory = None;
        let total = ledger.enter(vec![unlimited, server("c", "master", 1)]);
        assert_eq!(total.expect("a total").maxmemory, None);
    }

    proptest! {
        #[test]
        fn counts_never_shrink(steps in proptest::collection::vec(0u8..4, 1..20)) {
            let mut ledger = RedisLedger::default();
            let mut counts = [0; 3];
            let mut last = 0;
            for (step, missing) in (1..).zip(steps) {
                let present = (0..3).filter(|at| *at != missing);
                let servers = present.map(|at| {
                    counts[usize::from(at)] += step;
                    server(&at.to_string(), "master", counts[usize::from(at)])
                });
                let servers: Vec<RedisInfo> = servers.collect();
                let total = ledger.enter(servers).expect("a total").calls_of("get");
                prop_assert!(total >= last);
                last = total;
            }
        }
    }
}
