//! The mock database: the origin that owns the truth and whose cost caching is to save.
//!
//! It behaves as a database does where caches go wrong: connections are few and waited for in
//! order; a read sees what was committed when it **began** and answers later; a write is visible
//! only when it **ends**. So every race between a slow load and a write can really happen. Each
//! commit has a version from one global sequence and is told to a [`CommitListener`], from which
//! oracles know the truth. The engine calls it through [`Origin`]; it knows nothing of caches.

mod counters;
mod distant;
mod flights;
mod host;
mod pool;
mod query_cache;
mod rows;
mod service_time;
mod stats;
mod value;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;

pub use self::distant::Distant;
pub use self::host::{HostedOrigin, OriginHost};
pub use self::stats::{DatabaseStats, FlightStats, QueryCacheStats, TableStats};
pub use self::value::generated_value;
use super::{CommitListener, DatabaseConfig, TableConfig};
use crate::clock::{Clock, Timestamp};
use crate::engine::data_type::{DataTypeId, Key, Limit, PolicyTable};
use crate::engine::layer::{Admission, LayerError, Origin, QueuedWrite, Row, Version};
use crate::seed::Seed;
use crate::workload::size::ValueSizes;
use counters::Counters;
use flights::Flights;
use pool::{Connection, Pool};
use query_cache::{Epoch, QueryCache};
use rows::Rows;
use service_time::ServiceTimes;
use stats::Times;

/// What errors call it.
const NAME: &str = "the database";
/// What an error calls the pool, when no connection became free in time.
const POOL_NAME: &str = "the database's connection pool";
/// The version of every row that nobody has written: before the first commit.
const UNWRITTEN: Version = Version(0);

/// A mock database. Cheap to clone; every clone is the same database.
#[derive(Clone)]
pub struct MockDatabase {
    inner: Arc<Inner>,
}

struct Inner {
    tables: Vec<Table>,
    policies: Arc<PolicyTable>,
    pool: Pool,
    /// A cache of results, and how long its hits take.
    query_cache: Option<(QueryCache, ServiceTimes)>,
    /// The version of the last commit. Held while committing, so that commits are seen in the
    /// order of their versions and times.
    last_commit: Mutex<Version>,
    times: Times,
    seed: Seed,
    value_sizes: ValueSizes,
    clock: Clock,
    started_at: Timestamp,
    listener: Arc<dyn CommitListener>,
}

struct Table {
    prefilled: bool,
    rows: Rows,
    flights: Flights,
    counters: Counters,
    read_time: ServiceTimes,
    write_time: ServiceTimes,
    reads: AtomicU64,
    writes: AtomicU64,
}

impl MockDatabase {
    /// A database of the tables in `config`, which stand in the order of `policies`. Its rows that
    /// exist from the start were committed now, at version 0. `listener` is told of every commit
    /// while the row is locked: it must be quick and must not ask the database.
    pub fn new(
        config: DatabaseConfig,
        policies: Arc<PolicyTable>,
        seed: Seed,
        clock: Clock,
        listener: Arc<dyn CommitListener>,
    ) -> Self {
        let value_sizes = config.value_sizes(seed);
        let seed = seed.fork("origin");
        let query_cache = config.query_cache.map(|cache| {
            let hit_time = ServiceTimes::new(cache.hit_time, seed.stream("query-cache"));
            (QueryCache::new(cache, config.tables.len()), hit_time)
        });
        let tables = config
            .tables
            .into_iter()
            .enumerate()
            .map(|(at, table)| Table::new(&table, seed.fork(&table_name(&policies, at))))
            .collect();
        Self {
            inner: Arc::new(Inner {
                tables,
                policies,
                pool: Pool::new(config.connections, config.acquire_timeout),
                query_cache,
                last_commit: Mutex::new(UNWRITTEN),
                times: Times::new(),
                seed,
                value_sizes,
                started_at: clock.now(),
                clock,
                listener,
            }),
        }
    }

    /// Everything counted since the start. A few hundred KB, most of it times.
    pub fn stats(&self) -> DatabaseStats {
        self.with_times(self.inner.times.snapshot())
    }

    /// The same without times: small enough to be kept for every second of a run.
    pub fn counts(&self) -> DatabaseStats {
        self.with_times(stats::no_times())
    }

