//! Every event is counted, in its phase.

use super::*;
use crate::clock::Timestamp;
use crate::engine::data_type::Key;
use crate::engine::invalidation::markers::Scope;
use crate::engine::layer::LayerError;
use crate::measure::PhaseKind;
use std::time::Duration;

const A: DataTypeId = DataTypeId(0);
const B: DataTypeId = DataTypeId(1);

fn schedule() -> Arc<Schedule> {
    let second = Duration::from_secs(1);
    Arc::new(Schedule::new(
        Timestamp::EPOCH,
        [
            ("warm-up".to_owned(), PhaseKind::WarmUp, second),
            ("steady".to_owned(), PhaseKind::Measure, second),
        ],
    ))
}

fn lookup(data_type: DataTypeId, layer: Layer, found: bool, us: u64) -> Event<'static> {
    Event::Lookup {
        data_type,
        layer,
        found,
        took: Duration::from_micros(us),
    }
}

#[test]
fn lookups_are_counted_by_phase_layer_and_data_type() {
    let (one, two) = (EngineObserver::new(), EngineObserver::new());
    one.observe(&lookup(A, Layer::Local, false, 1));
    one.enter_phase(PhaseId(0));
    one.observe(&lookup(A, Layer::Local, false, 1));
    for observer in [&one, &two] {
        observer.enter_phase(PhaseId(1));
        observer.observe(&lookup(A, Layer::Local, true, 1));
        observer.observe(&lookup(B, Layer::Local, false, 2));
        observer.observe(&lookup(B, Layer::Remote, true, 300));
        observer.observe(&Event::FillRefused {
            data_type: B,
            layer: Layer::Remote,
        });
    }
    two.leave_phases();
    two.observe(&lookup(A, Layer::Local, true, 1));

    let all = EngineMeasurements::collect([&one, &two], schedule());
    let local = all.layer(Layer::Local, Phases::Measured);
    assert_eq!((local.lookups, local.found, local.fills_refused), (4, 2, 0));
    let remote = all.layer(Layer::Remote, Phases::Measured);
    assert_eq!(
        (remote.lookups, remote.found, remote.fills_refused),
        (2, 2, 2)
    );
    assert_eq!(all.layer(Layer::Edge, Phases::All), LayerTotals::default());
    assert_eq!(all.layer(Layer::Local, Phases::All).lookups, 7);
    assert_eq!(all.layer(Layer::Local, Phases::Only(PhaseId(0))).lookups, 1);
    assert_eq!(
        all.asked_and_found(B, Layer::Local, Phases::Measured),
        (2, 0)
    );
    let service_time = all.service_time(B, Layer::Remote, Phases::Measured);
    assert_eq!(service_time.count(), 2);
    assert!(service_time.max() >= Duration::from_micros(300));
}

#[test]
fn everything_else_is_counted_too() {
    let observer = EngineObserver::new();
    observer.enter_phase(PhaseId(1));
    let key = Key::new("a:1");
    for loaded_from_origin in [true, false] {
        observer.observe(&Event::FlightEnded {
            data_type: A,
            key: &key,
            followers: 3,
            loaded_from_origin,
        });
    }
    observer.observe(&Event::InvalidationSent { keys: 2 });
    observer.observe(&Event::InvalidationReceived { keys: 5 });
    observer.observe(&Event::LocalFlushed { entries: 70 });
    observer.observe(&Event::LocalRevalidated {
        kept: 5,
        dropped: 3,
    });
    observer.observe(&Event::NoticesMissed {
        publisher: 1,
        missed: 4,
    });
    observer.observe(&Event::SubscriptionSilent {
        silent_for: Duration::from_secs(3),
    });
    let scope = &Scope::Everything;
    observer.observe(&Event::Outdated { scope });
    observer.observe(&Event::Swept { scope, keys: 6 });
    observer.observe(&Event::WriteBehindCommitted { writes: 11 });
    let all = EngineMeasurements::collect([&observer], schedule());
    let wanted = Happened {
        flights: 2,
        flights_to_origin: 1,
        followers: 6,
        invalidations_sent: 2,
        invalidations_received: 5,
        flushes: 1,
        flushed_entries: 70,
        revalidations: 1,
        revalidated_away: 3,
        notices_missed: 4,
        silent_subscriptions: 1,
        outdated: 1,
        sweeps: 1,
        swept_keys: 6,
        write_behind_committed: 11,
        ..Happened::default()
    };
    assert_eq!(all.happened(Phases::Measured), wanted);
    assert_eq!(all.happened(Phases::Only(PhaseId(0))), Happened::default());
}

#[test]
fn failures_are_kept_by_text_and_bounded() {
    let observer = EngineObserver::new();
    observer.enter_phase(PhaseId(1));
    let fail = |n: usize| {
        let error = LayerError::Refused("redis", format!("error {n}"));
        observer.observe(&Event::LayerFailed {
            layer: Layer::Remote,
            error: &error,
        });
    };
    (0..FAILURE_TEXTS_MAX + 10).for_each(fail);
    fail(3);
    let all = EngineMeasurements::collect([&observer], schedule());
    let failures = all.failures(Layer::Remote, Phases::Measured);
    assert_eq!(failures.len(), FAILURE_TEXTS_MAX + 1);
    assert_eq!(failures[OTHER_FAILURES], 10);
    assert_eq!(failures["redis answered with an error: error 3"], 2);
    let totals = all.layer(Layer::Remote, Phases::Measured);
    assert_eq!(totals.failures, FAILURE_TEXTS_MAX as u64 + 11);
}
