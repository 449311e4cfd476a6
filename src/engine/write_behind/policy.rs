//! The limits of write-behind, and what is decided by them. Pure.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::engine::layer::LayerError;

/// What happens to a write when the queue is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnFull {
    /// The origin commits it at once: the writer waits for the origin.
    #[default]
    Sync,
    /// It is refused, for the writer to come back later.
    Refuse,
}

/// The limits of write-behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteBehind {
    /// The most writes that may wait.
    pub queue_max: u64,
    /// The most that go into one transaction of the origin.
    pub batch: usize,
    /// A write that was delivered so often and never committed goes to the dead letters. At least
    /// 2, or the first crash of a consumer would bury whatever it held.
    pub max_deliveries: u32,
    /// A consumer that was not heard of for so long has died; others take over what it held.
    pub claim_after: Duration,
    /// What happens to a write when the queue is full.
    pub on_full: OnFull,
}

impl Default for WriteBehind {
    fn default() -> Self {
        Self {
            queue_max: 100_000,
            batch: 100,
            max_deliveries: 5,
            claim_after: Duration::from_secs(30),
            on_full: OnFull::Sync,
        }
    }
}

impl WriteBehind {
    /// A write that was delivered so often is suspected of killing its consumers, and comes alone:
    /// then its neighbours get through.
    pub fn alone_from(&self) -> u32 {
        self.max_deliveries.div_ceil(2)
    }

    /// How often a consumer says that it lives: often enough to be believed.
    pub fn beat(&self) -> Duration {
        (self.claim_after / 3).min(Duration::from_secs(1))
    }
}

/// What is to be done about a write before it is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// Commit it.
    Try,
    /// Bury it: every consumer that tried it died.
    Bury,
}

/// What to do with a write that is delivered for the `deliveries`-th time.
pub(super) fn on_arrival(deliveries: u32, max_deliveries: u32) -> Arrival {
    if deliveries > max_deliveries {
        Arrival::Bury
    } else {
        Arrival::Try
    }
}

/// What is to be done after the origin did not commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// Hold on to the writes and try again: the origin is away, and nothing is wrong with them.
    Wait,
    /// One of several is not wanted: try each alone.
    Split,
    /// It is not wanted now: it stays in the queue and is delivered again.
    Leave,
    /// It was not wanted too often.
    Bury,
}

/// What to do after `error`, when `writes` were tried together of which one was delivered
/// `deliveries` times. Only an answer of the origin speaks against a write: an outage, however
/// long, buries nothing.
pub(super) fn on_failure(
    error: &LayerError,
    writes: usize,
    deliveries: u32,
    max_deliveries: u32,
) -> Failure {
    match error {
        LayerError::TimedOut(_) | LayerError::Unreachable(..) | LayerError::Busy(..) => {
            Failure::Wait
        }
        LayerError::Refused(..) | LayerError::Unsupported(..) => match writes {
            2.. => Failure::Split,
            _ if deliveries >= max_deliveries => Failure::Bury,
            _ => Failure::Leave,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_defaults_fit_together() {
        let limits = WriteBehind::default();
        assert!(limits.max_deliveries >= 2 && limits.alone_from() < limits.max_deliveries);
        assert!(limits.beat() * 2 < limits.claim_after);
    }

    proptest! {
        #[test]
        fn an_outage_buries_nothing(writes in 1usize..200, deliveries in 1u32..50, max in 2u32..10) {
            for outage in [
                LayerError::TimedOut("db"),
                LayerError::Unreachable("db", "gone".to_owned()),
                LayerError::Busy("db", "full".to_owned()),
            ] {
                prop_assert_eq!(on_failure(&outage, writes, deliveries, max), Failure::Wait);
            }
        }

        #[test]
        fn a_refused_write_is_tried_alone_and_buried_after_its_last_delivery(
            deliveries in 1u32..50,
            max in 2u32..10,
        ) {
            let refused = LayerError::Refused("db", "not wanted".to_owned());
            prop_assert_eq!(on_failure(&refused, 2, deliveries, max), Failure::Split);
            let alone = on_failure(&refused, 1, deliveries, max);
            let wanted = if deliveries >= max { Failure::Bury } else { Failure::Leave };
            prop_assert_eq!(alone, wanted);
            // Whoever lets it live gets it again, until it is buried one way or the other.
            let again = on_arrival(deliveries + 1, max);
            prop_assert!(alone == Failure::Bury || again == Arrival::Try);
        }

        #[test]
        fn a_crash_alone_never_buries_what_came_in_company(max in 2u32..1_000) {
            let limits = WriteBehind { max_deliveries: max, ..WriteBehind::default() };
            // In company it was delivered fewer times than `alone_from`, and once more now.
            prop_assert_eq!(on_arrival(limits.alone_from(), max), Arrival::Try);
        }
    }
}
