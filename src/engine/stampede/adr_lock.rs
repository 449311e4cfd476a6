//! `adr-lock`: the ADR's `get_with_lock`, line by line and with its constants. A control.
//!
//! Its faults are kept: the lock is deleted without looking whose it is, so a load of more than ten
//! seconds loses its lock and then deletes another's; thirty waits of `0.1 · 1.5^n` seconds add up
//! to ten hours and have no jitter, so a fill is noticed late and by all waiters in step.

use std::time::Duration;

use crate::engine::data_type::{DataType, DataTypeId, Key};
use crate::engine::layer::{Origin, Remote, Token};
use crate::engine::read::{Looked, found, waited_for};
use crate::engine::{Engine, Fetch};

const MAX_RETRIES: i32 = 30;
const LOCK_TTL: Duration = Duration::from_secs(10);
const FIRST_WAIT_S: f64 = 0.1;
const BACKOFF: f64 = 1.5;
/// The ADR sets "1".
const TOKEN: Token = Token(1);

impl<R: Remote, O: Origin> Engine<R, O> {
    pub(in crate::engine) async fn fetch_with_adr_lock(
        &self,
        data_type: DataTypeId,
        policy: &DataType,
        key: &Key,
    ) -> Fetch {
        if let Looked::Fresh(entry) = self.look_remotely(data_type, key).await {
            return Ok(found(entry));
        }
        if self.try_lock(key, TOKEN, LOCK_TTL).await {
            let fetch = self
                .load_and_fill(data_type, policy, key, Looked::Absent)
                .await;
            self.give_back(key, None).await;
            return fetch;
        }
        for attempt in 0..MAX_RETRIES {
            let wait = Duration::from_secs_f64(FIRST_WAIT_S * BACKOFF.powi(attempt));
            self.clock.sleep(wait).await;
            if let Looked::Fresh(entry) = self.look_remotely(data_type, key).await {
                return Ok(waited_for(entry));
            }
        }
        self.load_and_fill(data_type, policy, key, Looked::Absent)
            .await
    }
}
