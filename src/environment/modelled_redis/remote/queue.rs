//! The queue of write-behind on a stream of a modelled server. After `append.lua`, `take_back.lua`,
//! `acknowledge.lua`, `bury.lua`, `waiting.lua` and `engine/remote/redis_queue.rs`.
//!
//! Outside of a Cluster a consumer has a connection of its own to the primary that it found, and loses it
//! with that.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;

use super::ModelledRemote;
use super::entries::floor;
use crate::engine::data_type::Key;
use crate::engine::layer::{Appended, Entry, LayerError, Version};
use crate::engine::queue::{Delivery, Queue, QueueId, QueuedWrite, TakenBack, Waiting};
use crate::engine::remote::redis::{NAME, TOO_LATE, unix_millis};
use crate::engine::remote::redis_partitions::Partitions;
use crate::engine::remote::redis_queue::{BLOCK, COMMAND_LIMIT, EMPTY_TTL, MEMORY_SHARE_AT_RISK};
use crate::engine::write_behind::version::PLACES_PER_MS;
use crate::environment::modelled_redis::calls::Called;
use crate::environment::modelled_redis::collections::stream_entry_bytes;
use crate::environment::modelled_redis::deployment::{ModelledRedis, Seat};
use crate::environment::modelled_redis::server::{Server, Ttl};
use crate::environment::modelled_redis::shard::{Ask, unreachable};
use crate::environment::modelled_redis::stream::{Place, Stream};
use crate::environment::modelled_redis::thread::Command;
use crate::environment::modelled_redis::value::{Value, entry_bytes};

/// One stream of the queue, as one consumer sees it.
#[derive(Debug)]
pub struct ModelledStream {
    redis: ModelledRedis,
    stream: Key,
    dead_letters: Key,
    shard: usize,
    consumer: Arc<str>,
    is_new: bool,
    /// The connection of its own, and the primary that it is to; none in a Cluster.
    own: Option<(u64, Seat)>,
}

impl ModelledRemote {
    pub(super) async fn append_write(
        &self,
        write: &QueuedWrite,
        entry: &Entry,
        ttl: Duration,
        queue_max: u64,
    ) -> Result<Appended, LayerError> {
        let stream = self.keys.stream_for(&write.key)?;
        let stream = Key::new(stream);
        let key = self.spelled(&write.key);
        let queue_max = self.keys.share_of(queue_max);
        let given_up_ms = unix_millis(write.accepted_at + self.timeout);
        let append = |server: &mut Server| {
            server.count(Called::Evalsha);
            if unix_millis(server.time()) > given_up_ms {
                return Err(LayerError::Refused(NAME, TOO_LATE.to_owned()));
            }
            server.has_room()?;
            let is_full = waiting_in(server, &stream) >= queue_max;
            let (place, version) = next_place(server, &stream, write.version);
            add(
                server,
                &stream,
                place,
                (!is_full).then_some((write, version)),
            )?;
            if is_full {
                return Ok(Appended::Full(version));
            }
            if floor(server, &key).is_none_or(|floor| floor <= version) {
                let mut entry = entry.clone();
                (entry.row.version, entry.row.as_of) = (version, version);
                server.set(&key, Value::Entry(entry), Ttl::For(ttl))?;
            }
            Ok(Appended::Queued(version))
        };
        let brings = entry_bytes(entry) + write.value.len();
        let ask = Ask::bringing(Command::Script, brings);
        let shard = self.redis.shard_of(&stream);
        let appended = self.redis.call(shard, self.timeout, ask, append).await;
        if let Ok(Appended::Queued(_)) = appended {
            self.redis.tell_queued();
        }
        appended
    }

    pub(super) async fn open_queue(
        &self,
        consumer: &Arc<str>,
    ) -> Result<Partitions<ModelledStream>, LayerError> {
        let streams = self.keys.streams().into_iter();
        let opening = streams.map(|stream| self.open_stream(stream, Arc::clone(consumer)));
        let streams = try_join_all(opening).await?;
        let clock = self.redis.clock().clone();
        Ok(Partitions::of(streams, &self.last_seen, clock))
    }

