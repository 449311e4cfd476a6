//! One modelled server, as the commands and scripts of the remote layer see it: what each inner command
//! does to the keys, what `INFO` counts of it, and who is told.
//!
//! The files of `remote/` write the scripts on these. Pure: time comes in with each command, and what is
//! to be told to others is collected for who called.

use std::time::Duration;

use super::calls::{Called, Calls};
use super::command::{Deadline, Stood};
use super::keyspace::{Counters, Keyspace, KeyspaceConfig, OutOfMemory};
use super::replication::{Before, Log, Seen};
use super::stream::{Place, Stream};
use super::value::Value;
use crate::clock::Timestamp;
use crate::engine::data_type::Key;
use crate::engine::layer::{LayerError, Notice};
use crate::engine::remote::redis::{NAME, unix_millis};
use crate::seed::Stream as Random;

/// One server.
#[derive(Debug)]
pub(super) struct Server {
    keyspace: Keyspace<Value>,
    log: Option<Log>,
    /// The time of the command that is carried out: it never goes back.
    now: Timestamp,
    /// What the command must not do: memory was full when it came.
    full: Option<OutOfMemory>,
    clients: u64,
    kinds: u64,
    pub(super) calls: Calls,
    /// Whether anybody wants to know of changes.
    is_tracked: bool,
    /// How many bytes the command gives back.
    pub(super) gives: u64,
    /// Notices that the command published, and the keys that changed.
    pub(super) published: Vec<Notice>,
    pub(super) changed: Vec<Key>,
}

impl Server {
    /// An empty server. With a delay, somebody follows it.
    pub(super) fn new(
        config: KeyspaceConfig,
        follows: Option<Duration>,
        random: Random,
        now: Timestamp,
    ) -> Self {
        let mut server = Self {
            keyspace: Keyspace::new(config, random, now),
            log: follows.map(Log::new),
            now,
            full: None,
            clients: 0,
            kinds: 0,
            calls: Calls::default(),
            is_tracked: false,
            gives: 0,
            published: Vec::new(),
            changed: Vec::new(),
        };
        for greeting in [Called::Ping, Called::ScriptLoad, Called::Info] {
            server.count(greeting);
        }
        server
    }

    /// A command that brings so many bytes along arrives at `at`.
    pub(super) fn begin(&mut self, at: Timestamp, brings: u64) {
        self.now = self.now.max(at);
        self.gives = 0;
        let config = &self.keyspace.config;
        // Its value and its key are in memory already while it is carried out.
        let incoming = match (brings, config.maxmemory) {
            (0, _) | (_, None) => 0,
            _ => {
                const KEY_LEN: u64 = 24;
                let key = config
                    .memory
                    .value_bytes(config.prefix_len as u64 + KEY_LEN);
                config.memory.value_bytes(brings) + key
            }
        };
        self.full = self.keyspace.begin(incoming, self.now).err();
        self.note_gone();
    }

    /// The server's time.
    pub(super) fn now(&self) -> Timestamp {
        self.now
    }

    /// `TIME`: the server's time, asked for by a script.
    pub(super) fn time(&mut self) -> Timestamp {
        self.count(Called::Time);
        self.now
    }

    /// Counts a call; one of a new kind takes memory.
    pub(super) fn count(&mut self, called: Called) {
        if self.calls.count(called) {
            self.kinds += 1;
            self.weigh_overhead();
        }
    }

    /// So many clients are connected.
    pub(super) fn set_clients(&mut self, clients: u64) {
        self.clients = clients;
        self.weigh_overhead();
    }

    fn weigh_overhead(&mut self) {
        let config = &mut self.keyspace.config;
        config.overhead_bytes = config.memory.overhead_bytes(self.clients, self.kinds);
    }

    /// From now on somebody wants to know of changes, or nobody.
    pub(super) fn track(&mut self, wanted: bool) {
        self.is_tracked = wanted;
        self.keyspace.gone = wanted.then(Vec::new);
    }

    /// Looks a key up as `called` does, which reads.
    pub(super) fn read(&mut self, called: Called, key: &Key) -> Option<&Value> {
        self.count(called);
        if self.is_tracked {
            // It may have met the end of its TTL.
            let _ = self.keyspace.read(key.as_str(), self.now);
            self.note_gone();
            return self.keyspace.peek(key.as_str(), self.now);
        }
        self.keyspace.read(key.as_str(), self.now)
    }

    /// Looks a key up once more within the same command, which counts as another look.
    pub(super) fn read_again(&mut self, key: &Key) {
        let _ = self.keyspace.read(key.as_str(), self.now);
    }

