//! The database of the model: it keeps the whole history of its rows, and remembers who read when.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cachestorm::clock::{Clock, Timestamp};
use cachestorm::engine::data_type::{DataTypeId, Key, Limit};
use cachestorm::engine::layer::{Admission, LayerError, Origin, QueuedWrite, Row, Version};
use parking_lot::Mutex;

const NAME: &str = "the book";
/// The longest way to a layer or back.
pub(super) const WAY_MAX: Duration = Duration::from_millis(6);

tokio::task_local! {
    /// The pace of the step whose task this is, and how many ways it has gone.
    pub(super) static PACE: (u8, Cell<u64>);
}

/// How long the next way takes: by the step's pace, and for what is no step's a millisecond.
pub(super) fn next_way() -> Duration {
    let by_pace = PACE.try_with(|(pace, ways)| {
        ways.set(ways.get() + 1);
        if *pace == 0 {
            return Duration::ZERO;
        }
        // Any function that looks like chance will do, if it is always the same.
        let mixed = (u64::from(*pace) * 0x9e37_79b9 + ways.get() * 0x85eb_ca6b) >> 7;
        Duration::from_millis(mixed % (WAY_MAX.as_millis() as u64 + 1))
    });
    by_pace.unwrap_or(Duration::from_millis(1))
}

/// One version of one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Commit {
    pub(super) key: Key,
    pub(super) version: Version,
    pub(super) value: Bytes,
    pub(super) at: Timestamp,
}

/// A load, and from when to when it was under way.
#[derive(Clone, Debug)]
pub(super) struct Load {
    pub(super) key: Key,
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
}

#[derive(Default)]
struct Inner {
    rows: HashMap<Key, (Bytes, Version, Timestamp)>,
    newest: Version,
    commits: Vec<Commit>,
    loads: Vec<Load>,
    fails: bool,
}

impl Inner {
    /// Unless the row is newer.
    fn commit(&mut self, key: &Key, value: &Bytes, version: Version, at: Timestamp) {
        if self.rows.get(key).is_some_and(|row| row.1 >= version) {
            return;
        }
        self.rows.insert(key.clone(), (value.clone(), version, at));
        self.newest = self.newest.max(version);
        self.commits.push(Commit {
            key: key.clone(),
            version,
            value: value.clone(),
            at,
        });
    }

    fn next(&self) -> Version {
        Version(self.newest.0 + 1)
    }
}

/// The database.
#[derive(Clone)]
pub(super) struct Book {
    clock: Clock,
    inner: Arc<Mutex<Inner>>,
}

impl Book {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            clock,
            inner: Arc::default(),
        }
    }

    pub(super) fn set_failing(&self, fails: bool) {
        self.inner.lock().fails = fails;
    }

    /// A commit that no cache is told of.
    pub(super) fn change(&self, key: &Key, value: &Bytes) {
        let mut inner = self.inner.lock();
        let version = inner.next();
        inner.commit(key, value, version, self.clock.now());
    }

    pub(super) fn commits(&self) -> Vec<Commit> {
        self.inner.lock().commits.clone()
    }

    pub(super) fn loads(&self) -> Vec<Load> {
        self.inner.lock().loads.clone()
    }

    pub(super) fn row(&self, key: &Key) -> Option<(Bytes, Version)> {
        let inner = self.inner.lock();
        let row = inner.rows.get(key);
        row.map(|(value, version, _)| (value.clone(), *version))
    }

    fn well(&self) -> Result<(), LayerError> {
        if self.inner.lock().fails {
            return Err(LayerError::Unreachable(
                NAME,
                "as the script says".to_owned(),
            ));
        }
        Ok(())
    }
}

impl Origin for Book {
    async fn load(&self, _: DataTypeId, key: &Key) -> Result<Row, LayerError> {
        let from = self.clock.now();
        self.clock.sleep(next_way()).await;
        let row = {
            let inner = self.inner.lock();
            let held = inner.rows.get(key);
            Row {
                value: held.map(|(value, ..)| value.clone()),
                version: held.map_or(Version(0), |row| row.1),
                committed_at: held.map_or(Timestamp::EPOCH, |row| row.2),
                as_of: inner.newest,
            }
        };
        self.clock.sleep(next_way()).await;
        self.inner.lock().loads.push(Load {
            key: key.clone(),
            from,
            to: self.clock.now(),
        });
        self.well().map(|()| row)
    }

    async fn store(&self, _: DataTypeId, key: &Key, value: Bytes) -> Result<Row, LayerError> {
        self.clock.sleep(next_way()).await;
        self.well()?;
        let row = {
            let mut inner = self.inner.lock();
            let (version, at) = (inner.next(), self.clock.now());
            inner.commit(key, &value, version, at);
            Row {
                value: Some(value),
                version,
                committed_at: at,
                as_of: version,
            }
        };
        self.clock.sleep(next_way()).await;
        Ok(row)
    }

    async fn store_batch(&self, writes: &[QueuedWrite]) -> Result<(), LayerError> {
        self.clock.sleep(next_way()).await;
        self.well()?;
        {
            let (mut inner, at) = (self.inner.lock(), self.clock.now());
            for write in writes {
                inner.commit(&write.key, &write.value, write.version, at);
            }
        }
        self.clock.sleep(next_way()).await;
        Ok(())
    }

    async fn admit(&self, _: DataTypeId, _: &Key, _: Limit) -> Result<Admission, LayerError> {
        Err(LayerError::Unsupported(NAME, "counting"))
    }
}
