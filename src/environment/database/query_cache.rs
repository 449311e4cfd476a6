//! A cache of results inside the database, as `MySQL` had one until version 8: by query, and a write
//! to a table throws away every result that was read from it.
//!
//! A hit is cheap but still takes a connection, and the whole cache is one lock, as that one was. A
//! result is kept only if its table was not written while it was read, so a hit is never stale.
//! Used by the database alone.

use std::collections::{BTreeMap, HashMap};

use parking_lot::Mutex;
use rustc_hash::FxBuildHasher;

use super::stats::QueryCacheStats;
use crate::clock::Timestamp;
use crate::engine::data_type::{DataTypeId, Key};
use crate::engine::layer::Row;
use crate::environment::QueryCacheConfig;

/// The results of all tables.
pub(super) struct QueryCache {
    config: QueryCacheConfig,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    tables: Vec<Table>,
    /// Every result by when it was last used; the first goes when there are too many.
    by_use: BTreeMap<u64, (DataTypeId, Key)>,
    uses: u64,
    stats: QueryCacheStats,
}

#[derive(Default)]
struct Table {
    /// How often it was written.
    writes: u64,
    results: HashMap<Key, Held, FxBuildHasher>,
}

struct Held {
    row: Row,
    used: u64,
    deadline: Timestamp,
}

/// How often a table had been written when a query began.
#[derive(Clone, Copy, Debug)]
pub(super) struct Epoch(u64);

impl QueryCache {
    pub(super) fn new(config: QueryCacheConfig, tables: usize) -> Self {
        let mut state = State::default();
        state.tables.resize_with(tables, Table::default);
        Self {
            config,
            state: Mutex::new(state),
        }
    }

    /// The result of the query for `key`, or the epoch that its execution begins in.
    pub(super) fn look(&self, id: DataTypeId, key: &Key, now: Timestamp) -> Result<Row, Epoch> {
        let mut state = self.state.lock();
        let state = &mut *state;
        state.uses += 1;
        let table = &mut state.tables[id.index()];
        let epoch = Epoch(table.writes);
        match table.results.get_mut(key) {
            Some(held) if held.deadline > now => {
                state.by_use.remove(&held.used);
                held.used = state.uses;
                state.by_use.insert(held.used, (id, key.clone()));
                state.stats.hits += 1;
                Ok(held.row.clone())
            }
            _ => {
                state.stats.misses += 1;
                Err(epoch)
            }
        }
    }

    /// Keeps the result of a query that began in `epoch`, unless its table was written since.
    pub(super) fn keep(&self, id: DataTypeId, key: &Key, epoch: Epoch, row: &Row, now: Timestamp) {
        let mut state = self.state.lock();
        let state = &mut *state;
        let table = &mut state.tables[id.index()];
        if table.writes != epoch.0 {
            return;
        }
        state.uses += 1;
        let held = Held {
            row: row.clone(),
            used: state.uses,
            deadline: self.deadline(now),
        };
        if let Some(before) = table.results.insert(key.clone(), held) {
            state.by_use.remove(&before.used);
        }
        state.by_use.insert(state.uses, (id, key.clone()));
        while state.by_use.len() as u64 > self.config.entries {
            let Some((_, (id, key))) = state.by_use.pop_first() else {
                return;
            };
            state.tables[id.index()].results.remove(&key);
            state.stats.evictions += 1;
        }
    }

    /// Does `commit`, a write to a table, and throws away all that was read from it, in one step:
    /// nobody finds an old result after the commit.
    pub(super) fn write<T>(&self, id: DataTypeId, commit: impl FnOnce() -> T) -> T {
        let mut state = self.state.lock();
        let done = commit();
        let state = &mut *state;
        let table = &mut state.tables[id.index()];
        table.writes += 1;
        state.stats.invalidated += table.results.len() as u64;
        for (_, held) in table.results.drain() {
            state.by_use.remove(&held.used);
        }
        done
    }

    pub(super) fn stats(&self) -> QueryCacheStats {
        let state = self.state.lock();
        QueryCacheStats {
            entries: state.by_use.len() as u64,
            ..state.stats
        }
    }

