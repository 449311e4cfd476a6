//! One load per key and instance: whoever comes while a load is under way waits for it.
//!
//! The first to board a flight is its leader and loads; the others are followers and get what the
//! leader got. The leader loads in its own task, so a flight without followers costs no hand-over;
//! a leader that is dropped half-way (its caller hung up) abandons the flight, and one of its
//! followers boards anew and leads.
//!
//! The table's lock of a key is also what orders changes of the local layer: an invalidation takes
//! the flight off the table and sets a floor below which its leader may not store, so a load that
//! read before a write can never put its value over the write (the race of lettuce#3481,
//! guava#1881 and caffeine#193).

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use rustc_hash::FxHasher;
use tokio::sync::Notify;

use super::data_type::Key;
use super::layer::Version;

const SHARDS: usize = 64;

/// What a flight gives to its followers: the leader's result, or nothing if the leader was lost.
type Landing<T> = Option<T>;

#[derive(Debug)]
struct Flight<T> {
    landing: OnceLock<Landing<T>>,
    landed: Notify,
    followers: AtomicU32,
    /// Values read before this commit must not be stored.
    floor: AtomicU64,
    /// The invalidation that took it off the table; 0 while it is on it. Later ones do not find it.
    taken_off_by: AtomicU64,
}

impl<T> Flight<T> {
    fn new() -> Self {
        Self {
            landing: OnceLock::new(),
            landed: Notify::new(),
            followers: AtomicU32::new(0),
            floor: AtomicU64::new(0),
            taken_off_by: AtomicU64::new(0),
        }
    }

    /// Forbids to store what was read before `floor`, from the invalidation numbered `epoch` on.
    fn take_off(&self, floor: u64, epoch: u64) {
        self.floor.store(floor, Ordering::Relaxed);
        self.taken_off_by.store(epoch, Ordering::Relaxed);
    }

    /// Whether a value read as of `as_of` may be stored, after `epoch` invalidations. After the one
    /// that took the flight off there must have been no other: it may have been of this key, with a
    /// higher floor. A value above every floor may always.
    fn may_store(&self, as_of: Version, epoch: u64) -> bool {
        let by = self.taken_off_by.load(Ordering::Relaxed);
        let last = by == 0 || by == epoch || as_of == Version(u64::MAX);
        last && as_of.0 >= self.floor.load(Ordering::Relaxed)
    }
}

#[derive(Debug)]
struct Shard<T> {
    flights: HashMap<Key, Arc<Flight<T>>, BuildHasherDefault<FxHasher>>,
    /// How many invalidations there were.
    epoch: u64,
}

impl<T> Default for Shard<T> {
    fn default() -> Self {
        Self {
            flights: HashMap::default(),
            epoch: 0,
        }
    }
}

impl<T> Shard<T> {
    fn invalidate(&mut self, key: &Key, floor: Version) {
        self.epoch += 1;
        if let Some(flight) = self.flights.remove(key) {
            // A purge (version 0) says nothing of newer commits, yet the load under way must not
            // bring back what was dropped.
            let floor = if floor == Version(0) {
                u64::MAX
            } else {
                floor.0
            };
            flight.take_off(floor, self.epoch);
        }
    }
}

/// The flights of one instance.
#[derive(Debug)]
pub struct FlightTable<T> {
    shards: Box<[Mutex<Shard<T>>]>,
}

impl<T: Clone> Default for FlightTable<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// The part one plays in a flight.
#[derive(Debug)]
pub enum Boarding<'t, T: Clone> {
    /// Load, and then land.
    Leader(Leader<'t, T>),
    /// Wait.
    Follower(Follower<T>),
}

