//! The keyspace against a map that does the same without limits, and what must hold with limits.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::engine::data_type::Key;
use crate::seed::Seed;
use crate::workload::Popularity;
use crate::workload::popularity::RankSampler;

const START: Timestamp = Timestamp::from_unix_nanos(1_800_000_000_000_000_000);

fn after_ms(ms: u64) -> Timestamp {
    START + Duration::from_millis(ms)
}

fn keyspace(config: KeyspaceConfig) -> Keyspace<u64> {
    Keyspace::new(config, Seed(42).stream("keyspace"), START)
}

fn limited(policy: EvictionPolicy, free_bytes: u64) -> Keyspace<u64> {
    let memory = MemoryLayout::REDIS_7_0;
    keyspace(KeyspaceConfig {
        maxmemory: Some(ByteSize(memory.base_bytes + free_bytes)),
        policy,
        ..KeyspaceConfig::default()
    })
}

fn key(nth: u64) -> Key {
    Key::new(format!("customer:360:{nth}"))
}

const POLICIES: [EvictionPolicy; 8] = [
    EvictionPolicy::Noeviction,
    EvictionPolicy::AllkeysLru,
    EvictionPolicy::AllkeysLfu,
    EvictionPolicy::AllkeysRandom,
    EvictionPolicy::VolatileLru,
    EvictionPolicy::VolatileLfu,
    EvictionPolicy::VolatileRandom,
    EvictionPolicy::VolatileTtl,
];

/// What a command does, without saying when.
#[derive(Clone, Debug)]
enum Command {
    Get(u64),
    Set(u64, usize, Option<u64>),
    Modify(u64, usize),
    Remove(u64),
    Expire(u64, u64),
    Scan(u64, usize),
}

fn command() -> impl Strategy<Value = Command> {
    let nth = 0u64..40;
    let ttl_ms = prop_oneof![Just(None), (1u64..3_000).prop_map(Some)];
    prop_oneof![
        3 => nth.clone().prop_map(Command::Get),
        4 => (nth.clone(), 0usize..3_000, ttl_ms).prop_map(|(n, len, ttl)| Command::Set(n, len, ttl)),
        1 => (nth.clone(), 0usize..3_000).prop_map(|(n, len)| Command::Modify(n, len)),
        1 => nth.clone().prop_map(Command::Remove),
        1 => (nth, 0u64..3_000).prop_map(|(n, ttl)| Command::Expire(n, ttl)),
        1 => (0u64..50, 1usize..50).prop_map(|(cursor, count)| Command::Scan(cursor, count)),
    ]
}

/// Commands with the milliseconds between them.
fn commands() -> impl Strategy<Value = Vec<(u64, Command)>> {
    let gap_ms = prop_oneof![3 => 0u64..20, 1 => 0u64..1_500];
    prop::collection::vec((gap_ms, command()), 1..150)
}

/// A value, its length, and the last millisecond of its life.
type Held = (u64, usize, Option<u64>);

/// What a server without limits would hold: a map with deadlines.
#[derive(Default)]
struct Naive(BTreeMap<u64, Held>);

impl Naive {
    fn live(&mut self, nth: u64, now_ms: u64) -> Option<&mut Held> {
        let is_due = |held: &Held| held.2.is_some_and(|deadline_ms| now_ms > deadline_ms);
        if self.0.get(&nth).is_some_and(is_due) {
            self.0.remove(&nth);
        }
        self.0.get_mut(&nth)
    }
}

