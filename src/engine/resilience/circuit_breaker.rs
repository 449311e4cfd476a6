//! When to leave a failing layer alone: a state machine over (now, outcome).
//!
//! ```text
//!          failures in a row            time is up
//!  closed ───────────────────▶ open ───────────────────▶ half-open
//!    ▲                          ▲                          │   │
//!    │                          └──────── a probe fails ───┘   │
//!    └──────────────────────────────────── the probes succeed ─┘
//! ```
//!
//! Pure: time and outcomes come in, decisions come out. What was asked in an earlier state decides
//! nothing in a later one, however late its outcome comes. (Nygard, "Release It!", 2nd edition,
//! 2018, "Circuit Breaker".)

use std::time::Duration;

use crate::clock::Timestamp;

/// When the circuit opens and how it closes again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerConfig {
    /// So many failures in a row open it.
    pub failures: u32,
    /// For so long it stays open before the layer is tried again.
    pub open_for: Duration,
    /// So many probes try it then, at most so many at once, and all must succeed.
    pub probes: u32,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self {
            failures: 5,
            open_for: Duration::from_secs(1),
            probes: 3,
        }
    }
}

/// A state, for those who watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Circuit {
    /// Calls pass.
    Closed,
    /// Calls fail at once.
    Open,
    /// A few calls pass, to see whether the layer is back.
    HalfOpen,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed { failures: u32 },
    Open { until: Timestamp },
    HalfOpen { under_way: u32, succeeded: u32 },
}

/// The right to make one call. Its outcome is told with it, or it is given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "an unreported probe would take its place for ever"]
pub struct Pass {
    /// The life of the state that it was given in.
    era: u64,
    /// Whether it is one of the few that try.
    pub is_probe: bool,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallOutcome {
    /// The layer answered, be it with an error of its own.
    Answered,
    /// It did not answer.
    Failed,
    /// The caller went away before it was known.
    Abandoned,
}

/// A circuit breaker.
#[derive(Clone, Debug)]
pub struct Breaker {
    config: BreakerConfig,
    state: State,
    /// Grows with every change of state.
    era: u64,
}

impl Breaker {
    /// A closed circuit.
    pub fn new(config: BreakerConfig) -> Self {
        Self {
            config,
            state: State::Closed { failures: 0 },
            era: 0,
        }
    }

    /// The state.
    pub fn circuit(&self) -> Circuit {
        match self.state {
            State::Closed { .. } => Circuit::Closed,
            State::Open { .. } => Circuit::Open,
            State::HalfOpen { .. } => Circuit::HalfOpen,
        }
    }

    /// Whether a call may be made at `now`; `None`: it fails at once.
    pub fn ask(&mut self, now: Timestamp) -> Option<Pass> {
        if let State::Open { until } = self.state
            && now >= until
        {
            self.change(State::HalfOpen {
                under_way: 0,
                succeeded: 0,
            });
        }
        let probes = self.config.probes.max(1);
        match &mut self.state {
            State::Closed { .. } => Some(self.pass(false)),
            State::Open { .. } => None,
            State::HalfOpen {
                under_way,
                succeeded,
            } => {
                if *under_way + *succeeded >= probes {
                    return None;
                }
                *under_way += 1;
                Some(self.pass(true))
            }
        }
    }

    /// The call with `pass` ended at `now`.
    pub fn tell(&mut self, now: Timestamp, pass: Pass, outcome: CallOutcome) {
        if pass.era != self.era {
            return;
        }
        match (&mut self.state, outcome) {
            (State::Closed { failures }, CallOutcome::Answered) => *failures = 0,
            (State::Closed { failures }, CallOutcome::Failed) => {
                *failures += 1;
                if *failures >= self.config.failures.max(1) {
                    self.open(now);
                }
            }
            (State::HalfOpen { .. }, CallOutcome::Failed) => self.open(now),
            (
                State::HalfOpen {
                    under_way,
                    succeeded,
                },
                CallOutcome::Answered,
            ) => {
                *under_way -= 1;
                *succeeded += 1;
                if *succeeded >= self.config.probes.max(1) {
                    self.change(State::Closed { failures: 0 });
                }
            }
            (State::HalfOpen { under_way, .. }, CallOutcome::Abandoned) => *under_way -= 1,
            (State::Closed { .. }, CallOutcome::Abandoned) | (State::Open { .. }, _) => {}
        }
    }

    /// Closes it; calls under way decide nothing any more.
    pub fn reset(&mut self) {
        self.change(State::Closed { failures: 0 });
    }

    fn pass(&self, is_probe: bool) -> Pass {
        Pass {
            era: self.era,
            is_probe,
        }
    }

    fn open(&mut self, now: Timestamp) {
        self.change(State::Open {
            until: now + self.config.open_for,
        });
    }

    fn change(&mut self, state: State) {
        self.state = state;
        self.era += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CONFIG: BreakerConfig = BreakerConfig {
        failures: 3,
        open_for: Duration::from_secs(2),
        probes: 2,
    };

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_unix_nanos(ms * 1_000_000)
    }

    fn call(breaker: &mut Breaker, ms: u64, outcome: CallOutcome) -> bool {
        let Some(pass) = breaker.ask(at(ms)) else {
            return false;
        };
        breaker.tell(at(ms), pass, outcome);
        true
    }