impl<T: Clone> FlightTable<T> {
    /// No flights.
    pub fn new() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::new(Shard::default())).collect(),
        }
    }

    fn shard(&self, key: &Key) -> &Mutex<Shard<T>> {
        let hash = BuildHasherDefault::<FxHasher>::default().hash_one(key);
        // The map uses the low bits; take others.
        &self.shards[(hash >> 32) as usize % SHARDS]
    }

    /// Joins the flight of `key`, or starts it.
    pub fn board(&self, key: &Key) -> Boarding<'_, T> {
        let mut shard = self.shard(key).lock();
        if let Some(flight) = shard.flights.get(key) {
            flight.followers.fetch_add(1, Ordering::Relaxed);
            return Boarding::Follower(Follower {
                flight: Arc::clone(flight),
            });
        }
        let flight = Arc::new(Flight::new());
        shard.flights.insert(key.clone(), Arc::clone(&flight));
        Boarding::Leader(Leader {
            table: self,
            key: key.clone(),
            flight,
            landed: false,
        })
    }

    /// Takes the flight of `key` off the table, so that whoever comes now loads anew, forbids it to
    /// store what was read before the commit `floor`, and does `change` in the same breath.
    pub fn invalidate(&self, key: &Key, floor: Version, change: impl FnOnce()) {
        let mut shard = self.shard(key).lock();
        shard.invalidate(key, floor);
        change();
    }

    /// The same for a writer that has a value to keep: `change` is told whether no other invalidation
    /// came since `epoch`, taken before the write. If one did, the value may be old already.
    pub fn invalidate_since(
        &self,
        key: &Key,
        floor: Version,
        epoch: u64,
        change: impl FnOnce(bool),
    ) {
        let mut shard = self.shard(key).lock();
        let alone = shard.epoch == epoch;
        shard.invalidate(key, floor);
        change(alone);
    }

    /// The same for every flight.
    pub fn invalidate_all(&self, change: impl FnOnce()) {
        for shard in &self.shards {
            let mut shard = shard.lock();
            shard.epoch += 1;
            let epoch = shard.epoch;
            for (_, flight) in shard.flights.drain() {
                flight.take_off(u64::MAX, epoch);
            }
        }
        change();
    }

    /// The same for every flight whose key is `concerned`.
    pub fn invalidate_where(&self, concerned: impl Fn(&Key) -> bool) {
        for shard in &self.shards {
            let mut shard = shard.lock();
            shard.epoch += 1;
            let epoch = shard.epoch;
            shard.flights.retain(|key, flight| {
                let concerned = concerned(key);
                if concerned {
                    flight.take_off(u64::MAX, epoch);
                }
                !concerned
            });
        }
    }

    /// How many are in the air.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| shard.lock().flights.len())
            .sum()
    }

    /// How many invalidations the neighbourhood of `key` has seen: for loads outside of flights.
    pub fn epoch(&self, key: &Key) -> u64 {
        self.shard(key).lock().epoch
    }

    /// Does `change` if no invalidation came since `epoch`. One of a neighbour counts, too: then a
    /// value is left out that could have been stored, which costs a look at the next layer.
    pub fn if_still(&self, key: &Key, epoch: u64, change: impl FnOnce()) {
        let shard = self.shard(key).lock();
        if shard.epoch == epoch {
            change();
        }
    }
}

/// Loads, and lands with what it got. If dropped before, the flight is abandoned.
#[derive(Debug)]
pub struct Leader<'t, T: Clone> {
    table: &'t FlightTable<T>,
    key: Key,
    flight: Arc<Flight<T>>,
    landed: bool,
}

impl<T: Clone> Leader<'_, T> {
    /// Ends the flight with `result`. `store` is called, under the key's lock, if nothing
    /// forbids to store a value read as of `as_of`; then the followers are woken. Gives how
    /// many they were.
    pub fn land(mut self, result: T, as_of: Option<Version>, store: impl FnOnce()) -> u32 {
        self.landed = true;
        {
            let mut shard = self.table.shard(&self.key).lock();
            let epoch = shard.epoch;
            if as_of.is_some_and(|as_of| self.flight.may_store(as_of, epoch)) {
                store();
            }
            self.leave(&mut shard);
        }
        self.end(Some(result))
    }

    /// Removes this flight from the table, if an invalidation has not done so.
    fn leave(&self, shard: &mut Shard<T>) {
        if shard
            .flights
            .get(&self.key)
            .is_some_and(|now| Arc::ptr_eq(now, &self.flight))
        {
            shard.flights.remove(&self.key);
        }
    }

    fn end(&self, landing: Landing<T>) -> u32 {
        let followers = self.flight.followers.load(Ordering::Relaxed);
        if followers > 0 {
            // Set once: only the leader ends a flight, and `landed` keeps it from doing so twice.
            let _ = self.flight.landing.set(landing);
            self.flight.landed.notify_waiters();
        }
        followers
    }
}

impl<T: Clone> Drop for Leader<'_, T> {
    fn drop(&mut self) {
        if !self.landed {
            self.leave(&mut self.table.shard(&self.key).lock());
            self.end(None);
        }
    }
}

