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

    /// How a replica sees `key`, if not as the primary: `None` within if it is not there.
    pub(super) fn seen_by_replicas(
        &self,
        key: &str,
        now: Timestamp,
    ) -> Option<Option<&Stood<Value>>> {
        let unheard = self
            .writes
            .iter()
            .filter(|write| write.at + self.delay > now);
        let mut of_key = unheard.filter(|write| write.key.as_str() == key);
        of_key.find_map(|write| match &write.before {
            Before::Whole(stood) => Some(stood.as_deref()),
            Before::Rows(..) => None,
        })
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
    let memory = keyspace.config.memory;
    let Some(Value::Stream(stream)) = keyspace.look(key.as_str(), now) else {
        return;
    };
    stream.restore(rows);
    let held = stream.held_bytes(&memory);
    keyspace.weigh(key.as_str(), held);
    let deadline = deadline_ms.map_or(Deadline::None, Deadline::At);
    keyspace.end(key.as_str(), deadline, now);
}
