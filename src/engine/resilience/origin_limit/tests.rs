//! The limit over an origin that only takes its time.

use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::clock::Clock;
use crate::engine::layer::Version;

/// An origin that takes its time, and counts who is in it.
pub(in crate::engine::resilience) struct Patient {
    clock: Clock,
    takes: Duration,
    inside: AtomicU32,
    inside_max: Arc<AtomicU32>,
}

impl Patient {
    pub(in crate::engine::resilience) fn new(clock: &Clock, takes: Duration) -> Self {
        Self {
            clock: clock.clone(),
            takes,
            inside: AtomicU32::new(0),
            inside_max: Arc::default(),
        }
    }

    async fn take_time(&self) {
        let inside = self.inside.fetch_add(1, Ordering::SeqCst) + 1;
        self.inside_max.fetch_max(inside, Ordering::SeqCst);
        let _inside = Inside(&self.inside);
        self.clock.sleep(self.takes).await;
    }

    fn row(&self) -> Row {
        Row {
            value: None,
            version: Version(0),
            committed_at: self.clock.now(),
            as_of: Version(0),
        }
    }
}

/// A call in the origin, until it ends or is given up.
struct Inside<'p>(&'p AtomicU32);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Origin for Patient {
    async fn load(&self, _: DataTypeId, _: &Key) -> Result<Row, LayerError> {
        self.take_time().await;
        Ok(self.row())
    }

    async fn store(&self, _: DataTypeId, _: &Key, _: Bytes) -> Result<Row, LayerError> {
        self.take_time().await;
        Ok(self.row())
    }

    async fn store_batch(&self, _: &[QueuedWrite]) -> Result<(), LayerError> {
        self.take_time().await;
        Ok(())
    }

    async fn admit(&self, _: DataTypeId, _: &Key, _: Limit) -> Result<Admission, LayerError> {
        Err(LayerError::Unsupported("the patient origin", "counting"))
    }
}

/// Counts refusals.
#[derive(Default)]
struct Refusals(AtomicUsize);

impl Observer for Refusals {
    fn observe(&self, event: &Event<'_>) {
        if matches!(event, Event::OriginCallRefused) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_comes_on_top_of_those_who_wait_is_refused_at_once() {
    let clock = Clock::real();
    let refusals = Arc::new(Refusals::default());
    let limit = OriginLimit {
        concurrency: 2,
        queue: 3,
    };
    let origin = Patient::new(&clock, Duration::from_millis(10));
    let bounded = Bounded::new(origin, Some(limit), Arc::clone(&refusals) as _);
    let key = Key::new("k");
    let began_at = clock.now();
    let calls = (0..7).map(|_| async {
        let answer = bounded.load(DataTypeId(0), &key).await;
        (answer.is_ok(), clock.now().since(began_at).as_millis())
    });
    let ended = futures_util::future::join_all(calls).await;
    let wanted = [
        (true, 10),
        (true, 10),
        (true, 20),
        (true, 20),
        (true, 30),
        (false, 0),
        (false, 0),
    ];
    assert_eq!(ended, wanted);
    assert_eq!(refusals.0.load(Ordering::SeqCst), 2);
    let full = bounded.gate.as_ref().expect("limited");
    full.waiting.store(3, Ordering::SeqCst);
    let _inside = full.room.acquire_many(2).await.expect("room");
    let refused = bounded.load(DataTypeId(0), &key).await.expect_err("full");
    insta::assert_snapshot!(refused, @"the origin has no room: 2 calls are under way and 3 wait");
}

#[tokio::test(start_paused = true)]
async fn who_goes_away_leaves_its_place_to_others() {
    let clock = Clock::real();
    let limit = OriginLimit {
        concurrency: 1,
        queue: 1,
    };
    let origin = Patient::new(&clock, Duration::from_millis(10));
    let bounded = Bounded::new(origin, Some(limit), Arc::new(Refusals::default()));
    let key = Key::new("k");
    for _ in 0..5 {
        // One inside and one waiting; both hang up.
        let two =
            async { tokio::join!(bounded.load(DataTypeId(0), &key), bounded.store_batch(&[])) };
        assert!(clock.timeout(Duration::from_millis(1), two).await.is_err());
    }
    let both = tokio::join!(bounded.load(DataTypeId(0), &key), bounded.store_batch(&[]));
    assert!(both.0.is_ok() && both.1.is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn never_more_than_the_limit_and_every_call_is_answered(
        concurrency in 1u32..6,
        queue in 0u32..10,
        calls in prop::collection::vec((0u64..40, prop::option::of(1u64..30)), 1..40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        let (inside_max, refused, ended) = runtime.block_on(async {
            let clock = Clock::real();
            let refusals = Arc::new(Refusals::default());
            let origin = Patient::new(&clock, Duration::from_millis(10));
            let inside_max = Arc::clone(&origin.inside_max);
            let limit = OriginLimit { concurrency, queue };
            let bounded = Bounded::new(origin, Some(limit), Arc::clone(&refusals) as _);
            let key = Key::new("k");
            // Each comes at its time, and some hang up.
            let visits = calls.iter().map(|(after, patience)| {
                let (clock, bounded, key) = (&clock, &bounded, &key);
                async move {
                    clock.sleep(Duration::from_millis(*after)).await;
                    let patience = Duration::from_millis(patience.unwrap_or(10_000));
                    clock.timeout(patience, bounded.load(DataTypeId(0), key)).await
                }
            });
            let ended = futures_util::future::join_all(visits).await;
            // Nobody is left over: all room is free again.
            assert_eq!(bounded.gate.as_ref().map(|gate| gate.room.available_permits()),
                Some(concurrency as usize));
            let refused = refusals.0.load(Ordering::SeqCst);
            (inside_max.load(Ordering::SeqCst), refused, ended)
        });
        prop_assert!(inside_max <= concurrency);
        let busy = ended.iter().filter(|end| matches!(end, Ok(Err(LayerError::Busy(..))))).count();
        prop_assert_eq!(busy, refused);
        prop_assert_eq!(ended.len(), calls.len());
    }
}
