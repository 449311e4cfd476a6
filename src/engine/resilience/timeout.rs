//! An origin that always answers: whatever takes longer than the hard timeout fails.
//!
//! The local layer needs no timeout (it never waits), the remote one has its own in its options. A
//! write that fails here may have been committed all the same, as with any database whose answer is
//! lost.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;

use crate::clock::Clock;
use crate::engine::data_type::{DataTypeId, Key, Limit};
use crate::engine::layer::{Admission, LayerError, Origin, QueuedWrite, Row};

/// What errors call it.
const NAME: &str = "the origin";

/// An origin that answers in time or fails.
#[derive(Debug)]
pub struct Timed<O> {
    origin: O,
    hard: Option<Duration>,
    clock: Clock,
}

impl<O: Origin> Timed<O> {
    /// `origin`, whose calls fail after `hard`; `None` for no limit.
    pub fn new(origin: O, hard: Option<Duration>, clock: Clock) -> Self {
        Self {
            origin,
            hard,
            clock,
        }
    }

    async fn bounded<T>(
        &self,
        call: impl Future<Output = Result<T, LayerError>>,
    ) -> Result<T, LayerError> {
        let Some(hard) = self.hard else {
            return call.await;
        };
        let answer = self.clock.timeout(hard, call).await;
        answer.unwrap_or(Err(LayerError::TimedOut(NAME)))
    }
}

impl<O: Origin> Origin for Timed<O> {
    async fn load(&self, data_type: DataTypeId, key: &Key) -> Result<Row, LayerError> {
        self.bounded(self.origin.load(data_type, key)).await
    }

    async fn store(
        &self,
        data_type: DataTypeId,
        key: &Key,
        value: Bytes,
    ) -> Result<Row, LayerError> {
        self.bounded(self.origin.store(data_type, key, value)).await
    }

    async fn store_batch(&self, writes: &[QueuedWrite]) -> Result<(), LayerError> {
        self.bounded(self.origin.store_batch(writes)).await
    }

    async fn admit(
        &self,
        data_type: DataTypeId,
        key: &Key,
        limit: Limit,
    ) -> Result<Admission, LayerError> {
        self.bounded(self.origin.admit(data_type, key, limit)).await
    }
}

#[cfg(test)]
mod tests {
    use super::super::origin_limit::tests::Patient;
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn whatever_takes_too_long_fails_and_the_rest_is_as_it_was() {
        let clock = Clock::real();
        let key = Key::new("k");
        let hard = Some(Duration::from_millis(100));
        for (takes, hard, answers) in [(50, hard, true), (150, hard, false), (150, None, true)] {
            let origin = Patient::new(&clock, Duration::from_millis(takes));
            let timed = Timed::new(origin, hard, clock.clone());
            let began_at = clock.now();
            let load = timed.load(DataTypeId(0), &key).await;
            let store = timed.store(DataTypeId(0), &key, Bytes::new()).await;
            let batch = timed.store_batch(&[]).await;
            let wanted = if answers {
                Ok(())
            } else {
                Err(LayerError::TimedOut(NAME))
            };
            assert_eq!(load.map(drop), wanted);
            assert_eq!(store.map(drop), wanted);
            assert_eq!(batch, wanted);
            let each = if answers { takes } else { 100 };
            assert_eq!(clock.now().since(began_at), Duration::from_millis(3 * each));
        }
    }
}