    fn with_times(&self, (wait_time_us, service_time_us): stats::Pair) -> DatabaseStats {
        let inner = &self.inner;
        let mut flights = FlightStats::default();
        for table in &inner.tables {
            flights.add(&table.flights.stats());
        }
        DatabaseStats {
            tables: inner.tables.iter().map(Table::stats).collect(),
            connections_in_use: inner.pool.in_use(),
            peak_connections: inner.pool.peak(),
            timeouts: inner.pool.timeouts(),
            wait_time_us,
            service_time_us,
            flights,
            query_cache: inner.query_cache.as_ref().map(|(cache, _)| cache.stats()),
        }
    }

    /// Says that nobody asks for the same key of `data_type` twice, as where a part of each key is
    /// new: then rows are forgotten some hours after their commit, and memory does not grow with the
    /// length of a run.
    pub fn keys_come_once(&self, data_type: DataTypeId) {
        if let Ok(table) = self.inner.table(data_type) {
            table.rows.forget();
        }
    }

    /// How many connections are in use now.
    pub fn connections_in_use(&self) -> u32 {
        self.inner.pool.in_use()
    }

    /// The peak of connections counts anew from here: at the start of a phase.
    pub fn reset_peak(&self) {
        self.inner.pool.reset_peak();
    }
}

impl Table {
    fn new(config: &TableConfig, seed: Seed) -> Self {
        Self {
            prefilled: config.prefilled,
            rows: Rows::default(),
            flights: Flights::default(),
            counters: Counters::default(),
            read_time: ServiceTimes::new(config.read_time, seed.stream("read-time")),
            write_time: ServiceTimes::new(config.write_time, seed.stream("write-time")),
            reads: AtomicU64::new(0),
            writes: AtomicU64::new(0),
        }
    }

    fn stats(&self) -> TableStats {
        TableStats {
            reads: self.reads.load(Ordering::Relaxed),
            writes: self.writes.load(Ordering::Relaxed),
        }
    }
}

impl Inner {
    fn table(&self, id: DataTypeId) -> Result<&Table, LayerError> {
        let missing = || {
            let name = table_name(&self.policies, id.index());
            LayerError::Refused(NAME, format!("it has no table for the data type {name}"))
        };
        self.tables.get(id.index()).ok_or_else(missing)
    }

    /// Waits for a connection, in the order of arrival.
    async fn connect(&self) -> Result<Connection<'_>, LayerError> {
        let asked_at = self.clock.now();
        let connection = self.pool.acquire(&self.clock).await;
        self.times.waited(self.clock.now().since(asked_at));
        connection.ok_or(LayerError::TimedOut(POOL_NAME))
    }

    /// Keeps the connection busy for as long as a query takes.
    async fn work(&self, times: &ServiceTimes) {
        let began_at = self.clock.now();
        self.clock.sleep(times.draw()).await;
        self.times.served(self.clock.now().since(began_at));
    }

    /// What a query that begins now sees of a row.
    fn snapshot(&self, id: DataTypeId, table: &Table, key: &Key) -> Row {
        // First how far the commits are, then the row: a commit in between makes the row newer
        // than it says, never older.
        let as_of = *self.last_commit.lock();
        if let Some(row) = table.rows.get(key) {
            return Row {
                as_of: as_of.max(row.as_of),
                ..row
            };
        }
        let value = || {
            let size = self.value_sizes.of(id, key);
            generated_value(self.seed, key, UNWRITTEN, size)
        };
        Row {
            value: table.prefilled.then(value),
            version: UNWRITTEN,
            committed_at: self.started_at,
            as_of,
        }
    }

    fn version_of(table: &Table, key: &Key) -> Version {
        table.rows.version(key).unwrap_or(UNWRITTEN)
    }
}

impl Origin for MockDatabase {
    async fn load(&self, data_type: DataTypeId, key: &Key) -> Result<Row, LayerError> {
        let inner = &*self.inner;
        let table = inner.table(data_type)?;
        // From here on this load overlaps with others: one that waits for a connection is as much
        // part of a stampede as one that has it.
        let mut load = table.flights.join(key, Inner::version_of(table, key));
        let connection = inner.connect().await?;
        let epoch = match inner.look_in_query_cache(data_type, key) {
            Some(Ok((row, hit_time))) => {
                inner.clock.sleep(hit_time).await;
                drop(connection);
                return Ok(row);
            }
            Some(Err(epoch)) => Some(epoch),
            None => None,
        };
        table.reads.fetch_add(1, Ordering::Relaxed);
        let row = inner.snapshot(data_type, table, key);
        load.began(row.version);
        inner.work(&table.read_time).await;
        if let Some(((cache, _), epoch)) = inner.query_cache.as_ref().zip(epoch) {
            cache.keep(data_type, key, epoch, &row, inner.clock.now());
        }
        drop(connection);
        Ok(row)
    }

