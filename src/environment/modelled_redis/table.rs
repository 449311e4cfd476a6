//! A hash table of the server, as far as it weighs something: it doubles, halves, and holds its old
//! self until every key has moved.
//!
//! The keyspace has two, of keys and of TTLs. Pure. It holds no keys: only how many buckets there are
//! matters. The rules are those of Redis' `dict.c` and of the `databasesCron` of its `server.c`.

/// The smallest table.
const BUCKETS_MIN: u64 = 4;
/// Fuller than this a table grows also beyond `maxmemory` (`HASHTABLE_MAX_LOAD_FACTOR`).
const LOAD_MAX: f64 = 1.618;
/// Emptier than this, in percent, it shrinks (`HASHTABLE_MIN_FILL`).
const FILL_PERCENT_MIN: u64 = 10;
/// How many empty buckets a step of moving skips at most.
const SKIPPED_MAX: f64 = 10.0;
/// How many full buckets are moved in the millisecond that a server spends on it ten times a second.
const STEPS_PER_TICK: f64 = 10_000.0;

/// The buckets of a table that was filled with so many `keys` one by one.
pub fn buckets_for(keys: u64) -> u64 {
    keys.next_power_of_two().max(BUCKETS_MIN)
}

/// The buckets of one hash table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    buckets: u64,
    /// While keys move: the table that they come from.
    old: Option<Old>,
}

#[derive(Clone, Debug, PartialEq)]
struct Old {
    buckets: u64,
    /// How many of them are still to be looked at.
    left: f64,
    /// How many one step looks at, on average.
    stride: f64,
}

impl Table {
    /// All buckets, those of the old table included.
    pub fn buckets(&self) -> u64 {
        self.buckets + self.old.as_ref().map_or(0, |old| old.buckets)
    }

    /// Makes room for one key more than the `used` that are there. `fits` says whether so many more
    /// buckets fit into the memory.
    pub fn grow(&mut self, used: u64, fits: impl FnOnce(u64) -> bool) {
        if self.old.is_some() || used < self.buckets {
            return;
        }
        let wanted = buckets_for(used + 1);
        let is_overfull = used as f64 > LOAD_MAX * self.buckets as f64;
        if self.buckets == 0 || is_overfull || fits(wanted) {
            self.resize(wanted, used);
        }
    }

    /// What the server does ten times a second: a table that is nearly empty shrinks, and keys move.
    /// Says whether keys still move then.
    pub fn tick(&mut self, used: u64) -> bool {
        if self.old.is_none()
            && self.buckets > BUCKETS_MIN
            && used * 100 / self.buckets < FILL_PERCENT_MIN
        {
            self.resize(buckets_for(used), used);
        }
        self.step(STEPS_PER_TICK);
        self.old.is_some()
    }

    /// Moves so many buckets' keys: one at each look into the table.
    pub fn step(&mut self, steps: f64) {
        if let Some(old) = &mut self.old {
            old.left -= steps * old.stride;
            if old.left <= 0.0 {
                self.old = None;
            }
        }
    }

    fn resize(&mut self, buckets: u64, used: u64) {
        let before = std::mem::replace(&mut self.buckets, buckets);
        if before == 0 || before == buckets {
            return;
        }
        // Keys fall into buckets at random, so a bucket is empty with this probability.
        let empty = (-(used as f64) / before as f64).exp();
        self.old = Some(Old {
            buckets: before,
            left: before as f64,
            stride: (1.0 / (1.0 - empty)).min(SKIPPED_MAX),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table that was filled key by key.
    fn filled(keys: u64) -> Table {
        let mut table = Table::default();
        for used in 0..keys {
            table.step(1.0);
            table.grow(used, |_| true);
        }
        table
    }

    #[test]
    fn it_doubles_when_it_is_full_and_holds_the_old_until_all_moved() {
        assert_eq!(Table::default().buckets(), 0);
        assert_eq!(filled(1).buckets(), 4);
        assert_eq!(filled(4).buckets(), 4);
        assert_eq!(filled(1_024).buckets(), 1_024);
        assert_eq!(filled(1_025).buckets(), 2_048 + 1_024);
        assert_eq!(filled(2_048).buckets(), 2_048);
        assert!(!filled(1_025).tick(1_025), "a tick moves small tables");
    }

    #[test]
    fn without_memory_it_grows_only_when_it_is_overfull() {
        let mut table = filled(1_024);
        for used in 1_024..=1_656 {
            table.grow(used, |_| false);
            assert_eq!(table.buckets(), 1_024, "at {used}");
        }
        table.grow(1_657, |_| false);
        assert_eq!(table.buckets(), 2_048 + 1_024);
    }

    #[test]
    fn nearly_empty_it_shrinks_at_a_tick() {
        let mut table = filled(1_024);
        table.tick(103);
        assert_eq!(table.buckets(), 1_024);
        table.tick(102);
        assert_eq!(table.buckets(), 128);
        table.tick(0);
        assert_eq!(table.buckets(), 4);
        table.tick(0);
        assert_eq!(table.buckets(), 4);
    }

    #[test]
    fn a_large_table_moves_over_many_ticks() {
        let mut table = filled(1 << 20);
        table.grow(1 << 20, |_| true);
        let ticks = (1..1_000).find(|_| !table.tick(1 << 20)).expect("it ends");
        assert!((50..100).contains(&ticks), "{ticks}");
    }
}
