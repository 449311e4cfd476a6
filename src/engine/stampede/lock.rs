//! `lock`: one load per key over all instances, by a lock in the remote layer that has an owner.
//!
//! `SET NX PX` with a random token, renewed while the load lasts, given back by compare-and-delete
//! together with a notice that wakes the waiters. Who waits looks by itself, too, ever less often
//! and never in step, and loads on its own at its deadline. (The single-instance lock of Redis'
//! documentation, "Distributed Locks with Redis".)

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use super::{LOOK_MIN, Patience, TTL};
use crate::clock::Timestamp;
use crate::engine::data_type::{DataType, DataTypeId, Key};
use crate::engine::layer::{Layer, Origin, Remote, Token};
use crate::engine::read::{Looked, found, waited_for};
use crate::engine::{Engine, Fetch};

impl<R: Remote, O: Origin> Engine<R, O> {
    pub(in crate::engine) async fn fetch_with_lock(
        &self,
        data_type: DataTypeId,
        policy: &DataType,
        key: &Key,
    ) -> Fetch {
        // Waits from before the look on, or a notice in between would be missed.
        let waiter = self.waiter(key);
        let (token, mut patience) = (self.token(), self.patience());
        let mut another_loads = false;
        loop {
            let looked = self.look_remotely(data_type, key).await;
            match looked {
                Looked::Fresh(entry) if another_loads => return Ok(waited_for(entry)),
                Looked::Fresh(entry) => return Ok(found(entry)),
                Looked::Failed => {
                    return self.load_and_fill(data_type, policy, key, looked).await;
                }
                Looked::Stale(_) | Looked::Absent => {}
            }
            if self.try_lock(key, token, TTL).await {
                return self
                    .load_locked(data_type, policy, key, (token, looked))
                    .await;
            }
            another_loads = true;
            if !self.wait_for_another(&waiter, &mut patience).await {
                return self.load_and_fill(data_type, policy, key, looked).await;
            }
        }
    }

    /// Loads while holding the lock, however long it takes.
    async fn load_locked(
        &self,
        data_type: DataTypeId,
        policy: &DataType,
        key: &Key,
        (token, looked): (Token, Looked),
    ) -> Fetch {
        // Another may have loaded between our look and our lock.
        let looked = match self.look_remotely(data_type, key).await {
            Looked::Fresh(entry) => {
                self.give_back(key, Some(token)).await;
                return Ok(waited_for(entry));
            }
            Looked::Failed => looked,
            again => again,
        };
        // Pinned here, or every read's future would hold it twice.
        let loading = pin!(self.load_and_fill(data_type, policy, key, looked));
        self.holding(key, token, loading).await
    }

    /// Does `work` while holding the lock, however long it takes, and gives it back.
    pub(in crate::engine) async fn holding<T>(
        &self,
        key: &Key,
        token: Token,
        work: impl Future<Output = T>,
    ) -> T {
        let renewing = self.renew(key, token);
        let done = tokio::select! {
            biased;
            done = work => done,
            never = renewing => match never {},
        };
        self.give_back(key, Some(token)).await;
        done
    }

    /// Takes the lock of `key` as soon as nobody has it. False if that is not before `deadline`.
    pub(in crate::engine) async fn wait_for_lock(
        &self,
        key: &Key,
        token: Token,
        deadline: Timestamp,
    ) -> bool {
        let waiter = self.waiter(key);
        let mut patience = Patience {
            deadline,
            look_after: LOOK_MIN,
        };
        while !self.try_lock(key, token, TTL).await {
            if !self.wait_for_another(&waiter, &mut patience).await {
                return false;
            }
        }
        true
    }

    async fn renew(&self, key: &Key, token: Token) -> std::convert::Infallible {
        loop {
            self.clock.sleep(TTL / 3).await;
            let Some(remote) = &self.remote else { continue };
            // A lost lock is no disaster: the fill compares, and others load beside us.
            if let Err(error) = remote.renew_lock(key, token, TTL).await {
                self.failed(Layer::Remote, &error);
            }
        }
    }

    /// True also if the remote layer fails: then nobody could hold a lock against us.
    pub(super) async fn try_lock(&self, key: &Key, token: Token, ttl: Duration) -> bool {
        let Some(remote) = &self.remote else {
            return true;
        };
        match remote.lock(key, token, ttl).await {
            Ok(locked) => locked,
            Err(error) => {
                self.failed(Layer::Remote, &error);
                true
            }
        }
    }

    pub(super) async fn give_back(&self, key: &Key, token: Option<Token>) {
        if let Some(remote) = &self.remote
            && let Err(error) = remote.unlock(key, token).await
        {
            self.failed(Layer::Remote, &error);
        }
    }
}