    fn opened() -> Breaker {
        let mut breaker = Breaker::new(CONFIG);
        for _ in 0..3 {
            assert!(call(&mut breaker, 0, CallOutcome::Failed));
        }
        assert_eq!(breaker.circuit(), Circuit::Open);
        breaker
    }

    #[test]
    fn failures_in_a_row_open_it_and_an_answer_between_them_does_not() {
        let mut breaker = Breaker::new(CONFIG);
        for outcome in [
            CallOutcome::Failed,
            CallOutcome::Failed,
            CallOutcome::Answered,
            CallOutcome::Failed,
            CallOutcome::Abandoned,
            CallOutcome::Failed,
        ] {
            assert!(call(&mut breaker, 0, outcome));
        }
        assert_eq!(breaker.circuit(), Circuit::Closed);
        assert!(call(&mut breaker, 0, CallOutcome::Failed));
        assert_eq!(breaker.circuit(), Circuit::Open);
    }

    #[test]
    fn open_it_refuses_until_its_time_is_up_and_then_lets_a_few_probe() {
        let mut breaker = opened();
        assert_eq!(breaker.ask(at(1_999)), None);
        let first = breaker.ask(at(2_000)).expect("a probe");
        let second = breaker.ask(at(2_000)).expect("a probe");
        assert!(first.is_probe && second.is_probe);
        assert_eq!(breaker.ask(at(2_000)), None, "two at once are enough");
        breaker.tell(at(2_001), first, CallOutcome::Answered);
        assert_eq!(breaker.ask(at(2_001)), None, "the other decides");
        breaker.tell(at(2_002), second, CallOutcome::Answered);
        assert_eq!(breaker.circuit(), Circuit::Closed);
    }

    #[test]
    fn a_failed_probe_opens_it_again_for_the_whole_time() {
        let mut breaker = opened();
        assert!(call(&mut breaker, 2_000, CallOutcome::Answered));
        assert!(call(&mut breaker, 2_000, CallOutcome::Failed));
        assert_eq!(breaker.ask(at(3_999)), None);
        assert!(breaker.ask(at(4_000)).is_some());
    }

    #[test]
    fn an_abandoned_probe_gives_its_place_to_another() {
        let mut breaker = opened();
        for _ in 0..10 {
            assert!(call(&mut breaker, 2_000, CallOutcome::Abandoned));
        }
        assert_eq!(breaker.circuit(), Circuit::HalfOpen);
    }

    #[test]
    fn an_outcome_from_an_earlier_state_decides_nothing() {
        let mut breaker = Breaker::new(CONFIG);
        let slow = breaker.ask(at(0)).expect("closed");
        for _ in 0..3 {
            assert!(call(&mut breaker, 0, CallOutcome::Failed));
        }
        breaker.tell(at(1), slow, CallOutcome::Answered);
        assert_eq!(breaker.circuit(), Circuit::Open);
        let probe = breaker.ask(at(2_000)).expect("a probe");
        breaker.tell(at(2_000), slow, CallOutcome::Failed);
        assert_eq!(breaker.circuit(), Circuit::HalfOpen);
        breaker.tell(at(2_000), probe, CallOutcome::Failed);
        breaker.tell(at(2_000), probe, CallOutcome::Answered);
        assert_eq!(breaker.circuit(), Circuit::Open);
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Wait(u64),
        Ask,
        End(usize, CallOutcome),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let outcome = prop_oneof![
            Just(CallOutcome::Answered),
            Just(CallOutcome::Failed),
            Just(CallOutcome::Abandoned)
        ];
        let step = prop_oneof![
            1 => (0u64..1_500).prop_map(Step::Wait),
            3 => Just(Step::Ask),
            3 => (any::<usize>(), outcome).prop_map(|(at, outcome)| Step::End(at, outcome)),
        ];
        prop::collection::vec(step, 0..200)
    }

    proptest! {
        #[test]
        fn whatever_happens_probes_are_bounded_and_it_never_locks_up(steps in steps()) {
            let (mut breaker, mut now) = (Breaker::new(CONFIG), 0);
            let mut under_way: Vec<Pass> = Vec::new();
            for step in steps {
                match step {
                    Step::Wait(ms) => now += ms,
                    Step::Ask => {
                        let before = breaker.circuit();
                        let pass = breaker.ask(at(now));
                        prop_assert!(before != Circuit::Closed || pass.is_some());
                        under_way.extend(pass);
                    }
                    Step::End(which, outcome) if !under_way.is_empty() => {
                        let pass = under_way.swap_remove(which % under_way.len());
                        breaker.tell(at(now), pass, outcome);
                    }
                    Step::End(..) => {}
                }
                let probing = |pass: &&Pass| pass.is_probe && pass.era == breaker.era;
                prop_assert!(under_way.iter().filter(probing).count() <= CONFIG.probes as usize);
            }
            // When all have gone and time has passed, somebody may try again.
            for pass in under_way.drain(..) {
                breaker.tell(at(now), pass, CallOutcome::Abandoned);
            }
            prop_assert!(breaker.ask(at(now) + CONFIG.open_for).is_some());
        }
    }
}
