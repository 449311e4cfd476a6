//! What a primary did that its replicas have not heard of yet: asynchronous replication, as the list of
//! its last writes and how things stood before them.
//!
//! No replica holds anything here: what it would hold is what the primary holds, but for this list. A
//! lookup at a replica asks it how the key stood; a failover undoes it. What the primary expires or
//! evicts meanwhile is taken to be gone at the replicas, too. Pure; called by the server.

use std::collections::VecDeque;
use std::time::Duration;

use super::command::{Deadline, Stood};
use super::keyspace::Keyspace;
use super::stream::Rows;
use super::value::Value;
use crate::clock::Timestamp;
use crate::engine::data_type::Key;

/// How a key stood before a write.
#[derive(Clone, Debug)]
pub(super) enum Before {
    /// As a whole; `None` if it was not there.
    Whole(Option<Box<Stood<Value>>>),
    /// A stream of which some entries changed, and when it ended.
    Rows(Box<Rows>, Option<u64>),
}

#[derive(Clone, Debug)]
struct Write {
    at: Timestamp,
    key: Key,
    before: Before,
}

/// How a replica sees a key.
#[derive(Debug)]
pub(super) enum Seen<'l> {
    /// It has heard of all that was done to it.
    AsThePrimary,
    /// As it stood then.
    Before(&'l Stood<Value>),
    /// It was not there then.
    Nothing,
}

/// The last writes, for as long as replicas need to hear of one.
#[derive(Clone, Debug)]
pub(super) struct Log {
    delay: Duration,
    writes: VecDeque<Write>,
}

impl Log {
    pub(super) fn new(delay: Duration) -> Self {
        Self {
            delay,
            writes: VecDeque::new(),
        }
    }

    /// A write at `at`, before it is done.
    pub(super) fn note(&mut self, at: Timestamp, key: &Key, before: Before) {
        self.forget(at);
        let key = key.clone();
        self.writes.push_back(Write { at, key, before });
    }

    /// What replicas have heard of by `now`.
    fn forget(&mut self, now: Timestamp) {
        let is_known = |write: &Write| write.at + self.delay <= now;
        while self.writes.front().is_some_and(is_known) {
            self.writes.pop_front();
        }
    }

    /// How a replica sees `key`.
    pub(super) fn seen_by_replicas(&self, key: &str, now: Timestamp) -> Seen<'_> {
        let unheard = self
            .writes
            .iter()
            .filter(|write| write.at + self.delay > now);
        let mut of_key = unheard.filter(|write| write.key.as_str() == key);
        let first = of_key.find_map(|write| match &write.before {
            Before::Whole(stood) => Some(stood.as_deref().map_or(Seen::Nothing, Seen::Before)),
            Before::Rows(..) => None,
        });
        first.unwrap_or(Seen::AsThePrimary)
    }

    /// Undoes in `keyspace` what replicas have not heard of by `now`.
    pub(super) fn undo(&mut self, keyspace: &mut Keyspace<Value>, now: Timestamp) {
        self.forget(now);
        while let Some(Write { key, before, .. }) = self.writes.pop_back() {
            match before {
                Before::Whole(stood) => keyspace.restore(&key, stood.map(|stood| *stood), now),
                Before::Rows(rows, deadline_ms) => {
                    restore_rows(keyspace, (&key, *rows), deadline_ms, now);
                }
            }
        }
    }
}