/// Carries one command out on both, and holds the answers against each other.
fn compare(
    server: &mut Keyspace<u64>,
    naive: &mut Naive,
    now_ms: u64,
    value: u64,
    command: &Command,
) -> Result<(), TestCaseError> {
    let now = after_ms(now_ms);
    match *command {
        Command::Get(nth) => {
            let expected = naive.live(nth, now_ms).map(|held| held.0);
            prop_assert_eq!(server.peek(key(nth).as_str(), now).copied(), expected);
            prop_assert_eq!(server.get(key(nth).as_str(), now).copied(), expected);
        }
        Command::Set(nth, len, ttl_ms) => {
            naive
                .0
                .insert(nth, (value, len, ttl_ms.map(|ttl| now_ms + ttl)));
            let ttl = ttl_ms.map(Duration::from_millis);
            prop_assert_eq!(server.set(&key(nth), value, len, ttl, now), Ok(()));
        }
        Command::Modify(nth, len) => {
            let held = naive.live(nth, now_ms);
            let expected = held.is_some();
            if let Some(held) = held {
                *held = (held.0 + 1, len, held.2);
            }
            let changed = server.modify(key(nth).as_str(), now, |value| {
                *value += 1;
                len
            });
            prop_assert_eq!(changed, Ok(expected));
        }
        Command::Remove(nth) => {
            let expected = naive.live(nth, now_ms).map(|held| held.0);
            naive.0.remove(&nth);
            prop_assert_eq!(server.remove(key(nth).as_str(), now), expected);
        }
        Command::Expire(nth, ttl_ms) => {
            let held = naive.live(nth, now_ms);
            let expected = held.is_some();
            match held {
                Some(_) if ttl_ms == 0 => drop(naive.0.remove(&nth)),
                Some(held) => held.2 = Some(now_ms + ttl_ms),
                None => {}
            }
            let ttl = Duration::from_millis(ttl_ms);
            prop_assert_eq!(server.expire(key(nth).as_str(), ttl, now), expected);
        }
        Command::Scan(cursor, count) => {
            let (_, keys) = server.scan(cursor, count, now);
            for told in keys {
                prop_assert!(server.peek(told.as_str(), now).is_some());
            }
        }
    }
    Ok(())
}

/// What the server holds is what the map holds, and weighs what it weighs.
fn balance(server: &Keyspace<u64>, naive: &mut Naive, now_ms: u64) -> Result<(), TestCaseError> {
    let now = after_ms(now_ms);
    let memory = server.config.memory;
    for nth in 0..40 {
        let expected = naive.live(nth, now_ms).map(|held| {
            held.2.map_or(TimeLeft::Forever, |deadline_ms| {
                TimeLeft::For(Duration::from_millis(deadline_ms - now_ms))
            })
        });
        prop_assert_eq!(server.ttl(key(nth).as_str(), now), expected);
    }
    let told: BTreeMap<&str, u64> = server
        .iter(now)
        .map(|(key, value)| (key.as_str(), *value))
        .collect();
    let expected: Vec<(Key, u64)> = naive
        .0
        .iter()
        .map(|(nth, held)| (key(*nth), held.0))
        .collect();
    let expected: BTreeMap<&str, u64> = expected
        .iter()
        .map(|(key, held)| (key.as_str(), *held))
        .collect();
    prop_assert_eq!(told, expected);
    let weigh = |(nth, held): (&u64, &Held)| {
        let key_len = key(*nth).as_str().len() as u64;
        let ttl = held.2.map_or(0, |_| memory.ttl_bytes());
        memory.key_bytes(key_len) + memory.value_bytes(held.1 as u64) + ttl
    };
    let live: u64 = naive.0.iter().map(weigh).sum();
    let tables = server.keys_table.buckets() + server.ttls_table.buckets();
    let weight = server.used_memory() - memory.base_bytes - memory.buckets_bytes(tables);
    if server.counters().keys == naive.0.len() as u64 {
        prop_assert_eq!(weight, live);
    } else {
        prop_assert!(weight > live, "those that are due have weight");
    }
    Ok(())
}

/// Every link between slots, index, TTLs and names leads both ways.
fn consistent(server: &Keyspace<u64>) -> Result<(), TestCaseError> {
    let counters = server.counters();
    let held = server.slots.iter().flatten().count();
    prop_assert_eq!(held, server.index.len());
    prop_assert_eq!(held, server.by_key.len());
    prop_assert_eq!(held + server.free.len(), server.slots.len());
    let mut with_ttl = 0;
    for (place, Indexed { slot, .. }) in server.index.iter().enumerate() {
        let entry = server.entry(*slot).expect("the index names slots in use");
        prop_assert_eq!(entry.index_at as usize, place);
        prop_assert_eq!(server.find(entry.key.as_str()), Some(*slot));
        if entry.expires_at != NOWHERE {
            prop_assert_eq!(server.expires.slot_at(entry.expires_at as usize), *slot);
            with_ttl += 1;
        }
    }
    prop_assert_eq!(counters.expires, with_ttl);
    Ok(())
}

