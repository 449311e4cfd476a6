//! Stampedes, seen from the database: loads of one version of one key that overlap in time are
//! one flight, and a flight should need one load.
//!
//! Used by the database alone. Only flights in the air are kept, so memory is bounded by the
//! loads that are under way.

use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use super::stats::FlightStats;
use crate::engine::data_type::Key;
use crate::engine::layer::Version;

#[derive(Default)]
pub(super) struct Flights {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    in_the_air: FxHashMap<(Key, Version), Flight>,
    ended: FlightStats,
}

#[derive(Default)]
struct Flight {
    /// Loads that are under way or wait for a connection.
    present: u64,
    /// Loads that ran or run.
    loads: u64,
}

/// One load's place in its flight; left when dropped.
pub(super) struct Load<'f> {
    flights: &'f Flights,
    flight: (Key, Version),
}

impl Flights {
    /// A load of `key` wants to begin; `version` is what it would see now.
    pub(super) fn join(&self, key: &Key, version: Version) -> Load<'_> {
        let flight = (key.clone(), version);
        self.state.lock().enter(&flight);
        Load {
            flights: self,
            flight,
        }
    }

    /// The flights that have ended.
    pub(super) fn stats(&self) -> FlightStats {
        self.state.lock().ended.clone()
    }

    #[cfg(test)]
    pub(super) fn in_the_air(&self) -> usize {
        self.state.lock().in_the_air.len()
    }
}

impl Load<'_> {
    /// The load has its connection and sees `version`: it counts from now on. If a commit came
    /// while it waited, it belongs to the flight of the new version: after a write, a new load
    /// is needed.
    pub(super) fn began(&mut self, version: Version) {
        let mut state = self.flights.state.lock();
        if self.flight.1 != version {
            state.leave(&self.flight);
            self.flight.1 = version;
            state.enter(&self.flight);
        }
        if let Some(flight) = state.in_the_air.get_mut(&self.flight) {
            flight.loads += 1;
        }
    }
}

impl Drop for Load<'_> {
    fn drop(&mut self) {
        self.flights.state.lock().leave(&self.flight);
    }
}

impl State {
    fn enter(&mut self, flight: &(Key, Version)) {
        self.in_the_air.entry(flight.clone()).or_default().present += 1;
    }

    fn leave(&mut self, id: &(Key, Version)) {
        let Some(flight) = self.in_the_air.get_mut(id) else {
            return;
        };
        flight.present -= 1;
        if flight.present == 0 {
            let loads = flight.loads;
            self.in_the_air.remove(id);
            self.ended.record(loads);
        }
    }
}
