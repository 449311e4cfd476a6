//! One value per thread, behind locks that nobody else wants.
//!
//! Recording must not make threads wait for each other, so each thread has a place of its own
//! and takes an uncontended lock there. With more threads than places some share one, which
//! costs time but loses nothing. The recorder and the engine's observers are built on this.

use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::{Mutex, MutexGuard};

/// More than the threads that record at once on the machines this is made for.
const PLACES: usize = 32;

static THREADS_SEEN: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static PLACE: usize = THREADS_SEEN.fetch_add(1, Ordering::Relaxed) % PLACES;
}

/// Two lines of the processor's cache, because they are fetched in pairs: a neighbour's lock must
/// not slow down ours.
#[repr(align(128))]
#[derive(Debug, Default)]
struct Place<T>(Mutex<T>);

/// A `T` for each thread.
#[derive(Debug)]
pub(super) struct Sharded<T> {
    places: Box<[Place<T>]>,
}

impl<T: Default> Default for Sharded<T> {
    fn default() -> Self {
        Self {
            places: (0..PLACES).map(|_| Place::default()).collect(),
        }
    }
}

impl<T> Sharded<T> {
    /// The value of the calling thread.
    pub(super) fn mine(&self) -> MutexGuard<'_, T> {
        // While a thread is torn down it has no place of its own any more; any will do.
        let place = PLACE.try_with(|place| *place).unwrap_or(0);
        self.places[place].0.lock()
    }

    /// Every value, one lock after another: what is recorded meanwhile may be in or not.
    pub(super) fn each(&self) -> impl Iterator<Item = MutexGuard<'_, T>> {
        self.places.iter().map(|place| place.0.lock())
    }

    /// Every value at one moment: nobody records while the guards live.
    pub(super) fn all(&self) -> Vec<MutexGuard<'_, T>> {
        self.each().collect()
    }
}
