//! Who arrives in one lane, in order, and who of them is due: the queue of an open loop.
//!
//! Pure: knows neither waits nor places. Filled by the sources of arrivals, emptied by dispatch.

use std::iter::Peekable;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::workload::user::User;
use crate::workload::{Request, Step, UserKindId};

/// What arrives in one lane, in order.
pub(super) type LaneArrivals = Box<dyn Iterator<Item = Arrival> + Send>;

/// What arrives.
#[derive(Debug)]
pub(super) struct Arrival {
    /// When it is due; `None`: as soon as there is a place.
    pub(super) due: Option<Timestamp>,
    /// Who comes: asks what it asks, and goes.
    pub(super) visitor: Visitor,
}

/// Who comes with one arrival.
#[derive(Debug)]
pub(super) enum Visitor {
    /// One that does what users do.
    User(User),
    /// One request that was recorded before.
    Recorded {
        /// What is asked; `None`: it has been.
        request: Option<Request>,
        /// Its number in the trace.
        number: u64,
    },
}

impl Visitor {
    /// Its next step is due at `moment`, counted from the run's start.
    pub(super) fn at(&mut self, moment: Duration) {
        match self {
            Self::User(user) => user.at(moment),
            Self::Recorded { .. } => {}
        }
    }

    pub(super) fn next(&mut self) -> Step {
        match self {
            Self::User(user) => user.next(),
            Self::Recorded { request, .. } => request.take().map_or(Step::End, Step::Request),
        }
    }

    pub(super) fn number(&self) -> u64 {
        match self {
            Self::User(user) => user.index(),
            Self::Recorded { number, .. } => *number,
        }
    }

    /// Of which kind it is; of the first if nobody knows.
    pub(super) fn user_kind(&self) -> UserKindId {
        match self {
            Self::User(user) => user.kind(),
            Self::Recorded { .. } => UserKindId::default(),
        }
    }

    pub(super) fn requests(&self) -> u64 {
        match self {
            Self::User(user) => user.requests(),
            Self::Recorded { .. } => 1,
        }
    }
}

/// Arrivals that nobody has taken yet.
pub(super) struct Line {
    arrivals: Peekable<LaneArrivals>,
    /// When a schedule ends, those end that have no moment of their own.
    end: Timestamp,
    /// Who is due has to wait for a place.
    blocked: bool,
    /// Until when the last one waited for a place: what was due before waited with it.
    blocked_until: Timestamp,
}

/// What there is to do about arrivals.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Prospect {
    /// One is due.
    Due,
    /// The next one is due then.
    At(Timestamp),
    /// There are no more.
    Over,
}

impl Line {
    pub(super) fn new(arrivals: LaneArrivals, end: Timestamp) -> Self {
        Self {
            arrivals: arrivals.peekable(),
            end,
            blocked: false,
            blocked_until: Timestamp::EPOCH,
        }
    }

    pub(super) fn prospect(&mut self, now: Timestamp) -> Prospect {
        match self.arrivals.peek().map(|next| next.due) {
            None => Prospect::Over,
            Some(None) if now >= self.end => Prospect::Over,
            Some(Some(due)) if due > now => Prospect::At(due),
            Some(_) => Prospect::Due,
        }
    }

    /// The next one, if it is due, with the moment at which it was, and how long it had to wait for a
    /// place.
    pub(super) fn take(&mut self, now: Timestamp) -> Option<(Visitor, Timestamp, Duration)> {
        if self.prospect(now) != Prospect::Due {
            return None;
        }
        if self.blocked {
            self.blocked_until = now;
        }
        let next = self.arrivals.next()?;
        let due = next.due.unwrap_or(now);
        Some((next.visitor, due, self.blocked_until.since(due)))
    }

    /// Whoever is due waits for a place from now on.
    pub(super) fn block(&mut self) {
        self.blocked = true;
    }

    /// There is a place again.
    pub(super) fn unblock(&mut self, now: Timestamp) {
        if self.prospect(now) == Prospect::Due {
            self.blocked_until = now;
        }
        self.blocked = false;
    }

    /// Nobody else is let in.
    pub(super) fn close(&mut self) {
        let none: LaneArrivals = Box::new(std::iter::empty());
        self.arrivals = none.peekable();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const END: Timestamp = Timestamp::from_unix_nanos(10_000_000_000);

    fn at(ms: u64) -> Timestamp {
        Timestamp::EPOCH + Duration::from_millis(ms)
    }

    fn line(due_ms: impl IntoIterator<Item = Option<u64>>) -> Line {
        let arrivals: Vec<Arrival> = (0..)
            .zip(due_ms)
            .map(|(number, due)| Arrival {
                due: due.map(at),
                visitor: Visitor::Recorded {
                    request: None,
                    number,
                },
            })
            .collect();
        Line::new(Box::new(arrivals.into_iter()), END)
    }

    /// Who is taken at `ms`, when it was due, and how long it waited for a place.
    fn taken(line: &mut Line, ms: u64) -> Option<(u64, Timestamp, Duration)> {
        let (visitor, due, waited) = line.take(at(ms))?;
        Some((visitor.number(), due, waited))
    }

    #[test]
    fn all_are_taken_in_order_and_none_before_it_is_due() {
        let mut line = line([Some(1), Some(1), Some(5)]);
        assert_eq!(line.prospect(at(0)), Prospect::At(at(1)));
        assert_eq!(taken(&mut line, 0), None);
        assert_eq!(taken(&mut line, 3), Some((0, at(1), Duration::ZERO)));
        assert_eq!(line.prospect(at(3)), Prospect::Due);
        assert_eq!(taken(&mut line, 4), Some((1, at(1), Duration::ZERO)));
        assert_eq!(line.prospect(at(4)), Prospect::At(at(5)));
        assert_eq!(taken(&mut line, 5), Some((2, at(5), Duration::ZERO)));
        assert_eq!(line.prospect(at(5)), Prospect::Over);
    }

    /// What was due while somebody waited for a place waited with it; the rest of a delay is ours.
    #[test]
    fn waits_for_a_place_are_told_from_the_lines_own_delay() {
        let ms = Duration::from_millis;
        let mut line = line([Some(0), Some(2), Some(4), Some(9)]);
        line.block();
        assert_eq!(taken(&mut line, 3), Some((0, at(0), ms(3))));
        line.unblock(at(5));
        // Taken at 6: for 3 ms there was no place, the last one is a delay.
        assert_eq!(taken(&mut line, 6), Some((1, at(2), ms(3))));
        assert_eq!(taken(&mut line, 7), Some((2, at(4), ms(1))));
        assert_eq!(taken(&mut line, 20), Some((3, at(9), Duration::ZERO)));
    }

    #[test]
    fn a_place_that_nobody_needs_ends_no_wait() {
        let mut line = line([Some(10)]);
        line.block();
        line.unblock(at(5));
        assert_eq!(taken(&mut line, 12), Some((0, at(10), Duration::ZERO)));
    }

    #[test]
    fn those_without_a_moment_are_due_until_the_end() {
        let mut line = line([None, None]);
        assert_eq!(taken(&mut line, 7), Some((0, at(7), Duration::ZERO)));
        assert_eq!(line.prospect(END), Prospect::Over);
        assert_eq!(line.take(END).map(|(_, due, _)| due), None);
    }

    #[test]
    fn nobody_is_let_in_any_more() {
        let mut line = line([Some(1), None]);
        line.close();
        assert_eq!(line.prospect(at(2)), Prospect::Over);
        assert_eq!(taken(&mut line, 2), None);
    }
}