    async fn open_stream(
        &self,
        name: String,
        consumer: Arc<str>,
    ) -> Result<ModelledStream, LayerError> {
        let dead_letters = Key::new(format!("{name}:dead"));
        let stream = Key::new(name);
        let shard = self.redis.shard_of(&stream);
        let own = if self.redis.is_cluster() {
            None
        } else {
            let epoch = self.redis.epoch(shard).ok_or_else(unreachable)?;
            Some((epoch, self.redis.sit_down(shard)))
        };
        let mut opened = ModelledStream {
            redis: self.redis.clone(),
            stream: stream.clone(),
            dead_letters,
            shard,
            consumer,
            is_new: false,
            own,
        };
        let make = |server: &mut Server| {
            server.count(Called::XgroupCreate);
            make_group(server, &stream)
        };
        opened.is_new = opened.call(Ask::new(Command::StreamAdd), make).await?;
        Ok(opened)
    }
}

/// `XLEN`.
fn waiting_in(server: &mut Server, stream: &Key) -> u64 {
    match server.read(Called::Xlen, stream) {
        Some(Value::Stream(stream)) => stream.len() as u64,
        _ => 0,
    }
}

/// The place that a write gets, and the version that it is: above `above` and all before it.
fn next_place(server: &Server, stream: &Key, above: Version) -> (Place, Version) {
    let now = server.now();
    let place = match server.peek(stream) {
        Some(Value::Stream(stream)) => stream.next_place(now),
        _ => Stream::default().next_place(now),
    };
    let version = |place: Place| Version(place.ms * PLACES_PER_MS + place.nth);
    if place.nth < PLACES_PER_MS && version(place) > above {
        return (place, version(place));
    }
    // The server's clock stands still, or is behind ours.
    let ms = place.ms.max(above.0 / PLACES_PER_MS) + 1;
    let place = Place { ms, nth: 0 };
    (place, version(place))
}

/// `XADD`; without a write the place is given away and taken back.
fn add(
    server: &mut Server,
    stream: &Key,
    place: Place,
    write: Option<(&QueuedWrite, Version)>,
) -> Result<(), LayerError> {
    server.count(Called::Xadd);
    if !matches!(server.peek(stream), Some(Value::Stream(_))) {
        server.store(stream, Value::Stream(Box::default()), Ttl::Never)?;
    }
    let Some((write, version)) = write else {
        server.count(Called::Xdel);
        server.change_stream(stream, &[place], |stream| stream.skip(place));
        return Ok(());
    };
    let write = QueuedWrite {
        version,
        ..write.clone()
    };
    server.change_stream(stream, &[place], |stream| stream.add(place, write));
    // Only an empty queue may go away by itself.
    server.expire_stream(stream, Ttl::Never);
    Ok(())
}

/// `XGROUP CREATE … MKSTREAM`; whether there was none.
fn make_group(server: &mut Server, stream: &Key) -> Result<bool, LayerError> {
    match server.peek(stream) {
        Some(Value::Stream(held)) if held.has_group() => Ok(false),
        Some(Value::Stream(_)) => {
            server.change_stream(stream, &[], Stream::make_group);
            Ok(true)
        }
        Some(_) => Err(super::wrong_type()),
        None => {
            let mut made = Stream::default();
            made.make_group();
            server.store(stream, Value::Stream(Box::new(made)), Ttl::Never)?;
            Ok(true)
        }
    }
}

/// The stream, if it has its group.
fn group<'s>(
    server: &'s mut Server,
    called: Called,
    stream: &Key,
) -> Result<&'s Stream, LayerError> {
    match server.read(called, stream) {
        Some(Value::Stream(stream)) if stream.has_group() => Ok(stream),
        _ => Err(no_group(stream)),
    }
}

fn no_group(stream: &Key) -> LayerError {
    let why = format!("NOGROUP No such key '{stream}' or consumer group 'write-behind'");
    LayerError::Refused(NAME, why)
}

fn places(ids: &[QueueId]) -> Vec<Place> {
    ids.iter().filter_map(|id| id.0.parse().ok()).collect()
}

fn delivery(place: Place, write: QueuedWrite, deliveries: u32) -> Delivery {
    Delivery {
        id: QueueId(place.to_string()),
        deliveries,
        write: Ok(write),
    }
}