/// Waits for its flight.
#[derive(Debug)]
pub struct Follower<T> {
    flight: Arc<Flight<T>>,
}

impl<T: Clone> Follower<T> {
    /// What the leader got; `None` if the leader was lost and one should board anew.
    pub async fn landing(self) -> Option<T> {
        let landed = self.flight.landed.notified();
        tokio::pin!(landed);
        // Listen before looking, or a landing in between would be missed.
        landed.as_mut().enable();
        if let Some(landing) = self.flight.landing.get() {
            return landing.clone();
        }
        landed.await;
        self.flight.landing.get().cloned().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    fn leader<'t>(table: &'t FlightTable<u32>, key: &Key) -> Leader<'t, u32> {
        match table.board(key) {
            Boarding::Leader(leader) => leader,
            Boarding::Follower(_) => panic!("{key} is already in flight"),
        }
    }

    fn follower(table: &FlightTable<u32>, key: &Key) -> Follower<u32> {
        match table.board(key) {
            Boarding::Follower(follower) => follower,
            Boarding::Leader(_) => panic!("{key} is not in flight"),
        }
    }

    #[tokio::test]
    async fn followers_get_what_the_leader_got() {
        let table = FlightTable::new();
        let key = Key::new("k");
        let leading = leader(&table, &key);
        let waiting = [follower(&table, &key), follower(&table, &key)];
        let stored = AtomicUsize::new(0);
        let followers = leading.land(7, Some(Version(1)), || {
            stored.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!((followers, stored.into_inner()), (2, 1));
        for follower in waiting {
            assert_eq!(follower.landing().await, Some(7));
        }
        let _next = leader(&table, &key);
    }

    #[tokio::test]
    async fn a_lost_leader_sets_its_followers_free() {
        let table = FlightTable::new();
        let key = Key::new("k");
        let leading = leader(&table, &key);
        let waiting = follower(&table, &key);
        drop(leading);
        assert_eq!(waiting.landing().await, None);
        let _next = leader(&table, &key);
    }

    #[tokio::test]
    async fn a_load_from_before_an_invalidation_is_not_stored_and_not_joined() {
        let table = FlightTable::new();
        let key = Key::new("k");
        let old = leader(&table, &key);
        table.invalidate(&key, Version(5), || {});
        let new = leader(&table, &key);
        old.land(1, Some(Version(4)), || panic!("a stale value was stored"));
        let waiting = follower(&table, &key);
        new.land(2, Some(Version(5)), || {});
        assert_eq!(waiting.landing().await, Some(2));
    }

    #[tokio::test]
    async fn a_load_that_saw_the_invalidating_commit_is_stored() {
        let table = FlightTable::new();
        let key = Key::new("k");
        let leading = leader(&table, &key);
        table.invalidate(&key, Version(5), || {});
        let stored = AtomicUsize::new(0);
        leading.land(1, Some(Version(5)), || {
            stored.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(stored.into_inner(), 1);
    }

    #[tokio::test]
    async fn a_load_that_saw_one_commit_of_two_is_not_stored() {
        let table = FlightTable::new();
        let key = Key::new("k");
        let leading = leader(&table, &key);
        table.invalidate(&key, Version(5), || {});
        table.invalidate(&key, Version(6), || {});
        leading.land(1, Some(Version(5)), || panic!("a stale value was stored"));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn many_tasks_load_once() {
        let table = Arc::new(FlightTable::new());
        let loads = Arc::new(AtomicUsize::new(0));
        let tasks: Vec<_> = (0..1_000)
            .map(|_| {
                let (table, loads) = (Arc::clone(&table), Arc::clone(&loads));
                tokio::spawn(async move {
                    match table.board(&Key::new("hot")) {
                        Boarding::Follower(follower) => follower.landing().await,
                        Boarding::Leader(leader) => {
                            loads.fetch_add(1, Ordering::Relaxed);
                            while leader.flight.followers.load(Ordering::Relaxed) < 999 {
                                tokio::task::yield_now().await;
                            }
                            leader.land(9, None, || {});
                            Some(9)
                        }
                    }
                })
            })
            .collect();
        for task in tasks {
            assert_eq!(task.await.expect("no panic"), Some(9));
        }
        assert_eq!(loads.load(Ordering::Relaxed), 1);
    }
}
