//! How keys go at the end of their TTL, as in Redis 7.0: when a command meets one, or when the active
//! cycle does. Until then they hold their memory.
//!
//! The keyspace calls this before each command. Ten times a second the cycle looks at twenty keys that
//! have a TTL, where it left off, and at twenty more while over a tenth of them was due. A cycle that
//! ran out of time is followed by short ones. No timer is needed: the ticks that have passed are caught
//! up with when the next command comes. After `activeExpireCycle` of Redis' `expire.c`, written anew.
//!
//! That leaves more behind than the tenth which Redis aims at: see the test of what lingers.

use std::time::Duration;

use super::eviction::lru_clock;
use super::keyspace::Keyspace;
use super::table::Table;
use crate::clock::Timestamp;

/// Ten times a second (`hz`).
pub const TICK: Duration = Duration::from_millis(100);
/// Keys in one loop (`ACTIVE_EXPIRE_CYCLE_KEYS_PER_LOOP`).
const KEYS_PER_LOOP: usize = 20;
/// The cycle goes on while more than so many percent were due (`ACTIVE_EXPIRE_CYCLE_ACCEPTABLE_STALE`).
const DUE_PERCENT_MAX: usize = 10;
/// A loop looks into so many buckets for each key that it wants.
const BUCKETS_PER_KEY: usize = 20;
/// A quarter of the tick (`ACTIVE_EXPIRE_CYCLE_SLOW_TIME_PERC`), looked at after every 16th loop.
const CYCLE_MAX: Duration = Duration::from_millis(25);
const LOOPS_PER_LOOK: u32 = 16;
/// A short cycle, and how often there may be one (`ACTIVE_EXPIRE_CYCLE_FAST_DURATION`, and twice that).
const SHORT_CYCLE_MAX: Duration = Duration::from_millis(1);
const SHORT_CYCLE_EVERY: Duration = Duration::from_millis(2);
/// What the thread spends on looking at a key, and on deleting one that is due. Measured: a million
/// keys of 100 bytes that are due at once are gone after 1.1 s of cycles.
const LOOK_TIME: Duration = Duration::from_nanos(50);
const DELETE_TIME: Duration = Duration::from_nanos(1_050);

/// As many slots as nobody has: no place among the TTLs.
pub(super) const NOWHERE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Expire {
    deadline_ms: u64,
    slot: u32,
}

/// The keys that have a TTL, as they came. The cycle goes through their places in an order that says
/// nothing about them, as Redis goes through the buckets of a hash table: keys that came together also
/// end together.
#[derive(Clone, Debug, Default)]
pub(super) struct Expires {
    order: Vec<Expire>,
    /// Where the active cycle left off: how many places of this lap it has looked at.
    cursor: usize,
}

impl Expires {
    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    pub(super) fn slot_at(&self, place: usize) -> u32 {
        self.order[place].slot
    }

    /// Adds a key; its place.
    fn insert(&mut self, slot: u32, deadline_ms: u64) -> u32 {
        self.order.push(Expire { deadline_ms, slot });
        (self.order.len() - 1) as u32
    }

    /// Takes the key at `place` out; who moves there, if anybody does.
    fn remove(&mut self, place: usize) -> Option<u32> {
        self.order.swap_remove(place);
        self.order.get(place).map(|moved| moved.slot)
    }

    /// The key under the cursor, which moves on until there is one.
    fn next(&mut self) -> Option<Expire> {
        if self.order.is_empty() {
            return None;
        }
        let places = self.order.len().next_power_of_two();
        loop {
            let place = scattered(self.cursor, places);
            if let Some(expire) = self.order.get(place) {
                return Some(*expire);
            }
            self.cursor = self.cursor.wrapping_add(1);
        }
    }
}

/// A permutation of so many `places`, a power of two, that looks like chance: the steps of a
/// `SplitMix64` finalizer, each of which can be undone within as many bits.
fn scattered(nth: usize, places: usize) -> usize {
    let mask = places - 1;
    let half = places.trailing_zeros().div_ceil(2);
    [0x9e37_79b9, 0x85eb_ca6b, 0xc2b2_ae35]
        .into_iter()
        .fold(nth & mask, |place, odd: usize| {
            let place = place.wrapping_mul(odd) & mask;
            place ^ (place >> half)
        })
}

/// The last millisecond in which a key lives that gets `ttl` now.
pub(super) fn deadline_ms(now: Timestamp, ttl: Duration) -> u64 {
    let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
    millis(now).saturating_add(ttl_ms.max(1))
}

/// Milliseconds since the Unix epoch: Redis has no finer time.
pub(super) fn millis(now: Timestamp) -> u64 {
    now.as_unix_nanos() / 1_000_000
}

