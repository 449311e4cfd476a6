//! The way of a read: local, then in one flight per key remote and origin, then back up, filling.
//!
//! What only a miss needs is boxed where it begins: a read carries the room for it otherwise, and most
//! reads are hits.

use super::data_type::{Consistency, DataType, DataTypeId, Key, Stampede, Strategy};
use super::event::Event;
use super::flight::{Boarding, Leader};
use super::layer::{
    Entry, Fill, Generation, Layer, LayerError, Origin, Outcome, Remote, Row, Version,
};
use super::local::LocalLayer;
use super::{Answer, Engine, EngineError, Fetch, Fetched, How, sliding, wrong_strategy};
use crate::clock::Timestamp;

/// What a look into the remote layer found.
#[derive(Clone, Debug)]
pub(super) enum Looked {
    /// An entry within its TTL.
    Fresh(Entry),
    /// An entry past it, kept because it may be served stale.
    Stale(Entry),
    /// Nothing.
    Absent,
    /// The layer failed.
    Failed,
}

/// How things stood when a row began to be read. What is outdated from then on, the row is, too.
#[derive(Clone, Copy, Debug)]
pub(super) struct Began {
    at: Timestamp,
    generation: Generation,
}

impl<R: Remote, O: Origin> Engine<R, O> {
    /// Reads the value at `key`.
    ///
    /// # Errors
    /// If the data type is a counter, or if the origin failed and no layer had an answer.
    pub async fn get(&self, data_type: DataTypeId, key: &Key) -> Result<Answer, EngineError> {
        let policy = self.policies.get(data_type);
        if policy.strategy == Strategy::Counter {
            return Err(wrong_strategy("get", policy));
        }
        if self.local.is_none() && self.remote.is_none() {
            let entry = Box::pin(self.load(data_type, key)).await?;
            return Ok(Answer {
                outcome: Outcome::Bypass,
                layer: Layer::Origin,
                entry,
            });
        }
        if let Some(entry) = self.look_locally(data_type, policy, key) {
            self.refresh_early(data_type, policy, key, &entry);
            return Ok(answer(Outcome::Hit, Layer::Local, entry));
        }
        if matches!(policy.stampede, Stampede::None | Stampede::AdrLock) {
            return self.get_alone(data_type, policy, key).await;
        }
        loop {
            match self.flights.board(key) {
                Boarding::Leader(leader) => return self.lead(data_type, policy, key, leader).await,
                Boarding::Follower(follower) => {
                    if let Some(fetch) = follower.landing().await {
                        return fetch.map(follow);
                    }
                }
            }
        }
    }

    /// Fetches for this request alone.
    async fn get_alone(
        &self,
        data_type: DataTypeId,
        policy: &DataType,
        key: &Key,
    ) -> Result<Answer, EngineError> {
        let epoch = self.flights.epoch(key);
        let fetched = match policy.stampede {
            Stampede::AdrLock => Box::pin(self.fetch_with_adr_lock(data_type, policy, key)).await?,
            _ => self.fetch_alone(data_type, policy, key).await?,
        };
        let keep = || self.keep_locally(data_type, key, &fetched.entry);
        match policy.consistency {
            Consistency::Naive => keep(),
            Consistency::Versioned if fetched.keep => self.flights.if_still(key, epoch, keep),
            Consistency::Versioned => {}
        }
        Ok(lead_answer(fetched))
    }

    /// Fetches for this request and for all that wait for it.
    async fn lead(
        &self,
        data_type: DataTypeId,
        policy: &DataType,
        key: &Key,
        leader: Leader<'_, Fetch>,
    ) -> Result<Answer, EngineError> {
        // The flight before this one may have landed between our look and our boarding.
        let fetch = match self.peek_locally(data_type, policy, key) {
            Some(entry) => Ok(Fetched {
                entry,
                layer: Layer::Local,
                how: How::Plainly,
                keep: false,
            }),
            None => self.fetch(data_type, policy, key).await,
        };
        self.land(data_type, policy, key, leader, fetch.clone());
        fetch.map(lead_answer)
    }

    fn land(
        &self,
        data_type: DataTypeId,
        policy: &DataType,
        key: &Key,
        leader: Leader<'_, Fetch>,
        fetch: Fetch,
    ) {
        let loaded_from_origin = fetch
            .as_ref()
            .map_or(true, |got| got.layer == Layer::Origin);
        let kept = fetch
            .as_ref()
            .ok()
            .filter(|got| got.keep)
            .map(|got| got.entry.clone());
        let as_of = kept.as_ref().map(|entry| match policy.consistency {
            Consistency::Versioned => entry.row.as_of,
            // Above every floor.
            Consistency::Naive => Version(u64::MAX),
        });
        let followers = leader.land(fetch, as_of, || {
            if let Some(entry) = &kept {
                self.keep_locally(data_type, key, entry);
            }
        });
        self.emit(&Event::FlightEnded {
            data_type,
            key,
            followers,
            loaded_from_origin,
        });
    }

