//! Whom the server gives up when its memory is full (`maxmemory-policy`), as Redis 7.0 does it.
//!
//! The keyspace calls this before each command, as the server does. Not the least recently used key
//! goes, but the best of a few: five keys are drawn, scored, and offered to a pool of sixteen that
//! outlives the command; the best of the pool goes. The clock of LRU ticks once a second, that of LFU
//! once a minute. After Redis' `evict.c` (`evictionPoolPopulate`, `estimateObjectIdleTime`,
//! `LFULogIncr`, `LFUDecrAndReturn`, `performEvictions`), written anew.
//!
//! One thing is left out: Redis ends a long eviction after half a millisecond and goes on behind the
//! next commands. Here it is carried out whole.

use rand::RngExt;

use super::keyspace::{Indexed, Keyspace, OutOfMemory};
use crate::clock::Timestamp;
use crate::environment::EvictionPolicy;
use crate::seed::Stream;

/// How many keys are drawn for the pool at a time (`maxmemory-samples`).
pub const SAMPLES: usize = 5;
/// How many candidates the pool holds (`EVPOOL_SIZE`).
const POOL_SIZE: usize = 16;
/// The clock of LRU has so many bits, and so has what a key remembers.
const CLOCK_MAX: u32 = (1 << 24) - 1;
/// The clock of LFU, in minutes.
const MINUTES_MAX: u32 = (1 << 16) - 1;
const COUNTER_MAX: u32 = 255;
/// The counter of a new key, so that it is not the first to go (`LFU_INIT_VAL`).
const COUNTER_NEW: u32 = 5;
/// How slowly the counter grows (`lfu-log-factor`).
const LOG_FACTOR: f64 = 10.0;
/// After how many minutes it loses one (`lfu-decay-time`).
const DECAY_MINUTES: u32 = 1;

/// The clock of LRU: seconds, in 24 bits.
pub fn lru_clock(now: Timestamp) -> u32 {
    now.as_unix_secs() as u32 & CLOCK_MAX
}

/// How long ago a key was used, in seconds, if the clock did not go round more than once.
pub fn idle_s(clock: u32, used_at: u32) -> u32 {
    if clock >= used_at {
        clock - used_at
    } else {
        clock + (CLOCK_MAX - used_at)
    }
}

/// What LFU remembers of a key, in 24 bits: the minute when its counter was last looked at by a
/// command, and its counter, a logarithm of how often it was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frequency(u32);

impl Frequency {
    /// Of a new key.
    pub fn new(now: Timestamp) -> Self {
        Self(minutes(now) << 8 | COUNTER_NEW)
    }

    /// As a key keeps it.
    pub fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// As a key keeps it.
    pub fn bits(self) -> u32 {
        self.0
    }

    /// The counter, less one for every minute that has passed.
    pub fn counter(self, now: Timestamp) -> u32 {
        let (then, now) = (self.0 >> 8, minutes(now));
        let passed = if now >= then {
            now - then
        } else {
            MINUTES_MAX - then + now
        };
        (self.0 & COUNTER_MAX).saturating_sub(passed / DECAY_MINUTES)
    }

    /// After one more use: the larger the counter, the less likely it grows.
    #[must_use]
    pub fn used(self, now: Timestamp, stream: &mut Stream) -> Self {
        let mut counter = self.counter(now);
        if counter < COUNTER_MAX {
            let above_new = f64::from(counter.saturating_sub(COUNTER_NEW));
            if stream.random::<f64>() < 1.0 / (above_new * LOG_FACTOR + 1.0) {
                counter += 1;
            }
        }
        Self(minutes(now) << 8 | counter)
    }
}

fn minutes(now: Timestamp) -> u32 {
    (now.as_unix_secs() / 60) as u32 & MINUTES_MAX
}

/// How a policy chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choice {
    Nobody,
    Anybody,
    /// The one with the highest score.
    Best(Score),
}

/// What makes a key a better candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Score {
    Idle,
    Infrequent,
    EndsSoon,
}

fn choice(policy: EvictionPolicy) -> Choice {
    match policy {
        EvictionPolicy::Noeviction => Choice::Nobody,
        EvictionPolicy::AllkeysRandom | EvictionPolicy::VolatileRandom => Choice::Anybody,
        EvictionPolicy::AllkeysLru | EvictionPolicy::VolatileLru => Choice::Best(Score::Idle),
        EvictionPolicy::AllkeysLfu | EvictionPolicy::VolatileLfu => Choice::Best(Score::Infrequent),
        EvictionPolicy::VolatileTtl => Choice::Best(Score::EndsSoon),
    }
}

/// Whether keys are counted by LFU; else they remember when they were used.
pub(super) fn counts_uses(policy: EvictionPolicy) -> bool {
    choice(policy) == Choice::Best(Score::Infrequent)
}

