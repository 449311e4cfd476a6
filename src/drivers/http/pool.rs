//! The open connections of one caller: idle ones by target, the last used first, so that those that
//! are not needed grow old and are closed.
//!
//! No more are open than the caller allows; who needs one then waits for one. What is given up in the
//! middle of an exchange is closed and never comes back here.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::connection::{Connection, Failure};
use super::gauge::{Gauge, Open};
use super::target::Target;
use crate::clock::{Clock, Timestamp};

/// Servers close idle connections after 5 s, and a request on one that is just being closed
/// fails. So ours are closed before.
const IDLE_MAX: Duration = Duration::from_secs(4);

/// One that has waited longer than this may have been closed without anybody having looked.
const LOOK_AFTER: Duration = Duration::from_millis(10);

/// The connections of one caller.
pub(super) struct Pool {
    targets: Vec<Target>,
    clock: Clock,
    gauge: Arc<Gauge>,
    /// How many may be open.
    open_max: u64,
    /// One for each connection that is in use: with as many as may be open.
    turns: Semaphore,
    idle: Mutex<Vec<Stack>>,
}

/// Idle connections to one target, the last used at the end.
type Stack = VecDeque<Box<Connection>>;

/// A connection in use, and the right to have one. The connection is closed when this is dropped, unless
/// it was put back.
pub(super) struct Lease<'a> {
    pub(super) connection: Box<Connection>,
    /// Whether it has carried an answer before.
    pub(super) used_before: bool,
    // After the connection, so that whoever waits for the turn finds the place free.
    turn: SemaphorePermit<'a>,
}

impl Pool {
    /// An empty pool of up to `open_max` connections, at least one.
    pub(super) fn new(targets: Vec<Target>, clock: Clock, open_max: usize) -> Self {
        let open_max = open_max.clamp(1, Semaphore::MAX_PERMITS);
        let idle = targets.iter().map(|_| Stack::new()).collect();
        Self {
            targets,
            clock,
            gauge: Arc::default(),
            open_max: open_max as u64,
            turns: Semaphore::new(open_max),
            idle: Mutex::new(idle),
        }
    }

    pub(super) fn targets(&self) -> &[Target] {
        &self.targets
    }

    pub(super) fn gauge(&self) -> &Arc<Gauge> {
        &self.gauge
    }

    /// A connection to a target: the last used idle one, or a new one. Waits while as many are in use
    /// as may be open.
    pub(super) async fn lease(&self, target: usize) -> Result<Lease<'_>, Failure> {
        let turn = self.turn().await?;
        while let Some((mut connection, waited)) = self.take_idle(target) {
            if waited > LOOK_AFTER {
                // Lets the runtime hear what has happened on its sockets.
                tokio::task::yield_now().await;
            }
            if connection.is_alive().await {
                return Ok(Lease {
                    connection,
                    used_before: true,
                    turn,
                });
            }
        }
        self.open(target, turn).await
    }

    /// A new connection instead of one that turned out to be closed.
    pub(super) async fn renew<'a>(
        &'a self,
        target: usize,
        closed: Lease<'a>,
    ) -> Result<Lease<'a>, Failure> {
        drop(closed.connection);
        self.open(target, closed.turn).await
    }

    /// Ends a lease: its connection waits for the next request.
    pub(super) fn put_back(&self, target: usize, lease: Lease<'_>, now: Timestamp) {
        let Lease {
            mut connection,
            turn,
            ..
        } = lease;
        connection.idle_since = now;
        let mut idle = self.idle.lock();
        idle[target].push_back(connection);
        // One for one keeps up with what is put back.
        let old = idle[target].pop_front_if(|oldest| is_old(oldest, now));
        drop(idle);
        drop(old);
        drop(turn);
    }

    async fn turn(&self) -> Result<SemaphorePermit<'_>, Failure> {
        match self.turns.try_acquire() {
            Ok(turn) => Ok(turn),
            Err(_) => self.turns.acquire().await.map_err(|_| Failure::Closed),
        }
    }

    /// The last used connection to a target, and how long it waited.
    fn take_idle(&self, target: usize) -> Option<(Box<Connection>, Duration)> {
        let now = self.clock.now();
        let mut idle = self.idle.lock();
        let connection = idle[target].pop_back()?;
        if is_old(&connection, now) {
            // Then all others are, too.
            let old = std::mem::take(&mut idle[target]);
            drop(idle);
            drop(old);
            return None;
        }
        drop(idle);
        let waited = now.since(connection.idle_since);
        Some((connection, waited))
    }

    async fn open<'a>(
        &'a self,
        target: usize,
        turn: SemaphorePermit<'a>,
    ) -> Result<Lease<'a>, Failure> {
        let open = self.make_room();
        let connection = Connection::open(&self.targets[target], open).await?;
        Ok(Lease {
            connection: Box::new(connection),
            used_before: false,
            turn,
        })
    }

    /// A place for one more connection. Who has a turn always gets one: if there is none, an idle
    /// connection to another target has it, and the one that has waited longest is closed.
    fn make_room(&self) -> Open {
        let mut idle = self.idle.lock();
        while self.gauge.read().open >= self.open_max {
            let oldest = idle
                .iter_mut()
                .filter(|stack| !stack.is_empty())
                .min_by_key(|stack| stack.front().map(|oldest| oldest.idle_since))
                .and_then(VecDeque::pop_front);
            if oldest.is_none() {
                break;
            }
        }
        // Under the lock, so that no two take the same place.
        self.gauge.begin()
    }
}

fn is_old(connection: &Connection, now: Timestamp) -> bool {
    now.since(connection.idle_since) >= IDLE_MAX
}