/// What of a stream's entries goes over the connection.
fn bytes_of(writes: &[Delivery]) -> u64 {
    let readable = writes.iter().filter_map(|given| given.write.as_ref().ok());
    let bytes =
        readable.map(|write| stream_entry_bytes(write.key.as_str().len() + write.value.len()));
    bytes.sum()
}

impl ModelledStream {
    /// Whether it still has its connection.
    fn connected(&self) -> Result<(), LayerError> {
        match &self.own {
            Some((epoch, _)) if self.redis.epoch(self.shard) != Some(*epoch) => Err(unreachable()),
            _ => Ok(()),
        }
    }

    async fn call<T>(
        &self,
        ask: Ask,
        act: impl FnOnce(&mut Server) -> Result<T, LayerError>,
    ) -> Result<T, LayerError> {
        self.connected()?;
        let ask = ask.of_instance();
        self.redis.call(self.shard, COMMAND_LIMIT, ask, act).await
    }

    fn read_fresh(&self, server: &mut Server, max: usize) -> Result<Vec<Delivery>, LayerError> {
        let fresh = group(server, Called::Xreadgroup, &self.stream)?.fresh(max);
        // First for the group, then for the entries.
        server.read_again(&self.stream);
        if fresh.is_empty() {
            return Ok(Vec::new());
        }
        let (now, consumer) = (server.now(), &self.consumer);
        let give = |stream: &mut Stream| stream.give(&fresh, consumer, now);
        let given = server.change_stream(&self.stream, &fresh, give);
        let given = given.unwrap_or_default().into_iter();
        let given: Vec<Delivery> = given
            .map(|(place, write)| delivery(place, write, 1))
            .collect();
        server.gives = bytes_of(&given);
        Ok(given)
    }
}

impl Queue for ModelledStream {
    fn is_new(&self) -> bool {
        self.is_new
    }

    async fn next_batch(&mut self, max: usize) -> Result<Vec<Delivery>, LayerError> {
        let (clock, limit) = (self.redis.clock(), BLOCK + COMMAND_LIMIT);
        self.connected()?;
        let sent = clock.now();
        let (way, arrives) = self.redis.go(limit).await;
        let until = arrives + BLOCK;
        let mut at = arrives;
        let (answer, done) = loop {
            let read = |server: &mut Server| self.read_fresh(server, max);
            let ask = Ask::new(Command::StreamRead).of_instance();
            let (answer, done) = self.redis.carry_out(self.shard, at, ask, read);
            let is_empty = answer.as_ref().is_ok_and(Vec::is_empty);
            if !is_empty || self.own.is_none() || clock.now() >= until {
                break (answer, done);
            }
            let left = until.since(clock.now());
            let woken = clock.timeout(left, self.redis.queued()).await;
            if woken.is_err() {
                break (Ok(Vec::new()), clock.now());
            }
            if let Err(cut_off) = self.connected() {
                break (Err(cut_off), clock.now());
            }
            at = clock.now();
        };
        self.redis
            .come_back((sent, limit), done + way, answer)
            .await
    }

    async fn take_back(
        &mut self,
        idle: Option<Duration>,
        max: usize,
        alone_from: u32,
    ) -> Result<TakenBack, LayerError> {
        let take = |server: &mut Server| {
            server.count(Called::Evalsha);
            let (now, consumer) = (server.now(), &self.consumer);
            let stream = group(server, Called::Xpending, &self.stream)?;
            let chosen = stream.to_take_back((&**consumer, idle), (max, alone_from), now);
            if chosen.is_empty() {
                return Ok(TakenBack::default());
            }
            group(server, Called::Xclaim, &self.stream)?;
            let claim = |stream: &mut Stream| stream.claim(&chosen, consumer, now);
            let claimed = server.change_stream(&self.stream, &chosen, claim);
            let (given, vanished) = claimed.unwrap_or_default();
            let given = given.into_iter();
            let deliveries: Vec<Delivery> = given
                .map(|(place, write, times)| delivery(place, write, times))
                .collect();
            server.gives = bytes_of(&deliveries);
            Ok(TakenBack {
                deliveries,
                vanished,
            })
        };
        self.call(Ask::new(Command::Script), take).await
    }