    /// From the remote layer, or else from the origin and into the remote layer.
    async fn fetch(&self, data_type: DataTypeId, policy: &DataType, key: &Key) -> Fetch {
        if self.remote.is_none() {
            let entry = Box::pin(self.load(data_type, key)).await?;
            return Ok(loaded(entry, Fill::Stored));
        }
        match policy.stampede {
            Stampede::Lock => return Box::pin(self.fetch_with_lock(data_type, policy, key)).await,
            // The lease's look extends nothing.
            Stampede::Lease if policy.sliding.is_some() => {
                return Box::pin(self.fetch_with_lock(data_type, policy, key)).await;
            }
            Stampede::Lease => return self.fetch_with_lease(data_type, policy, key).await,
            _ => {}
        }
        match self.look_remotely(data_type, key).await {
            Looked::Fresh(entry) => {
                self.refresh_early(data_type, policy, key, &entry);
                Ok(found(entry))
            }
            Looked::Stale(entry) if policy.stampede == Stampede::StaleWhileRevalidate => {
                self.refresh_later(data_type, key);
                Ok(stale(entry))
            }
            looked => Box::pin(self.load_and_fill(data_type, policy, key, looked)).await,
        }
    }

    /// From the origin and into the remote layer. If the origin fails, what `looked` found past
    /// its TTL is better than an error.
    pub(super) async fn load_and_fill(
        &self,
        data_type: DataTypeId,
        policy: &DataType,
        key: &Key,
        looked: Looked,
    ) -> Fetch {
        match (self.load_for(data_type, key, &looked).await, looked) {
            (Err(_), Looked::Stale(entry)) => Ok(stale(entry)),
            (Err(error), _) => Err(error),
            (Ok(entry), Looked::Failed) => Ok(Fetched {
                entry,
                layer: Layer::Origin,
                how: How::Bypassed,
                keep: true,
            }),
            (Ok(entry), _) => {
                let filled = self.fill_remote(data_type, policy, key, &entry).await;
                Ok(loaded(entry, filled))
            }
        }
    }

    /// Looks in the remote layer and tells of it.
    pub(super) async fn look_remotely(&self, data_type: DataTypeId, key: &Key) -> Looked {
        let Some(remote) = &self.remote else {
            return Looked::Absent;
        };
        if self.get_in_step().await.is_err() {
            return Looked::Failed;
        }
        let start = self.clock.now();
        let looked = sliding::look(remote, self.policies.get(data_type), key).await;
        let now = self.clock.now();
        self.emit(&Event::Lookup {
            data_type,
            layer: Layer::Remote,
            found: matches!(looked, Ok(Some(_))),
            took: now.since(start),
        });
        match looked {
            Ok(Some(entry)) if self.is_outdated(data_type, key, &entry) => Looked::Absent,
            Ok(Some(entry)) if entry.fresh_until > now => Looked::Fresh(entry),
            Ok(Some(entry)) => Looked::Stale(entry),
            Ok(None) => Looked::Absent,
            Err(error) => {
                self.failed(Layer::Remote, &error);
                Looked::Failed
            }
        }
    }

    /// From the origin.
    pub(super) async fn load(
        &self,
        data_type: DataTypeId,
        key: &Key,
    ) -> Result<Entry, EngineError> {
        let began = self.begin_load();
        let loaded = self.origin.load(data_type, key).await;
        self.loaded_since(data_type, began, loaded)
    }

    /// To be asked before a row is read.
    pub(super) fn begin_load(&self) -> Began {
        Began {
            at: self.clock.now(),
            generation: self.generations.now(),
        }
    }

    /// What the origin gave as an entry; tells of it.
    pub(super) fn loaded_since(
        &self,
        data_type: DataTypeId,
        began: Began,
        loaded: Result<Row, LayerError>,
    ) -> Result<Entry, EngineError> {
        let took = self.clock.now().since(began.at);
        self.emit(&Event::Lookup {
            data_type,
            layer: Layer::Origin,
            found: loaded.as_ref().is_ok_and(|row| row.value.is_some()),
            took,
        });
        let row = loaded.map_err(|error| {
            self.failed(Layer::Origin, &error);
            EngineError::Origin(error)
        })?;
        Ok(Entry {
            generation: began.generation,
            ..self.entry(self.policies.get(data_type), row, took)
        })
    }

