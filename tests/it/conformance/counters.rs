//! Counters: as many as may, whoever asks.

use std::time::Duration;

use cachestorm::engine::data_type::{Key, Limit, LimitAlgorithm};
use cachestorm::engine::layer::Remote;

use super::Pair;

pub(super) async fn counts(remote: &impl Remote) {
    let limit = Limit {
        requests: 3,
        window: Duration::from_mins(10),
        algorithm: LimitAlgorithm::FixedWindow,
    };
    for key in ["count:1", "count:2"] {
        let mut remaining = Vec::new();
        for _ in 0..3 {
            let admission = remote.admit(&Key::new(key), limit).await.expect("counted");
            assert!(admission.admitted);
            assert_eq!(admission.retry_after, Duration::ZERO);
            remaining.push(admission.remaining);
        }
        assert_eq!(remaining, [2, 1, 0]);
        let refused = remote.admit(&Key::new(key), limit).await.expect("counted");
        assert!(!refused.admitted);
        let retry_after = refused.retry_after;
        assert!(
            retry_after > Duration::ZERO && retry_after <= Duration::from_mins(21),
            "{retry_after:?}"
        );
    }
}

/// Every algorithm, asked by two instances in turn until their windows are full.
pub(super) async fn admit<R: Remote>(pair: &Pair<R>) {
    let Pair { one, other, .. } = pair;
    for (nth, algorithm) in [
        LimitAlgorithm::SlidingBuckets,
        LimitAlgorithm::SlidingLog,
        LimitAlgorithm::Gcra { burst: 5 },
        LimitAlgorithm::TwoBuckets,
        LimitAlgorithm::FixedWindow,
    ]
    .into_iter()
    .enumerate()
    {
        let limit = Limit {
            requests: 5,
            // So long that no two calls meet its border, and that nothing is given back meanwhile.
            window: Duration::from_hours(24 * 365),
            algorithm,
        };
        for user in 0..10 {
            let key = Key::new(format!("ratelimit:{nth}:{user}"));
            let mut left = Vec::new();
            let mut refused = 0;
            for _ in 0..4 {
                for instance in [one, other] {
                    let decision = instance.admit(&key, limit).await.expect("a decision");
                    if decision.admitted {
                        assert_eq!(decision.retry_after, Duration::ZERO);
                        left.push(decision.remaining);
                    } else {
                        assert!(decision.retry_after > Duration::ZERO);
                        refused += 1;
                    }
                }
            }
            assert_eq!((left, refused), (vec![4, 3, 2, 1, 0], 3), "{algorithm:?}");
        }
    }
}
