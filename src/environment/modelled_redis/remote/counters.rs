//! Counters: each algorithm of [`rate_limit`](crate::engine::rate_limit) on the server's time, with the
//! expiry that its script sets. After `limit_*.lua`, which tests hold against the same Rust.

use std::time::Duration;

use super::ModelledRemote;
use crate::clock::Timestamp;
use crate::engine::data_type::{Key, Limit, LimitAlgorithm};
use crate::engine::layer::{Admission, LayerError};
use crate::engine::rate_limit::{BUCKETS, Counter, Held, window_us};
use crate::environment::modelled_redis::calls::Called;
use crate::environment::modelled_redis::server::{Server, Ttl};
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

/// The commands of an algorithm's script: those that look, and those that store.
fn commands(algorithm: LimitAlgorithm) -> (&'static [Called], &'static [Called]) {
    use Called::{Get, Hgetall, Hincrby, Hmget, Hset, Pexpire, Set, Zadd, Zcard, Zcount, Zrange};
    match algorithm {
        LimitAlgorithm::SlidingBuckets => (&[Hgetall], &[Hincrby, Pexpire]),
        // It asks for the newest and for their number, and last for its twins.
        LimitAlgorithm::SlidingLog => (&[Zrange, Zcard, Zcount], &[Zadd, Pexpire]),
        LimitAlgorithm::Gcra { .. } => (&[Get], &[Set]),
        LimitAlgorithm::TwoBuckets | LimitAlgorithm::FixedWindow => (&[Hmget], &[Hset, Pexpire]),
    }
}

fn admit(server: &mut Server, key: &Key, limit: Limit) -> Result<Admission, LayerError> {
    server.count(Called::Evalsha);
    let now = server.time();
    if !matches!(server.peek(key), None | Some(Value::Counter(_))) {
        return Err(super::wrong_type());
    }
    let Some(Value::Counter(held)) = server.peek(key) else {
        let mut counter = Counter::new(limit);
        let admission = counter.admit(now);
        count_commands(server, key, limit, true);
        let ttl = Ttl::For(lasts(&counter, limit, now));
        server.store(key, Value::Counter(counter), ttl)?;
        return Ok(admission);
    };
    if server.has_room().is_err() {
        // Nothing may change but that it is looked at.
        let decided = held.clone().admit(now);
        count_commands(server, key, limit, false);
        return if decided.admitted {
            server.has_room().map(|()| decided)
        } else {
            Ok(decided)
        };
    }
    let changed = server.change(key, |value| match value {
        Value::Counter(counter) => {
            let admission = counter.admit(now);
            Some((admission, lasts(counter, limit, now)))
        }
        _ => None,
    });
    let (admission, lasts) = changed.flatten().ok_or_else(super::wrong_type)?;
    count_commands(server, key, limit, admission.admitted);
    if admission.admitted {
        server.set_end(key, Ttl::For(lasts));
    }
    Ok(admission)
}

fn count_commands(server: &mut Server, key: &Key, limit: Limit, admitted: bool) {
    let (looks, stores) = commands(limit.algorithm);
    for look in looks {
        // Who is refused is told when the oldest goes.
        let is_of_oldest = *look == Called::Zcount && !admitted;
        server.read(if is_of_oldest { Called::Zrange } else { *look }, key);
    }
    if limit.algorithm == LimitAlgorithm::SlidingLog {
        server.count(Called::Zremrangebyscore);
    }
    if admitted {
        for store in stores {
            server.count(*store);
        }
    }
}

/// How long the key lives after an admission.
fn lasts(counter: &Counter, limit: Limit, now: Timestamp) -> Duration {
    let now_us = now.as_unix_nanos() / 1_000;
    let window = window_us(limit.window);
    let us = match (limit.algorithm, counter.held()) {
        (_, Held::Due(next_us)) => next_us.saturating_sub(now_us),
        (LimitAlgorithm::SlidingBuckets, _) => (BUCKETS + 1) * window.div_ceil(BUCKETS),
        (LimitAlgorithm::TwoBuckets, _) => 2 * window,
        _ => window,
    };
    Duration::from_millis(us.div_ceil(1_000) + 1)
}
