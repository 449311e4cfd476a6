//! The way of a command to a modelled server and back, and how long that takes.
//!
//! A call waits twice at the most, and once where the way is always as long: then commands arrive in the
//! order in which they were sent, so each can be carried out when it is sent, at the time of its arrival.
//! The operations of the remote layer are written on this.

use std::time::Duration;

use super::deployment::ModelledRedis;
use super::server::Server;
use super::shard::Ask;
use crate::clock::Timestamp;
use crate::engine::data_type::Key;
use crate::engine::layer::{Entry, LayerError};
use crate::engine::remote::redis::NAME;

impl ModelledRedis {
    /// Waits until `moment`.
    async fn wait_until(&self, moment: Timestamp) {
        if moment > self.inner.clock.now() {
            self.inner.clock.sleep_until(moment).await;
        } else {
            // Who asks in a loop must not keep the others from their turn.
            tokio::task::coop::consume_budget().await;
        }
    }

    /// The way to the servers for a command that is sent now and may take so long: how long the way back
    /// is, and when it arrives. If that is always as long, nobody overtakes, and it need not be waited
    /// for.
    pub(super) async fn go(&self, limit: Duration) -> (Duration, Timestamp) {
        let clock = &self.inner.clock;
        let now = clock.now();
        if let Some(way) = self.inner.way {
            return (way, now + way);
        }
        let way = {
            let mut state = self.inner.state.lock();
            self.inner.config.network.draw(&mut state.network) / 2
        };
        // What has been sent will be carried out, also if nobody waits for the answer any more.
        self.wait_until(now + way.min(limit)).await;
        (way, clock.now())
    }

    /// The way back of a command that was sent at `sent`.
    pub(super) async fn come_back<T>(
        &self,
        (sent, limit): (Timestamp, Duration),
        at: Timestamp,
        answer: Result<T, LayerError>,
    ) -> Result<T, LayerError> {
        let last = sent + limit;
        if at > last {
            self.wait_until(last).await;
            return Err(LayerError::TimedOut(NAME));
        }
        self.wait_until(at).await;
        answer
    }

    /// Sends a command to the primary of a shard, and waits for its answer.
    pub(super) async fn call<T>(
        &self,
        shard: usize,
        limit: Duration,
        ask: Ask,
        act: impl FnOnce(&mut Server) -> Result<T, LayerError>,
    ) -> Result<T, LayerError> {
        let sent = self.inner.clock.now();
        let (way, arrives) = self.go(limit).await;
        let (answer, done) = self.carry_out(shard, arrives, ask, act);
        self.come_back((sent, limit), done + way, answer).await
    }

    /// The same for several at once, each by itself; the first that fails is told.
    pub(super) async fn call_each<K, T>(
        &self,
        keys: impl Iterator<Item = (usize, K)>,
        limit: Duration,
        ask: Ask,
        mut act: impl FnMut(&mut Server, K) -> Result<T, LayerError>,
    ) -> Result<Vec<T>, LayerError> {
        let sent = self.inner.clock.now();
        let (way, arrives) = self.go(limit).await;
        let mut last = arrives;
        let mut failed: Option<(LayerError, Timestamp)> = None;
        let mut answers = Vec::with_capacity(keys.size_hint().0);
        for (shard, key) in keys {
            let (answer, done) = self.carry_out(shard, arrives, ask, |server| act(server, key));
            last = last.max(done);
            match answer {
                Ok(answer) => answers.push(answer),
                Err(error) if failed.as_ref().is_none_or(|(_, at)| done < *at) => {
                    failed = Some((error, done));
                }
                Err(_) => {}
            }
        }
        let (answer, done) = match failed {
            None => (Ok(answers), last),
            Some((error, at)) => (Err(error), at),
        };
        self.come_back((sent, limit), done + way, answer).await
    }

    /// Carries out what has arrived.
    pub(super) fn carry_out<T>(
        &self,
        shard: usize,
        at: Timestamp,
        ask: Ask,
        act: impl FnOnce(&mut Server) -> Result<T, LayerError>,
    ) -> (Result<T, LayerError>, Timestamp) {
        self.inner.state.lock().carry_out(shard, at, ask, act)
    }

    /// A lookup at a replica; `None` if there is none to ask.
    pub(super) fn read_at_replica(
        &self,
        shard: usize,
        at: Timestamp,
        key: &Key,
    ) -> Option<(Option<Entry>, Timestamp)> {
        let mut state = self.inner.state.lock();
        state.shards.get_mut(shard)?.read_at_replica(at, key)
    }
}
