//! The way of a read: local, then in one flight per key remote and origin, then back up, filling.

use super::data_type::{DataType, DataTypeId, Key, Strategy};
use super::event::Event;
use super::flight::{Boarding, Leader};
use super::layer::{Entry, Fill, Layer, Origin, Outcome, Remote};
use super::{Answer, Engine, EngineError, Fetch, Fetched, wrong_strategy};

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
            let entry = self.load(data_type, key).await?;
            return Ok(Answer {
                outcome: Outcome::Bypass,
                layer: Layer::Origin,
                entry,
            });
        }
        if let Some(entry) = self.look_locally(data_type, policy, key) {
            return Ok(answer(Outcome::Hit, Layer::Local, entry));
        }
        loop {
            match self.flights.board(key) {
                Boarding::Leader(leader) => return self.lead(data_type, policy, key, leader).await,
                Boarding::Follower(follower) => {
                    if let Some(fetch) = follower.landing().await {
                        let Fetched { entry, layer, .. } = fetch?;
                        return Ok(Answer {
                            outcome: Outcome::Coalesced,
                            layer,
                            entry,
                        });
                    }
                }
            }
        }
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
        if let Some(entry) = self.peek_locally(policy, key) {
            let fetched = Fetched {
                entry,
                layer: Layer::Local,
                bypassed: false,
                keep: false,
            };
            let entry = fetched.entry.clone();
            self.land(data_type, key, leader, Ok(fetched));
            return Ok(answer(Outcome::Hit, Layer::Local, entry));
        }
        let fetch = self.fetch(data_type, policy, key).await;
        self.land(data_type, key, leader, fetch.clone());
        let Fetched {
            entry,
            layer,
            bypassed,
            ..
        } = fetch?;
        let outcome = match layer {
            Layer::Origin if bypassed => Outcome::Bypass,
            Layer::Origin => Outcome::Miss,
            _ => Outcome::Hit,
        };
        Ok(answer(outcome, layer, entry))
    }

    fn land(&self, data_type: DataTypeId, key: &Key, leader: Leader<'_, Fetch>, fetch: Fetch) {
        let loaded_from_origin = fetch
            .as_ref()
            .map_or(true, |got| got.layer == Layer::Origin);
        let kept = fetch
            .as_ref()
            .ok()
            .filter(|got| got.keep)
            .map(|got| got.entry.clone());
        let as_of = kept.as_ref().map(|entry| entry.row.as_of);
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
        let Some(remote) = &self.remote else {
            let entry = self.load(data_type, key).await?;
            return Ok(Fetched {
                entry,
                layer: Layer::Origin,
                bypassed: false,
                keep: true,
            });
        };
        let start = self.clock.now();
        let looked = remote.get(key).await;
        self.emit(&Event::Lookup {
            data_type,
            layer: Layer::Remote,
            found: matches!(looked, Ok(Some(_))),
            took: self.clock.now().since(start),
        });
        match looked {
            Ok(Some(entry)) => Ok(Fetched {
                entry,
                layer: Layer::Remote,
                bypassed: false,
                keep: true,
            }),
            Ok(None) => {
                let entry = self.load(data_type, key).await?;
                let keep = self.fill_remote(data_type, policy, key, &entry).await != Fill::Refused;
                Ok(Fetched {
                    entry,
                    layer: Layer::Origin,
                    bypassed: false,
                    keep,
                })
            }
            Err(error) => {
                self.failed(Layer::Remote, &error);
                let entry = self.load(data_type, key).await?;
                Ok(Fetched {
                    entry,
                    layer: Layer::Origin,
                    bypassed: true,
                    keep: true,
                })
            }
        }
    }

    /// From the origin.
    async fn load(&self, data_type: DataTypeId, key: &Key) -> Result<Entry, EngineError> {
        let start = self.clock.now();
        let loaded = self.origin.load(data_type, key).await;
        let now = self.clock.now();
        self.emit(&Event::Lookup {
            data_type,
            layer: Layer::Origin,
            found: loaded.as_ref().is_ok_and(|row| row.value.is_some()),
            took: now.since(start),
        });
        let row = loaded.map_err(|error| {
            self.failed(Layer::Origin, &error);
            EngineError::Origin(error)
        })?;
        Ok(self.entry(self.policies.get(data_type), row, now.since(start)))
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
        match remote.fill(key, entry, ttl).await {
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
        let entry = local.get(key, start);
        self.emit(&Event::Lookup {
            data_type,
            layer: Layer::Local,
            found: entry.is_some(),
            took: self.clock.now().since(start),
        });
        entry
    }

    fn peek_locally(&self, policy: &DataType, key: &Key) -> Option<Entry> {
        let local = self.local.as_ref().filter(|_| policy.local_ttl.is_some())?;
        local.get(key, self.clock.now())
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
