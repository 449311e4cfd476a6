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

#[cfg(test)]
mod tests {
    use super::*;

    fn began<'f>(flights: &'f Flights, key: &str, version: u64) -> Load<'f> {
        let mut load = flights.join(&Key::new(key), Version(version));
        load.began(Version(version));
        load
    }

    fn counts(flights: &Flights) -> (u64, u64, u64, u64) {
        let stats = flights.stats();
        (
            stats.flights(),
            stats.origin_loads(),
            stats.origin_loads_per_flight_max(),
            stats.flights_with_many_loads(),
        )
    }

    #[test]
    fn loads_that_overlap_are_one_flight_even_in_a_chain() {
        let flights = Flights::default();
        let first = began(&flights, "a", 0);
        let second = began(&flights, "a", 0);
        drop(first);
        let third = began(&flights, "a", 0);
        drop(second);
        assert_eq!(counts(&flights), (0, 0, 0, 0), "it is still in the air");
        drop(third);
        assert_eq!(counts(&flights), (1, 3, 3, 1));
    }

    #[test]
    fn one_load_after_another_and_loads_of_other_keys_are_flights_of_their_own() {
        let flights = Flights::default();
        drop(began(&flights, "a", 0));
        drop(began(&flights, "a", 0));
        let a = began(&flights, "a", 0);
        let b = began(&flights, "b", 0);
        drop((a, b));
        assert_eq!(counts(&flights), (4, 4, 1, 0));
    }

    #[test]
    fn a_load_that_waited_through_a_commit_belongs_to_the_new_version() {
        let flights = Flights::default();
        let old = began(&flights, "a", 0);
        let mut waiting = flights.join(&Key::new("a"), Version(0));
        waiting.began(Version(1));
        drop((old, waiting));
        assert_eq!(counts(&flights), (2, 2, 1, 0));
    }

    #[test]
    fn a_load_that_never_ran_counts_for_nothing_and_nothing_is_kept() {
        let flights = Flights::default();
        drop(flights.join(&Key::new("a"), Version(0)));
        let ran = began(&flights, "b", 0);
        drop(flights.join(&Key::new("b"), Version(0)));
        drop(ran);
        assert_eq!(counts(&flights), (1, 1, 1, 0));
        assert!(flights.state.lock().in_the_air.is_empty());
    }
}