/// How many keys a loop of the cycle looks at; `None` if the table is too empty to look.
fn keys_in_loop(with_ttl: usize, table: &Table) -> Option<usize> {
    const SMALLEST: usize = 4;
    let buckets = table.buckets() as usize;
    if with_ttl == 0 || (buckets > SMALLEST && with_ttl * 100 / buckets < 1) {
        return None;
    }
    let wanted = with_ttl.min(KEYS_PER_LOOP);
    // A loop gives up after so many buckets, and in a table that is nearly empty few hold keys.
    let found = wanted * BUCKETS_PER_KEY * with_ttl / buckets.max(1);
    Some(wanted.min(found.max(1)))
}

impl<V> Keyspace<V> {
    /// Does what the server did at the ticks that have passed.
    pub(super) fn catch_up(&mut self, now: Timestamp) {
        while now.since(self.ticked_at) >= TICK {
            self.ticked_at = self.ticked_at + TICK;
            self.expire_cycle(self.ticked_at, CYCLE_MAX);
            self.expire_shortly(self.ticked_at);
            let keys_move = self.keys_table.tick(self.index.len() as u64);
            let ttls_move = self.ttls_table.tick(self.expires.len() as u64);
            if self.expires.len() == 0 && !keys_move && !ttls_move {
                // Nothing can happen at the other ticks.
                let left = now.since(self.ticked_at).as_nanos() / TICK.as_nanos();
                self.ticked_at = self.ticked_at + TICK * u32::try_from(left).unwrap_or(u32::MAX);
            }
            self.clock = lru_clock(self.ticked_at);
        }
    }

    /// What the server does before it waits for commands. Redis 7.0 also wants a short cycle when over
    /// a tenth of the keys is due, but compares a share with a percentage, so that it never is.
    pub(super) fn expire_shortly(&mut self, now: Timestamp) {
        if self.cycle_ran_out && now.since(self.short_cycle_at) >= SHORT_CYCLE_EVERY {
            self.short_cycle_at = now;
            self.expire_cycle(now, SHORT_CYCLE_MAX);
        }
    }

    fn expire_cycle(&mut self, now: Timestamp, limit: Duration) {
        let now_ms = millis(now);
        let mut spent = Duration::ZERO;
        self.cycle_ran_out = false;
        for nth in 1.. {
            let Some(wanted) = keys_in_loop(self.expires.len(), &self.ttls_table) else {
                break;
            };
            let due = self.expire_loop(wanted, now_ms);
            spent += LOOK_TIME * wanted as u32 + DELETE_TIME * due as u32;
            self.cycle_ran_out = nth % LOOPS_PER_LOOK == 0 && spent > limit;
            if self.cycle_ran_out || due * 100 / wanted <= DUE_PERCENT_MAX {
                break;
            }
        }
        self.expire_cycle_time += spent;
    }

    /// Looks at the next `wanted` keys; how many were due.
    fn expire_loop(&mut self, wanted: usize, now_ms: u64) -> usize {
        let mut due = 0;
        for _ in 0..wanted {
            match self.expires.next() {
                // Another key may take its place under the cursor.
                Some(next) if now_ms > next.deadline_ms => {
                    self.lose(next.slot);
                    due += 1;
                }
                Some(_) => self.expires.cursor = self.expires.cursor.wrapping_add(1),
                None => break,
            }
        }
        self.expired += due as u64;
        due
    }

    pub(super) fn has_ttl(&self, slot: u32) -> bool {
        self.deadline_ms(slot).is_some()
    }

    /// The last millisecond of the key's life, if it has a TTL.
    pub(super) fn deadline_ms(&self, slot: u32) -> Option<u64> {
        let entry = self.entry(slot)?;
        let expire = self.expires.order.get(entry.expires_at as usize);
        expire.map(|expire| expire.deadline_ms)
    }

    pub(super) fn is_due(&self, slot: u32, now: Timestamp) -> bool {
        let deadline_ms = self.deadline_ms(slot);
        deadline_ms.is_some_and(|deadline_ms| millis(now) > deadline_ms)
    }

    /// Gives the key a TTL, another one, or none.
    pub(super) fn set_deadline(&mut self, slot: u32, deadline_ms: Option<u64>) {
        let Some(place) = self.entry(slot).map(|entry| entry.expires_at) else {
            return;
        };
        match (deadline_ms, self.expires.order.get_mut(place as usize)) {
            (Some(deadline_ms), Some(expire)) => expire.deadline_ms = deadline_ms,
            (Some(deadline_ms), None) => {
                let used = self.expires.len() as u64;
                self.ttls_table.step(1.0);
                let free = self.free_bytes();
                let bucket_bytes = self.config.memory.bucket_bytes;
                let fits = |buckets: u64| buckets * bucket_bytes <= free;
                self.ttls_table.grow(used, fits);
                let place = self.expires.insert(slot, deadline_ms);
                self.set_expires_at(slot, place);
            }
            (None, Some(_)) => {
                self.ttls_table.step(1.0);
                if let Some(moved) = self.expires.remove(place as usize) {
                    self.set_expires_at(moved, place);
                }
                self.set_expires_at(slot, NOWHERE);
            }
            (None, None) => {}
        }
    }