/// Whether only keys with a TTL may go.
fn spares_lasting_keys(policy: EvictionPolicy) -> bool {
    match policy {
        EvictionPolicy::VolatileLru
        | EvictionPolicy::VolatileLfu
        | EvictionPolicy::VolatileRandom
        | EvictionPolicy::VolatileTtl => true,
        EvictionPolicy::Noeviction
        | EvictionPolicy::AllkeysLru
        | EvictionPolicy::AllkeysLfu
        | EvictionPolicy::AllkeysRandom => false,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Candidate {
    score: u64,
    /// The hash of the key's name: of so many bits that no two keys share one.
    hash: u64,
    /// Where the key was when it was offered.
    slot: u32,
}

/// The best candidates so far, the best of them last. It knows them by name: a key that was deleted
/// and stored again is still a candidate, with its old score.
#[derive(Clone, Debug, Default)]
pub(super) struct Pool {
    candidates: Vec<Candidate>,
}

impl Pool {
    /// Whether a key of this score would be taken: a full pool takes it only if it is better than the
    /// worst, which goes.
    fn wants(&self, score: u64) -> bool {
        self.candidates.len() < POOL_SIZE || self.candidates[0].score < score
    }

    fn offer(&mut self, candidate: Candidate) {
        if !self.wants(candidate.score) {
            return;
        }
        let is_worse = |other: &&Candidate| other.score < candidate.score;
        let worse = self.candidates.iter().take_while(is_worse).count();
        if self.candidates.len() < POOL_SIZE {
            self.candidates.insert(worse, candidate);
        } else {
            self.candidates[..worse].rotate_left(1);
            self.candidates[worse - 1] = candidate;
        }
    }

    /// Takes the best.
    fn take_best(&mut self) -> Option<Candidate> {
        self.candidates.pop()
    }
}

impl<V> Keyspace<V> {
    /// Evicts until `incoming` bytes fit, or until nobody is left who may go.
    pub(super) fn make_room(&mut self, incoming: u64, now: Timestamp) -> Result<(), OutOfMemory> {
        let Some(maxmemory) = self.config.maxmemory else {
            return Ok(());
        };
        while self.used_memory() + incoming > maxmemory.0 {
            let Some(slot) = self.victim(now) else {
                return Err(OutOfMemory {
                    used: self.used_memory(),
                    maxmemory: maxmemory.0,
                });
            };
            self.lose(slot);
            self.evicted += 1;
        }
        Ok(())
    }

    fn victim(&mut self, now: Timestamp) -> Option<u32> {
        match choice(self.config.policy) {
            Choice::Nobody => None,
            Choice::Anybody => self.candidates::<1>()[0].map(|drawn| drawn.slot),
            Choice::Best(score) => loop {
                if !self.fill_pool(score, now) {
                    return None;
                }
                while let Some(Candidate { hash, slot, .. }) = self.pool.take_best() {
                    let is_there = self.entry(slot).is_some_and(|entry| entry.hash == hash);
                    let slot = is_there.then_some(slot);
                    if let Some(slot) = slot.or_else(|| self.find_by_hash(hash))
                        && (self.has_ttl(slot) || !spares_lasting_keys(self.config.policy))
                    {
                        return Some(slot);
                    }
                }
            },
        }
    }

    /// Draws a few keys and offers them to the pool; `false` if there is none that may go.
    fn fill_pool(&mut self, score: Score, now: Timestamp) -> bool {
        let drawn = self.candidates::<SAMPLES>();
        let sampled = if spares_lasting_keys(self.config.policy) {
            &mut self.ttls_table
        } else {
            &mut self.keys_table
        };
        sampled.step(SAMPLES as f64);
        for Indexed { slot, use_bits } in drawn.into_iter().flatten() {
            let score = match score {
                Score::Idle => u64::from(idle_s(self.clock, use_bits)),
                Score::Infrequent => {
                    let counter = Frequency::from_bits(use_bits).counter(now);
                    u64::from(COUNTER_MAX - counter)
                }
                Score::EndsSoon => u64::MAX - self.deadline_ms(slot).unwrap_or(u64::MAX),
            };
            if self.pool.wants(score)
                && let Some(hash) = self.entry(slot).map(|entry| entry.hash)
            {
                self.pool.offer(Candidate { score, hash, slot });
            }
        }
        drawn[0].is_some()
    }

    /// Up to `N` different keys that may go, at random.
    fn candidates<const N: usize>(&mut self) -> [Option<Indexed>; N] {
        let of_ttls = spares_lasting_keys(self.config.policy);
        let population = if of_ttls {
            self.expires.len()
        } else {
            self.index.len()
        };
        let mut places = [usize::MAX; N];
        for nth in 0..N.min(population) {
            places[nth] = loop {
                // With no more keys than are wanted, all of them are.
                let place = if population <= N {
                    nth
                } else {
                    self.stream.random_range(0..population)
                };
                if !places[..nth].contains(&place) {
                    break place;
                }
            };
        }
        places.map(|place| match (place < population, of_ttls) {
            (false, _) => None,
            (true, true) => {
                let entry = self.entry(self.expires.slot_at(place));
                entry.map(|entry| self.index[entry.index_at as usize])
            }
            (true, false) => Some(self.index[place]),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;
    use proptest::prelude::*;
    use std::time::Duration;

    const NOW: Timestamp = Timestamp::from_unix_nanos(1_800_000_000_000_000_000);

    fn minutes_later(minutes: u64) -> Timestamp {
        NOW + Duration::from_mins(minutes)
    }

    #[test]
    fn the_clock_of_lru_goes_round() {
        assert_eq!(idle_s(100, 40), 60);
        assert_eq!(idle_s(10, CLOCK_MAX - 5), 15);
        let second = NOW + Duration::from_secs(1);
        assert_eq!(idle_s(lru_clock(second), lru_clock(NOW)), 1);
        let same_second = NOW + Duration::from_millis(999);
        assert_eq!(idle_s(lru_clock(same_second), lru_clock(NOW)), 0);
    }

    #[test]
    fn a_counter_decays_by_the_minute_also_over_its_clocks_end() {
        let new = Frequency::new(NOW);
        assert_eq!(new.counter(NOW), 5);
        assert_eq!(new.counter(minutes_later(3)), 2);
        assert_eq!(new.counter(minutes_later(60)), 0);
        let hundred = Frequency::from_bits((65_530 << 8) + 100);
        let minute = |minute: u64| Timestamp::from_unix_nanos(minute * 60_000_000_000);
        assert_eq!(hundred.counter(minute(65_536 + 4)), 91);
    }

    /// The table of Redis' redis.conf for a factor of 10: 100 uses give about 10, 1,000 about 18,
    /// 100,000 about 142, a million 255.
    #[test]
    fn a_counter_grows_as_redis_documents() {
        let mut stream = Seed(42).stream("lfu");
        let mut after = |uses: u32, times: u32| {
            let total: u32 = (0..times)
                .map(|_| {
                    let used = |frequency: Frequency, _| frequency.used(NOW, &mut stream);
                    (0..uses).fold(Frequency::new(NOW), used).counter(NOW)
                })
                .sum();
            f64::from(total) / f64::from(times)
        };
        let told = [after(100, 200), after(1_000, 50), after(100_000, 5)];
        for (told, documented) in told.into_iter().zip([10.0, 18.0, 142.0]) {
            assert!((told / documented - 1.0).abs() < 0.1, "{told} {documented}");
        }
        assert!((after(1_000_000, 1) - 255.0).abs() < f64::EPSILON);
    }

    /// A candidate that is known by its score and this number.
    fn candidate(score: u64, nth: u32) -> Candidate {
        let hash = u64::from(nth);
        Candidate {
            score,
            hash,
            slot: nth,
        }
    }

    /// Scores, and the number where it is not zero.
    fn told(pool: &Pool) -> String {
        let tell = |held: &Candidate| match held.slot {
            0 => held.score.to_string(),
            nth => format!("{}#{nth}", held.score),
        };
        pool.candidates
            .iter()
            .map(tell)
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn the_pool_keeps_order_and_lets_the_worst_go() {
        let mut pool = Pool::default();
        for (score, nth) in [(5, 0), (3, 1), (9, 0), (3, 2), (3, 3)] {
            pool.offer(candidate(score, nth));
        }
        assert_eq!(
            told(&pool),
            "3#3 3#2 3#1 5 9",
            "of equals the newest is worst"
        );
        for score in 10..21 {
            pool.offer(candidate(score, 0));
        }
        let full = "3#3 3#2 3#1 5 9 10 11 12 13 14 15 16 17 18 19 20";
        assert_eq!(told(&pool), full);
        pool.offer(candidate(3, 4));
        assert_eq!(told(&pool), full, "no better than the worst");
        pool.offer(candidate(8, 0));
        assert_eq!(
            told(&pool),
            "3#2 3#1 5 8 9 10 11 12 13 14 15 16 17 18 19 20"
        );
        assert_eq!(pool.take_best(), Some(candidate(20, 0)));
    }

    proptest! {
        #[test]
        fn the_pool_is_what_redis_array_would_be(scores in prop::collection::vec(0u64..30, 0..80)) {
            let mut pool = Pool::default();
            let mut array: [Option<Candidate>; POOL_SIZE] = [None; POOL_SIZE];
            for (score, nth) in scores.into_iter().zip(0..) {
                pool.offer(candidate(score, nth));
                insert_as_redis(&mut array, candidate(score, nth));
                if nth % 7 == 6 {
                    let best = array.iter().rposition(Option::is_some);
                    prop_assert_eq!(pool.take_best(), best.and_then(|at| array[at].take()));
                }
                let held: Vec<Candidate> = array.iter().flatten().copied().collect();
                prop_assert_eq!(&pool.candidates, &held);
            }
        }
    }

    /// The rule of `evictionPoolPopulate`, on an array with gaps as there.
    fn insert_as_redis(pool: &mut [Option<Candidate>], new: Candidate) {
        let last = pool.len() - 1;
        let mut k = 0;
        while k <= last && pool[k].is_some_and(|other| other.score < new.score) {
            k += 1;
        }
        if k == 0 && pool[last].is_some() {
            return;
        }
        if k > last || pool[k].is_some() {
            if pool[last].is_none() {
                pool.copy_within(k..last, k + 1);
            } else {
                k -= 1;
                pool.copy_within(1..=k, 0);
            }
        }
        pool[k] = Some(new);
    }
}