    async fn keep(&mut self, ids: &[QueueId]) -> Result<bool, LayerError> {
        if ids.is_empty() {
            return Ok(true);
        }
        let places = places(ids);
        let keep = |server: &mut Server| {
            if group(server, Called::Xclaim, &self.stream).is_err() {
                return Ok(false);
            }
            let (now, consumer) = (server.now(), &self.consumer);
            let keep = |stream: &mut Stream| stream.keep(&places, consumer, now);
            server.change_stream(&self.stream, &places, keep);
            Ok(true)
        };
        self.call(Ask::new(Command::Script), keep).await
    }

    async fn acknowledge(&mut self, ids: &[QueueId]) -> Result<(), LayerError> {
        if ids.is_empty() {
            return Ok(());
        }
        let places = places(ids);
        let acknowledge = |server: &mut Server| {
            server.count(Called::Evalsha);
            server.read(Called::Xack, &self.stream);
            server.count(Called::Xdel);
            let take_out = |stream: &mut Stream| stream.take_out(&places);
            server.change_stream(&self.stream, &places, take_out);
            if waiting_in(server, &self.stream) == 0 {
                server.expire_stream(&self.stream, Ttl::For(EMPTY_TTL));
            }
            Ok(())
        };
        self.call(Ask::new(Command::Script), acknowledge).await
    }

    async fn bury(&mut self, delivery: &Delivery, reason: &str) -> Result<(), LayerError> {
        let places = places(std::slice::from_ref(&delivery.id));
        let bury = |server: &mut Server| {
            server.count(Called::Evalsha);
            let found = match server.read(Called::Xrange, &self.stream) {
                Some(Value::Stream(stream)) => {
                    let write = places.first().and_then(|place| stream.at(*place));
                    write.map(|write| write.key.as_str().len() + write.value.len())
                }
                _ => None,
            };
            if let Some(len) = found {
                let more = stream_entry_bytes(len + reason.len());
                add_dead_letter(server, &self.dead_letters, more)?;
            }
            server.read(Called::Xack, &self.stream);
            server.count(Called::Xdel);
            let take_out = |stream: &mut Stream| stream.take_out(&places);
            server.change_stream(&self.stream, &places, take_out);
            Ok(())
        };
        self.call(Ask::new(Command::Script), bury).await
    }

    async fn waiting(&mut self) -> Result<Waiting, LayerError> {
        let look = |server: &mut Server| {
            server.count(Called::Evalsha);
            let oldest = match server.read(Called::Xrange, &self.stream) {
                Some(Value::Stream(stream)) => stream.first(),
                _ => None,
            };
            let age_ms = match oldest {
                Some(place) => unix_millis(server.time()).saturating_sub(place.ms),
                None => 0,
            };
            let writes = waiting_in(server, &self.stream);
            let dead_letters = match server.read(Called::Xlen, &self.dead_letters) {
                Some(Value::DeadLetters { count, .. }) => *count,
                _ => 0,
            };
            Ok(Waiting {
                writes,
                oldest: Duration::from_millis(age_ms),
                dead_letters,
                may_be_evicted: false,
            })
        };
        let waiting = self.call(Ask::new(Command::Script), look).await?;
        let ask = |server: &mut Server| {
            server.count(Called::Info);
            Ok(server.may_evict_streams(MEMORY_SHARE_AT_RISK))
        };
        let may_be_evicted = self.call(Ask::new(Command::StreamRead), ask).await;
        Ok(Waiting {
            may_be_evicted: may_be_evicted.unwrap_or(false),
            ..waiting
        })
    }
}

fn add_dead_letter(server: &mut Server, key: &Key, more: u64) -> Result<(), LayerError> {
    server.count(Called::Xadd);
    server.has_room()?;
    let (count, bytes) = match server.peek(key) {
        Some(Value::DeadLetters { count, bytes }) => (*count, *bytes),
        _ => (0, 0),
    };
    let value = Value::DeadLetters {
        count: count + 1,
        bytes: bytes + more,
    };
    server.store(key, value, Ttl::Keep)
}