    fn deadline(&self, now: Timestamp) -> Timestamp {
        let ttl = self.config.ttl;
        ttl.map_or(Timestamp::NEVER, |ttl| now + ttl)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::layer::Version;
    use crate::environment::ServiceTime;
    use proptest::prelude::*;
    use std::time::Duration;

    const TABLE: DataTypeId = DataTypeId(0);
    const OTHER: DataTypeId = DataTypeId(1);

    fn cache(entries: u64, ttl: Option<Duration>) -> QueryCache {
        let time = Duration::from_millis(1);
        let hit_time = ServiceTime {
            median: time,
            p99: time,
        };
        let config = QueryCacheConfig {
            entries,
            ttl,
            hit_time,
        };
        QueryCache::new(config, 2)
    }

    fn row(version: u64) -> Row {
        Row {
            value: None,
            version: Version(version),
            committed_at: Timestamp::EPOCH,
            as_of: Version(version),
        }
    }

    fn at(second: u64) -> Timestamp {
        Timestamp::from_unix_nanos(second * 1_000_000_000)
    }

    fn key(number: u64) -> Key {
        Key::new(format!("key:{number}"))
    }

    fn load(cache: &QueryCache, id: DataTypeId, number: u64, now: Timestamp) -> bool {
        match cache.look(id, &key(number), now) {
            Ok(_) => true,
            Err(epoch) => {
                cache.keep(id, &key(number), epoch, &row(1), now);
                false
            }
        }
    }

    #[test]
    fn a_write_throws_away_its_whole_table_and_no_other() {
        let cache = cache(100, None);
        for number in 0..10 {
            assert!(!load(&cache, TABLE, number, at(1)));
            assert!(load(&cache, TABLE, number, at(1)));
            load(&cache, OTHER, number, at(1));
        }
        cache.write(TABLE, || ());
        assert_eq!(cache.stats().invalidated, 10);
        assert!(!load(&cache, TABLE, 3, at(2)));
        assert!(load(&cache, OTHER, 3, at(2)));
        assert_eq!(cache.stats().entries, 11);
    }

    #[test]
    fn a_result_whose_table_was_written_meanwhile_is_not_kept() {
        let cache = cache(100, None);
        let epoch = cache.look(TABLE, &key(1), at(1)).expect_err("nothing yet");
        cache.write(TABLE, || ());
        cache.keep(TABLE, &key(1), epoch, &row(1), at(2));
        assert!(cache.look(TABLE, &key(1), at(2)).is_err());
        assert_eq!(cache.stats().entries, 0);
    }

    #[test]
    fn results_end_with_their_ttl_if_they_have_one() {
        let cache = cache(100, Some(Duration::from_secs(10)));
        load(&cache, TABLE, 1, at(1));
        assert!(load(&cache, TABLE, 1, at(10)));
        assert!(!load(&cache, TABLE, 1, at(11)));
        assert!(load(&cache, TABLE, 1, at(20)));
        assert_eq!(cache.stats().entries, 1);
    }

    #[test]
    fn the_least_recently_used_goes_first() {
        let cache = cache(3, None);
        for number in [1, 2, 3, 1, 4] {
            load(&cache, TABLE, number, at(1));
        }
        assert_eq!(cache.stats().evictions, 1);
        let held: Vec<u64> = (1..=4)
            .filter(|number| cache.look(TABLE, &key(*number), at(1)).is_ok())
            .collect();
        assert_eq!(held, [1, 3, 4]);
    }

    proptest! {
        /// Against the plainest model: a hit is exactly what was kept since the table's last write,
        /// and the books add up.
        #[test]
        fn hits_are_what_was_kept_since_the_last_write(
            operations in prop::collection::vec((0u8..4, 0u64..6, 0u16..2), 1..200),
            entries in 1u64..8,
        ) {
            let cache = cache(entries, None);
            let mut model: Vec<(DataTypeId, u64)> = Vec::new();
            for (what, number, table) in operations {
                let id = DataTypeId(table);
                if what == 0 {
                    cache.write(id, || ());
                    model.retain(|(of, _)| *of != id);
                    continue;
                }
                let held = model.iter().position(|held| *held == (id, number));
                prop_assert_eq!(load(&cache, id, number, at(1)), held.is_some());
                if let Some(held) = held {
                    model.remove(held);
                }
                model.push((id, number));
                if model.len() as u64 > entries {
                    model.remove(0);
                }
                let stats = cache.stats();
                prop_assert_eq!(stats.entries, model.len() as u64);
            }
            let stats = cache.stats();
            prop_assert_eq!(stats.misses, stats.entries + stats.evictions + stats.invalidated);
        }
    }
}
