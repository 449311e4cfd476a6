//! Counts what the engine says of write-behind and of its protections; a part of the engine
//! observer, which keeps it by phase.

use std::time::Duration;

use crate::engine::event::Event;
use crate::engine::resilience::circuit_breaker::Circuit;
use crate::units::thousands;

/// What was done so that nothing is lost and nothing breaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Durability {
    /// Writes of write-behind that were accepted, into the queue or past it.
    pub writes_accepted: u64,
    /// Writes that found the queue full.
    pub writes_queue_full: u64,
    /// Writes that were delivered again.
    pub writes_redelivered: u64,
    /// Writes that went to the dead letters.
    pub writes_buried: u64,
    /// Writes that vanished from the queue, as far as it was noticed.
    pub writes_lost: u64,
    /// The most writes that waited at once.
    pub writes_waiting_max: u64,
    /// The longest that the oldest waiting write had waited.
    pub oldest_waiting_max: Duration,
    /// The most writes in the dead letters.
    pub dead_letters_max: u64,
    /// How often a look at the queue found its store close to evicting it.
    pub queue_at_risk: u64,
    /// How often a circuit opened.
    pub circuits_opened: u64,
    /// How often a circuit closed again.
    pub circuits_closed: u64,
    /// Keys whose missed invalidations were made up for.
    pub invalidations_replayed: u64,
    /// Keys whose missed invalidations were too many to remember.
    pub invalidations_forgotten: u64,
    /// Calls from which the origin was protected.
    pub origin_calls_refused: u64,
    /// Readers that were answered stale because the origin was slow.
    pub soft_timeouts: u64,
}

impl Durability {
    /// Counts `event`, if it is of this kind.
    pub(super) fn count(&mut self, event: &Event<'_>) {
        match *event {
            Event::WriteAccepted { .. } => self.writes_accepted += 1,
            Event::WriteBehindFull { .. } => self.writes_queue_full += 1,
            Event::WriteBehindRedelivered { writes } => self.writes_redelivered += writes as u64,
            Event::WriteBehindBuried { .. } => self.writes_buried += 1,
            Event::WriteBehindLost { writes } => self.writes_lost += writes,
            Event::WriteBehindWaiting { waiting } => {
                self.writes_waiting_max = self.writes_waiting_max.max(waiting.writes);
                self.oldest_waiting_max = self.oldest_waiting_max.max(waiting.oldest);
                self.dead_letters_max = self.dead_letters_max.max(waiting.dead_letters);
                self.queue_at_risk += u64::from(waiting.may_be_evicted);
            }
            Event::CircuitChanged { circuit, .. } => match circuit {
                Circuit::Open => self.circuits_opened += 1,
                Circuit::Closed => self.circuits_closed += 1,
                Circuit::HalfOpen => {}
            },
            Event::InvalidationsReplayed { keys } => self.invalidations_replayed += keys as u64,
            Event::InvalidationsForgotten { keys } => self.invalidations_forgotten += keys as u64,
            Event::OriginCallRefused => self.origin_calls_refused += 1,
            Event::SoftTimeout { .. } => self.soft_timeouts += 1,
            _ => {}
        }
    }

