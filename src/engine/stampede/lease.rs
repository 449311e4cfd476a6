//! `lease`: one load per key over all instances, by a lease that stands at the data key itself.
//!
//! Looking and taking the lease is one round trip. Only the lease's holder may fill; a write puts a
//! tombstone over the lease, and with it the right to fill is gone, so a load that a write overtook
//! leaves nothing behind. (Nishtala et al., "Scaling Memcache at Facebook", NSDI 2013, section
//! 3.2.1, without its rate limit: waiters are woken by a notice instead.)

use super::TTL;
use crate::engine::data_type::{DataType, DataTypeId, Key};
use crate::engine::event::Event;
use crate::engine::layer::{Fill, Layer, LayerError, Leased, Origin, Remote, Token};
use crate::engine::read::{Looked, found, loaded, waited_for};
use crate::engine::{Engine, Fetch};

impl<R: Remote, O: Origin> Engine<R, O> {
    pub(in crate::engine) async fn fetch_with_lease(
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
            match self.look_for_lease(data_type, key, token).await {
                Ok(Leased::Found(entry))
                    if entry.fresh_until <= self.clock.now()
                        || self.is_outdated(data_type, key, &entry) =>
                {
                    // Kept past its TTL to be served stale, or outdated: no room for a lease.
                    return Box::pin(self.fetch_with_lock(data_type, policy, key)).await;
                }
                Ok(Leased::Found(entry)) if another_loads => return Ok(waited_for(entry)),
                Ok(Leased::Found(entry)) => return Ok(found(entry)),
                Ok(Leased::Granted) => {
                    return Box::pin(self.load_leased(data_type, policy, key, token)).await;
                }
                Ok(Leased::Taken) => another_loads = true,
                Err(_) => {
                    let loading = self.load_and_fill(data_type, policy, key, Looked::Failed);
                    return Box::pin(loading).await;
                }
            }
            if !self.wait_for_another(&waiter, &mut patience).await {
                let loading = self.load_and_fill(data_type, policy, key, Looked::Absent);
                return Box::pin(loading).await;
            }
        }
    }

    async fn look_for_lease(
        &self,
        data_type: DataTypeId,
        key: &Key,
        token: Token,
    ) -> Result<Leased, LayerError> {
        let Some(remote) = &self.remote else {
            return Ok(Leased::Granted);
        };
        self.get_in_step().await?;
        let start = self.clock.now();
        let looked = remote.get_or_lease(key, token, TTL).await;
        self.emit(&Event::Lookup {
            data_type,
            layer: Layer::Remote,
            found: matches!(looked, Ok(Leased::Found(_))),
            took: self.clock.now().since(start),
        });
        looked.inspect_err(|error| self.failed(Layer::Remote, error))
    }

    /// Loads and fills with the lease; gives it back if there is nothing to fill.
    async fn load_leased(
        &self,
        data_type: DataTypeId,
        policy: &DataType,
        key: &Key,
        token: Token,
    ) -> Fetch {
        let load = self.load(data_type, key).await;
        let Some(remote) = &self.remote else {
            return Ok(loaded(load?, Fill::Stored));
        };
        let entry = load.as_ref().ok();
        let offer = entry.and_then(|entry| Some((entry, self.remote_ttl(policy, entry)?)));
        let filled = match remote.fill_leased(key, token, offer).await {
            Ok(filled) => filled,
            Err(error) => {
                self.failed(Layer::Remote, &error);
                Fill::Stored
            }
        };
        if filled == Fill::Refused {
            self.emit(&Event::FillRefused {
                data_type,
                layer: Layer::Remote,
            });
        }
        Ok(loaded(load?, filled))
    }
}