    async fn store(
        &self,
        data_type: DataTypeId,
        key: &Key,
        value: Bytes,
    ) -> Result<Row, LayerError> {
        let inner = &*self.inner;
        let table = inner.table(data_type)?;
        let connection = inner.connect().await?;
        table.writes.fetch_add(1, Ordering::Relaxed);
        inner.work(&table.write_time).await;
        let row = {
            let mut last = inner.last_commit.lock();
            last.0 += 1;
            inner.write(data_type, || {
                table.rows.commit(key, *last, value, |version| {
                    let at = inner.clock.now();
                    inner.listener.committed(data_type, key, version, at);
                    at
                })
            })
        };
        drop(connection);
        Ok(row)
    }

    async fn store_batch(&self, writes: &[QueuedWrite]) -> Result<(), LayerError> {
        let inner = &*self.inner;
        let mut tables = writes.iter().map(|write| write.data_type);
        let Some(first) = tables.clone().next() else {
            return Ok(());
        };
        tables.try_for_each(|id| inner.table(id).map(drop))?;
        let connection = inner.connect().await?;
        for (id, table) in (0..).map(DataTypeId).zip(&inner.tables) {
            // A statement with many rows for each table.
            if writes.iter().any(|write| write.data_type == id) {
                table.writes.fetch_add(1, Ordering::Relaxed);
            }
        }
        inner.work(&inner.table(first)?.write_time).await;
        {
            let mut last = inner.last_commit.lock();
            for write in writes {
                inner.upsert(write, &mut last)?;
            }
        }
        drop(connection);
        Ok(())
    }

    async fn admit(
        &self,
        data_type: DataTypeId,
        key: &Key,
        limit: Limit,
    ) -> Result<Admission, LayerError> {
        let inner = &*self.inner;
        let table = inner.table(data_type)?;
        let connection = inner.connect().await?;
        table.writes.fetch_add(1, Ordering::Relaxed);
        inner.work(&table.write_time).await;
        let admission = table.counters.admit(key, limit, inner.clock.now());
        drop(connection);
        Ok(admission)
    }
}

impl Inner {
    /// Commits a queued write unless its row has this version already, or a newer one.
    fn upsert(&self, write: &QueuedWrite, last_commit: &mut Version) -> Result<(), LayerError> {
        let table = self.table(write.data_type)?;
        if write.version <= Self::version_of(table, &write.key) {
            return Ok(());
        }
        // Versions of the queue and of direct commits are one sequence: what is committed later
        // must be newer, whichever way it came.
        *last_commit = write.version.max(*last_commit);
        let commit = |version| {
            let at = self.clock.now();
            let (data_type, key) = (write.data_type, &write.key);
            self.listener.committed(data_type, key, version, at);
            at
        };
        let value = write.value.clone();
        self.write(write.data_type, || {
            table.rows.commit(&write.key, write.version, value, commit)
        });
        Ok(())
    }

    /// Does `commit` to a table, and in the same step the query cache forgets what it knew of it.
    fn write<T>(&self, id: DataTypeId, commit: impl FnOnce() -> T) -> T {
        match &self.query_cache {
            Some((cache, _)) => cache.write(id, commit),
            None => commit(),
        }
    }

    /// A result of the query cache and how long its hit takes, or where the query's execution
    /// begins; `None` without such a cache.
    fn look_in_query_cache(
        &self,
        id: DataTypeId,
        key: &Key,
    ) -> Option<Result<(Row, Duration), Epoch>> {
        let (cache, hit_time) = self.query_cache.as_ref()?;
        // First how far the commits are: a commit in between takes the result away.
        let as_of = *self.last_commit.lock();
        let found = cache.look(id, key, self.clock.now());
        Some(found.map(|row| {
            let as_of = as_of.max(row.as_of);
            (Row { as_of, ..row }, hit_time.draw())
        }))
    }
}

/// The name of the data type at this place of the policy table, or its number if it has none.
fn table_name(policies: &PolicyTable, at: usize) -> String {
    let row = policies.iter().nth(at);
    row.map_or_else(|| at.to_string(), |(_, row)| row.name.to_string())
}

#[cfg(test)]
mod tests;