proptest! {
    #[test]
    fn without_a_limit_it_is_a_map(commands in commands()) {
        let (mut server, mut naive) = (keyspace(KeyspaceConfig::default()), Naive::default());
        let mut now_ms = 0;
        for ((gap_ms, command), value) in commands.iter().zip(1_000..) {
            now_ms += gap_ms;
            compare(&mut server, &mut naive, now_ms, value, command)?;
            balance(&server, &mut naive, now_ms)?;
            consistent(&server)?;
        }
        prop_assert_eq!(server.counters().evicted, 0);
    }

    #[test]
    fn with_a_limit_it_holds_no_more_and_no_other_values(
        commands in commands(),
        policy in prop::sample::select(&POLICIES[..]),
    ) {
        let mut server = limited(policy, 20_000);
        let maxmemory = server.config.maxmemory.expect("a limit").0;
        // By command, a key adds its entries, its name twice and a table: never as much as this.
        let beside = 2_000;
        let mut naive = Naive::default();
        let mut now_ms = 0;
        for ((gap_ms, command), value) in commands.iter().zip(1_000..) {
            now_ms += gap_ms;
            let now = after_ms(now_ms);
            let before = server.counters();
            match *command {
                Command::Set(nth, len, ttl_ms) => {
                    let ttl = ttl_ms.map(Duration::from_millis);
                    match server.set(&key(nth), value, len, ttl, now) {
                        Ok(()) => {
                            naive.0.insert(nth, (value, len, ttl_ms.map(|ttl| now_ms + ttl)));
                            prop_assert!(server.used_memory() <= maxmemory + beside);
                        }
                        Err(refused) => {
                            prop_assert!(matches!(
                                policy,
                                EvictionPolicy::Noeviction
                                    | EvictionPolicy::VolatileLru
                                    | EvictionPolicy::VolatileLfu
                                    | EvictionPolicy::VolatileRandom
                                    | EvictionPolicy::VolatileTtl
                            ));
                            prop_assert!(policy == EvictionPolicy::Noeviction || server.counters().expires == 0);
                            prop_assert_eq!(refused.maxmemory, maxmemory);
                        }
                    }
                }
                Command::Get(nth) => {
                    let found = server.get(key(nth).as_str(), now).copied();
                    let expected = naive.live(nth, now_ms).map(|held| held.0);
                    if policy == EvictionPolicy::Noeviction {
                        prop_assert_eq!(found, expected, "nothing is lost");
                    } else {
                        prop_assert!(found.is_none() || found == expected);
                    }
                }
                _ => continue,
            }
            let evicted = server.counters().evicted - before.evicted;
            prop_assert!(policy != EvictionPolicy::Noeviction || evicted == 0);
            consistent(&server)?;
        }
    }

    #[test]
    fn volatile_policies_spare_keys_without_ttl(
        policy in prop::sample::select(&POLICIES[4..]),
        seed in 0u64..1_000,
    ) {
        let mut server = limited(policy, 60_000);
        server.stream = Seed(seed).stream("keyspace");
        for nth in 0..1_000 {
            let ttl = (nth % 3 > 0).then_some(Duration::from_hours(1));
            if server.set(&key(nth), nth, 100, ttl, after_ms(nth)).is_err() {
                prop_assert_eq!(server.counters().expires, 0);
                break;
            }
        }
        for lasting in (0..server.counters().keys).step_by(3) {
            prop_assert!(server.peek(key(lasting).as_str(), START).is_some());
        }
        prop_assert!(server.counters().evicted > 0);
    }

    #[test]
    fn a_scan_tells_every_key_that_stays(
        churn in prop::collection::vec((0u64..200, prop::bool::ANY), 0..300),
        count in 1usize..40,
    ) {
        let mut server = keyspace(KeyspaceConfig::default());
        // Even keys stay, odd ones come and go.
        for nth in 0..200 {
            server.set(&key(nth), nth, 10, None, START).expect("no limit");
        }
        let (mut cursor, mut told) = (0, Vec::new());
        let mut churn = churn.into_iter();
        loop {
            let (next, keys) = server.scan(cursor, count, START);
            told.extend(keys);
            cursor = next;
            if cursor == 0 {
                break;
            }
            for (nth, comes) in churn.by_ref().take(5) {
                let odd = key(nth | 1);
                if comes {
                    server.set(&odd, 0, 10, None, START).expect("no limit");
                } else {
                    server.remove(odd.as_str(), START);
                }
            }
        }
        for nth in (0..200).step_by(2) {
            prop_assert_eq!(told.iter().filter(|told| **told == key(nth)).count(), 1);
        }
    }
}