    fn set_expires_at(&mut self, slot: u32, place: u32) {
        if let Some(entry) = &mut self.slots[slot as usize] {
            entry.expires_at = place;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::data_type::Key;
    use crate::environment::modelled_redis::keyspace::KeyspaceConfig;
    use crate::seed::Seed;
    use rand::RngExt;

    const START: Timestamp = Timestamp::from_unix_nanos(1_800_000_000_000_000_000);

    fn after(duration: Duration) -> Timestamp {
        START + duration
    }

    /// So many keys, stored at once, whose TTLs are drawn evenly up to `ttl_max`.
    fn filled(keys: u64, mut ttl: impl FnMut(u64) -> Duration) -> Keyspace<()> {
        let stream = Seed(42).stream("keyspace");
        let mut keyspace = Keyspace::new(KeyspaceConfig::default(), stream, START);
        for nth in 0..keys {
            let key = Key::new(format!("customer:360:{nth}"));
            let stored = keyspace.set(&key, (), 100, Some(ttl(nth)), START);
            stored.expect("there is no limit");
        }
        keyspace
    }

    #[test]
    fn keys_hold_their_memory_until_they_are_gone() {
        let mut keyspace = filled(1_000, |_| Duration::from_secs(10));
        let held = keyspace.used_memory();
        keyspace.pass_time(after(Duration::from_secs(10)));
        assert_eq!(keyspace.counters().keys, 1_000);
        assert!(
            keyspace
                .peek("customer:360:1", after(Duration::from_secs(10)))
                .is_some()
        );
        let due = after(Duration::from_millis(10_050));
        assert_eq!(keyspace.peek("customer:360:1", due), None);
        assert_eq!(keyspace.counters().keys, 1_000, "nobody has met them");
        assert_eq!(keyspace.used_memory(), held);
        assert_eq!(keyspace.get("customer:360:1", due), None);
        assert_eq!(keyspace.counters().expired, 1, "met by a command");
        keyspace.pass_time(after(Duration::from_millis(10_200)));
        assert_eq!(keyspace.counters().expired, 1_000, "met by the cycle");
        keyspace.pass_time(after(Duration::from_secs(20)));
        assert!(keyspace.used_memory() < held - 200_000);
    }

    /// 50,000 keys stored at once, their TTLs drawn evenly from a minute: the share of due keys among
    /// all, as it was measured on Redis 7.0.15.
    #[test]
    fn as_much_lingers_as_in_redis() {
        let mut stream = Seed(7).stream("ttl");
        let ttl = |_| Duration::from_millis(stream.random_range(1..60_000));
        let mut keyspace = filled(50_000, ttl);
        for (second, measured) in [(5, 0.082), (10, 0.160), (15, 0.221)] {
            let now = after(Duration::from_secs(second));
            keyspace.pass_time(now);
            let all = keyspace.counters().keys as f64;
            let due = 1.0 - keyspace.iter(now).count() as f64 / all;
            assert!((due - measured).abs() < 0.02, "{due} after {second} s");
        }
    }

    #[test]
    fn a_cycle_that_has_much_to_do_ends_at_its_share_of_the_tick() {
        let mut keyspace = filled(200_000, |_| Duration::from_secs(1));
        keyspace.pass_time(after(Duration::from_millis(1_100)));
        let one_cycle = keyspace.counters();
        assert!(
            (20_000..30_000).contains(&one_cycle.expired),
            "{one_cycle:?}"
        );
        assert!(one_cycle.expire_cycle_time < Duration::from_millis(27));
        keyspace.pass_time(after(Duration::from_secs(5)));
        assert_eq!(keyspace.counters().keys, 0);
    }

    #[test]
    fn an_idle_year_is_soon_caught_up_with() {
        let mut keyspace = filled(1_000, |_| Duration::from_secs(10));
        let year = Duration::from_hours(24 * 365);
        keyspace.pass_time(after(year));
        assert_eq!(keyspace.counters().expired, 1_000);
        assert_eq!(keyspace.clock, lru_clock(after(year)));
    }

    #[test]
    fn a_lap_sees_every_key_once_and_mixes_those_that_came_together() {
        let mut expires = Expires::default();
        let keys = 1_000;
        for slot in 0..keys {
            expires.insert(slot, 0);
        }
        let mut seen = Vec::new();
        for _ in 0..keys {
            seen.extend(expires.next().map(|expire| expire.slot));
            expires.cursor += 1;
        }
        // Of each twenty, half came in the first half, but only on average: as with chance, whose
        // variance is 20 / 4.
        let off_by = |twenty: &[u32]| {
            let early = twenty.iter().filter(|slot| **slot < keys / 2).count();
            (early as f64 - 10.0).powi(2)
        };
        let variance = seen.chunks(20).map(off_by).sum::<f64>() / f64::from(keys / 20);
        assert!((3.0..8.0).contains(&variance), "{variance}");
        seen.sort_unstable();
        assert_eq!(seen, (0..keys).collect::<Vec<u32>>());
    }
}
