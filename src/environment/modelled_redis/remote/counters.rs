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
    let (now, now_us) = (server.now(), server.now_us());
    let decided = match server.peek(key) {
        Some(Value::Counter(counter)) if server.has_room().is_err() => {
            // Looks what it would say, and leaves it as it is.
            let refused = counter.clone().admit(now);
            if refused.admitted {
                server.has_room()?;
            }
            return Ok(refused);
        }
        Some(_) => server.change(key, |value| match value {
            Value::Counter(counter) => {
                let admission = counter.admit(now);
                Some((admission, lasts(counter, limit, now_us)))
            }
            _ => None,
        }),
        None => None,
    };
    let Some((admission, lasts)) = decided.flatten() else {
        let mut counter = Counter::new(limit);
        let admission = counter.admit(now);
        let ttl = Ttl::For(lasts(&counter, limit, now_us));
        server.count(if called == Called::Get { Called::Set } else { called });
        server.store(key, Value::Counter(counter), ttl)?;
        return Ok(admission);
    };
    if admission.admitted {
        server.count(if called == Called::Get { Called::Set } else { called });
        server.expire(key, Ttl::For(lasts));
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
