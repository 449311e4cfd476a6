//! What is known of one rate: a vote by each probe, and the majority.

use super::Showing;

/// A rate and what its probes showed.
#[derive(Clone, Debug)]
pub(super) struct Tried {
    /// Per second.
    pub(super) rate: f64,
    holds: u32,
    fails: u32,
    unclear: u32,
    generator: u32,
    /// How many votes decide.
    wanted: u32,
    /// Whether it was probed again because of a contradiction.
    again: bool,
}

impl Tried {
    pub(super) fn new(rate: f64, wanted: u32) -> Self {
        Self {
            rate,
            holds: 0,
            fails: 0,
            unclear: 0,
            generator: 0,
            wanted,
            again: false,
        }
    }

    pub(super) fn count(&mut self, showing: Showing) {
        *match showing {
            Showing::Holds => &mut self.holds,
            Showing::Fails => &mut self.fails,
            Showing::Unclear => &mut self.unclear,
            Showing::Generator => &mut self.generator,
        } += 1;
    }

    pub(super) fn votes(&self) -> u32 {
        self.holds + self.fails + self.unclear + self.generator
    }

    /// Whether no further vote can change whether it holds.
    pub(super) fn is_decided(&self) -> bool {
        let against = self.votes() - self.holds;
        self.holds * 2 > self.wanted || against * 2 >= self.wanted
    }

    /// How it looks so far. It holds if most say so; why it does not is what most of the others say.
    pub(super) fn standing(&self) -> Showing {
        if self.holds * 2 > self.votes() {
            return Showing::Holds;
        }
        // Of equals the first: what failed is known of the system, what is unclear is known of nobody.
        if self.fails >= self.generator.max(self.unclear) {
            Showing::Fails
        } else if self.generator >= self.unclear {
            Showing::Generator
        } else {
            Showing::Unclear
        }
    }

    /// What is to be probed until it is decided: itself, some times.
    pub(super) fn missing(&self) -> impl Iterator<Item = f64> + use<> {
        let missing = if self.is_decided() {
            0
        } else {
            self.wanted - self.votes()
        };
        std::iter::repeat_n(self.rate, missing as usize)
    }

    /// Asks for more votes, once.
    pub(super) fn doubt(&mut self) {
        if !std::mem::replace(&mut self.again, true) {
            self.wanted = self.wanted * 2 - 1;
        }
    }
}