    /// Offers `entry` to the remote layer. A failure is told, and otherwise like success: the
    /// reader has its answer.
    pub(super) async fn fill_remote(
        &self,
        data_type: DataTypeId,
        policy: &DataType,
        key: &Key,
        entry: &Entry,
    ) -> Fill {
        let (Some(remote), Some(ttl)) = (&self.remote, self.remote_ttl(policy, entry)) else {
            return Fill::Stored;
        };
        let filled = match policy.consistency {
            // Nobody would be served with it, and it could stand in the way of a newer one.
            _ if self.is_outdated(data_type, key, entry) => Ok(Fill::Refused),
            Consistency::Versioned => sliding::fill(remote, policy, key, (entry, ttl)).await,
            Consistency::Naive => remote
                .overwrite(key, entry, ttl)
                .await
                .map(|()| Fill::Stored),
        };
        match filled {
            Ok(Fill::Stored) => Fill::Stored,
            Ok(Fill::Refused) => {
                self.emit(&Event::FillRefused {
                    data_type,
                    layer: Layer::Remote,
                });
                Fill::Refused
            }
            Err(error) => {
                self.failed(Layer::Remote, &error);
                Fill::Stored
            }
        }
    }

    /// Looks in the local layer and tells of it.
    fn look_locally(&self, data_type: DataTypeId, policy: &DataType, key: &Key) -> Option<Entry> {
        let local = self.local.as_ref().filter(|_| policy.local_ttl.is_some())?;
        let start = self.clock.now();
        let entry = self.find_locally(local, data_type, key, start);
        self.emit(&Event::Lookup {
            data_type,
            layer: Layer::Local,
            found: entry.is_some(),
            took: self.clock.now().since(start),
        });
        entry
    }

    fn peek_locally(&self, data_type: DataTypeId, policy: &DataType, key: &Key) -> Option<Entry> {
        let local = self.local.as_ref().filter(|_| policy.local_ttl.is_some())?;
        self.find_locally(local, data_type, key, self.clock.now())
    }

    fn find_locally(
        &self,
        local: &LocalLayer,
        data_type: DataTypeId,
        key: &Key,
        now: Timestamp,
    ) -> Option<Entry> {
        let entry = local.get(key, now)?;
        if self.is_outdated(data_type, key, &entry) {
            local.remove(key);
            return None;
        }
        Some(entry)
    }
}

/// An entry that this instance loaded, and what became of its fill.
pub(super) fn loaded(entry: Entry, filled: Fill) -> Fetched {
    Fetched {
        entry,
        layer: Layer::Origin,
        how: How::Plainly,
        keep: filled != Fill::Refused,
    }
}

/// An entry that the remote layer had.
pub(super) fn found(entry: Entry) -> Fetched {
    Fetched {
        entry,
        layer: Layer::Remote,
        how: How::Plainly,
        keep: true,
    }
}

/// An entry that another instance loaded while this one waited.
pub(super) fn waited_for(entry: Entry) -> Fetched {
    Fetched {
        entry,
        layer: Layer::Origin,
        how: How::Waited,
        keep: true,
    }
}

/// An entry past its TTL, where nothing fresh could be had at once.
fn stale(entry: Entry) -> Fetched {
    Fetched {
        entry,
        layer: Layer::Remote,
        how: How::Stale,
        keep: false,
    }
}

/// What the leader of a flight answers.
fn lead_answer(
    Fetched {
        entry, layer, how, ..
    }: Fetched,
) -> Answer {
    let outcome = match (how, layer) {
        (How::Bypassed, _) => Outcome::Bypass,
        (How::Waited, _) => Outcome::Coalesced,
        (How::Stale, _) => Outcome::StaleHit,
        (How::Plainly, Layer::Origin) => Outcome::Miss,
        (How::Plainly, _) => Outcome::Hit,
    };
    answer(outcome, layer, entry)
}

/// What a follower answers: it waited, unless what it got is past its TTL.
fn follow(
    Fetched {
        entry, layer, how, ..
    }: Fetched,
) -> Answer {
    let outcome = if how == How::Stale {
        Outcome::StaleHit
    } else {
        Outcome::Coalesced
    };
    Answer {
        outcome,
        layer,
        entry,
    }
}

/// A known absence is a negative hit.
fn answer(outcome: Outcome, layer: Layer, entry: Entry) -> Answer {
    let outcome = match outcome {
        Outcome::Hit if entry.row.value.is_none() => Outcome::NegativeHit,
        other => other,
    };
    Answer {
        outcome,
        layer,
        entry,
    }
}