    /// What a reader of the run should know, each with what to do about it.
    pub fn warnings(&self) -> Vec<String> {
        let counted = [
            (
                self.writes_lost,
                "writes of write-behind vanished from the queue before they were committed; give \
                 the queue a Redis of its own with noeviction, and persistence",
            ),
            (
                self.queue_at_risk,
                "looks at the queue of write-behind found its Redis about to evict it: \
                 `policy: allkeys-…` evicts queues as it does cache entries; write noeviction or a \
                 volatile policy, or give it more `maxmemory`",
            ),
            (
                self.writes_buried,
                "writes of write-behind went to the dead letters; look at their reasons there \
                 (the stream …write-behind:dead) and put them right",
            ),
            (
                self.writes_queue_full,
                "writes found the queue of write-behind full; give the database more connections \
                 or `write_behind` a larger `batch`, or a larger `queue_max` if it is a peak",
            ),
            (
                self.circuits_opened,
                "openings of a circuit kept instances from the remote layer for a while; see how \
                 it failed, and what it was busy with",
            ),
            (
                self.invalidations_forgotten,
                "invalidations were missed by the remote layer and were too many to make up for; \
                 what it has of these keys may be stale until its TTL ends",
            ),
            (
                self.origin_calls_refused,
                "calls were refused to protect the database; give `resilience.origin` more \
                 `concurrency` or `queue` if the database can bear it",
            ),
        ];
        let told = |(count, text): (u64, &str)| format!("{} {text}", thousands(count));
        let some = counted.into_iter().filter(|(count, _)| *count > 0);
        some.map(told).collect()
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.writes_accepted += other.writes_accepted;
        self.writes_queue_full += other.writes_queue_full;
        self.writes_redelivered += other.writes_redelivered;
        self.writes_buried += other.writes_buried;
        self.writes_lost += other.writes_lost;
        self.writes_waiting_max = self.writes_waiting_max.max(other.writes_waiting_max);
        self.oldest_waiting_max = self.oldest_waiting_max.max(other.oldest_waiting_max);
        self.dead_letters_max = self.dead_letters_max.max(other.dead_letters_max);
        self.queue_at_risk += other.queue_at_risk;
        self.circuits_opened += other.circuits_opened;
        self.circuits_closed += other.circuits_closed;
        self.invalidations_replayed += other.invalidations_replayed;
        self.invalidations_forgotten += other.invalidations_forgotten;
        self.origin_calls_refused += other.origin_calls_refused;
        self.soft_timeouts += other.soft_timeouts;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::queue::Waiting;

    #[test]
    fn counts_are_summed_and_gauges_keep_their_highest() {
        let waiting = |writes, seconds| Event::WriteBehindWaiting {
            waiting: Waiting {
                writes,
                oldest: Duration::from_secs(seconds),
                dead_letters: 1,
                may_be_evicted: writes > 5,
            },
        };
        let circuit = |circuit| Event::CircuitChanged {
            circuit,
            aside: false,
        };
        let (mut one, mut two) = (Durability::default(), Durability::default());
        one.count(&waiting(9, 1));
        one.count(&circuit(Circuit::Open));
        one.count(&circuit(Circuit::HalfOpen));
        one.count(&circuit(Circuit::Closed));
        two.count(&waiting(3, 4));
        two.count(&Event::OriginCallRefused);
        two.count(&Event::WriteBehindRedelivered { writes: 7 });
        one.add(&two);
        let wanted = Durability {
            writes_redelivered: 7,
            writes_waiting_max: 9,
            oldest_waiting_max: Duration::from_secs(4),
            dead_letters_max: 1,
            queue_at_risk: 1,
            circuits_opened: 1,
            circuits_closed: 1,
            origin_calls_refused: 1,
            ..Durability::default()
        };
        assert_eq!(one, wanted);
    }

    #[test]
    fn what_went_wrong_is_told_with_what_to_do() {
        assert_eq!(Durability::default().warnings(), [""; 0]);
        let told = Durability {
            writes_accepted: 5_000,
            writes_redelivered: 7,
            writes_waiting_max: 900,
            soft_timeouts: 3,
            ..Durability::default()
        };
        assert_eq!(told.warnings(), [""; 0], "what works as it should");
        let told = Durability {
            writes_lost: 1_200,
            queue_at_risk: 4,
            circuits_opened: 2,
            ..told
        };
        insta::assert_snapshot!(told.warnings().join("\n"), @"
        1,200 writes of write-behind vanished from the queue before they were committed; give the queue a Redis of its own with noeviction, and persistence
        4 looks at the queue of write-behind found its Redis about to evict it: `policy: allkeys-…` evicts queues as it does cache entries; write noeviction or a volatile policy, or give it more `maxmemory`
        2 openings of a circuit kept instances from the remote layer for a while; see how it failed, and what it was busy with
        ");
    }
}