/// Cache-aside over a skewed population: how many lookups of the last half hit, and a fingerprint of
/// what is left.
fn storm(policy: EvictionPolicy, seed: u64, gap: Duration) -> (u64, u64) {
    let mut server = limited(policy, 500_000);
    server.stream = Seed(seed).stream("keyspace");
    let ranks = RankSampler::new(10_000, Popularity::Zipf { skew: 0.9 });
    let mut stream = Seed(9).stream("references");
    let (mut now, mut hits) = (START, 0);
    for call in 0..60_000 {
        now = now + gap;
        let nth = ranks.draw(&mut stream);
        if server.get(key(nth).as_str(), now).is_some() {
            hits += u64::from(call >= 30_000);
        } else {
            let ttl = Some(Duration::from_hours(1));
            server
                .set(&key(nth), nth, 100, ttl, now)
                .expect("keys may go");
        }
    }
    let print = |sum: u64, (_, value): (&Key, &u64)| sum.wrapping_mul(31).wrapping_add(*value);
    (hits, server.iter(now).fold(0, print))
}

#[test]
fn the_same_seed_and_commands_evict_the_same() {
    let gap = Duration::from_micros(100);
    for policy in &POLICIES[1..] {
        let (one, other) = (storm(*policy, 1, gap), storm(*policy, 1, gap));
        assert_eq!(one, other, "{policy:?}");
        assert_ne!(one.1, storm(*policy, 2, gap).1, "{policy:?}");
    }
}

/// In the order of what they know: LRU whose clock stands still knows nothing.
#[test]
fn policies_are_as_good_as_what_they_know() {
    let slow = Duration::from_millis(10);
    let hits = |policy, gap| storm(policy, 1, gap).0 as f64 / 30_000.0;
    let random = hits(EvictionPolicy::AllkeysRandom, slow);
    let hasty_lru = hits(EvictionPolicy::AllkeysLru, Duration::from_nanos(1));
    let lru = hits(EvictionPolicy::AllkeysLru, slow);
    let lfu = hits(EvictionPolicy::AllkeysLfu, slow);
    assert!((hasty_lru - random).abs() < 0.02, "{hasty_lru} {random}");
    assert!(lru > random + 0.02, "{lru} {random}");
    assert!(lfu > lru, "{lfu} {lru}");
}

#[test]
fn the_soonest_to_end_goes_first() {
    let mut server = limited(EvictionPolicy::VolatileTtl, 100_000);
    for nth in 0..2_000 {
        let ttl = Some(Duration::from_secs(10_000 - nth));
        server
            .set(&key(nth), nth, 100, ttl, START)
            .expect("keys may go");
    }
    let left: Vec<u64> = server.iter(START).map(|(_, nth)| *nth).collect();
    let mean = left.iter().sum::<u64>() / left.len() as u64;
    assert!(mean < 700, "those that end late are left: {mean}");
}

#[test]
fn noeviction_refuses_writes_and_answers_reads() {
    let mut server = limited(EvictionPolicy::Noeviction, 10_000);
    let refused = (0..).find_map(|nth| server.set(&key(nth), nth, 100, None, START).err());
    let refused = refused.expect("the memory ends");
    assert!(refused.to_string().starts_with("OOM command not allowed"));
    assert_eq!(server.get(key(0).as_str(), START), Some(&0));
    assert_eq!(
        server.modify(key(0).as_str(), START, |_| 5).ok(),
        Some(true)
    );
    for nth in 0..server.counters().keys {
        assert_eq!(server.remove(key(nth).as_str(), START), Some(nth));
    }
    assert_eq!(server.set(&key(0), 1, 100, None, START), Ok(()));
}

#[test]
fn hits_and_misses_are_those_of_get() {
    let mut server = keyspace(KeyspaceConfig::default());
    server.set(&key(1), 1, 100, None, START).expect("no limit");
    server.get(key(1).as_str(), START);
    server.get(key(2).as_str(), START);
    server.peek(key(2).as_str(), START);
    let counters = server.counters();
    assert_eq!((counters.hits, counters.misses), (1, 1));
    assert_eq!((counters.keys, counters.expires), (1, 0));
}
