//! What the database counted: queries, connections, times and flights.
//!
//! Everything is cumulative; a phase is the difference of two readings
//! ([`DatabaseStats::since`]), except the peak of connections, which is since the last reset.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use parking_lot::Mutex;

/// One reading of the database's counters.
#[derive(Clone, Debug, PartialEq)]
pub struct DatabaseStats {
    /// By table, in the order of the policy table.
    pub tables: Vec<TableStats>,
    /// Connections in use at the moment of the reading.
    pub connections_in_use: u32,
    /// The most connections in use at once since the peak was last reset.
    pub peak_connections: u32,
    /// Queries that got no connection in time and did not run.
    pub timeouts: u64,
    /// How long queries waited for a connection, those that got none included.
    pub wait_time_us: Histogram<u64>,
    /// How long queries that ran to their end then took.
    pub service_time_us: Histogram<u64>,
    /// Loads that overlapped, and those that did not.
    pub flights: FlightStats,
    /// The database's own cache of results; `None` without one.
    pub query_cache: Option<QueryCacheStats>,
}

/// What the database's own cache of results did. Its hits are no queries that ran.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueryCacheStats {
    /// Loads that it answered.
    pub hits: u64,
    /// Loads that it did not.
    pub misses: u64,
    /// Results thrown away because their table was written.
    pub invalidated: u64,
    /// Results thrown away for want of room.
    pub evictions: u64,
    /// Results held at the moment of the reading.
    pub entries: u64,
}

impl QueryCacheStats {
    fn since(self, earlier: Self) -> Self {
        Self {
            hits: self.hits.saturating_sub(earlier.hits),
            misses: self.misses.saturating_sub(earlier.misses),
            invalidated: self.invalidated.saturating_sub(earlier.invalidated),
            evictions: self.evictions.saturating_sub(earlier.evictions),
            entries: self.entries,
        }
    }
}

/// Queries that got a connection and ran, even if nobody waited for their end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableStats {
    /// Loads.
    pub reads: u64,
    /// Stores; a batch counts once for each table in it.
    pub writes: u64,
}

/// Flights that have ended, by the number of loads in them. A flight is a time in which loads of
/// one version of one key overlapped, or a single load.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlightStats {
    flights_by_loads: BTreeMap<u64, u64>,
}

impl DatabaseStats {
    /// All queries that ran.
    pub fn queries(&self) -> u64 {
        self.tables.iter().map(TableStats::queries).sum()
    }

    /// What happened from `earlier`, a reading of the same database, until this one. The gauges
    /// (connections in use and their peak) stay those of this reading.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let none = TableStats::default();
        let earlier_tables = earlier.tables.iter().chain(std::iter::repeat(&none));
        Self {
            tables: self
                .tables
                .iter()
                .zip(earlier_tables)
                .map(|(now, then)| TableStats {
                    reads: now.reads.saturating_sub(then.reads),
                    writes: now.writes.saturating_sub(then.writes),
                })
                .collect(),
            connections_in_use: self.connections_in_use,
            peak_connections: self.peak_connections,
            timeouts: self.timeouts.saturating_sub(earlier.timeouts),
            wait_time_us: difference(&self.wait_time_us, &earlier.wait_time_us),
            service_time_us: difference(&self.service_time_us, &earlier.service_time_us),
            flights: self.flights.since(&earlier.flights),
            query_cache: self
                .query_cache
                .map(|now| now.since(earlier.query_cache.unwrap_or_default())),
        }
    }
}

impl TableStats {
    /// Reads and writes.
    pub fn queries(&self) -> u64 {
        self.reads + self.writes
    }
}

impl FlightStats {
    /// How many flights there were.
    pub fn flights(&self) -> u64 {
        self.flights_by_loads.values().sum()
    }

    /// How many loads were in them; equal to the flights if there was no stampede.
    pub fn origin_loads(&self) -> u64 {
        self.flights_by_loads
            .iter()
            .map(|(loads, flights)| loads * flights)
            .sum()
    }

    /// The most loads in one flight; 0 without flights.
    pub fn origin_loads_per_flight_max(&self) -> u64 {
        self.flights_by_loads
            .keys()
            .next_back()
            .copied()
            .unwrap_or(0)
    }

    /// How many flights were stampedes: had more than one load.
    pub fn flights_with_many_loads(&self) -> u64 {
        self.flights_by_loads
            .range(2..)
            .map(|(_, flights)| flights)
            .sum()
    }

    /// A flight with `loads` ended; one whose loads never ran is none.
    pub(super) fn record(&mut self, loads: u64) {
        if loads > 0 {
            *self.flights_by_loads.entry(loads).or_default() += 1;
        }
    }

    pub(super) fn add(&mut self, other: &Self) {
        for (loads, flights) in &other.flights_by_loads {
            *self.flights_by_loads.entry(*loads).or_default() += flights;
        }
    }

    fn since(&self, earlier: &Self) -> Self {
        let flights_by_loads = self
            .flights_by_loads
            .iter()
            .map(|(loads, flights)| {
                let before = earlier.flights_by_loads.get(loads).copied().unwrap_or(0);
                (*loads, flights.saturating_sub(before))
            })
            .filter(|(_, flights)| *flights > 0)
            .collect();
        Self { flights_by_loads }
    }
}

/// How long queries waited, and how long they took.
pub(super) type Pair = (Histogram<u64>, Histogram<u64>);

/// Of no query, in the least memory.
#[allow(
    clippy::expect_used,
    reason = "the bounds are constants, and every test builds one"
)]
pub(super) fn no_times() -> Pair {
    let none = || Histogram::new_with_bounds(1, 2, 0).expect("valid bounds");
    (none(), none())
}

/// The histograms behind the readings.
pub(super) struct Times {
    wait_us: Mutex<Histogram<u64>>,
    service_us: Mutex<Histogram<u64>>,
}

impl Times {
    pub(super) fn new() -> Self {
        Self {
            wait_us: Mutex::new(microseconds()),
            service_us: Mutex::new(microseconds()),
        }
    }

    pub(super) fn waited(&self, time: Duration) {
        self.wait_us
            .lock()
            .saturating_record(time.as_micros() as u64);
    }

    pub(super) fn served(&self, time: Duration) {
        self.service_us
            .lock()
            .saturating_record(time.as_micros() as u64);
    }

    pub(super) fn snapshot(&self) -> Pair {
        (self.wait_us.lock().clone(), self.service_us.lock().clone())
    }
}

/// From 1 µs to an hour, to three digits. The bounds are fixed, so that any two can be subtracted.
#[allow(
    clippy::expect_used,
    reason = "the bounds are constants, and every test builds one"
)]
fn microseconds() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 3_600_000_000, 3).expect("valid bounds")
}

/// `later - earlier`; empty if `earlier` is not a part of `later`.
fn difference(later: &Histogram<u64>, earlier: &Histogram<u64>) -> Histogram<u64> {
    let mut difference = later.clone();
    if difference.subtract(earlier).is_err() {
        difference.reset();
    }
    difference
}