    /// Looks a key up without a trace.
    pub(super) fn peek(&self, key: &Key) -> Option<&Value> {
        self.keyspace.peek(key.as_str(), self.now)
    }

    /// What a replica finds at a key.
    ///
    /// It has heard of what was done until a while before `heard_at`.
    pub(super) fn peek_at_replica(
        &self,
        key: &Key,
        (heard_at, at): (Timestamp, Timestamp),
    ) -> Option<&Value> {
        let Some(log) = &self.log else {
            return self.keyspace.peek(key.as_str(), at);
        };
        match log.seen_by_replicas(key.as_str(), heard_at) {
            Seen::AsThePrimary => self.keyspace.peek(key.as_str(), at),
            Seen::Before(stood) => {
                let is_due = stood.deadline_ms.is_some_and(|ms| unix_millis(at) > ms);
                (!is_due).then_some(&stood.value)
            }
            Seen::Nothing => None,
        }
    }

    fn stood(&self, key: &Key) -> Option<Stood<Value>> {
        self.keyspace.stood(key.as_str(), self.now)
    }

    /// Before a write.
    fn note(&mut self, key: &Key) {
        if self.log.is_some() {
            let before = Before::Whole(self.stood(key).map(Box::new));
            if let Some(log) = &mut self.log {
                log.note(self.now, key, before);
            }
        }
    }

    /// After a write.
    fn note_changed(&mut self, key: &Key) {
        if self.is_tracked {
            self.changed.push(key.clone());
            self.note_gone();
        }
    }

    fn note_gone(&mut self) {
        if let Some(gone) = &mut self.keyspace.gone {
            self.changed.append(gone);
        }
    }

    /// Whether what takes memory may be done.
    pub(super) fn has_room(&self) -> Result<(), LayerError> {
        match self.full {
            None => Ok(()),
            Some(full) => Err(LayerError::Refused(NAME, full.to_string())),
        }
    }

    /// `SET`.
    pub(super) fn set(&mut self, key: &Key, value: Value, ttl: Ttl) -> Result<(), LayerError> {
        self.count(Called::Set);
        self.store(key, value, ttl)
    }

    /// What stores a value, under whatever name it counts.
    pub(super) fn store(&mut self, key: &Key, value: Value, ttl: Ttl) -> Result<(), LayerError> {
        self.has_room()?;
        self.note(key);
        let held = value.held_bytes(&self.keyspace.config.memory);
        let deadline = ttl.deadline(self.now);
        self.keyspace.put(key, (value, held), deadline, self.now);
        self.note_changed(key);
        Ok(())
    }

    /// `UNLINK`; whether it was there.
    pub(super) fn unlink(&mut self, key: &Key) -> bool {
        self.delete(Called::Unlink, key)
    }

    /// What deletes a key; whether it was there.
    pub(super) fn delete(&mut self, called: Called, key: &Key) -> bool {
        self.count(called);
        self.note(key);
        let was_there = self.keyspace.unlink(key.as_str(), self.now);
        if was_there {
            self.note_changed(key);
        }
        was_there
    }

    /// `PEXPIRE`; whether it was there.
    pub(super) fn expire(&mut self, key: &Key, ttl: Ttl) -> bool {
        self.count(Called::Pexpire);
        self.note(key);
        let deadline = ttl.deadline(self.now);
        let was_there = self.keyspace.end(key.as_str(), deadline, self.now);
        if was_there {
            self.note_changed(key);
        }
        was_there
    }

    /// The end of a key that was just changed.
    pub(super) fn set_end(&mut self, key: &Key, ttl: Ttl) {
        let deadline = ttl.deadline(self.now);
        self.keyspace.end(key.as_str(), deadline, self.now);
    }

    /// Changes a value in place; `None` if there is none.
    pub(super) fn change<T>(
        &mut self,
        key: &Key,
        change: impl FnOnce(&mut Value) -> T,
    ) -> Option<T> {
        self.note(key);
        let value = self.keyspace.look(key.as_str(), self.now)?;
        let answer = change(value);
        self.weigh(key);
        self.note_changed(key);
        Some(answer)
    }

    /// Changes some entries of a stream; `None` if there is no such stream. It keeps its end.
    pub(super) fn change_stream<T>(
        &mut self,
        key: &Key,
        places: &[Place],
        change: impl FnOnce(&mut Stream) -> T,
    ) -> Option<T> {
        let text = key.as_str();
        if self.log.is_some() {
            let deadline_ms = self.keyspace.standing(text, self.now)?.0;
            let Some(Value::Stream(stream)) = self.keyspace.peek(text, self.now) else {
                return None;
            };
            let before = Before::Rows(Box::new(stream.rows(places)), deadline_ms);
            if let Some(log) = &mut self.log {
                log.note(self.now, key, before);
            }
        }
        let Some(Value::Stream(stream)) = self.keyspace.look(text, self.now) else {
            return None;
        };
        let answer = change(stream);
        self.weigh(key);
        self.note_changed(key);
        Some(answer)
    }

