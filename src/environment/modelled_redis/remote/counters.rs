//! Counters: each algorithm of [`rate_limit`](crate::engine::rate_limit) on the server's time, with the
//! expiry that its script sets. After `limit_*.lua`, which tests hold against the same Rust.

use std::time::Duration;

use super::ModelledRemote;
use crate::engine::data_type::{Key, Limit, LimitAlgorithm};
use crate::engine::layer::{Admission, LayerError};
use crate::engine::rate_limit::{BUCKETS, Counter, Held, window_us};
use crate::environment::modelled_redis::server::{Called, Server, Ttl};
use crate::environment::modelled_redis::shard::Ask;
use crate::environment::modelled_redis::thread::Command;
use crate::environment::modelled_redis::value::Value;

impl ModelledRemote {
    pub(super) async fn count_arrival(
        &self,
        key: &Key,
        limit: Limit,
    ) -> Result<Admission, LayerError> {
        let key = self.spelled(key);
        let admit = |server: &mut Server| admit(server, &key, limit);
        let (shard, ask) = (self.redis.shard_of(&key), Ask::new(Command::Script));
        self.redis.call(shard, self.timeout, ask, admit).await
    }
}

fn admit(server: &mut Server, key: &Key, limit: Limit) -> Result<Admission, LayerError> {
    server.count(Called::Evalsha);
    let called = match limit.algorithm {
        LimitAlgorithm::Gcra { .. } => Called::Get,
        LimitAlgorithm::SlidingLog => Called::SortedSet,
        _ => Called::Hash,
    };
    match server.read(called, key) {
        None | Some(Value::Counter(_)) => {}
        Some(_) => return Err(super::wrong_type()),
    }
    if limit.algorithm == LimitAlgorithm::SlidingLog {
        // It asks for the newest, for their number, and for the oldest or for its twins.
        server.read(called, key);
        server.read(called, key);
    }
    let now = server.now();
    let mut counter = match server.peek(key) {
        Some(Value::Counter(counter)) => counter.clone(),
        _ => Counter::new(limit),
    };
    let admission = counter.admit(now);
    if admission.admitted {
        let ttl = Ttl::For(lasts(&counter, limit, server.now_us()));
        let stored = match called {
            Called::Get => Called::Set,
            called => called,
        };
        server.count(stored);
        if stored != Called::Set {
            server.count(Called::Expire);
        }
        server.store(key, Value::Counter(counter), ttl)?;
    }
    Ok(admission)
}

/// How long the key lives after an admission.
fn lasts(counter: &Counter, limit: Limit, now_us: u64) -> Duration {
    let window = window_us(limit.window);
    let us = match (limit.algorithm, counter.held()) {
        (_, Held::Due(next_us)) => next_us.saturating_sub(now_us),
        (LimitAlgorithm::SlidingBuckets, _) => (BUCKETS + 1) * window.div_ceil(BUCKETS),
        (LimitAlgorithm::TwoBuckets, _) => 2 * window,
        _ => window,
    };
    Duration::from_millis(us.div_ceil(1_000) + 1)
}