fn restore_rows(
    keyspace: &mut Keyspace<Value>,
    (key, rows): (&Key, Rows),
    deadline_ms: Option<u64>,
    now: Timestamp,
) {
    let Some(Value::Stream(stream)) = keyspace.look(key.as_str(), now) else {
        return;
    };
    stream.restore(rows);
    let held = stream.held_bytes();
    keyspace.weigh(key.as_str(), held);
    let deadline = deadline_ms.map_or(Deadline::None, Deadline::At);
    keyspace.end(key.as_str(), deadline, now);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::data_type::DataTypeId;
    use crate::engine::layer::{Token, Version};
    use crate::engine::queue::QueuedWrite;
    use crate::environment::modelled_redis::calls::Called;
    use crate::environment::modelled_redis::keyspace::KeyspaceConfig;
    use crate::environment::modelled_redis::server::{Server, Ttl};
    use crate::environment::modelled_redis::stream::Stream;
    use crate::seed::Seed;
    use bytes::Bytes;
    use proptest::prelude::*;
    use std::sync::Arc;

    const START: Timestamp = Timestamp::from_unix_nanos(1_800_000_000_000_000_000);
    const LAG: Duration = Duration::from_millis(10);

    fn keys() -> [Key; 4] {
        ["a", "b", "c", "queue"].map(Key::new)
    }

    /// All that can be told of what a server holds.
    fn told(server: &Server) -> String {
        let held = keys().map(|key| format!("{:?}", server.peek(&key)));
        let ttls: Vec<_> = server.ttls().collect();
        let counters = server.counters();
        format!(
            "{held:?} {ttls:?} {} {}",
            counters.keys, counters.used_memory
        )
    }

    fn act(server: &mut Server, (what, which, number): (u8, usize, u64)) {
        let keys = keys();
        let (key, queue) = (&keys[which], &keys[3]);
        let ttl = Ttl::For(Duration::from_secs(number + 60));
        let consumer: Arc<str> = Arc::from("c");
        let now = server.now();
        match what {
            0 => drop(server.set(key, Value::Tombstone(Version(number)), ttl)),
            1 => drop(server.set(key, Value::Lock(Token(u128::from(number))), Ttl::Never)),
            2 => drop(server.unlink(key)),
            3 => drop(server.expire(key, ttl)),
            4 => {
                if server.peek(queue).is_none() {
                    let mut made = Stream::default();
                    made.make_group();
                    let made = Value::Stream(Box::new(made));
                    drop(server.store(queue, made, Ttl::Never));
                }
                let Some(Value::Stream(stream)) = server.peek(queue) else {
                    return;
                };
                let place = stream.next_place(now);
                let write = QueuedWrite {
                    data_type: DataTypeId(0),
                    key: key.clone(),
                    value: Bytes::from(vec![0; number as usize]),
                    version: Version(number),
                    accepted_at: now,
                };
                server.change_stream(queue, &[place], |stream| stream.add(place, write));
            }
            _ => {
                let Some(Value::Stream(stream)) = server.peek(queue) else {
                    return;
                };
                let fresh = stream.fresh(number as usize % 3 + 1);
                let pending = stream.to_take_back(("c", None), (2, u32::MAX), now);
                let (places, changed) = (if what == 5 { &fresh } else { &pending }, what);
                server.change_stream(queue, places, |stream| match changed {
                    5 => drop(stream.give(places, &consumer, now)),
                    6 => drop(stream.claim(places, &consumer, now)),
                    _ => stream.take_out(places),
                });
                if what == 7 {
                    server.expire_stream(queue, ttl);
                }
            }
        }
    }

    proptest! {
        /// Whatever was done: what takes over is what the primary was a lag before its death, and a
        /// lookup at a replica shows the same.
        #[test]
        fn a_replica_is_the_primary_of_a_while_ago(
            acts in prop::collection::vec(((0u8..8, 0usize..3, 0u64..40), 0u64..8), 1..60),
            waits_ms in 0u64..12,
        ) {
            let random = Seed(1).stream("keyspace");
            let config = KeyspaceConfig::default();
            let mut server = Server::new(config, Some(LAG), random, START);
            // What a first use takes is not given back, so let it be taken before.
            for called in [Called::Set, Called::Unlink, Called::Pexpire, Called::Persist] {
                server.count(called);
            }
            for key in keys() {
                server.begin(START, 0);
                server.set(&key, Value::Lock(Token(0)), Ttl::For(LAG)).expect("there is room");
            }
            for key in keys() {
                server.unlink(&key);
            }
            let mut now = START + LAG;
            server.begin(now, 0);
            let mut stories = vec![(START, told(&server))];
            for (what, after_ms) in acts {
                now = now + Duration::from_millis(after_ms);
                server.begin(now, 0);
                act(&mut server, what);
                stories.push((now, told(&server)));
            }
            let dies = now + Duration::from_millis(waits_ms);
            let heard = stories.iter().rev().find(|(at, _)| *at + LAG <= dies);
            let (_, expected) = heard.expect("the beginning, at least");
            let seen = |key: &Key| format!("{:?}", server.peek_at_replica(key, (dies, dies)));
            let at_replica: Vec<String> = keys()[..3].iter().map(seen).collect();
            server.fail_over(dies, false);
            // TTLs are told as they are left, so look at the same time.
            let held = keys().map(|key| format!("{:?}", server.peek(&key)));
            prop_assert!(expected.starts_with(&format!("{held:?}")), "{expected}\n{held:?}");
            prop_assert_eq!(&at_replica[..], &held[..3]);
            let weight = format!(" {}", server.counters().used_memory);
            prop_assert!(expected.ends_with(&weight), "{} {}", expected, weight);
        }
    }
}