    /// When a stream ends: as [`Server::expire`], without noting all of it.
    pub(super) fn expire_stream(&mut self, key: &Key, ttl: Ttl) {
        self.count(match ttl {
            Ttl::Never => Called::Persist,
            Ttl::Keep | Ttl::For(_) => Called::Pexpire,
        });
        let deadline = ttl.deadline(self.now);
        if self.change_stream(key, &[], |_| ()).is_some() {
            self.keyspace.end(key.as_str(), deadline, self.now);
        }
    }

    fn weigh(&mut self, key: &Key) {
        let (text, memory) = (key.as_str(), self.keyspace.config.memory);
        let held = self.keyspace.peek(text, self.now);
        if let Some(held) = held.map(|value| value.held_bytes(&memory)) {
            self.keyspace.weigh(text, held);
        }
    }

    /// A step of `SCAN`.
    pub(super) fn scan(&mut self, cursor: u64, count: usize) -> (u64, Vec<Key>) {
        self.count(Called::Scan);
        self.keyspace.scan(cursor, count, self.now)
    }

    /// `PUBLISH`.
    pub(super) fn publish(&mut self, notice: Notice) {
        self.count(Called::Publish);
        self.published.push(notice);
    }

    /// Does what it did until `now`, without a command.
    pub(super) fn pass_time(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
        self.keyspace.pass_time(self.now);
    }

    pub(super) fn counters(&self) -> Counters {
        self.keyspace.counters()
    }

    /// How long the thread was busy with expiry, and when it was at it last.
    pub(super) fn expiry(&self) -> (Duration, Timestamp) {
        (self.keyspace.expire_cycle_time, self.keyspace.ticked_at)
    }

    /// How many keys there are.
    pub(super) fn keys(&self) -> u64 {
        self.keyspace.index.len() as u64
    }

    /// The mean of the TTLs that keys have left, in milliseconds, as far as a few of them tell.
    pub(super) fn mean_ttl_ms(&self) -> u64 {
        self.keyspace.mean_ttl_ms(self.now)
    }

    /// All keys that are not due, and how long each has still to live.
    pub(super) fn ttls(&self) -> impl Iterator<Item = (&Key, Option<Duration>)> {
        let now_ms = unix_millis(self.now);
        let keyspace = &self.keyspace;
        let left = move |key: &Key| {
            let (deadline_ms, _) = keyspace.standing(key.as_str(), self.now)?;
            deadline_ms.map(|ms| Duration::from_millis(ms.saturating_sub(now_ms)))
        };
        keyspace
            .iter(self.now)
            .map(move |(key, _)| (key, left(key)))
    }

    /// Whether it is about to evict, and evicts streams, too.
    pub(super) fn may_evict_streams(&self, share: f64) -> bool {
        use crate::environment::EvictionPolicy::{AllkeysLfu, AllkeysLru, AllkeysRandom};
        let config = &self.keyspace.config;
        let used = self.keyspace.used_memory() as f64;
        let is_full = |limit: crate::units::ByteSize| used >= limit.0 as f64 * share;
        config.maxmemory.is_some_and(is_full)
            && matches!(config.policy, AllkeysLru | AllkeysLfu | AllkeysRandom)
    }

    /// A replica takes over at `at`: what it has not heard of did not happen.
    pub(super) fn fail_over(&mut self, at: Timestamp, is_followed: bool) {
        self.now = self.now.max(at);
        if let Some(log) = &mut self.log {
            log.undo(&mut self.keyspace, at);
        }
        if !is_followed {
            self.log = None;
        }
        self.changed.clear();
        self.note_gone();
        self.changed.clear();
    }

    /// Somebody follows it again.
    pub(super) fn be_followed(&mut self, delay: Duration) {
        self.log.get_or_insert_with(|| Log::new(delay));
    }
}

/// How long a key lives from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ttl {
    /// For ever.
    Never,
    /// As long as before.
    Keep,
    /// So long; at least a millisecond.
    For(Duration),
}

impl Ttl {
    fn deadline(self, now: Timestamp) -> Deadline {
        match self {
            Self::Never => Deadline::None,
            Self::Keep => Deadline::Keep,
            Self::For(ttl) => Deadline::after(now, ttl),
        }
    }
}
